//! A toy rail, to show what a rail is made of, and that the rest of the house takes one as it comes: prepaid coupons, which a provider
//! redeems over HTTP. docs/architecture.md walks through it. It exists in tests alone.

use super::{Answer, Ask, Progress, Reference, Step};
use crate::evm::{B256, keccak256};
use crate::money::Amount;
use crate::time::Timestamp;
use crate::wire::problem::{Problem, ProblemKind};
use alloc::format;
use alloc::string::String;
use core::time::Duration;
use serde::{Deserialize, Serialize};

/// A coupon that was presented. (A real rail would have checked the provider's signature of it by now.)
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Coupon {
    provider: String,
    number: u64,
    worth: Amount,
    ends: Timestamp,
}

impl Coupon {
    pub(super) fn next(&self, progress: &Progress) -> Step {
        match progress.answers.last() {
            None => Step::Ask(Ask::Http { method: "PUT", url: format!("https://{}/redeemed/{}", self.provider, self.number), body: None }),
            // Redeeming it twice is redeeming it once, so the answer is the same when this is asked again.
            Some(Answer::Http(200, receipt)) => Step::Settled(Reference::new(receipt.as_str())),
            Some(Answer::Http(410, _)) => Step::Refused(Problem::new(ProblemKind::VerificationFailed, "the coupon was redeemed elsewhere")),
            Some(_) => Step::Unknown(Problem::unavailable("the coupon's provider cannot be asked")),
        }
    }

    pub(super) fn holder(&self) -> String {
        format!("coupons:{}", self.provider)
    }

    pub(super) fn id(&self) -> B256 {
        keccak256(self.number.to_be_bytes())
    }

    pub(super) const fn amount(&self) -> Amount {
        self.worth
    }

    pub(super) fn resumable_until(&self) -> Timestamp {
        self.ends.saturating_add(Duration::from_secs(60))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::binary::{decode, encode};
    use crate::purchase::{Next, Purchase, Refusal, Stage, Undelivered};
    use crate::rail::Payment;
    use alloc::vec::Vec;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);
    const LEASE: Duration = Duration::from_secs(65);

    fn payment() -> Payment {
        let ends = NOW.saturating_add(Duration::from_secs(3600));
        Payment::Toy(Coupon { provider: "coupons.example".into(), number: 7, worth: Amount::from_base_units(500), ends })
    }

    /// The shell's loop, with a provider of the test's.
    fn settle(payment: &Payment, provider: impl Fn(&Ask) -> Answer) -> Step {
        let mut progress = Progress { answers: Vec::new(), presented: NOW, was_good: false, reserved: Amount::ZERO };
        loop {
            match payment.next(&progress) {
                Step::Ask(ask) => progress.answers.push(provider(&ask)),
                step => return step,
            }
        }
    }

    #[test]
    fn a_coupon_is_redeemed_and_buys_once() {
        let (mut purchase, next) = Purchase::present(None, payment(), None, NOW, false).unwrap();
        assert_eq!(next, Next::Prepare);
        let Step::Settled(reference) = settle(purchase.payment(), |ask| {
            assert!(matches!(ask, Ask::Http { method: "PUT", url, .. } if url == "https://coupons.example/redeemed/7"));
            Answer::Http(200, "receipt-7".into())
        }) else {
            panic!("not settled")
        };
        purchase.settle(reference.clone());
        let (lease, paid_by) = purchase.hand_over(NOW, LEASE).unwrap();
        assert_eq!((paid_by.as_str(), purchase.deliver(lease, NOW)), ("receipt-7", Ok(reference)));
        // As it is stored, it has bought.
        let stored: Purchase = decode(&encode(&purchase).unwrap()).unwrap();
        assert_eq!(Purchase::present(Some(stored), payment(), None, NOW, false).unwrap_err(), Refusal::Spent);
    }

    #[test]
    fn what_the_origin_fails_is_fetched_again_and_an_unknown_outcome_is_asked_for_again() {
        let (purchase, _) = Purchase::present(None, payment(), None, NOW, false).unwrap();
        assert!(matches!(settle(purchase.payment(), |_| Answer::Nothing), Step::Unknown(_)));
        let (mut purchase, next) = Purchase::present(Some(purchase), payment(), None, NOW, false).unwrap();
        assert_eq!(next, Next::Prepare);
        purchase.settle(Reference::new("receipt-7"));
        let (lease, _) = purchase.hand_over(NOW, LEASE).unwrap();
        let purchase = purchase.release(lease, Undelivered::Failed, NOW).unwrap();
        let (purchase, next) = Purchase::present(Some(purchase), payment(), None, NOW, false).unwrap();
        assert_eq!((next, matches!(purchase.stage(), Stage::Settled { .. })), (Next::Deliver, true));
    }

    #[test]
    fn a_coupon_that_was_redeemed_elsewhere_buys_nothing() {
        assert!(matches!(settle(&payment(), |_| Answer::Http(410, String::new())), Step::Refused(_)));
    }

    #[test]
    fn coupons_are_remembered_by_their_provider_and_number() {
        let of = |provider: &str, number| Coupon { provider: provider.into(), number, worth: Amount::ZERO, ends: NOW };
        assert_ne!(of("a", 1).id(), of("a", 2).id());
        assert_ne!(of("a", 1).holder(), of("b", 1).holder());
        assert_eq!(payment().amount(), Amount::from_base_units(500));
    }
}
