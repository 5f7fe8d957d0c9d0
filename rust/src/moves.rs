//! Tables of byte shuffles: which of eight numbers move to the front.

/// For each mask, which bytes of eight 16-bit numbers move to the front.
pub static HALF_MOVES: [[u8; 16]; 256] = half_moves();
/// For each mask, which of eight 32-bit numbers move to the front.
pub static FLOAT_MOVES: [[u32; 8]; 256] = float_moves();

const fn float_moves() -> [[u32; 8]; 256] {
    let mut moves = [[0; 8]; 256];
    let mut mask = 0;
    while mask < 256 {
        let (mut column, mut place) = (0, 0);
        while column < 8 {
            if mask >> column & 1 == 1 {
                moves[mask][place] = column;
                place += 1;
            }
            column += 1;
        }
        mask += 1;
    }
    moves
}

#[expect(clippy::cast_possible_truncation, reason = "bytes of eight numbers")]
const fn half_moves() -> [[u8; 16]; 256] {
    let floats = float_moves();
    let mut moves = [[0; 16]; 256];
    let mut mask = 0;
    while mask < 256 {
        let mut place = 0;
        while place < 8 {
            moves[mask][2 * place] = 2 * floats[mask][place] as u8;
            moves[mask][2 * place + 1] = 2 * floats[mask][place] as u8 + 1;
            place += 1;
        }
        mask += 1;
    }
    moves
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moves_are_the_places_of_the_bits() {
        assert_eq!(FLOAT_MOVES[0b1010_0001][..3], [0, 5, 7]);
        assert_eq!(HALF_MOVES[0b1010_0001][..6], [0, 1, 10, 11, 14, 15]);
        assert_eq!(FLOAT_MOVES[255], [0, 1, 2, 3, 4, 5, 6, 7]);
    }
}
