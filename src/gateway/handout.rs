//! What a rail's network gives for offers before they can be made, such as invoices, and to whom it was given: who does not pay causes
//! it, so one client gets only so many, and so do all together. Whoever has had those is given the last one again.

use crate::rail::{Fresh, RailId};
use crate::time::Timestamp;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

/// How many are asked for in a [`WINDOW`], for one client, and for all.
const PER_CLIENT: u32 = 10;
const PER_WINDOW: u32 = 160;

/// Over what time that is counted.
const WINDOW: Duration = Duration::from_secs(10);

/// What can be paid for less than this is not given out again.
const LEAST_LEFT: Duration = Duration::from_secs(30);

/// A network that gave nothing is left alone for so long.
const REST: Duration = Duration::from_secs(2);

/// How much is remembered, for as many offers and clients.
const MOST_KEPT: usize = 512;

/// What somebody who asks is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Ask the network, and say what came of it by [`Handouts::given`].
    Ask,
    /// Take this.
    Take(Fresh),
    /// Do without: that client had all that it gets for now, or nothing can be had.
    DoWithout,
}

/// What an offer is made for: an offer that is told by its rail and request object, and the request that it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The rail.
    pub rail: RailId,
    /// The request object, but for what is to be given.
    pub request: String,
    /// HTTP method.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Who asks: see [`client`].
    pub client: String,
}

/// See the module. It belongs to one isolate.
#[derive(Debug)]
pub struct Handouts {
    counted_since: Timestamp,
    asked: u32,
    /// How much was asked for each client since then.
    clients: Vec<(String, u32)>,
    /// The last that was given for each, the oldest first.
    given: Vec<(Wanted, Fresh)>,
    /// The networks that gave nothing, and until when they are left alone.
    resting: Vec<(RailId, Timestamp)>,
}

impl Default for Handouts {
    fn default() -> Self {
        Self::new()
    }
}

impl Handouts {
    /// Nothing was given.
    pub const fn new() -> Self {
        Self { counted_since: Timestamp::from_millis(0), asked: 0, clients: Vec::new(), given: Vec::new(), resting: Vec::new() }
    }

    /// A client wants something at `now`.
    pub fn ask(&mut self, wanted: &Wanted, now: Timestamp) -> Next {
        if now.since(self.counted_since) >= WINDOW {
            (self.counted_since, self.asked) = (now, 0);
            self.clients.clear();
        }
        self.resting.retain(|(_, until)| now < *until);
        if self.resting.iter().any(|(rail, _)| *rail == wanted.rail) {
            return self.again(wanted, now);
        }
        let place = self.clients.iter().position(|(client, _)| *client == wanted.client);
        let had = place.and_then(|place| self.clients.get(place)).map_or(0, |(_, count)| *count);
        if had >= PER_CLIENT || self.asked >= PER_WINDOW {
            return self.again(wanted, now);
        }
        self.asked = self.asked.saturating_add(1);
        match place.and_then(|place| self.clients.get_mut(place)) {
            Some((_, count)) => *count = count.saturating_add(1),
            None => self.clients.push((wanted.client.clone(), 1)),
        }
        Next::Ask
    }

    fn again(&self, wanted: &Wanted, now: Timestamp) -> Next {
        let last = self.given.iter().find(|(other, fresh)| other == wanted && fresh.until.since(now) >= LEAST_LEFT);
        last.map_or(Next::DoWithout, |(_, fresh)| Next::Take(fresh.clone()))
    }

    /// The network gave this, or nothing.
    pub fn given(&mut self, wanted: Wanted, fresh: Option<&Fresh>, now: Timestamp) {
        let Some(fresh) = fresh else {
            self.resting.push((wanted.rail, now.saturating_add(REST)));
            return;
        };
        self.given.retain(|(other, fresh)| *other != wanted && now < fresh.until);
        if self.given.len() >= MOST_KEPT {
            self.given.remove(0);
        }
        self.given.push((wanted, fresh.clone()));
    }
}

/// Who asks, by its address: of IPv6 the first 64 bits, since whoever has one has all with those.
pub fn client(address: &str) -> String {
    if !address.contains(':') {
        return address.into();
    }
    let before_gap = address.split_once("::").map_or(address, |(before, _)| before);
    let mut groups: Vec<&str> = before_gap.split(':').filter(|group| !group.is_empty()).take(4).collect();
    groups.resize(4, "0");
    groups.join(":")
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(1_800_000_000_000 + seconds * 1000)
    }

    fn wanted(client: &str, target: &str) -> Wanted {
        Wanted { rail: RailId(0), request: "r".into(), method: "GET".into(), target: target.into(), client: client.into() }
    }

    fn fresh(value: &str, until: Timestamp) -> Fresh {
        Fresh { value: value.into(), until }
    }

    /// Asks as often as it is told to, and gives each time.
    fn drain(handouts: &mut Handouts, wanted: &Wanted, now: Timestamp) -> u32 {
        let mut asked = 0;
        while asked < 1_000 && handouts.ask(wanted, now) == Next::Ask {
            asked += 1;
            handouts.given(wanted.clone(), Some(&fresh(&format!("{asked}"), at(600))), now);
        }
        asked
    }

    #[test]
    fn a_client_that_pays_nothing_gets_a_few_and_then_the_last_one_again() {
        let (mut handouts, one) = (Handouts::new(), wanted("a", "/x"));
        assert_eq!(drain(&mut handouts, &one, at(0)), PER_CLIENT);
        for second in [0, 5, 9] {
            assert_eq!(handouts.ask(&one, at(second)), Next::Take(fresh("10", at(600))), "{second}");
        }
        // Whatever it asks for: its share is one for all.
        assert_eq!(handouts.ask(&wanted("a", "/y"), at(9)), Next::DoWithout);
        assert_eq!(handouts.ask(&wanted("b", "/x"), at(9)), Next::Ask);
        assert_eq!(handouts.ask(&one, at(10)), Next::Ask);
    }

    #[test]
    fn all_together_get_no_more_than_the_network_is_to_bear() {
        let mut handouts = Handouts::new();
        let asked: u32 = (0..1_000).map(|client| drain(&mut handouts, &wanted(&format!("{client}"), "/x"), at(3))).sum();
        assert_eq!(asked, PER_WINDOW);
        assert_eq!(handouts.ask(&wanted("new", "/x"), at(12)), Next::DoWithout);
        assert_eq!(handouts.ask(&wanted("new", "/x"), at(13)), Next::Ask);
    }

    #[test]
    fn what_can_hardly_be_paid_any_more_is_not_given_again() {
        let (mut handouts, one) = (Handouts::new(), wanted("a", "/x"));
        for _ in 0..PER_CLIENT {
            assert_eq!(handouts.ask(&one, at(0)), Next::Ask);
        }
        handouts.given(one.clone(), Some(&fresh("short", at(35))), at(0));
        assert_eq!(handouts.ask(&one, at(5)), Next::Take(fresh("short", at(35))));
        assert_eq!(handouts.ask(&one, at(6)), Next::DoWithout);
    }

    #[test]
    fn a_network_that_gives_nothing_is_left_alone_for_a_moment() {
        let (mut handouts, one) = (Handouts::new(), wanted("a", "/x"));
        assert_eq!(handouts.ask(&one, at(0)), Next::Ask);
        handouts.given(one.clone(), None, at(0));
        assert_eq!(handouts.ask(&wanted("b", "/y"), at(1)), Next::DoWithout);
        assert_eq!(handouts.ask(&Wanted { rail: RailId(1), ..one.clone() }, at(1)), Next::Ask);
        assert_eq!(handouts.ask(&one, at(2)), Next::Ask);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut handouts = Handouts::new();
        for second in 0..2_000 {
            let wanted = wanted(&format!("{second}"), "/x");
            handouts.given(wanted, Some(&fresh("x", at(100_000))), at(second));
        }
        assert_eq!(handouts.given.len(), MOST_KEPT);
        assert_eq!(handouts.given[0].0.client, "1488");
    }

    #[test]
    fn who_has_one_address_of_a_network_has_them_all() {
        assert_eq!(client("192.0.2.7"), "192.0.2.7");
        assert_eq!(client("2001:db8:1:2:3:4:5:6"), client("2001:db8:1:2::9"));
        assert_ne!(client("2001:db8:1:2::9"), client("2001:db8:1:3::9"));
        assert_eq!(client("2001:db8::1"), "2001:db8:0:0");
        assert_eq!(client("::1"), client("::2"));
        assert_eq!(client(""), "");
    }
}
