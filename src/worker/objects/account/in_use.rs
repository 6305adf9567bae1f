//! The channels on which something is sold. That their signers get code is no event: who signs is looked at while a channel is used,
//! and for some rounds after.

use crate::evm::B256;
use crate::evm::jsonrpc::{NodeAnswer, Request, has_code};
use crate::settlement::Watched;
use crate::time::Timestamp;
use crate::worker::clock::{now, sleep};
use crate::worker::connection::Connection;
use crate::worker::rpc::Network;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::time::Duration;
use worker::console_error;

/// For so many rounds after it was used a channel counts as in use.
const ROUNDS: u32 = 10;

/// As many are remembered. Of more, each is looked at when it is used.
const MOST: usize = 50_000;

/// Those that are used within this time are looked at together.
const GATHER: Duration = Duration::from_secs(5);

/// See the module. Whoever uses a channel says so again, so nothing of it is stored.
#[derive(Default)]
pub(super) struct InUse {
    /// Until when each is looked at in the rounds.
    channels: RefCell<BTreeMap<B256, Timestamp>>,
    /// Those that are about to be looked at.
    gathered: RefCell<Vec<B256>>,
    is_gathering: Cell<bool>,
}

impl InUse {
    /// Notes that a channel is used. Whoever is the first to do so for a while gets all that were used in that while.
    pub(super) async fn gather(&self, connection: &Connection, watched: &Watched) -> Option<Vec<B256>> {
        self.begin(connection, watched.channel_id());
        self.gathered.borrow_mut().push(watched.channel_id());
        if self.is_gathering.replace(true) {
            return None;
        }
        let gathering = Gathering(&self.is_gathering);
        sleep(GATHER.min(connection.rail.session.watch / 4)).await;
        drop(gathering);
        Some(self.gathered.take())
    }

    /// From here on a channel counts as in use.
    pub(super) fn begin(&self, connection: &Connection, channel_id: B256) {
        let until = now().saturating_add(connection.rail.session.watch.saturating_mul(ROUNDS));
        let mut channels = self.channels.borrow_mut();
        if channels.len() < MOST || channels.contains_key(&channel_id) {
            channels.insert(channel_id, until);
        }
    }

    /// Those that are in use now.
    pub(super) fn current(&self) -> Vec<B256> {
        let mut channels = self.channels.borrow_mut();
        channels.retain(|_, until| now() < *until);
        channels.keys().copied().collect()
    }

    /// Those whose signers have code and had none when their keepers were told, or the other way round.
    pub(super) async fn changed(connection: &Connection, all: &[Watched]) -> Vec<B256> {
        let known: Vec<_> = all.iter().filter_map(|watched| watched.signer().1.map(|had| (watched, had))).collect();
        if known.is_empty() {
            return Vec::new();
        }
        let questions: Vec<_> = known.iter().map(|(watched, _)| Request::code(watched.signer().0)).collect();
        let Ok(answers) = connection.rpc.batch(questions).await else {
            console_error!("account: the chain cannot be asked about the signers of {} channels", known.len());
            return Vec::new();
        };
        let has = |answer: NodeAnswer| answer.ok().and_then(|answer| has_code(&answer).ok());
        let both = known.into_iter().zip(answers.into_iter().map(has));
        both.filter(|((_, had), has)| has.is_some_and(|has| has != *had)).map(|((watched, _), _)| watched.channel_id()).collect()
    }
}

/// Whoever gathers is done with it, however that ends.
struct Gathering<'a>(&'a Cell<bool>);

impl Drop for Gathering<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}
