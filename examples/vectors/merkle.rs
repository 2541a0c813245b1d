//! Suite `merkle`: proofs that verification must accept or refuse. A file may be a folder: each `.json` below it, in path
//! order, is a case named after its path.

use std::path::{Path, PathBuf};

use deedbox_crypto::hash::sha256_parts;
use deedbox_merkle::{
    Hash, verify_consistency, verify_inclusion, verify_subtree_consistency, verify_subtree_inclusion,
};
use serde::Deserialize;

use crate::{Report, cose::base64};

#[derive(Deserialize)]
#[serde(untagged)]
enum Case {
    Consistency(Consistency),
    Inclusion(Inclusion),
    SubtreeConsistency(SubtreeConsistency),
    SubtreeInclusion(SubtreeInclusion),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Inclusion {
    leaf_idx: u64,
    tree_size: u64,
    root: Option<String>,
    leaf_hash: Option<String>,
    proof: Option<Vec<String>>,
    #[serde(rename = "desc")]
    _desc: String,
    want_err: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Consistency {
    size1: u64,
    size2: u64,
    root1: Option<String>,
    root2: Option<String>,
    proof: Option<Vec<String>>,
    #[serde(rename = "desc")]
    _desc: String,
    want_err: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct SubtreeInclusion {
    leaf_idx: u64,
    start: u64,
    end: u64,
    root: Option<String>,
    leaf_hash: Option<String>,
    proof: Option<Vec<String>>,
    #[serde(rename = "desc")]
    _desc: String,
    want_err: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct SubtreeConsistency {
    start: u64,
    end: u64,
    size: u64,
    root1: Option<String>,
    root2: Option<String>,
    proof: Option<Vec<String>>,
    #[serde(rename = "desc")]
    _desc: String,
    want_err: bool,
}

pub(crate) fn run(file: &Path, report: &mut Report) {
    if !file.is_dir() {
        return one(file, report);
    }
    let mut files = Vec::new();
    if let Err(error) = collect(file, &mut files) {
        report.fail(&file.display().to_string(), &error.kind().to_string(), "a readable folder");
    }
    files.sort();
    for file in files {
        one(&file, report);
    }
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "json") {
            files.push(path);
        }
    }
    Ok(())
}

fn one(file: &Path, report: &mut Report) {
    let Some(case) = report.load::<Case>(file) else { return };
    report.case(&file.display().to_string(), || {
        let (verdict, refused) = judge(&case);
        (verdict, if refused { "refused" } else { "ok" }.to_owned())
    });
}

/// What verification says, and whether it should refuse.
fn judge(case: &Case) -> (String, bool) {
    let (accepted, want_err) = match case {
        Case::Inclusion(case) => (inclusion(case), case.want_err),
        Case::Consistency(case) => (consistency(case), case.want_err),
        Case::SubtreeInclusion(case) => (subtree_inclusion(case), case.want_err),
        Case::SubtreeConsistency(case) => (subtree_consistency(case), case.want_err),
    };
    (if accepted.is_some() { "ok" } else { "refused" }.to_owned(), want_err)
}

fn inclusion(case: &Inclusion) -> Option<()> {
    let (leaf, root) = (hash(case.leaf_hash.as_ref())?, hash(case.root.as_ref())?);
    verify_inclusion(&leaf, case.leaf_idx, case.tree_size, &path(case.proof.as_ref())?, &root).ok()
}

fn subtree_inclusion(case: &SubtreeInclusion) -> Option<()> {
    let (leaf, root) = (hash(case.leaf_hash.as_ref())?, hash(case.root.as_ref())?);
    let path = path(case.proof.as_ref())?;
    verify_subtree_inclusion(&leaf, case.leaf_idx, case.start, case.end, &path, &root).ok()
}

fn consistency(case: &Consistency) -> Option<()> {
    let [root1, root2] = roots(case.root1.as_ref(), case.root2.as_ref(), case.size1 == case.size2)?;
    verify_consistency(case.size1, case.size2, &root1, &root2, &path(case.proof.as_ref())?).ok()
}

fn subtree_consistency(case: &SubtreeConsistency) -> Option<()> {
    let as_they_stand = case.start == case.end || (case.start == 0 && case.end == case.size);
    let [root1, root2] = roots(case.root1.as_ref(), case.root2.as_ref(), as_they_stand)?;
    verify_subtree_consistency(case.start, case.end, case.size, &root1, &root2, &path(case.proof.as_ref())?).ok()
}

/// Both roots. Where they are only compared with each other or not at all, they may have any length: one that is no hash
/// is then replaced by one that equals it exactly when the other is the same.
fn roots(root1: Option<&String>, root2: Option<&String>, as_they_stand: bool) -> Option<[Hash; 2]> {
    let of = |root: Option<&String>| {
        let bytes = bytes(root)?;
        match Hash::try_from(bytes.as_slice()) {
            Ok(hash) => Some(hash),
            Err(_) if as_they_stand => Some(sha256_parts(&[b"not a hash", &bytes])),
            Err(_) => None,
        }
    };
    Some([of(root1)?, of(root2)?])
}

fn path(proof: Option<&Vec<String>>) -> Option<Vec<Hash>> {
    proof.into_iter().flatten().map(|text| hash(Some(text))).collect()
}

fn hash(text: Option<&String>) -> Option<Hash> {
    bytes(text)?.try_into().ok()
}

fn bytes(text: Option<&String>) -> Option<Vec<u8>> {
    base64(text.map_or("", String::as_str))
}
