//! Rows of one block: what they are is seen first, then they are stored a few at a time.

use super::moments::{Moments, Sums};
use super::number::{Brain, Half, INFINITE, LANES, MAGNITUDE, Number, Rounded, Single};
use super::{Kind, Learned};
use crate::memory::Accelerated;

/// Rows that are stored together: few enough to be still in the cache where they were seen.
const RUN_ROWS: usize = 8;

/// A block of rows, and where it goes.
pub(super) struct Block<'a> {
    pub(super) kind: Kind,
    pub(super) columns: usize,
    /// `columns` numbers a row.
    pub(super) rows: &'a [f32],
    /// Whether each row counts for the moments.
    pub(super) counted: &'a [u8],
    /// Whether each row is finite: 1 or 0.
    pub(super) finite: &'a mut [u8],
    pub(super) stored: &'a mut [u8],
    pub(super) learned: &'a mut Learned,
    pub(super) moments: &'a mut Moments,
}

impl Accelerated for Block<'_> {
    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        match self.kind {
            Kind::F16 => self.store::<Half, FUSED>(),
            Kind::Bf16 => self.store::<Brain, FUSED>(),
            Kind::F32 => self.store::<Single, FUSED>(),
        }
    }
}

impl Block<'_> {
    #[inline(always)]
    fn store<N: Number, const FUSED: bool>(mut self) {
        let num_rows = self.finite.len();
        let mut first = 0;
        while first < num_rows {
            let last = num_rows.min(first + RUN_ROWS);
            for row in first..last {
                self.see(row);
            }
            while first < last {
                first = self.store_alike::<N, FUSED>(first, last);
            }
        }
    }

    /// Note whether a row is finite, and whether it has a number below zero.
    #[inline(always)]
    fn see(&mut self, row: usize) {
        let numbers = &self.rows[row * self.columns..(row + 1) * self.columns];
        let (mut bits, mut magnitude) = (0, 0);
        for number in numbers {
            bits = number.to_bits().max(bits);
            magnitude = (number.to_bits() & MAGNITUDE).max(magnitude);
        }
        let is_finite = magnitude < INFINITE;
        self.finite[row] = is_finite.into();
        // Of finite numbers, those below zero have more bits than -0.0.
        self.learned.negative |= is_finite && bits > !MAGNITUDE;
    }

    /// Store the rows from the first on that are like it; give the row after them.
    #[inline(always)]
    fn store_alike<N: Number, const FUSED: bool>(&mut self, first: usize, last: usize) -> usize {
        let is_like = |row: &usize| {
            (self.finite[*row], self.counted[*row]) == (self.finite[first], self.counted[first])
        };
        let num_alike = (first..last).take_while(is_like).count();
        let columns = self.columns;
        let rows = &self.rows[first * columns..];
        if self.finite[first] == 0 {
            let stored = &mut self.stored[first * columns * N::SIZE..];
            store_any::<N>(&rows[..num_alike * columns], stored);
            return first + num_alike;
        }
        let (sums, num_alike) = if self.counted[first] == 0 {
            (None, num_alike)
        } else {
            let (sums, num_alike) = self.moments.begin(&rows[..columns], num_alike);
            (Some(sums), num_alike)
        };
        let run = Run {
            columns,
            rows: &rows[..num_alike * columns],
            stored: &mut self.stored[first * columns * N::SIZE..][..num_alike * columns * N::SIZE],
            learned: self.learned,
        };
        match sums {
            Some(sums) => run.store::<N, FUSED, true>(sums),
            None => run.store::<N, FUSED, false>(&mut Sums::default()),
        }
        self.learned.num_finite += num_alike as u64;
        self.moments.end();
        first + num_alike
    }
}

/// Rows that are finite and count alike.
struct Run<'a> {
    columns: usize,
    rows: &'a [f32],
    stored: &'a mut [u8],
    learned: &'a mut Learned,
}

impl Run<'_> {
    #[inline(always)]
    fn store<N: Number, const FUSED: bool, const COUNTED: bool>(mut self, sums: &mut Sums) {
        let num_whole = self.columns / LANES;
        for tile in 0..num_whole {
            self.tile::<N, FUSED, COUNTED, true>(tile, sums);
        }
        if !self.columns.is_multiple_of(LANES) {
            self.tile::<N, FUSED, COUNTED, false>(num_whole, sums);
        }
    }

    /// Store a few columns, and add them to the sums; without `WHOLE` fewer than `LANES`.
    #[inline(always)]
    fn tile<N: Number, const FUSED: bool, const COUNTED: bool, const WHOLE: bool>(
        &mut self,
        tile: usize,
        sums: &mut Sums,
    ) {
        let place = tile * LANES;
        let width = if WHOLE { LANES } else { self.columns - place };
        let mut largest = [0; LANES];
        let mut square_error = lanes(&self.learned.square_error, tile);
        let mut largest_error = lanes(&self.learned.largest_error, tile);
        let mut first_sum = [0.0; LANES];
        let mut second_sum = [0.0; LANES];
        let mut shift = [0.0; LANES];
        if COUNTED {
            first_sum = lanes(&sums.first, tile);
            second_sum = lanes(&sums.second, tile);
            shift = lanes(&sums.shift, tile);
        }
        let rows = self.rows.chunks_exact(self.columns);
        let stored = self.stored.chunks_exact_mut(self.columns * N::SIZE);
        for (row, stored) in rows.zip(stored) {
            let numbers = load(&row[place..place + width]);
            let rounded = N::rounded_lanes::<FUSED>(&numbers);
            if N::ROUNDS {
                let error = errors(&rounded, &numbers);
                for lane in 0..LANES {
                    largest[lane] = (rounded[lane].read & MAGNITUDE).max(largest[lane]);
                    // Magnitudes of floats are in the order of their bits.
                    largest_error[lane] =
                        (error[lane].to_bits() & MAGNITUDE).max(largest_error[lane]);
                }
                for lane in 0..LANES {
                    square_error[lane] += f64::from(error[lane]) * f64::from(error[lane]);
                }
            }
            if COUNTED {
                for lane in 0..LANES {
                    let apart = f64::from(numbers[lane]) - shift[lane];
                    first_sum[lane] += apart;
                    second_sum[lane] += apart * apart;
                }
            }
            let bits = rounded.map(|rounded| rounded.stored);
            write::<N>(
                &bits,
                &mut stored[place * N::SIZE..(place + width) * N::SIZE],
            );
        }
        if N::ROUNDS {
            self.learned.square_error[place..place + LANES].copy_from_slice(&square_error);
            self.learned.largest_error[place..place + LANES].copy_from_slice(&largest_error);
            self.learned.overflow |= largest.iter().any(|bits| *bits >= N::TOO_LARGE);
        }
        if COUNTED {
            sums.first[place..place + LANES].copy_from_slice(&first_sum);
            sums.second[place..place + LANES].copy_from_slice(&second_sum);
        }
    }
}

#[inline(always)]
fn errors(rounded: &[Rounded; LANES], numbers: &[f32; LANES]) -> [f32; LANES] {
    std::array::from_fn(|lane| f32::from_bits(rounded[lane].read) - numbers[lane])
}

#[inline(always)]
fn lanes<T: Copy + Default>(columns: &[T], tile: usize) -> [T; LANES] {
    columns.as_chunks().0[tile]
}

/// Give numbers, and zeros where there are fewer.
#[inline(always)]
fn load(numbers: &[f32]) -> [f32; LANES] {
    if let Ok(numbers) = numbers.try_into() {
        return numbers;
    }
    let mut padded = [0.0; LANES];
    padded[..numbers.len()].copy_from_slice(numbers);
    padded
}

/// Write the lower bytes of numbers, little endian.
#[inline(always)]
fn write<N: Number>(bits: &[u32; LANES], stored: &mut [u8]) {
    for (bits, stored) in bits.iter().zip(stored.chunks_exact_mut(N::SIZE)) {
        stored.copy_from_slice(&bits.to_le_bytes()[..N::SIZE]);
    }
}

/// Store numbers that need not be finite.
#[inline(always)]
fn store_any<N: Number>(numbers: &[f32], stored: &mut [u8]) {
    for (number, stored) in numbers.iter().zip(stored.chunks_exact_mut(N::SIZE)) {
        stored.copy_from_slice(&N::stored(*number).to_le_bytes()[..N::SIZE]);
    }
}
