//! Points of the curve y² = x³ + 7.
//!
//! Tables are affine: [x | y]. R's is so on an isomorphic curve, of scale zg: what it calls (x, y) is the point (x/zg², y/zg³), so it was made
//! without an inversion. A sum is kept in Jacobian coordinates on that curve, with Zg = Z·zg beside Z: the point is
//! (X/Zg², Y/Zg³). R's points are added against Z, and G's, which are affine on the curve itself, against Zg.
//!
//! No case is special. A sum with the same point, or with its negative, leaves Z = 0, and so does every step after it: the end sees it.

use super::field::{Columns, Pair, mul, square};

/// A point [X | Z], [Y | Z·zg].
#[derive(Clone, Copy)]
pub(super) struct Sum {
    xz: Pair,
    yg: Pair,
}

/// Which curve a table is affine on.
#[derive(Clone, Copy)]
pub(super) enum Scale {
    /// The one that sums are on.
    Isomorphic,
    /// The curve itself.
    One,
}

impl Sum {
    /// A point of a table on the isomorphic curve of scale `zg`, which is in both lanes.
    #[cfg_attr(target_arch = "wasm32", target_feature(enable = "simd128,relaxed-simd"))]
    pub(super) fn new(entry: &Pair, scale: Scale, zg: &Pair) -> Self {
        let entry = match scale {
            Scale::Isomorphic => *entry,
            Scale::One => rescaled(entry, zg),
        };
        let one = Pair::one();
        Self { xz: entry.shuffle::<0, 2>(&one), yg: entry.shuffle::<1, 2>(zg) }
    }

    /// X, Y and Z·zg: the point is (X/Z², Y/Z³) with this Z. It is in both lanes.
    #[cfg_attr(target_arch = "wasm32", target_feature(enable = "simd128,relaxed-simd"))]
    pub(super) fn coordinates(&self) -> (Pair, Pair) {
        (self.xz.shuffle::<0, 2>(&self.yg), self.yg.shuffle::<1, 1>(&self.yg))
    }

    /// Twice the point: A = X², B = Y², S = 4XB; X' = 9A² − 2S, Y' = 3A(S − X') − 8B², Z' = 2YZ. Columns weigh 21 at most, in S − X'.
    #[inline(never)]
    #[cfg_attr(target_arch = "wasm32", target_feature(enable = "simd128,relaxed-simd"))]
    pub(super) fn double(&mut self) {
        let Self { xz, yg } = self;
        let xy = xz.shuffle::<0, 2>(yg);
        let ab = xy.squared(1);
        // [A² | B²], [XB | YZ]
        let fourths = square(&ab);
        let products = mul(&xy, &ab.shuffle::<1, 3>(xz));
        let x = fourths.minus(&products).times_power(3).plus(&fourths);
        let rest = products.times_power(2).minus(&x).carry();
        let x_z = x.shuffle::<0, 3>(&products.times_power(1)).carry();
        // [A(S − X') | Y·Z·zg], whose first is taken three times
        let last = mul(&ab.shuffle::<0, 2>(yg), &rest.shuffle::<0, 3>(yg));
        let y = last.minus(&fourths.times_power(3).shuffle::<1, 1>(&fourths)).first_alone();
        self.xz.set(&x_z);
        self.yg.set(&last.times_power(1).plus(&y).carry());
    }

    /// Plus a table's point (x, y), or less it (its y is negated), z being Z or Z·zg: H = x·z² − X, R = y·z³ − Y, V = X·H²; X' = R² − H³ − 2V, Y' = R(V − X') − Y·H³,
    /// Z' = Z·H. Columns weigh 5 at most, in V − X'.
    #[inline(never)]
    #[cfg_attr(target_arch = "wasm32", target_feature(enable = "simd128,relaxed-simd"))]
    pub(super) fn add(&mut self, entry: &Pair, negate: bool, scale: Scale) {
        let Self { xz, yg } = self;
        let entry = &entry.second_negated(negate);
        let zs = match scale {
            Scale::Isomorphic => &*xz,
            Scale::One => &*yg,
        };
        let z = zs.shuffle::<1, 1>(zs);
        // [z² | y·z]
        let powers = mul(&zs.shuffle::<1, 3>(entry), &z).carry();
        let scaled = mul(&entry.shuffle::<0, 3>(&powers), &powers.shuffle::<0, 0>(&powers));
        // [H | R]
        let hr = scaled.minus(&xz.shuffle::<0, 2>(yg).columns()).carry();
        let squares = square(&hr);
        let h2 = squares.carry();
        // [V | H³]
        let v_h3 = mul(&xz.shuffle::<0, 2>(&hr), &h2.shuffle::<0, 0>(&h2));
        let h3 = v_h3.carry();
        let rest = squares.minus(&v_h3);
        let v = v_h3.shuffle::<0, 0>(&v_h3);
        let x = rest.shuffle::<1, 1>(&rest).minus(&v.times_power(1));
        // [X' | V − X']
        let x_d = x.shuffle::<0, 3>(&v.minus(&x)).carry();
        // [Z' | Z'·zg]
        let z_g = mul(&xz.shuffle::<1, 3>(yg), &hr.shuffle::<0, 0>(&hr)).carry();
        let last = mul(&hr.shuffle::<1, 2>(yg), &x_d.shuffle::<1, 3>(&h3));
        let y = last.minus(&last.shuffle::<1, 1>(&last)).carry();
        self.xz.set(&x_d.shuffle::<0, 2>(&z_g));
        self.yg.set(&y.shuffle::<0, 3>(&z_g));
    }
}

/// (x·s², y·s³), `s` being in both lanes.
#[cfg_attr(target_arch = "wasm32", target_feature(enable = "simd128,relaxed-simd"))]
pub(super) fn rescaled(entry: &Pair, s: &Pair) -> Pair {
    // [s² | y·s]
    let powers = mul(&s.shuffle::<0, 3>(entry), s).carry();
    mul(&entry.shuffle::<0, 3>(&powers), &powers.shuffle::<0, 0>(&powers)).carry()
}

/// P, 3P, 5P… on the isomorphic curve where the last of them is affine; returned is its scale, in both lanes. `ratios` is as long, and overwritten.
///
/// All are made with one Z in common with 2P (co-Z additions: Méloni, "New point addition formulae for ECC applications", 2007). No sum here is
/// of equal or opposite points: P has the prime order n, which divides no number below 4N, N being how many there are.
#[inline(never)]
#[cfg_attr(target_arch = "wasm32", target_feature(enable = "simd128,relaxed-simd"))]
pub(super) fn odd_multiples(point: &Pair, multiples: &mut [Pair], ratios: &mut [Pair]) -> Pair {
    let (mut even, mut odd, z) = doubled(point);
    let mut is_first = true;
    for (multiple, to) in multiples.iter_mut().zip(ratios.iter_mut()) {
        to.set(&if is_first { z } else { add_sharing(&mut even, &mut odd) });
        multiple.set(&odd);
        is_first = false;
    }
    let mut scale = Pair::one();
    for (multiple, ratio) in multiples.iter_mut().zip(ratios.iter()).rev() {
        multiple.set(&rescaled(multiple, &scale));
        scale.set(&scale.times(ratio));
    }
    scale
}

/// 2P and P = (x, y) with the Z of 2P, which is 2y: A = x², B = y², S = 4xB; (9A² − 2S, 3A(S − X) − 8B²) and (S, 8B²).
#[cfg_attr(target_arch = "wasm32", target_feature(enable = "simd128,relaxed-simd"))]
fn doubled(point: &Pair) -> (Pair, Pair, Pair) {
    let ab = point.squared(1);
    let fourths = square(&ab);
    let product = mul(point, &ab.shuffle::<1, 1>(&ab));
    let same = product.times_power(2).shuffle::<0, 3>(&fourths.times_power(3)).carry();
    let x = fourths.minus(&product).times_power(3).plus(&fourths);
    // [X | S − X], then [X | Y]
    let x_d = x.shuffle::<0, 2>(&product.times_power(2).minus(&x)).carry();
    let last = mul(&ab, &x_d.shuffle::<1, 1>(&x_d));
    let y = last.minus(&fourths.times_power(3).shuffle::<1, 1>(&fourths)).plus(&last.times_power(1)).carry();
    let z = point.columns().times_power(1).shuffle::<1, 1>(&point.columns().times_power(1)).carry();
    (x_d.shuffle::<0, 2>(&y), same, z)
}

/// `odd` becomes even + odd, and `even` gets its Z, which is larger by the factor h that is returned, in both lanes: h = Xe − Xo,
/// k = Ye − Yo; W = X·h² of each; X' = k² − We − Wo, Y' = k(We − X') − A, and (We, A) is what `even` was, A = Ye(We − Wo).
#[cfg_attr(target_arch = "wasm32", target_feature(enable = "simd128,relaxed-simd"))]
fn add_sharing(even: &mut Pair, odd: &mut Pair) -> Pair {
    let hk = even.columns().minus(&odd.columns()).carry();
    let squares = square(&hk);
    let h2 = squares.carry();
    let w = mul(&even.shuffle::<0, 2>(odd), &h2.shuffle::<0, 0>(&h2));
    let swapped = w.shuffle::<1, 0>(&w);
    // In the second lane.
    let x = squares.minus(&w).minus(&swapped);
    let w_x = w.shuffle::<0, 3>(&x).carry();
    // [We − Wo | We − X']
    let differences = w.minus(&swapped).shuffle::<0, 3>(&swapped.minus(&x)).carry();
    let last = mul(&even.shuffle::<1, 3>(&hk), &differences);
    let a_y = last.shuffle::<0, 3>(&last.minus(&last.shuffle::<0, 0>(&last))).carry();
    even.set(&w_x.shuffle::<0, 2>(&a_y));
    odd.set(&w_x.shuffle::<1, 3>(&a_y));
    hk.shuffle::<0, 0>(&hk)
}

/// x³ + 7, of both lanes.
#[cfg_attr(target_arch = "wasm32", target_feature(enable = "simd128,relaxed-simd"))]
pub(super) fn right_side(x: &Pair) -> Pair {
    let cube: Columns = mul(&x.squared(1), x);
    cube.plus(&Pair::seven().columns()).carry()
}
