//! What signatures prove: vouchers in the method's domain, authorizations in the token's, and nothing in any other form.

use super::{
    CHAIN_ID, Close, DEPOSIT, Form, Open, OpenForClient, PAYER, PAYER_KEY, SALT, SIGNER, SIGNER_KEY, STRANGER, STRANGER_KEY, TOKEN,
    TopUpForClient, Voucher, VoucherWithOpen, VoucherWithTopUp, authorization_json, authorized, channel, escrow, judge, opening, refused,
    sign, terms, text, token_domain, topping_up, voucher, voucher_domain, with,
};
use alloy_primitives::{Address, B256, U256, hex, keccak256};
use mpp_edge::evm::eip712::Domain;
use mpp_edge::evm::erc3009::Authorization;
use mpp_edge::evm::escrow::{Opening, ToppingUp, channel_id};
use mpp_edge::evm::signature::Signature;
use mpp_edge::evm::signers::Signers;
use mpp_edge::money::Amount;
use mpp_edge::rail::evm::Method;
use mpp_edge::rail::evm::session::{Unverified, domain};
use mpp_edge::time::UnixSeconds;
use mpp_edge::wire::problem::ProblemKind::{InvalidSignature, MalformedCredential, SignerMismatch, VerificationFailed};
use serde_json::{Value, json};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const ORDER: U256 = U256::from_be_bytes(hex!("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141"));

/// A13: every other text of a good signature, and of none.
fn other_forms(good: &str) -> Vec<String> {
    let good: [u8; 65] = hex::decode(good).unwrap().try_into().unwrap();
    let (r, s) = (&good[..32], &good[32..64]);
    let word = |scalar: U256| scalar.to_be_bytes::<32>();
    let high = word(ORDER - U256::from_be_slice(s));
    let half = word((ORDER >> 1) + U256::from(1));
    let mut others: Vec<Vec<u8>> = [0, 1, 2, 26, 29, 35, 36, 255].into_iter().map(|v| [r, s, &[v]].concat()).collect();
    for v in [27, 28] {
        let ends = [word(U256::ZERO), word(ORDER), word(ORDER + U256::from(1)), word(U256::MAX)];
        others.extend(ends.iter().flat_map(|end| [[end, s, &[v]].concat(), [r, end, &[v]].concat()]));
        others.extend([[r, &high, &[v]].concat(), [r, &half, &[v]].concat()]);
    }
    // Compact (EIP-2098), without v, and too long.
    let mut compact = good[..64].to_vec();
    compact[32] |= if good[64] == 28 { 0x80 } else { 0 };
    others.extend([compact, good[..64].to_vec(), [&good[..], &[0]].concat(), vec![]]);
    let mut others: Vec<String> = others.into_iter().map(hex::encode_prefixed).collect();
    others.push(hex::encode(good));
    others.push(format!(" {}", hex::encode_prefixed(good)));
    others
}

/// The forms with a voucher, and where its signature stands.
const VOUCHERS: [(Method, Form, &str); 9] = [
    (Method::Abstract, Open, "signature"),
    (Method::Abstract, Voucher, "signature"),
    (Method::Abstract, Close, "signature"),
    (Method::Evm, Open, "signature"),
    (Method::Evm, Voucher, "signature"),
    (Method::Evm, Close, "signature"),
    (Method::Evm, OpenForClient, "voucherSignature"),
    (Method::Evm, VoucherWithOpen, "signature"),
    (Method::Evm, VoucherWithTopUp, "signature"),
];

#[test]
fn only_the_canonical_signature_of_a_voucher_is_taken() {
    for (method, form, name) in VOUCHERS {
        let honest = form.payload(method);
        for other in other_forms(honest[name].as_str().unwrap()) {
            let payload = with(honest.clone(), &format!("/{name}"), json!(other));
            refused(method, &payload, &format!("payload.{name}"), InvalidSignature);
        }
        // Either case of its digits is the same signature.
        let upper = format!("0x{}", hex::encode_upper(hex::decode(honest[name].as_str().unwrap()).unwrap()));
        assert_eq!(judge(method, &with(honest.clone(), &format!("/{name}"), json!(upper))), judge(method, &honest));
    }
}

/// A20: the signature over the challenge, where the chain has shown the voucher.
#[test]
fn a_proof_is_a_personal_message_for_this_channel_and_challenge_by_the_same_signer() {
    for (method, form, _) in VOUCHERS {
        let honest = form.payload(method);
        let id = super::challenge(&super::offer(method))["id"].as_str().unwrap().to_owned();
        let proved = |key: &str, channel: B256, challenge: &str| {
            let message = format!("mpp-edge channel {channel} challenge {challenge}");
            let digest = keccak256(format!("\u{19}Ethereum Signed Message:\n{}{message}", message.len()));
            with(honest.clone(), "/proof", json!(text(sign(key, digest))))
        };
        let is_fresh = |payload: &Value| judge(method, payload).map(|(_, proof)| proof.presented.unwrap().fresh);
        let good = proved(PAYER_KEY, channel(method), &id);
        assert_eq!((is_fresh(&honest), is_fresh(&good)), (Ok(false), Ok(true)), "{form:?}");
        for payload in [
            proved(STRANGER_KEY, channel(method), &id),
            proved(PAYER_KEY, B256::repeat_byte(7), &id),
            proved(PAYER_KEY, channel(method), "another"),
            proved(PAYER_KEY, channel(method), ""),
            with(honest.clone(), "/proof", json!(text(voucher(PAYER_KEY, 2_000, channel(method), &voucher_domain(method))))),
        ] {
            refused(method, &payload, "payload.proof", SignerMismatch);
        }
        for other in other_forms(good["proof"].as_str().unwrap()) {
            refused(method, &with(honest.clone(), "/proof", json!(other)), "payload.proof", InvalidSignature);
        }
        refused(method, &with(honest.clone(), "/proof", json!(of_nobody())), "payload.proof", InvalidSignature);
        for other in [json!(7), json!(true), json!({}), json!([])] {
            refused(method, &with(honest.clone(), "/proof", other), "payload.proof", MalformedCredential);
        }
    }
}

/// An r that is the x of no point.
fn of_nobody() -> String {
    (1..=20u8)
        .map(|r| hex::encode_prefixed([&[0; 31][..], &[r], &[0; 31], &[1, 27]].concat()))
        .find(|text| Signature::parse(text).unwrap().recover(B256::repeat_byte(1)).is_err())
        .unwrap()
}

#[test]
fn a_signature_of_nobody_is_invalid() {
    for (method, form, name) in VOUCHERS.into_iter().filter(|(.., name)| *name == "signature") {
        refused(method, &with(form.payload(method), "/signature", json!(of_nobody())), &format!("payload.{name}"), InvalidSignature);
    }
    let payload = with(OpenForClient.payload(Method::Evm), "/voucherSignature", json!(of_nobody()));
    assert_eq!(judge(Method::Evm, &payload).unwrap_err().kind, InvalidSignature);
}

#[test]
fn a_voucher_s_signature_is_named_where_it_stands() {
    let payload = with(OpenForClient.payload(Method::Evm), "/voucherSignature", json!(of_nobody()));
    refused(Method::Evm, &payload, "payload.voucherSignature", InvalidSignature);
}

/// A12: whoever signed is named, and the channel compares.
#[test]
fn a_voucher_of_another_key_domain_chain_escrow_channel_or_amount_is_somebody_else_s() {
    for (method, form, name) in VOUCHERS {
        let id = channel(method);
        let other = if method == Method::Abstract { Method::Evm } else { Method::Abstract };
        let good = voucher_domain(method);
        let signed = |signature| {
            let payload = with(form.payload(method), &format!("/{name}"), json!(text(signature)));
            judge(method, &payload).unwrap().1.presented.unwrap().signer
        };
        assert_eq!(signed(voucher(PAYER_KEY, 2_000, id, &good)), PAYER);
        assert_eq!(signed(voucher(SIGNER_KEY, 2_000, id, &good)), SIGNER);
        assert_eq!(signed(voucher(STRANGER_KEY, 2_000, id, &good)), STRANGER);
        let contract = escrow(method);
        for (cumulative, channel, domain) in [
            (1_999, id, good.clone()),
            (2_000, channel(other), good.clone()),
            (2_000, id, domain(other, CHAIN_ID, contract)),
            (2_000, id, domain(method, 1, contract)),
            (2_000, id, domain(method, CHAIN_ID, escrow(other))),
            (2_000, id, Domain::new("Tempo Stream Channel", "1", CHAIN_ID, contract)),
            (2_000, id, token_domain()),
        ] {
            assert_ne!(signed(voucher(PAYER_KEY, cumulative, channel, &domain)), PAYER, "{method} {form:?}");
        }
    }
}

/// The forms with an authorization, and where it stands.
const AUTHORIZED: [(Form, &str); 4] =
    [(OpenForClient, ""), (TopUpForClient, ""), (VoucherWithOpen, "/deposit"), (VoucherWithTopUp, "/deposit")];

fn field(at: &str, name: &str) -> String {
    format!("payload{}.{name}", at.replace('/', "."))
}

const fn is_opening(form: Form) -> bool {
    matches!(form, OpenForClient | VoucherWithOpen)
}

#[test]
fn only_the_canonical_signature_of_an_authorization_is_taken() {
    for (form, at) in AUTHORIZED {
        let honest = form.payload(Method::Evm);
        let pointer = format!("{at}/signature");
        for other in other_forms(honest.pointer(&pointer).unwrap().as_str().unwrap()) {
            refused(Method::Evm, &with(honest.clone(), &pointer, json!(other)), &field(at, "signature"), VerificationFailed);
        }
    }
}

/// `transferWithAuthorization` may be submitted by anybody, so that its signature must not open a channel.
#[test]
fn an_authorization_is_for_receiving_and_by_whom_it_is_from() {
    for (form, at) in AUTHORIZED {
        let (key, signed) =
            if is_opening(form) { (PAYER_KEY, opening(Method::Evm, Address::ZERO).signed) } else { (STRANGER_KEY, topping_up().signed) };
        let authorization = signed.authorization;
        let good = authorization.receive_digest(&token_domain());
        let judged = |signature| judge(Method::Evm, &with(form.payload(Method::Evm), &format!("{at}/signature"), json!(text(signature))));
        assert!(judged(sign(key, good)).is_ok());
        let contract = escrow(Method::Evm);
        for (key, digest) in [
            (key, authorization.digest(&token_domain())),
            (SIGNER_KEY, good),
            (key, authorization.receive_digest(&Domain::new("Bridged USDC", "1", CHAIN_ID, TOKEN))),
            (key, authorization.receive_digest(&Domain::new("USD Coin", "2", CHAIN_ID, TOKEN))),
            (key, authorization.receive_digest(&Domain::new("Bridged USDC", "2", 1, TOKEN))),
            (key, authorization.receive_digest(&Domain::new("Bridged USDC", "2", CHAIN_ID, contract))),
            (key, authorization.receive_digest(&voucher_domain(Method::Evm))),
            (key, Authorization { valid_before: UnixSeconds::new(2_000_000_000), ..authorization }.receive_digest(&token_domain())),
            (key, Authorization { valid_after: UnixSeconds::new(1), ..authorization }.receive_digest(&token_domain())),
            (key, Authorization { nonce: B256::ZERO, ..authorization }.receive_digest(&token_domain())),
            (key, Authorization { to: STRANGER, ..authorization }.receive_digest(&token_domain())),
            (key, Authorization { value: Amount::from_base_units(1), ..authorization }.receive_digest(&token_domain())),
        ] {
            let problem = judged(sign(key, digest)).unwrap_err();
            assert_eq!(problem.kind, VerificationFailed);
            assert!(problem.detail.contains("authorization: is not signed by its from"), "{form:?}: {}", problem.detail);
        }
    }
}

#[test]
fn a_merged_authorization_is_named_where_it_stands() {
    for (form, at) in AUTHORIZED {
        let other = text(sign(SIGNER_KEY, B256::ZERO));
        let payload = with(form.payload(Method::Evm), &format!("{at}/signature"), json!(other));
        refused(Method::Evm, &payload, &field(at, "authorization"), VerificationFailed);
    }
}

/// Without the token's domain nothing is proved.
#[test]
fn an_authorization_is_not_taken_unchecked() {
    for (form, _) in AUTHORIZED {
        let credential = json!({ "challenge": super::challenge(&super::offer(Method::Evm)), "payload": form.payload(Method::Evm) });
        let unverified = Unverified::read(&super::parse(&credential), Method::Evm, &terms(Method::Evm)).unwrap();
        assert!(unverified.is_sponsored());
        assert_eq!(unverified.verify(&voucher_domain(Method::Evm), None, &mut Signers::new()).unwrap_err().kind, VerificationFailed);
    }
}

/// The nonce of an opening commits to payer, payee, token, salt and signer.
#[test]
fn the_nonce_of_an_opening_is_derived() {
    let honest = opening(Method::Evm, Address::ZERO);
    let others = [
        B256::ZERO,
        Opening { payee: STRANGER, ..honest }.nonce(),
        Opening { token: STRANGER, ..honest }.nonce(),
        Opening { salt: B256::ZERO, ..honest }.nonce(),
        Opening { authorized_signer: SIGNER, ..honest }.nonce(),
        topping_up().nonce(),
    ];
    // Not to the deposit: that is signed beside it.
    let mut richer = honest;
    richer.signed.authorization.value = Amount::from_base_units(1);
    assert_eq!(richer.nonce(), honest.nonce());
    for (form, at) in AUTHORIZED.into_iter().filter(|(form, _)| is_opening(*form)) {
        for nonce in others {
            let signed = authorized(PAYER_KEY, Authorization { nonce, ..honest.signed.authorization });
            let payload = with(form.payload(Method::Evm), &format!("{at}/authorization"), authorization_json(&signed.authorization));
            let payload = with(payload, &format!("{at}/signature"), json!(text(signed.signature)));
            refused(Method::Evm, &payload, &field(at, "authorization.nonce"), VerificationFailed);
        }
    }
}

/// That of an addition to channel, amount, payer and salt.
#[test]
fn the_nonce_of_an_addition_is_derived() {
    let honest = topping_up();
    let mut smaller = honest;
    smaller.signed.authorization.value = Amount::from_base_units(1);
    let mut of_another = honest;
    of_another.signed.authorization.from = PAYER;
    let others = [
        B256::ZERO,
        smaller.nonce(),
        of_another.nonce(),
        ToppingUp { channel_id: channel(Method::Abstract), ..honest }.nonce(),
        ToppingUp { salt: B256::ZERO, ..honest }.nonce(),
        opening(Method::Evm, Address::ZERO).nonce(),
    ];
    for (form, at) in AUTHORIZED.into_iter().filter(|(form, _)| !is_opening(*form)) {
        for nonce in others {
            let signed = authorized(STRANGER_KEY, Authorization { nonce, ..honest.signed.authorization });
            let payload = with(form.payload(Method::Evm), &format!("{at}/authorization"), authorization_json(&signed.authorization));
            let payload = with(payload, &format!("{at}/signature"), json!(text(signed.signature)));
            refused(Method::Evm, &payload, &field(at, "authorization.nonce"), VerificationFailed);
        }
        // With another salt it is another addition, and this one's nonce does not fit it.
        let payload = with(form.payload(Method::Evm), &format!("{at}/salt"), json!(B256::ZERO));
        refused(Method::Evm, &payload, &field(at, "authorization.nonce"), VerificationFailed);
    }
}

/// With an authorized signer, the payer authorizes the deposit and the signer the vouchers.
#[test]
fn a_channel_with_a_signer_of_its_own() {
    let opened = opening(Method::Evm, SIGNER);
    let id = channel_id(&opened, CHAIN_ID);
    assert_ne!(id, channel(Method::Evm));
    let by_signer = text(voucher(SIGNER_KEY, DEPOSIT, id, &voucher_domain(Method::Evm)));
    let authorization = authorization_json(&opened.signed.authorization);
    let signature = text(opened.signed.signature);
    let open = json!({
        "action": "open", "type": "authorization", "channelId": id, "authorization": authorization, "signature": signature,
        "salt": SALT, "authorizedSigner": SIGNER, "cumulativeAmount": DEPOSIT.to_string(), "voucherSignature": by_signer,
    });
    let merged = json!({
        "action": "voucher", "channelId": id, "cumulativeAmount": DEPOSIT.to_string(), "signature": by_signer,
        "deposit": { "action": "open", "authorization": authorization, "signature": signature, "salt": SALT, "authorizedSigner": SIGNER },
    });
    for (payload, at) in [(&open, ""), (&merged, "/deposit")] {
        let proof = judge(Method::Evm, payload).unwrap().1;
        assert_eq!(proof.presented.unwrap().signer, SIGNER);
        assert_eq!(proof.sponsored.unwrap().signed().authorization.from, PAYER);
        // Left out, it is another channel.
        refused(
            Method::Evm,
            &with(payload.clone(), &format!("{at}/authorizedSigner"), Value::Null),
            "payload.channelId",
            VerificationFailed,
        );
    }
}
