//! Which windows and neurons the batches of a run have: a pure function of data, seed and number.

use crate::order::{Permutation, Random, ascending_subset, key, text_key};
use crate::table::WindowTable;

/// What a random number is for, so that equal seeds give unrelated streams.
#[derive(Clone, Copy)]
enum Purpose {
    Sessions = 1,
    Batches = 2,
    Windows = 3,
    Neurons = 4,
}

/// How often sessions come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sampling {
    /// Every session once in each cycle over all.
    Balanced,
    /// Every session by the number of its windows.
    Proportional,
}

/// One session, as the schedule sees it.
#[derive(Debug)]
pub struct Source {
    key: u64,
    table: WindowTable,
}

impl Source {
    /// The session named `session` with its windows.
    pub fn new(session: &str, table: WindowTable) -> Self {
        Self {
            key: text_key(session),
            table,
        }
    }
}

/// The order of all batches.
#[derive(Debug)]
pub struct Schedule {
    sources: Vec<Source>,
    /// Batches of an epoch in all sessions up to and including this one.
    ends: Vec<u64>,
    sampling: Sampling,
    batch_size: u64,
    seed: u64,
}

/// Where in a session a batch stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Which session.
    pub session: usize,
    /// How many batches of the session come before, counted from the first epoch on.
    pub turn: u64,
}

impl Schedule {
    /// The order that `seed` gives the windows of `sources`.
    ///
    /// # Errors
    /// There is no session, or one has no window.
    pub fn new(
        sources: Vec<Source>,
        sampling: Sampling,
        batch_size: u32,
        seed: u64,
    ) -> Result<Self, String> {
        if sources.is_empty() || batch_size == 0 {
            return Err("a schedule needs sessions and windows in a batch".into());
        }
        if sources.iter().any(|source| source.table.num_windows() == 0) {
            return Err("a schedule needs a window in every session".into());
        }
        let batch_size = u64::from(batch_size);
        let mut ends = Vec::with_capacity(sources.len());
        let mut total = 0_u64;
        for source in &sources {
            total += source.table.num_windows().div_ceil(batch_size);
            ends.push(total);
        }
        Ok(Self {
            sources,
            ends,
            sampling,
            batch_size,
            seed,
        })
    }

    /// Batches in which the longest session (balanced) or all (proportional) are drawn once.
    pub fn batches_per_epoch(&self) -> u64 {
        match self.sampling {
            Sampling::Proportional => self.ends[self.ends.len() - 1],
            Sampling::Balanced => {
                let longest = self.sources.iter().map(|source| source.table.num_windows());
                let batches = longest.max().unwrap_or(0).div_ceil(self.batch_size);
                batches * self.sources.len() as u64
            }
        }
    }

    /// Number of sessions.
    pub fn num_sessions(&self) -> usize {
        self.sources.len()
    }

    /// Windows in a batch.
    pub fn batch_size(&self) -> u64 {
        self.batch_size
    }

    /// Which session batch `number` is of.
    pub fn place(&self, number: u64) -> Place {
        match self.sampling {
            Sampling::Balanced => {
                let sessions = self.sources.len() as u64;
                let (cycle, within) = (number / sessions, number % sessions);
                let order = Permutation::new(sessions, self.key(Purpose::Sessions, &[cycle]));
                Place {
                    session: index(order.at(within)),
                    turn: cycle,
                }
            }
            Sampling::Proportional => {
                let batches = self.batches_per_epoch();
                let (epoch, within) = (number / batches, number % batches);
                let order = Permutation::new(batches, self.key(Purpose::Batches, &[epoch]));
                let batch = order.at(within);
                let session = self.ends.partition_point(|end| *end <= batch);
                let before = if session == 0 {
                    0
                } else {
                    self.ends[session - 1]
                };
                let own = self.ends[session] - before;
                Place {
                    session,
                    turn: epoch * own + (batch - before),
                }
            }
        }
    }

    /// The windows of a batch, as grid indices; `grid_indices` is as long as a batch.
    pub fn windows(&self, place: Place, grid_indices: &mut [i64]) {
        let source = &self.sources[place.session];
        let windows = source.table.num_windows();
        let mut order: Option<(u64, Permutation)> = None;
        for (slot, position) in grid_indices.iter_mut().zip(self.position(place)..) {
            let (epoch, within) = (position / windows, position % windows);
            // A batch may begin in one epoch of its session and end in the next.
            let (_, permutation) = match order.take() {
                Some(known) if known.0 == epoch => order.insert(known),
                _ => {
                    let key = self.key(Purpose::Windows, &[source.key, epoch]);
                    order.insert((epoch, Permutation::new(windows, key)))
                }
            };
            *slot = source.table.grid_index(permutation.at(within));
        }
    }

    /// The neurons of window `index` of a batch: an ascending subset of `population`.
    pub fn neurons(&self, place: Place, index: u64, population: usize, chosen: &mut [i64]) {
        let source = &self.sources[place.session];
        let position = self.position(place) + index;
        let mut random = Random::new(self.key(Purpose::Neurons, &[source.key, position]));
        ascending_subset(&mut random, population, chosen);
    }

    fn position(&self, place: Place) -> u64 {
        place.turn.wrapping_mul(self.batch_size)
    }

    fn key(&self, purpose: Purpose, parts: &[u64]) -> u64 {
        let mut key_parts = vec![self.seed, purpose as u64];
        key_parts.extend_from_slice(parts);
        key(&key_parts)
    }
}

/// A number below the length of a list, as its index.
fn index(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn schedule(sampling: Sampling, counts: &[i64], batch_size: u32, seed: u64) -> Schedule {
        let sources = counts
            .iter()
            .enumerate()
            .map(|(number, count)| {
                let table = WindowTable::new(&[100], &[*count], 1).expect("a run");
                Source::new(&format!("session-{number}"), table)
            })
            .collect();
        Schedule::new(sources, sampling, batch_size, seed).expect("sessions")
    }

    fn windows(schedule: &Schedule, number: u64) -> (usize, Vec<i64>) {
        let size = usize::try_from(schedule.batch_size()).expect("small");
        let mut grid = vec![0; size];
        let place = schedule.place(number);
        schedule.windows(place, &mut grid);
        (place.session, grid)
    }

    #[test]
    fn balanced_sampling_draws_every_session_once_a_cycle() {
        let schedule = schedule(Sampling::Balanced, &[10, 200, 33], 4, 7);
        let mut firsts = [0; 3];
        for cycle in 0..300 {
            let mut seen: Vec<usize> = (0..3)
                .map(|b| schedule.place(3 * cycle + b).session)
                .collect();
            firsts[seen[0]] += 1;
            seen.sort_unstable();
            assert_eq!(seen, [0, 1, 2]);
        }
        assert!(firsts.iter().all(|count| *count > 60), "{firsts:?}");
        assert_eq!(schedule.batches_per_epoch(), 150);
    }

    #[test]
    fn an_epoch_of_a_session_draws_every_window_once() {
        for sampling in [Sampling::Balanced, Sampling::Proportional] {
            // 12 windows in batches of 4: three batches are exactly an epoch of the session.
            let schedule = schedule(sampling, &[12, 12], 4, 3);
            let epoch = schedule.batches_per_epoch();
            assert_eq!(epoch, 6);
            let mut orders = Vec::new();
            for first in [0, epoch] {
                let mut drawn: BTreeMap<usize, Vec<i64>> = BTreeMap::new();
                for number in first..first + epoch {
                    let (session, grid) = windows(&schedule, number);
                    drawn.entry(session).or_default().extend(grid);
                }
                orders.push(drawn.clone());
                for list in drawn.values_mut() {
                    list.sort_unstable();
                    assert!(list.iter().copied().eq(100..112), "{list:?}");
                }
            }
            assert_ne!(orders[0], orders[1]);
        }
    }

    #[test]
    fn a_batch_may_cross_the_border_of_two_epochs() {
        let schedule = schedule(Sampling::Balanced, &[3], 8, 1);
        let (_, grid) = windows(&schedule, 0);
        for epoch in [&grid[0..3], &grid[3..6]] {
            let mut sorted = epoch.to_vec();
            sorted.sort_unstable();
            assert_eq!(sorted, [100, 101, 102]);
        }
    }

    #[test]
    fn proportional_sampling_follows_the_windows() {
        let schedule = schedule(Sampling::Proportional, &[8, 80], 4, 5);
        let epoch = schedule.batches_per_epoch();
        let short = (0..epoch)
            .filter(|b| schedule.place(*b).session == 0)
            .count();
        assert_eq!((epoch, short), (22, 2));
    }

    #[test]
    fn seeds_and_sessions_have_orders_of_their_own() {
        let one = schedule(Sampling::Balanced, &[500, 500], 8, 1);
        let two = schedule(Sampling::Balanced, &[500, 500], 8, 2);
        assert_ne!(windows(&one, 0).1, windows(&two, 0).1);
        assert_ne!(windows(&one, 0).1, windows(&one, 1).1);
        let place = one.place(0);
        let (mut left, mut right) = ([0; 20], [0; 20]);
        one.neurons(place, 0, 1000, &mut left);
        one.neurons(place, 1, 1000, &mut right);
        assert_ne!(left, right);
        two.neurons(two.place(0), 0, 1000, &mut right);
        assert_ne!(left, right);
    }

    #[test]
    fn sessions_without_windows_are_refused() {
        let table = WindowTable::new(&[], &[], 1).expect("no runs");
        let sources = vec![Source::new("a", table)];
        assert!(Schedule::new(sources, Sampling::Balanced, 1, 0).is_err());
        assert!(Schedule::new(vec![], Sampling::Balanced, 1, 0).is_err());
    }
}
