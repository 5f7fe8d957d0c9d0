//! What a loader's threads fill slots with: scheduled windows and neurons of all sessions.

use std::sync::Arc;

use super::schedule::window_count;
use super::slot::Memory;
use crate::advice::Advice;
use crate::error::{Error, Result};
use crate::readahead::ReadAhead;
use crate::schedule::Schedule;
use crate::window::Session;

/// Which batches of the global order come here.
#[derive(Clone, Copy)]
pub(super) struct Numbers {
    pub(super) first: u64,
    pub(super) step: u64,
}

impl Numbers {
    pub(super) fn at(self, ticket: u64) -> u64 {
        self.first + ticket * self.step
    }
}

/// Fills a slot with the batch of a ticket, and asks the system for the coming ones.
pub(super) struct Source {
    schedule: Arc<Schedule>,
    sessions: Vec<Arc<Session>>,
    advice: Vec<Advice>,
    batch_bytes: Vec<u64>,
    max_neurons: usize,
    numbers: Numbers,
    ahead: ReadAhead,
}

impl Source {
    pub(super) fn new(
        schedule: Arc<Schedule>,
        sessions: Vec<Arc<Session>>,
        max_neurons: usize,
        numbers: Numbers,
        read_ahead_bytes: u64,
    ) -> Self {
        let bytes = |session: &Arc<Session>| {
            let window = Advice::window_bytes(session) as u64;
            window.saturating_mul(schedule.batch_size())
        };
        Self {
            advice: sessions.iter().map(|_| Advice::default()).collect(),
            batch_bytes: sessions.iter().map(bytes).collect(),
            schedule,
            sessions,
            max_neurons,
            numbers,
            ahead: ReadAhead::new(read_ahead_bytes),
        }
    }

    /// Fill a slot; gives the index of the session and the neurons of a window.
    pub(super) fn fill(&self, ticket: u64, memory: &mut Memory) -> Result<(usize, usize)> {
        self.ask(ticket, memory);
        let place = self.schedule.place(self.numbers.at(ticket));
        let session = &self.sessions[place.session];
        let population = session.shard().responses.columns;
        let num_neurons = population.min(self.max_neurons);
        let num_windows = window_count(&self.schedule);
        let missing = |name: &str| Error::Internal(format!("`{name}` has no room for a batch"));
        let grid_indices = memory.grid_indices.as_mut_slice().get_mut(..num_windows);
        let grid_indices = grid_indices.ok_or_else(|| missing("grid_indices"))?;
        self.schedule.windows(place, grid_indices);
        let neurons = memory.neuron_index.as_mut_slice();
        let neurons = neurons.get_mut(..num_windows * num_neurons);
        let neurons = neurons.ok_or_else(|| missing("neuron_index"))?;
        for (window, chosen) in (0..).zip(neurons.chunks_exact_mut(num_neurons)) {
            self.schedule.neurons(place, window, population, chosen);
        }
        memory.assemble(session, num_windows, num_neurons)?;
        Ok((place.session, num_neurons))
    }

    fn ask(&self, ticket: u64, memory: &mut Memory) {
        let place = |ticket| self.schedule.place(self.numbers.at(ticket));
        let num_bytes = |ticket| self.batch_bytes[place(ticket).session];
        let mut grid_indices = vec![0; window_count(&self.schedule)];
        for coming in self.ahead.advance(ticket, num_bytes) {
            let place = place(coming);
            let (session, advice) = (&self.sessions[place.session], &self.advice[place.session]);
            self.schedule.windows(place, &mut grid_indices);
            for grid_index in &grid_indices {
                advice.ask(session, *grid_index, memory.buffer());
            }
        }
    }
}
