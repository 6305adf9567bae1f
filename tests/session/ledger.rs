//! What a channel says to what was proved: whose voucher it is, whom `source` may name, and amounts beyond the deposit. How the
//! ledger counts is tested with the channel itself.

use super::{
    CHAIN_ID, Close, DEPOSIT, FORMS, NOW, Open, PAYER, PAYER_KEY, RECIPIENT, SIGNER, SIGNER_KEY, STRANGER, STRANGER_KEY, TOKEN, Voucher,
    channel, escrow, judge_from, text, voucher, voucher_domain, with,
};
use alloy_primitives::Address;
use mpp_edge::channel::{Action, Answer, Channel, Event, Expected, Policy, Proof, Refusal, Unfit};
use mpp_edge::evm::escrow::{EscrowFacts, OnChain};
use mpp_edge::evm::reading::Reading;
use mpp_edge::money::Amount;
use mpp_edge::rail::evm::session::domain;
use mpp_edge::rail::evm::{Asset, Method};
use mpp_edge::time::UnixSeconds;
use mpp_edge::wire::problem::ProblemKind::{
    AmountExceedsDeposit, ChannelFinalized, ChannelNotFound, DeltaTooSmall, InsufficientBalance, SignerMismatch, VerificationFailed,
};
use mpp_edge::wire::problem::{Problem, ProblemKind};
use serde_json::{Value, json};
use std::time::Duration;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

fn policy(min_delta: u128) -> Policy {
    Policy {
        settle_amount: Amount::from_base_units(DEPOSIT),
        settle_after: Duration::from_secs(3600),
        settle_minimum: Amount::ZERO,
        close_idle: Duration::from_secs(86_400),
        delivery_window: Duration::from_secs(65),
        min_delta: Amount::from_base_units(min_delta),
    }
}

fn on_chain(authorized_signer: Address) -> OnChain {
    OnChain {
        finalized: false,
        close_requested_at: UnixSeconds::new(0),
        payer: PAYER,
        payee: RECIPIENT,
        token: TOKEN,
        authorized_signer,
        deposit: Amount::from_base_units(DEPOSIT),
        settled: Amount::ZERO,
    }
}

fn seen(on_chain: OnChain) -> Reading {
    Reading { block: 1, on_chain, signer_has_code: false }
}

fn facts(method: Method) -> EscrowFacts {
    EscrowFacts { grace_period: Duration::from_secs(600), separator: voucher_domain(method).separator() }
}

fn expected(method: Method) -> Expected {
    let price = Amount::from_base_units(1_000);
    Expected {
        escrow: escrow(method),
        separator: voucher_domain(method).separator(),
        payee: RECIPIENT,
        asset: Asset { chain_id: CHAIN_ID, token: TOKEN },
        price,
    }
}

fn adopted(method: Method, authorized_signer: Address) -> Channel {
    Channel::adopt(channel(method), &seen(on_chain(authorized_signer)), &facts(method), &expected(method), NOW).unwrap()
}

fn did(chain_id: u64, address: Address) -> String {
    format!("did:pkh:eip155:{chain_id}:{}", address.to_checksum(None))
}

/// What the channel answers to a voucher.
fn presented(channel: Channel, proof: &Proof, min_delta: u128) -> (Channel, Result<Answer, Refusal>) {
    let (channel, outcome) = channel.step(Event::Voucher(proof.presented.unwrap(), None), &policy(min_delta), NOW);
    (channel, outcome.answer)
}

fn is(problem: &Problem, kind: ProblemKind, field: &str) {
    assert_eq!(problem.kind, kind, "{}", problem.detail);
    assert!(problem.detail.starts_with(&format!("{field}: ")), "{}", problem.detail);
}

/// An honest voucher but for its amount and who signed it in which domain.
fn signed(method: Method, key: &str, cumulative: u128, domain: &mpp_edge::evm::eip712::Domain) -> Value {
    let signature = text(voucher(key, cumulative, channel(method), domain));
    with(with(Voucher.payload(method), "/cumulativeAmount", json!(cumulative.to_string())), "/signature", json!(signature))
}

#[test]
fn a_source_is_a_did_of_this_chain() {
    for (method, form) in FORMS {
        let payload = form.payload(method);
        for source in [
            String::new(),
            PAYER.to_string(),
            did(1, PAYER),
            did(111_240, PAYER),
            format!("{} ", did(11124, PAYER)),
            format!("did:pkh:eip155:011124:{PAYER}"),
            "did:pkh:eip155:11124:0x70997970C51812dc3A010C7d01b50e0d17dc79c8".into(),
            "did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK".into(),
        ] {
            let problem = judge_from(method, &payload, Some(&source)).unwrap_err();
            is(&problem, VerificationFailed, "source");
        }
        for address in [PAYER, STRANGER] {
            let proof = judge_from(method, &payload, Some(&did(11124, address))).unwrap().1;
            assert_eq!((proof.source, proof.presented.and_then(|presented| presented.source)), {
                let named = Some(address);
                (named, proof.presented.and(named))
            });
        }
    }
}

#[test]
fn a_voucher_sent_with_somebody_else_s_name_buys_nothing() {
    for (method, form) in FORMS.into_iter().filter(|(_, form)| [Open, Voucher].contains(form)) {
        for (authorized_signer, key) in [(Address::ZERO, PAYER_KEY), (SIGNER, SIGNER_KEY)] {
            let signature = text(voucher(key, 2_000, channel(method), &voucher_domain(method)));
            let payload = with(form.payload(method), "/signature", json!(signature));
            for (source, taken) in [(PAYER, true), (SIGNER, authorized_signer == SIGNER), (STRANGER, false), (Address::ZERO, false)] {
                let proof = judge_from(method, &payload, Some(&did(11124, source))).unwrap().1;
                let channel = adopted(method, authorized_signer);
                let (after, answer) = presented(channel.clone(), &proof, 0);
                assert_eq!(answer, if taken { Ok(Answer::Noted) } else { Err(Refusal::ForeignSource) }, "{source}");
                if !taken {
                    is(&Refusal::ForeignSource.problem(), VerificationFailed, "source");
                    assert_eq!(after, channel);
                }
            }
        }
    }
}

/// A12.
#[test]
fn only_the_channel_s_signer_signs() {
    for method in Method::ALL {
        let other = if method == Method::Abstract { Method::Evm } else { Method::Abstract };
        let good = voucher_domain(method);
        for (authorized_signer, key, domain, taken) in [
            (Address::ZERO, PAYER_KEY, good.clone(), true),
            (Address::ZERO, STRANGER_KEY, good.clone(), false),
            (SIGNER, SIGNER_KEY, good.clone(), true),
            // The payer itself, when it has named a signer.
            (SIGNER, PAYER_KEY, good.clone(), false),
            (Address::ZERO, PAYER_KEY, domain(other, 11124, escrow(method)), false),
            (Address::ZERO, PAYER_KEY, domain(method, 2741, escrow(method)), false),
            (Address::ZERO, PAYER_KEY, domain(method, 11124, escrow(other)), false),
        ] {
            let (_, proof) = judge_from(method, &signed(method, key, 2_000, &domain), None).unwrap();
            let channel = adopted(method, authorized_signer);
            let (after, answer) = presented(channel.clone(), &proof, 0);
            assert_eq!(answer, if taken { Ok(Answer::Noted) } else { Err(Refusal::SignerMismatch) });
            assert_eq!(after == channel, !taken);
        }
    }
    is(&Refusal::SignerMismatch.problem(), SignerMismatch, "payload.signature");
}

/// A15: what can be read and is too much.
#[test]
fn a_voucher_allows_no_more_than_the_deposit() {
    for method in Method::ALL {
        let channel = adopted(method, Address::ZERO);
        let judged = |cumulative| judge_from(method, &signed(method, PAYER_KEY, cumulative, &voucher_domain(method)), None).unwrap().1;
        for cumulative in [DEPOSIT + 1, u128::MAX] {
            assert_eq!(presented(channel.clone(), &judged(cumulative), 0), (channel.clone(), Err(Refusal::ExceedsDeposit)));
        }
        assert_eq!(presented(channel.clone(), &judged(DEPOSIT), 0).1, Ok(Answer::Noted));
        assert_eq!(presented(channel.clone(), &judged(99), 100), (channel.clone(), Err(Refusal::DeltaTooSmall)));
        assert_eq!(presented(channel, &judged(100), 100).1, Ok(Answer::Noted));
    }
    is(&Refusal::ExceedsDeposit.problem(), AmountExceedsDeposit, "payload.cumulativeAmount");
    is(&Refusal::DeltaTooSmall.problem(), DeltaTooSmall, "payload.cumulativeAmount");
    is(&Refusal::Insufficient.problem(), InsufficientBalance, "payload.cumulativeAmount");
}

/// A10: what the chain says decides, whatever the payload says.
#[test]
fn only_a_channel_that_pays_here_is_taken_on() {
    for method in Method::ALL {
        let adopt = |on_chain: &OnChain, facts: &EscrowFacts| {
            let adopted = Channel::adopt(channel(method), &seen(*on_chain), facts, &expected(method), NOW);
            adopted.map(|channel| (channel.payer(), channel.signer()))
        };
        let (good, facts) = (on_chain(Address::ZERO), facts(method));
        assert_eq!(adopt(&good, &facts), Ok((PAYER, PAYER)));
        assert_eq!(adopt(&on_chain(SIGNER), &facts), Ok((PAYER, SIGNER)));
        let price = Amount::from_base_units(1_000);
        assert!(adopt(&OnChain { deposit: price, ..good }, &facts).is_ok());
        for (on_chain, unfit) in [
            (OnChain { payer: Address::ZERO, ..good }, Unfit::Absent),
            (OnChain { finalized: true, payer: Address::ZERO, deposit: Amount::ZERO, ..good }, Unfit::Finalized),
            (OnChain { close_requested_at: UnixSeconds::new(1), ..good }, Unfit::CloseRequested),
            (OnChain { payee: STRANGER, ..good }, Unfit::OtherPayee),
            (OnChain { token: STRANGER, ..good }, Unfit::OtherToken),
            (OnChain { deposit: Amount::from_base_units(999), ..good }, Unfit::TooSmall),
            (OnChain { settled: Amount::from_base_units(DEPOSIT - 999), ..good }, Unfit::TooSmall),
        ] {
            assert_eq!(adopt(&on_chain, &facts), Err(unfit));
        }
        let short = EscrowFacts { grace_period: Duration::from_secs(599), ..facts };
        assert_eq!(adopt(&good, &short), Err(Unfit::GracePeriod));
        let other = if method == Method::Abstract { Method::Evm } else { Method::Abstract };
        let foreign = EscrowFacts { separator: voucher_domain(other).separator(), ..facts };
        assert_eq!(adopt(&good, &foreign), Err(Unfit::OtherDomain));
    }
    for (unfit, kind) in [
        (Unfit::Absent, ChannelNotFound),
        (Unfit::OtherPayee, VerificationFailed),
        (Unfit::OtherToken, VerificationFailed),
        (Unfit::TooSmall, InsufficientBalance),
    ] {
        is(&unfit.problem().unwrap(), kind, "payload.channelId");
    }
    for unfit in [Unfit::Finalized, Unfit::CloseRequested] {
        assert_eq!(unfit.problem().unwrap().kind, ChannelFinalized);
    }
    // The operator's to mend, not the client's.
    assert_eq!((Unfit::GracePeriod.problem(), Unfit::OtherDomain.problem()), (None, None));
}

#[test]
fn a_last_voucher_is_read_like_any_other() {
    for method in Method::ALL {
        let (action, proof) = judge_from(method, &Close.payload(method), Some(&did(11124, STRANGER))).unwrap();
        assert_eq!(action, Action::Close);
        let channel = adopted(method, Address::ZERO);
        let (after, outcome) = channel.clone().step(Event::Close(proof.presented.unwrap()), &policy(0), NOW);
        assert_eq!((after, outcome.answer), (channel, Err(Refusal::ForeignSource)));
    }
}
