//! Schedules that random ones meet too seldom, each a story of its own.

use super::chain::{Call, Sender};
use super::{Fault, OPEN, PURPOSES, SETTLE, SETTLE_MORE, START, TOP_UP, World};
use alloy_primitives::B256;
use mpp_edge::evm::transaction::GasPrice;
use mpp_edge::settlement::{Failure, Verdict};

pub(crate) fn id(index: usize) -> B256 {
    PURPOSES[index].id()
}

impl World {
    pub(crate) fn verdict(&self, index: usize) -> Option<Verdict> {
        self.operation(&id(index)).and_then(|operation| operation.verdict())
    }

    pub(crate) fn attempts(&self, index: usize) -> Vec<(u64, u128)> {
        let price = |price| match price {
            GasPrice::Dynamic { max_fee, .. } | GasPrice::Legacy(max_fee) => max_fee,
        };
        self.operation(&id(index)).unwrap().attempts().iter().map(|attempt| (attempt.nonce, price(attempt.price))).collect()
    }

    pub(crate) fn mine(&mut self) {
        self.chain.mine(self.now.seconds().get(), 100);
    }

    pub(crate) fn polls(&mut self, times: usize, seconds: u64) {
        for _ in 0..times {
            self.pass(seconds);
            self.poll(Fault::None);
        }
    }

    pub(crate) fn end(mut self) {
        self.recover().unwrap();
        self.check().unwrap();
        self.haunt();
        self.check().unwrap();
    }
}

#[test]
fn the_usual_way() {
    let mut world = World::new(1);
    world.submit(0, Some(100_000), Fault::None);
    world.polls(2, 1);
    assert_eq!(world.verdict(0), None);
    world.mine();
    world.polls(1, 1);
    assert!(matches!(world.verdict(0), Some(Verdict::Settled { .. })));
    assert!(world.outbox.is_idle());
    assert_eq!(world.attempts(0).len(), 1);
    world.end();
}

#[test]
fn a_settlement_counts_at_the_configured_depth() {
    let mut world = World::new(3);
    world.submit(0, Some(100_000), Fault::None);
    for _ in 0..2 {
        world.mine();
        world.polls(1, 1);
        assert_eq!(world.verdict(0), None);
    }
    world.mine();
    world.polls(1, 1);
    assert!(matches!(world.verdict(0), Some(Verdict::Settled { .. })));
    world.end();
}

#[test]
fn many_on_their_way_take_consecutive_nonces() {
    let mut world = World::new(1);
    for index in 0..3 {
        world.submit(index, Some(100_000), Fault::None);
    }
    assert_eq!([0, 1, 2].map(|index| world.attempts(index)[0].0), [0, 1, 2]);
    world.end();
}

#[test]
fn a_stuck_transaction_is_replaced_at_the_same_nonce_for_more() {
    let mut world = World::new(1);
    world.submit(0, Some(100_000), Fault::None);
    world.chain.floor = 240;
    for _ in 0..10 {
        world.polls(1, 2);
        world.mine();
    }
    let attempts = world.attempts(0);
    assert_eq!(attempts.iter().map(|(nonce, _)| *nonce).collect::<Vec<_>>(), [0, 0]);
    assert!(attempts[1].1 >= attempts[0].1 * 11 / 10 && attempts[1].1 >= 240);
    assert!(matches!(world.verdict(0), Some(Verdict::Settled { .. })));
    world.end();
}

/// Nodes that refuse what is below the base fee burn through the attempts within seconds, when what they suggest lags behind
/// it. Once it no longer does, the account must get on.
fn spike(world: &mut World) {
    world.chain.floor = 100_000;
    world.chain.behind = 1_000;
    world.chain.refuses_low_fees = true;
    world.submit(2, Some(100_000), Fault::None);
    world.polls(20, 1);
    world.chain.behind = 1;
}

#[test]
fn fees_that_rise_further_than_the_attempts_reach() {
    let mut world = World::new(1);
    spike(&mut world);
    for _ in 0..30 {
        world.polls(1, 2);
        world.mine();
    }
    assert!(matches!(world.verdict(2), Some(Verdict::Settled { .. })), "{:?} after {:?}", world.verdict(2), world.attempts(2));
    world.end();
}

#[test]
fn others_do_not_wait_for_ever_behind_one_that_had_no_attempts_left() {
    let mut world = World::new(1);
    spike(&mut world);
    world.submit(1, Some(100_000), Fault::None);
    for _ in 0..40 {
        world.polls(1, 2);
        world.mine();
    }
    assert!(matches!(world.verdict(1), Some(Verdict::Settled { .. })), "{:?} after {:?}", world.verdict(1), world.attempts(1));
    world.end();
}

/// An attempt that was given up for a lower nonce may still be mined: until it cannot, nothing has failed.
#[test]
fn a_reverted_attempt_does_not_fail_what_another_may_still_bring_about() {
    let mut world = World::new(1);
    // Another gateway's transactions hold the nonces 0 and 1, and are forgotten.
    world.chain.send_other(Sender::OtherOutbox, Call::Nothing);
    world.chain.send_other(Sender::OtherOutbox, Call::Nothing);
    world.submit(2, Some(100_000), Fault::None);
    world.chain.drop_one(0);
    world.chain.drop_one(0);
    world.polls(9, 2);
    assert_eq!(world.attempts(2).iter().map(|(nonce, _)| *nonce).collect::<Vec<_>>(), [2, 0]);
    // The second attempt reverts: for the moment the payer has no money.
    world.chain.broke = true;
    world.mine();
    world.chain.broke = false;
    world.polls(5, 1);
    assert_eq!(world.verdict(2), None);
    // The other gateway goes on, and the first attempt's turn comes.
    world.chain.send_other(Sender::OtherOutbox, Call::Nothing);
    world.mine();
    world.end();
}

#[test]
fn a_transfer_of_somebody_else_counts_when_it_is_this_one() {
    let mut world = World::new(2);
    world.submit(0, Some(100_000), Fault::SendsInVain);
    world.chain.send_other(Sender::Stranger, Call::Do(0));
    world.mine();
    world.submit(1, None, Fault::None);
    world.chain.send_other(Sender::Stranger, Call::Cancel(1));
    world.mine();
    world.mine();
    world.end();
}

#[test]
fn what_another_gateway_of_the_account_sold_is_not_sold_again() {
    let mut world = World::new(1);
    world.chain.send_other(Sender::OtherOutbox, Call::Do(0));
    world.mine();
    world.submit(0, None, Fault::None);
    world.polls(1, 1);
    assert_eq!(world.verdict(0), Some(Verdict::Failed(Failure::UsedElsewhere)));
    world.end();
}

#[test]
fn an_authorization_that_expires_unmined_has_failed_and_leaves_no_nonce() {
    let mut world = World::new(1);
    world.chain.floor = 1_000_000;
    world.submit(0, Some(100_000), Fault::SendsInVain);
    for _ in 0..40 {
        world.polls(1, 2);
        world.chain.mine(world.now.seconds().get(), 0);
    }
    assert_eq!(world.verdict(0), Some(Verdict::Failed(Failure::Expired)));
    assert!(!world.outbox.is_idle(), "its nonce is not used up");
    world.end();
}

/// An operation that moves to a gap leaves a transaction at its old nonce in the pool. When fees have risen above that one's
/// price, somebody must raise it: everything behind it waits.
#[test]
#[ignore = "known: nobody holds the nonce that was left behind"]
fn a_transaction_left_behind_at_a_nonce_is_raised() {
    let mut world = World::new(1);
    world.chain.send_other(Sender::OtherOutbox, Call::Nothing);
    world.submit(0, Some(100_000), Fault::None);
    world.pass(15);
    world.chain.drop_one(0);
    world.poll(Fault::DiesBeforeSending);
    assert_eq!(world.attempts(0).iter().map(|(nonce, _)| *nonce).collect::<Vec<_>>(), [1, 0]);
    // The other gateway takes the gap itself.
    world.chain.send_other(Sender::OtherOutbox, Call::Nothing);
    world.chain.floor *= 5;
    world.end();
}

#[test]
fn a_node_that_will_not_say_does_not_make_a_transaction_unmined() {
    let mut world = World::new(1);
    world.submit(0, Some(100_000), Fault::None);
    world.mine();
    for _ in 0..8 {
        world.pass(1);
        world.poll(Fault::ReceiptsRefused);
    }
    assert_eq!(world.attempts(0).len(), 1, "no other transaction for one that is mined");
    world.polls(1, 1);
    assert!(matches!(world.verdict(0), Some(Verdict::Settled { .. })));
    world.end();
}

#[test]
fn what_was_only_searched_for_is_sent_when_it_is_asked_for() {
    let mut world = World::new(1);
    world.submit(0, None, Fault::None);
    world.polls(3, 1);
    assert!(world.attempts(0).is_empty());
    world.submit(0, Some(100_000), Fault::None);
    world.submit(0, Some(100_000), Fault::None);
    assert_eq!(world.attempts(0).len(), 1);
    world.mine();
    world.polls(1, 1);
    assert!(matches!(world.verdict(0), Some(Verdict::Settled { .. })));
    world.end();
}

/// Nobody ever heard of it, so that its nonce is as free as before.
#[test]
fn what_no_node_takes_ends_at_once_and_leaves_its_nonce() {
    let mut world = World::new(1);
    world.chain.unacceptable.insert(0);
    world.submit(0, Some(100_000), Fault::None);
    assert_eq!(world.verdict(0), Some(Verdict::Failed(Failure::NotMined)));
    assert!(world.outbox.is_idle() && world.chain.pool_is_empty());
    world.submit(1, Some(100_000), Fault::None);
    assert_eq!(world.attempts(1)[0].0, 0);
    world.mine();
    world.polls(1, 1);
    assert!(matches!(world.verdict(1), Some(Verdict::Settled { .. })));
    world.end();
}

/// Its first sending was lost, and others were sent behind it before it is refused.
#[test]
fn those_behind_what_no_node_takes_any_more_move_up_at_once() {
    let mut world = World::new(1);
    world.submit(0, Some(100_000), Fault::SendsInVain);
    world.submit(1, Some(100_000), Fault::None);
    world.submit(2, Some(100_000), Fault::None);
    world.chain.unacceptable.insert(0);
    // Sent again, it is refused: what does nothing takes its place in the same moment.
    world.polls(1, 4);
    world.mine();
    world.polls(1, 1);
    for index in [1, 2] {
        assert!(matches!(world.verdict(index), Some(Verdict::Settled { .. })), "{index}: {:?}", world.verdict(index));
        assert_eq!(world.attempts(index).len(), 1, "nobody took a nonce twice");
    }
    // It was sent before: what has become of it is searched for.
    assert_eq!(world.verdict(0), None);
    world.polls(4, 1);
    assert_eq!(world.verdict(0), Some(Verdict::Failed(Failure::NotMined)));
    assert_eq!(world.sent.iter().filter(|tx| tx.nonce == 0).map(|tx| tx.call).collect::<Vec<_>>(), [Call::Do(0), Call::Nothing]);
    world.end();
}

/// What nodes take and nobody mines holds all others up for two minutes, not for its authorization's lifetime.
#[test]
fn what_is_not_mined_gives_way_after_two_minutes() {
    let mut world = World::with_channel(1);
    world.chain.shunned.extend([2, SETTLE]);
    for index in [2, SETTLE, TOP_UP] {
        world.submit(index, Some(100_000), Fault::None);
    }
    while world.chain.done_by(TOP_UP).is_none() {
        assert!(world.now.seconds().get() < START + 300, "nothing gives way");
        world.polls(1, 1);
        world.mine();
    }
    // Each of the two that nobody mines had its two minutes, and one of them after the other.
    let passed = world.now.seconds().get() - START;
    assert!((240..250).contains(&passed), "{passed}");
    world.polls(5, 1);
    for index in [2, SETTLE] {
        assert_eq!(world.verdict(index), Some(Verdict::Failed(Failure::NotMined)), "{index}");
    }
    assert!(matches!(world.verdict(TOP_UP), Some(Verdict::Settled { .. })));
    assert_eq!(world.attempts(TOP_UP).iter().map(|(nonce, _)| *nonce).collect::<Vec<_>>(), vec![2; world.attempts(TOP_UP).len()]);
    world.end();
}

/// What was sent before the empty transaction may be mined in its place: then it counts.
#[test]
fn what_gave_way_and_is_mined_all_the_same_counts() {
    let mut world = World::new(1);
    world.chain.shunned.insert(2);
    world.submit(2, Some(100_000), Fault::None);
    while world.sent.iter().all(|tx| tx.call != Call::Nothing) {
        assert!(world.now.seconds().get() < START + 200, "it does not give way");
        world.pass(2);
        world.chain.mine(world.now.seconds().get(), 100);
        world.poll(Fault::SendsInVain);
    }
    world.chain.shunned.clear();
    world.mine();
    world.polls(2, 1);
    assert!(matches!(world.verdict(2), Some(Verdict::Settled { .. })), "{:?}", world.verdict(2));
    world.end();
}

/// A chain that makes no blocks for a while is not the transaction's fault.
#[test]
fn a_chain_that_rests_fails_nothing() {
    let mut world = World::new(1);
    world.submit(2, Some(100_000), Fault::None);
    world.polls(50, 4);
    assert!(world.sent.iter().all(|tx| tx.call == Call::Do(2)));
    world.mine();
    world.polls(1, 1);
    assert!(matches!(world.verdict(2), Some(Verdict::Settled { .. })), "{:?}", world.verdict(2));
    world.end();
}

/// It had moved to a gap, and its first nonce is above the one that it gives up.
#[test]
fn what_gives_way_does_so_at_each_of_its_nonces() {
    let mut world = World::with_channel(1);
    // Another gateway's transaction holds the nonce 0, and is forgotten.
    world.chain.send_other(Sender::OtherOutbox, Call::Nothing);
    world.submit(2, Some(100_000), Fault::DiesBeforeSending);
    world.chain.drop_one(0);
    world.chain.shunned.insert(2);
    for _ in 0..200 {
        world.polls(1, 1);
        world.mine();
    }
    assert_eq!(world.verdict(2), Some(Verdict::Failed(Failure::NotMined)), "{:?}", world.attempts(2));
    assert!(world.outbox.is_idle() && world.attempts(2).iter().any(|(nonce, _)| *nonce == 1));
    world.end();
}

/// A reorganisation took the nonces before its own, and what it needs, away: at the first of them it reverts, and between that and its
/// own nobody sends anything any more.
#[test]
fn what_reverts_at_a_gap_does_not_wait_for_ever_for_its_first_nonce() {
    let mut world = World::new(2);
    world.chain.send_other(Sender::OtherOutbox, Call::Do(OPEN));
    world.chain.mine(START, 1);
    world.chain.send_other(Sender::OtherOutbox, Call::Nothing);
    world.chain.send_other(Sender::OtherOutbox, Call::Do(TOP_UP));
    world.chain.mine(START, 2);
    world.submit(SETTLE_MORE, Some(100_000), Fault::DiesBeforeSending);
    world.chain.reorganise(1, true, 0);
    for _ in 0..90 {
        world.polls(1, 1);
        world.mine();
    }
    assert_eq!(world.verdict(SETTLE_MORE), Some(Verdict::Failed(Failure::Reverted)), "{:?}", world.attempts(SETTLE_MORE));
    assert_eq!(world.attempts(SETTLE_MORE).iter().map(|(nonce, _)| *nonce).collect::<Vec<_>>()[..2], [3, 1]);
    world.end();
}

/// What uses its first nonce up must itself be as deep as a settlement: what it replaced may be mined in its place till then.
#[test]
fn what_gives_way_has_not_failed_before_that_is_deep_at_each_nonce() {
    let mut world = World::new(3);
    // Another gateway's transaction holds the nonce 0, and is forgotten.
    world.chain.send_other(Sender::OtherOutbox, Call::Nothing);
    world.submit(2, Some(100_000), Fault::None);
    let first = world.sent[0];
    world.chain.drop_one(0);
    world.polls(9, 2);
    world.chain.drop_one(0);
    assert_eq!(world.attempts(2).iter().map(|(nonce, _)| *nonce).collect::<Vec<_>>(), [1, 0]);
    // The second attempt reverts: for the moment the payer has no money.
    world.chain.broke = true;
    world.mine();
    world.chain.broke = false;
    while world.chain.count() < 2 {
        assert!(world.now.seconds().get() < START + 60, "nothing uses the nonce up");
        world.polls(1, 1);
        world.mine();
    }
    world.polls(5, 1);
    assert_eq!(world.verdict(2), None);
    world.chain.reorganise(1, true, 0);
    world.chain.send(first).unwrap();
    world.mine();
    world.end();
}

/// Why it reverted is looked for before its first nonce is used up.
#[test]
fn what_reverts_because_somebody_else_brought_it_about_counts_at_once() {
    let mut world = World::new(1);
    // Another gateway's transactions hold the nonces 0 and 1, and are forgotten.
    world.chain.send_other(Sender::OtherOutbox, Call::Nothing);
    world.chain.send_other(Sender::OtherOutbox, Call::Nothing);
    world.submit(2, Some(100_000), Fault::None);
    world.chain.drop_one(0);
    world.chain.drop_one(0);
    world.chain.send_other(Sender::Stranger, Call::Do(2));
    world.mine();
    world.polls(9, 2);
    world.mine();
    world.polls(1, 1);
    assert!(matches!(world.verdict(2), Some(Verdict::Settled { .. })), "{:?}", world.verdict(2));
    assert_eq!(world.sent.iter().filter(|tx| tx.call == Call::Nothing).count(), 0);
    assert_eq!(world.attempts(2).iter().map(|(nonce, _)| *nonce).collect::<Vec<_>>(), [2, 0]);
    world.end();
}
