//! The side that answers: `Start` → `GotM1` → `WaitM3` → `PeerPresented` → `Authenticated` → `Session`.

use alloc::vec::Vec;

use deedbox_cbor::{Limits, Order, Writer, read};
use deedbox_cose::{Signer, Unverified};
use deedbox_crypto::{hash::sha256, secret::SecretBytes};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::{
    credential::{Credential, Form, IdCred},
    error::{EdhocError, Failed, StoredError},
    initiator::{plaintext, plaintext_len},
    profile::Profile,
    session::{Role, Session},
    suite::{Answer, Public, Secret, proof_len, signs},
    trace::{Trace, values},
    transcript::{
        Envelope, Own, Part, Prk, Proof, bstr, prk, prk_2e, prk_3e2m, prk_4e3m, th_2, th_next, xor_keystream_2,
    },
    wire::{ConnectionId, Ead, MAX_CIPHERTEXT_2, Reader, check_critical, one_bstr, write_ead},
};

/// A handshake seen from the side that answers. Each step consumes it and gives the next state.
///
/// ```compile_fail
/// # use deedbox_edhoc::{Responder, responder::WaitM3};
/// fn twice(state: Responder<WaitM3>) {
///     let _ = state.read_message_3(b"");
///     let _ = state.read_message_3(b"");
/// }
/// ```
/// ```compile_fail
/// # use deedbox_edhoc::{Responder, responder::WaitM3};
/// fn copy(state: &Responder<WaitM3>) -> Responder<WaitM3> { state.clone() }
/// ```
/// ```compile_fail
/// # use deedbox_edhoc::{Responder, responder::WaitM3};
/// fn print(state: &Responder<WaitM3>) { println!("{state:?}"); }
/// ```
#[expect(missing_debug_implementations, reason = "holds secrets; nothing of it is to be printed")]
pub struct Responder<S> {
    state: S,
}

/// Nothing was received.
#[expect(missing_debug_implementations, reason = "holds secrets; nothing of it is to be printed")]
pub struct Start {
    profile: Profile,
}

/// message_1 was read.
#[expect(missing_debug_implementations, reason = "holds secrets; nothing of it is to be printed")]
pub struct GotM1 {
    profile: Profile,
    method: i32,
    suite: i32,
    g_x: Public,
    h_message_1: [u8; 32],
    c_i: ConnectionId,
    ead: Vec<Ead>,
    trace: Trace,
}

/// message_2 was sent.
#[expect(missing_debug_implementations, reason = "holds secrets; nothing of it is to be printed")]
pub struct WaitM3 {
    profile: Profile,
    method: i32,
    suite: i32,
    c_i: ConnectionId,
    c_r: ConnectionId,
    /// Where the Initiator has a static key.
    y: Option<Secret>,
    prk_3e2m: Prk,
    th_3: [u8; 32],
    trace: Trace,
}

/// message_3 was read: the Initiator says who it is, and nothing of that is verified.
#[expect(missing_debug_implementations, reason = "holds secrets; nothing of it is to be printed")]
pub struct PeerPresented {
    wait: WaitM3,
    plaintext: Zeroizing<Vec<u8>>,
    id: IdCred,
    proof: Vec<u8>,
    ead: Vec<Ead>,
    ead_bytes: Vec<u8>,
}

/// The Initiator is authenticated.
#[expect(missing_debug_implementations, reason = "holds secrets; nothing of it is to be printed")]
pub struct Authenticated {
    profile: Profile,
    envelope: Envelope,
    session: Session,
    trace: Trace,
}

impl Responder<Start> {
    /// Waits for a message_1.
    #[must_use]
    pub fn new(profile: &Profile) -> Self {
        Self { state: Start { profile: profile.clone() } }
    }

    /// Reads message_1. Takes up to 16,384 bytes; no curve arithmetic yet.
    ///
    /// # Errors
    /// [`Failed`]: `LimitExceeded`, `Malformed`, `UnsupportedMethod`, `UnsupportedSuite`, `Downgrade`, `CriticalEad`.
    pub fn read_message_1(self, message: &[u8]) -> Result<Responder<GotM1>, Failed> {
        let profile = self.state.profile.clone();
        self.read(message).map_err(|error| Failed::new(error, &profile))
    }

    fn read(self, message: &[u8]) -> Result<Responder<GotM1>, EdhocError> {
        let Start { profile } = self.state;
        let mut reader = Reader::new(message)?;
        let method = reader.int()?;
        let suites = reader.suites()?;
        let g_x = reader.bytes()?;
        let c_i = reader.connection_id()?;
        let ead = reader.ead()?;
        if !profile.supports_method(method) {
            return Err(EdhocError::UnsupportedMethod);
        }
        let (suite, earlier) = suites.split_last().ok_or(EdhocError::Malformed)?;
        if !profile.supports(method, *suite) {
            return Err(EdhocError::UnsupportedSuite);
        }
        if earlier.iter().any(|suite| profile.supports(method, *suite)) {
            return Err(EdhocError::Downgrade);
        }
        let public = Public::read(*suite, g_x)?;
        check_critical(&ead, &profile)?;
        let h_message_1 = sha256(message);
        let mut trace = Trace::default();
        trace.put("G_X", g_x);
        trace.put("message_1", message);
        trace.put("H_message_1", &h_message_1);
        Ok(Responder { state: GotM1 { profile, method, suite: *suite, g_x: public, h_message_1, c_i, ead, trace } })
    }
}

impl Responder<GotM1> {
    /// EAD_1.
    #[must_use]
    pub fn ead(&self) -> Unverified<&[Ead]> {
        Unverified::new(&self.state.ead)
    }

    /// C_I.
    #[must_use]
    pub const fn c_i(&self) -> &ConnectionId {
        &self.state.c_i
    }

    /// The length PLAINTEXT_2 has with these and no EAD: what padding starts from.
    ///
    /// # Errors
    /// [`EdhocError::UnsupportedCredential`] when the credential has no such form.
    pub fn plaintext_2_len(&self, c_r: &ConnectionId, me: &Credential, form: Form) -> Result<usize, EdhocError> {
        let mut writer = Writer::new();
        c_r.write(&mut writer);
        let proof_len = proof_len(self.state.suite, self.state.method, Role::Responder);
        Ok(plaintext_len(me, form, proof_len)?.saturating_add(writer.as_slice().len()))
    }

    /// Makes message_2. An active attacker can read what is in it, `ead` included. Of `rng` the 32 bytes of Y are drawn, or
    /// in suite -21 the 64 of an encapsulation.
    ///
    /// # Errors
    /// [`Failed`]: `LowOrderPoint`, `Signer`, `LimitExceeded`, `UnsupportedCredential` when `me` has no such form.
    pub fn message_2(
        self,
        c_r: ConnectionId,
        me: &Credential,
        form: Form,
        ead: &[Ead],
        signer: &impl Signer,
        rng: &mut impl CryptoRng,
    ) -> Result<(Responder<WaitM3>, Vec<u8>), Failed> {
        let profile = self.state.profile.clone();
        self.make(c_r, me, form, ead, Own::Signer(signer), rng).map_err(|error| Failed::new(error, &profile))
    }

    /// Makes message_2 of methods 1 and 3.
    ///
    /// # Errors
    /// As [`Self::message_2`].
    #[cfg(feature = "test-suites")]
    pub fn message_2_static(
        self,
        c_r: ConnectionId,
        me: &Credential,
        form: Form,
        ead: &[Ead],
        key: &crate::StaticKey,
        rng: &mut impl CryptoRng,
    ) -> Result<(Responder<WaitM3>, Vec<u8>), Failed> {
        let profile = self.state.profile.clone();
        self.make(c_r, me, form, ead, Own::Static(key), rng).map_err(|error| Failed::new(error, &profile))
    }

    fn make(
        self,
        c_r: ConnectionId,
        me: &Credential,
        form: Form,
        ead: &[Ead],
        own: Own<'_>,
        rng: &mut impl CryptoRng,
    ) -> Result<(Responder<WaitM3>, Vec<u8>), EdhocError> {
        let GotM1 { profile, method, suite, g_x, h_message_1, c_i, mut trace, .. } = self.state;
        let Answer { g_y, g_xy, y } = g_x.answer(rng)?;
        let th_2 = th_2(&g_y, &h_message_1);
        let prk_2e = prk_2e(&th_2, &g_xy, &mut trace);
        let ead = write_ead(ead)?;
        let id = me.id(form)?;
        let mut written = Writer::new();
        c_r.write(&mut written);
        let c = written.as_slice();
        let g_rx = own.mixed(signs(method, Role::Responder), |key| key.dh(&g_x))?;
        let keystream = prk(prk_2e.expose());
        let prk_3e2m = prk_3e2m(prk_2e, &th_2, g_rx, &mut trace);
        let proof = Proof { part: Part::Two, suite, c_r: c, id: &id, th: &th_2, cred: me, ead: &ead };
        let proof = proof.make(&prk_3e2m, own, &mut trace)?;
        let plaintext = Zeroizing::new([c, &plaintext(&id, &proof, &ead)].concat());
        if plaintext.len() > MAX_CIPHERTEXT_2 {
            return Err(EdhocError::LimitExceeded);
        }
        let mut ciphertext = plaintext.to_vec();
        xor_keystream_2(&keystream, &th_2, &mut ciphertext, &mut trace)?;
        let message = bstr(&[g_y.as_slice(), &ciphertext].concat())?;
        let th_3 = th_next(&th_2, &plaintext, me);
        trace.put("G_Y", &g_y);
        trace.put("PLAINTEXT_2", &plaintext);
        trace.put("CIPHERTEXT_2", &ciphertext);
        trace.put("message_2", &message);
        let y = y.filter(|_| method != 0);
        Ok((Responder { state: WaitM3 { profile, method, suite, c_i, c_r, y, prk_3e2m, th_3, trace } }, message))
    }
}

impl Responder<WaitM3> {
    /// Reads message_3, or an error message. Takes up to 16,384 bytes.
    ///
    /// # Errors
    /// [`Failed`]: `LimitExceeded`, `Malformed`, `PeerError`, `Authentication`, `UnsupportedCredential`, `CriticalEad`.
    pub fn read_message_3(self, message: &[u8]) -> Result<Responder<PeerPresented>, Failed> {
        let profile = self.state.profile.clone();
        self.read(message).map_err(|error| Failed::new(error, &profile))
    }

    fn read(self, message: &[u8]) -> Result<Responder<PeerPresented>, EdhocError> {
        let mut wait = self.state;
        let ciphertext = one_bstr(message).map_err(|(error, _)| error)?;
        let plaintext = Envelope::three(wait.suite, &wait.prk_3e2m, &wait.th_3, &mut wait.trace).open(ciphertext)?;
        wait.trace.put("PLAINTEXT_3", &plaintext);
        wait.trace.put("CIPHERTEXT_3", ciphertext);
        wait.trace.put("message_3", message);
        let mut reader = Reader::new(&plaintext)?;
        let id = reader.id_cred()?;
        let proof = reader.proof(proof_len(wait.suite, wait.method, Role::Initiator))?;
        let ead_bytes = reader.rest().to_vec();
        let ead = reader.ead()?;
        check_critical(&ead, &wait.profile)?;
        Ok(Responder { state: PeerPresented { wait, plaintext, id, proof, ead, ead_bytes } })
    }

    /// C_I and C_R.
    #[must_use]
    pub const fn ids(&self) -> (&ConnectionId, &ConnectionId) {
        (&self.state.c_i, &self.state.c_r)
    }

    /// The state for a slow transport, at most 256 bytes. It holds secrets: seal it, and use it once.
    #[must_use]
    pub fn into_stored(self) -> Zeroizing<Vec<u8>> {
        let WaitM3 { method, suite, c_i, c_r, prk_3e2m, th_3, .. } = self.state;
        let mut writer = Writer::with_capacity(256);
        let version = if method == 0 { STORED } else { 0 };
        writer.array(6).uint(version).int(i64::from(suite)).bytes(prk_3e2m.expose()).bytes(&th_3);
        writer.bytes(c_i.as_bytes()).bytes(c_r.as_bytes());
        Zeroizing::new(writer.into_vec())
    }

    /// Takes up a stored state.
    ///
    /// # Errors
    /// [`StoredError::Malformed`]; [`StoredError::Profile`] when the suite is no longer the profile's.
    pub fn from_stored(profile: &Profile, stored: &[u8]) -> Result<Self, StoredError> {
        let item = read(stored, Order::Canonical, &Limits::new(256)).map_err(|_| StoredError::Malformed)?;
        let malformed = || StoredError::Malformed;
        let [version, suite, prk, th_3, c_i, c_r] =
            item.as_array().and_then(|array| array.exactly()).ok_or_else(malformed)?;
        if version.as_u64() != Some(STORED) {
            return Err(StoredError::Malformed);
        }
        let suite = suite.as_i64().and_then(|suite| suite.try_into().ok()).ok_or_else(malformed)?;
        let prk = prk.as_bytes().and_then(SecretBytes::try_from_slice).ok_or_else(malformed)?;
        let th_3 = th_3.as_byte_array().ok_or_else(malformed)?;
        let c_i = c_i.as_bytes().and_then(ConnectionId::new).ok_or_else(malformed)?;
        let c_r = c_r.as_bytes().and_then(ConnectionId::new).ok_or_else(malformed)?;
        if !profile.supports(0, suite) {
            return Err(StoredError::Profile);
        }
        let (profile, trace) = (profile.clone(), Trace::default());
        Ok(Self { state: WaitM3 { profile, method: 0, suite, c_i, c_r, y: None, prk_3e2m: prk, th_3, trace } })
    }
}

impl Responder<PeerPresented> {
    /// How the Initiator names its credential.
    #[must_use]
    pub const fn id_cred(&self) -> Unverified<&IdCred> {
        Unverified::new(&self.state.id)
    }

    /// EAD_3.
    #[must_use]
    pub fn ead(&self) -> Unverified<&[Ead]> {
        Unverified::new(&self.state.ead)
    }

    /// Ends the handshake: no such credential is known.
    #[must_use]
    pub fn unknown(self) -> Failed {
        Failed::new(EdhocError::UnknownCredential, &self.state.wait.profile)
    }

    /// Authenticates the Initiator as `peer`, the credential that [`Self::id_cred`] stands for; one's own is `me`.
    ///
    /// # Errors
    /// [`Failed`]: `SelfPeer`, `Authentication`; `UnsupportedCredential` for a key that the method has no use for.
    pub fn authenticate(self, peer: &Credential, me: &Credential) -> Result<Responder<Authenticated>, Failed> {
        let profile = self.state.wait.profile.clone();
        self.check(peer, me).map_err(|error| Failed::new(error, &profile))
    }

    fn check(self, peer: &Credential, me: &Credential) -> Result<Responder<Authenticated>, EdhocError> {
        let PeerPresented { wait, plaintext, id, proof, ead_bytes, .. } = self.state;
        let WaitM3 { profile, method, suite, c_i, c_r, y, prk_3e2m, th_3, mut trace } = wait;
        if peer.reflects(me) {
            return Err(EdhocError::SelfPeer);
        }
        let g_iy = peer.mixed(signs(method, Role::Initiator), y.as_ref())?;
        let prk_4e3m = prk_4e3m(prk_3e2m, &th_3, g_iy, &mut trace);
        Proof { part: Part::Three, suite, c_r: &[], id: &id, th: &th_3, cred: peer, ead: &ead_bytes }
            .verify(&prk_4e3m, &proof, &mut trace)?;
        let th_4 = th_next(&th_3, &plaintext, peer);
        trace.put("TH_4", &th_4);
        let session = Session::new(&prk_4e3m, &th_4, peer.clone(), Role::Responder, suite, (c_i, c_r));
        session.keep(&mut trace);
        let envelope = Envelope::four(suite, &prk_4e3m, &th_4, &mut trace);
        Ok(Responder { state: Authenticated { profile, envelope, session, trace } })
    }
}

impl Responder<Authenticated> {
    /// Makes message_4: the handshake is finished.
    ///
    /// # Errors
    /// [`Failed`]: `LimitExceeded`.
    pub fn message_4(self, ead: &[Ead]) -> Result<(Session, Vec<u8>), Failed> {
        let Authenticated { profile, envelope, session, mut trace } = self.state;
        let message = write_ead(ead)
            .and_then(|ead| envelope.seal(&ead))
            .and_then(|ciphertext| bstr(&ciphertext))
            .map_err(|error| Failed::new(error, &profile))?;
        trace.put("message_4", &message);
        Ok((session.with_trace(trace), message))
    }
}

impl Responder<Authenticated> {
    /// Exports a key before message_4 goes out, to open the records that came with message_3.
    ///
    /// # Errors
    /// [`crate::ExportError::TooLong`].
    pub fn export_early(&self, label: u16, context: &[u8], out: &mut [u8]) -> Result<(), crate::ExportError> {
        self.state.session.export(label, context, out)
    }
}

values!(Responder<GotM1>, Responder<WaitM3>, Responder<Authenticated>);

/// Format version of [`Responder<WaitM3>::into_stored`].
const STORED: u64 = 2;
