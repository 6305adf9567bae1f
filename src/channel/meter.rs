//! What a session pays for on a route: what is ordered for a request, and what is released when it was not delivered.

use super::{Bought, Delivery, Key, Kind, Order, Reuse};
use crate::money::Amount;
use crate::purchase::Undelivered;
use serde::{Deserialize, Serialize};

/// Units that a stream reserves to begin with.
pub(super) const FIRST_EVENTS: u64 = 8;

/// Bytes that are reserved to begin with.
pub(super) const FIRST_BYTES: u64 = 64 * 1024;

/// What a session pays for on a route.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Meter {
    /// Each request.
    #[default]
    Request,
    /// Each event of a `text/event-stream`.
    Event,
    /// Each byte of the body.
    Byte,
    /// As many units as the origin says.
    Reported,
}

impl Meter {
    /// What a unit is called unless the route names it.
    pub const fn unit_type(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Event => "event",
            Self::Byte => "byte",
            Self::Reported => "unit",
        }
    }

    /// Whether the units of an answer are counted or reported, and not one for the request.
    pub fn is_metered(self) -> bool {
        self != Self::Request
    }

    /// What a request orders at `price` per unit, where the origin reports at most `max_units`. Its attempt is named when it is made.
    pub const fn order(self, price: Amount, max_units: u64, reuse: Reuse, key: Option<Key>) -> Order {
        let (kind, least, most) = match self {
            Self::Request => (Kind::Request, 1, 1),
            Self::Reported => (Kind::Metered, max_units, max_units),
            Self::Event => (Kind::Stream, 1, FIRST_EVENTS),
            Self::Byte => (Kind::Metered, 1, FIRST_BYTES),
        };
        Order { price, least, most, kind, reuse, key, attempt: 0, since: 0 }
    }
}

/// What a request would release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Releasable {
    /// How it is charged.
    pub meter: Meter,
    /// Per unit.
    pub price: Amount,
    /// The total of the voucher that bought it, which may buy again.
    pub voucher: Amount,
}

impl Releasable {
    /// Nothing of what was bought was delivered. What a meter has reserved is released whoever brought that about; what has a fixed
    /// price was asked for, and is paid, unless the origin was not called or has failed. A repetition was not charged.
    pub fn undelivered(self, bought: Bought, how: Undelivered) -> Option<Delivery> {
        match (self.meter, how) {
            (Meter::Request, Undelivered::Unfinished) => None,
            _ => self.release(bought, false),
        }
    }

    /// The origin's answer is not charged.
    pub fn uncharged(self, bought: Bought) -> Option<Delivery> {
        self.release(bought, false)
    }

    /// The origin broke off after some of it had gone out.
    pub fn broken(self, bought: Bought) -> Option<Delivery> {
        self.release(bought, true)
    }

    fn release(self, bought: Bought, begun: bool) -> Option<Delivery> {
        let Self { meter, price, voucher } = self;
        let Bought { booking, units, replayed } = bought;
        match meter {
            _ if replayed => None,
            Meter::Request => Some(Delivery::Release { booking, amount: price.times(units), voucher, begun }),
            Meter::Event | Meter::Byte | Meter::Reported => Some(Delivery::End { sale: booking, delivered: 0, begun }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Undelivered::{Failed, Uncalled, Unfinished};
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const PRICE: Amount = Amount::from_base_units(7);
    const VOUCHER: Amount = Amount::from_base_units(99);
    const METERS: [Meter; 3] = [Meter::Event, Meter::Byte, Meter::Reported];

    const fn of(meter: Meter) -> Releasable {
        Releasable { meter, price: PRICE, voucher: VOUCHER }
    }

    const fn bought(units: u64, replayed: bool) -> Bought {
        Bought { booking: 5, units, replayed }
    }

    #[test]
    fn a_meter_orders_what_a_request_of_it_must_and_may_have() {
        for (meter, kind, least, most) in [
            (Meter::Request, Kind::Request, 1, 1),
            (Meter::Event, Kind::Stream, 1, 8),
            (Meter::Byte, Kind::Metered, 1, 65_536),
            (Meter::Reported, Kind::Metered, 300, 300),
        ] {
            let order = meter.order(PRICE, 300, Reuse::Once, None);
            assert_eq!((order.kind, order.least, order.most), (kind, least, most), "{meter:?}");
            assert_eq!((order.price, order.reuse), (PRICE, Reuse::Once));
        }
    }

    #[test]
    fn a_fixed_price_is_released_unless_the_client_left_an_origin_that_was_called() {
        let released = Some(Delivery::Release { booking: 5, amount: PRICE, voucher: VOUCHER, begun: false });
        for (how, expected) in [(Uncalled, released), (Failed, released), (Unfinished, None)] {
            assert_eq!(of(Meter::Request).undelivered(bought(1, false), how), expected, "{how:?}");
        }
    }

    #[test]
    fn what_a_meter_reserved_is_released_whoever_left() {
        for meter in METERS {
            for how in [Uncalled, Failed, Unfinished] {
                let released = Delivery::End { sale: 5, delivered: 0, begun: false };
                assert_eq!(of(meter).undelivered(bought(8, false), how), Some(released), "{meter:?} {how:?}");
            }
        }
    }

    #[test]
    fn what_is_not_charged_is_released_whatever_the_meter() {
        let whole = Delivery::Release { booking: 5, amount: PRICE, voucher: VOUCHER, begun: false };
        assert_eq!(of(Meter::Request).uncharged(bought(1, false)), Some(whole));
        for meter in METERS {
            assert_eq!(of(meter).uncharged(bought(8, false)), Some(Delivery::End { sale: 5, delivered: 0, begun: false }));
        }
    }

    #[test]
    fn what_broke_off_is_released_as_such() {
        let whole = Delivery::Release { booking: 5, amount: PRICE, voucher: VOUCHER, begun: true };
        assert_eq!(of(Meter::Request).broken(bought(1, false)), Some(whole));
        for meter in METERS {
            assert_eq!(of(meter).broken(bought(8, false)), Some(Delivery::End { sale: 5, delivered: 0, begun: true }));
        }
    }

    #[test]
    fn a_repetition_has_nothing_to_release() {
        for meter in [Meter::Request, Meter::Event, Meter::Byte, Meter::Reported] {
            assert_eq!(of(meter).broken(bought(0, true)), None, "{meter:?}");
            assert_eq!(of(meter).uncharged(bought(0, true)), None, "{meter:?}");
            for how in [Uncalled, Failed, Unfinished] {
                assert_eq!(of(meter).undelivered(bought(0, true), how), None, "{meter:?} {how:?}");
            }
        }
    }
}
