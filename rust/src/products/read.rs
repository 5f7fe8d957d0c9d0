//! What tokens read, as attention leaves it: head by head.

use crate::rows::Strided;

/// What the heads of attention give to every token.
#[derive(Clone, Copy)]
pub struct Read<'a> {
    /// By item, head and token.
    pub heads: Strided<'a>,
    /// Tokens of an item.
    pub tokens: usize,
    /// Heads, and the numbers of each.
    pub shape: [usize; 2],
}

impl Read<'_> {
    /// Numbers of a token.
    #[must_use]
    pub fn columns(&self) -> usize {
        self.shape[0] * self.shape[1]
    }

    /// Write the rows of tokens from one on, heads side by side.
    pub(super) fn gather(&self, first: usize, rows: &mut [f32]) {
        let [heads, width] = self.shape;
        for (number, row) in rows.chunks_mut(heads * width).enumerate() {
            let (item, token) = (
                (first + number) / self.tokens,
                (first + number) % self.tokens,
            );
            for (head, part) in row.chunks_mut(width).enumerate() {
                part.copy_from_slice(self.heads.row([item, head, token], width));
            }
        }
    }
}
