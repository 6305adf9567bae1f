//! The steps of a payment, with a node that answers as it likes.

use super::*;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

#[test]
fn a_transaction_is_tried_out_sent_and_mined() {
    let gateway = gateway();
    let payment = pull(&gateway);
    let (mut purchase, mut chain) = (begun(&payment), Chain::new());
    chain.mine(hash_of(&payment), logs(&gateway, key().address()));
    let (prepared, stored) = settle(&gateway, &mut purchase, &mut with_chain(&mut chain));
    assert_eq!(stored, Stage::Submitted { gas_limit: None }, "it was remembered before it was sent");
    assert_eq!(reference(prepared), hash_of(&payment).to_string());
    assert_eq!(chain.sent, [hash_of(&payment)]);
    purchase.settle(hash_of(&payment).into());
    let (lease, paid_by) = purchase.hand_over(NOW, LEASE).unwrap();
    assert_eq!(purchase.deliver(lease, NOW), Ok(paid_by));
    let stored: Purchase = decode(&encode(&purchase).unwrap()).unwrap();
    assert_eq!(Purchase::present(Some(stored), payment, None, NOW, false).unwrap_err(), Refusal::Spent);
}

#[test]
fn what_is_tried_out_is_what_is_sent() {
    let questions = |payment: &Payment, gateway: &Gateway| {
        let progress = Progress { answers: Vec::new(), presented: NOW, was_good: false, is_sent: false, reserved: Amount::ZERO };
        let Step::Ask(Ask::Rpc { requests, .. }) = gateway.rails[0].next(payment, &progress) else { panic!("a question") };
        serde_json::from_str::<Vec<Value>>(&jsonrpc::body(&requests)).unwrap()
    };
    let (payer, data) = (key().address(), |gateway: &Gateway| {
        hex::encode_prefixed(transfer_with_memo(RECIPIENT, 10_000, bound(gateway).memo(Some("an agent"))))
    });
    let gateway = gateway();
    let [balance, tried] = questions(&pull(&gateway), &gateway).try_into().unwrap();
    assert_eq!(balance["params"][0]["to"], json!(TOKEN));
    let fees = json!({ "from": payer, "to": TOKEN, "value": "0x0", "data": data(&gateway), "gas": "0xc3500", "maxFeePerGas": "0x5d21dba00", "maxPriorityFeePerGas": "0x3b9aca00" });
    assert_eq!(tried["params"], json!([fees, "latest"]));
    // First whether it would go well, and then with who pays the fees.
    let gateway = sponsoring();
    let [_, bare, sponsored] = questions(&pull_sponsored(&gateway), &gateway).try_into().unwrap();
    let (bare, sponsored) = (&bare["params"][0], &sponsored["params"][0]);
    assert_eq!((bare["calls"].as_array().unwrap().len(), &bare["gas"], &bare["feePayer"]), (2, &Value::Null, &Value::Null));
    let sponsor = PrivateKey::parse(SPONSOR).unwrap().address();
    assert_eq!((&sponsored["feePayer"], &sponsored["feeToken"], &sponsored["gas"]), (&json!(sponsor), &json!(TOKEN), &json!("0xc3500")));
    assert_eq!(sponsored["calls"], bare["calls"]);
}

#[test]
fn what_would_fail_is_not_sent() {
    type Edit = fn(&mut Chain);
    let cases: [(Edit, u16, &str); 7] = [
        (|chain| chain.balance = 9_999, 402, "less of the token"),
        (|chain| chain.tried.push(Err(NodeError::Reverted(Some("paused".into())))), 402, "would revert, and nothing was paid: paused"),
        (|chain| chain.tried.push(Err(NodeError::Reverted(None))), 402, "would revert"),
        (|chain| chain.tried.push(Err(NodeError::OutOfGas)), 402, "would revert"),
        (|chain| chain.tried.push(Err(NodeError::InsufficientFunds)), 402, "cannot pay the fees"),
        (|chain| chain.tried.push(Err(NodeError::Busy)), 503, "could not be tried out"),
        (|chain| chain.tried.push(Err(NodeError::Other(-32000))), 503, "could not be tried out"),
    ];
    for (edit, status, words) in cases {
        let gateway = gateway();
        let (mut purchase, mut chain) = (begun(&pull(&gateway)), Chain::new());
        edit(&mut chain);
        let (prepared, stored) = settle(&gateway, &mut purchase, &mut with_chain(&mut chain));
        assert_problem(&prepared, status, words);
        assert!(chain.sent.is_empty() && stored == Stage::Claimed);
    }
    let gateway = gateway();
    let (prepared, _) = settle(&gateway, &mut begun(&pull(&gateway)), &mut |_| Answer::Nothing);
    assert_problem(&prepared, 503, "cannot be asked");
    // The payer's other payments on their way count.
    let mut chain = Chain { balance: 15_000, ..Chain::new() };
    let mut progress =
        Progress { answers: Vec::new(), presented: NOW, was_good: false, is_sent: false, reserved: Amount::from_base_units(5_001) };
    let payment = pull(&gateway);
    let Step::Ask(Ask::Rpc { requests, .. }) = gateway.rails[0].next(&payment, &progress) else { panic!("a question") };
    progress.answers.push(chain.all(&requests));
    let Step::Prepared(prepared @ Prepared::Later(_)) = gateway.rails[0].next(&payment, &progress) else { panic!("later") };
    assert_problem(&prepared, 503, "beside its others");
    progress.reserved = Amount::from_base_units(5_000);
    assert!(matches!(gateway.rails[0].next(&payment, &progress), Step::Prepared(Prepared::Send(_))));
}

/// A sponsor's money is promised before it is spent, and a sponsor that cannot pay is not the client's fault.
#[test]
fn what_is_sponsored_is_promised_first() {
    let gateway = sponsoring();
    let payment = pull_sponsored(&gateway);
    let promised = |promise: Answer| {
        let (mut chain, mut asked) = (Chain::new(), Vec::new());
        chain.mine(hash_of(&payment), logs(&gateway, key().address()));
        let mut purchase = begun(&payment);
        let (prepared, _) = settle(&gateway, &mut purchase, &mut |ask| match ask {
            Ask::Promise(promise_asked) => {
                asked.push(*promise_asked);
                promise.clone()
            }
            ask => with_chain(&mut chain)(ask),
        });
        (prepared, asked, chain.sent)
    };
    let (prepared, asked, sent) = promised(Answer::Promised(true));
    assert_eq!((reference(prepared), sent), (hash_of(&payment).to_string(), vec![hash_of(&payment)]));
    let sponsor = PrivateKey::parse(SPONSOR).unwrap().address();
    assert_eq!(
        asked,
        [sponsor::Promise { chain_id: 42431, sponsor, transaction: hash_of(&payment), until: UnixSeconds::new(END), at_once: 2 }]
    );
    for answer in [Answer::Promised(false), Answer::Nothing] {
        let (prepared, _, sent) = promised(answer);
        assert!(matches!(prepared, Prepared::Unknown(_)) && sent.is_empty());
    }
    // The second question is about the sponsor.
    for (tried, status, words) in [
        (vec![Err(NodeError::Reverted(None))], 402, "would revert"),
        (vec![Ok(()), Err(NodeError::InsufficientFunds)], 503, "cannot be paid at the moment"),
        (vec![Ok(()), Err(NodeError::Reverted(None))], 503, "cannot be paid at the moment"),
    ] {
        let mut chain = Chain { tried, ..Chain::new() };
        let (prepared, _) = settle(&gateway, &mut begun(&payment), &mut with_chain(&mut chain));
        assert_problem(&prepared, status, words);
        assert!(chain.sent.is_empty());
    }
}

#[test]
fn whatever_a_node_says_only_the_chain_decides() {
    let gateway = gateway();
    let payment = pull(&gateway);
    for refusal in [
        NodeError::Busy,
        NodeError::AlreadyKnown,
        NodeError::NonceTooLow,
        NodeError::InsufficientFunds,
        NodeError::Unacceptable,
        NodeError::Reverted(None),
        NodeError::Other(-32003),
    ] {
        // It was mined all the same.
        let mut chain = Chain { refusal: Some(refusal.clone()), ..Chain::new() };
        chain.mine(hash_of(&payment), logs(&gateway, key().address()));
        let (prepared, _) = settle(&gateway, &mut begun(&payment), &mut with_chain(&mut chain));
        assert_eq!(reference(prepared), hash_of(&payment).to_string(), "{refusal}");
        // It is not, as yet.
        let mut chain = Chain { refusal: Some(refusal.clone()), ..Chain::new() };
        let (prepared, _) = settle(&gateway, &mut begun(&payment), &mut with_chain(&mut chain));
        assert_problem(&prepared, 503, "not settled yet");
    }
    // Nobody answers at all once it was sent.
    let mut chain = Chain::new();
    let mut questions = 0;
    let (prepared, stored) = settle(&gateway, &mut begun(&payment), &mut |ask| {
        questions += 1;
        if questions == 1 { with_chain(&mut chain)(ask) } else { Answer::Nothing }
    });
    assert_problem(&prepared, 503, "not settled yet");
    assert_eq!((stored, questions), (Stage::Submitted { gas_limit: None }, 3), "it is not asked on and on");
}

/// The object dies before or after it was sent: whoever asks again has it looked for, and sent again, which is harmless.
#[test]
fn what_may_have_been_sent_is_looked_for_and_sent_again() {
    let gateway = gateway();
    let payment = pull(&gateway);
    let mut purchase = begun(&payment);
    purchase.submit(None);
    let stored = encode(&purchase).unwrap();
    let resumed = |at: Timestamp| {
        let (purchase, next) = Purchase::present(Some(decode(&stored).unwrap()), payment.clone(), None, at, false).unwrap();
        assert_eq!(next, Next::Settle { gas_limit: None });
        purchase
    };
    // It was mined: nothing is sent.
    let mut chain = Chain::new();
    chain.mine(hash_of(&payment), logs(&gateway, key().address()));
    let (prepared, _) = settle(&gateway, &mut resumed(NOW.saturating_add(LIFETIME)), &mut with_chain(&mut chain));
    assert_eq!((reference(prepared), chain.sent.len()), (hash_of(&payment).to_string(), 0));
    // It was not: it is sent, once.
    let mut chain = Chain::new();
    let mut late = NOW;
    late = late.saturating_add(Duration::from_secs(1));
    let (prepared, _) = settle(&gateway, &mut resumed(late), &mut with_chain(&mut chain));
    assert_problem(&prepared, 503, "not settled yet");
    assert_eq!(chain.sent, [hash_of(&payment)]);
}

#[test]
fn a_transaction_that_ends_without_a_block_is_refused() {
    let gateway = gateway();
    let payment = pull(&gateway);
    let ended = || Chain { head: 200, seconds: END + 1, ..Chain::new() };
    let judge = |chain: &mut Chain| {
        let mut purchase = begun(&payment);
        purchase.submit(None);
        settle(&gateway, &mut purchase, &mut with_chain(chain)).0
    };
    assert_problem(&judge(&mut ended()), 402, "validBefore was past");
    // At its end it may still be in the block of that second.
    assert_problem(&judge(&mut Chain { seconds: END - 20, ..ended() }), 503, "not settled yet");
    // The receipt comes between the questions: it is asked for once more when the end is seen to be past.
    let mut chain = ended();
    let mut questions = 0;
    let mut purchase = begun(&payment);
    purchase.submit(None);
    let (prepared, _) = settle(&gateway, &mut purchase, &mut |ask| {
        questions += 1;
        if questions == 2 {
            chain.mine(hash_of(&payment), logs(&gateway, key().address()));
        }
        with_chain(&mut chain)(ask)
    });
    assert_eq!(reference(prepared), hash_of(&payment).to_string());
    // Another node is behind, and has no such block.
    let mut questions = 0;
    let mut purchase = begun(&payment);
    purchase.submit(None);
    let (prepared, _) = settle(&gateway, &mut purchase, &mut |ask| {
        questions += 1;
        match ask {
            Ask::Rpc { requests, .. } if requests.len() == 3 => Answer::Rpc(vec![raw(&Value::Null), raw(&Value::Null), raw(&json!([]))]),
            ask => with_chain(&mut ended())(ask),
        }
    });
    assert_problem(&prepared, 503, "not settled yet");
    // Nor is its end past as deep as is wanted.
    let deep = gateway_with(&json!({ "confirmations": 3 }));
    let mut purchase = begun(&payment);
    purchase.submit(None);
    let (prepared, _) = settle(&deep, &mut purchase, &mut |ask| match ask {
        Ask::Rpc { requests, .. } => ended().all(requests),
        _ => panic!("another question"),
    });
    assert_problem(&prepared, 503, "not settled yet");
    let mut purchase = begun(&payment);
    purchase.submit(None);
    let (prepared, _) = settle(&deep, &mut purchase, &mut with_chain(&mut Chain { seconds: END + 3, ..ended() }));
    assert_problem(&prepared, 402, "validBefore was past");
}

/// Somebody has sent what the payer signed in another form, with another signature or another sponsor: it is the same money.
#[test]
fn a_payment_by_another_transaction_counts() {
    let gateway = sponsoring();
    let payment = pull_sponsored(&gateway);
    let other = B256::repeat_byte(5);
    let mut chain = Chain { head: 200, seconds: END + 1, ..Chain::new() };
    chain.mine(other, logs(&gateway, key().address()));
    let mut log = logs(&gateway, key().address()).remove(1);
    log["transactionHash"] = json!(other);
    log["blockNumber"] = json!("0xc8");
    chain.logs = vec![log];
    let mut purchase = begun(&payment);
    purchase.submit(None);
    let (prepared, _) = settle(&gateway, &mut purchase, &mut with_chain(&mut chain));
    assert_eq!(reference(prepared), other.to_string());
    // It must have made all the transfers.
    chain.mine(other, logs(&gateway, key().address())[..2].to_vec());
    let mut purchase = begun(&payment);
    purchase.submit(None);
    let (prepared, _) = settle(&gateway, &mut purchase, &mut with_chain(&mut chain));
    assert_problem(&prepared, 503, "does not show the transfer");
}

#[test]
fn a_reverted_transaction_is_a_refusal_for_good() {
    let gateway = gateway();
    let payment = pull(&gateway);
    let (mut purchase, mut chain) = (begun(&payment), Chain::new());
    chain.revert(hash_of(&payment));
    let (prepared, _) = settle(&gateway, &mut purchase, &mut with_chain(&mut chain));
    assert_problem(&prepared, 402, "was reverted, and nothing was paid");
    purchase.conclude(Verdict::Failed(Failure::Declined));
    let again = Purchase::present(Some(purchase), payment, None, NOW, false).unwrap_err();
    assert_eq!(again, Refusal::Failed(Failure::Declined));
}

#[test]
fn a_receipt_counts_when_it_is_deep_enough_and_shows_the_transfers() {
    let deep = gateway_with(&json!({ "confirmations": 3 }));
    let payment = pull(&deep);
    let settled = |edit: fn(&mut Chain, B256), blocks_per_look: u64| {
        let (mut purchase, mut chain) = (begun(&payment), Chain::new());
        chain.mine(hash_of(&payment), logs(&deep, key().address()));
        edit(&mut chain, hash_of(&payment));
        settle(&deep, &mut purchase, &mut |ask| match ask {
            Ask::Rpc { requests, after } => {
                if !after.is_zero() {
                    chain.head += blocks_per_look;
                }
                chain.all(requests)
            }
            _ => panic!("another question"),
        })
        .0
    };
    assert_eq!(reference(settled(|_, _| {}, 1)), hash_of(&payment).to_string());
    assert_problem(&settled(|_, _| {}, 0), 503, "not settled yet");
    assert_problem(&settled(|chain, hash| chain.revert(hash), 0), 503, "not settled yet");
    assert_problem(&settled(|chain, hash| chain.revert(hash), 1), 402, "was reverted");
    // What was signed was done, and a node does not show it.
    assert_problem(&settled(|chain, hash| chain.mine(hash, Vec::new()), 1), 503, "does not show the transfer");
    // A node that answers with the receipt of another one.
    let confused = |chain: &mut Chain, hash: B256| chain.receipts.get_mut(&hash).unwrap()["transactionHash"] = json!(B256::repeat_byte(9));
    let one = gateway();
    let payment = pull(&one);
    let (mut purchase, mut chain) = (begun(&payment), Chain::new());
    chain.mine(hash_of(&payment), logs(&one, key().address()));
    confused(&mut chain, hash_of(&payment));
    let (prepared, _) = settle(&one, &mut purchase, &mut with_chain(&mut chain));
    assert_problem(&prepared, 503, "not settled yet");
}

#[test]
fn a_hash_is_looked_for_and_judged_by_its_logs() {
    let gateway = gateway();
    let hash = B256::repeat_byte(3);
    let payment = read(&gateway, &pushed(hash)).unwrap();
    let judge = |chain: &mut Chain| settle(&gateway, &mut begun(&payment), &mut with_chain(chain)).0;
    let mut chain = Chain::new();
    assert_problem(&judge(&mut chain), 503, "not in a block yet");
    chain.mine(hash, logs(&gateway, key().address()));
    assert_eq!(reference(judge(&mut chain)), hash.to_string());
    assert!(chain.sent.is_empty());
    chain.revert(hash);
    assert_problem(&judge(&mut chain), 402, "was reverted");
    chain.mine(hash, logs(&gateway, other_key().address()));
    assert_problem(&judge(&mut chain), 402, "has no transfer of 10000");
    chain.mine(hash, logs(&gateway, key().address())[..1].to_vec());
    assert_problem(&judge(&mut chain), 402, "memo of this challenge");
    let mut foreign = logs(&gateway, key().address());
    foreign[1]["topics"][3] = json!(Bound::to(sample::REALM, ID).memo(None));
    chain.mine(hash, foreign);
    assert_problem(&judge(&mut chain), 402, "memo of another challenge");
    let (prepared, _) = settle(&gateway, &mut begun(&payment), &mut |_| Answer::Nothing);
    assert_problem(&prepared, 503, "cannot be asked");
}

/// It is not deep enough yet: it is remembered from then on, and does not expire.
#[test]
fn a_hash_that_was_seen_is_remembered() {
    let gateway = gateway_with(&json!({ "confirmations": 5 }));
    let hash = B256::repeat_byte(3);
    let payment = read(&gateway, &pushed(hash)).unwrap();
    let (mut purchase, mut chain) = (begun(&payment), Chain::new());
    chain.mine(hash, logs(&gateway, key().address()));
    let still = |chain: &mut Chain, purchase: &mut Purchase| {
        settle(&gateway, purchase, &mut |ask| match ask {
            Ask::Rpc { requests, .. } => chain.all(requests),
            _ => panic!("another question"),
        })
    };
    let (prepared, stored) = still(&mut chain, &mut purchase);
    assert_problem(&prepared, 503, "not in a block yet");
    assert_eq!(stored, Stage::Submitted { gas_limit: None });
    let later = NOW.saturating_add(LIFETIME);
    let (mut purchase, next) = Purchase::present(Some(purchase), payment, None, later, false).unwrap();
    assert_eq!(next, Next::Settle { gas_limit: None });
    chain.head += 4;
    assert_eq!(reference(still(&mut chain, &mut purchase).0), hash.to_string());
    // Nothing is remembered of one that was not seen, or that is of no use.
    let mut empty = Chain::new();
    let mut purchase = begun(&read(&gateway, &pushed(hash)).unwrap());
    assert_eq!(still(&mut empty, &mut purchase).1, Stage::Claimed);
    empty.mine(hash, logs(&gateway, other_key().address()));
    assert_eq!(still(&mut empty, &mut purchase).1, Stage::Claimed);
}

#[test]
fn what_the_origin_fails_is_fetched_again() {
    let gateway = gateway();
    let payment = pull(&gateway);
    let mut purchase = begun(&payment);
    purchase.settle(hash_of(&payment).into());
    let (lease, _) = purchase.hand_over(NOW, LEASE).unwrap();
    let purchase = purchase.release(lease, Undelivered::Failed, NOW).unwrap();
    let (purchase, next) = Purchase::present(Some(purchase), payment, None, NOW, false).unwrap();
    assert_eq!((next, matches!(purchase.stage(), Stage::Settled { .. })), (Next::Deliver, true));
}
