//! A channel's object, for what outlives the request that it was first asked for.

use super::clock::sleep;
use super::config::load;
use super::objects::{ChannelMessage, ChannelReply, Claim};
use super::respond::internal;
use crate::evm::{Address, B256};
use crate::protocol::problem::Problem;
use std::time::Duration;
use worker::{Env, console_warn};

/// An object that does not answer is asked again after this.
pub(super) const AGAIN: Duration = Duration::from_millis(500);

/// See the module.
#[derive(Clone)]
pub(super) struct RemoteChannel {
    pub(super) env: Env,
    pub(super) escrow: Address,
    pub(super) id: B256,
}

impl RemoteChannel {
    pub(super) async fn ask(&self, message: &ChannelMessage) -> Result<ChannelReply, Problem> {
        let loaded = load(&self.env);
        let isolate = loaded.as_ref().as_ref().map_err(|_| internal("channel", "the configuration is wrong"))?;
        isolate.ask_channel(&self.env, self.escrow, self.id, message).await
    }

    /// Presents a claim.
    pub(super) async fn claim(self, claim: Claim) -> Result<ChannelReply, Problem> {
        let message = ChannelMessage::Claim(Box::new(claim));
        match self.ask(&message).await {
            // The object may have done it and died before it could say so: asked again, it does it once.
            Err(_) => self.ask(&message).await,
            reply => reply,
        }
    }

    /// Tells something that can be told again; what fails once is tried once more.
    pub(super) async fn tell(&self, message: &ChannelMessage) {
        for attempt in 0..2 {
            if attempt > 0 {
                sleep(AGAIN).await;
            }
            match self.ask(message).await {
                Ok(_) => return,
                Err(problem) => {
                    console_warn!("channel {}: what was not delivered could not be given back: {}", self.id, problem.detail);
                }
            }
        }
    }
}
