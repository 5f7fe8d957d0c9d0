//! Dendritic units over memory that Python allocated, without the GIL.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use super::gil::released;
use crate::blocks::Matrix;
use crate::dendrite::{Gradients, Inner, Shape, backward, forward};
use crate::memory::{Exported, ExportedRows};

/// Hidden units, hidden layers, and the name of the non-linearity.
type Network<'a> = (usize, usize, &'a str);

/// Write f(a, b) of every element into `out`.
#[pyfunction]
#[pyo3(signature = (a, b, weights, out, *, network, threads))]
pub(super) fn dendrite_forward(
    py: Python<'_>,
    a: &Bound<'_, PyAny>,
    b: &Bound<'_, PyAny>,
    weights: &Bound<'_, PyAny>,
    out: &Bound<'_, PyAny>,
    network: Network<'_>,
    threads: usize,
) -> PyResult<()> {
    let (a, b) = (ExportedRows::new("a", a)?, ExportedRows::new("b", b)?);
    let weights = ExportedRows::new("weights", weights)?;
    let mut out = Exported::new("out", out)?;
    let shape = shape_of(network, &weights, &[&a, &b])?;
    let (rows, columns) = a.shape();
    require("out", out.as_slice().len(), rows * columns)?;
    released(py, || {
        let inputs = [matrix(&a), matrix(&b)];
        let weights = (weights.as_slice(), shape);
        forward(inputs, columns, weights, out.as_mut_slice(), threads);
        Ok(())
    })
}

/// Write the gradients of a, b and the weights; without `db`, `da` holds both, row by row.
#[pyfunction]
#[pyo3(signature = (g, a, b, weights, da, db, dweights, *, network, threads))]
#[allow(clippy::too_many_arguments)]
pub(super) fn dendrite_backward(
    py: Python<'_>,
    g: &Bound<'_, PyAny>,
    a: &Bound<'_, PyAny>,
    b: &Bound<'_, PyAny>,
    weights: &Bound<'_, PyAny>,
    da: &Bound<'_, PyAny>,
    db: Option<&Bound<'_, PyAny>>,
    dweights: &Bound<'_, PyAny>,
    network: Network<'_>,
    threads: usize,
) -> PyResult<()> {
    let g = ExportedRows::new("g", g)?;
    let (a, b) = (ExportedRows::new("a", a)?, ExportedRows::new("b", b)?);
    let weights = ExportedRows::new("weights", weights)?;
    let mut da = Exported::new("da", da)?;
    let mut db = db.map(|object| Exported::new("db", object)).transpose()?;
    let mut of_weights = Exported::new("dweights", dweights)?;
    let shape = shape_of(network, &weights, &[&a, &b, &g])?;
    let (rows, columns) = a.shape();
    let packed = if db.is_some() { 1 } else { 2 };
    require("da", da.as_slice().len(), packed * rows * columns)?;
    if let Some(db) = &db {
        require("db", db.as_slice().len(), rows * columns)?;
    }
    require(
        "dweights",
        of_weights.as_slice().len(),
        weights.as_slice().len(),
    )?;
    released(py, || {
        let of_arguments = match &mut db {
            Some(db) => Gradients::Apart(da.as_mut_slice(), db.as_mut_slice()),
            None => Gradients::Packed(da.as_mut_slice()),
        };
        let inputs = [matrix(&g), matrix(&a), matrix(&b)];
        let outputs = (of_arguments, of_weights.as_mut_slice());
        backward(
            inputs,
            columns,
            (weights.as_slice(), shape),
            outputs,
            threads,
        );
        Ok(())
    })
}

pub(super) fn matrix(rows: &ExportedRows) -> Matrix<'_> {
    Matrix {
        data: rows.as_slice(),
        stride: rows.stride(),
    }
}

/// Check that everything fits, and give the shape of the inner network.
fn shape_of(
    (hidden, depth, inner): Network<'_>,
    weights: &ExportedRows,
    matrices: &[&ExportedRows],
) -> PyResult<Shape> {
    let inner = match inner {
        "relu" => Inner::Relu,
        "smoothstep" => Inner::Smoothstep,
        _ => return Err(wrong(format!("there is no inner non-linearity {inner}"))),
    };
    if !(1..=crate::dendrite::MAX_HIDDEN).contains(&hidden) || !(1..=2).contains(&depth) {
        let message = format!("an inner network cannot have {depth} layers of {hidden} units");
        return Err(wrong(message));
    }
    let shape = Shape {
        hidden,
        is_deep: depth == 2,
        inner,
    };
    let (types, found) = weights.shape();
    require("weights", found, shape.num_weights())?;
    if types > 1 {
        require("weights", weights.stride(), found)?;
    }
    require_shared(types, matrices)?;
    Ok(shape)
}

/// Check that matrices have one shape, with equal shares for every cell type.
pub(super) fn require_shared(types: usize, matrices: &[&ExportedRows]) -> PyResult<()> {
    let (rows, columns) = matrices[0].shape();
    if types == 0 || columns % types > 0 {
        return Err(wrong(format!(
            "{types} cell types cannot share {columns} units"
        )));
    }
    if matrices
        .iter()
        .any(|matrix| matrix.shape() != (rows, columns))
    {
        return Err(wrong("arguments must have one shape".into()));
    }
    Ok(())
}

pub(super) fn require(name: &str, found: usize, wanted: usize) -> PyResult<()> {
    if found == wanted {
        return Ok(());
    }
    Err(wrong(format!(
        "`{name}` must have {wanted} numbers: {found}"
    )))
}

pub(super) fn wrong(message: String) -> PyErr {
    PyValueError::new_err(message)
}
