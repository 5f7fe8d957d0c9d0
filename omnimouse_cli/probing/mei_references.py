"""Stimuli that most exciting ones are compared with: natural ones of the shards, and gratings."""

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.batch.dataset import Dataset
from omnimouse_cli.config.data import DataConfig
from omnimouse_cli.evaluation.session_reader import SessionReader
from omnimouse_cli.probing.mei_ascent import GREY_FRAMES, SHOWN_FRAMES
from omnimouse_cli.probing.stimuli import full_screen_gratings, make_gratings

F32 = NDArray[np.float32]
# Maximum number of windows of the training tiers from which natural stimuli are taken.
MOST_NATURAL = 300
# A frame with less contrast, in grey levels, is a blank screen.
LEAST_CONTRAST = 5.0
GREY = 127.5
DIRECTIONS = 16
SPATIAL_FREQUENCIES = (0.03, 0.045, 0.065, 0.09, 0.13, 0.18)
TEMPORAL_FREQUENCIES = (1.0, 2.0, 4.0, 8.0)


def natural_stimuli(dataset: Dataset, config: DataConfig, session: str, *, moving: bool) -> F32:
    """Return stimuli of the training tiers, at evenly spaced times.

    Args:
        dataset: Shards of the session.
        config: Training tiers of the run, and mean and standard deviation of its video.
        session: Session key.
        moving: Whether clips of a second are returned, or single frames.

    Returns:
        Grey levels, float32 `(at most 300, 30 or 1, height, width)`, without those with a blank
        screen; possibly none.
    """
    windows = dataset.windows(config, session)
    if windows.num_windows == 0:
        return np.empty((0, 1, 1, 1), np.float32)
    numbers = np.unique(np.linspace(0, windows.num_windows - 1, MOST_NATURAL).astype(np.int64))
    video = SessionReader(dataset, config, session).video(windows.grid_index(numbers))
    frames = slice(GREY_FRAMES, None) if moving else slice(GREY_FRAMES, GREY_FRAMES + 1)
    clips: F32 = video[:, frames] * config.video_std + config.video_mean
    is_blank = (clips.std(axis=(2, 3)) < LEAST_CONTRAST).any(axis=1)
    return np.asarray(clips[~is_blank])


def measure_contrast(stimuli: F32) -> tuple[float, float]:
    """Return the mean of stimuli and their RMS contrast: the root of the mean variance of frames.

    Args:
        stimuli: Grey levels `(stimuli, frames, height, width)`.
    """
    return float(stimuli.mean()), float(np.sqrt(stimuli.var(axis=(2, 3)).mean()))


def choose_gratings(frame_shape: tuple[int, int], *, moving: bool) -> F32:
    """Return gratings over the whole screen.

    Args:
        frame_shape: Height and width in pixels.
        moving: Whether they drift, in 16 directions at four temporal frequencies; still gratings
            have eight orientations and four phases.

    Returns:
        Grey levels, float32 `(gratings, 30 or 1, height, width)`.
    """
    turn = 360.0 if moving else 180.0
    angles = DIRECTIONS if moving else DIRECTIONS // 2
    gratings = full_screen_gratings(
        directions_deg=[number * turn / angles for number in range(angles)],
        spatial_frequencies=SPATIAL_FREQUENCIES,
        temporal_frequencies=TEMPORAL_FREQUENCIES if moving else (0.0,),
        phases_deg=(0.0,) if moving else (0.0, 90.0, 180.0, 270.0),
        contrast=1.0,
        frame_shape=frame_shape,
    )
    frames = make_gratings(gratings, frame_shape, mean=GREY)
    return frames[:, : SHOWN_FRAMES if moving else 1]
