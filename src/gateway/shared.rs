//! What many ask for and one finds out, for all of them: as much work a second as is allowed here, whoever asks.

use crate::time::Timestamp;
use alloc::vec::Vec;
use core::time::Duration;

/// How many may find out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// One who began to find out and was not heard of for this long is given up.
    pub patience: Duration,
    /// How often it is begun to find something out, in a second.
    pub per_second: u32,
}

/// What was found out by key, and what somebody is finding out. It holds no more than was begun within the longest lifetime.
#[derive(Clone, Debug)]
pub struct Shared<K, V> {
    bounds: Bounds,
    /// In the order of their keys: a few seconds' worth of what may be begun in each.
    entries: Vec<(K, Entry<V>)>,
    /// Since when `begun` is counted.
    counted_since: Timestamp,
    begun: u32,
}

#[derive(Clone, Debug)]
enum Entry<V> {
    Begun(Timestamp),
    Found { value: V, until: Timestamp },
}

/// What somebody who asks is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next<V> {
    /// Take this.
    Take(V),
    /// Find it out, and say so by [`Shared::found`].
    FindOut,
    /// Wait: somebody else is finding it out.
    Wait,
    /// Do without: too much is being found out.
    DoWithout,
}

impl<K: Ord + Clone, V: Clone> Shared<K, V> {
    /// Nothing is known yet.
    pub const fn new(bounds: Bounds) -> Self {
        Self { bounds, entries: Vec::new(), counted_since: Timestamp::from_millis(0), begun: 0 }
    }

    /// Somebody asks at `now`.
    pub fn ask(&mut self, key: &K, now: Timestamp) -> Next<V> {
        match self.place(key).ok().and_then(|place| self.entries.get(place)) {
            Some((_, Entry::Found { value, until })) if now < *until => return Next::Take(value.clone()),
            Some((_, Entry::Begun(at))) if now.since(*at) < self.bounds.patience => return Next::Wait,
            _ => {}
        }
        if now.since(self.counted_since) >= Duration::from_secs(1) {
            (self.counted_since, self.begun) = (now, 0);
            let patience = self.bounds.patience;
            self.entries.retain(|(_, entry)| match entry {
                Entry::Found { until, .. } => now < *until,
                Entry::Begun(at) => now.since(*at) < patience,
            });
        }
        if self.begun >= self.bounds.per_second {
            return Next::DoWithout;
        }
        self.begun = self.begun.saturating_add(1);
        self.set(key.clone(), Entry::Begun(now));
        Next::FindOut
    }

    /// `value` was found out, and is to be taken until then.
    pub fn found(&mut self, key: K, value: V, until: Timestamp) {
        self.set(key, Entry::Found { value, until });
    }

    fn place(&self, key: &K) -> Result<usize, usize> {
        self.entries.binary_search_by(|(other, _)| other.cmp(key))
    }

    fn set(&mut self, key: K, entry: Entry<V>) {
        match self.place(&key) {
            Ok(place) => {
                if let Some((_, old)) = self.entries.get_mut(place) {
                    *old = entry;
                }
            }
            Err(place) => self.entries.insert(place, (key, entry)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Next::{DoWithout, FindOut, Take, Wait};
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(1_800_000_000_000 + millis)
    }

    fn shared() -> Shared<u32, &'static str> {
        Shared::new(Bounds { patience: Duration::from_secs(5), per_second: 2 })
    }

    #[test]
    fn one_finds_out_and_the_others_take_it_as_long_as_it_lives() {
        let mut shared = shared();
        assert_eq!(shared.ask(&1, at(0)), FindOut);
        for millis in [0, 1, 4_999] {
            assert_eq!(shared.ask(&1, at(millis)), Wait, "{millis}");
        }
        shared.found(1, "bad", at(7_000));
        for millis in [5_000, 6_999] {
            assert_eq!(shared.ask(&1, at(millis)), Take("bad"), "{millis}");
        }
        assert_eq!(shared.ask(&1, at(7_000)), FindOut);
    }

    #[test]
    fn one_who_is_never_heard_of_again_is_followed_by_one_other() {
        let mut shared = shared();
        assert_eq!(shared.ask(&1, at(0)), FindOut);
        assert_eq!(shared.ask(&1, at(5_000)), FindOut);
        assert_eq!(shared.ask(&1, at(5_001)), Wait);
    }

    #[test]
    fn no_more_is_begun_in_a_second_whatever_is_asked_for() {
        let mut shared = shared();
        let begun = |shared: &mut Shared<u32, &'static str>, from: u32, now: Timestamp| {
            (from..from + 300).filter(|key| shared.ask(key, now) == FindOut).count()
        };
        assert_eq!(begun(&mut shared, 0, at(0)), 2);
        assert_eq!(begun(&mut shared, 300, at(999)), 0);
        assert_eq!(shared.ask(&600, at(999)), DoWithout);
        assert_eq!(begun(&mut shared, 900, at(1_000)), 2);
        // What was known is given all the same.
        shared.found(900, "known", at(3_000));
        assert_eq!(shared.ask(&900, at(1_001)), Take("known"));
    }

    #[test]
    fn nothing_is_kept_that_nobody_can_take() {
        let mut shared = shared();
        for second in 0..1_000 {
            let now = at(second * 1_000);
            for key in 0..300 {
                let key = u32::try_from(second).unwrap() * 300 + key;
                if shared.ask(&key, now) == FindOut && key % 2 == 0 {
                    shared.found(key, "known", at(second * 1_000 + 3_000));
                }
            }
            assert!(shared.entries.len() <= 12, "{}", shared.entries.len());
        }
    }
}
