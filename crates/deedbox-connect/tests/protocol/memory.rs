//! What a record costs in memory, counted.

use allocation_counter::measure;
use deedbox_connect::{Body, ConnectionsRoot, Wish};
use deedbox_testkit::rng::SeededRng;

use super::met::{NOW, met};

#[test]
fn a_record_is_sealed_in_one_allocation_of_about_its_length() {
    let mut rng = SeededRng::new(1);
    let (_, mut ours, mut theirs) = met(&ConnectionsRoot::generate(&mut rng), Wish::default(), &mut rng);
    for len in [0, 1, 23, 24, 255, 256, 1_024, 65_535, 65_536, 1_000_000] {
        let body = Body::Data { media: "application/cbor".into(), content: vec![7; len] };
        let mut record = None;
        let taken = measure(|| record = Some(ours.session.seal(&body, NOW)));
        assert_eq!(taken.count_total, 1, "{len}");
        assert!(taken.bytes_total <= u64::try_from(len).unwrap() + 128, "{len}");
        // And it opens to the same: the length was counted right.
        assert_eq!(theirs.session.open(&record.unwrap().unwrap(), NOW).unwrap(), body);
    }
}
