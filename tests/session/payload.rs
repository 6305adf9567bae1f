//! Payloads: what each action is read as, and the problem for every member that is missing or wrong.

use super::{
    Close, DEPOSIT, FORMS, Form, Open, OpenForClient, PAYER, SALT, STRANGER, TRANSACTION, TopUp, TopUpForClient, Voucher, VoucherWithOpen,
    VoucherWithTopUp, channel, escrow, judge, opening, refused, topping_up, with,
};
use alloy_primitives::{Address, B256};
use mpp_edge::channel::{Action, PresentedVoucher, Proof, SponsoredDeposit};
use mpp_edge::money::Amount;
use mpp_edge::rail::evm::Method;
use mpp_edge::wire::problem::ProblemKind::{InvalidSignature, MalformedCredential, MethodUnsupported, VerificationFailed};
use serde_json::{Value, json};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

/// How a member is written.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Hash,
    Address,
    Amount,
    Seconds,
    /// Of a voucher.
    Signature,
    /// Of an authorization.
    Authority,
    Object,
}

const AUTHORIZATION: [(&str, Kind); 6] = [
    ("from", Kind::Address),
    ("to", Kind::Address),
    ("value", Kind::Amount),
    ("validAfter", Kind::Seconds),
    ("validBefore", Kind::Seconds),
    ("nonce", Kind::Hash),
];

/// What an action needs besides itself.
fn members(method: Method, form: Form) -> Vec<(String, Kind)> {
    let hash = ("hash", Kind::Hash);
    let transaction = if method == Method::Evm { hash } else { ("txHash", Kind::Hash) };
    let voucher = [("cumulativeAmount", Kind::Amount), ("signature", Kind::Signature)];
    let authority = [("authorization", Kind::Object), ("signature", Kind::Authority), ("salt", Kind::Hash)];
    let mut members = vec![("channelId", Kind::Hash)];
    match form {
        Open => members.extend([transaction].into_iter().chain(voucher)),
        TopUp => members.extend([transaction, ("additionalDeposit", Kind::Amount)]),
        Voucher | Close | VoucherWithOpen | VoucherWithTopUp => members.extend(voucher),
        OpenForClient => {
            members.extend(authority);
            members.extend([("cumulativeAmount", Kind::Amount), ("voucherSignature", Kind::Signature)]);
        }
        TopUpForClient => {
            members.extend(authority);
            members.push(("additionalDeposit", Kind::Amount));
        }
    }
    let mut members: Vec<_> = members.into_iter().map(|(name, kind)| (name.to_owned(), kind)).collect();
    let prefix = match form {
        OpenForClient | TopUpForClient => "",
        VoucherWithOpen | VoucherWithTopUp => {
            members.extend(authority.map(|(name, kind)| (format!("deposit/{name}"), kind)));
            members.push(("deposit/action".into(), Kind::Object));
            "deposit/"
        }
        _ => return members,
    };
    members.extend(AUTHORIZATION.map(|(name, kind)| (format!("{prefix}authorization/{name}"), kind)));
    members
}

/// Texts that are none of the kind, and the problem they get.
fn wrong(kind: Kind) -> (Vec<String>, mpp_edge::wire::problem::ProblemKind) {
    let own = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    match kind {
        Kind::Hash => {
            let hashes = ["".into(), "0x".into(), "7e".repeat(32), format!("0x{}", "7e".repeat(31)), format!("0x{}", "7e".repeat(33))];
            (hashes.into_iter().chain([format!("0x{}g", "7".repeat(63)), format!("0x{}ä", "7".repeat(62))]).collect(), MalformedCredential)
        }
        // The last has one letter in the wrong case.
        Kind::Address => (own(&["", "0x", "0x7099", &"70".repeat(20), "0x70997970C51812dc3A010C7d01b50e0d17dc79c8"]), MalformedCredential),
        Kind::Amount => (own(&AMOUNTS), MalformedCredential),
        Kind::Seconds => (own(&["", "-1", "1e9", "01", "1.0", " 1", "٣", "18446744073709551616"]), MalformedCredential),
        Kind::Signature => (own(&["", "0x", "0x00"]), InvalidSignature),
        Kind::Authority => (own(&["", "0x", "0x00"]), VerificationFailed),
        Kind::Object => (own(&["", "none"]), MalformedCredential),
    }
}

/// A15: above 2^128 - 1, negative, with an exponent, with zeros in front, in other digits, and what else is no plain number.
const AMOUNTS: [&str; 13] = [
    "340282366920938463463374607431768211456",
    "99999999999999999999999999999999999999999999999999999999999999999999999999999999",
    "-1",
    "-0",
    "+1",
    "1e3",
    "00",
    "01",
    "",
    " 1",
    "1.0",
    "0x10",
    "٣",
];

fn dotted(pointer: &str) -> String {
    format!("payload.{}", pointer.replace('/', "."))
}

#[test]
fn every_action_is_read_as_what_it_says() {
    let presented = |proof: &Proof, form: (Method, Form)| {
        let PresentedVoucher { voucher, signer, source, fresh: false } = proof.presented.unwrap() else { panic!("{form:?}") };
        assert_eq!((voucher.cumulative, signer, source), (Amount::from_base_units(2_000), PAYER, None), "{form:?}");
    };
    for (method, form) in FORMS {
        let (action, proof) =
            judge(method, &form.payload(method)).unwrap_or_else(|problem| panic!("{method} {form:?}: {}", problem.detail));
        let addition = Amount::from_base_units(500_000);
        let expected = match form {
            Open => Action::Open { transaction: Some(TRANSACTION) },
            TopUp => Action::TopUp { transaction: Some((TRANSACTION, addition)) },
            Voucher | VoucherWithOpen | VoucherWithTopUp => Action::Voucher,
            Close => Action::Close,
            OpenForClient => Action::Open { transaction: None },
            TopUpForClient => Action::TopUp { transaction: None },
        };
        assert_eq!(action, expected);
        let sponsored = match form {
            OpenForClient | VoucherWithOpen => Some(SponsoredDeposit::Open(opening(method, Address::ZERO))),
            TopUpForClient | VoucherWithTopUp => Some(SponsoredDeposit::TopUp(topping_up())),
            _ => None,
        };
        assert_eq!((proof.sponsored, proof.source), (sponsored, None), "{form:?}");
        match form {
            TopUp | TopUpForClient => assert_eq!(proof.presented, None),
            _ => presented(&proof, (method, form)),
        }
    }
}

#[test]
fn a_member_that_is_missing_or_no_text_is_named() {
    for (method, form) in FORMS {
        let honest = form.payload(method);
        for (name, kind) in [("action".to_owned(), Kind::Object)].into_iter().chain(members(method, form)) {
            let field = dotted(&name);
            let pointer = format!("/{name}");
            assert!(honest.pointer(&pointer).is_some(), "{method} {form:?} has no {name}");
            refused(method, &with(honest.clone(), &pointer, Value::Null), &field, MalformedCredential);
            for other in [json!(7), json!(true), json!(["0x00"]), json!(-0.5)] {
                refused(method, &with(honest.clone(), &pointer, other), &field, MalformedCredential);
            }
            let mut null = honest.clone();
            *null.pointer_mut(&pointer).unwrap() = Value::Null;
            refused(method, &null, &field, MalformedCredential);
            if kind != Kind::Object {
                refused(method, &with(honest.clone(), &pointer, json!({})), &field, MalformedCredential);
            }
        }
    }
}

#[test]
fn a_member_that_is_not_what_it_should_be_is_named() {
    for (method, form) in FORMS {
        let honest = form.payload(method);
        for (name, kind) in members(method, form) {
            let (texts, problem) = wrong(kind);
            for text in texts {
                refused(method, &with(honest.clone(), &format!("/{name}"), json!(text)), &dotted(&name), problem);
            }
        }
        for action in ["", "Open", "topup", "withdraw", "open "] {
            refused(method, &with(honest.clone(), "/action", json!(action)), "payload.action", MalformedCredential);
        }
    }
}

/// No problem repeats what it was given: it may be a signature, or anything.
#[test]
fn no_detail_repeats_a_value() {
    for (method, form) in FORMS {
        let honest = form.payload(method);
        for (name, _) in members(method, form) {
            for value in [json!("marker5ecret"), json!("\"marker5ecret\" at line"), json!({ "marker5ecret": 1 })] {
                let problem = judge(method, &with(honest.clone(), &format!("/{name}"), value)).unwrap_err();
                assert!(!problem.to_json().contains("marker5ecret"), "{}", problem.detail);
            }
        }
    }
}

#[test]
fn a_payload_that_is_no_object_is_malformed() {
    for method in Method::ALL {
        for payload in [json!(null), json!(7), json!("open"), json!([]), json!(["open"]), json!({}), json!([[[[]]]])] {
            let credential = json!({ "challenge": super::challenge(&super::offer(method)), "payload": payload });
            let problem = super::Unverified::read(&super::parse(&credential), method, &super::terms(method)).unwrap_err();
            assert_eq!(problem.kind, MalformedCredential, "{payload}");
            let expected = if payload == json!({}) { "payload.channelId: is missing" } else { "payload: " };
            assert!(problem.detail.starts_with(expected), "{payload}: {}", problem.detail);
        }
    }
}

#[test]
fn a_member_given_twice_is_malformed() {
    let payload = Voucher.payload(Method::Evm).to_string();
    for (from, to) in [("{", r#"{"cumulativeAmount":"1","#), ("{", r#"{"salt":null,"topUpSalt":null,"#)] {
        let raw = payload.replacen(from, to, 1);
        let challenge = super::challenge(&super::offer(Method::Evm)).to_string();
        let credential = format!(r#"{{"challenge":{challenge},"payload":{raw}}}"#);
        let credential = super::Credential::parse(&super::to_base64url(credential)).unwrap();
        let problem = super::Unverified::read(&credential, Method::Evm, &super::terms(Method::Evm)).unwrap_err();
        assert_eq!(problem.kind, MalformedCredential);
        assert!(problem.detail.contains("duplicate field"), "{}", problem.detail);
    }
}

#[test]
fn what_is_not_known_is_ignored_and_what_is_optional_may_be_left_out() {
    for (method, form) in FORMS {
        let honest = form.payload(method);
        let expected = judge(method, &honest).unwrap();
        for (name, value) in [("memo", json!({ "a": [1] })), ("channel_id", json!(7)), ("Action", json!("close"))] {
            assert_eq!(judge(method, &with(honest.clone(), &format!("/{name}"), value)).unwrap(), expected, "{form:?}");
        }
    }
    // The chain shows how the channel was made; older clients leave the type out as well.
    for (form, name) in [(Open, "salt"), (Open, "type"), (TopUp, "type")] {
        let payload = form.payload(Method::Evm);
        assert_eq!(judge(Method::Evm, &with(payload.clone(), &format!("/{name}"), Value::Null)), judge(Method::Evm, &payload));
    }
    // Numbers at the ends of their range are numbers.
    for (text, amount) in [("0", 0), ("340282366920938463463374607431768211455", u128::MAX)] {
        let payload = with(Voucher.payload(Method::Evm), "/cumulativeAmount", json!(text));
        let presented = judge(Method::Evm, &payload).unwrap().1.presented.unwrap();
        assert_eq!(presented.voucher.cumulative, Amount::from_base_units(amount));
        assert_ne!(presented.signer, PAYER);
    }
}

#[test]
fn a_signer_is_an_address_whatever_it_is_said_for() {
    for (method, form) in FORMS {
        for text in ["", "0x7099", "0x70997970C51812dc3A010C7d01b50e0d17dc79c8"] {
            let payload = with(form.payload(method), "/authorizedSigner", json!(text));
            refused(method, &payload, "payload.authorizedSigner", MalformedCredential);
        }
    }
    // Where the channel is open already, the chain says who signs.
    let payload = with(Open.payload(Method::Abstract), "/authorizedSigner", json!(STRANGER));
    assert_eq!(judge(Method::Abstract, &payload), judge(Method::Abstract, &Open.payload(Method::Abstract)));
}

#[test]
fn the_type_says_who_submits() {
    let evm = Method::Evm;
    for form in [OpenForClient, TopUpForClient] {
        let honest = form.payload(evm);
        // As drafts before the last had it.
        assert_eq!(judge(evm, &with(honest.clone(), "/type", json!("transaction"))), judge(evm, &honest));
        for text in ["", "Authorization", "receive", "tx"] {
            refused(evm, &with(honest.clone(), "/type", json!(text)), "payload.type", MalformedCredential);
        }
        // There is an authorization, and nothing says that it is meant.
        refused(evm, &with(honest.clone(), "/type", Value::Null), "payload.type", MalformedCredential);
        refused(evm, &with(honest.clone(), "/type", json!("permit2")), "payload.type", MethodUnsupported);
        // A transaction is what counts then, and there is none.
        refused(evm, &with(honest, "/type", json!("hash")), "payload.hash", MalformedCredential);
    }
    for form in [Open, TopUp] {
        let without = with(with(form.payload(evm), "/salt", json!(SALT)), "/type", json!("authorization"));
        refused(evm, &without, "payload.authorization", MalformedCredential);
        refused(evm, &with(form.payload(evm), "/type", json!("permit2")), "payload.type", MethodUnsupported);
        // The names of the other method.
        let abstract_payload = with(form.payload(Method::Abstract), "/type", json!("hash"));
        refused(evm, &abstract_payload, "payload.hash", MalformedCredential);
        refused(Method::Abstract, &form.payload(evm), "payload.txHash", MalformedCredential);
    }
    // The method abstract knows no types, and nobody but the client submits.
    for text in ["authorization", "permit2", "x"] {
        let payload = with(Open.payload(Method::Abstract), "/type", json!(text));
        assert_eq!(judge(Method::Abstract, &payload), judge(Method::Abstract, &Open.payload(Method::Abstract)));
    }
    refused(Method::Abstract, &OpenForClient.payload(Method::Abstract), "payload.txHash", MalformedCredential);
    // It is a text, also where it changes nothing.
    for other in [json!(7), json!(true), json!([]), json!({})] {
        for (method, form) in FORMS {
            refused(method, &with(form.payload(method), "/type", other.clone()), "payload.type", MalformedCredential);
        }
        for form in [VoucherWithOpen, VoucherWithTopUp] {
            refused(evm, &with(form.payload(evm), "/deposit/type", other.clone()), "payload.deposit.type", MalformedCredential);
        }
    }
}

#[test]
fn an_addition_s_salt_has_two_names() {
    for (form, at) in [(TopUpForClient, ""), (VoucherWithTopUp, "/deposit")] {
        let honest = form.payload(Method::Evm);
        let renamed = with(with(honest.clone(), &format!("{at}/salt"), Value::Null), &format!("{at}/topUpSalt"), json!(SALT));
        assert_eq!(judge(Method::Evm, &renamed), judge(Method::Evm, &honest));
    }
}

#[test]
fn what_a_voucher_may_bring() {
    let evm = Method::Evm;
    let deposit = |pointer: &str, value: Value| with(VoucherWithOpen.payload(evm), &format!("/deposit{pointer}"), value);
    for text in ["", "voucher", "close"] {
        refused(evm, &deposit("/action", json!(text)), "payload.deposit.action", MalformedCredential);
    }
    for text in ["hash", "permit2", ""] {
        refused(evm, &deposit("/type", json!(text)), "payload.deposit.type", MethodUnsupported);
    }
    assert_eq!(judge(evm, &deposit("/type", Value::Null)), judge(evm, &VoucherWithOpen.payload(evm)));
    for value in [json!("none"), json!(7), json!(true)] {
        refused(evm, &with(Voucher.payload(evm), "/deposit", value), "payload.deposit", MalformedCredential);
    }
    // Only the method evm, and only a voucher, has it.
    let elsewhere = with(Voucher.payload(Method::Abstract), "/deposit", VoucherWithOpen.payload(Method::Abstract)["deposit"].clone());
    refused(Method::Abstract, &elsewhere, "payload.deposit", MalformedCredential);
    for form in [Open, TopUp, Close] {
        let payload = with(form.payload(evm), "/deposit", VoucherWithOpen.payload(evm)["deposit"].clone());
        assert_eq!(judge(evm, &payload), judge(evm, &form.payload(evm)));
    }
}

#[test]
fn money_goes_to_the_channel_s_escrow_and_amount() {
    let evm = Method::Evm;
    for (form, at) in [(OpenForClient, ""), (TopUpForClient, ""), (VoucherWithOpen, ".deposit"), (VoucherWithTopUp, ".deposit")] {
        let pointer = format!("{}/authorization/to", at.replace('.', "/"));
        for to in [escrow(Method::Abstract), super::RECIPIENT, Address::ZERO] {
            let payload = with(form.payload(evm), &pointer, json!(to));
            refused(evm, &payload, &format!("payload{at}.authorization.to"), VerificationFailed);
        }
    }
    for addition in ["499999", "500001", "0", &DEPOSIT.to_string()] {
        let payload = with(TopUpForClient.payload(evm), "/additionalDeposit", json!(addition));
        refused(evm, &payload, "payload.additionalDeposit", VerificationFailed);
    }
}

#[test]
fn the_channel_is_the_one_that_is_opened() {
    let evm = Method::Evm;
    let stranger = json!(STRANGER);
    for (form, at) in [(OpenForClient, ""), (VoucherWithOpen, "/deposit")] {
        let honest = form.payload(evm);
        for (pointer, value) in [
            ("/channelId".to_owned(), json!(channel(Method::Abstract))),
            (format!("{at}/salt"), json!(B256::repeat_byte(1))),
            (format!("{at}/authorizedSigner"), stranger.clone()),
            (format!("{at}/authorization/from"), stranger.clone()),
        ] {
            refused(evm, &with(honest.clone(), &pointer, value), "payload.channelId", VerificationFailed);
        }
    }
}

/// Messages between the worker's objects hold what was proved.
#[test]
fn what_is_proved_reads_back_and_shows_no_signature() {
    for (method, form) in FORMS {
        let payload = form.payload(method);
        let (action, proof) = judge(method, &payload).unwrap();
        let json = serde_json::to_string(&(action, proof)).unwrap();
        assert_eq!(serde_json::from_str::<(Action, Proof)>(&json).unwrap(), (action, proof));
        let shown = format!("{action:?} {proof:?}");
        for pointer in ["/signature", "/voucherSignature", "/deposit/signature"] {
            if let Some(signature) = payload.pointer(pointer).and_then(Value::as_str) {
                assert!(json.contains(signature) && !shown.contains(signature.get(2..40).unwrap()), "{form:?}");
            }
        }
    }
}
