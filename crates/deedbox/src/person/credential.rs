//! Credentials in the box: taken, named for the rules, and shown in part to whom these permit it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use deedbox_audit::{Entry, EntryKind};
use deedbox_cbor::{Item, Writer};
use deedbox_consent::{Action, Ask, AskedFields, Decision, Outcome};
use deedbox_cose::{LocalSigner, Signer as _, sha256};
use deedbox_credential::{AcceptPolicy, Audience, ClaimPath, HeldCredential, Nonce, Segment, TrustStore, Vct};
use deedbox_crypto::{kdf, label};
use deedbox_model::{Assurance, ConnectionId, Digest, Name, Provenance, Timestamp};
use deedbox_record::{Keyring, Record};

use super::{Answered, CREDENTIALS, Channel, Open, Person, channel::item};
use crate::{client::HostClient, error::PersonError, exchange::PRESENTATION, system};

impl<H: HostClient> Person<Open<H>> {
    /// Takes a credential that came through a channel: verified against the issuers in `trust`, complete and bound to the key
    /// asked with, it is kept verbatim. Gives its name in the box.
    ///
    /// # Errors
    /// [`PersonError::Credential`]; [`PersonError::Connect`], [`PersonError::Unexpected`].
    pub async fn receive_credential(
        &mut self,
        channel: &mut Channel,
        record: &[u8],
        trust: &TrustStore,
    ) -> Result<String, PersonError> {
        let now = system::now();
        let bytes = self.received_credential(channel, record)?;
        let open = &mut self.state;
        let key = holder(&open.keyring, channel)?;
        let held = HeldCredential::accept(&bytes, trust, &AcceptPolicy::new(key.public().clone()), now)?;
        let digest = Digest::from_bytes(sha256(&bytes));
        let name = format!("credential/{digest}");
        let mut value = Writer::new();
        value.array(2).bytes(channel.agreement.connection_id().as_bytes()).text(held.issuer());
        let value = item(value.as_slice())?;
        let provenance = Provenance::new(held.issuer().as_bytes(), Assurance::High, now).with_signed(bytes);
        let make = |open: &Open<H>| {
            let record = Record::new(CREDENTIALS, 1, &name, value.clone())?.with_provenance(provenance.clone());
            let dataset = open.dataset(CREDENTIALS)?;
            let mut change = open.change();
            change.records.push((*dataset.id(), dataset.name_key().object_id(&name), record));
            let mut entry = Entry::new(now, EntryKind::Receipt, Some(channel.party.as_str()), open.policy_digest());
            entry.receipt = Some(digest);
            change.log(entry);
            Ok((change, ()))
        };
        open.write_with(now, make).await?;
        Ok(name)
    }

    /// Names of the credentials in the box.
    ///
    /// # Errors
    /// [`PersonError::Open`].
    pub fn credentials(&self) -> Result<Vec<String>, PersonError> {
        let dataset = self.state.dataset(CREDENTIALS)?;
        let shelf = self.state.shelves.get(dataset.id()).ok_or(PersonError::Damaged)?;
        Ok(shelf.records(dataset)?.iter().map(|record| record.name().to_owned()).collect())
    }

    /// Shows the chosen claims of a credential to the channel's other side, bound to `audience`, to `nonce` and to the holder's
    /// key, if the rules permit each top claim of which it learns something, those that every verifier sees included
    /// ([`claim_field`]). The decision, the use of limited permissions and the disclosure are in the log before this gives the
    /// reply.
    ///
    /// `ask` says what for: its purpose, basis and ground, and whether it reads or queries. By a query claims leave that are an
    /// answer in themselves, `true` or `false`. What it says of fields and recipient is not looked at.
    ///
    /// # Errors
    /// [`PersonError::Refused`] when one of the claims is withheld: the log has the decision, and nothing leaves. Neither does for
    /// [`PersonError::Unexpected`], an ask to do anything else or a query of more than an answer; [`PersonError::NotFound`],
    /// [`PersonError::Present`], [`PersonError::Host`].
    ///
    /// # Security
    /// With any claim goes what every credential shows: its issuer, type, times, key and status. What the receiver owes for it
    /// is in the decision and the agreement's terms; a presentation does not say it.
    pub async fn present(
        &mut self,
        channel: &mut Channel,
        credential: &str,
        claims: &[ClaimPath],
        ask: &Ask,
        audience: &Audience,
        nonce: &Nonce,
    ) -> Result<Answered, PersonError> {
        let now = system::now();
        let open = &mut self.state;
        open.permits(channel)?;
        let dataset = open.dataset(CREDENTIALS)?;
        let shelf = open.shelves.get(dataset.id()).ok_or(PersonError::Damaged)?;
        let record = shelf.record(dataset, credential)?.ok_or(PersonError::NotFound)?;
        let Held { held, key, .. } = open.held(&record)?;
        let selection = held.select(claims)?;
        let mut fields = BTreeSet::new();
        for (claim, shown) in held.shown(&selection)? {
            let may = match ask.action {
                Some(Action::Query) => is_answer(shown),
                Some(Action::Read) => true,
                _ => false,
            };
            if !may {
                return Err(PersonError::Unexpected);
            }
            fields.insert(field_of(held.vct(), claim)?);
        }
        let presentation = held.present(&selection, audience, nonce, &key, now)?;
        let mut ask = ask.clone();
        (ask.fields, ask.recipient) = (Some(AskedFields::These(fields.clone())), None);
        let observed = record.provenance().map_or(Timestamp::from_secs(0), Provenance::observed);
        // Where another device has withdrawn a permission meanwhile, say, it is decided anew.
        let make = |open: &Open<H>| {
            open.permits(channel)?;
            let (facts, decision) = open.decide(channel, &ask, &[], now);
            let is_whole = match &decision {
                Decision::Permit(permit) => fields.iter().all(|field| permit.admits(field, observed)),
                Decision::Denial(_) => false,
            };
            let mut change = open.change();
            change.log(open.decided(&ask, &facts, &decision, is_whole));
            let number = change.log.len().saturating_sub(1);
            if is_whole {
                let party = Some(channel.party.as_str());
                let mut entry = Entry::new(now, EntryKind::Disclosure, party, open.policy_digest());
                entry.receipt = Some(Digest::from_bytes(sha256(&presentation)));
                entry.released = vec![credential.to_owned()];
                change.log(entry);
            }
            Ok((change, (decision, is_whole, number)))
        };
        let (decision, is_whole, entry) = open.write_with(now, make).await?;
        if !is_whole {
            return Err(Box::new(Refused { decision, entry }).into());
        }
        let reply = channel.send(PRESENTATION, &presentation)?;
        Ok(Answered { decision, reply, entry })
    }
}

/// The category that holds all claims of credentials of this type, whoever issued them; no field of a document has its name.
///
/// # Errors
/// None so far.
pub fn category_of_credential(vct: Option<&Vct>) -> Result<Name, PersonError> {
    name_of(vct, None)
}

/// The field that rules call a top claim of credentials of this type, and all within it; no field of a document has its name
/// (`docs/format/exchange.md`).
///
/// # Errors
/// [`PersonError::FieldName`] for [`Segment::Every`], which names no claim.
pub fn claim_field(vct: Option<&Vct>, claim: &Segment) -> Result<Name, PersonError> {
    let mut key = Writer::new();
    match claim {
        Segment::Int(int) => key.int(*int),
        Segment::Text(text) => key.text(text),
        _ => return Err(PersonError::FieldName),
    };
    field_of(vct, item(key.as_slice())?.as_item())
}

fn field_of(vct: Option<&Vct>, claim: Item<'_>) -> Result<Name, PersonError> {
    name_of(vct, Some(claim))
}

fn name_of(vct: Option<&Vct>, claim: Option<Item<'_>>) -> Result<Name, PersonError> {
    let readable = || {
        let mut name = String::from("credential/");
        match (vct.and_then(Vct::as_text), vct.and_then(Vct::as_number)) {
            (Some(text), _) => name.extend(["type/", Name::escape(text).ok()?.as_str()]),
            (None, Some(number)) => name.push_str(&format!("number/{number}")),
            (None, None) => name.push_str("untyped"),
        }
        if let Some(claim) = claim {
            match (claim.as_str(), claim.as_i64()) {
                (Some(text), _) => name.extend(["/claim/", Name::escape(text).ok()?.as_str()]),
                (None, key) => name.push_str(&format!("/key/{}", key?)),
            }
        }
        Name::parse(&name).ok()
    };
    // Too long, or without letters.
    let digest = || {
        let mut named = Writer::new();
        named.array(if claim.is_some() { 2 } else { 1 });
        match (vct.and_then(Vct::as_text), vct.and_then(Vct::as_number)) {
            (Some(text), _) => named.text(text),
            (None, Some(number)) => named.uint(number.into()),
            (None, None) => named.null(),
        };
        if let Some(claim) = claim {
            named.item(claim);
        }
        let digest = Digest::from_bytes(sha256(named.as_slice()));
        Name::parse(&format!("credential/digest/{digest}"))
    };
    readable().map_or_else(|| digest().map_err(|_| PersonError::FieldName), Ok)
}

/// Whether a claim is an answer in itself: `true` or `false`, alone or with how well it is known.
fn is_answer(claim: Item<'_>) -> bool {
    let assured = || claim.as_map().filter(|map| map.get_text("assurance").is_some())?.get_text("value");
    claim.as_bool().or_else(|| assured()?.as_bool()).is_some()
}

/// Why claims were not shown. The log has it already.
#[derive(thiserror::Error)]
#[error("the rules do not permit it")]
#[non_exhaustive]
pub struct Refused {
    /// The decision, whole: for the person to see.
    pub decision: Decision,
    /// The number of its entry in the log.
    pub entry: u64,
}

impl Refused {
    /// How it ended for whoever asked: `Refused`, `Partial` when some of the claims were permitted, or `Malformed`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self.decision.for_requester().outcome {
            Outcome::Malformed => "Malformed",
            Outcome::Granted | Outcome::Partial => "Partial",
            Outcome::Refused => "Refused",
        }
    }
}

/// Prints how it ended; which claims is the person's.
impl fmt::Debug for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refused").field("code", &self.code()).finish_non_exhaustive()
    }
}

/// A credential in the box, the key it is bound to, and the connection it came through.
struct Held {
    held: HeldCredential,
    key: LocalSigner,
    connection: ConnectionId,
}

impl<H: HostClient> Open<H> {
    /// What the vocabulary has for the credentials in the box: each claim with its category and who issued it, by `party`; nobody
    /// where several did.
    pub(super) fn claims(
        &self,
        party: impl Fn(&ConnectionId) -> Option<Name>,
    ) -> Result<BTreeMap<Name, (Name, Option<Name>)>, PersonError> {
        let dataset = self.dataset(CREDENTIALS)?;
        let shelf = self.shelves.get(dataset.id()).ok_or(PersonError::Damaged)?;
        let mut claims: BTreeMap<Name, (Name, Option<Name>)> = BTreeMap::new();
        for record in shelf.records(dataset)? {
            let Held { held, connection, .. } = self.held(&record)?;
            let (category, issuer) = (category_of_credential(held.vct())?, party(&connection));
            for (claim, _) in held.personal_claims() {
                let (_, issuers) =
                    claims.entry(field_of(held.vct(), claim)?).or_insert_with(|| (category.clone(), issuer.clone()));
                if *issuers != issuer {
                    *issuers = None;
                }
            }
        }
        Ok(claims)
    }

    fn held(&self, record: &Record) -> Result<Held, PersonError> {
        let signed = record.provenance().and_then(Provenance::signed).ok_or(PersonError::Damaged)?;
        let connection = record.value().as_item().as_array().and_then(|parts| parts.get(0)?.as_byte_array());
        let connection = connection.ok_or(PersonError::Damaged)?;
        let key = holder_of(&self.keyring, &connection);
        let held = HeldCredential::reopen(signed, &AcceptPolicy::new(key.public().clone()))?;
        Ok(Held { held, key, connection: ConnectionId::from_bytes(connection) })
    }
}

/// The key that credentials which come through a channel are bound to: one a connection, so that two issuers can't link them.
pub(super) fn holder(keyring: &Keyring, channel: &Channel) -> Result<LocalSigner, PersonError> {
    Ok(holder_of(keyring, channel.agreement.connection_id().as_bytes()))
}

fn holder_of(keyring: &Keyring, connection: &[u8; 16]) -> LocalSigner {
    // Purpose 4 of the pairwise keys: 1 to 3 are the connection's own.
    let seed = kdf::derive(keyring.pairwise_root(), label::PAIRWISE, &[&[4], connection, &[0; 4]]);
    LocalSigner::from_seed(&seed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number() -> Vct {
        Vct::number(7)
    }

    #[test]
    fn names_are_those_of_the_page() {
        let text = Vct::text("urn:eudi:pid:1");
        let cases = [
            (Some(&text), Segment::from("birthDate"), "credential/type/urn/3aeudi/3apid/3a1/claim/birth:date"),
            (Some(&text), Segment::from(500), "credential/type/urn/3aeudi/3apid/3a1/key/500"),
            (Some(&number()), Segment::from(-5), "credential/number/7/key/-5"),
            (None, Segment::from("7"), "credential/untyped/claim/7"),
        ];
        for (vct, claim, name) in cases {
            assert_eq!(claim_field(vct, &claim).unwrap().as_str(), name);
            let (category, _) = name.rsplit_once(if name.contains("/claim/") { "/claim/" } else { "/key/" }).unwrap();
            assert_eq!(category_of_credential(vct).unwrap().as_str(), category);
            // No text is escaped to it, so no document has a field of that name.
            let name = Name::parse(name).unwrap();
            assert_eq!(name.unescape(), None);
        }
        let every = claim_field(None, &Segment::from(())).unwrap_err();
        assert_eq!(every.code(), "FieldName");
    }

    #[test]
    fn names_that_are_too_long_are_digests_and_no_two_are_one() {
        let long = "https://credentials.example/a/very/long/name/of/a/type/of/credentials/indeed";
        let (named, named_digest) = (Vct::from(long), category_of_credential(Some(&Vct::from(long))).unwrap());
        let mut cbor = Writer::new();
        cbor.array(1).text(long);
        let digest = Digest::from_bytes(sha256(cbor.as_slice()));
        assert_eq!(named_digest.as_str(), format!("credential/digest/{digest}"));
        assert_eq!(named_digest.unescape(), None);
        // What is read apart only by where an escaped text begins and ends.
        let types = [
            Some(named),
            None,
            Some(number()),
            Some(Vct::text("7")),
            Some(Vct::text("a")),
            Some(Vct::text("a/claim/b")),
            Some(Vct::text("untyped")),
            Some(Vct::text("-f")),
            Some(Vct::text("f")),
        ];
        let huge = "c".repeat(200);
        let claims = ["b", "500", "-500", "-f", "f", "claim/b", huge.as_str()].map(Segment::from);
        let claims: Vec<Segment> = claims.into_iter().chain([500, -500].map(Segment::from)).collect();
        let mut names = BTreeSet::new();
        for vct in &types {
            assert!(names.insert(category_of_credential(vct.as_ref()).unwrap()));
            for claim in &claims {
                assert!(names.insert(claim_field(vct.as_ref(), claim).unwrap()), "{vct:?} {claim:?}");
            }
        }
    }
}
