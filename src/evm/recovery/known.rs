//! A key that is known, with tables of it, and whether it is the one that signed: in half of the time that it takes to recover it.
//!
//! (r, s) is recovered to Q just where the nonce point R = (x, y), x = r below n and y of the parity that is given, has r·Q = s·R − z·G; s is not 0, so
//! where R = (z/s)·G + (r/s)·Q. So this sum is computed, and its x and its y's parity are compared: x with r itself, not modulo n. What
//! cannot be computed ([`sum`](super::sum)) is not this key's here, and must be recovered.
//!
//! All points are known before, so each scalar is quartered: half of the endomorphism's halves is of 2^64 times the point.

use super::point::{Scale, Sum};
use super::scalar::{self, Digits};
use super::table::{BASE_WIDTH, Doubled, SIZE, WIDTH};
use super::words::Words;
use super::{Base, Key, Pair, Term, affine, inverted, reduced, start, sum, words};
use crate::evm::B256;
use alloc::boxed::Box;
use k256::ecdsa::Signature;

/// 2.5 KB on the heap.
pub(in super::super) struct Known(Box<Doubled<SIZE>>);

impl Known {
    /// Makes the tables, in the time of a third of a recovery. None where the arithmetic is at fault.
    pub(in super::super) fn new(Key([x, y]): &Key) -> Option<Self> {
        Doubled::new(x, y).map(Self)
    }

    /// Whether recovering the signer would come to this key. False too where that is not decided here.
    pub(in super::super) fn signed(&self, digest: &B256, signature: &Signature, parity: bool) -> bool {
        start::base().is_some_and(|base| self.signed_with(base, digest, signature, parity) == Some(true))
    }

    pub(super) fn signed_with(&self, base: &Base, digest: &B256, signature: &Signature, parity: bool) -> Option<bool> {
        let (r, s) = signature.split_scalars();
        let (z, inverse) = (reduced(digest), inverted(&s)?);
        let [x, [least, ..]] = self.multiply_add(base, &words(&(z * inverse)), &words(&(*r * inverse)))?;
        Some(x == words(&r) && (least & 1 == 1) == parity)
    }

    /// u1·G + u2·Q as affine coordinates.
    #[cfg_attr(target_arch = "wasm32", target_feature(enable = "simd128,relaxed-simd"))]
    fn multiply_add(&self, base: &Base, u1: &Words, u2: &Words) -> Option<[Words; 2]> {
        let ([g, turned_g], [q, turned_q]) = (scalar::digits(u1, BASE_WIDTH), scalar::digits(u2, WIDTH));
        let [(g, high_g), (turned_g, high_turned_g), (q, high_q), (turned_q, high_turned_q)] = [&g, &turned_g, &q, &turned_q].map(quarters);
        let term = |digits, multiples| Term { digits, multiples, on: Scale::One };
        let Self(key) = self;
        let terms = [
            term(q, key.low.multiples.as_slice()),
            term(turned_q, &key.low.turned),
            term(high_q, &key.high.multiples),
            term(high_turned_q, &key.high.turned),
            term(g, &base.low.multiples),
            term(turned_g, &base.low.turned),
            term(high_g, &base.high.multiples),
            term(high_turned_g, &base.high.turned),
        ];
        affine(&sum(&terms, &Pair::one())?)
    }
}

#[cfg(test)]
impl Known {
    /// With a fault in each entry.
    pub(super) fn broken(self) -> Self {
        Self(self.0.broken())
    }
}

/// The digits below 2^64, and those from there on.
fn quarters(digits: &Digits) -> (&[i8], &[i8]) {
    digits.split_at(64)
}

/// 2^64 times a point.
#[cfg_attr(target_arch = "wasm32", target_feature(enable = "simd128,relaxed-simd"))]
pub(super) fn raised(point: &Pair) -> Option<[Words; 2]> {
    let mut sum = Sum::new(point, Scale::One, &Pair::one());
    for _ in 0..64 {
        sum.double();
    }
    affine(&sum)
}
