//! The way into attention over memory that Python allocated, without the GIL.

use pyo3::prelude::*;

use super::dendrite::{matrix, require};
use super::gil::released;
use super::heads::{Angles, Shape, gradients_of, heads_of, parts_of, strided, turns};
use super::weights::{Object, Weights, bias_of};
use crate::memory::{Exported, ExportedRows};
use crate::products::{Entry, EntryGradients, backward_entry, forward_entry};
use crate::rows::{Heads, Weighing};

/// The norm's weight, the projection's, and its bias, which is empty if there is none.
type EntryWeights<'py> = (Object<'py>, Object<'py>, Object<'py>);

const OF_ENTRY: [&str; 3] = ["norm", "weight", "bias"];

/// Write the parts of a projection of normed tokens, and the projection where it is wanted.
#[pyfunction]
#[pyo3(signature = (x, weights, angles, projection, outs, *, shape, pooling, epsilons, threads))]
#[allow(clippy::too_many_arguments, clippy::needless_pass_by_value)]
pub(super) fn entry_forward<'py>(
    py: Python<'py>,
    x: &Object<'py>,
    weights: EntryWeights<'py>,
    angles: Option<Angles<'py>>,
    projection: Option<Object<'py>>,
    outs: Vec<Object<'py>>,
    shape: Shape,
    pooling: (usize, bool),
    epsilons: (f32, f32),
    threads: usize,
) -> PyResult<()> {
    let x = ExportedRows::new("x", x)?;
    let weights = Weights::new(OF_ENTRY, [&weights.0, &weights.1, &weights.2])?;
    let (heads, items) = entry_of(&x, &weights, shape, pooling, epsilons.1)?;
    let turns = turns(angles, heads)?;
    let mut outs = parts_of(&outs, heads, items)?;
    let mut projection = projection
        .map(|projection| Exported::new("projection", &projection))
        .transpose()?;
    if let Some(projection) = &projection {
        let wanted = x.shape().0 * heads.columns();
        require("projection", projection.as_slice().len(), wanted)?;
    }
    released(py, || {
        let outs = outs.iter_mut().map(Exported::as_mut_slice).collect();
        let entry = entry(&weights, heads, turns.as_deref(), epsilons.0);
        let projection = projection.as_mut().map(Exported::as_mut_slice);
        forward_entry(matrix(&x), entry, projection, outs, threads);
        Ok(())
    })
}

/// Write the gradients of the tokens (first) and of the weights.
#[pyfunction]
#[pyo3(signature = (gs, x, projection, weights, angles, outs, *, shape, pooling, epsilons, threads))]
#[allow(clippy::too_many_arguments, clippy::needless_pass_by_value)]
pub(super) fn entry_backward<'py>(
    py: Python<'py>,
    gs: Vec<Object<'py>>,
    x: &Object<'py>,
    projection: &Object<'py>,
    weights: EntryWeights<'py>,
    angles: Option<Angles<'py>>,
    outs: (Object<'py>, EntryWeights<'py>),
    shape: Shape,
    pooling: (usize, bool),
    epsilons: (f32, f32),
    threads: usize,
) -> PyResult<()> {
    let x = ExportedRows::new("x", x)?;
    let projection = ExportedRows::new("projection", projection)?;
    let weights = Weights::new(OF_ENTRY, [&weights.0, &weights.1, &weights.2])?;
    let (heads, items) = entry_of(&x, &weights, shape, pooling, epsilons.1)?;
    require("projection", projection.shape().0, x.shape().0)?;
    require("projection", projection.shape().1, heads.columns())?;
    let turns = turns(angles, heads)?;
    let gradients = gradients_of(&gs, heads, items)?;
    let mut of_x = Exported::new("dx", &outs.0)?;
    let mut of_weights = Weights::new(OF_ENTRY, [&outs.1.0, &outs.1.1, &outs.1.2])?;
    require("dx", of_x.as_slice().len(), x.shape().0 * x.shape().1)?;
    of_weights.require(OF_ENTRY, weights.slices().map(<[f32]>::len))?;
    released(py, || {
        let [norm, weight, bias] = of_weights.slices_mut();
        let out = EntryGradients {
            x: of_x.as_mut_slice(),
            norm,
            weight,
            bias,
        };
        let entry = entry(&weights, heads, turns.as_deref(), epsilons.0);
        let pair = [matrix(&x), matrix(&projection)];
        let gradients: Vec<_> = gradients.iter().map(strided).collect();
        backward_entry(pair, entry, &gradients, out, threads);
        Ok(())
    })
}

/// Check that tokens have whole items and weights fit them; give what the heads are.
fn entry_of(
    x: &ExportedRows,
    weights: &Weights<3>,
    shape: Shape,
    pooling: (usize, bool),
    epsilon: f32,
) -> PyResult<(Heads, usize)> {
    let (rows, width) = x.shape();
    let (_, parts, _, heads, head_width) = shape;
    let columns = parts * heads * head_width;
    let bias = weights.slices()[2].len().min(1) * columns;
    weights.require(OF_ENTRY, [width, width * columns, bias])?;
    heads_of((rows, columns), shape, pooling, epsilon)
}

fn entry<'a>(
    weights: &'a Weights<3>,
    heads: Heads,
    turns: Option<&'a [f32]>,
    epsilon: f32,
) -> Entry<'a> {
    let [norm, weight, bias] = weights.slices();
    Entry {
        norm: Weighing {
            weight: norm,
            epsilon,
        },
        weight,
        bias: bias_of(bias),
        heads,
        turns,
    }
}
