//! Tiles: short runs of elements whose loops the compiler turns into vector instructions.

/// Number of elements of a tile.
pub(super) const LANES: usize = 16;

/// Neighboring elements of a row.
pub(super) type Tile = [f32; LANES];

/// a b + c, rounded once where the processor has an instruction for it.
#[inline(always)]
pub(super) fn multiply_add<const FUSED: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FUSED { a.mul_add(b, c) } else { a * b + c }
}

/// The sum of a tile, in a fixed order.
#[inline(always)]
pub(super) fn total(tile: &Tile) -> f32 {
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

/// Load a tile; missing elements are 0.
#[inline(always)]
pub(super) fn load(part: &[f32]) -> Tile {
    if let Ok(whole) = part.try_into() {
        return whole;
    }
    let mut tile = [0.0; LANES];
    tile[..part.len()].copy_from_slice(part);
    tile
}

/// Store a tile, or its first elements where there are fewer.
#[inline(always)]
pub(super) fn store(part: &mut [f32], tile: &Tile) {
    if let Ok(whole) = <&mut Tile>::try_from(&mut *part) {
        *whole = *tile;
    } else {
        part.copy_from_slice(&tile[..part.len()]);
    }
}
