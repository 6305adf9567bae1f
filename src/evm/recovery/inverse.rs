//! Inverses modulo a prime by division steps (Bernstein and Yang, "Fast constant-time gcd computation and modular inversion", 2019), 30 at
//! a time, in variable time: everything here is public.
//!
//! f and g begin as the modulus and the number; a step divides g by two, having added f where g is odd, or having exchanged the two. After 741
//! steps at most (their theorem 11.2, for 256 bits) g is 0 and f is 1 or −1. d and e follow: at any time f ≡ d·x and g ≡ e·x. What 30
//! steps do depends on the lowest 30 bits alone, and is a matrix with which all four are then multiplied at once.

use super::words::{self, Words};

/// A prime of 256 bits, and −1/prime modulo 2^30.
pub(super) struct Modulus {
    limbs: [i64; 9],
    inverse: i64,
}

/// The field's.
pub(super) const P: Modulus = Modulus::new([0xffff_fffe_ffff_fc2f, u64::MAX, u64::MAX, u64::MAX]);
/// The group's order.
pub(super) const N: Modulus = Modulus::new([0xbfd2_5e8c_d036_4141, 0xbaae_dce6_af48_a03b, 0xffff_ffff_ffff_fffe, u64::MAX]);

const BITS: u32 = 30;
const MASK: i64 = (1 << BITS) - 1;
/// More batches than 741 steps take.
const BATCHES: u32 = 25;

/// Eight limbs of 30 bits, and a last one with the sign.
type Limbs = [i64; 9];

impl Modulus {
    const fn new(words: Words) -> Self {
        let [l0, l1, l2, l3, l4, l5, l6, l7, l8] = words::limbs30(&words);
        let limbs = [
            l0.cast_signed(),
            l1.cast_signed(),
            l2.cast_signed(),
            l3.cast_signed(),
            l4.cast_signed(),
            l5.cast_signed(),
            l6.cast_signed(),
            l7.cast_signed(),
            l8.cast_signed(),
        ];
        // Newton: an odd number is its own inverse modulo 8, and each round doubles the bits.
        let low = l0.cast_signed();
        let mut inverse = low;
        let mut bits = 3;
        while bits < BITS {
            inverse = inverse.wrapping_mul(2_i64.wrapping_sub(low.wrapping_mul(inverse))) & MASK;
            bits *= 2;
        }
        Self { limbs, inverse: -inverse & MASK }
    }
}

/// What 30 steps do, times 2^30: f becomes (u·f + v·g)/2^30, and g (q·f + r·g)/2^30. |u| + |v| and |q| + |r| are at most 2^30.
struct Steps {
    u: i64,
    v: i64,
    q: i64,
    r: i64,
}

/// The inverse of `x` modulo the prime. None where it has none, being a multiple.
pub(super) fn inverse(x: &Words, modulus: &Modulus) -> Option<Words> {
    let mut f = modulus.limbs;
    let mut g = words::limbs30(x).map(u64::cast_signed);
    let mut d = [0; 9];
    let mut e = [1, 0, 0, 0, 0, 0, 0, 0, 0];
    let mut eta = -1;
    for _ in 0..BATCHES {
        let steps = steps(&mut eta, f[0], g[0]);
        advance(&steps, &mut f, &mut g);
        advance_modulo(&steps, &mut d, &mut e, modulus);
        if g == [0; 9] {
            return match f {
                [1, 0, 0, 0, 0, 0, 0, 0, 0] => Some(reduce(d, modulus)),
                [MASK, MASK, MASK, MASK, MASK, MASK, MASK, MASK, -1] => Some(reduce(d.map(|limb| -limb), modulus)),
                _ => None,
            };
        }
    }
    None
}

/// 30 steps on the lowest bits. `eta` is their −δ.
fn steps(eta: &mut i64, f: i64, g: i64) -> Steps {
    let (mut f, mut g) = (f, g);
    let Steps { mut u, mut v, mut q, mut r } = Steps { u: 1, v: 0, q: 0, r: 1 };
    let mut left = BITS;
    loop {
        // Even steps, at once: a bit above those that count ends them.
        let zeros = (g | 1 << left).trailing_zeros();
        g >>= zeros;
        u <<= zeros;
        v <<= zeros;
        *eta -= i64::from(zeros);
        left -= zeros;
        if left == 0 {
            return Steps { u, v, q, r };
        }
        if *eta < 0 {
            *eta = -*eta;
            (f, g) = (g, -f);
            (u, q) = (q, -u);
            (v, r) = (r, -v);
        }
        // So many steps will not exchange the two: their bits of g are cleared by one multiple of f. f·(f² − 2) is −1/f modulo 64.
        let bits = (*eta + 1).min(i64::from(left)).min(6);
        let w = g.wrapping_mul(f.wrapping_mul(f.wrapping_mul(f).wrapping_sub(2))) & ((1 << bits) - 1);
        g = g.wrapping_add(f.wrapping_mul(w));
        q += u * w;
        r += v * w;
    }
}

/// The steps, done to `f` and `g`, which they divide exactly.
fn advance(steps: &Steps, f: &mut Limbs, g: &mut Limbs) {
    let Steps { u, v, q, r } = *steps;
    let ([to_f, f @ ..], [to_g, g @ ..]) = (f, g);
    let (mut carry_f, mut carry_g) = (u * *to_f + v * *to_g, q * *to_f + r * *to_g);
    let (mut to_f, mut to_g) = (to_f, to_g);
    for (f, g) in f.iter_mut().zip(g) {
        carry_f = (carry_f >> BITS) + u * *f + v * *g;
        carry_g = (carry_g >> BITS) + q * *f + r * *g;
        *to_f = carry_f & MASK;
        *to_g = carry_g & MASK;
        (to_f, to_g) = (f, g);
    }
    *to_f = carry_f >> BITS;
    *to_g = carry_g >> BITS;
}

/// The steps, done to `d` and `e`: the multiple of the modulus that makes them divisible is added first. It is below half of 2^30 moduli in
/// size, so each batch makes them larger by half a modulus at most, and all 25 come to less than 2^260.
fn advance_modulo(steps: &Steps, d: &mut Limbs, e: &mut Limbs, modulus: &Modulus) {
    let Steps { u, v, q, r } = *steps;
    let multiple = |low: i64| {
        let least = (low & MASK).wrapping_mul(modulus.inverse) & MASK;
        if least > MASK / 2 { least - (1 << BITS) } else { least }
    };
    let ([to_d, d @ ..], [to_e, e @ ..], [p, moduli @ ..]) = (d, e, &modulus.limbs);
    let (mut carry_d, mut carry_e) = (u * *to_d + v * *to_e, q * *to_d + r * *to_e);
    let (m, n) = (multiple(carry_d), multiple(carry_e));
    carry_d += m * p;
    carry_e += n * p;
    let (mut to_d, mut to_e) = (to_d, to_e);
    for ((d, e), p) in d.iter_mut().zip(e).zip(moduli) {
        carry_d = (carry_d >> BITS) + u * *d + v * *e + m * p;
        carry_e = (carry_e >> BITS) + q * *d + r * *e + n * p;
        *to_d = carry_d & MASK;
        *to_e = carry_e & MASK;
        (to_d, to_e) = (d, e);
    }
    *to_d = carry_d >> BITS;
    *to_e = carry_e >> BITS;
}

/// From a few moduli more or less to between 0 and the modulus.
fn reduce(limbs: Limbs, modulus: &Modulus) -> Words {
    let add = |limbs: &Limbs, times: i64| {
        let mut carry = 0;
        let mut sum = [0; 9];
        for ((limb, p), to) in limbs.iter().zip(&modulus.limbs).zip(&mut sum) {
            carry += limb + times * p;
            *to = carry & MASK;
            carry >>= BITS;
        }
        sum[8] += carry << BITS;
        sum
    };
    // The last limb counts 2^240, and a modulus is nearly 2^256: the quotient is right, or one too large.
    let quotient = (limbs[8] + 1) >> 16;
    let mut reduced = add(&limbs, -quotient);
    while reduced[8] < 0 {
        reduced = add(&reduced, 1);
    }
    loop {
        let less = add(&reduced, -1);
        if less[8] < 0 {
            return words::from_limbs30(reduced.map(i64::cast_unsigned));
        }
        reduced = less;
    }
}
