//! Scalars halved by the curve's endomorphism λ(x, y) = (βx, y), and written in signed digits.
//!
//! (a1, b1) and (a2, b2) with a + b·λ ≡ 0 (mod n) span a lattice of determinant n. k1 + k2·λ ≡ k, with (k1, k2) what is left of (k, 0)
//! when the nearest such vector c1·(a1, b1) + c2·(a2, b2) is taken off. c1 and c2 are k·b2/n and −k·b1/n, rounded; the division is a
//! product with 2^384·b2/n and −2^384·b1/n, whose own rounding adds less than 2^-128. So |k1| ≤ (a1 + a2)/2 + 1 < 2^127.4 and
//! |k2| ≤ (|b1| + b2)/2 + 1 < 2^127.2.

use super::words::{self, Words};

/// 2^384·b2/n, rounded.
const G1: [u64; 8] = [0x45db_b031, 0xe893_209a, 0x71e8_ca7f, 0x3daa_8a14, 0x9284_eb15, 0xe86c_90e4, 0xa7d4_6bcd, 0x3086_d221];
/// −2^384·b1/n, rounded.
const G2: [u64; 8] = [0x8ac4_7f71, 0x1571_b4ae, 0x9df5_06c6, 0x2212_08ac, 0x0abf_e4c4, 0x6f54_7fa9, 0x010e_8828, 0xe443_7ed6];
/// a1, and b2 as well.
const A1: [u64; 5] = [0x9284_eb15, 0xe86c_90e4, 0xa7d4_6bcd, 0x3086_d221, 0];
const A2: [u64; 5] = [0x9d44_cfd8, 0x57c1_108d, 0xa8e2_f3f6, 0x14ca_50f7, 1];
/// −b1.
const B1: [u64; 5] = [0x0abf_e4c3, 0x6f54_7fa9, 0x010e_8828, 0xe443_7ed6, 0];

const MASK: u64 = 0xffff_ffff;

/// Digits of a scalar below 2^128, of weight 1, 2, 4…: odd or 0, and of any `width` of them one at most is not 0.
pub(super) type Digits = [i8; 129];

/// Both halves of `k` in digits of this width, 2 to 8: `k1` and `k2` with k1 + k2·λ ≡ k.
pub(super) fn digits(k: &Words, width: u32) -> [Digits; 2] {
    halves(k).map(|half| half.digits(width))
}

/// A number between −2^128 and 2^128.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Half {
    negative: bool,
    magnitude: [u64; 2],
}

fn halves(k: &Words) -> [Half; 2] {
    let k = words::limbs32(k);
    let (c1, c2) = (rounded(&k, &G1), rounded(&k, &G2));
    // Modulo 2^160, which holds both halves with their signs.
    let [l0, l1, l2, l3, l4, ..] = k;
    let k1 = minus(minus([l0, l1, l2, l3, l4], product(&c1, &A1)), product(&c2, &A2));
    let k2 = minus(product(&c1, &B1), product(&c2, &A1));
    [Half::new(k1), Half::new(k2)]
}

/// a·b modulo 2^(32·N).
fn product<const A: usize, const B: usize, const N: usize>(a: &[u64; A], b: &[u64; B]) -> [u64; N] {
    let mut sum = [0; N];
    for (shift, a) in a.iter().enumerate() {
        let mut carry = 0;
        let mut rest = sum.iter_mut().skip(shift);
        for (b, to) in b.iter().zip(&mut rest) {
            carry += a * b + *to;
            *to = carry & MASK;
            carry >>= 32;
        }
        if let Some(to) = rest.next() {
            *to = carry;
        }
    }
    sum
}

/// k·g/2^384, rounded.
fn rounded(k: &[u64; 8], g: &[u64; 8]) -> [u64; 5] {
    let [.., half, l0, l1, l2, l3] = product::<8, 8, 16>(k, g);
    let mut carry = half >> 31;
    [l0, l1, l2, l3, 0].map(|limb| {
        carry += limb;
        let limb = carry & MASK;
        carry >>= 32;
        limb
    })
}

fn minus(a: [u64; 5], b: [u64; 5]) -> [u64; 5] {
    let mut borrow = 0;
    let mut difference = a;
    for (to, b) in difference.iter_mut().zip(b) {
        let limb = to.wrapping_sub(b).wrapping_sub(borrow);
        *to = limb & MASK;
        borrow = limb >> 63;
    }
    difference
}

impl Half {
    fn new(limbs: [u64; 5]) -> Self {
        let negative = limbs[4] >> 31 != 0;
        let [l0, l1, l2, l3, _] = if negative { minus([0; 5], limbs) } else { limbs };
        Self { negative, magnitude: [l0 | l1 << 32, l2 | l3 << 32] }
    }

    /// From the least digit on: bits that are as the carry is are passed over, then `width` bits and the carry make a digit. One above half
    /// counts its distance to 2^width, which is carried.
    fn digits(self, width: u32) -> Digits {
        let [low, high] = self.magnitude;
        let mut digits = [0; 129];
        let mask = (1 << width) - 1;
        let (mut at, mut carry) = (0, 0);
        // Above bit 127 there are none, and the carry is spent at bit 128 at the latest.
        while at <= 128 {
            let bits = match at {
                0 => low,
                1..64 => low >> at | high << (64 - at),
                64..128 => high >> (at - 64),
                _ => 0,
            };
            let same = if carry == 0 { bits.trailing_zeros() } else { bits.trailing_ones() };
            if same == 0 {
                let digit = i16::try_from(bits & mask).unwrap_or_default() + carry;
                carry = digit >> (width - 1);
                let digit = i8::try_from(digit - (carry << width)).unwrap_or_default();
                if let Some(to) = usize::try_from(at).ok().and_then(|at| digits.get_mut(at)) {
                    *to = if self.negative { -digit } else { digit };
                }
            }
            at += if same == 0 { width } else { same };
        }
        digits
    }
}
