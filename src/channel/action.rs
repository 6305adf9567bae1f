//! What a request with a session credential is there for. This is the one home of what a management request is.

use crate::evm::B256;
use crate::money::Amount;
use serde::{Deserialize, Serialize};

/// What a client wants of its channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Action {
    /// Take the channel on that this transaction opened, or that is opened with a sponsored deposit.
    Open {
        /// The client's transaction; `None` when the gateway is to open it.
        transaction: Option<B256>,
    },
    /// Take note of an addition to the deposit.
    TopUp {
        /// The client's transaction and what it added; `None` when the gateway is to add it.
        transaction: Option<(B256, Amount)>,
    },
    /// Take a voucher.
    Voucher,
    /// Close the channel with a last voucher.
    Close,
}

/// Whether a request has nothing for the origin: by HEAD, or by POST without a body. With a session credential it manages a channel,
/// whatever the methods of the route are. (`has_body` is asked only where it matters.)
pub fn is_bare(method: &str, has_body: impl FnOnce() -> bool) -> bool {
    method == "HEAD" || (method == "POST" && !has_body())
}

impl Action {
    /// Whether a request with this action only manages its channel: it never reaches the origin, and buys nothing.
    pub fn only_manages(self, method: &str, has_body: impl FnOnce() -> bool) -> bool {
        match self {
            Self::TopUp { .. } | Self::Close => true,
            Self::Open { .. } | Self::Voucher => is_bare(method, has_body),
        }
    }

    /// Whether its challenge may have expired. What concerns the chain may have to be sent again until it is done, and must not be
    /// signed anew for that.
    pub const fn outlives_challenge(self) -> bool {
        !matches!(self, Self::Voucher)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const OPEN: Action = Action::Open { transaction: Some(B256::ZERO) };
    const TOP_UP: Action = Action::TopUp { transaction: None };

    #[test]
    fn only_head_and_post_without_a_body_are_bare() {
        for (method, has_body, bare) in [
            ("HEAD", false, true),
            ("HEAD", true, true),
            ("POST", false, true),
            ("POST", true, false),
            ("GET", false, false),
            ("PUT", false, false),
            ("DELETE", false, false),
            ("head", false, false),
        ] {
            assert_eq!(is_bare(method, || has_body), bare, "{method} {has_body}");
            for action in [OPEN, Action::Voucher] {
                assert_eq!(action.only_manages(method, || has_body), bare, "{action:?} by {method} {has_body}");
            }
            for action in [TOP_UP, Action::Close] {
                assert!(action.only_manages(method, || has_body), "{action:?} by {method} {has_body}");
            }
        }
    }

    #[test]
    fn a_voucher_alone_needs_a_current_challenge() {
        assert!(!Action::Voucher.outlives_challenge());
        assert!([OPEN, TOP_UP, Action::Close].into_iter().all(Action::outlives_challenge));
    }
}
