//! An answer that broke off: whose doing it was, and whether it counts as delivered all the same.
//!
//! That the origin broke off is for the gateway to see and for the client to bring about: by a request body that breaks or never
//! ends, by not reading until the origin's patience ends. What a client can bring about releases nothing.

use core::time::Duration;

/// A client that keeps the origin waiting this long in all, before the answer breaks off, has broken it off.
const PATIENCE: Duration = Duration::from_secs(5);

/// So many bytes of an answer whose length is not known count as delivered.
const MUCH: u64 = 1024 * 1024;

/// What is known of an answer that ended before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken {
    /// Bytes that went out to the client.
    pub delivered: u64,
    /// Bytes that the origin had announced.
    pub announced: Option<u64>,
    /// How long the client did not read what was there for it, and did not send what was missing of its own request, in all.
    pub kept_waiting: Duration,
    /// The request's own body broke off.
    pub upload_broke: bool,
}

impl Broken {
    /// Whether that releases the delivery: the origin broke it off, and too little of it had gone out.
    pub const fn is_undelivered(&self) -> bool {
        !self.upload_broke && self.kept_waiting.as_millis() < PATIENCE.as_millis() && self.delivered < Self::much(self.announced)
    }

    /// From how many bytes on an answer counts as delivered however it ends, when so many were `announced`.
    pub const fn much(announced: Option<u64>) -> u64 {
        match announced {
            Some(announced) => announced.div_ceil(2),
            None => MUCH,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const ORIGINS: Broken = Broken { delivered: 8, announced: Some(1_000), kept_waiting: Duration::ZERO, upload_broke: false };

    #[test]
    fn a22_what_the_origin_broke_off_early_is_given_back() {
        assert!(ORIGINS.is_undelivered());
        assert!(Broken { delivered: 0, ..ORIGINS }.is_undelivered());
        assert!(Broken { announced: None, delivered: MUCH - 1, ..ORIGINS }.is_undelivered());
        assert!(Broken { kept_waiting: PATIENCE - Duration::from_millis(1), ..ORIGINS }.is_undelivered());
    }

    #[test]
    fn a22_what_the_client_can_bring_about_is_not() {
        assert!(!Broken { upload_broke: true, ..ORIGINS }.is_undelivered());
        assert!(!Broken { kept_waiting: PATIENCE, ..ORIGINS }.is_undelivered());
        assert!(!Broken { upload_broke: true, delivered: 0, ..ORIGINS }.is_undelivered());
    }

    #[test]
    fn a22_half_of_it_counts_as_all_of_it() {
        for (delivered, announced, undelivered) in [
            (499, Some(1_000), true),
            (500, Some(1_000), false),
            (0, Some(1), true),
            (1, Some(2), false),
            (1, Some(3), true),
            (u64::MAX / 2, Some(u64::MAX), true),
            (u64::MAX, Some(u64::MAX), false),
            (MUCH, None, false),
            (MUCH, Some(4 * MUCH), true),
        ] {
            assert_eq!(Broken { delivered, announced, ..ORIGINS }.is_undelivered(), undelivered, "{delivered} of {announced:?}");
            assert_eq!(delivered < Broken::much(announced), undelivered, "{delivered} of {announced:?}");
        }
    }
}
