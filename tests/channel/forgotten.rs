//! C13: a channel is kept, and watched, as long as there is something to keep it for.

use super::fixture::*;
use mpp_edge::channel::{Event, Status};

/// Whether it may be forgotten once it was not used for as long as the policy says.
fn ends(mut ledger: Ledger) -> bool {
    let idle = ledger.policy.close_idle;
    assert!(!ledger.channel.is_forgettable(&ledger.policy, ledger.now), "it was used just now");
    ledger.pass(idle);
    ledger.channel.is_forgettable(&ledger.policy, ledger.now)
}

fn settled() -> Ledger {
    let mut ledger = Ledger::new(10_000);
    ledger.bought(1000, once(1000));
    let collection = ledger.wake().unwrap();
    ledger.conclude(collection, DONE);
    ledger.step(NOTHING).unwrap();
    ledger
}

#[test]
fn c13_what_bought_nothing_is_forgotten_and_so_is_what_is_all_settled() {
    assert!(ends(Ledger::new(10_000)));
    assert!(ends(Ledger::adopted(&on_chain(10_000, 4000))));
    let mut signed_ahead = Ledger::new(10_000);
    signed_ahead.voucher(5000).unwrap();
    assert!(ends(signed_ahead));
    assert!(ends(settled()));
    let mut requested_end = settled();
    requested_end.observe(requested(on_chain(10_000, 1000)));
    assert!(ends(requested_end), "the payer withdraws by itself");
}

#[test]
fn c13_what_was_sold_and_is_not_settled_is_kept() {
    let mut dust = Ledger::new(10_000);
    dust.bought(1, once(1));
    assert!(!ends(dust));
    let mut metered = Ledger::new(10_000);
    metered.bought(1000, stream(10, 8));
    assert!(!ends(metered));
    let mut failing = Ledger::new(10_000);
    failing.bought(1000, once(1000));
    let collection = failing.wake().unwrap();
    assert!(!ends(failing.clone()), "it is on its way");
    failing.conclude(collection, REVERTED);
    assert!(!ends(failing));
}

#[test]
fn c13_what_ends_is_kept_until_its_end() {
    let mut asked = settled();
    asked.step(Event::Close(presented(2000))).unwrap();
    assert!(matches!(asked.channel.status(), Status::Closing(_)));
    assert!(!ends(asked.clone()));
}

/// What comes back is taken on as the chain shows it: nothing that bought before buys again.
#[test]
fn c13_what_is_taken_on_again_takes_no_voucher_twice() {
    let before = settled();
    let mut again = Ledger::adopted(&on_chain(10_000, before.channel.settled().base_units()));
    again.refuses(Event::Voucher(presented(1000), Some(once(1000))), mpp_edge::channel::Refusal::Insufficient);
    again.refuses(Event::Voucher(presented(1000), Some(draw_down(1000))), mpp_edge::channel::Refusal::Insufficient);
    again.bought(2000, once(1000));
}
