//! What is asked of the processor before any of this is used: once per isolate, when the first signature is verified.
//!
//! `relaxed_madd` rounds once or twice as the processor does, the same way for as long as the module lives. Where it rounds twice, or where
//! a known signature is not recovered, k256 does everything.

use super::lanes::{bits, both, madd};
use super::table::{self, Base};
use crate::evm::{Address, B256};
use alloc::boxed::Box;
use alloy_primitives::{address, b256, hex};
use core::hint::black_box;
use k256::ecdsa::Signature;
use once_cell::race::OnceBox;

static BASE: OnceBox<Option<Base>> = OnceBox::new();

/// What the first account of anvil, known to everybody, once signed: r and s, the hash of "mpp-edge"; the nonce point's y is even.
const KNOWN: ([u8; 64], bool, B256, Address) = (
    hex!(
        "21a30510c63e7c11bb6227d283f13799dc9a0a5e133713e59cedabac7b999b570e91923ccf4dad84ec66a103ab916ca68004e5a1b97d8a11c6f4a91448841aba"
    ),
    false,
    b256!("a8c7ee861beecc31fd339e2742ad00bdbde1122ad4477416d5ad94fb9e340850"),
    address!("f39Fd6e51aad88F6F4ce6aB8827279cffFb92266"),
);

/// The generator's table. None: k256 does everything.
pub(super) fn base() -> Option<&'static Base> {
    BASE.get_or_init(|| Box::new(checked())).as_ref()
}

fn checked() -> Option<Base> {
    if !is_fused() {
        return None;
    }
    let base = table::base()?;
    let (signature, parity, digest, signer) = black_box(KNOWN);
    let signature = Signature::from_slice(&signature).ok()?;
    let recovered = super::recover_with(&base, &digest, &signature, parity)?;
    (recovered.address() == signer).then_some(base)
}

/// Whether a product and a sum are rounded once, in both lanes: for e = 2^-30, 2^-41 and 2^-52, (1 + e)² − (1 + 2e) is e², and 0 or another
/// number where the product was rounded first.
pub(super) fn is_fused() -> bool {
    const ONE: u64 = 1023 << 52;
    [30, 41, 52].into_iter().all(|n| {
        let e = ONE - (n << 52);
        let factor = black_box(both((f64::from_bits(ONE) + f64::from_bits(e)).to_bits()));
        let less = black_box(both((-f64::from_bits(ONE) - 2.0 * f64::from_bits(e)).to_bits()));
        bits(madd(factor, factor, less)) == [ONE - ((2 * n) << 52); 2]
    })
}
