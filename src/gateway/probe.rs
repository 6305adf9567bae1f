//! Whether the origin is this gateway itself, by a mistake in the configuration. A request to the origin carries a mark that only
//! a holder of the secret can make. A gateway that gets one back from its own, on whatever isolate and by whatever way, answers by
//! a second code, which no origin can make of the first: one that echoes headers is no gateway.

use super::offer::Entropy;
use crate::wire::encoding::to_base64url;
use crate::wire::mpp::challenge::BindingKeys;
use alloc::format;
use alloc::string::String;

/// The header that carries the mark, and the answer to it.
pub const HEADER: &str = "mpp-edge-probe";

const MARK: &str = "mpp-edge probe-mark";
const ANSWER: &str = "mpp-edge probe-answer";

/// One question to the origin.
#[derive(Debug)]
pub struct Probe {
    nonce: String,
}

impl Probe {
    /// A question of its own.
    pub fn new(entropy: Entropy) -> Self {
        Self { nonce: to_base64url(entropy) }
    }

    /// The mark that it carries.
    pub fn mark(&self, keys: &BindingKeys) -> String {
        format!("{}.{}", self.nonce, keys.code(MARK, &self.nonce))
    }

    /// Whether this is our own answer to it.
    pub fn is_answered_by(&self, keys: &BindingKeys, answer: &str) -> bool {
        keys.is_code(ANSWER, &self.nonce, answer)
    }
}

/// The answer to a mark of our own; none to any other.
pub fn answer(keys: &BindingKeys, mark: &str) -> Option<String> {
    let (nonce, code) = mark.split_once('.')?;
    keys.is_code(MARK, nonce, code).then(|| keys.code(ANSWER, nonce))
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn keys(secret: u8) -> BindingKeys {
        BindingKeys::new(&[secret; 32], None).unwrap()
    }

    #[test]
    fn a_gateway_knows_its_own_mark_and_answer() {
        let probe = Probe::new([1; 12]);
        let mark = probe.mark(&keys(1));
        let answer = answer(&keys(1), &mark).unwrap();
        assert!(probe.is_answered_by(&keys(1), &answer));
        // While the secret is changed, some isolates have the new one already.
        let changed = BindingKeys::new(&[2; 32], Some(&[1; 32])).unwrap();
        assert!(super::answer(&changed, &mark).is_some());
    }

    #[test]
    fn nobody_else_makes_either() {
        let probe = Probe::new([1; 12]);
        let mark = probe.mark(&keys(1));
        assert_eq!(answer(&keys(2), &mark), None, "another gateway on the way lets it pass");
        for mark in ["", ".", "AAAA", "AAAA.AAAA", mark.split_once('.').unwrap().1, &mark.replace('.', "")] {
            assert_eq!(answer(&keys(1), mark), None, "{mark}");
        }
        let other = answer(&keys(1), &Probe::new([2; 12]).mark(&keys(1))).unwrap();
        for echoed in [mark.as_str(), mark.split_once('.').unwrap().1, &other, ""] {
            assert!(!probe.is_answered_by(&keys(1), echoed), "{echoed}");
        }
    }
}
