//! Seeded random permutations of any length, computed index by index, and random subsets.

/// Up to this length a list is shuffled, because so short a Feistel network is not random.
const MAX_LISTED: u64 = 256;
const ROUNDS: usize = 6;
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// Scramble 64 bits so that every bit depends on every other. Constants: `SplitMix64`'s.
#[inline]
pub fn scramble(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// Hash several numbers; their order matters.
pub fn key(parts: &[u64]) -> u64 {
    parts.iter().fold(GOLDEN, |key, part| {
        scramble(key.wrapping_add(scramble(part.wrapping_add(GOLDEN)))).wrapping_mul(GOLDEN | 1)
    })
}

/// Hash a text (FNV-1a).
pub fn text_key(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// A random number generator.
pub struct Random {
    state: u64,
}

impl Random {
    /// Seed the generator.
    pub fn new(key: u64) -> Self {
        Self { state: key }
    }

    /// The next 64 random bits.
    #[inline]
    pub fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(GOLDEN);
        scramble(self.state)
    }

    /// A random number below `bound`, which must be positive.
    #[inline]
    pub fn below(&mut self, bound: u64) -> u64 {
        let product = u128::from(self.bits()) * u128::from(bound);
        (product >> 64) as u64
    }
}

/// A seeded permutation of `0..length`, looked up one index at a time.
pub struct Permutation {
    length: u64,
    network: Network,
}

enum Network {
    Listed(Vec<u64>),
    Feistel { half_bits: u32, keys: [u64; ROUNDS] },
}

impl Permutation {
    /// The permutation of `0..length` with the seed `key`.
    pub fn new(length: u64, key: u64) -> Self {
        let mut random = Random::new(key);
        let network = if length <= MAX_LISTED {
            Network::Listed(shuffled(length, &mut random))
        } else {
            let bits = u64::BITS - (length - 1).leading_zeros();
            Network::Feistel {
                half_bits: bits.div_ceil(2),
                keys: std::array::from_fn(|_| random.bits()),
            }
        };
        Self { length, network }
    }

    /// The position of `index` in the permutation.
    ///
    /// # Panics
    /// `index` is not below the length.
    pub fn at(&self, index: u64) -> u64 {
        assert!(index < self.length, "index {index} of {}", self.length);
        match &self.network {
            Network::Listed(list) => {
                list[usize::try_from(index).expect("a listed permutation is short")]
            }
            Network::Feistel { half_bits, keys } => {
                // The network permutes a power of four. Following its cycle until a number
                // is below the length gives a permutation of the numbers below the length.
                let mut value = feistel(index, *half_bits, keys);
                while value >= self.length {
                    value = feistel(value, *half_bits, keys);
                }
                value
            }
        }
    }
}

fn shuffled(length: u64, random: &mut Random) -> Vec<u64> {
    let mut list: Vec<u64> = (0..length).collect();
    for last in (1..list.len()).rev() {
        let other = random.below(last as u64 + 1);
        list.swap(last, usize::try_from(other).expect("below a list's length"));
    }
    list
}

#[inline]
fn feistel(value: u64, half_bits: u32, keys: &[u64; ROUNDS]) -> u64 {
    let mask = (1_u64 << half_bits) - 1;
    let (mut left, mut right) = (value >> half_bits, value & mask);
    for key in keys {
        let round = scramble(right.wrapping_add(*key)) >> (u64::BITS - half_bits);
        (left, right) = (right, left ^ round);
    }
    (left << half_bits) | right
}

/// Fill `chosen` with a uniformly random subset of `0..population`, ascending.
///
/// # Panics
/// `chosen` is longer than the population.
pub fn ascending_subset(random: &mut Random, population: usize, chosen: &mut [i64]) {
    assert!(
        chosen.len() <= population,
        "{} of {population}",
        chosen.len()
    );
    let mut taken = 0;
    for candidate in 0..population {
        let needed = (chosen.len() - taken) as u64;
        let Some(slot) = chosen.get_mut(taken) else {
            return;
        };
        // Selection sampling: taken with probability needed / left. The candidate is always
        // written and kept by counting, because a branch could not be predicted.
        let left = (population - candidate) as u64;
        *slot = candidate.cast_signed() as i64;
        taken += usize::from(random.below(left) < needed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_permutation_reaches_every_number_once() {
        for length in [1, 2, 3, 7, 255, 256, 257, 1000, 1024, 1025, 65_537] {
            for seed in 0..3 {
                let permutation = Permutation::new(length, seed);
                let mut seen: Vec<u64> = (0..length).map(|index| permutation.at(index)).collect();
                seen.sort_unstable();
                assert!(seen.into_iter().eq(0..length), "{length}");
            }
        }
    }

    #[test]
    fn a_huge_permutation_stays_below_its_length() {
        let length = (1 << 62) + 12_345;
        let permutation = Permutation::new(length, 9);
        for index in (0..1000).chain(length - 1000..length) {
            assert!(permutation.at(index) < length);
        }
    }

    #[test]
    fn the_first_number_is_uniform() {
        for length in [2_u64, 3, 5, 300] {
            let num_seeds = 400 * length;
            let mut counts = vec![0_u32; usize::try_from(length).expect("short")];
            for seed in 0..num_seeds {
                let first = Permutation::new(length, key(&[seed])).at(0);
                counts[usize::try_from(first).expect("short")] += 1;
            }
            // Each count has mean 400 and deviation 20; six deviations never happen by chance.
            assert!(
                counts.iter().all(|count| (280..520).contains(count)),
                "{counts:?}"
            );
        }
    }

    #[test]
    fn neighbours_are_not_kept_together() {
        let permutation = Permutation::new(100_000, 5);
        let close = (0..99_999)
            .filter(|index| permutation.at(*index).abs_diff(permutation.at(index + 1)) < 100)
            .count();
        // By chance two numbers are that close with odds of 0.2 %.
        assert!(close < 300, "{close}");
    }

    #[test]
    fn a_subset_is_ascending_complete_and_uniform() {
        let mut counts = [0_u32; 10];
        let mut random = Random::new(3);
        for _ in 0..10_000 {
            let mut chosen = [0; 4];
            ascending_subset(&mut random, 10, &mut chosen);
            assert!(chosen.windows(2).all(|pair| pair[0] < pair[1]));
            for index in chosen {
                counts[usize::try_from(index).expect("positive")] += 1;
            }
        }
        // Mean 4000, deviation 49.
        assert!(
            counts.iter().all(|count| (3700..4300).contains(count)),
            "{counts:?}"
        );
        let mut all = [0; 5];
        ascending_subset(&mut random, 5, &mut all);
        assert_eq!(all, [0, 1, 2, 3, 4]);
        ascending_subset(&mut random, 5, &mut []);
    }

    #[test]
    fn keys_depend_on_every_part_and_on_their_order() {
        let keys = [
            key(&[]),
            key(&[0]),
            key(&[0, 0]),
            key(&[0, 1]),
            key(&[1, 0]),
            key(&[1]),
        ];
        for (place, left) in keys.iter().enumerate() {
            assert!(keys[place + 1..].iter().all(|right| left != right));
        }
        assert_ne!(text_key("1-2-34"), text_key("1-23-4"));
    }
}
