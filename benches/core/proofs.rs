//! What was signed and by whom: EIP-712 digests, and signers recovered from them.

use super::bench::Bench;
use super::setting::{
    CHAIN_ID, CHANNEL, CUMULATIVE, ESCROW, PAYER, TOKEN, TOKEN_NAME, authorization, signed, token_domain, voucher_domain,
};
use alloy_primitives::{Address, B256, U256, keccak256};
use alloy_sol_types::{SolStruct, eip712_domain, sol};
use mpp_edge::evm::escrow::SignedVoucher;
use mpp_edge::evm::signature::Signature;
use secp256k1::Message;
use secp256k1::ecdsa::{RecoverableSignature, RecoveryId};

sol! {
    struct TransferWithAuthorization {
        address from;
        address to;
        uint256 value;
        uint256 validAfter;
        uint256 validBefore;
        bytes32 nonce;
    }

    struct Voucher {
        bytes32 channelId;
        uint128 cumulativeAmount;
    }
}

pub(crate) fn all(bench: &mut Bench) {
    let stock_token = eip712_domain! { name: TOKEN_NAME, version: "2", chain_id: CHAIN_ID, verifying_contract: TOKEN, };
    let stock_escrow = eip712_domain! { name: "EVM Payment Channel", version: "1", chain_id: CHAIN_ID, verifying_contract: ESCROW, };
    let nonce = B256::repeat_byte(9);
    let (token, escrow) = (token_domain(), voucher_domain());
    let authorization = authorization(nonce);
    let transfer = TransferWithAuthorization {
        from: authorization.from,
        to: authorization.to,
        value: authorization.value.to_u256(),
        validAfter: U256::from(authorization.valid_after.get()),
        validBefore: U256::from(authorization.valid_before.get()),
        nonce,
    };
    let voucher = Voucher { channelId: CHANNEL, cumulativeAmount: CUMULATIVE.base_units() };

    let digest = authorization.digest(&token);
    assert_eq!(transfer.eip712_signing_hash(&stock_token), digest);
    bench.ours("digest-authorization", || authorization, |authorization| authorization.digest(&token));
    bench.stock("digest-authorization", "alloy-sol-types", || &transfer, |transfer| transfer.eip712_signing_hash(&stock_token));
    recover(bench, "recover-authorization", digest);

    let digest = SignedVoucher::digest(CUMULATIVE, CHANNEL, &escrow);
    assert_eq!(voucher.eip712_signing_hash(&stock_escrow), digest);
    bench.ours("digest-voucher", || CUMULATIVE, |cumulative| SignedVoucher::digest(cumulative, CHANNEL, &escrow));
    bench.stock("digest-voucher", "alloy-sol-types", || &voucher, |voucher| voucher.eip712_signing_hash(&stock_escrow));
    recover(bench, "recover-voucher", digest);
}

/// From the 65 bytes to the address.
fn recover(bench: &mut Bench, operation: &str, digest: B256) {
    let signature = signed(digest);
    assert_eq!((ours(&signature, digest), stock(&signature, digest)), (PAYER, PAYER));
    bench.ours(operation, || signature, |signature| ours(&signature, digest));
    bench.stock(operation, "libsecp256k1", || signature, |signature| stock(&signature, digest));
}

fn ours(signature: &[u8; 65], digest: B256) -> Address {
    Signature::from_bytes(signature).unwrap().recover(digest).unwrap()
}

fn stock(signature: &[u8; 65], digest: B256) -> Address {
    let [scalars @ .., v] = signature;
    let id = if *v == 27 { RecoveryId::Zero } else { RecoveryId::One };
    let signature = RecoverableSignature::from_compact(scalars, id).unwrap();
    let key = signature.recover_ecdsa(Message::from_digest(digest.0)).unwrap().serialize_uncompressed();
    let [_, point @ ..] = key;
    Address::from_word(keccak256(point))
}
