//! Odd multiples of a point, and of λ times it.

use super::field::Pair;
use super::inverse;
use super::point::{odd_multiples, rescaled};
use super::words::Words;
use alloc::boxed::Box;

/// Of the digits that a table of [`SIZE`] is for.
pub(super) const WIDTH: u32 = 5;
/// 1, 3, … 15.
pub(super) const SIZE: usize = 8;
/// Of the digits that [`Base`] is for.
pub(super) const BASE_WIDTH: u32 = 8;
/// 1, 3, … 127.
const BASE_SIZE: usize = 64;

const GENERATOR: [Words; 2] = [
    [0x59f2_815b_16f8_1798, 0x029b_fcdb_2dce_28d9, 0x55a0_6295_ce87_0b07, 0x79be_667e_f9dc_bbac],
    [0x9c47_d08f_fb10_d4b8, 0xfd17_b448_a685_5419, 0x5da4_fbfc_0e11_08a8, 0x483a_da77_26a3_c465],
];
const BETA: Words = [0xc139_6c28_7195_01ee, 0x9cf0_4975_12f5_8995, 0x6e64_479e_ac34_34e9, 0x7ae9_6a2b_657c_0710];

/// Odd multiples of a point P, [x | y] each, and those of λP, [βx | y].
pub(super) struct Table<const N: usize> {
    multiples: [Pair; N],
    turned: [Pair; N],
}

/// Those of the generator: 10 KB, on the heap, made once.
pub(super) struct Base(pub(super) Box<Table<BASE_SIZE>>);

impl<const N: usize> Table<N> {
    /// On an isomorphic curve, with its scale in both lanes.
    #[cfg_attr(target_arch = "wasm32", target_feature(enable = "simd128,relaxed-simd"))]
    pub(super) fn new(point: &Pair) -> (Self, Pair) {
        let (multiples, scale) = odd_multiples(point);
        (Self::from_multiples(multiples), scale)
    }

    #[cfg_attr(target_arch = "wasm32", target_feature(enable = "simd128,relaxed-simd"))]
    fn from_multiples(multiples: [Pair; N]) -> Self {
        let one = Pair::one();
        let beta = Pair::new(&BETA, &BETA).shuffle::<0, 2>(&one);
        Self { multiples, turned: multiples.map(|multiple| multiple.times(&beta)) }
    }

    /// digit·P.
    #[inline]
    #[cfg_attr(target_arch = "wasm32", target_feature(enable = "simd128,relaxed-simd"))]
    pub(super) fn multiple(&self, digit: i8) -> Option<Pair> {
        entry(&self.multiples, digit)
    }

    /// digit·λP.
    #[inline]
    #[cfg_attr(target_arch = "wasm32", target_feature(enable = "simd128,relaxed-simd"))]
    pub(super) fn turned(&self, digit: i8) -> Option<Pair> {
        entry(&self.turned, digit)
    }
}

/// None for 0.
#[inline]
#[cfg_attr(target_arch = "wasm32", target_feature(enable = "simd128,relaxed-simd"))]
fn entry(multiples: &[Pair], digit: i8) -> Option<Pair> {
    if digit == 0 {
        return None;
    }
    let entry = multiples.get(usize::from(digit.unsigned_abs() >> 1))?;
    Some(entry.second_negated(digit < 0))
}

impl Base {
    /// None where the arithmetic is at fault.
    #[cfg_attr(target_arch = "wasm32", target_feature(enable = "simd128,relaxed-simd"))]
    pub(super) fn new() -> Option<Self> {
        let [x, y] = GENERATOR;
        let (multiples, scale) = odd_multiples::<BASE_SIZE>(&Pair::new(&x, &y));
        let [scale, _] = scale.to_words();
        let inverse = inverse::inverse(&scale, &inverse::P)?;
        let inverse = Pair::new(&inverse, &inverse);
        Some(Self(Box::new(Table::from_multiples(multiples.map(|multiple| rescaled(&multiple, &inverse))))))
    }
}

#[cfg(test)]
impl Base {
    /// With a fault in one coordinate of each entry.
    pub(super) fn broken(self) -> Self {
        let one = Pair::one();
        let wrong = |multiple: Pair| multiple.columns().plus(&one.columns()).carry();
        let Table { multiples, turned } = *self.0;
        Self(Box::new(Table { multiples: multiples.map(wrong), turned: turned.map(wrong) }))
    }
}
