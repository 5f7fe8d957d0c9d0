//! The windows of one session, as runs of consecutive allowed starts.

/// Allowed window starts of one session, as runs of consecutive grid indices.
#[derive(Clone, Debug)]
pub struct WindowTable {
    first: Vec<i64>,
    /// Number of windows in all runs up to and including this one.
    ends: Vec<u64>,
    stride: i64,
}

impl WindowTable {
    /// Runs of `count` starts from `first` on, with a window every `stride` grid steps.
    ///
    /// # Errors
    /// The stride is 0, a count is negative, or the numbers are too large.
    pub fn new(first: &[i64], count: &[i64], stride: u32) -> Result<Self, String> {
        if stride == 0 {
            return Err("`stride_samples` must be positive: 0".into());
        }
        if first.len() != count.len() {
            let (firsts, counts) = (first.len(), count.len());
            return Err(format!(
                "there are {firsts} first starts and {counts} counts"
            ));
        }
        let mut ends = Vec::with_capacity(count.len());
        let mut total = 0_u64;
        for (start, starts) in first.iter().zip(count) {
            let starts = u64::try_from(*starts).map_err(|_| format!("a run of {starts} starts"))?;
            if start.checked_add_unsigned(starts).is_none() {
                return Err(format!("a run of {starts} starts from {start} on"));
            }
            total = total
                .checked_add(starts.div_ceil(u64::from(stride)))
                .ok_or("too many windows")?;
            ends.push(total);
        }
        Ok(Self {
            first: first.to_vec(),
            ends,
            stride: i64::from(stride),
        })
    }

    /// Number of windows of the session.
    pub fn num_windows(&self) -> u64 {
        self.ends.last().copied().unwrap_or(0)
    }

    /// Grid index of a window's first sample.
    ///
    /// # Panics
    /// The window does not exist.
    pub fn grid_index(&self, window: u64) -> i64 {
        let run = self.ends.partition_point(|end| *end <= window);
        let before = if run == 0 { 0 } else { self.ends[run - 1] };
        let within = i64::try_from(window - before).expect("a run fits into the grid");
        self.first[run] + within * self.stride
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_and_strides_give_grid_indices() {
        let table = WindowTable::new(&[5, 100, 200], &[4, 0, 5], 2).expect("runs");
        let all: Vec<i64> = (0..table.num_windows())
            .map(|w| table.grid_index(w))
            .collect();
        assert_eq!(all, [5, 7, 200, 202, 204]);
        assert!(WindowTable::new(&[0], &[-1], 1).is_err());
        assert!(WindowTable::new(&[i64::MAX], &[2], 1).is_err());
        assert!(WindowTable::new(&[0], &[1, 2], 1).is_err());
        assert!(WindowTable::new(&[0], &[1], 0).is_err());
    }
}
