//! Each part gives the numbers of a plain loop, wherever a vector begins and ends.

use super::*;
use crate::convert::{bf16_to_f32, f16_to_f32, f32_at, f32_to_bf16, u16_at};
use crate::lines::{Greys, SLACK};
use crate::order::{Random, ascending_subset};
use crate::scaling::Scaling;

fn vector() -> Vector {
    Vector::detect().expect("every such processor has it")
}

fn columns(random: &mut Random, population: usize) -> Columns {
    let mut neurons = vec![0; usize::try_from(random.below(population as u64 + 1)).expect("few")];
    ascending_subset(random, population, &mut neurons);
    let scaling = Scaling {
        scale: vec![1.0; population],
        shift: None,
        greys: Greys::new(0.0, 1.0),
        channel_rows: vec![],
        num_channels: 0,
    };
    let mut columns = Columns::default();
    columns.choose(&neurons, &scaling).expect("neurons");
    columns
}

#[test]
fn chosen_numbers_are_moved_to_the_front() {
    let mut random = Random::new(4);
    for population in (1..120).chain([255, 256]) {
        let columns = columns(&mut random, population);
        let row: Vec<u8> = (0..4 * population)
            .map(|_| random.bits().to_le_bytes()[0])
            .collect();
        let room = columns.len() + SLACK;
        let mut halves = vec![0; room];
        let done = vector().pack_halves(&row[..2 * population], &columns, &mut halves);
        let mut floats = vec![0.0; room];
        assert_eq!(vector().pack_floats(&row, &columns, &mut floats), done);
        let is_whole = |index: &&u32| (**index as usize) < population / GROUP * GROUP;
        assert_eq!(done, columns.indices().iter().filter(is_whole).count());
        for (place, index) in columns.indices()[..done].iter().enumerate() {
            assert_eq!(halves[place], u16_at(&row, *index as usize));
            let expected = f32_at(&row, *index as usize);
            assert_eq!(floats[place].to_bits(), expected.to_bits());
        }
    }
}

/// What `fill` writes into lines of both types, beside what plain numbers become.
fn require(
    length: usize,
    offset: usize,
    fill: impl Fn(&mut Numbers) -> Range<usize>,
    expected: impl Fn(usize) -> f32,
) {
    let places = offset..offset + length;
    let mut floats = vec![7.0_f32; length + 20];
    let done = fill(&mut Numbers::F32(&mut floats[places.clone()]));
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
    let done = fill(&mut Numbers::Bf16(&mut halves[places.clone()]));
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
            move |line: &mut Numbers| vector().scale(stored, shift, scale, line)
        };
        require(length, 1, fill(Stored::F16(&halves)), |place| {
            scaled(place, f16_to_f32(halves[place]))
        });
        require(length, 3, fill(Stored::Bf16(&halves)), |place| {
            scaled(place, bf16_to_f32(halves[place]))
        });
    }
}

#[test]
fn lines_of_every_length_and_alignment_are_written() {
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
            |line| vector().scale(Stored::F32(&floats), None, &scale, line),
            |place| floats[place] / 3.0,
        );
        require(
            length,
            length % 7,
            |line| vector().scale_greys(&bytes, 113.0, 59.0, line),
            |place| (f32::from(bytes[place]) - 113.0) / 59.0,
        );
    }
}
