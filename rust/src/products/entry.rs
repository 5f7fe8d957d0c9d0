//! Into attention: tokens are normed, projected and cut into heads, which are normed and turned.

use super::panels::{Panels, add_turned, multiply};
use super::sums::{add, add_rows, sum_parts};
use super::{from_row, rows, rows_at_once, rows_of_part};
use crate::blocks::{ALONE, Matrix, share};
use crate::rows::{
    Heads, Strided, Weighing, backward_heads, backward_norm, forward_heads, forward_norm,
};

/// What tokens go through on their way into attention.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// What they are normed with.
    pub norm: Weighing<'a>,
    /// A row of a token's width for each number of the projection.
    pub weight: &'a [f32],
    /// Added to the projection.
    pub bias: Option<&'a [f32]>,
    /// What the projection is cut into.
    pub heads: Heads,
    /// What heads are turned by, of `turns_of`.
    pub turns: Option<&'a [f32]>,
}

/// The gradients of an entry, without gaps.
pub struct EntryGradients<'a> {
    /// Of the tokens.
    pub x: &'a mut [f32],
    /// Of the norm's weight.
    pub norm: &'a mut [f32],
    /// Of the projection's weight.
    pub weight: &'a mut [f32],
    /// Of the projection's bias; empty without one.
    pub bias: &'a mut [f32],
}

/// What some items' parts are written to, and their projection where it is wanted.
type Task<'a> = (Vec<&'a mut [f32]>, Option<&'a mut [f32]>);

impl Entry<'_> {
    fn width(&self) -> usize {
        self.norm.weight.len()
    }

    /// Tokens of the items that are worked on together.
    fn tokens_at_once(&self) -> usize {
        let rows = rows_at_once(self.width() + self.heads.columns());
        (rows / self.heads.tokens).max(1) * self.heads.tokens
    }
}

/// Write every part of the projection of normed tokens, head by head.
///
/// # Arguments
/// `projection` is written for `backward_entry`, where it is wanted; `outs` has one for each part,
/// without gaps. Whatever the number of threads, the result is the same to the bit.
///
/// # Panics
/// Sizes do not fit each other.
pub fn forward_entry(
    x: Matrix<'_>,
    entry: Entry<'_>,
    projection: Option<&mut [f32]>,
    outs: Vec<&mut [f32]>,
    threads: usize,
) {
    let (heads, count) = (entry.heads, entry.tokens_at_once());
    let total: usize = outs.iter().map(|out| out.len()).sum();
    let mut tasks: Vec<Task<'_>> = Vec::new();
    for (part, out) in outs.into_iter().enumerate() {
        let items = count / heads.tokens;
        let size = items * heads.heads * heads.tokens_of(part) * heads.width;
        for (number, piece) in out.chunks_mut(size.max(1)).enumerate() {
            if part == 0 {
                tasks.push((Vec::with_capacity(heads.parts), None));
            }
            tasks[number].0.push(piece);
        }
    }
    if let Some(projection) = projection {
        let pieces = projection.chunks_mut(count * heads.columns());
        for (task, piece) in tasks.iter_mut().zip(pieces) {
            task.1 = Some(piece);
        }
    }
    let threads = if total < ALONE { 1 } else { threads };
    let tasks: Vec<_> = tasks.into_iter().enumerate().collect();
    let panels = Panels::turned(entry.weight, [entry.width(), heads.columns()]);
    share(tasks, threads, |(number, task)| {
        forward_rows(from_row(x, number * count), entry, &panels, task);
    });
}

fn forward_rows(x: Matrix<'_>, entry: Entry<'_>, panels: &Panels, (outs, kept): Task<'_>) {
    let (heads, width) = (entry.heads, entry.width());
    let items = outs[0].len() / (heads.heads * heads.tokens_of(0) * heads.width);
    let mut own = Vec::new();
    let projection = kept.unwrap_or_else(|| {
        own.resize(items * heads.tokens * heads.columns(), 0.0);
        &mut own
    });
    let mut normed = vec![0.0; items * heads.tokens * width];
    forward_norm(x, entry.norm, &mut normed, 1);
    if let Some(bias) = entry.bias {
        for row in projection.chunks_mut(bias.len()) {
            row.copy_from_slice(bias);
        }
    }
    multiply(
        rows(&normed, width),
        panels,
        projection,
        entry.bias.is_some(),
    );
    let projection = rows(projection, heads.columns());
    forward_heads(projection, heads, entry.turns, outs);
}

/// Write the gradients of tokens and weights.
///
/// # Arguments
/// As in `forward_entry`; `g` are the gradients of what that wrote, part by part, and `projection`
/// is what it kept.
///
/// # Panics
/// Sizes do not fit each other.
pub fn backward_entry(
    [x, projection]: [Matrix<'_>; 2],
    entry: Entry<'_>,
    g: &[Strided<'_>],
    out: EntryGradients<'_>,
    threads: usize,
) {
    let (heads, width, count) = (entry.heads, entry.width(), entry.tokens_at_once());
    let total = out.x.len() / width.max(1);
    let of_part = rows_of_part(total, count);
    let threads = if out.x.len() < ALONE { 1 } else { threads };
    let weight = Panels::new(rows(entry.weight, width), [heads.columns(), width]);
    let parts: Vec<_> = out.x.chunks_mut(of_part * width).enumerate().collect();
    let mut sums = [out.norm, out.weight, out.bias];
    sum_parts(parts, &mut sums, threads, |(part, dx), sums| {
        let mut scratch = Scratch::new(entry);
        for (number, dx) in dx.chunks_mut(count * width).enumerate() {
            let first = part * of_part + number * count;
            let item = first / heads.tokens;
            let g: Vec<_> = g.iter().map(|g| g.starting_at(item)).collect();
            let pair = [x, projection].map(|matrix| from_row(matrix, first));
            scratch.backward_rows(pair, (entry, &weight), &g, dx, sums);
        }
    });
}

/// Memory for the tokens that are worked on together.
struct Scratch {
    of_projection: Vec<f32>,
    normed: Vec<f32>,
    of_normed: Vec<f32>,
    of_norm: Vec<f32>,
    panels: Panels,
}

impl Scratch {
    fn new(entry: Entry<'_>) -> Self {
        let (width, count) = (entry.width(), entry.tokens_at_once());
        Self {
            of_projection: vec![0.0; count * entry.heads.columns()],
            normed: vec![0.0; count * width],
            of_normed: vec![0.0; count * width],
            of_norm: vec![0.0; width],
            panels: Panels::new(rows(&[], width), [0, width]),
        }
    }

    /// Write the gradient of some tokens, and add to those of the weights.
    fn backward_rows(
        &mut self,
        [x, projection]: [Matrix<'_>; 2],
        (entry, weight): (Entry<'_>, &Panels),
        g: &[Strided<'_>],
        dx: &mut [f32],
        sums: &mut [&mut [f32]],
    ) {
        let (width, columns) = (entry.width(), entry.heads.columns());
        let count = dx.len() / width;
        let of_projection = &mut self.of_projection[..count * columns];
        let normed = &mut self.normed[..dx.len()];
        let of_normed = &mut self.of_normed[..dx.len()];
        backward_heads(projection, entry.heads, entry.turns, g, of_projection);
        forward_norm(x, entry.norm, normed, 1);
        self.panels.fill(rows(normed, width), count);
        let gradient = rows(of_projection, columns);
        add_turned(gradient, columns, &self.panels, sums[1]);
        multiply(gradient, weight, of_normed, false);
        if !sums[2].is_empty() {
            add_rows(of_projection, sums[2]);
        }
        let pair = [rows(of_normed, width), x];
        backward_norm(pair, entry.norm, (dx, &mut self.of_norm), 1);
        add(&self.of_norm, sums[0]);
    }
}
