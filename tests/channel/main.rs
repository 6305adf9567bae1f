//! The ledger of a channel: scenarios, properties of random events, and an exhaustive model with chain, outbox and crashes.
#![cfg(not(target_arch = "wasm32"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests may panic")]
#![allow(clippy::print_stdout, reason = "how much was explored is to be seen")]

mod claims;
mod fixture;
mod foresight;
mod forgotten;
mod invariants;
mod metered;
mod model;
mod oracle;
mod properties;
mod published;
mod releases;
mod sales;
mod setbacks;
mod settling;
mod size;
mod streams;
mod watching;
