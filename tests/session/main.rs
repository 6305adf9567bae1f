//! A session's credentials from the challenge to what their signatures prove, without chain or storage: the request object, every
//! action of both methods and every way in which it may be wrong, what a challenge is good for, receipts, problems, and what a
//! client's transaction proves. Runs in wasm as well.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests may panic")]

mod answers;
mod ledger;
mod offers;
mod payload;
#[cfg(not(target_arch = "wasm32"))]
mod properties;
mod request;
mod signatures;

use alloy_primitives::{Address, B256, address, hex};
use mpp_edge::channel::{Action, Proof, Reuse};
use mpp_edge::evm::eip712::Domain;
use mpp_edge::evm::erc3009::{Authorization, SignedAuthorization};
use mpp_edge::evm::escrow::{Opening, SignedVoucher, ToppingUp, channel_id};
use mpp_edge::evm::key::PrivateKey;
use mpp_edge::evm::signature::Signature;
use mpp_edge::evm::signers::Signers;
use mpp_edge::gateway::offer::{Asked, Circumstances, Offer};
use mpp_edge::money::Amount;
use mpp_edge::rail::RailId;
use mpp_edge::rail::evm::Method;
use mpp_edge::rail::evm::session::{SessionTerms, Unverified, domain};
use mpp_edge::time::{Timestamp, UnixSeconds};
use mpp_edge::wire::encoding::to_base64url;
use mpp_edge::wire::mpp::challenge::BindingKeys;
use mpp_edge::wire::mpp::credential::{Credential, CredentialField};
use mpp_edge::wire::problem::{Problem, ProblemKind};
use serde_json::{Value, json};
use std::time::Duration;

const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);
const LIFETIME: Duration = Duration::from_secs(300);
const CHAIN_ID: u64 = 11124;
const ROUTE: &str = "/v1/{thing}";
const ASKED: Asked<'_> =
    Asked { realm: "api.example.com", method: "GET", target: "/v1/x?q=1", digest: None, field: CredentialField::Authorization };

const PAYER_KEY: &str = "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d";
const PAYER: Address = address!("0x70997970C51812dc3A010C7d01b50e0d17dc79C8");
const SIGNER_KEY: &str = "0x7c852118294e51e653712a81e05800f419141751be58f605c371e15141b007a6";
const SIGNER: Address = address!("0x90F79bf6EB2c4f870365E785982E1f101E93b906");
const STRANGER_KEY: &str = "0x47e179ec197488593b187f80a00eb0da91f1b9d0b13f8733639f19c30a34926a";
const STRANGER: Address = address!("0x15d34AAf54267DB7D7c367839AAf71A00a2C6A65");

const TOKEN: Address = address!("0xbd28Bd5A3Ef540d1582828CE2A1a657353008C61");
const RECIPIENT: Address = address!("0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC");
const SALT: B256 = B256::repeat_byte(0x5a);
const TRANSACTION: B256 = B256::repeat_byte(0x7e);
const DEPOSIT: u128 = 1_000_000;

const fn escrow(method: Method) -> Address {
    match method {
        Method::Abstract => address!("0x29635C384f451a72ED2e2a312BCeb8b0bDC0923c"),
        Method::Evm => address!("0x9965507D1a55bcC2695C58ba16FB37d819B0A4dc"),
    }
}

fn terms(method: Method) -> SessionTerms {
    SessionTerms {
        price: Amount::from_base_units(1_000),
        unit_type: "request".into(),
        chain_id: CHAIN_ID,
        token: TOKEN,
        recipient: RECIPIENT,
        escrow: escrow(method),
        suggested_deposit: Some(Amount::from_base_units(DEPOSIT)),
        min_delta: Amount::ZERO,
    }
}

fn keys() -> BindingKeys {
    BindingKeys::new(&[7; 32], None).unwrap()
}

fn token_domain() -> Domain {
    Domain::new("Bridged USDC", "2", CHAIN_ID, TOKEN)
}

fn voucher_domain(method: Method) -> Domain {
    domain(method, CHAIN_ID, escrow(method))
}

/// The rails on which openings are submitted for clients.
fn on_rails(sponsored: bool) -> &'static [RailId] {
    if sponsored { &[RailId(0)] } else { &[] }
}

fn offer(method: Method) -> Offer {
    Offer::of_session(RailId(0), method, ROUTE, terms(method), None, Reuse::Once)
}

/// A challenge's parameters as a client returns them.
fn echoed(header: &str) -> Value {
    let parameters = header.strip_prefix("Payment ").unwrap().split("\", ").map(|one| one.split_once("=\"").unwrap());
    Value::Object(parameters.map(|(name, value)| (name.to_owned(), json!(value.trim_end_matches('"')))).collect())
}

fn challenge(offer: &Offer) -> Value {
    echoed(&offer.issue(&ASKED, &keys(), None, &Circumstances::default(), NOW.saturating_add(LIFETIME), [1; 12]).header)
}

fn parse(credential: &Value) -> Credential {
    Credential::parse(&to_base64url(credential.to_string())).unwrap()
}

fn sign(key: &str, digest: B256) -> Signature {
    PrivateKey::parse(key).unwrap().sign(digest)
}

fn text(signature: Signature) -> String {
    hex::encode_prefixed(signature.to_bytes())
}

/// A channel's opening by the payer's authorization of the whole deposit, rightly signed.
fn opening(method: Method, authorized_signer: Address) -> Opening {
    let authorization = Authorization {
        from: PAYER,
        to: escrow(method),
        value: Amount::from_base_units(DEPOSIT),
        valid_after: UnixSeconds::new(0),
        valid_before: NOW.saturating_add(LIFETIME).seconds(),
        nonce: B256::ZERO,
    };
    let signed = SignedAuthorization { authorization, signature: sign(PAYER_KEY, B256::ZERO) };
    let mut opening = Opening { escrow: escrow(method), token: TOKEN, payee: RECIPIENT, salt: SALT, authorized_signer, signed };
    opening.signed = authorized(PAYER_KEY, Authorization { nonce: opening.nonce(), ..authorization });
    opening
}

/// An addition of 500 000 to the channel without an authorized signer, by a stranger: whoever wants may add.
fn topping_up() -> ToppingUp {
    let Opening { escrow, token, salt, signed, .. } = opening(Method::Evm, Address::ZERO);
    let authorization = Authorization { from: STRANGER, value: Amount::from_base_units(500_000), ..signed.authorization };
    let mut topping_up = ToppingUp { escrow, token, channel_id: channel(Method::Evm), salt, signed };
    topping_up.signed.authorization = authorization;
    topping_up.signed = authorized(STRANGER_KEY, Authorization { nonce: topping_up.nonce(), ..authorization });
    topping_up
}

fn authorized(key: &str, authorization: Authorization) -> SignedAuthorization {
    SignedAuthorization { authorization, signature: sign(key, authorization.receive_digest(&token_domain())) }
}

/// The channel of the payer without an authorized signer.
fn channel(method: Method) -> B256 {
    channel_id(&opening(method, Address::ZERO), CHAIN_ID)
}

fn voucher(key: &str, cumulative: u128, channel: B256, domain: &Domain) -> Signature {
    sign(key, SignedVoucher::digest(Amount::from_base_units(cumulative), channel, domain))
}

fn authorization_json(authorization: &Authorization) -> Value {
    json!({
        "from": authorization.from.to_checksum(None), "to": authorization.to.to_checksum(None), "value": authorization.value,
        "validAfter": authorization.valid_after.get().to_string(), "validBefore": authorization.valid_before.get().to_string(),
        "nonce": authorization.nonce,
    })
}

/// A way to say something of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Open,
    TopUp,
    Voucher,
    Close,
    /// The gateway is to submit it.
    OpenForClient,
    TopUpForClient,
    /// Merged into a voucher.
    VoucherWithOpen,
    VoucherWithTopUp,
}

use Form::{Close, Open, OpenForClient, TopUp, TopUpForClient, Voucher, VoucherWithOpen, VoucherWithTopUp};

const FORMS: [(Method, Form); 12] = [
    (Method::Abstract, Open),
    (Method::Abstract, TopUp),
    (Method::Abstract, Voucher),
    (Method::Abstract, Close),
    (Method::Evm, Open),
    (Method::Evm, TopUp),
    (Method::Evm, Voucher),
    (Method::Evm, Close),
    (Method::Evm, OpenForClient),
    (Method::Evm, TopUpForClient),
    (Method::Evm, VoucherWithOpen),
    (Method::Evm, VoucherWithTopUp),
];

impl Form {
    /// What an honest payer sends; its voucher allows 2 000.
    fn payload(self, method: Method) -> Value {
        let id = channel(method);
        let voucher = text(voucher(PAYER_KEY, 2_000, id, &voucher_domain(method)));
        let hash = if method == Method::Evm { "hash" } else { "txHash" };
        match self {
            Open => {
                let mut payload =
                    json!({ "action": "open", "channelId": id, hash: TRANSACTION, "cumulativeAmount": "2000", "signature": voucher });
                if method == Method::Evm {
                    payload["type"] = json!("hash");
                    payload["salt"] = json!(SALT);
                }
                payload
            }
            TopUp => {
                let mut payload = json!({ "action": "topUp", "channelId": id, hash: TRANSACTION, "additionalDeposit": "500000" });
                if method == Method::Evm {
                    payload["type"] = json!("hash");
                }
                payload
            }
            Voucher => json!({ "action": "voucher", "channelId": id, "cumulativeAmount": "2000", "signature": voucher }),
            Close => json!({ "action": "close", "channelId": id, "cumulativeAmount": "2000", "signature": voucher }),
            OpenForClient => {
                let signed = opening(method, Address::ZERO).signed;
                json!({
                    "action": "open", "type": "authorization", "channelId": id, "authorization": authorization_json(&signed.authorization),
                    "signature": text(signed.signature), "salt": SALT, "cumulativeAmount": "2000", "voucherSignature": voucher,
                })
            }
            TopUpForClient => {
                let signed = topping_up().signed;
                json!({
                    "action": "topUp", "type": "authorization", "channelId": id, "authorization": authorization_json(&signed.authorization),
                    "signature": text(signed.signature), "salt": SALT, "additionalDeposit": "500000",
                })
            }
            VoucherWithOpen => {
                let signed = opening(method, Address::ZERO).signed;
                let mut payload = Voucher.payload(method);
                payload["deposit"] = json!({
                    "action": "open", "type": "authorization", "authorization": authorization_json(&signed.authorization),
                    "signature": text(signed.signature), "salt": SALT,
                });
                payload
            }
            VoucherWithTopUp => {
                let signed = topping_up().signed;
                let mut payload = Voucher.payload(method);
                payload["deposit"] = json!({
                    "action": "topUp", "authorization": authorization_json(&signed.authorization), "signature": text(signed.signature),
                    "salt": SALT,
                });
                payload
            }
        }
    }
}

/// A payload as the gateway judges it, under a challenge of its own.
fn judge_from(method: Method, payload: &Value, source: Option<&str>) -> Result<(Action, Proof), Problem> {
    let offers = [offer(method)];
    let mut credential = json!({ "challenge": challenge(&offers[0]), "payload": payload });
    if let Some(source) = source {
        credential["source"] = json!(source);
    }
    let credential = parse(&credential);
    let session = ASKED.accept(&credential, &offers, &keys(), NOW).unwrap().offer.session().cloned().unwrap();
    let unverified = Unverified::read(&credential, method, &session.terms)?;
    let action = unverified.action;
    assert_eq!(unverified.channel_id.to_string(), payload["channelId"].as_str().unwrap());
    let token = unverified.is_sponsored().then(token_domain);
    let proof = unverified.verify(&session.domain, token.as_ref(), &mut Signers::new())?;
    assert_eq!(proof.sponsored.is_some(), token.is_some());
    Ok((action, proof))
}

fn judge(method: Method, payload: &Value) -> Result<(Action, Proof), Problem> {
    judge_from(method, payload, None)
}

/// The payload with the member at `pointer` replaced or added; without it when `member` is null.
fn with(mut payload: Value, pointer: &str, member: Value) -> Value {
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    let map = payload.pointer_mut(parent).unwrap().as_object_mut().unwrap();
    match member {
        Value::Null => drop(map.remove(name)),
        member => drop(map.insert(name.into(), member)),
    }
    payload
}

/// The payload is refused, and the detail begins with the field.
fn refused(method: Method, payload: &Value, field: &str, kind: ProblemKind) {
    let problem = judge(method, payload).expect_err(&format!("{method}: taken with a wrong {field}: {payload}"));
    assert_eq!(problem.kind, kind, "{method}: {field}: {}: {payload}", problem.detail);
    let (parent, name) = field.rsplit_once('.').unwrap();
    let is_missing = problem.detail == format!("{parent}: missing field `{name}`");
    assert!(is_missing || problem.detail.starts_with(&format!("{field}: ")), "not about {field}: {}", problem.detail);
}
