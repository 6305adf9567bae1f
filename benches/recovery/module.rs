//! Signers recovered, as deployed, known, and by k256 alone: what `node benches/recovery/main.mjs` times in Node and in workerd.
#![allow(clippy::unwrap_used, missing_docs, reason = "a bench")]

use k256::ecdsa::{RecoveryId, Signature as Ecdsa, VerifyingKey};
use mpp_edge::evm::key::PrivateKey;
use mpp_edge::evm::signature::Signature;
use mpp_edge::evm::signers::Signers;
use mpp_edge::evm::{Address, B256, keccak256};
use std::cell::RefCell;
use std::sync::OnceLock;

const SIGNATURES: u32 = 64;
static SIGNED: OnceLock<Vec<(B256, Signature, Address)>> = OnceLock::new();

fn signed() -> &'static [(B256, Signature, Address)] {
    SIGNED.get_or_init(|| {
        let one = |i: u32| {
            let key = PrivateKey::parse(&keccak256(i.to_be_bytes()).to_string()).unwrap();
            let digest = keccak256((!i).to_be_bytes());
            (digest, key.sign(digest), key.address())
        };
        (0..SIGNATURES).map(one).collect()
    })
}

fn count(rounds: u32, recover: impl Fn(B256, &Signature) -> Option<Address>) -> u32 {
    let right =
        |_: u32| signed().iter().map(|(digest, signature, signer)| u32::from(recover(*digest, signature) == Some(*signer))).sum::<u32>();
    (0..rounds).map(right).sum()
}

/// How many of 64 times `rounds` signers are right.
#[unsafe(no_mangle)]
pub extern "C" fn ours(rounds: u32) -> u32 {
    count(rounds, |digest, signature| signature.recover(digest).ok())
}

std::thread_local! {
    static KNOWN: RefCell<Signers> = const { RefCell::new(Signers::new()) };
}

/// The same, of signers who are known after the first round.
#[unsafe(no_mangle)]
pub extern "C" fn known(rounds: u32) -> u32 {
    KNOWN.with_borrow_mut(|known| {
        let mut right = 0;
        for (digest, signature, signer) in (0..rounds).flat_map(|_| signed()) {
            let of = keccak256(signer);
            known.accepted(of, *signer);
            right += u32::from(known.recover(of, signature, *digest) == Ok(*signer));
        }
        right
    })
}

/// The same with its tables made each time: for none is anything known before.
#[unsafe(no_mangle)]
pub extern "C" fn made(rounds: u32) -> u32 {
    count(rounds, |digest, signature| {
        let (mut known, of) = (Signers::new(), B256::ZERO);
        known.accepted(of, signature.recover(digest).ok()?);
        known.recover(of, signature, digest).ok()
    })
}

/// The same by k256.
#[unsafe(no_mangle)]
pub extern "C" fn k256(rounds: u32) -> u32 {
    count(rounds, |digest, signature| {
        let bytes = signature.to_bytes();
        let signature = Ecdsa::from_slice(bytes.get(..64)?).ok()?;
        let id = RecoveryId::new(bytes.last() == Some(&28), false);
        let key = VerifyingKey::recover_from_prehash(digest.as_slice(), &signature, id).ok()?;
        Some(Address::from_word(keccak256(key.to_sec1_point(false).as_bytes().get(1..)?)))
    })
}
