//! Says of a delivery key that it was never stored, or that it may have been: most keys are new, and to look one up in a
//! table is the dearest thing that an append does.

use super::keys::Hash;

/// Words of 64 bits: 2 MiB. A million keys are 4 in each: one of 500 new ones is looked up in vain; of four millions one of 6.
const WORDS: usize = 1 << 18;

/// A Bloom filter whose bits of one key are all in one word: one place in memory is touched.
#[derive(Debug)]
pub(super) struct Filter(Box<[u64]>);

impl Filter {
    pub(super) fn new() -> Self {
        Self(vec![0; WORDS].into())
    }

    pub(super) fn insert<'a>(&mut self, hashes: impl IntoIterator<Item = &'a Hash>) {
        for (word, bits) in hashes.into_iter().map(place) {
            self.0[word] |= bits;
        }
    }

    /// Whether it may be there; `false` is certain.
    pub(super) fn may_hold(&self, hash: &Hash) -> bool {
        let (word, bits) = place(hash);
        self.0[word] & bits == bits
    }
}

/// A key is a part of a SHA-256: as random as can be.
fn place(hash: &Hash) -> (usize, u64) {
    let [a, b, c, d, bits @ ..] = hash;
    let word = u32::from_le_bytes([*a, *b, *c, *d]) as usize % WORDS;
    (word, bits[..4].iter().fold(0, |all, bit| all | 1 << (bit % 64)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use sha2::{Digest, Sha256};

    #[test]
    fn it_forgets_nothing_and_invents_little() {
        let hash = |number: u32| *Sha256::digest(number.to_le_bytes()).first_chunk().unwrap();
        let mut filter = Filter::new();
        filter.insert((0..400_000).map(hash).collect::<Vec<_>>().iter());
        assert!((0..400_000).all(|number| filter.may_hold(&hash(number))));
        let invented = (400_000..500_000)
            .filter(|number| filter.may_hold(&hash(*number)))
            .count();
        assert!(invented < 50, "{invented} of 100,000");
    }
}
