//! Field elements from and to integers.

use super::field::{Columns, Pair};
use super::lanes::{Lanes, bits, both, lanes};
use super::words::{self, Words};

/// What stands for 1 is a half, (p + 1)/2 = 2^255 − 2^31 − 488.
const ONE: [f64; 5] = [-2_147_484_136.0, 0.0, 0.0, 0.0, 2_251_799_813_685_248.0];
/// 7 is (p + 7)/2.
const SEVEN: [f64; 5] = [-2_147_484_133.0, 0.0, 0.0, 0.0, 2_251_799_813_685_248.0];
/// A quarter, (p + 1)/4: what an integer is multiplied by to become an element.
const QUARTER: [f64; 5] = [-1_073_742_068.0, 0.0, 0.0, 0.0, 1_125_899_906_842_624.0];
const K: i64 = 4_294_968_273;
/// The bits of the top limb.
const TOP: i64 = (1 << 52) - 1;

fn twice(limbs: [f64; 5]) -> Pair {
    Pair(limbs.map(|limb| both(limb.to_bits())))
}

impl Pair {
    /// Two ones.
    pub(super) fn one() -> Self {
        twice(ONE)
    }

    /// Two zeros.
    pub(super) fn zero() -> Self {
        twice([0.0; 5])
    }

    /// Two sevens.
    pub(super) fn seven() -> Self {
        twice(SEVEN)
    }

    /// Two integers below 2^256, modulo p.
    pub(super) fn new(first: &Words, second: &Words) -> Self {
        let ([a0, a1, a2, a3, a4], [b0, b1, b2, b3, b4]) = (words::limbs51(first), words::limbs51(second));
        let columns: [Lanes; 5] = [lanes(a0, b0), lanes(a1, b1), lanes(a2, b2), lanes(a3, b3), lanes(a4, b4)];
        Columns(columns).carry().times(&twice(QUARTER))
    }

    /// Whether both lanes are equal: their difference is zero, which has one form.
    #[cfg_attr(target_arch = "wasm32", target_feature(enable = "simd128,relaxed-simd"))]
    pub(super) fn equals(&self, other: &Self) -> bool {
        let Self(limbs) = self.columns().minus(&other.columns()).carry();
        limbs.iter().all(|limb| bits(*limb) == [0; 2])
    }

    /// x^((p + 1)/4): a square root where there is one, p being 3 modulo 4. The exponent is 223 ones, a zero, 22 ones, and 00001100.
    #[cfg_attr(target_arch = "wasm32", target_feature(enable = "simd128,relaxed-simd"))]
    pub(super) fn root(&self) -> Self {
        // x_n is x to n ones.
        let x2 = self.squared(1).times(self);
        let x3 = x2.squared(1).times(self);
        let x6 = x3.squared(3).times(&x3);
        let x9 = x6.squared(3).times(&x3);
        let x11 = x9.squared(2).times(&x2);
        let x22 = x11.squared(11).times(&x11);
        let x44 = x22.squared(22).times(&x22);
        let x88 = x44.squared(44).times(&x44);
        let x176 = x88.squared(88).times(&x88);
        let x220 = x176.squared(44).times(&x44);
        let x223 = x220.squared(3).times(&x3);
        x223.squared(23).times(&x22).squared(6).times(&x2).squared(2)
    }

    /// The two elements as integers below p.
    pub(super) fn to_words(self) -> [Words; 2] {
        let [l0, l1, l2, l3, l4] = self.columns().0;
        let [[a0, b0], [a1, b1], [a2, b2], [a3, b3], [a4, b4]] = [bits(l0), bits(l1), bits(l2), bits(l3), bits(l4)];
        [canonical([a0, a1, a2, a3, a4]), canonical([b0, b1, b2, b3, b4])]
    }
}

/// Twice what the limbs come to, modulo p.
fn canonical(limbs: [u64; 5]) -> Words {
    let doubled = limbs.map(|limb| limb.cast_signed() * 2);
    // The first pass leaves a top limb that may be off by the last carry; the second has at most one p to take or to give.
    let reduced = fold(fold(doubled, 0), 0);
    // What is at least p makes 2^256 or more with K, and what is more is the remainder.
    let [l0, l1, l2, l3, l4] = fold(reduced, K);
    let least = if l4 >> 52 == 0 { reduced } else { [l0, l1, l2, l3, l4 & TOP] };
    words::from_limbs51(least.map(i64::cast_unsigned))
}

/// What is above 2^256 comes in again times K, and `more`; then each limb but the last has its 51 bits.
fn fold([l0, l1, l2, l3, l4]: [i64; 5], more: i64) -> [i64; 5] {
    const MASK: i64 = (1 << 51) - 1;
    let l0 = l0 + (l4 >> 52) * K + more;
    let l1 = l1 + (l0 >> 51);
    let l2 = l2 + (l1 >> 51);
    let l3 = l3 + (l2 >> 51);
    let l4 = (l4 & TOP) + (l3 >> 51);
    [l0 & MASK, l1 & MASK, l2 & MASK, l3 & MASK, l4]
}
