//! One side's view of an agreement, as grants need it.

use deedbox_connect::{Agreement, PartyKeys, Role};
use deedbox_cose::{RecipientKey, Signer as _, VerifyKey};
use deedbox_model::{Digest, Timestamp};
use deedbox_record::VerifiedAgreement;

/// A verified agreement, seen by the side that holds keys of it.
pub(crate) struct Side<'a> {
    agreement: &'a Agreement,
    own: Role,
}

impl<'a> Side<'a> {
    /// `None` when the keys are neither side's.
    pub(crate) fn of(agreement: &'a Agreement, keys: &PartyKeys) -> Option<Self> {
        let own = keys.sign().public().thumbprint();
        let roles = [Role::Initiator, Role::Responder];
        let own = roles.into_iter().find(|role| agreement.party(*role).sign().thumbprint() == own)?;
        Some(Self { agreement, own })
    }

    const fn peer(&self) -> Role {
        match self.own {
            Role::Initiator => Role::Responder,
            Role::Responder => Role::Initiator,
        }
    }
}

impl VerifiedAgreement for Side<'_> {
    fn hash(&self) -> Digest {
        self.agreement.hash()
    }

    fn holds(&self, now: Timestamp) -> bool {
        self.agreement.holds(now)
    }

    fn own_sign_key(&self) -> &VerifyKey {
        self.agreement.party(self.own).sign()
    }

    fn peer_sign_key(&self) -> &VerifyKey {
        self.agreement.party(self.peer()).sign()
    }

    fn peer_seal_key(&self) -> &RecipientKey {
        self.agreement.party(self.peer()).seal()
    }
}
