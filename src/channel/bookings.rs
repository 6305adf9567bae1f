//! Bookings of a fixed price that may still be released. They are counted in a few buckets by time, so
//! that any number of them takes the same room.

use crate::money::Amount;
use crate::time::Timestamp;
use alloc::vec::Vec;
use core::time::Duration;
use serde::{Deserialize, Serialize};

/// Buckets per delivery window.
const BUCKETS: u32 = 8;

/// Ranges of released bookings remembered at the most; neighbours are one. More than that many scattered failures
/// within one delivery window are not released.
const MAX_RANGES: usize = 512;

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Bookings {
    /// The next booking's id.
    next: u64,
    /// Oldest first.
    open: Vec<Bucket>,
    /// Ids that were released, as inclusive ranges in order.
    released: Vec<(u64, u64)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Bucket {
    /// Its first booking.
    first: u64,
    /// Takes bookings before this.
    until: Timestamp,
    /// From here on they count as delivered.
    matures: Timestamp,
    sum: Amount,
}

impl Bookings {
    /// Gives out an id, for a booking or a sale.
    pub(super) const fn next_id(&mut self) -> u64 {
        let id = self.next;
        self.next = id.saturating_add(1);
        id
    }

    /// Books, and returns the booking's id.
    pub(super) fn book(&mut self, amount: Amount, window: Duration, now: Timestamp) -> u64 {
        let id = self.next_id();
        match self.open.last_mut() {
            Some(bucket) if now < bucket.until => bucket.sum = bucket.sum.saturating_add(amount),
            _ => {
                let until = now.saturating_add(window / BUCKETS);
                self.open.push(Bucket { first: id, until, matures: until.saturating_add(window), sum: amount });
            }
        }
        id
    }

    /// What may still be released.
    pub(super) fn pending(&self) -> Amount {
        self.open.iter().fold(Amount::ZERO, |sum, bucket| sum.saturating_add(bucket.sum))
    }

    /// When the next bookings count as delivered.
    pub(super) fn matures(&self) -> Option<Timestamp> {
        self.open.first().map(|bucket| bucket.matures)
    }

    /// Counts as delivered what is old enough.
    pub(super) fn mature(&mut self, now: Timestamp) {
        let mature = self.open.iter().take_while(|bucket| bucket.matures <= now).count();
        if mature > 0 {
            self.open.drain(..mature);
            self.forget_releases();
        }
    }

    /// Counts everything as delivered.
    pub(super) fn mature_all(&mut self) {
        self.open.clear();
        self.released.clear();
    }

    fn forget_releases(&mut self) {
        let oldest = self.open.first().map_or(self.next, |bucket| bucket.first);
        self.released.retain(|(_, last)| *last >= oldest);
    }

    /// Something of a booking is about to be delivered: it is not released any more. `false` when there is no room to
    /// remember that.
    pub(super) fn seal(&mut self, id: u64) -> bool {
        let is_mature = self.open.first().is_none_or(|oldest| id < oldest.first);
        let is_sealed = self.released.iter().any(|(first, last)| (*first..=*last).contains(&id));
        is_mature || is_sealed || insert(&mut self.released, id)
    }

    /// Releases a booking of `amount`, unless it was already, or counts as delivered. Returns whether it was
    /// released now.
    pub(super) fn release(&mut self, id: u64, amount: Amount) -> bool {
        if id >= self.next {
            return false;
        }
        let Some(bucket) = self.open.iter_mut().rev().find(|bucket| bucket.first <= id) else { return false };
        if bucket.sum < amount || !insert(&mut self.released, id) {
            return false;
        }
        bucket.sum = bucket.sum.saturating_sub(amount);
        true
    }
}

/// Adds `id` to ranges in order; `false` when it is there already, or there is no room.
fn insert(ranges: &mut Vec<(u64, u64)>, id: u64) -> bool {
    let after = ranges.partition_point(|(first, _)| *first <= id);
    let before = after.checked_sub(1).and_then(|index| ranges.get(index)).copied();
    let next = ranges.get(after).copied();
    if before.is_some_and(|(_, last)| id <= last) {
        return false;
    }
    let follows = before.filter(|(_, last)| last.checked_add(1) == Some(id));
    let precedes = next.filter(|(first, _)| id.checked_add(1) == Some(*first));
    let joined = (follows.map_or(id, |(first, _)| first), precedes.map_or(id, |(_, last)| last));
    let replaced = after.saturating_sub(usize::from(follows.is_some()))..after.saturating_add(usize::from(precedes.is_some()));
    if replaced.is_empty() && ranges.len() >= MAX_RANGES {
        return false;
    }
    ranges.splice(replaced, [joined]);
    true
}
