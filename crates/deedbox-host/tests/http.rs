//! The host over HTTP, spoken by hand over loopback: what goes through, what is refused and how, feeds until they end.

#![cfg(feature = "http")]
#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use deedbox_cbor::Writer;
use deedbox_cose::{LocalSigner, Signer as _, sign1};
use deedbox_host::capability::{Capability, Ops, Right, State, Target};
use deedbox_host::proof::Claims;
use deedbox_host::wire::{self, CommitBody, CreateBody, PartBody};
use deedbox_host::{
    Admission, ByteRange, Config, Host, HostError, Method, PROBLEM, Request, ServeLimits, authorization, openapi,
    router, serve,
};
use deedbox_model::{CapabilityId, DatasetId, Seq, StoreId, Timestamp};
use deedbox_store::{MemoryStorage, Mode};
use deedbox_testkit::rng::SeededRng;

const ORIGIN: &str = "https://host.example";
const S: StoreId = StoreId::from_bytes([0x51; 16]);
const D: DatasetId = DatasetId::from_bytes([0xd1; 16]);
const OWNER: CapabilityId = CapabilityId::from_bytes([0xc0; 16]);
const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
const BLOB: &str = "/v1/stores/51515151515151515151515151515151/blobs/b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1";

type TestHost = Host<Arc<MemoryStorage>, fn() -> Timestamp>;

struct World {
    host: Arc<TestHost>,
    address: SocketAddr,
    owner: LocalSigner,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    server: tokio::task::JoinHandle<std::io::Result<()>>,
    // the server stops with it
    runtime: tokio::runtime::Runtime,
}

struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines();
        lines.find_map(|line| line.split_once(": ").filter(|(key, _)| *key == name).map(|(_, value)| value))
    }

    fn error(&self) -> HostError {
        assert_eq!(self.header("content-type"), Some(PROBLEM));
        HostError::from_problem(&self.body)
    }
}

impl World {
    fn new() -> Self {
        Self::with(ServeLimits::default())
    }

    fn with(limits: ServeLimits) -> Self {
        let mut config = Config::default();
        config.admission = Admission::Open;
        config.commit_len = 1 << 20;
        config.body_secs = 2;
        let host = Arc::new(Host::new(Arc::default(), (|| NOW) as fn() -> Timestamp, config));
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let routes = router(Arc::clone(&host), ORIGIN);
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let closing = Arc::clone(&host);
        let server = runtime.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            let stop = async {
                let _ = stopped.await;
            };
            serve(listener, routes, limits, stop, || closing.close()).await
        });
        let owner = LocalSigner::generate(&mut SeededRng::new(7));
        let world = Self { host, address, owner, stop: Some(stop), server, runtime };
        let key = *world.owner.public().as_ed25519().unwrap().as_bytes();
        let mut w = Writer::new();
        w.array(7).text("deedbox-store").uint(1).bytes(S.as_bytes()).uint(1).uint(1).array(1).uint(0).bytes(&[0; 32]);
        let body = CreateBody::new(S, w.as_slice(), OWNER, key).to_bytes();
        assert_eq!(world.raw("POST", "/v1/stores", &[], &body).status, 201);
        world
    }

    fn connect(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut head = format!("{method} {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n");
        head.push_str(&format!("content-length: {}\r\n", body.len()));
        headers.iter().for_each(|(name, value)| head.push_str(&format!("{name}: {value}\r\n")));
        stream.write_all(&[head.as_bytes(), b"\r\n", body].concat()).unwrap();
        stream
    }

    /// What comes until the server closes the connection.
    fn answer(mut stream: TcpStream) -> Answer {
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        let at = bytes.windows(4).position(|end| end == b"\r\n\r\n").unwrap();
        let head = String::from_utf8(bytes[..at].to_vec()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { status, head, body: bytes[at + 4..].to_vec() }
    }

    /// Sends these bytes as they are.
    fn send(&self, bytes: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.write_all(bytes).unwrap();
        stream
    }

    fn raw(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        Self::answer(self.connect(method, target, headers, body))
    }

    fn proof(&self, method: Method, target: &str, range: Option<&str>, body: &[u8]) -> String {
        let range = range.map(|range| ByteRange::parse(range).unwrap());
        let request = Request { method, origin: ORIGIN, target, body, range, proof: None };
        authorization(&Claims::new(OWNER, request.hash(), NOW).sign(&self.owner).unwrap())
    }

    fn own(&self, method: Method, target: &str, range: Option<(&str, &str, &str)>, body: &[u8]) -> Answer {
        let proof = self.proof(method, target, range.map(|(signed, ..)| signed), body);
        let mut headers = vec![("authorization", proof.as_str())];
        headers.extend(range.map(|(_, name, value)| (name, value)));
        self.raw(method.as_str(), target, &headers, body)
    }
}

impl World {
    /// The first commit of the dataset.
    fn first_commit(&self) -> Vec<u8> {
        let mut w = Writer::new();
        w.map(|map| {
            map.int(1, |w| S.encode(w)).int(2, |w| D.encode(w));
            map.int(4, |w| {
                w.null();
            });
            for key in [3, 6, 7, 9, 10] {
                map.int(key, |w| {
                    w.uint(1);
                });
            }
            for key in [5, 8] {
                map.int(key, |w| {
                    w.bytes(&[8; 32]);
                });
            }
        });
        let head = sign1::document(&self.owner, b"deedbox/1 head\0", w.as_slice()).unwrap();
        CommitBody::new(vec![PartBody::new(D, None, Seq::FIRST, &head, Mode::Next)]).to_bytes()
    }
}

#[test]
fn a_signed_request_is_answered_and_any_other_refused_alike() {
    let world = World::new();
    let target = format!("/v1/stores/{S}/usage");
    let answer = world.own(Method::Get, &target, None, b"");
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/cbor")));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert!(wire::usage_from_bytes(&answer.body).is_some());
    let proof = world.proof(Method::Get, &target, None, b"");
    let json = [("authorization", proof.as_str()), ("accept", "application/json")];
    let json: serde_json::Value = serde_json::from_slice(&world.raw("GET", &target, &json, b"").body).unwrap();
    assert_eq!(json["header"]["count"], 1);

    let other = format!("/v1/stores/{}/usage", StoreId::from_bytes([9; 16]));
    let elsewhere = world.proof(Method::Get, &other, None, b"");
    let mut answers = Vec::new();
    for (target, proof) in [(&target, ""), (&target, "Bearer 00"), (&target, &elsewhere), (&other, &elsewhere)] {
        let headers = if proof.is_empty() { vec![] } else { vec![("authorization", proof)] };
        let answer = world.raw("GET", target, &headers, b"");
        assert_eq!((answer.status, answer.header("www-authenticate")), (401, Some("Deedbox")));
        assert!(matches!(answer.error(), HostError::Unauthenticated));
        answers.push(answer.body);
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "an unknown store and a bad proof look alike");
}

#[test]
fn what_is_no_request_is_a_problem_with_a_code() {
    let world = World::new();
    let commit = format!("/v1/stores/{S}/commit");
    for (method, target) in [
        ("GET", "/"),
        ("GET", "/v1/stores"),
        ("PUT", "/v1/stores"),
        ("OPTIONS", "/v1/stores"),
        ("HEAD", "/v1/stores/x/header"),
        ("GET", "/v1/stores/x/header"),
        ("GET", "/v1/stores/../header"),
        ("GET", "/v1/stores/%00/header"),
        ("DELETE", &commit),
        ("POST", &format!("{commit}/")),
    ] {
        let answer = world.raw(method, target, &[], b"");
        assert_eq!(answer.status, 404, "{method} {target}");
        assert!(method == "HEAD" || matches!(answer.error(), HostError::NotFound), "{method} {target}");
    }
    let large = vec![0; (1 << 20) + 1];
    assert!(matches!(world.raw("POST", &commit, &[], &large[..1 << 20]).error(), HostError::Unauthenticated));
    assert!(matches!(world.raw("POST", "/v1/stores", &[], b"\xff").error(), HostError::Malformed));
    let answer = world.own(Method::Post, &commit, None, b"\xa0");
    assert!(matches!(answer.error(), HostError::Malformed));
    let twice = [("authorization", "Deedbox 00"), ("authorization", "Deedbox 00")];
    assert!(matches!(world.raw("POST", &commit, &twice, b"").error(), HostError::Malformed));
    for range in ["bytes=-5", "bytes=0-1,3-4", "items=0-1", "bytes=2-1"] {
        assert!(matches!(world.raw("GET", BLOB, &[("range", range)], b"").error(), HostError::Malformed), "{range}");
    }
    // a body that does not say how long it is and becomes too long: a stranger learns that it is one
    let head = format!("POST {commit} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n");
    let mut stream = TcpStream::connect(world.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(format!("{:x}\r\n", large.len()).as_bytes()).unwrap();
    let _ = stream.write_all(&large);
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    assert!(bytes.starts_with(b"HTTP/1.1 401 "), "{}", String::from_utf8_lossy(&bytes[..40.min(bytes.len())]));
    // half a request, and the host goes on
    let mut half = TcpStream::connect(world.address).unwrap();
    half.write_all(b"POST /v1/stores HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nabc").unwrap();
    drop(half);
    assert_eq!(world.raw("GET", "/v1/health", &[], b"").status, 204);
}

#[test]
fn a_blob_goes_by_ranges() {
    let world = World::new();
    let put = world.own(Method::Put, BLOB, Some(("0-2", "content-range", "bytes 0-2/*")), b"abc");
    assert_eq!(
        (put.status, put.header("deedbox-blob-length"), put.header("deedbox-blob-sealed")),
        (204, Some("3"), Some("?0"))
    );
    let again = world.own(Method::Put, BLOB, Some(("0-2", "content-range", "bytes 0-2/*")), b"abc");
    assert!(matches!(again.error(), HostError::WrongOffset { have: 3 }));
    let seal = world.own(Method::Put, &format!("{BLOB}?seal=3"), None, b"");
    assert_eq!(seal.header("deedbox-blob-sealed"), Some("?1"));
    let part = world.own(Method::Get, BLOB, Some(("1-", "range", "bytes=1-")), b"");
    assert_eq!(
        (part.status, part.header("content-range"), part.body.as_slice()),
        (206, Some("bytes 1-2/3"), b"bc".as_slice())
    );
    let whole = world.own(Method::Get, BLOB, None, b"");
    assert_eq!(
        (whole.status, whole.header("content-type"), whole.body.as_slice()),
        (200, Some("application/octet-stream"), b"abc".as_slice())
    );
    let head = world.own(Method::Head, BLOB, None, b"");
    assert_eq!((head.status, head.header("deedbox-blob-length"), head.body.len()), (200, Some("3"), 0));
    // a range that was not signed
    let proof = world.proof(Method::Get, BLOB, None, b"");
    let answer = world.raw("GET", BLOB, &[("authorization", &proof), ("range", "bytes=0-1")], b"");
    assert!(matches!(answer.error(), HostError::Unauthenticated));
}

#[test]
fn a_feed_tells_of_heads_and_ends_with_the_capability() {
    let world = World::new();
    let guest = LocalSigner::generate(&mut SeededRng::new(8));
    let key = *guest.public().as_ed25519().unwrap().as_bytes();
    let id = CapabilityId::from_bytes([0xc1; 16]);
    let until = Timestamp::from_secs(NOW.secs() + 1_000);
    let rights = vec![Right::new(Target::Dataset(D), Ops::READ)];
    let capability = Capability::new(id, key, S.into(), rights, NOW, until).to_bytes();
    let row = format!("/v1/stores/{S}/capabilities/{id}");
    assert_eq!(world.own(Method::Put, &row, None, &capability).status, 201);

    let target = format!("/v1/stores/{S}/datasets/{D}/feed");
    let request = Request { method: Method::Get, origin: ORIGIN, target: &target, body: b"", range: None, proof: None };
    let proof = authorization(&Claims::new(id, request.hash(), NOW).sign(&guest).unwrap());
    let mut stream = world.connect("GET", &target, &[("authorization", &proof), ("last-event-id", "0")], b"");
    let mut seen = String::new();
    let mut until = |stream: &mut TcpStream, what: &str| {
        let mut bytes = [0; 1_024];
        while !seen.contains(what) {
            let len = stream.read(&mut bytes).unwrap();
            assert!(len > 0, "closed before {what}: {seen}");
            seen.push_str(&String::from_utf8_lossy(&bytes[..len]));
        }
    };
    until(&mut stream, "text/event-stream");
    let commit = world.first_commit();
    assert_eq!(world.own(Method::Post, &format!("/v1/stores/{S}/commit"), None, &commit).status, 204);
    until(&mut stream, "event: head\nid: 1\ndata: 1\n");
    let revoked = wire::uint_to_bytes(State::Revoked.number().into());
    assert_eq!(world.own(Method::Patch, &row, None, &revoked).status, 204);
    until(&mut stream, "event: end\ndata: Revoked\n");
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    let answer = world.raw("GET", &target, &[("authorization", &proof)], b"");
    assert!(matches!(answer.error(), HostError::Revoked));
    world.host.close();
}

#[test]
fn a_feed_ends_within_a_tick_when_another_process_revoked() {
    let world = World::new();
    // another host over the same storage: no signal goes from one to the other
    let clock: fn() -> Timestamp = || NOW;
    let other = Host::new(Arc::clone(world.host.storage()), clock, Config::default());
    let guest = LocalSigner::generate(&mut SeededRng::new(8));
    let key = *guest.public().as_ed25519().unwrap().as_bytes();
    let id = CapabilityId::from_bytes([0xc1; 16]);
    let rights = vec![Right::new(Target::Dataset(D), Ops::READ)];
    let capability = Capability::new(id, key, S.into(), rights, NOW, Timestamp::from_secs(NOW.secs() + 1_000));
    let row = format!("/v1/stores/{S}/capabilities/{id}");
    assert_eq!(world.own(Method::Put, &row, None, &capability.to_bytes()).status, 201);
    let target = format!("/v1/stores/{S}/datasets/{D}/feed");
    let request = Request { method: Method::Get, origin: ORIGIN, target: &target, body: b"", range: None, proof: None };
    let proof = authorization(&Claims::new(id, request.hash(), NOW).sign(&guest).unwrap());
    let mut stream = world.connect("GET", &target, &[("authorization", &proof)], b"");
    let mut begun = [0; 12];
    stream.read_exact(&mut begun).unwrap();
    assert_eq!(&begun, b"HTTP/1.1 200");
    let elsewhere = |method, target: &str, body: &[u8]| {
        let request = Request { method, origin: ORIGIN, target, body, range: None, proof: None };
        let proof = Claims::new(OWNER, request.hash(), NOW).sign(&world.owner).unwrap();
        pollster::block_on(other.call(Request { proof: Some(&proof), ..request })).unwrap().status
    };
    let revoked = wire::uint_to_bytes(State::Revoked.number().into());
    assert_eq!(elsewhere(Method::Patch, &row, &revoked), 204);
    // a commit after that is not told
    assert_eq!(elsewhere(Method::Post, &format!("/v1/stores/{S}/commit"), &world.first_commit()), 204);
    let mut told = Vec::new();
    stream.read_to_end(&mut told).unwrap();
    let told = String::from_utf8(told).unwrap();
    assert!(told.contains("event: end\ndata: Revoked\n") && !told.contains("event: head"), "{told}");
}

#[test]
fn half_sent_and_oversized_heads_are_cut_off() {
    let mut limits = ServeLimits::default();
    limits.head_secs = 1;
    limits.headers = 20;
    let world = World::with(limits);
    for half in ["", "GET /v1/he", "GET /v1/health HTTP/1.1\r\nhost: x\r\nx-more: "] {
        let mut rest = Vec::new();
        let mut stream = world.send(half.as_bytes());
        assert!(stream.read_to_end(&mut rest).is_ok(), "{half:?} is not kept open");
        assert!(!rest.starts_with(b"HTTP/1.1 2"), "{half:?} is answered");
    }
    let many: String = (0..30).map(|n| format!("x-{n}: y\r\n")).collect();
    let long = format!("x: {}\r\n", "y".repeat(70_000));
    for (headers, status) in [(many, 431), (long, 431), ("no colon\r\n".to_owned(), 400)] {
        let stream = world.send(format!("GET /v1/health HTTP/1.1\r\nhost: x\r\n{headers}\r\n").as_bytes());
        assert_eq!(World::answer(stream).status, status);
    }
    assert_eq!(world.raw("GET", "/v1/health", &[], b"").status, 204);
}

/// A thousand clients that never come to the end of a request: a good one is served as ever beside them, and the server's own
/// limits end them all.
#[test]
fn a_thousand_slow_requests_hold_up_nobody_and_are_ended() {
    let mut limits = ServeLimits::default();
    limits.head_secs = 2;
    let world = World::with(limits);
    let target = format!("/v1/stores/{S}/usage");
    let commit = format!("POST /v1/stores/{S}/commit HTTP/1.1\r\nhost: x\r\n");
    let chunked = format!("{commit}transfer-encoding: chunked\r\n\r\n9\r\nabc");
    let kinds = [
        "GET /v1/heal".to_owned(),
        "GET /v1/health HTTP/1.1\r\nhost: x\r\nx-more: ".to_owned(),
        format!("{commit}content-length: 500\r\n\r\nabc"),
        chunked,
    ];
    let mut slow: Vec<TcpStream> = (0..1_000).map(|n| world.send(kinds[n % kinds.len()].as_bytes())).collect();
    for _ in 0..30 {
        // some of them go on, a byte at a time
        for stream in slow.iter_mut().step_by(7) {
            let _ = stream.write_all(b"x");
        }
        assert_eq!(world.own(Method::Get, &target, None, b"").status, 200);
    }
    for (n, mut stream) in slow.into_iter().enumerate() {
        // a reset is an end, too; to be waited for in vain is none
        let mut told = Vec::new();
        let ended = stream.read_to_end(&mut told);
        assert!(!ended.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock), "{n} is kept open");
        assert!(!told.starts_with(b"HTTP/1.1 2"), "{n} is answered");
    }
    assert_eq!(world.own(Method::Get, &target, None, b"").status, 200);
}

#[test]
fn more_connections_than_there_is_room_for_wait() {
    let mut limits = ServeLimits::default();
    limits.connections = 1;
    let world = World::with(limits);
    let first = world.send(b"GET /v1/health HTTP/1.1\r\nhost: x\r\n");
    let mut second = world.send(b"GET /v1/health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    second.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    assert!(second.read(&mut [0; 9]).is_err(), "answered beside the first");
    drop(first);
    second.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    assert_eq!(World::answer(second).status, 204);
}

#[test]
fn a_strangers_long_body_is_not_waited_for_and_a_known_ones_not_for_ever() {
    let world = World::new();
    let target = format!("/v1/stores/{S}/commit");
    let head = |proof: &str, len: &str| {
        format!("POST {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{len}\r\nauthorization: {proof}\r\n\r\n")
    };
    let (long, chunked) = ("content-length: 500000", "transfer-encoding: chunked");
    let chunk = format!("{:x}\r\n{}\r\n", 100_000, "x".repeat(100_000));
    let stranger = LocalSigner::generate(&mut SeededRng::new(9));
    let claims = |request| Claims::new(OWNER, request, NOW);
    let forged = authorization(&claims([1; 32]).sign(&stranger).unwrap());
    let known = authorization(&claims([1; 32]).sign(&world.owner).unwrap());
    let skewed = Claims::new(OWNER, [1; 32], Timestamp::from_secs(NOW.secs() - 500)).sign(&world.owner).unwrap();
    let skewed = authorization(&skewed);
    for (proof, form, body, code) in [
        // none of these bodies ever comes to its end
        (&forged, long, "x", "Unauthenticated"),
        (&forged, chunked, &chunk, "Unauthenticated"),
        (&skewed, long, "x", "ClockSkew"),
        (&known, long, "x", "Malformed"),
        (&known, chunked, &chunk, "Malformed"),
        (&forged, "content-length: 500", "x", "Malformed"),
        (&known, "content-length: 99999999", "x", "TooLarge"),
    ] {
        let stream = world.send((head(proof, form) + body).as_bytes());
        assert_eq!(World::answer(stream).error().code(), code, "{form}");
    }
    let create = format!("POST /v1/stores HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{long}\r\n\r\n");
    assert_eq!(World::answer(world.send(create.as_bytes())).error().code(), "TooLarge");
}

#[test]
fn going_down_finishes_what_is_under_way_and_ends_feeds() {
    let mut world = World::new();
    let feed = format!("/v1/stores/{S}/datasets/{D}/feed");
    let proof = world.proof(Method::Get, &feed, None, b"");
    let mut feed = world.connect("GET", &feed, &[("authorization", &proof)], b"");
    let mut begun = [0; 12];
    feed.read_exact(&mut begun).unwrap();
    assert_eq!(&begun, b"HTTP/1.1 200");
    let idle = world.send(b"");
    let (target, body) = (format!("/v1/stores/{S}/commit"), world.first_commit());
    let proof = world.proof(Method::Post, &target, None, &body);
    let head = format!(
        "POST {target} HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\nauthorization: {proof}\r\n\r\n",
        body.len()
    );
    let mut commit = world.send(&[head.as_bytes(), &body[..10]].concat());
    // the server has the head once it has answered somebody who came later
    assert_eq!(world.raw("GET", "/v1/health", &[], b"").status, 204);
    world.stop.take().unwrap().send(()).unwrap();
    let mut told = Vec::new();
    feed.read_to_end(&mut told).unwrap();
    assert!(String::from_utf8_lossy(&told).contains("event: end\ndata: Closing\n"));
    assert!(TcpStream::connect(world.address).is_err(), "nobody new is let in");
    commit.write_all(&body[10..]).unwrap();
    assert_eq!(World::answer(commit).status, 204);
    drop(idle);
    world.runtime.block_on(&mut world.server).unwrap().unwrap();
}

#[test]
fn what_is_counted_names_nobody() {
    let world = World::new();
    let target = format!("/v1/stores/{S}/usage");
    world.own(Method::Get, &target, None, b"");
    world.raw("GET", &target, &[], b"");
    let text = world.host.metrics();
    let labels = "method=\"GET\",route=\"/v1/stores/{s}/usage\"";
    for wanted in [
        format!("deedbox_requests_total{{{labels},code=\"Done\"}} 1"),
        format!("deedbox_requests_total{{{labels},code=\"Unauthenticated\"}} 1"),
        format!("deedbox_request_seconds_count{{{labels}}} 2"),
        "deedbox_feeds_open 0".to_owned(),
    ] {
        assert!(text.lines().any(|line| line == wanted), "{wanted} is not in {text}");
    }
    for hidden in ["5151", "c0c0", "127.0.0.1"] {
        assert!(!text.contains(hidden), "{hidden} is in {text}");
    }
}

#[test]
fn the_description_is_served() {
    let answer = World::new().raw("GET", "/v1/openapi.json", &[], b"");
    let served: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!((answer.status, served), (200, openapi()));
}

/// Writes down every event as it is.
struct Log(Arc<Mutex<String>>);

impl tracing::Subscriber for Log {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target().starts_with("deedbox")
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::Id {
        tracing::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::Id, _: &tracing::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        let mut log = self.0.lock().unwrap();
        event.record(&mut |field: &tracing::field::Field, value: &dyn std::fmt::Debug| {
            log.push_str(&format!("{}={value:?} ", field.name()));
        });
        log.push('\n');
    }

    fn enter(&self, _: &tracing::Id) {}

    fn exit(&self, _: &tracing::Id) {}
}

#[test]
fn the_log_has_routes_and_codes_and_no_ids() {
    let log = Arc::new(Mutex::new(String::new()));
    tracing::subscriber::set_global_default(Log(Arc::clone(&log))).unwrap();
    let world = World::new();
    let target = format!("/v1/stores/{S}/mail/31313131313131313131313131313131");
    let body = wire::pair_to_bytes(&[0x77; 16], b"a word to the person");
    assert_eq!(world.own(Method::Post, &target, None, &body).status, 204);
    let proof = world.proof(Method::Get, &target, None, b"");
    assert_eq!(world.raw("GET", &format!("{target}?after=9"), &[("authorization", &proof)], b"").status, 401);
    let log = log.lock().unwrap();
    for wanted in ["method=\"POST\"", "route=\"/v1/stores/{s}/mail/{m}\"", "status=204", "code=\"Unauthenticated\""] {
        assert!(log.contains(wanted), "{wanted} is not in {log}");
    }
    let secret = proof.strip_prefix("Deedbox ").unwrap();
    for hidden in ["5151", "3131", "7777", "c0c0", "after", "a word", "127.0.0.1", &secret[..16]] {
        assert!(!log.contains(hidden), "{hidden} is in {log}");
    }
}
