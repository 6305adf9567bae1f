//! Amounts of money: no chain, no HTTP.

mod amount;

pub use amount::*;
