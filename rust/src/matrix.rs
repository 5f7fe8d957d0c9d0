//! Rows of equal length at a place in a file.

use std::ops::Range;

use crate::header::{Dtype, Header, Tensor};

/// Rows of equal length at a place in the file.
#[derive(Clone, Debug)]
pub struct Matrix {
    /// How the numbers are stored.
    pub dtype: Dtype,
    /// Numbers in a row.
    pub columns: usize,
    /// Rows.
    pub rows: usize,
    bytes: Range<usize>,
}

impl Matrix {
    /// See a tensor as rows; its bytes must be those of the rows.
    pub fn new(tensor: &Tensor, rows: usize, columns: usize) -> Self {
        Self {
            dtype: tensor.dtype,
            columns,
            rows,
            bytes: tensor.bytes.clone(),
        }
    }

    /// Bytes of one row.
    pub fn row_bytes(&self) -> usize {
        self.columns * self.dtype.size()
    }

    /// The bytes of some rows, which must exist.
    ///
    /// # Panics
    /// They do not.
    pub fn range(&self, rows: Range<usize>) -> Range<usize> {
        assert!(rows.end <= self.rows, "rows {rows:?} of {}", self.rows);
        let place = |row: usize| self.bytes.start + row * self.row_bytes();
        place(rows.start)..place(rows.end)
    }
}

/// Find a tensor of one of some types.
///
/// # Errors
/// There is none.
pub fn tensor<'a>(
    header: &'a Header,
    name: &str,
    kinds: &[Dtype],
) -> std::result::Result<&'a Tensor, String> {
    let tensor = header
        .tensors
        .get(name)
        .ok_or_else(|| format!("it has no tensor {name}"))?;
    if !kinds.contains(&tensor.dtype) {
        return Err(format!(
            "tensor {name} is {:?}, not {kinds:?}",
            tensor.dtype
        ));
    }
    Ok(tensor)
}

/// Find a tensor of one of some types and of a shape.
///
/// # Errors
/// There is none.
pub fn matrix(
    header: &Header,
    name: &str,
    kinds: &[Dtype],
    shape: &[usize; 2],
) -> std::result::Result<Matrix, String> {
    let tensor = tensor(header, name, kinds)?;
    if tensor.shape != shape {
        let found = &tensor.shape;
        return Err(format!(
            "tensor {name} has shape {found:?}, its description {shape:?}"
        ));
    }
    Ok(Matrix::new(tensor, shape[0], shape[1]))
}
