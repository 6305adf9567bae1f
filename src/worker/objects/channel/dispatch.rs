//! What comes to a channel's object: messages, and its alarm.

use super::object::{ChannelObject, Unserved};
use super::{ChannelMessage, ChannelReply, claims, on_chain};
use crate::channel::{Channel, Effect, Event};
use crate::worker::clock::now;
use crate::worker::config::load;
use crate::worker::connection::Connection;
use crate::worker::objects::alarm::{or_later, set_alarm};
use crate::worker::objects::object::{Object, unconfigured};
use std::time::Duration;
use worker::{Env, Result, State, console_error};

/// A channel of another payee is looked at again after this: the configuration may be as it was again.
const OUTDATED: Duration = Duration::from_secs(60 * 60);

impl Object for ChannelObject {
    type Message = ChannelMessage;
    type Reply = ChannelReply;

    fn new(state: State, env: Env) -> Self {
        Self::new(state, env)
    }

    async fn answer(&self, message: ChannelMessage) -> Result<ChannelReply> {
        let loaded = load(&self.env);
        let isolate = loaded.as_ref().as_ref().map_err(|_| unconfigured())?;
        let asset = match &message {
            ChannelMessage::Claim { asset, .. } => Some(*asset),
            _ => self.look(Channel::asset)?,
        };
        let Some(asset) = asset else { return Ok(ChannelReply::Unknown) };
        let connection = isolate.connection_of(asset).ok_or_else(unconfigured)?;
        handle(self, connection, message).await
    }

    async fn wake(&self) -> Result<()> {
        or_later(&self.state, "channel", work_on(self).await).await
    }
}

async fn work_on(object: &ChannelObject) -> Result<()> {
    let loaded = load(&object.env);
    let isolate = loaded.as_ref().as_ref().map_err(|_| unconfigured())?;
    let Some((payee, asset)) = object.look(|ledger| (ledger.payee(), ledger.asset()))? else { return Ok(()) };
    let connection = isolate.connection_of(asset).filter(|connection| connection.rail.recipient == payee);
    let Some(connection) = connection else {
        console_error!("channel: it pays {payee} on chain {}, for whom this gateway cannot settle any more", asset.chain_id);
        return set_alarm(&object.state, now().saturating_add(OUTDATED)).await;
    };
    let outcome = object.step(connection, Event::Woken).await?;
    for effect in outcome.effects {
        match effect {
            Effect::Inspect => on_chain::inspect(object, connection).await.map(drop).or_else(Unserved::logged)?,
            Effect::Submit(collection) => {
                let deadline = now().saturating_add(connection.limits.settlement_timeout);
                on_chain::submit(object, connection, collection, deadline).await.or_else(Unserved::logged)?;
            }
            Effect::WakeAt(_) => {}
        }
    }
    Ok(())
}

async fn handle(object: &ChannelObject, connection: &Connection, message: ChannelMessage) -> Result<ChannelReply> {
    if let ChannelMessage::Claim { .. } | ChannelMessage::Delivery { .. } = message {
        object.say_used(connection)?;
    }
    match message {
        ChannelMessage::Claim { method, claim, .. } => claims::claim(object, connection, method, &claim).await,
        ChannelMessage::Show { price, reuse } => object.show(connection, price, reuse),
        ChannelMessage::Delivery { delivery, price, wait } => object.deliver(connection, delivery, price, wait).await,
        ChannelMessage::Observed(reading) => object.observe(connection, reading).await,
    }
}
