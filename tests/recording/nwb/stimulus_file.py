"""Writes small files with a stimulus, and checks what is read from them."""

import numpy as np
import pytest

from omnimouse_cli.recording.nwb.stimulus import open_stimulus
from omnimouse_cli.recording.nwb.tree import open_tree
from omnimouse_cli.recording.options import OpenOptions

h5py = pytest.importorskip("h5py")

RESPONSE_SECONDS = np.arange(1.0, 61.0, 0.1)


class StimulusFile:
    """Writes a file and opens its stimulus."""

    def __init__(self, path):
        self.path = path
        with h5py.File(path, "w") as file:
            file.attrs["nwb_version"] = "2.6.0"

    def add(self, path, neurodata_type, links=(), attributes=(), **datasets):
        with h5py.File(self.path, "a") as file:
            group = file.create_group(path)
            group.attrs["neurodata_type"] = neurodata_type
            group.attrs.update(dict(attributes))
            for name, values in datasets.items():
                group[name] = values
            for name, target in dict(links).items():
                group[name] = h5py.SoftLink(target)

    def add_rate(self, path, rate):
        with h5py.File(self.path, "a") as file:
            file[f"{path}/starting_time"] = 2.0
            file[f"{path}/starting_time"].attrs["rate"] = rate

    def make_allen(self):
        self.add(
            "general/devices/StimulusDisplay",
            "Device",
            attributes={"description": "An ASUS PA248Q monitor used to display visual stimuli."},
        )

    def add_indices(self, name, indices, times, templates, link="indexed_timeseries"):
        self.add(
            f"stimulus/presentation/{name}_stimulus",
            "IndexSeries",
            links={link: f"/stimulus/templates/{templates}"} if templates else {},
            data=np.asarray(indices),
            timestamps=np.asarray(times, float),
        )

    def add_table(self, path, starts, ends, **columns):
        self.add(
            path,
            "TimeIntervals",
            start_time=np.asarray(starts, float),
            stop_time=np.asarray(ends, float),
            **columns,
        )

    def open(self, response_seconds=RESPONSE_SECONDS, **options):
        with open_tree(self.path) as root:
            return open_stimulus(root, OpenOptions(**options), response_seconds=response_seconds)


def levels(stimulus, number):
    """The grey level of each frame of a trial, which must be of one level."""
    trial = stimulus.trials[number]
    frames = stimulus.screen.read_frames(number, 0, trial.num_flips)
    assert frames.shape == (trial.num_flips, 36, 64)
    assert (frames == frames[:, :1, :1]).all()
    return frames[:, 0, 0].tolist()


def rows(stimulus):
    return [
        (t.kind, t.condition, round(t.start_seconds, 3), round(t.end_seconds, 3), t.num_flips)
        for t in stimulus.trials
    ]


def grey_stack(num_images, step=10, shape=(72, 128)):
    """Images of one grey level each: 0, 10, 20, ..."""
    return np.full((num_images, *shape), 1, np.uint8) * (
        np.arange(num_images, dtype=np.uint8)[:, None, None] * step
    )


def check_screen(stimulus):
    """Every flip belongs to one trial, flips ascend and lie within their trial."""
    flips, first = stimulus.screen.flip_seconds, 0
    assert (np.diff(flips) > 0).all()
    for trial in stimulus.trials:
        assert trial.first_flip == first
        first += trial.num_flips
        own = flips[trial.first_flip : first]
        assert not len(own) or (own[0] == trial.start_seconds and own[-1] < trial.end_seconds)
    assert first == len(flips)
    ends = [trial.end_seconds for trial in stimulus.trials]
    assert all(e <= t.start_seconds for e, t in zip(ends, stimulus.trials[1:], strict=False))


def make_film(file, path="acquisition/Video: stimulus_1", color=True):
    """A film of 30 s at 10 Hz from 2 s on: 100 + 10 k in second k of a clip, grey 90 between."""
    seconds = 2 + np.arange(300) / 10
    level = np.full(300, 90)
    for start in (5, 10, 15, 20):
        inside = (seconds >= start - 1e-9) & (seconds < start + 3 - 1e-9)
        level[inside] = 100 + 10 * (np.arange(inside.sum()) // 10) + (start == 20)
    frames = np.broadcast_to(level[:, None, None].astype(np.uint8), (300, 36, 64))
    data = np.repeat(frames[..., None], 3, axis=3) if color else frames
    file.add(path, "ImageSeries", data=data, timestamps=seconds)
    return level
