//! A rail on Tempo as it is configured.

use super::sponsor::Sponsor;
use super::transfers::{Due, Dues};
use crate::evm::{Address, ChainId};
use crate::money::Amount;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

/// A rail.
pub struct Rail {
    /// What routes and secrets call it.
    pub name: String,
    /// JSON-RPC endpoints, in order of preference. They may hold keys.
    pub rpc_urls: Vec<String>,
    /// Blocks that a payment needs, its own included.
    pub confirmations: u64,
    /// What it asks for.
    pub asking: Arc<Asking>,
}

/// What is asked for on a rail, but for how much.
#[derive(Clone, Debug)]
pub struct Asking {
    /// EIP-155 chain id.
    pub chain_id: ChainId,
    /// What is paid in: a TIP-20 token.
    pub token: Address,
    /// Who gets what the others do not.
    pub recipient: Address,
    /// Who else gets a share.
    pub splits: Vec<Split>,
    /// How it may be paid.
    pub modes: Modes,
    /// Who pays the fees of what clients sign, if the gateway does.
    pub sponsor: Option<Sponsor>,
}

/// Somebody's share of each price.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Split {
    /// Who gets it.
    pub recipient: Address,
    /// Ten-thousandths of the price. What is less than a base unit is the recipient's of the rest.
    pub basis_points: u16,
}

/// The ways in which a transaction may be presented.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Modes {
    /// Signed, or sent.
    Both,
    /// Signed: the gateway sends it.
    Pull,
    /// Sent: its hash is told.
    Push,
}

impl Modes {
    /// Whether a signed transaction will do.
    pub const fn pulls(self) -> bool {
        matches!(self, Self::Both | Self::Pull)
    }

    /// Whether a hash will do.
    pub const fn pushes(self) -> bool {
        matches!(self, Self::Both | Self::Push)
    }
}

impl Split {
    /// The share of a price, rounded down.
    pub fn of(&self, amount: Amount) -> Amount {
        let (units, share) = (amount.base_units(), u128::from(self.basis_points));
        // As (units * share) / WHOLE, without its overflow.
        let rounded = (units / WHOLE).saturating_mul(share).saturating_add((units % WHOLE).saturating_mul(share) / WHOLE);
        Amount::from_base_units(rounded)
    }
}

/// All of a price, in basis points.
const WHOLE: u128 = 10_000;

impl Asking {
    /// The payments that a price is made of. `None` when it cannot be parted, so that one of them would be nothing.
    pub fn dues(&self, amount: Amount) -> Option<Dues> {
        let splits: Vec<Due> = self.splits.iter().map(|split| Due { recipient: split.recipient, amount: split.of(amount) }).collect();
        let rest = splits.iter().fold(amount, |rest, due| rest.saturating_sub(due.amount));
        let all_get_some = rest > Amount::ZERO && splits.iter().all(|due| due.amount > Amount::ZERO);
        all_get_some.then_some(Dues { token: self.token, primary: Due { recipient: self.recipient, amount: rest }, splits })
    }
}

// Its endpoints may hold keys.
impl fmt::Debug for Rail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rail").field("name", &self.name).field("asking", &self.asking).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn shares_are_rounded_down_and_the_rest_is_the_recipient_s() {
        let split = |basis_points| Split { recipient: Address::repeat_byte(7), basis_points };
        let asking = |splits: &[Split]| Asking {
            chain_id: 4217,
            token: Address::repeat_byte(1),
            recipient: Address::repeat_byte(2),
            splits: splits.into(),
            modes: Modes::Both,
            sponsor: None,
        };
        let of = |units, splits: &[Split]| {
            let dues = asking(splits).dues(Amount::from_base_units(units))?;
            assert_eq!(dues.total().base_units(), units);
            Some((dues.primary.amount.base_units(), dues.splits.iter().map(|due| due.amount.base_units()).collect::<Vec<_>>()))
        };
        assert_eq!(of(10_000, &[]), Some((10_000, Vec::new())));
        assert_eq!(of(10_001, &[split(250), split(1)]), Some((9_750, Vec::from([250, 1]))));
        assert_eq!(of(u128::MAX, &[split(5_000)]), Some((u128::MAX / 2 + 1, Vec::from([u128::MAX / 2]))));
        // Nobody is promised nothing.
        assert_eq!(of(39, &[split(250)]), None);
        assert_eq!(of(40, &[split(250)]), Some((39, Vec::from([1]))));
        assert_eq!(of(0, &[]), None);
    }
}
