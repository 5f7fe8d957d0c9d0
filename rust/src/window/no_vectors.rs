//! No vector backend, on other processors: a type without a value.

use std::ops::Range;

use super::gather::{OutputMemory, StoredRow};
use super::selection::NeuronSelection;

/// No vector instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vector {}

#[expect(missing_docs, reason = "as on x86-64, and never called")]
impl Vector {
    pub fn detect() -> Option<Self> {
        None
    }

    pub fn pack_halves(self, _: &[u8], _: &NeuronSelection, _: &mut [u16]) -> usize {
        match self {}
    }

    pub fn pack_floats(self, _: &[u8], _: &NeuronSelection, _: &mut [f32]) -> usize {
        match self {}
    }

    pub fn scale(
        self,
        _: StoredRow,
        _: Option<&[f32]>,
        _: &[f32],
        _: &mut OutputMemory,
    ) -> Range<usize> {
        match self {}
    }

    pub fn scale_greys(self, _: &[u8], _: f32, _: f32, _: &mut OutputMemory) -> Range<usize> {
        match self {}
    }

    pub fn finish(self) {
        match self {}
    }
}
