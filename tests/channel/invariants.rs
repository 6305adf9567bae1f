//! What must hold after every step, whoever drives the ledger: see the module `mpp_edge::channel`.

use mpp_edge::channel::{Answer, Channel, CloseReason, CollectBy, Delivery, Effect, Event, Outcome, Policy, Reuse, Status};
use mpp_edge::money::Amount;
use mpp_edge::time::Timestamp;

/// The counters, as everybody can read them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Counters {
    pub(crate) settled: Amount,
    pub(crate) delivered: Amount,
    pub(crate) spent: Amount,
    pub(crate) accepted: Amount,
    pub(crate) deposit: Amount,
}

impl Counters {
    pub(crate) fn of(channel: &Channel, policy: &Policy) -> Self {
        let balance = channel.balance(Amount::ZERO, Reuse::Once, policy);
        Self {
            settled: channel.settled(),
            delivered: channel.delivered(),
            spent: balance.spent,
            accepted: balance.accepted,
            deposit: balance.deposit,
        }
    }
}

macro_rules! holds {
    ($condition:expr, $($rule:tt)+) => {
        if !$condition {
            return Err(format!($($rule)+));
        }
    };
}

const fn is_closed(channel: &Channel) -> bool {
    matches!(channel.status(), Status::Closed { .. })
}

/// What holds of every state.
pub(crate) fn of_state(channel: &Channel, policy: &Policy) -> Result<(), String> {
    let Counters { settled, delivered, spent, accepted, deposit } = Counters::of(channel, policy);
    let best = channel.best().map_or(Amount::ZERO, |voucher| voucher.cumulative);
    holds!(best <= accepted, "the best voucher {best} exceeds what was accepted, {accepted}");
    if is_closed(channel) {
        holds!(channel.collection().is_none(), "a closed channel has something to do");
        return Ok(());
    }
    holds!(settled <= delivered, "settled {settled} exceeds delivered {delivered}");
    holds!(delivered <= spent, "delivered {delivered} exceeds spent {spent}");
    holds!(spent <= accepted, "spent {spent} exceeds accepted {accepted}");
    if channel.status() == Status::Open {
        holds!(accepted <= deposit, "accepted {accepted} exceeds the deposit {deposit} of an open channel");
    }
    Ok(())
}

/// What holds of every step.
pub(crate) fn of_step(
    before: &Channel,
    event: &Event,
    after: &Channel,
    outcome: &Outcome,
    policy: &Policy,
    now: Timestamp,
) -> Result<(), String> {
    of_state(after, policy)?;
    counters(before, event, after, policy)?;
    status(before, event, after)?;
    sold(after, outcome)?;
    collection(before, event, after, outcome)?;
    let idles = !outcome.effects.iter().any(|effect| matches!(effect, Effect::Submit(_) | Effect::Inspect));
    for effect in &outcome.effects {
        if let Effect::WakeAt(at) = effect {
            holds!(!is_closed(after), "a closed channel wants to be woken");
            holds!(*at > now || !idles || *event != Event::Woken, "woken for nothing, it wants to be woken at once");
        }
    }
    Ok(())
}

fn counters(before: &Channel, event: &Event, after: &Channel, policy: &Policy) -> Result<(), String> {
    let (old, new) = (Counters::of(before, policy), Counters::of(after, policy));
    holds!(new.accepted >= old.accepted, "accepted fell from {} to {}", old.accepted, new.accepted);
    holds!(new.delivered >= old.delivered, "delivered fell from {} to {}", old.delivered, new.delivered);
    let gives_back = matches!(
        event,
        Event::Delivery(Delivery::Release { .. }) | Event::Delivery(Delivery::Cancel { .. }) | Event::Delivery(Delivery::End { .. })
    );
    holds!(new.spent >= old.spent || gives_back, "spent fell from {} to {}", old.spent, new.spent);
    let shown = match event {
        Event::Observed(reading) => Some(reading.on_chain),
        _ => None,
    };
    let taken_back = shown.is_some_and(|on_chain| on_chain.settled == new.settled);
    holds!(new.settled >= old.settled || taken_back, "settled fell from {} to {}", old.settled, new.settled);
    holds!(new.deposit == old.deposit || shown.is_some_and(|on_chain| on_chain.deposit == new.deposit), "the deposit was made up");
    holds!(before.best().map(|best| best.cumulative) <= after.best().map(|best| best.cumulative), "the best voucher was lost");
    Ok(())
}

fn status(before: &Channel, event: &Event, after: &Channel) -> Result<(), String> {
    let observed = matches!(event, Event::Observed(_));
    let allowed = match (before.status(), after.status()) {
        (old, new) if old == new => true,
        (Status::Closed { .. }, _) => false,
        (_, Status::Closed { transaction: Some(_) }) => matches!(event, Event::Concluded(..)),
        (_, Status::Closed { transaction: None }) => matches!(event, Event::Observed(_) | Event::Concluded(..)),
        (Status::Open | Status::Suspended | Status::Closing(CloseReason::Requested), Status::Open | Status::Suspended) => observed,
        (Status::Closing(_), Status::Open | Status::Suspended) => false,
        (Status::Suspended, Status::Closing(CloseReason::Asked)) => matches!(event, Event::Close(_)) && signer_has_code(before),
        (Status::Suspended, Status::Closing(reason)) => reason == CloseReason::Requested && observed,
        (_, Status::Closing(CloseReason::Asked)) => matches!(event, Event::Close(_)),
        (_, Status::Closing(CloseReason::Requested)) => observed,
        (_, Status::Closing(CloseReason::Idle)) => matches!(event, Event::Woken | Event::Close(_)),
    };
    holds!(allowed, "{:?} became {:?} by {event:?}", before.status(), after.status());
    Ok(())
}

/// Whether it is suspended for that alone.
fn signer_has_code(channel: &Channel) -> bool {
    serde_json::to_value(channel).unwrap()["signerHasCode"].as_bool().unwrap()
}

/// The smallest voucher held that covers what was spent and what the payer's own close asks for; or, where the deposit does not
/// hold that, the largest that it does.
fn last_voucher(channel: &Channel) -> Option<u128> {
    let json = serde_json::to_value(channel).unwrap();
    let number = |value: &serde_json::Value| value.as_str().unwrap().parse::<u128>().unwrap();
    let held: Vec<u128> = json["held"].as_array().unwrap().iter().map(|voucher| number(&voucher["cumulative"])).collect();
    let (deposit, needed) = (number(&json["deposit"]), number(&json["spent"]).max(number(&json["asked"])));
    let covering = held.iter().filter(|total| (needed..=deposit).contains(total)).min();
    covering.or_else(|| held.iter().filter(|total| **total <= deposit).max()).copied()
}

/// A voucher that others may have read neither buys nor closes, unless it comes with a signature that they cannot have. `shown`
/// is the highest that was ever handed out, as whoever drives the ledger knows it.
pub(crate) fn proves(before: &Channel, event: &Event, after: &Channel, outcome: &Outcome, shown: Amount) -> Result<(), String> {
    let (Event::Voucher(presented, _) | Event::Close(presented)) = event else { return Ok(()) };
    if presented.fresh || presented.voucher.cumulative > shown || shown == Amount::ZERO {
        return Ok(());
    }
    let spent = |channel: &Channel| channel.balance(Amount::ZERO, Reuse::Once, &crate::fixture::POLICY).spent;
    holds!(spent(after) == spent(before), "{event:?} has bought, and {shown} was handed out");
    holds!(after.status() == before.status(), "{event:?} has closed, and {shown} was handed out");
    let bought = matches!(outcome.answer, Ok(Answer::Bought(bought)) if bought.units > 0);
    holds!(!bought || after == before, "{event:?} has bought, and {shown} was handed out");
    Ok(())
}

/// Nothing is sold on a channel that is not open.
fn sold(after: &Channel, outcome: &Outcome) -> Result<(), String> {
    let units = match outcome.answer {
        Ok(Answer::Bought(bought)) if !bought.replayed => bought.units,
        Ok(Answer::Drawn(mpp_edge::channel::Drawn::Units(units))) => units,
        _ => 0,
    };
    holds!(units == 0 || after.failures() == 0, "{units} units were sold after a settlement has failed");
    holds!(units == 0 || after.status() == Status::Open, "{units} units were sold on a channel that is {:?}", after.status());
    Ok(())
}

fn collection(before: &Channel, event: &Event, after: &Channel, outcome: &Outcome) -> Result<(), String> {
    let submitted = outcome.effects.iter().find_map(|effect| match effect {
        Effect::Submit(collection) => Some(*collection),
        _ => None,
    });
    holds!(submitted.is_none() || submitted == after.collection(), "what is submitted is not what is stored");
    match (before.collection(), after.collection()) {
        (Some(old), Some(new)) => holds!(old == new, "a collection was replaced before its end was known"),
        (Some(old), None) => {
            let concluded = matches!(event, Event::Concluded(collection, _) if *collection == old);
            holds!(concluded || is_closed(after), "a collection was forgotten");
        }
        (None, Some(new)) => {
            holds!(matches!(event, Event::Woken | Event::Close(_)), "a collection was begun by {event:?}");
            holds!(submitted == Some(new), "a collection was begun and not submitted");
            let taken = new.payout.voucher.cumulative;
            holds!(after.published() >= Some(taken), "what was handed out counts as published");
            match (new.by, after.status()) {
                (CollectBy::Settle, status) if status == Status::Open || (status == Status::Suspended && signer_has_code(after)) => {
                    holds!(taken <= after.delivered(), "a settlement of {taken} takes more than {} delivered", after.delivered());
                    holds!(taken > after.settled(), "a settlement of {taken} takes nothing");
                }
                (CollectBy::Settle, Status::Closing(_)) => {
                    holds!(before.failures() > 0, "settled at the end, though no close has failed");
                    holds!(taken > after.settled(), "a settlement of {taken} takes nothing");
                    holds!(Some(taken.base_units()) == last_voucher(after), "settled {taken} at the end");
                }
                (CollectBy::Close, Status::Closing(_)) => {
                    let least = last_voucher(after);
                    holds!(Some(taken.base_units()) == least, "closed with {taken}, where {least:?} is enough");
                }
                (by, status) => return Err(format!("{by:?} was begun on a channel that is {status:?}")),
            }
        }
        (None, None) => {}
    }
    Ok(())
}
