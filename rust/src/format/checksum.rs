//! The checksum of a shard's bytes.

use std::fmt::Write;

use blake3::Hasher;

/// Bytes of a checksum: the first 128 bits of BLAKE3's output.
pub const CHECKSUM_BYTES: usize = 16;

/// A running checksum of bytes that come in order.
#[derive(Clone, Debug, Default)]
pub struct Checksum(Hasher);

impl Checksum {
    /// Add bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The checksum of all bytes added so far.
    pub fn bytes(&self) -> [u8; CHECKSUM_BYTES] {
        let mut bytes = [0; CHECKSUM_BYTES];
        self.0.finalize_xof().fill(&mut bytes);
        bytes
    }

    /// The checksum in hexadecimal digits.
    pub fn digits(&self) -> String {
        let mut digits = String::new();
        for byte in self.bytes() {
            // Writing to a string never fails.
            let _ = write!(digits, "{byte:02x}");
        }
        digits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digits(bytes: &[u8]) -> String {
        let mut checksum = Checksum::default();
        checksum.update(bytes);
        checksum.digits()
    }

    #[test]
    fn the_checksum_is_the_published_one() {
        // The beginnings of the test vectors of BLAKE3, and of its output for "abc".
        let test_vector = |length: u32| {
            (0..length)
                .map(|index| (index % 251) as u8)
                .collect::<Vec<_>>()
        };
        assert_eq!(digits(&[]), "af1349b9f5f9a1a6a0404dea36dcc949");
        assert_eq!(digits(b"abc"), "6437b3ac38465133ffb63b75273a8db5");
        assert_eq!(
            digits(&test_vector(1024)),
            "42214739f095a406f3fc83deb889744a"
        );
        assert_eq!(
            digits(&test_vector(102_400)),
            "bc3e3d41a1146b069abffad3c0d44860"
        );
    }
}
