//! A host that drops, repeats, reorders, and gives again what it gave before, to either side.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};

use deedbox::{
    Content, HostClient,
    host::{HostError, Method, Reply, Request},
    parts::{
        connect::{Arrival, ConnectError, EndReason, Stage},
        host::wire::MailBody,
        model::Timestamp,
    },
};
use deedbox_testkit::rng::SeededRng;
use pollster::block_on;
use rand_core::Rng as _;

use super::sides::{Sides, host, texts};

/// What the host does with the mail it gives.
struct Tricks {
    rng: SeededRng,
    /// All that each mailbox ever held.
    seen: BTreeMap<String, Vec<Vec<u8>>>,
    honest: bool,
}

#[derive(Clone)]
struct Hostile<H> {
    inner: H,
    tricks: Arc<Mutex<Tricks>>,
}

impl<H: HostClient> HostClient for Hostile<H> {
    fn origin(&self) -> &str {
        self.inner.origin()
    }

    async fn send(&self, request: Request<'_>) -> Result<Reply, HostError> {
        let mailbox = request.target.split_once("/mail/").map(|(_, rest)| rest.to_owned());
        let reply = self.inner.send(request).await?;
        let Some(target) = mailbox.filter(|_| request.method == Method::Get) else { return Ok(reply) };
        let (mailbox, after) = target.split_once("?after=").unwrap();
        let mut tricks = self.tricks.lock().unwrap();
        if tricks.honest {
            return Ok(reply);
        }
        let items = MailBody::list_from_bytes(&reply.body).unwrap();
        let bodies: Vec<Vec<u8>> = items.iter().map(|item| item.body.to_vec()).collect();
        let last = items.last().map_or(1, |item| item.n);
        let list = if after == "0" { tricks.play(mailbox, bodies) } else { Vec::new() };
        let item = |body: &Vec<u8>| (last, body.clone());
        let list: Vec<(u64, Vec<u8>)> = list.iter().map(item).collect();
        let now = Timestamp::from_secs(1);
        let given: Vec<MailBody<'_>> = list.iter().map(|(n, body)| MailBody::new(*n, [0; 16], now, body)).collect();
        Ok(Reply::new(200, MailBody::list_to_bytes(&given)))
    }
}

impl Tricks {
    fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.rng.next_u32()).unwrap() % n
    }

    fn play(&mut self, mailbox: &str, bodies: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
        let mut given = Vec::new();
        for body in bodies {
            self.seen.entry(mailbox.to_owned()).or_default().push(body.clone());
            let times = [0, 1, 1, 2][self.below(4)];
            given.extend(std::iter::repeat_n(body, times));
        }
        // Something of before, of this mailbox or of another one, with a bit flipped or as it was.
        let all: Vec<Vec<u8>> = self.seen.values().flatten().cloned().collect();
        for _ in 0..self.below(3).min(all.len()) {
            let mut body = all[self.below(all.len())].clone();
            if self.below(3) == 0 {
                let at = self.below(body.len());
                body[at] ^= 1;
            }
            given.push(body);
        }
        for at in (1..given.len()).rev() {
            let other = self.below(at + 1);
            given.swap(at, other);
        }
        given
    }
}

#[test]
fn no_message_is_taken_twice_and_what_is_dropped_shows() {
    for seed in 0..4 {
        let tricks = Tricks { rng: SeededRng::new(seed), seen: BTreeMap::new(), honest: true };
        let tricks = Arc::new(Mutex::new(tricks));
        let client = Hostile { inner: host(), tricks: Arc::clone(&tricks) };
        block_on(async {
            let mut sides = Sides::meet(client).await;
            tricks.lock().unwrap().honest = false;
            let mut steps = SeededRng::new(seed ^ 0xff);
            let (mut taken, mut sent) = ([BTreeSet::new(), BTreeSet::new()], [0_u64; 2]);
            let mut shown = [BTreeSet::new(), BTreeSet::new()];
            for number in 0..24 {
                let text = format!("message {number}");
                let (side, mail) = match steps.next_u32() % 4 {
                    0 => {
                        sides.person_leaves(&text).await.unwrap();
                        sent[0] += 1;
                        continue;
                    }
                    1 => {
                        sides.council_leaves(&text).await.unwrap();
                        sent[1] += 1;
                        continue;
                    }
                    2 => (1, sides.person_collects().await.unwrap()),
                    _ => (0, sides.council_collects().await.unwrap()),
                };
                for (text, arrival) in texts(&mail) {
                    assert!(taken[side].insert(text), "taken twice");
                    match arrival {
                        Arrival::Gap { from, to } => shown[side].extend(from..=to),
                        Arrival::Fork => panic!("nobody was copied"),
                        Arrival::InOrder | Arrival::Late => {}
                    }
                }
                for content in mail.iter().map(|mail| &mail.content) {
                    let Content::Refused(error) = content else { continue };
                    let known = [
                        ConnectError::Replay,
                        ConnectError::Rejected,
                        ConnectError::Malformed,
                        ConnectError::NotNow,
                        ConnectError::EpochUnknown,
                    ];
                    assert!(known.contains(error), "{error}");
                }
            }
            tricks.lock().unwrap().honest = true;
            // Once the host is honest, one more message of each shows how many are missing.
            sides.person_leaves("the last").await.unwrap();
            sides.council_leaves("the last").await.unwrap();
            let last = [sides.council_collects().await.unwrap(), sides.person_collects().await.unwrap()];
            for side in 0..2 {
                for (text, arrival) in texts(&last[side]) {
                    assert!(taken[side].insert(text), "taken twice");
                    if let Arrival::Gap { from, to } = arrival {
                        shown[side].extend(from..=to);
                    }
                }
                let missing = sent[side] + 1 - u64::try_from(taken[side].len()).unwrap();
                // Each that never came is in a gap that was shown; a gap may have been filled later.
                assert!(u64::try_from(shown[side].len()).unwrap() >= missing);
            }

            // An end stays, whatever the host gives again.
            sides.person.end(&sides.id, EndReason::Withdrawn).await.unwrap();
            sides.council_collects().await.unwrap();
            tricks.lock().unwrap().honest = false;
            for _ in 0..4 {
                let _ = sides.person_collects().await;
                let _ = sides.council_collects().await;
                assert_eq!(sides.person.connection(&sides.id).unwrap().stage, Stage::Ended);
                assert_eq!(sides.council().stage(), Stage::Ended);
            }
        });
    }
}
