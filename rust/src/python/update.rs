//! The way out of attention over memory that Python allocated, without the GIL.

use pyo3::prelude::*;

use super::dendrite::{matrix, require};
use super::gil::released;
use super::heads::strided;
use super::weights::{Object, Weights, bias_of};
use crate::memory::{Exported, ExportedHeads, ExportedRows};
use crate::products::{Kept, Read, Update, UpdateGradients, backward_update, forward_update};
use crate::rows::Weighing;

/// Out, its bias, which is empty if there is none, norm, up, gate, down.
type UpdateWeights<'py> = (
    Object<'py>,
    Object<'py>,
    Object<'py>,
    Object<'py>,
    Object<'py>,
    Object<'py>,
);

const OF_UPDATE: [&str; 6] = ["out", "bias", "norm", "up", "gate", "down"];

/// Write what tokens become of what they read, and what the backward pass needs where it is wanted.
#[pyfunction]
#[pyo3(signature = (x, read, weights, kept, out, *, epsilon, threads))]
#[allow(clippy::too_many_arguments, clippy::needless_pass_by_value)]
pub(super) fn update_forward<'py>(
    py: Python<'py>,
    x: &Object<'py>,
    read: &Object<'py>,
    weights: UpdateWeights<'py>,
    kept: Option<(Object<'py>, Object<'py>, Object<'py>)>,
    out: &Object<'py>,
    epsilon: f32,
    threads: usize,
) -> PyResult<()> {
    let x = ExportedRows::new("x", x)?;
    let read = ExportedHeads::new("read", read)?;
    let weights = weights_of(&weights)?;
    let units = update_of(&x, &read, &weights)?;
    let mut out = Exported::new("out", out)?;
    let (rows, width) = x.shape();
    require("out", out.as_slice().len(), rows * width)?;
    let names = ["middle", "first", "second"];
    let mut kept = kept
        .map(|(middle, first, second)| Weights::new(names, [&middle, &first, &second]))
        .transpose()?;
    if let Some(kept) = &kept {
        kept.require(names, [width, units, units].map(|columns| rows * columns))?;
    }
    released(py, || {
        let kept = kept.as_mut().map(|kept| {
            let [middle, first, second] = kept.slices_mut();
            let hidden = [first, second];
            Kept { middle, hidden }
        });
        let pair = (matrix(&x), read_of(&read));
        let update = update(&weights, epsilon);
        forward_update(pair, update, kept, out.as_mut_slice(), threads);
        Ok(())
    })
}

/// Write the gradients of the tokens, of what they read (both first) and of the weights.
#[pyfunction]
#[pyo3(signature = (g, read, kept, weights, outs, *, epsilon, threads))]
#[allow(clippy::too_many_arguments, clippy::needless_pass_by_value)]
pub(super) fn update_backward<'py>(
    py: Python<'py>,
    g: &Object<'py>,
    read: &Object<'py>,
    kept: (Object<'py>, Object<'py>, Object<'py>),
    weights: UpdateWeights<'py>,
    outs: (Object<'py>, Object<'py>, UpdateWeights<'py>),
    epsilon: f32,
    threads: usize,
) -> PyResult<()> {
    let g = ExportedRows::new("g", g)?;
    let read = ExportedHeads::new("read", read)?;
    let weights = weights_of(&weights)?;
    let units = update_of(&g, &read, &weights)?;
    let (rows, width) = g.shape();
    let kept = [
        ExportedRows::new("middle", &kept.0)?,
        ExportedRows::new("first", &kept.1)?,
        ExportedRows::new("second", &kept.2)?,
    ];
    for (kept, columns) in kept.iter().zip([width, units, units]) {
        require("kept", kept.shape().0, rows)?;
        require("kept", kept.shape().1, columns)?;
    }
    let mut of_tokens = Weights::new(["dx", "dread"], [&outs.0, &outs.1])?;
    of_tokens.require(
        ["dx", "dread"],
        [width, columns_of(&read)].map(|columns| rows * columns),
    )?;
    let mut of_weights = weights_of(&outs.2)?;
    of_weights.require(OF_UPDATE, weights.slices().map(<[f32]>::len))?;
    released(py, || {
        let [x, of_read] = of_tokens.slices_mut();
        let out = UpdateGradients {
            x,
            read: of_read,
            weights: of_weights.slices_mut(),
        };
        let pair = (matrix(&g), read_of(&read));
        let kept = std::array::from_fn(|place| matrix(&kept[place]));
        backward_update(pair, kept, update(&weights, epsilon), out, threads);
        Ok(())
    })
}

fn weights_of(weights: &UpdateWeights<'_>) -> PyResult<Weights<6>> {
    let (out, bias, norm, up, gate, down) = weights;
    Weights::new(OF_UPDATE, [out, bias, norm, up, gate, down])
}

/// Check that weights fit tokens and what these read; give the number of hidden units.
fn update_of(x: &ExportedRows, read: &ExportedHeads, weights: &Weights<6>) -> PyResult<usize> {
    let (rows, width) = x.shape();
    let [items, _, tokens, _] = read.shape();
    require("read", items * tokens, rows)?;
    let columns = columns_of(read);
    let [_, bias, _, up, _, _] = weights.slices().map(<[f32]>::len);
    let units = up / width.max(1);
    let hidden = units * width;
    let wanted = [
        width * columns,
        bias.min(1) * width,
        width,
        hidden,
        hidden,
        hidden,
    ];
    weights.require(OF_UPDATE, wanted)?;
    Ok(units)
}

fn update(weights: &Weights<6>, epsilon: f32) -> Update<'_> {
    let [out, bias, norm, up, gate, down] = weights.slices();
    Update {
        out,
        bias: bias_of(bias),
        norm: Weighing {
            weight: norm,
            epsilon,
        },
        up_and_gate: [up, gate],
        down,
    }
}

/// Numbers that a token reads.
fn columns_of(read: &ExportedHeads) -> usize {
    let [_, heads, _, width] = read.shape();
    heads * width
}

fn read_of(read: &ExportedHeads) -> Read<'_> {
    let [_, heads, tokens, width] = read.shape();
    Read {
        heads: strided(read),
        tokens,
        shape: [heads, width],
    }
}
