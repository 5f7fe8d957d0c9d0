//! Batches: the memory of one, and the source that fills it with scheduled windows and neurons.

use std::sync::Arc;

use super::read_ahead::{ReadAhead, WindowAdvice};
use super::schedule::Schedule;
use crate::error::{Error, Result};
use crate::window::gather::OutputMemory;
use crate::window::{Output, Session, WindowScratch};

/// The memory of one batch.
#[derive(Debug)]
pub struct BatchMemory<'a> {
    /// First sample of each window.
    pub grid_indices: &'a mut [i64],
    /// Columns of each window, one window after the other.
    pub neuron_index: &'a mut [i64],
    /// `windows x NUM_SAMPLES x neurons`.
    pub responses: OutputMemory<'a>,
    /// `windows x NUM_SAMPLES x height x width`.
    pub video: OutputMemory<'a>,
    /// `windows x channels x NUM_BEHAVIOR_SAMPLES`.
    pub behavior: OutputMemory<'a>,
    /// Scratch memory.
    pub scratch: &'a mut WindowScratch,
}

impl BatchMemory<'_> {
    /// Assemble the first `num_windows` windows, with `num_neurons` columns each.
    ///
    /// # Errors
    /// The memory is too small, or a window cannot be assembled.
    pub fn assemble(
        &mut self,
        session: &Session,
        num_windows: usize,
        num_neurons: usize,
    ) -> Result<()> {
        let lengths = session.lengths(num_neurons);
        for (name, length, required) in [
            ("grid_indices", self.grid_indices.len(), 1),
            ("neuron_index", self.neuron_index.len(), num_neurons),
            ("responses", self.responses.len(), lengths.responses),
            ("video", self.video.len(), lengths.video),
            ("behavior", self.behavior.len(), lengths.behavior),
        ] {
            require_length(name, length, num_windows * required)?;
        }
        for window in 0..num_windows {
            let range = |length: usize| window * length..(window + 1) * length;
            let mut output = Output {
                responses: self.responses.range(range(lengths.responses)),
                video: self.video.range(range(lengths.video)),
                behavior: self.behavior.range(range(lengths.behavior)),
            };
            let neurons = &self.neuron_index[range(num_neurons)];
            let grid_index = self.grid_indices[window];
            session.assemble(grid_index, neurons, &mut output, self.scratch)?;
        }
        Ok(())
    }
}

/// The batches of one rank: `first`, `first + step`, ... of the global order.
#[derive(Clone, Copy, Debug)]
pub struct BatchNumbers {
    /// Number of the first batch.
    pub first: u64,
    /// From one batch to the next.
    pub step: u64,
}

impl BatchNumbers {
    /// The number of the batch with this ticket.
    pub fn at(self, ticket: u64) -> u64 {
        self.first + ticket * self.step
    }
}

/// Fills memory with scheduled batches, and asks the system to read the coming ones.
#[derive(Debug)]
pub struct BatchSource {
    schedule: Arc<Schedule>,
    sessions: Vec<Arc<Session>>,
    advice: Vec<WindowAdvice>,
    batch_bytes: Vec<u64>,
    max_neurons: usize,
    numbers: BatchNumbers,
    ahead: ReadAhead,
}

impl BatchSource {
    /// A source of the batches `numbers`; `sessions` are in the order of the schedule.
    pub fn new(
        schedule: Arc<Schedule>,
        sessions: Vec<Arc<Session>>,
        max_neurons: usize,
        numbers: BatchNumbers,
        read_ahead_bytes: u64,
    ) -> Self {
        let bytes = |session: &Arc<Session>| {
            let window = WindowAdvice::window_bytes(session) as u64;
            window.saturating_mul(schedule.batch_size())
        };
        Self {
            advice: sessions.iter().map(|_| WindowAdvice::default()).collect(),
            batch_bytes: sessions.iter().map(bytes).collect(),
            schedule,
            sessions,
            max_neurons,
            numbers,
            ahead: ReadAhead::new(read_ahead_bytes),
        }
    }

    /// Fill memory with the batch of a ticket; returns the index of its session and the number of
    /// neurons of a window.
    ///
    /// # Errors
    /// The memory is too small, or a window cannot be assembled.
    pub fn fill(&self, ticket: u64, memory: &mut BatchMemory) -> Result<(usize, usize)> {
        self.advise(ticket, memory);
        let batch = self.schedule.position(self.numbers.at(ticket));
        let session = &self.sessions[batch.session];
        let population = session.shard().responses.columns;
        let num_neurons = population.min(self.max_neurons);
        let num_windows = self.schedule.num_windows();
        require_length("grid_indices", memory.grid_indices.len(), num_windows)?;
        let num_indices = num_windows * num_neurons;
        require_length("neuron_index", memory.neuron_index.len(), num_indices)?;
        self.schedule
            .windows(batch, &mut memory.grid_indices[..num_windows]);
        let neurons = memory.neuron_index[..num_indices].chunks_exact_mut(num_neurons);
        for (window, chosen) in (0..).zip(neurons) {
            self.schedule.neurons(batch, window, population, chosen);
        }
        memory.assemble(session, num_windows, num_neurons)?;
        Ok((batch.session, num_neurons))
    }

    fn advise(&self, ticket: u64, memory: &mut BatchMemory) {
        let position = |ticket| self.schedule.position(self.numbers.at(ticket));
        let num_bytes = |ticket| self.batch_bytes[position(ticket).session];
        let mut grid_indices = vec![0; self.schedule.num_windows()];
        for coming in self.ahead.advance(ticket, num_bytes) {
            let batch = position(coming);
            let (session, advice) = (&self.sessions[batch.session], &self.advice[batch.session]);
            self.schedule.windows(batch, &mut grid_indices);
            for grid_index in &grid_indices {
                advice.advise(session, *grid_index, &mut memory.scratch.buffer);
            }
        }
    }
}

fn require_length(name: &str, length: usize, required: usize) -> Result<()> {
    if length < required {
        let reason = format!("`{name}` must have at least {required} numbers: {length}");
        return Err(Error::Internal(reason));
    }
    Ok(())
}
