//! What the system is asked to read before a window is assembled.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::window::{NUM_BEHAVIOR_SAMPLES, NUM_SAMPLES, Session, held_rows};

/// Asks for the windows of one session, and knows what it has asked for already.
#[derive(Debug, Default)]
pub struct Advice {
    has_flips: AtomicBool,
}

impl Advice {
    /// Bytes of one window, about: what is between its first and last row of every signal.
    pub fn window_bytes(session: &Session) -> usize {
        let shard = session.shard();
        let seconds = session.moments(0);
        let span = seconds[NUM_SAMPLES - 1] - seconds[0];
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let rows = (span * shard.clock.rate_hz) as usize + 1;
        let frames = shard.screen.as_ref();
        rows * shard.responses.row_bytes()
            + frames.map_or(0, |screen| NUM_SAMPLES * screen.frames.row_bytes())
    }

    /// Ask the system to read a window soon; what cannot be asked for is read when it is needed.
    pub fn ask(&self, session: &Session, grid_index: i64, buffer: &mut Vec<u8>) {
        let shard = session.shard();
        if shard.file().check_size().is_err() {
            // The window's own reader says so.
            return;
        }
        let row = |sample| shard.clock.row(session.sample_seconds(grid_index, sample));
        if let (Some(first), Some(last)) = (row(0), row(NUM_SAMPLES - 1)) {
            shard.advise(&shard.responses, first..last + 1);
        }
        for device in &shard.devices {
            let start = session.sample_seconds(grid_index, 0);
            if let Ok(rows) = held_rows(shard, device, start) {
                shard.advise(&device.values, rows[0]..rows[NUM_BEHAVIOR_SAMPLES - 1] + 1);
            }
        }
        self.ask_for_frames(session, grid_index, buffer);
    }

    fn ask_for_frames(&self, session: &Session, grid_index: i64, buffer: &mut Vec<u8>) {
        let shard = session.shard();
        let Some(screen) = &shard.screen else { return };
        if !self.has_flips.swap(true, Ordering::Relaxed) {
            screen.advise_flips(shard.file());
        }
        let mut frames = [None; NUM_SAMPLES];
        let seconds = session.moments(grid_index);
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
