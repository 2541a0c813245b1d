//! Mail at a host: what both sides of a connection push and take.

use std::borrow::Borrow;

use deedbox_cose::LocalSigner;
use deedbox_host::{HostError, Method, wire};
use deedbox_model::{MailboxId, Timestamp};

use super::{Access, HostClient};

/// An item of a mailbox.
pub(crate) struct Item {
    pub(crate) number: u64,
    pub(crate) body: Vec<u8>,
}

impl<H: HostClient, S: Borrow<LocalSigner> + Sync> Access<H, S> {
    /// What lies in a mailbox behind number `after`, as much as the host gives at once.
    pub(crate) async fn mail(&self, mailbox: MailboxId, after: u64, now: Timestamp) -> Result<Vec<Item>, HostError> {
        let reply = self.call(Method::Get, &format!("mail/{mailbox}?after={after}"), &[], now).await?;
        let items = wire::MailBody::list_from_bytes(&reply.body).ok_or(HostError::Malformed)?;
        Ok(items.into_iter().map(|item| Item { number: item.n, body: item.body.to_vec() }).collect())
    }

    /// Takes away what lies in a mailbox up to a number.
    pub(crate) async fn clear_mail(&self, mailbox: MailboxId, upto: u64, now: Timestamp) -> Result<(), HostError> {
        self.call(Method::Delete, &format!("mail/{mailbox}?upto={upto}"), &[], now).await.map(|_| ())
    }

    /// Pushes an item; the same item twice is one.
    #[cfg(feature = "provider")]
    pub(crate) async fn push_mail(&self, mailbox: MailboxId, body: &[u8], now: Timestamp) -> Result<(), HostError> {
        let body = wire::pair_to_bytes(&dedupe(body), body);
        self.call(Method::Post, &format!("mail/{mailbox}"), &body, now).await.map(|_| ())
    }
}

/// The id by which the host knows an item again.
pub(crate) fn dedupe(body: &[u8]) -> [u8; 16] {
    let [id @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _] = deedbox_cose::sha256(body);
    id
}
