//! The MD5 digests of all files below a folder, in the order of their paths.
//!
//! ```sh
//! cargo run --release --example md5_all             # of this crate
//! cargo run --release --example md5_all -- FOLDER
//! ```
//!
//! The walk is a stream, of which `try_map_stream` takes a path whenever a file is done. Both walk
//! and files are read on the threads of the crate `blocking`, so that nothing holds up the thread
//! that polls. The first file that cannot be read ends it all.
//!
//! Links to files are read, links to folders are not followed. Folders that are tagged as caches
//! are passed over, as is cargo's `target`.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use errgroup::try_map_stream;
use smol::{Unblock, unblock};
use walkdir::{DirEntry, WalkDir};

/// How many files are open at once.
const AT_ONCE: usize = 16;

fn main() -> Result<(), lexopt::Error> {
    use lexopt::prelude::*;

    let mut folder = None;
    let mut args = lexopt::Parser::from_env();
    while let Some(arg) = args.next()? {
        match arg {
            Value(path) if folder.is_none() => folder = Some(path.into()),
            _ => return Err(arg.unexpected()),
        }
    }
    let folder = folder.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")));
    let digests = smol::block_on(md5_all(folder)).map_err(|error| error.to_string())?;

    let mut out = io::stdout().lock();
    for (path, digest) in digests {
        writeln!(out, "{digest}  {}", path.display()).map_err(|error| error.to_string())?;
    }
    Ok(())
}

async fn md5_all(folder: PathBuf) -> io::Result<Vec<(PathBuf, String)>> {
    let files = Unblock::new(files(folder));
    try_map_stream(files, AT_ONCE, |path| async {
        let path = path?;
        unblock(move || {
            let digest = digest(&path).map_err(|error| name(&path, error))?;
            Ok((path, digest))
        })
        .await
    })
    .await
}

/// The files below a folder, folder by folder in the order of the names: that of the paths.
fn files(folder: PathBuf) -> impl Iterator<Item = io::Result<PathBuf>> {
    WalkDir::new(folder)
        .sort_by_file_name()
        .into_iter()
        .filter_entry(|entry| !is_cache(entry))
        .filter_map(|entry| file(entry).transpose())
}

/// The path of an entry, if it is a file. (To read from a pipe would be to wait for ever.)
fn file(entry: walkdir::Result<DirEntry>) -> io::Result<Option<PathBuf>> {
    let entry = entry?;
    let is_file = if entry.path_is_symlink() {
        let target = fs::metadata(entry.path());
        target.map_err(|error| name(entry.path(), error))?.is_file()
    } else {
        entry.file_type().is_file()
    };
    Ok(is_file.then(|| entry.into_path()))
}

fn is_cache(entry: &DirEntry) -> bool {
    entry.depth() > 0 && entry.file_type().is_dir() && entry.path().join("CACHEDIR.TAG").exists()
}

fn digest(path: &Path) -> io::Result<String> {
    let mut digest = md5::Context::new();
    io::copy(&mut File::open(path)?, &mut digest)?;
    Ok(format!("{:x}", digest.finalize()))
}

fn name(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}
