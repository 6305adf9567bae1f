//! The binary form of what objects store and of what they are told: [postcard](https://postcard.jamesmunns.com)
//! behind a byte that says which version of the types it is.
//!
//! The form has no field names, so a type that changes reads the bytes of its former self wrongly. Whoever changes
//! one (a test pins their bytes) raises [`VERSION`]; once gateways are in use, he also keeps the former types and reads
//! rows of the former version as those. A version that is not known is an error: nothing is done with such a row or message.

use alloc::vec::Vec;
use core::fmt;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The version that is written.
pub const VERSION: u8 = 4;

/// Bytes of another version, or damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// They are of this version, or empty.
    Version(Option<u8>),
    /// They are no such value.
    Damaged,
}

/// The type has no binary form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unwritable;

/// Writes a value.
///
/// # Errors
/// [`Unwritable`]
pub fn encode(value: &impl Serialize) -> Result<Vec<u8>, Unwritable> {
    postcard::to_extend(value, Vec::from([VERSION])).map_err(|_| Unwritable)
}

/// Reads a value.
///
/// # Errors
/// [`Unreadable`]
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Unreadable> {
    let (version, bytes) = bytes.split_first().ok_or(Unreadable::Version(None))?;
    if *version != VERSION {
        return Err(Unreadable::Version(Some(*version)));
    }
    match postcard::take_from_bytes(bytes) {
        Ok((value, [])) => Ok(value),
        _ => Err(Unreadable::Damaged),
    }
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version(Some(version)) => write!(f, "a value is of version {version}, which is not known"),
            Self::Version(None) => f.write_str("a value is empty"),
            Self::Damaged => f.write_str("a value is damaged"),
        }
    }
}

impl core::error::Error for Unreadable {}

impl fmt::Display for Unwritable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value has no binary form")
    }
}

impl core::error::Error for Unwritable {}
