//! Who asks for a channel: the operator, by token, or somebody who can sign for it.

use crate::evm::signature::{Signature, personal_digest};
use crate::evm::{Address, B256};
use crate::money::decimal_u64;
use crate::time::{Timestamp, UnixSeconds};
use crate::wire::mpp::credential::split_outside_quotes;
use alloc::format;
use alloc::string::String;
use core::time::Duration;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// A signature may be good for this long: whoever overhears it can ask that long.
const LONGEST: Duration = Duration::from_secs(300);

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    /// The operator.
    Operator,
    /// The owner of this key.
    Signer(Address),
}

/// Who asks for a channel with this `Authorization`: `Bearer <admin token>`, or
/// `Channel until="<unix seconds>", signature="0x…"` with the signature of [`message`].
pub fn caller(authorization: &str, admin_token: Option<&str>, channel_id: B256, now: Timestamp) -> Option<Caller> {
    let (scheme, rest) = authorization.trim().split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return admin_token.filter(|token| is_same(token, rest.trim())).map(|_| Caller::Operator);
    }
    if !scheme.eq_ignore_ascii_case("channel") {
        return None;
    }
    let parameter = |name: &str| {
        split_outside_quotes(rest).find_map(|part| {
            let (key, value) = part.split_once('=')?;
            (key.trim().eq_ignore_ascii_case(name)).then(|| value.trim().trim_matches('"'))
        })
    };
    let until = UnixSeconds::new(decimal_u64(parameter("until")?)?);
    if until.timestamp() <= now || until.timestamp() > now.saturating_add(LONGEST) {
        return None;
    }
    let signature = Signature::parse(parameter("signature")?).ok()?;
    signature.recover(personal_digest(&message(channel_id, until))).ok().map(Caller::Signer)
}

/// The text that a payer or its signer signs (EIP-191 `personal_sign`).
pub fn message(channel_id: B256, until: UnixSeconds) -> String {
    format!("mpp-edge channel {channel_id} until {until}")
}

/// Compares in a time that tells nothing of either: their codes under one key, in constant time.
fn is_same(expected: &str, given: &str) -> bool {
    let code = |text: &str| Hmac::<Sha256>::new_from_slice(b"admin token").ok().map(|mac| mac.chain_update(text.as_bytes()));
    let Some((expected, given)) = code(expected).zip(code(given)) else { return false };
    given.verify(&expected.finalize().into_bytes()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evm::key::PrivateKey;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const ID: B256 = B256::repeat_byte(0xc1);
    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);
    const TOKEN: Option<&str> = Some("a long admin token");

    #[test]
    fn the_operator_shows_the_token() {
        assert_eq!(caller("Bearer a long admin token", TOKEN, ID, NOW), Some(Caller::Operator));
        for other in ["Bearer a long admin tokem", "Bearer", "Bearer ", "", "Basic a long admin token", "a long admin token"] {
            assert_eq!(caller(other, TOKEN, ID, NOW), None, "{other}");
        }
        assert_eq!(caller("Bearer ", None, ID, NOW), None);
    }

    #[test]
    fn a_payer_signs_for_one_channel_and_a_few_minutes() {
        let key = PrivateKey::parse("0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d").unwrap();
        let ask = |until: u64, id: B256| {
            let signature = key.sign(personal_digest(&message(ID, UnixSeconds::new(until))));
            let signature = alloy_primitives::hex::encode_prefixed(signature.to_bytes());
            caller(&format!("Channel until=\"{until}\", signature=\"{signature}\""), TOKEN, id, NOW)
        };
        let soon = NOW.seconds().get() + 60;
        assert_eq!(ask(soon, ID), Some(Caller::Signer(key.address())));
        assert_ne!(ask(soon, B256::ZERO), Some(Caller::Signer(key.address())));
        assert_eq!(ask(NOW.seconds().get(), ID), None);
        assert_eq!(ask(NOW.seconds().get() + 301, ID), None);
    }
}
