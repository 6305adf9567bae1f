//! The core against independent implementations: viem's typed data, calldata, transactions and signatures (`vectors/viem.json`,
//! made by `vectors/make.mjs` from a fixed seed), and on the host libsecp256k1 with inputs drawn anew each time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests may panic")]

use mpp_edge::evm::amount::Amount;
use mpp_edge::evm::eip712::Domain;
use mpp_edge::evm::erc3009::{Authorization, SignedAuthorization};
use mpp_edge::evm::key::PrivateKey;
use mpp_edge::evm::signature::Signature;
use mpp_edge::evm::transaction::{Call, GasPrice, Unsigned};
use mpp_edge::evm::{Address, B256, parse};
use mpp_edge::time::UnixSeconds;
use serde::Deserialize;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Vectors {
    authorizations: Vec<AuthorizationVector>,
    transactions: Vec<TransactionVector>,
    recoveries: Vec<RecoveryVector>,
    keys: Vec<KeyVector>,
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

fn vectors() -> Vectors {
    let vectors: Vectors = serde_json::from_str(include_str!("vectors/viem.json")).unwrap();
    assert!(vectors.authorizations.len() >= 50 && vectors.transactions.len() >= 50 && vectors.recoveries.len() >= 50);
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
