//! Single precision rounded to the types that responses are stored in, and read back.
//!
//! Nothing here branches on a value, so that loops over it become vector instructions.

use crate::convert::{f32_to_bf16, f32_to_f16};
use crate::memory::rounded_halves;

/// Numbers that are worked on at a time.
pub(super) const LANES: usize = 8;
/// All bits but the sign.
pub(super) const MAGNITUDE: u32 = 0x7fff_ffff;
/// Magnitudes from here on are infinite or no number.
pub(super) const INFINITE: u32 = 0x7f80_0000;

/// A finite number after rounding.
#[derive(Clone, Copy)]
pub(super) struct Rounded {
    /// As it is stored, in the lower bits.
    pub(super) stored: u32,
    /// Bits of the single-precision number that is read back.
    pub(super) read: u32,
}

/// A type that responses are stored in.
pub(super) trait Number {
    /// Bytes of a stored number.
    const SIZE: usize;
    /// Whether storing changes numbers.
    const ROUNDS: bool;
    /// Magnitudes of rounded numbers from here on do not fit.
    const TOO_LARGE: u32;

    /// Round a finite number to nearest, ties to even.
    fn rounded(value: f32) -> Rounded;

    /// Round finite numbers to nearest, ties to even.
    #[inline(always)]
    fn rounded_lanes<const FUSED: bool>(numbers: &[f32; LANES]) -> [Rounded; LANES] {
        numbers.map(Self::rounded)
    }

    /// Round any number; what is too large becomes infinite, and NaN stays NaN.
    fn stored(value: f32) -> u32;
}

/// IEEE 754 half precision.
pub(super) struct Half;
/// The upper half of single precision.
pub(super) struct Brain;
/// Single precision.
pub(super) struct Single;

impl Number for Half {
    const SIZE: usize = 2;
    const ROUNDS: bool = true;
    const TOO_LARGE: u32 = 0x4780_0000;

    #[inline(always)]
    fn rounded(value: f32) -> Rounded {
        // To a number 2^13 times its power of two, whose last place is that which is kept, the
        // rest is rounded when it is added. Below 2^-14 the last place stays that of 2^-14.
        const POWERS: u32 = INFINITE;
        const SMALLEST: u32 = 0x3880_0000;
        const LARGEST: u32 = 0x4780_0000;
        let bits = value.to_bits();
        let sign = bits & !MAGNITUDE;
        let magnitude = bits & MAGNITUDE;
        let power = (magnitude & POWERS).clamp(SMALLEST, LARGEST);
        let large = f32::from_bits(power + (13 << 23));
        let sum = f32::from_bits(magnitude) + large;
        // The multiples of the last place that were added, above the exponent with its bias of 15.
        let multiples = sum.to_bits().wrapping_sub(large.to_bits());
        let stored = multiples.wrapping_add((power >> 13) - (113 << 10));
        Rounded {
            stored: (sign >> 16) | stored.min(0x7c00),
            read: sign | (sum - large).to_bits(),
        }
    }

    #[inline(always)]
    fn rounded_lanes<const FUSED: bool>(numbers: &[f32; LANES]) -> [Rounded; LANES] {
        match rounded_halves::<FUSED>(numbers) {
            Some((stored, read)) => std::array::from_fn(|lane| Rounded {
                stored: stored[lane],
                read: read[lane],
            }),
            None => numbers.map(Self::rounded),
        }
    }

    #[inline(always)]
    fn stored(value: f32) -> u32 {
        f32_to_f16(value).into()
    }
}

impl Number for Brain {
    const SIZE: usize = 2;
    const ROUNDS: bool = true;
    const TOO_LARGE: u32 = INFINITE;

    #[inline(always)]
    fn rounded(value: f32) -> Rounded {
        let bits = value.to_bits();
        let nearest = bits + 0x7fff + ((bits >> 16) & 1);
        Rounded {
            stored: nearest >> 16,
            read: nearest & 0xffff_0000,
        }
    }

    #[inline(always)]
    fn stored(value: f32) -> u32 {
        f32_to_bf16(value).into()
    }
}

impl Number for Single {
    const SIZE: usize = 4;
    const ROUNDS: bool = false;
    const TOO_LARGE: u32 = INFINITE;

    #[inline(always)]
    fn rounded(value: f32) -> Rounded {
        Rounded {
            stored: value.to_bits(),
            read: value.to_bits(),
        }
    }

    #[inline(always)]
    fn stored(value: f32) -> u32 {
        value.to_bits()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::convert::{bf16_to_f32, f16_to_f32};
    use crate::memory::{Accelerated, accelerated, accelerated_widest};

    /// All upper halves, with lower halves around every tie of the two types.
    fn finite_numbers() -> impl Iterator<Item = f32> {
        let lower = [
            0, 1, 0xfff, 0x1000, 0x1001, 0x1fff, 0x2fff, 0x3000, 0x3001, 0x7fff, 0x8000, 0xffff,
        ];
        (0..=u16::MAX)
            .flat_map(move |upper| {
                lower.map(|lower| f32::from_bits(u32::from(upper) << 16 | lower))
            })
            .filter(|value| value.is_finite())
    }

    fn require<N: Number>(read: impl Fn(u16) -> f32) {
        for value in finite_numbers() {
            let rounded = N::rounded(value);
            assert_eq!(rounded.stored, N::stored(value), "{value:e}");
            let is_too_large = rounded.read & MAGNITUDE >= N::TOO_LARGE;
            let expected = read(u16::try_from(rounded.stored).expect("16 bits"));
            assert_eq!(is_too_large, expected.is_infinite(), "{value:e}");
            assert!(
                is_too_large || rounded.read == expected.to_bits(),
                "{value:e}"
            );
        }
    }

    /// Compares numbers, eight at a time, with what each of them becomes alone.
    struct Together<N: Number>(std::marker::PhantomData<N>);

    impl<N: Number> Accelerated for Together<N> {
        fn run<const FUSED: bool>(self) {
            let numbers = finite_numbers().collect::<Vec<_>>();
            for numbers in numbers.as_chunks::<LANES>().0 {
                let together = N::rounded_lanes::<FUSED>(numbers);
                for (rounded, value) in together.iter().zip(numbers) {
                    let alone = N::rounded(*value);
                    assert_eq!(rounded.stored, alone.stored, "{value:e}");
                    let too_large = [*rounded, alone].map(|r| r.read & MAGNITUDE >= N::TOO_LARGE);
                    assert_eq!(too_large[0], too_large[1], "{value:e}");
                    assert!(too_large[0] || rounded.read == alone.read, "{value:e}");
                }
            }
        }
    }

    #[test]
    fn the_processor_rounds_as_we_do() {
        for work in [accelerated, accelerated_widest] {
            work(Together::<Half>(std::marker::PhantomData));
        }
        accelerated(Together::<Brain>(std::marker::PhantomData));
    }

    #[test]
    fn what_is_read_back_is_what_was_stored() {
        require::<Half>(f16_to_f32);
        require::<Brain>(bf16_to_f32);
        for value in finite_numbers() {
            assert_eq!(Single::rounded(value).read, value.to_bits());
        }
    }
}
