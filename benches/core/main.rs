//! The core on this machine, operation by operation, beside what one would write on the stock crates.
//!
//! ```text
//! cargo bench --bench core --no-default-features      times, by criterion; a word behind it, after `--`, filters
//! core operations                                     the names of ours
//! core repeat NAME TIMES                              one of ours, so often: what scripts/counts.mjs counts instructions of
//! ```
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "a bench whose input is wrong has nothing to measure")]

mod bench;
mod challenges;
mod credentials;
mod ledger;
mod outbox;
mod proofs;
mod routes;
mod setting;
mod unpaid;
mod x402;

use bench::Bench;

fn main() {
    let mut bench = Bench::from_arguments();
    proofs::all(&mut bench);
    challenges::all(&mut bench);
    credentials::all(&mut bench);
    ledger::all(&mut bench);
    outbox::all(&mut bench);
    routes::all(&mut bench);
    unpaid::all(&mut bench);
    x402::all(&mut bench);
    bench.end();
}
