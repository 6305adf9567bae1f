//! Amounts of money and prices: no chain, no HTTP.

mod amount;
mod price;

pub use amount::*;
pub use price::Price;
