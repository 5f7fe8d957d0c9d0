//! Items from many places of a slice at once, checked together.

/// Give the item `further` behind each of some places.
///
/// # Panics
/// One of them lies beyond the end.
// To be compiled for the wide instructions of whoever calls it.
#[allow(clippy::inline_always)]
#[inline(always)]
pub(crate) fn gathered<T: Copy + Default, const COUNT: usize>(
    items: &[T],
    places: &[u32; COUNT],
    further: usize,
) -> [T; COUNT] {
    let last = places.iter().fold(0, |last, place| last.max(*place));
    assert!(
        last as usize + further < items.len(),
        "a place beyond the end"
    );
    let mut found = [T::default(); COUNT];
    for (item, place) in found.iter_mut().zip(places) {
        // SAFETY: no place is larger than `last`, and the assertion has seen that one inside.
        *item = *unsafe { items.get_unchecked(*place as usize + further) };
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_those_at_their_places() {
        assert_eq!(gathered(&[10, 20, 30, 40], &[2, 0, 2], 1), [40, 20, 40]);
    }

    #[test]
    #[should_panic(expected = "beyond the end")]
    fn a_place_beyond_the_end_is_refused() {
        let _ = gathered(&[10, 20, 30, 40], &[0, 3, 1], 1);
    }
}
