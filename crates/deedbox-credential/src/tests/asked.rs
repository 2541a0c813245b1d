//! Queries: the least that answers, what is asked too much, and the same check after verification.

use proptest::prelude::*;

use super::*;

fn licence() -> ClaimSet {
    let address = ClaimMap::new().redactable("street", "Canary Row 1").redactable("city", "Bern");
    ClaimSet::builder()
        .claim("kind", "licence")
        .redactable("birth_date", "1990-05-17")
        .redactable("age_over_18", true)
        .redactable("age_over_21", true)
        .redactable("age_over_65", false)
        .redactable("categories", ClaimArray::new().redactable("A").redactable("B"))
        .redactable("address", address)
        .redactable("resident_in_ch", true)
        .redactable("income", 100)
        .redactable("valid_until", "2040-01-01")
        .build()
        .unwrap()
}

fn held(fixture: &mut Fixture, claims: ClaimSet) -> HeldCredential {
    let bytes = fixture.issue(claims);
    fixture.accept(&bytes).unwrap()
}

fn query() -> Query {
    Query::new(LICENCE, "to rent a car")
}

fn shown(selection: Result<Selection, QueryError>) -> Vec<ClaimPath> {
    selection.unwrap().disclosed_paths()
}

#[test]
fn an_age_is_answered_by_the_nearest_boolean_and_never_by_the_birth_date() {
    let mut fixture = Fixture::new();
    let held = held(&mut fixture, licence());
    for (age, by, answer) in [
        (17, "age_over_18", true),
        (18, "age_over_18", true),
        (19, "age_over_21", true),
        (21, "age_over_21", true),
        (65, "age_over_65", false),
        (70, "age_over_65", false),
    ] {
        let selection = query().ask_age(age).select(&held);
        assert_eq!(selection.as_ref().unwrap().revealed().is_at_least(age), Ok(answer), "{age}");
        assert_eq!(shown(selection), [claim_path![by]], "{age}");
    }
    // Nothing says whether somebody over 21 and under 65 is 22.
    for age in [22, 64] {
        assert_eq!(query().ask_age(age).select(&held).unwrap_err(), QueryError::Unmet, "{age}");
    }
    assert_eq!(held.claims().is_at_least(22), Err(ClaimError::Missing));
    let only_birth = ClaimSet::builder().redactable("birth_date", "1990-05-17").build().unwrap();
    let held = self::held(&mut fixture, only_birth);
    assert_eq!(query().ask_age(18).select(&held).unwrap_err(), QueryError::Unmet);
}

#[test]
fn names_that_only_look_like_ages_answer_nothing() {
    let mut fixture = Fixture::new();
    let odd = ["age_over_1", "age_over_018", "age_over_+18", "age_over_256", "age_over_", "age_over_1x", "Age_over_18"];
    let set = odd.iter().fold(ClaimSet::builder(), |set, name| set.redactable(*name, true));
    let held = held(&mut fixture, set.redactable("age_over_40", "yes").build().unwrap());
    assert_eq!(query().ask_age(1).select(&held).unwrap_err(), QueryError::Unmet);
    for name in ["age_over_05", "age_over_18", "age_over_120"] {
        let held = self::held(&mut fixture, ClaimSet::builder().redactable(name, true).build().unwrap());
        assert!(query().ask_age(1).select(&held).is_ok(), "{name}");
    }
}

#[test]
fn only_what_is_asked_and_what_stands_above_is_shown() {
    let mut fixture = Fixture::new();
    let held = held(&mut fixture, licence());
    let select = |query: Query| shown(query.select_allowing(&held, &[claim_path!["address", "city"]]));
    assert_eq!(select(query().ask(claim_path!["kind"])), []);
    assert_eq!(select(query().ask(claim_path!["valid_until"])), [claim_path!["valid_until"]]);
    let categories = [claim_path!["categories"], claim_path!["categories", 0], claim_path!["categories", 1]];
    assert_eq!(select(query().ask(claim_path!["categories", ()])), categories);
    let city = [claim_path!["address"], claim_path!["address", "city"]];
    assert_eq!(select(query().ask(claim_path!["address", "city"])), city);
    assert_eq!(select(query().ask(claim_path!["kind"]).ask_if_there(claim_path!["nothing"])), []);
    let unmet = |query: Query| query.select(&held).unwrap_err();
    assert_eq!(unmet(query().ask(claim_path!["nothing"])), QueryError::Unmet);
    assert_eq!(unmet(query().ask(claim_path!["categories", 2])), QueryError::Unmet);
    assert_eq!(unmet(query().ask(claim_path!["kind", "of"])), QueryError::Unmet);
    assert_eq!(unmet(Query::new(Vct::number(1), "").ask(claim_path!["kind"])), QueryError::Type);
    let either = Query::new(Vct::number(1), "").or_type(LICENCE).ask(claim_path!["kind"]);
    assert_eq!(select(either), []);
}

#[test]
fn a_base_claim_with_lesser_ones_is_over_asked_unless_the_person_allows_it() {
    let mut fixture = Fixture::new();
    let held = held(&mut fixture, licence());
    let ages = ["age_over_18", "age_over_21", "age_over_65"].map(|name| claim_path![name]);
    for (path, instead) in [
        (claim_path!["birth_date"], &ages[..]),
        (claim_path!["address"], &[claim_path!["resident_in_ch"]]),
        (claim_path!["address", "city"], &[claim_path!["resident_in_ch"]]),
    ] {
        let query = query().ask(path.clone());
        let refused = query.select(&held).unwrap_err();
        assert_eq!(refused.code(), "OverAsked");
        let QueryError::OverAsked { instead: mut got } = refused else { panic!("over-asked") };
        got.sort();
        assert_eq!(got, instead);
        assert!(query.select_allowing(&held, core::slice::from_ref(&path)).is_ok());
        let other = claim_path!["something else"];
        assert!(query.select_allowing(&held, &[other]).is_err());
    }
    // There is nothing lesser than this income, and a birth date that everybody sees is no more to be kept.
    assert!(query().ask(claim_path!["income"]).select(&held).is_ok());
    let open = ClaimSet::builder().claim("birth_date", "1990-05-17").redactable("age_over_18", true).build().unwrap();
    let held = self::held(&mut fixture, open);
    assert!(query().ask(claim_path!["birth_date"]).select(&held).is_ok());
}

#[test]
fn the_selection_says_all_that_would_be_revealed() {
    let mut fixture = Fixture::new();
    let held = held(&mut fixture, licence());
    let selection = query().ask_age(18).select(&held).unwrap();
    let revealed = selection.revealed();
    assert_eq!(revealed.at(&claim_path!["kind"]).unwrap().as_text(), Ok("licence"));
    assert_eq!(revealed.at(&claim_path!["age_over_18"]).unwrap().as_bool(), Ok(true));
    assert_eq!(revealed.at(&claim_path![1]).unwrap().as_text(), Ok(ISS));
    for hidden in ["birth_date", "age_over_21", "address", "valid_until"] {
        assert_eq!(revealed.at(&claim_path![hidden]).unwrap_err(), ClaimError::Missing);
    }
    // And that is what arrives.
    let kbt = held.present(&selection, &audience(), &nonce(), &fixture.holder, fixture.now).unwrap();
    let accepted = fixture.verify(&kbt).unwrap().accept_unlisted().unwrap();
    assert_eq!(accepted.claims(), revealed);
    assert_eq!(accepted.disclosed_paths(), selection.disclosed_paths());
}

#[test]
fn the_credential_that_says_least_answers() {
    let mut fixture = Fixture::new();
    let talkative = ClaimSet::builder().claim("name", "Ada").redactable("age_over_18", true).build().unwrap();
    let terse = || ClaimSet::builder().redactable("age_over_18", true).build().unwrap();
    let long = CredentialTemplate::new(LICENCE, 10 * 86_400);
    let issue = |fixture: &mut Fixture, template: &CredentialTemplate, claims: ClaimSet| {
        let key = fixture.holder.public();
        let issued = Issuer::new(ISS, &fixture.issuer)
            .issue(template, claims, key, None, fixture.now, &mut fixture.rng)
            .unwrap();
        fixture.accept(issued.as_bytes()).unwrap()
    };
    let held = [
        issue(&mut fixture, &Fixture::template(), talkative),
        issue(&mut fixture, &long, terse()),
        issue(&mut fixture, &Fixture::template(), terse()),
        issue(&mut fixture, &CredentialTemplate::new(Vct::number(1), 60), terse()),
    ];
    let (chosen, selection) = query().ask_age(18).choose(&held, &[]).unwrap();
    assert_eq!(chosen.digest(), held[2].digest());
    assert_eq!(selection.disclosed(), 1);
    let why = |query: Query, held: &[HeldCredential]| query.choose(held, &[]).unwrap_err();
    assert_eq!(why(query().ask_age(30), &held), QueryError::Unmet);
    assert_eq!(why(query().ask_age(18), &held[3..]), QueryError::Type);
    assert_eq!(why(query().ask_age(18), &[]), QueryError::Type);
    let full = [self::held(&mut fixture, licence())];
    assert_eq!(why(query().ask(claim_path!["birth_date"]), &full).code(), "OverAsked");
    assert!(query().ask(claim_path!["birth_date"]).choose(&full, &[claim_path!["birth_date"]]).is_ok());
}

#[test]
fn a_verifier_checks_the_answer_with_the_same_query() {
    let mut fixture = Fixture::new();
    let held = held(&mut fixture, licence());
    let accept = |query: &Query| {
        let selection = query.select(&held).unwrap();
        let kbt = held.present(&selection, &audience(), &nonce(), &fixture.holder, fixture.now).unwrap();
        fixture.verify(&kbt).unwrap().accept_unlisted().unwrap()
    };
    let asked = query().ask_age(18).ask(claim_path!["categories", ()]).ask_if_there(claim_path!["nothing"]);
    let accepted = accept(&asked);
    assert_eq!(code(accepted.answers(&asked)), "ok");
    assert_eq!(code(accepted.answers(&query().ask_age(21))), "Policy.MissingClaim");
    assert_eq!(code(accepted.answers(&query().ask(claim_path!["valid_until"]))), "Policy.MissingClaim");
    assert_eq!(code(accepted.answers(&Query::new(Vct::number(1), "").ask_age(18))), "Policy.Vct");
    // "No" is an answer too; what it means is the verifier's to say.
    let old = query().ask_age(67);
    let accepted = accept(&old);
    assert_eq!(code(accepted.answers(&old)), "ok");
    assert_eq!(accepted.claims().is_at_least(67), Ok(false));
}

#[test]
fn what_the_log_needs_has_no_value_in_it() {
    let mut fixture = Fixture::new();
    let held = held(&mut fixture, licence());
    let selection = query().ask_age(18).ask(claim_path!["categories", 1]).select(&held).unwrap();
    let later = Timestamp::from_secs(fixture.now.secs() + 5);
    let kbt = held.present(&selection, &audience(), &nonce(), &fixture.holder, later).unwrap();
    let verifier = fixture.verifier().with_leeway(10);
    let accepted = verifier.verify(&kbt, challenge(), fixture.now).unwrap().accept_unlisted().unwrap();
    // Places count among what is shown: the one category shown is the first.
    let paths = [claim_path!["age_over_18"], claim_path!["categories"], claim_path!["categories", 0]];
    assert_eq!(accepted.disclosed_paths(), paths);
    assert_eq!(accepted.issuer_key(), fixture.issuer.public().thumbprint());
    assert_eq!(accepted.digest().as_bytes(), &deedbox_crypto::hash::sha256(&kbt));
    assert_eq!(accepted.issued_at(), Some(Timestamp::from_secs(HOUR)));
    assert_eq!(accepted.expires_at(), held.expires_at());
    assert_eq!(accepted.presented_at(), later);
}

#[test]
fn ages_from_birth_dates() {
    let at = |secs: u64| Timestamp::from_secs(secs);
    let over = |birth: &str, now: Timestamp, age: u8| derive_age_over(birth, now, &[age]).unwrap()[0].1;
    let (eve, day) = (at(1_800_057_599), at(1_800_057_600)); // 2027-01-15 23:59:59, 2027-01-16
    assert_eq!((over("2009-01-16", eve, 18), over("2009-01-16", day, 18)), (false, true));
    assert_eq!((over("2009-01-17", day, 18), over("2009-12-31", day, 17)), (false, true));
    // Born on a leap day: 28 February and 1 March 2027, and the leap day of 2028.
    let (february, march, leap) = (at(1_803_772_800), at(1_803_859_200), at(1_835_395_200));
    assert_eq!([february, march].map(|now| over("2008-02-29", now, 19)), [false, true]);
    assert_eq!([at(leap.secs() - 1), leap].map(|now| over("2008-02-29", now, 20)), [false, true]);
    assert!(over("1970-01-01", at(0), 0));
    assert!(!over("1970-01-02", at(0), 0));
    let names = derive_age_over("1990-05-17", day, &[5, 18, 120]).unwrap();
    assert!(names.into_iter().map(|(name, _)| name).eq(["age_over_05", "age_over_18", "age_over_120"]));
    for bad in [
        "",
        "1990",
        "1990-5-17",
        "1990-13-01",
        "1990-02-29",
        "1900-02-29",
        "1990-04-31",
        "1990-05-17Z",
        "+990-05-17",
        "1990-05-00",
    ] {
        assert_eq!(derive_age_over(bad, day, &[18]), Err(ClaimSetError::Type), "{bad}");
    }
    assert!(derive_age_over("2000-02-29", day, &[18]).is_ok());
}

#[test]
fn a_query_of_another_shape_is_refused() {
    let good = query().ask_age(18).ask_if_there(claim_path!["a", (), 7]).to_bytes();
    assert!(Query::parse(&good).is_ok());
    for bad in deedbox_testkit::tamper::all(&good) {
        if let Ok(query) = Query::parse(&bad) {
            assert_eq!(query.to_bytes(), bad);
        }
    }
    let parse = |asks: &dyn Fn(&mut Writer)| {
        let bytes = map(|to| {
            to.int(1, |w| unit(w.array(1).uint(5))).int(2, |w| asks(w)).int(3, |w| unit(w.text("p")));
        });
        Query::parse(&bytes).is_ok()
    };
    let ask = |w: &mut Writer, want: &dyn Fn(&mut Writer)| {
        w.array(1).map(|to| unit(to.int(1, |w| want(w))));
    };
    assert!(parse(&|w| ask(w, &|w| unit(w.array(2).uint(2).uint(255)))));
    assert!(!parse(&|w| ask(w, &|w| unit(w.array(2).uint(2).uint(256)))));
    assert!(!parse(&|w| ask(w, &|w| unit(w.array(2).uint(3).uint(1)))));
    assert!(!parse(&|w| ask(w, &|w| unit(w.array(2).uint(1).array(0)))));
    assert!(parse(&|w| ask(w, &|w| unit(w.array(2).uint(1).array(1).null()))));
    assert!(!parse(&|w| ask(w, &|w| unit(w.array(2).uint(1).array(1).bool(true)))));
    assert!(!parse(&|w| unit(w.array(0))));
    assert_eq!(Query::parse(&vec![0; 65_537]).unwrap_err(), QueryError::Malformed);
}

proptest! {
    #[test]
    fn a_query_is_read_as_it_was_written(
        ages in proptest::collection::vec(any::<u8>(), 1..4),
        names in proptest::collection::vec("[a-z]{1,5}", 0..4),
        number: u16,
    ) {
        let query = Query::new(LICENCE, "some purpose").or_type(Vct::number(number));
        let query = ages.iter().fold(query, |query, age| query.ask_age(*age));
        let query = names.iter().fold(query, |query, name| query.ask_if_there(claim_path![name.as_str(), 3, ()]));
        prop_assert_eq!(Query::parse(&query.to_bytes()), Ok(query));
    }

    #[test]
    fn the_answer_is_that_of_the_age_itself(age in 0_u8..120, known in proptest::collection::vec(0_u8..120, 0..6), asked: u8) {
        let mut fixture = Fixture::new();
        let mut known = known;
        known.sort_unstable();
        known.dedup();
        let set = known
            .iter()
            .fold(ClaimSet::builder(), |set, over| set.redactable(format!("age_over_{over:02}"), age >= *over));
        let held = held(&mut fixture, set.build().unwrap());
        // What can be answered is answered rightly, and everything that follows can be.
        let follows = known.iter().any(|over| if age >= *over { *over >= asked } else { *over <= asked });
        prop_assert_eq!(held.claims().is_at_least(asked).ok(), follows.then_some(age >= asked));
        let selection = query().ask_age(asked).select(&held);
        prop_assert_eq!(selection.ok().map(|selection| selection.disclosed()), follows.then_some(1));
    }
}
