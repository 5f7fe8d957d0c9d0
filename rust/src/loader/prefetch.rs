//! Threads that fill slots ahead of their reader and deliver them in order.

use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::error::{Error, Result};

/// A slot after its work.
#[derive(Debug)]
pub struct Delivery<S, T> {
    /// The ticket, counted from 0.
    pub ticket: u64,
    /// The slot, which belongs to the reader until it is submitted again.
    pub slot: S,
    /// The result of the work.
    pub result: Result<T>,
}

/// Threads that work on tickets 0, 1, 2, ... while there are free slots.
///
/// The number of slots bounds how far ahead they work. Dropping joins the threads.
pub struct Prefetcher<S, T> {
    shared: Arc<Shared<S, T>>,
    threads: Vec<JoinHandle<()>>,
    process: u32,
}

struct Shared<S, T> {
    state: Mutex<State<S, T>>,
    work_ready: Condvar,
    result_ready: Condvar,
}

struct State<S, T> {
    free: VecDeque<S>,
    done: BTreeMap<u64, (S, Result<T>)>,
    next_ticket: u64,
    next_delivery: u64,
    stopped: bool,
}

impl<S, T> Shared<S, T> {
    fn lock(&self) -> MutexGuard<'_, State<S, T>> {
        // Work panics outside the lock, so that a poisoned state is still consistent.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S, T> Prefetcher<S, T>
where
    S: Send + 'static,
    T: Send + 'static,
{
    /// Start `num_threads` threads that call `work(ticket, slot)`.
    ///
    /// # Errors
    /// The system has no more threads.
    pub fn new<W>(num_threads: usize, work: W) -> Result<Self>
    where
        W: Fn(u64, &mut S) -> Result<T> + Send + Sync + 'static,
    {
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                free: VecDeque::new(),
                done: BTreeMap::new(),
                next_ticket: 0,
                next_delivery: 0,
                stopped: false,
            }),
            work_ready: Condvar::new(),
            result_ready: Condvar::new(),
        });
        let mut prefetcher = Self {
            shared,
            threads: Vec::with_capacity(num_threads),
            process: std::process::id(),
        };
        let work = Arc::new(work);
        for number in 0..num_threads.max(1) {
            let shared = Arc::clone(&prefetcher.shared);
            let work = Arc::clone(&work);
            let thread = thread::Builder::new()
                .name(format!("omnimouse-{number}"))
                .spawn(move || run(&shared, work.as_ref()))
                .map_err(|error| Error::Internal(format!("no thread could be started: {error}")))?;
            prefetcher.threads.push(thread);
        }
        Ok(prefetcher)
    }

    /// Submit a slot to be filled, for the first time or again.
    pub fn submit(&self, slot: S) {
        self.shared.lock().free.push_back(slot);
        self.shared.work_ready.notify_one();
    }

    /// Wait for the next ticket; None when `timeout` passes first.
    pub fn receive(&self, timeout: Duration) -> Option<Delivery<S, T>> {
        let deadline = Instant::now() + timeout;
        let mut state = self.shared.lock();
        loop {
            let ticket = state.next_delivery;
            if let Some((slot, result)) = state.done.remove(&ticket) {
                state.next_delivery += 1;
                return Some(Delivery {
                    ticket,
                    slot,
                    result,
                });
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            let waited = self.shared.result_ready.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl<S, T> Prefetcher<S, T> {
    /// Whether this process started the threads; a fork has none of them.
    pub fn is_owner(&self) -> bool {
        self.process == std::process::id()
    }
}

impl<S, T> Drop for Prefetcher<S, T> {
    fn drop(&mut self) {
        if !self.is_owner() {
            // After a fork the threads do not exist, and one of them may have held the lock.
            self.threads.drain(..).for_each(std::mem::forget);
            return;
        }
        self.shared.lock().stopped = true;
        self.shared.work_ready.notify_all();
        for thread in self.threads.drain(..) {
            // A panic of the work is a result; the thread itself has none.
            let _ = thread.join();
        }
    }
}

fn run<S, T>(shared: &Shared<S, T>, work: &(impl Fn(u64, &mut S) -> Result<T> + ?Sized)) {
    while let Some((ticket, mut slot)) = next(shared) {
        let result =
            catch_unwind(AssertUnwindSafe(|| work(ticket, &mut slot))).unwrap_or_else(|_| {
                Err(Error::Internal(format!(
                    "the work on ticket {ticket} panicked"
                )))
            });
        shared.lock().done.insert(ticket, (slot, result));
        shared.result_ready.notify_all();
    }
}

fn next<S, T>(shared: &Shared<S, T>) -> Option<(u64, S)> {
    let mut state = shared.lock();
    loop {
        if state.stopped {
            return None;
        }
        // Ticket and slot are taken under one lock, so that the oldest ticket always has a slot.
        if let Some(slot) = state.free.pop_front() {
            let ticket = state.next_ticket;
            state.next_ticket += 1;
            return Some((ticket, slot));
        }
        let waited = shared.work_ready.wait(state);
        state = waited.unwrap_or_else(PoisonError::into_inner);
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    const LONG: Duration = Duration::from_secs(30);

    #[test]
    fn tickets_arrive_in_order_whatever_the_threads() {
        for num_threads in [1, 2, 5] {
            let prefetcher = Prefetcher::new(num_threads, |ticket, slot: &mut Vec<u64>| {
                if ticket % 3 == 0 {
                    thread::sleep(Duration::from_millis(2));
                }
                slot.clear();
                slot.push(ticket * ticket);
                Ok(ticket)
            })
            .expect("threads");
            for _ in 0..3 {
                prefetcher.submit(Vec::new());
            }
            for ticket in 0..60 {
                let delivery = prefetcher.receive(LONG).expect("in time");
                assert_eq!(delivery.ticket, ticket);
                assert_eq!(delivery.slot, [ticket * ticket]);
                assert_eq!(delivery.result.expect("good"), ticket);
                prefetcher.submit(delivery.slot);
            }
        }
    }

    #[test]
    fn the_work_gets_no_further_ahead_than_there_are_slots() {
        let started = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&started);
        let prefetcher = Prefetcher::new(3, move |_, (): &mut ()| {
            counter.fetch_add(1, Ordering::SeqCst);
            Ok(())
        })
        .expect("threads");
        prefetcher.submit(());
        prefetcher.submit(());
        thread::sleep(Duration::from_millis(50));
        assert_eq!(started.load(Ordering::SeqCst), 2);
        assert!(prefetcher.receive(LONG).is_some());
        assert!(prefetcher.receive(LONG).is_some());
        assert!(prefetcher.receive(Duration::from_millis(20)).is_none());
    }

    #[test]
    fn errors_and_panics_arrive_at_their_ticket() {
        let prefetcher = Prefetcher::new(2, |ticket, (): &mut ()| match ticket {
            1 => Err(Error::cut_short(Path::new("a.safetensors"), "it is empty")),
            2 => panic!("a mistake"),
            _ => Ok(ticket),
        })
        .expect("threads");
        for _ in 0..4 {
            prefetcher.submit(());
        }
        let results: Vec<_> = (0..4)
            .map(|_| prefetcher.receive(LONG).expect("in time").result)
            .collect();
        assert!(results[0].is_ok() && results[3].is_ok());
        let message = results[1].as_ref().expect_err("damaged").to_string();
        assert_eq!(message, "a.safetensors is cut short: it is empty");
        assert!(matches!(results[2], Err(Error::Internal(_))));
    }

    #[test]
    fn dropping_joins_the_threads() {
        let alive = Arc::new(());
        let inside = Arc::clone(&alive);
        let prefetcher = Prefetcher::new(4, move |_, (): &mut ()| {
            let _ = &inside;
            thread::sleep(Duration::from_millis(10));
            Ok(())
        })
        .expect("threads");
        prefetcher.submit(());
        drop(prefetcher);
        assert_eq!(Arc::strong_count(&alive), 1);
    }
}
