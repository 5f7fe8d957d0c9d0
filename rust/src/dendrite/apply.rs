//! The dendritic function applied to matrices, block by block on several threads.
//!
//! Blocks depend on the size of the matrices alone, and the sums of blocks are added in their order,
//! so the number of threads changes no bit of the results.

use std::sync::{Arc, Mutex, PoisonError};

use rayon::iter::{IntoParallelIterator, ParallelIterator};
use rayon::{ThreadPool, ThreadPoolBuilder};

use super::network::{Function, Nonlinearity, Relu, Shape, Smoothstep};
use super::one_layer::{self, WeightSums};
use super::tile::{LANES, Tile, load, store};
use super::two_layers;
use crate::memory::{VectorCode, run_vectorized};

/// Elements of a block: worth a thread, and few enough to share the work evenly.
const BLOCK_ELEMENTS: usize = 1 << 16;
/// Smaller matrices are computed by one thread.
const MIN_SHARED_ELEMENTS: usize = 1 << 17;
/// Columns of a matrix without gaps, which is cut into rows of its own.
const FLAT_COLUMNS: usize = 2048;

/// A matrix whose rows lie `stride` numbers apart.
#[derive(Clone, Copy, Debug)]
pub struct Matrix<'a> {
    /// All numbers from the first row's first to the last row's last.
    pub data: &'a [f32],
    /// Numbers from the start of one row to the start of the next.
    pub stride: usize,
}

impl<'a> Matrix<'a> {
    fn row(&self, row: usize, columns: usize) -> &'a [f32] {
        let start = row * self.stride;
        &self.data[start..(start + columns).min(self.data.len())]
    }
}

/// The memory for the gradients of both arguments.
pub enum ArgumentGradients<'a> {
    /// A matrix without gaps for each argument.
    Separate(&'a mut [f32], &'a mut [f32]),
    /// One matrix, whose rows have the gradients of the first argument before the second's.
    Packed(&'a mut [f32]),
}

/// The gradients of one block: of both arguments, or packed.
type BlockGradients<'a> = (&'a mut [f32], Option<&'a mut [f32]>);

impl<'a> ArgumentGradients<'a> {
    fn blocks(self, elements: usize) -> Vec<BlockGradients<'a>> {
        match self {
            Self::Separate(da, db) => {
                let second = db.chunks_mut(elements).map(Some);
                da.chunks_mut(elements).zip(second).collect()
            }
            Self::Packed(both) => {
                let blocks = both.chunks_mut(2 * elements);
                blocks.map(|block| (block, None)).collect()
            }
        }
    }
}

/// How matrices are cut into blocks.
#[derive(Clone, Copy)]
struct Blocks<'a, const INPUTS: usize> {
    inputs: [Matrix<'a>; INPUTS],
    columns: usize,
    rows: usize,
}

impl<'a, const INPUTS: usize> Blocks<'a, INPUTS> {
    /// Matrices without gaps and with one cell type may be cut anywhere.
    fn new(inputs: [Matrix<'a>; INPUTS], columns: usize, may_be_flat: bool) -> Self {
        let is_flat = may_be_flat && inputs.iter().all(|matrix| matrix.stride == columns);
        let columns = if is_flat { FLAT_COLUMNS } else { columns };
        let flatten = |matrix: Matrix<'a>| Matrix {
            stride: if is_flat { FLAT_COLUMNS } else { matrix.stride },
            ..matrix
        };
        Self {
            inputs: inputs.map(flatten),
            columns,
            rows: (BLOCK_ELEMENTS / columns.max(1)).max(1),
        }
    }

    fn elements(&self) -> usize {
        (self.rows * self.columns).max(1)
    }

    /// The inputs of a row of a block.
    #[inline(always)]
    fn row(&self, block: usize, row: usize) -> [&'a [f32]; INPUTS] {
        self.inputs
            .map(|matrix| matrix.row(block * self.rows + row, self.columns))
    }
}

/// Write f(a, b) of every element to `out`, which has no gaps.
///
/// # Arguments
/// `weights` has one row for each cell type; the cell types have equal shares of the columns.
///
/// # Panics
/// The sizes do not match.
pub fn forward(
    arguments: [Matrix<'_>; 2],
    columns: usize,
    (weights, shape): (&[f32], Shape),
    out: &mut [f32],
    threads: usize,
) {
    let has_one_type = weights.len() == shape.num_weights();
    let blocks = Blocks::new(arguments, columns, has_one_type);
    let threads = num_threads(out.len(), threads);
    let out = out.chunks_mut(blocks.elements()).enumerate();
    share(out.collect(), threads, |(block, out)| {
        run_vectorized(Forward {
            blocks,
            block,
            weights,
            shape,
            out,
        });
    });
}

/// Write the gradients of both arguments and of the weights.
///
/// # Arguments
/// `g` is the gradient of the values; otherwise as in `forward`.
///
/// # Panics
/// The sizes do not match.
pub fn backward(
    [g, a, b]: [Matrix<'_>; 3],
    columns: usize,
    (weights, shape): (&[f32], Shape),
    (of_arguments, of_weights): (ArgumentGradients<'_>, &mut [f32]),
    threads: usize,
) {
    let has_one_type = weights.len() == shape.num_weights();
    let is_separate = matches!(of_arguments, ArgumentGradients::Separate(..));
    let blocks = Blocks::new([g, a, b], columns, has_one_type && is_separate);
    let gradients = of_arguments.blocks(blocks.elements());
    let threads = num_threads(gradients.len() * blocks.elements(), threads);
    let mut partial = vec![0.0; gradients.len() * weights.len()];
    let tasks = gradients
        .into_iter()
        .zip(partial.chunks_mut(weights.len()))
        .enumerate();
    share(
        tasks.collect(),
        threads,
        |(block, (of_arguments, of_weights))| {
            run_vectorized(Backward {
                blocks,
                block,
                weights,
                shape,
                of_arguments,
                of_weights,
            });
        },
    );
    for (index, gradient) in of_weights.iter_mut().enumerate() {
        let of_blocks = partial.iter().skip(index).step_by(weights.len());
        #[allow(clippy::cast_possible_truncation)]
        let sum = of_blocks.map(|part| f64::from(*part)).sum::<f64>() as f32;
        *gradient = sum;
    }
}

fn num_threads(elements: usize, threads: usize) -> usize {
    if elements < MIN_SHARED_ELEMENTS {
        1
    } else {
        threads
    }
}

/// Do all tasks, on so many threads.
fn share<T: Send>(tasks: Vec<T>, threads: usize, work: impl Fn(T) + Sync + Send) {
    let pool = if threads.min(tasks.len()) > 1 {
        thread_pool(threads)
    } else {
        None
    };
    match pool {
        Some(pool) => pool.install(|| tasks.into_par_iter().for_each(work)),
        None => tasks.into_iter().for_each(work),
    }
}

/// The pool of so many threads, kept for the next call; None where the system has no more threads.
fn thread_pool(threads: usize) -> Option<Arc<ThreadPool>> {
    /// A pool, and the process that it belongs to: a fork has none of its threads.
    type Kept = Option<(u32, Arc<ThreadPool>)>;
    static KEPT: Mutex<Kept> = Mutex::new(None);

    let process = std::process::id();
    let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    match kept.take() {
        Some((owner, pool)) if owner == process && pool.current_num_threads() == threads => {
            *kept = Some((process, Arc::clone(&pool)));
            return Some(pool);
        }
        // Dropping the pool would wait for locks that its threads may have held.
        Some((owner, pool)) if owner != process => std::mem::forget(pool),
        _ => {}
    }
    let pool = ThreadPoolBuilder::new()
        .num_threads(threads)
        .thread_name(|number| format!("omnimouse-dendrite-{number}"))
        .build();
    let pool = Arc::new(pool.ok()?);
    *kept = Some((process, Arc::clone(&pool)));
    Some(pool)
}

struct Forward<'a> {
    blocks: Blocks<'a, 2>,
    block: usize,
    weights: &'a [f32],
    shape: Shape,
    out: &'a mut [f32],
}

impl VectorCode for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        match self.shape.nonlinearity {
            Nonlinearity::Relu => self.values::<Relu, FUSED>(),
            Nonlinearity::Smoothstep => self.values::<Smoothstep, FUSED>(),
        }
    }
}

impl Forward<'_> {
    #[inline(always)]
    fn values<F: Function, const FUSED: bool>(self) {
        let (shape, num_weights) = (self.shape, self.shape.num_weights());
        let columns = self.blocks.columns;
        let type_columns = columns * num_weights / self.weights.len();
        let mut scratch = two_layers::Scratch::new();
        for (number, out) in self.out.chunks_mut(columns).enumerate() {
            let [a, b] = self.blocks.row(self.block, number);
            let inputs = a.chunks(type_columns).zip(b.chunks(type_columns));
            let types = out.chunks_mut(type_columns).zip(inputs);
            for ((out, (a, b)), weights) in types.zip(self.weights.chunks_exact(num_weights)) {
                let inputs = a.chunks(LANES).zip(b.chunks(LANES));
                for (out, (a, b)) in out.chunks_mut(LANES).zip(inputs) {
                    let (a, b) = (load(a), load(b));
                    let values = if shape.is_deep {
                        two_layers::values::<F, FUSED>(weights, shape.hidden, &a, &b, &mut scratch)
                    } else {
                        one_layer::values::<F, FUSED>(weights, &a, &b)
                    };
                    store(out, &values);
                }
            }
        }
    }
}

struct Backward<'a> {
    blocks: Blocks<'a, 3>,
    block: usize,
    weights: &'a [f32],
    shape: Shape,
    of_arguments: BlockGradients<'a>,
    of_weights: &'a mut [f32],
}

impl VectorCode for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        match self.shape.nonlinearity {
            Nonlinearity::Relu => self.gradients::<Relu, FUSED>(),
            Nonlinearity::Smoothstep => self.gradients::<Smoothstep, FUSED>(),
        }
    }
}

impl Backward<'_> {
    #[inline(always)]
    fn gradients<F: Function, const FUSED: bool>(mut self) {
        let (hidden, size) = (self.shape.hidden, self.shape.num_weights());
        let type_columns = self.blocks.columns * size / self.weights.len();
        let mut scratch = two_layers::Scratch::new();
        for (number, weights) in self.weights.chunks_exact(size).enumerate() {
            let columns = (number * type_columns, (number + 1) * type_columns);
            if self.shape.is_deep {
                let mut sums = vec![0.0; size];
                self.for_each_tile(columns, |tiles| {
                    two_layers::gradients::<F, FUSED>(
                        weights,
                        hidden,
                        tiles,
                        &mut scratch,
                        &mut sums,
                    )
                });
                self.of_weights[number * size..][..size].copy_from_slice(&sums);
            } else {
                let mut sums = WeightSums::new();
                self.for_each_tile(columns, |[g, a, b]| {
                    one_layer::gradients::<F, FUSED>(weights, g, a, b, &mut sums)
                });
                sums.write(weights, &mut self.of_weights[number * size..][..size]);
            }
        }
    }

    /// Store what `work` returns for every tile of some columns.
    #[inline(always)]
    fn for_each_tile(
        &mut self,
        (first, last): (usize, usize),
        mut work: impl FnMut([&Tile; 3]) -> (Tile, Tile),
    ) {
        let columns = self.blocks.columns;
        let (of_first, of_second) = &mut self.of_arguments;
        let packed = if of_second.is_some() { 1 } else { 2 };
        // `work` is called in one place only, or it would not be inlined.
        for (number, da) in of_first.chunks_mut(packed * columns).enumerate() {
            let (da, db) = match of_second {
                Some(db) => {
                    let start = number * columns;
                    let end = start + da.len();
                    (da, &mut db[start..end])
                }
                None => da.split_at_mut(columns),
            };
            let [g, a, b] = self.blocks.row(self.block, number);
            let last = last.min(da.len());
            let mut start = first;
            while start < last {
                let part = start..(start + LANES).min(last);
                let [g, a, b] = [g, a, b].map(|row| load(&row[part.clone()]));
                let (of_a, of_b) = work([&g, &a, &b]);
                store(&mut da[part.clone()], &of_a);
                store(&mut db[part], &of_b);
                start += LANES;
            }
        }
    }
}
