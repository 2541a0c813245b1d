//! What organisations deliver into the box, in their own words, and what the person notes on it.

use std::{collections::BTreeMap, fmt};

use deedbox_audit::{Entry, EntryKind};
use deedbox_cbor::Writer;
use deedbox_cose::sha256;
use deedbox_model::{Assurance, Digest, FieldPath, Name, Provenance};
use deedbox_record::{Record, VerifiedAgreement as _};

use super::{
    Channel, Imported, Open, Person,
    channel::item,
    dataset_of,
    import::{Incoming, provide},
};
use crate::{
    client::HostClient,
    error::PersonError,
    exchange::{DELIVERY, Statement, read_delivery},
    system,
};

/// What a person noted on a field that somebody else signed.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Note {
    /// The person's words.
    pub text: String,
    /// Whether it is on the wording that is in the box: not once the issuer has replaced it.
    pub is_current: bool,
}

impl<H: HostClient> Person<Open<H>> {
    /// Takes what a channel's other side delivers into the box: one record a field, each with the statement that its issuer
    /// signed, word for word. Calling says that the person wants it.
    ///
    /// What an issuer delivered before is replaced by what it delivers; nobody else's word is, and nobody replaces an
    /// issuer's, the person included: see [`Person::annotate`].
    ///
    /// # Errors
    /// [`PersonError::Connect`]; [`PersonError::Unexpected`] when a statement is not the other side's, made under this
    /// agreement; [`PersonError::IssuerOwned`], [`PersonError::FieldName`], [`PersonError::Payload`], [`PersonError::Host`].
    /// Nothing is taken unless everything is.
    pub async fn receive(&mut self, channel: &mut Channel, record: &[u8]) -> Result<Imported, PersonError> {
        let now = system::now();
        self.state.permits(channel)?;
        let delivery = channel.receive(record, DELIVERY)?;
        let open = &mut self.state;
        let own = open.side(channel.agreement())?;
        let side = own.side(channel.agreement())?;
        let key = side.peer_sign_key();
        let mut statements = Vec::new();
        for signed in read_delivery(&delivery).ok_or(PersonError::Unexpected)? {
            let statement = Statement::verify(&signed, key).map_err(|_| PersonError::Unexpected)?;
            if *statement.agreement() != channel.agreement().hash() {
                return Err(PersonError::Unexpected);
            }
            statements.push((statement, signed));
        }
        let incoming: Vec<Incoming<'_>> = statements
            .iter()
            .map(|(statement, signed)| Incoming {
                dataset: statement.dataset(),
                group: statement.field(),
                path: statement.path(),
                value: statement.value(),
                provenance: Provenance::new(*key.thumbprint().as_bytes(), Assurance::Substantial, now)
                    .with_signed(signed.clone()),
            })
            .collect();
        let mut entry = Entry::new(now, EntryKind::Receipt, Some(channel.party().as_str()), open.policy_digest());
        entry.receipt = Some(Digest::from_bytes(sha256(&delivery)));
        open.take_in(&incoming, entry, now).await
    }

    /// Who signed the field at a path, as the person's rules call them, and the statement, verified again.
    ///
    /// # Errors
    /// [`PersonError::NotFound`] for a path that is not there or whose value nobody signed; [`PersonError::Damaged`] when it
    /// is not what was signed.
    pub fn issued(&self, path: &FieldPath) -> Result<(Name, Statement), PersonError> {
        let (_, _, record) = self.state.at(path)?;
        let provenance = record.provenance().ok_or(PersonError::NotFound)?;
        let signed = provenance.signed().ok_or(PersonError::NotFound)?;
        for (party, agreement) in self.agreements()? {
            for key in [agreement.initiator().sign(), agreement.responder().sign()] {
                if *key.thumbprint().as_bytes() == provenance.source() {
                    let statement = Statement::verify(signed, key).map_err(|_| PersonError::Damaged)?;
                    let is_whole = statement.path() == path && statement.value() == record.value();
                    return if is_whole { Ok((party, statement)) } else { Err(PersonError::Damaged) };
                }
            }
        }
        Err(PersonError::NotFound)
    }

    /// Who signs with which key, by the key's thumbprint.
    pub(super) fn issuers(&self) -> Result<BTreeMap<Vec<u8>, Name>, PersonError> {
        let mut issuers = BTreeMap::new();
        for (party, agreement) in self.agreements()? {
            let own = self.state.side(&agreement)?;
            let side = own.side(&agreement)?;
            let key = side.peer_sign_key().thumbprint();
            issuers.insert(key.as_bytes().to_vec(), party);
        }
        Ok(issuers)
    }

    /// Makes the person's note on a field that somebody else signed, or replaces it. The field stays as it is; the note is a
    /// field of its own, `PATH.note` of dataset `notes`, bound to the wording it is on. What another device noted at the same
    /// time stays beside it: [`Person::siblings`].
    ///
    /// # Errors
    /// [`PersonError::NotFound`]; [`PersonError::Payload`] with `NotSigned` for a field that nobody signed.
    pub async fn annotate(&mut self, path: &FieldPath, text: &str) -> Result<(), PersonError> {
        let now = system::now();
        let open = &mut self.state;
        let (_, object, issued) = open.at(path)?;
        let name = note_of(path)?;
        let mut value = Writer::new();
        value.text(text);
        let group = format!("{}.note", issued.schema().0);
        Name::escape(&group).map_err(|_| PersonError::FieldName)?;
        let record = Record::new(&group, 1, name.as_str(), item(value.as_slice())?)?
            .with_provenance(Provenance::new(*b"myself", Assurance::Declared, now))
            .note_on(object, &issued)?
            .encode()?;
        let base = open.base(NOTES, name.as_str())?;
        let make = |open: &Open<H>| {
            let mut change = open.change();
            let mut keyring = open.keyring.working_copy()?;
            provide(NOTES, &mut keyring, &mut change)?;
            let placed = open.put(&mut change, dataset_of(&keyring, NOTES)?, Record::decode(&record)?, &base)?;
            change.log(Entry::new(now, EntryKind::Receipt, None, open.policy_digest()));
            change.with_datasets(keyring);
            Ok((change, placed))
        };
        open.write_with(now, make).await.map(|_| ())
    }

    /// The person's note on a field, if there is one.
    ///
    /// # Errors
    /// [`PersonError::NotFound`] when there is no such field.
    pub fn note(&self, path: &FieldPath) -> Result<Option<Note>, PersonError> {
        let (_, object, issued) = self.state.at(path)?;
        let (_, _, note) = match self.state.at(&note_of(path)?) {
            Err(PersonError::NotFound) => return Ok(None),
            note => note?,
        };
        let Some(text) = note.value().as_item().as_str().filter(|_| note.about().is_some()) else { return Ok(None) };
        Ok(Some(Note { text: text.to_owned(), is_current: note.is_note_on(&object, &issued) }))
    }
}

/// Prints whether it is current.
impl fmt::Debug for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Note").field("is_current", &self.is_current).finish_non_exhaustive()
    }
}

fn note_of(path: &FieldPath) -> Result<FieldPath, PersonError> {
    path.join("note").map_err(|_| PersonError::FieldName)
}

/// Title of the dataset that holds the person's notes.
const NOTES: &str = "notes";
