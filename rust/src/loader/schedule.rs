//! The windows and neurons of every batch: a pure function of data set, seed and batch number.

use super::random::{Permutation, Random, ascending_subset, key, text_key};
use super::window_table::WindowTable;

/// The use of a random number, part of its key, so that streams of one seed are unrelated.
#[derive(Clone, Copy)]
enum Purpose {
    Sessions = 1,
    Batches = 2,
    Windows = 3,
    Neurons = 4,
}

/// How often sessions are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sampling {
    /// Every session once in each cycle over all sessions.
    Balanced,
    /// Every session in proportion to its number of windows.
    Proportional,
}

/// The windows of one session.
#[derive(Debug)]
pub struct SessionWindows {
    key: u64,
    table: WindowTable,
}

impl SessionWindows {
    /// The windows of the session with this key.
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
    sessions: Vec<SessionWindows>,
    /// Number of batches of an epoch in all sessions up to and including this one.
    ends: Vec<u64>,
    sampling: Sampling,
    batch_size: u64,
    seed: u64,
}

/// The position of a batch in its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchPosition {
    /// Index of the session.
    pub session: usize,
    /// Number of batches of the session before this one, counted from the first epoch on.
    pub turn: u64,
}

impl Schedule {
    /// The order of the batches with this seed.
    ///
    /// # Errors
    /// There is no session, or one has no window.
    pub fn new(
        sessions: Vec<SessionWindows>,
        sampling: Sampling,
        batch_size: u32,
        seed: u64,
    ) -> Result<Self, String> {
        if sessions.is_empty() || batch_size == 0 {
            return Err("a schedule needs sessions and windows in a batch".into());
        }
        if sessions
            .iter()
            .any(|session| session.table.num_windows() == 0)
        {
            return Err("a schedule needs a window in every session".into());
        }
        let batch_size = u64::from(batch_size);
        let mut ends = Vec::with_capacity(sessions.len());
        let mut total = 0_u64;
        for session in &sessions {
            total += session.table.num_windows().div_ceil(batch_size);
            ends.push(total);
        }
        Ok(Self {
            sessions,
            ends,
            sampling,
            batch_size,
            seed,
        })
    }

    /// Number of batches until every window of the longest session (balanced) or of all sessions
    /// (proportional) is drawn once.
    pub fn batches_per_epoch(&self) -> u64 {
        match self.sampling {
            Sampling::Proportional => self.ends[self.ends.len() - 1],
            Sampling::Balanced => {
                let longest = self
                    .sessions
                    .iter()
                    .map(|session| session.table.num_windows());
                let batches = longest.max().unwrap_or(0).div_ceil(self.batch_size);
                batches * self.sessions.len() as u64
            }
        }
    }

    /// Number of sessions.
    pub fn num_sessions(&self) -> usize {
        self.sessions.len()
    }

    /// Number of windows in a batch.
    pub fn batch_size(&self) -> u64 {
        self.batch_size
    }

    /// Number of windows in a batch, as a length.
    pub fn num_windows(&self) -> usize {
        to_index(self.batch_size)
    }

    /// The session of batch `number`, and the batch's position in it.
    pub fn position(&self, number: u64) -> BatchPosition {
        match self.sampling {
            Sampling::Balanced => {
                let num_sessions = self.sessions.len() as u64;
                let (cycle, within) = (number / num_sessions, number % num_sessions);
                let order = Permutation::new(num_sessions, self.key(Purpose::Sessions, &[cycle]));
                BatchPosition {
                    session: to_index(order.at(within)),
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
                BatchPosition {
                    session,
                    turn: epoch * own + (batch - before),
                }
            }
        }
    }

    /// Write the grid index of each window of a batch.
    pub fn windows(&self, batch: BatchPosition, grid_indices: &mut [i64]) {
        let session = &self.sessions[batch.session];
        let windows = session.table.num_windows();
        let mut order: Option<(u64, Permutation)> = None;
        for (slot, position) in grid_indices.iter_mut().zip(self.first_window(batch)..) {
            let (epoch, within) = (position / windows, position % windows);
            // A batch may start in one epoch of its session and end in the next.
            let (_, permutation) = match order.take() {
                Some(known) if known.0 == epoch => order.insert(known),
                _ => {
                    let key = self.key(Purpose::Windows, &[session.key, epoch]);
                    order.insert((epoch, Permutation::new(windows, key)))
                }
            };
            *slot = session.table.grid_index(permutation.at(within));
        }
    }

    /// Write the neurons of window `index` of a batch: an ascending subset of `population`.
    pub fn neurons(&self, batch: BatchPosition, index: u64, population: usize, chosen: &mut [i64]) {
        let session = &self.sessions[batch.session];
        let position = self.first_window(batch) + index;
        let mut random = Random::new(self.key(Purpose::Neurons, &[session.key, position]));
        ascending_subset(&mut random, population, chosen);
    }

    fn first_window(&self, batch: BatchPosition) -> u64 {
        batch.turn.wrapping_mul(self.batch_size)
    }

    fn key(&self, purpose: Purpose, parts: &[u64]) -> u64 {
        let mut key_parts = vec![self.seed, purpose as u64];
        key_parts.extend_from_slice(parts);
        key(&key_parts)
    }
}

/// Convert a number that fits into memory, as lengths and indices do.
fn to_index(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn schedule(sampling: Sampling, counts: &[i64], batch_size: u32, seed: u64) -> Schedule {
        let sessions = counts
            .iter()
            .enumerate()
            .map(|(number, count)| {
                let table = WindowTable::new(&[100], &[*count], 1).expect("a run");
                SessionWindows::new(&format!("session-{number}"), table)
            })
            .collect();
        Schedule::new(sessions, sampling, batch_size, seed).expect("sessions")
    }

    fn windows(schedule: &Schedule, number: u64) -> (usize, Vec<i64>) {
        let size = usize::try_from(schedule.batch_size()).expect("small");
        let mut grid = vec![0; size];
        let batch = schedule.position(number);
        schedule.windows(batch, &mut grid);
        (batch.session, grid)
    }

    #[test]
    fn balanced_sampling_draws_every_session_once_a_cycle() {
        let schedule = schedule(Sampling::Balanced, &[10, 200, 33], 4, 7);
        let mut firsts = [0; 3];
        for cycle in 0..300 {
            let mut seen: Vec<usize> = (0..3)
                .map(|b| schedule.position(3 * cycle + b).session)
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
            .filter(|b| schedule.position(*b).session == 0)
            .count();
        assert_eq!((epoch, short), (22, 2));
    }

    #[test]
    fn seeds_and_sessions_have_orders_of_their_own() {
        let one = schedule(Sampling::Balanced, &[500, 500], 8, 1);
        let two = schedule(Sampling::Balanced, &[500, 500], 8, 2);
        assert_ne!(windows(&one, 0).1, windows(&two, 0).1);
        assert_ne!(windows(&one, 0).1, windows(&one, 1).1);
        let batch = one.position(0);
        let (mut left, mut right) = ([0; 20], [0; 20]);
        one.neurons(batch, 0, 1000, &mut left);
        one.neurons(batch, 1, 1000, &mut right);
        assert_ne!(left, right);
        two.neurons(two.position(0), 0, 1000, &mut right);
        assert_ne!(left, right);
    }

    #[test]
    fn sessions_without_windows_are_refused() {
        let table = WindowTable::new(&[], &[], 1).expect("no runs");
        let sessions = vec![SessionWindows::new("a", table)];
        assert!(Schedule::new(sessions, Sampling::Balanced, 1, 0).is_err());
        assert!(Schedule::new(vec![], Sampling::Balanced, 1, 0).is_err());
    }
}
