//! Every cell of the table has its proof, and every proof exists.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

fn cells(line: &str) -> Vec<&str> {
    line.trim_matches('|').split(" | ").map(str::trim).collect()
}

/// The rows of a table, without the two lines of its head.
fn table(text: &str) -> impl Iterator<Item = Vec<&str>> {
    let lines = text.lines().skip_while(|line| !line.starts_with('|'));
    lines
        .take_while(|line| line.starts_with('|'))
        .skip(2)
        .map(cells)
}

/// The heading of each section of a page, in small letters, and what follows it.
fn sections(page: &str) -> BTreeMap<String, &str> {
    let sections = page.split("\n## ").skip(1);
    let sections = sections.map(|section| section.split_once('\n').unwrap());
    sections
        .map(|(heading, text)| (heading.to_lowercase(), text))
        .collect()
}

/// Where the peers of the README's two tables stand on the page of proofs: those that spawn, and
/// those that are polled in place.
const PEERS: [&[usize]; 2] = [&[0, 1, 2, 8, 9], &[0, 3, 4, 5, 6, 7]];

#[test]
fn every_cell_of_the_readme_is_on_the_page_of_proofs() {
    let (readme, proofs) = (read("../../README.md"), read("README.md"));
    let compared = sections(&readme)["compared with"];
    let (_, second) = compared.split_once("polled in place").unwrap();
    let proofs = sections(&proofs);
    for (text, peers) in [compared, second].into_iter().zip(PEERS) {
        let mut rows = 0;
        for row in table(text) {
            let (name, in_readme) = row.split_first().unwrap();
            let proven: Vec<_> = table(proofs[&name.to_lowercase()])
                .map(|proof| proof[1])
                .collect();
            assert_eq!(proven.len(), 10, "{name}");
            let proven: Vec<_> = peers.iter().map(|&peer| proven[peer]).collect();
            assert_eq!(in_readme, proven, "{name}");
            rows += 1;
        }
        assert_eq!((rows, rows), (14, proofs.len()));
    }
}

#[test]
fn every_cell_has_a_proof_that_exists() {
    let doctests = read("src/lib.rs");
    for (row, text) in sections(&read("README.md")) {
        for proof in table(text) {
            let [peer, _, proof] = proof[..] else {
                panic!("{row}: {proof:?}")
            };
            let mut found = proof.contains("](https://");
            for name in proof.split('`').skip(1).step_by(2) {
                if let Some((module, test)) = name.split_once("::") {
                    let tests = read(&format!("tests/it/{module}.rs"));
                    let test = format!("#[test]\nfn {test}() {{");
                    assert!(tests.contains(&test), "{row}, {peer}: {name}");
                    found = true;
                } else if proof.contains(&format!("doctest `{name}`")) {
                    let doctest = "compile_fail,";
                    let (before, _) = doctests
                        .split_once(&format!("pub mod {name} {{}}"))
                        .unwrap();
                    let docs = before.rsplit("\n\n").next().unwrap();
                    assert!(docs.contains(doctest), "{row}, {peer}: {name}");
                    found = true;
                }
            }
            assert!(found, "{row}, {peer}: no proof");
        }
    }
}
