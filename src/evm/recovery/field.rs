//! Arithmetic modulo p = 2^256 − K, K = 2^32 + 977, on two independent elements at once, by fused multiply-add of binary64 numbers.
//!
//! # Representation
//!
//! A [`Pair`] holds two elements; an element is five signed numbers r0…r4 with x/2 ≡ r0 + r1·2^51 + r2·2^102 + r3·2^153 + r4·2^204
//! (mod p). The half is what makes folding cheap: a product is computed as 2ab, and so 2^255, where the sixth column stands, counts 2^256 ≡ K.
//!
//! Every [`Pair`] is *carried*: |r0| ≤ 2^50 + 2^39, |r1|, |r2|, |r3| ≤ 2^50 + 2^9, |r4| ≤ 2^51. Zero then has one form, all limbs zero:
//! such a sum is below 2^255 + 2^205 < p, so a multiple of p is 0 itself, and then r0, smaller than 2^51 and divisible by it, is 0, and so
//! with each limb after it.
//!
//! # Why every step is exact
//!
//! *A limb product* ab, |ab| < 2^102. With C = 3·2^102, h = fma(a, b, C) lies in [2^103, 2^104], where numbers are multiples of 2^51: so
//! h = C + H·2^51, |H| ≤ 2^51, and what it leaves, L = ab − H·2^51, is at most 2^50. t = C + 3·2^51 − h = (3 − H)·2^51 is exact, and
//! l = fma(a, b, t) = 3·2^51 + L lies between 2^52 and 2^53, where numbers are the integers: exact. Between its ends a binade's numbers
//! have consecutive bits, so bits(h) − bits(C) = H and bits(l) − bits(3·2^51) = L, as integers.
//! |r4·r4| may be 2^102: it is split at 2^52 instead, with C = 3·2^103.
//!
//! *Columns*, in units of 2^50, H of a product of carried limbs being at most 1 with r4 in it and 1/2 without (the excess of 2^39 is below
//! a thousandth): column k of 0–4 is k+1 low and k high parts, at most 7; it is summed as bits, in 64-bit integers. Columns
//! 5, 6, 7 and 8 come to 4 + 3.5, 3 + 3, 2 + 2.5 and 2 + 2; they are summed as numbers, and 7.5·2^50 and the thousandth are below 2^53: exact.
//! Column 9 is the high part of r4·r4 alone, at most 2^50, in units of 2^52.
//!
//! *Folding*: a column below 2^53 times K is below 2^86, and is split like any product. Column 9 weighs 2·2^459 and the product is
//! doubled, so it is taken times 2K (below 2^84) into column 4, split at 2^52; the high part of that, below 2^32, weighs 2^256, and is
//! taken times K (below 2^65) into columns 0 and 1, split at 2^51. So the folded columns are at most 2^54 (14 + 2 units and a little in column 4).
//!
//! *Carrying* takes columns below 2^59: weights to 31 in a linear combination. What leaves the top is then at most 2^7 + 1, and times K
//! below 2^39 + 2^17. No combination in this folder weighs more than 21.

use super::lanes::{Lanes, add, and, lanes, left, madd, minus, or, plus, right, shuffle, sub, xor};
use core::hint::black_box;

/// 2^n, for |n| ≤ 1022.
const fn power(n: u64) -> f64 {
    f64::from_bits((1023 + n) << 52)
}

const K: f64 = 4_294_968_273.0;
const SHIFT: f64 = 1.0 / power(51);
/// What makes a sum's last bit weigh 2^51, one, and 2^52.
const HIGH: f64 = 3.0 * power(102);
const LOW: f64 = 3.0 * power(51);
const TOP: f64 = 3.0 * power(103);

/// Two field elements, carried.
#[derive(Clone, Copy)]
pub(super) struct Pair(pub(super) [Lanes; 5]);

/// Two sums of products before their carries: integers below 2^59 in each column. Combined linearly they cost no carry of their own.
#[derive(Clone, Copy)]
pub(super) struct Columns(pub(super) [Lanes; 5]);

/// What products and carries add and multiply with, read from memory: written where it is used, wasm-opt would repeat it at each place, and V8
/// build it anew there.
struct Constants {
    high: Lanes,
    low: Lanes,
    both: Lanes,
    top: Lanes,
    fifteen: Lanes,
    shift: Lanes,
    k: Lanes,
    k_shifted: Lanes,
    k_halved: Lanes,
    biases: [Lanes; 5],
    carry: Lanes,
    carry_top: Lanes,
    mask: Lanes,
    mask_top: Lanes,
    whole: Lanes,
    least: Lanes,
    middle: Lanes,
    last: Lanes,
    over: Lanes,
}

const fn number(x: f64) -> Lanes {
    lanes(x.to_bits(), x.to_bits())
}

const fn integers(bits: u64) -> Lanes {
    lanes(bits, bits)
}

static CONSTANTS: Constants = Constants {
    high: number(HIGH),
    low: number(LOW),
    both: number(HIGH + LOW),
    top: number(TOP),
    fifteen: number(15.0),
    shift: number(-SHIFT),
    k: number(K),
    k_shifted: number(-K * SHIFT),
    k_halved: number(-K * SHIFT / 2.0),
    biases: [integers(bias(0)), integers(bias(1)), integers(bias(2)), integers(bias(3)), integers(bias(4))],
    carry: integers((1 << 60) + (1 << 50)),
    // A carry out of limbs 0–3 comes 2^9 too large, and one out of limb 4 2^8.
    carry_top: integers((1 << 60) + (1 << 51) - (1 << 9)),
    mask: integers((1 << 51) - 1),
    mask_top: integers((1 << 52) - 1),
    // An integer below 2^52, set into its bits, is a number.
    whole: number(power(52)),
    least: number(power(52) + power(50)),
    middle: number(power(52) + power(50) + power(9)),
    last: number(power(52) + power(51)),
    over: number(power(52) + power(8)),
};

fn constants() -> &'static Constants {
    black_box(&CONSTANTS)
}

/// The high and the low part of a product, as bits of biased numbers.
#[inline]
#[cfg_attr(target_arch = "wasm32", target_feature(enable = "simd128,relaxed-simd"))]
fn split(c: &Constants, a: Lanes, b: Lanes) -> (Lanes, Lanes) {
    let high = madd(a, b, c.high);
    (high, madd(a, b, sub(c.both, high)))
}

/// The same for column 4's products, whose high part is summed as a number: as (3 − H)·2^51.
#[inline]
#[cfg_attr(target_arch = "wasm32", target_feature(enable = "simd128,relaxed-simd"))]
fn split_middle(c: &Constants, a: Lanes, b: Lanes) -> (Lanes, Lanes) {
    let rest = sub(c.both, madd(a, b, c.high));
    (rest, madd(a, b, rest))
}

/// The same for columns whose both parts are summed as numbers: −H·2^51, and L.
#[inline]
#[cfg_attr(target_arch = "wasm32", target_feature(enable = "simd128,relaxed-simd"))]
fn split_upper(c: &Constants, a: Lanes, b: Lanes) -> (Lanes, Lanes) {
    let rest = sub(c.high, madd(a, b, c.high));
    (rest, madd(a, b, rest))
}

/// The same for r4·r4, split at 2^52: −H·2^52, and L.
#[inline]
#[cfg_attr(target_arch = "wasm32", target_feature(enable = "simd128,relaxed-simd"))]
fn split_top(c: &Constants, a: Lanes, b: Lanes) -> (Lanes, Lanes) {
    let rest = sub(c.top, madd(a, b, c.top));
    (rest, madd(a, b, rest))
}

/// A column of numbers: its low parts, and what the column before it hands up.
#[inline]
#[cfg_attr(target_arch = "wasm32", target_feature(enable = "simd128,relaxed-simd"))]
fn join(c: &Constants, low: Lanes, rests: Lanes) -> Lanes {
    madd(rests, c.shift, low)
}

/// Columns 5–9 folded into 0–4, which come doubled and with their biases. Written where it is used: as a function it would be called.
macro_rules! fold {
    ($c:expr, [$c0:expr, $c1:expr, $c2:expr, $c3:expr, $c4:expr], [$c5:expr, $c6:expr, $c7:expr, $c8:expr], $top:expr) => {{
        let (c0, c1, c4) = fold_top($c, $c0, $c1, $c4, $top);
        let (c0, c1) = fold_one($c, c0, c1, $c5);
        let (c1, c2) = fold_one($c, c1, $c2, $c6);
        let (c2, c3) = fold_one($c, c2, $c3, $c7);
        let (c3, c4) = fold_one($c, c3, c4, $c8);
        let [b0, b1, b2, b3, b4] = $c.biases;
        Columns([minus(c0, b0), minus(c1, b1), minus(c2, b2), minus(c3, b3), minus(c4, b4)])
    }};
}

/// K times a column, into the two that it comes to.
#[inline]
#[cfg_attr(target_arch = "wasm32", target_feature(enable = "simd128,relaxed-simd"))]
fn fold_one(c: &Constants, first: Lanes, second: Lanes, column: Lanes) -> (Lanes, Lanes) {
    let (high, low) = split(c, column, c.k);
    (plus(first, low), plus(second, high))
}

/// Column 9, which is −H·2^52 and is wanted as H·2K at column 4, into columns 0, 1 and 4.
#[inline]
#[cfg_attr(target_arch = "wasm32", target_feature(enable = "simd128,relaxed-simd"))]
fn fold_top(c: &Constants, c0: Lanes, c1: Lanes, c4: Lanes, top: Lanes) -> (Lanes, Lanes, Lanes) {
    let (over, rest) = split_top(c, top, c.k_shifted);
    let (high, low) = split(c, over, c.k_halved);
    (plus(c0, low), plus(c1, high), plus(c4, add(rest, c.low)))
}

/// What is in a column besides what counts: k+1 low and k high parts, doubled, and what was folded in.
const fn bias(column: u64) -> u64 {
    let (low, high) = (LOW.to_bits(), HIGH.to_bits());
    let products = low.wrapping_mul(column + 1).wrapping_add(high.wrapping_mul(column)).wrapping_mul(2);
    let folded = match column {
        0 => low.wrapping_mul(2),
        1 => low.wrapping_add(high.wrapping_mul(2)),
        _ => low.wrapping_add(high),
    };
    products.wrapping_add(folded)
}

/// The product of each lane's two elements.
#[inline(never)]
#[cfg_attr(target_arch = "wasm32", target_feature(enable = "simd128,relaxed-simd"))]
pub(super) fn mul(a: &Pair, b: &Pair) -> Columns {
    let c = constants();
    let [a0, a1, a2, a3, a4] = a.0;
    let [b0, b1, b2, b3, b4] = b.0;
    let (top, l8) = split_top(c, a4, b4);

    let (h, c0) = split(c, a0, b0);
    let c1 = h;

    let (h, l) = split(c, a0, b1);
    let (c1, c2) = (plus(c1, l), h);
    let (h, l) = split(c, a1, b0);
    let (c1, c2) = (plus(c1, l), plus(c2, h));

    let (h, l) = split(c, a0, b2);
    let (c2, c3) = (plus(c2, l), h);
    let (h, l) = split(c, a1, b1);
    let (c2, c3) = (plus(c2, l), plus(c3, h));
    let (h, l) = split(c, a2, b0);
    let (c2, c3) = (plus(c2, l), plus(c3, h));

    let (h, l) = split(c, a0, b3);
    let (c3, c4) = (plus(c3, l), h);
    let (h, l) = split(c, a1, b2);
    let (c3, c4) = (plus(c3, l), plus(c4, h));
    let (h, l) = split(c, a2, b1);
    let (c3, c4) = (plus(c3, l), plus(c4, h));
    let (h, l) = split(c, a3, b0);
    let (c3, c4) = (plus(c3, l), plus(c4, h));

    let (r, l) = split_middle(c, a0, b4);
    let (c4, r5) = (plus(c4, l), r);
    let (r, l) = split_middle(c, a1, b3);
    let (c4, r5) = (plus(c4, l), add(r5, r));
    let (r, l) = split_middle(c, a2, b2);
    let (c4, r5) = (plus(c4, l), add(r5, r));
    let (r, l) = split_middle(c, a3, b1);
    let (c4, r5) = (plus(c4, l), add(r5, r));
    let (r, l) = split_middle(c, a4, b0);
    let (c4, r5) = (plus(c4, l), add(r5, r));

    let (r, l) = split_upper(c, a1, b4);
    let (c5, r6) = (add(l, c.fifteen), r);
    let (r, l) = split_upper(c, a2, b3);
    let (c5, r6) = (add(c5, l), add(r6, r));
    let (r, l) = split_upper(c, a3, b2);
    let (c5, r6) = (add(c5, l), add(r6, r));
    let (r, l) = split_upper(c, a4, b1);
    let (c5, r6) = (add(c5, l), add(r6, r));

    let (r, l) = split_upper(c, a2, b4);
    let (c6, r7) = (l, r);
    let (r, l) = split_upper(c, a3, b3);
    let (c6, r7) = (add(c6, l), add(r7, r));
    let (r, l) = split_upper(c, a4, b2);
    let (c6, r7) = (add(c6, l), add(r7, r));

    let (r, l) = split_upper(c, a3, b4);
    let (c7, r8) = (l, r);
    let (r, l) = split_upper(c, a4, b3);
    let (c7, r8) = (add(c7, l), add(r8, r));

    fold!(
        c,
        [left(c0, 1), left(c1, 1), left(c2, 1), left(c3, 1), left(c4, 1)],
        [join(c, c5, r5), join(c, c6, r6), join(c, c7, r7), join(c, l8, r8)],
        top
    )
}

/// The square of each lane's element: 15 products, those of two different limbs counted twice. Written where it is used, as [`fold`] is.
macro_rules! square {
    ($c:expr, $a:expr) => {{
        let [a0, a1, a2, a3, a4] = $a.0;
        let (top, d8) = split_top($c, a4, a4);
        let (d1, d0) = split($c, a0, a0);
        let (d3, d2) = split($c, a1, a1);
        let (e5, d4) = split_middle($c, a2, a2);
        let (e7, d6) = split_upper($c, a3, a3);

        let (h, c1) = split($c, a0, a1);
        let c2 = h;
        let (h, l) = split($c, a0, a2);
        let (c2, c3) = (plus(c2, l), h);
        let (h, l) = split($c, a0, a3);
        let (c3, c4) = (plus(c3, l), h);
        let (h, l) = split($c, a1, a2);
        let (c3, c4) = (plus(c3, l), plus(c4, h));
        let (r, l) = split_middle($c, a0, a4);
        let (c4, r5) = (plus(c4, l), r);
        let (r, l) = split_middle($c, a1, a3);
        let (c4, r5) = (plus(c4, l), add(r5, r));

        let (r6, c5) = split_upper($c, a1, a4);
        let (r, l) = split_upper($c, a2, a3);
        let (c5, r6) = (add(c5, l), add(r6, r));
        let (r7, c6) = split_upper($c, a2, a4);
        let (r8, c7) = split_upper($c, a3, a4);

        let c5 = join($c, add(add(c5, c5), $c.fifteen), add(add(r5, r5), e5));
        let c6 = join($c, add(add(c6, c6), d6), add(r6, r6));
        let c7 = join($c, add(c7, c7), add(add(r7, r7), e7));
        let c8 = join($c, d8, add(r8, r8));
        fold!(
            $c,
            [
                left(d0, 1),
                left(plus(left(c1, 1), d1), 1),
                left(plus(left(c2, 1), d2), 1),
                left(plus(left(c3, 1), d3), 1),
                left(plus(left(c4, 1), d4), 1)
            ],
            [c5, c6, c7, c8],
            top
        )
    }};
}

/// The square of each lane's element.
#[inline(never)]
#[cfg_attr(target_arch = "wasm32", target_feature(enable = "simd128,relaxed-simd"))]
pub(super) fn square(a: &Pair) -> Columns {
    let c = constants();
    square!(c, a)
}

/// Columns carried. Written where it is used.
macro_rules! carry {
    ($c:expr, $columns:expr) => {{
        let [c0, c1, c2, c3, c4] = $columns.0;
        let (u0, u1, u2, u3) = (plus(c0, $c.carry), plus(c1, $c.carry), plus(c2, $c.carry), plus(c3, $c.carry));
        let u4 = plus(plus(c4, right(u3, 51)), $c.carry_top);
        let r0 = sub(or(and(u0, $c.mask), $c.whole), $c.least);
        let r1 = sub(plus(or(and(u1, $c.mask), $c.whole), right(u0, 51)), $c.middle);
        let r2 = sub(plus(or(and(u2, $c.mask), $c.whole), right(u1, 51)), $c.middle);
        let r3 = sub(plus(or(and(u3, $c.mask), $c.whole), right(u2, 51)), $c.middle);
        let r4 = sub(or(and(u4, $c.mask_top), $c.whole), $c.last);
        let over = sub(or(right(u4, 52), $c.whole), $c.over);
        Pair([madd(over, $c.k, r0), r1, r2, r3, r4])
    }};
}

impl Columns {
    /// The elements, carried.
    #[inline(never)]
    #[cfg_attr(target_arch = "wasm32", target_feature(enable = "simd128,relaxed-simd"))]
    pub(super) fn carry(&self) -> Pair {
        let c = constants();
        carry!(c, self)
    }

    /// Column by column.
    #[inline]
    #[cfg_attr(target_arch = "wasm32", target_feature(enable = "simd128,relaxed-simd"))]
    pub(super) fn plus(&self, other: &Self) -> Self {
        let ([a0, a1, a2, a3, a4], [b0, b1, b2, b3, b4]) = (self.0, other.0);
        Self([plus(a0, b0), plus(a1, b1), plus(a2, b2), plus(a3, b3), plus(a4, b4)])
    }

    /// Column by column.
    #[inline]
    #[cfg_attr(target_arch = "wasm32", target_feature(enable = "simd128,relaxed-simd"))]
    pub(super) fn minus(&self, other: &Self) -> Self {
        let ([a0, a1, a2, a3, a4], [b0, b1, b2, b3, b4]) = (self.0, other.0);
        Self([minus(a0, b0), minus(a1, b1), minus(a2, b2), minus(a3, b3), minus(a4, b4)])
    }

    /// Times 2^n.
    #[inline]
    #[cfg_attr(target_arch = "wasm32", target_feature(enable = "simd128,relaxed-simd"))]
    pub(super) fn times_power(&self, n: u32) -> Self {
        let [a0, a1, a2, a3, a4] = self.0;
        Self([left(a0, n), left(a1, n), left(a2, n), left(a3, n), left(a4, n)])
    }

    /// A lane of this, then one of `other`, which are 2 and 3.
    #[inline]
    #[cfg_attr(target_arch = "wasm32", target_feature(enable = "simd128,relaxed-simd"))]
    pub(super) fn shuffle<const I: usize, const J: usize>(&self, other: &Self) -> Self {
        Self(shuffled::<I, J>(&self.0, &other.0))
    }

    /// The first lane, and zero.
    #[inline]
    #[cfg_attr(target_arch = "wasm32", target_feature(enable = "simd128,relaxed-simd"))]
    pub(super) fn first_alone(&self) -> Self {
        let mask = lanes(u64::MAX, 0);
        let [a0, a1, a2, a3, a4] = self.0;
        Self([and(a0, mask), and(a1, mask), and(a2, mask), and(a3, mask), and(a4, mask)])
    }
}

impl Pair {
    /// A lane of this, then one of `other`, which are 2 and 3.
    #[inline]
    #[cfg_attr(target_arch = "wasm32", target_feature(enable = "simd128,relaxed-simd"))]
    pub(super) fn shuffle<const I: usize, const J: usize>(&self, other: &Self) -> Self {
        Self(shuffled::<I, J>(&self.0, &other.0))
    }

    /// The product, carried.
    #[inline]
    #[cfg_attr(target_arch = "wasm32", target_feature(enable = "simd128,relaxed-simd"))]
    pub(super) fn times(&self, other: &Self) -> Self {
        mul(self, other).carry()
    }

    /// Squared so many times.
    #[inline(never)]
    #[cfg_attr(target_arch = "wasm32", target_feature(enable = "simd128,relaxed-simd"))]
    pub(super) fn squared(&self, times: u32) -> Self {
        let c = constants();
        let [a0, a1, a2, a3, a4] = self.0;
        let mut square = Self([a0, a1, a2, a3, a4]);
        for _ in 0..times {
            let columns = square!(c, square);
            square = carry!(c, columns);
        }
        square
    }

    /// Becomes `other`, limb by limb: as a whole it would be copied by a call.
    #[inline]
    #[cfg_attr(target_arch = "wasm32", target_feature(enable = "simd128,relaxed-simd"))]
    pub(super) fn set(&mut self, other: &Self) {
        let ([to0, to1, to2, to3, to4], [a0, a1, a2, a3, a4]) = (&mut self.0, other.0);
        (*to0, *to1, *to2, *to3, *to4) = (a0, a1, a2, a3, a4);
    }

    /// The elements as columns, to be combined with others.
    #[inline]
    #[cfg_attr(target_arch = "wasm32", target_feature(enable = "simd128,relaxed-simd"))]
    pub(super) fn columns(&self) -> Columns {
        let low = constants().low;
        let [a0, a1, a2, a3, a4] = self.0;
        Columns([integer(a0, low), integer(a1, low), integer(a2, low), integer(a3, low), integer(a4, low)])
    }

    /// The first element, and the second or its negative.
    #[inline]
    #[cfg_attr(target_arch = "wasm32", target_feature(enable = "simd128,relaxed-simd"))]
    pub(super) fn second_negated(&self, negate: bool) -> Self {
        let sign = lanes(0, u64::from(negate) << 63);
        let [a0, a1, a2, a3, a4] = self.0;
        Self([xor(a0, sign), xor(a1, sign), xor(a2, sign), xor(a3, sign), xor(a4, sign)])
    }
}

#[inline]
#[cfg_attr(target_arch = "wasm32", target_feature(enable = "simd128,relaxed-simd"))]
fn shuffled<const I: usize, const J: usize>(a: &[Lanes; 5], b: &[Lanes; 5]) -> [Lanes; 5] {
    let ([a0, a1, a2, a3, a4], [b0, b1, b2, b3, b4]) = (*a, *b);
    [shuffle::<I, J>(a0, b0), shuffle::<I, J>(a1, b1), shuffle::<I, J>(a2, b2), shuffle::<I, J>(a3, b3), shuffle::<I, J>(a4, b4)]
}

/// A number that is an integer of at most 2^51, as an integer; `low` is 3·2^51.
#[inline]
#[cfg_attr(target_arch = "wasm32", target_feature(enable = "simd128,relaxed-simd"))]
fn integer(a: Lanes, low: Lanes) -> Lanes {
    minus(add(a, low), low)
}
