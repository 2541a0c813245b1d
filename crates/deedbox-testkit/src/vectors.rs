//! Vector files from outside, read where they lie.
#![expect(
    clippy::panic,
    clippy::print_stderr,
    reason = "for tests only: they fail by panicking and tell what they skip"
)]

use std::{env, fs, path::PathBuf};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::DeserializeOwned, de::Error as _};

/// The folder that holds the vector files: `$DEEDBOX_VECTORS`, else `../shared/vectors` beside the workspace if it is there.
///
/// # Panics
/// If the variable names a folder that is not there: a run that asks for vectors must not pass without them.
#[must_use]
pub fn folder() -> Option<PathBuf> {
    if let Some(told) = env::var_os("DEEDBOX_VECTORS") {
        // Tests run in their package's folder, people set the variable in the workspace's.
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
        let folder = root.join(told);
        assert!(folder.is_dir(), "DEEDBOX_VECTORS: no folder {}", folder.display());
        return Some(folder);
    }
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors");
    folder.is_dir().then_some(folder)
}

/// The file at `path` in [`folder`]. Without a folder it says so, and how to get one; the test then passes unrun.
///
/// # Panics
/// If there is a folder but no such file.
#[must_use]
pub fn file(path: &str) -> Option<PathBuf> {
    let Some(folder) = folder() else {
        eprintln!("skipped: no vectors for {path}; set DEEDBOX_VECTORS to the folder that holds them");
        return None;
    };
    let file = folder.join(path);
    assert!(file.is_file(), "no vector file {}", file.display());
    Some(file)
}

/// The content of the file at `path` in [`folder`].
///
/// # Panics
/// As [`file()`], and if it can't be read.
#[must_use]
pub fn bytes(path: &str) -> Option<Vec<u8>> {
    let file = file(path)?;
    Some(fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display())))
}

/// The JSON of the file at `path` in [`folder`], as a `T` that ought to deny unknown fields.
///
/// # Panics
/// As [`bytes`], and if the file is not a `T`.
#[must_use]
pub fn load<T: DeserializeOwned>(path: &str) -> Option<T> {
    let bytes = bytes(path)?;
    Some(serde_json::from_slice(&bytes).unwrap_or_else(|error| panic!("{path}: {error}")))
}

/// Lower-case hex of `bytes`.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes of hex of either case, in which blanks and line breaks may stand, and notes from `#` to the end of a line.
///
/// # Panics
/// If it is not hex.
#[must_use]
pub fn unhex(text: &str) -> Vec<u8> {
    try_unhex(text).unwrap_or_else(|| panic!("not hex"))
}

fn try_unhex(text: &str) -> Option<Vec<u8>> {
    let lines = text.lines().map(|line| line.split_once('#').map_or(line, |(hex, _)| hex));
    let digits = lines.flat_map(str::chars).filter(|char| !char.is_ascii_whitespace());
    let digits: Vec<u8> =
        digits.map(|char| char.to_digit(16).and_then(|digit| digit.try_into().ok())).collect::<Option<_>>()?;
    let (pairs, rest) = digits.as_chunks::<2>();
    rest.is_empty().then(|| pairs.iter().map(|[high, low]| high << 4 | low).collect())
}

/// Bytes that a vector file writes as a hex string.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct HexBytes(pub Vec<u8>);

impl AsRef<[u8]> for HexBytes {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl<'de> Deserialize<'de> for HexBytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        try_unhex(&text).map(Self).ok_or_else(|| D::Error::custom("not hex"))
    }
}

impl Serialize for HexBytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex(&self.0))
    }
}

/// Exactly `N` bytes that a vector file writes as a hex string.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct HexArray<const N: usize>(pub [u8; N]);

impl<'de, const N: usize> Deserialize<'de> for HexArray<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let HexBytes(bytes) = HexBytes::deserialize(deserializer)?;
        let len = bytes.len();
        bytes.try_into().map(Self).map_err(|_| D::Error::custom(format_args!("{len} bytes where {N} must be")))
    }
}

impl<const N: usize> Serialize for HexArray<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_goes_both_ways_and_nothing_else_is_hex() {
        assert_eq!(hex(&unhex("00ff Aa # a note\n 17")), "00ffaa17");
        assert_eq!((try_unhex("0"), try_unhex("0g"), try_unhex("é0")), (None, None, None));
        assert_eq!(serde_json::from_str::<HexBytes>("\"0aff\"").unwrap(), HexBytes(vec![10, 255]));
        assert_eq!(serde_json::to_string(&HexArray([1, 2])).unwrap(), "\"0102\"");
        assert!(serde_json::from_str::<HexArray<3>>("\"0102\"").is_err());
        assert!(serde_json::from_str::<HexBytes>("\"x\"").is_err());
    }

    #[test]
    #[should_panic(expected = "no vector file")]
    fn a_missing_file_fails() {
        let present = load::<serde_json::Value>("cbor/no-such-file.json");
        // Only without a folder does it come here.
        assert!(present.is_some(), "no vector file, no folder");
    }
}
