//! How far ahead the system is asked to read, bounded in bytes.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

/// Batches that are asked for ahead at most: small ones would be asked for by the thousand.
const MOST_BATCHES: usize = 32;

/// Which batches have been asked for and not been read.
#[derive(Debug)]
pub struct ReadAhead {
    limit_bytes: u64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    next_ticket: u64,
    asked: VecDeque<(u64, u64)>,
    asked_bytes: u64,
}

impl ReadAhead {
    /// Ask for no more than `limit_bytes` of batches that are not being read yet.
    pub fn new(limit_bytes: u64) -> Self {
        Self {
            limit_bytes,
            state: Mutex::default(),
        }
    }

    /// Say which tickets are to be asked for now that `ticket` is about to be read: its own, if
    /// nobody has asked for it, and the coming ones that fit.
    pub fn advance(&self, ticket: u64, num_bytes: impl Fn(u64) -> u64) -> Vec<u64> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some((asked, bytes)) = state.asked.front().copied() {
            if asked > ticket {
                break;
            }
            state.asked.pop_front();
            state.asked_bytes -= bytes;
        }
        let mut tickets = Vec::new();
        if state.next_ticket <= ticket {
            tickets.extend(state.next_ticket..=ticket);
            state.next_ticket = ticket + 1;
        }
        loop {
            let next = state.next_ticket;
            let bytes = num_bytes(next).max(1);
            let is_full = state.asked_bytes + bytes > self.limit_bytes;
            if is_full || state.asked.len() == MOST_BATCHES {
                return tickets;
            }
            state.asked.push_back((next, bytes));
            state.asked_bytes += bytes;
            state.next_ticket += 1;
            tickets.push(next);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_ticket_is_asked_for_once_and_no_more_bytes_than_allowed() {
        let ahead = ReadAhead::new(100);
        let bytes = |ticket: u64| 20 + ticket % 3 * 10;
        let mut asked = Vec::new();
        for ticket in 0..50 {
            asked.extend(ahead.advance(ticket, bytes));
            let last = asked[asked.len() - 1];
            assert!(last >= ticket);
            assert!((ticket + 1..=last).map(bytes).sum::<u64>() <= 100);
            assert!((ticket + 1..=last + 1).map(bytes).sum::<u64>() > 100);
        }
        assert!(asked.into_iter().eq(0..asked_until(&ahead)));
    }

    fn asked_until(ahead: &ReadAhead) -> u64 {
        ahead.state.lock().expect("whole").next_ticket
    }

    #[test]
    fn small_tickets_are_counted() {
        let ahead = ReadAhead::new(1_000_000);
        assert_eq!(ahead.advance(0, |_| 1).len(), 1 + MOST_BATCHES);
        assert_eq!(ahead.advance(1, |_| 1).len(), 1);
    }

    #[test]
    fn without_room_each_ticket_is_asked_for_when_it_is_read() {
        let ahead = ReadAhead::new(0);
        for ticket in 0..5 {
            assert_eq!(ahead.advance(ticket, |_| 1), [ticket]);
        }
        // Threads may come in another order than their tickets.
        assert_eq!(ahead.advance(6, |_| 1), [5, 6]);
        assert!(ahead.advance(5, |_| 1).is_empty());
    }
}
