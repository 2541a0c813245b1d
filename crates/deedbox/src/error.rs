use deedbox_audit::AuditError;
use deedbox_connect::ConnectError;
use deedbox_consent::{CompileError, RuleError, VocabularyError};
use deedbox_credential::{PresentError, VerifyError};
use deedbox_host::HostError;
use deedbox_interop::ImportError;
use deedbox_record::{
    BundleError, GrantError, HeadError, OpenError, PayloadError, PhraseError, SealError, UnlockError,
};

use crate::{FileError, person::Refused};

macro_rules! person_error {
    ($($(#[$doc:meta])* $name:ident($inner:ty);)*) => {
        /// Why something a person asked of their box was not done. The box is then as it was.
        #[derive(Debug, thiserror::Error)]
        #[non_exhaustive]
        pub enum PersonError {
            $($(#[$doc])*
            #[error(transparent)]
            $name(#[from] $inner),)*
            /// Somebody else wrote first: another device. Open the box anew and try again.
            #[error("another device wrote first")]
            Conflict,
            /// What the box holds of its own is not what this version writes; the store is damaged or was made by a newer
            /// version.
            #[error("the box's own records are damaged")]
            Damaged,
            /// The name of a field, once escaped, is longer than 96 bytes.
            #[error("a field's name is too long")]
            FieldName,
            /// Somebody else's word: what an issuer signed is replaced by nobody else, and what the person said by no delivery. Make
            /// a note on it instead.
            #[error("the field is somebody else's word")]
            IssuerOwned,
            /// A permission to be used so many times, or on records of certain times, is no ground for a grant. Answer with values.
            #[error("the permission is no ground for a grant")]
            Limited,
            /// There is no such thing in the box.
            #[error("no such thing in the box")]
            NotFound,
            /// The other side said something that does not belong here.
            #[error("unexpected message")]
            Unexpected,
        }

        impl PersonError {
            /// The variant's name, an inner error's after a dot; stable once released.
            #[must_use]
            pub fn code(&self) -> String {
                match self {
                    $(Self::$name(inner) => format!("{}.{}", stringify!($name), inner.code()),)*
                    Self::Conflict => "Conflict".to_owned(),
                    Self::Damaged => "Damaged".to_owned(),
                    Self::FieldName => "FieldName".to_owned(),
                    Self::IssuerOwned => "IssuerOwned".to_owned(),
                    Self::Limited => "Limited".to_owned(),
                    Self::NotFound => "NotFound".to_owned(),
                    Self::Unexpected => "Unexpected".to_owned(),
                }
            }
        }
    };
}

person_error! {
    /// The audit log does not hold together. Stop, and alert the person.
    Audit(AuditError);
    /// An export bundle was not accepted.
    Bundle(BundleError);
    /// There are more rules than can be decided by.
    Compile(CompileError);
    /// A connection was not made, or a message in it not accepted.
    Connect(ConnectError);
    /// A credential was not accepted.
    Credential(VerifyError);
    /// A file was not stored or not read. What was sent of one that was not stored is seen by nobody, and the host removes it.
    File(FileError);
    /// Something was not granted.
    Grant(GrantError);
    /// A dataset is not as it was signed. Stop, and alert the person.
    Head(HeadError);
    /// The host refused, or can't be reached.
    Host(HostError);
    /// A document was not imported.
    Import(ImportError);
    /// An object did not open.
    Open(OpenError);
    /// Something does not fit into a record.
    Payload(PayloadError);
    /// Not a recovery phrase.
    Phrase(PhraseError);
    /// A credential was not presented.
    Present(PresentError);
    /// The rules do not permit claims to be shown. Ask the person; nothing left, and the log has it.
    Refused(Box<Refused>);
    /// A rule was refused.
    Rule(RuleError);
    /// Something was not sealed.
    Seal(SealError);
    /// The box did not unlock.
    Unlock(UnlockError);
    /// The vocabulary is not sound.
    Vocabulary(VocabularyError);
}
