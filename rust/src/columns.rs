//! Which neurons of a row a window has, prepared once for all its rows.

use crate::lines::SLACK;
use crate::scaling::Scaling;

/// Columns that one bit each says of whether they are taken.
pub const GROUP: usize = 8;

/// The columns of one window, and how their numbers are scaled.
#[derive(Debug, Default)]
pub struct Columns {
    indices: Vec<u32>,
    masks: Vec<u8>,
    shift: Vec<f32>,
    scale: Vec<f32>,
    population: usize,
    is_ascending: bool,
}

impl Columns {
    /// Take `neurons` of a session; the memory of the columns before is used again.
    ///
    /// # Errors
    /// The neuron that does not exist.
    pub fn choose(&mut self, neurons: &[i64], scaling: &Scaling) -> Result<(), i64> {
        self.population = scaling.scale.len();
        self.is_ascending = false;
        self.indices.clear();
        self.scale.clear();
        self.shift.clear();
        for neuron in neurons {
            let index = u32::try_from(*neuron).map_err(|_| *neuron)?;
            let scale = scaling.scale.get(index as usize).ok_or(*neuron)?;
            self.indices.push(index);
            self.scale.push(*scale);
        }
        if let Some(shift) = &scaling.shift {
            let indices = self.indices.iter();
            self.shift
                .extend(indices.map(|index| shift[*index as usize]));
        }
        self.is_ascending = neurons.windows(2).all(|pair| pair[0] < pair[1]);
        self.mark();
        Ok(())
    }

    fn mark(&mut self) {
        self.masks.clear();
        if self.is_ascending {
            self.masks.resize(self.population.div_ceil(GROUP), 0);
            for index in &self.indices {
                let index = *index as usize;
                self.masks[index / GROUP] |= 1 << (index % GROUP);
            }
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.indices.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.indices.is_empty()
    }

    /// Columns of a stored row; every index is below it.
    pub fn population(&self) -> usize {
        self.population
    }

    /// Places in a stored row, in the window's order.
    pub fn indices(&self) -> &[u32] {
        &self.indices
    }

    /// A bit for each column of a stored row, set where it is taken; none where the order is not
    /// ascending. As many bits are set as there are columns here.
    pub fn masks(&self) -> Option<&[u8]> {
        self.is_ascending.then_some(&self.masks[..])
    }

    /// Check what packing by whole groups relies on, and give the masks of a row's whole groups.
    ///
    /// There are `GROUP` numbers of `size` bytes in the row for each mask, and room for as many
    /// numbers as bits are set in the masks and `SLACK` more.
    pub(crate) fn whole_groups(&self, row: &[u8], size: usize, room: usize) -> &[u8] {
        assert_eq!(row.len(), self.population * size, "a row");
        assert!(self.len() + SLACK <= room, "no room");
        let masks = self.masks().unwrap_or_default();
        &masks[..masks.len().min(self.population / GROUP)]
    }

    /// What is subtracted from each column; none where nothing is.
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
    use crate::lines::Greys;

    fn scaling(shift: f32) -> Scaling {
        Scaling {
            shift: (shift != 0.0).then(|| vec![shift; 11]),
            scale: (1..12_u8).map(f32::from).collect(),
            greys: Greys::new(0.0, 1.0),
            channel_rows: vec![],
            num_channels: 0,
        }
    }

    #[test]
    fn ascending_columns_have_masks_and_others_do_not() {
        let mut columns = Columns::default();
        columns
            .choose(&[0, 3, 7, 8, 10], &scaling(0.0))
            .expect("columns");
        assert_eq!(columns.masks(), Some(&[0b1000_1001, 0b101][..]));
        assert_eq!(columns.scale(), [1.0, 4.0, 8.0, 9.0, 11.0]);
        assert_eq!((columns.shift(), columns.len()), (None, 5));
        for order in [&[3, 0][..], &[4, 4]] {
            columns.choose(order, &scaling(0.5)).expect("columns");
            assert_eq!(columns.masks(), None);
            assert_eq!(columns.shift(), Some(&[0.5, 0.5][..]));
        }
    }

    #[test]
    fn a_neuron_that_does_not_exist_is_named() {
        let mut columns = Columns::default();
        for neuron in [-1, 11, i64::MAX, 1 << 32] {
            assert_eq!(columns.choose(&[2, neuron], &scaling(0.0)), Err(neuron));
        }
    }
}
