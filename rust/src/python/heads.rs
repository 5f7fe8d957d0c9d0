//! Heads of attention in memory that Python allocated.

use pyo3::prelude::*;

use super::dendrite::{matrix, require, wrong};
use crate::memory::{Exported, ExportedHeads, ExportedRows};
use crate::rows::{Heads, Pooling, Strided, turns_of};

/// Tokens of an item, parts, normed parts, heads, and the width of a head.
pub(super) type Shape = (usize, usize, usize, usize, usize);
/// Cosines and sines of every token's pairs.
pub(super) type Angles<'py> = (Bound<'py, PyAny>, Bound<'py, PyAny>);

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
