//! TLS to the server: its certificate and its name are verified, or nothing is sent.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::{fmt, io};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::Socket;
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore};
use tokio_rustls::{TlsConnector, client};

use crate::error::StorageError;

/// What makes encrypted connections, as libpq does with `sslmode=verify-full`: TLS 1.3 to a server whose certificate an authority
/// of yours signed for the name that the configuration's `host` has. There is no mode that verifies less.
#[derive(Clone)]
pub struct Tls(TlsConnector);

impl Tls {
    /// Trusts the authorities of these certificates in PEM, as libpq's `sslrootcert`, and no other.
    ///
    /// # Errors
    /// [`StorageError::Invalid`] where there is none, or bytes that are none.
    pub fn trusting(pem: &[u8]) -> Result<Self, StorageError> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|_| StorageError::Invalid("the certificates are not PEM"))?;
            roots.add(certificate).map_err(|_| StorageError::Invalid("a certificate is none of an authority"))?;
        }
        if roots.is_empty() {
            return Err(StorageError::Invalid("there is no certificate of an authority"));
        }
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(StorageError::backend)?;
        Ok(Self::with(Arc::new(config.with_root_certificates(roots).with_no_client_auth())))
    }

    /// With a configuration of your own: one with a client's certificate, say. What it verifies is yours to answer for.
    #[must_use]
    pub fn with(config: Arc<ClientConfig>) -> Self {
        Self(TlsConnector::from(config))
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}

/// The server is not the one that was asked for, or speaks no TLS of ours: trying again does not help.
#[derive(Debug, thiserror::Error)]
#[error("TLS: {0}")]
struct Refused(io::Error);

type Error = Box<dyn std::error::Error + Send + Sync>;

impl MakeTlsConnect<Socket> for Tls {
    type Stream = Encrypted;
    type TlsConnect = ToServer;
    type Error = Error;

    fn make_tls_connect(&mut self, host: &str) -> Result<ToServer, Error> {
        Ok(ToServer { connector: self.0.clone(), name: ServerName::try_from(host)?.to_owned() })
    }
}

/// A connection to be made to the server of that name.
pub struct ToServer {
    connector: TlsConnector,
    name: ServerName<'static>,
}

impl fmt::Debug for ToServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ToServer").finish_non_exhaustive()
    }
}

impl TlsConnect<Socket> for ToServer {
    type Stream = Encrypted;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Encrypted, Error>> + Send>>;

    fn connect(self, socket: Socket) -> Self::Future {
        Box::pin(async move {
            match self.connector.connect(self.name, socket).await {
                Ok(stream) => Ok(Encrypted(Box::new(stream))),
                Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(Refused(error).into()),
                Err(error) => Err(error.into()),
            }
        })
    }
}

/// An encrypted connection.
pub struct Encrypted(Box<client::TlsStream<Socket>>);

impl fmt::Debug for Encrypted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Encrypted").finish_non_exhaustive()
    }
}

impl TlsStream for Encrypted {
    fn channel_binding(&self) -> ChannelBinding {
        // the certificate was verified, so that nobody stands between
        ChannelBinding::none()
    }
}

impl AsyncRead for Encrypted {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Encrypted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
