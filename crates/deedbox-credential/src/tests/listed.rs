//! Status lists: what an issuer publishes is what a verifier reads, whatever is altered is refused.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::test_util::raw_sign1;

const URI: &str = "https://status.test/1";

struct Listing {
    fixture: Fixture,
    status_signer: LocalSigner,
    reference: StatusReference,
    builder: StatusListBuilder,
}

impl Listing {
    fn new() -> Self {
        let mut fixture = Fixture::new();
        let status_signer = LocalSigner::from_seed(&SecretBytes::from_bytes([9; 32]));
        fixture.trust.pin_status_key(ISS, status_signer.public().clone());
        let builder = StatusListBuilder::with_entries(URI, StatusBits::Two, 1000);
        Self { fixture, status_signer, reference: StatusReference::new(412, URI), builder }
    }

    fn now(&self) -> Timestamp {
        self.fixture.now
    }

    fn source(&self) -> StatusSource {
        StatusSource::new(ISS, &self.reference)
    }

    fn token(&self) -> Vec<u8> {
        self.builder.publish(&self.status_signer, self.now()).unwrap()
    }

    fn verify(&self, token: &[u8], now: Timestamp) -> Result<StatusList, VerifyError> {
        let fetched = FetchedStatusList::new(token, self.now());
        self.fixture.verifier().verify_status_list(fetched, &self.source(), now)
    }

    fn list(&self) -> StatusList {
        self.verify(&self.token(), self.now()).unwrap()
    }

    fn shown(&mut self, reference: Option<&StatusReference>) -> Presentation {
        let credential = Issuer::new(ISS, &self.fixture.issuer)
            .issue(
                &Fixture::template(),
                Fixture::claims(),
                self.fixture.holder.public(),
                reference,
                self.fixture.now,
                &mut self.fixture.rng,
            )
            .unwrap();
        let held = self.fixture.accept(credential.as_bytes()).unwrap();
        let kbt = self.fixture.present(&held, &[claim_path![501]]);
        self.fixture.verify(&kbt).unwrap()
    }

    /// Signs any payload as a status list token.
    fn signed(&self, header: impl FnOnce(&mut MapWriter), payload: &[u8]) -> Vec<u8> {
        let protected = map(|map| {
            map.int(1, |w| unit(w.int(-19))).int(16, |w| unit(w.text("application/statuslist+cwt")));
            header(map);
        });
        raw_sign1(&self.status_signer, &protected, &[0xa0], payload)
    }
}

/// A good payload, in which `more` may replace what it likes.
fn payload(more: impl FnOnce(&mut MapWriter)) -> Vec<u8> {
    map(|map| {
        map.int(2, |w| unit(w.text(URI))).int(6, |w| unit(w.uint(HOUR))).int(65_533, |w| list(w, 1, &[0]));
        more(map);
    })
}

fn list(w: &mut Writer, bits: u64, entries: &[u8]) {
    let deflated = miniz_oxide::deflate::compress_to_vec_zlib(entries, 6);
    w.map(|map| {
        map.text("bits", |w| unit(w.uint(bits))).text("lst", |w| unit(w.bytes(&deflated)));
    });
}

#[test]
fn a_status_decides_over_acceptance() {
    let mut listing = Listing::new();
    let idx = listing.reference.idx();
    let reference = listing.reference.clone();
    for (status, want) in [
        (Status::Valid, "ok"),
        (Status::Suspended, "Status.Suspended"),
        (Status::Valid, "ok"),
        (Status::Other(3), "Status.Other"),
        (Status::Revoked, "Status.Revoked"),
    ] {
        listing.builder.set(idx, status).unwrap();
        let shown = listing.shown(Some(&reference));
        assert_eq!(shown.status_source(), Some(listing.source()));
        let accepted = shown.accept_listed(&listing.list(), listing.now());
        assert_eq!(code(accepted), want);
    }
    // Neighbours are untouched, and revoked is for good.
    let list = listing.list();
    assert_eq!((list.status(idx - 1), list.status(idx + 1)), (Some(Status::Valid), Some(Status::Valid)));
    for status in [Status::Valid, Status::Suspended, Status::Other(3), Status::Other(0)] {
        assert_eq!(listing.builder.set(idx, status), Err(StatusListError::Final));
    }
    assert_eq!(listing.builder.set(idx, Status::Revoked), Ok(()));
}

#[test]
fn only_the_list_of_its_issuer_and_uri_counts_and_only_within_it() {
    let mut listing = Listing::new();
    let list = listing.list();
    let now = listing.now();
    let elsewhere = StatusReference::new(412, "https://status.test/2");
    assert_eq!(code(listing.shown(Some(&elsewhere)).accept_listed(&list, now)), "Status.Uri");
    assert_eq!(code(listing.shown(None).accept_listed(&list, now)), "Status.Absent");
    for (idx, want) in [(0, "ok"), (999, "ok"), (1000, "Status.OutOfRange"), (u64::MAX, "Status.OutOfRange")] {
        let reference = StatusReference::new(idx, URI);
        assert_eq!(code(listing.shown(Some(&reference)).accept_listed(&list, now)), want);
    }
    // The list of another issuer at the same place says nothing of this one's credentials.
    listing.fixture.trust.pin_status_key("https://other.test", listing.status_signer.public().clone());
    let theirs = StatusSource::new("https://other.test", &listing.reference);
    let token = listing.token();
    let fetched = FetchedStatusList::new(&token, now);
    let list = StatusList::verify(fetched, &theirs, &listing.fixture.trust, now).unwrap();
    let reference = listing.reference.clone();
    assert_eq!(code(listing.shown(Some(&reference)).accept_listed(&list, now)), "Status.Uri");
}

#[test]
fn every_flipped_byte_of_a_list_is_refused() {
    let mut listing = Listing::new();
    listing.builder.set(412, Status::Revoked).unwrap();
    let token = listing.token();
    assert!(listing.verify(&token, listing.now()).is_ok());
    for bad in deedbox_testkit::tamper::all(&token) {
        assert!(listing.verify(&bad, listing.now()).is_err());
    }
}

#[test]
fn only_a_status_key_of_the_issuer_signs_lists() {
    let listing = Listing::new();
    let now = listing.now();
    let verify = |token: &[u8]| stage(listing.verify(token, now));
    // The key that issues credentials, and one that nobody knows.
    for signer in [&listing.fixture.issuer, &listing.fixture.other] {
        assert_eq!(verify(&listing.builder.publish(signer, now).unwrap()), "trust: Trust.UnknownKey");
    }
    let kid = |kid: &'static [u8]| move |map: &mut MapWriter| unit(map.int(4, |w| unit(w.bytes(kid))));
    assert_eq!(verify(&listing.signed(kid(b"other"), &payload(|_| {}))), "trust: Trust.UnknownKey");
    assert_eq!(verify(&listing.signed(|_| {}, &payload(|_| {}))), "ok");
    let by_other = raw_sign1(
        &listing.fixture.other,
        &map(|map| unit(map.int(1, |w| unit(w.int(-19))).int(16, |w| unit(w.text("application/statuslist+cwt"))))),
        &[0xa0],
        &payload(|_| {}),
    );
    assert_eq!(verify(&by_other), "signature: Signature.StatusToken");
    // And a status key issues no credentials.
    let issuer = Issuer::new(ISS, &listing.status_signer);
    let mut rng = SeededRng::new(5);
    let key = listing.fixture.holder.public();
    let bytes = issuer.issue(&Fixture::template(), Fixture::claims(), key, None, now, &mut rng).unwrap();
    assert_eq!(stage(listing.fixture.accept(bytes.as_bytes())), "trust: Trust.UnknownKey");
    // A list is no credential, and the reverse.
    assert_eq!(stage(listing.fixture.accept(&listing.token())), "header: Header.Typ");
    let mut fixture = Fixture::new();
    let held = fixture.held();
    assert_eq!(verify(held.as_bytes()), "header: Header.Typ");
    assert_eq!(verify(&fixture.present(&held, &[])), "header: Header.Typ");
}

#[test]
fn each_header_and_claim_is_checked() {
    let listing = Listing::new();
    let verify = |token: &[u8]| stage(listing.verify(token, listing.now()));
    let header = |write: &dyn Fn(&mut MapWriter)| verify(&listing.signed(|map| write(map), &payload(|_| {})));
    assert_eq!(header(&|_| {}), "ok");
    assert_eq!(header(&|map| unit(map.int(1, |w| unit(w.int(-9))))), "header: Header.AlgNotOfKey");
    assert_eq!(header(&|map| unit(map.int(1, |w| unit(w.int(-257))))), "header: Header.Alg");
    assert_eq!(header(&|map| unit(map.int(16, |w| unit(w.text("application/cwt"))))), "header: Header.Typ");
    assert_eq!(header(&|map| unit(map.int(16, |w| unit(w.uint(293))))), "header: Header.Typ");
    assert_eq!(header(&|map| unit(map.int(4, |w| unit(w.uint(1))))), "header: Header.Kid");
    assert_eq!(header(&|map| unit(map.int(2, |w| unit(w.array(1).int(16))))), "ok");
    assert_eq!(header(&|map| unit(map.int(2, |w| unit(w.array(1).int(99))))), "cose: CritUnknown");

    let claim = |more: &dyn Fn(&mut MapWriter)| verify(&listing.signed(|_| {}, &payload(|map| more(map))));
    assert_eq!(claim(&|map| unit(map.int(99, |w| unit(w.null())))), "ok");
    assert_eq!(claim(&|map| unit(map.int(2, |w| unit(w.uint(1))))), "claims: Claims.Type");
    assert_eq!(claim(&|map| unit(map.int(2, |w| unit(w.text("https://status.test/1/"))))), "status: Status.Uri");
    assert_eq!(claim(&|map| unit(map.int(6, |w| unit(w.text("now"))))), "claims: Claims.Date");
    assert_eq!(claim(&|map| unit(map.int(4, |w| unit(w.null())))), "claims: Claims.Date");
    for ttl in [0, -1] {
        assert_eq!(claim(&|map| unit(map.int(65_534, |w| unit(w.int(ttl))))), "claims: Claims.Type");
    }
    assert_eq!(claim(&|map| unit(map.int(65_534, |w| unit(w.float(60.5))))), "claims: Claims.Type");
    assert_eq!(claim(&|map| unit(map.entry(|w| unit(w.simple(59)), |w| unit(w.array(0))))), "claims: Claims.Marker");
    assert_eq!(verify(&listing.signed(|_| {}, &[0x80])), "claims: Claims.NotAMap");
    for (bits, want) in [(1, "ok"), (2, "ok"), (4, "ok"), (8, "ok"), (0, "bad"), (3, "bad"), (16, "bad")] {
        let want = if want == "ok" { want } else { "claims: Claims.StatusList" };
        assert_eq!(claim(&|map| unit(map.int(65_533, |w| list(w, bits, &[0])))), want, "{bits} bits");
    }
    let shape = |write: &dyn Fn(&mut MapWriter)| {
        claim(&|map| {
            unit(map.int(65_533, |w| {
                w.map(|map| {
                    map.text("bits", |w| unit(w.uint(1)))
                        .text("lst", |w| unit(w.bytes(&[0x78, 0xda, 3, 0, 0, 0, 0, 1])));
                    write(map);
                });
            }))
        })
    };
    assert_eq!(shape(&|_| {}), "ok");
    assert_eq!(shape(&|map| unit(map.text("more", |w| unit(w.null())))), "ok");
    assert_eq!(shape(&|map| unit(map.text("aggregation_uri", |w| unit(w.text("u"))))), "ok");
    assert_eq!(shape(&|map| unit(map.text("aggregation_uri", |w| unit(w.null())))), "claims: Claims.StatusList");
    assert_eq!(shape(&|map| unit(map.text("lst", |w| unit(w.text("x"))))), "claims: Claims.StatusList");
    assert_eq!(shape(&|map| unit(map.text("lst", |w| unit(w.bytes(&[0]))))), "status: Status.Inflate");
    for missing in [2, 6, 65_533] {
        let payload = map(|map| {
            if missing != 2 {
                map.int(2, |w| unit(w.text(URI)));
            }
            if missing != 6 {
                map.int(6, |w| unit(w.uint(HOUR)));
            }
            if missing != 65_533 {
                map.int(65_533, |w| list(w, 1, &[0]));
            }
        });
        let result = listing.verify(&listing.signed(|_| {}, &payload), listing.now());
        assert_eq!(result.unwrap_err(), ClaimsError::Missing(missing).into());
    }
}

#[test]
fn a_bomb_is_inflated_only_for_the_issuer_and_only_so_far() {
    let listing = Listing::new();
    let deflated = miniz_oxide::deflate::compress_to_vec_zlib(&vec![0; (16 << 20) + 1], 6);
    let bomb = payload(|map| {
        unit(map.int(65_533, |w| {
            w.map(|map| {
                map.text("bits", |w| unit(w.uint(1))).text("lst", |w| unit(w.bytes(&deflated)));
            });
        }));
    });
    assert_eq!(stage(listing.verify(&listing.signed(|_| {}, &bomb), listing.now())), "limit: Limit.Inflated");
    // Nobody's bomb is not even looked into.
    let broken = payload(|map| unit(map.int(65_533, |w| list(w, 1, &[1]))));
    let mut token = listing.signed(|_| {}, &broken);
    *token.last_mut().unwrap() ^= 1;
    assert_eq!(stage(listing.verify(&token, listing.now())), "signature: Signature.StatusToken");
    let long = vec![0; (4 << 20) + 1];
    assert_eq!(stage(listing.verify(&long, listing.now())), "limit: Limit.Bytes");
}

#[test]
fn staleness_at_one_second() {
    let listing = Listing::new();
    let received = listing.now().secs();
    let hour = i64::try_from(HOUR).unwrap();
    let check = |more: &dyn Fn(&mut MapWriter), now: u64, leeway: u64| {
        let token = listing.signed(|_| {}, &payload(|map| more(map)));
        let fetched = FetchedStatusList::new(&token, Timestamp::from_secs(received));
        let verifier = listing.fixture.verifier().with_leeway(leeway);
        stage(verifier.verify_status_list(fetched, &listing.source(), Timestamp::from_secs(now)))
    };
    let exp = |secs: i64| move |map: &mut MapWriter| unit(map.int(4, |w| unit(w.int(hour + secs))));
    let ttl = |secs: u64| move |map: &mut MapWriter| unit(map.int(65_534, |w| unit(w.uint(secs))));
    for leeway in [0, 60] {
        // Issued: up to the second itself, plus leeway.
        assert_eq!(check(&exp(100_000), HOUR - leeway, leeway), "ok");
        assert_eq!(check(&exp(100_000), HOUR - leeway - 1, leeway), "time: Time.NotYetValid");
        // Expiry: that second is over; without ttl it may be kept until then.
        assert_eq!(check(&exp(100_000), HOUR + 99_999 + leeway, leeway), "ok");
        assert_eq!(check(&exp(100_000), HOUR + 100_000 + leeway, leeway), "time: Time.Expired");
        // Kept: no leeway, because only one clock counts.
        assert_eq!(check(&ttl(100), received + 100, leeway), "ok");
        assert_eq!(check(&ttl(100), received + 101, leeway), "time: Time.Stale");
        assert_eq!(check(&|_| {}, received + 86_400, leeway), "ok");
        assert_eq!(check(&|_| {}, received + 86_401, leeway), "time: Time.Stale");
    }
    assert_eq!(check(&ttl(u64::MAX), received, 0), "ok");
    // A list that was fresh when it was verified is looked at again for each credential.
    let mut listing = Listing::new();
    listing.builder = listing.builder.lifetime(1000).ttl(100);
    let (list, reference) = (listing.list(), listing.reference.clone());
    let at = |secs: u64| Timestamp::from_secs(received + secs);
    assert!(!list.is_stale(at(100)) && list.is_stale(at(101)));
    listing.builder = listing.builder.ttl(5000);
    let short = listing.list();
    assert!(!short.is_stale(at(1059)) && short.is_stale(at(1060)));
    listing.builder = listing.builder.lifetime(1000).ttl(100);
    assert_eq!(code(listing.shown(Some(&reference)).accept_listed(&list, at(100))), "ok");
    assert_eq!(code(listing.shown(Some(&reference)).accept_listed(&list, at(101))), "Time.Stale");
}

#[test]
fn a_remote_status_signer_gives_the_same_bytes() {
    let listing = Listing::new();
    let prepare = || listing.builder.prepare(listing.status_signer.public(), listing.now()).unwrap();
    let signature = listing.status_signer.sign(prepare().to_be_signed()).unwrap();
    assert_eq!(prepare().finish(signature.as_bytes()).unwrap(), listing.token());
    assert_eq!(prepare().finish(&[0; 64]), Err(IssueError::Signer));
    let late = Timestamp::from_secs(u64::MAX);
    assert_eq!(listing.builder.publish(&listing.status_signer, late), Err(IssueError::Times));
}

#[test]
fn entries_need_their_bits_and_their_place() {
    for (bits, most) in [(StatusBits::One, 1), (StatusBits::Two, 3), (StatusBits::Four, 15), (StatusBits::Eight, 255)] {
        let mut builder = StatusListBuilder::with_entries(URI, bits, 8);
        assert_eq!(builder.len(), 8);
        assert_eq!(builder.set(0, most.into()), Ok(()));
        assert_eq!(builder.set(8, Status::Valid), Err(StatusListError::OutOfRange));
        if let Some(more) = u8::checked_add(most, 1) {
            assert_eq!(builder.set(1, more.into()), Err(StatusListError::TooWide));
        }
        let again = StatusListBuilder::restore(URI, bits, builder.as_bytes()).unwrap();
        assert_eq!(again.status(0), Some(most.into()));
    }
    assert_eq!(StatusListBuilder::new(URI, StatusBits::One).len(), 1 << 20);
    // Whole bytes, and no more than a verifier inflates.
    assert_eq!(StatusListBuilder::with_entries(URI, StatusBits::One, 9).len(), 16);
    assert_eq!(StatusListBuilder::with_entries(URI, StatusBits::Eight, u64::MAX).len(), 16 << 20);
    assert!(StatusListBuilder::with_entries(URI, StatusBits::One, 0).is_empty());
    assert!(!StatusListBuilder::with_entries(URI, StatusBits::One, 1).is_empty());
    let long = vec![0; (16 << 20) + 1];
    assert_eq!(StatusListBuilder::restore(URI, StatusBits::One, &long[1..]).unwrap().len(), 1 << 27);
    assert_eq!(StatusListBuilder::restore(URI, StatusBits::One, &long).unwrap_err(), StatusListError::State);
    assert_eq!(StatusAllocator::restore(URI, 1 << 27, &long[1..]).unwrap().free(), 1 << 27);
    assert_eq!(StatusAllocator::restore(URI, (1 << 27) + 8, &long).unwrap_err(), StatusListError::State);
}

#[test]
fn a_list_that_no_reader_would_take_is_not_published() {
    let listing = Listing::new();
    let mut noise = vec![0; (4 << 20) + 1000];
    rand_core::Rng::fill_bytes(&mut SeededRng::new(1), &mut noise);
    let publish = |entries: &[u8]| {
        let builder = StatusListBuilder::restore(URI, StatusBits::Eight, entries).unwrap();
        builder.publish(&listing.status_signer, listing.now())
    };
    assert_eq!(publish(&noise), Err(IssueError::TooLong));
    let token = publish(&noise[3000..]).unwrap();
    assert_eq!(listing.verify(&token, listing.now()).unwrap().status(0), Some(noise[3000].into()));
}

#[test]
fn each_index_is_given_once_and_at_random() {
    let mut rng = SeededRng::new(3);
    let mut allocator = StatusAllocator::new(URI, 1003);
    assert_eq!(allocator.free(), 1003);
    let mut given = Vec::new();
    for turn in 0..1003 {
        if turn % 100 == 0 {
            allocator = StatusAllocator::restore(URI, 1003, allocator.used()).unwrap();
        }
        let reference = allocator.allocate(&mut rng).unwrap();
        assert_eq!(reference.uri(), URI);
        given.push(reference.idx());
    }
    assert_eq!(allocator.allocate(&mut rng).unwrap_err(), StatusListError::Full);
    assert_eq!(given.iter().collect::<BTreeSet<_>>().len(), 1003);
    assert!(given.iter().all(|idx| *idx < 1003));
    // In no order: about half of the neighbours ascend.
    let ascending = given.windows(2).filter(|pair| pair[0] < pair[1]).count();
    assert!((400..600).contains(&ascending), "{ascending}");
    // Each place is as likely as any other: the first index of fresh allocators.
    let mut first = [0_u32; 10];
    for _ in 0..5000 {
        let reference = StatusAllocator::new(URI, 10).allocate(&mut rng).unwrap();
        first[usize::try_from(reference.idx()).unwrap()] += 1;
    }
    assert!(first.iter().all(|count| (350..650).contains(count)), "{first:?}");
    assert_eq!(StatusAllocator::restore(URI, 17, &[0; 2]).unwrap_err(), StatusListError::State);
    assert_eq!(StatusAllocator::restore(URI, 17, &[0; 3]).unwrap().free(), 17);
}

#[test]
fn a_debug_shows_no_entry_and_no_place() {
    let listing = Listing::new();
    let allocator = StatusAllocator::new(URI, 100);
    let prepared = listing.builder.prepare(listing.status_signer.public(), listing.now()).unwrap();
    let text = format!("{:?} {:?} {:?} {allocator:?} {prepared:?}", listing.list(), listing.source(), listing.builder);
    assert_eq!(
        text,
        "StatusList { entries: 1000, .. } StatusSource { .. } StatusListBuilder { entries: 1000, .. } \
         StatusAllocator { free: 100, .. } PreparedStatusList { .. }"
    );
    assert_eq!((listing.source().issuer(), listing.source().uri()), (ISS, URI));
}

proptest! {
    #[test]
    fn any_list_reads_as_a_plain_vector_of_numbers(
        bits in 0..4_usize,
        values in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let bits = [StatusBits::One, StatusBits::Two, StatusBits::Four, StatusBits::Eight][bits];
        let mask = match bits {
            StatusBits::One => 1,
            StatusBits::Two => 3,
            StatusBits::Four => 15,
            StatusBits::Eight => 255,
        };
        let mut listing = Listing::new();
        listing.builder = StatusListBuilder::with_entries(URI, bits, u64::try_from(values.len()).unwrap());
        for (value, idx) in values.iter().zip(0..) {
            // What stood there doesn't matter, but for a revocation, nor do its neighbours.
            let before = if mask == 1 { 0 } else { mask ^ 1 };
            listing.builder.set(idx, before.into()).unwrap();
            listing.builder.set(idx, (value & mask).into()).unwrap();
        }
        let list = listing.list();
        for (value, idx) in values.iter().zip(0..) {
            prop_assert_eq!(list.status(idx), Some((value & mask).into()));
        }
        let beyond = u64::try_from(values.len()).unwrap().next_multiple_of(8);
        prop_assert_eq!(list.status(beyond), None);
    }
}
