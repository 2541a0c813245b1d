//! Batches and pools: what two copies have in common, and which copy is shown to whom.

use std::collections::BTreeSet;

use deedbox_model::Digest;
use proptest::prelude::*;

use super::*;

/// Issuer and holder of a batch of `count` copies.
struct Batch {
    keys: Vec<LocalSigner>,
    held: Vec<HeldCredential>,
}

impl Batch {
    fn new(fixture: &mut Fixture, seed: u64, count: u64) -> Self {
        let mut rng = SeededRng::new(seed);
        let keys: Vec<LocalSigner> = (0..count).map(|_| LocalSigner::generate(&mut rng)).collect();
        let mut indices = StatusAllocator::new("https://status.test/1", 1 << 20);
        let copies: Vec<BatchCopy> = keys
            .iter()
            .map(|key| BatchCopy::new(key.public().clone()).with_status(indices.allocate(&mut rng).unwrap()))
            .collect();
        let issued = Issuer::new(ISS, &fixture.issuer)
            .issue_batch(&Fixture::template(), claims(seed), &copies, fixture.now, &mut rng)
            .unwrap();
        let accept = |(issued, key): (&IssuedCredential, &LocalSigner)| {
            let policy = AcceptPolicy::new(key.public().clone());
            HeldCredential::accept(issued.as_bytes(), &fixture.trust, &policy, fixture.now).unwrap()
        };
        let held = issued.iter().zip(&keys).map(accept).collect();
        Self { keys, held }
    }

    /// Shows that the person is 18 and a category, bound to a nonce of its own.
    fn show(&self, copy: usize, nonce: u8, now: Timestamp) -> Vec<u8> {
        let held = &self.held[copy];
        let selection = held.select(&[claim_path!["age_over_18"], claim_path!["category", 0]]).unwrap();
        held.present(&selection, &audience(), &Nonce::try_new(&[nonce; 32]).unwrap(), &self.keys[copy], now).unwrap()
    }
}

/// What all persons of a kind have in common, and a name and numbers of one's own.
fn claims(seed: u64) -> ClaimSet {
    ClaimSet::builder()
        .claim("kind", "driving licence")
        .redactable("age_over_18", true)
        .redactable("age_over_65", seed.is_multiple_of(2))
        .redactable("name", format!("person number {seed}"))
        .redactable("number", format!("licence-{seed:016x}"))
        .claim("category", ClaimArray::new().redactable("B").redactable("C").decoys(2))
        .decoys(3)
        .build()
        .unwrap()
}

/// All runs of `LEN` bytes.
fn runs(bytes: &[u8]) -> BTreeSet<[u8; LEN]> {
    bytes.array_windows().copied().collect()
}

/// Short enough to hold any value with what stands around it, long enough that no two are equal by chance.
const LEN: usize = 8;

#[test]
fn two_presentations_of_one_batch_share_no_linkable_byte() {
    let mut fixture = Fixture::new();
    let ours = Batch::new(&mut fixture, 11, 3);
    let theirs = Batch::new(&mut fixture, 12, 64);
    let now = fixture.now;
    let shown = [ours.show(0, 1, now), ours.show(1, 2, now)];
    // Of any kind and length: nothing is in both but what is in somebody else's too, in a crowd that has seen each value of few bits.
    let everybodys: BTreeSet<_> = (0..64).flat_map(|copy| runs(&theirs.show(copy.into(), copy, now))).collect();
    let common = |left: &[u8], right: &[u8]| -> Vec<[u8; LEN]> {
        runs(left).intersection(&runs(right)).filter(|run| !everybodys.contains(*run)).copied().collect()
    };
    assert_eq!(common(&shown[0], &shown[1]), Vec::<[u8; LEN]>::new());
    // The measure measures: one copy shown twice shares its signature, digests, key and subject.
    assert!(common(&shown[0], &ours.show(0, 2, now)).len() > 500);
    // Lengths don't tell either.
    assert_eq!(shown[0].len(), shown[1].len());
    assert_eq!(ours.held[0].as_bytes().len(), ours.held[2].as_bytes().len());
    for held in &ours.held {
        assert_eq!(held.expires_at(), ours.held[0].expires_at());
    }
}

#[test]
fn a_batch_that_could_be_linked_is_not_issued() {
    let fixture = Fixture::new();
    let mut rng = SeededRng::new(8);
    let issue = |claims: ClaimSet, copies: &[BatchCopy], rng: &mut SeededRng| {
        let issuer = Issuer::new(ISS, &fixture.issuer);
        issuer.issue_batch(&Fixture::template(), claims, copies, fixture.now, rng).map(|issued| issued.len())
    };
    let copy = |signer: &LocalSigner| BatchCopy::new(signer.public().clone());
    let (a, b) = (copy(&fixture.holder), copy(&fixture.other));
    let status = |idx: u64| StatusReference::new(idx, "https://status.test/1");
    let linkable = Err(IssueError::Linkable);
    assert_eq!(issue(claims(1), &[], &mut rng), Ok(0));
    assert_eq!(issue(claims(1), &[a.clone(), b.clone()], &mut rng), Ok(2));
    assert_eq!(issue(claims(1), &[a.clone(), a.clone()], &mut rng), linkable);
    let with = |copy: &BatchCopy, idx: u64| copy.clone().with_status(status(idx));
    assert_eq!(issue(claims(1), &[with(&a, 1), with(&b, 2)], &mut rng), Ok(2));
    assert_eq!(issue(claims(1), &[with(&a, 1), with(&b, 1)], &mut rng), linkable);
    assert_eq!(issue(claims(1), &[with(&a, 1), b.clone()], &mut rng), linkable);
    let named = |set: ClaimSetBuilder, rng: &mut SeededRng| issue(set.build().unwrap(), &[a.clone(), b.clone()], rng);
    assert_eq!(named(ClaimSet::builder().claim(2, "somebody"), &mut rng), linkable);
    assert_eq!(named(ClaimSet::builder().claim(7, &[1_u8][..]), &mut rng), linkable);
    assert_eq!(named(ClaimSet::builder().redactable(2, "somebody"), &mut rng), Ok(2));
}

#[test]
fn a_batch_signed_elsewhere_gives_the_same_bytes() {
    let fixture = Fixture::new();
    let copies: Vec<BatchCopy> =
        [&fixture.holder, &fixture.other].map(|signer| BatchCopy::new(signer.public().clone())).into();
    let (template, now) = (Fixture::template(), fixture.now);
    let issued = Issuer::new(ISS, &fixture.issuer)
        .issue_batch(&template, claims(1), &copies, now, &mut SeededRng::new(8))
        .unwrap();
    let key = fixture.issuer.public();
    let prepared =
        PreparedCredential::prepare_batch(ISS, key, &template, claims(1), &copies, now, &mut SeededRng::new(8));
    for (prepared, issued) in prepared.unwrap().into_iter().zip(issued) {
        let signature = fixture.issuer.sign(prepared.to_be_signed()).unwrap();
        assert_eq!(prepared.finish(signature.as_bytes()).unwrap().as_bytes(), issued.as_bytes());
    }
}

fn to(name: &str) -> Audience {
    Audience::parse(name).unwrap()
}

#[test]
fn each_policy_in_a_row() {
    let mut fixture = Fixture::new();
    let batch = Batch::new(&mut fixture, 5, 3);
    let now = fixture.now;
    let names: Vec<Digest> = batch.held.iter().map(HeldCredential::digest).collect();
    let pool = |policy: PoolPolicy| CredentialPool::new(&batch.held, policy).unwrap();
    let take = |pool: &mut CredentialPool, name: &str| {
        pool.take(&to(name), now).ok().and_then(|taken| names.iter().position(|name| *name == taken))
    };
    let mut once = pool(PoolPolicy::OnceOnly);
    let taken = ["a", "a", "b", "a"].map(|name| take(&mut once, name));
    assert_eq!(taken, [Some(0), Some(1), Some(2), None]);
    assert_eq!(once.take(&to("a"), now), Err(PoolError::Empty));
    let mut again = once.allow_reuse(LinkableByVerifiers);
    assert!(take(&mut again, "a").is_some());

    let mut each = pool(PoolPolicy::PerVerifier);
    let taken = ["a", "b", "a", "c", "b", "d", "a"].map(|name| take(&mut each, name));
    assert_eq!(taken, [Some(0), Some(1), Some(0), Some(2), Some(1), None, Some(0)]);

    let mut timed = pool(PoolPolicy::LimitedTime);
    let taken = ["a", "b", "a"].map(|name| take(&mut timed, name));
    assert_eq!(taken, [Some(0); 3]);
    // All expire at the same moment, reuse or not.
    let end = batch.held[0].expires_at().unwrap();
    let mut timed = timed.allow_reuse(LinkableByVerifiers);
    assert!(timed.take(&to("a"), Timestamp::from_secs(end.secs() - 1)).is_ok());
    assert_eq!(timed.take(&to("a"), end), Err(PoolError::Empty));
    assert_eq!(timed.drop_expired(end), names);
    assert_eq!(timed.left(now), 0);
}

#[test]
fn a_quarter_left_calls_for_more() {
    let mut fixture = Fixture::new();
    let batch = Batch::new(&mut fixture, 5, 8);
    let now = fixture.now;
    let mut pool = CredentialPool::new(&batch.held, PoolPolicy::OnceOnly).unwrap();
    let mut due = Vec::new();
    while pool.take(&to("a"), now).is_ok() {
        due.push((pool.left(now), pool.refill_due(now)));
    }
    let want = [(7, false), (6, false), (5, false), (4, false), (3, false), (2, true), (1, true), (0, true)];
    assert_eq!(due, want);
    let more = Batch::new(&mut fixture, 6, 8);
    pool.refill(&more.held).unwrap();
    assert_eq!((pool.left(now), pool.refill_due(now)), (8, false));
    // The same batch once more would be shown a second time.
    assert_eq!(pool.refill(&batch.held), Err(PoolError::Linkable));
    assert_eq!(pool.left(now), 8);
    assert!(CredentialPool::new(&[], PoolPolicy::OnceOnly).unwrap().refill_due(now));
}

#[test]
fn two_credentials_of_one_key_are_no_batch() {
    let mut fixture = Fixture::new();
    let pair = [fixture.held(), fixture.held()];
    assert_eq!(CredentialPool::new(&pair, PoolPolicy::OnceOnly).unwrap_err(), PoolError::Linkable);
}

#[test]
fn a_pool_is_read_as_it_was_written_and_no_other() {
    let mut fixture = Fixture::new();
    let batch = Batch::new(&mut fixture, 5, 3);
    for policy in [PoolPolicy::LimitedTime, PoolPolicy::OnceOnly, PoolPolicy::PerVerifier] {
        let mut pool = CredentialPool::new(&batch.held, policy).unwrap().allow_reuse(LinkableByVerifiers);
        pool.take(&to("a"), fixture.now).unwrap();
        let bytes = pool.to_bytes();
        assert_eq!(CredentialPool::parse(&bytes), Some(pool));
        for bad in deedbox_testkit::tamper::all(&bytes) {
            if let Some(pool) = CredentialPool::parse(&bad) {
                assert_eq!(pool.to_bytes(), bad);
            }
        }
    }
    // A copy twice, a verifier of a copy that was never shown, or under a policy that asks for none.
    let copy = |w: &mut Writer, n: u8, uses: u64, verifier: Option<u8>| {
        w.array(5).bytes(&[n; 32]).bytes(&[n; 32]).null().uint(uses);
        match verifier {
            Some(n) => w.bytes(&[n; 32]),
            None => w.null(),
        };
    };
    let parse = |policy: u64, copies: &[(u8, u64, Option<u8>)]| {
        let bytes = map(|to| {
            to.int(1, |w| unit(w.uint(1))).int(2, |w| unit(w.uint(policy))).int(3, |w| unit(w.bool(false))).int(
                4,
                |w| {
                    w.array(copies.len());
                    copies.iter().for_each(|(n, uses, verifier)| copy(w, *n, *uses, *verifier));
                },
            );
        });
        CredentialPool::parse(&bytes).is_some()
    };
    assert!(parse(1, &[(1, 2, Some(9)), (2, 0, None)]));
    assert!(!parse(1, &[(1, 2, None), (1, 0, None)]));
    assert!(!parse(1, &[(1, 0, Some(9))]));
    assert!(!parse(0, &[(1, 2, Some(9))]));
    assert!(!parse(3, &[]));
}

proptest! {
    #[test]
    fn a_pool_shows_what_a_list_of_pairs_would(
        policy in 0..3_usize,
        verifiers in proptest::collection::vec(0..4_usize, 0..12),
    ) {
        let policy = [PoolPolicy::OnceOnly, PoolPolicy::PerVerifier, PoolPolicy::LimitedTime][policy];
        let mut fixture = Fixture::new();
        let batch = Batch::new(&mut fixture, 5, 4);
        let mut pool = CredentialPool::new(&batch.held, policy).unwrap();
        // Who saw which copy, in order.
        let mut seen: Vec<(usize, Digest)> = Vec::new();
        for verifier in verifiers {
            let taken = pool.take(&to(&format!("verifier {verifier}")), fixture.now);
            let used: BTreeSet<Digest> = seen.iter().map(|(_, name)| *name).collect();
            let known = match policy {
                PoolPolicy::OnceOnly => None,
                PoolPolicy::PerVerifier => seen.iter().find(|(who, _)| *who == verifier),
                _ => seen.first(),
            };
            match (known, taken) {
                (Some((_, name)), taken) => prop_assert_eq!(taken, Ok(*name)),
                (None, Ok(name)) => prop_assert!(!used.contains(&name)),
                (None, Err(error)) => prop_assert_eq!((error, used.len()), (PoolError::Empty, 4)),
            }
            seen.extend(taken.ok().map(|name| (verifier, name)));
            // Stored and restored at each step.
            pool = CredentialPool::parse(&pool.to_bytes()).unwrap();
        }
    }
}
