//! The table "Compared with" is in the README and in the crate docs. Its proofs are in
//! `bench/compared`.

/// The lines of the table below this heading.
fn table(text: &str) -> Vec<&str> {
    let lines = text.lines().map(|line| line.trim_start_matches("//! "));
    let lines = lines.skip_while(|line| line.trim_start_matches('#') != " Compared with");
    let lines = lines.skip_while(|line| !line.starts_with('|'));
    lines.take_while(|line| line.starts_with('|')).collect()
}

#[test]
fn the_readme_and_the_crate_docs_compare_in_the_same_words() {
    let readme = table(include_str!("../../README.md"));
    let docs = table(include_str!("../../src/lib.rs"));
    for (in_readme, in_docs) in readme.iter().zip(&docs) {
        assert_eq!(in_readme, in_docs);
    }
    assert_eq!((readme.len(), docs.len()), (2 + 14, 2 + 14));
}
