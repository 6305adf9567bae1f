//! Invoices of [BOLT 11](https://github.com/lightning/bolts/blob/master/11-payment-encoding.md), as far as they say what is asked for,
//! by which hash it is proven, and until when. The node that is configured made them, so their signature need not be checked.

use super::Network;
use crate::evm::B256;
use crate::time::UnixSeconds;
use alloc::string::String;
use alloc::vec::Vec;
use bech32::primitives::decode::UncheckedHrpstring;
use bech32::{Bech32, Checksum, Fe32};
use core::fmt;

/// What an invoice says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invoice {
    /// Where it is paid.
    pub network: Network,
    /// What is asked for, in thousandths of a satoshi; `None` where the payer may choose.
    pub millisatoshi: Option<u64>,
    /// SHA-256 of the preimage that proves the payment.
    pub payment_hash: B256,
    /// From when on it cannot be paid.
    pub expires: UnixSeconds,
}

/// Why a text is no invoice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidInvoice {
    /// It is no Bech32, or its checksum is wrong.
    Checksum,
    /// Its prefix names no network that is known, or no amount that there is.
    Prefix,
    /// It ends before it should, or a field does.
    Length,
    /// It has no payment hash, or several.
    PaymentHash,
    /// Its time is out of range.
    Time,
}

/// The longest that is read: what a QR code holds.
const LONGEST: usize = 7089;

/// Where no expiry is said, in seconds.
const DEFAULT_EXPIRY: u64 = 3600;

/// How many groups of five bits time and signature have.
const TIME: usize = 7;
const SIGNATURE: usize = 104;

/// How many a payment hash has.
const HASH: usize = 52;

/// Types of fields: `p`, `x`.
const PAYMENT_HASH: u8 = 1;
const EXPIRY: u8 = 6;

/// The checksum of Bech32 without its bound on length, as BOLT 11 has it.
enum LongBech32 {}

impl Checksum for LongBech32 {
    type MidstateRepr = <Bech32 as Checksum>::MidstateRepr;
    const CODE_LENGTH: usize = LONGEST;
    const CHECKSUM_LENGTH: usize = Bech32::CHECKSUM_LENGTH;
    const GENERATOR_SH: [Self::MidstateRepr; 5] = Bech32::GENERATOR_SH;
    const TARGET_RESIDUE: Self::MidstateRepr = Bech32::TARGET_RESIDUE;
}

impl Invoice {
    /// Reads one.
    ///
    /// # Errors
    /// [`InvalidInvoice`]
    pub fn parse(text: &str) -> Result<Self, InvalidInvoice> {
        let unchecked = UncheckedHrpstring::new(text).map_err(|_| InvalidInvoice::Checksum)?;
        unchecked.validate_checksum::<LongBech32>().map_err(|_| InvalidInvoice::Checksum)?;
        let checked = unchecked.remove_checksum::<LongBech32>();
        let prefix: String = checked.hrp().lowercase_char_iter().collect();
        let (network, millisatoshi) = prefix_of(&prefix)?;
        let groups = checked.data_part_ascii_no_checksum().iter().map(|byte| Fe32::from_char(char::from(*byte)).map(Fe32::to_u8));
        let groups = groups.collect::<Result<Vec<u8>, _>>().map_err(|_| InvalidInvoice::Checksum)?;
        let fields_end = groups.len().checked_sub(SIGNATURE).ok_or(InvalidInvoice::Length)?;
        let (time, mut fields) = groups.get(..fields_end).and_then(|said| said.split_at_checked(TIME)).ok_or(InvalidInvoice::Length)?;
        let (mut payment_hash, mut expiry) = (None, DEFAULT_EXPIRY);
        while let [kind, high, low, rest @ ..] = fields {
            let length = usize::from(*high) * 32 + usize::from(*low);
            let (value, after) = rest.split_at_checked(length).ok_or(InvalidInvoice::Length)?;
            match *kind {
                // A reader must skip one of another length.
                PAYMENT_HASH if length == HASH && payment_hash.is_some() => return Err(InvalidInvoice::PaymentHash),
                PAYMENT_HASH if length == HASH => payment_hash = Some(bytes(value)),
                EXPIRY => expiry = number(value).ok_or(InvalidInvoice::Time)?,
                _ => {}
            }
            fields = after;
        }
        if !fields.is_empty() {
            return Err(InvalidInvoice::Length);
        }
        let expires = number(time).and_then(|created| created.checked_add(expiry)).ok_or(InvalidInvoice::Time)?;
        let payment_hash = payment_hash.ok_or(InvalidInvoice::PaymentHash)?;
        Ok(Self { network, millisatoshi, payment_hash, expires: UnixSeconds::new(expires) })
    }
}

/// Network and amount: `ln`, the network's prefix, and an amount of bitcoin with its multiplier, if there is one.
fn prefix_of(prefix: &str) -> Result<(Network, Option<u64>), InvalidInvoice> {
    let rest = prefix.strip_prefix("ln").ok_or(InvalidInvoice::Prefix)?;
    let (name, amount) = rest.split_at(rest.find(|char: char| char.is_ascii_digit()).unwrap_or(rest.len()));
    let network = Network::ALL.into_iter().find(|network| network.prefix() == name).ok_or(InvalidInvoice::Prefix)?;
    if amount.is_empty() {
        return Ok((network, None));
    }
    millisatoshi(amount).map(|amount| (network, Some(amount))).ok_or(InvalidInvoice::Prefix)
}

/// An amount of bitcoin, such as `25m`, in thousandths of a satoshi.
fn millisatoshi(text: &str) -> Option<u64> {
    let (digits, multiplier) = text.split_at(text.find(|char: char| !char.is_ascii_digit()).unwrap_or(text.len()));
    if digits.starts_with('0') {
        return None;
    }
    let amount: u64 = digits.parse().ok()?;
    match multiplier {
        "" => amount.checked_mul(100_000_000_000),
        "m" => amount.checked_mul(100_000_000),
        "u" => amount.checked_mul(100_000),
        "n" => amount.checked_mul(100),
        "p" if amount.is_multiple_of(10) => Some(amount / 10),
        _ => None,
    }
}

/// Groups of five bits as a number, the highest first.
fn number(groups: &[u8]) -> Option<u64> {
    groups.iter().try_fold(0_u64, |number, group| number.checked_mul(32)?.checked_add(u64::from(*group)))
}

/// The 256 bits that begin groups of five.
fn bytes(groups: &[u8]) -> B256 {
    let mut hash = B256::ZERO;
    let (mut held, mut bits, mut bytes) = (0_u16, 0_u8, hash.iter_mut());
    for group in groups {
        (held, bits) = (held << 5 | u16::from(*group), bits.saturating_add(5));
        if bits >= 8
            && let Some(byte) = bytes.next()
        {
            bits = bits.saturating_sub(8);
            let [_, whole] = (held >> bits).to_be_bytes();
            *byte = whole;
        }
    }
    hash
}

impl fmt::Display for InvalidInvoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Checksum => "is no Bech32 text with a right checksum",
            Self::Prefix => "does not begin with ln, a network that is known, and an amount",
            Self::Length => "ends too early",
            Self::PaymentHash => "has not one payment hash",
            Self::Time => "has a time that is out of range",
        })
    }
}

impl core::error::Error for InvalidInvoice {}

#[cfg(test)]
mod tests;
