//! The sweep: every channel is looked at from time to time, whether it had an event or not. Usually it goes round slowly, in steps;
//! where events cannot be relied on, a round looks at all of them.

use super::Watched;
use crate::evm::escrow::{OnChain, channels_call};
use crate::evm::jsonrpc::{NodeAnswer, Request, decode};
use crate::evm::reading::Heights;
use crate::evm::transaction::Call;
use crate::evm::{Address, B256};
use crate::time::Timestamp;
use alloc::vec::Vec;
use alloy_primitives::Bytes;
use core::time::Duration;
use litemap::LiteMap;
use serde::{Deserialize, Serialize};

/// In this time every channel is looked at, or in the time after which an idle one is closed, if that is shorter.
const PERIOD: Duration = Duration::from_secs(6 * 60 * 60);

/// As many steps it takes.
const STEPS: u32 = 24;

/// Most channels in one step. With more than 120 000 of them it takes longer.
const STEP: u64 = 5_000;

/// Channels that one question is about.
const GROUP: usize = 500;

/// See the module. It is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sweep {
    /// The last channel that was looked at.
    after: Option<B256>,
    /// All of them are to be looked at, as soon as possible.
    owed: bool,
    /// And again after that.
    again: bool,
    /// How many it has looked at since it began with the first.
    seen: u64,
    /// How many channels there are, as far as is known.
    total: u64,
    next_at: Timestamp,
}

impl Default for Sweep {
    fn default() -> Self {
        Self { after: None, owed: false, again: false, seen: 0, total: 0, next_at: Timestamp::from_millis(0) }
    }
}

impl Sweep {
    /// Every channel is to be looked at from here on.
    pub const fn owe(&mut self) {
        if self.owed {
            self.again = true;
        } else {
            (self.owed, self.after, self.seen) = (true, None, 0);
        }
    }

    /// Whether all of them are being looked at.
    pub const fn is_owed(&self) -> bool {
        self.owed
    }

    /// One more is watched, or one less.
    pub const fn count(&mut self, is_new: bool) {
        self.total = if is_new { self.total.saturating_add(1) } else { self.total.saturating_sub(1) };
    }

    /// How many channels to look at now. Rounds follow each other after `watch`, and idle channels are closed after `idle`.
    pub fn begin(&mut self, now: Timestamp, watch: Duration, idle: Duration) -> u64 {
        if self.owed {
            return u64::MAX;
        }
        if now < self.next_at {
            return 0;
        }
        let period = PERIOD.min(idle);
        let step = (period / STEPS).max(watch);
        self.next_at = now.saturating_add(step);
        let [step, period] = [step, period].map(|time| time.as_secs().max(1));
        self.total.saturating_mul(step).div_ceil(period).clamp(1, STEP)
    }

    /// The channel after which it goes on.
    pub const fn after(&self) -> Option<&B256> {
        self.after.as_ref()
    }

    /// It has looked at so many, up to `last`; or there were none any more.
    pub fn went(&mut self, count: u64, last: Option<B256>) {
        self.seen = self.seen.saturating_add(count);
        self.after = last;
        if last.is_none() {
            self.total = core::mem::take(&mut self.seen);
            self.owed = core::mem::take(&mut self.again);
        }
    }
}

/// Channels to be compared with what their keepers were told: many of one escrow by one question.
#[derive(Debug)]
pub struct Comparison<'a> {
    groups: Vec<(Address, Vec<&'a Watched>)>,
}

/// What came of a channel in a [`Comparison`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compared {
    /// Its keeper was told what the chain shows.
    AsTold,
    /// Its keeper was told something else, or nothing.
    Otherwise,
    /// Its escrow does not tell of many channels at once.
    Unknown,
}

impl<'a> Comparison<'a> {
    /// Of these channels.
    pub fn new(channels: &'a [Watched]) -> Self {
        let mut by_escrow = LiteMap::<Address, Vec<&Watched>>::new();
        for watched in channels {
            by_escrow.entry(watched.escrow()).or_default().push(watched);
        }
        let groups = by_escrow.into_iter().flat_map(|(escrow, all)| {
            let groups: Vec<_> = all.chunks(GROUP).map(|group| (escrow, group.to_vec())).collect();
            groups
        });
        Self { groups: groups.collect() }
    }

    /// What to ask at these heights.
    pub fn questions(&self, heights: Heights) -> Vec<Request> {
        let question = |(escrow, group): &(Address, Vec<&Watched>)| {
            let data = channels_call(group.iter().map(|watched| watched.channel_id()).collect());
            let call = Call { to: *escrow, data: data.into() };
            heights.blocks().map(move |block| Request::call_at(&call, block)).collect::<Vec<_>>()
        };
        self.groups.iter().flat_map(question).collect()
    }

    /// What the answers at these heights say of each channel.
    pub fn read(self, heights: Heights, answers: Vec<NodeAnswer>) -> Vec<(&'a Watched, Compared)> {
        let mut answers = answers.into_iter();
        let mut all = Vec::new();
        for (_, group) in self.groups {
            let shown: Vec<_> = heights.blocks().map(|_| answers.next().and_then(|answer| read(answer, group.len()))).collect();
            for (at, watched) in group.into_iter().enumerate() {
                let shows = |shown: &Option<Vec<OnChain>>| Some(watched.is_as_told(shown.as_ref()?.get(at)?));
                let compared = match shown.iter().map(shows).collect::<Option<Vec<bool>>>() {
                    Some(same) if same.iter().all(|same| *same) => Compared::AsTold,
                    Some(_) => Compared::Otherwise,
                    None => Compared::Unknown,
                };
                all.push((watched, compared));
            }
        }
        all
    }
}

fn read(answer: NodeAnswer, count: usize) -> Option<Vec<OnChain>> {
    let shown = OnChain::decode_all(&decode::<Bytes>(&answer.ok()?).ok()?)?;
    (shown.len() == count).then_some(shown)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evm::jsonrpc::NodeError;
    use crate::evm::reading::Reading;
    use crate::money::Amount;
    use crate::time::UnixSeconds;
    use alloc::format;
    use alloc::string::String;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const OPEN: OnChain = OnChain {
        finalized: false,
        close_requested_at: UnixSeconds::new(0),
        payer: Address::repeat_byte(1),
        payee: Address::repeat_byte(2),
        token: Address::repeat_byte(3),
        authorized_signer: Address::ZERO,
        deposit: Amount::from_base_units(0x100),
        settled: Amount::ZERO,
    };
    const NOW: Timestamp = Timestamp::from_millis(1_000_000);
    const WATCH: Duration = Duration::from_secs(120);
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    fn word(value: u64) -> String {
        format!("{value:064x}")
    }

    fn address(byte: u8) -> String {
        format!("{}{}", "0".repeat(24), format!("{byte:02x}").repeat(20))
    }

    /// A channel as `getChannelsBatch` has it.
    fn state(deposit: u64, close_requested_at: u64) -> String {
        [word(0), word(close_requested_at), address(1), address(2), address(3), word(0), word(deposit), word(0)].concat()
    }

    fn answer(states: &[String]) -> NodeAnswer {
        let json = format!("\"0x{}{}{}\"", word(32), word(u64::try_from(states.len()).unwrap()), states.concat());
        Ok(serde_json::value::RawValue::from_string(json).unwrap())
    }

    fn watched(escrow: u8, channel: u8) -> Watched {
        let mut watched = Watched::new(Address::repeat_byte(escrow), B256::repeat_byte(channel), OPEN.payer);
        let asked = watched;
        watched.tell(&asked, Reading { block: 7, on_chain: OPEN, signer_has_code: false }, NOW);
        watched
    }

    #[test]
    fn channels_of_one_escrow_are_compared_by_one_question() {
        let page = [watched(9, 1), watched(8, 2), watched(9, 3)];
        let comparison = Comparison::new(&page);
        let heights = Heights::new(7, 1);
        assert_eq!(comparison.questions(heights).len(), 2);
        let answers = [answer(&[state(0x100, 0)]), answer(&[state(0x100, 0), state(0x100, 5)])].into();
        let compared: Vec<_> = comparison.read(heights, answers).into_iter().map(|(watched, compared)| (*watched, compared)).collect();
        assert_eq!(compared, [(page[1], Compared::AsTold), (page[0], Compared::AsTold), (page[2], Compared::Otherwise)]);
        let many: Vec<_> = (0..1_001).map(|_| watched(9, 1)).collect();
        assert_eq!(Comparison::new(&many).questions(heights).len(), 3);
    }

    #[test]
    fn a_channel_is_as_told_where_both_blocks_show_it() {
        let page = [watched(9, 1)];
        let heights = Heights::new(7, 3);
        for (latest, deep, expected) in [(0x100, 0x100, Compared::AsTold), (0x100, 0, Compared::Otherwise), (0, 0x100, Compared::Otherwise)]
        {
            let comparison = Comparison::new(&page);
            assert_eq!(comparison.questions(heights).len(), 2);
            let answers = [answer(&[state(latest, 0)]), answer(&[state(deep, 0)])].into();
            assert_eq!(comparison.read(heights, answers), [(&page[0], expected)]);
        }
    }

    #[test]
    fn what_is_no_answer_about_as_many_channels_says_nothing() {
        let page = [watched(9, 1), watched(9, 2)];
        let heights = Heights::new(7, 1);
        for no_answer in [Err(NodeError::Reverted(None)), answer(&[state(0x100, 0)]), answer(&[])] {
            let compared = Comparison::new(&page).read(heights, [no_answer].into());
            assert_eq!(compared, [(&page[0], Compared::Unknown), (&page[1], Compared::Unknown)]);
        }
    }

    #[test]
    fn it_goes_round_in_a_quarter_of_a_day_or_while_channels_may_be_idle() {
        let after = |seconds| NOW.saturating_add(Duration::from_secs(seconds));
        for (idle, step, channels) in [(DAY, 900, 4_167), (Duration::from_secs(3_600), 150, 4_167), (Duration::from_secs(240), 120, 5_000)]
        {
            let mut sweep = Sweep::default();
            (0..100_000).for_each(|_| sweep.count(true));
            assert_eq!(sweep.begin(NOW, WATCH, idle), channels);
            assert_eq!((sweep.begin(after(step - 1), WATCH, idle), sweep.begin(after(step), WATCH, idle)), (0, channels));
        }
        assert_eq!(Sweep::default().begin(NOW, WATCH, DAY), 1, "it finds out how many there are");
    }

    #[test]
    fn all_are_looked_at_when_that_is_owed_and_again_when_it_is_owed_meanwhile() {
        let last = Some(B256::repeat_byte(7));
        let mut sweep = Sweep::default();
        sweep.went(3, last);
        sweep.owe();
        assert_eq!((sweep.begin(NOW, WATCH, DAY), sweep.after()), (u64::MAX, None), "from the first on");
        sweep.went(5, last);
        sweep.owe();
        assert_eq!(sweep.after(), last.as_ref(), "which goes on");
        sweep.went(0, None);
        assert!(sweep.is_owed(), "and begins once more");
        sweep.went(5, last);
        sweep.went(0, None);
        assert!(!sweep.is_owed());
        assert_eq!(sweep.begin(NOW, WATCH, DAY), 1);
    }
}
