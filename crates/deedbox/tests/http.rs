//! A person whose host is behind HTTP: the same life as with a host in the same process, and the same errors.

#![cfg(all(feature = "http", feature = "http-client"))]
#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use std::{io::Cursor, sync::Arc};

use deedbox::{
    HostClient, HttpHost, LocalHost, PersonError,
    host::{Admission, ByteRange, Config, Host, HostError, MemoryStorage, Method, Request, router, system_clock},
    parts::{
        host::proof::Claims,
        model::{BlobId, CapabilityId, FieldPath, StoreId, Timestamp},
    },
    person::{NewFile, Person, Secret},
};
use pollster::block_on;

type TestHost = Host<MemoryStorage, fn() -> Timestamp>;

const DOCUMENT: &[u8] =
    br#"{"person": {"name": "Maren Holloway", "born": "1971-03-09"}, "health": {"allergy": "nuts"}}"#;

fn host(admission: Admission) -> Arc<TestHost> {
    let mut config = Config::default();
    config.admission = admission;
    Arc::new(Host::new(MemoryStorage::new(), system_clock as fn() -> Timestamp, config))
}

/// Serves on loopback until the runtime is dropped.
fn serve(host: &Arc<TestHost>) -> (tokio::runtime::Runtime, HttpHost) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let routes = router(Arc::clone(host), &origin);
    runtime.spawn(async move {
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        axum::serve(listener, routes).await.unwrap();
    });
    (runtime, HttpHost::new(&origin))
}

/// Makes a box, fills it, erases, opens it again, moves it; what is left of it, and the codes of what was refused.
async fn life<A: HostClient + Clone, B: HostClient>(here: A, there: B, closed: A) -> (Vec<String>, Vec<String>) {
    let (mut person, keepsake) = Person::create(here.clone(), "a passphrase").await.unwrap();
    person.import(DOCUMENT, "myself").await.unwrap();
    let allergy = person.values().unwrap().into_iter().find(|value| value.path.as_str().contains("allergy")).unwrap();
    person.purge(&[allergy.path]).await.unwrap();
    let locked = Person::locate(here.clone(), keepsake.store).await.unwrap();
    let phrase = Secret::RecoveryPhrase(&keepsake.recovery_phrase);
    let opened = locked.unlock(&phrase, Some(&person.pins())).await.unwrap();
    let mut bundle = Vec::new();
    assert_eq!(opened.export(&mut bundle).await.unwrap().bytes, bundle.len() as u64);
    let moved = Person::import_bundle(there, &mut Cursor::new(&bundle), &phrase).await.unwrap();
    assert_eq!(moved.values().unwrap(), opened.values().unwrap());
    let mut values: Vec<String> = moved.values().unwrap().iter().map(|value| value.path.as_str().to_owned()).collect();
    values.sort();
    let mut codes = Vec::new();
    let refused = Person::create(closed, "a passphrase").await.err();
    codes.push(refused.unwrap().code());
    let again = Person::import_bundle(here.clone(), &mut Cursor::new(&bundle), &phrase).await.err();
    codes.push(again.unwrap().code());
    let nobody = Person::locate(here, StoreId::from_bytes([9; 16])).await.err();
    codes.push(nobody.unwrap().code());
    (values, codes)
}

#[test]
fn a_life_over_http_is_a_life_in_process() {
    let hosts = || (host(Admission::Open), host(Admission::Open), host(Admission::Closed));
    let (here, there, closed) = hosts();
    let local = |host: &Arc<TestHost>| LocalHost::new(Arc::clone(host), "https://host.example");
    let in_process = block_on(life(local(&here), local(&there), local(&closed)));
    let (here, there, closed) = hosts();
    let servers = [serve(&here), serve(&there), serve(&closed)];
    let [here, there, closed] = servers.each_ref().map(|(_, client)| client.clone());
    let over_http = block_on(life(here, there, closed));
    assert_eq!(over_http, in_process);
    assert_eq!(over_http.1[0], "Host.NotPermitted");
    assert_eq!(over_http.0.len(), 2);
}

/// Two devices of one person: the second learns of what the first writes, and takes it over.
fn devices_notice_each_other<H: HostClient + Clone>(client: H) {
    block_on(async {
        let (mut first, keepsake) = Person::create(client.clone(), "a passphrase").await.unwrap();
        first.import(DOCUMENT, "myself").await.unwrap();
        let title = first.datasets().next().unwrap().to_owned();
        let locked = Person::locate(client, keepsake.store).await.unwrap();
        let phrase = Secret::RecoveryPhrase(&keepsake.recovery_phrase);
        let second = locked.unlock(&phrase, None).await.unwrap();
        assert!(second.watch("no such title").is_err());
        let mut watch = second.watch(&title).unwrap();
        let path = second.values().unwrap()[0].path.clone();
        first.purge(&[path]).await.unwrap();
        let told = watch.next().await.unwrap();
        let count = second.values().unwrap().len();
        let second = second.refresh().await.unwrap();
        assert_eq!(second.values().unwrap().len(), count - 1, "told of head {told:?}");
    });
}

#[test]
fn a_device_notices_what_another_writes() {
    let here = host(Admission::Open);
    devices_notice_each_other(LocalHost::new(Arc::clone(&here), "https://host.example"));
    let here = host(Admission::Open);
    let (_server, client) = serve(&here);
    devices_notice_each_other(client);
}

#[test]
fn a_watch_ends_when_the_host_goes_away() {
    let here = host(Admission::Open);
    let (server, client) = serve(&here);
    let (person, _) = block_on(Person::create(client, "a passphrase")).unwrap();
    block_on(async {
        let mut watch = person.watch("deedbox:policy").unwrap();
        let closing = std::thread::spawn(move || {
            std::thread::sleep(std::time::Duration::from_millis(300));
            here.close();
            server.shutdown_background();
        });
        let error = watch.next().await.unwrap_err();
        closing.join().unwrap();
        assert!(matches!(error, HostError::Unreachable | HostError::TooMany { .. }), "{error:?}");
    });
}

#[test]
fn a_file_goes_over_http_in_parts() {
    let host = host(Admission::Open);
    let (_server, client) = serve(&host);
    block_on(async {
        let (mut person, _) = Person::create(client, "a passphrase").await.unwrap();
        let content: Vec<u8> = (0..3_000_001_u32).map(|n| n.wrapping_mul(0x9e37_79b9).to_be_bytes()[0]).collect();
        let path = FieldPath::parse("documents.scan").unwrap();
        let file = NewFile { path: &path, title: "scan.pdf", media: None, source: "myself" };
        person.store_file(&file, &mut content.as_slice()).await.unwrap();
        let mut file = person.file(&path).await.unwrap();
        let (mut whole, mut part) = (Vec::new(), [0; 40_000]);
        file.copy_to(&mut whole).await.unwrap();
        assert!(whole == content);
        assert_eq!(file.read_at(1_500_000, &mut part).await.unwrap(), part.len());
        assert!(part == content[1_500_000..1_540_000]);
    });
}

#[test]
fn nobody_listening_is_unreachable() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let error = block_on(Person::create(HttpHost::new(&origin), "a passphrase")).err();
    assert!(matches!(error, Some(PersonError::Host(HostError::Unreachable))));
}

#[test]
fn a_blob_comes_back_by_ranges() {
    use deedbox::parts::cose::{LocalSigner, Signer as _};
    let host = host(Admission::Open);
    let (_server, client) = serve(&host);
    let owner = LocalSigner::generate(&mut deedbox_testkit::rng::SeededRng::new(1));
    let (s, id) = (StoreId::from_bytes([1; 16]), CapabilityId::from_bytes([2; 16]));
    let mut w = deedbox::parts::cbor::Writer::new();
    w.array(7).text("deedbox-store").uint(1).bytes(s.as_bytes()).uint(1).uint(1).array(1).uint(0).bytes(&[0; 32]);
    let key = *owner.public().as_ed25519().unwrap().as_bytes();
    let new = deedbox::parts::host::wire::CreateBody::new(s, w.as_slice(), id, key).to_bytes();
    let send = |method, target: &str, range: Option<&str>, body: &[u8]| {
        let range = range.map(|range| ByteRange::parse(range).unwrap());
        let request = Request { method, origin: client.origin(), target, body, range, proof: None };
        let proof = Claims::new(id, request.hash(), system_clock()).sign(&owner).unwrap();
        block_on(client.send(Request { proof: Some(&proof), ..request }))
    };
    send(Method::Post, "/v1/stores", None, &new).unwrap();
    let target = format!("/v1/stores/{s}/blobs/{}", BlobId::from_bytes([3; 16]));
    let local = |method, range: Option<&str>| {
        let range = range.map(|range| ByteRange::parse(range).unwrap());
        let request = Request { method, origin: client.origin(), target: &target, body: b"", range, proof: None };
        let proof = Claims::new(id, request.hash(), system_clock()).sign(&owner).unwrap();
        block_on(host.call(Request { proof: Some(&proof), ..request }))
    };
    send(Method::Put, &target, Some("0-4"), b"hello").unwrap();
    let again = send(Method::Put, &target, None, b"hello");
    assert!(matches!(again, Err(HostError::WrongOffset { have: 5 })));
    send(Method::Put, &format!("{target}?seal=5"), None, b"").unwrap();
    for (method, range) in
        [(Method::Get, None), (Method::Get, Some("1-2")), (Method::Get, Some("3-")), (Method::Head, None)]
    {
        assert_eq!(send(method, &target, range, b"").unwrap(), local(method, range).unwrap());
    }
}
