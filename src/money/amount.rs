//! Money: amounts of a token in base units.

use crate::evm::U256;
use alloc::format;
use alloc::string::{String, ToString};
use core::fmt;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An amount of a token in base units (for a token of 6 decimals, millionths). On the wire and in
/// storage it is a decimal string, since JavaScript's and SQLite's numbers cannot hold it.
///
/// ```
/// use mpp_edge::money::Amount;
///
/// let price = Amount::parse_human("0.01", 6)?; // as the configuration has it
/// assert_eq!(price, Amount::parse_base_units("10000")?); // as the wire has it
/// assert_eq!(price.times(3).to_human(6), "0.03");
/// assert!(Amount::parse_human("0.0000001", 6).is_err(), "nothing is rounded");
/// # Ok::<(), mpp_edge::money::InvalidAmount>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Amount(u128);

/// What was wrong with an amount's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidAmount {
    /// Not a plain decimal number: digits without sign, exponent, spaces or leading zeros.
    NotDecimal,
    /// More than 2^128 − 1 base units.
    TooLarge,
    /// More decimal places than the token has.
    TooPrecise {
        /// Decimal places of the token.
        decimals: u8,
    },
}

impl Amount {
    /// No money.
    pub const ZERO: Self = Self(0);

    /// `units` base units.
    pub const fn from_base_units(units: u128) -> Self {
        Self(units)
    }

    /// The number of base units.
    pub const fn base_units(self) -> u128 {
        self.0
    }

    /// Reads base units as the wire has them: ASCII digits, no sign, no leading zeros.
    pub fn parse_base_units(text: &str) -> Result<Self, InvalidAmount> {
        if !is_plain_decimal(text) {
            return Err(InvalidAmount::NotDecimal);
        }
        text.parse().map(Self).map_err(|_| InvalidAmount::TooLarge)
    }

    /// Reads a price in human units, such as `0.01`, of a token with `decimals` decimal places.
    pub fn parse_human(text: &str, decimals: u8) -> Result<Self, InvalidAmount> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if !is_plain_decimal(whole) || !digits(fraction) {
            return Err(InvalidAmount::NotDecimal);
        }
        let fraction = fraction.trim_end_matches('0');
        let places = usize::from(decimals);
        let padding = places.checked_sub(fraction.len()).ok_or(InvalidAmount::TooPrecise { decimals })?;
        let scaled = format!("{whole}{fraction}{:0<padding$}", "");
        scaled.parse().map(Self).map_err(|_| InvalidAmount::TooLarge)
    }

    /// The amount in human units of a token with `decimals` decimal places, without trailing zeros.
    pub fn to_human(self, decimals: u8) -> String {
        let places = usize::from(decimals);
        let digits = format!("{:0>width$}", self.0, width = places + 1);
        let (whole, fraction) = digits.split_at(digits.len() - places);
        match fraction.trim_end_matches('0') {
            "" => whole.to_string(),
            fraction => format!("{whole}.{fraction}"),
        }
    }

    /// The sum, unless it exceeds 2^128 − 1.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }

    /// The sum, or the largest amount.
    pub const fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// The difference, or nothing when `other` is larger.
    pub const fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// The price of `units` at this price each, or the largest amount.
    pub fn times(self, units: u64) -> Self {
        Self(self.0.saturating_mul(units.into()))
    }

    /// How many units at `price` each it pays for; as many as there can be when they cost nothing.
    pub fn units_at(self, price: Self) -> u64 {
        self.0.checked_div(price.0).and_then(|units| u64::try_from(units).ok()).unwrap_or(u64::MAX)
    }

    /// As a 256-bit word for the EVM.
    pub fn to_u256(self) -> U256 {
        U256::from(self.0)
    }
}

/// A non-negative decimal integer without sign or leading zeros, in ASCII digits.
fn is_plain_decimal(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'))
}

/// Reads a plain decimal `u64`, such as a Unix time or a chain id on the wire.
pub fn decimal_u64(text: &str) -> Option<u64> {
    if is_plain_decimal(text) { text.parse().ok() } else { None }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for InvalidAmount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotDecimal => f.write_str("must be a plain decimal number (digits, no sign, no exponent, no leading zeros)"),
            Self::TooLarge => f.write_str("exceeds 2^128 - 1 base units"),
            Self::TooPrecise { decimals } => write!(f, "has more than the token's {decimals} decimal places"),
        }
    }
}

impl core::error::Error for InvalidAmount {}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() { serializer.collect_str(&self.0) } else { serializer.serialize_u128(self.0) }
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if !deserializer.is_human_readable() {
            return u128::deserialize(deserializer).map(Self);
        }
        let text = String::deserialize(deserializer)?;
        Self::parse_base_units(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn base_units_are_plain_decimals() {
        assert_eq!(Amount::parse_base_units("10000"), Ok(Amount(10_000)));
        assert_eq!(Amount::parse_base_units("0"), Ok(Amount::ZERO));
        assert_eq!(Amount::parse_base_units("340282366920938463463374607431768211455"), Ok(Amount(u128::MAX)));
        assert_eq!(Amount::parse_base_units("340282366920938463463374607431768211456"), Err(InvalidAmount::TooLarge));
        for text in ["", "-1", "+1", "1e3", "01", "1.0", " 1", "0x10", "١٢", "1_000"] {
            assert_eq!(Amount::parse_base_units(text), Err(InvalidAmount::NotDecimal), "{text}");
        }
    }

    #[test]
    fn human_units_are_scaled_exactly() {
        for (text, units) in [("0.01", 10_000), ("1", 1_000_000), ("0.000001", 1), ("12.50", 12_500_000), ("0", 0), ("0.0100000", 10_000)] {
            assert_eq!(Amount::parse_human(text, 6), Ok(Amount(units)), "{text}");
        }
        assert_eq!(Amount::parse_human("0.0000001", 6), Err(InvalidAmount::TooPrecise { decimals: 6 }));
        assert_eq!(Amount::parse_human("7", 0), Ok(Amount(7)));
        assert_eq!(Amount::parse_human("340282366920938463463374607431769", 6), Err(InvalidAmount::TooLarge));
        for text in ["", ".5", "1.", "-1", "1,5", "1e-2", "00.1", "0.1.1", "$1"] {
            assert_eq!(Amount::parse_human(text, 6), Err(InvalidAmount::NotDecimal), "{text}");
        }
    }

    #[test]
    fn human_units_read_back() {
        for (units, text) in [(0, "0"), (1, "0.000001"), (10_000, "0.01"), (1_000_000, "1"), (12_500_000, "12.5")] {
            assert_eq!(Amount(units).to_human(6), text);
        }
        assert_eq!(Amount(7).to_human(0), "7");
    }
}
