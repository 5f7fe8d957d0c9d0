//! The vector path gives the bytes of the portable path: every type, length and alignment.

use super::*;
use crate::order::{Random, ascending_subset};
use crate::scaling::Scaling;

const DTYPES: [Dtype; 3] = [Dtype::F16, Dtype::Bf16, Dtype::F32];

fn random_bytes(random: &mut Random, count: usize) -> Vec<u8> {
    (0..count).map(|_| random.bits().to_le_bytes()[0]).collect()
}

fn scaling(random: &mut Random, population: usize, is_centred: bool) -> Scaling {
    let mut numbers = |least: f32| -> Vec<f32> {
        let number = |_| least + f32::from(random.bits().to_le_bytes()[0]) / 37.0;
        (0..population).map(number).collect()
    };
    Scaling {
        scale: numbers(0.01),
        shift: is_centred.then(|| numbers(-3.0)),
        greys: Greys::new(113.0, 59.0),
        channel_rows: vec![],
        num_channels: 0,
    }
}

/// What a path writes at an offset that may not be aligned, as bits, and nothing beyond the line.
fn written(length: usize, offset: usize, is_wide: bool, fill: impl Fn(&mut Numbers)) -> Vec<u32> {
    let places = offset..offset + length;
    let (mut floats, mut halves) = (vec![7.0_f32; length + 40], vec![7_u16; length + 40]);
    if is_wide {
        fill(&mut Numbers::F32(&mut floats[places.clone()]));
    } else {
        fill(&mut Numbers::Bf16(&mut halves[places.clone()]));
    }
    let is_outside = |place: &usize| !places.contains(place);
    for place in (0..length + 40).filter(is_outside) {
        assert_eq!(
            (floats[place].to_bits(), halves[place]),
            (7.0_f32.to_bits(), 7)
        );
    }
    if is_wide {
        floats[places].iter().map(|value| value.to_bits()).collect()
    } else {
        halves[places].iter().map(|bits| u32::from(*bits)).collect()
    }
}

#[test]
fn all_paths_write_the_same_bytes() {
    let mut random = Random::new(5);
    let mut columns = Columns::default();
    for case in 0..3000_usize {
        let population = 1 + below(&mut random, 90);
        let mut neurons = vec![0; below(&mut random, population + 1)];
        ascending_subset(&mut random, population, &mut neurons);
        if case % 5 == 0 {
            neurons.reverse();
        }
        let scaling = scaling(&mut random, population, case % 2 == 0);
        columns.choose(&neurons, &scaling).expect("neurons");
        let dtype = DTYPES[case % 3];
        let row = random_bytes(&mut random, population * dtype.size());
        let offset = below(&mut random, 17);
        for is_wide in [true, false] {
            let [found, expected] = [Path::best(), Path::Portable].map(|path| {
                written(neurons.len(), offset, is_wide, |line| {
                    let mut packed = Packed::default();
                    write_responses(path, (&row, dtype), &columns, &mut packed, line);
                })
            });
            assert_eq!(found, expected, "case {case}");
        }
    }
}

#[test]
fn every_half_precision_number_is_written_alike() {
    let row: Vec<u8> = (0..=u16::MAX).flat_map(u16::to_le_bytes).collect();
    let neurons: Vec<i64> = (0..=i64::from(u16::MAX)).collect();
    let mut columns = Columns::default();
    let scaling = scaling(&mut Random::new(2), neurons.len(), true);
    columns.choose(&neurons, &scaling).expect("neurons");
    for dtype in [Dtype::F16, Dtype::Bf16] {
        for is_wide in [true, false] {
            let [found, expected] = [Path::best(), Path::Portable].map(|path| {
                written(neurons.len(), 1, is_wide, |line| {
                    let mut packed = Packed::default();
                    write_responses(path, (&row, dtype), &columns, &mut packed, line);
                })
            });
            assert_eq!(found, expected, "{dtype:?}");
        }
    }
}

#[test]
fn a_line_has_the_numbers_of_its_columns() {
    let scaling = Scaling {
        scale: vec![2.0; 20],
        ..scaling(&mut Random::new(0), 20, false)
    };
    let row: Vec<u8> = (0..20_u8)
        .flat_map(|n| f32::from(n).to_le_bytes())
        .collect();
    let mut columns = Columns::default();
    columns.choose(&[1, 4, 5, 17], &scaling).expect("neurons");
    for path in [Path::best(), Path::Portable] {
        let mut line = [0.0; 4];
        let mut packed = Packed::default();
        let stored = (&row[..], Dtype::F32);
        write_responses(
            path,
            stored,
            &columns,
            &mut packed,
            &mut Numbers::F32(&mut line),
        );
        assert_eq!(
            line.map(f32::to_bits),
            [0.5, 2.0, 2.5, 8.5_f32].map(f32::to_bits)
        );
    }
}

#[test]
fn grey_levels_are_written_alike() {
    let mut random = Random::new(3);
    let greys = Greys::new(113.0, 59.0);
    for length in 0..100 {
        let frame = random_bytes(&mut random, length);
        for is_wide in [true, false] {
            let [found, expected] = [Path::best(), Path::Portable].map(|path| {
                written(length, length % 9, is_wide, |line| {
                    greys.write(path, &frame, line);
                })
            });
            assert_eq!(found, expected, "{length}");
        }
        let mut bytes = vec![0; length];
        greys.write(Path::best(), &frame, &mut Numbers::U8(&mut bytes));
        assert_eq!(bytes, frame);
    }
}

fn below(random: &mut Random, bound: usize) -> usize {
    usize::try_from(random.below(bound as u64)).expect("small")
}
