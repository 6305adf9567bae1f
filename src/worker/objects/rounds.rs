//! The account's rounds: every channel with money at risk is looked at on chain from time to time, whether there is
//! traffic or not, and its object is told what has changed.

use super::table::Table;
use super::{ChannelMessage, ChannelReply};
use crate::evm::escrow::OnChain;
use crate::evm::jsonrpc::{Answer, Block, Request, decode};
use crate::evm::{Address, B256};
use crate::settlement::Watched;
use crate::time::Timestamp;
use crate::worker::clock::{now, within};
use crate::worker::config::Isolate;
use crate::worker::rpc::Unreachable;
use alloy_primitives::Bytes;
use futures_util::StreamExt;
use futures_util::stream;
use std::cell::{Cell, OnceCell};
use std::time::Duration;
use worker::{Env, Result, State, console_error};

/// Channels looked at in one batch of JSON-RPC, beside the request for the latest block.
const PART: usize = 49;

/// Objects told at the same time.
const AT_ONCE: usize = 8;

/// What could not be read or told is tried again after this.
const RETRY: Duration = Duration::from_secs(10);

/// The longest that a round may take. What is left over is news in the next.
const LONGEST: Duration = Duration::from_secs(30);

/// The channels that are watched, and when.
#[derive(Default)]
pub(super) struct Rounds {
    table: OnceCell<Table>,
    /// When the next round is due. `None`: nothing is watched, or it is not known yet.
    next: Cell<Option<Timestamp>>,
}

impl Rounds {
    fn table(&self, state: &State) -> Result<&Table> {
        if let Some(table) = self.table.get() {
            return Ok(table);
        }
        let table = Table::open(state, "channels")?;
        Ok(self.table.get_or_init(|| table))
    }

    /// When the next round is due, if any.
    pub(super) async fn next(&self, state: &State) -> Result<Option<Timestamp>> {
        if self.next.get().is_none() && !self.table(state)?.open_values::<Watched>()?.is_empty() {
            // The object was started anew. The alarm that is set is no later than the round was to be.
            let alarm = state.storage().get_alarm().await?.and_then(|alarm| u64::try_from(alarm).ok());
            let at = alarm.map_or_else(now, Timestamp::from_millis);
            self.next.set(Some(self.next.get().map_or(at, |next| next.min(at))));
        }
        Ok(self.next.get())
    }

    /// Takes a channel in. If it is there, its object is told again.
    pub(super) async fn watch(&self, state: &State, isolate: &Isolate, escrow: Address, channel_id: B256) -> Result<()> {
        let soon = now().saturating_add(isolate.gateway.session.watch);
        let next = self.next(state).await?.map_or(soon, |next| next.min(soon));
        self.next.set(Some(next));
        if !self.forget(state, channel_id)? {
            self.table(state)?.put(&channel_id, &Watched::new(escrow, channel_id), true, None)?;
        }
        Ok(())
    }

    /// The channel's object learns something by itself: what it was told is no measure any more. Returns whether
    /// the channel is watched.
    pub(super) fn forget(&self, state: &State, channel_id: B256) -> Result<bool> {
        let table = self.table(state)?;
        let Some(mut watched) = table.get::<Watched>(&channel_id)? else { return Ok(false) };
        watched.forget();
        table.put(&channel_id, &watched, true, None)?;
        Ok(true)
    }

    /// Whether a round is due. If so the caller makes it, and the next is due in its time.
    pub(super) async fn begin(&self, state: &State, isolate: &Isolate) -> Result<bool> {
        let due = self.next(state).await?.is_some_and(|at| at <= now());
        if due {
            self.next.set(Some(now().saturating_add(isolate.gateway.session.watch)));
        }
        Ok(due)
    }

    /// Makes a round.
    pub(super) async fn make(&self, state: &State, env: &Env, isolate: &Isolate) -> Result<()> {
        let complete = match within(LONGEST, self.look_at_all(state, env, isolate)).await {
            Some(result) => result?,
            None => {
                console_error!("account: a round over the channels took too long");
                false
            }
        };
        if !complete {
            let again = now().saturating_add(RETRY);
            self.next.set(self.next.get().map(|next| next.min(again)));
        }
        Ok(())
    }

    /// Returns whether every channel was looked at, and everybody told.
    async fn look_at_all(&self, state: &State, env: &Env, isolate: &Isolate) -> Result<bool> {
        let watched = self.table(state)?.open_values::<Watched>()?;
        if watched.is_empty() {
            self.next.set(None);
        }
        let mut complete = true;
        for part in watched.chunks(PART) {
            let Ok((block, answers)) = ask(isolate, part).await else {
                console_error!("account: the chain cannot be asked about {} channels", part.len());
                complete = false;
                continue;
            };
            let mut news = Vec::new();
            for (watched, answer) in part.iter().zip(answers) {
                match read(answer) {
                    Some(on_chain) if watched.is_news(&on_chain, block) => news.push((watched, on_chain)),
                    Some(_) => self.drop_if_over(state, isolate, watched, block)?,
                    None => console_error!("account: the escrow does not answer about channel {}", watched.channel_id()),
                }
            }
            let tell = |(watched, on_chain)| self.tell(state, env, isolate, watched, on_chain, block);
            let mut told = stream::iter(news.into_iter().map(tell)).buffer_unordered(AT_ONCE);
            while let Some(told) = told.next().await {
                complete &= told?;
            }
        }
        Ok(complete)
    }

    /// Tells a channel's object, and remembers it once that has answered. Returns whether it has.
    async fn tell(&self, state: &State, env: &Env, isolate: &Isolate, watched: &Watched, on_chain: OnChain, block: u64) -> Result<bool> {
        let id = watched.channel_id();
        let Ok(reply) = isolate.ask_channel(env, watched.escrow(), id, &ChannelMessage::Observed(on_chain)).await else {
            return Ok(false);
        };
        let table = self.table(state)?;
        // It may have changed during the call.
        let Some(mut current) = table.get::<Watched>(&id)? else { return Ok(true) };
        if let ChannelReply::Unknown = reply {
            if current.disown(now()) {
                table.remove(&id)?
            } else {
                table.put(&id, &current, true, None)?
            }
            return Ok(true);
        }
        current.tell(watched, on_chain, block);
        table.put(&id, &current, true, None)?;
        self.drop_if_over(state, isolate, &current, block)?;
        Ok(true)
    }

    fn drop_if_over(&self, state: &State, isolate: &Isolate, watched: &Watched, block: u64) -> Result<()> {
        if watched.is_over(block, isolate.gateway.confirmations) {
            self.table(state)?.remove(&watched.channel_id())?;
        }
        Ok(())
    }
}

/// The latest block, and what the escrows answer.
async fn ask(isolate: &Isolate, part: &[Watched]) -> std::result::Result<(u64, Vec<Answer>), Unreachable> {
    let calls = part.iter().map(|watched| Request::call(None, &watched.call()));
    let requests: Vec<Request> = std::iter::once(Request::latest_block()).chain(calls).collect();
    let mut answers = isolate.rpc.batch(&requests).await?.into_iter();
    let block = answers.next().and_then(|answer| decode::<Block>(&answer.ok()?).ok()).ok_or(Unreachable)?;
    Ok((block.number(), answers.collect()))
}

fn read(answer: Answer) -> Option<OnChain> {
    OnChain::decode(&decode::<Bytes>(&answer.ok()?).ok()?)
}
