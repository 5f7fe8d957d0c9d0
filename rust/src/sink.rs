//! Bytes on their way into a file: written and summed by a thread of its own.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use crate::checksum::Checksum;
use crate::error::{Error, Result};
use crate::memory::{begin_writeback, reserve};

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
    /// Start a thread that writes to `file`, from byte `position` on, about so many bytes.
    ///
    /// # Errors
    /// The system has no more threads.
    pub fn new(file: File, position: u64, expected_bytes: u64) -> Result<Self> {
        reserve(&file, position..position.saturating_add(expected_bytes));
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

#[cfg(test)]
mod tests {
    use std::fs::{self, OpenOptions};
    use std::path::PathBuf;
    use std::{io, process};

    use super::*;

    /// A file of its own for each test, gone when this is dropped.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(test: &str) -> Self {
            Self(std::env::temp_dir().join(format!("omnimouse-sink-{test}-{}", process::id())))
        }

        fn open(&self) -> File {
            let options = OpenOptions::new().create_new(true).write(true).to_owned();
            options.open(&self.0).expect("a new file")
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_file(&self.0);
        }
    }

    /// Buffers of many sizes, none like another.
    fn pieces() -> impl Iterator<Item = Vec<u8>> {
        (0_usize..40).map(|number| {
            let length = number * number * 37 % 5000;
            (0..length)
                .map(|place| (number * 131 + place * 7).to_le_bytes()[0])
                .collect()
        })
    }

    fn write_all(sink: &mut Sink) -> Result<()> {
        for piece in pieces() {
            let mut buffer = sink.buffer();
            buffer.clear();
            buffer.extend_from_slice(&piece);
            sink.write(buffer)?;
        }
        Ok(())
    }

    #[test]
    fn bytes_are_written_in_their_order_and_summed() {
        let scratch = Scratch::new("order");
        let mut sink = Sink::new(scratch.open(), 3, 100).expect("a thread");
        write_all(&mut sink).expect("room");
        let digits = sink.finish().expect("room");
        let whole = pieces().flatten().collect::<Vec<_>>();
        let written = fs::read(&scratch.0).expect("the file");
        assert_eq!(written[..3], [0; 3]);
        assert_eq!(written[3..], whole);
        let mut checksum = Checksum::default();
        checksum.update(&whole);
        assert_eq!(digits, checksum.digits());
    }

    #[test]
    fn a_dropped_sink_has_written_what_it_was_given() {
        let scratch = Scratch::new("drop");
        let mut sink = Sink::new(scratch.open(), 0, 0).expect("a thread");
        write_all(&mut sink).expect("room");
        drop(sink);
        let written = fs::read(&scratch.0).expect("the file");
        assert_eq!(written, pieces().flatten().collect::<Vec<_>>());
    }

    #[test]
    fn room_that_was_asked_for_changes_no_byte() {
        let scratch = Scratch::new("room");
        let whole = pieces().flatten().collect::<Vec<_>>();
        for expected_bytes in [0, 1, whole.len() as u64, u64::MAX] {
            let mut sink = Sink::new(scratch.open(), 0, expected_bytes).expect("a thread");
            write_all(&mut sink).expect("room");
            sink.finish().expect("room");
            assert_eq!(fs::read(&scratch.0).expect("the file"), whole);
            fs::remove_file(&scratch.0).expect("removed");
        }
    }

    #[test]
    fn memory_is_used_again() {
        let scratch = Scratch::new("memory");
        let mut sink = Sink::new(scratch.open(), 0, 0).expect("a thread");
        for number in 0..3 * NUM_BUFFERS {
            let mut buffer = sink.buffer();
            assert_eq!(buffer.capacity() > 0, number >= NUM_BUFFERS);
            buffer.resize(1000, 7);
            sink.write(buffer).expect("room");
        }
        sink.finish().expect("room");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_is_told_once_and_nothing_hangs() {
        let full = || OpenOptions::new().write(true).open("/dev/full");
        let mut sink = Sink::new(full().expect("the device"), 0, 9).expect("a thread");
        // The thread may end while buffers still wait for it.
        let told = write_all(&mut sink).and_then(|()| sink.finish().map(drop));
        let Err(Error::Write(error)) = told else {
            panic!("{told:?}");
        };
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        let again = sink.write(vec![1]).expect_err("it has ended");
        assert!(again.to_string().contains("has ended"), "{again}");
        assert!(sink.finish().is_err());
        drop(sink);
        let mut unread = Sink::new(full().expect("the device"), 0, 9).expect("a thread");
        let _ = write_all(&mut unread);
    }

    #[test]
    fn a_file_that_is_not_open_for_writing_is_an_error() {
        let scratch = Scratch::new("closed");
        drop(scratch.open());
        let file = File::open(&scratch.0).expect("the file");
        let mut sink = Sink::new(file, 0, 9).expect("a thread");
        let told = write_all(&mut sink).and_then(|()| sink.finish().map(drop));
        assert!(matches!(told, Err(Error::Write(_))), "{told:?}");
    }
}
