//! Every tracked seed of every fuzz target runs on stable in `cargo test`; a target without seeds or without a row in
//! `TARGETS` is a failure, so that none is forgotten.

use std::{collections::BTreeSet, fs, path::Path};

fn folder(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

#[test]
fn every_seed_keeps_its_targets_property() {
    for (name, body) in deedbox_fuzz::TARGETS {
        let mut seeds = 0;
        for entry in fs::read_dir(folder("corpus").join(name)).unwrap_or_else(|_| panic!("{name} has no corpus folder"))
        {
            let path = entry.unwrap().path();
            eprintln!("{}", path.display());
            body(&fs::read(path).unwrap());
            seeds += 1;
        }
        assert!(seeds > 0, "{name} has no seed");
        body(&[]);
    }
}

#[test]
fn every_target_file_is_listed_and_the_reverse() {
    let files: BTreeSet<String> = fs::read_dir(folder("fuzz_targets"))
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    let listed: BTreeSet<String> = deedbox_fuzz::TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(files, listed);
    let readme = fs::read_to_string(folder("README.md")).unwrap();
    for name in listed {
        assert!(readme.contains(&format!("| `{name}` |")), "{name} has no row in fuzz/README.md");
    }
}
