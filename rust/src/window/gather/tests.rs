//! The vector backend writes the bytes of the portable one: every type, length and alignment.

use super::*;
use crate::loader::random::{Random, ascending_subset};
use crate::window::normalization::Normalization;

const DTYPES: [Dtype; 3] = [Dtype::F16, Dtype::Bf16, Dtype::F32];

fn random_bytes(random: &mut Random, count: usize) -> Vec<u8> {
    (0..count).map(|_| random.bits().to_le_bytes()[0]).collect()
}

fn normalization(random: &mut Random, population: usize, is_centered: bool) -> Normalization {
    let mut numbers = |least: f32| -> Vec<f32> {
        let number = |_| least + f32::from(random.bits().to_le_bytes()[0]) / 37.0;
        (0..population).map(number).collect()
    };
    Normalization {
        scale: numbers(0.01),
        shift: is_centered.then(|| numbers(-3.0)),
        grey_levels: GreyLevels::new(113.0, 59.0),
        channel_rows: vec![],
        num_channels: 0,
    }
}

/// The bits that `fill` writes at an offset that may be unaligned; nothing else may be written.
fn written(
    length: usize,
    offset: usize,
    is_wide: bool,
    fill: impl Fn(&mut OutputMemory),
) -> Vec<u32> {
    let places = offset..offset + length;
    let (mut floats, mut halves) = (vec![7.0_f32; length + 40], vec![7_u16; length + 40]);
    if is_wide {
        fill(&mut OutputMemory::F32(&mut floats[places.clone()]));
    } else {
        fill(&mut OutputMemory::Bf16(&mut halves[places.clone()]));
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
fn all_backends_write_the_same_bytes() {
    let mut random = Random::new(5);
    let mut selection = NeuronSelection::default();
    for case in 0..3000_usize {
        let population = 1 + below(&mut random, 90);
        let mut neurons = vec![0; below(&mut random, population + 1)];
        ascending_subset(&mut random, population, &mut neurons);
        if case % 5 == 0 {
            neurons.reverse();
        }
        let normalization = normalization(&mut random, population, case % 2 == 0);
        selection.select(&neurons, &normalization).expect("neurons");
        let dtype = DTYPES[case % 3];
        let row = random_bytes(&mut random, population * dtype.size());
        let offset = below(&mut random, 17);
        for is_wide in [true, false] {
            let [found, expected] = [Backend::detect(), Backend::Portable].map(|backend| {
                written(neurons.len(), offset, is_wide, |out| {
                    let mut packed = PackedRow::default();
                    gather_responses(backend, (&row, dtype), &selection, &mut packed, out);
                })
            });
            assert_eq!(found, expected, "case {case}");
        }
    }
}

#[test]
fn every_16_bit_number_is_gathered_alike() {
    let row: Vec<u8> = (0..=u16::MAX).flat_map(u16::to_le_bytes).collect();
    let neurons: Vec<i64> = (0..=i64::from(u16::MAX)).collect();
    let mut selection = NeuronSelection::default();
    let normalization = normalization(&mut Random::new(2), neurons.len(), true);
    selection.select(&neurons, &normalization).expect("neurons");
    for dtype in [Dtype::F16, Dtype::Bf16] {
        for is_wide in [true, false] {
            let [found, expected] = [Backend::detect(), Backend::Portable].map(|backend| {
                written(neurons.len(), 1, is_wide, |out| {
                    let mut packed = PackedRow::default();
                    gather_responses(backend, (&row, dtype), &selection, &mut packed, out);
                })
            });
            assert_eq!(found, expected, "{dtype:?}");
        }
    }
}

#[test]
fn a_gathered_row_has_the_selected_numbers() {
    let normalization = Normalization {
        scale: vec![2.0; 20],
        ..normalization(&mut Random::new(0), 20, false)
    };
    let row: Vec<u8> = (0..20_u8)
        .flat_map(|n| f32::from(n).to_le_bytes())
        .collect();
    let mut selection = NeuronSelection::default();
    selection
        .select(&[1, 4, 5, 17], &normalization)
        .expect("neurons");
    for backend in [Backend::detect(), Backend::Portable] {
        let mut out = [0.0; 4];
        let mut packed = PackedRow::default();
        let stored = (&row[..], Dtype::F32);
        gather_responses(
            backend,
            stored,
            &selection,
            &mut packed,
            &mut OutputMemory::F32(&mut out),
        );
        assert_eq!(
            out.map(f32::to_bits),
            [0.5, 2.0, 2.5, 8.5_f32].map(f32::to_bits)
        );
    }
}

#[test]
fn grey_levels_are_written_alike() {
    let mut random = Random::new(3);
    let grey_levels = GreyLevels::new(113.0, 59.0);
    for length in 0..100 {
        let frame = random_bytes(&mut random, length);
        for is_wide in [true, false] {
            let [found, expected] = [Backend::detect(), Backend::Portable].map(|backend| {
                written(length, length % 9, is_wide, |out| {
                    grey_levels.write(backend, &frame, out);
                })
            });
            assert_eq!(found, expected, "{length}");
        }
        let mut bytes = vec![0; length];
        grey_levels.write(Backend::detect(), &frame, &mut OutputMemory::U8(&mut bytes));
        assert_eq!(bytes, frame);
    }
}

fn below(random: &mut Random, bound: usize) -> usize {
    usize::try_from(random.below(bound as u64)).expect("small")
}
