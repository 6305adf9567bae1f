//! Two 64-bit lanes, each a binary64 number or an integer: the only operations that the field needs.
//!
//! In wasm they are one instruction each. Elsewhere, which is only where tests run, they are the same arithmetic on two numbers, so that
//! all above them can be judged natively, by libsecp256k1 among others. [`madd`] rounds once here; in wasm it may round twice, which is
//! why [`is_fused`](super::start::is_fused) asks.

#[cfg(target_arch = "wasm32")]
mod imp {
    use core::arch::wasm32::{
        f64x2_add, f64x2_relaxed_madd, f64x2_sub, i64x2_add, i64x2_shl, i64x2_shuffle, i64x2_sub, u64x2, u64x2_extract_lane, u64x2_shr,
        u64x2_splat, v128, v128_and, v128_or, v128_xor,
    };

    /// Two lanes.
    pub(in super::super) type Lanes = v128;

    /// `a·b + c`, rounded once where the processor can, else twice.
    #[inline]
    #[target_feature(enable = "simd128,relaxed-simd")]
    pub(in super::super) fn madd(a: Lanes, b: Lanes, c: Lanes) -> Lanes {
        f64x2_relaxed_madd(a, b, c)
    }
    /// `a + b` of numbers.
    #[inline]
    #[target_feature(enable = "simd128")]
    pub(in super::super) fn add(a: Lanes, b: Lanes) -> Lanes {
        f64x2_add(a, b)
    }
    /// `a − b` of numbers.
    #[inline]
    #[target_feature(enable = "simd128")]
    pub(in super::super) fn sub(a: Lanes, b: Lanes) -> Lanes {
        f64x2_sub(a, b)
    }
    /// `a + b` of integers, modulo 2^64.
    #[inline]
    #[target_feature(enable = "simd128")]
    pub(in super::super) fn plus(a: Lanes, b: Lanes) -> Lanes {
        i64x2_add(a, b)
    }
    /// `a − b` of integers, modulo 2^64.
    #[inline]
    #[target_feature(enable = "simd128")]
    pub(in super::super) fn minus(a: Lanes, b: Lanes) -> Lanes {
        i64x2_sub(a, b)
    }
    /// `a·2^n` of integers, modulo 2^64.
    #[inline]
    #[target_feature(enable = "simd128")]
    pub(in super::super) fn left(a: Lanes, n: u32) -> Lanes {
        i64x2_shl(a, n)
    }
    /// `a ÷ 2^n` of integers that are not negative, rounded down.
    #[inline]
    #[target_feature(enable = "simd128")]
    pub(in super::super) fn right(a: Lanes, n: u32) -> Lanes {
        u64x2_shr(a, n)
    }
    /// The bits that are in both.
    #[inline]
    #[target_feature(enable = "simd128")]
    pub(in super::super) fn and(a: Lanes, b: Lanes) -> Lanes {
        v128_and(a, b)
    }
    /// The bits that are in one or both.
    #[inline]
    #[target_feature(enable = "simd128")]
    pub(in super::super) fn or(a: Lanes, b: Lanes) -> Lanes {
        v128_or(a, b)
    }
    /// The bits that are in one alone.
    #[inline]
    #[target_feature(enable = "simd128")]
    pub(in super::super) fn xor(a: Lanes, b: Lanes) -> Lanes {
        v128_xor(a, b)
    }
    /// One lane of `a`, then one of `b`, which are 2 and 3.
    #[inline]
    #[target_feature(enable = "simd128")]
    pub(in super::super) fn shuffle<const I: usize, const J: usize>(a: Lanes, b: Lanes) -> Lanes {
        i64x2_shuffle::<I, J>(a, b)
    }
    /// The same bits in both lanes.
    #[inline]
    #[target_feature(enable = "simd128")]
    pub(in super::super) fn both(bits: u64) -> Lanes {
        u64x2_splat(bits)
    }
    /// These bits.
    #[inline]
    pub(in super::super) const fn lanes(first: u64, second: u64) -> Lanes {
        u64x2(first, second)
    }
    /// The bits of each lane.
    #[inline]
    #[target_feature(enable = "simd128")]
    pub(in super::super) fn bits(a: Lanes) -> [u64; 2] {
        [u64x2_extract_lane::<0>(a), u64x2_extract_lane::<1>(a)]
    }
}

#[cfg(not(target_arch = "wasm32"))]
mod imp {
    /// Two lanes.
    pub(in super::super) type Lanes = [u64; 2];

    fn numbers(a: Lanes, b: Lanes, f: impl Fn(f64, f64) -> f64) -> Lanes {
        [f(f64::from_bits(a[0]), f64::from_bits(b[0])).to_bits(), f(f64::from_bits(a[1]), f64::from_bits(b[1])).to_bits()]
    }
    fn integers(a: Lanes, b: Lanes, f: impl Fn(u64, u64) -> u64) -> Lanes {
        [f(a[0], b[0]), f(a[1], b[1])]
    }
    pub(in super::super) fn madd(a: Lanes, b: Lanes, c: Lanes) -> Lanes {
        let one = |a, b, c| f64::from_bits(a).mul_add(f64::from_bits(b), f64::from_bits(c)).to_bits();
        [one(a[0], b[0], c[0]), one(a[1], b[1], c[1])]
    }
    pub(in super::super) fn add(a: Lanes, b: Lanes) -> Lanes {
        numbers(a, b, |a, b| a + b)
    }
    pub(in super::super) fn sub(a: Lanes, b: Lanes) -> Lanes {
        numbers(a, b, |a, b| a - b)
    }
    pub(in super::super) fn plus(a: Lanes, b: Lanes) -> Lanes {
        integers(a, b, u64::wrapping_add)
    }
    pub(in super::super) fn minus(a: Lanes, b: Lanes) -> Lanes {
        integers(a, b, u64::wrapping_sub)
    }
    pub(in super::super) fn left(a: Lanes, n: u32) -> Lanes {
        [a[0] << n, a[1] << n]
    }
    pub(in super::super) fn right(a: Lanes, n: u32) -> Lanes {
        [a[0] >> n, a[1] >> n]
    }
    pub(in super::super) fn and(a: Lanes, b: Lanes) -> Lanes {
        integers(a, b, |a, b| a & b)
    }
    pub(in super::super) fn or(a: Lanes, b: Lanes) -> Lanes {
        integers(a, b, |a, b| a | b)
    }
    pub(in super::super) fn xor(a: Lanes, b: Lanes) -> Lanes {
        integers(a, b, |a, b| a ^ b)
    }
    pub(in super::super) fn shuffle<const I: usize, const J: usize>(a: Lanes, b: Lanes) -> Lanes {
        let pick = |i| match i {
            0 => a[0],
            1 => a[1],
            2 => b[0],
            _ => b[1],
        };
        [pick(I), pick(J)]
    }
    pub(in super::super) fn both(bits: u64) -> Lanes {
        [bits; 2]
    }
    pub(in super::super) const fn lanes(first: u64, second: u64) -> Lanes {
        [first, second]
    }
    pub(in super::super) fn bits(a: Lanes) -> [u64; 2] {
        a
    }
}

pub(super) use imp::*;
