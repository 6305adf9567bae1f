//! Ethereum JSON-RPC: requests as values, answers as types, and what a node's error means.

use super::transaction::{Call, GasPrice};
use super::{Address, B256, ChainId, U256};
use crate::json;
use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use alloy_primitives::Bytes;
use core::fmt;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};

/// One call, without its id.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    method: &'static str,
    params: Value,
}

/// Which of an account's transactions `eth_getTransactionCount` counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// Those in blocks.
    Latest,
    /// Those in blocks and in the node's pool.
    Pending,
}

impl Request {
    /// `eth_chainId`
    pub fn chain_id() -> Self {
        Self { method: "eth_chainId", params: json!([]) }
    }

    /// `eth_call` of a view function on the latest block.
    pub fn call(call: &Call) -> Self {
        Self { method: "eth_call", params: json!([view(call), "latest"]) }
    }

    /// `eth_call` of a view function on one block.
    pub fn call_at(call: &Call, block: u64) -> Self {
        Self { method: "eth_call", params: json!([view(call), hex_number(block)]) }
    }

    /// `eth_call` of a transaction on the latest block.
    pub fn try_out(trial: &Trial<'_>) -> Self {
        Self { method: "eth_call", params: json!([trial.transaction(), "latest"]) }
    }

    /// `eth_call` of a transaction in the form of its chain, on the latest block.
    pub fn try_out_as(transaction: Value) -> Self {
        Self { method: "eth_call", params: json!([transaction, "latest"]) }
    }

    /// `eth_estimateGas`
    pub fn estimate_gas(trial: &Trial<'_>) -> Self {
        Self { method: "eth_estimateGas", params: json!([trial.transaction()]) }
    }

    /// `eth_getCode` on the latest block.
    pub fn code(account: Address) -> Self {
        Self { method: "eth_getCode", params: json!([account, "latest"]) }
    }

    /// `eth_getCode` on one block.
    pub fn code_at(account: Address, block: u64) -> Self {
        Self { method: "eth_getCode", params: json!([account, hex_number(block)]) }
    }

    /// `eth_sendRawTransaction`
    pub fn send(raw: &Bytes) -> Self {
        Self { method: "eth_sendRawTransaction", params: json!([raw]) }
    }

    /// `eth_sendRawTransactionSync`, which is answered by the receipt when the node does not have to wait too long for it.
    pub fn send_sync(raw: &Bytes) -> Self {
        Self { method: "eth_sendRawTransactionSync", params: json!([raw]) }
    }

    /// `eth_getTransactionReceipt`
    pub fn receipt(transaction: B256) -> Self {
        Self { method: "eth_getTransactionReceipt", params: json!([transaction]) }
    }

    /// `eth_getTransactionCount`
    pub fn transaction_count(account: Address, count: Count) -> Self {
        let tag = match count {
            Count::Latest => "latest",
            Count::Pending => "pending",
        };
        Self { method: "eth_getTransactionCount", params: json!([account, tag]) }
    }

    /// `eth_getBlockByNumber` of the latest block, without its transactions.
    pub fn latest_block() -> Self {
        Self { method: "eth_getBlockByNumber", params: json!(["latest", false]) }
    }

    /// `eth_getBlockByNumber` of one block, without its transactions.
    pub fn block(number: u64) -> Self {
        Self { method: "eth_getBlockByNumber", params: json!([hex_number(number), false]) }
    }

    /// `eth_gasPrice`
    pub fn gas_price() -> Self {
        Self { method: "eth_gasPrice", params: json!([]) }
    }

    /// `eth_getBalance` on the latest block.
    pub fn balance(account: Address) -> Self {
        Self { method: "eth_getBalance", params: json!([account, "latest"]) }
    }

    /// `eth_getLogs` of one contract, from a block on.
    pub fn logs(contract: Address, filter: &LogFilter, from_block: u64) -> Self {
        let filter = json!({ "address": contract, "topics": filter.0, "fromBlock": hex_number(from_block), "toBlock": "latest" });
        Self { method: "eth_getLogs", params: json!([filter]) }
    }

    /// `eth_getLogs` of some contracts in these blocks, both ends included; without an end, up to the latest.
    pub fn logs_in(contracts: &[Address], filter: &LogFilter, from_block: u64, to_block: Option<u64>) -> Self {
        let to_block = to_block.map_or_else(|| "latest".to_owned(), hex_number);
        let any_or = |one_of: &Vec<B256>| if one_of.is_empty() { Value::Null } else { json!(one_of) };
        let topics: Value = filter.0.iter().map(any_or).collect();
        let filter = json!({ "address": contracts, "topics": topics, "fromBlock": hex_number(from_block), "toBlock": to_block });
        Self { method: "eth_getLogs", params: json!([filter]) }
    }
}

/// Which topics a log must have: for each of the first ones, one of these. Where there are none, any will do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFilter(pub Vec<Vec<B256>>);

/// A transaction as it would be sent. Code on the chain sees price and gas, and may do as it likes at a price of zero.
#[derive(Clone, Copy, Debug)]
pub struct Trial<'a> {
    /// Who would send it. Nodes compare what it has with the most that the transaction may cost.
    pub from: Address,
    /// What would be called.
    pub call: &'a Call,
    /// Most gas it may use.
    pub gas: u64,
    /// What a unit of gas may cost.
    pub price: GasPrice,
}

impl Trial<'_> {
    fn transaction(&self) -> Value {
        let Self { from, call, gas, price } = self;
        let price = alloc::format!("{:#x}", price.most());
        json!({ "from": from, "to": call.to, "data": call.data, "gas": hex_number(*gas), "gasPrice": price })
    }
}

fn view(call: &Call) -> Value {
    json!({ "to": call.to, "data": call.data })
}

fn hex_number(number: u64) -> String {
    alloc::format!("{number:#x}")
}

/// The HTTP body for `requests`, always a batch. The id of a request is its index.
pub fn body(requests: &[Request]) -> String {
    let one = |(id, request): (usize, &Request)| json!({ "jsonrpc": "2.0", "id": id, "method": request.method, "params": request.params });
    requests.iter().enumerate().map(one).collect::<Value>().to_string()
}

/// The answer to one request: the raw result, or the node's error.
pub type NodeAnswer = Result<Box<RawValue>, NodeError>;

/// The body is not the answer to what was asked: HTML, a wrong number of answers, another protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotJsonRpc;

impl fmt::Display for NotJsonRpc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("is not the JSON-RPC answer to what was asked")
    }
}

impl core::error::Error for NotJsonRpc {}

/// Reads the answer to [`body`] of `count` requests, in the order of the requests.
///
/// # Errors
/// [`NotJsonRpc`] when an answer is missing or nothing can be read.
pub fn parse(body: &str, count: usize) -> Result<Vec<NodeAnswer>, NotJsonRpc> {
    #[derive(Deserialize)]
    struct Entry<'a> {
        #[serde(default)]
        id: Value,
        #[serde(borrow, default)]
        result: Option<&'a RawValue>,
        #[serde(default)]
        error: Option<ErrorObject>,
    }
    let entries: Vec<Entry<'_>> = if !is_one_answer(body) {
        json::read(body).map_err(|_| NotJsonRpc)?
    } else {
        // A node that refuses a whole batch answers with one error and no id.
        let entry: Entry<'_> = json::read(body).map_err(|_| NotJsonRpc)?;
        let error = entry.error.ok_or(NotJsonRpc)?;
        return Ok((0..count).map(|_| Err(error.classify())).collect());
    };
    let mut answers: Vec<Option<NodeAnswer>> = (0..count).map(|_| None).collect();
    for entry in entries {
        let index = entry.id.as_u64().and_then(|id| usize::try_from(id).ok()).ok_or(NotJsonRpc)?;
        let answer = match (entry.error, entry.result) {
            (Some(error), _) => Err(error.classify()),
            (None, Some(result)) => Ok(result.to_owned()),
            (None, None) => Ok(null()?),
        };
        *answers.get_mut(index).ok_or(NotJsonRpc)? = Some(answer);
    }
    answers.into_iter().map(|answer| answer.ok_or(NotJsonRpc)).collect()
}

/// Whether it is one answer to all that was asked: a node that refuses a whole batch gives one error.
pub fn is_one_answer(body: &str) -> bool {
    !body.trim_start().starts_with('[')
}

fn null() -> Result<Box<RawValue>, NotJsonRpc> {
    RawValue::from_string(String::from("null")).map_err(|_| NotJsonRpc)
}

/// What a node's error means for us, whatever its wording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeError {
    /// The call reverts. The reason, when the contract gave a readable one.
    Reverted(Option<String>),
    /// The node has this very transaction already.
    AlreadyKnown,
    /// Another transaction with this nonce is in a block.
    NonceTooLow,
    /// The fee is too low to be accepted or to replace a pending transaction.
    Underpriced,
    /// The sender cannot pay for the gas.
    InsufficientFunds,
    /// The call needs more gas than it may use.
    OutOfGas,
    /// The transaction can never be taken as it is, whatever is in the pool: its gas limit is above a block's or below what any
    /// transaction takes, its data are too large, its sender cannot be one.
    Unacceptable,
    /// The node does not know the method.
    Unsupported,
    /// It was asked about more blocks at once, or would have to answer with more, than it likes.
    TooMuch,
    /// Too many requests, or the node has a bad moment: another endpoint may do better.
    Busy,
    /// Anything else, with its JSON-RPC code.
    Other(i64),
}

#[derive(Deserialize)]
struct ErrorObject {
    #[serde(default)]
    code: i64,
    #[serde(default)]
    message: String,
    #[serde(default)]
    data: Value,
}

/// How geth, reth, Erigon, Nethermind, Besu, anvil and ZKsync say that a transaction breaks a rule for all transactions.
const UNACCEPTABLE: [&str; 20] = [
    "block gas limit",
    "block's gas limit",
    "gas limit too high",
    "gas limit is too high",
    "gaslimittoohigh",
    "gaslimitexceeded",
    "gaslimitcapexceeded",
    "max transaction gas limit",
    "transaction gas limit cap",
    "exceeds the configured cap",
    "intrinsic gas",
    "intrinsicgas",
    "floor data gas",
    "oversized data",
    "oversizeddata",
    "exceeds max size",
    "size exceeds",
    "invalid sender",
    "invalid chain id",
    "transaction type not supported",
];

/// How geth, reth, Erigon, Nethermind, Besu and ZKsync, Infura, Alchemy, QuickNode, Ankr, dRPC and others say that a question
/// about logs spans too many blocks, or finds too many.
const TOO_MUCH: [&str; 15] = [
    "query returned more than",
    "returned too many",
    "too many results",
    "too many logs",
    "max results",
    "response size",
    "block range",
    "blocks range",
    "max range",
    "range limit",
    "range is too",
    "ranges over",
    "is limited to a",
    "blocks distance",
    "query timeout exceeded",
];

impl ErrorObject {
    /// Nodes agree on few codes, so the wording of geth, Nethermind, Erigon, reth, anvil, ZKsync and of the
    /// large providers is looked at too.
    fn classify(&self) -> NodeError {
        let message = self.message.to_ascii_lowercase();
        let says = |words: &[&str]| words.iter().any(|word| message.contains(word));
        if self.code == 3 || says(&["revert"]) {
            return NodeError::Reverted(self.revert_reason());
        }
        if says(&["already known", "already imported", "known transaction", "alreadyknown", "already exists", "already in mempool"]) {
            return NodeError::AlreadyKnown;
        }
        if says(&["nonce too low", "nonce is too low", "oldnonce", "nonce has already been used", "invalid nonce", "allowed nonce range"]) {
            return NodeError::NonceTooLow;
        }
        if says(&["underpriced", "fee too low", "feetoolow", "gas price too low", "less than block base fee", "max fee per gas less"]) {
            return NodeError::Underpriced;
        }
        if says(&["insufficient funds", "insufficient balance", "not enough balance", "insufficientfunds"]) {
            return NodeError::InsufficientFunds;
        }
        if says(&UNACCEPTABLE) {
            return NodeError::Unacceptable;
        }
        if says(&["out of gas", "outofgas", "gas required exceeds"]) {
            return NodeError::OutOfGas;
        }
        if says(&TOO_MUCH) {
            return NodeError::TooMuch;
        }
        match self.code {
            -32601 => NodeError::Unsupported,
            429 | -32005 | -32016 | -32603 => NodeError::Busy,
            _ if says(&["rate limit", "too many requests", "limit exceeded", "timeout", "timed out", "internal error", "unavailable"]) => {
                NodeError::Busy
            }
            code => NodeError::Other(code),
        }
    }

    /// The text of Solidity's `Error(string)`, printable and short enough to repeat.
    fn revert_reason(&self) -> Option<String> {
        let data = match &self.data {
            Value::String(data) => data.as_str(),
            Value::Object(data) => data.get("data")?.as_str()?,
            _ => return None,
        };
        let data = super::parse::bytes(data).ok()?;
        let error = <alloy_sol_types::Revert as alloy_sol_types::SolError>::abi_decode(&data).ok()?;
        let readable = error.reason.chars().filter(|c| c.is_ascii() && !c.is_ascii_control()).take(120).collect();
        Some(readable)
    }
}

impl fmt::Display for NodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reverted(Some(reason)) => write!(f, "the call reverts: {reason}"),
            Self::Reverted(None) => f.write_str("the call reverts"),
            Self::AlreadyKnown => f.write_str("the node has this transaction already"),
            Self::NonceTooLow => f.write_str("another transaction with this nonce is in a block"),
            Self::Underpriced => f.write_str("the price is too low"),
            Self::InsufficientFunds => f.write_str("the account cannot pay for the gas"),
            Self::OutOfGas => f.write_str("the call needs more gas than it may use"),
            Self::Unacceptable => f.write_str("the node will never take this transaction"),
            Self::Unsupported => f.write_str("the node does not know the method"),
            Self::TooMuch => f.write_str("the node was asked for too much at once"),
            Self::Busy => f.write_str("the node is busy"),
            Self::Other(code) => write!(f, "the node answers with JSON-RPC error {code}"),
        }
    }
}

impl core::error::Error for NodeError {}

/// Reads a result as `T`.
///
/// # Errors
/// [`NotJsonRpc`] when it has another shape.
pub fn decode<T: DeserializeOwned>(result: &RawValue) -> Result<T, NotJsonRpc> {
    json::read(result.get()).map_err(|_| NotJsonRpc)
}

/// Whether an answered `eth_getCode` is that of an account with code. An account that is delegated (EIP-7702) has some, too.
pub fn has_code(result: &RawValue) -> Result<bool, NotJsonRpc> {
    decode::<Bytes>(result).map(|code| !code.is_empty())
}

/// Reads a hexadecimal quantity that fits `u64`.
pub fn decode_u64(result: &RawValue) -> Result<u64, NotJsonRpc> {
    decode::<U256>(result)?.try_into().map_err(|_| NotJsonRpc)
}

/// Reads a hexadecimal quantity that fits `u128`, such as a price in wei.
pub fn decode_u128(result: &RawValue) -> Result<u128, NotJsonRpc> {
    decode::<U256>(result)?.try_into().map_err(|_| NotJsonRpc)
}

/// An event log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Log {
    /// The contract that emitted it.
    pub address: Address,
    /// Up to four words: the event's signature and its indexed fields.
    pub topics: Vec<B256>,
    /// The other fields, ABI-encoded.
    pub data: Bytes,
}

/// Where a log stands in the chain.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "PlacedLog")]
pub struct LoggedAt {
    /// The transaction that emitted it.
    pub transaction_hash: B256,
    block_number: U256,
    /// What was logged.
    pub log: Log,
}

/// A log and its place, as nodes write them.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PlacedLog {
    transaction_hash: B256,
    block_number: U256,
    address: Address,
    topics: Vec<B256>,
    data: Bytes,
}

impl From<PlacedLog> for LoggedAt {
    fn from(PlacedLog { transaction_hash, block_number, address, topics, data }: PlacedLog) -> Self {
        Self { transaction_hash, block_number, log: Log { address, topics, data } }
    }
}

impl LoggedAt {
    /// The number of its block.
    pub fn block_number(&self) -> u64 {
        self.block_number.saturating_to()
    }
}

/// One block among those of its height.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockId {
    number: U256,
    /// Its hash, which stands for all blocks before it as well.
    pub hash: B256,
}

impl BlockId {
    /// The block of this number and hash.
    pub fn new(number: u64, hash: B256) -> Self {
        Self { number: U256::from(number), hash }
    }

    /// Its number.
    pub fn number(&self) -> u64 {
        self.number.saturating_to()
    }
}

/// A mined transaction's receipt.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TransactionReceipt {
    /// The transaction.
    pub transaction_hash: B256,
    /// Its sender.
    pub from: Address,
    status: U256,
    block_number: U256,
    /// What it logged, in order.
    pub logs: Vec<Log>,
}

/// A block's header, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Block {
    number: U256,
    timestamp: U256,
    #[serde(default)]
    base_fee_per_gas: Option<U256>,
}

impl TransactionReceipt {
    /// Whether the transaction did not revert.
    pub fn succeeded(&self) -> bool {
        self.status == U256::from(1)
    }

    /// The number of its block.
    pub fn block_number(&self) -> u64 {
        self.block_number.saturating_to()
    }
}

impl Block {
    /// Its number.
    pub fn number(&self) -> u64 {
        self.number.saturating_to()
    }

    /// Its time in seconds since the Unix epoch.
    pub fn timestamp(&self) -> crate::time::UnixSeconds {
        crate::time::UnixSeconds::new(self.timestamp.saturating_to())
    }

    /// A price with room for the base fee to double, from what a node suggests to pay in all; the legacy price
    /// where blocks have no base fee.
    pub fn suggest_price(&self, gas_price: u128) -> GasPrice {
        match self.base_fee_per_gas.and_then(|fee| u128::try_from(fee).ok()) {
            Some(base_fee) => {
                let priority_fee = gas_price.saturating_sub(base_fee);
                GasPrice::Dynamic { max_fee: base_fee.saturating_mul(2).saturating_add(priority_fee), priority_fee }
            }
            None => GasPrice::Legacy(gas_price),
        }
    }
}

/// Whether an answered `eth_chainId` is `expected`.
pub fn is_chain(result: &RawValue, expected: ChainId) -> bool {
    decode_u64(result) == Ok(expected)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn requests_are_a_batch() {
        let body = body(&[Request::chain_id(), Request::gas_price()]);
        assert_eq!(
            body,
            r#"[{"id":0,"jsonrpc":"2.0","method":"eth_chainId","params":[]},{"id":1,"jsonrpc":"2.0","method":"eth_gasPrice","params":[]}]"#
        );
    }

    #[test]
    fn a_transaction_is_tried_out_as_it_would_be_sent() {
        let call = Call { to: Address::repeat_byte(1), data: Bytes::from_static(&[0xab]) };
        let price = GasPrice::Dynamic { max_fee: 30, priority_fee: 2 };
        let trial = Trial { from: Address::repeat_byte(2), call: &call, gas: 455_000, price };
        let transaction = json!({ "from": trial.from, "to": call.to, "data": "0xab", "gas": "0x6f158", "gasPrice": "0x1e" });
        assert_eq!(Request::try_out(&trial).params, json!([transaction, "latest"]));
        assert_eq!(Request::estimate_gas(&trial).params, json!([transaction]));
    }

    #[test]
    fn an_account_has_code_when_it_is_a_contract_or_delegated() {
        let code = |code: &str| has_code(&RawValue::from_string(alloc::format!("\"{code}\"")).unwrap());
        assert_eq!(code("0x"), Ok(false));
        assert_eq!(code("0x6000"), Ok(true));
        assert_eq!(code("0xef010000000000000000000000000000000000000000aa"), Ok(true));
        assert_eq!(code("nothing"), Err(NotJsonRpc));
    }

    #[test]
    fn a_question_about_logs_that_is_too_large_is_told_from_a_busy_node() {
        for (code, message) in [
            (-32005, "query returned more than 10000 results"),
            (-32000, "Query returned more than 10000 results. Try with this block range [0x1, 0x2]."),
            (-32602, "Log response size exceeded. You can make eth_getLogs requests with up to a 2K block range"),
            (-32600, "Under the Free tier plan, you can make eth_getLogs requests with up to a 10 block range."),
            (-32614, "eth_getLogs is limited to a 10,000 range"),
            (-32000, "exceed maximum block range: 50000"),
            (-32602, "query exceeds max block range 100000"),
            (-32602, "query exceeds max results 20000, retry with the range 1-2"),
            (-32000, "block range is too wide"),
            (35, "ranges over 10000 blocks are not supported on freetier"),
            (-32005, "query timeout exceeded. Consider reducing your block range."),
        ] {
            assert_eq!(classified(code, message), NodeError::TooMuch, "{message}");
        }
        assert_eq!(classified(-32005, "daily request count exceeded, request rate limited"), NodeError::Busy);
    }

    #[test]
    fn a_topic_that_may_be_any_is_null() {
        let filter = LogFilter(vec![vec![B256::ZERO], vec![], vec![B256::ZERO]]);
        let asked = Request::logs_in(&[Address::ZERO], &filter, 16, None).params;
        let [of] = asked.as_array().unwrap().as_slice() else { panic!("one filter") };
        assert_eq!(of["topics"], json!([[B256::ZERO], null, [B256::ZERO]]));
        assert_eq!((&of["fromBlock"], &of["toBlock"], &of["address"]), (&json!("0x10"), &json!("latest"), &json!([Address::ZERO])));
        let bounded = Request::logs_in(&[], &filter, 16, Some(17)).params;
        assert_eq!(bounded[0]["toBlock"], json!("0x11"));
    }

    fn results(body: &str, count: usize) -> Result<Vec<Result<String, NodeError>>, NotJsonRpc> {
        let answers = parse(body, count)?;
        Ok(answers.into_iter().map(|answer| answer.map(|raw| raw.get().into())).collect())
    }

    #[test]
    fn answers_are_put_in_the_order_of_the_requests() {
        let body = r#"[{"id":1,"result":"0x2"},{"id":0,"result":null}]"#;
        assert_eq!(results(body, 2), Ok(vec![Ok("null".into()), Ok("\"0x2\"".into())]));
        let busy = r#"{"id":null,"error":{"code":-32005,"message":"x"}}"#;
        assert_eq!(results(busy, 2), Ok(vec![Err(NodeError::Busy), Err(NodeError::Busy)]));
    }

    #[test]
    fn anything_else_is_no_answer() {
        for body in [
            "",
            "<html>",
            "[]",
            "{}",
            r#"[{"id":0,"result":1}]"#,
            r#"[{"id":7,"result":1},{"id":0,"result":1}]"#,
            r#"[{"result":1},{"id":1,"result":1}]"#,
        ] {
            assert_eq!(results(body, 2), Err(NotJsonRpc), "{body}");
        }
    }

    fn classified(code: i64, message: &str) -> NodeError {
        ErrorObject { code, message: message.into(), data: Value::Null }.classify()
    }

    #[test]
    fn errors_are_known_by_their_wording() {
        assert_eq!(classified(-32000, "already known"), NodeError::AlreadyKnown);
        assert_eq!(classified(-32003, "transaction already imported"), NodeError::AlreadyKnown);
        assert_eq!(classified(-32000, "nonce too low: next nonce 5, tx nonce 4"), NodeError::NonceTooLow);
        assert_eq!(classified(-32000, "replacement transaction underpriced"), NodeError::Underpriced);
        assert_eq!(classified(-32000, "max fee per gas less than block base fee"), NodeError::Underpriced);
        assert_eq!(classified(-32000, "insufficient funds for gas * price + value"), NodeError::InsufficientFunds);
        assert_eq!(classified(-32000, "gas required exceeds allowance (455000)"), NodeError::OutOfGas);
        assert_eq!(classified(-32003, "Out of gas: gas required exceeds allowance: 455000"), NodeError::OutOfGas);
        assert_eq!(classified(-32000, "EVM error: OutOfGas"), NodeError::OutOfGas);
        assert_eq!(classified(-32601, "the method does not exist"), NodeError::Unsupported);
        assert_eq!(classified(-32005, "limit"), NodeError::Busy);
        assert_eq!(classified(-32000, "Too Many Requests"), NodeError::Busy);
        assert_eq!(classified(-32602, "invalid params"), NodeError::Other(-32602));
        assert_eq!(classified(3, "execution reverted"), NodeError::Reverted(None));
    }

    #[test]
    fn what_no_node_will_ever_take_is_told_from_what_it_does_not_take_now() {
        for message in [
            "exceeds block gas limit",
            "transaction gas limit too high (cap: 16777216, tx: 30000000)",
            "transaction's gas limit 40000000 exceeds block's gas limit 30000000",
            "intrinsic gas too low: gas 20000, minimum needed 21000",
            "intrinsic gas too high -- CallGasCostMoreThanGasLimit",
            "GasLimitExceeded, Gas limit: 30000000, gas limit of rejected tx: 40000000",
            "oversized data: transaction size 140000, limit 131072",
            "oversized data. max: 120000; actual: 140000",
            "invalid sender. can't start a transaction from a non-account",
            "tx fee (1.20 ether) exceeds the configured cap (1.00 ether)",
        ] {
            assert_eq!(classified(-32000, message), NodeError::Unacceptable, "{message}");
        }
        for message in
            ["txpool is full", "future transaction tries to replace pending", "block gas exhausted", "nonce too high", "execution aborted"]
        {
            assert_eq!(classified(-32000, message), NodeError::Other(-32000), "{message}");
        }
    }

    #[test]
    fn a_revert_s_reason_is_read_and_cleaned() {
        use alloy_sol_types::SolError;
        let data = alloy_sol_types::Revert { reason: "no\nmoney ü".into() }.abi_encode();
        let data = Value::String(alloy_primitives::hex::encode_prefixed(data));
        for data in [data.clone(), json!({ "data": data })] {
            let error = ErrorObject { code: 3, message: String::new(), data };
            assert_eq!(error.classify(), NodeError::Reverted(Some("nomoney ".into())));
        }
    }

    fn block(base_fee: Option<u64>) -> Block {
        Block { number: U256::from(9), timestamp: U256::from(1), base_fee_per_gas: base_fee.map(U256::from) }
    }

    #[test]
    fn prices_leave_room_and_fall_back_to_legacy() {
        assert_eq!(block(Some(10)).suggest_price(13), GasPrice::Dynamic { max_fee: 23, priority_fee: 3 });
        assert_eq!(block(Some(10)).suggest_price(9), GasPrice::Dynamic { max_fee: 20, priority_fee: 0 });
        assert_eq!(block(None).suggest_price(13), GasPrice::Legacy(13));
    }
}
