//! What is sold, to whom, and what they send.

use alloy_primitives::{Address, B256, address, hex};
use mpp_edge::channel::Reuse;
use mpp_edge::evm::eip712::Domain;
use mpp_edge::evm::erc3009::Authorization;
use mpp_edge::evm::escrow::SignedVoucher;
use mpp_edge::evm::key::PrivateKey;
use mpp_edge::gateway::offer::{Asked, Circumstances, Offer};
use mpp_edge::money::Amount;
use mpp_edge::rail::RailId;
use mpp_edge::rail::evm::Method;
use mpp_edge::rail::evm::charge::challenge_hashes;
use mpp_edge::rail::evm::{Offered, charge, session};
use mpp_edge::time::{Timestamp, UnixSeconds};
use mpp_edge::wire::encoding::{from_base64, to_base64, to_base64url};
use mpp_edge::wire::mpp::challenge::BindingKeys;
use mpp_edge::wire::mpp::credential::CredentialField;
use serde_json::{Value, json};
use std::time::Duration;

pub(crate) const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);
pub(crate) const CHAIN_ID: u64 = 11_124;
pub(crate) const TOKEN: Address = address!("0xbd28Bd5A3Ef540d1582828CE2A1a657353008C61");
pub(crate) const TOKEN_NAME: &str = "Bridged USDC (Stargate)";
pub(crate) const RECIPIENT: Address = address!("0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC");
pub(crate) const ESCROW: Address = address!("0x9965507D1a55bcC2695C58ba16FB37d819B0A4dc");
pub(crate) const PAYER: Address = address!("0x70997970C51812dc3A010C7d01b50e0d17dc79C8");
const PAYER_KEY: &str = "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d";
pub(crate) const CHANNEL: B256 = B256::repeat_byte(0x1d);
pub(crate) const CUMULATIVE: Amount = Amount::from_base_units(2_000);
const METHOD: Method = Method::Evm;
const ENTROPY: [u8; 12] = [1; 12];

pub(crate) const ASKED: Asked<'_> =
    Asked { realm: "api.example.com", method: "GET", target: "/v1/quote?of=the+day", digest: None, field: CredentialField::Authorization };

pub(crate) const CHARGE: charge::ChargeTerms =
    charge::ChargeTerms { amount: Amount::from_base_units(10_000), chain_id: CHAIN_ID, token: TOKEN, decimals: 6, recipient: RECIPIENT };

pub(crate) fn session() -> session::SessionTerms {
    session::SessionTerms {
        price: Amount::from_base_units(1_000),
        unit_type: "request".into(),
        chain_id: CHAIN_ID,
        token: TOKEN,
        recipient: RECIPIENT,
        escrow: ESCROW,
        suggested_deposit: Some(Amount::from_base_units(1_000_000)),
        min_delta: Amount::ZERO,
    }
}

pub(crate) fn token_domain() -> Domain {
    Domain::new(TOKEN_NAME, "2", CHAIN_ID, TOKEN)
}

pub(crate) fn voucher_domain() -> Domain {
    session::domain(METHOD, CHAIN_ID, ESCROW)
}

pub(crate) fn keys() -> BindingKeys {
    BindingKeys::new(&[7; 32], None).unwrap()
}

pub(crate) fn offers() -> [Offer; 2] {
    [
        Offer::of_charge(RailId(0), Offered::new(METHOD, CHARGE, None), None),
        Offer::of_session(RailId(0), METHOD, "/v1/quote", session(), None, Reuse::Once),
    ]
}

fn expiry() -> Timestamp {
    NOW.saturating_add(Duration::from_secs(300))
}

pub(crate) fn issue(offer: &Offer, keys: &BindingKeys) -> String {
    offer.issue(&ASKED, keys, Some("A quote"), &Circumstances::default(), expiry(), ENTROPY).header
}

/// A challenge as a client returns it.
fn echoed(offer: &Offer) -> Value {
    let header = issue(offer, &keys());
    let parameters = header.strip_prefix("Payment ").unwrap().split("\", ").map(|one| one.split_once("=\"").unwrap());
    Value::Object(parameters.map(|(name, value)| (name.to_owned(), json!(value.trim_end_matches('"')))).collect())
}

pub(crate) fn authorization(nonce: B256) -> Authorization {
    Authorization {
        from: PAYER,
        to: RECIPIENT,
        value: CHARGE.amount,
        valid_after: UnixSeconds::new(0),
        valid_before: expiry().seconds(),
        nonce,
    }
}

/// The 65 bytes of the payer's signature.
pub(crate) fn signed(digest: B256) -> [u8; 65] {
    PrivateKey::parse(PAYER_KEY).unwrap().sign(digest).to_bytes()
}

/// The `Authorization` value of an honest charge.
pub(crate) fn charge_header() -> String {
    let [offer, _] = offers();
    let challenge = echoed(&offer);
    let [nonce, _] = challenge_hashes(challenge.get("id").and_then(Value::as_str).unwrap(), ASKED.realm);
    let authorization = authorization(nonce);
    let payload = json!({
        "type": "authorization", "from": PAYER.to_checksum(None), "to": RECIPIENT.to_checksum(None), "value": authorization.value,
        "validAfter": "0", "validBefore": authorization.valid_before.get().to_string(), "nonce": nonce,
        "signature": hex::encode_prefixed(signed(authorization.digest(&token_domain()))),
    });
    header(&json!({ "challenge": challenge, "payload": payload, "source": format!("did:pkh:eip155:{CHAIN_ID}:{PAYER}") }))
}

/// The `PAYMENT-SIGNATURE` of an honest charge for what this `PAYMENT-REQUIRED` asks.
pub(crate) fn exact_header(required: &str) -> String {
    let required: Value = serde_json::from_slice(&from_base64(required).unwrap()).unwrap();
    let authorization = authorization(B256::repeat_byte(7));
    let signature = hex::encode_prefixed(signed(authorization.digest(&token_domain())));
    let authorization = json!({
        "from": PAYER.to_checksum(None), "to": RECIPIENT.to_checksum(None), "value": authorization.value, "validAfter": "0",
        "validBefore": authorization.valid_before.get().to_string(), "nonce": authorization.nonce,
    });
    to_base64(
        json!({
            "x402Version": 2, "accepted": required.pointer("/accepts/0"), "resource": required.get("resource"),
            "extensions": required.get("extensions"), "payload": { "authorization": authorization, "signature": signature },
        })
        .to_string(),
    )
}

/// The `Authorization` value of an honest voucher.
pub(crate) fn voucher_header() -> String {
    let [_, offer] = offers();
    let digest = SignedVoucher::digest(CUMULATIVE, CHANNEL, &voucher_domain());
    let payload = json!({
        "action": "voucher", "channelId": CHANNEL, "cumulativeAmount": CUMULATIVE, "signature": hex::encode_prefixed(signed(digest)),
    });
    header(&json!({ "challenge": echoed(&offer), "payload": payload }))
}

fn header(credential: &Value) -> String {
    format!("Payment {}", to_base64url(credential.to_string()))
}
