//! What the origin's status means for a payment.

use super::Undelivered;

/// What becomes of an origin's answer to a priced request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// It is what is paid for.
    Deliver,
    /// The client gets it, without a receipt, and the payment stays open or is not made.
    PassOn(Undelivered),
    /// The client must not see it: it would take the origin's own paywall for ours, and pay again.
    Withhold,
}

/// Judges a status. When the money `is_ours` already, the client's own errors (4xx) are answers like any
/// other, and only what calls for trying again keeps the payment open; when it is not, no error is paid for.
pub const fn disposition(is_ours: bool, status: u16) -> Disposition {
    match status {
        402 => Disposition::Withhold,
        408 | 425 | 429 | 500.. => Disposition::PassOn(Undelivered::Failed),
        400.. if !is_ours => Disposition::PassOn(Undelivered::Unfinished),
        _ => Disposition::Deliver,
    }
}

/// Whether a delivered answer carries a receipt.
pub const fn has_receipt(status: u16) -> bool {
    matches!(status, 200..=299)
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn what_is_delivered_depends_on_whether_the_money_is_there() {
        use Disposition::{Deliver, Withhold};
        const FAILED: Disposition = Disposition::PassOn(Undelivered::Failed);
        const FREE: Disposition = Disposition::PassOn(Undelivered::Unfinished);
        for (status, ours, reserved) in [
            (101, Deliver, Deliver),
            (200, Deliver, Deliver),
            (304, Deliver, Deliver),
            (400, Deliver, FREE),
            (401, Deliver, FREE),
            (402, Withhold, Withhold),
            (404, Deliver, FREE),
            (408, FAILED, FAILED),
            (425, FAILED, FAILED),
            (429, FAILED, FAILED),
            (500, FAILED, FAILED),
            (599, FAILED, FAILED),
        ] {
            assert_eq!((disposition(true, status), disposition(false, status)), (ours, reserved), "{status}");
        }
    }

    #[test]
    fn only_success_earns_a_receipt() {
        assert!(has_receipt(200) && has_receipt(299));
        assert!(!has_receipt(199) && !has_receipt(300) && !has_receipt(404));
    }
}
