//! A channel that is looked at on chain from time to time, as long as money may be at risk.

use crate::evm::escrow::OnChain;
use crate::evm::jsonrpc::Request;
use crate::evm::reading::{Heights, Reading, channel_questions};
use crate::evm::{Address, B256};
use crate::time::Timestamp;
use alloc::vec::Vec;
use core::time::Duration;
use serde::{Deserialize, Serialize};

/// A channel that its keeper does not know may be about to be taken on: it is watched before anything is sold on
/// it. After this it was not.
const STRAY: Duration = Duration::from_secs(600);

/// A channel, and what its keeper was told of it last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Watched {
    escrow: Address,
    channel_id: B256,
    /// Who signs its vouchers.
    signer: Address,
    /// How it stood, and whether its signer had code.
    told: Option<(OnChain, bool)>,
    /// When that was.
    told_at: Timestamp,
    /// How often the keeper has learned something by itself.
    turn: u32,
    /// Since when its keeper says that it does not know it.
    disowned_since: Option<Timestamp>,
}

impl Watched {
    /// A channel of which nothing was told yet.
    pub const fn new(escrow: Address, channel_id: B256, signer: Address) -> Self {
        Self { escrow, channel_id, signer, told: None, told_at: Timestamp::from_millis(0), turn: 0, disowned_since: None }
    }

    /// The escrow's contract.
    pub const fn escrow(&self) -> Address {
        self.escrow
    }

    /// The channel.
    pub const fn channel_id(&self) -> B256 {
        self.channel_id
    }

    /// Asks the escrow; [`Reading::read`] reads the answers.
    pub fn questions(&self, heights: Option<Heights>) -> Vec<Request> {
        channel_questions(self.escrow, self.channel_id, self.signer, heights)
    }

    /// Whether its keeper must be told of a reading: of every one that is new, and of any after `idle`, when it may have nothing more
    /// to do with the channel.
    pub fn is_news(&self, reading: &Reading, idle: Duration, now: Timestamp) -> bool {
        self.told != Some((reading.on_chain, reading.signer_has_code)) || now.since(self.told_at) >= idle
    }

    /// Whether the chain shows what its keeper was told. Unless it was told, it does not.
    pub fn is_as_told(&self, on_chain: &OnChain) -> bool {
        self.told.is_some_and(|(told, _)| told == *on_chain)
    }

    /// What its keeper was told, as a reading of a block that shows the same, when it may have nothing more to do with the channel after
    /// `idle`. What is known of the signer's code is as old as what it was told.
    pub fn repeat(&self, block: u64, idle: Duration, now: Timestamp) -> Option<Reading> {
        let (on_chain, signer_has_code) = self.told.filter(|_| now.since(self.told_at) >= idle)?;
        Some(Reading { block, on_chain, signer_has_code })
    }

    /// Who signs its vouchers, and whether that account had code when its keeper was told of the channel.
    pub fn signer(&self) -> (Address, Option<bool>) {
        (self.signer, self.told.map(|(_, has_code)| has_code))
    }

    /// The keeper has learned something by itself, so that what it was told says nothing about what it believes:
    /// it must be told again, even what it was told before.
    pub const fn forget(&mut self) {
        self.told = None;
        self.disowned_since = None;
        self.turn = self.turn.wrapping_add(1);
    }

    /// Its keeper was told of a reading, for which `asked`, an earlier state of this, was asked about.
    pub const fn tell(&mut self, asked: &Self, reading: Reading, now: Timestamp) {
        self.disowned_since = None;
        if self.turn == asked.turn {
            self.told = Some((reading.on_chain, reading.signer_has_code));
            self.told_at = now;
        }
    }

    /// Its keeper was to be told, and does not know it, or no more. Returns whether it need not be watched any longer.
    pub fn disown(&mut self, now: Timestamp) -> bool {
        self.told = None;
        now.since(*self.disowned_since.get_or_insert(now)) >= STRAY
    }

    /// Whether its end was told: nothing will change any more.
    pub fn is_over(&self) -> bool {
        self.told.is_some_and(|(told, _)| told.finalized)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::money::Amount;
    use crate::time::UnixSeconds;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const OPEN: OnChain = OnChain {
        finalized: false,
        close_requested_at: UnixSeconds::new(0),
        payer: Address::repeat_byte(1),
        payee: Address::repeat_byte(2),
        token: Address::repeat_byte(3),
        authorized_signer: Address::ZERO,
        deposit: Amount::from_base_units(10_000),
        settled: Amount::ZERO,
    };

    fn watched() -> Watched {
        Watched::new(Address::repeat_byte(4), B256::repeat_byte(5), OPEN.payer)
    }

    const fn at(block: u64, on_chain: OnChain) -> Reading {
        Reading { block, on_chain, signer_has_code: false }
    }

    const NOW: Timestamp = Timestamp::from_millis(1_000_000);
    const IDLE: Duration = Duration::from_secs(3_600);

    fn told(watched: &mut Watched, on_chain: OnChain, block: u64) {
        let asked = *watched;
        watched.tell(&asked, at(block, on_chain), NOW);
    }

    fn is_news(watched: &Watched, reading: &Reading) -> bool {
        watched.is_news(reading, IDLE, NOW)
    }

    #[test]
    fn what_its_keeper_was_told_is_repeated_after_a_while() {
        let mut watched = watched();
        assert!(!watched.is_as_told(&OPEN));
        assert_eq!((watched.repeat(8, Duration::ZERO, NOW), watched.signer()), (None, (OPEN.payer, None)));
        told(&mut watched, OPEN, 7);
        assert!(watched.is_as_told(&OPEN) && !watched.is_as_told(&OnChain { deposit: Amount::ZERO, ..OPEN }));
        assert_eq!(watched.repeat(8, IDLE, NOW.saturating_add(IDLE - Duration::from_secs(1))), None);
        assert_eq!(watched.repeat(8, IDLE, NOW.saturating_add(IDLE)), Some(at(8, OPEN)));
        assert_eq!(watched.signer(), (OPEN.payer, Some(false)));
    }

    #[test]
    fn what_was_not_told_is_news() {
        let mut watched = watched();
        assert!(is_news(&watched, &at(7, OPEN)));
        told(&mut watched, OPEN, 7);
        assert!(!is_news(&watched, &at(8, OPEN)));
        for change in [
            OnChain { finalized: true, ..OPEN },
            OnChain { close_requested_at: UnixSeconds::new(9), ..OPEN },
            OnChain { deposit: Amount::from_base_units(20_000), ..OPEN },
            OnChain { settled: Amount::from_base_units(1), ..OPEN },
        ] {
            assert!(is_news(&watched, &at(8, change)), "{change:?}");
        }
        assert!(is_news(&watched, &Reading { signer_has_code: true, ..at(8, OPEN) }), "a signer that is an account with code now");
    }

    /// Its own settlement is known to the keeper before a round sees it. If a reorganisation takes it back by then, the
    /// chain shows what it has shown before.
    #[test]
    fn what_the_keeper_learned_by_itself_makes_the_old_news_again() {
        let mut watched = watched();
        told(&mut watched, OPEN, 7);
        let read = watched;
        watched.forget();
        assert!(is_news(&watched, &at(8, OPEN)));
        // What was on its way to the keeper then says nothing about what it believes now.
        watched.tell(&read, at(8, OPEN), NOW);
        assert!(is_news(&watched, &at(8, OPEN)));
        told(&mut watched, OPEN, 8);
        assert!(!is_news(&watched, &at(9, OPEN)));
    }

    #[test]
    fn it_is_watched_until_its_end() {
        let mut watched = watched();
        assert!(!watched.is_over());
        told(&mut watched, OPEN, 7);
        assert!(!watched.is_over());
        told(&mut watched, OnChain { finalized: true, ..OPEN }, 8);
        assert!(watched.is_over());
    }

    #[test]
    fn a_channel_that_nobody_takes_on_is_watched_for_a_while() {
        let mut watched = watched();
        let after = |seconds: u64| Timestamp::from_millis((1_000 + seconds) * 1000);
        assert!(!watched.disown(after(0)));
        assert!(is_news(&watched, &at(7, OPEN)), "it was not told");
        assert!(!watched.disown(after(599)));
        assert!(watched.disown(after(600)));
        told(&mut watched, OPEN, 7);
        assert!(!watched.disown(after(700)));
        assert!(is_news(&watched, &at(7, OPEN)), "who does not know it is told again");
    }

    #[test]
    fn c13_whoever_keeps_a_channel_is_asked_now_and_then_whether_it_still_does() {
        let mut watched = watched();
        told(&mut watched, OPEN, 7);
        assert!(!watched.is_news(&at(8, OPEN), IDLE, NOW.saturating_add(IDLE - Duration::from_secs(1))));
        assert!(watched.is_news(&at(8, OPEN), IDLE, NOW.saturating_add(IDLE)));
    }
}
