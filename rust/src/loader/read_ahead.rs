//! Read-ahead: the system is asked to read coming batches, bounded in bytes.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::window::{NUM_SAMPLES, Session, held_rows, span};

/// The largest number of batches to read ahead.
const MAX_BATCHES: usize = 32;

/// Requests the windows of one session.
#[derive(Debug, Default)]
pub struct WindowAdvice {
    has_flips: AtomicBool,
}

impl WindowAdvice {
    /// Approximate bytes of one window: all rows from its first to its last sample.
    pub fn window_bytes(session: &Session) -> usize {
        let shard = session.shard();
        let seconds = session.window_seconds(0);
        let span = seconds[NUM_SAMPLES - 1] - seconds[0];
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let rows = (span * shard.clock.rate_hz) as usize + 1;
        let screen = shard.screen.as_ref();
        rows * shard.responses.row_bytes()
            + screen.map_or(0, |screen| NUM_SAMPLES * screen.frames.row_bytes())
    }

    /// Ask the system to read a window soon. Errors are left to the window's own reader.
    pub fn advise(&self, session: &Session, grid_index: i64, buffer: &mut Vec<u8>) {
        let shard = session.shard();
        if shard.file().check_size().is_err() {
            return;
        }
        let row = |sample| shard.clock.row(session.sample_seconds(grid_index, sample));
        if let (Some(first), Some(last)) = (row(0), row(NUM_SAMPLES - 1)) {
            shard.advise(&shard.responses, first..last + 1);
        }
        for device in &shard.devices {
            let start = session.sample_seconds(grid_index, 0);
            let held = held_rows(shard, device, start, buffer);
            if let Some(rows) = held.ok().and_then(|held| span(&held)) {
                shard.advise(&device.values, rows);
            }
        }
        self.advise_frames(session, grid_index, buffer);
    }

    fn advise_frames(&self, session: &Session, grid_index: i64, buffer: &mut Vec<u8>) {
        let shard = session.shard();
        let Some(screen) = &shard.screen else { return };
        if !self.has_flips.swap(true, Ordering::Relaxed) {
            screen.advise_flips(shard.file());
        }
        let mut frames = [None; NUM_SAMPLES];
        let seconds = session.window_seconds(grid_index);
        if screen
            .frames_at(shard.file(), &seconds, buffer, &mut frames)
            .is_err()
        {
            return;
        }
        let mut run: Option<Range<usize>> = None;
        for frame in frames.into_iter().flatten() {
            match &mut run {
                Some(run) if run.contains(&frame) => {}
                Some(run) if run.end == frame => run.end += 1,
                _ => {
                    if let Some(run) = run.replace(frame..frame + 1) {
                        shard.advise(&screen.frames, run);
                    }
                }
            }
        }
        if let Some(run) = run {
            shard.advise(&screen.frames, run);
        }
    }
}

/// The batches that are requested and not yet read.
#[derive(Debug)]
pub struct ReadAhead {
    limit_bytes: u64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    next_ticket: u64,
    requested: VecDeque<(u64, u64)>,
    requested_bytes: u64,
}

impl ReadAhead {
    /// Request at most `limit_bytes` of coming batches.
    pub fn new(limit_bytes: u64) -> Self {
        Self {
            limit_bytes,
            state: Mutex::default(),
        }
    }

    /// The tickets to request before `ticket` is read: itself, if it was not requested, and the
    /// coming ones that fit.
    pub fn advance(&self, ticket: u64, num_bytes: impl Fn(u64) -> u64) -> Vec<u64> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some((requested, bytes)) = state.requested.front().copied() {
            if requested > ticket {
                break;
            }
            state.requested.pop_front();
            state.requested_bytes -= bytes;
        }
        let mut tickets = Vec::new();
        if state.next_ticket <= ticket {
            tickets.extend(state.next_ticket..=ticket);
            state.next_ticket = ticket + 1;
        }
        loop {
            let next = state.next_ticket;
            let bytes = num_bytes(next).max(1);
            let is_full = state.requested_bytes + bytes > self.limit_bytes;
            if is_full || state.requested.len() == MAX_BATCHES {
                return tickets;
            }
            state.requested.push_back((next, bytes));
            state.requested_bytes += bytes;
            state.next_ticket += 1;
            tickets.push(next);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_ticket_is_requested_once_and_no_more_bytes_than_allowed() {
        let ahead = ReadAhead::new(100);
        let bytes = |ticket: u64| 20 + ticket % 3 * 10;
        let mut requested = Vec::new();
        for ticket in 0..50 {
            requested.extend(ahead.advance(ticket, bytes));
            let last = requested[requested.len() - 1];
            assert!(last >= ticket);
            assert!((ticket + 1..=last).map(bytes).sum::<u64>() <= 100);
            assert!((ticket + 1..=last + 1).map(bytes).sum::<u64>() > 100);
        }
        assert!(requested.into_iter().eq(0..next_ticket(&ahead)));
    }

    fn next_ticket(ahead: &ReadAhead) -> u64 {
        ahead.state.lock().expect("whole").next_ticket
    }

    #[test]
    fn the_number_of_small_batches_is_bounded() {
        let ahead = ReadAhead::new(1_000_000);
        assert_eq!(ahead.advance(0, |_| 1).len(), 1 + MAX_BATCHES);
        assert_eq!(ahead.advance(1, |_| 1).len(), 1);
    }

    #[test]
    fn with_a_limit_of_zero_each_ticket_is_requested_when_it_is_read() {
        let ahead = ReadAhead::new(0);
        for ticket in 0..5 {
            assert_eq!(ahead.advance(ticket, |_| 1), [ticket]);
        }
        // Threads may call in another order than that of their tickets.
        assert_eq!(ahead.advance(6, |_| 1), [5, 6]);
        assert!(ahead.advance(5, |_| 1).is_empty());
    }
}
