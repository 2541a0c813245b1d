//! A connection's keys: derived, so that a root and the connection ids restore all of them, and nobody can link two.

use core::fmt;

use deedbox_cose::{LocalSigner, RecipientSecret, Signer as _};
use deedbox_crypto::{kdf, label, secret::SecretBytes};
use deedbox_edhoc::Role;
use rand_core::CryptoRng;

use crate::{agreement::Agreement, error::ConnectError};

/// The connections root of a person's keyring.
pub struct ConnectionsRoot(SecretBytes<32>);

/// What a key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    Auth,
    Sign,
    Seal,
}

impl ConnectionsRoot {
    /// Draws a new root.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        Self(SecretBytes::generate(rng))
    }

    /// Takes the root that a keyring holds.
    #[must_use]
    pub const fn from_secret(secret: SecretBytes<32>) -> Self {
        Self(secret)
    }

    /// The keys for connection (or, inviting, invitation) `id` under the agreement of this serial.
    ///
    /// # Errors
    /// [`ConnectError::Rejected`] never happens; the primitive's interface allows it.
    pub fn keys(&self, id: &[u8; 16], serial: u32) -> Result<PartyKeys, ConnectError> {
        let seed = |purpose| self.seed(purpose, id, serial);
        Ok(PartyKeys {
            auth: LocalSigner::from_seed(&seed(Purpose::Auth)),
            sign: LocalSigner::from_seed(&seed(Purpose::Sign)),
            seal: RecipientSecret::from_seed(&seed(Purpose::Seal)).map_err(|_| ConnectError::Rejected)?,
        })
    }

    /// The keys that `agreement` names for its party `role`, if they are of this root: of its serial, or of an earlier one
    /// when the other side proposed the renewals since.
    ///
    /// # Errors
    /// [`ConnectError::Rejected`] when they are not.
    pub fn keys_for(&self, agreement: &Agreement, role: Role) -> Result<PartyKeys, ConnectError> {
        let conn = agreement.connection_id();
        let mut ids = (1..=agreement.serial()).rev().map(|serial| (*conn.as_bytes(), serial));
        let invited = agreement.inv().map(|inv| (*inv.as_bytes(), INVITING));
        let party = agreement.party(role);
        let auth = |(id, serial): &(_, _)| {
            party.auth() == LocalSigner::from_seed(&self.seed(Purpose::Auth, id, *serial)).public()
        };
        let (id, serial) = ids.find(auth).or_else(|| invited.filter(auth)).ok_or(ConnectError::Rejected)?;
        let keys = self.keys(&id, serial)?;
        if party.with_keys(&keys) == *party { Ok(keys) } else { Err(ConnectError::Rejected) }
    }

    pub(crate) fn seed(&self, purpose: Purpose, id: &[u8; 16], serial: u32) -> SecretBytes<32> {
        let purpose: u8 = match purpose {
            Purpose::Auth => 1,
            Purpose::Sign => 2,
            Purpose::Seal => 3,
        };
        kdf::derive(&self.0, label::PAIRWISE, &[&[purpose], id, &serial.to_be_bytes()])
    }
}

impl fmt::Debug for ConnectionsRoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectionsRoot").finish_non_exhaustive()
    }
}

/// One party's three keys: to authenticate in handshakes, to sign documents, to receive what is sealed.
///
/// ```compile_fail
/// fn copy(keys: &deedbox_connect::PartyKeys) -> deedbox_connect::PartyKeys { keys.clone() }
/// ```
pub struct PartyKeys {
    auth: LocalSigner,
    sign: LocalSigner,
    seal: RecipientSecret,
}

impl PartyKeys {
    /// An organisation's own keys, which it publishes.
    #[must_use]
    pub const fn new(auth: LocalSigner, sign: LocalSigner, seal: RecipientSecret) -> Self {
        Self { auth, sign, seal }
    }

    /// Draws an organisation's keys.
    ///
    /// # Errors
    /// [`ConnectError::Rejected`] never happens; the primitive's interface allows it.
    pub fn generate(rng: &mut impl CryptoRng) -> Result<Self, ConnectError> {
        let seal = RecipientSecret::generate(rng).map_err(|_| ConnectError::Rejected)?;
        Ok(Self { auth: LocalSigner::generate(rng), sign: LocalSigner::generate(rng), seal })
    }

    /// Authenticates in handshakes.
    #[must_use]
    pub const fn auth(&self) -> &LocalSigner {
        &self.auth
    }

    /// Signs documents and grants.
    #[must_use]
    pub const fn sign(&self) -> &LocalSigner {
        &self.sign
    }

    /// Opens what is sealed to this party.
    #[must_use]
    pub const fn seal(&self) -> &RecipientSecret {
        &self.seal
    }
}

impl fmt::Debug for PartyKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PartyKeys").finish_non_exhaustive()
    }
}

/// Serial of the keys of a person who invites, whose id is the invitation's.
pub(crate) const INVITING: u32 = 0;
