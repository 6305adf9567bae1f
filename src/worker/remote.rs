//! A channel's object, for what outlives the request that it was first asked for.

use super::clock::sleep;
use super::config::load;
use super::failure::internal;
use super::objects::channel::{ChannelMessage, ChannelReply, ask_channel};
use crate::channel::{Claim, Delivery, InFlight};
use crate::evm::{Address, B256};
use crate::money::Amount;
use crate::rail::evm::{Asset, Method};
use crate::wire::problem::Problem;
use std::cell::RefCell;
use std::time::Duration;
use worker::{Env, console_warn};

/// An object that does not answer is asked again after this.
pub(super) const AGAIN: Duration = Duration::from_millis(500);

/// See the module.
#[derive(Clone)]
pub(super) struct RemoteChannel {
    pub(super) env: Env,
    pub(super) asset: Asset,
    pub(super) escrow: Address,
    pub(super) id: B256,
}

impl RemoteChannel {
    pub(super) async fn ask(&self, message: &ChannelMessage) -> Result<ChannelReply, Problem> {
        let loaded = load(&self.env);
        let isolate = loaded.as_ref().as_ref().map_err(|_| internal("channel", "the configuration is wrong"))?;
        let connection = isolate.connection_of(self.asset).ok_or_else(|| internal("channel", self.asset))?;
        ask_channel(connection, &self.env, self.escrow, self.id, message).await
    }

    /// Presents a claim. What it was to buy is released when no answer comes: nobody will get it.
    pub(super) async fn claim(self, method: Method, mut claim: Claim) -> Result<ChannelReply, Problem> {
        let attempt = Attempt::begin()?;
        let voucher = claim.proof.presented.map_or(Amount::ZERO, |presented| presented.voucher.cumulative);
        let cancel = claim.order.as_mut().map(|order| {
            (order.attempt, order.since) = (attempt.id, attempt.since);
            (Delivery::Cancel { attempt: attempt.id, kind: order.kind, price: order.price, voucher }, order.price)
        });
        let message = ChannelMessage::Claim { asset: self.asset, method, claim: Box::new(claim) };
        match self.ask(&message).await {
            // The object may have done it and died before it could say so: asked again, it does it once.
            Err(_) => {}
            reply => return reply,
        }
        let reply = self.ask(&message).await;
        if let (Err(_), Some((cancel, price))) = (&reply, cancel) {
            self.tell(cancel, price).await;
        }
        reply
    }

    /// Tells how a delivery of what was bought at `price` went; what fails once is tried once more.
    pub(super) async fn tell(&self, delivery: Delivery, price: Amount) {
        let message = ChannelMessage::told(delivery, price);
        for attempt in 0..2 {
            if attempt > 0 {
                sleep(AGAIN).await;
            }
            match self.ask(&message).await {
                Ok(_) => return,
                Err(problem) => {
                    console_warn!("channel {}: what was not delivered could not be released: {}", self.id, problem.detail);
                }
            }
        }
    }
}

std::thread_local! {
    /// Attempts of this isolate that channels' objects were asked for, once there was one.
    static IN_FLIGHT: RefCell<Option<InFlight>> = const { RefCell::new(None) };
}

/// An attempt to buy something, in flight until dropped.
struct Attempt {
    id: u64,
    /// See [`Order::since`](crate::channel::Order::since).
    since: u64,
}

impl Attempt {
    fn begin() -> Result<Self, Problem> {
        let named = match IN_FLIGHT.take() {
            Some(named) => named,
            None => InFlight::of(name()?),
        };
        let (id, since) = IN_FLIGHT.with_borrow_mut(|in_flight| in_flight.insert(named).begin());
        Ok(Self { id, since })
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        IN_FLIGHT.with_borrow_mut(|in_flight| in_flight.iter_mut().for_each(|in_flight| in_flight.end(self.id)));
    }
}

/// A name for the isolate: under the name of another its attempts would be taken for that one's.
fn name() -> Result<u64, Problem> {
    let mut name = [0; 8];
    getrandom::fill(&mut name).map_err(|error| internal("entropy", error))?;
    Ok(u64::from_be_bytes(name))
}
