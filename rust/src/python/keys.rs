//! Keys and values of groups of queries over memory that Python allocated, without the GIL.

use pyo3::prelude::*;

use super::dendrite::{require, wrong};
use super::gil::released;
use super::heads::strided;
use crate::memory::{Exported, ExportedHeads};
use crate::rows::{Seen, gather_keys, sum_keys};

/// Write what each group sees of every head.
#[pyfunction]
#[pyo3(signature = (x, keys, counts, outs, *, threads))]
#[allow(clippy::needless_pass_by_value)]
pub(super) fn keys_forward(
    py: Python<'_>,
    x: &Bound<'_, PyAny>,
    keys: &Bound<'_, PyAny>,
    counts: Vec<usize>,
    outs: Vec<Bound<'_, PyAny>>,
    threads: usize,
) -> PyResult<()> {
    let x = ExportedHeads::new("x", x)?;
    let [items, heads, tokens, width] = x.shape();
    let keys = checked(keys, &counts, tokens)?;
    require("outs", outs.len(), counts.len())?;
    let mut exported = Vec::with_capacity(outs.len());
    for (out, count) in outs.iter().zip(&counts) {
        let out = Exported::<f32>::new("outs", out)?;
        require("outs", out.as_slice().len(), items * heads * count * width)?;
        exported.push(out);
    }
    released(py, || {
        let outs = exported.iter_mut().map(Exported::as_mut_slice).collect();
        let seen = Seen {
            keys: &keys,
            counts: &counts,
            shape: [heads, tokens, width],
        };
        gather_keys(strided(&x), seen, outs, threads);
        Ok(())
    })
}

/// Write what every group's gradient says of each key, summed up.
#[pyfunction]
#[pyo3(signature = (gs, keys, counts, out, *, shape, threads))]
#[allow(clippy::needless_pass_by_value)]
pub(super) fn keys_backward(
    py: Python<'_>,
    gs: Vec<Bound<'_, PyAny>>,
    keys: &Bound<'_, PyAny>,
    counts: Vec<usize>,
    out: &Bound<'_, PyAny>,
    shape: (usize, usize, usize, usize),
    threads: usize,
) -> PyResult<()> {
    let (items, heads, tokens, width) = shape;
    let mut out = Exported::<f32>::new("out", out)?;
    require("out", out.as_slice().len(), items * heads * tokens * width)?;
    let keys = checked(keys, &counts, tokens)?;
    require("gs", gs.len(), counts.len())?;
    let mut exported = Vec::with_capacity(gs.len());
    for (g, count) in gs.iter().zip(&counts) {
        let g = ExportedHeads::new("gs", g)?;
        let (found, wanted) = (g.shape(), [items, heads, *count, width]);
        if found != wanted {
            return Err(wrong(format!("`gs` must have shape {wanted:?}: {found:?}")));
        }
        exported.push(g);
    }
    released(py, || {
        let gradients: Vec<_> = exported.iter().map(strided).collect();
        let seen = Seen {
            keys: &keys,
            counts: &counts,
            shape: [heads, tokens, width],
        };
        sum_keys(&gradients, seen, out.as_mut_slice(), threads);
        Ok(())
    })
}

/// Check that there are such keys, as many as groups see.
fn checked(keys: &Bound<'_, PyAny>, counts: &[usize], tokens: usize) -> PyResult<Vec<usize>> {
    let keys = Exported::<i64>::new("keys", keys)?;
    require("keys", keys.as_slice().len(), counts.iter().sum())?;
    let number = |key: &i64| usize::try_from(*key).ok().filter(|key| *key < tokens);
    let numbers: Option<Vec<usize>> = keys.as_slice().iter().map(number).collect();
    numbers.ok_or_else(|| wrong(format!("`keys` must be numbers of {tokens} keys")))
}
