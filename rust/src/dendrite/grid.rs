//! A frozen function read from a table: bilinear between grid points, and continued beyond them.

use crate::memory::gathered;
use crate::tiles::{LANES, Tile, multiply_add};

/// Rings around the grid: four for each of four doublings of its size.
const RINGS: usize = 16;
const LAST_RING: u32 = 15;
const SIDES: usize = 4;
/// Numbers of a place: the value there, and what is to be added for that of the next column.
pub const PAIR: usize = 2;

/// The shape of a table.
///
/// One table has `cells + 1` rows, one for each grid point of the first argument, from `-reach` to
/// `reach`, and in each `cells` places, one for each grid point of the second but the last. Behind
/// them come `RINGS + 1` rows for each side of the grid (the first argument positive, negative,
/// the second positive, negative), whose columns are the grid points along that side: the values
/// there, and at 1 1/4, 1 1/2, 1 3/4, 2, 2 1/2, ... of their distance from the origin. The line from
/// the last row but one to the last goes on for ever.
#[derive(Clone, Copy, Debug)]
pub struct Grid {
    /// Intervals along each argument, an even number.
    pub cells: usize,
    /// The largest argument of the grid.
    pub reach: f32,
}

impl Grid {
    /// Numbers of one table.
    #[must_use]
    pub fn num_numbers(self) -> usize {
        (self.cells + 1 + SIDES * (RINGS + 1)) * self.cells * PAIR
    }
}

/// One function's table.
#[derive(Clone, Copy)]
pub(super) struct Table<'a> {
    pairs: &'a [[f32; PAIR]],
    cells: usize,
    half: f32,
    reach: f32,
    scale: f32,
}

/// Where a tile's elements lie: the first of four grid points, and the way from it to the others.
struct Places {
    first: [u32; LANES],
    along_row: Tile,
    along_column: Tile,
}

/// A tile's values and how they change along rows and columns.
struct Surface {
    value: Tile,
    down: Tile,
    right: Tile,
}

/// What an element beyond the grid has to be multiplied with: changes of its place by its arguments.
#[derive(Clone, Copy)]
struct Turn {
    down_by_a: f32,
    right_by_a: f32,
    down_by_b: f32,
    right_by_b: f32,
}

impl<'a> Table<'a> {
    #[inline(always)]
    pub(super) fn new(numbers: &'a [f32], grid: Grid) -> Self {
        #[allow(clippy::cast_precision_loss)]
        let half = (grid.cells / 2) as f32;
        Self {
            pairs: numbers.as_chunks().0,
            cells: grid.cells,
            half,
            reach: grid.reach,
            scale: half / grid.reach,
        }
    }

    /// Values of a tile.
    #[inline(always)]
    pub(super) fn values<const FUSED: bool>(&self, a: &Tile, b: &Tile) -> Tile {
        let places = if self.covers(a, b) {
            self.within(a, b)
        } else {
            self.anywhere(a, b).0
        };
        self.surface::<FUSED>(&places).value
    }

    /// Gradients of a tile's arguments.
    #[inline(always)]
    pub(super) fn gradients<const FUSED: bool>(&self, [g, a, b]: [&Tile; 3]) -> (Tile, Tile) {
        let (mut da, mut db) = ([0.0; LANES], [0.0; LANES]);
        if self.covers(a, b) {
            let at = self.surface::<FUSED>(&self.within(a, b));
            for lane in 0..LANES {
                da[lane] = g[lane] * (at.down[lane] * self.scale);
                db[lane] = g[lane] * (at.right[lane] * self.scale);
            }
        } else {
            let (places, turns) = self.anywhere(a, b);
            let at = self.surface::<FUSED>(&places);
            for lane in 0..LANES {
                let (down, right, turn) = (at.down[lane], at.right[lane], turns[lane]);
                let of_a = multiply_add::<FUSED>(right, turn.right_by_a, down * turn.down_by_a);
                let of_b = multiply_add::<FUSED>(down, turn.down_by_b, right * turn.right_by_b);
                (da[lane], db[lane]) = (g[lane] * of_a, g[lane] * of_b);
            }
        }
        (da, db)
    }

    /// Whether no element lies beyond the grid; NaN does not.
    #[inline(always)]
    fn covers(&self, a: &Tile, b: &Tile) -> bool {
        let mut beyond = false;
        for lane in 0..LANES {
            beyond |= (a[lane].abs() > self.reach) | (b[lane].abs() > self.reach);
        }
        !beyond
    }

    /// The cell below an argument, counted from the middle; NaN takes the first.
    #[inline(always)]
    fn below(&self, scaled: f32) -> f32 {
        let cell = scaled.floor();
        let cell = if cell > -self.half { cell } else { -self.half };
        let last = self.half - 1.0;
        if cell < last { cell } else { last }
    }

    #[inline(always)]
    fn within(&self, a: &Tile, b: &Tile) -> Places {
        let mut places = Places {
            first: [0; LANES],
            along_row: [0.0; LANES],
            along_column: [0.0; LANES],
        };
        #[allow(clippy::cast_precision_loss)]
        let (width, middle) = (self.cells as f32, self.half * (self.cells as f32 + 1.0));
        for lane in 0..LANES {
            let (down, right) = (a[lane] * self.scale, b[lane] * self.scale);
            let (row, column) = (self.below(down), self.below(right));
            places.along_column[lane] = down - row;
            places.along_row[lane] = right - column;
            places.first[lane] = whole(row * width + column + middle);
        }
        places
    }

    /// Places on and beyond the grid, element by element.
    #[inline(always)]
    fn anywhere(&self, a: &Tile, b: &Tile) -> (Places, [Turn; LANES]) {
        let mut places = self.within(a, b);
        let still = Turn {
            down_by_a: self.scale,
            right_by_a: 0.0,
            down_by_b: 0.0,
            right_by_b: self.scale,
        };
        let mut turns = [still; LANES];
        for lane in 0..LANES {
            let (a, b) = (a[lane], b[lane]);
            let is_first = a.abs() >= b.abs();
            let (main, other) = if is_first { (a, b) } else { (b, a) };
            let size = main.abs();
            if size > self.reach {
                let shrink = self.reach / size;
                let along = other * shrink;
                let right = along * self.scale;
                let column = self.below(right);
                let distance = size / self.reach;
                let (ring, rings, start) = ring(distance);
                let border = 2 * usize::from(!is_first) + usize::from(main < 0.0);
                let row = self.cells + 1 + border * (RINGS + 1) + ring;
                #[allow(clippy::cast_precision_loss)]
                let middle = (row * self.cells + self.cells / 2) as f32;
                places.first[lane] = whole(middle + column);
                places.along_column[lane] = distance * rings - start;
                places.along_row[lane] = right - column;
                let sign = 1.0_f32.copysign(main);
                let down_by_main = sign * (rings / self.reach);
                let right_by_other = shrink * self.scale;
                let right_by_main = -sign * (right_by_other * (along / self.reach));
                turns[lane] = if is_first {
                    Turn {
                        down_by_a: down_by_main,
                        right_by_a: right_by_main,
                        down_by_b: 0.0,
                        right_by_b: right_by_other,
                    }
                } else {
                    Turn {
                        down_by_a: 0.0,
                        right_by_a: right_by_other,
                        down_by_b: down_by_main,
                        right_by_b: right_by_main,
                    }
                };
            }
        }
        (places, turns)
    }

    #[inline(always)]
    fn surface<const FUSED: bool>(&self, places: &Places) -> Surface {
        let top = gathered(self.pairs, &places.first, 0);
        let low = gathered(self.pairs, &places.first, self.cells);
        let mut surface = Surface {
            value: [0.0; LANES],
            down: [0.0; LANES],
            right: [0.0; LANES],
        };
        for lane in 0..LANES {
            let (x, y) = (places.along_column[lane], places.along_row[lane]);
            let ([top, top_right], [low, low_right]) = (top[lane], low[lane]);
            let upper = multiply_add::<FUSED>(y, top_right, top);
            let down = multiply_add::<FUSED>(y, low_right, low) - upper;
            surface.value[lane] = multiply_add::<FUSED>(x, down, upper);
            surface.down[lane] = down;
            surface.right[lane] = multiply_add::<FUSED>(x, low_right - top_right, top_right);
        }
        surface
    }
}

/// A whole number from 0 to 2^23 as an integer: behind that power it is the fraction's bits.
#[inline(always)]
fn whole(number: f32) -> u32 {
    const POWER: f32 = 8_388_608.0;
    (number + POWER).to_bits() & 0x007f_ffff
}

/// The ring of a distance above 1, how many of its width are in 1, and how many lie below it.
#[inline(always)]
fn ring(distance: f32) -> (usize, f32, f32) {
    // Of the mantissa, two bits say which of four.
    let ring = (distance.to_bits() >> 21).clamp(4 * 127, 4 * 127 + LAST_RING) - 4 * 127;
    let rings = f32::from_bits((129 - ring / 4) << 23);
    #[allow(clippy::cast_precision_loss)]
    let start = (4 + ring % 4) as f32;
    (ring as usize, rings, start)
}
