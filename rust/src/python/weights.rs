//! Weights in memory that Python allocated.

use pyo3::prelude::*;

use super::dendrite::require;
use crate::memory::Exported;

/// Any object.
pub(super) type Object<'py> = Bound<'py, PyAny>;

/// Weights that are held while they are read.
pub(super) struct Weights<const COUNT: usize>([Exported<f32>; COUNT]);

impl<const COUNT: usize> Weights<COUNT> {
    /// Take their memory; each must have as many numbers as are wanted, if this is known.
    pub(super) fn new(names: [&str; COUNT], objects: [&Object<'_>; COUNT]) -> PyResult<Self> {
        let mut exported = Vec::with_capacity(COUNT);
        for (name, object) in names.into_iter().zip(objects) {
            exported.push(Exported::new(name, object)?);
        }
        let count = exported.len();
        let exported = exported.try_into();
        Ok(Self(
            exported.unwrap_or_else(|_| unreachable!("{count} of {COUNT}")),
        ))
    }

    pub(super) fn slices(&self) -> [&[f32]; COUNT] {
        std::array::from_fn(|place| self.0[place].as_slice())
    }

    pub(super) fn slices_mut(&mut self) -> [&mut [f32]; COUNT] {
        self.0.each_mut().map(Exported::as_mut_slice)
    }

    pub(super) fn require(&self, names: [&str; COUNT], wanted: [usize; COUNT]) -> PyResult<()> {
        for ((name, slice), wanted) in names.into_iter().zip(self.slices()).zip(wanted) {
            require(name, slice.len(), wanted)?;
        }
        Ok(())
    }
}

pub(super) fn bias_of(bias: &[f32]) -> Option<&[f32]> {
    (!bias.is_empty()).then_some(bias)
}
