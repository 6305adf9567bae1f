//! The account's rounds: every channel with money at risk is looked at on chain from time to time, whether there is
//! traffic or not, and its object is told what has changed.

use crate::evm::B256;
use crate::evm::reading::Reading;
use crate::settlement::Watched;
use crate::time::Timestamp;
use crate::worker::clock::now;
use crate::worker::connection::Connection;
use crate::worker::escrow::{ask, heights};
use crate::worker::objects::channel::{ChannelMessage, ChannelReply, ask_channel};
use crate::worker::objects::table::Table;
use crate::worker::rpc::Unreachable;
use futures_util::StreamExt;
use futures_util::stream;
use std::cell::{Cell, OnceCell};
use std::time::Duration;
use worker::{Env, Result, State, console_error};

/// Channels looked at in one batch of JSON-RPC, each perhaps in two blocks, and its signer.
const PART: u32 = 16;

/// Objects told at the same time.
const AT_ONCE: usize = 8;

/// When the chain could not be asked about some, the round goes on with the others after this, and when it is over another begins.
const RETRY: Duration = Duration::from_secs(10);

/// A round that takes longer goes on after the account's other work.
const SHIFT: Duration = Duration::from_secs(30);

/// The channels that are watched, and when.
#[derive(Default)]
pub(super) struct Rounds {
    table: OnceCell<Table>,
    /// When the next round is due, or goes on. `None`: nothing is watched, or it is not known yet.
    next: Cell<Option<Timestamp>>,
    /// The channel after which a round that is under way goes on.
    cursor: Cell<Option<B256>>,
    /// Whether the round under way could not ask about some of them.
    missed: Cell<bool>,
}

/// How far a shift of a round came.
enum Shift {
    /// To its end.
    Over,
    /// Not to its end, in the time it had.
    Unfinished,
    /// To a part of the channels about which the chain could not be asked.
    Hindered,
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
        if self.next.get().is_none() && !self.table(state)?.page::<Watched>(None, 1)?.is_empty() {
            // The object was started anew. The alarm that is set is no later than the round was to be.
            let alarm = state.storage().get_alarm().await?.and_then(|alarm| u64::try_from(alarm).ok());
            let at = alarm.map_or_else(now, Timestamp::from_millis);
            self.next.set(Some(self.next.get().map_or(at, |next| next.min(at))));
        }
        Ok(self.next.get())
    }

    /// Takes a channel in. If it is there, its object is told again.
    pub(super) async fn watch(&self, state: &State, connection: &Connection, channel: Watched) -> Result<()> {
        let soon = now().saturating_add(connection.rail.session.watch);
        let next = self.next(state).await?.map_or(soon, |next| next.min(soon));
        self.next.set(Some(next));
        if !self.forget(state, channel.channel_id())? {
            self.table(state)?.put(&channel.channel_id(), &channel, None)?;
        }
        Ok(())
    }

    /// The channel's object learns something by itself: what it was told is no measure any more. Returns whether
    /// the channel is watched.
    pub(super) fn forget(&self, state: &State, channel_id: B256) -> Result<bool> {
        let table = self.table(state)?;
        let Some(mut watched) = table.get::<Watched>(&channel_id)? else { return Ok(false) };
        watched.forget();
        table.put(&channel_id, &watched, None)?;
        Ok(true)
    }

    /// Whether a round is due. If so the caller makes it, and the next is due in its time.
    pub(super) async fn begin(&self, state: &State, connection: &Connection) -> Result<bool> {
        let due = self.next(state).await?.is_some_and(|at| at <= now());
        if due {
            self.next.set(Some(now().saturating_add(connection.rail.session.watch)));
        }
        Ok(due)
    }

    /// Makes a round, or a part of it that is not too long.
    pub(super) async fn make(&self, state: &State, env: &Env, connection: &Connection) -> Result<()> {
        let wait = match self.work(state, env, connection).await? {
            Shift::Over if self.missed.replace(false) => RETRY,
            Shift::Over => return Ok(()),
            Shift::Unfinished => Duration::ZERO,
            Shift::Hindered => {
                self.missed.set(true);
                RETRY
            }
        };
        let again = now().saturating_add(wait);
        self.next.set(self.next.get().map(|next| next.min(again)));
        Ok(())
    }

    async fn work(&self, state: &State, env: &Env, connection: &Connection) -> Result<Shift> {
        let until = now().saturating_add(SHIFT);
        loop {
            let part = self.table(state)?.page::<Watched>(self.cursor.get().as_ref(), PART)?;
            let Some(last) = part.last() else {
                if self.cursor.take().is_none() {
                    self.next.set(None);
                }
                return Ok(Shift::Over);
            };
            // Whatever happens to this part, the others are looked at as well.
            self.cursor.set(Some(last.channel_id()));
            if let Err(Unreachable) = self.look_at(state, env, connection, &part).await? {
                console_error!("account: the chain cannot be asked about {} channels", part.len());
                return Ok(Shift::Hindered);
            }
            if now() >= until {
                return Ok(Shift::Unfinished);
            }
        }
    }

    /// Asks about some channels, and tells their objects what is new. One that cannot be told is told in the next round.
    async fn look_at(
        &self,
        state: &State,
        env: &Env,
        connection: &Connection,
        part: &[Watched],
    ) -> Result<std::result::Result<(), Unreachable>> {
        let Ok(heights) = heights(connection).await else { return Ok(Err(Unreachable)) };
        let questions = part.iter().flat_map(|watched| watched.questions(heights)).collect();
        let Ok((block, answers)) = ask(connection, questions, heights).await else { return Ok(Err(Unreachable)) };
        let mut answers = answers.into_iter();
        let mut news = Vec::new();
        let idle = connection.rail.session.policy.close_idle;
        for watched in part {
            match Reading::read(block, heights, &mut answers) {
                Some(reading) if watched.is_news(&reading, idle, now()) => news.push((watched, reading)),
                Some(_) => self.drop_if_over(state, watched)?,
                None => console_error!("account: the escrow does not answer about channel {}", watched.channel_id()),
            }
        }
        let tell = |(watched, reading)| self.tell(state, env, connection, watched, reading);
        let mut told = stream::iter(news.into_iter().map(tell)).buffer_unordered(AT_ONCE);
        while let Some(told) = told.next().await {
            told?;
        }
        Ok(Ok(()))
    }

    /// Tells a channel's object, and remembers it once that has answered.
    async fn tell(&self, state: &State, env: &Env, connection: &Connection, watched: &Watched, reading: Reading) -> Result<()> {
        let id = watched.channel_id();
        let Ok(reply) = ask_channel(connection, env, watched.escrow(), id, &ChannelMessage::Observed(reading)).await else {
            return Ok(());
        };
        let table = self.table(state)?;
        // It may have changed during the call.
        let Some(mut current) = table.get::<Watched>(&id)? else { return Ok(()) };
        let is_stray = match reply {
            ChannelReply::Unknown => current.disown(now()),
            // It knows better; the next round has perhaps a node that does as well.
            ChannelReply::Behind => return Ok(()),
            _ => {
                current.tell(watched, reading, now());
                false
            }
        };
        if is_stray {
            return table.remove(&id);
        }
        table.put(&id, &current, None)?;
        self.drop_if_over(state, &current)
    }

    fn drop_if_over(&self, state: &State, watched: &Watched) -> Result<()> {
        if watched.is_over() {
            self.table(state)?.remove(&watched.channel_id())?;
        }
        Ok(())
    }
}
