//! 256-bit integers as four 64-bit words, least significant first, and how they are cut into limbs.

/// Least significant first.
pub(super) type Words = [u64; 4];

/// From 32 bytes, most significant first.
pub(super) fn from_bytes(bytes: &[u8; 32]) -> Words {
    let mut words = [0; 4];
    for (word, chunk) in words.iter_mut().rev().zip(bytes.chunks_exact(8)) {
        *word = chunk.iter().fold(0, |word, byte| word << 8 | u64::from(*byte));
    }
    words
}

/// To 32 bytes, most significant first.
pub(super) fn to_bytes(words: &Words) -> [u8; 32] {
    let mut bytes = [0; 32];
    for (chunk, word) in bytes.chunks_exact_mut(8).zip(words.iter().rev()) {
        chunk.copy_from_slice(&word.to_be_bytes());
    }
    bytes
}

/// Four limbs of 51 bits and one of 52.
pub(super) const fn limbs51([w0, w1, w2, w3]: &Words) -> [u64; 5] {
    const MASK: u64 = (1 << 51) - 1;
    [*w0 & MASK, (*w0 >> 51 | *w1 << 13) & MASK, (*w1 >> 38 | *w2 << 26) & MASK, (*w2 >> 25 | *w3 << 39) & MASK, *w3 >> 12]
}

/// From four limbs of 51 bits and one of 52.
pub(super) const fn from_limbs51([l0, l1, l2, l3, l4]: [u64; 5]) -> Words {
    [l0 | l1 << 51, l1 >> 13 | l2 << 38, l2 >> 26 | l3 << 25, l3 >> 39 | l4 << 12]
}

/// Eight limbs of 30 bits and one of 16.
pub(super) const fn limbs30([w0, w1, w2, w3]: &Words) -> [u64; 9] {
    const MASK: u64 = (1 << 30) - 1;
    [
        *w0 & MASK,
        *w0 >> 30 & MASK,
        (*w0 >> 60 | *w1 << 4) & MASK,
        *w1 >> 26 & MASK,
        (*w1 >> 56 | *w2 << 8) & MASK,
        *w2 >> 22 & MASK,
        (*w2 >> 52 | *w3 << 12) & MASK,
        *w3 >> 18 & MASK,
        *w3 >> 48,
    ]
}

/// From eight limbs of 30 bits and one of 16.
pub(super) const fn from_limbs30([l0, l1, l2, l3, l4, l5, l6, l7, l8]: [u64; 9]) -> Words {
    [l0 | l1 << 30 | l2 << 60, l2 >> 4 | l3 << 26 | l4 << 56, l4 >> 8 | l5 << 22 | l6 << 52, l6 >> 12 | l7 << 18 | l8 << 48]
}

/// Eight limbs of 32 bits.
pub(super) const fn limbs32([w0, w1, w2, w3]: &Words) -> [u64; 8] {
    const MASK: u64 = 0xffff_ffff;
    [*w0 & MASK, *w0 >> 32, *w1 & MASK, *w1 >> 32, *w2 & MASK, *w2 >> 32, *w3 & MASK, *w3 >> 32]
}
