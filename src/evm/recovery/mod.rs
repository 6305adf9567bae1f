//! The signer of a digest, in wasm, in less than half of the time that k256 takes: by fused multiply-add of binary64 numbers, two field
//! elements at once (relaxed SIMD). Recovery is the dearest thing that a verified request does.
//!
//! What is recovered is Q = u1·G + u2·R with u1 = −z/r and u2 = s/r, R being the nonce point (SEC 1, 4.1.6): both scalars are
//! halved by the curve's endomorphism, their digits are signed and sparse, and one chain of 128 doublings serves all four.
//!
//! **It decides nothing alone.** [`recover`] answers with a key, or with None; then k256 decides, as it does on every other target,
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
//! | [`known`] | a key that is known, and whether it signed: half of the doublings, no root, no table to make |
//! | [`scalar`] | the endomorphism's halves, and their digits |
//! | [`start`] | what is asked of the processor before any of this is used |
#![allow(clippy::float_arithmetic, reason = "numbers here are exact integers; money is not in them")]

mod element;
mod field;
mod inverse;
mod known;
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
pub(super) use known::Known;
use point::{Scale, Sum};
use scalar::Digits;
use table::{Base, Table};
use words::Words;

/// A public key: the coordinates of a point that lies on the curve.
pub(super) struct Key([Words; 2]);

/// The key that signed `digest`, `parity` being that of the nonce point's y; its x is `r` itself. None: k256 must decide.
pub(super) fn recover(digest: &B256, signature: &Signature, parity: bool) -> Option<Key> {
    recover_with(start::base()?, digest, signature, parity)
}

fn recover_with(base: &Base, digest: &B256, signature: &Signature, parity: bool) -> Option<Key> {
    let (r, s) = signature.split_scalars();
    let (z, inverse) = (reduced(digest), inverted(&r)?);
    multiply_add(base, &words(&-(z * inverse)), &lift(&words(&r), parity)?, &words(&(*s * inverse))).map(Key)
}

fn reduced(digest: &B256) -> Scalar {
    <Scalar as Reduce<FieldBytes>>::reduce(&FieldBytes::from(digest.0))
}

fn words(scalar: &Scalar) -> Words {
    words::from_bytes(&scalar.to_bytes().into())
}

/// None for 0.
fn inverted(scalar: &Scalar) -> Option<Scalar> {
    let inverse = inverse::inverse(&words(scalar), &inverse::N)?;
    Scalar::from_repr(FieldBytes::from(words::to_bytes(&inverse))).into()
}

/// The affine point with this x, which is below p, and a y of this parity.
#[cfg_attr(target_arch = "wasm32", target_feature(enable = "simd128,relaxed-simd"))]
fn lift(x: &Words, parity: bool) -> Option<Pair> {
    let x = Pair::new(x, x);
    let square = point::right_side(&x);
    let y = square.root();
    if !y.squared(1).equals(&square) {
        return None;
    }
    let [[least, ..], _] = y.to_words();
    let negate = (least & 1 == 1) != parity;
    Some(x.shuffle::<0, 2>(&y).second_negated(negate))
}

/// u1·G + u2·R as affine coordinates.
#[cfg_attr(target_arch = "wasm32", target_feature(enable = "simd128,relaxed-simd"))]
fn multiply_add(base: &Base, u1: &Words, nonce: &Pair, u2: &Words) -> Option<[Words; 2]> {
    let ([g, turned_g], [r, turned_r]) = (scalar::digits(u1, table::BASE_WIDTH), scalar::digits(u2, table::WIDTH));
    let mut table = Table::<{ table::SIZE }>::empty();
    let scale = table.fill(nonce);
    let [g, turned_g, r, turned_r] = [&g, &turned_g, &r, &turned_r].map(Digits::as_slice);
    let terms = [
        Term { digits: r, multiples: &table.multiples, on: Scale::Isomorphic },
        Term { digits: turned_r, multiples: &table.turned, on: Scale::Isomorphic },
        Term { digits: g, multiples: &base.low.multiples, on: Scale::One },
        Term { digits: turned_g, multiples: &base.low.turned, on: Scale::One },
    ];
    affine(&sum(&terms, &scale)?)
}

/// A scalar's digits, from the least on, and the odd multiples of a point that they are of.
struct Term<'a> {
    digits: &'a [i8],
    multiples: &'a [Pair],
    on: Scale,
}

/// All terms, by one chain of doublings. `scale` is that of the isomorphic curve, in both lanes.
#[cfg_attr(target_arch = "wasm32", target_feature(enable = "simd128,relaxed-simd"))]
fn sum(terms: &[Term<'_>], scale: &Pair) -> Option<Sum> {
    let positions = terms.iter().map(|term| term.digits.len()).max()?;
    let mut sum: Option<Sum> = None;
    for position in (0..positions).rev() {
        if let Some(sum) = &mut sum {
            sum.double();
        }
        for Term { digits, multiples, on } in terms {
            let Some(digit) = digits.get(position).filter(|digit| **digit != 0) else { continue };
            let entry = multiples.get(usize::from(digit.unsigned_abs() >> 1))?;
            match &mut sum {
                Some(sum) => sum.add(entry, *digit < 0, *on),
                None => sum = Some(Sum::new(&entry.second_negated(*digit < 0), *on, scale)),
            }
        }
    }
    sum
}

/// The point's coordinates. None at infinity; and where it is not on the curve, which would be a fault of the arithmetic.
#[cfg_attr(target_arch = "wasm32", target_feature(enable = "simd128,relaxed-simd"))]
fn affine(sum: &Sum) -> Option<[Words; 2]> {
    let (xy, z) = sum.coordinates();
    let [z, _] = z.to_words();
    let inverse = inverse::inverse(&z, &inverse::P)?;
    let point = point::rescaled(&xy, &Pair::new(&inverse, &inverse));
    let (left, right) = (point.squared(1), point::right_side(&point.shuffle::<0, 0>(&point)));
    left.shuffle::<1, 1>(&left).equals(&right).then(|| point.to_words())
}

impl Key {
    /// The last 20 bytes of the hash of both coordinates.
    pub(super) fn address(&self) -> Address {
        let Self([x, y]) = self;
        let mut coordinates = [0; 64];
        for (to, from) in coordinates.iter_mut().zip(words::to_bytes(x).into_iter().chain(words::to_bytes(y))) {
            *to = from;
        }
        Address::from_word(keccak256(coordinates))
    }
}
