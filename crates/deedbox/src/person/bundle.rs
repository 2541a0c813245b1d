use deedbox_host::wire;
use deedbox_interop::portable::{Portable, PortableField};
use deedbox_model::DatasetId;
use deedbox_record::{Bundle, BundleWriter, ChangedObject, Granularity, Root};
use deedbox_store::Mode;

use super::{CREDENTIALS, Open, Person, Secret, unlock};
use crate::{
    client::{HostClient, Owner},
    error::PersonError,
    system,
};

impl<H: HostClient> Person<Open<H>> {
    /// The whole box as one file, which verifies alone and opens with any of its secrets.
    ///
    /// # Errors
    /// [`PersonError::Bundle`].
    pub fn export(&self) -> Result<Vec<u8>, PersonError> {
        let open = &self.state;
        let mut bundle = BundleWriter::new(&open.header, open.epoch, &open.share, system::now());
        let shelves = [(&DatasetId::META, &open.meta)].into_iter().chain(&open.shelves);
        for (dataset, shelf) in shelves {
            bundle.dataset(dataset, shelf.head())?;
            for (entry, bytes) in shelf.sealed() {
                bundle.object(entry.object(), entry.seq(), entry.kind(), bytes)?;
            }
        }
        Ok(bundle.finish(&open.root.meta_keys(&open.share, open.epoch))?)
    }

    /// What the box holds, in the clear and with whose word each value is: for any other system to read, as CBOR or JSON. It
    /// opens without a secret, so it is as private as its content; to move a box see [`Person::export`].
    ///
    /// # Errors
    /// [`PersonError::Open`] when an object is not what was signed.
    pub fn export_portable(&self) -> Result<Portable, PersonError> {
        let open = &self.state;
        let mut fields = Vec::new();
        for dataset in open.keyring.datasets() {
            let (title, is_own) = (dataset.title(), dataset.granularity() == Granularity::Record);
            if is_own && title != CREDENTIALS {
                continue;
            }
            let shelf = open.shelves.get(dataset.id()).ok_or(PersonError::Damaged)?;
            for record in shelf.records(dataset)? {
                let provenance = record.provenance().cloned();
                fields.push(PortableField::new(
                    title,
                    record.name(),
                    record.schema(),
                    record.value().clone(),
                    provenance,
                ));
            }
        }
        fields.sort_by(|one, next| (one.dataset(), one.path()).cmp(&(next.dataset(), next.path())));
        Ok(Portable::new(*open.root.store(), system::now(), fields))
    }

    /// Brings an exported box to a host and opens it there. Everything is verified before the first byte reaches the host; the
    /// box keeps its identity, keys, rules, connections and log.
    ///
    /// # Errors
    /// [`PersonError::Bundle`], [`PersonError::Unlock`]; [`PersonError::Host`] when the host does not take it.
    pub async fn import_bundle(client: H, bundle: &[u8], secret: &Secret<'_>) -> Result<Self, PersonError> {
        let now = system::now();
        let parsed = Bundle::parse(bundle)?;
        let header = parsed.header().clone();
        let root = unlock(&header, secret)?;
        let bundle = parsed.verify(&root)?;
        let owner = Owner::new(client, &root);
        let mut parts = Vec::new();
        for (dataset, replica) in bundle.datasets().iter().zip(bundle.replicas()) {
            let seq = replica.head().ok_or(PersonError::Damaged)?.seq();
            let mut part = wire::PartBody::new(*dataset.dataset(), None, seq, dataset.head(), Mode::Replace);
            for object in dataset.objects() {
                if let ChangedObject::Put { object, seq, kind, bytes } = *object {
                    part.puts.push(wire::Object::new(object, seq, kind, bytes));
                }
            }
            parts.push(part);
        }
        owner.create(*root.store(), header.bytes(), *root.access_key().public().as_bytes()).await?;
        owner.put_share(bundle.keyring_epoch().get(), bundle.share().expose(), now).await?;
        for name in
            bundle.replicas().iter().map(|replica| *replica.store()).filter(|name| *name != (*root.store()).into())
        {
            owner.put_alias(name, now).await?;
        }
        if owner.commit(&wire::CommitBody::new(parts), now).await?.status == 409 {
            return Err(PersonError::Conflict);
        }
        Self::opened(owner, root, header).await
    }

    async fn opened(owner: Owner<H>, root: Root, header: deedbox_record::Header) -> Result<Self, PersonError> {
        // Read back from the new host: what it keeps is what was verified, or it does not open.
        Ok(Self { state: Open::load(owner, root, header, None).await? })
    }
}
