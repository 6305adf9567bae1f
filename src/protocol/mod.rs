//! The `Payment` HTTP authentication scheme (`draft-httpauth-payment-00`). No payment method is
//! named here.

pub mod accept;
pub mod challenge;
pub mod credential;
pub mod digest;
pub mod encoding;
pub mod idempotency;
pub mod problem;
pub mod receipt;
pub mod sse;
