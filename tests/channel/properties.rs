//! Random events. Bounds: deposits of up to 60 units, prices of up to 5, sequences of up to 60 events, clocks that stand, jump
//! ahead by up to a day and back by up to a minute.

use super::fixture::*;
use super::invariants::{self, Counters};
use super::oracle::Oracle;
use mpp_edge::binary::{decode, encode};
use mpp_edge::channel::{
    Answer, Bought, Channel, Collection, Delivery, Effect, Event, Kind, Order, Policy, PresentedVoucher, Refusal, Reuse, Status,
};
use mpp_edge::evm::escrow::OnChain;
use mpp_edge::money::Amount;
use mpp_edge::settlement::{Failure, Verdict};
use mpp_edge::time::{Timestamp, UnixSeconds};
use proptest::prelude::*;
use std::time::Duration;

/// So many cases, unless the environment says how many.
fn cases(cases: u32) -> ProptestConfig {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(cases);
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

fn policy() -> impl Strategy<Value = Policy> {
    (1..20_u128, 0..3_u128).prop_map(|(settle_amount, min_delta)| Policy {
        settle_amount: amount(settle_amount),
        min_delta: amount(min_delta),
        ..POLICY
    })
}

fn an_order() -> impl Strategy<Value = Order> {
    let kind = prop_oneof![3 => Just(Kind::Request), 1 => Just(Kind::Metered), 1 => Just(Kind::Stream)];
    let reuse = prop_oneof![Just(Reuse::Once), Just(Reuse::DrawDown)];
    let key = prop::option::weighted(0.3, (1..4_u8, 1..3_u8).prop_map(|(name, target)| key(name, target)));
    (0..5_u128, 1..3_u64, 0..6_u64, kind, reuse, key, 0..1_000_000_u64).prop_map(|(price, least, more, kind, reuse, key, attempt)| {
        let most = if kind == Kind::Request { least } else { least + more };
        Order { price: amount(price), least, most, kind, reuse, key, attempt, since: 0 }
    })
}

/// One thing that happens; indices are taken modulo what there is.
#[derive(Clone, Debug)]
enum Happening {
    /// With a signature over something fresh, or without.
    Voucher(u128, bool, Option<Order>),
    Release {
        booking: u64,
        of: i64,
    },
    Draw {
        sale: u64,
        delivered: u64,
        wanted: u64,
        unheard: bool,
    },
    End {
        sale: u64,
        delivered: u64,
    },
    Pass(u64),
    Back(u64),
    /// The last event once more.
    Again,
    Close(u128, bool),
    TopUp(u128),
    RequestClose,
    Withdraw,
    OtherSettles(u128),
    /// The chain is as it was that many changes ago.
    Reorganise(usize),
    Look,
    Wake,
    /// What was submitted is done on chain.
    Mine,
    /// The end of the collection that was begun that many ago is told.
    Conclude(usize, bool),
}

fn sales_only() -> impl Strategy<Value = Happening> {
    let seconds = prop_oneof![Just(1_000), Just(4_999), Just(5_000), Just(40_000), Just(45_000), Just(600_000), 0..700_000_u64];
    let wrong = prop_oneof![15 => Just(0_i64), 1 => -1..=1_i64];
    prop_oneof![
        6 => (0..62_u128, any::<bool>(), prop::option::weighted(0.9, an_order()))
            .prop_map(|(cumulative, fresh, order)| Happening::Voucher(cumulative, fresh, order)),
        3 => (0..20_u64, wrong).prop_map(|(booking, of)| Happening::Release { booking, of }),
        3 => (0..20_u64, 0..10_u64, 0..5_u64, any::<bool>())
            .prop_map(|(sale, delivered, wanted, unheard)| Happening::Draw { sale, delivered, wanted, unheard }),
        2 => (0..20_u64, 0..10_u64).prop_map(|(sale, delivered)| Happening::End { sale, delivered }),
        2 => seconds.prop_map(Happening::Pass),
        1 => Just(Happening::Again),
    ]
}

fn anything() -> impl Strategy<Value = Happening> {
    let jump = prop_oneof![Just(30_000), Just(45_000), Just(3_600_000), Just(86_400_000), 0..90_000_000_u64];
    prop_oneof![
        10 => sales_only(),
        1 => jump.prop_map(Happening::Pass),
        1 => (0..60_000_u64).prop_map(Happening::Back),
        1 => (0..70_u128, any::<bool>()).prop_map(|(cumulative, fresh)| Happening::Close(cumulative, fresh)),
        1 => (1..20_u128).prop_map(Happening::TopUp),
        1 => Just(Happening::RequestClose),
        1 => Just(Happening::Withdraw),
        1 => (0..60_u128).prop_map(Happening::OtherSettles),
        1 => (1..4_usize).prop_map(Happening::Reorganise),
        3 => Just(Happening::Look),
        3 => Just(Happening::Wake),
        2 => Just(Happening::Mine),
        3 => (0..3_usize, any::<bool>()).prop_map(|(ago, good)| Happening::Conclude(ago, good)),
    ]
}

/// A ledger and its chain.
struct World {
    ledger: Ledger,
    /// As it was at first, and after each change.
    chain: Vec<OnChain>,
    bought: Vec<(Bought, Order, u128)>,
    begun: Vec<Collection>,
    last: Event,
    /// The highest total that was handed out, or that the ledger has seen settled.
    shown: Amount,
}

impl World {
    fn new(deposit: u128, policy: Policy) -> Self {
        let ledger = Ledger { policy, ..Ledger::new(deposit) };
        Self { ledger, chain: vec![on_chain(deposit, 0)], bought: Vec::new(), begun: Vec::new(), last: NOTHING, shown: Amount::ZERO }
    }

    fn shown(&self) -> OnChain {
        *self.chain.last().unwrap()
    }

    fn change(&mut self, change: impl FnOnce(&mut OnChain)) {
        let mut shown = self.shown();
        if !shown.finalized {
            change(&mut shown);
            self.chain.push(if shown.finalized { FINALIZED } else { shown });
        }
    }

    fn some_bought(&self, metered: bool, index: u64) -> Option<&(Bought, Order, u128)> {
        let fit: Vec<_> = self.bought.iter().filter(|(_, order, _)| (order.kind != Kind::Request) == metered).collect();
        let count = u64::try_from(fit.len()).unwrap();
        (count > 0).then(|| fit[usize::try_from(index % count).unwrap()])
    }

    /// The event that comes of it, if one does.
    fn event(&mut self, happening: &Happening) -> Option<Event> {
        match *happening {
            Happening::Voucher(cumulative, fresh, order) => {
                Some(Event::Voucher(PresentedVoucher { fresh, ..presented(cumulative) }, order))
            }
            Happening::Release { booking, of } => {
                let (bought, order, voucher) = self.some_bought(false, booking)?;
                let cost = order.price.times(bought.units.saturating_add_signed(of));
                Some(Event::Delivery(Delivery::Release { booking: bought.booking, amount: cost, voucher: amount(*voucher), begun: false }))
            }
            Happening::Draw { sale, delivered, wanted, unheard } => {
                let sale = self.some_bought(true, sale)?.0.booking;
                let known = self.ledger.reserved[&sale];
                let reserved = if unheard { known.saturating_sub(1) } else { known };
                // Nobody delivers what he does not know to be reserved.
                Some(Event::Delivery(Delivery::Draw { sale, delivered: delivered.min(reserved), reserved, wanted }))
            }
            Happening::End { sale, delivered } => {
                Some(Event::Delivery(Delivery::End { sale: self.some_bought(true, sale)?.0.booking, delivered, begun: false }))
            }
            Happening::Pass(millis) => {
                self.ledger.pass(Duration::from_millis(millis));
                None
            }
            Happening::Back(millis) => {
                self.ledger.now = self.ledger.now.saturating_sub(Duration::from_millis(millis));
                None
            }
            Happening::Again => Some(self.last.clone()),
            Happening::Close(cumulative, fresh) => Some(Event::Close(PresentedVoucher { fresh, ..presented(cumulative) })),
            Happening::TopUp(addition) => {
                self.change(|chain| {
                    chain.deposit = chain.deposit.saturating_add(amount(addition));
                    chain.close_requested_at = UnixSeconds::new(0);
                });
                None
            }
            Happening::RequestClose => {
                self.change(|chain| chain.close_requested_at = UnixSeconds::new(START));
                None
            }
            Happening::Withdraw => {
                self.change(|chain| chain.finalized = chain.close_requested_at != UnixSeconds::new(0));
                None
            }
            Happening::OtherSettles(total) => {
                self.change(|chain| chain.settled = chain.settled.max(amount(total).min(chain.deposit)));
                None
            }
            Happening::Reorganise(changes) => {
                let kept = self.chain.len().saturating_sub(changes);
                self.chain.truncate(kept);
                if self.chain.is_empty() {
                    self.chain.push(ABSENT);
                }
                None
            }
            Happening::Look => Some(Event::Observed(seen(self.shown()))),
            Happening::Wake => Some(Event::Woken),
            Happening::Mine => {
                let collection = self.ledger.channel.collection()?;
                let taken = collection.payout.voucher.cumulative;
                self.change(|chain| {
                    if taken <= chain.deposit {
                        chain.settled = chain.settled.max(taken);
                        chain.finalized = collection.by == mpp_edge::channel::CollectBy::Close;
                    }
                });
                None
            }
            Happening::Conclude(ago, good) => {
                let collection = *self.begun.iter().rev().nth(ago)?;
                Some(Event::Concluded(collection, if good { DONE } else { Verdict::Failed(Failure::Reverted) }))
            }
        }
    }

    fn step(&mut self, event: &Event) -> Result<Result<Answer, Refusal>, String> {
        let Ledger { channel, policy, now, .. } = &self.ledger;
        let (after, outcome) = channel.clone().step(event.clone(), policy, *now);
        invariants::of_step(channel, event, &after, &outcome, policy, *now)?;
        invariants::proves(channel, event, &after, &outcome, self.shown)?;
        let begun = after.collection().map_or(Amount::ZERO, |collection| collection.payout.voucher.cumulative);
        self.shown = self.shown.max(after.settled()).max(begun);
        if let (Ok(Answer::Bought(bought)), Event::Voucher(presented, Some(order))) = (outcome.answer, event) {
            self.bought.push((bought, *order, presented.voucher.cumulative.base_units()));
            self.ledger.reserved.insert(bought.booking, bought.units);
        }
        for effect in &outcome.effects {
            match effect {
                Effect::Submit(collection) if self.begun.last() != Some(collection) => self.begun.push(*collection),
                Effect::Inspect => self.last = Event::Observed(seen(self.shown())),
                _ => {}
            }
        }
        self.ledger.channel = after;
        Ok(outcome.answer)
    }

    /// The same event at the same time changes nothing, and is answered as before.
    fn repeat(&self, event: &Event, answer: Result<Answer, Refusal>) -> Result<(), String> {
        let Ledger { channel, policy, now, .. } = &self.ledger;
        let (after, outcome) = channel.clone().step(event.clone(), policy, *now);
        // Work goes on when it is woken, and replays are counted.
        if *event == Event::Woken || matches!(answer, Ok(Answer::Bought(Bought { replayed: true, .. }))) {
            return Ok(());
        }
        let closed = matches!(after.status(), Status::Closed { .. });
        if after != *channel {
            return Err(format!("repeated, {event:?} changed\n{channel:?} to\n{after:?}"));
        }
        if outcome.answer != answer && !closed {
            return Err(format!("{event:?} was answered {answer:?} and then {:?}", outcome.answer));
        }
        Ok(())
    }
}

/// More than this is never stored.
pub(crate) const MOST_BYTES: usize = 12 * 1024;

fn reads_back(channel: &Channel) -> Result<(), String> {
    let bytes = encode(channel).unwrap();
    let read: Channel = decode(&bytes).map_err(|error| error.to_string())?;
    if read != *channel {
        return Err("stored and read, it is another".into());
    }
    if bytes.len() > MOST_BYTES {
        return Err(format!("it takes {} bytes", bytes.len()));
    }
    Ok(())
}

proptest! {
    #![proptest_config(cases(400))]

    #[test]
    fn the_invariants_hold_whatever_happens(
        deposit in 10..60_u128,
        policy in policy(),
        happenings in prop::collection::vec(anything(), 1..60),
    ) {
        let mut world = World::new(deposit, policy);
        for happening in &happenings {
            let Some(event) = world.event(happening) else { continue };
            let answer = world.step(&event).map_err(TestCaseError::fail)?;
            reads_back(&world.ledger.channel).map_err(TestCaseError::fail)?;
            world.repeat(&event, answer).map_err(TestCaseError::fail)?;
            world.last = event;
        }
    }

    #[test]
    fn sales_are_what_the_long_way_says(
        deposit in 10..60_u128,
        policy in policy(),
        happenings in prop::collection::vec(sales_only(), 1..60),
    ) {
        let mut world = World::new(deposit, policy);
        let mut oracle = Oracle::new(deposit, &policy);
        for happening in &happenings {
            let Some(event) = world.event(happening) else { continue };
            let now = world.ledger.now;
            let expected = oracle.step(&event, &policy, now);
            let before = world.ledger.counters().1;
            let answer = world.step(&event).map_err(TestCaseError::fail)?;
            prop_assert_eq!(Some(answer), expected, "{:?}", event);
            if let Event::Delivery(Delivery::Release { booking, amount, voucher, .. }) = event {
                let given = world.ledger.counters().1 < before;
                match oracle.must_release(booking, amount, &policy, now) {
                    Some(must) if must && amount.base_units() > 0 => prop_assert!(given, "{:?}", event),
                    Some(must) => prop_assert!(must || !given, "{:?}", event),
                    // A wrong amount, or at the edge of its window: outside of what is promised.
                    None => return Ok(()),
                }
                oracle.released(booking, voucher);
            }
            let Counters { accepted, spent, delivered, .. } = Counters::of(&world.ledger.channel, &policy);
            prop_assert_eq!((accepted.base_units(), spent.base_units()), (oracle.accepted, oracle.spent));
            let (least, most) = oracle.delivered(&policy, now);
            prop_assert!((least..=most).contains(&delivered.base_units()), "{} of {} to {}", delivered, least, most);
            world.last = event;
        }
    }

    /// `required` buys, and is the least that does where vouchers are drawn down.
    #[test]
    fn what_is_required_is_enough(
        policy in policy(),
        price in 0..5_u128,
        reuse in prop_oneof![Just(Reuse::Once), Just(Reuse::DrawDown)],
        happenings in prop::collection::vec(anything(), 0..40),
    ) {
        let mut world = World::new(60, policy);
        for happening in &happenings {
            let Some(event) = world.event(happening) else { continue };
            let _ = world.step(&event).map_err(TestCaseError::fail)?;
        }
        let order = Order { attempt: u64::MAX, ..order(price, reuse) };
        let required = world.ledger.required(price, reuse);
        let mut raised = world.ledger.clone();
        raised.observe(on_chain(1000, raised.settled()));
        if raised.status() != Status::Open || raised.channel.failures() > 0 {
            return Ok(());
        }
        prop_assert_eq!(raised.required(price, reuse), required);
        let mut less = raised.clone();
        prop_assert!(raised.buy(required, order).is_ok(), "{required}");
        if reuse == Reuse::DrawDown && required > less.counters().0 {
            prop_assert!(less.buy(required - 1, order).is_err(), "{required}");
        }
    }

    /// A stranger's signature moves nothing, whatever else he sends, and whatever the state.
    #[test]
    fn who_did_not_sign_moves_nothing(
        happenings in prop::collection::vec(anything(), 0..40),
        cumulative in 0..70_u128,
        order in prop::option::of(an_order()),
        close in any::<bool>(),
    ) {
        let mut world = World::new(50, POLICY);
        for happening in &happenings {
            let Some(event) = world.event(happening) else { continue };
            let _ = world.step(&event).map_err(TestCaseError::fail)?;
        }
        let _ = world.step(&NOTHING).map_err(TestCaseError::fail)?;
        let before = world.ledger.channel.clone();
        let stranger = PresentedVoucher { signer: STRANGER, ..presented(cumulative) };
        let event = if close { Event::Close(stranger) } else { Event::Voucher(stranger, order) };
        prop_assert_eq!(world.step(&event), Ok(Err(Refusal::SignerMismatch)));
        prop_assert_eq!(&world.ledger.channel, &before);
    }
}

/// The alarm goes off on time: all that was delivered is settled by vouchers soon enough, and nothing else is.
#[test]
fn random_trade_is_settled_in_time() {
    let trade = prop::collection::vec((1..50_u128, 1..20_u128, 0..30_u64, any::<bool>()), 1..80);
    proptest!(cases(100), |(trade in trade)| {
        let mut ledger = Ledger { policy: Policy { settle_amount: amount(100), ..POLICY }, ..Ledger::new(1_000_000) };
        let (mut total, mut good) = (0, Vec::new());
        for (raise, price, seconds, fails) in trade {
            total += raise;
            if let Ok(bought) = ledger.buy(total, draw_down(price)) {
                good.push((ledger.now, total));
                if fails {
                    ledger.release(bought.booking, price, total);
                }
            }
            let until = ledger.now.saturating_add(Duration::from_secs(seconds));
            ledger.run(until);
        }
        let last = ledger.now;
        ledger.run(last.saturating_add(POLICY.settle_after + MATURITY));
        ledger.step(NOTHING).unwrap();
        let (accepted, spent, delivered) = ledger.counters();
        prop_assert_eq!(spent, delivered);
        // At most what lies between two vouchers that were kept is left for the end.
        prop_assert!(ledger.settled() <= delivered);
        ledger.run(last.saturating_add(POLICY.close_idle + MATURITY));
        if spent > 0 {
            let is_closed = matches!(ledger.status(), Status::Closed { .. });
            prop_assert!(is_closed);
            prop_assert!((spent..=accepted).contains(&ledger.settled()), "{} of {}..={}", ledger.settled(), spent, accepted);
        }
    });
}

#[test]
fn time_that_stands_at_the_end_of_time() {
    let mut ledger = Ledger::new(1000);
    ledger.now = Timestamp::from_millis(u64::MAX);
    ledger.bought(100, once(10));
    ledger.bought(200, stream(10, 8));
    ledger.observe(requested(on_chain(1000, 0)));
    assert!(ledger.wake().is_some());
}
