use alloc::vec::Vec;
use core::fmt;

use deedbox_cbor::{Item, Limits, MapWriter, Order, Writer, read};
use deedbox_cose::{CoseError, Headers, Sign1Rules, SignError, Signer, Thumbprint, Unverified, VerifyKey, sign1};

use crate::{
    ProofError, Tree,
    proof::{consistency_root, inclusion_root},
    tree::Hash,
};

/// Why a receipt was refused, or not made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReceiptError {
    /// Not a signed object as a receipt is one, signed with another key, or not signed over this root.
    #[error("cose: {0}")]
    Cose(CoseError),
    /// Not the headers or the proof of a receipt.
    #[error("not of a receipt's shape")]
    Malformed,
    /// The receipt proves something else than was asked.
    #[error("the receipt proves something else")]
    OtherProof,
    /// The proof can't be made, or gives no root. No signature was looked at.
    #[error("proof: {0}")]
    Proof(ProofError),
    /// The signer did not sign. Ask again.
    #[error("the signer did not sign")]
    Unsigned,
}

impl ReceiptError {
    /// The variant's name, stable once released; faults of COSE and of the proof keep the code they have there.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Cose(error) => error.code(),
            Self::Malformed => "Malformed",
            Self::OtherProof => "OtherProof",
            Self::Proof(error) => error.code(),
            Self::Unsigned => "Unsigned",
        }
    }

    const fn unsigned(_: SignError) -> Self {
        Self::Unsigned
    }
}

/// A COSE Receipt (RFC 9942) as read: one proof, and the signature of the root that the proof leads to.
///
/// ```cddl
/// receipt = #6.18([ bstr .cbor { 1: -19, 4: thumbprint, 395: 1 }, { 396: proofs }, null, bstr .size 64 ])
/// proofs = { -1: [ bstr .cbor [size: uint, index: uint, path] ] } / { -2: [ bstr .cbor [size1: uint, size2: uint, path] ] }
/// path = [* bstr .size 32]                                       ; at most 64
/// ```
/// Payload is the root, which isn't sent; external_aad is empty. Nothing it says is true until it is verified, which uses
/// it up.
pub struct Receipt<'a> {
    signed: Unverified<sign1::DetachedSign1<'a>>,
    kid: Thumbprint,
    proof: Proof,
}

enum Proof {
    Consistency { size1: u64, size2: u64, path: Vec<Hash> },
    Inclusion { size: u64, index: u64, path: Vec<Hash> },
}

/// A leaf is in a tree whose root was signed; made only by [`Receipt::verify_inclusion`].
///
/// # Security
/// A receipt signs the root and nothing else (RFC 9942), and a root doesn't fix how many leaves are under it: one path may
/// fit several sizes and places. Size and index are therefore what the receipt claims; to know them, compare the root with
/// one that is signed together with its size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Included {
    size: u64,
    index: u64,
    root: Hash,
}

/// A tree whose root was signed continues another; made only by [`Receipt::verify_consistency`].
///
/// # Security
/// As with [`Included`], the size of the later tree is what the receipt claims; only its root is signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Continued {
    size2: u64,
    root: Hash,
}

impl<'a> Receipt<'a> {
    /// Reads a receipt of at most 4,096 bytes.
    ///
    /// # Errors
    /// [`ReceiptError::Cose`], [`ReceiptError::Malformed`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ReceiptError> {
        let signed = sign1::DetachedSign1::parse(bytes, &RULES).map_err(ReceiptError::Cose)?;
        let (protected, unprotected) = (signed.peek().protected(), signed.peek().unprotected());
        let kid = read_protected(&protected).ok_or(ReceiptError::Malformed)?;
        let proof = read_proof(&unprotected).ok_or(ReceiptError::Malformed)?;
        Ok(Self { signed, kid, proof })
    }

    /// The name of the key that the receipt claims to be signed with: to find that key, and for nothing else.
    #[must_use]
    pub const fn kid(&self) -> Thumbprint {
        self.kid
    }

    /// Verifies that the leaf of this hash is in a tree whose root `key` signed.
    ///
    /// # Errors
    /// [`ReceiptError::OtherProof`] for a receipt of consistency, [`ReceiptError::Proof`], then [`ReceiptError::Cose`]: an
    /// altered proof leads to another root, which wasn't signed.
    pub fn verify_inclusion(self, leaf: &[u8; 32], key: &VerifyKey) -> Result<Included, ReceiptError> {
        let Proof::Inclusion { size, index, path } = &self.proof else { return Err(ReceiptError::OtherProof) };
        let (size, index) = (*size, *index);
        let root = inclusion_root(leaf, index, size, path).map_err(ReceiptError::Proof)?;
        self.verify(&root, key)?;
        Ok(Included { size, index, root })
    }

    /// Verifies that a tree whose root `key` signed continues the one of `size1` leaves with `root1`.
    ///
    /// # Errors
    /// [`ReceiptError::OtherProof`] for a receipt of inclusion or of another size, [`ReceiptError::Proof`], then
    /// [`ReceiptError::Cose`].
    pub fn verify_consistency(self, size1: u64, root1: &[u8; 32], key: &VerifyKey) -> Result<Continued, ReceiptError> {
        let Proof::Consistency { size1: found, size2, path } = &self.proof else {
            return Err(ReceiptError::OtherProof);
        };
        if *found != size1 {
            return Err(ReceiptError::OtherProof);
        }
        let size2 = *size2;
        let root = consistency_root(size1, size2, root1, path).map_err(ReceiptError::Proof)?;
        self.verify(&root, key)?;
        Ok(Continued { size2, root })
    }

    fn verify(self, root: &Hash, key: &VerifyKey) -> Result<(), ReceiptError> {
        if self.kid != key.thumbprint() {
            return Err(ReceiptError::Cose(CoseError::Kid));
        }
        self.signed.verify(root, key, &[]).map_err(ReceiptError::Cose)?;
        Ok(())
    }
}

impl fmt::Debug for Receipt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receipt").finish_non_exhaustive()
    }
}

impl Included {
    /// The root that was signed.
    #[must_use]
    pub const fn root(&self) -> &[u8; 32] {
        &self.root
    }

    /// How many leaves the receipt says the tree has.
    #[must_use]
    pub const fn claimed_size(&self) -> u64 {
        self.size
    }

    /// Where the receipt says the leaf stands.
    #[must_use]
    pub const fn claimed_index(&self) -> u64 {
        self.index
    }
}

impl Continued {
    /// The later tree's root, which was signed.
    #[must_use]
    pub const fn root(&self) -> &[u8; 32] {
        &self.root
    }

    /// How many leaves the receipt says the later tree has.
    #[must_use]
    pub const fn claimed_size(&self) -> u64 {
        self.size2
    }
}

/// Signs a receipt that the leaf at `index` is in `tree`.
///
/// # Errors
/// [`ReceiptError::Proof`] when there is no such leaf, [`ReceiptError::Unsigned`].
pub fn inclusion_receipt(signer: &(impl Signer + ?Sized), tree: &Tree, index: u64) -> Result<Vec<u8>, ReceiptError> {
    let path = tree.inclusion(index).map_err(ReceiptError::Proof)?;
    sign(signer, INCLUSION, [tree.size(), index], &path, &tree.root())
}

/// Signs a receipt that `tree` continues the one of its first `size` leaves.
///
/// # Errors
/// [`ReceiptError::Proof`] when it never had as many or they are 0, [`ReceiptError::Unsigned`].
pub fn consistency_receipt(signer: &(impl Signer + ?Sized), tree: &Tree, size: u64) -> Result<Vec<u8>, ReceiptError> {
    let path = tree.consistency(size).map_err(ReceiptError::Proof)?;
    sign(signer, CONSISTENCY, [size, tree.size()], &path, &tree.root())
}

fn sign(
    signer: &(impl Signer + ?Sized),
    kind: i64,
    [first, second]: [u64; 2],
    path: &[Hash],
    root: &Hash,
) -> Result<Vec<u8>, ReceiptError> {
    let mut proof = Writer::new();
    proof.array(3).uint(first).uint(second).array(path.len());
    for hash in path {
        proof.bytes(hash);
    }
    let kid = signer.public().thumbprint();
    let protected = |map: &mut MapWriter| {
        map.int(KID, |w| {
            w.bytes(kid.as_bytes());
        })
        .int(VDS, |w| {
            w.int(RFC9162_SHA256);
        });
    };
    let proofs = |map: &mut MapWriter| {
        map.int(VDP, |w| {
            w.map(|map| {
                map.int(kind, |w| {
                    w.array(1).bytes(proof.as_slice());
                });
            });
        });
    };
    sign1::sign_detached(signer, protected, proofs, root, &[]).map_err(ReceiptError::unsigned)
}

/// Exactly {1: -19, 4: thumbprint, 395: 1}; gives the kid. What `alg` says is compared with the key.
fn read_protected(headers: &Headers<'_>) -> Option<Thumbprint> {
    let known = headers.len() == 3
        && headers.get(ALG)?.as_i64() == Some(ED25519)
        && headers.get(VDS)?.as_i64() == Some(RFC9162_SHA256);
    if known { Thumbprint::try_from_slice(headers.kid()?) } else { None }
}

/// Exactly {396: {-1 or -2: [one proof]}}.
fn read_proof(headers: &Headers<'_>) -> Option<Proof> {
    if headers.len() != 1 {
        return None;
    }
    let proofs = headers.get(VDP)?.as_map()?;
    if proofs.len() != 1 {
        return None;
    }
    let (kind, proof) = proofs.iter().next()?;
    let [proof] = proof.as_array()?.exactly()?;
    let proof = read(proof.as_bytes()?, Order::Canonical, &Limits::new(MAX_RECEIPT)).ok()?;
    let [first, second, path] = proof.as_array()?.exactly()?;
    let (first, second) = (first.as_u64()?, second.as_u64()?);
    let path = path.as_array().filter(|path| path.len() <= MAX_PATH)?;
    let path: Vec<Hash> = path.iter().map(Item::as_byte_array).collect::<Option<_>>()?;
    match kind.as_i64()? {
        INCLUSION => Some(Proof::Inclusion { size: first, index: second, path }),
        CONSISTENCY => Some(Proof::Consistency { size1: first, size2: second, path }),
        _ => None,
    }
}

const MAX_RECEIPT: usize = 4_096;
const MAX_PATH: usize = 64;
const RULES: Sign1Rules = Sign1Rules::STRICT.canonical().max_len(MAX_RECEIPT);
const ALG: i64 = 1;
const ED25519: i64 = -19;
const KID: i64 = 4;
/// Verifiable data structure, RFC 9942.
const VDS: i64 = 395;
/// Its proofs.
const VDP: i64 = 396;
const RFC9162_SHA256: i64 = 1;
const INCLUSION: i64 = -1;
const CONSISTENCY: i64 = -2;
