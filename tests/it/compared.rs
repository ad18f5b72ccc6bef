//! The two tables "Compared with" are in the README and in the crate docs. Their proofs are in
//! `bench/compared`.

/// The lines of the tables below this heading.
fn tables(text: &str) -> Vec<&str> {
    let lines = text.lines().map(|line| line.trim_start_matches("//! "));
    let lines = lines.skip_while(|line| line.trim_start_matches('#') != " Compared with");
    let lines = lines.skip(1).take_while(|line| !line.starts_with('#'));
    lines.filter(|line| line.starts_with('|')).collect()
}

#[test]
fn the_readme_and_the_crate_docs_compare_in_the_same_words() {
    let readme = tables(include_str!("../../README.md"));
    let docs = tables(include_str!("../../src/lib.rs"));
    for (in_readme, in_docs) in readme.iter().zip(&docs) {
        assert_eq!(in_readme, in_docs);
    }
    let lines = 2 * (2 + 14);
    assert_eq!((readme.len(), docs.len()), (lines, lines));
}
