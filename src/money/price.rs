//! Prices in a currency, before they are amounts of a token.

use super::{Amount, InvalidAmount};
use alloc::format;
use alloc::string::{String, ToString};
use core::cmp::Ordering;
use core::fmt;

/// A price in a currency's human units, such as `0.01`. It is exact: what a token cannot express is refused, not rounded.
///
/// ```
/// # use mpp_edge::money::{Amount, Price};
/// let price = Price::parse("0.01").unwrap();
/// assert_eq!(price.in_units(6), Ok(Amount::from_base_units(10_000)));
/// assert!(price.in_units(1).is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Price {
    /// Without a leading zero but the only one.
    whole: String,
    /// Without trailing zeros; empty when there is none.
    fraction: String,
}

impl Price {
    /// Reads a price: digits, at most one point with digits on both sides.
    ///
    /// # Errors
    /// [`InvalidAmount::NotDecimal`]
    pub fn parse(text: &str) -> Result<Self, InvalidAmount> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole) || !digits(fraction) || (whole.len() > 1 && whole.starts_with('0')) {
            return Err(InvalidAmount::NotDecimal);
        }
        Ok(Self { whole: whole.into(), fraction: fraction.trim_end_matches('0').into() })
    }

    /// The price in base units of a token with `decimals` decimal places.
    ///
    /// # Errors
    /// [`InvalidAmount::TooPrecise`] when the token has too few, [`InvalidAmount::TooLarge`] beyond 2^128 − 1 base units.
    pub fn in_units(&self, decimals: u8) -> Result<Amount, InvalidAmount> {
        Amount::parse_human(&self.to_string(), decimals)
    }

    /// Whether it is nothing.
    pub fn is_zero(&self) -> bool {
        self.whole == "0" && self.fraction.is_empty()
    }
}

impl fmt::Display for Price {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.fraction.is_empty() { f.write_str(&self.whole) } else { f.write_str(&format!("{}.{}", self.whole, self.fraction)) }
    }
}

impl Ord for Price {
    fn cmp(&self, other: &Self) -> Ordering {
        // Wholes have no leading zeros, and fractions no trailing ones.
        let by_whole = self.whole.len().cmp(&other.whole.len()).then_with(|| self.whole.cmp(&other.whole));
        by_whole.then_with(|| self.fraction.cmp(&other.fraction))
    }
}

impl PartialOrd for Price {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn price(text: &str) -> Price {
        Price::parse(text).unwrap()
    }

    #[test]
    fn prices_are_plain_decimals() {
        for text in ["", ".", "1.", ".5", "-1", "+1", "1e3", "01", "1,5", "$1", " 1", "1.2.3"] {
            assert_eq!(Price::parse(text), Err(InvalidAmount::NotDecimal), "{text}");
        }
        assert_eq!(price("1.50").to_string(), "1.5");
        assert_eq!(price("7.000").to_string(), "7");
        assert!(price("0.000").is_zero() && !price("0.001").is_zero() && !price("10").is_zero());
    }

    #[test]
    fn prices_are_ordered_by_value() {
        let ordered = ["0", "0.001", "0.01", "0.1", "0.10001", "1", "1.5", "2", "10", "10.01", "99", "100"];
        let mut prices: Vec<Price> = ordered.iter().rev().map(|text| price(text)).collect();
        prices.sort();
        assert_eq!(prices.iter().map(ToString::to_string).collect::<Vec<_>>(), ordered);
        assert_eq!(price("1.0").cmp(&price("1")), Ordering::Equal);
    }

    #[test]
    fn what_a_token_cannot_express_is_refused() {
        assert_eq!(price("0.0000001").in_units(6), Err(InvalidAmount::TooPrecise { decimals: 6 }));
        assert_eq!(price("0.0000001").in_units(18), Ok(Amount::from_base_units(100_000_000_000)));
        assert_eq!(price("5").in_units(0), Ok(Amount::from_base_units(5)));
    }
}
