//! What can happen to the world.

use super::chain::{Call, Source};
use super::search::Model;
use super::world::{Booking, Checked, Fate, Sale, Serving, WAIT, World, small};
use crate::fixture::*;
use mpp_edge::channel::{Answer, CloseReason, Delivery, Drawn, Event, Kind, Reuse, SILENCE, Status};
use mpp_edge::time::Timestamp;
use std::hash::{DefaultHasher, Hasher};

/// Indices are places in the world's lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// A voucher for this total comes alone, or buys.
    Voucher(u8),
    Buy(u8),
    AskClose(u8),
    AskCloseAndDie(u8),
    Release(usize),
    LoseRelease(usize),
    ReleaseAgain(usize),
    Unit(usize),
    Draw(usize),
    DrawUnheard(usize),
    Report(usize),
    End(usize),
    EndAgain(usize),
    ServerDies(usize),
    Watch,
    Wake,
    WakeAndDie,
    Mine(usize),
    Fail(usize),
    Conclude(usize),
    ConcludeAgain(usize),
    TopUp,
    Request,
    Withdraw,
    OtherSettles(u8),
    OtherCloses(u8),
    Reorganise,
    ComeAgain(usize),
    /// What was mined is deep.
    Bury,
    Wait,
    PassGrace,
    PassSilence,
}

fn spend(budget: &mut u8) {
    *budget -= 1;
}

impl World {
    fn client(&self, actions: &mut Vec<Action>) {
        let most = self.setup.deposit + self.setup.addition;
        if self.budget.vouchers > 0 {
            // Where vouchers are drawn down, an older one is as good as the best.
            let least = if self.setup.reuse == Reuse::Once { 1 } else { self.signed.max(1) };
            actions.extend((least..=most).map(Action::Buy));
            actions.extend((self.signed + 1..=most).map(Action::Voucher));
        }
        if self.budget.closes > 0 {
            for total in [0, self.signed, self.signed + 1] {
                actions.push(Action::AskClose(total));
                if self.budget.crashes > 0 {
                    actions.push(Action::AskCloseAndDie(total));
                }
            }
        }
    }

    fn serving(&self, actions: &mut Vec<Action>) {
        for (index, booking) in self.bookings.iter().enumerate() {
            match booking.fate {
                Fate::Open => {
                    actions.push(Action::Release(index));
                    if self.budget.losses > 0 {
                        actions.push(Action::LoseRelease(index));
                    }
                }
                Fate::Released | Fate::Lost if self.budget.repetitions > 0 => actions.push(Action::ReleaseAgain(index)),
                Fate::Released | Fate::Lost | Fate::Delivered => {}
            }
        }
        for (index, sale) in self.sales.iter().enumerate() {
            match sale.state {
                Serving::Live => {
                    if sale.delivered < sale.told {
                        actions.push(Action::Unit(index));
                    }
                    actions.extend([Action::Draw(index), Action::Report(index), Action::End(index)]);
                    if self.budget.losses > 0 {
                        actions.extend([Action::DrawUnheard(index), Action::ServerDies(index)]);
                    }
                }
                Serving::Ended if self.budget.repetitions > 0 => actions.push(Action::EndAgain(index)),
                Serving::Ended | Serving::Dead => {}
            }
        }
    }

    fn chain_and_outbox(&self, actions: &mut Vec<Action>) {
        for (index, entry) in self.chain.outbox.iter().enumerate() {
            if entry.in_pool {
                actions.push(Action::Mine(index));
                if self.budget.failures > 0 && entry.told.is_none() {
                    actions.push(Action::Fail(index));
                }
            }
            if entry.told.is_none() && self.chain.end_of(index).is_some() {
                actions.push(Action::Conclude(index));
            }
            if entry.told.is_some() && self.budget.repetitions > 0 {
                actions.push(Action::ConcludeAgain(index));
            }
        }
        let escrow = &self.chain.escrow;
        let is_open = escrow.exists && !escrow.finalized;
        if is_open && self.budget.top_ups > 0 {
            actions.push(Action::TopUp);
        }
        if is_open && self.budget.requests > 0 && escrow.requested_at.is_none() {
            actions.push(Action::Request);
        }
        if is_open && self.grace_ends().is_some_and(|end| end <= self.now) {
            actions.push(Action::Withdraw);
        }
        if is_open && self.budget.others > 0 {
            let most = self.signed.min(escrow.deposit);
            actions.extend((escrow.settled + 1..=most).map(Action::OtherSettles));
            actions.extend((escrow.settled..=most).map(Action::OtherCloses));
        }
        if !self.chain.recent.is_empty() {
            actions.push(Action::Bury);
            if self.budget.reorganisations > 0 {
                actions.push(Action::Reorganise);
            }
        }
        actions.extend((0..self.chain.returned.len()).map(Action::ComeAgain));
    }

    fn time(&self, actions: &mut Vec<Action>) {
        if self.has_news() {
            actions.push(Action::Watch);
        }
        if let Some(at) = self.alarm
            && self.may_pass_to(at)
            && (at <= self.now || self.budget.alarms > 0)
        {
            actions.push(Action::Wake);
            if self.budget.crashes > 0 {
                actions.push(Action::WakeAndDie);
            }
        }
        if self.budget.waits > 0 && self.may_pass_to(self.now.saturating_add(WAIT)) {
            actions.push(Action::Wait);
        }
        if self.grace_ends().is_some_and(|end| end > self.now && self.may_pass_to(end)) {
            actions.push(Action::PassGrace);
        }
        if self.sales.iter().any(|sale| sale.state == Serving::Dead) && self.budget.waits > 0 && self.may_pass_to(self.after_silence()) {
            actions.push(Action::PassSilence);
        }
    }

    fn after_silence(&self) -> Timestamp {
        self.now.saturating_add(SILENCE)
    }

    fn present(&mut self, total: u8, buys: bool) -> Checked {
        let accepted = self.counters().accepted;
        let order = buys.then(|| self.order());
        let (answer, effects) = self.step(&Event::Voucher(self.presents(total), order))?;
        if !effects.is_empty() {
            return Err(format!("a voucher asks for {effects:?}"));
        }
        if amount(total.into()) <= self.counters().accepted {
            self.signed = self.signed.max(total);
        }
        if let Ok(Answer::Bought(bought)) = answer {
            let units = u8::try_from(bought.units).unwrap();
            let id = bought.booking;
            if self.setup.kind == Kind::Request {
                self.bookings.push(Booking { id, cost: units * self.setup.price, voucher: total, fate: Fate::Open });
            } else {
                let sale = Sale { id, reserved: units, told: units, delivered: 0, heard_at: self.now, state: Serving::Live };
                self.sales.push(sale);
            }
        }
        if matches!(answer, Ok(Answer::Bought(_))) || self.counters().accepted > accepted {
            spend(&mut self.budget.vouchers);
        }
        Ok(())
    }

    fn ask_close(&mut self, total: u8, dies: bool) -> Checked {
        let (answer, effects) = self.step(&Event::Close(self.presents(total)))?;
        if amount(total.into()) <= self.counters().accepted {
            self.signed = self.signed.max(total);
        }
        if answer == Ok(Answer::Closing) {
            spend(&mut self.budget.closes);
            self.reach("the client asks for the end");
        }
        if dies {
            spend(&mut self.budget.crashes);
            return Ok(());
        }
        self.perform(&effects)
    }

    fn release(&mut self, index: usize, again: bool) -> Checked {
        let Booking { id, cost, voucher, fate } = self.bookings[index];
        let before = self.counters().spent;
        self.note(&release(id, cost.into(), voucher.into()))?;
        let given = self.counters().spent < before;
        if again {
            spend(&mut self.budget.repetitions);
            if fate == Fate::Released && given {
                return Err("released twice".into());
            }
        } else if !given && !self.is_closed() && !self.foreign && !self.taken {
            return Err("not released".into());
        }
        if given || !again {
            self.bookings[index].fate = Fate::Released;
        } else if fate == Fate::Lost {
            self.reach("a release that came too late");
        }
        Ok(())
    }

    fn draw(&mut self, index: usize, wanted: u64, heard: bool) -> Checked {
        let sale = self.sales[index];
        let event = Event::Delivery(Delivery::Draw { sale: sale.id, delivered: sale.delivered.into(), reserved: sale.told.into(), wanted });
        let before = self.counters().spent;
        let (answer, _) = self.step(&event)?;
        let reserved = small(self.counters().spent.saturating_sub(before)) / self.setup.price;
        let sale = &mut self.sales[index];
        sale.reserved += reserved;
        sale.heard_at = self.now;
        match answer {
            Ok(Answer::Drawn(Drawn::Units(units))) if heard => sale.told += u8::try_from(units).unwrap(),
            Ok(Answer::Drawn(Drawn::Exhausted)) => self.reach("the balance of a stream ends"),
            Ok(Answer::Drawn(Drawn::Over)) => self.reach("a stream is over"),
            _ => {}
        }
        Ok(())
    }

    pub(super) fn end(&mut self, index: usize) -> Checked {
        let sale = &mut self.sales[index];
        sale.state = Serving::Ended;
        let event = Event::Delivery(Delivery::End { sale: sale.id, delivered: sale.delivered.into(), begun: false });
        self.note(&event)
    }

    pub(super) fn payer(&mut self, call: Call) {
        let now = self.seconds();
        self.chain.execute(Source::Others(call), call, now);
    }

    fn other(&mut self, call: Call) {
        spend(&mut self.budget.others);
        self.foreign = true;
        self.payer(call);
    }

    pub(super) fn conclude_entry(&mut self, index: usize) -> Checked {
        let Some(good) = self.chain.end_of(index) else { return Ok(()) };
        let entry = &mut self.chain.outbox[index];
        entry.told = Some(good);
        let collection = entry.collection;
        self.conclude(collection, good)
    }

    fn milestones(&self) {
        match self.ledger.status() {
            Status::Suspended => self.reach("suspended"),
            Status::Closing(CloseReason::Asked) => self.reach("closing: asked"),
            Status::Closing(CloseReason::Idle) => self.reach("closing: idle"),
            Status::Closing(CloseReason::Requested) => self.reach("closing: requested"),
            Status::Closed { transaction: Some(_) } => self.reach("closed by us"),
            Status::Closed { transaction: None } => self.reach("closed by others"),
            Status::Open => {}
        }
        if self.chain.outbox.iter().any(|entry| entry.collection.payout.epoch > 0) {
            self.reach("tried again as another collection");
        }
        if self.chain.outbox.iter().any(|entry| entry.mined && entry.told == Some(true)) && !self.chain.escrow.finalized {
            self.reach("settled, and goes on");
        }
        if self.chain.outbox.iter().any(|entry| entry.told == Some(true) && !entry.mined && entry.in_pool) {
            self.reach("a settlement that was told is taken back");
        }
    }
}

impl Model for World {
    type Action = Action;

    fn actions(&self) -> Vec<Action> {
        let mut actions = Vec::new();
        self.client(&mut actions);
        self.serving(&mut actions);
        self.chain_and_outbox(&mut actions);
        self.time(&mut actions);
        actions
    }

    fn act(&mut self, action: Action) -> Checked {
        match action {
            Action::Voucher(total) => self.present(total, false)?,
            Action::Buy(total) => self.present(total, true)?,
            Action::AskClose(total) => self.ask_close(total, false)?,
            Action::AskCloseAndDie(total) => self.ask_close(total, true)?,
            Action::Release(index) => self.release(index, false)?,
            Action::LoseRelease(index) => {
                spend(&mut self.budget.losses);
                self.bookings[index].fate = Fate::Lost;
            }
            Action::ReleaseAgain(index) => self.release(index, true)?,
            Action::Unit(index) => self.sales[index].delivered += 1,
            Action::Draw(index) => self.draw(index, 1, true)?,
            Action::DrawUnheard(index) => {
                spend(&mut self.budget.losses);
                self.draw(index, 1, false)?;
            }
            Action::Report(index) => self.draw(index, 0, true)?,
            Action::End(index) => self.end(index)?,
            Action::EndAgain(index) => {
                spend(&mut self.budget.repetitions);
                self.end(index)?;
            }
            Action::ServerDies(index) => {
                spend(&mut self.budget.losses);
                self.sales[index].state = Serving::Dead;
            }
            Action::Watch => self.watch()?,
            Action::Wake | Action::WakeAndDie => {
                if self.alarm.is_some_and(|at| at > self.now) {
                    spend(&mut self.budget.alarms);
                }
                if action == Action::WakeAndDie {
                    spend(&mut self.budget.crashes);
                }
                self.wake(action == Action::WakeAndDie)?;
            }
            Action::Mine(index) => self.mine(index)?,
            Action::Fail(index) => {
                spend(&mut self.budget.failures);
                let entry = &mut self.chain.outbox[index];
                entry.in_pool = false;
                entry.failed = true;
            }
            Action::Conclude(index) => self.conclude_entry(index)?,
            Action::ConcludeAgain(index) => {
                spend(&mut self.budget.repetitions);
                let entry = self.chain.outbox[index];
                self.note(&Event::Concluded(entry.collection, super::chain::Entry::verdict(entry.told == Some(true))))?;
            }
            Action::TopUp => {
                spend(&mut self.budget.top_ups);
                self.payer(Call::TopUp(self.setup.addition));
            }
            Action::Request => {
                spend(&mut self.budget.requests);
                self.payer(Call::Request);
            }
            Action::Withdraw => {
                self.reach("the payer withdraws");
                self.payer(Call::Withdraw);
            }
            Action::OtherSettles(total) => self.other(Call::Settle(total)),
            Action::OtherCloses(total) => self.other(Call::Close(total)),
            Action::Reorganise => {
                spend(&mut self.budget.reorganisations);
                let source = self.chain.reorganise();
                if let Some(Source::Others(Call::TopUp(_))) = source {
                    self.misled = Some(self.chain.escrow.deposit);
                }
            }
            Action::ComeAgain(index) => {
                let call = self.chain.returned.remove(index);
                self.payer(call);
            }
            Action::Bury => self.chain.recent.clear(),
            Action::Wait => {
                spend(&mut self.budget.waits);
                self.pass_to(self.now.saturating_add(WAIT));
            }
            Action::PassGrace => {
                self.reach("the grace period ends");
                let end = self.grace_ends().unwrap();
                self.pass_to(end);
            }
            Action::PassSilence => {
                spend(&mut self.budget.waits);
                self.pass_to(self.after_silence());
            }
        }
        self.milestones();
        self.audit()
    }

    fn check(&self) -> Checked {
        self.resist()?;
        self.clone().complete().map_err(|rule| format!("left alone: {rule}"))?;
        if self.misled.is_some() || self.foreign || !self.chain.escrow.exists {
            return Ok(());
        }
        self.clone().abandon()
    }

    fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.hash(&mut hasher);
        hasher.finish()
    }
}
