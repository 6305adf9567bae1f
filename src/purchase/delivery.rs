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

/// What is charged beside success.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Charging {
    /// The money is ours already: the client's own errors (4xx) are answers like any other. When it is not, no error is paid for.
    pub is_ours: bool,
    /// The route charges redirects (3xx) too, and 304: otherwise they only say where to look for what is paid for.
    pub redirects: bool,
}

impl Charging {
    /// Judges a status. What calls for trying again is never charged.
    pub const fn disposition(self, status: u16) -> Disposition {
        match status {
            402 => Disposition::Withhold,
            408 | 425 | 429 | 500.. => Disposition::PassOn(Undelivered::Failed),
            400.. if !self.is_ours => Disposition::PassOn(Undelivered::Unfinished),
            300..=399 if !self.redirects => Disposition::PassOn(Undelivered::Unfinished),
            _ => Disposition::Deliver,
        }
    }
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
            (299, Deliver, Deliver),
            (300, FREE, FREE),
            (304, FREE, FREE),
            (399, FREE, FREE),
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
            let charging = |is_ours| Charging { is_ours, redirects: false };
            assert_eq!((charging(true).disposition(status), charging(false).disposition(status)), (ours, reserved), "{status}");
        }
    }

    #[test]
    fn b14_redirects_are_charged_where_the_route_says_so() {
        for status in 100..=599 {
            for is_ours in [true, false] {
                let disposition = |redirects| Charging { is_ours, redirects }.disposition(status);
                if (300..400).contains(&status) {
                    assert_eq!(disposition(true), Disposition::Deliver, "{status}");
                    assert_eq!(disposition(false), Disposition::PassOn(Undelivered::Unfinished), "{status}");
                } else {
                    assert_eq!(disposition(true), disposition(false), "{status}");
                }
            }
        }
    }
}
