//! One line of output from one stored row: chosen columns packed, converted, scaled and stored.
//!
//! Whatever the processor has, the bytes are those of the portable path.

use std::ops::Range;

use crate::columns::Columns;
use crate::convert::{bf16_to_f32, f16_to_f32, f32_at, f32_to_bf16, u16_at};
use crate::header::Dtype;
use crate::simd::Vector;

/// Numbers that packing may write beyond the last one: a vector is stored whole.
pub const SLACK: usize = 16;
const NUM_GREY_LEVELS: usize = 256;

/// Which instructions are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// What every processor has.
    Portable,
    /// Eight numbers at a time.
    Vector(Vector),
}

impl Path {
    /// The fastest that this processor has.
    pub fn best() -> Self {
        Vector::detect().map_or(Self::Portable, Self::Vector)
    }

    /// Make what was stored visible to other threads.
    pub fn finish(self) {
        if let Self::Vector(vector) = self {
            vector.finish();
        }
    }
}

/// Memory of an output, as the caller allocated it.
#[derive(Debug)]
pub enum Numbers<'a> {
    /// Single precision.
    F32(&'a mut [f32]),
    /// The upper half of single precision, rounded to nearest.
    Bf16(&'a mut [u16]),
    /// Grey levels as they are stored.
    U8(&'a mut [u8]),
}

impl Numbers<'_> {
    /// How many numbers there is room for.
    pub fn len(&self) -> usize {
        match self {
            Self::F32(memory) => memory.len(),
            Self::Bf16(memory) => memory.len(),
            Self::U8(memory) => memory.len(),
        }
    }

    /// Whether there is no room.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The places that whole vectors of `lanes` numbers cover, each aligned to its size.
    pub fn whole_vectors(&self, lanes: usize) -> Range<usize> {
        let (address, size) = match self {
            Self::F32(memory) => (memory.as_ptr().addr(), size_of::<f32>()),
            Self::Bf16(memory) => (memory.as_ptr().addr(), size_of::<u16>()),
            Self::U8(memory) => (memory.as_ptr().addr(), size_of::<u8>()),
        };
        let first = (address.next_multiple_of(lanes * size) - address) / size;
        match self.len().checked_sub(first) {
            Some(rest) => first..first + rest / lanes * lanes,
            None => 0..0,
        }
    }

    /// A part of the memory.
    pub fn part(&mut self, places: Range<usize>) -> Numbers<'_> {
        match self {
            Self::F32(memory) => Numbers::F32(&mut memory[places]),
            Self::Bf16(memory) => Numbers::Bf16(&mut memory[places]),
            Self::U8(memory) => Numbers::U8(&mut memory[places]),
        }
    }

    /// Copy a part to where `first` is.
    pub fn copy_within(&mut self, from: Range<usize>, first: usize) {
        match self {
            Self::F32(memory) => memory.copy_within(from, first),
            Self::Bf16(memory) => memory.copy_within(from, first),
            Self::U8(memory) => memory.copy_within(from, first),
        }
    }

    /// Set the numbers at `places`; grey levels as they are stored cannot be set.
    #[inline]
    pub fn fill(&mut self, places: Range<usize>, value: impl Fn(usize) -> f32) {
        match self {
            Self::F32(memory) => places.for_each(|place| memory[place] = value(place)),
            Self::Bf16(memory) => {
                places.for_each(|place| memory[place] = f32_to_bf16(value(place)));
            }
            Self::U8(_) => unreachable!("what becomes of grey levels is no number"),
        }
    }
}

/// Chosen columns of a row side by side, as they are stored, with room for a whole vector more.
#[derive(Debug, Default)]
pub struct Packed {
    halves: Vec<u16>,
    floats: Vec<f32>,
}

impl Packed {
    fn make_room(&mut self, columns: &Columns) {
        let length = columns.len() + SLACK;
        self.halves.resize(length, 0);
        self.floats.resize(length, 0.0);
    }
}

/// Write the chosen columns of a row of responses.
///
/// # Panics
/// The line is not as long as there are columns, or the row not as long as the population.
pub fn write_responses(
    path: Path,
    (row, dtype): (&[u8], Dtype),
    columns: &Columns,
    packed: &mut Packed,
    line: &mut Numbers,
) {
    assert_eq!(line.len(), columns.len(), "a line of another length");
    assert_eq!(row.len(), columns.population() * dtype.size(), "a row");
    packed.make_room(columns);
    let (halves, floats) = (&mut packed.halves[..], &mut packed.floats[..]);
    match (path, dtype) {
        (Path::Vector(vector), Dtype::F32) => {
            let done = vector.pack_floats(row, columns, floats);
            pack(columns, done, floats, |index| f32_at(row, index));
        }
        (Path::Vector(vector), _) => {
            let done = vector.pack_halves(row, columns, halves);
            pack(columns, done, halves, |index| u16_at(row, index));
        }
        (Path::Portable, Dtype::F32) => pack(columns, 0, floats, |index| f32_at(row, index)),
        (Path::Portable, _) => pack(columns, 0, halves, |index| u16_at(row, index)),
    }
    let stored = match dtype {
        Dtype::F16 => Stored::F16(&halves[..columns.len()]),
        Dtype::Bf16 => Stored::Bf16(&halves[..columns.len()]),
        _ => Stored::F32(&floats[..columns.len()]),
    };
    let (shift, scale) = (columns.shift(), columns.scale());
    let done = match path {
        Path::Portable => 0..0,
        Path::Vector(vector) => vector.scale(stored, shift, scale, line),
    };
    let shifted = |place: usize, value: f32| shift.map_or(value, |shift| value - shift[place]);
    for places in [0..done.start, done.end..columns.len()] {
        let scaled = |place: usize, value: f32| shifted(place, value) / scale[place];
        match stored {
            Stored::F16(from) => line.fill(places, |at| scaled(at, f16_to_f32(from[at]))),
            Stored::Bf16(from) => line.fill(places, |at| scaled(at, bf16_to_f32(from[at]))),
            Stored::F32(from) => line.fill(places, |at| scaled(at, from[at])),
        }
    }
}

/// Move the chosen numbers to the front, from the one after the `done` first on.
fn pack<T>(columns: &Columns, done: usize, packed: &mut [T], value: impl Fn(usize) -> T) {
    for (out, index) in packed[done..].iter_mut().zip(&columns.indices()[done..]) {
        *out = value(*index as usize);
    }
}

/// How grey levels become numbers.
#[derive(Debug)]
pub struct Greys {
    mean: f32,
    std: f32,
    table: [f32; NUM_GREY_LEVELS],
}

impl Greys {
    /// Grey level `mean` becomes 0, and `std` more become 1.
    pub fn new(mean: f32, std: f32) -> Self {
        let mut table = [0.0; NUM_GREY_LEVELS];
        for (grey, number) in (0..=u8::MAX).zip(&mut table) {
            *number = (f32::from(grey) - mean) / std;
        }
        Self { mean, std, table }
    }

    /// Write a frame.
    ///
    /// # Panics
    /// The line is not as long as the frame.
    pub fn write(&self, path: Path, frame: &[u8], line: &mut Numbers) {
        assert_eq!(line.len(), frame.len(), "a line of another length");
        if let Numbers::U8(line) = line {
            line.copy_from_slice(frame);
            return;
        }
        let done = match path {
            Path::Portable => 0..0,
            Path::Vector(vector) => vector.scale_greys(frame, self.mean, self.std, line),
        };
        for places in [0..done.start, done.end..frame.len()] {
            line.fill(places, |place| self.table[usize::from(frame[place])]);
        }
    }
}

/// Numbers as they are stored.
#[derive(Clone, Copy, Debug)]
pub enum Stored<'a> {
    /// IEEE 754 half precision.
    F16(&'a [u16]),
    /// The upper half of single precision.
    Bf16(&'a [u16]),
    /// Single precision.
    F32(&'a [f32]),
}

impl Stored<'_> {
    /// How many there are.
    pub fn len(self) -> usize {
        match self {
            Self::F16(numbers) | Self::Bf16(numbers) => numbers.len(),
            Self::F32(numbers) => numbers.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests;
