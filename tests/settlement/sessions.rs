//! Stories of one channel: what its opening, additions, settlements and end come to.

use super::chain::{Call, Sender};
use super::{ADDITION, CLOSE, DEPOSIT, Fault, OPEN, SETTLE, SETTLE_AGAIN, SETTLE_MORE, TOP_UP, World};
use alloy_primitives::B256;
use mpp_edge::settlement::{Failure, Verdict};

const GAS: Option<u64> = Some(100_000);

impl World {
    /// Has it brought about, and mines until the verdict.
    fn bring_about(&mut self, index: usize) -> B256 {
        self.submit(index, GAS, Fault::None);
        for _ in 0..self.confirmations {
            assert_eq!(self.verdict(index), None);
            self.mine();
            self.polls(1, 1);
        }
        self.settled_in(index)
    }

    pub(crate) fn settled_in(&self, index: usize) -> B256 {
        match self.verdict(index) {
            Some(Verdict::Settled { transaction }) => transaction,
            other => panic!("{index}: {other:?}"),
        }
    }

    /// Sent, and mined behind what another has sent.
    fn overtaken_by(&mut self, sender: Sender, call: Call, index: usize) {
        self.chain.send_other(sender, call);
        // The account's nonce is taken in the order of sending; a stranger's transaction comes first by itself.
        self.submit(index, GAS, Fault::None);
        self.mine();
        self.polls(1, 1);
    }
}

#[test]
fn a_channel_s_life() {
    for confirmations in 1..4 {
        let mut world = World::new(confirmations);
        let hashes = [OPEN, TOP_UP, SETTLE, SETTLE_MORE, CLOSE].map(|index| world.bring_about(index));
        for (index, hash) in [OPEN, TOP_UP, SETTLE, SETTLE_MORE, CLOSE].into_iter().zip(hashes) {
            assert_eq!(world.chain.done_by(index).map(|tx| (tx.hash, tx.sender)), Some((hash, Sender::Outbox)));
            assert_eq!(world.attempts(index).len(), 1);
        }
        let contracts = world.chain.contracts(u64::MAX);
        assert_eq!((contracts.finalized, contracts.deposit, contracts.settled), (true, DEPOSIT + ADDITION, 12_000));
        world.end();
    }
}

#[test]
fn settlements_on_their_way_together_take_effect_in_their_order() {
    let mut world = World::with_channel(1);
    for index in [SETTLE, SETTLE_MORE, CLOSE] {
        world.submit(index, GAS, Fault::None);
    }
    world.mine();
    world.polls(1, 1);
    for index in [SETTLE, SETTLE_MORE, CLOSE] {
        assert_eq!(world.settled_in(index), world.chain.done_by(index).unwrap().hash);
    }
    world.end();
}

#[test]
fn a_deposit_that_the_payer_no_longer_has_is_reverted() {
    let mut world = World::new(1);
    world.submit(OPEN, GAS, Fault::None);
    world.chain.broke = true;
    world.mine();
    world.polls(2, 1);
    assert_eq!(world.verdict(OPEN), None, "nothing found is no verdict at once");
    world.polls(3, 1);
    assert_eq!(world.verdict(OPEN), Some(Verdict::Failed(Failure::Reverted)));
    world.end();
}

#[test]
fn a_channel_that_the_payer_opens_itself_is_not_opened_by_us() {
    let mut world = World::new(1);
    world.overtaken_by(Sender::Stranger, Call::PayerOpens(DEPOSIT), OPEN);
    world.polls(4, 1);
    // The authorization is as good as before: somebody may use it for an addition's sake, but not to open this channel.
    assert_eq!(world.verdict(OPEN), Some(Verdict::Failed(Failure::Reverted)));
    world.end();
}

#[test]
fn a_deposit_that_a_stranger_brings_counts() {
    let mut world = World::new(2);
    for index in [OPEN, TOP_UP] {
        world.overtaken_by(Sender::Stranger, Call::Do(index), index);
        assert_eq!(world.verdict(index), None, "not deep enough");
        world.mine();
        world.polls(1, 1);
        assert_eq!(world.settled_in(index), world.chain.done_by(index).unwrap().hash);
        assert_eq!(world.chain.done_by(index).map(|tx| tx.sender), Some(Sender::Stranger));
    }
    world.end();
}

#[test]
fn a_deposit_whose_authorization_is_cancelled_is_lost() {
    let mut world = World::new(1);
    world.overtaken_by(Sender::Stranger, Call::Cancel(OPEN), OPEN);
    assert_eq!(world.verdict(OPEN), Some(Verdict::Failed(Failure::UsedElsewhere)));
    world.end();
}

#[test]
fn an_opening_that_is_not_mined_in_time_has_expired() {
    let mut world = World::new(2);
    world.chain.floor = 1_000_000;
    world.submit(OPEN, GAS, Fault::SendsInVain);
    for _ in 0..100 {
        assert_eq!(world.verdict(OPEN), None);
        world.polls(1, 2);
        world.chain.mine(world.now.seconds().get(), 0);
    }
    world.polls(3, 2);
    world.chain.mine(world.now.seconds().get(), 0);
    world.polls(3, 2);
    assert_eq!(world.verdict(OPEN), Some(Verdict::Failed(Failure::Expired)));
    assert!(!world.outbox.is_idle(), "its nonce is not used up");
    world.end();
}

/// It has no time of its own to be over; but what nobody mines gives way to others, and is another operation the next time.
#[test]
fn a_settlement_does_not_grow_too_old() {
    let mut world = World::with_channel(1);
    world.chain.floor = 1_000_000;
    world.chain.behind = 1_000_000;
    world.submit(SETTLE, GAS, Fault::None);
    for _ in 0..1000 {
        world.polls(1, 10);
        world.mine();
    }
    assert_eq!(world.verdict(SETTLE), None, "nothing is known while nothing is mined");
    world.chain.behind = 1;
    world.polls(2, 15);
    world.mine();
    world.polls(5, 1);
    assert_eq!(world.verdict(SETTLE), Some(Verdict::Failed(Failure::NotMined)));
    world.bring_about(SETTLE_AGAIN);
    world.end();
}

#[test]
fn what_another_gateway_of_the_account_settles_is_settled() {
    // As much, more, and all at the end.
    for (call, index) in [(SETTLE, SETTLE), (SETTLE_MORE, SETTLE), (CLOSE, SETTLE), (CLOSE, CLOSE)] {
        let mut world = World::with_channel(1);
        world.overtaken_by(Sender::OtherOutbox, Call::Do(call), index);
        assert_eq!(world.settled_in(index), world.chain.done_by(call).unwrap().hash);
        assert_eq!(world.chain.done_by(call).map(|tx| tx.sender), Some(Sender::OtherOutbox));
        world.end();
    }
}

#[test]
fn a_larger_settlement_of_ours_brings_about_the_smaller() {
    let mut world = World::with_channel(1);
    // The smaller is lost on its way, another gateway takes its nonce, and it goes out again behind the larger.
    world.submit(SETTLE, GAS, Fault::SendsInVain);
    world.chain.send_other(Sender::OtherOutbox, Call::Nothing);
    world.mine();
    world.submit(SETTLE_MORE, GAS, Fault::None);
    world.polls(5, 1);
    world.mine();
    world.polls(1, 1);
    assert_eq!(world.attempts(SETTLE).iter().map(|(nonce, _)| *nonce).collect::<Vec<_>>(), [0, 2]);
    let larger = world.chain.done_by(SETTLE_MORE).unwrap().hash;
    assert_eq!((world.settled_in(SETTLE), world.settled_in(SETTLE_MORE)), (larger, larger));
    world.end();
}

#[test]
fn a_smaller_settlement_of_another_changes_nothing() {
    let mut world = World::with_channel(1);
    world.overtaken_by(Sender::OtherOutbox, Call::Do(SETTLE), SETTLE_MORE);
    assert_eq!(world.settled_in(SETTLE_MORE), world.chain.done_by(SETTLE_MORE).unwrap().hash);
    world.end();
}

#[test]
fn an_end_with_less_is_not_ours() {
    let mut world = World::with_channel(2);
    world.overtaken_by(Sender::OtherOutbox, Call::Do(CLOSE), SETTLE_MORE);
    assert_eq!(world.verdict(SETTLE_MORE), None, "not deep enough");
    world.mine();
    world.polls(1, 1);
    assert_eq!(world.verdict(SETTLE_MORE), Some(Verdict::Failed(Failure::UsedElsewhere)));
    world.end();
}

#[test]
fn a_payer_who_withdraws_before_our_close_has_the_rest() {
    let mut world = World::with_channel(1);
    world.overtaken_by(Sender::Stranger, Call::Withdraw, CLOSE);
    assert_eq!(world.verdict(CLOSE), Some(Verdict::Failed(Failure::UsedElsewhere)));
    world.end();
}

#[test]
fn a_payer_who_withdraws_what_we_had_no_claim_to_has_closed_for_us() {
    let mut world = World::with_channel(1);
    world.bring_about(SETTLE_MORE);
    world.overtaken_by(Sender::Stranger, Call::Withdraw, CLOSE);
    let transaction = world.settled_in(CLOSE);
    assert_eq!(world.chain.successful(transaction).unwrap().0.call, Call::Withdraw);
    world.end();
}

#[test]
fn what_a_reorganisation_takes_out_of_its_block_is_sent_again() {
    for index in [OPEN, TOP_UP, SETTLE, CLOSE] {
        let mut world = if index == OPEN { World::new(3) } else { World::with_channel(3) };
        world.submit(index, GAS, Fault::None);
        world.mine();
        world.polls(1, 1);
        world.mine();
        world.polls(1, 1);
        // The node that answers from here on has never heard of it.
        world.chain.reorganise(2, true, 100);
        world.polls(1, 1);
        assert_eq!(world.verdict(index), None);
        assert!(world.chain.pool_is_empty() && world.chain.done_by(index).is_none());
        world.polls(2, 2);
        assert!(!world.chain.pool_is_empty(), "{index} was not sent again");
        for _ in 0..3 {
            assert_eq!(world.verdict(index), None);
            world.mine();
            world.polls(1, 1);
        }
        assert_eq!(world.settled_in(index), world.chain.done_by(index).unwrap().hash);
        assert_eq!(world.attempts(index).len(), 1, "the very same transaction");
        world.end();
    }
}

#[test]
fn a_settlement_that_a_reorganisation_made_revert_is_another_operation_the_next_time() {
    let mut world = World::new(2);
    world.submit(OPEN, GAS, Fault::None);
    world.mine();
    world.submit(SETTLE, GAS, Fault::None);
    world.mine();
    // Another order of the same: the opening is forgotten, and another gateway's transaction takes its nonce.
    world.chain.reorganise(2, true, 0);
    world.chain.send_other(Sender::OtherOutbox, Call::Nothing);
    let settlement = world.sent.iter().find(|tx| tx.call == Call::Do(SETTLE)).copied().unwrap();
    world.chain.send(settlement).unwrap();
    for _ in 0..8 {
        world.mine();
        world.polls(1, 1);
    }
    assert_eq!(world.verdict(SETTLE), Some(Verdict::Failed(Failure::Reverted)));
    world.settled_in(OPEN);
    assert_eq!(world.bring_about(SETTLE_AGAIN), world.chain.done_by(SETTLE_AGAIN).unwrap().hash);
    world.end();
}

#[test]
fn the_log_of_a_smaller_settlement_is_no_verdict() {
    let mut world = World::with_channel(1);
    world.bring_about(SETTLE);
    world.pass(10);
    world.chain.send_other(Sender::OtherOutbox, Call::Do(SETTLE_MORE));
    world.mine();
    world.submit(SETTLE_MORE, None, Fault::None);
    // The state knows of the larger one, the logs do not yet.
    world.poll(Fault::LogsLag);
    assert_eq!(world.verdict(SETTLE_MORE), None);
    world.polls(1, 2);
    assert_eq!(world.settled_in(SETTLE_MORE), world.chain.done_by(SETTLE_MORE).unwrap().hash);
    world.end();
}

#[test]
fn a_search_for_what_has_not_happened_is_given_up_and_can_be_sent_later() {
    for index in [OPEN, SETTLE, CLOSE] {
        let mut world = if index == OPEN { World::new(1) } else { World::with_channel(1) };
        world.submit(index, None, Fault::None);
        world.polls(1, 1);
        assert!(!world.outbox.is_idle(), "not found is no answer at once");
        world.polls(4, 1);
        assert!(world.outbox.is_idle(), "{index} is searched for ever");
        assert_eq!(world.verdict(index), None);
        world.bring_about(index);
        world.end();
    }
}

#[test]
fn a_search_finds_the_end_that_another_has_made() {
    let mut world = World::with_channel(2);
    world.chain.send_other(Sender::OtherOutbox, Call::Do(CLOSE));
    world.mine();
    world.submit(CLOSE, None, Fault::None);
    world.polls(1, 1);
    assert_eq!(world.verdict(CLOSE), None);
    world.mine();
    world.polls(1, 1);
    assert_eq!(world.settled_in(CLOSE), world.chain.done_by(CLOSE).unwrap().hash);
    assert!(world.attempts(CLOSE).is_empty());
    world.end();
}
