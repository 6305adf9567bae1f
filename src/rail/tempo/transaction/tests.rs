use super::super::sample::{self, Sample, call, key, other_key, rlp, rlp_bytes, rlp_list, transfer};
use super::*;
use crate::evm::key::PrivateKey;
use crate::evm::parse;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use serde_json::Value;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const END: u64 = 1_800_000_025;

fn hex(value: &Value) -> Vec<u8> {
    parse::bytes(value.as_str().unwrap()).unwrap()
}

fn sent() -> Sample {
    Sample::paying(10_000, END)
}

/// What the calldata, the token and the end of `sent` are wrong with, by field.
fn refused(sample: &Sample) -> InvalidTransaction {
    Transaction::decode(&sample.signed(&key())).unwrap_err()
}

/// mppx's transaction, as the payer signed it, as he signed it for a sponsor, and as that made of it.
#[test]
fn mppx_s_transactions_are_read_hashed_and_written() {
    let vectors: Value = serde_json::from_str(include_str!("../../../../tests/vectors/tempo.json")).unwrap();
    let [plain, sponsored, last] = ["plain", "client78", "final76"].map(|name| hex(&vectors[name]));
    let payer = key().address();

    let read = Transaction::decode(&plain).unwrap();
    assert_eq!(read.signature.recover(read.sender_digest()), Ok(payer));
    let sealed = read.seal().unwrap();
    assert_eq!((sealed.raw.as_ref(), sealed.hash), (plain.as_slice(), keccak256(&plain)));

    let read = Transaction::decode(&sponsored).unwrap();
    assert_eq!(read.fees, Fees::Wanted { sender: payer });
    assert_eq!(read.sender_digest().as_slice(), hex(&vectors["sender_sign_payload"]));
    assert_eq!(read.signature.recover(read.sender_digest()), Ok(payer));
    assert_eq!(read.seal(), None);
    let token = sample::TOKEN;
    assert_eq!(read.fee_payer_digest(token, payer).as_slice(), hex(&vectors["fee_payer_sign_payload"]));
    let finished = Transaction::decode(&last).unwrap();
    let Fees::Signed(signature) = finished.fees else { panic!("signed") };
    assert_eq!(
        signature.recover(read.fee_payer_digest(token, payer)).map(|signer| signer.to_checksum(None)).unwrap(),
        "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC"
    );
    let sealed = read.seal_sponsored(token, &signature);
    assert_eq!((sealed.raw.as_ref(), sealed.hash.as_slice()), (last.as_slice(), hex(&vectors["final_hash"]).as_slice()));
    assert_eq!((finished.sender_digest(), finished.seal()), (read.sender_digest(), Some(sealed)));
}

/// Forty of ox's, with all that a transaction may carry.
#[test]
fn what_ox_says_of_transactions_is_what_we_say() {
    let vectors: Value = serde_json::from_str(include_str!("../../../../tests/vectors/tempo-ox.json")).unwrap();
    let sponsor = PrivateKey::parse(vectors["sponsorKey"].as_str().unwrap()).unwrap();
    let token = parse::address(vectors["feeToken"].as_str().unwrap()).unwrap();
    let (mut with_keys, mut with_lists) = (0, 0);
    for vector in vectors["transactions"].as_array().unwrap() {
        let bytes = hex(&vector["credential"]);
        let read = Transaction::decode(&bytes).unwrap();
        let sender = parse::address(vector["sender"].as_str().unwrap()).unwrap();
        assert_eq!(read.sender_digest().as_slice(), hex(&vector["digest"]));
        assert_eq!(read.signature.recover(read.sender_digest()), Ok(sender));
        let sealed = match vector.get("feePayerDigest") {
            None => read.seal().unwrap(),
            Some(digest) => {
                let ours = read.fee_payer_digest(token, sender);
                assert_eq!((ours.as_slice(), read.fees), (hex(digest).as_slice(), Fees::Wanted { sender }));
                read.seal_sponsored(token, &sponsor.sign(ours))
            }
        };
        assert_eq!((sealed.raw.to_vec(), sealed.hash.to_vec()), (hex(&vector["final"]), hex(&vector["hash"])));
        assert_eq!(Transaction::decode(&sealed.raw).unwrap().seal(), Some(sealed));
        let parsed = &vector["parsed"];
        let calls: Vec<String> = read.calls.iter().map(|call| alloy_primitives::hex::encode_prefixed(call.data)).collect();
        assert_eq!(calls, serde_json::from_value::<Vec<String>>(parsed["calls"].clone()).unwrap());
        assert_eq!(parsed["chainId"].as_u64(), Some(read.chain_id));
        for (name, value) in [
            ("maxFeePerGas", read.max_fee),
            ("maxPriorityFeePerGas", read.priority_fee),
            ("gas", u128::from(read.gas)),
            ("nonce", u128::from(read.nonce)),
        ] {
            assert_eq!(parsed[name].as_str().unwrap(), format!("{value}"), "{name}");
        }
        assert_eq!(parsed["nonceKey"].as_str().unwrap(), format!("{:#x}", read.nonce_key));
        let seconds = |time: Option<UnixSeconds>| time.map_or(0, UnixSeconds::get);
        assert_eq!(parsed["validBefore"].as_u64(), Some(seconds(read.valid_before)));
        assert_eq!(parsed["validAfter"].as_u64(), Some(seconds(read.valid_after)));
        assert_eq!(parsed["hasAccessList"].as_bool(), Some(read.has_access_list));
        with_lists += usize::from(read.has_access_list);
        with_keys += usize::from(read.tail.len() > 1);
    }
    assert!(with_keys > 3 && with_lists > 3, "{with_keys} {with_lists}");
}

/// Each bit: what is read is refused, or another transaction. But for `v`, which can be said in two ways.
#[test]
fn no_byte_is_without_meaning() {
    for (bytes, is_sponsored) in [(sent().signed(&key()), false), (sent().for_fee_payer(&key(), key().address()), true)] {
        let seal = |bytes: &[u8]| -> Result<(Sealed, Result<Address, InvalidSender>), InvalidTransaction> {
            let read = Transaction::decode(bytes)?;
            let sender = read.signature.recover(read.sender_digest());
            let named = match read.fees {
                Fees::Wanted { sender } => sender,
                _ => Address::ZERO,
            };
            let sealed = read
                .seal()
                .unwrap_or_else(|| read.seal_sponsored(sample::TOKEN, &other_key().sign(read.fee_payer_digest(sample::TOKEN, named))));
            Ok((sealed, sender))
        };
        let (good, sender) = seal(&bytes).unwrap();
        assert_eq!(sender, Ok(key().address()));
        for place in 0..bytes.len() {
            for bit in 0..8 {
                let mut edited = bytes.clone();
                edited[place] ^= 1 << bit;
                if let Ok((sealed, _)) = seal(&edited) {
                    assert_ne!(sealed.hash, good.hash, "{is_sponsored} {place} {bit}");
                }
            }
            assert!(seal(&bytes[..place]).is_err());
        }
        let mut longer = bytes.clone();
        longer.push(0);
        assert_eq!(seal(&longer).unwrap_err(), InvalidTransaction::MoreBytes);
    }
}

#[test]
fn what_is_not_in_its_shortest_form_is_refused() {
    let long = |byte: u8| vec![0x81, byte];
    for (place, field, name) in [
        (sample::CHAIN_ID, vec![0x83, 0x00, 0xa5, 0xbf], "chainId"),
        (sample::PRIORITY_FEE, long(0x01), "maxPriorityFeePerGas"),
        (sample::MAX_FEE, vec![0x00], "maxFeePerGas"),
        (sample::GAS, vec![0x82, 0x00, 0x01], "gas"),
        (sample::GAS, rlp(&u128::MAX), "gas"),
        (sample::NONCE, rlp(&u128::MAX), "nonce"),
        (sample::NONCE_KEY, rlp_bytes(&[1; 33]), "nonceKey"),
        (sample::VALID_BEFORE, rlp(&u128::MAX), "validBefore"),
        (sample::VALID_AFTER, vec![0x00], "validAfter"),
        (sample::FEE_TOKEN, rlp_bytes(&[1; 19]), "feeToken"),
        (sample::FEE_TOKEN, rlp_list(&[]), "feeToken"),
        (sample::FEES, rlp_bytes(&[1; 20]), "feePayerSignature"),
        (sample::FEES, rlp_list(&[rlp(&0u8), rlp(&1u8)]), "feePayerSignature"),
        (sample::FEES, rlp_list(&[rlp(&2u8), rlp(&1u8), rlp(&1u8)]), "feePayerSignature"),
        (sample::FEES, rlp_list(&[rlp(&1u8), rlp(&1u8), rlp(&U256::MAX)]), "feePayerSignature"),
        (sample::FEES, rlp_list(&[rlp(&1u8), rlp(&1u8), rlp(&1u8), rlp(&1u8)]), "feePayerSignature"),
        (sample::ACCESS_LIST, rlp_bytes(&[]), "accessList"),
        (sample::ACCESS_LIST, rlp_list(&[long(0x01)]), "accessList"),
        (sample::AUTHORIZATIONS, rlp_list(&[rlp_list(&[long(0x7f)])]), "authorizationList"),
        (sample::CALLS, rlp_bytes(&[]), "calls"),
        (sample::CALLS, rlp_list(&[rlp_list(&[rlp(&sample::TOKEN), rlp(&0u8)])]), "calls"),
    ] {
        assert_eq!(refused(&sent().with(place, field)), InvalidTransaction::Field(name), "{name}");
    }
    // A list in a list, and so on.
    let mut deep = rlp_list(&[]);
    for _ in 0..10 {
        deep = rlp_list(&[deep]);
    }
    assert_eq!(refused(&sent().with(sample::ACCESS_LIST, deep)), InvalidTransaction::Field("accessList"));
    // The length of the whole in more bytes than it takes.
    let good = sent().signed(&key());
    assert_eq!(good[1], 0xf9);
    let longer = [&[0x76, 0xfa, 0x00], &good[2..]].concat();
    assert_eq!(Transaction::decode(&longer).unwrap_err(), InvalidTransaction::Field("list of fields"));
}

#[test]
fn what_is_no_payment_is_refused_by_its_name() {
    let transaction = |calls: &[Vec<u8>]| Sample::calling(calls, END);
    let one = call(sample::TOKEN, &transfer(sample::RECIPIENT, 1));
    assert_eq!(refused(&transaction(&[])), InvalidTransaction::Calls);
    assert!(Transaction::decode(&transaction(&vec![one.clone(); MOST_CALLS]).signed(&key())).is_ok());
    assert_eq!(refused(&transaction(&vec![one; MOST_CALLS + 1])), InvalidTransaction::Calls);
    let with_value = rlp_list(&[rlp(&sample::TOKEN), rlp(&1u8), rlp_bytes(&[])]);
    let creating = rlp_list(&[rlp_bytes(&[]), rlp(&0u8), rlp_bytes(&[])]);
    assert_eq!(refused(&transaction(&[with_value])), InvalidTransaction::Call);
    assert_eq!(refused(&transaction(&[creating])), InvalidTransaction::Call);
    assert_eq!(refused(&sent().with(sample::VALID_AFTER, rlp(&END))), InvalidTransaction::Window);
    assert_eq!(refused(&sent().with(sample::FEES, rlp_bytes(&[0]))), InvalidTransaction::Placeholder);
    let named = sent().with(sample::FEE_TOKEN, rlp(&sample::TOKEN)).for_fee_payer(&key(), key().address());
    assert_eq!(Transaction::decode(&named).unwrap_err(), InvalidTransaction::FeeToken);
    let big = transaction(&[call(sample::TOKEN, &vec![7; MOST_BYTES])]);
    assert_eq!(refused(&big), InvalidTransaction::TooLong);
    for bytes in [&[][..], &[0x02, 0xc0], &[0x77]] {
        assert_eq!(Transaction::decode(bytes).unwrap_err(), InvalidTransaction::Type);
    }
    // The fields of one, without a signature, and with a list in its place.
    assert_eq!(Transaction::decode(&sent().bytes(0x76, None)).unwrap_err(), InvalidTransaction::Field("signature"));
    assert_eq!(Transaction::decode(&sent().bytes(0x76, Some(&[]))).unwrap_err(), InvalidTransaction::Sender(InvalidSender::Missing));
    let mut keyed = sent();
    keyed.key_authorization = Some(rlp_list(&[]));
    assert_eq!(Transaction::decode(&keyed.bytes(0x76, None)).unwrap_err(), InvalidTransaction::Field("signature"));
    keyed.key_authorization = Some(rlp_list(&[vec![0x81, 0x01]]));
    assert_eq!(refused(&keyed), InvalidTransaction::Field("keyAuthorization"));
    let passkey = [&[0x02][..], &[0x11; 200]].concat();
    let error = Transaction::decode(&sent().bytes(0x76, Some(&passkey))).unwrap_err();
    assert!(format!("{error}").contains("passkey"), "{error}");
}

/// Members that nobody here knows are signed and sent as they came.
#[test]
fn a_key_authorization_is_carried_as_it_is() {
    let mut sample = sent();
    let authorization = rlp_list(&[rlp_list(&[rlp(&7u8), rlp_bytes(b"newer than this code")]), rlp_bytes(&[9; 65])]);
    sample.key_authorization = Some(authorization.clone());
    let bytes = sample.for_fee_payer(&key(), key().address());
    let read = Transaction::decode(&bytes).unwrap();
    assert_eq!(read.signature.recover(read.sender_digest()), Ok(key().address()));
    let digest = read.fee_payer_digest(sample::TOKEN, key().address());
    let sealed = read.seal_sponsored(sample::TOKEN, &other_key().sign(digest));
    assert!(sealed.raw.windows(authorization.len()).any(|part| part == authorization));
    let finished = Transaction::decode(&sealed.raw).unwrap();
    assert_eq!(finished.sender_digest(), read.sender_digest());
    let Fees::Signed(signature) = finished.fees else { panic!("signed") };
    assert_eq!(signature.recover(digest), Ok(other_key().address()));
}

#[test]
fn a_stored_transaction_is_not_shown() {
    let bytes = sent().signed(&key());
    let shown = format!("{:?}", Transaction::decode(&bytes).unwrap().seal().unwrap());
    assert!(shown.starts_with("Sealed { hash: 0x") && shown.len() < 120, "{shown}");
}

#[cfg(not(target_arch = "wasm32"))]
mod properties {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

        /// What is read from anything is read again from what is written of it, and is the same.
        #[test]
        fn arbitrary_bytes_do_no_harm(kind in 0x75u8..0x79, bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let bytes = [&[kind][..], &bytes].concat();
            if let Ok(read) = Transaction::decode(&bytes) {
                let _ = (read.sender_digest(), read.seal());
            }
        }

        /// The same, of what is nearly one.
        #[test]
        fn edited_transactions_do_no_harm(places in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6), sponsored: bool) {
            let mut bytes = if sponsored { sent().for_fee_payer(&key(), key().address()) } else { sent().signed(&key()) };
            for (place, byte) in places {
                let place = place.index(bytes.len());
                bytes[place] = byte;
            }
            if let Ok(read) = Transaction::decode(&bytes)
                && let Some(sealed) = read.seal()
            {
                let again = Transaction::decode(&sealed.raw).unwrap();
                prop_assert_eq!(again.seal().unwrap().hash, sealed.hash);
                prop_assert_eq!(again.sender_digest(), read.sender_digest());
            }
        }

        /// What a client makes is written as it came, whatever its fields hold.
        #[test]
        fn transactions_read_back(
            chain: u64, priority: u128, max_fee: u128, gas: u64, nonce_key in any::<[u8; 32]>(), nonce: u64,
            before in 1u64..u64::MAX, calls in 1..MOST_CALLS, data in proptest::collection::vec(any::<u8>(), 0..120), fee_token: bool,
        ) {
            let sample = Sample::calling(&vec![call(sample::TOKEN, &data); calls], before)
                .with(sample::CHAIN_ID, rlp(&chain))
                .with(sample::PRIORITY_FEE, rlp(&priority))
                .with(sample::MAX_FEE, rlp(&max_fee))
                .with(sample::GAS, rlp(&gas))
                .with(sample::NONCE_KEY, rlp(&U256::from_be_bytes(nonce_key)))
                .with(sample::NONCE, rlp(&nonce))
                .with(sample::FEE_TOKEN, if fee_token { rlp(&sample::TOKEN) } else { rlp_bytes(&[]) });
            let bytes = sample.signed(&key());
            let read = Transaction::decode(&bytes).unwrap();
            prop_assert_eq!((read.chain_id, read.priority_fee, read.max_fee, read.gas, read.nonce), (chain, priority, max_fee, gas, nonce));
            prop_assert!(read.calls.len() == calls && read.calls.iter().all(|call| call.data == data));
            prop_assert_eq!(read.sender_digest(), keccak256(sample.bytes(0x76, None)));
            let sealed = read.seal().unwrap();
            prop_assert_eq!(sealed.raw.as_ref(), bytes.as_slice());
        }
    }
}
