//! Signers whose signatures have been worth money before, with tables of their keys: whether such a signer signed takes half of the time that it
//! takes to find out who signed.
//!
//! Who signs nothing that is accepted gets no place here, and so cannot take anybody's away. What is answered never depends on what is known.

use super::recovery::Known;
use super::signature::{InvalidSignature, Signature};
use super::{Address, B256};
use alloc::vec::Vec;

/// What is remembered of the signers of some things, channels for instance, each with an id.
#[derive(Default)]
pub struct Signers {
    places: Vec<Place>,
    /// The place that is looked at next when one is needed: the first that was not used since it was looked at last is given away.
    next: usize,
}

struct Place {
    of: B256,
    signer: Address,
    is_used: bool,
    known: Option<Known>,
}

impl Signers {
    /// Of so many at once. With their tables they are 0.7 MB.
    pub const MOST: usize = 256;

    /// Knows nobody.
    pub const fn new() -> Self {
        Self { places: Vec::new(), next: 0 }
    }

    /// The address whose key signed `digest`, as [`Signature::recover`] says. When it is the signer who was accepted for `of`, tables of the key
    /// are made, which this costs a third more once, and the next signature half.
    ///
    /// # Errors
    /// Those of [`Signature::recover`].
    pub fn recover(&mut self, of: B256, signature: &Signature, digest: B256) -> Result<Address, InvalidSignature> {
        let Some(place) = self.places.iter_mut().find(|place| place.of == of) else { return signature.recover(digest) };
        let signer = signature.recover_known(digest, place.signer, &mut place.known)?;
        place.is_used |= signer == place.signer;
        Ok(signer)
    }

    /// A signature of `signer` for `of` was accepted: not only is it right, but it was worth something.
    pub fn accepted(&mut self, of: B256, signer: Address) {
        if let Some(place) = self.places.iter_mut().find(|place| place.of == of) {
            if place.signer != signer {
                *place = Place { of, signer, is_used: false, known: None };
            }
            return;
        }
        let new = Place { of, signer, is_used: false, known: None };
        if self.places.len() < Self::MOST {
            self.places.push(new);
            return;
        }
        // Twice around at the most: the first time makes all of them unused.
        for _ in 0..=Self::MOST {
            let at = self.next;
            self.next = (at + 1) % Self::MOST;
            let Some(place) = self.places.get_mut(at) else { return };
            if !place.is_used {
                *place = new;
                return;
            }
            place.is_used = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::keccak256;
    use super::super::key::PrivateKey;
    use super::*;
    use alloc::string::ToString;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn key(i: u8) -> PrivateKey {
        PrivateKey::parse(&keccak256([i]).to_string()).unwrap()
    }

    fn id(i: usize) -> B256 {
        keccak256(i.to_be_bytes())
    }

    fn has_tables(signers: &Signers, of: B256) -> bool {
        signers.places.iter().any(|place| place.of == of && place.known.is_some())
    }

    #[test]
    fn a_signer_is_known_from_the_second_signature_on_and_nobody_else_ever_is() {
        let (ours, other) = (key(1), key(2));
        let mut signers = Signers::new();
        let check = |signers: &mut Signers, by: &PrivateKey, i: u8| {
            let digest = keccak256([i, 7]);
            let signature = by.sign(digest);
            assert_eq!(signers.recover(id(0), &signature, digest), Ok(by.address()), "{i}");
            assert_eq!(signers.recover(id(0), &signature, keccak256(digest)), signature.recover(keccak256(digest)), "{i}");
        };
        check(&mut signers, &ours, 0);
        assert!(signers.places.is_empty());
        signers.accepted(id(0), ours.address());
        assert!(!has_tables(&signers, id(0)));
        check(&mut signers, &other, 1);
        assert!(!has_tables(&signers, id(0)));
        check(&mut signers, &ours, 2);
        assert!(has_tables(&signers, id(0)));
        for i in 3..6 {
            check(&mut signers, &ours, i);
            check(&mut signers, &other, i);
            signers.accepted(id(0), ours.address());
        }
        assert!(has_tables(&signers, id(0)));
        // Tables are of who was accepted last.
        signers.accepted(id(0), other.address());
        assert!(!has_tables(&signers, id(0)));
        check(&mut signers, &ours, 6);
        assert!(!has_tables(&signers, id(0)));
        check(&mut signers, &other, 7);
        assert!(has_tables(&signers, id(0)));
        check(&mut signers, &ours, 8);
        assert_eq!(signers.places.len(), 1);
    }

    #[test]
    fn places_are_bounded_and_who_is_used_keeps_one() {
        let ours = key(1);
        let digest = keccak256([1]);
        let signature = ours.sign(digest);
        let mut signers = Signers::new();
        let rounds = 4;
        for i in 0..rounds * Signers::MOST {
            // Used again before the places have been gone around once.
            if i % (Signers::MOST / 2) == 0 {
                assert_eq!(i > 0, has_tables(&signers, id(usize::MAX)), "{i}");
                signers.accepted(id(usize::MAX), ours.address());
                assert_eq!(signers.recover(id(usize::MAX), &signature, digest), Ok(ours.address()));
            }
            signers.accepted(id(i), ours.address());
            assert!(signers.places.len() <= Signers::MOST);
            assert!(signers.places.iter().any(|place| place.of == id(i)), "{i}");
        }
        assert!(has_tables(&signers, id(usize::MAX)));
        // Who is not goes.
        for i in 0..2 * Signers::MOST {
            signers.accepted(id(usize::MAX - 1 - i), ours.address());
        }
        assert!(!signers.places.iter().any(|place| place.of == id(usize::MAX)));
    }
}
