//! The dendritic function on arrays that Python allocated.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use super::gil::without_gil;
use crate::dendrite::{
    ArgumentGradients, MAX_HIDDEN, Matrix, Nonlinearity, Shape, backward, forward,
};
use crate::memory::{RowArray, WritableArray};

/// Hidden units, hidden layers, and the name of the nonlinearity.
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
    let (a, b) = (RowArray::new("a", a)?, RowArray::new("b", b)?);
    let weights = RowArray::new("weights", weights)?;
    let mut out = WritableArray::new("out", out)?;
    let shape = shape_of(network, &weights, &[&a, &b])?;
    let (rows, columns) = a.shape();
    require_length("out", out.as_slice().len(), rows * columns)?;
    without_gil(py, || {
        let inputs = [matrix(&a), matrix(&b)];
        let weights = (weights.as_slice(), shape);
        forward(inputs, columns, weights, out.as_mut_slice(), threads);
        Ok(())
    })
}

/// Write the gradients of a, b and the weights; without `db`, `da` has the rows of both.
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
    let g = RowArray::new("g", g)?;
    let (a, b) = (RowArray::new("a", a)?, RowArray::new("b", b)?);
    let weights = RowArray::new("weights", weights)?;
    let mut da = WritableArray::new("da", da)?;
    let mut db = db
        .map(|object| WritableArray::new("db", object))
        .transpose()?;
    let mut of_weights = WritableArray::new("dweights", dweights)?;
    let shape = shape_of(network, &weights, &[&a, &b, &g])?;
    let (rows, columns) = a.shape();
    let packed = if db.is_some() { 1 } else { 2 };
    require_length("da", da.as_slice().len(), packed * rows * columns)?;
    if let Some(db) = &db {
        require_length("db", db.as_slice().len(), rows * columns)?;
    }
    require_length(
        "dweights",
        of_weights.as_slice().len(),
        weights.as_slice().len(),
    )?;
    without_gil(py, || {
        let of_arguments = match &mut db {
            Some(db) => ArgumentGradients::Separate(da.as_mut_slice(), db.as_mut_slice()),
            None => ArgumentGradients::Packed(da.as_mut_slice()),
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

fn matrix(rows: &RowArray) -> Matrix<'_> {
    Matrix {
        data: rows.as_slice(),
        stride: rows.stride(),
    }
}

/// Check the sizes; returns the shape of the inner network.
fn shape_of(
    (hidden, depth, nonlinearity): Network<'_>,
    weights: &RowArray,
    matrices: &[&RowArray],
) -> PyResult<Shape> {
    let nonlinearity = match nonlinearity {
        "relu" => Nonlinearity::Relu,
        "smoothstep" => Nonlinearity::Smoothstep,
        _ => {
            return Err(value_error(format!(
                "the nonlinearity must be relu or smoothstep: {nonlinearity}"
            )));
        }
    };
    if !(1..=MAX_HIDDEN).contains(&hidden) || !(1..=2).contains(&depth) {
        let message = format!("an inner network cannot have {depth} layers of {hidden} units");
        return Err(value_error(message));
    }
    let shape = Shape {
        hidden,
        is_deep: depth == 2,
        nonlinearity,
    };
    let (types, found) = weights.shape();
    require_length("weights", found, shape.num_weights())?;
    if types > 1 {
        require_length("weights", weights.stride(), found)?;
    }
    let (rows, columns) = matrices[0].shape();
    if types == 0 || columns % types > 0 {
        let message = format!("{columns} units cannot be divided among {types} cell types");
        return Err(value_error(message));
    }
    let is_other = |matrix: &&RowArray| matrix.shape() != (rows, columns);
    if matrices.iter().any(is_other) {
        return Err(value_error("arguments must have one shape".into()));
    }
    Ok(shape)
}

fn require_length(name: &str, found: usize, required: usize) -> PyResult<()> {
    if found == required {
        return Ok(());
    }
    Err(value_error(format!(
        "`{name}` must have {required} numbers: {found}"
    )))
}

fn value_error(message: String) -> PyErr {
    PyValueError::new_err(message)
}
