//! An exhaustive model: the ledger together with the chain, the payer, the account's outbox, the watch and a process that dies,
//! breadth first through all states that can be reached.
//!
//! Bounds: a deposit of 2 units (4 in one world) and a topUp of 1, prices of 1 (2 in that world), and in each world so many
//! happenings of each kind as its [`Budget`] says; time passes in steps of the delivery window, to the next alarm, to the end of
//! the grace period, or of a silent sale's patience. Reorganisations take back the last one or two changes of the channel,
//! whoever made them; what was taken back may come again, at any time or never. An outbox's collection is mined at any time, or
//! never; fails, though nothing stood in its way; reverts; is sent again after a crash; is told to have ended as soon as it is
//! mined (a settlement) or when it is deep (a close), and once more later.
//!
//! In every state: the invariants of `mpp_edge::channel`, an event once more changes nothing, the counters agree to the unit
//! with what was really sold, no settlement takes more than was delivered or is deemed so, the payee never has more than the
//! ledger took vouchers for, nothing is sold after a request to close is known, and a stranger who presents what was handed to the
//! outbox or is settled on chain changes nothing. And from every state, when nothing goes wrong
//! any more and the payer wants out as fast as the escrow lets it, the ledger comes to rest, closed, and the payee has at least
//! what was delivered. That is promised under these conditions, and no others:
//! * the watch tells of a request within a third of the grace period, and watch, alarm and outbox have done what they had to do
//!   before it ends;
//! * what was booked and failed is released within its window, else it counts as delivered;
//! * an addition to the deposit that was taken back had not been relied on. When it was, the payee has at least what the rest
//!   of the deposit allows, unless it was withdrawn before; with a gateway that is prudent in what it believes, everything.
//!
//! Left out: idempotency keys, many sales at once and vouchers in great numbers (see the properties), clocks that go wrong, and
//! reorganisations deeper than what counts as deep.

mod actions;
mod chain;
mod endings;
mod fingerprint;
mod search;
mod world;

use crate::fixture::{POLICY, amount};
use mpp_edge::channel::{Kind, Policy, Reuse};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::{Duration, Instant};
use world::{Budget, Setup, World};

const NONE: Budget = Budget {
    vouchers: 0,
    closes: 0,
    top_ups: 0,
    requests: 0,
    others: 0,
    reorganisations: 0,
    crashes: 0,
    failures: 0,
    repetitions: 0,
    losses: 0,
    waits: 0,
    alarms: 0,
};

fn setup(name: &'static str, least: usize, budget: Budget) -> Setup {
    let policy = Policy {
        settle_amount: amount(2),
        settle_after: Duration::from_secs(60),
        close_idle: Duration::from_secs(300),
        delivery_window: Duration::from_secs(8),
        ..POLICY
    };
    let (kind, reuse) = (Kind::Request, Reuse::DrawDown);
    Setup { name, deposit: 2, addition: 1, price: 1, kind, reuse, prudent: false, policy, budget, least }
}

fn once(setup: Setup) -> Setup {
    Setup { reuse: Reuse::Once, ..setup }
}

fn stream(setup: Setup) -> Setup {
    Setup { kind: Kind::Stream, ..setup }
}

fn prudent(setup: Setup) -> Setup {
    Setup { prudent: true, ..setup }
}

/// Explores a world to its end, and asserts that everything named has happened somewhere in it.
fn explore(setup: Setup, expected: &[&str]) {
    let started = Instant::now();
    let reached = Rc::new(RefCell::new(BTreeSet::new()));
    let setup = Rc::new(setup);
    let first = World::new(&setup, &reached);
    let explored = search::explore(first, 20_000_000).unwrap_or_else(|rule| panic!("{}: {rule}", setup.name));
    let search::Explored { states, steps, depth, cut } = explored;
    println!("{}: {states} states, {steps} steps, depth {depth}, {:?}; {:?}", setup.name, setup.budget, started.elapsed());
    assert!(!cut, "{}: not all states were seen", setup.name);
    assert!(states >= setup.least, "{}: {states} states, there were {}", setup.name, setup.least);
    for what in expected {
        assert!(reached.borrow().contains(what), "{}: it never happened: {what}; only {:?}", setup.name, reached.borrow());
    }
}

/// Settlements by amount and age, idle ends, ends that are asked for, releases, a collection that fails for no reason.
#[test]
fn sales_that_are_drawn_down() {
    let budget = Budget { vouchers: 2, closes: 1, failures: 1, losses: 1, alarms: 2, ..NONE };
    let expected = ["settled, and goes on", "closing: idle", "closing: asked", "closed by us", "tried again as another collection"];
    explore(setup("drawn down", 50_000, budget), &expected);
}

#[test]
fn sales_where_vouchers_buy_once() {
    let budget = Budget { vouchers: 2, closes: 1, losses: 1, waits: 1, alarms: 2, ..NONE };
    explore(once(setup("once", 20_000, budget)), &["settled, and goes on", "closing: idle", "closing: asked", "closed by us"]);
}

#[test]
fn prices_that_vouchers_do_not_meet() {
    let budget = Budget { vouchers: 2, repetitions: 1, losses: 1, waits: 1, alarms: 2, ..NONE };
    let setup = Setup { deposit: 4, price: 2, ..setup("price 2", 18_000, budget) };
    explore(setup, &["settled, and goes on", "closing: idle", "closed by us", "a release that came too late"]);
}

#[test]
fn streams() {
    let budget = Budget { vouchers: 1, closes: 1, losses: 1, waits: 1, alarms: 2, ..NONE };
    let expected = ["the balance of a stream ends", "a stream is over", "settled, and goes on", "closing: asked", "closing: idle"];
    explore(stream(setup("stream", 35_000, budget)), &expected);
}

#[test]
fn streams_that_end_each_other_and_requests_to_close() {
    let budget = Budget { vouchers: 2, requests: 1, alarms: 2, ..NONE };
    let expected = ["a stream is over", "the balance of a stream ends", "closing: requested", "the payer withdraws"];
    explore(stream(setup("streams", 65_000, budget)), &expected);
}

/// The process dies between what it persisted and what it was to do, and the outbox fails for no reason.
#[test]
fn requests_to_close_under_crashes() {
    let budget = Budget { vouchers: 2, requests: 1, crashes: 1, failures: 1, alarms: 2, ..NONE };
    let expected =
        ["closing: requested", "tried again as another collection", "the grace period ends", "the payer withdraws", "closed by us"];
    explore(setup("requests, crashes", 17_000, budget), &expected);
}

#[test]
fn ends_that_are_asked_for_under_crashes() {
    let budget = Budget { vouchers: 2, closes: 1, crashes: 1, failures: 1, repetitions: 1, alarms: 2, ..NONE };
    explore(setup("asked, crashes", 20_000, budget), &["the client asks for the end", "tried again as another collection", "closed by us"]);
}

#[test]
fn requests_that_are_taken_back_by_an_addition_and_made_again() {
    let budget = Budget { vouchers: 1, top_ups: 1, requests: 2, crashes: 1, failures: 1, alarms: 3, ..NONE };
    explore(setup("requests, additions", 35_000, budget), &["closing: requested", "the payer withdraws", "closed by us"]);
}

#[test]
fn reorganised_settlements() {
    let budget = Budget { vouchers: 2, reorganisations: 1, crashes: 1, waits: 1, alarms: 2, ..NONE };
    let expected = ["a settlement that was told is taken back", "tried again as another collection", "suspended", "closed by us"];
    explore(setup("reorganised settlements", 26_000, budget), &expected);
}

#[test]
fn reorganised_additions_and_requests() {
    let requests = Budget { vouchers: 1, top_ups: 1, requests: 1, reorganisations: 1, alarms: 2, ..NONE };
    let expected = ["suspended", "closing: requested", "a collection that would revert is not sent", "the payer withdraws", "closed by us"];
    explore(setup("reorganised", 17_000, requests), &expected);
    let asked = Budget { requests: 0, closes: 1, ..requests };
    explore(setup("reorganised, asked", 18_000, asked), &["suspended", "closing: asked", "closed by us"]);
}

/// Who believes good news only when they are deep loses nothing, whatever is taken back.
#[test]
fn reorganised_additions_and_requests_seen_by_the_prudent() {
    let budget = Budget { vouchers: 1, top_ups: 1, requests: 1, reorganisations: 2, alarms: 2, ..NONE };
    let expected = ["closing: requested", "a settlement that was told is taken back", "the payer withdraws", "closed by us"];
    explore(prudent(setup("reorganised, prudent", 40_000, budget)), &expected);
}

#[test]
fn another_gateway_of_the_payee() {
    let budget = Budget { vouchers: 1, requests: 1, others: 1, reorganisations: 1, alarms: 2, ..NONE };
    let expected = ["closed by others", "closing: requested", "a collection that would revert is not sent"];
    explore(setup("another gateway", 50_000, budget), &expected);
}

/// More of everything: minutes, and gigabytes, in a release build.
#[test]
#[ignore = "takes minutes and gigabytes"]
fn wider() {
    let one = Budget { vouchers: 1, alarms: 2, ..NONE };
    let two = Budget { vouchers: 2, ..one };
    let worlds = [
        once(setup("wide: once", 230_000, Budget { vouchers: 3, closes: 1, repetitions: 1, losses: 1, waits: 1, ..two })),
        stream(setup("wide: streams", 430_000, Budget { requests: 1, crashes: 1, losses: 1, ..two })),
        setup("wide: requests, crashes", 100_000, Budget { requests: 1, crashes: 1, failures: 1, waits: 1, ..two }),
        setup("wide: crashes", 190_000, Budget { closes: 1, requests: 1, crashes: 2, failures: 2, ..two }),
        setup("wide: reorganised", 1_050_000, Budget { closes: 1, top_ups: 1, requests: 1, reorganisations: 1, ..two }),
        setup("wide: reorganised twice", 450_000, Budget { top_ups: 1, requests: 1, reorganisations: 2, crashes: 1, failures: 1, ..one }),
        setup("wide: another gateway", 3_300_000, Budget { requests: 1, others: 1, reorganisations: 1, waits: 1, ..two }),
        prudent(setup("wide: prudent", 600_000, Budget { top_ups: 1, requests: 1, reorganisations: 2, ..two })),
        prudent(stream(setup("wide: prudent streams", 135_000, Budget { top_ups: 1, requests: 1, reorganisations: 1, ..one }))),
    ];
    for setup in worlds {
        explore(setup, &[]);
    }
}
