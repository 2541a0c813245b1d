//! deedbox-record against the `age` library: records of 64 bytes and blobs of 64 MiB, sealed and opened by both.
//!
//! Both are made of X25519 or a key at hand, HKDF-SHA-256 and ChaCha20-Poly1305 over chunks, each in the version that its own
//! lock file brings; the feature `aws-lc` takes our other backend of the same bytes. An age file is encrypted to a recipient,
//! which costs two multiplications on the curve; a record is sealed under a key of its dataset: that is what makes thousands
//! of small records cheap, and what the first claims are about. A blob carries the SHA-256 of its content, which age does not
//! compute, and is shared among cores, which age does not do.
//!
//! `cargo run --release [--features aws-lc]` in this folder prints one line a claim, `name  median-ratio  goal  holds|short`,
//! by paired rounds in one process; exit 1 when one is short. What was sealed is opened and compared before anything is timed.
//! It is a workspace of its own, so that the main lock file needs none of age's packages. Of age it takes 0.11: later versions
//! need a pre-release of `kem` that excludes the one hpke needs, and both have to be in this program.

use std::{hint::black_box, process::ExitCode, time::Instant};

use deedbox_model::{DatasetId, Epoch, ObjectId, Seq, StoreName};
use deedbox_record::{Address, DatasetKey, Kind, open, open_blob, seal, seal_blob};
use deedbox_testkit::rng::SeededRng;

fn main() -> ExitCode {
    let rng = &mut SeededRng::new(1);
    let (store, dataset, object) = (StoreName::generate(rng), DatasetId::generate(rng), ObjectId::generate(rng));
    let identity = age::x25519::Identity::generate();
    let recipient = identity.to_public();
    let mut holds = true;

    let payload = [0xa5; 64];
    let at = Address { store, dataset, object, seq: Seq::FIRST };
    let key = DatasetKey::generate(Epoch::FIRST, rng);
    let sealed = seal(&key.object_key(&object), &at, Kind::Record, &payload, rng).expect("64 bytes");
    let opened = open(&key.object_key(&object), &at, Kind::Record, &sealed).expect("sealed here");
    let file = age::encrypt(&recipient, &payload).expect("64 bytes");
    assert_eq!(age::decrypt(&identity, &file).expect("encrypted here"), opened.payload());
    println!("record of 64 bytes: {} bytes, age file: {} bytes", sealed.len(), file.len());
    holds &= claim(
        "record: seal 64 B / age",
        20.0,
        101,
        || drop(black_box(seal(&key.object_key(&object), &at, Kind::Record, black_box(&payload), rng))),
        || drop(black_box(age::encrypt(&recipient, black_box(&payload)))),
    );
    holds &= claim(
        "record: open 64 B / age",
        20.0,
        101,
        || drop(black_box(open(&key.object_key(&object), &at, Kind::Record, black_box(&sealed)))),
        || drop(black_box(age::decrypt(&identity, black_box(&file)))),
    );

    let content: Vec<u8> = (0..64_u32 << 20).map(|n| n.to_le_bytes()[0] ^ n.to_le_bytes()[2]).collect();
    let rng = &mut SeededRng::new(2);
    let (blob, reference) = seal_blob(&store, &dataset, &content, None, rng).expect("64 MiB");
    let file = age::encrypt(&recipient, &content).expect("64 MiB");
    let opened = open_blob(&store, &dataset, &reference, &blob).expect("sealed here");
    assert!(opened.payload() == content && age::decrypt(&identity, &file).expect("encrypted here") == content);
    drop(opened);
    holds &= claim(
        "blob: seal 64 MiB / age",
        1.6,
        15,
        || drop(black_box(seal_blob(&store, &dataset, black_box(&content), None, rng))),
        || drop(black_box(age::encrypt(&recipient, black_box(&content)))),
    );
    holds &= claim(
        "blob: open 64 MiB / age",
        1.6,
        15,
        || drop(black_box(open_blob(&store, &dataset, &reference, black_box(&blob)))),
        || drop(black_box(age::decrypt(&identity, black_box(&file)))),
    );
    if holds { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Measures how many times faster `ours` is, prints the line, and gives whether the goal holds.
fn claim(name: &str, goal: f64, rounds: usize, mut ours: impl FnMut(), mut theirs: impl FnMut()) -> bool {
    let loops = (loops(&mut ours), loops(&mut theirs));
    let mut ratios: Vec<f64> = (0..rounds)
        .map(|round| {
            // Which goes first alternates, so that neither always finds a warm cache.
            if round % 2 == 0 {
                let ours = time(&mut ours, loops.0);
                time(&mut theirs, loops.1) / ours
            } else {
                let theirs = time(&mut theirs, loops.1);
                theirs / time(&mut ours, loops.0)
            }
        })
        .collect();
    ratios.sort_by(f64::total_cmp);
    let ratio = ratios[ratios.len() / 2];
    let holds = ratio >= goal;
    println!("{name:<44} {ratio:>7.3}  >= {goal:<4} x  {}", if holds { "holds" } else { "short" });
    holds
}

/// How many times `work` runs in about two milliseconds.
fn loops(work: &mut impl FnMut()) -> u32 {
    let mut loops = 1;
    while time(work, loops) * f64::from(loops) < 0.002 {
        loops *= 2;
    }
    loops
}

/// Seconds that one run of `work` takes.
fn time(work: &mut impl FnMut(), loops: u32) -> f64 {
    let started = Instant::now();
    for _ in 0..loops {
        work();
    }
    started.elapsed().as_secs_f64() / f64::from(loops)
}
