//! What stands in for vector instructions where none are used: a type without a value.

use std::ops::Range;

use crate::columns::Columns;
use crate::lines::{Numbers, Stored};

/// Vector instructions of this processor, of which none are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vector {}

#[expect(missing_docs, reason = "as on x86-64, and never called")]
impl Vector {
    pub fn detect() -> Option<Self> {
        None
    }

    pub fn pack_halves(self, _: &[u8], _: &Columns, _: &mut [u16]) -> usize {
        match self {}
    }

    pub fn pack_floats(self, _: &[u8], _: &Columns, _: &mut [f32]) -> usize {
        match self {}
    }

    pub fn scale(self, _: Stored, _: Option<&[f32]>, _: &[f32], _: &mut Numbers) -> Range<usize> {
        match self {}
    }

    pub fn scale_greys(self, _: &[u8], _: f32, _: f32, _: &mut Numbers) -> Range<usize> {
        match self {}
    }

    pub fn finish(self) {
        match self {}
    }
}
