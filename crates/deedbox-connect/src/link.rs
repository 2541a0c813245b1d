//! The link: what a QR code or a web address hands over.

use alloc::{format, string::String, vec::Vec};
use core::fmt;

use base64ct::{Base64UrlUnpadded, Encoding as _};
use deedbox_cbor::{Limits, Order, Writer, read};
use deedbox_crypto::secret::SecretBytes;
use deedbox_model::Digest;

use crate::{base45, error::ConnectError, invitation::InvitationId, party::is_uri};

/// Where an invitation is, what its bytes hash to, and the secret that lets its holder use it.
///
/// ```cddl
/// link = { 1: 1, 2: inv: bytes16, 3: invitation-sha256: bytes32, 4: endpoint: tstr, 5: secret: bytes16 }
/// ```
/// At most 512 bytes; the endpoint at most 256.
///
/// # Security
/// Whoever has the link can use the invitation. It can't be cloned or printed:
///
/// ```compile_fail
/// fn copy(link: &deedbox_connect::Link) -> deedbox_connect::Link { link.clone() }
/// ```
pub struct Link {
    pub(crate) inv: InvitationId,
    pub(crate) digest: Digest,
    pub(crate) endpoint: String,
    pub(crate) secret: SecretBytes<16>,
}

impl Link {
    /// Makes a link.
    ///
    /// # Errors
    /// [`ConnectError::Malformed`] when `endpoint` is no URI of at most 256 bytes, or has a fragment.
    pub fn new(
        inv: InvitationId,
        digest: Digest,
        endpoint: &str,
        secret: SecretBytes<16>,
    ) -> Result<Self, ConnectError> {
        check_endpoint(endpoint)?;
        Ok(Self { inv, digest, endpoint: endpoint.into(), secret })
    }

    /// Reads the bytes of a link, at most 512.
    ///
    /// # Errors
    /// [`ConnectError::LimitExceeded`], [`ConnectError::Malformed`].
    pub fn parse(bytes: &[u8]) -> Result<Self, ConnectError> {
        if bytes.len() > MAX_LINK {
            return Err(ConnectError::LimitExceeded);
        }
        let item = read(bytes, Order::Canonical, &Limits::new(MAX_LINK)).map_err(|_| ConnectError::Malformed)?;
        let link = || {
            let mut fields = item.as_map()?.fields();
            fields.required(1)?.as_u64().filter(|version| *version == 1)?;
            let inv = InvitationId::from_bytes(fields.required(2)?.as_byte_array()?);
            let digest = Digest::decode(fields.required(3)?)?;
            let endpoint: String = fields.required(4)?.as_str()?.into();
            let secret = SecretBytes::try_from_slice(fields.required(5)?.as_bytes()?)?;
            fields.finish()?;
            Some(Self { inv, digest, endpoint, secret })
        };
        let link = link().ok_or(ConnectError::Malformed)?;
        check_endpoint(&link.endpoint)?;
        Ok(link)
    }

    /// Reads the text of a QR code.
    ///
    /// # Errors
    /// As [`Link::parse`].
    pub fn parse_qr(text: &str) -> Result<Self, ConnectError> {
        let code = text.strip_prefix(QR).ok_or(ConnectError::Malformed)?;
        if code.len() > MAX_LINK.saturating_mul(2) {
            return Err(ConnectError::LimitExceeded);
        }
        Self::parse(&base45::decode(code).ok_or(ConnectError::Malformed)?)
    }

    /// Reads a web address, whose fragment is the link. Everything before it must be the endpoint the link names.
    ///
    /// # Errors
    /// As [`Link::parse`].
    pub fn parse_url(text: &str) -> Result<Self, ConnectError> {
        let (endpoint, code) = text.split_once('#').ok_or(ConnectError::Malformed)?;
        if code.len() > MAX_LINK.saturating_mul(2) {
            return Err(ConnectError::LimitExceeded);
        }
        let link = Self::parse(&Base64UrlUnpadded::decode_vec(code).map_err(|_| ConnectError::Malformed)?)?;
        if link.endpoint == endpoint { Ok(link) } else { Err(ConnectError::Malformed) }
    }

    /// The bytes. They hold the secret.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.map(|map| {
            map.int(1, |w| {
                w.uint(1);
            });
            map.int(2, |w| {
                w.bytes(self.inv.as_bytes());
            });
            map.int(3, |w| {
                w.bytes(self.digest.as_bytes());
            });
            map.int(4, |w| {
                w.text(&self.endpoint);
            });
            map.int(5, |w| {
                w.bytes(self.secret.expose());
            });
        });
        writer.into_vec()
    }

    /// The text of a QR code: `DEEDBOX1:` and base45 (RFC 9285).
    #[must_use]
    pub fn to_qr(&self) -> String {
        format!("{QR}{}", base45::encode(&self.to_bytes()))
    }

    /// The web address: endpoint, `#` and base64url.
    #[must_use]
    pub fn to_url(&self) -> String {
        format!("{}#{}", self.endpoint, Base64UrlUnpadded::encode_string(&self.to_bytes()))
    }

    /// The invitation's id.
    #[must_use]
    pub const fn inv(&self) -> InvitationId {
        self.inv
    }

    /// Where to fetch the invitation and to send messages.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").finish_non_exhaustive()
    }
}

pub(crate) fn check_endpoint(endpoint: &str) -> Result<(), ConnectError> {
    if is_uri(endpoint) && !endpoint.contains('#') { Ok(()) } else { Err(ConnectError::Malformed) }
}

const MAX_LINK: usize = 512;
const QR: &str = "DEEDBOX1:";
