use alloc::{format, vec, vec::Vec};
use core::ops::Range;

use deedbox_crypto::aead::Cipher;
use deedbox_testkit::rng::SeededRng;

use super::*;
use crate::{Header, Share, test_util, test_util::two_key};

/// A secret of each type.
struct Secrets {
    words: Passphrase<'static>,
    account: AccountSecret,
    outside: OutsideSecret,
    phrase: RecoveryPhrase,
    recipient: RecipientSecret,
    threshold: ThresholdSecret,
    shares: Vec<Share>,
}

impl Secrets {
    fn right() -> Self {
        Self::of(Passphrase::new("correct horse battery staple"), 100)
    }

    fn wrong() -> Self {
        Self::of(Passphrase::new("correct horse battery stable"), 200)
    }

    fn of(words: Passphrase<'static>, seed: u64) -> Self {
        let rng = &mut SeededRng::new(seed);
        let (threshold, shares) = ThresholdSecret::split(2, 3, rng).unwrap();
        Self {
            words,
            account: AccountSecret::generate(rng),
            outside: OutsideSecret::generate(rng),
            phrase: RecoveryPhrase::generate(rng),
            recipient: RecipientSecret::generate(rng).unwrap(),
            threshold,
            shares,
        }
    }

    fn slots(&self) -> [NewSlot<'_>; 6] {
        [
            NewSlot::Passphrase { passphrase: &self.words, account_secret: &self.account, cost: PassphraseCost::FLOOR },
            NewSlot::PassphraseOnly { passphrase: &self.words, cost: PassphraseCost::FLOOR_ALONE },
            NewSlot::Outside { secret: &self.outside, credential_id: Some(b"credential") },
            NewSlot::Phrase(&self.phrase),
            NewSlot::Recipient(self.recipient.public()),
            NewSlot::Threshold(&self.threshold),
        ]
    }

    fn unlocks(&self) -> [Unlock<'_>; 6] {
        [
            Unlock::Passphrase { passphrase: &self.words, account_secret: &self.account },
            Unlock::PassphraseOnly(&self.words),
            Unlock::Outside(&self.outside),
            Unlock::Phrase(&self.phrase),
            Unlock::Recipient(&self.recipient),
            Unlock::Threshold(&self.threshold),
        ]
    }
}

fn root() -> Root {
    Root::generate(StoreId::from_bytes([1; 16]), &mut SeededRng::new(1))
}

fn header(secrets: &Secrets) -> Header {
    let header = Header::create(&root(), &secrets.slots(), &mut SeededRng::new(2)).unwrap();
    Header::parse(header.bytes()).unwrap()
}

/// The code of the outcome, and how many keys were derived for it.
fn outcome(header: &Header, slot: &SlotId, with: &Unlock<'_>) -> (&'static str, u64) {
    let before = test_util::derivations();
    let result = header.unlock(slot, with);
    let code = match &result {
        Ok(opened) => {
            assert_eq!(opened.secret().expose(), root().secret().expose());
            "ok"
        }
        Err(error) => error.code(),
    };
    (code, test_util::derivations() - before)
}

/// A header of `slot` alone, as a holder of the root would write it.
fn alone(slot: Slot) -> Header {
    Header::parse(Header::write(&root(), 1, vec![slot], vec![]).unwrap().bytes()).unwrap()
}

#[test]
fn each_type_opens_with_its_secret_only() {
    let (right, wrong) = (Secrets::right(), Secrets::wrong());
    let header = header(&right);
    for (slot, (with, other)) in header.slots().iter().zip(right.unlocks().iter().zip(wrong.unlocks())) {
        // Two for a passphrase: the hashing, and the key of what is wrapped.
        let derived = if slot.slot_type().number() < 3 { 2 } else { 1 };
        assert_eq!(outcome(&header, slot.id(), with), ("ok", derived), "{:?}", slot.slot_type());
        assert_eq!(outcome(&header, slot.id(), &other), ("Rejected", derived), "{:?}", slot.slot_type());
    }
}

#[test]
fn a_secret_of_another_type_is_named_before_any_key_is_derived() {
    let secrets = Secrets::right();
    let header = header(&secrets);
    for (number, slot) in header.slots().iter().enumerate() {
        for (other, with) in secrets.unlocks().iter().enumerate().filter(|(other, _)| *other != number) {
            assert_eq!(outcome(&header, slot.id(), with), ("WrongMethod", 0), "type {} by {}", number + 1, other + 1);
        }
    }
}

/// Whoever alters what is wrapped learns nothing about the secret: error and work are those of a wrong one.
#[test]
fn an_altered_slot_and_a_wrong_secret_look_the_same() {
    let (right, wrong) = (Secrets::right(), Secrets::wrong());
    for (slot, (with, other)) in header(&right).slots().iter().zip(right.unlocks().iter().zip(wrong.unlocks())) {
        let want = outcome(&alone(slot.clone()), slot.id(), &other);
        assert_eq!(want.0, "Rejected");
        // Salt, commitment, what is sealed, its tag.
        for byte in [8, 31, 32, 63, 64, 95, 96, 111] {
            let mut altered = slot.clone();
            altered.wrapped[byte] ^= 0x10;
            assert_eq!(outcome(&alone(altered), slot.id(), with), want, "{:?}, byte {byte}", slot.slot_type());
        }
    }
}

/// Every bit of every field, whoever altered it without the root: the root is not given, and the error is that of the field.
#[test]
fn each_field_of_each_type_is_covered() {
    let secrets = Secrets::right();
    for (slot, with) in header(&secrets).slots().iter().zip(secrets.unlocks()) {
        let header = alone(slot.clone());
        assert_eq!(outcome(&header, slot.id(), &with).0, "ok");
        let params = params_in(&header, slot);
        let wrapped = params.end + 2..params.end + 2 + WRAPPED;
        // A passphrase takes a while: every bit that decides the cost of a type 1 slot, and some of the rest.
        let stride = match slot.slot_type() {
            SlotType::Passphrase => 37,
            SlotType::PassphraseOnly => 149,
            _ => 1,
        };
        let named: &[&str] = match slot.slot_type() {
            SlotType::Passphrase | SlotType::PassphraseOnly => {
                &["Malformed", "WeakParameters", "ParametersTooCostly", "Rejected"]
            }
            SlotType::Outside | SlotType::Threshold => &["Malformed", "HeaderTampered"],
            SlotType::Phrase => &["Malformed"],
            SlotType::Recipient => &["Malformed", "Rejected"],
        };
        let fields: [(Range<usize>, &[&str]); 4] = [
            (params.start - 18..params.start - 17, &["Malformed", "WrongMethod"]),
            (params.start - 16..params.start, &["Rejected"]),
            (params.clone(), named),
            (wrapped, &["Rejected"]),
        ];
        for (field, codes) in fields {
            let costs = slot.slot_type() == SlotType::Passphrase && field == params;
            let end = if costs { field.start + 12 } else { field.end };
            for bit in (field.start * 8..end * 8).step_by(if costs { 1 } else { stride }) {
                let mut altered = header.bytes().to_vec();
                altered[bit / 8] ^= 1 << (bit % 8);
                let code = match Header::parse(&altered) {
                    Ok(header) => outcome(&header, header.slots()[0].id(), &with).0,
                    Err(error) => error.code(),
                };
                assert!(codes.contains(&code), "{:?}, byte {} of {field:?}: {code}", slot.slot_type(), bit / 8);
            }
        }
    }
}

fn params_in(header: &Header, slot: &Slot) -> Range<usize> {
    let params = [slot.id.as_bytes().as_slice(), slot.params.bytes()].concat();
    let at = header.bytes().windows(params.len()).position(|window| window == params).unwrap();
    at + 16..at + params.len()
}

/// One wrapped root that decrypts under two persons' phrases, or two guesses: the commitment lets it open with one.
#[test]
fn what_decrypts_under_two_secrets_opens_with_one() {
    let phrases = [Secrets::right().phrase, Secrets::wrong().phrase];
    let mut slot = header(&Secrets::right()).slots()[3].clone();
    let place = Place::slot(root().store(), slot.id.as_bytes());
    let prefix: [u8; 8] = slot.wrapped[..8].try_into().unwrap();
    let okms = phrases.each_ref().map(|phrase| {
        let secret = kdf::extract(&NO_SALT, phrase.entropy());
        let kek = kek(&secret, SlotType::Phrase, root().store(), &slot.id, root().epoch());
        two_key::okm(&kek, &prefix, &[5; 24], &place)
    });
    let body = two_key::body::<2>(&okms);
    for okm in &okms {
        let (text, tag) = body.split_last_chunk::<16>().unwrap();
        let (key, nonce) = (okm.first_chunk().unwrap(), okm[32..].first_chunk().unwrap());
        Cipher::new(key).open_in_place(nonce, &[], &mut text.to_vec(), tag).unwrap();
    }
    slot.wrapped[8..32].copy_from_slice(&[5; 24]);
    slot.wrapped[64..].copy_from_slice(&body);
    for (committed, okm) in okms.iter().enumerate() {
        slot.wrapped[32..64].copy_from_slice(&okm[44..]);
        let header = alone(slot.clone());
        for (n, phrase) in phrases.iter().enumerate() {
            // Whom it is committed to gets no root either: the header's MAC is not that of what came out.
            let want = if n == committed { "HeaderTampered" } else { "Rejected" };
            assert_eq!(outcome(&header, &slot.id, &Unlock::Phrase(phrase)).0, want);
        }
    }
}

/// A header of the first version, which another implementation opened too: `tests/golden/README.md`.
#[test]
fn the_golden_header_opens_with_each_of_its_secrets() {
    let bytes = |hex: &str| -> Vec<u8> {
        hex.as_bytes().chunks(2).map(|hex| u8::from_str_radix(str::from_utf8(hex).unwrap(), 16).unwrap()).collect()
    };
    let header = Header::parse(include_bytes!("../../tests/golden/v1/six-slots.cbor")).unwrap();
    let shares = [
        "84509fa4f08df34af7ad6200723bd3928bd602035820492ed0667f73a8d1046ee0aeacca21ce95d0be9bcb70c7467d3728f9dd9a2b7e",
        "84509fa4f08df34af7ad6200723bd3928bd6020158209f1aea9aa05ffca4af6dde5e5d92ce77f683003bd30ad1c424df35b53e5f6385",
    ]
    .map(|share| Share::decode(&bytes(share)).unwrap());
    let secrets = Secrets {
        words: Passphrase::new("correct horse battery staple"),
        account: AccountSecret::from_bytes([0x11; 16]),
        outside: OutsideSecret::from_bytes([0x33; 32]),
        phrase: RecoveryPhrase::parse(&(["abandon"; 23].join(" ") + " art")).unwrap(),
        recipient: RecipientSecret::from_seed(&SecretBytes::from_bytes([0x55; 32])).unwrap(),
        threshold: ThresholdSecret::join(&header.slots()[5].threshold().unwrap(), &shares).unwrap(),
        shares: Vec::new(),
    };
    for (slot, with) in header.slots().iter().zip(secrets.unlocks()) {
        let root = header.unlock(slot.id(), &with).unwrap();
        let want = bytes("48c1cc4d8bba1e3cafbbf4d4829d7ad051b6c92f1c6afec5a7cf4fe1f6d8504f");
        assert_eq!(root.secret().expose().as_slice(), want, "{:?}", slot.slot_type());
    }
}

/// What a slot goes on with when the key is not its recipient's is known to everybody. It must open nothing.
#[test]
fn a_root_wrapped_for_no_key_opens_with_none() {
    let (mine, host) = (Secrets::right(), Secrets::wrong());
    let new = NewSlot::Recipient(host.recipient.public());
    let mut slot = Slot::make(SlotId::from_bytes([9; 16]), &new, &root(), &mut SeededRng::new(3)).unwrap();
    let kek = kek(&kdf::extract(&NO_SALT, &[0; 32]), SlotType::Recipient, root().store(), &slot.id, root().epoch());
    let (place, mut wrapped) = (Place::slot(root().store(), slot.id.as_bytes()), Vec::new());
    seal_at(&kek, &place, Kind::Slot, root().secret().expose(), &mut SeededRng::new(4), &mut wrapped).unwrap();
    slot.wrapped.copy_from_slice(&wrapped);
    assert_eq!(outcome(&alone(slot.clone()), &slot.id, &Unlock::Recipient(&mine.recipient)), ("Rejected", 1));
}

#[test]
fn a_slot_tells_what_to_ask_for() {
    let secrets = Secrets::right();
    let header = header(&secrets);
    let [.., outside, _, recipient, threshold] = header.slots() else { panic!("six slots") };
    assert_eq!(outside.credential_id(), Some(&b"credential"[..]));
    assert_eq!(recipient.recipient(), Some(secrets.recipient.public().thumbprint()));
    assert_eq!(threshold.threshold(), Some(*secrets.threshold.threshold()));
    for slot in header.slots() {
        let told = [slot.credential_id().is_some(), slot.recipient().is_some(), slot.threshold().is_some()];
        let kind = slot.slot_type();
        let own = [SlotType::Outside, SlotType::Recipient, SlotType::Threshold].map(|other| kind == other);
        assert_eq!(told, own, "{kind:?}");
    }
}

#[test]
fn a_credential_is_named_within_its_length_or_not_at_all() {
    let secret = Secrets::right().outside;
    let make = |credential_id| {
        let new = NewSlot::Outside { secret: &secret, credential_id };
        Header::create(&root(), &[new], &mut SeededRng::new(2))
    };
    for id in [None, Some(&[7][..]), Some(&[7; 1_023])] {
        let header = Header::parse(make(id).unwrap().bytes()).unwrap();
        assert_eq!(header.slots()[0].credential_id(), id);
        assert_eq!(outcome(&header, header.slots()[0].id(), &Unlock::Outside(&secret)).0, "ok");
    }
    for id in [&[][..], &[7; 1_024]] {
        assert_eq!(make(Some(id)).err(), Some(UnlockError::Limit));
    }
    // Each store asks a credential for another value.
    let input = OutsideSecret::prf_input(&StoreId::from_bytes([1; 16]));
    assert_eq!(input, [&b"deedbox/1 slot-prf\0"[..], &[1; 16]].concat());
}

/// What was sealed to a device for one slot, store or root opens for no other.
#[test]
fn what_was_sealed_to_a_key_stays_in_its_slot() {
    let secrets = Secrets::right();
    let slot = header(&secrets).slots()[4].clone();
    let with = Unlock::Recipient(&secrets.recipient);
    let moved = Slot { id: SlotId::from_bytes([9; 16]), ..slot.clone() };
    assert_eq!(outcome(&alone(moved), &SlotId::from_bytes([9; 16]), &with), ("Rejected", 1));
    for (store, epoch) in [([9; 16], 1), ([1; 16], 2)] {
        let opened = slot.open(&with, &StoreId::from_bytes(store), Epoch::new(epoch).unwrap());
        assert_eq!(opened.err(), Some(UnlockError::Rejected));
    }
    assert!(slot.open(&with, root().store(), Epoch::FIRST).is_ok());
    // Already HPKE refuses, by its info.
    let params = recipient::Params::read(&slot.params).unwrap();
    let opens = |store, id, epoch| {
        let info = recipient::info(&StoreId::from_bytes(store), &id, Epoch::new(epoch).unwrap());
        params.open(&secrets.recipient, &info).is_some()
    };
    assert!(opens([1; 16], slot.id, 1));
    assert!(
        !opens([9; 16], slot.id, 1) && !opens([1; 16], SlotId::from_bytes([9; 16]), 1) && !opens([1; 16], slot.id, 2)
    );
}

#[test]
fn a_recipients_parameters_are_of_one_piece() {
    let secrets = Secrets::right();
    let slot = header(&secrets).slots()[4].clone();
    let other = Secrets::wrong().recipient.public().clone();
    let written = |entries: &[(i64, &[u8])]| {
        let mut writer = Writer::new();
        writer.map(|map| {
            for (key, value) in entries {
                map.int(*key, |w| {
                    w.bytes(value);
                });
            }
        });
        let params = ItemBuf::parse(writer.as_slice(), &PARAMS).unwrap();
        outcome(&alone(Slot { params, ..slot.clone() }), &slot.id, &Unlock::Recipient(&secrets.recipient))
    };
    let map = slot.params.as_item().as_map().unwrap();
    let [name, enc, sealed, key] = [1, 2, 3, 4].map(|n| map.get_int(n).unwrap().as_bytes().unwrap());
    assert_eq!(written(&[(1, name), (2, enc), (3, sealed), (4, key)]), ("ok", 1));
    let other_name = other.thumbprint();
    let (other_name, other_key) = (other_name.as_bytes(), other.as_xwing().to_bytes());
    for wrong in [
        &[(1, &other_name[..]), (2, enc), (3, sealed), (4, key)][..],
        &[(1, name), (2, enc), (3, sealed), (4, &other_key)],
        &[(1, name), (2, enc), (3, sealed), (4, &[0xff; 1216])],
        &[(1, &name[1..]), (2, enc), (3, sealed), (4, key)],
        &[(1, name), (2, &enc[1..]), (3, sealed), (4, key)],
        &[(1, name), (2, enc), (3, &sealed[1..]), (4, key)],
        &[(1, name), (2, enc), (3, sealed), (4, &key[1..])],
        &[(1, name), (2, enc), (3, sealed)],
        &[(1, name), (2, enc), (3, sealed), (4, key), (5, &[])],
    ] {
        assert_eq!(written(wrong), ("Malformed", 0));
    }
}

#[test]
fn thresholds_out_of_bounds_are_refused() {
    let secrets = Secrets::right();
    let slot = header(&secrets).slots()[5].clone();
    let written = |k: u64, n: u64, set: usize| {
        let mut writer = Writer::new();
        writer.map(|map| {
            map.int(1, |w| {
                w.uint(k);
            });
            map.int(2, |w| {
                w.uint(n);
            });
            map.int(3, |w| {
                w.bytes(&vec![1; set]);
            });
        });
        let params = ItemBuf::parse(writer.as_slice(), &PARAMS).unwrap();
        let header = alone(Slot { params, ..slot.clone() });
        assert_eq!(header.slots()[0].threshold().is_some(), 2 <= k && k <= n && n < 256 && set == 16);
        outcome(&header, &slot.id, &Unlock::Threshold(&secrets.threshold)).0
    };
    // Not what the shares are of; the slot opens all the same, and the header is not the one that was written.
    assert_eq!(written(255, 255, 16), "ok");
    for (k, n, set) in [(0, 3, 16), (1, 3, 16), (4, 3, 16), (2, 256, 16), (2, 3, 15)] {
        assert_eq!(written(k, n, set), "Malformed", "{k} of {n}");
    }
}

/// The way of a share: made, sent, kept, sent back, joined, and one contact who sends something else.
#[test]
fn any_two_of_three_contacts_open_and_a_wrong_share_does_not() {
    let secrets = Secrets::right();
    let header = header(&secrets);
    let slot = &header.slots()[5];
    let sent: Vec<_> = secrets.shares.iter().map(Share::encode).collect();
    let with = |bytes: &[&[u8]]| {
        let shares: Vec<_> = bytes.iter().map(|bytes| Share::decode(bytes).unwrap()).collect();
        let joined = ThresholdSecret::join(&slot.threshold().unwrap(), &shares).unwrap();
        outcome(&header, slot.id(), &Unlock::Threshold(&joined))
    };
    for (one, other) in [(0, 1), (1, 2), (2, 0)] {
        assert_eq!(with(&[&sent[one], &sent[other]]), ("ok", 1));
    }
    let mut wrong = sent[1].to_vec();
    *wrong.last_mut().unwrap() ^= 1;
    assert_eq!(with(&[&sent[0], &wrong]), ("Rejected", 1));
    // With a third contact the person finds out whose it was.
    assert_eq!(with(&[&sent[0], &sent[2], &wrong]), ("ok", 1));
}

#[test]
fn secrets_print_nothing() {
    let secrets = Secrets::right();
    let [.., outside, _, recipient, threshold] = secrets.unlocks();
    assert_eq!(
        format!("{outside:?} {recipient:?} {threshold:?}"),
        "Outside(OutsideSecret { .. }) Recipient(RecipientSecret { .. }) Threshold(ThresholdSecret { .. })"
    );
    let [.., recipient, threshold] = secrets.slots();
    assert_eq!(
        format!("{recipient:?} {threshold:?}"),
        "Recipient(RecipientKey { .. }) Threshold(ThresholdSecret { .. })"
    );
}
