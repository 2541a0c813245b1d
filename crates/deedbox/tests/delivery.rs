//! What an organisation delivers stays its word: verified, kept as it was signed, altered by nobody else; the person makes notes.

#[path = "shared/granted.rs"]
mod granted;
#[path = "shared/local.rs"]
mod local;
#[path = "shared/meet.rs"]
mod meet;

use deedbox::{
    exchange::Statement,
    host::MemoryStorage,
    parts::model::{Assurance, FieldPath, Name},
    person::{Person, Secret, Shared},
    provider::Provider,
};
use granted::{granted, permit_all};
use local::{Local, serve};
use meet::connect;
use pollster::block_on;

type Client = Local<MemoryStorage>;

const RECORD: &[u8] = br#"{"clinic": {"diagnosis": "C50.9", "ward": "7b"}}"#;

fn path(text: &str) -> FieldPath {
    FieldPath::parse(text).unwrap()
}

fn host() -> Client {
    serve(MemoryStorage::new())
}

#[test]
fn an_issuers_word_is_altered_by_nobody_else_and_the_person_notes_on_it() {
    block_on(async {
        let host = host();
        let (mut person, keepsake) = Person::create(host.clone(), "a passphrase").await.unwrap();
        person.import(br#"{"me": {"name": "Maren Holloway"}}"#, "myself").await.unwrap();
        let (clinic, bank) = (
            Provider::generate("https://clinic.example").unwrap(),
            Provider::generate("https://bank.example").unwrap(),
        );
        let (mut at_clinic, mut clinic_side) = connect(&mut person, &clinic, "clinic").await;
        let (mut at_bank, mut bank_side) = connect(&mut person, &bank, "bank").await;

        let delivery = clinic.deliver(&mut clinic_side, RECORD).unwrap();
        let taken = person.receive(&mut at_clinic, &delivery).await.unwrap();
        assert_eq!((taken.fields, taken.datasets), (2, vec!["clinic".to_owned()]));
        let (value, provenance) = person.value(&path("clinic.diagnosis")).unwrap();
        assert_eq!(value.as_item().as_str(), Some("C50.9"));
        assert_eq!(provenance.unwrap().assurance(), Assurance::Substantial);
        let (party, statement) = person.issued(&path("clinic.diagnosis")).unwrap();
        assert_eq!((party.as_str(), statement.value()), ("clinic", &value));
        assert_eq!(*statement.agreement(), clinic_side.agreement().hash());
        assert_eq!(person.issued(&path("me.name")).unwrap_err().code(), "NotFound");

        // Neither the person nor another organisation replaces it, nor is the person's own word replaced.
        let log = person.log().len();
        assert_eq!(person.import(RECORD, "myself").await.unwrap_err().code(), "IssuerOwned");
        let forged = bank.deliver(&mut bank_side, RECORD).unwrap();
        assert_eq!(person.receive(&mut at_bank, &forged).await.unwrap_err().code(), "IssuerOwned");
        let other_name = bank.deliver(&mut bank_side, br#"{"me": {"name": "Another"}}"#).unwrap();
        assert_eq!(person.receive(&mut at_bank, &other_name).await.unwrap_err().code(), "IssuerOwned");
        // What was said under another agreement is not taken, nor what is no delivery.
        let (mut again, _) = connect(&mut person, &clinic, "clinic").await;
        let moved = clinic.deliver(&mut clinic_side, RECORD).unwrap();
        assert_eq!(person.receive(&mut again, &moved).await.unwrap_err().code(), "Connect.Rejected");
        assert_eq!(clinic.deliver(&mut clinic_side, b"no json").unwrap_err().code(), "Import.NotJson");
        assert_eq!(person.log().len(), log + 1, "the new connection alone");

        // A note, bound to the wording; the issuer's next word makes it an old one.
        person.annotate(&path("clinic.diagnosis"), "second opinion pending").await.unwrap();
        let note = person.note(&path("clinic.diagnosis")).unwrap().unwrap();
        assert_eq!((note.text.as_str(), note.is_current), ("second opinion pending", true));
        assert!(person.note(&path("clinic.ward")).unwrap().is_none());
        assert_eq!(person.annotate(&path("me.name"), "mine").await.unwrap_err().code(), "Payload.NotSigned");
        assert_eq!(person.annotate(&path("clinic.age"), "mine").await.unwrap_err().code(), "NotFound");
        let correction = clinic.deliver(&mut clinic_side, br#"{"clinic": {"diagnosis": "C50.4"}}"#).unwrap();
        person.receive(&mut at_clinic, &correction).await.unwrap();
        assert!(!person.note(&path("clinic.diagnosis")).unwrap().unwrap().is_current);
        person.annotate(&path("clinic.diagnosis"), "agreed").await.unwrap();
        let note = person.note(&path("clinic.diagnosis")).unwrap().unwrap();
        assert_eq!((note.text.as_str(), note.is_current), ("agreed", true));

        permit_all(&mut person, &["clinic", "bank"]).await;
        // A reader at the host gets the issuer's word with its proof, and not the person's note.
        let clinics = Shared::Dataset { title: "clinic", write: false };
        let (_, handover) = granted(&mut person, &at_bank, clinics).await.unwrap();
        let records = bank.reader(bank_side.agreement(), &handover, host.clone()).unwrap().read().await.unwrap();
        assert_eq!(records.len(), 2);
        let proof = records[0].provenance().unwrap().signed().unwrap();
        let key = clinic_side.agreement().initiator().sign();
        let keys = [key, clinic_side.agreement().responder().sign()];
        let proved = keys.iter().find_map(|key| Statement::verify(proof, key).ok()).unwrap();
        assert_eq!(proved.value(), records[0].value());

        // The rules know whose word a field is.
        let issuer = |field: &str| {
            let field = Name::parse(field).unwrap();
            person.policy().vocabulary().fields()[&field].issuer().map(Name::to_string)
        };
        assert_eq!(issuer("clinic.diagnosis").as_deref(), Some("clinic"));
        assert_eq!((issuer("me.name"), issuer("clinic.diagnosis.note")), (None, None));

        // All of it is there after a restart, notes and proofs included.
        let locked = Person::locate(host, keepsake.store).await.unwrap();
        let secret = Secret::RecoveryPhrase(&keepsake.recovery_phrase);
        let person = locked.unlock(&secret, Some(&person.pins())).await.unwrap();
        assert_eq!(person.issued(&path("clinic.diagnosis")).unwrap().0.as_str(), "clinic");
        assert!(person.note(&path("clinic.diagnosis")).unwrap().unwrap().is_current);
    });
}
