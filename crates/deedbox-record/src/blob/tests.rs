use alloc::{borrow::ToOwned, format, rc::Rc, vec};
use core::{
    cell::RefCell,
    sync::atomic::{AtomicUsize, Ordering},
};
use std::{
    fs::File,
    io::{self, Read as _, Write},
};

use deedbox_cbor::{ItemBuf, Limits};
use deedbox_crypto::hash::sha256;
use deedbox_model::{Epoch, ObjectId, StoreId, Timestamp};
use deedbox_testkit::{rng::SeededRng, tamper};
use proptest::prelude::*;

use super::{
    read::{BlobReader, ReadAt},
    write::BlobSealer,
    *,
};
use crate::{
    Bundle, BundleWriter, Freshness, Granularity, Header, HostShare, Keyring, NewSlot, Record, RecoveryPhrase, Replica,
    Root,
    test_util::{self, RawPlace},
};

fn place() -> (StoreName, DatasetId) {
    (StoreName::from_bytes([1; 16]), DatasetId::from_bytes([2; 16]))
}

fn content(len: usize) -> Vec<u8> {
    let mut content = vec![0; len];
    SeededRng::new(9).fill_bytes(&mut content);
    content
}

fn sealed(content: &[u8], seed: u64) -> (Vec<u8>, BlobRef) {
    let (store, dataset) = place();
    seal_blob(&store, &dataset, content, Some("image/png"), &mut SeededRng::new(seed)).unwrap()
}

/// The same reference, and with another length.
fn copied(reference: &BlobRef, length: u64) -> BlobRef {
    let key = ObjectKey::of(SecretBytes::from_bytes(*reference.key().secret().expose()), 0);
    BlobRef::of(*reference.blob(), key, length, *reference.sha256(), reference.media().map(ToOwned::to_owned))
}

fn open(reference: &BlobRef, object: &[u8]) -> Result<Vec<u8>, BlobError> {
    let (store, dataset) = place();
    open_blob(&store, &dataset, reference, object).map(|opened| opened.payload().to_vec())
}

fn reader<R: ReadAt>(reference: &BlobRef, source: R) -> Result<BlobReader<R>, BlobError> {
    let (store, dataset) = place();
    BlobReader::open(&store, &dataset, reference, source)
}

/// The result of every way to read a whole blob, which must be the same.
fn open_every_way(reference: &BlobRef, object: &[u8]) -> Result<Vec<u8>, BlobError> {
    let one_shot = open(reference, object);
    let all = reader(reference, object).and_then(|mut reader| reader.read_all());
    assert_eq!(all.map(|opened| opened.payload().to_vec()), one_shot);
    let mut copy = Vec::new();
    let copied = reader(reference, object).and_then(|mut reader| reader.copy_to(&mut copy));
    assert_eq!(copied.map(|()| copy), one_shot);
    one_shot
}

/// A blob as another part of the crate sees it: a body at a place.
fn raw(reference: &BlobRef) -> RawPlace {
    let (store, dataset) = place();
    RawPlace {
        kind: Kind::Blob,
        epoch: 0,
        store: *store.as_bytes(),
        dataset: *dataset.as_bytes(),
        object: *reference.blob().as_bytes(),
        seq: 0,
        key: *reference.key().secret().expose(),
    }
}

/// Bytes that somebody else may change, and a list of what was read.
#[derive(Clone, Default)]
struct Shared {
    bytes: Rc<RefCell<Vec<u8>>>,
    reads: Rc<RefCell<Vec<(u64, usize)>>>,
}

impl Shared {
    fn of(bytes: &[u8]) -> Self {
        Self { bytes: Rc::new(RefCell::new(bytes.to_vec())), reads: Rc::default() }
    }
}

impl ReadAt for Shared {
    fn size(&mut self) -> io::Result<u64> {
        self.bytes.borrow().as_slice().size()
    }

    fn read_exact_at(&mut self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.reads.borrow_mut().push((offset, buf.len()));
        self.bytes.borrow().as_slice().read_exact_at(offset, buf)
    }
}

/// A writer that fails once it has that many bytes, and remembers the longest piece.
struct Disk {
    bytes: Vec<u8>,
    room: usize,
    longest: usize,
}

impl Write for Disk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > self.room {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.longest = self.longest.max(bytes.len());
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn sealer<W: Write>(seed: u64, inner: W) -> BlobSealer<W> {
    let (store, dataset) = place();
    BlobSealer::start(&store, &dataset, &mut SeededRng::new(seed), inner).unwrap()
}

#[test]
fn lengths_around_chunks_round_trip_and_are_what_the_container_makes_of_them() {
    let lengths = [0, 1, 2, 9, 1_000, 16_367, 16_368, 16_383, 16_384, 16_385, 32_768, 32_769, 65_535, 100_000, 1 << 20];
    for len in lengths {
        let content = content(len);
        let (object, reference) = sealed(&content, 3);
        assert_eq!((reference.length(), reference.media()), (len as u64, Some("image/png")));
        assert_eq!(reference.sha256().as_bytes(), &sha256(&content));
        let mut body = content.clone();
        body.resize(test_util::padded_len(Kind::Blob, len).unwrap(), 0);
        let salt = object[8..32].try_into().unwrap();
        assert!(test_util::seal_with_salt(&raw(&reference), &body, &salt).unwrap() == object, "{len}");
        assert!(test_util::open(&raw(&reference), &object).unwrap().payload() == body, "{len}");
        assert!(open_every_way(&reference, &object).unwrap() == content, "{len}");
        let mut streamed = sealer(3, Vec::new());
        streamed.write_all(&content).unwrap();
        let (streamed_reference, streamed) = streamed.finish(Some("image/png")).unwrap();
        assert!(streamed == object && streamed_reference.blob() == reference.blob(), "{len}");
    }
}

#[test]
fn every_bit_of_a_small_blob_counts() {
    let (object, reference) = sealed(b"every bit", 3);
    assert_eq!(open_every_way(&reference, &object).as_deref(), Ok(&b"every bit"[..]));
    for bit in 0..object.len() * 8 {
        let mut altered = object.clone();
        altered[bit / 8] ^= 1 << (bit % 8);
        let want = match bit / 8 {
            0 | 1 => "Unsupported",
            2 if Kind::from_number(altered[2]).is_some() => "WrongKind",
            2..8 => "Malformed",
            _ => "Rejected",
        };
        assert_eq!(open_every_way(&reference, &altered).unwrap_err().code(), want, "bit {bit}");
        let part = reader(&reference, altered.as_slice()).and_then(|mut reader| reader.read_at(0, &mut [0; 1]));
        assert_eq!(part.unwrap_err().code(), want, "bit {bit}");
    }
}

#[test]
fn every_other_length_is_refused() {
    let (object, reference) = sealed(b"length", 3);
    for len in (0..=200).filter(|len| *len != object.len()) {
        let mut other = object.clone();
        other.resize(len, 0);
        let want = if len < object.len() { BlobError::Truncated } else { BlobError::Extended };
        assert_eq!(open_every_way(&reference, &other), Err(want), "{len}");
    }
    for other in tamper::truncations(&object).chain(tamper::extensions(&object)) {
        assert!(open_every_way(&reference, &other).is_err());
    }
}

#[test]
fn a_chunk_lost_added_swapped_or_from_elsewhere_is_refused() {
    let content = content(50_000);
    let ((object, reference), (other, _)) = (sealed(&content, 3), sealed(&content, 4));
    let chunk = |object: &[u8], index: usize| {
        let start = HEAD + index * SEALED_CHUNK;
        object[start..object.len().min(start + SEALED_CHUNK)].to_vec()
    };
    let build = |chunks: &[Vec<u8>]| [&object[..HEAD], &chunks.concat()].concat();
    let [a, b, c, d] = [0, 1, 2, 3].map(|index| chunk(&object, index));
    assert!(open_every_way(&reference, &build(&[a.clone(), b.clone(), c.clone(), d.clone()])).is_ok());
    let cases = [
        ("swapped", vec![b.clone(), a.clone(), c.clone(), d.clone()], BlobError::Rejected),
        ("twice", vec![a.clone(), a.clone(), c.clone(), d.clone()], BlobError::Rejected),
        ("another blob's", vec![a.clone(), chunk(&other, 1), c.clone(), d.clone()], BlobError::Rejected),
        ("lost", vec![a.clone(), c.clone(), d.clone()], BlobError::Truncated),
        ("no end", vec![a.clone(), b.clone(), c.clone()], BlobError::Truncated),
        ("added", vec![a.clone(), b.clone(), c.clone(), c.clone(), d.clone()], BlobError::Extended),
    ];
    for (name, chunks, want) in cases {
        assert_eq!(open_every_way(&reference, &build(&chunks)), Err(want), "{name}");
    }
    // Another blob's end, which is as long.
    let mut other_end = object.clone();
    let end = HEAD + 3 * SEALED_CHUNK;
    other_end[end..].copy_from_slice(&other[end..]);
    let mut reader = reader(&reference, other_end.as_slice()).unwrap();
    assert_eq!(reader.verify_len(), Err(BlobError::Rejected));
    assert_eq!(reader.read_at(0, &mut [0; 100]), Ok(100));
}

#[test]
fn a_blob_opens_with_its_key_at_its_place_only() {
    let (object, reference) = sealed(b"here", 3);
    let (store, dataset) = place();
    let other_store = StoreName::from_bytes([9; 16]);
    let other_dataset = DatasetId::from_bytes([9; 16]);
    for (store, dataset) in [(&other_store, &dataset), (&store, &other_dataset)] {
        assert_eq!(open_blob(store, dataset, &reference, &object).err(), Some(BlobError::Rejected));
        let reader = BlobReader::open(store, dataset, &reference, object.as_slice());
        assert_eq!(reader.err(), Some(BlobError::Rejected));
    }
    let with = |blob: BlobId, key: [u8; 32]| {
        let key = ObjectKey::of(SecretBytes::from_bytes(key), 0);
        open_every_way(&BlobRef::of(blob, key, 4, *reference.sha256(), None), &object)
    };
    let key = *reference.key().secret().expose();
    assert_eq!(with(*reference.blob(), key).as_deref(), Ok(&b"here"[..]));
    assert_eq!(with(*reference.blob(), [9; 32]), Err(BlobError::Rejected));
    assert_eq!(with(BlobId::from_bytes([9; 16]), key), Err(BlobError::Rejected));
}

#[test]
fn a_reference_of_another_length_or_content_is_refused() {
    let content = content(20_000);
    let (object, reference) = sealed(&content, 3);
    // PADMÉ(20,000) is 20,480.
    assert_eq!(open_every_way(&copied(&reference, 20_481), &object), Err(BlobError::Truncated));
    assert_eq!(open_every_way(&copied(&reference, 19_456), &object), Err(BlobError::Extended));
    for length in [19_999, 20_001, 20_480] {
        assert_eq!(open_every_way(&copied(&reference, length), &object), Err(BlobError::Rejected), "{length}");
    }
    let key = ObjectKey::of(SecretBytes::from_bytes(*reference.key().secret().expose()), 0);
    let other = BlobRef::of(*reference.blob(), key, 20_000, Digest::from_bytes([0; 32]), None);
    assert_eq!(open_every_way(&other, &object), Err(BlobError::Rejected));
}

#[test]
fn padding_is_zeros() {
    let (object, reference) = sealed(&content(1_000), 3);
    let salt = object[8..32].try_into().unwrap();
    let seal = |last: u8| {
        let mut body = content(1_000);
        body.resize(1_023, 0);
        body.push(last);
        test_util::seal_with_salt(&raw(&reference), &body, &salt).unwrap()
    };
    assert!(open_every_way(&reference, &seal(0)).is_ok());
    assert_eq!(open_every_way(&reference, &seal(1)), Err(BlobError::Rejected));
}

#[test]
fn a_range_read_touches_its_chunks_and_no_others() {
    let content = content(200_000);
    let (object, reference) = sealed(&content, 3);
    let source = Shared::of(&object);
    let mut reader = reader(&reference, source.clone()).unwrap();
    assert_eq!(source.reads.take(), [(0, HEAD)]);
    let sealed = SEALED_CHUNK as u64;
    let mut read = |offset: u64, len: usize| {
        let mut buf = vec![0; len];
        let read = reader.read_at(offset, &mut buf).unwrap();
        let from = usize::try_from(offset).unwrap();
        assert_eq!(buf[..read], content[from..from + read]);
        let reads = source.reads.take();
        (read, reads.iter().map(|(offset, len)| ((offset - 64) / sealed, *len)).collect::<Vec<_>>())
    };
    assert_eq!(read(40_000, 10), (10, vec![(2, SEALED_CHUNK)]));
    // What was opened last is still there.
    assert_eq!(read(40_010, 10), (10, vec![]));
    assert_eq!(read(16_383, 2), (2, vec![(0, SEALED_CHUNK), (1, SEALED_CHUNK)]));
    assert_eq!(read(65_536, CHUNK), (CHUNK, vec![(4, SEALED_CHUNK)]));
    assert_eq!(read(199_999, 100).0, 1);
    assert_eq!(read(0, 0), (0, vec![]));
    // Whole chunks are not asked for twice.
    let whole: Vec<u64> = read(10_000, 100_000).1.into_iter().map(|(index, _)| index).collect();
    assert_eq!(whole, [0, 1, 2, 3, 4, 5, 6]);
}

#[test]
fn altered_bytes_spoil_the_reads_that_touch_them_and_no_others() {
    let content = content(150_000);
    let (object, reference) = sealed(&content, 3);
    let rng = &mut SeededRng::new(1);
    for _ in 0..30 {
        let mut altered = object.clone();
        let at = HEAD + usize::try_from(rng.next_u64()).unwrap() % (object.len() - HEAD);
        altered[at] ^= 1 << (rng.next_u32() % 8);
        let spoilt = (at - HEAD) / SEALED_CHUNK;
        let mut reader = reader(&reference, altered.as_slice()).unwrap();
        for index in 0..content.len().div_ceil(CHUNK) {
            let mut buf = [7; 2 * CHUNK];
            let read = reader.read_at((index * CHUNK) as u64, &mut buf);
            if (index..index + 2).contains(&spoilt) && spoilt * CHUNK < content.len() {
                assert_eq!(read, Err(BlobError::Rejected));
                assert_eq!(buf, [0; 2 * CHUNK]);
            } else {
                assert_eq!(buf[..read.unwrap()], content[index * CHUNK..content.len().min((index + 2) * CHUNK)]);
            }
        }
        assert_eq!(reader.read_all().err(), Some(BlobError::Rejected));
        assert_eq!(reader.copy_to(&mut io::sink()), Err(BlobError::Rejected));
        assert_eq!(open(&reference, &altered), Err(BlobError::Rejected));
    }
}

#[test]
fn an_object_that_changes_while_it_is_read_gives_nothing_else() {
    let content = content(100_000);
    let ((object, reference), (other, _)) = (sealed(&content, 3), sealed(&content, 4));
    let source = Shared::of(&object);
    let mut reader = reader(&reference, source.clone()).unwrap();
    let mut buf = [0; 50];
    let replace = |bytes: &[u8]| bytes.clone_into(&mut source.bytes.borrow_mut());
    assert_eq!(reader.read_at(0, &mut buf), Ok(50));

    replace(&object[..HEAD + SEALED_CHUNK]);
    assert_eq!(reader.read_at(20_000, &mut buf), Err(BlobError::Truncated));
    assert_eq!(reader.verify_len(), Err(BlobError::Truncated));
    assert_eq!(reader.copy_to(&mut io::sink()), Err(BlobError::Truncated));
    replace(&[&object[..], &[0]].concat());
    assert_eq!(reader.verify_len(), Err(BlobError::Extended));
    replace(&other);
    assert_eq!(reader.read_at(20_000, &mut buf), Err(BlobError::Rejected));
    assert_eq!(reader.verify_len(), Err(BlobError::Rejected));
    replace(&object);
    assert_eq!(reader.verify_len(), Ok(()));
    assert_eq!(reader.read_at(20_000, &mut buf), Ok(50));
    assert_eq!(buf, content[20_000..20_050]);
}

#[test]
fn a_failing_source_is_named_by_its_kind() {
    struct Failing(io::ErrorKind, u64);
    impl ReadAt for Failing {
        fn size(&mut self) -> io::Result<u64> {
            Ok(self.1)
        }
        fn read_exact_at(&mut self, _: u64, _: &mut [u8]) -> io::Result<()> {
            Err(self.0.into())
        }
    }
    let (_, reference) = sealed(b"", 3);
    let open = |kind| reader(&reference, Failing(kind, 80)).err();
    assert_eq!(open(io::ErrorKind::TimedOut), Some(BlobError::Io(io::ErrorKind::TimedOut)));
    assert_eq!(open(io::ErrorKind::UnexpectedEof), Some(BlobError::Truncated));
    assert_eq!(io::Error::from(BlobError::Io(io::ErrorKind::TimedOut)).kind(), io::ErrorKind::TimedOut);
    assert_eq!(io::Error::from(BlobError::Rejected).kind(), io::ErrorKind::InvalidData);
}

#[test]
fn a_blob_that_could_not_be_written_is_none() {
    let content = content(600_000);
    let disk = Disk { bytes: Vec::new(), room: HEAD + 2 * SEALED_CHUNK, longest: 0 };
    let mut failing = sealer(3, disk);
    let full = failing.write_all(&content).unwrap_err();
    assert_eq!(full.kind(), io::ErrorKind::StorageFull);
    // It stays so, though there is room again.
    assert_eq!(failing.write(b"more").unwrap_err().kind(), io::ErrorKind::StorageFull);
    assert!(failing.flush().is_err());
    assert_eq!(failing.finish(None).err(), Some(BlobError::Io(io::ErrorKind::StorageFull)));

    // What lies there is cut off, whatever length one takes it for: it has no short chunk.
    let mut bytes = Vec::new();
    let mut unfinished = sealer(3, &mut bytes);
    unfinished.write_all(&content[..15 * CHUNK]).unwrap();
    unfinished.flush().unwrap();
    drop(unfinished);
    assert_eq!(bytes.len(), HEAD + 15 * SEALED_CHUNK);
    let (object, reference) = sealed(&content[..15 * CHUNK], 3);
    assert!(object.starts_with(&bytes) && open_every_way(&reference, &object).is_ok());
    assert_eq!(open_every_way(&reference, &bytes), Err(BlobError::Truncated));
}

#[test]
fn a_blob_is_padded_piece_by_piece_and_takes_nothing_after_that() {
    // 9.5 MiB are padded by more than one buffer.
    for len in [0, 1, CHUNK, 16 * CHUNK, (9 << 20) + (1 << 19) + 1] {
        let content = content(len);
        let (object, _) = sealed(&content, 3);
        let mut sealer = sealer(3, Vec::new());
        let mut pieces = Vec::new();
        sealer.write_all(&content).unwrap();
        pieces.append(sealer.get_mut());
        let mut steps = 0;
        while sealer.pad().unwrap() {
            // Nothing more than there are buffers for.
            assert!(sealer.get_mut().len() <= 20 * SEALED_CHUNK);
            pieces.append(sealer.get_mut());
            steps += 1;
        }
        assert_eq!(steps > 0, len > 1 << 20, "{len}");
        assert_eq!(sealer.write(b"more").unwrap_err().kind(), io::Error::from(BlobError::Limit).kind());
        assert_eq!(sealer.finish(None).err(), Some(BlobError::Limit));

        let mut whole = self::sealer(3, Vec::new());
        whole.write_all(&content).unwrap();
        while whole.pad().unwrap() {}
        let (reference, bytes) = whole.finish(Some("image/png")).unwrap();
        assert!(bytes == object && bytes.starts_with(&pieces), "{len}");
        assert_eq!(reference.sealed_len(), bytes.len() as u64);
    }
}

/// Has nothing ready that was not fetched before.
struct Waiting<'a> {
    object: &'a [u8],
    ready: std::ops::Range<usize>,
    wanted: usize,
}

impl ReadAt for Waiting<'_> {
    fn size(&mut self) -> io::Result<u64> {
        Ok(self.object.len() as u64)
    }

    fn read_exact_at(&mut self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let from = usize::try_from(offset).unwrap();
        if from < self.ready.start || from + buf.len() > self.ready.end {
            self.wanted = from;
            return Err(io::ErrorKind::WouldBlock.into());
        }
        buf.copy_from_slice(&self.object[from..from + buf.len()]);
        Ok(())
    }
}

#[test]
fn content_goes_on_where_the_source_had_to_wait() {
    let content = content(5 * CHUNK + 7);
    let (mut object, reference) = sealed(&content, 3);
    for altered in [false, true] {
        if altered {
            let last = object.len() - 1;
            object[last] ^= 1;
        }
        let mut reader = reader(&reference, Waiting { object: &object, ready: 0..HEAD, wanted: 0 }).unwrap();
        let (mut read, mut waits) = (Vec::new(), 0);
        let mut pieces = reader.content();
        let outcome = loop {
            match pieces.next() {
                Ok(Some(piece)) => read.extend_from_slice(piece),
                Ok(None) => break Ok(()),
                Err(BlobError::Io(io::ErrorKind::WouldBlock)) => {
                    let source = pieces.source_mut();
                    source.ready = source.wanted..source.wanted + 2 * SEALED_CHUNK;
                    waits += 1;
                }
                Err(error) => break Err(error),
            }
        };
        assert_eq!(outcome, if altered { Err(BlobError::Rejected) } else { Ok(()) });
        assert!(content.starts_with(&read) && (altered || read == content));
        assert!(waits >= 3, "{waits}");
    }
}

#[test]
fn many_are_written_at_once_with_no_more_threads_than_cores() {
    let content = content(200_000);
    let mut sealers: Vec<_> = (0..12).map(|seed| sealer(seed, Vec::new())).collect();
    for piece in content.chunks(70_000) {
        sealers.iter_mut().for_each(|sealer| sealer.write_all(piece).unwrap());
        assert!(super::worker::count() <= crate::share::helpers());
    }
    for (seed, sealer) in (0..).zip(sealers) {
        let (_, object) = sealer.finish(None).unwrap();
        assert!(object == sealed(&content, seed).0);
    }
}

#[test]
fn memory_is_constant() {
    let mut sealer = sealer(3, Disk { bytes: Vec::new(), room: usize::MAX, longest: 0 });
    assert!(sealer.buffered() < 2 * SEALED_CHUNK);
    let content = content(3_000_000);
    for piece in [&content[..1_000], &content[1_000..2_000_000], &content[2_000_000..]] {
        sealer.write_all(piece).unwrap();
        assert!(sealer.buffered() <= 20 * SEALED_CHUNK);
    }
    let (reference, disk) = sealer.finish(None).unwrap();
    assert_eq!(disk.longest, 4 * SEALED_CHUNK);

    let source = Shared::of(&disk.bytes);
    let mut reader = reader(&reference, source.clone()).unwrap();
    let mut copy = Disk { bytes: Vec::new(), room: usize::MAX, longest: 0 };
    reader.copy_to(&mut copy).unwrap();
    assert!(copy.bytes == content);
    assert_eq!(copy.longest, CHUNK);
    assert!(source.reads.take().iter().all(|(_, len)| *len <= SEALED_CHUNK));
}

#[test]
fn shared_work_is_done_once_and_its_results_come_in_order() {
    for count in [0, 1, 7, 8, 9, 1_000_usize] {
        let done = AtomicUsize::new(0);
        let work = |n: usize| {
            done.fetch_add(1, Ordering::Relaxed);
            Some(n * n)
        };
        let (mut meanwhile, mut results) = (0, Vec::new());
        assert_eq!(share(0..count, work, || meanwhile += 1, |result| results.push(result)), Some(()));
        assert_eq!((done.into_inner(), meanwhile), (count, 1));
        assert!(results.into_iter().eq((0..count).map(|n| n * n)));
    }
    for wrong in 0..100_usize {
        let mut results = Vec::new();
        let shared = share(0..100_usize, |n| (n != wrong).then_some(n), || (), |result| results.push(result));
        assert_eq!(shared, None);
        assert!(results.iter().copied().eq(0..results.len()) && results.len() <= wrong);
    }
}

#[test]
fn limits_hold() {
    let (store, dataset) = place();
    let rng = &mut SeededRng::new(1);
    let long = "x".repeat(1_025);
    for media in ["", &long] {
        let one_shot = seal_blob(&store, &dataset, b"", Some(media), rng);
        assert_eq!(one_shot.err(), Some(BlobError::Limit));
        assert_eq!(sealer(3, Vec::new()).finish(Some(media)).err(), Some(BlobError::Limit));
    }
    assert!(sealer(3, Vec::new()).finish(Some(&long[..1_024])).is_ok());
    let mut nearly = sealer(3, io::sink());
    nearly.set_length_for_testing_only(MAX_BLOB - 1);
    assert_eq!(nearly.write(b"x").unwrap(), 1);
    assert_eq!(nearly.write(b"y").unwrap_err().to_string(), BlobError::Limit.to_string());
    assert_eq!(nearly.finish(None).err(), Some(BlobError::Limit));
    let (object, reference) = sealed(b"", 3);
    assert_eq!(open_every_way(&copied(&reference, MAX_BLOB), &object), Err(BlobError::Truncated));
    assert_eq!(open_every_way(&copied(&reference, MAX_BLOB + 1), &object), Err(BlobError::Limit));
}

#[test]
fn a_file_is_read_as_bytes_are() {
    let content = content(50_000);
    let (object, reference) = sealed(&content, 3);
    let path = std::env::temp_dir().join(format!("deedbox-blob-{}", std::process::id()));
    std::fs::write(&path, &object).unwrap();
    let mut file = File::open(&path).unwrap();
    let mut by_file = reader(&reference, &mut file).unwrap();
    let mut buf = [0; 20_000];
    assert_eq!(by_file.read_at(30_000, &mut buf), Ok(20_000));
    assert_eq!(buf, content[30_000..]);
    assert_eq!(by_file.read_all().unwrap().payload(), content);
    drop(file);
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn read_on_gives_the_content_and_stops() {
    let content = content(40_000);
    let (object, reference) = sealed(&content, 3);
    let mut reader = reader(&reference, object.as_slice()).unwrap();
    let mut all = Vec::new();
    reader.read_to_end(&mut all).unwrap();
    assert_eq!(all, content);
    assert_eq!(reader.read(&mut [0; 9]).unwrap(), 0);
    assert_eq!(reader.read_at(u64::MAX, &mut [0; 9]), Ok(0));
}

#[test]
fn equal_contents_become_unequal_objects() {
    let (one, other) = (sealed(b"the same scan", 3), sealed(b"the same scan", 4));
    assert_eq!(one.0.len(), other.0.len());
    assert_eq!(one.1.sha256(), other.1.sha256());
    assert!(one.1.blob() != other.1.blob() && one.1.key().secret().expose() != other.1.key().secret().expose());
    assert!(one.0[8..].iter().zip(&other.0[8..]).filter(|(a, b)| a == b).count() < 20);
}

#[test]
fn secrets_print_nothing() {
    let (object, reference) = sealed(b"secret", 3);
    let reader = reader(&reference, object.as_slice()).unwrap();
    let sealer = sealer(3, Vec::new());
    assert_eq!(
        format!("{reference:?} {reader:?} {sealer:?}"),
        "BlobRef { length: 6, .. } BlobReader { length: 6, .. } BlobSealer { length: 0, .. }"
    );
}

/// To rewrite a small record is to lose a large blob: a bundle of all that there is, with every key, has no key for it.
#[test]
fn a_record_rewritten_without_its_blob_shreds_it() {
    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
    let rng = &mut SeededRng::new(1);
    let root = Root::generate(StoreId::generate(rng), rng);
    let (phrase, share) = (RecoveryPhrase::generate(rng), HostShare::generate(rng));
    let header = Header::create(&root, &[NewSlot::Phrase(&phrase)], rng).unwrap();
    let meta = root.meta_keys(&share, Epoch::FIRST);
    let mut keyring = Keyring::generate(rng);
    let (store, id) = (StoreName::from(*root.store()), DatasetId::from_bytes([7; 16]));
    keyring.add_dataset(store, id, "scans", Granularity::Record, rng).unwrap();
    let keys = keyring.datasets()[0].keys();
    let name = ObjectId::from_bytes([5; 16]);
    let content = content(70_000);
    let (object, reference) = seal_blob(&store, &id, &content, None, rng).unwrap();
    let (blob, key) = (*reference.blob(), *reference.key().secret().expose());
    let value = ItemBuf::parse(b"\x64scan", &Limits::new(9)).unwrap();
    let record = Record::new("scan", 1, "scan", value).unwrap().with_blob(reference);

    let meta_replica = Replica::create(store, DatasetId::META);
    let mut draft = meta_replica.draft();
    draft.put_keyring(&keyring).unwrap();
    let meta_part = draft.sign(&meta, NOW, rng).unwrap();
    let meta_sent = (meta_part.head_bytes().to_vec(), meta_part.puts()[0].bytes().to_vec());
    let mut replica = Replica::create(store, id);
    // What the host has of the dataset: head and the one record.
    let write = |replica: &mut Replica, record: &Record, rng: &mut SeededRng| {
        let mut draft = replica.draft();
        draft.put(name, record).unwrap();
        let part = draft.sign(keys, NOW, rng).unwrap();
        let sent = (part.head_bytes().to_vec(), part.puts()[0].entry().seq(), part.puts()[0].bytes().to_vec());
        assert_eq!(replica.committed(part).unwrap().freshness(), Freshness::Pinned);
        sent
    };
    let export = |(head, seq, bytes): &(Vec<u8>, deedbox_model::Seq, Vec<u8>)| {
        let mut writer = BundleWriter::new(&header, Epoch::FIRST, &share, NOW);
        writer.dataset(&DatasetId::META, &meta_sent.0).unwrap();
        writer.object(&ObjectId::KEYRING, deedbox_model::Seq::FIRST, Kind::Keyring.number(), &meta_sent.1).unwrap();
        writer.dataset(&id, head).unwrap();
        writer.object(&name, *seq, Kind::Record.number(), bytes).unwrap();
        writer.blob(&blob, object.len() as u64).unwrap();
        writer.blob_part(&object).unwrap();
        writer.finish(&meta).unwrap()
    };
    // Everything that a bundle gives to who holds the root.
    let import = |bundle: &[u8]| {
        let verified = Bundle::parse(bundle).unwrap().verify(&root).unwrap();
        let dataset = &verified.datasets()[1];
        assert_eq!(dataset.objects().len(), 1);
        let keys = verified.keyring().datasets()[0].keys();
        let opened = verified.replicas()[1].open(&name, dataset.bytes_of(&name).unwrap(), keys).unwrap();
        let (mut parts, mut blob) = (verified.blob_parts(), Vec::new());
        parts.push(bundle);
        while let Some((part, _)) = parts.next().unwrap() {
            blob.extend_from_slice(part.bytes());
        }
        parts.finish().unwrap();
        (opened.payload().to_vec(), blob)
    };

    let before = write(&mut replica, &record, rng);
    let (payload, bytes) = import(&export(&before));
    let known = Record::decode(&payload).unwrap();
    assert_eq!(open_blob(&store, &id, &known.blobs()[0], &bytes).unwrap().payload(), content);

    let after = write(&mut replica, &known.without_blob(&blob), rng);
    let bundle = export(&after);
    let (payload, bytes) = import(&bundle);
    assert_eq!(bytes, object);
    assert!(Record::decode(&payload).unwrap().blobs().is_empty());
    for place in [&payload, &bytes, &bundle, &**keyring.encode().unwrap()] {
        assert!(!place.windows(32).any(|window| window == key), "the key is left somewhere");
    }
}

proptest! {
    #[test]
    fn round_trip(
        len in prop_oneof![0..200_usize, 16_300..16_500_usize, 32_700..32_800_usize, 0..70_000_usize],
        seed: u64,
    ) {
        let content = content(len);
        let (object, reference) = sealed(&content, seed);
        prop_assert_eq!(open_every_way(&reference, &object), Ok(content));
    }

    #[test]
    fn any_split_of_writes_gives_the_same_blob(
        pieces in proptest::collection::vec(prop_oneof![0..50_usize, 16_380..16_390_usize, 0..40_000_usize], 0..5),
    ) {
        let content = content(pieces.iter().sum());
        let mut sealer = sealer(3, Vec::new());
        let mut rest = content.as_slice();
        for piece in pieces {
            let (piece, after) = rest.split_at(piece);
            sealer.write_all(piece).unwrap();
            sealer.flush().unwrap();
            rest = after;
        }
        let (reference, streamed) = sealer.finish(Some("image/png")).unwrap();
        let (one_shot, same) = sealed(&content, 3);
        prop_assert!(streamed == one_shot);
        prop_assert_eq!((reference.blob(), reference.length(), reference.sha256()), (same.blob(), same.length(), same.sha256()));
        prop_assert_eq!(open_every_way(&reference, &streamed), Ok(content));
    }

    #[test]
    fn any_range_is_the_slice(
        len in 0..120_000_usize,
        ranges in proptest::collection::vec((0..130_000_u64, 0..70_000_usize), 1..10),
    ) {
        let content = content(len);
        let (object, reference) = sealed(&content, 3);
        let mut reader = reader(&reference, object.as_slice()).unwrap();
        for (offset, len) in ranges {
            let mut buf = vec![7; len];
            let read = reader.read_at(offset, &mut buf).unwrap();
            let slice = usize::try_from(offset).ok().and_then(|offset| content.get(offset..)).unwrap_or_default();
            let slice = &slice[..slice.len().min(len)];
            prop_assert_eq!(&buf[..read], slice);
            prop_assert!(buf[read..].iter().all(|byte| *byte == 7));
        }
    }

    #[test]
    fn any_bytes_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let (_, reference) = sealed(&content(200), 3);
        let mut bytes = bytes;
        prop_assert!(open_every_way(&reference, &bytes).is_err());
        // And behind a prefix that is right, with the right length.
        bytes.resize(64 + 200 + 8 + 16, 0);
        for (place, byte) in bytes.iter_mut().zip([1, 1, 3, 0, 0, 0, 0, 0]) {
            *place = byte;
        }
        prop_assert_eq!(open_every_way(&reference, &bytes), Err(BlobError::Rejected));
    }
}
