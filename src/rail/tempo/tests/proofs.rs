//! What proves a payment, and what does not: every rule of the order in which proofs are checked.

use super::*;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

#[test]
fn a_signed_transaction_is_taken() {
    let gateway = gateway();
    let payment = pull(&gateway);
    let bytes = paying(&gateway).signed(&key());
    assert_eq!(
        (payment.amount().base_units(), payment.payer(), payment.chain_id()),
        (10_000, Some(key().address().to_checksum(None)), Some(42431))
    );
    assert_eq!((hash_of(&payment), payment.challenge_id()), (keccak256(&bytes), Some(challenge(&gateway).1.as_str())));
    assert!(payment.is_bound() && payment.is_of_one_payer() && payment.search(NOW).is_none());
    assert_eq!(payment.untimely(NOW), None);
    // Who signed is who pays, also where no source says so.
    let without = read_as(&gateway, &challenge(&gateway).0, &signed(&bytes), None).unwrap();
    assert_eq!(without, payment);
    assert_eq!(decode::<Payment>(&encode(&payment).unwrap()), Ok(payment));
}

#[test]
fn only_modes_that_are_offered_are_taken() {
    let (pulls, pushes) = (gateway_with(&json!({ "modes": ["pull"] })), gateway_with(&json!({ "modes": ["push"] })));
    let hash = pushed(B256::repeat_byte(1));
    assert_eq!(refused(&pulls, &hash).0, ProblemKind::MethodUnsupported);
    assert_eq!(refused(&pushes, &signed(&paying(&pushes).signed(&key()))).0, ProblemKind::MethodUnsupported);
    assert!(read(&pushes, &hash).is_ok());
    let proof = json!({ "type": "proof", "signature": format!("0x{}", "11".repeat(65)) });
    assert_eq!(refused(&gateway(), &proof).0, ProblemKind::MethodUnsupported);
    let identity = configured(&table(&json!({})), "0").unwrap();
    assert_eq!(refused(&identity, &hash).0, ProblemKind::MethodUnsupported);
    for payload in [json!({ "type": "keyAuthorization", "signature": "0x" }), json!({}), json!([]), json!({ "type": 1 })] {
        assert_eq!(refused(&gateway(), &payload).0, ProblemKind::MalformedCredential, "{payload}");
    }
}

#[test]
fn what_is_no_tempo_transaction_is_refused() {
    let gateway = gateway();
    let good = paying(&gateway).signed(&key());
    for (signature, words) in [
        (json!(null), "is missing"),
        (json!("76"), "must start with 0x"),
        (json!("0x7"), "hexadecimal"),
        (json!("0x"), "must be a Tempo transaction"),
        (json!(hex::encode_prefixed([&[0x02], &good[1..]].concat())), "must be a Tempo transaction"),
        (json!(hex::encode_prefixed(&good[..good.len() - 1])), "list of fields"),
        (json!(hex::encode_prefixed([&good[..], &[0]].concat())), "more bytes"),
        (json!(format!("0x{}", "76".repeat(8_193))), "is longer than"),
        (json!(hex::encode_prefixed(paying(&gateway).bytes(0x76, None))), "signature"),
    ] {
        let (kind, detail) = refused(&gateway, &json!({ "type": "transaction", "signature": signature }));
        assert_eq!(kind, ProblemKind::MalformedCredential, "{detail}");
        assert!(detail.starts_with("payload.signature: ") && detail.contains(words), "{words}: {detail}");
    }
}

#[test]
fn a_transaction_must_be_what_the_challenge_asks_for() {
    let gateway = gateway();
    let with = |place, field| paying(&gateway).with(place, field);
    assert_refused(&gateway, &with(sample::CHAIN_ID, rlp(&4217u64)), "another chain");
    assert_refused(&gateway, &with(sample::VALID_BEFORE, rlp(&0u64)), "no validBefore");
    let memo = bound(&gateway).memo(None);
    for (calls, words) in [
        (vec![call(TOKEN, &transfer_with_memo(RECIPIENT, 9_999, memo))], "has no transfer of 10000"),
        (vec![call(TOKEN, &transfer_with_memo(PARTNER, 10_000, memo))], "has no transfer of 10000"),
        (vec![call(PARTNER, &transfer_with_memo(RECIPIENT, 10_000, memo))], "may call nothing but"),
        (vec![call(TOKEN, &transfer(RECIPIENT, 10_000))], "memo of this challenge"),
        (vec![call(TOKEN, &transfer_with_memo(RECIPIENT, 10_000, Bound::to(sample::REALM, ID).memo(None)))], "memo of another challenge"),
        (vec![calls(&gateway)[0].clone(), call(TOKEN, &transfer(PARTNER, 1))], "more transfers"),
        (vec![calls(&gateway)[0].clone(), call(PARTNER, &[])], "may call nothing but"),
    ] {
        assert_refused(&gateway, &Sample::calling(&calls, END), words);
    }
    // The challenge of another price, or of another gateway, binds another memo.
    let parted = gateway_with(&json!({ "splits": [{ "recipient": PARTNER, "basisPoints": 250 }] }));
    assert_refused(
        &parted,
        &Sample::calling(&[call(TOKEN, &transfer_with_memo(RECIPIENT, 9_750, bound(&parted).memo(None)))], END),
        "has no transfer of 250",
    );
    assert!(read(&parted, &signed(&paying(&parted).signed(&key()))).is_ok());
}

#[test]
fn a_challenge_is_answered_as_it_was_made() {
    let gateway = gateway();
    let (good, _) = challenge(&gateway);
    let payload = signed(&paying(&gateway).signed(&key()));
    let kind = |challenge: &Value| read_as(&gateway, challenge, &payload, None).unwrap_err().kind;
    for (field, value) in [
        ("id", json!("another")),
        ("realm", json!("other.example.com")),
        ("request", json!(to_base64url(r#"{"amount":"1"}"#))),
        ("expires", json!("2100-01-01T00:00:00.000Z")),
    ] {
        let mut edited = good.clone();
        edited[field] = value;
        assert_eq!(kind(&edited), ProblemKind::InvalidChallenge, "{field}");
    }
    // Nor one for a dearer route.
    let dearer = configured(&table(&json!({})), "0.02").unwrap();
    assert_eq!(read_as(&dearer, &good, &payload, None).unwrap_err().kind, ProblemKind::InvalidChallenge);
}

#[test]
fn who_signs_is_who_is_named() {
    let gateway = gateway();
    let (challenge, _) = challenge(&gateway);
    let payload = signed(&paying(&gateway).signed(&key()));
    for source in [
        source(other_key().address()),
        format!("did:pkh:eip155:1:{}", key().address()),
        "did:key:z6Mk".to_owned(),
        key().address().to_checksum(None),
    ] {
        let problem = read_as(&gateway, &challenge, &payload, Some(source)).unwrap_err();
        assert!(problem.kind == ProblemKind::VerificationFailed && problem.detail.starts_with("source: "), "{problem}");
    }
    // A signature that is changed is somebody else's.
    let mut bytes = paying(&gateway).signed(&key());
    let place = bytes.len() - 40;
    bytes[place] ^= 1;
    let problem = read_as(&gateway, &challenge, &signed(&bytes), Some(source(key().address())));
    assert_eq!(problem.unwrap_err().kind, ProblemKind::VerificationFailed);
}

#[test]
fn only_who_offers_to_pays_the_fees() {
    let sponsored = |gateway: &Gateway, sender| signed(&paying(gateway).for_fee_payer(&key(), sender));
    let plain = gateway();
    let (kind, detail) = refused(&plain, &sponsored(&plain, key().address()));
    assert!(kind == ProblemKind::VerificationFailed && detail.contains("does not offer"), "{detail}");
    let gateway = sponsoring();
    let payment = read(&gateway, &sponsored(&gateway, key().address())).unwrap();
    let sponsor = PrivateKey::parse(SPONSOR).unwrap().address();
    let Evidence::Transaction { sealed, sponsored: Some(paid), .. } = &charge(&payment).evidence else { panic!("sponsored") };
    assert_eq!((paid.sponsor, paid.fee), (sponsor, 800_000 * 25_000_000_000));
    let finished = transaction::Transaction::decode(&sealed.raw).unwrap();
    let transaction::Fees::Signed(signature) = finished.fees else { panic!("signed") };
    assert_eq!(finished.fee_token, Some(TOKEN));
    assert_eq!(signature.recover(finished.fee_payer_digest(TOKEN, key().address())), Ok(sponsor));
    // Who is named as the sender must have signed, and be the source.
    let named = read_as(&gateway, &challenge(&gateway).0, &sponsored(&gateway, other_key().address()), None).unwrap_err();
    assert!(named.detail.contains("is not signed by the sender that it names"), "{named}");
    let (_, detail) = refused(&gateway, &sponsored(&gateway, other_key().address()));
    assert!(detail.starts_with("source: "), "{detail}");
    // It may still pay its own.
    assert!(read(&gateway, &signed(&paying(&gateway).signed(&key()))).is_ok());
    // What the policy does not allow is refused, by its name.
    let dear = paying(&gateway).with(sample::GAS, rlp(&2_000_001u64)).for_fee_payer(&key(), key().address());
    let (_, detail) = refused(&gateway, &signed(&dear));
    assert!(detail.contains("its gas is none, or more"), "{detail}");
}

#[test]
fn a_transaction_comes_in_time_or_not_at_all() {
    let gateway = sponsoring();
    let at = |sample: &Sample, is_sponsored: bool, now: Timestamp| {
        let bytes = if is_sponsored { sample.for_fee_payer(&key(), key().address()) } else { sample.signed(&key()) };
        read(&gateway, &signed(&bytes)).unwrap().untimely(now).map(|problem| problem.kind)
    };
    let ending = |seconds: u64| paying(&gateway).with(sample::VALID_BEFORE, rlp(&(NOW.seconds().get() + seconds)));
    let (expired, failed) = (Some(ProblemKind::PaymentExpired), Some(ProblemKind::VerificationFailed));
    for (sample, is_sponsored, outcome) in [
        (ending(5), false, expired),
        (ending(6), false, None),
        (ending(14), true, expired),
        (ending(15), true, None),
        (ending(361), true, failed),
        (ending(360), true, None),
        (ending(361), false, None),
        (ending(86_701), false, failed),
        (ending(86_700), false, None),
        (ending(25).with(sample::VALID_AFTER, rlp(&NOW.seconds().get())), false, failed),
        (ending(25).with(sample::VALID_AFTER, rlp(&(NOW.seconds().get() - 1))), false, None),
    ] {
        assert_eq!(at(&sample, is_sponsored, NOW), outcome);
    }
    assert_eq!(at(&ending(400), false, NOW.saturating_add(LIFETIME)), expired, "the challenge's own end");
    let payment = pull(&gateway);
    assert!(!payment.is_too_late(NOW) && payment.is_too_late(NOW.saturating_add(Duration::from_secs(20))));
    assert_eq!(payment.resumable_until(), NOW.saturating_add(LIFETIME).saturating_add(RESUMABLE));
}

#[test]
fn a_hash_is_taken_with_its_source() {
    let gateway = gateway();
    let hash = B256::repeat_byte(3);
    let payment = read(&gateway, &pushed(hash)).unwrap();
    assert_eq!((hash_of(&payment), charge(&payment).payer), (hash, key().address()));
    assert!(payment.untimely(NOW).is_none() && payment.untimely(NOW.saturating_add(LIFETIME)).is_some() && !payment.is_too_late(NOW));
    assert!(!payment.is_of_one_payer(), "anybody can name a payer");
    let without = read_as(&gateway, &challenge(&gateway).0, &pushed(hash), None).unwrap_err();
    assert!(without.kind == ProblemKind::MalformedCredential && without.detail.starts_with("source: "), "{without}");
    for wrong in [json!("0x"), json!(null), json!(format!("0x{}", "11".repeat(33)))] {
        assert_eq!(refused(&gateway, &json!({ "type": "hash", "hash": wrong })).0, ProblemKind::MalformedCredential);
    }
}

/// A signature over the challenge, and nothing else.
#[test]
fn where_nothing_is_asked_for_a_signature_says_who_asks() {
    let gateway = configured(&table(&json!({})), "0").unwrap();
    let (challenge, id) = challenge(&gateway);
    let sign = |key: &PrivateKey, account: Address, chain: u64, version: &str, id: &str, realm: &str| {
        let words =
            [keccak256("Proof(address account,string challengeId,string realm)"), account.into_word(), keccak256(id), keccak256(realm)];
        let domain = crate::evm::eip712::Domain::of_chain("MPP", version, chain);
        json!({ "type": "proof", "signature": hex::encode_prefixed(key.sign(domain.digest(keccak256(words.concat()))).to_bytes()) })
    };
    let payer = key().address();
    let good = sign(&key(), payer, 42431, "3", &id, sample::REALM);
    let payment = read_as(&gateway, &challenge, &good, Some(source(payer))).unwrap();
    assert_eq!((payment.amount(), payment.payer(), charge(&payment).transaction()), (Amount::ZERO, Some(payer.to_checksum(None)), None));
    for wrong in [
        sign(&other_key(), payer, 42431, "3", &id, sample::REALM),
        sign(&key(), other_key().address(), 42431, "3", &id, sample::REALM),
        sign(&key(), payer, 4217, "3", &id, sample::REALM),
        sign(&key(), payer, 42431, "1", &id, sample::REALM),
        sign(&key(), payer, 42431, "3", "another", sample::REALM),
        sign(&key(), payer, 42431, "3", &id, "other.example.com"),
    ] {
        assert_eq!(read_as(&gateway, &challenge, &wrong, Some(source(payer))).unwrap_err().kind, ProblemKind::VerificationFailed);
    }
    assert_eq!(read_as(&gateway, &challenge, &good, None).unwrap_err().kind, ProblemKind::MalformedCredential);
    let access_key = json!({ "type": "proof", "signature": format!("0x04{}", "11".repeat(85)) });
    let problem = read_as(&gateway, &challenge, &access_key, Some(source(payer))).unwrap_err();
    assert!(problem.detail.contains("by an access key"), "{problem}");
    // It buys at once, once, and without a question to anybody.
    let (mut purchase, next) = Purchase::present(None, payment.clone(), None, NOW, false).unwrap();
    assert_eq!(next, Next::Prepare);
    let (prepared, _) = settle(&gateway, &mut purchase, &mut |_| panic!("nobody is asked"));
    assert!(matches!(prepared, Prepared::Settled(reference) if reference.as_str() == id));
    purchase.settle(crate::rail::Reference::new(id));
    let (lease, _) = purchase.hand_over(NOW, LEASE).unwrap();
    purchase.deliver(lease, NOW).unwrap();
    assert_eq!(Purchase::present(Some(purchase), payment, None, NOW, false).unwrap_err(), Refusal::Spent);
}

#[test]
fn ox_s_proofs_are_read() {
    let vectors: Value = serde_json::from_str(include_str!("../../../../tests/vectors/tempo-ox.json")).unwrap();
    for vector in vectors["proofs"].as_array().unwrap() {
        let text = |name: &str| vector[name].as_str().unwrap();
        let account = parse::address(text("account")).unwrap();
        let words = [
            keccak256("Proof(address account,string challengeId,string realm)"),
            account.into_word(),
            keccak256(text("challengeId")),
            keccak256(text("realm")),
        ];
        let digest =
            crate::evm::eip712::Domain::of_chain("MPP", "3", vector["chainId"].as_u64().unwrap()).digest(keccak256(words.concat()));
        assert_eq!(digest.to_string(), text("digest"));
        let signature = SenderSignature::decode(&parse::bytes(text("signature")).unwrap()).unwrap();
        assert_eq!(signature.recover(digest), Ok(account));
    }
}
