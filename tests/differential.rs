//! The core against independent implementations: viem's typed data, calldata, transactions and signatures (`vectors/viem.json`,
//! made by `vectors/make.mjs` from a fixed seed), and on the host libsecp256k1 with inputs drawn anew each time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests may panic")]

use mpp_edge::evm::eip712::Domain;
use mpp_edge::evm::erc3009::{Authorization, SignedAuthorization};
use mpp_edge::evm::escrow::{
    EscrowFacts, OnChain, Opening, Payout, SignedVoucher, ToppingUp, channel_call, channel_id, facts_calls, opened, topped_up,
};
use mpp_edge::evm::jsonrpc::Log;
use mpp_edge::evm::key::PrivateKey;
use mpp_edge::evm::signature::Signature;
use mpp_edge::evm::transaction::{Call, GasPrice, Unsigned};
use mpp_edge::evm::{Address, B256, U256, parse};
use mpp_edge::gateway::admin::{Caller, caller};
use mpp_edge::money::Amount;
use mpp_edge::rail::evm::Method;
use mpp_edge::rail::evm::session::domain;
use mpp_edge::time::UnixSeconds;
use serde::Deserialize;
use std::time::Duration;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Vectors {
    authorizations: Vec<AuthorizationVector>,
    transactions: Vec<TransactionVector>,
    recoveries: Vec<RecoveryVector>,
    keys: Vec<KeyVector>,
    channels: Vec<ChannelVector>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct AuthorizationVector {
    name: String,
    version: String,
    chain_id: u64,
    contract: String,
    authorization: AuthorizationText,
    separator: String,
    digest: String,
    signature: String,
    transfer_call: String,
    state_call: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct AuthorizationText {
    from: String,
    to: String,
    value: String,
    valid_after: String,
    valid_before: String,
    nonce: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct TransactionVector {
    private_key: String,
    chain_id: u64,
    nonce: u64,
    gas: String,
    to: String,
    data: String,
    gas_price: Option<String>,
    max_fee: Option<String>,
    priority_fee: Option<String>,
    raw: String,
    hash: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RecoveryVector {
    digest: String,
    signature: String,
    canonical: bool,
    signer: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct KeyVector {
    private_key: String,
    address: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ChannelVector {
    chain_id: u64,
    escrow: String,
    token: String,
    payer: String,
    payee: String,
    salt: String,
    top_up_salt: String,
    authorized_signer: String,
    channel_id: String,
    cumulative: String,
    vouchers: Vec<VoucherVector>,
    open: FundingVector,
    top_up: FundingVector,
    channel_call: String,
    facts_calls: [String; 2],
    on_chain: String,
    finalized: bool,
    close_requested_at: String,
    deposit: String,
    settled: String,
    facts: [String; 2],
    grace_period: String,
    separator: String,
    opened_log: LogText,
    opened_wide_log: LogText,
    topped_up_log: LogText,
    settled_log: LogText,
    closed_log: LogText,
    wide: String,
    until: String,
    inquiry: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct VoucherVector {
    method: Method,
    separator: String,
    digest: String,
    signature: String,
    settle_call: String,
    close_call: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FundingVector {
    authorization: AuthorizationText,
    digest: String,
    signature: String,
    call: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LogText {
    topics: Vec<String>,
    data: String,
}

fn vectors() -> Vectors {
    let vectors: Vectors = serde_json::from_str(include_str!("vectors/viem.json")).unwrap();
    assert!(vectors.authorizations.len() >= 50 && vectors.transactions.len() >= 50 && vectors.recoveries.len() >= 50);
    assert!(vectors.channels.len() >= 30);
    vectors
}

fn hash(text: &str) -> B256 {
    parse::hash(text).unwrap()
}

fn address(text: &str) -> Address {
    parse::address(text).unwrap()
}

fn bytes(text: &str) -> Vec<u8> {
    parse::bytes(text).unwrap()
}

impl AuthorizationText {
    fn read(&self) -> Authorization {
        let seconds = |text: &str| UnixSeconds::new(text.parse().unwrap());
        Authorization {
            from: address(&self.from),
            to: address(&self.to),
            value: Amount::parse_base_units(&self.value).unwrap(),
            valid_after: seconds(&self.valid_after),
            valid_before: seconds(&self.valid_before),
            nonce: hash(&self.nonce),
        }
    }
}

#[test]
fn typed_data_and_calldata_are_viem_s() {
    for vector in vectors().authorizations {
        let domain = Domain::new(&vector.name, &vector.version, vector.chain_id, address(&vector.contract));
        assert_eq!(domain.separator(), hash(&vector.separator), "separator of {:?}", vector.name);
        let authorization = vector.authorization.read();
        let digest = authorization.digest(&domain);
        assert_eq!(digest, hash(&vector.digest));
        let signature = Signature::parse(&vector.signature).unwrap();
        assert_eq!(signature.recover(digest), Ok(authorization.from));
        assert_eq!(SignedAuthorization { authorization, signature }.transfer_call(), bytes(&vector.transfer_call));
        assert_eq!(authorization.state_call(), bytes(&vector.state_call));
    }
}

#[test]
fn transactions_are_viem_s_byte_for_byte() {
    let number = |text: &Option<String>| text.as_ref().map(|text| text.parse::<u128>().unwrap());
    let (mut dynamic, mut legacy) = (0, 0);
    for vector in vectors().transactions {
        let gas_price = match (number(&vector.gas_price), number(&vector.max_fee), number(&vector.priority_fee)) {
            (Some(price), None, None) => {
                legacy += 1;
                GasPrice::Legacy(price)
            }
            (None, Some(max_fee), Some(priority_fee)) => {
                dynamic += 1;
                GasPrice::Dynamic { max_fee, priority_fee }
            }
            _ => panic!("a vector with both kinds of price"),
        };
        let call = Call { to: address(&vector.to), data: bytes(&vector.data).into() };
        let unsigned =
            Unsigned { chain_id: vector.chain_id, nonce: vector.nonce, call: &call, gas_limit: vector.gas.parse().unwrap(), gas_price };
        // Both sign deterministically after RFC 6979, so even the signatures agree.
        let signed = unsigned.sign(&PrivateKey::parse(&vector.private_key).unwrap());
        assert_eq!(signed.raw, bytes(&vector.raw), "{} {}", vector.chain_id, vector.nonce);
        assert_eq!(signed.hash, hash(&vector.hash));
    }
    assert!(dynamic >= 25 && legacy >= 25);
}

#[test]
fn signatures_of_nobody_recover_as_noble_does() {
    let (mut refused, mut recovered, mut unrecoverable) = (0, 0, 0);
    for vector in vectors().recoveries {
        let signature = Signature::parse(&vector.signature);
        assert_eq!(signature.is_ok(), vector.canonical, "{}", vector.signature);
        let Ok(signature) = signature else {
            refused += 1;
            continue;
        };
        let signer = signature.recover(hash(&vector.digest)).ok();
        assert_eq!(signer, vector.signer.as_deref().map(address), "{} for {}", vector.signature, vector.digest);
        if signer.is_some() { recovered += 1 } else { unrecoverable += 1 }
    }
    assert!(refused >= 10 && recovered >= 30 && unrecoverable >= 20, "{refused} {recovered} {unrecoverable}");
}

#[test]
fn keys_at_the_ends_of_their_range_have_viem_s_addresses() {
    for vector in vectors().keys {
        assert_eq!(PrivateKey::parse(&vector.private_key).unwrap().address(), address(&vector.address));
    }
}

fn amount(text: &str) -> Amount {
    Amount::parse_base_units(text).unwrap()
}

fn seconds(text: &str) -> UnixSeconds {
    UnixSeconds::new(text.parse().unwrap())
}

impl FundingVector {
    /// What was authorized, after comparing its digest in the token's domain and its signature with viem's.
    fn read(&self, token: &Domain) -> SignedAuthorization {
        let authorization = self.authorization.read();
        let digest = authorization.receive_digest(token);
        assert_eq!(digest, hash(&self.digest));
        assert_ne!(digest, authorization.digest(token));
        let signature = Signature::parse(&self.signature).unwrap();
        assert_eq!(signature.recover(digest), Ok(authorization.from));
        SignedAuthorization { authorization, signature }
    }
}

impl ChannelVector {
    fn log(&self, text: &LogText) -> [Log; 1] {
        let topics = text.topics.iter().map(|topic| hash(topic)).collect();
        [Log { address: address(&self.escrow), topics, data: bytes(&text.data).into() }]
    }

    fn token_domain(&self) -> Domain {
        Domain::new("USD Coin", "2", self.chain_id, address(&self.token))
    }

    fn opening(&self) -> Opening {
        Opening {
            escrow: address(&self.escrow),
            token: address(&self.token),
            payee: address(&self.payee),
            salt: hash(&self.salt),
            authorized_signer: address(&self.authorized_signer),
            signed: self.open.read(&self.token_domain()),
        }
    }

    fn signer(&self) -> Address {
        self.opening().signer()
    }

    fn payout(&self, voucher: &VoucherVector) -> Payout {
        let voucher = SignedVoucher { cumulative: amount(&self.cumulative), signature: Signature::parse(&voucher.signature).unwrap() };
        Payout { escrow: address(&self.escrow), channel_id: hash(&self.channel_id), voucher, epoch: 0 }
    }
}

#[test]
fn vouchers_of_both_methods_are_viem_s() {
    for vector in vectors().channels {
        let (escrow, id) = (address(&vector.escrow), hash(&vector.channel_id));
        assert_eq!(vector.vouchers.iter().map(|voucher| voucher.method).collect::<Vec<_>>(), Method::ALL);
        for voucher in &vector.vouchers {
            let domain = domain(voucher.method, vector.chain_id, escrow);
            assert_eq!(domain.separator(), hash(&voucher.separator));
            let digest = SignedVoucher::digest(amount(&vector.cumulative), id, &domain);
            assert_eq!(digest, hash(&voucher.digest));
            let payout = vector.payout(voucher);
            assert_eq!(payout.voucher.signature.recover(digest), Ok(vector.signer()));
            let calls = [payout.settle_call(), payout.close_call()];
            assert_eq!(calls.each_ref().map(|call| call.to), [escrow; 2]);
            assert_eq!(calls.map(|call| call.data.to_vec()), [&voucher.settle_call, &voucher.close_call].map(|text| bytes(text)));
        }
        assert_ne!(vector.vouchers[0].digest, vector.vouchers[1].digest);
    }
}

#[test]
fn channels_and_what_is_brought_into_them_are_viem_s() {
    let (mut by_payer, mut by_signer) = (0, 0);
    for vector in vectors().channels {
        let opening = vector.opening();
        assert_eq!(opening.signed.authorization.from, address(&vector.payer));
        assert_eq!(channel_id(&opening, vector.chain_id), hash(&vector.channel_id));
        assert_eq!(opening.nonce(), opening.signed.authorization.nonce);
        assert_eq!((opening.call().to, opening.call().data.to_vec()), (opening.escrow, bytes(&vector.open.call)));
        let topping_up = ToppingUp {
            escrow: opening.escrow,
            token: opening.token,
            channel_id: hash(&vector.channel_id),
            salt: hash(&vector.top_up_salt),
            signed: vector.top_up.read(&vector.token_domain()),
        };
        assert_eq!(topping_up.nonce(), topping_up.signed.authorization.nonce);
        assert_eq!((topping_up.call().to, topping_up.call().data.to_vec()), (opening.escrow, bytes(&vector.top_up.call)));
        if opening.authorized_signer == Address::ZERO { by_payer += 1 } else { by_signer += 1 }
    }
    assert!(by_payer >= 8 && by_signer >= 8, "{by_payer} {by_signer}");
}

#[test]
fn an_escrow_s_answers_are_read_as_viem_wrote_them() {
    for vector in vectors().channels {
        assert_eq!(channel_call(hash(&vector.channel_id)), bytes(&vector.channel_call));
        assert_eq!(facts_calls(), vector.facts_calls.each_ref().map(|call| bytes(call)));
        let expected = OnChain {
            finalized: vector.finalized,
            close_requested_at: seconds(&vector.close_requested_at),
            payer: address(&vector.payer),
            payee: address(&vector.payee),
            token: address(&vector.token),
            authorized_signer: address(&vector.authorized_signer),
            deposit: amount(&vector.deposit),
            settled: amount(&vector.settled),
        };
        let answer = bytes(&vector.on_chain);
        assert_eq!(OnChain::decode(&answer), Some(expected));
        assert_eq!(expected.signer(), vector.signer());
        assert_eq!(OnChain::decode(&answer[..answer.len() - 1]), None);
        let [grace, separator] = vector.facts.each_ref().map(|answer| bytes(answer));
        let facts =
            EscrowFacts { grace_period: Duration::from_secs(vector.grace_period.parse().unwrap()), separator: hash(&vector.separator) };
        assert_eq!(EscrowFacts::decode(&grace, &separator), Some(facts));
        assert_eq!((EscrowFacts::decode(&[], &separator), EscrowFacts::decode(&grace, &[])), (None, None));
    }
}

#[test]
fn an_escrow_s_events_are_read_as_viem_wrote_them() {
    let (mut exact, mut beyond) = (0, 0);
    for vector in vectors().channels {
        let (escrow, id) = (address(&vector.escrow), hash(&vector.channel_id));
        let deposit = amount(&vector.deposit);
        let wide = U256::from_str_radix(&vector.wide, 10).unwrap();
        assert_eq!(opened(escrow, id, &vector.log(&vector.opened_log)), Some(deposit.to_u256()));
        // What does not fit an amount is no other amount.
        let wide_log = vector.log(&vector.opened_wide_log);
        assert_eq!(opened(escrow, id, &wide_log), Some(wide));
        let opening = vector.opening();
        assert!(opening.is_done_by(vector.chain_id, &vector.log(&vector.opened_log)));
        assert_eq!(opening.is_done_by(vector.chain_id, &wide_log), wide == deposit.to_u256());
        if wide > U256::from(u128::MAX) {
            beyond += 1
        }
        let addition = amount(&vector.top_up.authorization.value);
        let log = vector.log(&vector.topped_up_log);
        assert_eq!(topped_up(escrow, id, addition, &log), Some(wide));
        assert!(topped_up(escrow, id, Amount::from_base_units(addition.base_units() ^ 1), &log).is_none());
        assert!(
            topped_up(address(&vector.token), id, addition, &log).is_none()
                && topped_up(escrow, hash(&vector.salt), addition, &log).is_none()
        );
        // At least so much is settled, and the new total counts, not what was asked for.
        let payout = vector.payout(&vector.vouchers[0]);
        let of = |units: Option<u128>| {
            units.map(|units| {
                let voucher = SignedVoucher { cumulative: Amount::from_base_units(units), ..payout.voucher };
                Payout { voucher, ..payout }
            })
        };
        let units = payout.voucher.cumulative.base_units();
        let [settled, closed] = [&vector.settled_log, &vector.closed_log].map(|log| vector.log(log));
        for (payout, reached) in [(Some(payout), true), (of(units.checked_sub(1)), true), (of(units.checked_add(1)), false)] {
            let Some(payout) = payout else { continue };
            exact += 1;
            assert_eq!(
                (payout.is_settled_by(&settled), payout.is_closed_by(&settled), payout.is_ended_by(&settled)),
                (reached, false, false)
            );
            assert_eq!(
                (payout.is_settled_by(&closed), payout.is_closed_by(&closed), payout.is_ended_by(&closed)),
                (reached, reached, true)
            );
        }
        // By no other event.
        assert_eq!((opened(escrow, id, &log), opened(escrow, id, &settled)), (None, None));
        assert!(
            topped_up(escrow, id, addition, &settled).is_none()
                && topped_up(escrow, id, deposit, &vector.log(&vector.opened_log)).is_none()
        );
        assert!(!payout.is_settled_by(&log) && !payout.is_ended_by(&vector.log(&vector.opened_log)));
        // The filter finds both ends by the topics that viem gives them.
        let filter = payout.ending_filter();
        for log in [&settled[0], &closed[0]] {
            assert!(filter.0.iter().zip(&log.topics).all(|(wanted, topic)| wanted.contains(topic)));
        }
        assert!(!filter.0[0].contains(&log[0].topics[0]));
    }
    assert!(exact >= 60 && beyond >= 1, "{exact} {beyond}");
}

/// Wallets sign the text that [`mpp_edge::gateway::admin::message`] gives.
#[test]
fn a_personal_message_is_viem_s() {
    let mut asked = 0;
    for vector in vectors().channels {
        let Some(before) = vector.until.parse::<u64>().unwrap().checked_sub(1) else { continue };
        let authorization = format!("Channel until=\"{}\", signature=\"{}\"", vector.until, vector.inquiry);
        let now = UnixSeconds::new(before).timestamp();
        assert_eq!(caller(&authorization, None, hash(&vector.channel_id), now), Some(Caller::Signer(vector.signer())));
        asked += 1;
    }
    assert!(asked >= 20);
}

/// Against libsecp256k1. Not in wasm: it is C.
#[cfg(not(target_arch = "wasm32"))]
mod libsecp256k1 {
    use alloy_primitives::{Address, B256, U256, hex, keccak256};
    use mpp_edge::evm::key::PrivateKey;
    use mpp_edge::evm::signature::Signature;
    use proptest::prelude::*;
    use secp256k1::ecdsa::{RecoverableSignature, RecoveryId};
    use secp256k1::{Message, SecretKey};

    const ORDER: U256 = U256::from_be_bytes(hex!("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141"));

    fn address(key: &secp256k1::PublicKey) -> Address {
        Address::from_word(keccak256(&key.serialize_uncompressed()[1..]))
    }

    fn reference(bytes: &[u8; 65]) -> Option<RecoverableSignature> {
        let id = if bytes[64] == 27 { RecoveryId::Zero } else { RecoveryId::One };
        RecoverableSignature::from_compact(&bytes[..64], id).ok()
    }

    /// Scalars from the whole range, with more than their share near 0, n/2 and n.
    fn scalar() -> impl Strategy<Value = U256> {
        let near = |middle: U256| {
            (0u64..4, any::<bool>()).prop_map(move |(by, up)| {
                let by = U256::from(by);
                if up { middle.wrapping_add(by) } else { middle.wrapping_sub(by) }
            })
        };
        prop_oneof![
            6 => any::<[u8; 32]>().prop_map(U256::from_be_bytes),
            1 => near(U256::ZERO),
            1 => near(ORDER / U256::from(2)),
            1 => near(ORDER),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn signing_is_the_same(secret in any::<[u8; 32]>(), digest in any::<[u8; 32]>()) {
            let ours = PrivateKey::parse(&hex::encode_prefixed(secret));
            let theirs = SecretKey::from_secret_bytes(secret);
            prop_assert_eq!(ours.is_ok(), theirs.is_ok());
            if let (Ok(ours), Ok(theirs)) = (ours, theirs) {
                prop_assert_eq!(ours.address(), address(&theirs.public_key()));
                let signed = RecoverableSignature::sign_ecdsa_recoverable(Message::from_digest(digest), &theirs);
                let (id, compact) = signed.serialize_compact();
                let signature = ours.sign(B256::new(digest));
                prop_assert_eq!(&signature.to_bytes()[..64], &compact[..]);
                prop_assert_eq!(signature.parity(), id == RecoveryId::One);
                prop_assert_eq!(signature.recover(B256::new(digest)), Ok(ours.address()));
            }
        }

        #[test]
        fn recovery_is_the_same(r in scalar(), s in scalar(), v in 27u8..=28, digest in any::<[u8; 32]>()) {
            let mut bytes = [v; 65];
            bytes[..32].copy_from_slice(&r.to_be_bytes::<32>());
            bytes[32..64].copy_from_slice(&s.to_be_bytes::<32>());
            let in_range = |scalar: U256| !scalar.is_zero() && scalar < ORDER;
            let canonical = in_range(r) && in_range(s) && s <= ORDER / U256::from(2);
            let ours = Signature::from_bytes(&bytes);
            prop_assert_eq!(ours.is_ok(), canonical);
            if let Ok(ours) = ours {
                prop_assert_eq!(ours.to_bytes(), bytes);
                let theirs = reference(&bytes).and_then(|signature| signature.recover_ecdsa(Message::from_digest(digest)).ok());
                prop_assert_eq!(ours.recover(B256::new(digest)).ok(), theirs.as_ref().map(address));
            }
        }
    }
}
