//! Out of attention: what tokens read is projected and added to them, then a gated feed-forward is.

use super::panels::{Panels, add_turned, multiply};
use super::read::Read;
use super::sums::{add, add_rows, sum_parts};
use super::{from_row, rows, rows_at_once, rows_of_part};
use crate::blocks::{ALONE, Matrix, share};
use crate::rows::{Weighing, backward_gate_again, backward_norm, forward_gate, forward_norm};

/// What tokens go through once they have read.
#[derive(Clone, Copy, Debug)]
pub struct Update<'a> {
    /// A row of what was read for each number of a token.
    pub out: &'a [f32],
    /// Added to that projection.
    pub bias: Option<&'a [f32]>,
    /// What tokens are normed with before the feed-forward.
    pub norm: Weighing<'a>,
    /// A row of a token's width for each hidden unit: what is activated, and what gates it.
    pub up_and_gate: [&'a [f32]; 2],
    /// A row of all hidden units for each number of a token.
    pub down: &'a [f32],
}

/// What the backward pass needs, without gaps.
pub struct Kept<'a> {
    /// Tokens once what they read is added.
    pub middle: &'a mut [f32],
    /// Hidden units: what is activated, and what gates it.
    pub hidden: [&'a mut [f32]; 2],
}

/// The gradients of an update, without gaps.
pub struct UpdateGradients<'a> {
    /// Of the tokens.
    pub x: &'a mut [f32],
    /// Of what they read.
    pub read: &'a mut [f32],
    /// Of the weights: out, bias (empty without one), norm, up, gate, down.
    pub weights: [&'a mut [f32]; 6],
}

impl Update<'_> {
    fn width(&self) -> usize {
        self.norm.weight.len()
    }

    fn units(&self) -> usize {
        self.down.len() / self.width().max(1)
    }

    /// Numbers of what a token reads.
    fn columns(&self) -> usize {
        self.out.len() / self.width().max(1)
    }

    /// Tokens that are worked on together.
    fn rows_at_once(&self) -> usize {
        rows_at_once(2 * self.width() + self.columns() + 3 * self.units())
    }

    /// Out, up, gate and down, for products with tokens.
    fn panels(&self) -> [Panels; 4] {
        let (width, units) = (self.width(), self.units());
        [
            Panels::turned(self.out, [self.columns(), width]),
            Panels::turned(self.up_and_gate[0], [width, units]),
            Panels::turned(self.up_and_gate[1], [width, units]),
            Panels::turned(self.down, [units, width]),
        ]
    }

    /// Out, up, gate and down, for products with gradients.
    fn panels_of_gradients(&self) -> [Panels; 4] {
        let (width, units, columns) = (self.width(), self.units(), self.columns());
        [
            Panels::new(rows(self.out, columns), [width, columns]),
            Panels::new(rows(self.up_and_gate[0], width), [units, width]),
            Panels::new(rows(self.up_and_gate[1], width), [units, width]),
            Panels::new(rows(self.down, units), [width, units]),
        ]
    }
}

/// Write what tokens become.
///
/// # Arguments
/// `kept` is written for `backward_update`, where it is wanted; `out` has no gaps. Whatever the
/// number of threads, the result is the same to the bit.
///
/// # Panics
/// Sizes do not fit each other.
pub fn forward_update(
    (x, read): (Matrix<'_>, Read<'_>),
    update: Update<'_>,
    kept: Option<Kept<'_>>,
    out: &mut [f32],
    threads: usize,
) {
    let (width, units) = (update.width(), update.units());
    let count = update.rows_at_once();
    let threads = if out.len() < ALONE { 1 } else { threads };
    let pieces = out.chunks_mut(count * width);
    let mut tasks: Vec<_> = pieces.map(|out| (out, None)).collect();
    if let Some(Kept { middle, hidden }) = kept {
        let [first, second] = hidden.map(|numbers| numbers.chunks_mut(count * units));
        let pieces = middle.chunks_mut(count * width).zip(first.zip(second));
        for (task, (middle, (first, second))) in tasks.iter_mut().zip(pieces) {
            let hidden = [first, second];
            task.1 = Some(Kept { middle, hidden });
        }
    }
    let tasks: Vec<_> = tasks.into_iter().enumerate().collect();
    let panels = update.panels();
    share(tasks, threads, |(number, (out, kept))| {
        let x = from_row(x, number * count);
        let mut of_read = vec![0.0; out.len() / width * read.columns()];
        read.gather(number * count, &mut of_read);
        let of_read = rows(&of_read, read.columns());
        let Some(kept) = kept else {
            let hidden = out.len() / width * units;
            let [mut first, mut second] = [0; 2].map(|_| vec![0.0; hidden]);
            let middle = &mut vec![0.0; out.len()];
            let hidden = [&mut first[..], &mut second[..]];
            return forward_rows(
                [x, of_read],
                (update, &panels),
                Kept { middle, hidden },
                out,
            );
        };
        forward_rows([x, of_read], (update, &panels), kept, out);
    });
}

fn forward_rows(
    [x, read]: [Matrix<'_>; 2],
    (update, [of_read, up, gate, down]): (Update<'_>, &[Panels; 4]),
    Kept { middle, hidden }: Kept<'_>,
    out: &mut [f32],
) {
    let (width, units) = (update.width(), update.units());
    for (row, middle) in middle.chunks_mut(width).enumerate() {
        middle.copy_from_slice(x.row(row, width));
        if let Some(bias) = update.bias {
            add(bias, middle);
        }
    }
    multiply(read, of_read, middle, true);
    out.copy_from_slice(middle);
    let mut normed = vec![0.0; out.len()];
    forward_norm(rows(middle, width), update.norm, &mut normed, 1);
    let [first, second] = hidden;
    multiply(rows(&normed, width), up, first, false);
    multiply(rows(&normed, width), gate, second, false);
    let mut gated = vec![0.0; first.len()];
    let arguments = [rows(first, units), rows(second, units)];
    forward_gate(arguments, units, &mut gated, 1);
    multiply(rows(&gated, units), down, out, true);
}

/// Write the gradients of tokens, of what they read, and of the weights.
///
/// # Arguments
/// `g` is the gradient of what `forward_update` wrote, `read` what it was given, and `kept` what it
/// kept: tokens, then both kinds of hidden units.
///
/// # Panics
/// Sizes do not fit each other.
pub fn backward_update(
    (g, read): (Matrix<'_>, Read<'_>),
    kept: [Matrix<'_>; 3],
    update: Update<'_>,
    out: UpdateGradients<'_>,
    threads: usize,
) {
    let (width, columns) = (update.width(), update.columns());
    let total = out.x.len() / width.max(1);
    let count = update.rows_at_once();
    let of_part = rows_of_part(total, count);
    let threads = if out.x.len() < ALONE { 1 } else { threads };
    let pieces = out.x.chunks_mut(of_part * width);
    let parts: Vec<_> = pieces
        .zip(out.read.chunks_mut(of_part * columns))
        .enumerate()
        .collect();
    let panels = update.panels_of_gradients();
    let mut sums = out.weights;
    sum_parts(parts, &mut sums, threads, |(part, (dx, dread)), sums| {
        let mut scratch = Scratch::new(update);
        let pieces = dx.chunks_mut(count * width);
        let pieces = pieces.zip(dread.chunks_mut(count * columns));
        for (number, (dx, dread)) in pieces.enumerate() {
            let first = part * of_part + number * count;
            let g = from_row(g, first);
            let kept = kept.map(|matrix| from_row(matrix, first));
            scratch.feed_forward(g, kept, (update, &panels), dx, sums);
            scratch.projection((read, first), &panels[0], [dx, dread], sums);
        }
    });
}

/// Memory for the tokens that are worked on together.
struct Scratch {
    width: usize,
    /// What is gated, and the gradients of that, of what is activated and of what gates it.
    hidden: [Vec<f32>; 4],
    /// Normed tokens and their gradient.
    tokens: [Vec<f32>; 2],
    of_norm: Vec<f32>,
    of_read: Vec<f32>,
    /// Hidden units, tokens, and what is read.
    panels: [Panels; 3],
}

impl Scratch {
    fn new(update: Update<'_>) -> Self {
        let (width, units, count) = (update.width(), update.units(), update.rows_at_once());
        Self {
            width,
            hidden: [0; 4].map(|_| vec![0.0; count * units]),
            tokens: [0; 2].map(|_| vec![0.0; count * width]),
            of_norm: vec![0.0; width],
            of_read: vec![0.0; count * update.columns()],
            panels: [units, width, update.columns()]
                .map(|columns| Panels::new(rows(&[], columns), [0, columns])),
        }
    }

    /// Write the gradient of tokens before the feed-forward, and add to those of its weights.
    fn feed_forward(
        &mut self,
        g: Matrix<'_>,
        [middle, first, second]: [Matrix<'_>; 3],
        (update, [_, up, gate, down]): (Update<'_>, &[Panels; 4]),
        dx: &mut [f32],
        sums: &mut [&mut [f32]],
    ) {
        let (width, units) = (update.width(), update.units());
        let count = dx.len() / width;
        let hidden = self.hidden.each_mut().map(|all| &mut all[..count * units]);
        let [gated, of_gated, of_first, of_second] = hidden;
        let [normed, of_normed] = self.tokens.each_mut().map(|all| &mut all[..dx.len()]);
        multiply(g, down, of_gated, false);
        let inputs = [rows(of_gated, units), first, second];
        let of_arguments = [&mut *of_first, &mut *of_second];
        backward_gate_again(inputs, units, of_arguments, gated);
        self.panels[0].fill(rows(gated, units), count);
        add_turned(g, width, &self.panels[0], sums[5]);
        forward_norm(middle, update.norm, normed, 1);
        self.panels[1].fill(rows(normed, width), count);
        let [of_first, of_second] = [of_first, of_second].map(|numbers| rows(numbers, units));
        add_turned(of_first, units, &self.panels[1], sums[3]);
        add_turned(of_second, units, &self.panels[1], sums[4]);
        multiply(of_first, up, of_normed, false);
        multiply(of_second, gate, of_normed, true);
        let pair = [rows(of_normed, width), middle];
        backward_norm(pair, update.norm, (dx, &mut self.of_norm), 1);
        add(&self.of_norm, sums[2]);
        for (row, dx) in dx.chunks_mut(width).enumerate() {
            add(g.row(row, width), dx);
        }
    }

    /// Write the gradient of what was read, and add to those of its projection.
    fn projection(
        &mut self,
        (read, first): (Read<'_>, usize),
        out: &Panels,
        [dx, dread]: [&mut [f32]; 2],
        sums: &mut [&mut [f32]],
    ) {
        let gradient = rows(dx, self.width);
        let of_read = &mut self.of_read[..dread.len()];
        read.gather(first, of_read);
        self.panels[2].fill(rows(of_read, read.columns()), dx.len() / self.width);
        add_turned(gradient, self.width, &self.panels[2], sums[0]);
        multiply(gradient, out, dread, false);
        if !sums[1].is_empty() {
            add_rows(dx, sums[1]);
        }
    }
}
