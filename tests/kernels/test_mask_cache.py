"""The cache of masks keeps what was used last, within its bytes."""

from omnimouse_cli.kernels.attention.mask_cache import MaskCache


def test_old_masks_make_room_and_used_ones_stay():
    built = []

    def build(key):
        built.append(key)
        return key

    cache = MaskCache(build, size_bytes=lambda _mask: 10, limit_bytes=25)
    for key in ("a", "b", "a", "c"):
        assert cache.get(key) == key
    assert (built, len(cache), cache.used_bytes) == (["a", "b", "c"], 2, 20)
    cache.get("a")
    assert built == ["a", "b", "c"]
    cache.get("b")
    assert built == ["a", "b", "c", "b"]


def test_a_mask_larger_than_the_cache_is_kept_alone():
    cache = MaskCache(str, size_bytes=lambda _mask: 100, limit_bytes=25)
    assert cache.get(1) is cache.get(1)
    cache.get(2)
    assert (len(cache), cache.used_bytes) == (1, 100)
