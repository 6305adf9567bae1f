//! Points in time as types. The core never reads a clock: the shell passes `now` in.

use alloc::string::{String, ToString};
use chrono::{DateTime, SecondsFormat};
use core::fmt;
use core::time::Duration;
use serde::{Deserialize, Serialize};

/// A point in time in milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(u64);

/// A point in time in whole seconds since the Unix epoch, as the EVM counts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UnixSeconds(u64);

/// The text is not an RFC 3339 date and time with seconds and a zone, or it lies before 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidTimestamp;

impl Timestamp {
    /// The point `millis` milliseconds after the Unix epoch.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the Unix epoch.
    pub const fn millis(self) -> u64 {
        self.0
    }

    /// Whole seconds since the Unix epoch, rounded down.
    pub const fn seconds(self) -> UnixSeconds {
        UnixSeconds(self.0 / 1000)
    }

    /// `self + duration`, or the last representable point.
    pub fn saturating_add(self, duration: Duration) -> Self {
        let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(millis))
    }

    /// `self - duration`, or the epoch.
    pub fn saturating_sub(self, duration: Duration) -> Self {
        let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Self(self.0.saturating_sub(millis))
    }

    /// How long after `earlier` this is; zero when it is not after it.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// Reads an RFC 3339 date and time.
    pub fn parse_rfc3339(text: &str) -> Result<Self, InvalidTimestamp> {
        let parsed = DateTime::parse_from_rfc3339(text).map_err(|_| InvalidTimestamp)?;
        u64::try_from(parsed.timestamp_millis()).map(Self).map_err(|_| InvalidTimestamp)
    }

    /// The RFC 3339 form that JavaScript's `toISOString()` gives: UTC with milliseconds.
    pub fn to_rfc3339(self) -> String {
        i64::try_from(self.0)
            .ok()
            .and_then(DateTime::from_timestamp_millis)
            .unwrap_or(DateTime::<chrono::Utc>::MAX_UTC)
            .to_rfc3339_opts(SecondsFormat::Millis, true)
    }
}

impl UnixSeconds {
    /// The point `seconds` seconds after the Unix epoch.
    pub const fn new(seconds: u64) -> Self {
        Self(seconds)
    }

    /// Seconds since the Unix epoch.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The same point in milliseconds, or the last representable one.
    pub const fn timestamp(self) -> Timestamp {
        Timestamp(self.0.saturating_mul(1000))
    }

    /// `self + seconds`, or the last representable point.
    pub const fn saturating_add(self, seconds: u64) -> Self {
        Self(self.0.saturating_add(seconds))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_rfc3339())
    }
}

impl fmt::Display for UnixSeconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.to_string())
    }
}

impl fmt::Display for InvalidTimestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("must be an RFC 3339 date and time with seconds and a zone, not before 1970")
    }
}

impl core::error::Error for InvalidTimestamp {}

/// What is known of an object's alarm. It has one: the last that is set counts. To set it is to write a row, so one that is set for
/// sooner is left alone, and it is not lost by setting another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Alarm {
    /// Nothing: whether it is set has to be read.
    #[default]
    Unknown,
    /// It is not set.
    Off,
    /// It is set for this time. Where that is over, it is about to go off.
    Set(Timestamp),
}

impl Alarm {
    /// Whether it is known to go off at `at` or sooner. `None`: it must be read.
    pub fn rings_by(self, at: Timestamp) -> Option<bool> {
        match self {
            Self::Unknown => None,
            Self::Off => Some(false),
            Self::Set(set) => Some(set <= at),
        }
    }

    /// It was read. What was set meanwhile counts more.
    #[must_use]
    pub fn or_read(self, read: Option<Timestamp>) -> Self {
        match self {
            Self::Unknown => read.map_or(Self::Off, Self::Set),
            known => known,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn rfc3339_is_written_like_to_iso_string() {
        let point = Timestamp::from_millis(1_800_014_700_007);
        assert_eq!(point.to_rfc3339(), "2027-01-15T12:05:00.007Z");
        assert_eq!(Timestamp::parse_rfc3339("2027-01-15T12:05:00.007Z"), Ok(point));
    }

    #[test]
    fn rfc3339_with_an_offset_and_without_milliseconds_is_read() {
        let expected = Timestamp::from_millis(1_800_014_700_000);
        assert_eq!(Timestamp::parse_rfc3339("2027-01-15T12:05:00Z"), Ok(expected));
        assert_eq!(Timestamp::parse_rfc3339("2027-01-15T14:05:00+02:00"), Ok(expected));
    }

    #[test]
    fn anything_else_is_refused() {
        for text in ["", "2027-01-15", "2027-01-15T12:05:00", "1800014700", "1969-12-31T23:59:59Z", "٢٠٢٧-01-15T12:05:00Z"] {
            assert_eq!(Timestamp::parse_rfc3339(text), Err(InvalidTimestamp), "{text}");
        }
    }

    #[test]
    fn an_alarm_that_goes_off_sooner_is_left_alone_and_what_was_set_is_not_unset_by_what_was_read() {
        let [sooner, now, later] = [1, 2, 3].map(Timestamp::from_millis);
        assert_eq!(Alarm::default().rings_by(now), None, "it is read first");
        assert_eq!(Alarm::Off.rings_by(now), Some(false));
        assert_eq!([sooner, now, later].map(|at| Alarm::Set(at).rings_by(now)), [Some(true), Some(true), Some(false)]);
        assert_eq!(Alarm::Unknown.or_read(None), Alarm::Off);
        assert_eq!(Alarm::Unknown.or_read(Some(sooner)), Alarm::Set(sooner));
        // Another call of the object has set it while this one waited for what is read.
        assert_eq!(Alarm::Set(sooner).or_read(Some(later)), Alarm::Set(sooner));
        assert_eq!(Alarm::Set(sooner).or_read(None), Alarm::Set(sooner));
    }

    #[test]
    fn arithmetic_saturates() {
        assert_eq!(Timestamp::from_millis(u64::MAX).saturating_add(Duration::from_secs(1)).millis(), u64::MAX);
        assert_eq!(Timestamp::from_millis(5).since(Timestamp::from_millis(9)), Duration::ZERO);
        assert!(Timestamp::from_millis(u64::MAX).to_rfc3339().starts_with('+'));
    }
}
