//! The account's outbox, with few operations on their way and with many.

use super::bench::Bench;
use super::setting::{NOW, RECIPIENT, TOKEN, signed};
use alloy_primitives::{Address, B256};
use mpp_edge::evm::erc3009::{Authorization, SignedAuthorization};
use mpp_edge::evm::jsonrpc::Block;
use mpp_edge::evm::key::PrivateKey;
use mpp_edge::evm::signature::Signature;
use mpp_edge::evm::transaction::GasPrice;
use mpp_edge::money::Amount;
use mpp_edge::settlement::{AccountView, Outbox, Purpose, Receipts, Transfer};
use mpp_edge::time::{Timestamp, UnixSeconds};
use serde_json::json;
use std::cell::LazyCell;
use std::time::Duration;

/// Operations on their way.
const FEW: usize = 10;
const MANY: usize = 300;

fn key() -> PrivateKey {
    PrivateKey::parse("0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80").unwrap()
}

fn view(latest_count: u64, pending_count: u64) -> AccountView {
    let block: Block = serde_json::from_value(json!({ "number": "0x9", "timestamp": "0x6b49d200" })).unwrap();
    AccountView { block, latest_count, pending_count, price: GasPrice::Legacy(100) }
}

fn purpose(index: usize, signature: Signature) -> Purpose {
    let authorization = Authorization {
        from: Address::from_word(B256::with_last_byte(u8::try_from(index % 250).unwrap())),
        to: RECIPIENT,
        value: Amount::from_base_units(10_000),
        valid_after: UnixSeconds::new(0),
        valid_before: UnixSeconds::new(3_000_000_000),
        nonce: alloy_primitives::keccak256(index.to_be_bytes()),
    };
    Purpose::Transfer(Transfer { token: TOKEN, signed: SignedAuthorization { authorization, signature }, since: None })
}

fn filled(count: usize, signature: Signature) -> Outbox {
    let mut outbox = Outbox::new(31_337, key(), 1, []);
    outbox.look(view(0, 0), NOW);
    for index in 0..count {
        outbox.submit(purpose(index, signature), Some(91_000), NOW).unwrap();
    }
    outbox.take_changed();
    outbox
}

/// What taking one operation on looks at besides its signature; a poll that finds nothing new; and one that finds all mined.
pub(crate) fn all(bench: &mut Bench) {
    let signature = Signature::from_bytes(&signed(B256::repeat_byte(3))).unwrap();
    let soon: Timestamp = NOW.saturating_add(Duration::from_secs(1));
    for count in [FEW, MANY] {
        let pending = u64::try_from(count).unwrap();
        // Each is filled when it is first run: their signatures take longer than all that is counted.
        let outbox = LazyCell::new(|| filled(count, signature));
        let new = purpose(count, signature);
        bench.ours(
            &format!("outbox-take-on-{count}"),
            || (),
            |()| {
                assert!(outbox.lacks(&new.id(), Some(1)) && !outbox.has_rival(&new) && !outbox.is_idle());
                outbox.poll_delay(soon)
            },
        );
        let mut outbox = LazyCell::new(|| filled(count, signature));
        bench.ours(
            &format!("outbox-poll-{count}"),
            || (),
            |()| {
                outbox.look(view(0, pending), soon);
                (outbox.pending_hashes().len(), outbox.review(&Receipts::default(), soon).len())
            },
        );
        let mut outbox = LazyCell::new(|| filled(count, signature));
        let receipts = LazyCell::new(|| receipts(&filled(count, signature)));
        bench.ours(
            &format!("outbox-mined-{count}"),
            || (),
            |()| {
                outbox.look(view(pending, pending), soon);
                outbox.review(&receipts, soon).len()
            },
        );
    }
}

/// Everything is mined.
fn receipts(outbox: &Outbox) -> Receipts {
    let receipt = |hash| {
        let receipt = json!({ "transactionHash": hash, "from": key().address(), "status": "0x1", "blockNumber": "0x9", "logs": [] });
        serde_json::from_value(receipt).unwrap()
    };
    Receipts { mined: outbox.pending_hashes().into_iter().map(receipt).collect(), ..Receipts::default() }
}
