use core::fmt;

use deedbox_cbor::{Limits, Order, Writer, read};
use deedbox_consent::{Change, Permission, Prohibition};
use deedbox_cose::{CoseError, Signer, VerifyKey, sign1};
use deedbox_crypto::label::RULE;
use deedbox_model::{Digest, Name};

/// A change to a person's rules as somebody with a mandate signed it; made only by [`SignedRule::verify`]. Whether the mandate
/// allows it is another question.
///
/// ```cddl
/// signed-rule = COSE_Sign1, external_aad "deedbox/1 rule" 00, payload [agreement: b32, kind: 1..6, bstr / tstr]
///               ; 1 permission, 2 prohibition: the rule's bytes; 3 suspend, 4 resume, 5 withdraw, 6 end mandate: an id
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct SignedRule {
    agreement: Digest,
    change: Change,
}

impl SignedRule {
    /// Signs a change for the person of `agreement`; `None` for a change that nobody makes under a mandate, or a signer that
    /// can't sign.
    #[must_use]
    pub fn sign(change: &Change, agreement: &Digest, signer: &(impl Signer + ?Sized)) -> Option<Vec<u8>> {
        let mut payload = Writer::new();
        agreement.encode(payload.array(3));
        match change {
            Change::AddPermission(permission) => payload.uint(1).bytes(&permission.to_bytes()),
            Change::AddProhibition(prohibition) => payload.uint(2).bytes(&prohibition.to_bytes()),
            Change::Suspend(id) => payload.uint(3).text(id.as_str()),
            Change::Resume(id) => payload.uint(4).text(id.as_str()),
            Change::Withdraw(id) => payload.uint(5).text(id.as_str()),
            Change::EndMandate(id) => payload.uint(6).text(id.as_str()),
            _ => return None,
        };
        sign1::document(signer, RULE.as_bytes(), payload.as_slice()).ok()
    }

    /// Verifies a change of at most 32 KiB that the owner of `key` signed.
    ///
    /// # Errors
    /// [`CoseError::Shape`] for what is none, before and after the signature is looked at; see [`sign1::open_document`].
    pub fn verify(bytes: &[u8], key: &VerifyKey) -> Result<Self, CoseError> {
        if bytes.len() > MAX_RULE {
            return Err(CoseError::Shape);
        }
        Self::parse(sign1::open_document(bytes, key, RULE.as_bytes())?).ok_or(CoseError::Shape)
    }

    /// Digest of the agreement under which it was sent: it says whose rules are meant.
    #[must_use]
    pub const fn agreement(&self) -> &Digest {
        &self.agreement
    }

    /// The change.
    #[must_use]
    pub const fn change(&self) -> &Change {
        &self.change
    }

    fn parse(payload: &[u8]) -> Option<Self> {
        let item = read(payload, Order::Canonical, &Limits::new(MAX_RULE)).ok()?;
        let [agreement, kind, rule] = item.as_array()?.exactly()?;
        let change = match kind.as_u64()? {
            1 => Permission::from_bytes(rule.as_bytes()?).ok()?.into(),
            2 => Prohibition::from_bytes(rule.as_bytes()?).ok()?.into(),
            3 => Change::Suspend(Name::decode(rule)?),
            4 => Change::Resume(Name::decode(rule)?),
            5 => Change::Withdraw(Name::decode(rule)?),
            6 => Change::EndMandate(Name::decode(rule)?),
            _ => return None,
        };
        Some(Self { agreement: Digest::decode(agreement)?, change })
    }
}

/// Prints nothing of the rule: it tells who is to know what.
impl fmt::Debug for SignedRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignedRule").finish_non_exhaustive()
    }
}

const MAX_RULE: usize = 32 << 10;

#[cfg(test)]
mod tests {
    use deedbox_consent::{Action, Basis, Rank, Selector, To};
    use deedbox_cose::LocalSigner;
    use deedbox_model::Timestamp;
    use deedbox_testkit::rng::SeededRng;

    use super::*;

    fn name(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    #[test]
    fn every_change_that_a_mandate_allows_goes_and_comes_and_no_other() {
        let signer = LocalSigner::generate(&mut SeededRng::new(1));
        let agreement = Digest::from_bytes([7; 32]);
        let permission = Permission::new(name("p"), To::Party(name("bank")), name("debt"), Basis::CONSENT)
            .rank(Rank::DELEGATE)
            .actions(Action::Read)
            .fields(Selector::of([name("contact")]))
            .between(Timestamp::from_secs(1), Timestamp::from_secs(2))
            .retention(0)
            .mandate(name("m"));
        let changes: [Change; 6] = [
            permission.into(),
            Prohibition::new(name("d"), To::Anyone).rank(Rank::DELEGATE).mandate(name("m")).into(),
            Change::Suspend(name("p")),
            Change::Resume(name("p")),
            Change::Withdraw(name("p")),
            Change::EndMandate(name("m")),
        ];
        for change in changes {
            let signed = SignedRule::sign(&change, &agreement, &signer).unwrap();
            let rule = SignedRule::verify(&signed, signer.public()).unwrap();
            assert_eq!((rule.change(), rule.agreement()), (&change, &agreement));
            for bit in 0..signed.len() * 8 {
                let mut altered = signed.clone();
                altered[bit / 8] ^= 1 << (bit % 8);
                assert!(SignedRule::verify(&altered, signer.public()).is_err(), "bit {bit}");
            }
        }
        for never in [Change::Lift(name("d")), Change::ActivateMandate(name("m"))] {
            assert_eq!(SignedRule::sign(&never, &agreement, &signer), None);
        }
        for (payload, why) in [(&b"\x80"[..], "empty"), (b"\x83\x40\x03\x61p", "no digest"), (b"\xa0", "a map")] {
            let signed = sign1::document(&signer, RULE.as_bytes(), payload).unwrap();
            assert_eq!(SignedRule::verify(&signed, signer.public()), Err(CoseError::Shape), "{why}");
        }
        assert_eq!(SignedRule::verify(&vec![0; MAX_RULE + 1], signer.public()), Err(CoseError::Shape));
    }
}
