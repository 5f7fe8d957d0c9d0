"""The named sizes, and shapes that cannot be built."""

from dataclasses import replace

import pytest

from omnimouse_cli.config.model import ModelConfig, VideoConfig
from omnimouse_cli.config.sizes import SIZES


def test_the_seven_sizes_know_their_names():
    assert list(SIZES) == ["nano", "tiny", "1M", "5M", "20M", "80M", "300M"]
    assert all(config.size == name for name, config in SIZES.items())


@pytest.mark.parametrize("name", ["1M", "5M", "20M", "80M", "300M"])
def test_published_sizes_have_heads_of_64_and_the_published_grid(name):
    config = SIZES[name]
    assert config.d_model // config.num_heads == 64
    assert config.video.grid == (30, 16, 32)
    assert config.video.tokens_per_time == 128
    assert not config.decoder.own_history


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"mask_unit": (3, 8)}, "`mask_unit` must divide the 16 rows"),
        ({"mask_unit": (8, 1)}, "must be a multiple of 2"),
        ({"kernel": (70, 7, 7)}, "`kernel` .* is larger than 60 frames"),
        ({"stages": ()}, "`stages` must be at least one block"),
        ({"layout": "reference", "stages": (1, 1, 1), "mask_unit": (8, 8)}, "has two stages"),
        ({"d_embed": 127}, "`d_embed` must be a multiple of `num_heads`"),
    ],
)
def test_video_shapes_that_cannot_work_are_refused(change, rule):
    with pytest.raises(ValueError, match=rule):
        replace(VideoConfig(), **change)


def test_heads_must_divide_the_width_evenly():
    with pytest.raises(ValueError, match="`d_model` must be `num_heads` times an even head width"):
        ModelConfig(d_model=30, num_heads=4)
