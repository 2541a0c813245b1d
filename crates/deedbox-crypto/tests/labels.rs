//! The table of labels in docs/format/crypto.md is the one in the code.

use deedbox_crypto::label;

#[test]
fn the_documented_labels_are_the_labels() {
    let documented: Vec<String> = include_str!("../../../docs/format/crypto.md")
        .lines()
        .skip_while(|line| *line != "## Labels")
        .take_while(|line| *line != "## Errors")
        .filter_map(|line| line.strip_prefix("| `")?.split('`').nth(2).map(|text| format!("{text}\0")))
        .collect();
    let ours: Vec<&str> = label::ALL.iter().map(|label| str::from_utf8(label.as_bytes()).unwrap()).collect();
    assert_eq!(documented, ours);
}
