//! The watch over channels, driven as `src/worker/objects/account/rounds.rs` drives it, against a chain in memory and nodes that lag,
//! refuse, answer from two states at once, and forget; and against itself: it dies at any moment and goes on from what it had stored.
//!
//! Bounds of the property: 6 channels, schedules of up to 60 steps, reorganisations of up to 60 blocks (beyond the 32 that the cursor
//! stays behind), 1 to 40 confirmations, 200 schedules drawn anew at each run. There is no slow sweep in it: what the events do not show
//! stays unseen, unless the scan itself asks for every channel to be looked at.
#![cfg(not(target_arch = "wasm32"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests may panic")]
#![allow(clippy::as_conversions, clippy::cast_possible_truncation, reason = "numbers of blocks and channels, all of them small")]

use alloy_primitives::{Address, B256, keccak256};
use mpp_edge::binary::{decode, encode};
use mpp_edge::evm::escrow::events_filter;
use mpp_edge::evm::jsonrpc::{NodeAnswer, Request, body, parse};
use mpp_edge::evm::reading::Heights;
use mpp_edge::settlement::{Comparison, Heard, Scan, Watched};
use mpp_edge::time::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

const ESCROW: Address = Address::repeat_byte(0xe5);
const PAYEE: Address = Address::repeat_byte(0xaa);
const WATCH: Duration = Duration::from_secs(120);
const IDLE: Duration = Duration::from_secs(30 * 24 * 60 * 60);

fn id(channel: usize) -> B256 {
    keccak256(channel.to_be_bytes())
}

/// Blocks, by the channels to which something happened in each. What a block is, it is by all before it and a salt.
#[derive(Default)]
struct Chain {
    blocks: Vec<(B256, Vec<B256>)>,
    /// The blocks of each channel's events.
    events: BTreeMap<B256, Vec<u64>>,
    salt: u64,
}

impl Chain {
    fn head(&self) -> u64 {
        self.blocks.len() as u64 - 1
    }

    fn mine(&mut self, events: Vec<B256>) {
        self.salt += 1;
        let parent = self.blocks.last().map_or(B256::ZERO, |block| block.0);
        for event in &events {
            self.events.entry(*event).or_default().push(self.blocks.len() as u64);
        }
        self.blocks.push((keccak256([parent.as_slice(), &self.salt.to_be_bytes()].concat()), events));
    }

    fn reorganise(&mut self, depth: usize, again: bool) {
        let kept = self.blocks.len() - depth.min(self.blocks.len() - 1);
        let gone = self.blocks.split_off(kept);
        self.events.values_mut().for_each(|blocks| blocks.retain(|block| *block < kept as u64));
        for (_, events) in gone {
            self.mine(if again { events } else { Vec::new() });
        }
    }

    /// What the escrow says of a channel in a block: how many events it has had.
    fn state(&self, channel: B256, block: u64) -> u128 {
        self.events.get(&channel).map_or(0, |blocks| blocks.partition_point(|at| *at <= block)) as u128
    }
}

/// What a node does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    /// It has not seen so many of the last blocks.
    Lags(u64),
    /// It names the latest block, and looks for logs in a state that is so many blocks older.
    Races(u64),
    /// It refuses to answer about more blocks.
    Span(u64),
    /// It refuses to answer with more logs.
    Results(usize),
    Busy,
    Unsupported,
}

#[derive(Default)]
struct Counts {
    posts: u64,
    requests: u64,
    reads: u64,
}

struct World {
    chain: Chain,
    confirmations: u64,
    scan: Scan,
    stored: Vec<u8>,
    writes: u64,
    told: BTreeMap<B256, Option<u128>>,
    counts: Counts,
    now: Timestamp,
    sweeps: bool,
    /// What events must be asked for by.
    filter: (Value, Value),
}

fn hex(number: u64) -> String {
    format!("{number:#x}")
}

fn number(value: &Value) -> Option<u64> {
    u64::from_str_radix(value.as_str()?.strip_prefix("0x")?, 16).ok()
}

impl World {
    fn new(confirmations: u64) -> Self {
        let mut chain = Chain::default();
        (0..100).for_each(|_| chain.mine(Vec::new()));
        let mut scan = Scan::default();
        scan.attend([ESCROW], [PAYEE]);
        let stored = encode(&scan).unwrap();
        let now = Timestamp::from_millis(1_000_000);
        let topics = events_filter([PAYEE]).0.iter().map(|any| if any.is_empty() { Value::Null } else { json!(any) }).collect();
        let filter = (json!(ESCROW), topics);
        Self { chain, confirmations, scan, stored, writes: 0, told: BTreeMap::new(), counts: Counts::default(), now, sweeps: false, filter }
    }

    fn store(&mut self) {
        if self.scan.is_worth_storing(&decode(&self.stored).unwrap()) {
            self.stored = encode(&self.scan).unwrap();
            self.writes += 1;
        }
    }

    fn restart(&mut self) {
        self.scan = decode(&self.stored).unwrap();
    }

    fn adopt(&mut self, channel: B256) {
        self.told.entry(channel).or_insert(None);
        self.scan.notice(channel);
        self.store();
    }

    /// Answers as a node does, in JSON.
    fn answer(&mut self, questions: &[Request], fault: Fault) -> Vec<NodeAnswer> {
        self.counts.posts += 1;
        self.counts.requests += questions.len() as u64;
        let asked: Vec<Value> = serde_json::from_str(&body(questions)).unwrap();
        let answers = asked.iter().map(|question| {
            let answer = self.one(question["method"].as_str().unwrap(), &question["params"][0], fault);
            match answer {
                Ok(result) => json!({ "jsonrpc": "2.0", "id": question["id"], "result": result }),
                Err((code, message)) => json!({ "jsonrpc": "2.0", "id": question["id"], "error": { "code": code, "message": message } }),
            }
        });
        parse(&answers.collect::<Value>().to_string(), questions.len()).unwrap()
    }

    fn one(&self, method: &str, of: &Value, fault: Fault) -> Result<Value, (i64, &'static str)> {
        let lag = if let Fault::Lags(lag) = fault { lag } else { 0 };
        let head = self.chain.head().saturating_sub(lag);
        if method == "eth_getBlockByNumber" {
            let at = if of == "latest" { head } else { number(of).unwrap() };
            let block = self.chain.blocks.get(at as usize).filter(|_| at <= head);
            return Ok(block.map_or(Value::Null, |(hash, _)| json!({ "number": hex(at), "hash": hash })));
        }
        assert_eq!(method, "eth_getLogs");
        assert_eq!(of["address"][0], self.filter.0);
        assert_eq!(of["topics"], self.filter.1);
        match fault {
            Fault::Busy => return Err((-32005, "rate limited")),
            Fault::Unsupported => return Err((-32601, "the method does not exist")),
            _ => {}
        }
        let state = if let Fault::Races(lag) = fault { head.saturating_sub(lag) } else { head };
        let from = number(&of["fromBlock"]).unwrap();
        let to = number(&of["toBlock"]).unwrap_or(state);
        // Newer nodes refuse what is beyond the blocks that they have, others answer with what they have.
        if from > head {
            return Err((-32000, "invalid block range params"));
        }
        if let Fault::Span(most) = fault
            && to.max(head) >= from + most
            && to >= from + most
        {
            return Err((-32005, "eth_getLogs block range is too large"));
        }
        let (from_block, to_block) = (from as usize, to.min(state) as usize);
        let mut logs = Vec::new();
        for at in from_block..=to_block {
            if let Some((_, events)) = self.chain.blocks.get(at) {
                let log = |event: &B256| {
                    let topics = [keccak256("CloseRequested"), *event, B256::ZERO, PAYEE.into_word()];
                    json!({ "address": ESCROW, "topics": topics, "data": "0x", "blockNumber": hex(at as u64), "transactionHash": B256::ZERO })
                };
                logs.extend(events.iter().map(log));
            }
        }
        match fault {
            Fault::Results(most) if logs.len() > most => Err((-32005, "query returned more than 10000 results")),
            _ => Ok(Value::Array(logs)),
        }
    }

    /// A round, as the account's object makes it.
    fn round(&mut self, fault: Fault) -> Heard {
        self.now = self.now.saturating_add(WATCH);
        let heard = loop {
            let questions = self.scan.ask();
            assert!(questions.len() <= 49, "{} questions in one post", questions.len());
            let answers = self.answer(&questions, fault);
            let told = &self.told;
            let heard = self.scan.hear(answers, self.confirmations, self.now, |id| told.contains_key(id));
            assert!(self.counts.posts < 1_000_000, "it asks without an end");
            if heard != Heard::More {
                break heard;
            }
        };
        let (Heard::Upto(head) | Heard::Blind(head)) = heard else { return heard };
        for (channel, fresh) in self.scan.unread(None).collect::<Vec<_>>() {
            self.counts.reads += 1;
            let is_steady = self.read(channel, head);
            self.scan.was_read(&channel, fresh, head, is_steady);
        }
        let quota = if self.sweeps || self.scan.sweep.is_owed() { self.scan.sweep.begin(self.now, WATCH, IDLE) } else { 0 };
        if quota == u64::MAX {
            for channel in self.told.keys().copied().collect::<Vec<_>>() {
                let is_as_told = |block| self.told[&channel] == Some(self.chain.state(channel, block));
                if !Heights::new(head, self.confirmations).blocks().all(is_as_told) {
                    let is_steady = self.read(channel, head);
                    self.scan.was_found(channel, head, is_steady);
                }
            }
            self.scan.sweep.went(self.told.len() as u64, None);
        } else if quota > 0 {
            self.sweep(quota, head);
        }
        self.store();
        heard
    }

    /// Reads a channel, as far as it can be relied on, and says whether that may still change.
    fn read(&mut self, channel: B256, head: u64) -> bool {
        let Heights { head, deep } = Heights::new(head, self.confirmations);
        let [latest, deep] = [head, deep].map(|block| self.chain.state(channel, block));
        self.told.insert(channel, Some(latest.min(deep)));
        latest == deep
    }

    /// Compares some channels by the real questions, for what these cost.
    fn sweep(&mut self, quota: u64, head: u64) {
        let after = self.scan.sweep.after().copied();
        let page: Vec<_> = self.told.keys().filter(|id| Some(**id) > after).take(quota as usize).collect();
        let page: Vec<_> = page.into_iter().map(|id| Watched::new(ESCROW, *id, PAYEE)).collect();
        for page in page.chunks(5_000) {
            let questions = Comparison::new(page).questions(Heights::new(head, self.confirmations));
            self.counts.requests += questions.len() as u64;
            self.counts.posts += questions.len().div_ceil(50) as u64;
            self.scan.sweep.went(page.len() as u64, page.last().map(Watched::channel_id));
        }
        if (page.len() as u64) < quota {
            self.scan.sweep.went(0, None);
        }
    }

    /// Whether every keeper was told what the chain shows.
    fn assert_told(&self) {
        for (channel, told) in &self.told {
            let Heights { head, deep } = Heights::new(self.chain.head(), self.confirmations);
            let shown = self.chain.state(*channel, head).min(self.chain.state(*channel, deep));
            assert_eq!(*told, Some(shown), "{channel}");
        }
    }

    fn settle(&mut self) {
        for _ in 0..3 {
            (0..40).for_each(|_| self.chain.mine(Vec::new()));
            self.round(Fault::None);
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Mine(usize, Vec<usize>),
    Reorganise(usize, bool, Vec<usize>),
    Round(Fault),
    Adopt(usize),
    Restart,
}

fn a_step() -> impl Strategy<Value = Step> {
    let events = || prop::collection::vec(0..8_usize, 0..4);
    let fault = prop_oneof![
        6 => Just(Fault::None),
        2 => (1..80_u64).prop_map(Fault::Lags),
        2 => (1..31_u64).prop_map(Fault::Races),
        1 => (1..60_u64).prop_map(Fault::Span),
        1 => (0..4_usize).prop_map(Fault::Results),
        1 => Just(Fault::Busy),
        1 => Just(Fault::Unsupported),
    ];
    prop_oneof![
        4 => (1..50_usize, events()).prop_map(|(blocks, events)| Step::Mine(blocks, events)),
        2 => (1..60_usize, any::<bool>(), events()).prop_map(|(depth, again, events)| Step::Reorganise(depth, again, events)),
        6 => fault.prop_map(Step::Round),
        1 => (0..6_usize).prop_map(Step::Adopt),
        1 => Just(Step::Restart),
    ]
}

fn run(confirmations: u64, steps: Vec<Step>) -> World {
    let mut world = World::new(confirmations);
    let mut raced = false;
    for step in steps {
        match step {
            Step::Mine(blocks, events) => {
                world.chain.mine(events.into_iter().map(id).collect());
                (1..blocks).for_each(|_| world.chain.mine(Vec::new()));
            }
            Step::Reorganise(depth, again, events) => {
                world.chain.reorganise(depth, again);
                world.chain.mine(events.into_iter().map(id).collect());
            }
            Step::Round(fault) => {
                let heard = world.round(fault);
                raced |= matches!(fault, Fault::Races(_));
                // What has happened by now is seen in this round, unless the node is left behind; what a race has hidden, when it is
                // asked about for the second time.
                if !raced && fault == Fault::None && heard == Heard::Upto(world.chain.head()) {
                    world.assert_told();
                }
            }
            Step::Adopt(channel) => world.adopt(id(channel)),
            Step::Restart => world.restart(),
        }
    }
    world
}

fn cases(cases: u32) -> ProptestConfig {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(cases);
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases(200))]

    #[test]
    fn no_event_is_missed(confirmations in prop_oneof![Just(1), 2..40_u64], steps in prop::collection::vec(a_step(), 0..60)) {
        let mut world = run(confirmations, steps);
        world.settle();
        world.assert_told();
    }
}

/// A chain of a block a second, and rounds of an honest node.
fn quiet(world: &mut World, rounds: usize) {
    for _ in 0..rounds {
        (0..WATCH.as_secs()).for_each(|_| world.chain.mine(Vec::new()));
        world.round(Fault::None);
    }
}

/// A world that has seen its first channels.
fn begun(confirmations: u64, channels: usize) -> World {
    let mut world = World::new(confirmations);
    (0..channels).for_each(|channel| world.adopt(id(channel)));
    quiet(&mut world, 4);
    world.counts = Counts::default();
    world.writes = 0;
    world
}

#[test]
fn a_channel_is_read_once_for_an_event_and_not_without_one() {
    let mut world = begun(1, 6);
    quiet(&mut world, 10);
    assert_eq!(world.counts.reads, 0);
    for channel in [0, 3, 3, 7] {
        world.chain.mine(vec![id(channel)]);
    }
    quiet(&mut world, 10);
    assert_eq!(world.counts.reads, 2, "two of ours have had events");
    world.assert_told();
    // Its keeper learns something by itself.
    world.scan.notice(id(5));
    quiet(&mut world, 10);
    assert_eq!(world.counts.reads, 3);
}

#[test]
fn what_is_not_deep_is_read_until_it_is() {
    let mut world = begun(5, 2);
    world.chain.mine(vec![id(0)]);
    world.round(Fault::None);
    assert_eq!((world.counts.reads, world.told[&id(0)]), (1, Some(0)));
    (0..4).for_each(|_| world.chain.mine(Vec::new()));
    world.round(Fault::None);
    assert_eq!((world.counts.reads, world.told[&id(0)]), (2, Some(1)));
    quiet(&mut world, 3);
    assert_eq!(world.counts.reads, 2);
}

#[test]
fn what_a_reorganisation_takes_back_is_read_again_and_nothing_else() {
    let mut world = begun(1, 6);
    world.chain.mine(vec![id(1)]);
    world.round(Fault::None);
    world.chain.reorganise(3, false);
    world.restart();
    world.round(Fault::None);
    assert_eq!((world.counts.reads, world.told[&id(1)]), (2, Some(0)));
    // Beyond the cursor every channel is looked at.
    world.chain.mine(vec![id(2)]);
    quiet(&mut world, 5);
    assert_eq!(world.told[&id(2)], Some(1));
    world.chain.reorganise(5 * 120 + 1, false);
    world.round(Fault::None);
    world.assert_told();
}

#[test]
fn an_answer_that_lags_does_not_move_the_cursor() {
    let mut world = begun(1, 1);
    world.chain.mine(vec![id(0)]);
    for _ in 0..5 {
        assert_eq!(world.round(Fault::Lags(1)), Heard::Upto(world.chain.head() - 1), "the node has not seen it");
        assert_eq!(world.told[&id(0)], Some(0));
    }
    world.round(Fault::None);
    assert_eq!(world.told[&id(0)], Some(1));
    // What is behind what was seen counts for nothing, and is the chain when it stays.
    world.chain.mine(vec![id(0)]);
    for _ in 0..5 {
        assert_eq!(world.round(Fault::Lags(2)), Heard::Behind);
    }
    world.round(Fault::None);
    assert_eq!(world.told[&id(0)], Some(2));
    for _ in 0..5 {
        assert_eq!(world.round(Fault::Lags(1)), Heard::Behind);
    }
    assert_eq!(world.round(Fault::Lags(1)), Heard::Upto(world.chain.head() - 1));
    assert_eq!(world.told[&id(0)], Some(1));
}

#[test]
fn a_node_that_looks_into_an_older_state_is_asked_twice() {
    let mut world = begun(1, 1);
    world.chain.mine(vec![id(0)]);
    world.round(Fault::Races(3));
    assert_eq!(world.told[&id(0)], Some(0), "it does not show it");
    world.round(Fault::None);
    assert_eq!(world.told[&id(0)], Some(1));
}

#[test]
fn spans_that_a_node_refuses_are_made_smaller_and_what_it_takes_is_kept_to() {
    for fault in [Fault::Span(10), Fault::Results(1)] {
        let mut world = begun(1, 6);
        for channel in 0..6 {
            (0..20).for_each(|_| world.chain.mine(Vec::new()));
            world.chain.mine(vec![id(channel)]);
        }
        assert_eq!(world.round(fault), Heard::Upto(world.chain.head()), "{fault:?}");
        world.assert_told();
        let learning = world.counts.posts;
        assert!(learning <= 12, "{fault:?}: {learning} posts");
        for _ in 0..3 {
            (0..120).for_each(|_| world.chain.mine(Vec::new()));
            world.round(fault);
        }
        let posts = world.counts.posts - learning;
        assert!(posts <= 6, "{fault:?}: {posts} posts in three rounds");
    }
}

#[test]
fn without_events_every_channel_is_looked_at_in_each_round() {
    for fault in [Fault::Unsupported, Fault::Busy, Fault::Results(0)] {
        let mut world = begun(1, 6);
        world.chain.mine(vec![id(4)]);
        assert_eq!(world.round(fault), Heard::Blind(world.chain.head()), "{fault:?}");
        world.assert_told();
        world.chain.mine(vec![id(5)]);
        world.restart();
        world.round(fault);
        world.assert_told();
        // With events again they are all looked at once more: what came and went meanwhile was seen by nobody.
        world.chain.reorganise(1, false);
        world.round(Fault::None);
        world.assert_told();
        assert!(!world.scan.sweep.is_owed());
    }
}

#[test]
fn a_node_that_hides_events_is_not_believed_for_a_day() {
    let mut world = begun(1, 1);
    world.scan.distrust(world.now);
    let day = world.now.saturating_add(Duration::from_secs(24 * 60 * 60));
    for _ in 0..10 {
        world.chain.mine(vec![id(0)]);
        assert_eq!(world.round(Fault::None), Heard::Blind(world.chain.head()));
        world.assert_told();
        world.restart();
    }
    world.now = day;
    assert_eq!(world.round(Fault::None), Heard::Upto(world.chain.head()));
}

#[test]
fn after_a_long_time_it_looks_at_every_channel_instead() {
    let mut world = begun(1, 6);
    (0..2_000).for_each(|_| world.chain.mine(vec![id(1)]));
    // The node takes one block at a time.
    assert_eq!(world.round(Fault::Span(1)), Heard::Upto(world.chain.head()));
    world.assert_told();
    assert!(world.counts.posts < 60, "{} posts", world.counts.posts);
}

/// What docs/performance.md has: an hour of rounds, a block a second, with nothing happening.
#[test]
fn a_hundred_thousand_channels_cost_what_a_hundred_do() {
    let mut costs = Vec::new();
    for channels in [100, 10_000, 100_000] {
        let mut world = World::new(1);
        world.sweeps = true;
        for channel in 0..channels {
            // All but a few were taken on long ago.
            world.told.insert(id(channel), Some(0));
            world.scan.sweep.count(true);
        }
        quiet(&mut world, 60);
        world.counts = Counts::default();
        world.writes = 0;
        quiet(&mut world, 30);
        let Counts { posts, requests, reads } = world.counts;
        println!(
            "{channels} channels: {posts} posts, {requests} requests, {} rows written, {reads} channels read in an hour",
            world.writes
        );
        costs.push((posts, requests, world.writes, reads));
    }
    let [few, .., many] = costs.as_slice() else { panic!("three costs") };
    assert_eq!((few.0, few.2, few.3), (many.0, many.2, many.3), "posts, rows, channels");
    assert!(many.1 * 2 <= few.1 * 3, "{} requests against {}", many.1, few.1);
    assert!(many.0 <= 36 && many.2 <= 16, "a post for each round and each step of the sweep");
}

/// Nothing is lost when there is more than can be remembered.
#[test]
fn thousands_of_channels_at_once_are_all_seen() {
    let mut world = begun(1, 0);
    for channel in 0..9_000 {
        world.told.insert(id(channel), None);
        world.scan.notice(id(channel));
    }
    let events = (0..9_000).map(id).collect();
    world.chain.mine(events);
    world.round(Fault::None);
    quiet(&mut world, 2);
    world.assert_told();
}

#[test]
fn what_is_stored_is_small() {
    let mut world = begun(1, 50);
    assert!(world.stored.len() < 3_000, "{} bytes", world.stored.len());
    quiet(&mut world, 10);
    assert!(world.stored.len() < 500, "{} bytes", world.stored.len());
}

#[test]
fn every_escrow_and_payee_is_asked_for_once() {
    let mut world = begun(1, 1);
    let others = [Address::repeat_byte(0xe6), Address::repeat_byte(0xab)];
    for _ in 0..2 {
        world.scan.attend([ESCROW, others[0]], [PAYEE, others[1]]);
    }
    let filter = events_filter([PAYEE, others[1]]);
    let questions = world.scan.ask();
    let expected = Request::logs_in(&[ESCROW, others[0]], &filter, 100, None);
    let text = |request: Request| body(&[request]);
    let from = |text: String| text.split_once("fromBlock").map(|(before, _)| before.to_owned());
    let asked = text(questions.into_iter().next_back().unwrap());
    assert_eq!(asked.matches("0xe5e5").count() + asked.matches("0xe6e6").count(), 2, "{asked}");
    assert_eq!(asked.matches(&"aa".repeat(20)).count() + asked.matches(&"ab".repeat(20)).count(), 2, "{asked}");
    assert_eq!(from(asked), from(text(expected)));
}

#[test]
fn what_is_not_watched_any_more_is_not_read() {
    let mut scan = Scan::default();
    scan.notice(id(1));
    scan.notice(id(2));
    scan.forget(&id(1));
    assert_eq!((scan.is_fresh(&id(1)), scan.is_fresh(&id(2))), (false, true));
    assert_eq!(scan.unread(None).map(|(id, _)| id).collect::<Vec<_>>(), [id(2)]);
}

/// As many channels with events are kept as there is room for; who is kept has its place.
#[test]
fn with_more_events_than_are_kept_every_channel_is_looked_at() {
    let mut scan = Scan::default();
    (0..8_192).for_each(|channel| scan.notice(id(channel)));
    scan.notice(id(7));
    assert!(!scan.sweep.is_owed());
    scan.notice(id(8_192));
    assert!(scan.sweep.is_owed() && !scan.is_fresh(&id(8_192)));
}
