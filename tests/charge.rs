//! A charge from its challenge to what is broadcast, without chain or storage: offered, signed by a payer, accepted, read,
//! verified; and every way in which a credential may be wrong, with the problem it gets. Runs in wasm as well.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests may panic")]

use alloy_primitives::{Address, B256, U256, address, hex};
use mpp_edge::channel::Reuse;
use mpp_edge::evm::eip712::Domain;
use mpp_edge::evm::erc3009::{Authorization, SignedAuthorization};
use mpp_edge::evm::key::PrivateKey;
use mpp_edge::gateway::offer::{Asked, Circumstances, Offer};
use mpp_edge::money::Amount;
use mpp_edge::rail::RailId;
use mpp_edge::rail::evm::Asset;
use mpp_edge::rail::evm::charge::{Binding, Charge, ChargeTerms, Unverified, challenge_hashes};
use mpp_edge::rail::evm::session::SessionTerms;
use mpp_edge::rail::evm::{Method, Offered};
use mpp_edge::time::{Timestamp, UnixSeconds};
use mpp_edge::wire::encoding::to_base64url;
use mpp_edge::wire::mpp::challenge::BindingKeys;
use mpp_edge::wire::mpp::credential::{Credential, CredentialField};
use mpp_edge::wire::problem::{Problem, ProblemKind};
use serde_json::{Value, json};
use std::time::Duration;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);
const LIFETIME: Duration = Duration::from_secs(300);
const PAYER_KEY: &str = "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d";
const PAYER: &str = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";
const TERMS: ChargeTerms = ChargeTerms {
    amount: Amount::from_base_units(10_000),
    chain_id: 11124,
    token: address!("0xbd28Bd5A3Ef540d1582828CE2A1a657353008C61"),
    decimals: 6,
    recipient: address!("0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC"),
};
const ASKED: Asked<'_> =
    Asked { realm: "api.example.com", method: "GET", target: "/v1/x", digest: None, field: CredentialField::Authorization };

fn keys() -> BindingKeys {
    BindingKeys::new(&[7; 32], None).unwrap()
}

fn domain() -> Domain {
    Domain::new("Bridged USDC", "2", TERMS.chain_id, TERMS.token)
}

fn offers() -> Vec<Offer> {
    Method::ALL.map(|method| Offer::of_charge(RailId(0), Offered::new(method, TERMS, None), None)).to_vec()
}

/// A fresh challenge as a client returns it.
fn challenge(method: Method) -> Value {
    let offer = offers().into_iter().find(|offer| offer.method() == method.name()).unwrap();
    let issued = offer.issue(&ASKED, &keys(), None, &Circumstances::default(), NOW.saturating_add(LIFETIME), [1; 12]);
    echoed(&issued.header)
}

fn echoed(header: &str) -> Value {
    let parameters = header.strip_prefix("Payment ").unwrap().split(", ").map(|one| one.split_once('=').unwrap());
    Value::Object(parameters.map(|(name, value)| (name.to_owned(), json!(value.trim_matches('"')))).collect())
}

fn nonce(method: Method, challenge: &Value) -> B256 {
    match method {
        Method::Abstract => B256::repeat_byte(9),
        Method::Evm => challenge_hashes(challenge["id"].as_str().unwrap(), "api.example.com")[0],
    }
}

/// What an honest client sends.
fn honest(method: Method) -> Value {
    let challenge = challenge(method);
    let authorization = Authorization {
        from: PAYER.parse().unwrap(),
        to: TERMS.recipient,
        value: TERMS.amount,
        valid_after: UnixSeconds::new(0),
        valid_before: NOW.saturating_add(LIFETIME).seconds(),
        nonce: nonce(method, &challenge),
    };
    let signature = PrivateKey::parse(PAYER_KEY).unwrap().sign(authorization.digest(&domain()));
    let mut payload = json!({
        "type": "authorization", "from": PAYER, "validAfter": "0", "validBefore": authorization.valid_before.get().to_string(),
        "nonce": authorization.nonce, "signature": hex::encode_prefixed(signature.to_bytes()),
    });
    if method == Method::Evm {
        payload["to"] = json!(TERMS.recipient.to_checksum(None));
        payload["value"] = json!("10000");
    }
    json!({ "challenge": challenge, "payload": payload, "source": format!("did:pkh:eip155:11124:{PAYER}") })
}

fn judge(method: Method, credential: &Value) -> Result<SignedAuthorization, Problem> {
    let credential = Credential::parse(&to_base64url(credential.to_string())).unwrap();
    let offers = offers();
    let accepted = ASKED.accept(&credential, &offers, &keys(), NOW)?;
    assert_eq!((accepted.offer.method(), accepted.expires), (method.name(), NOW.saturating_add(LIFETIME)));
    Unverified::read(&credential, method, &TERMS)?.verify(&domain())
}

/// The problem that an otherwise honest credential gets with `member` at `pointer`; null removes it.
fn with(method: Method, pointer: &str, member: Value) -> Result<SignedAuthorization, Problem> {
    let mut credential = honest(method);
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    let map = credential.pointer_mut(parent).unwrap().as_object_mut().unwrap();
    match member {
        Value::Null => drop(map.remove(name)),
        member => drop(map.insert(name.into(), member)),
    }
    judge(method, &credential)
}

fn refused(method: Method, pointer: &str, member: Value, kind: ProblemKind) {
    let shown = member.to_string();
    let problem = with(method, pointer, member).expect_err(&format!("{method}: {pointer} = {shown} was taken"));
    assert_eq!(problem.kind, kind, "{method}: {pointer} = {shown}: {}", problem.detail);
    let field = pointer.trim_start_matches('/').replace('/', ".");
    assert!(field.starts_with("challenge") || problem.detail.contains(field.split('.').next().unwrap()), "{}", problem.detail);
}

#[test]
fn an_honest_credential_is_what_the_token_will_take() {
    for method in Method::ALL {
        let signed = judge(method, &honest(method)).unwrap();
        assert_eq!(signed.authorization.from, PAYER.parse::<Address>().unwrap());
        assert_eq!((signed.authorization.to, signed.authorization.value), (TERMS.recipient, TERMS.amount));
        assert_eq!(signed.transfer_call().len(), 4 + 9 * 32);
        assert!(with(method, "/source", Value::Null).is_ok());
    }
    // `abstract` may repeat payee and amount.
    assert!(with(Method::Abstract, "/payload/to", json!(TERMS.recipient)).is_ok());
    assert!(with(Method::Abstract, "/payload/value", json!("10000")).is_ok());
}

#[test]
fn what_cannot_be_read_is_malformed() {
    use ProblemKind::MalformedCredential;
    for method in Method::ALL {
        for field in ["type", "from", "validAfter", "validBefore", "nonce", "signature"] {
            refused(method, &format!("/payload/{field}"), Value::Null, MalformedCredential);
            refused(method, &format!("/payload/{field}"), json!(7), MalformedCredential);
        }
        refused(method, "/payload/type", json!("cheque"), MalformedCredential);
        refused(method, "/payload/from", json!("0x70997970C51812dc3A010C7d01b50e0d17dc79c8"), MalformedCredential);
        refused(method, "/payload/nonce", json!("0x00"), MalformedCredential);
        for time in ["-1", "1e9", "", "01", "٣", "18446744073709551616"] {
            refused(method, "/payload/validBefore", json!(time), MalformedCredential);
        }
    }
    refused(Method::Evm, "/payload/to", Value::Null, MalformedCredential);
    refused(Method::Evm, "/payload/value", Value::Null, MalformedCredential);
    for value in ["-10000", "1e4", "010000", "10000.0", " 10000", "٣", "340282366920938463463374607431768211456"] {
        refused(Method::Evm, "/payload/value", json!(value), MalformedCredential);
    }
    for kind in ["permit2", "transaction", "hash"] {
        refused(Method::Evm, "/payload/type", json!(kind), ProblemKind::MethodUnsupported);
    }
}

#[test]
fn what_proves_something_else_fails() {
    use ProblemKind::VerificationFailed;
    let stranger = "0x90F79bf6EB2c4f870365E785982E1f101E93b906";
    for method in Method::ALL {
        refused(method, "/payload/from", json!(stranger), VerificationFailed);
        refused(method, "/payload/to", json!(stranger), VerificationFailed);
        refused(method, "/payload/value", json!("9999"), ProblemKind::PaymentInsufficient);
        refused(method, "/payload/value", json!("10001"), VerificationFailed);
        refused(method, "/payload/validAfter", json!("1"), VerificationFailed);
        refused(method, "/payload/validBefore", json!("1900000000"), VerificationFailed);
        refused(method, "/payload/nonce", json!(B256::repeat_byte(8)), VerificationFailed);
        for source in [
            stranger,
            "did:pkh:eip155:1:0x70997970C51812dc3A010C7d01b50e0d17dc79C8",
            "did:pkh:eip155:11124:0x90F79bf6EB2c4f870365E785982E1f101E93b906",
        ] {
            refused(method, "/source", json!(source), VerificationFailed);
        }
    }
}

/// Signed by the payer, and yet not for this challenge: `evm` binds the nonce, `abstract` leaves it to the client.
#[test]
fn the_nonce_of_evm_belongs_to_the_challenge() {
    for (method, taken) in [(Method::Abstract, Ok(())), (Method::Evm, Err(ProblemKind::VerificationFailed))] {
        assert_eq!(with_nonce(method, |_| B256::repeat_byte(8)), taken, "{method}");
    }
    for form in 0..2 {
        let of = |id: &str, realm| challenge_hashes(id, realm)[form];
        assert_eq!(with_nonce(Method::Evm, |id| of(id, "api.example.com")), Ok(()), "{form}");
        assert_eq!(with_nonce(Method::Evm, |id| of(id, "elsewhere")), Err(ProblemKind::VerificationFailed), "{form}");
        assert_eq!(with_nonce(Method::Evm, |_| of("another", "api.example.com")), Err(ProblemKind::VerificationFailed), "{form}");
    }
}

/// What becomes of a credential that the payer has signed with the nonce that `of` makes of the challenge's id.
fn with_nonce(method: Method, of: impl Fn(&str) -> B256) -> Result<(), ProblemKind> {
    let mut credential = honest(method);
    let nonce = of(credential["challenge"]["id"].as_str().unwrap());
    let authorization = Authorization { nonce, ..judge(method, &credential).unwrap().authorization };
    let signature = PrivateKey::parse(PAYER_KEY).unwrap().sign(authorization.digest(&domain()));
    credential["payload"]["nonce"] = json!(authorization.nonce);
    credential["payload"]["signature"] = json!(hex::encode_prefixed(signature.to_bytes()));
    judge(method, &credential).map(drop).map_err(|problem| problem.kind)
}

#[test]
fn only_the_canonical_signature_is_taken() {
    const ORDER: U256 = U256::from_be_bytes(hex!("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141"));
    for method in Method::ALL {
        let text = honest(method)["payload"]["signature"].as_str().unwrap().to_owned();
        let good: [u8; 65] = hex::decode(&text).unwrap().try_into().unwrap();
        let mut others: Vec<Vec<u8>> = Vec::new();
        for v in [0, 1, 55 - good[64], 26, 29, 255] {
            others.push([&good[..64], &[v]].concat());
        }
        let high = (ORDER - U256::from_be_slice(&good[32..64])).to_be_bytes::<32>();
        for v in [27, 28] {
            others.push([&good[..32], &high, &[v]].concat());
            others.push([&[0; 64][..], &[v]].concat());
            others.push([&[255; 64][..], &[v]].concat());
        }
        others.push(good[..64].to_vec());
        others.push([&good[..], &[0]].concat());
        for other in others {
            refused(method, "/payload/signature", json!(hex::encode_prefixed(other)), ProblemKind::VerificationFailed);
        }
        // Of another domain.
        let mut credential = honest(method);
        let authorization = judge(method, &credential).unwrap().authorization;
        for domain in [
            Domain::new("Bridged USDC", "1", TERMS.chain_id, TERMS.token),
            Domain::new("Bridged USDC", "2", 1, TERMS.token),
            Domain::new("Bridged USDC", "2", TERMS.chain_id, TERMS.recipient),
        ] {
            let signature = PrivateKey::parse(PAYER_KEY).unwrap().sign(authorization.digest(&domain));
            credential["payload"]["signature"] = json!(hex::encode_prefixed(signature.to_bytes()));
            assert_eq!(judge(method, &credential).unwrap_err().kind, ProblemKind::VerificationFailed);
        }
    }
}

#[test]
fn an_edited_or_outdated_challenge_is_invalid() {
    for method in Method::ALL {
        for field in ["id", "realm", "method", "intent", "request", "expires", "opaque"] {
            let value = honest(method)["challenge"][field].as_str().unwrap().to_owned();
            let last = if value.ends_with('A') { 'B' } else { 'A' };
            let edited = format!("{}{last}", value.get(..value.len() - 1).unwrap());
            refused(method, &format!("/challenge/{field}"), json!(edited), ProblemKind::InvalidChallenge);
        }
        // The price has changed since.
        let dearer = ChargeTerms { amount: Amount::from_base_units(10_001), ..TERMS };
        let credential = Credential::parse(&to_base64url(honest(method).to_string())).unwrap();
        let offers = [Offer::of_charge(RailId(0), Offered::new(method, dearer, None), None)];
        assert_eq!(ASKED.accept(&credential, &offers, &keys(), NOW).unwrap_err().kind, ProblemKind::InvalidChallenge);
        let late = NOW.saturating_add(LIFETIME + Duration::from_secs(86_400));
        assert_eq!(ASKED.accept(&credential, &self::offers(), &keys(), late).unwrap_err().kind, ProblemKind::PaymentExpired);
    }
}

#[test]
fn what_is_prepared_for_a_realm_changes_no_challenge() {
    let session = SessionTerms {
        price: TERMS.amount,
        unit_type: "request".into(),
        chain_id: TERMS.chain_id,
        token: TERMS.token,
        recipient: TERMS.recipient,
        escrow: Address::repeat_byte(3),
        suggested_deposit: None,
        min_delta: Amount::ZERO,
    };
    let description = Some("One call");
    let session = Offer::of_session(RailId(0), Method::Evm, "/v1/*", session, description, Reuse::Once);
    let plain: Vec<_> = offers().into_iter().chain([session]).collect();
    let mut prepared = plain.clone();
    prepared.iter_mut().for_each(|offer| offer.prepare(&keys(), ASKED.realm, description));
    let expires = NOW.saturating_add(LIFETIME);
    for asked in [ASKED, Asked { realm: "api.example.org", ..ASKED }, Asked { field: CredentialField::PaymentAuthorization, ..ASKED }] {
        for (plain_offer, prepared_offer) in plain.iter().zip(&prepared) {
            for sponsored in [&[][..], &[RailId(0)]] {
                let circumstances = Circumstances { sponsored, ..Circumstances::default() };
                let issue = |offer: &Offer| offer.issue(&asked, &keys(), description, &circumstances, expires, [1; 12]);
                let issued = issue(prepared_offer);
                assert_eq!(issued, issue(plain_offer));
                // Each takes what the other has made, and neither that of another realm, or of another secret.
                let credential = json!({ "challenge": echoed(&issued.header), "payload": {} });
                let credential = Credential::parse(&to_base64url(credential.to_string())).unwrap();
                let other = BindingKeys::new(&[8; 32], None).unwrap();
                let mut foreign = plain.clone();
                foreign.iter_mut().for_each(|offer| offer.prepare(&other, ASKED.realm, description));
                for offers in [&plain, &prepared] {
                    assert!(asked.accept(&credential, offers, &keys(), NOW).is_ok());
                    assert!(Asked { realm: "api.example.net", ..asked }.accept(&credential, offers, &keys(), NOW).is_err());
                }
                assert!(asked.accept(&credential, &foreign, &other, NOW).is_err());
            }
        }
    }
}

#[test]
fn a_challenge_is_answered_in_the_field_it_names() {
    let own = Asked { field: CredentialField::PaymentAuthorization, ..ASKED };
    let offers = offers();
    for (asked, other) in [(own, ASKED), (ASKED, own)] {
        let issued = offers[0].issue(&asked, &keys(), None, &Circumstances::default(), NOW.saturating_add(LIFETIME), [1; 12]);
        let mut challenge = echoed(&issued.header);
        assert_eq!(challenge.get("header").and_then(Value::as_str), asked.field.parameter());
        let accept = |challenge: &Value, asked: &Asked<'_>| {
            let credential = json!({ "challenge": challenge, "payload": {} });
            let credential = Credential::parse(&to_base64url(credential.to_string())).unwrap();
            asked.accept(&credential, &offers, &keys(), NOW).map(|_| ()).map_err(|problem| problem.kind)
        };
        assert_eq!(accept(&challenge, &asked), Ok(()));
        // Neither where credentials are in the other field, nor with the parameter taken away, added or changed.
        assert_eq!(accept(&challenge, &other), Err(ProblemKind::InvalidChallenge));
        for header in [json!(other.field.parameter()), json!("payment-authorization"), json!("X-Pay"), json!("")] {
            challenge["header"] = header;
            for asked in [&asked, &other] {
                assert_eq!(accept(&challenge, asked), Err(ProblemKind::InvalidChallenge), "{challenge}");
            }
        }
    }
}

#[test]
fn only_what_can_still_be_settled_is_begun() {
    let signed = judge(Method::Abstract, &honest(Method::Abstract)).unwrap();
    let expires = NOW.saturating_add(LIFETIME);
    let charge = Charge {
        binding: Binding::Challenge { id: "i".into(), expires, binds_nonce: false },
        asset: Asset { chain_id: TERMS.chain_id, token: TERMS.token },
        signed,
    };
    let kind = |charge: &Charge, at: Timestamp| charge.untimely(at).map(|problem| problem.kind);
    assert_eq!(kind(&charge, NOW), None);
    assert_eq!(kind(&charge, expires), Some(ProblemKind::PaymentExpired));
    assert_eq!(kind(&charge, expires.saturating_sub(Duration::from_secs(10))), Some(ProblemKind::PaymentExpired));
    assert_eq!(kind(&charge, expires.saturating_sub(Duration::from_millis(10_001))), None);
    let mut early = charge;
    early.signed.authorization.valid_after = NOW.seconds();
    assert_eq!(kind(&early, NOW), Some(ProblemKind::VerificationFailed));
    assert_eq!(kind(&early, NOW.saturating_add(Duration::from_secs(1))), None);
    early.signed.authorization.valid_after = UnixSeconds::new(u64::MAX);
    early.signed.authorization.valid_before = UnixSeconds::new(u64::MAX);
    assert_eq!(kind(&early, NOW), Some(ProblemKind::VerificationFailed));
}

#[test]
fn amounts_are_exact_to_the_last_unit() {
    let largest = Amount::from_base_units(u128::MAX);
    assert_eq!(Amount::parse_human(&largest.to_human(18), 18), Ok(largest));
    assert_eq!(largest.to_human(6), "340282366920938463463374607431768.211455");
    assert_eq!(largest.checked_add(Amount::from_base_units(1)), None);
    assert_eq!(largest.to_u256(), U256::from(u128::MAX));
}
