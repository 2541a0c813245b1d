//! What a host embeds: who may do what with a store and until when, by the host's own clock; which commits are sound;
//! mail, notices, limits. It serves bytes that it cannot open, and links no code that could open anything.
//!
//! ```
//! use deedbox_cose::{LocalSigner, Signer as _};
//! use deedbox_host::{Admitted, Config, Host, Method, Request, proof::Claims, wire};
//! use deedbox_model::{CapabilityId, StoreId, Timestamp};
//! use deedbox_store::MemoryStorage;
//! # let mut rng = deedbox_testkit::rng::SeededRng::new(1);
//! # let (s, id) = (StoreId::from_bytes([1; 16]), CapabilityId::from_bytes([2; 16]));
//! # let mut w = deedbox_cbor::Writer::new();
//! # w.array(7).text("deedbox-store").uint(1).bytes(s.as_bytes()).uint(1).uint(1).array(1).uint(0).bytes(&[0; 32]);
//! # let header = w.into_vec();
//!
//! # pollster::block_on(async {
//! let now = || Timestamp::from_secs(1_800_000_000);
//! let host = Host::new(MemoryStorage::new(), now, Config::default());
//! let owner = LocalSigner::generate(&mut rng); // the person's key at this host
//! let key = *owner.public().as_ed25519().ok_or("no Ed25519 key")?.as_bytes();
//! host.create(Admitted::by_embedder(), &wire::CreateBody::new(s, &header, id, key)).await?;
//!
//! let (origin, target) = ("https://host.example", format!("/v1/stores/{s}/usage"));
//! let request = Request { method: Method::Get, origin, target: &target, body: b"", range: None, proof: None };
//! let proof = Claims::new(id, request.hash(), now()).sign(&owner)?;
//! let reply = host.call(Request { proof: Some(&proof), ..request }).await?;
//! assert_eq!(wire::usage_from_bytes(&reply.body).ok_or("not a usage")?.objects.count, 0);
//!
//! let stranger = host.call(request).await;
//! assert_eq!(stranger.map_err(|error| error.code()), Err("Unauthenticated"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```
//!
//! # Roles and life
//!
//! - The **embedder** runs a [`Host`] over a storage and a [`Clock`], and decides who gets a store ([`Admitted`],
//!   [`Admission`]).
//! - The **owner** holds the first [`Capability`](capability::Capability), writes others, pauses and revokes them: a row
//!   at the host, read afresh for every request, so that revoking needs no lists and holds when it returns.
//! - A **holder** signs each request ([`proof`]); the host verifies, judges time, right, rate and quota in this order,
//!   reads, leaves a [`Notice`] for the person, looks at the capability once more, and only then answers.
//! - [`wire`] writes and reads every body, for clients too.
//!
//! # What must never be reused
//!
//! A capability's id after it was revoked: revoked is final. A holder's key for another person's store, unless the two may
//! be linked.
//!
//! # What it does not protect
//!
//! The host sees ids, padded sizes, times, which capability touches what, and the owner's aliases of one store. A
//! capability protects order and metadata; secrecy rests on keys the host never has. A replayed proof works within 120
//! seconds: commits are compare-and-swap, mail is deduplicated, reads give ciphertext. Notices are evidence of an honest
//! host only. The greatest time seen is noted every ten seconds, and before anything is refused as expired: a clock set back
//! while the host was down brings back less than that. What is missing is looked for all the same, so that answers to
//! strangers cost alike; whether a store's file was open already may still show.
//!
//! # Features
//!
//! - `http`: an axum router with server-sent events, its OpenAPI description, a server that bears bad clients, metrics
//! - `problem`: what HTTP clients and servers share: errors as problem details, proofs as a header
//!
//! Requests, bodies, checks and codes are specified in `docs/format/host.md`.

#![forbid(unsafe_code)]

pub mod capability;
pub mod proof;
pub mod wire;

mod clock;
mod config;
mod error;
mod feed;
#[cfg(feature = "http")]
mod http;
mod meter;
#[cfg(feature = "http")]
mod metrics;
#[cfg(feature = "problem")]
mod problem;
mod quota;
mod request;
mod service;
mod structure;

pub use clock::Clock;
pub use config::{Admission, Config, Rate};
pub use error::HostError;
pub use feed::{End, Event, Feed};
#[cfg(feature = "http")]
pub use http::{ServeLimits, openapi, router, serve};
pub use meter::{Meters, Sums, UsageClass, UsageEvent, UsageSink};
#[cfg(feature = "problem")]
pub use problem::{BLOB_LENGTH, BLOB_SEALED, PROBLEM, authorization, proof_of};
pub use request::{BlobPlace, ByteRange, Method, Reply, Request, cursor_to_hex};
pub use service::{Admitted, Fault, Host, Notice, Report, Swept};
