//! The rail from its configuration to the goods, with the core alone: what the shell does in between stands in [`settle`], and what a node
//! does in [`Chain`].

use super::sample::{self, ID, RECIPIENT, Sample, TOKEN, call, key, other_key, rlp, transfer, transfer_with_memo};
use super::*;
use crate::binary::{decode, encode};
use crate::evm::jsonrpc::{self, NodeAnswer, NodeError, Request};
use crate::evm::key::PrivateKey;
use crate::evm::{Address, B256, U256, keccak256, parse};
use crate::gateway::config::Gateway;
use crate::gateway::offer::{Asked, Circumstances, Offer, OfferTerms};
use crate::gateway::{Misconfigured, Secrets, validate};
use crate::money::Amount;
use crate::purchase::{Next, Purchase, Refusal, Stage, Undelivered};
use crate::rail::{Answer, Ask, Payment, Prepared, Progress, Proof, Send, Step};
use crate::settlement::{Failure, Verdict};
use crate::time::{Timestamp, UnixSeconds};
use crate::wire::encoding::{from_base64, to_base64url};
use crate::wire::mpp::credential::{Credential, CredentialField};
use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use alloy_primitives::hex;
use core::time::Duration;
use memo::Bound;
use serde_json::value::RawValue;
use serde_json::{Value, json};

mod configured;
mod proofs;
mod settling;
mod uniqueness;

const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);
const LIFETIME: Duration = Duration::from_secs(300);
const LEASE: Duration = Duration::from_secs(65);
const SPONSOR: &str = "0x5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a";
const PARTNER: Address = Address::repeat_byte(7);
/// As mppx's clients sign.
const END: u64 = 1_800_000_025;

fn asked(target: &'static str) -> Asked<'static> {
    Asked { realm: sample::REALM, method: "GET", target, digest: None, field: CredentialField::Authorization }
}

fn secrets() -> Secrets {
    Secrets {
        secret_key: Some("thirty-two bytes and some more of it".into()),
        settlement_private_key: Some(SPONSOR.into()),
        ..Secrets::default()
    }
}

/// The rail's table, with `more` in it.
fn table(more: &Value) -> Value {
    let mut rail = json!({ "kind": "tempo", "chainId": 42431, "recipient": RECIPIENT });
    rail.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    rail
}

fn configured(rail: &Value, price: &str) -> Result<Gateway, Misconfigured> {
    let json = json!({
        "rails": [rail], "origin": { "url": "https://origin.example.com" },
        "routes": [{ "path": "/v1/*", "price": price, "wires": ["mpp"] }],
    });
    validate(Some(&json.to_string()), &secrets(), |_| false)
}

fn gateway_with(more: &Value) -> Gateway {
    configured(&table(more), "0.01").unwrap_or_else(|broken| panic!("{:?}", broken.errors))
}

fn gateway() -> Gateway {
    gateway_with(&json!({}))
}

/// With a share of 2.5 % for somebody, whose fees we pay.
fn sponsoring() -> Gateway {
    gateway_with(&json!({ "feePayer": { "atOnce": 2 }, "splits": [{ "recipient": PARTNER, "basisPoints": 250 }] }))
}

fn offer(gateway: &Gateway) -> &Offer {
    let [offer] = gateway.router.routes()[0].offers.as_slice() else { panic!("one offer") };
    offer
}

/// A fresh challenge, with its id.
fn challenge(gateway: &Gateway) -> (Value, String) {
    let issued = offer(gateway).issue(
        &asked("/v1/x"),
        &gateway.binding_keys,
        None,
        &Circumstances::default(),
        NOW.saturating_add(LIFETIME),
        [1; 12],
    );
    let parameters = issued.header.strip_prefix("Payment ").unwrap().split(", ").map(|one| one.split_once('=').unwrap());
    (Value::Object(parameters.map(|(name, value)| (name.to_owned(), json!(value.trim_matches('"')))).collect()), issued.id)
}

fn request(gateway: &Gateway) -> Value {
    serde_json::from_slice(&from_base64(challenge(gateway).0["request"].as_str().unwrap()).unwrap()).unwrap()
}

/// What the gateway makes of a payload that answers a challenge.
fn read_as(gateway: &Gateway, challenge: &Value, payload: &Value, source: Option<String>) -> Result<Payment, Problem> {
    let credential = json!({ "challenge": challenge, "payload": payload, "source": source });
    let credential = Credential::parse(&to_base64url(credential.to_string())).unwrap();
    let accepted = asked("/v1/x").accept(&credential, &gateway.router.routes()[0].offers, &gateway.binding_keys, NOW)?;
    let OfferTerms::Charge(terms) = &accepted.offer.terms else { panic!("a charge") };
    match terms.read(&credential, accepted.expires)? {
        Proof::Checked(payment) => Ok(*payment),
        Proof::Signed(_) => panic!("all of it is checked"),
    }
}

fn read(gateway: &Gateway, payload: &Value) -> Result<Payment, Problem> {
    read_as(gateway, &challenge(gateway).0, payload, Some(source(key().address())))
}

fn source(payer: Address) -> String {
    format!("did:pkh:eip155:42431:{}", payer.to_checksum(None))
}

fn signed(bytes: &[u8]) -> Value {
    json!({ "type": "transaction", "signature": hex::encode_prefixed(bytes) })
}

fn pushed(hash: B256) -> Value {
    json!({ "type": "hash", "hash": hash })
}

fn bound(gateway: &Gateway) -> Bound {
    Bound::to(sample::REALM, &challenge(gateway).1)
}

/// The calls that a challenge wants, as mppx's client makes them.
fn calls(gateway: &Gateway) -> Vec<Vec<u8>> {
    let request = request(gateway);
    let units = |value: &Value| value.as_str().unwrap().parse::<u128>().unwrap();
    let splits: Vec<(Address, u128)> = request["methodDetails"]["splits"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|split| (parse::address(split["recipient"].as_str().unwrap()).unwrap(), units(&split["amount"])))
        .collect();
    let rest = units(&request["amount"]) - splits.iter().map(|(_, amount)| amount).sum::<u128>();
    let primary = transfer_with_memo(RECIPIENT, rest, bound(gateway).memo(Some("an agent")));
    let splits = splits.into_iter().map(|(to, amount)| transfer(to, amount));
    [primary].into_iter().chain(splits).map(|data| call(TOKEN, &data)).collect()
}

fn paying(gateway: &Gateway) -> Sample {
    Sample::calling(&calls(gateway), END)
}

fn pull(gateway: &Gateway) -> Payment {
    read(gateway, &signed(&paying(gateway).signed(&key()))).unwrap()
}

fn pull_sponsored(gateway: &Gateway) -> Payment {
    read(gateway, &signed(&paying(gateway).for_fee_payer(&key(), key().address()))).unwrap()
}

fn charge(payment: &Payment) -> &Charge {
    let Payment::Tempo(charge) = payment else { panic!("another rail's") };
    charge
}

fn hash_of(payment: &Payment) -> B256 {
    charge(payment).transaction().unwrap()
}

fn refused(gateway: &Gateway, payload: &Value) -> (ProblemKind, String) {
    let problem = read(gateway, payload).unwrap_err();
    (problem.kind, problem.detail.into_owned())
}

/// That it is refused, and the words that say why.
fn assert_refused(gateway: &Gateway, sample: &Sample, words: &str) {
    let (kind, detail) = refused(gateway, &signed(&sample.signed(&key())));
    assert!(matches!(kind, ProblemKind::VerificationFailed | ProblemKind::MalformedCredential), "{detail}");
    assert!(detail.contains(words), "{words}: {detail}");
}

/// A node, as it answers.
#[derive(Clone, Default)]
struct Chain {
    head: u64,
    seconds: u64,
    /// What has been sent, by its hash.
    sent: Vec<B256>,
    receipts: BTreeMap<B256, Value>,
    logs: Vec<Value>,
    balance: u128,
    /// What is answered to transactions that are tried out, one after the other.
    tried: Vec<Result<(), NodeError>>,
    /// What is answered to one that is sent, but its receipt.
    refusal: Option<NodeError>,
}

fn raw(value: &Value) -> NodeAnswer {
    Ok(RawValue::from_string(value.to_string()).unwrap())
}

impl Chain {
    fn new() -> Self {
        Self { head: 100, seconds: NOW.seconds().get(), balance: 1_000_000, ..Self::default() }
    }

    fn block(&self, number: u64) -> Value {
        json!({ "number": format!("{number:#x}"), "timestamp": format!("{:#x}", self.seconds - (self.head - number)) })
    }

    /// Has a transaction mined in the latest block, with these logs.
    fn mine(&mut self, hash: B256, logs: Vec<Value>) {
        let receipt = json!({
            "transactionHash": hash, "from": key().address(), "status": "0x1", "blockNumber": format!("{:#x}", self.head), "logs": logs,
        });
        self.receipts.insert(hash, receipt);
    }

    fn revert(&mut self, hash: B256) {
        self.mine(hash, Vec::new());
        self.receipts.get_mut(&hash).unwrap()["status"] = json!("0x0");
    }

    fn answer(&mut self, request: &Value) -> NodeAnswer {
        let params = &request["params"];
        let hash = || parse::hash(params[0].as_str().unwrap()).unwrap();
        match request["method"].as_str().unwrap() {
            "eth_call" if params[0]["from"].is_null() => raw(&json!(
                U256::from(self.balance)
                    .to_be_bytes::<32>()
                    .to_vec()
                    .iter()
                    .fold("0x".to_owned(), |text, byte| format!("{text}{byte:02x}"))
            )),
            "eth_call" => {
                let tried = if self.tried.is_empty() { Ok(()) } else { self.tried.remove(0) };
                tried.and_then(|()| raw(&json!("0x")))
            }
            "eth_sendRawTransactionSync" => {
                let sent = keccak256(parse::bytes(params[0].as_str().unwrap()).unwrap());
                self.sent.push(sent);
                match (&self.refusal, self.receipts.get(&sent)) {
                    (Some(refusal), _) => Err(refusal.clone()),
                    (None, Some(receipt)) => raw(receipt),
                    (None, None) => Err(NodeError::Busy),
                }
            }
            "eth_getTransactionReceipt" => raw(self.receipts.get(&hash()).unwrap_or(&Value::Null)),
            "eth_getBlockByNumber" => match params[0].as_str().unwrap() {
                "latest" => raw(&self.block(self.head)),
                number => raw(&self.block(u64::from_str_radix(number.strip_prefix("0x").unwrap(), 16).unwrap())),
            },
            "eth_getLogs" => raw(&json!(self.logs)),
            method => panic!("{method}"),
        }
    }

    fn all(&mut self, requests: &[Request]) -> Answer {
        let body: Vec<Value> = serde_json::from_str(&jsonrpc::body(requests)).unwrap();
        Answer::Rpc(body.iter().map(|request| self.answer(request)).collect())
    }
}

/// The logs of the transfers that a challenge asks for.
fn logs(gateway: &Gateway, payer: Address) -> Vec<Value> {
    let memo = bound(gateway).memo(Some("an agent"));
    let word = |amount: u128| B256::from(U256::from(amount)).to_string();
    let request = request(gateway);
    let splits: Vec<(Address, u128)> =
        request["methodDetails"]["splits"].as_array().into_iter().flatten().map(|_| (PARTNER, 250)).collect();
    let rest = 10_000 - splits.iter().map(|(_, amount)| amount).sum::<u128>();
    let transferred = keccak256("Transfer(address,address,uint256)");
    let with_memo = keccak256("TransferWithMemo(address,address,uint256,bytes32)");
    let mut logs = vec![
        json!({ "address": TOKEN, "topics": [transferred, payer.into_word(), RECIPIENT.into_word()], "data": word(rest) }),
        json!({ "address": TOKEN, "topics": [with_memo, payer.into_word(), RECIPIENT.into_word(), memo], "data": word(rest) }),
    ];
    logs.extend(
        splits.into_iter().map(
            |(to, amount)| json!({ "address": TOKEN, "topics": [transferred, payer.into_word(), to.into_word()], "data": word(amount) }),
        ),
    );
    logs
}

/// The shell's loop (`worker/objects/payer`). Gives the state at which it was stored before money could move, too.
fn settle(gateway: &Gateway, purchase: &mut Purchase, ask: &mut dyn FnMut(&Ask) -> Answer) -> (Prepared, Stage) {
    let rail = gateway.rails[0].as_ref();
    let is_sent = matches!(purchase.stage(), Stage::Submitted { .. });
    let mut progress = Progress { answers: Vec::new(), presented: purchase.presented(), was_good: false, is_sent, reserved: Amount::ZERO };
    let mut stored = purchase.stage().clone();
    for _ in 0..16 {
        match rail.next(purchase.payment(), &progress) {
            Step::Ask(question) => progress.answers.push(ask(&question)),
            Step::Prepared(Prepared::Send(send)) => {
                let (Send::Request(request) | Send::Watch(request)) = *send else { panic!("it has no account") };
                if !progress.is_sent {
                    purchase.submit(None);
                    stored = purchase.stage().clone();
                    progress = Progress { answers: Vec::new(), is_sent: true, ..progress };
                }
                progress.answers.push(ask(&request));
            }
            Step::Prepared(prepared) => return (prepared, stored),
        }
    }
    panic!("it asks without end");
}

fn with_chain<'a>(chain: &'a mut Chain) -> impl FnMut(&Ask) -> Answer + 'a {
    |ask| match ask {
        Ask::Rpc { requests, after } => {
            chain.seconds += after.as_secs();
            chain.head += after.as_secs();
            chain.all(requests)
        }
        Ask::Promise(_) => Answer::Promised(true),
        _ => panic!("another question"),
    }
}

fn begun(payment: &Payment) -> Purchase {
    Purchase::present(None, payment.clone(), None, NOW, false).unwrap().0
}

fn reference(prepared: Prepared) -> String {
    match prepared {
        Prepared::Settled(reference) => reference.as_str().to_owned(),
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn assert_problem(prepared: &Prepared, status: u16, words: &str) {
    let (Prepared::Refused(problem) | Prepared::Later(problem) | Prepared::Unknown(problem)) = prepared else { panic!("{prepared:?}") };
    assert!(problem.kind.status() == status && problem.detail.contains(words), "{words}: {problem}");
    assert_eq!(matches!(prepared, Prepared::Refused(_)), status == 402, "{problem}");
}
