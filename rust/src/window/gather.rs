//! Gathers one row of a window: selected neurons are packed, converted, scaled and stored.
//!
//! Every backend writes the bytes of the portable one.

use std::ops::Range;

use super::backend::Backend;
use super::selection::NeuronSelection;
use crate::format::header::Dtype;
use crate::format::number::{bf16_to_f32, f16_to_f32, f32_at, f32_to_bf16, u16_at};

/// Numbers that packing may write beyond the last one, because vectors are stored whole.
pub const SLACK: usize = 16;
const NUM_GREY_LEVELS: usize = 256;

/// Output memory, in the number type that the caller allocated.
#[derive(Debug)]
pub enum OutputMemory<'a> {
    /// Single precision.
    F32(&'a mut [f32]),
    /// Bits of bfloat16, rounded to nearest.
    Bf16(&'a mut [u16]),
    /// Grey levels as stored.
    U8(&'a mut [u8]),
}

impl OutputMemory<'_> {
    /// Capacity in numbers.
    pub fn len(&self) -> usize {
        match self {
            Self::F32(memory) => memory.len(),
            Self::Bf16(memory) => memory.len(),
            Self::U8(memory) => memory.len(),
        }
    }

    /// Whether the capacity is 0.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The positions that aligned vectors of `lanes` numbers cover.
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

    /// A range of the memory.
    pub fn range(&mut self, range: Range<usize>) -> OutputMemory<'_> {
        match self {
            Self::F32(memory) => OutputMemory::F32(&mut memory[range]),
            Self::Bf16(memory) => OutputMemory::Bf16(&mut memory[range]),
            Self::U8(memory) => OutputMemory::U8(&mut memory[range]),
        }
    }

    /// Copy a range to the position `to`.
    pub fn copy_within(&mut self, from: Range<usize>, to: usize) {
        match self {
            Self::F32(memory) => memory.copy_within(from, to),
            Self::Bf16(memory) => memory.copy_within(from, to),
            Self::U8(memory) => memory.copy_within(from, to),
        }
    }

    /// Set the numbers in `range` to `value(position)`.
    ///
    /// # Panics
    /// The memory is for grey levels as stored, which are only copied.
    #[inline]
    pub fn fill(&mut self, range: Range<usize>, value: impl Fn(usize) -> f32) {
        match self {
            Self::F32(memory) => range.for_each(|at| memory[at] = value(at)),
            Self::Bf16(memory) => {
                range.for_each(|at| memory[at] = f32_to_bf16(value(at)));
            }
            Self::U8(_) => unreachable!("grey levels as stored are copied"),
        }
    }
}

/// Memory for the selected numbers of a row, as stored, with space for one more vector.
#[derive(Debug, Default)]
pub struct PackedRow {
    halves: Vec<u16>,
    floats: Vec<f32>,
}

impl PackedRow {
    fn resize(&mut self, selection: &NeuronSelection) {
        let length = selection.len() + SLACK;
        self.halves.resize(length, 0);
        self.floats.resize(length, 0.0);
    }
}

/// Gather the selected neurons of a stored row of responses, normalized.
///
/// # Panics
/// `out` is not as long as the selection, or the row not as long as the population.
pub fn gather_responses(
    backend: Backend,
    (row, dtype): (&[u8], Dtype),
    selection: &NeuronSelection,
    packed: &mut PackedRow,
    out: &mut OutputMemory,
) {
    assert_eq!(out.len(), selection.len(), "output of another length");
    assert_eq!(row.len(), selection.population() * dtype.size(), "a row");
    packed.resize(selection);
    let (halves, floats) = (&mut packed.halves[..], &mut packed.floats[..]);
    match (backend, dtype) {
        (Backend::Vector(vector), Dtype::F32) => {
            let done = vector.pack_floats(row, selection, floats);
            pack(selection, done, floats, |index| f32_at(row, index));
        }
        (Backend::Vector(vector), _) => {
            let done = vector.pack_halves(row, selection, halves);
            pack(selection, done, halves, |index| u16_at(row, index));
        }
        (Backend::Portable, Dtype::F32) => pack(selection, 0, floats, |index| f32_at(row, index)),
        (Backend::Portable, _) => pack(selection, 0, halves, |index| u16_at(row, index)),
    }
    let stored = match dtype {
        Dtype::F16 => StoredRow::F16(&halves[..selection.len()]),
        Dtype::Bf16 => StoredRow::Bf16(&halves[..selection.len()]),
        _ => StoredRow::F32(&floats[..selection.len()]),
    };
    let (shift, scale) = (selection.shift(), selection.scale());
    let done = match backend {
        Backend::Portable => 0..0,
        Backend::Vector(vector) => vector.scale(stored, shift, scale, out),
    };
    let shifted = |at: usize, value: f32| shift.map_or(value, |shift| value - shift[at]);
    for rest in [0..done.start, done.end..selection.len()] {
        let scaled = |at: usize, value: f32| shifted(at, value) / scale[at];
        match stored {
            StoredRow::F16(from) => out.fill(rest, |at| scaled(at, f16_to_f32(from[at]))),
            StoredRow::Bf16(from) => out.fill(rest, |at| scaled(at, bf16_to_f32(from[at]))),
            StoredRow::F32(from) => out.fill(rest, |at| scaled(at, from[at])),
        }
    }
}

/// Pack the selected numbers after the first `done`, which are packed already.
fn pack<T>(selection: &NeuronSelection, done: usize, packed: &mut [T], value: impl Fn(usize) -> T) {
    for (out, index) in packed[done..].iter_mut().zip(&selection.indices()[done..]) {
        *out = value(*index as usize);
    }
}

/// The normalization of grey levels.
#[derive(Debug)]
pub struct GreyLevels {
    mean: f32,
    std: f32,
    table: [f32; NUM_GREY_LEVELS],
}

impl GreyLevels {
    /// Normalize by mean and standard deviation, in grey levels.
    pub fn new(mean: f32, std: f32) -> Self {
        let mut table = [0.0; NUM_GREY_LEVELS];
        for (grey, number) in (0..=u8::MAX).zip(&mut table) {
            *number = (f32::from(grey) - mean) / std;
        }
        Self { mean, std, table }
    }

    /// Write a normalized frame, or grey levels as stored if `out` is for those.
    ///
    /// # Panics
    /// `out` is not as long as the frame.
    pub fn write(&self, backend: Backend, frame: &[u8], out: &mut OutputMemory) {
        assert_eq!(out.len(), frame.len(), "output of another length");
        if let OutputMemory::U8(out) = out {
            out.copy_from_slice(frame);
            return;
        }
        let done = match backend {
            Backend::Portable => 0..0,
            Backend::Vector(vector) => vector.scale_greys(frame, self.mean, self.std, out),
        };
        for rest in [0..done.start, done.end..frame.len()] {
            out.fill(rest, |at| self.table[usize::from(frame[at])]);
        }
    }
}

/// Numbers as stored in a shard.
#[derive(Clone, Copy, Debug)]
pub enum StoredRow<'a> {
    /// IEEE 754 half precision.
    F16(&'a [u16]),
    /// Bits of bfloat16.
    Bf16(&'a [u16]),
    /// Single precision.
    F32(&'a [f32]),
}

impl StoredRow<'_> {
    /// How many numbers there are.
    pub fn len(self) -> usize {
        match self {
            Self::F16(numbers) | Self::Bf16(numbers) => numbers.len(),
            Self::F32(numbers) => numbers.len(),
        }
    }

    /// Whether there are no numbers.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests;
