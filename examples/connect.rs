//! Two processes meet over a loopback socket: `cargo run --release --example connect`.
//!
//! The council runs in this process, the person in another one that dies after its first message and is started again. It
//! takes up its stored handshake, both sign, and the session, stored too, continues on the next connection. The program
//! starts itself for the person. Exit status 1 if a property does not hold.
#![expect(clippy::print_stdout, reason = "a program that tells a story")]

use std::{
    collections::BTreeMap,
    env,
    error::Error,
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Command, exit},
    thread,
};

use deedbox_connect::{
    Accepting, Answered, Answering, Body, ConnectionsRoot, Contact, Frame, FrameKind, Invitation, Invited, Link,
    LiveSession, Offer, Party, PartyKeys, Reply, Wish,
};
use deedbox_crypto::secret::SecretBytes;
use deedbox_model::{Digest, MailboxId, Timestamp};

type Failure = Box<dyn Error + Send + Sync>;
type Rng = rand_core::UnwrapErr<getrandom::SysRng>;

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000); // an application asks its clock
/// What the person's process is told: where the council is, its link, a folder of its own.
const TOLD: [&str; 3] = ["DEEDBOX_COUNCIL", "DEEDBOX_LINK", "DEEDBOX_FOLDER"];
/// How the person's process dies.
const DIED: i32 = 9;

fn main() -> Result<(), Failure> {
    if let [Ok(council), Ok(link), Ok(folder)] = TOLD.map(env::var) {
        return person(council.parse()?, &Link::parse_qr(&link)?, &PathBuf::from(folder));
    }
    let keys = PartyKeys::generate(&mut rng())?;
    let offer = Offer {
        endpoint: "https://council.example/deedbox".to_owned(),
        not_after: NOW.saturating_add_secs(3_600),
        uses: 1,
        terms: Digest::from_bytes([1; 32]),
        terms_body: None,
        name: "City council".to_owned(),
        check: false,
        evidence: None,
    };
    let invited = Invited::issue(Party::organisation("https://council.example", &keys)?, offer, &keys, &mut rng())?;
    let link = invited.link().to_qr();
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let address = listener.local_addr()?.to_string();
    println!("the council listens, and shows {} characters as a QR code", link.len());
    let serving =
        thread::spawn(move || serve(&listener, Council { invited, keys, waiting: BTreeMap::new(), session: None }));

    let folder = tempfile::tempdir()?;
    let start = || {
        let folder = folder.path().to_str().ok_or("a folder with a name")?;
        // The test harness would take other arguments for names of tests.
        let told = TOLD.into_iter().zip([&address, &link, folder]);
        Ok::<_, Failure>(Command::new(env::current_exe()?).envs(told).output()?)
    };
    let first = start()?;
    check(first.status.code() == Some(DIED), "the person's process dies after message_1")?;
    println!("the person's process died half-way");
    let second = start()?;
    check(second.status.success(), "the one started again finishes")?;
    let heard = serving.join().map_err(|_| "the council's thread")??;
    println!("the one started again finished; the council heard {heard:?}");
    check(heard == ["over the first connection", "over the next one"], "both records arrive")?;
    let left = fs::read_dir(folder.path())?.count();
    check(left == 1, "of what was stored, only the root is left")
}

/// The council's side: one body in, one body out, for each connection.
struct Council {
    invited: Invited,
    keys: PartyKeys,
    /// Handshakes that wait for message_3, as stored, by the identifier in their frames.
    waiting: BTreeMap<Vec<u8>, Vec<u8>>,
    session: Option<LiveSession>,
}

fn serve(listener: &TcpListener, mut council: Council) -> Result<Vec<String>, Failure> {
    let mut heard = Vec::new();
    while heard.len() < 2 {
        let (mut stream, _) = listener.accept()?;
        let body = receive(&mut stream)?;
        let reply = if body.is_empty() {
            council.invited.invitation().bytes().to_vec()
        } else {
            council.take(&body, &mut heard)?
        };
        // Whoever asked may be gone.
        let _ = send(&mut stream, &reply);
    }
    Ok(heard)
}

impl Council {
    fn take(&mut self, body: &[u8], heard: &mut Vec<String>) -> Result<Vec<u8>, Failure> {
        let frames = Frame::parse_all(body)?;
        let frame = frames.first().ok_or("a frame")?;
        match frame.kind {
            FrameKind::Message1 => {
                let (answering, reply) = self.invited.answer(body, &self.keys, NOW, &mut rng())?;
                let id = answering.own_id().to_vec();
                self.waiting.insert(id, answering.into_stored().to_vec());
                Ok(reply)
            }
            FrameKind::Message3 => {
                let stored = self.waiting.remove(frame.to).ok_or("a handshake that waits")?;
                let answering = Answering::load(&stored, &self.invited)?;
                let done = answering.finish(&mut self.invited, body, &self.keys, &contact(2), NOW, &mut rng())?;
                let Answered::Active(met, reply) = done else { return Err("no check code was asked for".into()) };
                self.session = Some(met.session);
                Ok(reply)
            }
            FrameKind::Record => {
                let session = self.session.as_mut().filter(|session| session.own_id() == frame.to);
                let session = session.ok_or("a session")?;
                if let Body::Data(data) = session.open(frame.body, NOW)? {
                    heard.push(String::from_utf8(data.into_content())?);
                }
                Ok(session.channel_binding().to_vec())
            }
            _ => Err("a frame for the council".into()),
        }
    }
}

/// The person's process. What it stores a real device seals, as the quickstart does.
fn person(council: SocketAddr, link: &Link, folder: &Path) -> Result<(), Failure> {
    let exchange = |body: &[u8]| -> Result<Vec<u8>, Failure> {
        let mut stream = TcpStream::connect(council)?;
        send(&mut stream, body)?;
        receive(&mut stream)
    };
    let [root_file, state_file, message_file, session_file] =
        ["root", "state", "message_1", "session"].map(|name| folder.join(name));
    if !state_file.exists() {
        let secret = SecretBytes::<32>::generate(&mut rng());
        fs::write(&root_file, secret.expose())?;
        let root = ConnectionsRoot::from_secret(secret);
        let invitation = Invitation::open(link, &exchange(&[])?, NOW)?;
        let (accepting, message_1) = Accepting::start(&root, link, &invitation, Wish::default(), NOW, &mut rng())?;
        // Stored before it is sent: so that the same can be sent again, and answered.
        fs::write(&state_file, accepting.into_stored())?;
        fs::write(&message_file, &message_1)?;
        let mut stream = TcpStream::connect(council)?;
        send(&mut stream, &message_1)?;
        exit(DIED);
    }
    let root = SecretBytes::try_from_slice(&fs::read(&root_file)?).ok_or("a root")?;
    let accepting = Accepting::load(&fs::read(&state_file)?, &ConnectionsRoot::from_secret(root))?;
    let message_2 = exchange(&fs::read(&message_file)?)?;
    // A state is for one use.
    fs::remove_file(&state_file)?;
    fs::remove_file(&message_file)?;
    let (accepted, message_3) = accepting.answer(&message_2, &contact(1), NOW, &mut rng())?;
    let Reply::Confirmed(met) = accepted.read(&exchange(&message_3)?, NOW)? else {
        return Err("it is confirmed at once".into());
    };
    let mut session = met.session;
    let say = |session: &mut LiveSession, text: &str| -> Result<(), Failure> {
        let body = Body::data("text/plain", text.as_bytes());
        let record = session.seal(&body, NOW)?;
        let reply = exchange(&Frame::write_all(&[Frame::new(FrameKind::Record, session.peer_id(), &record)]))?;
        check(reply == session.channel_binding(), "both ends know one channel")
    };
    say(&mut session, "over the first connection")?;
    fs::write(&session_file, session.into_stored())?;
    let mut session = LiveSession::load(&fs::read(&session_file)?, NOW, &mut rng())?;
    fs::remove_file(&session_file)?;
    say(&mut session, "over the next one")
}

fn contact(byte: u8) -> Contact {
    Contact {
        address: MailboxId::from_bytes([byte; 16]),
        endpoint: "https://host.example".to_owned(),
        deposit: Vec::new(),
        devices: Vec::new(),
    }
}

fn send(stream: &mut TcpStream, body: &[u8]) -> Result<(), Failure> {
    stream.write_all(&u32::try_from(body.len())?.to_be_bytes())?;
    Ok(stream.write_all(body)?)
}

fn receive(stream: &mut TcpStream) -> Result<Vec<u8>, Failure> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = u64::from(u32::from_be_bytes(length));
    let mut body = Vec::new();
    stream.take(length.min(2 << 20)).read_to_end(&mut body)?;
    Ok(body)
}

const fn rng() -> Rng {
    rand_core::UnwrapErr(getrandom::SysRng)
}

/// Fails the story where a property does not hold.
fn check(holds: bool, property: &str) -> Result<(), Failure> {
    if holds { Ok(()) } else { Err(format!("this did not hold: {property}").into()) }
}

#[test]
fn the_story_holds() {
    main().unwrap();
}
