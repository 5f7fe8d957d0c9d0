//! Each method writes the numbers of a plain loop, wherever a vector begins and ends.

use super::*;
use crate::format::number::{bf16_to_f32, f16_to_f32, f32_at, f32_to_bf16, u16_at};
use crate::loader::random::{Random, ascending_subset};
use crate::window::gather::{GreyLevels, SLACK};
use crate::window::normalization::Normalization;

fn vector() -> Vector {
    Vector::detect().expect("every such processor has it")
}

fn random_selection(random: &mut Random, population: usize) -> NeuronSelection {
    let mut neurons = vec![0; usize::try_from(random.below(population as u64 + 1)).expect("few")];
    ascending_subset(random, population, &mut neurons);
    let normalization = Normalization {
        scale: vec![1.0; population],
        shift: None,
        grey_levels: GreyLevels::new(0.0, 1.0),
        channel_rows: vec![],
        num_channels: 0,
    };
    let mut selection = NeuronSelection::default();
    selection.select(&neurons, &normalization).expect("neurons");
    selection
}

#[test]
fn selected_numbers_are_packed() {
    let mut random = Random::new(4);
    for population in (1..120).chain([255, 256]) {
        let selection = random_selection(&mut random, population);
        let row: Vec<u8> = (0..4 * population)
            .map(|_| random.bits().to_le_bytes()[0])
            .collect();
        let capacity = selection.len() + SLACK;
        let mut halves = vec![0; capacity];
        let done = vector().pack_halves(&row[..2 * population], &selection, &mut halves);
        let mut floats = vec![0.0; capacity];
        assert_eq!(vector().pack_floats(&row, &selection, &mut floats), done);
        let is_whole = |index: &&u32| (**index as usize) < population / GROUP * GROUP;
        assert_eq!(done, selection.indices().iter().filter(is_whole).count());
        for (place, index) in selection.indices()[..done].iter().enumerate() {
            assert_eq!(halves[place], u16_at(&row, *index as usize));
            let expected = f32_at(&row, *index as usize);
            assert_eq!(floats[place].to_bits(), expected.to_bits());
        }
    }
}

/// Check what `fill` writes into memory of both types.
fn require(
    length: usize,
    offset: usize,
    fill: impl Fn(&mut OutputMemory) -> Range<usize>,
    expected: impl Fn(usize) -> f32,
) {
    let places = offset..offset + length;
    let mut floats = vec![7.0_f32; length + 20];
    let done = fill(&mut OutputMemory::F32(&mut floats[places.clone()]));
    for (place, found) in floats[places.clone()].iter().enumerate() {
        let wanted = if done.contains(&place) {
            expected(place)
        } else {
            7.0
        };
        assert_eq!(found.to_bits(), wanted.to_bits(), "{place} of {length}");
    }
    assert!(length - done.len() < 2 * LANES);
    vector().finish();
    let mut halves = vec![7_u16; length + 20];
    let done = fill(&mut OutputMemory::Bf16(&mut halves[places.clone()]));
    for (place, found) in halves[places].iter().enumerate() {
        let wanted = if done.contains(&place) {
            f32_to_bf16(expected(place))
        } else {
            7
        };
        assert_eq!(*found, wanted, "{place} of {length}");
    }
}

#[test]
fn every_half_precision_number_is_converted_shifted_and_divided() {
    let halves: Vec<u16> = (0..=u16::MAX).collect();
    let length = halves.len();
    let mut random = Random::new(9);
    let mut numbers = || -> Vec<f32> {
        let number = |_| 0.01 + f32::from(random.bits().to_le_bytes()[0]) / 37.0;
        (0..length).map(number).collect()
    };
    let (shift, scale) = (numbers(), numbers());
    for shift in [None, Some(&shift[..])] {
        let scaled =
            |place: usize, value: f32| shift.map_or(value, |s| value - s[place]) / scale[place];
        let fill = |stored| {
            let (scale, shift) = (&scale, shift);
            move |out: &mut OutputMemory| vector().scale(stored, shift, scale, out)
        };
        require(length, 1, fill(StoredRow::F16(&halves)), |place| {
            scaled(place, f16_to_f32(halves[place]))
        });
        require(length, 3, fill(StoredRow::Bf16(&halves)), |place| {
            scaled(place, bf16_to_f32(halves[place]))
        });
    }
}

#[test]
fn rows_of_every_length_and_alignment_are_written() {
    let mut random = Random::new(6);
    for length in 0..70 {
        let bytes: Vec<u8> = (0..length)
            .map(|_| random.bits().to_le_bytes()[0])
            .collect();
        let floats: Vec<f32> = bytes
            .iter()
            .map(|byte| f32::from(*byte) / 7.0 - 9.0)
            .collect();
        let scale = vec![3.0; length];
        require(
            length,
            length % 9,
            |out| vector().scale(StoredRow::F32(&floats), None, &scale, out),
            |place| floats[place] / 3.0,
        );
        require(
            length,
            length % 7,
            |out| vector().scale_greys(&bytes, 113.0, 59.0, out),
            |place| (f32::from(bytes[place]) - 113.0) / 59.0,
        );
    }
}
