//! What is wrong with a credential or payment, by field.

use crate::money::decimal_u64;
use crate::time::UnixSeconds;
use crate::wire::problem::{Problem, ProblemKind};
use alloc::borrow::Cow;
use alloc::format;
use core::fmt;

/// A field that cannot be read.
pub(super) fn malformed(field: &str, what: impl fmt::Display) -> Problem {
    Problem::new(ProblemKind::MalformedCredential, format!("{field}: {what}"))
}

/// A proof that does not prove what it should.
pub(super) fn failed(detail: impl Into<Cow<'static, str>>) -> Problem {
    Problem::new(ProblemKind::VerificationFailed, detail)
}

/// Seconds since 1970, as a decimal number.
pub(super) fn seconds(field: &str, text: &str) -> Result<UnixSeconds, Problem> {
    decimal_u64(text).map(UnixSeconds::new).ok_or_else(|| malformed(field, "must be a plain decimal number of seconds below 2^64"))
}
