//! Conversion between stored number types and single precision.

/// The exponent bits of a single-precision number.
pub(crate) const EXPONENT: u32 = 0x7f80_0000;
/// From here on, a half-precision magnitude shifted by 13 bits is infinite or NaN.
pub(crate) const HALF_NOT_FINITE: u32 = 0x0f80_0000;
/// Bits of 2^-14, the smallest normal number of half precision.
const SMALLEST_NORMAL_HALF: u32 = 0x3880_0000;

/// Convert half precision to single precision exactly, with NaN payloads and subnormals.
#[inline]
pub fn f16_to_f32(bits: u16) -> f32 {
    let sign = u32::from(bits & 0x8000) << 16;
    let rest = u32::from(bits & 0x7fff) << 13;
    // All cases are computed and one is selected, so that loops become vector instructions.
    let smallest = f32::from_bits(SMALLEST_NORMAL_HALF);
    let subnormal = (f32::from_bits(rest + SMALLEST_NORMAL_HALF) - smallest).to_bits();
    // The exponent's bias is 15 in half precision and 127 in single precision.
    let normal = rest + (112 << 23);
    let finite = if rest < (1 << 23) { subnormal } else { normal };
    let magnitude = if rest >= HALF_NOT_FINITE {
        rest | EXPONENT
    } else {
        finite
    };
    f32::from_bits(sign | magnitude)
}

/// Convert bfloat16 to single precision exactly.
#[inline]
pub fn bf16_to_f32(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

/// Round single precision to half precision, ties to even; NaN keeps its upper bits.
///
/// Returns the bits, and the number that they stand for.
#[inline]
pub fn round_to_f16(value: f32) -> (u16, f32) {
    const INFINITE_HALF: u32 = 0x7c00;
    /// Bits of 2^16, the first power of two that is infinite in half precision.
    const FIRST_INFINITE: u32 = 0x4780_0000;
    let sign = value.to_bits() & 0x8000_0000;
    let magnitude = value.to_bits() & 0x7fff_ffff;
    // In the sum with 2^13 times its power of two, a number keeps the bits of half precision and the
    // addition rounds the rest. Below 2^-14 the last bit stays that of 2^-14.
    let power = (magnitude & EXPONENT).clamp(SMALLEST_NORMAL_HALF, FIRST_INFINITE);
    let large = f32::from_bits(power + (13 << 23));
    let sum = f32::from_bits(magnitude) + large;
    let last_bits = sum.to_bits().wrapping_sub(large.to_bits());
    let finite = last_bits.wrapping_add((power >> 13) - (113 << 10));
    // A NaN whose upper bits are all zeros must not become an infinity.
    let nan = INFINITE_HALF | ((magnitude >> 13) & 0x3ff).max(1);
    let rounded = if magnitude > EXPONENT {
        nan
    } else {
        finite.min(INFINITE_HALF)
    };
    let read_back = if rounded == INFINITE_HALF {
        EXPONENT
    } else {
        (sum - large).to_bits()
    };
    let [lower, upper, ..] = ((sign >> 16) | rounded).to_le_bytes();
    (
        u16::from_le_bytes([lower, upper]),
        f32::from_bits(sign | read_back),
    )
}

/// Round single precision to bfloat16, ties to even; every NaN becomes 0x7fc0.
#[inline]
pub fn f32_to_bf16(value: f32) -> u16 {
    const QUIET_NAN: u16 = 0x7fc0;
    if value.is_nan() {
        return QUIET_NAN;
    }
    let bits = value.to_bits();
    // Half of the last bit that is kept, less one where the kept part is already even.
    let rounded = bits + (0x7fff + ((bits >> 16) & 1));
    (rounded >> 16) as u16
}

/// The number at `index` of a row of little-endian single-precision numbers.
#[inline]
pub fn f32_at(row: &[u8], index: usize) -> f32 {
    f32::from_le_bytes(bytes_at(row, index))
}

/// The number at `index` of a row of little-endian double-precision numbers.
#[inline]
pub fn f64_at(row: &[u8], index: usize) -> f64 {
    f64::from_le_bytes(bytes_at(row, index))
}

/// The number at `index` of a row of little-endian 64-bit integers.
#[inline]
pub fn i64_at(row: &[u8], index: usize) -> i64 {
    i64::from_le_bytes(bytes_at(row, index))
}

/// The 16 bits at `index` of a row of little-endian 16-bit numbers.
#[inline]
pub fn u16_at(row: &[u8], index: usize) -> u16 {
    u16::from_le_bytes(bytes_at(row, index))
}

#[inline]
fn bytes_at<const N: usize>(row: &[u8], index: usize) -> [u8; N] {
    let mut bytes = [0; N];
    bytes.copy_from_slice(&row[index * N..(index + 1) * N]);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_half_precision_number_is_exact() {
        for bits in 0..=u16::MAX {
            let expected = half::f16::from_bits(bits);
            let found = f16_to_f32(bits);
            if expected.is_nan() {
                assert!(found.is_nan(), "{bits:#x}");
            } else {
                assert_eq!(found.to_bits(), expected.to_f32().to_bits(), "{bits:#x}");
            }
        }
    }

    #[test]
    fn every_bfloat16_number_is_exact() {
        for bits in 0..=u16::MAX {
            let expected = half::bf16::from_bits(bits);
            let found = bf16_to_f32(bits);
            assert!(found.is_nan() == expected.is_nan());
            assert!(found.is_nan() || found.to_bits() == expected.to_f32().to_bits());
        }
    }

    #[test]
    fn single_precision_is_rounded_to_the_nearest_bfloat16() {
        for upper in 0..=u16::MAX {
            for lower in [0, 1, 0x7fff, 0x8000, 0x8001, 0xffff] {
                let value = f32::from_bits(u32::from(upper) << 16 | lower);
                let found = f32_to_bf16(value);
                if value.is_nan() {
                    assert_eq!(found, 0x7fc0);
                } else {
                    let expected = half::bf16::from_f32(value);
                    assert_eq!(found, expected.to_bits(), "{value}");
                }
            }
        }
    }

    #[test]
    fn single_precision_is_rounded_to_the_nearest_half_precision() {
        for upper in 0..=u16::MAX {
            for lower in [
                0, 1, 0xfff, 0x1000, 0x1001, 0x2fff, 0x3000, 0x3001, 0xf000, 0xffff,
            ] {
                let value = f32::from_bits(u32::from(upper) << 16 | lower);
                let (found, read_back) = round_to_f16(value);
                if value.is_nan() {
                    assert!(read_back.is_nan());
                    assert!(
                        half::f16::from_bits(found).is_nan(),
                        "{upper:#x} {lower:#x}"
                    );
                    assert_eq!(found & 0x8000, upper & 0x8000);
                } else {
                    let expected = half::f16::from_f32(value);
                    assert_eq!(found, expected.to_bits(), "{value:e}");
                    assert_eq!(
                        read_back.to_bits(),
                        expected.to_f32().to_bits(),
                        "{value:e}"
                    );
                }
            }
        }
    }

    #[test]
    fn numbers_are_little_endian() {
        assert_eq!(u16_at(&[0, 0, 1, 2], 1), 0x0201);
        assert_eq!(
            f32_at(&1.5_f32.to_le_bytes(), 0).to_bits(),
            1.5_f32.to_bits()
        );
        assert_eq!(
            f64_at(&(-2.5_f64).to_le_bytes(), 0).to_bits(),
            (-2.5_f64).to_bits()
        );
        assert_eq!(i64_at(&(-7_i64).to_le_bytes(), 0), -7);
    }
}
