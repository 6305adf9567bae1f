//! Odd multiples of a point, of λ times it, and of 2^64 times both.

use super::field::Pair;
use super::inverse;
use super::known;
use super::point::{odd_multiples, rescaled};
use super::words::Words;
use alloc::boxed::Box;

/// Of the digits that a table of [`SIZE`] is for.
pub(super) const WIDTH: u32 = 5;
/// 1, 3, … 15.
pub(super) const SIZE: usize = 8;
/// Of the digits that the [`Base`] is for.
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
    pub(super) multiples: [Pair; N],
    pub(super) turned: [Pair; N],
}

/// Those of a point and of 2^64 times it, on the curve itself.
pub(super) struct Doubled<const N: usize> {
    pub(super) low: Table<N>,
    pub(super) high: Table<N>,
}

/// Those of the generator: 20 KB, on the heap, made once.
pub(super) type Base = Box<Doubled<BASE_SIZE>>;

/// The generator's.
pub(super) fn base() -> Option<Base> {
    let [x, y] = GENERATOR;
    Doubled::new(&x, &y)
}

impl<const N: usize> Doubled<N> {
    /// Of the point with these coordinates. None where the arithmetic is at fault.
    pub(super) fn new(x: &Words, y: &Words) -> Option<Box<Self>> {
        let mut tables = Box::new(Self { low: Table::empty(), high: Table::empty() });
        tables.low.fill_affine(&Pair::new(x, y))?;
        let [x, y] = known::raised(&Pair::new(x, y))?;
        tables.high.fill_affine(&Pair::new(&x, &y))?;
        Some(tables)
    }
}

impl<const N: usize> Table<N> {
    /// To be filled.
    pub(super) fn empty() -> Self {
        Self { multiples: [Pair::zero(); N], turned: [Pair::zero(); N] }
    }

    /// With those of a point, on an isomorphic curve, whose scale in both lanes it returns.
    pub(super) fn fill(&mut self, point: &Pair) -> Pair {
        let scale = odd_multiples(point, &mut self.multiples, &mut self.turned);
        turn(&self.multiples, &mut self.turned);
        scale
    }

    /// With those of a point, on the curve itself. None where the arithmetic is at fault.
    fn fill_affine(&mut self, point: &Pair) -> Option<()> {
        let scale = odd_multiples(point, &mut self.multiples, &mut self.turned);
        let [scale, _] = scale.to_words();
        let inverse = inverse::inverse(&scale, &inverse::P)?;
        rescale(&mut self.multiples, &Pair::new(&inverse, &inverse));
        turn(&self.multiples, &mut self.turned);
        Some(())
    }
}

#[cfg_attr(target_arch = "wasm32", target_feature(enable = "simd128,relaxed-simd"))]
fn rescale(multiples: &mut [Pair], scale: &Pair) {
    for multiple in multiples {
        multiple.set(&rescaled(multiple, scale));
    }
}

/// Those of λP from those of P.
#[cfg_attr(target_arch = "wasm32", target_feature(enable = "simd128,relaxed-simd"))]
fn turn(multiples: &[Pair], turned: &mut [Pair]) {
    let beta = Pair::new(&BETA, &BETA).shuffle::<0, 2>(&Pair::one());
    for (multiple, turned) in multiples.iter().zip(turned) {
        turned.set(&multiple.times(&beta));
    }
}

#[cfg(test)]
impl<const N: usize> Doubled<N> {
    /// With a fault in one coordinate of each entry.
    pub(super) fn broken(mut self: Box<Self>) -> Box<Self> {
        let Self { low, high } = &mut *self;
        for table in [low, high] {
            for entry in table.multiples.iter_mut().chain(&mut table.turned) {
                *entry = entry.columns().plus(&Pair::one().columns()).carry();
            }
        }
        self
    }
}
