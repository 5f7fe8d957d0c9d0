//! Gradients of weights: sums over rows, of a few parts, so that threads change no bit.

use crate::blocks::share;

/// Rows whose sum is added to that of others.
const FEW: usize = 64;

/// Work on every part of the rows, and add up what each of them sums.
///
/// # Arguments
/// `parts` is what each part works on; `work` adds to sums that start at 0, of the sizes of `outs`.
pub(super) fn sum_parts<T: Send>(
    parts: Vec<T>,
    outs: &mut [&mut [f32]],
    threads: usize,
    work: impl Fn(T, &mut [&mut [f32]]) + Sync,
) {
    for out in outs.iter_mut() {
        out.fill(0.0);
    }
    let mut parts = parts.into_iter();
    let Some(first) = parts.next() else { return };
    let sizes: Vec<usize> = outs.iter().map(|out| out.len()).collect();
    let total: usize = sizes.iter().sum();
    let mut others = vec![0.0; parts.len() * total];
    let mut tasks = vec![(
        first,
        outs.iter_mut().map(|out| &mut **out).collect::<Vec<_>>(),
    )];
    for (part, sums) in parts.zip(others.chunks_mut(total.max(1))) {
        tasks.push((part, cut(sums, &sizes)));
    }
    share(tasks, threads, |(part, mut sums)| work(part, &mut sums));
    for sums in others.chunks(total.max(1)) {
        let numbers = outs.iter_mut().flat_map(|out| out.iter_mut());
        for (out, sum) in numbers.zip(sums) {
            *out += sum;
        }
    }
}

/// Cut numbers into pieces of these sizes.
fn cut<'a>(mut numbers: &'a mut [f32], sizes: &[usize]) -> Vec<&'a mut [f32]> {
    let mut pieces = Vec::with_capacity(sizes.len());
    for size in sizes {
        let (piece, rest) = numbers.split_at_mut(*size);
        pieces.push(piece);
        numbers = rest;
    }
    pieces
}

/// Add the sum of some rows to one.
pub(super) fn add_rows(rows: &[f32], sum: &mut [f32]) {
    // Few are added up by themselves: a sum of very many would round their last bits away.
    for rows in rows.chunks((FEW * sum.len()).max(1)) {
        let mut few = vec![0.0; sum.len()];
        for row in rows.chunks(sum.len().max(1)) {
            add(row, &mut few);
        }
        add(&few, sum);
    }
}

/// Add numbers to numbers.
pub(super) fn add(numbers: &[f32], sum: &mut [f32]) {
    for (sum, number) in sum.iter_mut().zip(numbers) {
        *sum += number;
    }
}
