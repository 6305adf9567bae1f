//! `mpp-edge`: an edge payment gateway for the Machine Payments Protocol (MPP).
//!
//! An agent asks for a resource, gets `402 Payment Required` with challenges of the `Payment` HTTP
//! authentication scheme, signs one, asks again, and gets the resource and a receipt. The crate is
//! compiled to wasm and runs on Cloudflare Workers in front of any HTTP API.
//!
//! # Two halves, one wall
//!
//! * **The core knows no I/O.** Without the `worker` feature the crate is `no_std` with `alloc`: time, entropy, chain facts and stored
//!   state come in as values, decisions go out as values. Every rule about money lives there.
//! * **The shell knows no rules.** `worker` turns requests, storage, alarms and RPC into calls of
//!   the core, and the core's answers back into I/O. It exists only with the `worker` feature.
//!
//! | module | what it holds |
//! |---|---|
//! | [`money`] | amounts: no chain, no HTTP |
//! | [`wire`] | how a payment is asked for and shown: the `Payment` scheme, x402, problems, event streams |
//! | [`rail`] | how money is proven and moved: ERC-3009 charges and channels on EVM networks |
//! | [`evm`] | what Ethereum defines: signatures, EIP-712, ERC-3009, transactions, JSON-RPC |
//! | [`channel`] | the ledger of one channel as a state machine |
//! | [`purchase`] | the life of one payment as a state machine |
//! | [`settlement`] | the settlement account's outbox as a state machine |
//! | [`gateway`] | configuration, routes and prices, offers, header hygiene |
//! | [`time`] | points in time as types |
//! | [`binary`] | the form of what is stored and of what objects are told |
//! | `worker` | the shell |
#![cfg_attr(not(feature = "worker"), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;
// Where there is a std it is linked for its panic handler and allocator; the core never names it.
#[cfg(not(target_os = "none"))]
extern crate std;

pub mod binary;
pub mod channel;
pub mod evm;
pub mod gateway;
mod json;
pub mod money;
mod ordered;
pub mod purchase;
pub mod rail;
pub mod settlement;
pub mod time;
pub mod wire;
#[cfg(feature = "worker")]
mod worker;
