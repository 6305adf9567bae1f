//! The scan: which channels something has happened to, learned from the events of their escrows.
//!
//! One question finds the events of all channels, since each event has the payee as an indexed field: what it costs does not grow
//! with the number of channels. [`Scan::ask`] says what to ask, [`Scan::hear`] reads the answers, until that returns something else
//! than [`Heard::More`]. The channels in [`Scan::unread`] are then read, and [`Scan::was_read`] is told. How nodes that lie or lag
//! and reorganisations are met:
//!
//! * An answer counts up to the block that the node names as its latest in the same batch, and not if that is behind what was seen.
//! * Events are asked for from the cursor on, which stays some blocks and a round behind: every block is asked about twice.
//! * The last block that was seen, and the cursor's, are known by their hashes. When the one is another now, what has had events
//!   after the cursor is read anew; when the other is, every channel is.
//! * Where events cannot be had, every channel is looked at instead, each round ([`Sweep`]).

use super::sweep::Sweep;
use crate::evm::escrow::{event_channel, events_filter};
use crate::evm::jsonrpc::{BlockId, LogFilter, LoggedAt, NodeAnswer, NodeError, Request, decode};
use crate::evm::{Address, B256};
use crate::time::Timestamp;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;
use litemap::LiteMap;
use serde::{Deserialize, Serialize};

/// Blocks that the cursor stays behind at least, and as many as a settlement must be deep.
const DEPTH: u64 = 32;

/// Most blocks that one question spans, until a node refuses that.
const SPAN: u64 = 10_000;

/// Most questions about events in one batch.
const QUESTIONS: usize = 40;

/// After so many batches that did not reach the latest block it is cheaper to look at every channel.
const BATCHES: u32 = 16;

/// As many answers in a row without a refusal let a question span twice as many blocks again.
const CALM: u32 = 64;

/// As many times in a row a node may be behind what was seen. Then that is the chain.
const PATIENCE: u32 = 6;

/// Most channels with events that are kept. Beyond that every channel is looked at.
const FRESH: usize = 8_192;

/// The cursor is stored anew when it is so many blocks ahead of the stored one.
const STRIDE: u64 = 256;

/// How long a node is not believed that has not shown an event.
const DISTRUST: Duration = Duration::from_secs(24 * 60 * 60);

/// See the module. It is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scan {
    /// Whose events are asked for, and who must be paid in them.
    escrows: Vec<Address>,
    payees: Vec<Address>,
    /// `None` until a node has answered.
    marks: Option<Marks>,
    /// Most blocks that one question spans.
    span: u64,
    calm: u32,
    /// Channels that have had an event after the cursor, or are to be read for another reason.
    fresh: LiteMap<B256, Fresh>,
    /// What is looked at whether there was an event or not.
    pub sweep: Sweep,
    distrusted_until: Timestamp,
    /// Events could not be had in the last round.
    was_blind: bool,
    #[serde(skip)]
    course: Course,
    #[serde(skip)]
    behind: u32,
}

/// Blocks that were seen. All events up to the last one are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Marks {
    /// What has happened up to here was seen twice, and is done with.
    cursor: BlockId,
    /// The next cursor.
    next: BlockId,
    /// The latest block in the last round.
    head: BlockId,
}

/// A channel that is to be read, or may have to be read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fresh {
    /// The block of its last event, or in which it was read. Not known before it was.
    block: Option<u64>,
    read: bool,
    /// How often it was to be read anew.
    turn: u32,
}

/// How far the round under way has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Course {
    /// The latest block as its first answer had it.
    head: Option<BlockId>,
    /// Events up to here were heard of.
    through: Option<u64>,
    events: BTreeMap<B256, u64>,
    batches: u32,
}

/// What an answer has brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// There is more to ask, at once.
    More,
    /// All events up to the block of this number are known.
    Upto(u64),
    /// The node is behind what was seen: what it says counts for nothing. Ask again soon.
    Behind,
    /// Events cannot be had now, with the block of this number as the latest. Every channel is due to be looked at.
    Blind(u64),
}

impl Default for Scan {
    fn default() -> Self {
        Self {
            escrows: Vec::new(),
            payees: Vec::new(),
            marks: None,
            span: SPAN,
            calm: 0,
            fresh: LiteMap::new(),
            sweep: Sweep::default(),
            distrusted_until: Timestamp::from_millis(0),
            was_blind: false,
            course: Course::default(),
            behind: 0,
        }
    }
}

impl Scan {
    /// From here on events of these escrows for these payees are asked for as well.
    pub fn attend(&mut self, escrows: impl IntoIterator<Item = Address>, payees: impl IntoIterator<Item = Address>) {
        let add = |to: &mut Vec<Address>, one| {
            if !to.contains(&one) {
                to.push(one);
            }
        };
        escrows.into_iter().for_each(|escrow| add(&mut self.escrows, escrow));
        payees.into_iter().for_each(|payee| add(&mut self.payees, payee));
    }

    /// A channel must be read, whatever is known of it.
    pub fn notice(&mut self, channel_id: B256) {
        self.note(channel_id, None);
    }

    /// It is not watched any more.
    pub fn forget(&mut self, channel_id: &B256) {
        self.fresh.remove(channel_id);
    }

    fn note(&mut self, channel_id: B256, block: Option<u64>) {
        if self.fresh.len() >= FRESH && !self.fresh.contains_key(&channel_id) {
            return self.sweep.owe();
        }
        let fresh = self.fresh.entry(channel_id).or_insert(Fresh { block: None, read: false, turn: 0 });
        *fresh = Fresh { block: block.max(fresh.block), read: false, turn: fresh.turn.wrapping_add(1) };
    }

    /// What to ask next, all in one batch.
    pub fn ask(&self) -> Vec<Request> {
        let mut questions = Vec::from([Request::latest_block()]);
        if let Some(marks) = self.marks {
            questions.extend([self.last(&marks), marks.cursor].map(|block| Request::block(block.number())));
            let filter = self.filter();
            let asked = self.spans(&marks).into_iter();
            questions.extend(asked.map(|(from, to)| Request::logs_in(&self.escrows, &filter, from, to)));
        }
        questions
    }

    fn filter(&self) -> LogFilter {
        events_filter(self.payees.iter().copied())
    }

    /// The last block that was seen.
    fn last(&self, marks: &Marks) -> BlockId {
        self.course.head.unwrap_or(marks.head)
    }

    /// Which blocks are asked about. In a round's first batch the last question has no end.
    fn spans(&self, marks: &Marks) -> Vec<(u64, Option<u64>)> {
        let last = self.last(marks).number();
        let mut from = self.course.through.unwrap_or_else(|| marks.cursor.number()).saturating_add(1);
        let mut spans = Vec::new();
        while spans.len() < QUESTIONS {
            let to = from.saturating_add(self.span.saturating_sub(1));
            if to < last {
                spans.push((from, Some(to)));
                from = to.saturating_add(1);
                continue;
            }
            let to = self.course.head.map(|head| head.number());
            if to.is_none_or(|to| from <= to) {
                spans.push((from, to));
            }
            break;
        }
        spans
    }

    /// Reads the answers to [`Scan::ask`]. `is_watched` says whether a channel is; what happens to others is of no interest.
    pub fn hear(
        &mut self,
        answers: Vec<NodeAnswer>,
        confirmations: u64,
        now: Timestamp,
        mut is_watched: impl FnMut(&B256) -> bool,
    ) -> Heard {
        let mut answers = answers.into_iter();
        let mut block = || answers.next().and_then(Result::ok).and_then(|answer| decode::<BlockId>(&answer).ok());
        let Some(latest) = block() else { return self.lagging() };
        let Some(marks) = self.marks else {
            // What has happened before shows when every channel is looked at.
            self.marks = Some(Marks { cursor: latest, next: latest, head: latest });
            self.sweep.owe();
            return Heard::Upto(latest.number());
        };
        let (last, cursor) = (block(), block());
        if latest.number() < self.last(&marks).number() {
            return self.lagging();
        }
        let (Some(last), Some(cursor)) = (last, cursor) else { return self.lagging() };
        self.behind = 0;
        self.course.batches += 1;
        if cursor != marks.cursor || self.course.batches > BATCHES {
            return self.start_over();
        }
        if last != self.last(&marks) {
            // What has happened since the cursor may not have happened, or elsewhere.
            self.marks = Some(Marks { cursor, next: cursor, head: cursor });
            self.course = Course { batches: self.course.batches, ..Course::default() };
            self.fresh.iter_mut().for_each(|(_, fresh)| fresh.read = false);
            return Heard::More;
        }
        if self.escrows.is_empty() || now < self.distrusted_until {
            return self.blind(latest);
        }
        let spans = self.spans(&marks);
        let head = *self.course.head.get_or_insert(latest);
        for (from, to) in spans {
            let to_head = to.is_none();
            let through = to.unwrap_or_else(|| head.number());
            let answer = answers.next();
            if through < from {
                // Nothing has happened since, and a node may say so by an error.
                break;
            }
            match answer {
                Some(Ok(logs)) => {
                    let Ok(logs) = decode::<Vec<LoggedAt>>(&logs) else { return self.blind(latest) };
                    self.take(&logs, &mut is_watched);
                    self.course.through = Some(through);
                    self.calm = self.calm.saturating_add(1);
                }
                // How far away the end was could not be known.
                Some(Err(NodeError::TooMuch | NodeError::Other(_))) if to_head && through - from >= self.span => break,
                Some(Err(NodeError::TooMuch | NodeError::Other(_))) if through > from => {
                    self.span = (through - from).div_ceil(2).min(self.span);
                    self.calm = 0;
                    break;
                }
                _ => return self.blind(latest),
            }
        }
        let through = self.course.through.unwrap_or_else(|| marks.cursor.number());
        if through < head.number() { Heard::More } else { self.arrive(marks, head, confirmations) }
    }

    fn take(&mut self, logs: &[LoggedAt], is_watched: &mut impl FnMut(&B256) -> bool) {
        for logged in logs {
            let Some(id) = event_channel(&self.escrows, &logged.log) else { continue };
            let known = self.course.events.get(&id).copied();
            if known.is_none() && !self.fresh.contains_key(&id) && !is_watched(&id) {
                continue;
            }
            self.course.events.insert(id, logged.block_number().max(known.unwrap_or(0)));
        }
    }

    /// All events up to `head` were heard of.
    fn arrive(&mut self, marks: Marks, head: BlockId, confirmations: u64) -> Heard {
        let Course { events, .. } = core::mem::take(&mut self.course);
        for (id, block) in events {
            if self.fresh.get(&id).is_none_or(|fresh| fresh.block < Some(block)) {
                self.note(id, Some(block));
            }
        }
        let Marks { cursor, next, .. } = marks;
        let is_deep = head.number().saturating_sub(next.number()) >= confirmations.max(DEPTH);
        let marks = if is_deep { Marks { cursor: next, next: head, head } } else { Marks { cursor, next, head } };
        self.marks = Some(marks);
        self.fresh.retain(|_, fresh| !fresh.read || fresh.block > Some(marks.cursor.number()));
        if self.calm >= CALM {
            self.calm = 0;
            self.span = self.span.saturating_mul(2).min(SPAN);
        }
        if core::mem::take(&mut self.was_blind) {
            // What came and went in between was seen by nobody.
            self.sweep.owe();
        }
        Heard::Upto(head.number())
    }

    fn lagging(&mut self) -> Heard {
        self.course = Course::default();
        self.behind += 1;
        if self.behind < PATIENCE {
            return Heard::Behind;
        }
        self.behind = 0;
        self.start_over()
    }

    fn blind(&mut self, latest: BlockId) -> Heard {
        self.course = Course::default();
        if let Some(marks) = &mut self.marks {
            // Channels are read in this block: a node that is behind it has nothing to say.
            marks.head = latest;
        }
        self.was_blind = true;
        if !self.sweep.is_owed() {
            self.sweep.owe();
        }
        Heard::Blind(latest.number())
    }

    /// What was seen is not so any more, or is too long ago.
    fn start_over(&mut self) -> Heard {
        self.marks = None;
        self.course = Course::default();
        self.fresh.iter_mut().for_each(|(_, fresh)| (fresh.read, fresh.block) = (false, None));
        Heard::More
    }

    /// Channels that are to be read, after this one.
    pub fn unread(&self, after: Option<&B256>) -> impl Iterator<Item = (B256, Fresh)> {
        let first = after.map_or(0, |after| self.fresh.find_index(after).map_or_else(|next| next, |place| place.saturating_add(1)));
        let later = self.fresh.as_slice().get(first..).unwrap_or_default();
        later.iter().filter(|(_, fresh)| !fresh.read).map(|(id, fresh)| (*id, *fresh))
    }

    /// Whether something is known to have happened to a channel lately, or may have.
    pub fn is_fresh(&self, channel_id: &B256) -> bool {
        self.fresh.contains_key(channel_id)
    }

    /// A channel was read in a block, as [`Scan::unread`] asked for, and its keeper knows what was read. Where that may still
    /// change without another event (`is_steady` says no), it is read again.
    pub fn was_read(&mut self, channel_id: &B256, asked: Fresh, block: u64, is_steady: bool) {
        if let Some(fresh) = self.fresh.get_mut(channel_id).filter(|fresh| **fresh == asked && is_steady && asked.block <= Some(block)) {
            *fresh = Fresh { block: Some(block), read: true, ..asked };
        }
    }

    /// A channel was read in a block by a sweep, since it was not as its keeper was told. Unless that is settled, it is to be read again;
    /// and so it is if that block goes, whose event may not have been heard of.
    pub fn was_found(&mut self, channel_id: B256, block: u64, is_settled: bool) {
        self.note(channel_id, Some(block));
        if let Some(fresh) = self.fresh.get_mut(&channel_id).filter(|fresh| is_settled && fresh.block <= Some(block)) {
            fresh.read = true;
        }
    }

    /// A channel is not as the events say: they are not all told. For a day every channel is looked at instead.
    pub fn distrust(&mut self, now: Timestamp) {
        self.distrusted_until = now.saturating_add(DISTRUST);
    }

    /// Whether it differs from what is stored by enough to store it anew. After a restart the rest is asked for again.
    pub fn is_worth_storing(&self, stored: &Self) -> bool {
        let of = |scan: &Self| scan.marks.map(|marks| marks.cursor.number());
        let (own, theirs) = (of(self), of(stored));
        let is_other =
            own.is_some() != theirs.is_some() || own < theirs || own.zip(theirs).is_some_and(|(own, theirs)| own >= theirs + STRIDE);
        // What is compared is all that is stored, but for marks and calm.
        let rest = |scan: &Self| (scan.span, scan.was_blind, scan.distrusted_until);
        is_other
            || rest(self) != rest(stored)
            || self.sweep != stored.sweep
            || (&self.escrows, &self.payees, &self.fresh) != (&stored.escrows, &stored.payees, &stored.fresh)
    }
}
