//! The signer of a digest, in wasm, in less than half of the time that k256 takes: by fused multiply-add of binary64 numbers, two field
//! elements at once (relaxed SIMD). Recovery is the dearest thing that a verified request does.
//!
//! What is recovered is Q = u1·G + u2·R with u1 = −z/r and u2 = s/r, R being the nonce point (SEC 1, 4.1.6): both scalars are
//! halved by the curve's endomorphism, their digits are signed and sparse, and one chain of 128 doublings serves all four.
//!
//! **It decides nothing alone.** [`recover`] answers with an address, or with None; then k256 decides, as it does on every other target,
//! without the feature `relaxed-simd`, and for good in an isolate whose processor rounds products before it adds ([`start`]). None are: a sum of
//! equal or opposite points on the way, infinity, an x that is no point's, and a result that is not on the curve. So nothing is refused here,
//! and what is accepted lies on the curve, whatever may have gone wrong.
//!
//! Inputs are public, so time may depend on them.
//!
//! | module | what it holds |
//! |---|---|
//! | [`lanes`] | two numbers at once: wasm's instructions, and the same arithmetic natively, for tests |
//! | [`field`] | products, squares and carries modulo p, and why each is exact |
//! | [`element`] | elements from and to integers, square roots |
//! | [`inverse`] | inverses modulo p and n |
//! | [`point`] | doubling, addition, odd multiples |
//! | [`table`] | the odd multiples of the generator and of a nonce point |
//! | [`scalar`] | the endomorphism's halves, and their digits |
//! | [`start`] | what is asked of the processor before any of this is used |
#![allow(clippy::float_arithmetic, reason = "numbers here are exact integers; money is not in them")]

mod element;
mod field;
mod inverse;
mod lanes;
mod point;
mod scalar;
mod start;
mod table;
#[cfg(test)]
mod tests;
mod words;

use super::{Address, B256, keccak256};
use field::Pair;
use k256::ecdsa::Signature;
use k256::elliptic_curve::PrimeField;
use k256::elliptic_curve::ops::Reduce;
use k256::{FieldBytes, Scalar};
use point::{Scale, Sum};
use table::{Base, Table};
use words::Words;

/// The address whose key signed `digest`, `parity` being that of the nonce point's y; its x is `r` itself. None: k256 must decide.
pub(super) fn recover(digest: &B256, signature: &Signature, parity: bool) -> Option<Address> {
    recover_with(start::base()?, digest, signature, parity)
}

fn recover_with(base: &Base, digest: &B256, signature: &Signature, parity: bool) -> Option<Address> {
    let (r, s) = signature.split_scalars();
    let x = words::from_bytes(&r.to_bytes().into());
    let inverse = inverse::inverse(&x, &inverse::N)?;
    let inverse = Option::<Scalar>::from(Scalar::from_repr(FieldBytes::from(words::to_bytes(&inverse))))?;
    let z = <Scalar as Reduce<FieldBytes>>::reduce(&FieldBytes::from(digest.0));
    let u1 = words::from_bytes(&(-(z * inverse)).to_bytes().into());
    let u2 = words::from_bytes(&(*s * inverse).to_bytes().into());
    let key = multiply_add(base, &u1, &lift(&x, parity)?, &u2)?;
    Some(address_of(&key))
}

/// The affine point with this x, which is below p, and a y of this parity.
#[cfg_attr(target_arch = "wasm32", target_feature(enable = "simd128,relaxed-simd"))]
fn lift(x: &Words, parity: bool) -> Option<Pair> {
    let x = Pair::new(x, x);
    let square = point::right_side(&x);
    let y = square.root();
    if !y.squared().equals(&square) {
        return None;
    }
    let [[least, ..], _] = y.to_words();
    let negate = (least & 1 == 1) != parity;
    Some(x.shuffle::<0, 2>(&y).second_negated(negate))
}

/// u1·G + u2·R as affine coordinates.
#[cfg_attr(target_arch = "wasm32", target_feature(enable = "simd128,relaxed-simd"))]
fn multiply_add(Base(base): &Base, u1: &Words, nonce: &Pair, u2: &Words) -> Option<[Words; 2]> {
    let ([g1, g2], [r1, r2]) = (scalar::digits(u1, table::BASE_WIDTH), scalar::digits(u2, table::WIDTH));
    let (table, scale) = Table::<{ table::SIZE }>::new(nonce);
    let mut sum: Option<Sum> = None;
    let add = |sum: &mut Option<Sum>, entry: Option<Pair>, on: Scale| match (sum, entry) {
        (_, None) => {}
        (Some(sum), Some(entry)) => sum.add(&entry, on),
        (sum, Some(entry)) => *sum = Some(Sum::new(&entry, on, &scale)),
    };
    for ((g1, g2), (r1, r2)) in g1.iter().zip(&g2).zip(r1.iter().zip(&r2)).rev() {
        if let Some(sum) = &mut sum {
            sum.double();
        }
        add(&mut sum, table.multiple(*r1), Scale::Isomorphic);
        add(&mut sum, table.turned(*r2), Scale::Isomorphic);
        add(&mut sum, base.multiple(*g1), Scale::One);
        add(&mut sum, base.turned(*g2), Scale::One);
    }
    affine(&sum?)
}

/// The point's coordinates. None at infinity; and where it is not on the curve, which would be a fault of the arithmetic.
#[cfg_attr(target_arch = "wasm32", target_feature(enable = "simd128,relaxed-simd"))]
fn affine(sum: &Sum) -> Option<[Words; 2]> {
    let (xy, z) = sum.coordinates();
    let [z, _] = z.to_words();
    let inverse = inverse::inverse(&z, &inverse::P)?;
    let point = point::rescaled(&xy, &Pair::new(&inverse, &inverse));
    let (left, right) = (point.squared(), point::right_side(&point.shuffle::<0, 0>(&point)));
    left.shuffle::<1, 1>(&left).equals(&right).then(|| point.to_words())
}

/// The last 20 bytes of the hash of both coordinates.
fn address_of([x, y]: &[Words; 2]) -> Address {
    let mut coordinates = [0; 64];
    for (to, from) in coordinates.iter_mut().zip(words::to_bytes(x).into_iter().chain(words::to_bytes(y))) {
        *to = from;
    }
    Address::from_word(keccak256(coordinates))
}
