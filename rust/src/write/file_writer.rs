//! A thread that writes bytes to a file and computes their checksum.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use crate::error::{Error, Result};
use crate::format::checksum::Checksum;
use crate::memory::{reserve, start_writeback};

/// Number of buffers, which bounds the memory that waits for the thread.
const NUM_BUFFERS: usize = 4;
/// Writeback is started after this many bytes, so that the final sync has little left to do.
const WRITEBACK_BYTES: u64 = 16 << 20;

/// Writes buffers to a file in order, in a thread that also computes their checksum.
///
/// Dropping it writes what is waiting and joins the thread.
#[derive(Debug)]
pub struct FileWriter {
    waiting: Option<SyncSender<Vec<u8>>>,
    // Never locked; it makes the writer `Sync`, as classes of Python must be.
    done: Mutex<Receiver<Vec<u8>>>,
    thread: Option<JoinHandle<Result<String>>>,
    num_buffers: usize,
}

impl FileWriter {
    /// Start a thread that writes to `file` from byte `position` on; space for `expected_bytes` is
    /// reserved.
    ///
    /// # Errors
    /// The system cannot start a thread.
    pub fn new(file: File, position: u64, expected_bytes: u64) -> Result<Self> {
        reserve(&file, position..position.saturating_add(expected_bytes));
        let (waiting, coming) = sync_channel(NUM_BUFFERS);
        let (finished, done) = channel();
        let thread = thread::Builder::new()
            .name("omnimouse-write".into())
            .spawn(move || write_buffers(&coming, &finished, &file, position))
            .map_err(|error| Error::Internal(format!("no thread could be started: {error}")))?;
        Ok(Self {
            waiting: Some(waiting),
            done: Mutex::new(done),
            thread: Some(thread),
            num_buffers: 0,
        })
    }

    /// A buffer for the next bytes: a new one, or one that the thread has written; waits for it.
    pub fn buffer(&mut self) -> Vec<u8> {
        if self.num_buffers == NUM_BUFFERS {
            let done = self.done.get_mut().unwrap_or_else(PoisonError::into_inner);
            // Where the thread has ended, `write` returns its error.
            return done.recv().unwrap_or_default();
        }
        self.num_buffers += 1;
        Vec::new()
    }

    /// Write bytes, in a buffer from `buffer`, some time before `finish` returns.
    ///
    /// # Errors
    /// These or earlier bytes could not be written.
    pub fn write(&mut self, bytes: Vec<u8>) -> Result<()> {
        let waiting = self.waiting.as_ref();
        if waiting.is_some_and(|waiting| waiting.send(bytes).is_ok()) {
            return Ok(());
        }
        self.finish().and(Err(thread_ended()))
    }

    /// Wait for the thread; returns the checksum in hexadecimal digits.
    ///
    /// # Errors
    /// Bytes could not be written, or the writer is finished already.
    pub fn finish(&mut self) -> Result<String> {
        drop(self.waiting.take());
        let thread = self.thread.take().ok_or_else(thread_ended)?;
        thread.join().map_err(|_| thread_ended())?
    }
}

impl Drop for FileWriter {
    fn drop(&mut self) {
        drop(self.waiting.take());
        if let Some(thread) = self.thread.take() {
            // Nobody is left to receive its error.
            let _ = thread.join();
        }
    }
}

fn write_buffers(
    coming: &Receiver<Vec<u8>>,
    finished: &Sender<Vec<u8>>,
    file: &File,
    mut position: u64,
) -> Result<String> {
    let mut checksum = Checksum::default();
    let mut started = position;
    for bytes in coming {
        checksum.update(&bytes);
        file.write_all_at(&bytes, position).map_err(Error::Write)?;
        position += bytes.len() as u64;
        if position - started >= WRITEBACK_BYTES {
            start_writeback(file, started..position);
            started = position;
        }
        // The writer may have been dropped; then the buffer is freed.
        let _ = finished.send(bytes);
    }
    Ok(checksum.digits())
}

fn thread_ended() -> Error {
    Error::Internal("the thread that writes responses has ended".into())
}

#[cfg(test)]
mod tests {
    use std::fs::{self, OpenOptions};
    use std::path::PathBuf;
    use std::{io, process};

    use super::*;

    /// A file for one test, removed when this is dropped.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(test: &str) -> Self {
            Self(std::env::temp_dir().join(format!("omnimouse-write-{test}-{}", process::id())))
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

    /// Different buffers of many sizes.
    fn pieces() -> impl Iterator<Item = Vec<u8>> {
        (0_usize..40).map(|number| {
            let length = number * number * 37 % 5000;
            (0..length)
                .map(|place| (number * 131 + place * 7).to_le_bytes()[0])
                .collect()
        })
    }

    fn write_all(writer: &mut FileWriter) -> Result<()> {
        for piece in pieces() {
            let mut buffer = writer.buffer();
            buffer.clear();
            buffer.extend_from_slice(&piece);
            writer.write(buffer)?;
        }
        Ok(())
    }

    #[test]
    fn bytes_are_written_in_their_order_and_summed() {
        let scratch = Scratch::new("order");
        let mut writer = FileWriter::new(scratch.open(), 3, 100).expect("a thread");
        write_all(&mut writer).expect("room");
        let digits = writer.finish().expect("room");
        let whole = pieces().flatten().collect::<Vec<_>>();
        let written = fs::read(&scratch.0).expect("the file");
        assert_eq!(written[..3], [0; 3]);
        assert_eq!(written[3..], whole);
        let mut checksum = Checksum::default();
        checksum.update(&whole);
        assert_eq!(digits, checksum.digits());
    }

    #[test]
    fn a_dropped_writer_has_written_all_buffers() {
        let scratch = Scratch::new("drop");
        let mut writer = FileWriter::new(scratch.open(), 0, 0).expect("a thread");
        write_all(&mut writer).expect("room");
        drop(writer);
        let written = fs::read(&scratch.0).expect("the file");
        assert_eq!(written, pieces().flatten().collect::<Vec<_>>());
    }

    #[test]
    fn reserved_space_changes_no_byte() {
        let scratch = Scratch::new("reserved");
        let whole = pieces().flatten().collect::<Vec<_>>();
        for expected_bytes in [0, 1, whole.len() as u64, u64::MAX] {
            let mut writer = FileWriter::new(scratch.open(), 0, expected_bytes).expect("a thread");
            write_all(&mut writer).expect("room");
            writer.finish().expect("room");
            assert_eq!(fs::read(&scratch.0).expect("the file"), whole);
            fs::remove_file(&scratch.0).expect("removed");
        }
    }

    #[test]
    fn buffers_are_reused() {
        let scratch = Scratch::new("memory");
        let mut writer = FileWriter::new(scratch.open(), 0, 0).expect("a thread");
        for number in 0..3 * NUM_BUFFERS {
            let mut buffer = writer.buffer();
            assert_eq!(buffer.capacity() > 0, number >= NUM_BUFFERS);
            buffer.resize(1000, 7);
            writer.write(buffer).expect("room");
        }
        writer.finish().expect("room");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_is_one_error_and_nothing_hangs() {
        let full = || OpenOptions::new().write(true).open("/dev/full");
        let mut writer = FileWriter::new(full().expect("the device"), 0, 9).expect("a thread");
        // The thread may end while buffers still wait for it.
        let result = write_all(&mut writer).and_then(|()| writer.finish().map(drop));
        let Err(Error::Write(error)) = result else {
            panic!("{result:?}");
        };
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        let again = writer.write(vec![1]).expect_err("it has ended");
        assert!(again.to_string().contains("has ended"), "{again}");
        assert!(writer.finish().is_err());
        drop(writer);
        let mut unread = FileWriter::new(full().expect("the device"), 0, 9).expect("a thread");
        let _ = write_all(&mut unread);
    }

    #[test]
    fn a_file_that_is_not_open_for_writing_is_an_error() {
        let scratch = Scratch::new("closed");
        drop(scratch.open());
        let file = File::open(&scratch.0).expect("the file");
        let mut writer = FileWriter::new(file, 0, 9).expect("a thread");
        let result = write_all(&mut writer).and_then(|()| writer.finish().map(drop));
        assert!(matches!(result, Err(Error::Write(_))), "{result:?}");
    }
}
