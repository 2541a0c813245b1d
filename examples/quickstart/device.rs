//! What the person's device remembers between two runs, in a folder that no host can see.

use std::{fs, io, path::Path};

use deedbox::{parts::model::StoreId, person::Keepsake};

/// The passphrase of this story. A person's own is in their head and nowhere else.
pub(crate) const PASSPHRASE: &str = "four walls and a strong box";

/// The box's address and the account secret. A real device keeps the secret in its key store.
pub(crate) struct Device {
    pub(crate) store: StoreId,
    pub(crate) account_secret: String,
    pub(crate) fields: usize,
}

impl Device {
    /// What an earlier run left, if there was one.
    pub(crate) fn load(folder: &Path) -> io::Result<Option<Self>> {
        let text = match fs::read_to_string(folder.join("device").join("box.txt")) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let damaged = || io::Error::new(io::ErrorKind::InvalidData, "device/box.txt is damaged");
        let mut lines = text.lines();
        let store = lines.next().and_then(StoreId::parse_hex).ok_or_else(damaged)?;
        let account_secret = lines.next().ok_or_else(damaged)?.to_owned();
        let fields = lines.next().and_then(|line| line.parse().ok()).ok_or_else(damaged)?;
        Ok(Some(Self { store, account_secret, fields }))
    }

    pub(crate) fn save(folder: &Path, keepsake: &Keepsake, fields: usize) -> io::Result<()> {
        fs::create_dir_all(folder.join("device"))?;
        let text = format!("{}\n{}\n{fields}\n", keepsake.store, keepsake.account_secret.as_str());
        fs::write(folder.join("device").join("box.txt"), text)
    }
}
