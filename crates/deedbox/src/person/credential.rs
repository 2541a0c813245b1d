use deedbox_audit::{Entry, EntryKind};
use deedbox_cbor::Writer;
use deedbox_cose::{LocalSigner, Signer as _, sha256};
use deedbox_credential::{AcceptPolicy, Audience, ClaimPath, HeldCredential, Nonce, TrustStore};
use deedbox_crypto::{kdf, label};
use deedbox_model::{Assurance, Digest, Provenance};
use deedbox_record::{Keyring, Record};

use super::{CREDENTIALS, Channel, Open, Person, channel::item};
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
        let provenance = Provenance::new(held.issuer().as_bytes(), Assurance::High, now).with_signed(bytes);
        let record = Record::new(CREDENTIALS, 1, &name, item(value.as_slice())?)?.with_provenance(provenance);
        let dataset = open.dataset(CREDENTIALS)?;
        let mut change = open.change();
        change.records.push((*dataset.id(), dataset.name_key().object_id(&name), record));
        let mut entry = Entry::new(now, EntryKind::Receipt, Some(channel.party.as_str()), open.policy_digest());
        entry.receipt = Some(digest);
        change.log(entry);
        open.commit(change, now).await?;
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
    /// key. The disclosure is in the log before this gives the reply.
    ///
    /// The rules are not asked: have the person choose the claims, each time. The log names no purpose, and counts the claims.
    ///
    /// # Errors
    /// [`PersonError::NotFound`], [`PersonError::Present`], [`PersonError::Host`]; nothing leaves then.
    pub async fn present(
        &mut self,
        channel: &mut Channel,
        credential: &str,
        claims: &[ClaimPath],
        audience: &Audience,
        nonce: &Nonce,
    ) -> Result<Vec<u8>, PersonError> {
        let now = system::now();
        let open = &mut self.state;
        open.permits(channel)?;
        let dataset = open.dataset(CREDENTIALS)?;
        let shelf = open.shelves.get(dataset.id()).ok_or(PersonError::Damaged)?;
        let record = shelf.record(dataset, credential)?.ok_or(PersonError::NotFound)?;
        let signed = record.provenance().and_then(Provenance::signed).ok_or(PersonError::Damaged)?;
        let connection = record.value().as_item().as_array().and_then(|parts| parts.get(0)?.as_byte_array());
        let key = holder_of(&open.keyring, &connection.ok_or(PersonError::Damaged)?);
        let held = HeldCredential::reopen(signed, &AcceptPolicy::new(key.public().clone()))?;
        let selection = held.select(claims)?;
        let presentation = held.present(&selection, audience, nonce, &key, now)?;
        let mut entry = Entry::new(now, EntryKind::Disclosure, Some(channel.party.as_str()), open.policy_digest());
        entry.receipt = Some(Digest::from_bytes(sha256(&presentation)));
        entry.released = (1..=selection.disclosed()).map(|n| format!("{credential}/claim-{n}")).collect();
        let mut change = open.change();
        change.log(entry);
        open.commit(change, now).await?;
        channel.send(PRESENTATION, &presentation)
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
