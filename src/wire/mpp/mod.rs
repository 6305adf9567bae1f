//! The `Payment` HTTP authentication scheme of MPP (`draft-httpauth-payment-01`). No payment method is named here.

pub mod accept;
pub mod challenge;
pub mod credential;
pub mod digest;
pub mod receipt;
pub mod request;
