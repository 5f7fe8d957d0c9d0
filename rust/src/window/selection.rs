//! The neurons of a window, prepared once for all its rows.

use super::gather::SLACK;
use super::normalization::Normalization;

/// Columns in a group; a mask has one bit for each of them.
pub const GROUP: usize = 8;

/// The selected columns of stored rows, with their normalization.
#[derive(Debug, Default)]
pub struct NeuronSelection {
    indices: Vec<u32>,
    masks: Vec<u8>,
    shift: Vec<f32>,
    scale: Vec<f32>,
    population: usize,
    is_ascending: bool,
}

impl NeuronSelection {
    /// Select `neurons` of a session in place of those before; the memory is reused.
    ///
    /// # Errors
    /// The neuron that does not exist.
    pub fn select(&mut self, neurons: &[i64], normalization: &Normalization) -> Result<(), i64> {
        self.population = normalization.scale.len();
        self.is_ascending = false;
        self.indices.clear();
        self.scale.clear();
        self.shift.clear();
        for neuron in neurons {
            let index = u32::try_from(*neuron).map_err(|_| *neuron)?;
            let scale = normalization.scale.get(index as usize).ok_or(*neuron)?;
            self.indices.push(index);
            self.scale.push(*scale);
        }
        if let Some(shift) = &normalization.shift {
            let indices = self.indices.iter();
            self.shift
                .extend(indices.map(|index| shift[*index as usize]));
        }
        self.is_ascending = neurons.windows(2).all(|pair| pair[0] < pair[1]);
        self.masks.clear();
        if self.is_ascending {
            self.masks.resize(self.population.div_ceil(GROUP), 0);
            for index in &self.indices {
                let index = *index as usize;
                self.masks[index / GROUP] |= 1 << (index % GROUP);
            }
        }
        Ok(())
    }

    /// Number of selected columns.
    pub fn len(&self) -> usize {
        self.indices.len()
    }

    /// Whether no column is selected.
    pub fn is_empty(&self) -> bool {
        self.indices.is_empty()
    }

    /// Number of columns of a stored row; every index is below it.
    pub fn population(&self) -> usize {
        self.population
    }

    /// Selected columns, in the window's order.
    pub fn indices(&self) -> &[u32] {
        &self.indices
    }

    /// One bit for each column of a stored row, set where it is selected; None where the order is
    /// not ascending.
    pub fn masks(&self) -> Option<&[u8]> {
        self.is_ascending.then_some(&self.masks[..])
    }

    /// The masks of a row's whole groups, after a check of what packing by groups relies on.
    ///
    /// For each mask the row has `GROUP` numbers of `size` bytes; `capacity` is at least the number
    /// of bits set and `SLACK` more.
    ///
    /// # Panics
    /// The row or the capacity is too small.
    pub(crate) fn whole_groups(&self, row: &[u8], size: usize, capacity: usize) -> &[u8] {
        assert_eq!(row.len(), self.population * size, "a row");
        assert!(self.len() + SLACK <= capacity, "no room");
        let masks = self.masks().unwrap_or_default();
        &masks[..masks.len().min(self.population / GROUP)]
    }

    /// What is subtracted from each column; None for zeros.
    pub fn shift(&self) -> Option<&[f32]> {
        (self.shift.len() == self.scale.len()).then_some(&self.shift[..])
    }

    /// What divides each column.
    pub fn scale(&self) -> &[f32] {
        &self.scale
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::window::gather::GreyLevels;

    fn normalization(shift: f32) -> Normalization {
        Normalization {
            shift: (shift != 0.0).then(|| vec![shift; 11]),
            scale: (1..12_u8).map(f32::from).collect(),
            grey_levels: GreyLevels::new(0.0, 1.0),
            channel_rows: vec![],
            num_channels: 0,
        }
    }

    #[test]
    fn ascending_columns_have_masks_and_others_do_not() {
        let mut selection = NeuronSelection::default();
        selection
            .select(&[0, 3, 7, 8, 10], &normalization(0.0))
            .expect("columns");
        assert_eq!(selection.masks(), Some(&[0b1000_1001, 0b101][..]));
        assert_eq!(selection.scale(), [1.0, 4.0, 8.0, 9.0, 11.0]);
        assert_eq!((selection.shift(), selection.len()), (None, 5));
        for order in [&[3, 0][..], &[4, 4]] {
            selection
                .select(order, &normalization(0.5))
                .expect("columns");
            assert_eq!(selection.masks(), None);
            assert_eq!(selection.shift(), Some(&[0.5, 0.5][..]));
        }
    }

    #[test]
    fn a_neuron_that_does_not_exist_is_named() {
        let mut selection = NeuronSelection::default();
        for neuron in [-1, 11, i64::MAX, 1 << 32] {
            assert_eq!(
                selection.select(&[2, neuron], &normalization(0.0)),
                Err(neuron)
            );
        }
    }
}
