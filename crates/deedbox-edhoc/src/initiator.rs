//! The side that sends message_1: `Start` → `WaitM2` → `PeerPresented` → `Authenticated` → `WaitM4` → `Session`.

use alloc::vec::Vec;

use deedbox_cbor::{Limits, Order, Writer, read};
use deedbox_cose::{Signer, Unverified};
use deedbox_crypto::{hash::sha256, secret::SecretBytes};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::{
    credential::{Credential, Form, IdCred},
    error::{EdhocError, ExportError, Failed, ProfileError, Retry, StoredError, write_suites},
    profile::Profile,
    session::{Role, Session},
    suite::{Secret, proof_len, signs},
    trace::{Trace, values},
    transcript::{Envelope, Own, Part, Prk, Proof, bstr, prk_2e, prk_3e2m, prk_4e3m, th_2, th_next, xor_keystream_2},
    wire::{ConnectionId, Ead, MAX_CIPHERTEXT_2, Reader, check_critical, one_bstr, write_ead},
};

/// A handshake seen from the side that starts it. Each step consumes it and gives the next state.
///
/// ```compile_fail
/// # use deedbox_edhoc::{Initiator, initiator::WaitM2};
/// fn twice(state: Initiator<WaitM2>) {
///     let _ = state.read_message_2(b"");
///     let _ = state.read_message_2(b"");
/// }
/// ```
/// ```compile_fail
/// # use deedbox_edhoc::{Initiator, initiator::WaitM2};
/// fn copy(state: &Initiator<WaitM2>) -> Initiator<WaitM2> { state.clone() }
/// ```
/// ```compile_fail
/// # use deedbox_edhoc::{Initiator, initiator::WaitM4};
/// fn print(state: &Initiator<WaitM4>) { println!("{state:?}"); }
/// ```
#[expect(missing_debug_implementations, reason = "holds secrets; nothing of it is to be printed")]
pub struct Initiator<S> {
    state: S,
}

/// Nothing was sent.
#[expect(missing_debug_implementations, reason = "holds secrets; nothing of it is to be printed")]
pub struct Start {
    profile: Profile,
    method: i32,
    suites: Vec<i32>,
    retried: bool,
}

/// message_1 was sent.
#[expect(missing_debug_implementations, reason = "holds secrets; nothing of it is to be printed")]
pub struct WaitM2 {
    profile: Profile,
    method: i32,
    suites: Vec<i32>,
    retried: bool,
    x: Secret,
    h_message_1: [u8; 32],
    c_i: ConnectionId,
    trace: Trace,
}

/// message_2 was read: the Responder says who it is, and nothing of that is verified.
#[expect(missing_debug_implementations, reason = "holds secrets; nothing of it is to be printed")]
pub struct PeerPresented {
    profile: Profile,
    method: i32,
    suite: i32,
    c_i: ConnectionId,
    c_r: ConnectionId,
    /// X and G_Y, where a side has a static key.
    x: Option<(Secret, Vec<u8>)>,
    prk_2e: Prk,
    th_2: [u8; 32],
    plaintext: Zeroizing<Vec<u8>>,
    id: IdCred,
    proof: Vec<u8>,
    ead: Vec<Ead>,
    ead_bytes: Vec<u8>,
    trace: Trace,
}

/// The Responder is authenticated.
#[expect(missing_debug_implementations, reason = "holds secrets; nothing of it is to be printed")]
pub struct Authenticated {
    profile: Profile,
    method: i32,
    suite: i32,
    c_i: ConnectionId,
    c_r: ConnectionId,
    /// G_Y, where a side has a static key.
    g_y: Vec<u8>,
    prk_3e2m: Prk,
    th_3: [u8; 32],
    peer: Credential,
    me: Credential,
    trace: Trace,
}

/// message_3 was sent; whether the Responder took it is not known yet.
#[expect(missing_debug_implementations, reason = "holds secrets; nothing of it is to be printed")]
pub struct WaitM4 {
    profile: Profile,
    envelope: Envelope,
    session: Session,
    trace: Trace,
}

impl Initiator<Start> {
    /// Starts a handshake with the suite `select`, or the profile's first.
    ///
    /// # Errors
    /// [`ProfileError::UnsupportedSuite`] when `select` is not in the profile.
    pub fn new(profile: &Profile, select: Option<i32>) -> Result<Self, ProfileError> {
        let select = select.or_else(|| profile.suites().first().copied()).ok_or(ProfileError::Length)?;
        let suites = profile.up_to(select).ok_or(ProfileError::UnsupportedSuite)?;
        Ok(Self { state: Start { profile: profile.clone(), method: profile.method(), suites, retried: false } })
    }

    /// Starts the one retry after [`Failed::retry`], with fresh keys.
    #[must_use]
    pub fn retry(profile: &Profile, retry: Retry) -> Self {
        let suites = profile.up_to(retry.suite).unwrap_or_else(|| [retry.suite].to_vec());
        Self { state: Start { profile: profile.clone(), method: profile.method(), suites, retried: true } }
    }

    /// Starts with a given SUITES_I, for vectors; suites that this build does not have may stand in front.
    #[cfg(feature = "test-suites")]
    #[must_use]
    pub fn fixed(profile: &Profile, suites: &[i32]) -> Self {
        Self {
            state: Start {
                profile: profile.clone(),
                method: profile.method(),
                suites: suites.to_vec(),
                retried: false,
            },
        }
    }

    /// SUITES_I; the last one is the chosen one.
    #[must_use]
    pub fn suites(&self) -> &[i32] {
        &self.state.suites
    }

    /// Makes message_1. `ead` is readable by anyone. Of `rng` the 32 bytes of X are drawn.
    ///
    /// # Errors
    /// [`EdhocError::LimitExceeded`].
    pub fn message_1(
        self,
        c_i: ConnectionId,
        ead: &[Ead],
        rng: &mut impl CryptoRng,
    ) -> Result<(Initiator<WaitM2>, Vec<u8>), EdhocError> {
        let Start { profile, method, suites, retried } = self.state;
        let x = Secret::new(chosen(&suites)?, SecretBytes::generate(rng))?;
        let g_x = x.public()?;
        let mut writer = Writer::new();
        writer.int(i64::from(method));
        write_suites(&mut writer, &suites);
        writer.bytes(&g_x);
        c_i.write(&mut writer);
        let mut message = writer.into_vec();
        message.extend_from_slice(&write_ead(ead)?);
        Reader::new(&message)?;
        let h_message_1 = sha256(&message);
        let mut trace = Trace::default();
        trace.put("G_X", &g_x);
        trace.put("message_1", &message);
        trace.put("H_message_1", &h_message_1);
        let state = WaitM2 { profile, method, suites, retried, x, h_message_1, c_i, trace };
        Ok((Initiator { state }, message))
    }
}

impl Initiator<WaitM2> {
    /// Reads message_2, or an error message. Takes up to 16,384 bytes.
    ///
    /// # Errors
    /// [`Failed`]: `LimitExceeded`, `Malformed`, `PeerError`, `NoCommonSuite`, `LowOrderPoint`, `UnsupportedCredential`,
    /// `CriticalEad`. With [`Failed::retry`] one more handshake may be tried.
    pub fn read_message_2(self, message: &[u8]) -> Result<Initiator<PeerPresented>, Failed> {
        let profile = self.state.profile.clone();
        let content = match one_bstr(message) {
            Ok(content) => content,
            Err((error, suites)) => return Err(self.peer_error(error, suites)),
        };
        let mut next = self.read(content).map_err(|error| Failed::new(error, &profile))?;
        next.state.trace.put("message_2", message);
        Ok(next)
    }

    fn read(self, content: &[u8]) -> Result<Initiator<PeerPresented>, EdhocError> {
        let WaitM2 { profile, method, suites, x, h_message_1, c_i, mut trace, .. } = self.state;
        let (g_y, ciphertext) = x.split(content).ok_or(EdhocError::Malformed)?;
        if ciphertext.is_empty() {
            return Err(EdhocError::Malformed);
        }
        if ciphertext.len() > MAX_CIPHERTEXT_2 {
            return Err(EdhocError::LimitExceeded);
        }
        let g_xy = x.agree(g_y)?;
        let th_2 = th_2(g_y, &h_message_1);
        let prk = prk_2e(&th_2, &g_xy, &mut trace);
        let mut plaintext = Zeroizing::new(ciphertext.to_vec());
        xor_keystream_2(&prk, &th_2, &mut plaintext, &mut trace)?;
        trace.put("G_Y", g_y);
        trace.put("CIPHERTEXT_2", ciphertext);
        trace.put("PLAINTEXT_2", &plaintext);
        let mut reader = Reader::new(&plaintext)?;
        let c_r = reader.connection_id()?;
        let id = reader.id_cred()?;
        let suite = chosen(&suites)?;
        let proof = reader.proof(proof_len(suite, method, Role::Responder))?;
        let ead_bytes = reader.rest().to_vec();
        let ead = reader.ead()?;
        check_critical(&ead, &profile)?;
        let x = (method != 0).then(|| (x, g_y.to_vec()));
        Ok(Initiator {
            state: PeerPresented {
                profile,
                method,
                suite,
                c_i,
                c_r,
                x,
                prk_2e: prk,
                th_2,
                plaintext,
                id,
                proof,
                ead,
                ead_bytes,
                trace,
            },
        })
    }

    /// What an error message leads to (RFC 9528 §6.3).
    fn peer_error(self, error: EdhocError, suites: Option<Vec<i32>>) -> Failed {
        let WaitM2 { profile, suites: sent, retried, .. } = self.state;
        let mut failed = Failed::new(error, &profile);
        let Some(theirs) = suites else { return failed };
        match profile.suites().iter().find(|own| theirs.contains(own)) {
            None => Failed::new(EdhocError::NoCommonSuite, &profile),
            Some(suite) => {
                if !retried && sent.last() != Some(suite) {
                    failed.retry = Some(Retry { suite: *suite });
                }
                failed
            }
        }
    }

    /// The state for a slow transport. It holds the ephemeral secret: seal it, and use it once.
    #[must_use]
    pub fn into_stored(self) -> Zeroizing<Vec<u8>> {
        let WaitM2 { method, suites, retried, x, h_message_1, c_i, .. } = self.state;
        let secret = x.into_secret();
        // Large enough, so that no copy is left behind by growing.
        let mut writer = Writer::with_capacity(256);
        writer.array(6).uint(if method == 0 { STORED } else { 0 }).array(suites.len());
        for suite in suites {
            writer.int(i64::from(suite));
        }
        writer.bool(retried).bytes(secret.expose()).bytes(&h_message_1).bytes(c_i.as_bytes());
        Zeroizing::new(writer.into_vec())
    }

    /// Takes up a stored state.
    ///
    /// # Errors
    /// [`StoredError::Malformed`]; [`StoredError::Profile`] when the suites sent are no longer the profile's.
    pub fn from_stored(profile: &Profile, stored: &[u8]) -> Result<Self, StoredError> {
        let item = read(stored, Order::Canonical, &Limits::new(256)).map_err(|_| StoredError::Malformed)?;
        let malformed = || StoredError::Malformed;
        let [version, suites, retried, x, h_message_1, c_i] =
            item.as_array().and_then(|array| array.exactly()).ok_or_else(malformed)?;
        if version.as_u64() != Some(STORED) {
            return Err(StoredError::Malformed);
        }
        let suites: Vec<i32> = suites
            .as_array()
            .and_then(|array| array.iter().map(|suite| suite.as_i64()?.try_into().ok()).collect())
            .ok_or_else(malformed)?;
        let x = x.as_bytes().and_then(SecretBytes::try_from_slice).ok_or_else(malformed)?;
        let retried = retried.as_bool().ok_or_else(malformed)?;
        let h_message_1 = h_message_1.as_byte_array().ok_or_else(malformed)?;
        let c_i = c_i.as_bytes().and_then(ConnectionId::new).ok_or_else(malformed)?;
        if suites.last().and_then(|last| profile.up_to(*last)).as_ref() != Some(&suites) {
            return Err(StoredError::Profile);
        }
        let x = chosen(&suites).and_then(|suite| Secret::new(suite, x)).map_err(|_| StoredError::Profile)?;
        let profile = profile.clone();
        let state = WaitM2 { profile, method: 0, suites, retried, x, h_message_1, c_i, trace: Trace::default() };
        Ok(Self { state })
    }
}

impl Initiator<PeerPresented> {
    /// How the Responder names its credential.
    #[must_use]
    pub const fn id_cred(&self) -> Unverified<&IdCred> {
        Unverified::new(&self.state.id)
    }

    /// C_R.
    #[must_use]
    pub const fn c_r(&self) -> Unverified<&ConnectionId> {
        Unverified::new(&self.state.c_r)
    }

    /// EAD_2.
    #[must_use]
    pub fn ead(&self) -> Unverified<&[Ead]> {
        Unverified::new(&self.state.ead)
    }

    /// Ends the handshake: no such credential is known.
    #[must_use]
    pub fn unknown(self) -> Failed {
        Failed::new(EdhocError::UnknownCredential, &self.state.profile)
    }

    /// Authenticates the Responder as `peer`, the credential that [`Self::id_cred`] stands for; one's own is `me`.
    ///
    /// # Errors
    /// [`Failed`]: `SelfPeer`, `Authentication`; `UnsupportedCredential` for a key that the method has no use for.
    pub fn authenticate(self, peer: &Credential, me: &Credential) -> Result<Initiator<Authenticated>, Failed> {
        let profile = self.state.profile.clone();
        self.check(peer, me).map_err(|error| Failed::new(error, &profile))
    }

    fn check(self, peer: &Credential, me: &Credential) -> Result<Initiator<Authenticated>, EdhocError> {
        let PeerPresented {
            profile,
            method,
            suite,
            c_i,
            c_r,
            x,
            prk_2e,
            th_2,
            plaintext,
            id,
            proof,
            ead_bytes,
            mut trace,
            ..
        } = self.state;
        if peer.reflects(me) {
            return Err(EdhocError::SelfPeer);
        }
        let g_rx = peer.mixed(signs(method, Role::Responder), x.as_ref().map(|(x, _)| x))?;
        let prk_3e2m = prk_3e2m(prk_2e, &th_2, g_rx, &mut trace);
        let mut written = Writer::new();
        c_r.write(&mut written);
        let c = written.as_slice();
        Proof { part: Part::Two, suite, c_r: c, id: &id, th: &th_2, cred: peer, ead: &ead_bytes }
            .verify(&prk_3e2m, &proof, &mut trace)?;
        let th_3 = th_next(&th_2, &plaintext, peer);
        let (peer, me) = (peer.clone(), me.clone());
        let g_y = x.map(|(_, g_y)| g_y).unwrap_or_default();
        let state = Authenticated { profile, method, suite, c_i, c_r, g_y, prk_3e2m, th_3, peer, me, trace };
        Ok(Initiator { state })
    }
}

impl Initiator<Authenticated> {
    /// Makes message_3. `ead` is for the Responder alone.
    ///
    /// # Errors
    /// [`Failed`]: `Signer`, `LimitExceeded`, `UnsupportedCredential` when the credential has no such form.
    pub fn message_3(
        self,
        form: Form,
        ead: &[Ead],
        signer: &impl Signer,
    ) -> Result<(Initiator<WaitM4>, Vec<u8>), Failed> {
        let profile = self.state.profile.clone();
        self.make(form, ead, Own::Signer(signer)).map_err(|error| Failed::new(error, &profile))
    }

    /// Makes message_3 of methods 2 and 3.
    ///
    /// # Errors
    /// As [`Self::message_3`].
    #[cfg(feature = "test-suites")]
    pub fn message_3_static(
        self,
        form: Form,
        ead: &[Ead],
        key: &crate::StaticKey,
    ) -> Result<(Initiator<WaitM4>, Vec<u8>), Failed> {
        let profile = self.state.profile.clone();
        self.make(form, ead, Own::Static(key)).map_err(|error| Failed::new(error, &profile))
    }

    /// The length PLAINTEXT_3 has with `form` and no EAD: what padding starts from.
    ///
    /// # Errors
    /// [`EdhocError::UnsupportedCredential`] when the credential has no such form.
    pub fn plaintext_3_len(&self, form: Form) -> Result<usize, EdhocError> {
        let Authenticated { method, suite, me, .. } = &self.state;
        plaintext_len(me, form, proof_len(*suite, *method, Role::Initiator))
    }

    fn make(self, form: Form, ead: &[Ead], own: Own<'_>) -> Result<(Initiator<WaitM4>, Vec<u8>), EdhocError> {
        let Authenticated { profile, method, suite, c_i, c_r, g_y, prk_3e2m, th_3, peer, me, mut trace } = self.state;
        let ead = write_ead(ead)?;
        let id = me.id(form)?;
        let envelope = Envelope::three(suite, &prk_3e2m, &th_3, &mut trace);
        let g_iy = own.mixed(signs(method, Role::Initiator), |key| key.agree(&g_y))?;
        let prk_4e3m = prk_4e3m(prk_3e2m, &th_3, g_iy, &mut trace);
        let proof = Proof { part: Part::Three, suite, c_r: &[], id: &id, th: &th_3, cred: &me, ead: &ead };
        let proof = proof.make(&prk_4e3m, own, &mut trace)?;
        let plaintext = plaintext(&id, &proof, &ead);
        let ciphertext = envelope.seal(&plaintext)?;
        let message = bstr(&ciphertext)?;
        let th_4 = th_next(&th_3, &plaintext, &me);
        trace.put("PLAINTEXT_3", &plaintext);
        trace.put("CIPHERTEXT_3", &ciphertext);
        trace.put("message_3", &message);
        trace.put("TH_4", &th_4);
        let session = Session::new(&prk_4e3m, &th_4, peer, Role::Initiator, suite, (c_i, c_r));
        session.keep(&mut trace);
        let envelope = Envelope::four(suite, &prk_4e3m, &th_4, &mut trace);
        Ok((Initiator { state: WaitM4 { profile, envelope, session, trace } }, message))
    }
}

impl Initiator<WaitM4> {
    /// Exports a key before message_4, for records that go out with message_3. The Responder has not proved yet that it
    /// took message_3.
    ///
    /// # Errors
    /// [`ExportError::TooLong`].
    pub fn export_early(&self, label: u16, context: &[u8], out: &mut [u8]) -> Result<(), ExportError> {
        self.state.session.export(label, context, out)
    }

    /// Reads message_4, or an error message: the handshake is finished.
    ///
    /// # Errors
    /// [`Failed`]: `LimitExceeded`, `Malformed`, `PeerError`, `Authentication`, `CriticalEad`.
    pub fn read_message_4(self, message: &[u8]) -> Result<(Session, Vec<Ead>), Failed> {
        let WaitM4 { profile, envelope, session, mut trace } = self.state;
        let ead = one_bstr(message)
            .map_err(|(error, _)| error)
            .and_then(|ciphertext| envelope.open(ciphertext))
            .and_then(|plaintext| Reader::new(&plaintext)?.ead())
            .and_then(|ead| check_critical(&ead, &profile).map(|()| ead))
            .map_err(|error| Failed::new(error, &profile))?;
        trace.put("message_4", message);
        Ok((session.with_trace(trace), ead))
    }
}

values!(Initiator<WaitM2>, Initiator<PeerPresented>, Initiator<Authenticated>, Initiator<WaitM4>);

/// The suite that SUITES_I chooses: its last.
fn chosen(suites: &[i32]) -> Result<i32, EdhocError> {
    suites.last().copied().ok_or(EdhocError::UnsupportedSuite)
}

/// ID_CRED, Signature_or_MAC and EAD of PLAINTEXT_2 (after C_R) and PLAINTEXT_3.
pub(crate) fn plaintext(id: &IdCred, proof: &[u8], ead: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut out = Vec::new();
    id.write(&mut out);
    let mut writer = Writer::new();
    writer.bytes(proof);
    out.extend_from_slice(writer.as_slice());
    out.extend_from_slice(ead);
    Zeroizing::new(out)
}

pub(crate) fn plaintext_len(me: &Credential, form: Form, proof_len: usize) -> Result<usize, EdhocError> {
    Ok(plaintext(&me.id(form)?, &alloc::vec![0; proof_len], &[]).len())
}

/// Format version of [`Initiator<WaitM2>::into_stored`].
const STORED: u64 = 1;
