//! Keys and values of groups of queries, which each see some: gathered, and their gradients added up.

use super::heads::Strided;
use crate::blocks::{ALONE, share};

/// What groups see of some heads.
#[derive(Clone, Copy)]
pub struct Seen<'a> {
    /// Numbers of the keys that groups see, group after group.
    pub keys: &'a [usize],
    /// How many each group sees.
    pub counts: &'a [usize],
    /// Heads, keys, and the width of a head.
    pub shape: [usize; 3],
}

impl<'a> Seen<'a> {
    /// The keys of each group.
    fn groups(&self) -> impl Iterator<Item = &'a [usize]> {
        let mut rest = self.keys;
        self.counts.iter().map(move |count| {
            let (group, others) = rest.split_at(*count);
            rest = others;
            group
        })
    }
}

/// Write what each group sees of every head: `(items, heads, keys of the group, width)`.
///
/// # Panics
/// Sizes do not fit each other.
pub fn gather_keys(x: Strided<'_>, seen: Seen<'_>, outs: Vec<&mut [f32]>, threads: usize) {
    let [heads, _, width] = seen.shape;
    let numbers: usize = outs.iter().map(|out| out.len()).sum();
    let mut tasks = Vec::new();
    for (out, group) in outs.into_iter().zip(seen.groups()) {
        let item = (heads * group.len() * width).max(1);
        tasks.extend(
            out.chunks_mut(item)
                .enumerate()
                .map(|(number, out)| (number, group, out)),
        );
    }
    let threads = if numbers < ALONE { 1 } else { threads };
    share(tasks, threads, |(item, group, out)| {
        for (head, out) in out.chunks_mut(group.len() * width).enumerate() {
            for (key, out) in group.iter().zip(out.chunks_mut(width)) {
                out.copy_from_slice(x.row([item, head, *key], width));
            }
        }
    });
}

/// Write the sums of what every group's gradient says of each key: `(items, heads, keys, width)`.
///
/// # Arguments
/// `gradients` has one for each group, as `gather_keys` wrote them. Whatever the number of threads,
/// the result is the same to the bit.
///
/// # Panics
/// Sizes do not fit each other.
pub fn sum_keys(gradients: &[Strided<'_>], seen: Seen<'_>, out: &mut [f32], threads: usize) {
    let [heads, keys, width] = seen.shape;
    let threads = if out.len() < ALONE { 1 } else { threads };
    let tasks: Vec<_> = out
        .chunks_mut((heads * keys * width).max(1))
        .enumerate()
        .collect();
    share(tasks, threads, |(item, out)| {
        out.fill(0.0);
        for (g, group) in gradients.iter().zip(seen.groups()) {
            for (head, out) in out.chunks_mut(keys * width).enumerate() {
                for (place, key) in group.iter().enumerate() {
                    let row = g.row([item, head, place], width);
                    for (out, g) in out[key * width..][..width].iter_mut().zip(row) {
                        *out += g;
                    }
                }
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_group_is_given_its_keys_and_a_key_the_gradients_of_all_groups_that_see_it() {
        let x: Vec<f32> = (0..24_u8).map(f32::from).collect();
        let strided = |data, tokens: usize| Strided {
            data,
            strides: [2 * tokens * 2, tokens * 2, 2],
        };
        let seen = Seen {
            keys: &[2, 0, 2],
            counts: &[1, 2],
            shape: [2, 3, 2],
        };
        let (mut first, mut second) = ([0.0; 8], [0.0; 16]);
        gather_keys(strided(&x, 3), seen, vec![&mut first, &mut second], 2);
        let expected = [4.0_f32, 5.0, 10.0, 11.0, 16.0, 17.0, 22.0, 23.0];
        assert!(
            first
                .iter()
                .zip(expected)
                .all(|(a, b)| a.to_bits() == b.to_bits())
        );
        assert!((second[0] - 0.0).abs() < 1e-9 && (second[2] - 4.0).abs() < 1e-9);
        let mut sums = [f32::NAN; 24];
        let gradients = [strided(&first, 1), strided(&second, 2)];
        sum_keys(&gradients, seen, &mut sums, 2);
        for (place, (sum, x)) in sums.iter().zip(&x).enumerate() {
            let times = [1.0, 0.0, 2.0][place / 2 % 3];
            assert!((sum - times * x).abs() < 1e-6, "{place}: {sum}");
        }
    }
}
