//! Tables for byte shuffles that move the selected ones of eight numbers to the front.

/// For each mask, the bytes of the selected ones of eight 16-bit numbers.
pub static HALF_SHUFFLES: [[u8; 16]; 256] = half_shuffles();
/// For each mask, the indices of the selected ones of eight 32-bit numbers.
pub static FLOAT_SHUFFLES: [[u32; 8]; 256] = float_shuffles();

const fn float_shuffles() -> [[u32; 8]; 256] {
    let mut table = [[0; 8]; 256];
    let mut mask = 0;
    while mask < 256 {
        let (mut column, mut position) = (0, 0);
        while column < 8 {
            if mask >> column & 1 == 1 {
                table[mask][position] = column;
                position += 1;
            }
            column += 1;
        }
        mask += 1;
    }
    table
}

#[expect(clippy::cast_possible_truncation, reason = "bytes of eight numbers")]
const fn half_shuffles() -> [[u8; 16]; 256] {
    let floats = float_shuffles();
    let mut table = [[0; 16]; 256];
    let mut mask = 0;
    while mask < 256 {
        let mut position = 0;
        while position < 8 {
            table[mask][2 * position] = 2 * floats[mask][position] as u8;
            table[mask][2 * position + 1] = 2 * floats[mask][position] as u8 + 1;
            position += 1;
        }
        mask += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shuffles_are_the_positions_of_the_bits() {
        assert_eq!(FLOAT_SHUFFLES[0b1010_0001][..3], [0, 5, 7]);
        assert_eq!(HALF_SHUFFLES[0b1010_0001][..6], [0, 1, 10, 11, 14, 15]);
        assert_eq!(FLOAT_SHUFFLES[255], [0, 1, 2, 3, 4, 5, 6, 7]);
    }
}
