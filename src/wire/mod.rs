//! Wires: how a payment is asked for and shown. A wire knows no rail.

pub mod encoding;
pub mod idempotency;
pub mod mpp;
pub mod problem;
pub mod sse;
pub mod x402;
