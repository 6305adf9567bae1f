//! Settlement policy against fee spikes: a discrete-event simulation of the crate's own ledger, outbox and gas rules. What it assumes
//! and what follows is in docs/scale.md.
//!
//! ```text
//! cargo bench --bench scale --no-default-features             all runs: the table on the terminal, the plots in docs/scale/
//! cargo bench --bench scale --no-default-features -- check    a small one, twice: both must come to the same, to the byte
//! ```
#![allow(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::float_arithmetic,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a simulation counts money in integers, and draws with floats"
)]

mod chain;
mod market;
mod payers;
mod plot;
mod random;
mod report;
mod sim;

use market::Market;
use mpp_edge::channel::Policy;
use mpp_edge::money::Amount;
use payers::{Payer, payers};
use sim::{Found, run};
use std::path::Path;
use std::time::Duration;

const SEED: u64 = 11;
const HOUR: u64 = 3_600;
/// Payers come for so long…
const COMING: u64 = 72 * HOUR;
/// …and buy for so long after that. Then it goes on until what is idle is closed.
const LINGER: u64 = 6 * HOUR;
const AFTERWARDS: u64 = LINGER + 50 * HOUR;

/// A policy by name.
struct Named {
    name: &'static str,
    policy: Policy,
}

/// In cents of a dollar, and seconds.
const fn policy(settle_amount: u64, settle_after: u64, settle_minimum: u64, close_idle: u64) -> Policy {
    const CENT: u128 = 10_000;
    Policy {
        settle_amount: Amount::from_base_units(settle_amount as u128 * CENT),
        settle_after: Duration::from_secs(settle_after),
        settle_minimum: Amount::from_base_units(settle_minimum as u128 * CENT),
        close_idle: Duration::from_secs(close_idle),
        delivery_window: Duration::from_secs(65),
        min_delta: Amount::ZERO,
    }
}

const DAY: u64 = 24 * HOUR;
const POLICIES: [Named; 5] = [
    Named { name: "10 ¢, 5 minutes, 0", policy: policy(10, 300, 0, HOUR) },
    Named { name: "default", policy: policy(100, HOUR, 1, DAY) },
    Named { name: "default, minimum 6 ¢", policy: policy(100, HOUR, 6, DAY) },
    Named { name: "$1, 6 hours, 6 ¢", policy: policy(100, 6 * HOUR, 6, DAY) },
    Named { name: "$10, 24 hours, 6 ¢", policy: policy(1_000, DAY, 6, DAY) },
];

/// Minimums beside the default of a cent, in cents.
const MINIMUMS: [u64; 6] = [1, 3, 6, 12, 25, 50];

/// The grid of the last plot: `settleAmount` in cents by `settleAfter`.
const AMOUNTS: [u64; 6] = [10, 30, 100, 300, 1_000, 3_000];
const GRID_MINIMUM: u64 = 6;
const AFTER: [(&str, u64); 4] = [("10 minutes", 600), ("1 hour", HOUR), ("6 hours", 6 * HOUR), ("24 hours", DAY)];

/// What a scenario is, but for the policy.
struct Scenario {
    seed: u64,
    payers: Vec<Payer>,
    market: Market,
    /// For how long anybody buys.
    buying: u64,
    seconds: u64,
}

impl Scenario {
    fn new(seed: u64, (coming, linger, afterwards): (u64, u64, u64), per_hour: u64) -> Self {
        let (buying, seconds) = (coming + linger, coming + afterwards);
        Self { seed, payers: payers(seed, coming, per_hour), market: Market::new(seed, coming, seconds), buying, seconds }
    }

    fn run(&self, policy: &Policy) -> Found {
        self.run_waiting(policy, false)
    }

    fn run_waiting(&self, policy: &Policy, waits: bool) -> Found {
        run((policy, waits), &self.payers, &self.market, self.seed, (self.buying, self.seconds))
    }
}

fn main() {
    if std::env::args().any(|argument| argument == "check") {
        return check();
    }
    let scenario = Scenario::new(SEED, (COMING, LINGER, AFTERWARDS), 30);
    let mut found: Vec<_> = POLICIES.iter().map(|Named { name, policy }| (*name, scenario.run(policy))).collect();
    found.push(("default, spikes waited out", scenario.run_waiting(&POLICIES[1].policy, true)));
    println!("{}", report::table(&scenario, &found));
    let minimums = MINIMUMS.map(|minimum| (minimum, scenario.run(&policy(100, HOUR, minimum, DAY))));
    println!("{}", report::minimum_table(&minimums));
    let grid: Vec<_> = AFTER
        .iter()
        .map(|(name, after)| (*name, AMOUNTS.map(|amount| (amount, scenario.run(&policy(amount, *after, amount.min(GRID_MINIMUM), DAY))))))
        .collect();
    println!("{}", report::grid_table(&grid));
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/scale");
    std::fs::create_dir_all(&folder).unwrap();
    for (name, svg) in [
        ("risk", report::risk(&scenario, &found)),
        ("gas", report::gas(&found)),
        ("minimum", report::minimum(&minimums)),
        ("frontier", report::frontier(&grid)),
    ] {
        std::fs::write(folder.join(format!("{name}.svg")), svg).unwrap();
    }
}

/// A tiny run, twice over, is the same to the byte; and another seed is another.
fn check() {
    let tiny = |seed| {
        let scenario = Scenario::new(seed, (2 * HOUR, HOUR, 2 * HOUR), 20);
        let found = vec![("default", scenario.run(&POLICIES[1].policy))];
        assert!(found[0].1.collected > 0, "something is collected");
        format!("{}{}", report::table(&scenario, &found), report::risk(&scenario, &found))
    };
    assert_eq!(tiny(1), tiny(1));
    assert_ne!(tiny(1), tiny(2));
    println!("the same seed gives the same bytes");
}
