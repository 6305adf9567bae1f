//! The attribution memo: 32 bytes that a payer writes into its transfer, and that say which challenge it pays for.
//!
//! `ef1ed712 ‖ 01 ‖ keccak(realm)[0..10] ‖ keccak(client)[0..10], or zeros ‖ keccak(challenge's id)[0..7]`. Ids are secret until they are
//! answered, so who sees a transfer on chain cannot say which challenge it pays for, and make it his own.

use crate::evm::{B256, keccak256};
use serde::{Deserialize, Serialize};

/// The first bytes of `keccak("mpp")`, and the version.
const TAG: [u8; 5] = [0xef, 0x1e, 0xd7, 0x12, 0x01];

const OF_SERVER: usize = 10;
const OF_CLIENT: usize = 10;
const OF_CHALLENGE: usize = 7;

/// What of a memo is bound to one challenge: all but the client's part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bound {
    server: [u8; OF_SERVER],
    challenge: [u8; OF_CHALLENGE],
}

impl Bound {
    /// To the challenge with this id, of a server of this realm.
    pub fn to(realm: &str, challenge_id: &str) -> Self {
        Self { server: fingerprint(realm), challenge: fingerprint(challenge_id) }
    }

    /// Whether a memo is.
    pub fn binds(&self, memo: &B256) -> bool {
        *memo == self.memo_with(part(memo, TAG.len() + OF_SERVER))
    }

    /// The memo that a client writes, one of a name or an anonymous one.
    pub fn memo(&self, client: Option<&str>) -> B256 {
        self.memo_with(client.map(fingerprint).unwrap_or_default())
    }

    fn memo_with(&self, client: [u8; OF_CLIENT]) -> B256 {
        let mut memo = [0; 32];
        let bytes = TAG.iter().chain(&self.server).chain(&client).chain(&self.challenge);
        memo.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
        B256::new(memo)
    }

    /// A name for it: everything that pays for its challenge has the same one.
    pub fn id(&self) -> B256 {
        keccak256(self.memo(None))
    }
}

/// Whether a memo is one of attribution, to whatever challenge.
pub fn is_attribution(memo: &B256) -> bool {
    memo.starts_with(&TAG)
}

/// The first bytes of a text's hash.
fn fingerprint<const N: usize>(text: &str) -> [u8; N] {
    part(&keccak256(text), 0)
}

fn part<const N: usize>(word: &B256, from: usize) -> [u8; N] {
    let mut part = [0; N];
    part.iter_mut().zip(word.iter().skip(from)).for_each(|(to, from)| *to = *from);
    part
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::b256;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const ID: &str = "kM9xPqWvT2nJrHsY4aDfEbkM9xPqWvT2nJrHsY4aDfE";
    const REALM: &str = "api.example.com";

    /// As mppx makes it.
    #[test]
    fn a_memo_is_made() {
        assert_eq!(keccak256("mpp")[..4], TAG[..4]);
        let memo = Bound::to(REALM, ID).memo(None);
        assert_eq!(memo, b256!("0xef1ed712011ece072f76bd8b82350e00000000000000000000f249ecaa129ef4"));
    }

    #[test]
    fn a_memo_is_bound_by_all_but_its_client() {
        let bound = Bound::to(REALM, ID);
        for client in [None, Some("an agent")] {
            let memo = bound.memo(client);
            assert!(bound.binds(&memo) && is_attribution(&memo));
            assert_eq!(memo[15..25] == [0; 10], client.is_none());
            for place in 0..32 {
                let mut other = memo;
                other[place] ^= 1;
                assert_eq!(bound.binds(&other), (15..25).contains(&place), "{place}");
                assert_eq!(is_attribution(&other), place >= 5, "{place}");
            }
        }
        assert!(!Bound::to("other.example.com", ID).binds(&bound.memo(None)));
        assert!(!Bound::to(REALM, "another").binds(&bound.memo(None)));
    }

    #[test]
    fn what_pays_for_one_challenge_has_one_name() {
        let bound = Bound::to(REALM, ID);
        assert_eq!(bound.id(), Bound::to(REALM, ID).id());
        assert_ne!(bound.id(), Bound::to(REALM, "another").id());
        assert_ne!(bound.id(), Bound::to("other.example.com", ID).id());
    }
}
