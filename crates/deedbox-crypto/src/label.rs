//! Every string that separates one use of a key, hash or signature from another. A new use gets a new row.

/// A domain separation label: ASCII that ends in a zero byte, so that none is a prefix of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Label(&'static [u8]);

impl Label {
    /// The label with its final zero byte.
    #[must_use]
    pub const fn as_bytes(&self) -> &'static [u8] {
        self.0
    }
}

macro_rules! labels {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        $($(#[$doc])* pub const $name: Label = Label(concat!($text, "\0").as_bytes());)*

        /// All labels.
        pub const ALL: &[Label] = &[$($name),*];
    };
}

labels! {
    /// Ed25519 seed of the owner's way into the host.
    ACCESS = "deedbox/1 access";
    /// A signed agreement.
    AGREEMENT = "deedbox/1 agreement";
    /// The trailer of an export bundle.
    BUNDLE = "deedbox/1 bundle";
    /// A signed state of the audit log.
    CHECKPOINT = "deedbox/1 checkpoint";
    /// Chunked encryption, c2sp.org/chunked-encryption@v1, with ChaCha20-Poly1305.
    CHUNKED = "c2sp.org/chunked-encryption@v1+AEAD_CHACHA20_POLY1305";
    /// The place of an object, in its key derivation.
    CONTEXT = "deedbox/1";
    /// Commitment to a dataset key.
    DATASET_COMMIT = "deedbox/1 dataset-commit";
    /// A signed grant.
    GRANT = "deedbox/1 grant";
    /// HPKE info of a sealed grant.
    GRANT_SEAL = "deedbox/1 grant-seal";
    /// A dataset's signed head.
    HEAD = "deedbox/1 head";
    /// A signed invitation.
    INVITATION = "deedbox/1 invitation";
    /// Salt of the claim an invitation's secret makes.
    INVITE = "deedbox/1 invite";
    /// A signed justification.
    JUSTIFICATION = "deedbox/1 justification";
    /// The keyring's key.
    KEYRING = "deedbox/1 keyring";
    /// Ed25519 seed that signs the meta dataset's heads.
    META_HEAD = "deedbox/1 meta-head";
    /// An object's key.
    OBJECT = "deedbox/1 object";
    /// An object's id by its name.
    OBJECT_ID = "deedbox/1 object-id";
    /// A connection's keys.
    PAIRWISE = "deedbox/1 pairwise";
    /// A proof of possession to a host.
    PROOF = "deedbox/1 proof";
    /// A signed receipt.
    RECEIPT = "deedbox/1 receipt";
    /// A session's record keys.
    RECORD = "deedbox/1 record";
    /// A signed rule.
    RULE = "deedbox/1 rule";
    /// A hedged salt.
    SALT = "deedbox/1 salt";
    /// HPKE info of a sealed message.
    SEALED = "deedbox/1 sealed";
    /// An object's id beside another's, after a merge.
    SIBLING = "deedbox/1 sibling";
    /// The key of a slot.
    SLOT_KEK = "deedbox/1 slot-kek";
    /// What a credential's PRF is evaluated at, for a slot.
    SLOT_PRF = "deedbox/1 slot-prf";
    /// HPKE info of a recipient slot.
    SLOT_SEAL = "deedbox/1 slot-seal";
    /// The MAC over a store's header.
    SLOTS_MAC = "deedbox/1 slots-mac";
    /// A field as its issuer signed it.
    STATEMENT = "deedbox/1 statement";
    /// A store's next owner, signed by the former.
    SUCCESSION = "deedbox/1 succession";
    /// A signed termination.
    TERMINATION = "deedbox/1 termination";
    /// Signed terms.
    TERMS = "deedbox/1 terms";
    /// A signed trust list.
    TRUST_LIST = "deedbox/1 trust-list";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_label_is_a_prefix_of_another() {
        for (n, one) in ALL.iter().enumerate() {
            assert_eq!(one.as_bytes().iter().filter(|byte| **byte == 0).count(), 1);
            assert_eq!(one.as_bytes().last(), Some(&0));
            for other in &ALL[n + 1..] {
                assert!(!one.as_bytes().starts_with(other.as_bytes()) && !other.as_bytes().starts_with(one.as_bytes()));
            }
        }
    }
}
