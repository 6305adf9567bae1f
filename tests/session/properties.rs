//! Whatever becomes of a payload on its way, reading it does not panic and proves nothing that was not signed; and whatever an
//! offer asks for, its challenges come back.

use super::{ASKED, FORMS, Form, LIFETIME, NOW, echoed, judge, keys, on_rails, parse, terms, token_domain, voucher_domain};
use alloy_primitives::{Address, B256};
use mpp_edge::channel::{Balance, Proof, Reuse};
use mpp_edge::evm::signers::Signers;
use mpp_edge::gateway::offer::{Asked, Circumstances, Offer};
use mpp_edge::money::Amount;
use mpp_edge::rail::RailId;
use mpp_edge::rail::evm::Method;
use mpp_edge::rail::evm::session::{SessionTerms, Snapshot, Unverified};
use mpp_edge::wire::encoding::{from_base64, to_base64url};
use mpp_edge::wire::mpp::credential::Credential;
use mpp_edge::wire::problem::ProblemKind;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::sync::OnceLock;
use std::time::Duration;

fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

/// The honest payloads and what they prove. Signing takes its time.
fn honest() -> &'static [(Value, Proof)] {
    static HONEST: OnceLock<Vec<(Value, Proof)>> = OnceLock::new();
    HONEST.get_or_init(|| {
        let honest = |(method, form): (Method, Form)| {
            let payload = form.payload(method);
            let proof = judge(method, &payload).unwrap().1;
            (payload, proof)
        };
        FORMS.map(honest).to_vec()
    })
}

/// What is put in the place of a member: what an attacker would try, what another member has, and noise.
fn replacement() -> impl Strategy<Value = Value> {
    let texts = honest().iter().flat_map(|(payload, _)| leaves(payload)).map(|(_, value)| value).collect::<Vec<_>>();
    prop_oneof![
        4 => prop::sample::select(texts),
        1 => prop::sample::select(vec![json!(null), json!(0), json!(true), json!([]), json!({}), json!(1e300), json!("")]),
        1 => "[0-9]{0,45}".prop_map(Value::from),
        1 => "0x[0-9a-fA-F]{0,140}".prop_map(Value::from),
        1 => any::<String>().prop_map(Value::from),
        1 => any::<[u8; 65]>().prop_map(|bytes| json!(alloy_primitives::hex::encode_prefixed(bytes))),
    ]
}

/// All members at any depth, by their pointers; but not those whose names a pointer would have to escape.
fn leaves(value: &Value) -> Vec<(String, Value)> {
    let Value::Object(map) = value else { return vec![] };
    let below = |(name, value): (&String, &Value)| {
        let inner = leaves(value).into_iter().map(|(pointer, value)| (format!("/{name}{pointer}"), value)).collect::<Vec<_>>();
        [vec![(format!("/{name}"), value.clone())], inner].concat()
    };
    map.iter().filter(|(name, _)| !name.contains(['/', '~'])).flat_map(below).collect()
}

#[derive(Clone, Debug)]
enum Mutation {
    Replace(usize, Value),
    Remove(usize),
    /// Under the name of some member of some payload.
    Add(usize, Value),
    /// One byte of the text.
    Byte(usize, u8),
    /// The text ends early.
    Cut(usize),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    prop_oneof![
        5 => (any::<usize>(), replacement()).prop_map(|(at, value)| Mutation::Replace(at, value)),
        2 => any::<usize>().prop_map(Mutation::Remove),
        2 => (any::<usize>(), replacement()).prop_map(|(at, value)| Mutation::Add(at, value)),
        2 => (any::<usize>(), any::<u8>()).prop_map(|(at, byte)| Mutation::Byte(at, byte)),
        1 => any::<usize>().prop_map(Mutation::Cut),
    ]
}

fn names() -> Vec<String> {
    let all = honest().iter().flat_map(|(payload, _)| leaves(payload));
    let mut names: Vec<String> = all.filter_map(|(pointer, _)| pointer.rsplit_once('/').map(|(_, name)| name.to_owned())).collect();
    names.sort();
    names.dedup();
    names
}

impl Mutation {
    fn apply(&self, payload: &str) -> String {
        let parsed = serde_json::from_str::<Value>(payload).ok().filter(Value::is_object);
        let Some(mut value) = parsed else { return payload.to_owned() };
        let pointers: Vec<String> = leaves(&value).into_iter().map(|(pointer, _)| pointer).collect();
        match self {
            Self::Replace(at, new) if !pointers.is_empty() => {
                *value.pointer_mut(&pointers[at % pointers.len()]).unwrap() = new.clone();
            }
            Self::Remove(at) if !pointers.is_empty() => {
                let (parent, name) = pointers[at % pointers.len()].rsplit_once('/').unwrap();
                value.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(name);
            }
            Self::Add(at, new) => {
                let names = names();
                value[&names[at % names.len()]] = new.clone();
            }
            Self::Byte(at, byte) => {
                let mut bytes = payload.as_bytes().to_vec();
                let at = at % bytes.len();
                bytes[at] = *byte;
                return String::from_utf8_lossy(&bytes).into_owned();
            }
            Self::Cut(at) => return String::from_utf8_lossy(&payload.as_bytes()[..at % payload.len()]).into_owned(),
            _ => {}
        }
        value.to_string()
    }
}

/// The payload is handed over as it is, JSON or not, as far as a credential holds it at all.
fn credential(payload: &str) -> Option<Credential> {
    let challenge = r#"{"id":"i","realm":"r","method":"evm","intent":"session","request":"e30"}"#;
    Credential::parse(&to_base64url(format!(r#"{{"challenge":{challenge},"payload":{payload}}}"#))).ok()
}

fn any_terms() -> impl Strategy<Value = (Method, SessionTerms, Option<String>)> {
    let amount = || any::<u128>().prop_map(Amount::from_base_units);
    let address = || any::<[u8; 20]>().prop_map(Address::from);
    let terms =
        (any::<bool>(), amount(), "[a-zA-Z0-9_-]{1,40}", 1u64.., address(), address(), address(), prop::option::of(amount()), amount());
    (terms, prop::option::of("[a-z][ !#-\\[\\]-~]{0,60}")).prop_map(|(terms, description)| {
        let (evm, price, unit_type, chain_id, token, recipient, escrow, suggested_deposit, min_delta) = terms;
        let method = Method::ALL[usize::from(evm)];
        (method, SessionTerms { price, unit_type, chain_id, token, recipient, escrow, suggested_deposit, min_delta }, description)
    })
}

proptest! {
    #![proptest_config(cases(2000))]

    #[test]
    fn no_mutation_panics_and_every_refusal_names_its_place(
        form in 0..FORMS.len(), mutations in prop::collection::vec(mutation(), 1..5), other in any::<bool>(),
    ) {
        let (method, _) = FORMS[form];
        let mut payload = honest()[form].0.to_string();
        for mutation in &mutations {
            payload = mutation.apply(&payload);
        }
        let read_as = if other { Method::ALL[usize::from(method == Method::Abstract)] } else { method };
        let Some(credential) = credential(&payload) else { return Ok(()) };
        match Unverified::read(&credential, read_as, &terms(read_as)) {
            Ok(unverified) => {
                let token = unverified.is_sponsored().then(token_domain);
                match unverified.verify(&voucher_domain(read_as), token.as_ref(), &mut Signers::new()) {
                    Ok(proof) => {
                        if let Some(funding) = proof.sponsored {
                            let signed = funding.signed();
                            prop_assert_eq!(signed.authorization.to, terms(Method::Evm).escrow);
                            let signer = signed.signature.recover(signed.authorization.receive_digest(&token_domain()));
                            prop_assert_eq!(signer, Ok(signed.authorization.from));
                        }
                    }
                    Err(problem) => prop_assert!(
                        matches!(problem.kind, ProblemKind::InvalidSignature | ProblemKind::VerificationFailed) && problem.detail.starts_with("payload.")
                    ),
                }
            }
            Err(problem) => {
                let named = problem.detail.starts_with("payload.") || problem.detail.starts_with("payload: ");
                prop_assert!(named, "{}: {}", problem.detail, payload);
                prop_assert!([400, 402].contains(&problem.kind.status()));
            }
        }
    }

    /// One member changed: the same proof, somebody else's, another action, or none.
    #[test]
    fn no_other_member_makes_the_payer_s_proof_worth_more(form in 0..FORMS.len(), mutation in mutation()) {
        let (method, _) = FORMS[form];
        let (honest, proved) = &honest()[form];
        let Ok(mutated) = serde_json::from_str::<Value>(&mutation.apply(&honest.to_string())) else { return Ok(()) };
        prop_assume!(mutated.get("channelId") == honest.get("channelId"));
        let Ok((_, proof)) = judge(method, &mutated) else { return Ok(()) };
        if let (Some(presented), Some(honest)) = (proof.presented, proved.presented) {
            prop_assert!(presented.signer != honest.signer || presented.voucher == honest.voucher, "{}", mutated);
        }
        // Who authorized money, authorized exactly this, though it may have been for another of the payloads.
        let signed = |funding| self::honest().iter().any(|(_, proof)| proof.sponsored == Some(funding));
        prop_assert!(proof.sponsored.is_none_or(signed), "{}", mutated);
    }

    #[test]
    fn whatever_a_session_offers_comes_back(
        (method, terms, description) in any_terms(), counters in any::<[u128; 4]>(), id in any::<[u8; 32]>(), sponsored in any::<bool>(),
        known in any::<bool>(), route in "/[a-z0-9/{}*]{0,20}", entropy in any::<[u8; 12]>(), verb in "[A-Z]{3,7}", target in "/[ -~]{0,30}",
    ) {
        let description = description.as_deref();
        let offer = |route: &str| Offer::of_session(RailId(0), method, route, terms.clone(), description, Reuse::DrawDown);
        let [accepted, spent, deposit, required] = counters.map(Amount::from_base_units);
        let snapshot = Snapshot { channel_id: B256::new(id), balance: Balance { accepted, spent, deposit, required } };
        let circumstances = Circumstances { sponsored: on_rails(sponsored), snapshot: known.then_some((RailId(0), method, &snapshot)), fresh: None };
        let issued = offer(&route).issue(&ASKED, &keys(), description, &circumstances, NOW.saturating_add(LIFETIME), entropy);
        let challenge = echoed(&issued.header);
        let request = String::from_utf8(from_base64(challenge["request"].as_str().unwrap()).unwrap()).unwrap();
        prop_assert_eq!(&request, &terms.request(method, description, sponsored, known.then_some(&snapshot)));
        prop_assert_eq!(&serde_json::from_str::<Value>(&request).unwrap().to_string(), &request);

        let credential = parse(&json!({ "challenge": challenge, "payload": {} }));
        let asked = Asked { method: &verb, target: &target, ..ASKED };
        let offers = [offer(&route)];
        let accepted = asked.accept(&credential, &offers, &keys(), NOW).unwrap();
        prop_assert!(std::ptr::eq(accepted.offer, &offers[0]));
        let elsewhere = [offer(&format!("{route}x"))];
        prop_assert!(asked.accept(&credential, &elsewhere, &keys(), NOW).is_err());
        let dearer = SessionTerms { price: Amount::from_base_units(terms.price.base_units() ^ 1), ..terms.clone() };
        let changed = [Offer::of_session(RailId(0), method, &route, dearer, description, Reuse::DrawDown)];
        prop_assert!(asked.accept(&credential, &changed, &keys(), NOW).is_err());
        let late = NOW.saturating_add(LIFETIME + Duration::from_secs(86_400));
        prop_assert_eq!(asked.accept(&credential, &offers, &keys(), late).unwrap_err().kind, ProblemKind::PaymentExpired);
    }

    #[test]
    fn a_session_s_challenge_with_one_other_character_is_refused(
        evm in any::<bool>(), known in any::<bool>(), field in any::<usize>(), at in any::<usize>(), new in "[ -~]",
    ) {
        let method = Method::ALL[usize::from(evm)];
        let offers = [super::offer(method)];
        let [accepted, spent, deposit, required] = [1, 2, 3, 4].map(Amount::from_base_units);
        let snapshot = Snapshot { channel_id: B256::ZERO, balance: Balance { accepted, spent, deposit, required } };
        let circumstances = Circumstances { sponsored: on_rails(evm), snapshot: known.then_some((RailId(0), method, &snapshot)), fresh: None };
        let mut challenge = echoed(&offers[0].issue(&ASKED, &keys(), None, &circumstances, NOW.saturating_add(LIFETIME), [1; 12]).header);
        let names: Vec<String> = challenge.as_object().unwrap().keys().cloned().collect();
        let name = &names[field % names.len()];
        let mut value = challenge[name].as_str().unwrap().to_owned();
        let at = at % value.len();
        prop_assume!(value.get(at..=at) != Some(new.as_str()));
        value.replace_range(at..=at, &new);
        challenge[name] = json!(value);
        let credential = parse(&json!({ "challenge": challenge, "payload": {} }));
        prop_assert!(ASKED.accept(&credential, &offers, &keys(), NOW).is_err(), "{} changed", name);
    }
}
