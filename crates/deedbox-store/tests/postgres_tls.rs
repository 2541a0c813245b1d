//! TLS to PostgreSQL: with the server that an authority of ours vouches for by its name, or not at all.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use std::{fs, path::Path};

use deedbox_store::postgres::{Config, PostgresOptions, PostgresStorage, Tls};
use deedbox_store::{NewStore, Quota, RowKey, Storage, StorageError};
use pollster::block_on;

#[path = "postgres/cluster.rs"]
#[expect(dead_code, reason = "what other tests need of it")]
mod cluster;
#[path = "postgres/server.rs"]
#[expect(dead_code, reason = "what other tests need of it")]
mod server;

fn openssl(folder: &Path, words: &str) -> bool {
    let here =
        |word: &str| word.strip_prefix('@').map_or(word.to_owned(), |file| folder.join(file).display().to_string());
    let words: Vec<String> = words.split(' ').map(here).collect();
    cluster::run("openssl", &words.iter().map(String::as_str).collect::<Vec<_>>())
}

/// An authority, and a server's certificate that it signed for `db.example`.
fn authority(folder: &Path) -> bool {
    fs::write(folder.join("names"), "subjectAltName=DNS:db.example\n").unwrap();
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout";
    openssl(folder, &format!("req -x509 {key} @ca.key -out @ca.pem -days 2 -subj /CN=authority"))
        && openssl(folder, &format!("req {key} @server.key -out @server.csr -subj /CN=db"))
        && openssl(
            folder,
            "x509 -req -in @server.csr -CA @ca.pem -CAkey @ca.key -CAcreateserial -days 2 -extfile @names -out @server.pem",
        )
}

#[test]
fn nothing_is_said_to_a_server_that_is_not_the_one() {
    let (ours, others) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    if !authority(ours.path()) || !authority(others.path()) {
        eprintln!("skipped: there is no openssl to make certificates with");
        return;
    }
    let Some(mut cluster) = cluster::Cluster::new() else { return };
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let of = |file: &str| cluster.folder().join(file);
    let (certificate, key) = (of("server.pem"), of("server.key"));
    for file in [&certificate, &key] {
        fs::copy(ours.path().join(file.file_name().unwrap()), file).unwrap();
        cluster.guard(file);
    }
    let encrypted = format!("-c ssl=on -c ssl_cert_file={} -c ssl_key_file={}", certificate.display(), key.display());
    cluster.listen(port, &encrypted);
    let mut admin = cluster.config();
    admin.port(port);
    server::execute(&admin, &["CREATE DATABASE boxes".to_owned(), "CREATE DATABASE shares".to_owned()]);

    let trusting = |folder: &Path| Tls::trusting(&fs::read(folder.join("ca.pem")).unwrap()).unwrap();
    let open = |name: &str, tls: Tls| {
        // what the configuration asks for makes no difference
        let database = |database: &str| -> Config {
            let words =
                format!("host={name} hostaddr=127.0.0.1 port={port} user=deedbox dbname={database} sslmode=disable");
            words.parse().unwrap()
        };
        block_on(PostgresStorage::open_tls(PostgresOptions::new(database("boxes"), database("shares")), tls))
    };
    let is_refused = |opened: Result<PostgresStorage, StorageError>| matches!(opened, Err(StorageError::Backend(_)));

    let storage = open("db.example", trusting(ours.path())).unwrap();
    let (s, quota) = (deedbox_model::StoreId::from_bytes([5; 16]), Quota::default());
    let owner = Some((RowKey([1; 16]), b"owner".as_slice()));
    let new = NewStore { header: b"header", header_version: 1, owner, quota: &quota };
    block_on(storage.create(s, &new)).unwrap();
    block_on(storage.share_put(s, 1, &[7; 32])).unwrap();
    assert_eq!(block_on(storage.header(s)).unwrap().value, b"header");
    let plain =
        "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name = 'deedbox' AND ";
    assert_eq!(server::ask(&admin, &format!("{plain} NOT ssl")), 0);
    assert!(server::ask(&admin, &format!("{plain} ssl AND version = 'TLSv1.3'")) >= 2);
    drop(storage);

    assert!(is_refused(open("db.example", trusting(others.path()))), "another authority");
    assert!(is_refused(open("other.example", trusting(ours.path()))), "another name");
    assert!(is_refused(open("127.0.0.1", trusting(ours.path()))), "an address that the certificate does not have");
    // and it is never done without
    cluster.listen(port, "-c ssl=off");
    assert!(is_refused(open("db.example", trusting(ours.path()))), "a server without TLS");
    let garbage: [&[u8]; 3] =
        [b"", b"no certificate", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"];
    for pem in garbage {
        assert!(matches!(Tls::trusting(pem), Err(StorageError::Invalid(_))));
    }
}
