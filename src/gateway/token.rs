//! What a token says of itself, compared with what the configuration says of it.

use super::validate::Rule;
use crate::evm::eip712::Domain;
use crate::evm::erc3009;
use crate::evm::jsonrpc::{NodeAnswer, NodeError, Request, decode};
use crate::evm::transaction::Call;
use crate::evm::{Address, B256, ChainId, U256};
use crate::rail::evm::Token;
use crate::wire::problem::FieldError;
use alloc::borrow::ToOwned;
use alloc::string::String;
use alloy_primitives::Bytes;
use core::fmt;

/// Why a token is not confirmed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unconfirmed {
    /// A node could not say.
    Unknown,
    /// The configuration is wrong.
    Wrong(FieldError),
}

impl fmt::Display for Unconfirmed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("no node could say what the token is"),
            Self::Wrong(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for Unconfirmed {}

impl Token {
    /// What to ask a node: `name()`, `version()`, `DOMAIN_SEPARATOR()`, `decimals()`.
    pub fn questions(&self) -> [Request; 4] {
        erc3009::metadata_calls().map(|data| Request::call(&Call { to: self.address, data: data.into() }))
    }

    /// The token's EIP-712 domain, when the answers to [`Token::questions`] agree with the configuration. The
    /// domain of a token that has none configured is taken from its name and version, and checked against
    /// its separator like any other.
    ///
    /// # Errors
    /// [`Unconfirmed`].
    pub fn confirm(&self, chain_id: ChainId, answers: &[NodeAnswer]) -> Result<Domain, Unconfirmed> {
        let [name, version, separator, decimals] = answers else { return Err(Unconfirmed::Unknown) };
        let separator = bytes(separator)?.and_then(|bytes| B256::try_from(bytes.as_ref()).ok());
        let separator = separator.ok_or_else(|| wrong("token.address", "is no token with a DOMAIN_SEPARATOR()"))?;
        let decimals = bytes(decimals)?.and_then(|bytes| U256::try_from_be_slice(&bytes));
        if decimals.is_some_and(|decimals| decimals != U256::from(self.decimals)) {
            return Err(wrong("token.decimals", "is not what the token's decimals() says"));
        }
        let (name, version) = match &self.domain {
            Some(domain) => domain.clone(),
            None => {
                text(name)?.zip(text(version)?).ok_or_else(|| wrong("token.name", "and token.version cannot be read from the token"))?
            }
        };
        let domain = Domain::new(&name, &version, chain_id, self.address);
        if domain.separator() != separator {
            return Err(wrong("token.name", "and token.version do not give the token's DOMAIN_SEPARATOR()"));
        }
        Ok(domain)
    }
}

/// What a token that can be stopped says: it moves nothing while it is paused, and nothing to or from who is blacklisted.
impl Token {
    /// `paused()` as a question to a node.
    pub fn is_paused(&self) -> Request {
        Request::call(&Call { to: self.address, data: erc3009::paused_call().into() })
    }

    /// `isBlacklisted(account)` as a question to a node.
    pub fn is_blacklisted(&self, account: Address) -> Request {
        Request::call(&Call { to: self.address, data: erc3009::is_blacklisted_call(account).into() })
    }
}

/// The answer to [`Token::is_paused`] or [`Token::is_blacklisted`]; `None` when the token has no such function, or no node can say.
pub fn flag(answer: &NodeAnswer) -> Option<bool> {
    let bytes = bytes(answer).ok().flatten()?;
    let word = B256::try_from(bytes.as_ref()).ok()?;
    match U256::from_be_bytes(word.0) {
        U256::ZERO => Some(false),
        U256::ONE => Some(true),
        _ => None,
    }
}

/// What the token answered; `None` when it has no such function.
fn bytes(answer: &NodeAnswer) -> Result<Option<Bytes>, Unconfirmed> {
    match answer {
        Ok(result) => decode(result).map(Some).map_err(|_| Unconfirmed::Unknown),
        Err(NodeError::Reverted(_)) => Ok(None),
        Err(_) => Err(Unconfirmed::Unknown),
    }
}

fn text(answer: &NodeAnswer) -> Result<Option<String>, Unconfirmed> {
    Ok(bytes(answer)?.and_then(|bytes| erc3009::decode_string(&bytes)))
}

fn wrong(field: &str, detail: &str) -> Unconfirmed {
    Unconfirmed::Wrong(FieldError {
        rule: Rule::Token.number(),
        field: field.to_owned(),
        detail: detail.to_owned(),
        remedy: "compare network and token with the chain; set both token.name and token.version".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evm::jsonrpc;
    use alloc::format;
    use alloc::vec::Vec;
    use alloy_sol_types::SolValue;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn token(domain: Option<(&str, &str)>) -> Token {
        let domain = domain.map(|(name, version)| (name.into(), version.into()));
        Token { address: Address::repeat_byte(1), decimals: 6, domain }
    }

    fn answers(name: &str, decimals: u64) -> Vec<NodeAnswer> {
        let separator = Domain::new("Coin", "2", 7, Address::repeat_byte(1)).separator();
        let words = [name.abi_encode(), "2".abi_encode(), separator.abi_encode(), U256::from(decimals).abi_encode()];
        let results = words.iter().enumerate().map(|(id, word)| format!(r#"{{"id":{id},"result":"{}"}}"#, Bytes::copy_from_slice(word)));
        jsonrpc::parse(&format!("[{}]", results.collect::<Vec<_>>().join(",")), 4).unwrap()
    }

    fn field(result: Result<Domain, Unconfirmed>) -> String {
        match result.unwrap_err() {
            Unconfirmed::Wrong(error) => error.field,
            Unconfirmed::Unknown => "?".into(),
        }
    }

    #[test]
    fn a_configured_or_read_domain_must_give_the_separator() {
        assert!(token(Some(("Coin", "2"))).confirm(7, &answers("Other", 6)).is_ok());
        assert!(token(None).confirm(7, &answers("Coin", 6)).is_ok());
        assert_eq!(field(token(None).confirm(7, &answers("Other", 6))), "token.name");
        assert_eq!(field(token(Some(("Coin", "1"))).confirm(7, &answers("Coin", 6))), "token.name");
        assert_eq!(field(token(None).confirm(8, &answers("Coin", 6))), "token.name");
    }

    #[test]
    fn wrong_decimals_are_a_wrong_price() {
        assert_eq!(field(token(None).confirm(7, &answers("Coin", 18))), "token.decimals");
    }

    #[test]
    fn a_token_is_stopped_only_where_it_says_so() {
        let answer = |result: &str| jsonrpc::parse(&format!(r#"[{{"id":0,"result":"{result}"}}]"#), 1).unwrap().pop().unwrap();
        let word = |value: u64| answer(&format!("0x{value:064x}"));
        assert_eq!(flag(&word(0)), Some(false));
        assert_eq!(flag(&word(1)), Some(true));
        for other in [word(2), answer("0x"), answer("0x01"), Err(NodeError::Reverted(None)), Err(NodeError::Busy)] {
            assert_eq!(flag(&other), None, "{other:?}");
        }
    }

    #[test]
    fn what_a_node_cannot_say_is_no_fact() {
        for index in 0..4 {
            let mut busy = answers("Coin", 6);
            busy[index] = Err(NodeError::Busy);
            assert_eq!(field(token(None).confirm(7, &busy)), "?", "{index}");
        }
        let mut absent = answers("Coin", 6);
        absent[2] = Err(NodeError::Reverted(None));
        assert_eq!(field(token(None).confirm(7, &absent)), "token.address");
        assert_eq!(field(token(None).confirm(7, &[])), "?");
    }
}
