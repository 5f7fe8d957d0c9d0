//! Products with what surrounds them, over memory that Python allocated, without the GIL.

use pyo3::prelude::*;

use super::dendrite::{matrix, require};
use super::gil::released;
use super::heads::{Angles, Shape, gradients_of, heads_of, parts_of, strided, turns};
use crate::memory::{Exported, ExportedRows};
use crate::products::{
    Entry, EntryGradients, Kept, Update, UpdateGradients, backward_entry, backward_update,
    forward_entry, forward_update,
};
use crate::rows::{Heads, Weighing};

/// Any object.
type Object<'py> = Bound<'py, PyAny>;
/// The norm's weight, the projection's, and its bias, which is empty if there is none.
type EntryWeights<'py> = (Object<'py>, Object<'py>, Object<'py>);
/// Out, its bias, which is empty if there is none, norm, up, gate, down.
type UpdateWeights<'py> = (
    Object<'py>,
    Object<'py>,
    Object<'py>,
    Object<'py>,
    Object<'py>,
    Object<'py>,
);

/// Weights that are held while they are read.
struct Weights<const COUNT: usize>([Exported<f32>; COUNT]);

impl<const COUNT: usize> Weights<COUNT> {
    /// Take their memory; each must have as many numbers as are wanted, if this is known.
    fn new(names: [&str; COUNT], objects: [&Object<'_>; COUNT]) -> PyResult<Self> {
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

    fn slices(&self) -> [&[f32]; COUNT] {
        std::array::from_fn(|place| self.0[place].as_slice())
    }

    fn slices_mut(&mut self) -> [&mut [f32]; COUNT] {
        self.0.each_mut().map(Exported::as_mut_slice)
    }

    fn require(&self, names: [&str; COUNT], wanted: [usize; COUNT]) -> PyResult<()> {
        for ((name, slice), wanted) in names.into_iter().zip(self.slices()).zip(wanted) {
            require(name, slice.len(), wanted)?;
        }
        Ok(())
    }
}

fn bias_of(bias: &[f32]) -> Option<&[f32]> {
    (!bias.is_empty()).then_some(bias)
}

const OF_ENTRY: [&str; 3] = ["norm", "weight", "bias"];
const OF_UPDATE: [&str; 6] = ["out", "bias", "norm", "up", "gate", "down"];

/// Write the parts of a projection of normed tokens, and the projection where it is wanted.
#[pyfunction]
#[pyo3(signature = (x, weights, angles, projection, outs, *, shape, pooling, epsilons, threads))]
#[allow(clippy::too_many_arguments)]
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
#[allow(clippy::too_many_arguments)]
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
        backward_entry(pair, entry, &strided(&gradients), out, threads);
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

/// Write what tokens become of what they read, and what the backward pass needs where it is wanted.
#[pyfunction]
#[pyo3(signature = (x, read, weights, kept, out, *, epsilon, threads))]
#[allow(clippy::too_many_arguments)]
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
    let (x, read) = (ExportedRows::new("x", x)?, ExportedRows::new("read", read)?);
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
        let pair = [matrix(&x), matrix(&read)];
        let update = update(&weights, epsilon);
        forward_update(pair, update, kept, out.as_mut_slice(), threads);
        Ok(())
    })
}

/// Write the gradients of the tokens, of what they read (both first) and of the weights.
#[pyfunction]
#[pyo3(signature = (g, read, kept, weights, outs, *, epsilon, threads))]
#[allow(clippy::too_many_arguments)]
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
    let (g, read) = (ExportedRows::new("g", g)?, ExportedRows::new("read", read)?);
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
        [width, read.shape().1].map(|columns| rows * columns),
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
        let pair = [matrix(&g), matrix(&read)];
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
fn update_of(x: &ExportedRows, read: &ExportedRows, weights: &Weights<6>) -> PyResult<usize> {
    let (rows, width) = x.shape();
    let (read_rows, columns) = read.shape();
    require("read", read_rows, rows)?;
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
