//! Heads of attention over memory that Python allocated, without the GIL.

use pyo3::prelude::*;

use super::dendrite::{matrix, require, wrong};
use super::gil::released;
use crate::memory::{Exported, ExportedHeads, ExportedRows};
use crate::rows::{Heads, Pooling, Strided, backward_heads, forward_heads, turns_of};

/// Tokens of an item, parts, normed parts, heads, and the width of a head.
pub(super) type Shape = (usize, usize, usize, usize, usize);
/// Cosines and sines of every token's pairs.
pub(super) type Angles<'py> = (Bound<'py, PyAny>, Bound<'py, PyAny>);

/// Write every part of a projection, head by head, queries and keys normed and turned.
#[pyfunction]
#[pyo3(signature = (projection, angles, outs, *, shape, pooling, epsilon, threads))]
#[allow(clippy::too_many_arguments, clippy::needless_pass_by_value)]
pub(super) fn heads_forward<'py>(
    py: Python<'py>,
    projection: &Bound<'py, PyAny>,
    angles: Option<Angles<'py>>,
    outs: Vec<Bound<'py, PyAny>>,
    shape: Shape,
    pooling: (usize, bool),
    epsilon: f32,
    threads: usize,
) -> PyResult<()> {
    let projection = ExportedRows::new("projection", projection)?;
    let (heads, items) = heads_of(projection.shape(), shape, pooling, epsilon)?;
    let turns = turns(angles, heads)?;
    let mut exported = parts_of(&outs, heads, items)?;
    released(py, || {
        let outs = exported.iter_mut().map(Exported::as_mut_slice).collect();
        let turns = turns.as_deref();
        forward_heads(matrix(&projection), heads, turns, outs, threads);
        Ok(())
    })
}

/// Write the gradient of a projection.
#[pyfunction]
#[pyo3(signature = (gs, projection, angles, dprojection, *, shape, pooling, epsilon, threads))]
#[allow(clippy::too_many_arguments, clippy::needless_pass_by_value)]
pub(super) fn heads_backward<'py>(
    py: Python<'py>,
    gs: Vec<Bound<'py, PyAny>>,
    projection: &Bound<'py, PyAny>,
    angles: Option<Angles<'py>>,
    dprojection: &Bound<'py, PyAny>,
    shape: Shape,
    pooling: (usize, bool),
    epsilon: f32,
    threads: usize,
) -> PyResult<()> {
    let projection = ExportedRows::new("projection", projection)?;
    let mut of_projection = Exported::new("dprojection", dprojection)?;
    let (heads, items) = heads_of(projection.shape(), shape, pooling, epsilon)?;
    let turns = turns(angles, heads)?;
    let wanted = items * heads.tokens * heads.columns();
    require("dprojection", of_projection.as_slice().len(), wanted)?;
    let exported = gradients_of(&gs, heads, items)?;
    released(py, || {
        let gs: Vec<_> = exported.iter().map(strided).collect();
        let (turns, of_projection) = (turns.as_deref(), of_projection.as_mut_slice());
        backward_heads(
            matrix(&projection),
            heads,
            turns,
            &gs,
            of_projection,
            threads,
        );
        Ok(())
    })
}

/// Take the memory of every part.
pub(super) fn parts_of(
    outs: &[Bound<'_, PyAny>],
    heads: Heads,
    items: usize,
) -> PyResult<Vec<Exported<f32>>> {
    require("outs", outs.len(), heads.parts)?;
    let part = |(part, out): (usize, &Bound<'_, PyAny>)| {
        let out = Exported::new("outs", out)?;
        let wanted = items * heads.heads * heads.tokens_of(part) * heads.width;
        require("outs", out.as_slice().len(), wanted)?;
        Ok(out)
    };
    outs.iter().enumerate().map(part).collect()
}

/// Take the memory of the gradient of every part.
pub(super) fn gradients_of(
    gs: &[Bound<'_, PyAny>],
    heads: Heads,
    items: usize,
) -> PyResult<Vec<ExportedHeads>> {
    require("gs", gs.len(), heads.parts)?;
    let part = |(part, g): (usize, &Bound<'_, PyAny>)| {
        let g = ExportedHeads::new("gs", g)?;
        let wanted = [items, heads.heads, heads.tokens_of(part), heads.width];
        if g.shape() == wanted {
            return Ok(g);
        }
        let found = g.shape();
        Err(wrong(format!("`gs` must have shape {wanted:?}: {found:?}")))
    };
    gs.iter().enumerate().map(part).collect()
}

/// See heads as rows by item, head and token.
pub(super) fn strided(heads: &ExportedHeads) -> Strided<'_> {
    Strided {
        data: heads.as_slice(),
        strides: heads.strides(),
    }
}

/// Check that a projection has whole items of such rows; give what they are and how many.
pub(super) fn heads_of(
    (rows, columns): (usize, usize),
    (tokens, parts, normed, heads, width): Shape,
    (pooled, are_neighbours): (usize, bool),
    epsilon: f32,
) -> PyResult<(Heads, usize)> {
    require("projection", columns, parts * heads * width)?;
    if tokens == 0 || width == 0 || !rows.is_multiple_of(tokens) {
        let message = format!("{rows} rows cannot be shared by items of {tokens} tokens");
        return Err(wrong(message));
    }
    if pooled == 0 || !tokens.is_multiple_of(pooled) {
        return Err(wrong(format!(
            "{pooled} of {tokens} tokens cannot be a query"
        )));
    }
    let heads = Heads {
        tokens,
        parts,
        normed,
        heads,
        width,
        pooling: Pooling {
            tokens: pooled,
            are_neighbours,
        },
        epsilon,
    };
    Ok((heads, rows / tokens))
}

/// Lay out the angles, if there are some, as the heads need them.
pub(super) fn turns(angles: Option<Angles<'_>>, heads: Heads) -> PyResult<Option<Vec<f32>>> {
    let Some((cos, sin)) = angles else {
        return Ok(None);
    };
    let (cos, sin) = (
        ExportedRows::new("cos", &cos)?,
        ExportedRows::new("sin", &sin)?,
    );
    let wanted = (heads.tokens, heads.width / 2);
    if !heads.width.is_multiple_of(2) || cos.shape() != wanted || sin.shape() != wanted {
        let (found, width) = (cos.shape(), heads.width);
        return Err(wrong(format!(
            "angles must have shape {wanted:?}, with heads of even width: {found:?}, {width}"
        )));
    }
    let (tokens, pairs) = wanted;
    Ok(Some(turns_of(matrix(&cos), matrix(&sin), tokens, pairs)))
}
