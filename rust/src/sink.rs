//! Bytes on their way into a file: written and summed by a thread of its own.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use crate::checksum::Checksum;
use crate::error::{Error, Result};
use crate::memory::begin_writeback;

/// Buffers that may wait for the thread; they bound its memory.
const NUM_BUFFERS: usize = 4;
/// The disk is asked to begin with so many bytes, so that little is left to wait for in the end.
const WRITEBACK_BYTES: u64 = 16 << 20;

/// A thread that writes buffers to a file in the order they are given, and takes their checksum.
///
/// Dropping it ends and joins the thread.
#[derive(Debug)]
pub struct Sink {
    waiting: Option<SyncSender<Vec<u8>>>,
    // Never locked: it only lets the sink be seen by several threads, as Python's objects are.
    done: Mutex<Receiver<Vec<u8>>>,
    thread: Option<JoinHandle<Result<String>>>,
    num_buffers: usize,
}

impl Sink {
    /// Start a thread that writes to `file`, from byte `position` on.
    ///
    /// # Errors
    /// The system has no more threads.
    pub fn new(file: File, position: u64) -> Result<Self> {
        let (waiting, coming) = sync_channel(NUM_BUFFERS);
        let (finished, done) = channel();
        let thread = thread::Builder::new()
            .name("omnimouse-sink".into())
            .spawn(move || drain(&coming, &finished, &file, position))
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
            // Where the thread has ended, `write` says why.
            return done.recv().unwrap_or_default();
        }
        self.num_buffers += 1;
        Vec::new()
    }

    /// Write bytes, in memory that came from `buffer`, some time before `finish` returns.
    ///
    /// # Errors
    /// These or earlier bytes could not be written.
    pub fn write(&mut self, bytes: Vec<u8>) -> Result<()> {
        let waiting = self.waiting.as_ref();
        if waiting.is_some_and(|waiting| waiting.send(bytes).is_ok()) {
            return Ok(());
        }
        self.finish().and(Err(ended()))
    }

    /// Wait for the thread and give the checksum in hexadecimal digits.
    ///
    /// # Errors
    /// Bytes could not be written, or the thread has ended before.
    pub fn finish(&mut self) -> Result<String> {
        drop(self.waiting.take());
        let thread = self.thread.take().ok_or_else(ended)?;
        thread.join().map_err(|_| ended())?
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        drop(self.waiting.take());
        if let Some(thread) = self.thread.take() {
            // What it found nobody wants any more.
            let _ = thread.join();
        }
    }
}

fn drain(
    coming: &Receiver<Vec<u8>>,
    finished: &Sender<Vec<u8>>,
    file: &File,
    mut position: u64,
) -> Result<String> {
    let mut checksum = Checksum::default();
    let mut begun = position;
    for bytes in coming {
        checksum.update(&bytes);
        file.write_all_at(&bytes, position).map_err(Error::Write)?;
        position += bytes.len() as u64;
        if position - begun >= WRITEBACK_BYTES {
            begin_writeback(file, begun..position);
            begun = position;
        }
        // Whoever gave it may have gone away; the buffer then goes with it.
        let _ = finished.send(bytes);
    }
    Ok(checksum.digits())
}

fn ended() -> Error {
    Error::Internal("the thread that writes responses has ended".into())
}
