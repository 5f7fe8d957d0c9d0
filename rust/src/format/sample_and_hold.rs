//! Sample-and-hold: the latest sample of a signal at or before a time.

use serde::Deserialize;

/// Added to a time before its row is looked up: absorbs the rounding of clocks.
pub const HOLD_TOLERANCE_SECONDS: f64 = 1e-6;
/// Added to a time before its flip is looked up, as in the experanto package: a flip this little
/// later is already seen.
pub const FLIP_TOLERANCE_SECONDS: f64 = 1e-4;

/// A regular clock: row `r` is at `start_seconds + r / rate_hz`.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Clock {
    /// Time of row 0.
    pub start_seconds: f64,
    /// Sampling rate.
    pub rate_hz: f64,
    /// Number of rows.
    pub num_samples: usize,
}

impl Clock {
    /// Check the values.
    ///
    /// # Errors
    /// The rate is not positive, or a value is not finite.
    pub fn check(&self) -> Result<(), String> {
        if !(self.rate_hz.is_finite() && self.rate_hz > 0.0) {
            return Err(format!("`rate_hz` must be positive: {}", self.rate_hz));
        }
        if !self.start_seconds.is_finite() {
            return Err(format!(
                "`start_seconds` must be finite: {}",
                self.start_seconds
            ));
        }
        Ok(())
    }

    /// The latest row at or before `seconds`; None before the first row and after the last.
    pub fn row(&self, seconds: f64) -> Option<usize> {
        let row = ((seconds + HOLD_TOLERANCE_SECONDS - self.start_seconds) * self.rate_hz).floor();
        // The cast saturates, so that a time far outside has no row.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let index = row as usize;
        (row >= 0.0 && index < self.num_samples).then_some(index)
    }
}

/// Whether `seconds` lies in one of `num_intervals` ascending half-open intervals, of which `edge`
/// gives the start (even numbers) and the end (odd numbers).
pub fn lies_within(num_intervals: usize, edge: impl Fn(usize) -> f64, seconds: f64) -> bool {
    let time = seconds + HOLD_TOLERANCE_SECONDS;
    latest(num_intervals, |interval| edge(2 * interval), time)
        .is_some_and(|interval| time < edge(2 * interval + 1))
}

/// The latest of `num_flips` ascending flips at or before `seconds`; None before the first.
pub fn latest_flip(
    num_flips: usize,
    flip_seconds: impl FnMut(usize) -> f64,
    seconds: f64,
) -> Option<usize> {
    latest(num_flips, flip_seconds, seconds + FLIP_TOLERANCE_SECONDS)
}

/// The latest of `count` ascending moments at or before `time`; None before the first.
fn latest(count: usize, mut moment: impl FnMut(usize) -> f64, time: f64) -> Option<usize> {
    let (mut low, mut high) = (0, count);
    while low < high {
        let middle = low.midpoint(high);
        if moment(middle) <= time {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low.checked_sub(1)
}

/// The latest flips at ascending times, found in one pass over the flips.
pub struct FlipCursor<F> {
    count: usize,
    flip_seconds: F,
    next: usize,
}

impl<F: Fn(usize) -> f64> FlipCursor<F> {
    /// Start before the first of `num_flips` ascending times.
    pub fn new(num_flips: usize, flip_seconds: F) -> Self {
        Self {
            count: num_flips,
            flip_seconds,
            next: 0,
        }
    }

    /// The latest flip at or before `seconds`, which must not be before the time of the last call.
    pub fn latest(&mut self, seconds: f64) -> Option<usize> {
        let time = seconds + FLIP_TOLERANCE_SECONDS;
        while self.next < self.count && (self.flip_seconds)(self.next) <= time {
            self.next += 1;
        }
        self.next.checked_sub(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_held_until_the_next_one() {
        let clock = Clock {
            start_seconds: 10.0,
            rate_hz: 8.0,
            num_samples: 3,
        };
        let cases = [
            (9.99, None),
            (9.99999, None),
            (9.999_999_5, Some(0)),
            (10.0, Some(0)),
            (10.1248, Some(0)),
            (10.12499, Some(0)),
            (10.124_999_5, Some(1)),
            (10.3, Some(2)),
            (10.3748, Some(2)),
            (10.375, None),
            (f64::NAN, None),
            (f64::INFINITY, None),
            (f64::NEG_INFINITY, None),
        ];
        for (seconds, row) in cases {
            assert_eq!(clock.row(seconds), row, "{seconds}");
        }
    }

    #[test]
    fn every_row_is_found_at_its_own_time_at_odd_rates() {
        for rate_hz in [8.0, 19.97, 30.0, 30.1, 100.0] {
            let clock = Clock {
                start_seconds: 0.123,
                rate_hz,
                num_samples: 300_000,
            };
            for row in 0..300_000_u32 {
                let seconds = clock.start_seconds + f64::from(row) / rate_hz;
                assert_eq!(clock.row(seconds), Some(row as usize), "{rate_hz} Hz");
            }
        }
    }

    #[test]
    fn a_time_lies_within_an_interval_from_its_start_to_before_its_end() {
        let edges = [1.0, 2.0, 2.5, 4.0];
        let cases = [
            (0.99999, false),
            (0.999_999_5, true),
            (1.99999, true),
            (1.999_999_5, false),
            (2.2, false),
            (2.5, true),
            (4.0, false),
            (f64::NAN, false),
        ];
        for (seconds, inside) in cases {
            assert_eq!(
                lies_within(2, |edge| edges[edge], seconds),
                inside,
                "{seconds}"
            );
        }
        assert!(!lies_within(0, |edge| edges[edge], 1.5));
    }

    #[test]
    fn a_flip_is_held_until_the_next_one() {
        let times = [1.0, 1.5, 1.5, 4.0];
        let cases = [
            (0.5, None),
            (0.99995, Some(0)),
            (1.4, Some(0)),
            (1.5, Some(2)),
            (3.9998, Some(2)),
            (4.0, Some(3)),
            (1e9, Some(3)),
        ];
        for (seconds, row) in cases {
            assert_eq!(
                latest_flip(times.len(), |index| times[index], seconds),
                row,
                "{seconds}"
            );
        }
        assert_eq!(latest_flip(0, |_| 0.0, 1.0), None);
        let mut flips = FlipCursor::new(times.len(), |index| times[index]);
        for (seconds, row) in cases {
            assert_eq!(flips.latest(seconds), row, "{seconds}");
        }
    }
}
