//! What both sides hold after message_4, RFC 9528 §4.2 and appendix H.

use crate::{
    credential::Credential,
    error::ExportError,
    trace::Trace,
    transcript::{Prk, edhoc_kdf, edhoc_kdf_fixed, prk},
    wire::ConnectionId,
};

/// Which side of a handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "a handshake has two sides")]
pub enum Role {
    /// Sends message_1.
    Initiator,
    /// Answers it.
    Responder,
}

/// A finished handshake: both sides proved that they hold their keys, saw the same messages, and have the same secret.
///
/// ```compile_fail
/// fn copy(session: &deedbox_edhoc::Session) -> deedbox_edhoc::Session { session.clone() }
/// ```
/// ```compile_fail
/// fn print(session: &deedbox_edhoc::Session) { println!("{session:?}"); }
/// ```
#[expect(missing_debug_implementations, reason = "holds secrets; nothing of it is to be printed")]
pub struct Session {
    prk_out: Prk,
    prk_exporter: Prk,
    peer: Credential,
    role: Role,
    suite: i32,
    c_i: ConnectionId,
    c_r: ConnectionId,
    trace: Trace,
}

impl Session {
    pub(crate) fn new(
        prk_4e3m: &Prk,
        th_4: &[u8; 32],
        peer: Credential,
        role: Role,
        suite: i32,
        (c_i, c_r): (ConnectionId, ConnectionId),
    ) -> Self {
        let prk_out = prk(&edhoc_kdf_fixed(prk_4e3m, 7, th_4));
        let prk_exporter = exporter(&prk_out);
        Self { prk_out, prk_exporter, peer, role, suite, c_i, c_r, trace: Trace::default() }
    }

    /// Fills `out` with the key of `label` and `context`: EDHOC_Exporter.
    ///
    /// # Errors
    /// [`ExportError::TooLong`] above 8,160 bytes; `out` is then untouched.
    pub fn export(&self, label: u16, context: &[u8], out: &mut [u8]) -> Result<(), ExportError> {
        edhoc_kdf(&self.prk_exporter, label, context, out)
    }

    /// Replaces all keys by new ones that don't lead back: EDHOC_KeyUpdate. Both sides do it with one `context`.
    ///
    /// Forward secrecy only: whoever has the keys now has the new ones too. Against that, run EDHOC anew.
    pub fn key_update(&mut self, context: &[u8]) {
        self.prk_out = prk(&edhoc_kdf_fixed(&self.prk_out, 11, context));
        self.prk_exporter = exporter(&self.prk_out);
        let mut trace = core::mem::take(&mut self.trace);
        trace.put("PRK_out_updated", self.prk_out.expose());
        trace.put("PRK_exporter_updated", self.prk_exporter.expose());
        self.trace = trace;
    }

    /// The peer's credential, as it was authenticated.
    #[must_use]
    pub const fn peer(&self) -> &Credential {
        &self.peer
    }

    /// Which side this is.
    #[must_use]
    pub const fn role(&self) -> Role {
        self.role
    }

    /// The suite that was used.
    #[must_use]
    pub const fn suite(&self) -> i32 {
        self.suite
    }

    /// C_I and C_R.
    #[must_use]
    pub const fn ids(&self) -> (&ConnectionId, &ConnectionId) {
        (&self.c_i, &self.c_r)
    }

    /// All intermediate values, by their names in RFC 9528. Secrets are among them.
    #[cfg(feature = "test-suites")]
    #[must_use]
    pub fn values(&self) -> &alloc::collections::BTreeMap<&'static str, alloc::vec::Vec<u8>> {
        &self.trace.0
    }

    pub(crate) fn keep(&self, trace: &mut Trace) {
        trace.put("PRK_out", self.prk_out.expose());
        trace.put("PRK_exporter", self.prk_exporter.expose());
        trace.put("OSCORE_master_secret", &*edhoc_kdf_fixed::<16>(&self.prk_exporter, 0, &[]));
        trace.put("OSCORE_master_salt", &*edhoc_kdf_fixed::<8>(&self.prk_exporter, 1, &[]));
    }

    pub(crate) fn with_trace(mut self, trace: Trace) -> Self {
        self.trace = trace;
        self
    }
}

fn exporter(prk_out: &Prk) -> Prk {
    prk(&edhoc_kdf_fixed(prk_out, 10, &[]))
}
