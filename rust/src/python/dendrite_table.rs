//! Frozen dendritic units over memory that Python allocated, without the GIL.

use pyo3::prelude::*;

use super::dendrite::{matrix, require, require_shared, wrong};
use super::gil::released;
use crate::dendrite::{Gradients, Grid, PAIR, backward_served, forward_served};
use crate::memory::{Exported, ExportedRows};

/// Places of a table are counted in float32, which has all whole numbers up to 2^23.
const MAX_CELLS: usize = 2048;

/// Write f(a, b) of every element into `out`, read from tables.
#[pyfunction]
#[pyo3(signature = (a, b, tables, out, *, reach, threads))]
pub(super) fn dendrite_table_forward(
    py: Python<'_>,
    a: &Bound<'_, PyAny>,
    b: &Bound<'_, PyAny>,
    tables: &Bound<'_, PyAny>,
    out: &Bound<'_, PyAny>,
    reach: f32,
    threads: usize,
) -> PyResult<()> {
    let (a, b) = (ExportedRows::new("a", a)?, ExportedRows::new("b", b)?);
    let tables = ExportedRows::new("tables", tables)?;
    let mut out = Exported::new("out", out)?;
    let grid = grid_of(&tables, reach, &[&a, &b])?;
    let (rows, columns) = a.shape();
    require("out", out.as_slice().len(), rows * columns)?;
    released(py, || {
        let inputs = [matrix(&a), matrix(&b)];
        let tables = (tables.as_slice(), grid);
        forward_served(inputs, columns, tables, out.as_mut_slice(), threads);
        Ok(())
    })
}

/// Write the gradients of a and b; without `db`, `da` holds both, row by row.
#[pyfunction]
#[pyo3(signature = (g, a, b, tables, da, db, *, reach, threads))]
#[allow(clippy::too_many_arguments)]
pub(super) fn dendrite_table_backward(
    py: Python<'_>,
    g: &Bound<'_, PyAny>,
    a: &Bound<'_, PyAny>,
    b: &Bound<'_, PyAny>,
    tables: &Bound<'_, PyAny>,
    da: &Bound<'_, PyAny>,
    db: Option<&Bound<'_, PyAny>>,
    reach: f32,
    threads: usize,
) -> PyResult<()> {
    let g = ExportedRows::new("g", g)?;
    let (a, b) = (ExportedRows::new("a", a)?, ExportedRows::new("b", b)?);
    let tables = ExportedRows::new("tables", tables)?;
    let mut da = Exported::new("da", da)?;
    let mut db = db.map(|object| Exported::new("db", object)).transpose()?;
    let grid = grid_of(&tables, reach, &[&a, &b, &g])?;
    let (rows, columns) = a.shape();
    let packed = if db.is_some() { 1 } else { 2 };
    require("da", da.as_slice().len(), packed * rows * columns)?;
    if let Some(db) = &db {
        require("db", db.as_slice().len(), rows * columns)?;
    }
    released(py, || {
        let of_arguments = match &mut db {
            Some(db) => Gradients::Apart(da.as_mut_slice(), db.as_mut_slice()),
            None => Gradients::Packed(da.as_mut_slice()),
        };
        let inputs = [matrix(&g), matrix(&a), matrix(&b)];
        let tables = (tables.as_slice(), grid);
        backward_served(inputs, columns, tables, of_arguments, threads);
        Ok(())
    })
}

/// Check that everything fits, and give the grid of the tables, whose rows are those of matrices.
fn grid_of(tables: &ExportedRows, reach: f32, matrices: &[&ExportedRows]) -> PyResult<Grid> {
    let (rows, numbers) = tables.shape();
    let cells = numbers / PAIR;
    if !(2..=MAX_CELLS).contains(&cells) || !numbers.is_multiple_of(2 * PAIR) {
        return Err(wrong(format!(
            "rows of `tables` must be pairs for an even number of cells up to {MAX_CELLS}: \
             {numbers} numbers"
        )));
    }
    if !(reach > 0.0 && reach.is_finite()) {
        return Err(wrong(format!("`reach` must be positive: {reach}")));
    }
    let grid = Grid { cells, reach };
    require("tables", tables.stride(), numbers)?;
    let types = rows * numbers / grid.num_numbers();
    require("tables", rows * numbers, types * grid.num_numbers())?;
    require_shared(types, matrices)?;
    Ok(grid)
}
