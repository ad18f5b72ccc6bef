// `node run.mjs FILE.wasm`: instantiates the module with no imports at all, and calls its `run`.
import { readFileSync } from 'node:fs';

const bytes = readFileSync(process.argv[2]);
const module = new WebAssembly.Module(bytes);
const { run } = new WebAssembly.Instance(module, {}).exports;
const result = run();
console.log(`${(bytes.length / 1000).toFixed(0)} kB, ${WebAssembly.Module.imports(module).length} imports: run() = ${result}`);
process.exit(result === 0 ? 0 : 1);
