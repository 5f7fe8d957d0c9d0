//! Numbers side by side, as many as wide instructions take: what becomes one instruction.

// Whatever works on a tile must be inlined to be compiled for wide instructions.
#![allow(clippy::inline_always, clippy::needless_range_loop)]

/// Elements of a tile.
pub(crate) const LANES: usize = 16;

/// Elements of a tile, side by side; heads of attention, which are short, take half a tile.
pub(crate) type Tile<const COUNT: usize = LANES> = [f32; COUNT];

/// a b + c, in one rounding where the processor has an instruction for it.
#[inline(always)]
pub(crate) fn multiply_add<const FUSED: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FUSED { a.mul_add(b, c) } else { a * b + c }
}

/// The sum of a tile, in a fixed order.
#[inline(always)]
pub(crate) fn total<const COUNT: usize>(tile: &Tile<COUNT>) -> f32 {
    let mut parts = *tile;
    let mut width = COUNT / 2;
    while width > 0 {
        for lane in 0..width {
            parts[lane] += parts[lane + width];
        }
        width /= 2;
    }
    parts[0]
}

/// Read a tile; what it lacks is 0.
#[inline(always)]
pub(crate) fn tile<const COUNT: usize>(part: &[f32]) -> Tile<COUNT> {
    if let Ok(whole) = part.try_into() {
        return whole;
    }
    let mut tile = [0.0; COUNT];
    tile[..part.len()].copy_from_slice(part);
    tile
}

/// Write a tile, or as much of it as there is room for.
#[inline(always)]
pub(crate) fn store<const COUNT: usize>(part: &mut [f32], tile: &Tile<COUNT>) {
    if let Ok(whole) = <&mut Tile<COUNT>>::try_from(&mut *part) {
        *whole = *tile;
    } else {
        part.copy_from_slice(&tile[..part.len()]);
    }
}

/// Cut rows into whole tiles and what is left of each.
///
/// A tile that may be shorter is kept in memory; whole ones stay in registers.
#[inline(always)]
pub(crate) fn whole<const ROWS: usize, const COUNT: usize>(
    rows: [&[f32]; ROWS],
) -> ([&[Tile<COUNT>]; ROWS], [&[f32]; ROWS]) {
    (
        rows.map(|row| row.as_chunks().0),
        rows.map(|row| row.as_chunks::<COUNT>().1),
    )
}
