//! Numbers side by side, as many as wide instructions take: what becomes one instruction.

// Whatever works on a tile must be inlined to be compiled for wide instructions.
#![allow(clippy::inline_always, clippy::needless_range_loop)]

/// Elements of a tile.
pub(crate) const LANES: usize = 16;

/// Elements of a tile, side by side.
pub(crate) type Tile = [f32; LANES];

/// a b + c, in one rounding where the processor has an instruction for it.
#[inline(always)]
pub(crate) fn multiply_add<const FUSED: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FUSED { a.mul_add(b, c) } else { a * b + c }
}

/// The sum of a tile, in a fixed order.
#[inline(always)]
pub(crate) fn total(tile: &Tile) -> f32 {
    let mut parts = *tile;
    let mut width = LANES / 2;
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
pub(crate) fn tile(part: &[f32]) -> Tile {
    if let Ok(whole) = part.try_into() {
        return whole;
    }
    let mut tile = [0.0; LANES];
    tile[..part.len()].copy_from_slice(part);
    tile
}

/// Write a tile, or as much of it as there is room for.
#[inline(always)]
pub(crate) fn store(part: &mut [f32], tile: &Tile) {
    if let Ok(whole) = <&mut Tile>::try_from(&mut *part) {
        *whole = *tile;
    } else {
        part.copy_from_slice(&tile[..part.len()]);
    }
}

/// Cut rows into whole tiles and what is left of each.
///
/// A tile that may be shorter is kept in memory; whole ones stay in registers.
#[inline(always)]
pub(crate) fn whole<const COUNT: usize>(
    rows: [&[f32]; COUNT],
) -> ([&[Tile]; COUNT], [&[f32]; COUNT]) {
    (
        rows.map(|row| row.as_chunks().0),
        rows.map(|row| row.as_chunks::<LANES>().1),
    )
}
