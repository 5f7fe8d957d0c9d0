//! The checksum of bytes that come in order, taken by a thread of its own.

use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use blake2b_simd::{Params, State};

use crate::error::{Error, Result};

/// Buffers that may wait for the thread; they bound its memory.
const NUM_BUFFERS: usize = 4;
/// Bytes of a checksum.
const DIGEST_BYTES: usize = 16;

/// A thread that takes the checksum of buffers in the order they are given.
///
/// Dropping it ends and joins the thread.
#[derive(Debug)]
pub struct Digest {
    waiting: Option<SyncSender<Arc<Vec<u8>>>>,
    // Never locked: it only lets the digest be seen by several threads, as Python's objects are.
    done: Mutex<Receiver<Arc<Vec<u8>>>>,
    thread: Option<JoinHandle<String>>,
    num_buffers: usize,
}

impl Digest {
    /// Start a thread.
    ///
    /// # Errors
    /// The system has no more threads.
    pub fn new() -> Result<Self> {
        let (waiting, coming) = sync_channel::<Arc<Vec<u8>>>(NUM_BUFFERS);
        let (finished, done) = channel();
        let work = move || {
            let mut state: State = Params::new().hash_length(DIGEST_BYTES).to_state();
            for bytes in coming {
                state.update(&bytes);
                // Whoever gave it may have gone away; the buffer then goes with it.
                let _ = finished.send(bytes);
            }
            state.finalize().to_hex().to_string()
        };
        let thread = thread::Builder::new()
            .name("omnimouse-digest".into())
            .spawn(work)
            .map_err(|error| Error::Internal(format!("no thread could be started: {error}")))?;
        Ok(Self {
            waiting: Some(waiting),
            done: Mutex::new(done),
            thread: Some(thread),
            num_buffers: 0,
        })
    }

    /// Memory for the next bytes: new, or what the thread is done with; waits for it.
    pub fn buffer(&mut self) -> Vec<u8> {
        if self.num_buffers == NUM_BUFFERS {
            let done = self.done.get_mut().unwrap_or_else(PoisonError::into_inner);
            return done
                .recv()
                .ok()
                .and_then(Arc::into_inner)
                .unwrap_or_default();
        }
        self.num_buffers += 1;
        Vec::new()
    }

    /// Add bytes, in memory that came from `buffer`.
    ///
    /// # Errors
    /// The thread has ended.
    pub fn update(&self, bytes: Arc<Vec<u8>>) -> Result<()> {
        let sent = self
            .waiting
            .as_ref()
            .is_some_and(|waiting| waiting.send(bytes).is_ok());
        if sent { Ok(()) } else { Err(ended()) }
    }

    /// Wait for the thread and give the checksum in hexadecimal digits.
    ///
    /// # Errors
    /// The thread has ended before.
    pub fn finish(&mut self) -> Result<String> {
        drop(self.waiting.take());
        let thread = self.thread.take().ok_or_else(ended)?;
        thread.join().map_err(|_| ended())
    }
}

impl Drop for Digest {
    fn drop(&mut self) {
        drop(self.waiting.take());
        if let Some(thread) = self.thread.take() {
            // What it found nobody wants any more.
            let _ = thread.join();
        }
    }
}

fn ended() -> Error {
    Error::Internal("the thread of the checksum has ended".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(pieces: &[&[u8]]) -> String {
        let mut digest = Digest::new().expect("a thread");
        for piece in pieces {
            let mut buffer = digest.buffer();
            buffer.clear();
            buffer.extend_from_slice(piece);
            digest.update(Arc::new(buffer)).expect("a thread");
        }
        digest.finish().expect("a checksum")
    }

    #[test]
    fn the_checksum_is_that_of_other_implementations() {
        // As b2sum --length=128 of coreutils prints it.
        assert_eq!(digest(&[]), "cae66941d9efbd404e4d88758ea67670");
        assert_eq!(digest(&[b"abc"]), "cf4ab791c62b8d2b2109c90275287816");
    }

    #[test]
    fn pieces_have_the_checksum_of_the_whole() {
        let whole: Vec<u8> = (0..100_000_u32).map(|place| (place % 251) as u8).collect();
        let pieces: Vec<&[u8]> = whole.chunks(997).collect();
        assert_eq!(digest(&pieces), digest(&[&whole]));
    }
}
