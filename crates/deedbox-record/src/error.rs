use deedbox_model::Seq;

/// Why an object did not open.
///
/// The order of the variants is that of the checks; nothing of the plaintext is given away before the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Not the length of any object of this version. Nothing was decrypted; fetch it again.
    #[error("object is truncated")]
    Truncated,
    /// Written by a newer version. Update; never fall back.
    #[error("version {version}, suite {suite} is not supported")]
    Unsupported {
        /// First byte of the object.
        version: u8,
        /// Second byte of the object.
        suite: u8,
    },
    /// The prefix is none of this version's, or what was opened is not of its form. Stop, and alert the person.
    #[error("object is malformed")]
    Malformed,
    /// An object of another kind than the caller expects. Stop: a host that answers so is wrong.
    #[error("object is of another kind")]
    WrongKind,
    /// Sealed in another epoch than that of the key. Ask the keyring for that epoch's key.
    #[error("object is of another epoch")]
    UnknownEpoch(
        /// The epoch that the object names, unauthenticated.
        u32,
    ),
    /// Wrong key, wrong place, or altered bytes; which of them is not told. Stop, and alert the person if it repeats.
    #[error("object rejected")]
    Rejected,
}

impl OpenError {
    /// The variant's name, stable once released.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Malformed => "Malformed",
            Self::Rejected => "Rejected",
            Self::Truncated => "Truncated",
            Self::UnknownEpoch(_) => "UnknownEpoch",
            Self::Unsupported { .. } => "Unsupported",
            Self::WrongKind => "WrongKind",
        }
    }
}

/// Why a blob was not written or not read. Of a blob that was not finished there is no reference: what was written of it opens
/// for nobody.
///
/// The order of the variants is that of the checks; from `Rejected` on, what was read before is authentic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BlobError {
    /// Not the length of any object of this version, or shorter than the reference says. Fetch it again.
    #[error("blob is truncated")]
    Truncated,
    /// Written by a newer version. Update; never fall back.
    #[error("version {version}, suite {suite} is not supported")]
    Unsupported {
        /// First byte of the object.
        version: u8,
        /// Second byte of the object.
        suite: u8,
    },
    /// The prefix is none of a blob of this version. Stop, and alert the person.
    #[error("blob is malformed")]
    Malformed,
    /// An object of another kind. Stop: a host that answers so is wrong.
    #[error("object is no blob")]
    WrongKind,
    /// Longer than the reference says: something was appended, or it is another blob. Fetch it again.
    #[error("blob is longer than its reference says")]
    Extended,
    /// Wrong key, wrong place, altered bytes, or another content than the reference names; which of them is not told. Stop,
    /// and alert the person if it repeats.
    #[error("blob rejected")]
    Rejected,
    /// More than 4 TiB or than this machine has memory for, or a media type that is empty or beyond 1,024 bytes. Split it.
    #[error("beyond a limit of blobs")]
    Limit,
    /// The reader or writer below failed; its kind says whether to try again. What was being written is lost.
    #[cfg(feature = "std")]
    #[error("i/o: {0}")]
    Io(
        /// What the system said, without its text, which may hold a name.
        std::io::ErrorKind,
    ),
}

impl BlobError {
    /// The variant's name, stable once released.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Extended => "Extended",
            #[cfg(feature = "std")]
            Self::Io(_) => "Io",
            Self::Limit => "Limit",
            Self::Malformed => "Malformed",
            Self::Rejected => "Rejected",
            Self::Truncated => "Truncated",
            Self::Unsupported { .. } => "Unsupported",
            Self::WrongKind => "WrongKind",
        }
    }
}

/// For those who read or write through [`std::io`]: all but `Io` are of the kind `InvalidData`, and inside.
#[cfg(feature = "std")]
impl From<BlobError> for std::io::Error {
    fn from(error: BlobError) -> Self {
        match error {
            BlobError::Io(kind) => kind.into(),
            other => Self::new(std::io::ErrorKind::InvalidData, other),
        }
    }
}

/// A blob has no epoch: an object that names one is malformed.
impl From<OpenError> for BlobError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Malformed | OpenError::UnknownEpoch(_) => Self::Malformed,
            OpenError::Rejected => Self::Rejected,
            OpenError::Truncated => Self::Truncated,
            OpenError::Unsupported { version, suite } => Self::Unsupported { version, suite },
            OpenError::WrongKind => Self::WrongKind,
        }
    }
}

/// Why something was not sealed or signed. Nothing was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    /// A sequence number or epoch is at its end. Make a new dataset.
    #[error("no number is left")]
    Exhausted,
    /// There is no key of the current epoch that may write here.
    #[error("no key to write with")]
    NoKey,
    /// The state is of unknown freshness; accept it first, or fetch heads since the pin.
    #[error("the state to build on was not accepted")]
    NotAccepted,
    /// More than this kind of object holds. Use a blob, or split it.
    #[error("longer than the limit of {limit} bytes")]
    TooLong {
        /// The limit, in bytes.
        limit: usize,
    },
    /// Objects of this kind have their own way: slots in the header, blobs beside their record.
    #[error("objects of this kind are not sealed here")]
    WrongKind,
}

impl SealError {
    /// The variant's name, stable once released.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Exhausted => "Exhausted",
            Self::NoKey => "NoKey",
            Self::NotAccepted => "NotAccepted",
            Self::TooLong { .. } => "TooLong",
            Self::WrongKind => "WrongKind",
        }
    }
}

/// Why a store header was not read, unlocked or changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UnlockError {
    /// Not a store header of this version. Fetch it again; a newer version needs an update.
    #[error("store header is malformed")]
    Malformed,
    /// The header has no slot of that id. Ask the person which of those listed to use.
    #[error("no such slot")]
    NoSuchSlot,
    /// The slot is opened by another kind of secret. Ask the person for that one.
    #[error("the slot is of another type")]
    WrongMethod,
    /// Passphrase hashing is set weaker than the floor; nothing was hashed. Stop: a host may have lowered it.
    #[error("passphrase parameters are below the floor")]
    WeakParameters,
    /// Passphrase hashing is set above the ceiling; nothing was hashed. Stop.
    #[error("passphrase parameters are above the ceiling")]
    ParametersTooCostly,
    /// Wrong secret, or an altered slot. Ask the person again.
    #[error("slot rejected")]
    Rejected,
    /// The slot opened, but the header around it is not the one that was written. Stop, and alert the person.
    #[error("store header was tampered with")]
    HeaderTampered,
    /// The header is older than one this client has seen. Stop, and alert the person.
    #[error("store header was rolled back")]
    HeaderRolledBack,
    /// No signature leads from the owner that this client knows to the one who wrote the header. Stop, and have the person
    /// compare the owner's key with that on another device.
    #[error("the store has another owner")]
    UnknownOwner,
    /// No slot, version or epoch is left, no slot would remain, or what was given is beyond the format. Nothing was changed.
    #[error("the header can hold no such change")]
    Limit,
}

impl UnlockError {
    /// The variant's name, stable once released.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::HeaderRolledBack => "HeaderRolledBack",
            Self::HeaderTampered => "HeaderTampered",
            Self::Limit => "Limit",
            Self::Malformed => "Malformed",
            Self::NoSuchSlot => "NoSuchSlot",
            Self::ParametersTooCostly => "ParametersTooCostly",
            Self::Rejected => "Rejected",
            Self::UnknownOwner => "UnknownOwner",
            Self::WeakParameters => "WeakParameters",
            Self::WrongMethod => "WrongMethod",
        }
    }
}

/// Why words are no recovery phrase. Ask the person to look at them again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PhraseError {
    /// The words do not belong together: one is wrong, or two are swapped.
    #[error("the words do not fit together")]
    Checksum,
    /// There are not 24 words.
    #[error("a recovery phrase has 24 words")]
    Count,
    /// A word is not on the list.
    #[error("word {position} is not on the list")]
    UnknownWord {
        /// Which word, from 1.
        position: usize,
    },
}

impl PhraseError {
    /// The variant's name, stable once released.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Checksum => "Checksum",
            Self::Count => "Count",
            Self::UnknownWord { .. } => "UnknownWord",
        }
    }
}

/// Why shares were not made, read or joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ShareError {
    /// Two shares have one number. Leave one out and ask another contact.
    #[error("share {index} is there twice")]
    Duplicate {
        /// The number.
        index: u8,
    },
    /// Not 2 to 255 shares, or not 2 to all of them needed. Nothing was made.
    #[error("no such number of shares")]
    Limit,
    /// Not a share of this version. Ask its contact again.
    #[error("share is malformed")]
    Malformed,
    /// A share of another set, made earlier or for another slot. Ask its contact for the right one.
    #[error("share is of another set")]
    OtherSet,
    /// The share and the slot differ in how many shares are needed, or were made: one of them was altered. Ask another contact.
    #[error("share and slot differ in their numbers")]
    OtherThreshold,
    /// Not enough shares. Ask more contacts.
    #[error("too few shares: {missing} more are needed")]
    TooFew {
        /// How many more.
        missing: usize,
    },
}

impl ShareError {
    /// The variant's name, stable once released.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Duplicate { .. } => "Duplicate",
            Self::Limit => "Limit",
            Self::Malformed => "Malformed",
            Self::OtherSet => "OtherSet",
            Self::OtherThreshold => "OtherThreshold",
            Self::TooFew { .. } => "TooFew",
        }
    }
}

/// Why a payload or a keyring was not read or not made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PayloadError {
    /// A dataset of that name is there already. Choose another id.
    #[error("dataset exists already")]
    Duplicate,
    /// More than the format holds: a name, a list, or a number of entries.
    #[error("beyond a limit of the format")]
    Limit,
    /// Not of the form that this version specifies. It was authentic: update, or report.
    #[error("payload is malformed")]
    Malformed,
    /// The step from that version of the schema refuses the value. Keep the record as it is, and report.
    #[error("the value does not migrate from version {from}")]
    Migration {
        /// The version that the step begins at.
        from: u64,
    },
    /// Written by a newer version of the schema. Update; never fall back, and write nothing in its place.
    #[error("schema version {version} is newer than {newest}")]
    NewerSchema {
        /// The record's version.
        version: u64,
        /// The newest that is known.
        newest: u64,
    },
    /// There is nothing signed to make a note on.
    #[error("the record has no signed content")]
    NotSigned,
    /// Written by a version of the schema from before the first that is known. Read it with an earlier release.
    #[error("schema version {version} is older than {oldest}")]
    OlderSchema {
        /// The record's version.
        version: u64,
        /// The oldest that is known.
        oldest: u64,
    },
}

impl PayloadError {
    /// The variant's name, stable once released.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Duplicate => "Duplicate",
            Self::Limit => "Limit",
            Self::Malformed => "Malformed",
            Self::Migration { .. } => "Migration",
            Self::NewerSchema { .. } => "NewerSchema",
            Self::NotSigned => "NotSigned",
            Self::OlderSchema { .. } => "OlderSchema",
        }
    }
}

/// Why a host's answer is not a state of the dataset that the person signed, or not one that follows what is known.
///
/// Nothing of a refused answer is kept. All but `Malformed` mean: stop, keep working with what was verified before, and
/// alert the person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeadError {
    /// No head of this version, or objects that no client writes. Fetch again once.
    #[error("head is malformed")]
    Malformed,
    /// A head of another store or dataset.
    #[error("head is of another dataset")]
    WrongDataset,
    /// Signed by a key that is not in the keyring. Fetch the keyring, then try again.
    #[error("head is signed by an unknown key")]
    UnknownKey,
    /// The signature is not the key's.
    #[error("head has a bad signature")]
    BadSignature,
    /// Older than what this client has seen: a restored back-up, or a host that hides changes.
    #[error("head {got} is older than the pinned {pinned}", got = got.get(), pinned = pinned.get())]
    Rollback {
        /// The pinned sequence number.
        pinned: Seq,
        /// That of the head given.
        got: Seq,
    },
    /// Another history than the one this client has seen.
    #[error("another history at head {seq}", seq = seq.get())]
    Fork {
        /// Where they part.
        seq: Seq,
    },
    /// The objects are not those of the head: one was altered, left out or slipped in.
    #[error("objects do not fit the head")]
    RootMismatch,
    /// There are more or fewer objects than the head says.
    #[error("number of objects does not fit the head")]
    CountMismatch,
    /// The head commits to another key than the keyring has for its epoch.
    #[error("head commits to another key")]
    KeyMismatch,
    /// A head of an earlier epoch follows one of a later.
    #[error("epoch goes backwards")]
    EpochRegressed,
    /// An object's suite is below the head's least.
    #[error("an object's suite is below the least accepted")]
    SuiteTooLow,
}

impl HeadError {
    /// The variant's name, stable once released.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::BadSignature => "BadSignature",
            Self::CountMismatch => "CountMismatch",
            Self::EpochRegressed => "EpochRegressed",
            Self::Fork { .. } => "Fork",
            Self::KeyMismatch => "KeyMismatch",
            Self::Malformed => "Malformed",
            Self::Rollback { .. } => "Rollback",
            Self::RootMismatch => "RootMismatch",
            Self::SuiteTooLow => "SuiteTooLow",
            Self::UnknownKey => "UnknownKey",
            Self::WrongDataset => "WrongDataset",
        }
    }
}

/// Why a grant was not made, not taken, or not used. No key of a refused grant is used.
///
/// The order of the first six is that of the receiver's checks, but for the signature: a bad one is `Rejected` as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GrantError {
    /// Not a grant of this version, or not what a grant is made of. Ask for it again.
    #[error("grant is malformed")]
    Malformed,
    /// Sealed to another key, altered, or not signed by the other side of its agreement; which is not told. Drop it.
    #[error("grant rejected")]
    Rejected,
    /// It was made for another and sealed anew for us. Drop it, and tell who made it.
    #[error("grant is for another")]
    NotForUs,
    /// It rests on an agreement that is not known, or that has ended. Drop it.
    #[error("grant rests on an unknown agreement")]
    UnknownAgreement,
    /// The grant, or its agreement, is over. Ask for a new one.
    #[error("grant is over")]
    Expired,
    /// Its keys are not those of the head it names, of its dataset, or of each other. Use none of them, and ask for a new one.
    #[error("grant has keys of something else")]
    KeyMismatch,
    /// No object, or more than a grant holds. Grant the dataset, or make several grants.
    #[error("a grant names 1 to 256 objects")]
    Limit,
    /// The signer can't or won't sign. Try again.
    #[error("grant was not signed")]
    Signer,
}

impl GrantError {
    /// The variant's name, stable once released.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Expired => "Expired",
            Self::KeyMismatch => "KeyMismatch",
            Self::Limit => "Limit",
            Self::Malformed => "Malformed",
            Self::NotForUs => "NotForUs",
            Self::Rejected => "Rejected",
            Self::Signer => "Signer",
            Self::UnknownAgreement => "UnknownAgreement",
        }
    }
}

/// Why overtaken changes were not put upon the present state. Nothing was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MergeError {
    /// Both sides changed the keyring. Read the new one and change that.
    #[error("the keyring was changed meanwhile")]
    Keyring,
    /// An object of the present state did not open. Fetch the dataset again.
    #[error("an object of the present state did not open")]
    Open(#[source] OpenError),
    /// The changes are another dataset's.
    #[error("the changes are another dataset's")]
    WrongDataset,
}

impl MergeError {
    /// The variant's name, stable once released; that of an inner error follows after a dot.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Keyring => "Keyring",
            Self::Open(error) => match error {
                OpenError::Malformed => "Open.Malformed",
                OpenError::Rejected => "Open.Rejected",
                OpenError::Truncated => "Open.Truncated",
                OpenError::UnknownEpoch(_) => "Open.UnknownEpoch",
                OpenError::Unsupported { .. } => "Open.Unsupported",
                OpenError::WrongKind => "Open.WrongKind",
            },
            Self::WrongDataset => "WrongDataset",
        }
    }
}

impl From<OpenError> for MergeError {
    fn from(error: OpenError) -> Self {
        Self::Open(error)
    }
}

/// Why a bundle was not imported. Nothing of it was used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BundleError {
    /// Not a bundle of this version, cut short, or in another order. Use another copy.
    #[error("bundle is malformed")]
    Malformed,
    /// The trailer is not the person's over these bytes: the bundle was altered. Use another copy.
    #[error("bundle rejected")]
    Rejected,
    /// The bundle, or a part of it, is of another store.
    #[error("bundle is of another store")]
    WrongStore,
    /// A dataset in it is not the state that its head signs.
    #[error("bundle: {0}")]
    Head(HeadError),
    /// An object in it does not open.
    #[error("bundle: {0}")]
    Open(OpenError),
    /// The file below failed; its kind says whether to try again.
    #[cfg(feature = "std")]
    #[error("i/o: {0}")]
    Io(
        /// What the system said, without its text, which may hold a name.
        std::io::ErrorKind,
    ),
}

impl BundleError {
    /// The variant's name, stable once released; that of an inner error follows after a dot.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Head(error) => match error {
                HeadError::BadSignature => "Head.BadSignature",
                HeadError::CountMismatch => "Head.CountMismatch",
                HeadError::EpochRegressed => "Head.EpochRegressed",
                HeadError::Fork { .. } => "Head.Fork",
                HeadError::KeyMismatch => "Head.KeyMismatch",
                HeadError::Malformed => "Head.Malformed",
                HeadError::Rollback { .. } => "Head.Rollback",
                HeadError::RootMismatch => "Head.RootMismatch",
                HeadError::SuiteTooLow => "Head.SuiteTooLow",
                HeadError::UnknownKey => "Head.UnknownKey",
                HeadError::WrongDataset => "Head.WrongDataset",
            },
            #[cfg(feature = "std")]
            Self::Io(_) => "Io",
            Self::Malformed => "Malformed",
            Self::Open(error) => match error {
                OpenError::Malformed => "Open.Malformed",
                OpenError::Rejected => "Open.Rejected",
                OpenError::Truncated => "Open.Truncated",
                OpenError::UnknownEpoch(_) => "Open.UnknownEpoch",
                OpenError::Unsupported { .. } => "Open.Unsupported",
                OpenError::WrongKind => "Open.WrongKind",
            },
            Self::Rejected => "Rejected",
            Self::WrongStore => "WrongStore",
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::{string::ToString, vec::Vec};

    use super::*;

    #[test]
    fn codes_are_the_variants_names_and_texts_are_plain() {
        let seq = Seq::FIRST;
        let mut all: Vec<(alloc::string::String, &str, alloc::string::String)> = Vec::new();
        macro_rules! add {
            ($($error:expr),+ $(,)?) => { $(all.push((alloc::format!("{:?}", $error), $error.code(), $error.to_string()));)+ };
        }
        add!(
            OpenError::Truncated,
            OpenError::Unsupported { version: 2, suite: 1 },
            OpenError::Malformed,
            OpenError::WrongKind,
            OpenError::UnknownEpoch(1),
            OpenError::Rejected,
            BlobError::Truncated,
            BlobError::Unsupported { version: 1, suite: 2 },
            BlobError::Malformed,
            BlobError::WrongKind,
            BlobError::Extended,
            BlobError::Rejected,
            BlobError::Limit,
            SealError::Exhausted,
            SealError::NoKey,
            SealError::NotAccepted,
            SealError::TooLong { limit: 1 },
            SealError::WrongKind,
            UnlockError::Malformed,
            UnlockError::NoSuchSlot,
            UnlockError::WrongMethod,
            UnlockError::WeakParameters,
            UnlockError::ParametersTooCostly,
            UnlockError::Rejected,
            UnlockError::HeaderTampered,
            UnlockError::HeaderRolledBack,
            UnlockError::Limit,
            PhraseError::Checksum,
            PhraseError::Count,
            PhraseError::UnknownWord { position: 1 },
            ShareError::Duplicate { index: 1 },
            ShareError::Limit,
            ShareError::Malformed,
            ShareError::OtherSet,
            ShareError::OtherThreshold,
            ShareError::TooFew { missing: 1 },
            PayloadError::Duplicate,
            PayloadError::Limit,
            PayloadError::Malformed,
            PayloadError::Migration { from: 1 },
            PayloadError::NewerSchema { version: 2, newest: 1 },
            PayloadError::NotSigned,
            PayloadError::OlderSchema { version: 1, oldest: 2 },
            GrantError::Malformed,
            GrantError::Rejected,
            GrantError::NotForUs,
            GrantError::UnknownAgreement,
            GrantError::Expired,
            GrantError::KeyMismatch,
            GrantError::Limit,
            GrantError::Signer,
            HeadError::Malformed,
            HeadError::WrongDataset,
            HeadError::UnknownKey,
            HeadError::BadSignature,
            HeadError::Rollback { pinned: seq, got: seq },
            HeadError::Fork { seq },
            HeadError::RootMismatch,
            HeadError::CountMismatch,
            HeadError::KeyMismatch,
            HeadError::EpochRegressed,
            HeadError::SuiteTooLow,
            MergeError::Keyring,
            MergeError::WrongDataset,
            BundleError::Malformed,
            BundleError::Rejected,
            BundleError::WrongStore,
        );
        #[cfg(feature = "std")]
        add!(BlobError::Io(std::io::ErrorKind::NotFound));
        for (debug, code, text) in &all {
            assert_eq!(debug.split([' ', '(']).next(), Some(*code));
            assert!(
                !text.ends_with('.') && !text.contains('\n') && text.starts_with(|c: char| c.is_lowercase()),
                "{text}"
            );
        }
        assert_eq!(BundleError::Head(HeadError::Fork { seq }).code(), "Head.Fork");
        assert_eq!(BundleError::Open(OpenError::Rejected).code(), "Open.Rejected");
        assert_eq!(MergeError::Open(OpenError::Rejected).code(), "Open.Rejected");
    }
}
