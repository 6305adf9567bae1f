//! The account's rounds: channels to which something has happened on chain are read, whether there is traffic or not, and their
//! objects are told what has changed. [`Scan`] says which these are.

use super::in_use::InUse;
use crate::evm::reading::{Heights, Reading, Views};
use crate::evm::{Address, B256};
use crate::rail::evm::Method;
use crate::settlement::{Compared, Comparison, Fresh, Heard, Scan, Watched};
use crate::time::Timestamp;
use crate::worker::clock::now;
use crate::worker::config::Isolate;
use crate::worker::connection::Connection;
use crate::worker::escrow::ask;
use crate::worker::objects::channel::{ChannelMessage, ChannelReply, ask_channel};
use crate::worker::objects::table::{Slots, Table, once};
use crate::worker::rpc::{Network, Unreachable};
use crate::worker::together::join_some;
use std::cell::{Cell, OnceCell, RefCell};
use std::time::Duration;
use worker::{Env, Result, State, console_error};

/// Channels read in one batch of JSON-RPC, each perhaps in two blocks, and its signer.
const PART: usize = 16;

/// Channels compared in one batch with what their objects were told.
const PAGE: u32 = 5_000;

/// Objects told at the same time.
const AT_ONCE: usize = 8;

/// When the chain could not be asked about some, the round goes on with the others after this, and when it is over another begins.
const RETRY: Duration = Duration::from_secs(10);

/// A round that takes longer goes on after the account's other work.
const SHIFT: Duration = Duration::from_secs(30);

/// Under this number the scan is stored.
const SCAN: u32 = 0;

/// The channels that are watched, and when.
#[derive(Default)]
pub(super) struct Rounds {
    channels: OnceCell<Table>,
    slots: OnceCell<Slots>,
    /// As it is, and as it is stored.
    scan: RefCell<Option<(Scan, Scan)>>,
    /// When the next round is due, or goes on. `None`: nothing is watched, or it is not known yet.
    next: Cell<Option<Timestamp>>,
    /// The channel after which a round that is under way goes on.
    cursor: Cell<Option<B256>>,
    /// Whether the round under way could not ask about some of them.
    missed: Cell<bool>,
    /// Channels on which something is sold.
    in_use: InUse,
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

/// What every step of a round needs.
struct Round<'a> {
    state: &'a State,
    env: &'a Env,
    connection: &'a Connection,
    heights: Heights,
    /// Whether all events up to the latest block are known.
    sees: bool,
}

impl Rounds {
    fn table(&self, state: &State) -> Result<&Table> {
        once(&self.channels, || Table::open(state, "channels"))
    }

    fn slots(&self, state: &State) -> Result<&Slots> {
        once(&self.slots, || Slots::open(state, "watch"))
    }

    /// Does something with the scan. What is not stored after that is found out again when the object is started anew.
    fn scan<T>(&self, state: &State, work: impl FnOnce(&mut Scan) -> T) -> Result<T> {
        let mut scan = self.scan.borrow_mut();
        if scan.is_none() {
            // Channels that were watched before there were scans are all looked at first.
            let stored = self.slots(state)?.get::<Scan>(SCAN)?.unwrap_or_default();
            scan.replace((stored.clone(), stored));
        }
        let (scan, _) = scan.as_mut().ok_or("there is no scan")?;
        Ok(work(scan))
    }

    /// Stores the scan, if it has become another.
    fn store(&self, state: &State) -> Result<()> {
        if let Some((scan, stored)) = self.scan.borrow_mut().as_mut()
            && scan.is_worth_storing(stored)
        {
            self.slots(state)?.put(SCAN, scan)?;
            stored.clone_from(scan);
        }
        Ok(())
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
        self.in_use.begin(connection, channel.channel_id());
        if self.forget(state, channel.channel_id())? {
            return Ok(());
        }
        self.table(state)?.put(&channel.channel_id(), &channel, None)?;
        self.scan(state, |scan| {
            scan.attend([channel.escrow()], []);
            scan.sweep.count(true);
            scan.notice(channel.channel_id());
        })?;
        self.store(state)
    }

    /// The channel's object learns something by itself: what it was told is no measure any more. Returns whether
    /// the channel is watched.
    pub(super) fn forget(&self, state: &State, channel_id: B256) -> Result<bool> {
        let table = self.table(state)?;
        let Some(mut watched) = table.get::<Watched>(&channel_id)? else { return Ok(false) };
        watched.forget();
        table.put(&channel_id, &watched, None)?;
        self.scan(state, |scan| scan.notice(channel_id))?;
        self.store(state)?;
        Ok(true)
    }

    /// Something is to be bought on a channel: its signer may have code by now. Returns whether a round is due at once.
    pub(super) async fn use_channel(&self, state: &State, connection: &Connection, channel_id: B256) -> Result<bool> {
        let Some(watched) = self.table(state)?.get::<Watched>(&channel_id)? else { return Ok(false) };
        let Some(uses) = self.in_use.gather(connection, &watched).await else { return Ok(false) };
        let changed = self.look_at_signers(state, connection, uses).await?;
        if changed {
            self.next.set(Some(now()));
        }
        Ok(changed)
    }

    /// Notices the channels whose signers have code and had none, or the other way round. A chain that cannot be asked says nothing.
    async fn look_at_signers(&self, state: &State, connection: &Connection, uses: Vec<B256>) -> Result<bool> {
        let table = self.table(state)?;
        let mut watched = Vec::with_capacity(uses.len());
        for id in uses {
            watched.extend(table.get::<Watched>(&id)?);
        }
        let changed = InUse::changed(connection, &watched).await;
        for id in &changed {
            self.scan(state, |scan| scan.notice(*id))?;
        }
        Ok(!changed.is_empty())
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
    pub(super) async fn make(&self, state: &State, env: &Env, isolate: &Isolate, connection: &Connection) -> Result<()> {
        let shift = self.work(state, env, isolate, connection).await;
        self.store(state)?;
        let wait = match shift? {
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

    async fn work(&self, state: &State, env: &Env, isolate: &Isolate, connection: &Connection) -> Result<Shift> {
        if self.table(state)?.page::<Watched>(None, 1)?.is_empty() {
            self.next.set(None);
            return Ok(Shift::Over);
        }
        let until = now().saturating_add(SHIFT);
        if self.cursor.get().is_none() {
            // Those that are used are looked at first, since the round reads what is found.
            let uses = self.in_use.current();
            self.look_at_signers(state, connection, uses).await?;
        }
        let (sees, head) = match self.listen(state, isolate, connection).await? {
            Ok(Heard::Upto(head)) => (true, head),
            Ok(Heard::Blind(head)) => (false, head),
            Ok(Heard::More | Heard::Behind) => {
                console_error!("account: the node is behind what was seen of the chain");
                return Ok(Shift::Hindered);
            }
            Err(Unreachable) => {
                console_error!("account: the chain cannot be asked what has happened to channels");
                return Ok(Shift::Hindered);
            }
        };
        let heights = Heights::new(head, connection.rail.confirmations);
        let round = Round { state, env, connection, heights, sees };
        match self.read_fresh(&round, until).await? {
            Shift::Over => self.sweep(&round, until).await,
            unfinished => Ok(unfinished),
        }
    }

    /// Finds out what has happened.
    async fn listen(&self, state: &State, isolate: &Isolate, connection: &Connection) -> Result<std::result::Result<Heard, Unreachable>> {
        let rail = &connection.rail;
        // Rails of one account differ in the token, the recipient and the escrows; one question serves all of them.
        let of_account = isolate.connections().map(|connection| &connection.rail);
        let rails: Vec<_> = of_account
            .filter(|other| (other.chain_id, other.settlement_key.address()) == (rail.chain_id, rail.settlement_key.address()))
            .collect();
        let escrows: Vec<Address> = rails.iter().flat_map(|rail| Method::ALL.map(|method| rail.escrow_of(method))).flatten().collect();
        self.scan(state, |scan| scan.attend(escrows, rails.iter().map(|rail| rail.recipient)))?;
        loop {
            let questions = self.scan(state, |scan| scan.ask())?;
            let Ok(answers) = connection.rpc.batch(questions).await else { return Ok(Err(Unreachable)) };
            let table = self.table(state)?;
            // What cannot be read is read again where its channel is.
            let is_watched = |id: &B256| table.get::<Watched>(id).map_or(true, |watched| watched.is_some());
            match self.scan(state, |scan| scan.hear(answers, rail.confirmations, now(), is_watched))? {
                Heard::More => {}
                heard => return Ok(Ok(heard)),
            }
        }
    }

    /// Reads the channels to which something has happened.
    async fn read_fresh(&self, round: &Round<'_>, until: Timestamp) -> Result<Shift> {
        loop {
            let after = self.cursor.get();
            let unread: Vec<_> = self.scan(round.state, |scan| scan.unread(after.as_ref()).take(PART).collect())?;
            let Some((last, _)) = unread.last() else {
                self.cursor.set(None);
                return Ok(Shift::Over);
            };
            // Whatever happens to this part, the others are read as well.
            self.cursor.set(Some(*last));
            let mut part = Vec::with_capacity(unread.len());
            for (id, fresh) in unread {
                match self.table(round.state)?.get::<Watched>(&id)? {
                    Some(watched) => part.push((watched, Some(fresh))),
                    None => self.scan(round.state, |scan| scan.forget(&id))?,
                }
            }
            if let Err(Unreachable) = self.look_at(round, &part).await? {
                return Ok(Shift::Hindered);
            }
            if now() >= until {
                return Ok(Shift::Unfinished);
            }
        }
    }

    /// Compares some channels, or all of them, with what their objects were told.
    async fn sweep(&self, round: &Round<'_>, until: Timestamp) -> Result<Shift> {
        let session = &round.connection.rail.session;
        let (mut left, is_slow) =
            self.scan(round.state, |scan| (scan.sweep.begin(now(), session.watch, session.policy.close_idle), !scan.sweep.is_owed()))?;
        while left > 0 {
            let after = self.scan(round.state, |scan| scan.sweep.after().copied())?;
            let page = self.table(round.state)?.page::<Watched>(after.as_ref(), u32::try_from(left).unwrap_or(PAGE).min(PAGE))?;
            let count = u64::try_from(page.len()).unwrap_or(u64::MAX);
            if let Err(Unreachable) = self.compare(round, &page, is_slow).await? {
                return Ok(Shift::Hindered);
            }
            self.scan(round.state, |scan| scan.sweep.went(count, page.last().map(Watched::channel_id)))?;
            if page.is_empty() {
                break;
            }
            left -= count.min(left);
            if now() >= until && !is_slow {
                return Ok(Shift::Unfinished);
            }
        }
        Ok(Shift::Over)
    }

    /// Compares channels with what their objects were told, and reads those that are otherwise.
    async fn compare(&self, round: &Round<'_>, page: &[Watched], is_slow: bool) -> Result<std::result::Result<(), Unreachable>> {
        let comparison = Comparison::new(page);
        let questions = comparison.questions(round.heights);
        if questions.is_empty() {
            return Ok(Ok(()));
        }
        let Ok((block, answers)) = ask(round.connection, questions, Some(round.heights)).await else { return Ok(Err(Unreachable)) };
        let idle = round.connection.rail.session.policy.close_idle;
        let (mut others, mut repeated) = (Vec::new(), Vec::new());
        for (watched, compared) in comparison.read(round.heights, answers) {
            let id = watched.channel_id();
            match compared {
                Compared::AsTold => repeated.extend(watched.repeat(block, idle, now()).map(|reading| (*watched, reading))),
                Compared::Otherwise if is_slow && round.sees && !self.scan(round.state, |scan| scan.is_fresh(&id))? => {
                    console_error!("account: the node's events do not tell of channel {id}: for a day all channels are looked at");
                    self.scan(round.state, |scan| scan.distrust(now()))?;
                    others.push((*watched, None));
                }
                Compared::Otherwise | Compared::Unknown => others.push((*watched, None)),
            }
        }
        let tell = |(watched, reading): (Watched, Reading)| async move { self.tell(round, &watched, reading).await };
        join_some(AT_ONCE, repeated.into_iter().map(tell)).await.into_iter().collect::<Result<Vec<_>>>()?;
        for part in others.chunks(PART) {
            if let Err(Unreachable) = self.look_at(round, part).await? {
                return Ok(Err(Unreachable));
            }
        }
        Ok(Ok(()))
    }

    /// Asks about some channels, and tells their objects what is new. One that cannot be told is told in the next round.
    async fn look_at(&self, round: &Round<'_>, part: &[(Watched, Option<Fresh>)]) -> Result<std::result::Result<(), Unreachable>> {
        let heights = Some(round.heights);
        let questions: Vec<_> = part.iter().flat_map(|(watched, _)| watched.questions(heights)).collect();
        if questions.is_empty() {
            return Ok(Ok(()));
        }
        let Ok((block, answers)) = ask(round.connection, questions, heights).await else {
            console_error!("account: the chain cannot be asked about {} channels", part.len());
            return Ok(Err(Unreachable));
        };
        let mut answers = answers.into_iter();
        let mut news = Vec::new();
        let idle = round.connection.rail.session.policy.close_idle;
        for (watched, fresh) in part {
            let Some(views) = Views::read(heights, &mut answers) else {
                console_error!("account: the escrow does not answer about channel {}", watched.channel_id());
                continue;
            };
            let reading = Reading::new(block, views);
            if watched.is_news(&reading, idle, now()) {
                news.push((watched, *fresh, reading, views.is_steady()));
            } else {
                self.read(round.state, watched, *fresh, block, views.is_steady())?;
                self.drop_if_over(round.state, watched)?;
            }
        }
        let tell = |(watched, fresh, reading, is_steady)| async move {
            let knows = self.tell(round, watched, reading).await?;
            self.read(round.state, watched, fresh, block, is_steady && knows)
        };
        join_some(AT_ONCE, news.into_iter().map(tell)).await.into_iter().collect::<Result<Vec<_>>>()?;
        Ok(Ok(()))
    }

    /// A channel was read. Unless that `is_settled`, it is read again.
    fn read(&self, state: &State, watched: &Watched, fresh: Option<Fresh>, block: u64, is_settled: bool) -> Result<()> {
        let id = watched.channel_id();
        self.scan(state, |scan| match fresh {
            Some(fresh) => scan.was_read(&id, fresh, block, is_settled),
            None => scan.was_found(id, block, is_settled),
        })
    }

    /// Tells a channel's object, and remembers it once that has answered. Returns whether it needs no more for now.
    async fn tell(&self, round: &Round<'_>, watched: &Watched, reading: Reading) -> Result<bool> {
        let id = watched.channel_id();
        let Ok(reply) = ask_channel(round.connection, round.env, watched.escrow(), id, &ChannelMessage::Observed(reading)).await else {
            return Ok(false);
        };
        let table = self.table(round.state)?;
        // It may have changed during the call.
        let Some(mut current) = table.get::<Watched>(&id)? else { return Ok(true) };
        let is_stray = match reply {
            ChannelReply::Unknown => current.disown(now()),
            // It knows better; the next round has perhaps a node that does as well.
            ChannelReply::Behind => return Ok(false),
            _ => {
                current.tell(watched, reading, now());
                false
            }
        };
        if is_stray {
            self.leave(round.state, &id)?;
            return Ok(true);
        }
        table.put(&id, &current, None)?;
        self.drop_if_over(round.state, &current)?;
        Ok(current.is_as_told(&reading.on_chain))
    }

    fn drop_if_over(&self, state: &State, watched: &Watched) -> Result<()> {
        if watched.is_over() { self.leave(state, &watched.channel_id()) } else { Ok(()) }
    }

    fn leave(&self, state: &State, channel_id: &B256) -> Result<()> {
        self.table(state)?.remove(channel_id)?;
        self.scan(state, |scan| {
            scan.forget(channel_id);
            scan.sweep.count(false);
        })
    }
}
