//! Transactions that are said to have added to a channel's deposit. Whoever reads the chain can name one that did, long ago, as
//! often as he likes, and anybody can name one that did not: so what the chain is asked because of them is bounded, however many
//! come, and one whose effect is known is asked about once.

use super::claiming::behind;
use crate::evm::{B256, U256};
use crate::money::Amount;
use crate::time::Timestamp;
use crate::wire::problem::Problem;
use alloc::vec::Vec;
use core::time::Duration;

/// The chain is asked about a channel's additions once in this time.
const PAUSE: Duration = Duration::from_secs(2);

/// Additions asked about at once; more have to come again.
const AT_ONCE: usize = 8;

/// Additions remembered; the oldest is forgotten first.
const REMEMBERED: usize = 64;

/// What a transaction is said to have added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addition {
    /// The transaction.
    pub transaction: B256,
    /// How much.
    pub amount: Amount,
}

/// What is told of an addition.
pub type Told = Result<(), Problem>;

/// See the module. It is lost with the object: then it is asked once more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Additions {
    /// Those that the chain has shown, with the deposit that each has left behind.
    shown: Vec<(Addition, U256)>,
    /// Nothing is asked before this.
    next: Option<Timestamp>,
}

impl Additions {
    /// Whether an addition was shown, and is in this `deposit`: nothing is to be asked, nothing changes.
    pub fn is_known(&self, addition: &Addition, deposit: Amount) -> bool {
        self.shown.iter().any(|(shown, left)| shown == addition && *left <= deposit.to_u256())
    }

    /// Remembers that the chain has shown an addition, which has left this deposit behind.
    pub fn note(&mut self, addition: Addition, deposit: U256) {
        self.shown.retain(|(shown, _)| *shown != addition);
        if self.shown.len() >= REMEMBERED {
            self.shown.remove(0);
        }
        self.shown.push((addition, deposit));
    }

    /// Whether the chain shows something of an addition that a channel with this `deposit` does not hold yet: then the channel is to be
    /// looked at. `left` is the deposit that the addition has left behind, or why it is not taken for one.
    pub fn is_news(left: &Result<U256, Problem>, deposit: Amount) -> bool {
        left.as_ref().is_ok_and(|left| *left > deposit.to_u256())
    }

    /// What whoever names an addition is told. It was looked up when `head` was the latest block, and the channel was `seen` in its latest
    /// block, if it had to be: one that shows no less.
    ///
    /// # Errors
    /// What stands in the way.
    pub fn tell(
        &mut self,
        addition: Addition,
        left: Result<U256, Problem>,
        deposit: Amount,
        head: u64,
        seen: &Result<u64, Problem>,
    ) -> Told {
        let is_news = Self::is_news(&left, deposit);
        let left = left?;
        if is_news && *seen.as_ref().map_err(Clone::clone)? < head {
            return Err(behind());
        }
        self.note(addition, left);
        Ok(())
    }

    /// How long to wait until the chain may be asked.
    pub fn wait(&self, now: Timestamp) -> Duration {
        self.next.map_or(Duration::ZERO, |next| next.since(now))
    }

    /// The chain is asked now.
    pub fn asked(&mut self, now: Timestamp) {
        self.next = Some(now.saturating_add(PAUSE));
    }

    /// The different ones of these, oldest first, as many as are asked about at once.
    pub fn batch(wanted: impl Iterator<Item = Addition>) -> Vec<Addition> {
        let mut batch = Vec::new();
        for addition in wanted {
            if batch.len() < AT_ONCE && !batch.contains(&addition) {
                batch.push(addition);
            }
        }
        batch
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const fn addition(transaction: u8, amount: u128) -> Addition {
        Addition { transaction: B256::repeat_byte(transaction), amount: Amount::from_base_units(amount) }
    }

    const fn deposit(units: u128) -> Amount {
        Amount::from_base_units(units)
    }

    #[test]
    fn c13_what_was_shown_is_known_while_the_deposit_holds_it() {
        let mut additions = Additions::default();
        assert!(!additions.is_known(&addition(1, 5), deposit(100)));
        additions.note(addition(1, 5), U256::from(15));
        assert!(additions.is_known(&addition(1, 5), deposit(15)));
        assert!(additions.is_known(&addition(1, 5), deposit(16)));
        // A reorganisation has taken it back, or the one who names it says something else.
        assert!(!additions.is_known(&addition(1, 5), deposit(14)));
        assert!(!additions.is_known(&addition(1, 6), deposit(100)));
        assert!(!additions.is_known(&addition(2, 5), deposit(100)));
        additions.note(addition(1, 5), U256::from(14));
        assert!(additions.is_known(&addition(1, 5), deposit(14)));
    }

    #[test]
    fn c13_the_channel_is_looked_at_for_news_alone_and_must_show_no_less_than_the_receipt() {
        const HEAD: u64 = 100;
        let refused = || Problem::unavailable("not mined yet");
        let left = |units: u128| Ok::<_, Problem>(U256::from(units));
        assert!(Additions::is_news(&left(15), deposit(14)));
        assert!(!Additions::is_news(&left(15), deposit(15)));
        assert!(!Additions::is_news(&Err(refused()), deposit(0)));
        for (of, seen, told, known) in [
            (left(15), Ok(HEAD), Ok(()), true),
            (left(15), Ok(HEAD + 1), Ok(()), true),
            (left(15), Ok(HEAD - 1), Err(behind()), false),
            (left(15), Err(refused()), Err(refused()), false),
            // Of what the deposit holds the channel need not tell anything.
            (left(14), Ok(HEAD - 1), Ok(()), true),
            (left(14), Err(refused()), Ok(()), true),
            (Err(refused()), Ok(HEAD), Err(refused()), false),
        ] {
            let mut additions = Additions::default();
            assert_eq!(additions.tell(addition(1, 5), of.clone(), deposit(14), HEAD, &seen), told, "{of:?} {seen:?}");
            assert_eq!(additions.is_known(&addition(1, 5), deposit(15)), known, "{of:?} {seen:?}");
        }
    }

    #[test]
    fn c13_few_are_remembered() {
        let mut additions = Additions::default();
        for transaction in 0..=64 {
            additions.note(addition(transaction, 1), U256::from(1));
        }
        assert!(!additions.is_known(&addition(0, 1), deposit(1)));
        assert!((1..=64).all(|transaction| additions.is_known(&addition(transaction, 1), deposit(1))));
    }

    #[test]
    fn c13_the_chain_is_asked_once_in_a_while() {
        let at = |millis: u64| Timestamp::from_millis(1_000_000 + millis);
        let mut additions = Additions::default();
        assert_eq!(additions.wait(at(0)), Duration::ZERO);
        additions.asked(at(0));
        assert_eq!(additions.wait(at(0)), PAUSE);
        assert_eq!(additions.wait(at(1500)), Duration::from_millis(500));
        assert_eq!(additions.wait(at(2000)), Duration::ZERO);
        assert_eq!(additions.wait(at(9000)), Duration::ZERO);
    }

    #[test]
    fn c13_those_who_name_the_same_are_one() {
        let wanted = [1, 2, 1, 3, 2].map(|transaction| addition(transaction, 1));
        assert_eq!(Additions::batch(wanted.into_iter()), [1, 2, 3].map(|transaction| addition(transaction, 1)));
        assert_eq!(Additions::batch((0..20).map(|transaction| addition(transaction, 1))).len(), AT_ONCE);
    }
}
