//! What is said before money is brought in for a client is what would be said after it.

use super::fixture::*;
use mpp_edge::channel::{Event, Order, PresentedVoucher, Refusal, SponsoredDeposit};
use mpp_edge::evm::Address;
use mpp_edge::evm::erc3009::{Authorization, SignedAuthorization};
use mpp_edge::evm::escrow::{OnChain, Opening, ToppingUp};
use mpp_edge::money::Amount;
use mpp_edge::time::UnixSeconds;

fn foresees(ledger: &Ledger, addition: u128, presented: Option<PresentedVoucher>, order: Option<Order>) -> Result<(), Refusal> {
    let before = ledger.channel.clone();
    let foreseen = ledger.channel.foresee(amount(addition), presented, order, &ledger.policy, ledger.now);
    assert_eq!(ledger.channel, before);
    foreseen
}

/// What the ledger says once the chain has shown the addition.
fn says(ledger: &Ledger, deposit: u128, presented: PresentedVoucher, order: Option<Order>) -> Result<(), Refusal> {
    let mut ledger = ledger.clone();
    ledger.observe(on_chain(deposit, 0));
    ledger.step(Event::Voucher(presented, order)).map(drop)
}

#[test]
fn a28_a_voucher_is_judged_as_if_the_money_were_there() {
    let mut ledger = Ledger::new(100);
    ledger.bought(100, once(100));
    ledger.policy.min_delta = amount(20);
    let stranger = PresentedVoucher { signer: STRANGER, ..presented(150) };
    let foreign = PresentedVoucher { source: Some(STRANGER), ..presented(150) };
    for (presented, order, verdict) in [
        (presented(150), None, Ok(())),
        (presented(150), Some(once(50)), Ok(())),
        (presented(150), Some(once(51)), Err(Refusal::Insufficient)),
        (presented(100), Some(once(10)), Err(Refusal::Insufficient)),
        (presented(110), None, Err(Refusal::DeltaTooSmall)),
        (presented(151), None, Err(Refusal::ExceedsDeposit)),
        (stranger, None, Err(Refusal::SignerMismatch)),
        (foreign, None, Err(Refusal::ForeignSource)),
    ] {
        assert_eq!(foresees(&ledger, 50, Some(presented), order), verdict, "{presented:?} {order:?}");
        assert_eq!(says(&ledger, 150, presented, order), verdict, "{presented:?} {order:?}");
    }
}

#[test]
fn a28_nothing_is_added_to_a_channel_that_cannot_be_used() {
    let mut ledger = Ledger::new(100);
    assert_eq!(foresees(&ledger, 50, None, None), Ok(()));
    ledger.observe(requested(on_chain(100, 0)));
    assert_eq!(foresees(&ledger, 50, None, None), Err(Refusal::Closing));
    assert_eq!(foresees(&ledger, 50, Some(presented(10)), None), Err(Refusal::Closing));
    ledger.observe(FINALIZED);
    assert_eq!(foresees(&ledger, 50, None, None), Err(Refusal::Closed));
}

/// As it is brought in: who signed what does not matter here.
fn signed(from: Address, value: u128) -> SignedAuthorization {
    let moment = UnixSeconds::new(0);
    let authorization =
        Authorization { from, to: ESCROW, value: amount(value), valid_after: moment, valid_before: moment, nonce: TRANSACTION };
    SignedAuthorization { authorization, signature: voucher(1).signature }
}

#[test]
fn a28_the_chain_is_foreseen_with_the_opening_or_the_addition() {
    let opening = Opening { escrow: ESCROW, token: TOKEN, payee: PAYEE, salt: ID, authorized_signer: SIGNER, signed: signed(PAYER, 70) };
    let open = SponsoredDeposit::Open(opening);
    assert_eq!(open.foreseen(ABSENT), on_chain(70, 0));
    // What is there already is what will be there.
    for shown in [on_chain(90, 10), FINALIZED] {
        assert_eq!(open.foreseen(shown), shown);
    }
    let top_up =
        SponsoredDeposit::TopUp(ToppingUp { escrow: ESCROW, token: TOKEN, channel_id: ID, salt: ID, signed: signed(STRANGER, 70) });
    assert_eq!(top_up.foreseen(on_chain(90, 10)), on_chain(160, 10));
    assert_eq!(top_up.foreseen(requested(on_chain(90, 10))), requested(on_chain(160, 10)));
    assert_eq!(top_up.foreseen(ABSENT), ABSENT);
    let most = OnChain { deposit: Amount::from_base_units(u128::MAX), ..on_chain(0, 0) };
    assert_eq!(top_up.foreseen(most), most);
}
