//! Looking for what a host must not have: every value, name and secret, in every byte of its files.

use std::{fs, io, path::Path};

use deedbox::{parts::interop::Import, person::Keepsake};

use crate::{Stop, check, device::PASSPHRASE};

/// What was searched.
pub(crate) struct Seen {
    pub(crate) files: usize,
    pub(crate) bytes: usize,
    pub(crate) searched: usize,
}

/// Searches all files below `folder`.
pub(crate) fn search(folder: &Path, import: &Import, keepsake: &Keepsake) -> Result<Seen, Stop> {
    let mut contents = Vec::new();
    read_all(folder, &mut contents)?;
    // Below eight bytes random ciphertext would hold a value by chance.
    let mut needles: Vec<Vec<u8>> = Vec::new();
    for field in import.fields() {
        needles.extend(field.value().as_item().as_str().map(|text| text.as_bytes().to_vec()));
        needles.push(field.path().as_str().as_bytes().to_vec());
        needles.push(field.group().as_bytes().to_vec());
    }
    needles.push(PASSPHRASE.as_bytes().to_vec());
    needles.push(keepsake.account_secret.as_bytes().to_vec());
    needles.extend(
        keepsake.recovery_phrase.split(' ').collect::<Vec<_>>().windows(2).map(|two| two.join(" ").into_bytes()),
    );
    needles.retain(|needle| needle.len() >= 8);
    needles.sort();
    needles.dedup();
    // One pass over the files: candidates by their first eight bytes.
    let mut by_start = std::collections::HashMap::<[u8; 8], Vec<&[u8]>>::new();
    for needle in &needles {
        if let Some(start) = needle.first_chunk::<8>() {
            by_start.entry(*start).or_default().push(needle);
        }
    }
    for content in &contents {
        for (at, window) in content.windows(8).enumerate() {
            let Some(candidates) = window.first_chunk::<8>().and_then(|start| by_start.get(start)) else { continue };
            let rest = content.get(at..).unwrap_or_default();
            let found = candidates.iter().any(|needle| rest.starts_with(needle));
            check(!found, "the host's files hold no value, name or secret")?;
        }
    }
    let bytes = contents.iter().map(Vec::len).sum();
    check(bytes > 0, "there are files to search")?;
    Ok(Seen { files: contents.len(), bytes, searched: needles.len() })
}

fn read_all(folder: &Path, contents: &mut Vec<Vec<u8>>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            read_all(&path, contents)?;
        } else {
            contents.push(fs::read(path)?);
        }
    }
    Ok(())
}
