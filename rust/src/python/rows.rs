//! Rows normed and gated over memory that Python allocated, without the GIL.

use pyo3::prelude::*;

use super::dendrite::{matrix, require, require_shared};
use super::gil::released;
use crate::memory::{Exported, ExportedRows};
use crate::rows::{Weighing, backward_gate, backward_norm, forward_gate, forward_norm};

/// Write x / sqrt(mean(x^2) + epsilon) weight of every row into `out`.
#[pyfunction]
#[pyo3(signature = (x, weight, out, *, epsilon, threads))]
pub(super) fn norm_forward(
    py: Python<'_>,
    x: &Bound<'_, PyAny>,
    weight: &Bound<'_, PyAny>,
    out: &Bound<'_, PyAny>,
    epsilon: f32,
    threads: usize,
) -> PyResult<()> {
    let (x, weight) = (ExportedRows::new("x", x)?, Exported::new("weight", weight)?);
    let mut out = Exported::new("out", out)?;
    let (rows, columns) = x.shape();
    require("weight", weight.as_slice().len(), columns)?;
    require("out", out.as_slice().len(), rows * columns)?;
    released(py, || {
        let weight = weight.as_slice();
        let with = Weighing { weight, epsilon };
        forward_norm(matrix(&x), with, out.as_mut_slice(), threads);
        Ok(())
    })
}

/// Write the gradients of x and of the weight.
#[pyfunction]
#[pyo3(signature = (g, x, weight, dx, dweight, *, epsilon, threads))]
#[allow(clippy::too_many_arguments)]
pub(super) fn norm_backward(
    py: Python<'_>,
    g: &Bound<'_, PyAny>,
    x: &Bound<'_, PyAny>,
    weight: &Bound<'_, PyAny>,
    dx: &Bound<'_, PyAny>,
    dweight: &Bound<'_, PyAny>,
    epsilon: f32,
    threads: usize,
) -> PyResult<()> {
    let (g, x) = (ExportedRows::new("g", g)?, ExportedRows::new("x", x)?);
    let weight = Exported::new("weight", weight)?;
    let mut dx = Exported::new("dx", dx)?;
    let mut of_weight = Exported::new("dweight", dweight)?;
    let (rows, columns) = x.shape();
    require_shared(1, &[&x, &g])?;
    require("weight", weight.as_slice().len(), columns)?;
    require("dx", dx.as_slice().len(), rows * columns)?;
    require("dweight", of_weight.as_slice().len(), columns)?;
    released(py, || {
        let weight = weight.as_slice();
        let with = Weighing { weight, epsilon };
        let outputs = (dx.as_mut_slice(), of_weight.as_mut_slice());
        backward_norm([matrix(&g), matrix(&x)], with, outputs, threads);
        Ok(())
    })
}

/// Write silu(a) b of every element into `out`.
#[pyfunction]
#[pyo3(signature = (a, b, out, *, threads))]
pub(super) fn gate_forward(
    py: Python<'_>,
    a: &Bound<'_, PyAny>,
    b: &Bound<'_, PyAny>,
    out: &Bound<'_, PyAny>,
    threads: usize,
) -> PyResult<()> {
    let (a, b) = (ExportedRows::new("a", a)?, ExportedRows::new("b", b)?);
    let mut out = Exported::new("out", out)?;
    let (rows, columns) = a.shape();
    require_shared(1, &[&a, &b])?;
    require("out", out.as_slice().len(), rows * columns)?;
    released(py, || {
        let arguments = [matrix(&a), matrix(&b)];
        forward_gate(arguments, columns, out.as_mut_slice(), threads);
        Ok(())
    })
}

/// Write the gradients of a and b.
#[pyfunction]
#[pyo3(signature = (g, a, b, da, db, *, threads))]
pub(super) fn gate_backward(
    py: Python<'_>,
    g: &Bound<'_, PyAny>,
    a: &Bound<'_, PyAny>,
    b: &Bound<'_, PyAny>,
    da: &Bound<'_, PyAny>,
    db: &Bound<'_, PyAny>,
    threads: usize,
) -> PyResult<()> {
    let g = ExportedRows::new("g", g)?;
    let (a, b) = (ExportedRows::new("a", a)?, ExportedRows::new("b", b)?);
    let mut da = Exported::new("da", da)?;
    let mut db = Exported::new("db", db)?;
    let (rows, columns) = a.shape();
    require_shared(1, &[&a, &b, &g])?;
    require("da", da.as_slice().len(), rows * columns)?;
    require("db", db.as_slice().len(), rows * columns)?;
    released(py, || {
        let inputs = [matrix(&g), matrix(&a), matrix(&b)];
        let outputs = (da.as_mut_slice(), db.as_mut_slice());
        backward_gate(inputs, columns, outputs, threads);
        Ok(())
    })
}
