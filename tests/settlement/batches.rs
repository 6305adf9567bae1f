//! Several transfers in one transaction, each a story of its own.

use super::chain::{Call, Sender, Set, Tx};
use super::scenarios::id;
use super::{Fault, World};
use mpp_edge::settlement::{Failure, Operation, Verdict};

impl World {
    fn submits(&mut self, indices: &[usize]) {
        self.submit_all(indices.iter().copied(), Fault::None);
    }
}

#[test]
fn three_transfers_are_one_transaction_and_one_row() {
    let mut world = World::new(1);
    world.submits(&[0, 1, 2]);
    assert_eq!(world.sent.len(), 1);
    assert_eq!(world.stored.len(), 1, "one row for all of them");
    for index in 0..3 {
        assert!(world.outbox.get(&id(index)).is_some_and(|operation| operation.verdict().is_none()));
    }
    world.mine();
    world.polls(1, 1);
    assert_eq!([0, 1, 2].map(|index| world.settled_in(index)), [world.sent[0].hash; 3]);
    assert!(world.outbox.is_idle());
    world.end();
}

#[test]
fn asking_again_is_asking_once() {
    let mut world = World::new(1);
    world.submits(&[0, 1]);
    world.submits(&[0, 1]);
    world.submit(0, Some(100_000), Fault::None);
    world.submit(1, Some(100_000), Fault::None);
    assert_eq!(world.sent.len(), 1);
    world.restart();
    world.submits(&[0, 1]);
    assert_eq!(world.sent.len(), 1, "what is stored for both is known for both");
    world.end();
}

#[test]
fn one_that_fails_takes_nobody_along() {
    let mut world = World::new(1);
    world.submits(&[0, 1, 2]);
    world.chain.send_other(Sender::Stranger, Call::Cancel(1));
    let batch = world.sent[0];
    world.chain.reorder_strangers_first();
    world.mine();
    world.polls(1, 1);
    assert_eq!([world.settled_in(0), world.settled_in(2)], [batch.hash; 2]);
    assert_eq!(world.verdict(1), Some(Verdict::Failed(Failure::UsedElsewhere)));
    assert_eq!(world.sent.len(), 1, "nothing more was sent for it");
    world.end();
}

#[test]
fn one_that_a_stranger_has_brought_about_is_settled_by_that() {
    let mut world = World::new(1);
    world.submits(&[0, 1]);
    world.chain.send_other(Sender::Stranger, Call::Do(1));
    world.chain.reorder_strangers_first();
    world.mine();
    world.polls(2, 1);
    assert_eq!(world.settled_in(0), world.sent[0].hash);
    assert_ne!(world.settled_in(1), world.sent[0].hash);
    world.end();
}

#[test]
fn payers_without_money_fail_as_they_would_alone() {
    let mut world = World::new(1);
    world.submits(&[0, 1, 2]);
    world.chain.broke = true;
    world.mine();
    world.polls(3, 2);
    for index in 0..3 {
        assert_eq!(world.verdict(index), Some(Verdict::Failed(Failure::Reverted)));
    }
    assert_eq!(world.sent.len(), 1);
    world.end();
}

#[test]
fn when_the_contract_fails_each_goes_alone() {
    let mut world = World::new(1);
    world.chain.breaks_batches = true;
    world.submits(&[0, 1, 2]);
    world.mine();
    world.polls(2, 1);
    assert_eq!(world.sent.len(), 4, "the batch, and each by itself");
    world.mine();
    world.polls(1, 1);
    for index in 0..3 {
        assert_ne!(world.settled_in(index), world.sent[0].hash);
    }
    world.end();
}

#[test]
fn a_batch_that_nobody_takes_is_parted_at_once() {
    let mut world = World::new(1);
    world.chain.unacceptable.insert(1);
    world.submits(&[0, 1, 2]);
    world.polls(2, 1);
    world.mine();
    world.polls(2, 1);
    assert!(matches!(world.verdict(0), Some(Verdict::Settled { .. })));
    assert!(matches!(world.verdict(2), Some(Verdict::Settled { .. })));
    assert!(!matches!(world.verdict(1), Some(Verdict::Settled { .. })));
    world.end();
}

#[test]
fn a_batch_that_no_block_takes_is_parted_before_it_is_given_up() {
    let mut world = World::new(1);
    world.chain.shunned.insert(1);
    world.submits(&[2, 1]);
    for _ in 0..60 {
        world.pass(3);
        world.mine();
        world.poll(Fault::None);
    }
    assert!(matches!(world.verdict(2), Some(Verdict::Settled { .. })), "{:?}", world.verdict(2));
    world.end();
}

#[test]
fn a_batch_that_is_mined_after_it_was_parted_has_settled_all_of_it() {
    let mut world = World::new(1);
    world.chain.unacceptable.insert(1);
    world.submits(&[2, 1]);
    // The node that refused it has handed it on, and it comes first.
    let hash = world.operation(&id(2)).unwrap().attempts()[0].hash;
    let call = Call::All { wanted: Set::of([1, 2]), done: Set::default() };
    let batch = Tx { hash, sender: Sender::Outbox, nonce: 0, fee: u128::MAX / 4, call };
    world.chain.unacceptable.clear();
    world.chain.send(batch).unwrap();
    world.polls(1, 1);
    world.mine();
    for _ in 0..10 {
        world.polls(1, 3);
        world.mine();
    }
    assert_eq!([1, 2].map(|index| world.settled_in(index)), [batch.hash; 2]);
    world.end();
}

#[test]
fn a_batch_that_is_stuck_is_replaced_by_itself_at_a_higher_price() {
    let mut world = World::new(1);
    world.submits(&[0, 1]);
    world.chain.floor = 10_000;
    world.polls(6, 3);
    let [first, .., last] = world.sent.as_slice() else { panic!("nothing was sent again") };
    assert_eq!((first.nonce, first.call), (last.nonce, last.call));
    assert!(last.fee > first.fee);
    assert_eq!(world.stored.len(), 1);
    world.mine();
    world.polls(2, 1);
    world.end();
}

#[test]
fn a_foreign_transaction_in_its_place_moves_it_on() {
    let mut world = World::new(1);
    world.submit_all([0, 1].into_iter(), Fault::SendsInVain);
    world.chain.send_other(Sender::OtherOutbox, Call::Nothing);
    world.mine();
    world.polls(4, 2);
    world.mine();
    world.polls(1, 1);
    assert_eq!(world.settled_in(0), world.settled_in(1));
    assert_eq!(world.sent.last().unwrap().nonce, 1);
    world.end();
}

#[test]
fn the_one_that_expires_last_leads() {
    let mut world = World::new(1);
    // They expire after 60, 120 and 300 seconds.
    world.submit_all([2, 0, 1].into_iter(), Fault::SendsInVain);
    assert_eq!(world.stored.keys().copied().collect::<Vec<_>>(), [id(2)]);
    world.pass(200);
    world.mine();
    world.polls(2, 2);
    world.mine();
    world.polls(3, 2);
    assert_eq!(world.settled_in(2), world.sent.last().unwrap().hash);
    for index in [0, 1] {
        assert!(matches!(world.verdict(index), Some(Verdict::Failed(Failure::Expired | Failure::Reverted))), "{:?}", world.verdict(index));
    }
    world.end();
}

#[test]
fn a_reorganisation_undoes_no_verdict() {
    let mut world = World::new(3);
    world.submits(&[0, 1, 2]);
    world.mine();
    world.polls(1, 1);
    assert_eq!(world.verdict(0), None);
    world.chain.reorganise(1, true, 0);
    world.polls(3, 3);
    for _ in 0..4 {
        world.pass(1);
        world.mine();
    }
    world.polls(2, 1);
    assert_eq!(world.settled_in(0), world.settled_in(2));
    world.end();
}

#[test]
fn an_operation_is_stored_and_read_with_those_it_leads() {
    let mut world = World::new(1);
    world.submits(&[0, 1]);
    let stored: Operation = world.operation(&id(1)).unwrap();
    assert_eq!(Some(&stored), world.outbox.get(&id(1)));
    world.end();
}
