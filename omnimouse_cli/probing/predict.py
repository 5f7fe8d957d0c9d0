"""Responses of a session's neurons to a movie of any length, by overlapping windows."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from omnimouse_cli.config.data import NUM_FRAMES, RESPONSE_RATE_HZ
from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.evaluation.forward import NEURON_WINDOWS
from omnimouse_cli.probing.movie import F64, Movie, screen_frames
from omnimouse_cli.probing.predict_behavior import BehaviorTrace
from omnimouse_cli.probing.session_model import SAMPLES, SCALED_UNIT, WINDOWS_AT_ONCE, SessionModel
from omnimouse_cli.reporter import Reporter, Silent
from omnimouse_cli.text import format_number

F32 = NDArray[np.float32]
# The screen before a movie: mean grey of the model's video, the first frame, or a grey level.
Before = Literal["grey", "first"] | float
# Windows begin this many samples of 1/30 s apart, so that each sample is the mean of ten windows.
# Responses should not depend on where windows begin. With this stride, a movie that starts k frames
# later changes them by less than 2 % of their standard deviation, for any k; with a stride of 2 by
# 8 %, as the video encoder has steps of an even number of frames. Measured on validation tiers by
# benchmarks/predict_stride.py.
STRIDE_SAMPLES = 3
PROGRESS_TASK = "predicting"
_SILENT = Silent()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MoviePrediction:
    """The responses of the neurons of a session to a movie.

    Args:
        session: Session key.
        responses: float32 `(time, neurons)`: the mean over runs, in `unit`.
        std: float32 `(time, neurons)`: standard deviation over runs (divisor n - 1), in `unit`;
            None for one run.
        time_seconds: float64 `(time,)`: times of the samples, 1/30 s apart, from the first frame.
        unit: Unit of the responses.
    """

    session: str
    responses: F32
    std: F32 | None
    time_seconds: F64
    unit: str


def predict_movie(
    model: SessionModel,
    movie: Movie,
    *,
    behavior: BehaviorTrace | None = None,
    before: Before = "grey",
    stride_samples: int = STRIDE_SAMPLES,
    scaled: bool = False,
    reporter: Reporter = _SILENT,
) -> MoviePrediction:
    """Return the responses of the neurons of a session to a movie.

    The model predicts the second second of windows of two seconds. Each sample of the result is the
    mean over the windows that predict it. The screen before the movie is `before`; after it the
    last frame stays.

    Args:
        model: The session, in one run or an ensemble.
        movie: The movie; it is read in blocks.
        behavior: Behavior during the movie; None takes the state of `model`.
        before: The screen before the movie: `grey`, the mean of the model's video; `first`, the
            first frame; or a grey level from 0 to 255.
        stride_samples: Distance of windows in samples of 1/30 s, from 1 to 30.
        scaled: Whether responses stay in standard deviations of each neuron, as in training,
            instead of the unit of the recording.
        reporter: Receives progress.

    Returns:
        One sample for each 1/30 s of the movie.

    Raises:
        OmniMouseError: An option is out of range, or a frame cannot be read.
    """
    blocks = list(
        iterate_movie(
            model,
            movie,
            behavior=behavior,
            before=before,
            stride_samples=stride_samples,
            scaled=scaled,
            reporter=reporter,
        )
    )
    responses = np.concatenate([block.mean(axis=0) for block in blocks])
    several = len(model.runs) > 1
    return MoviePrediction(
        session=model.session,
        responses=responses,
        std=np.concatenate([block.std(axis=0, ddof=1) for block in blocks]) if several else None,
        time_seconds=np.arange(len(responses)) / RESPONSE_RATE_HZ,
        unit=SCALED_UNIT if scaled else model.unit.name,
    )


def iterate_movie(
    model: SessionModel,
    movie: Movie,
    *,
    behavior: BehaviorTrace | None = None,
    before: Before = "grey",
    stride_samples: int = STRIDE_SAMPLES,
    scaled: bool = False,
    reporter: Reporter = _SILENT,
) -> Iterator[F32]:
    """Yield the responses of each run to a movie, in memory that does not depend on its length.

    Arguments and errors are those of `predict_movie`.

    Yields:
        float32 `(runs, samples, neurons)`: consecutive samples of 1/30 s, from the first frame on.
    """
    require_options(before, stride_samples)
    task = f"{PROGRESS_TASK} {model.session}"
    reporter.start(task, movie.num_samples)
    first, last = SAMPLES
    # The first window that predicts a sample of the movie.
    start = -(-(1 - last) // stride_samples) * stride_samples
    # Sums over windows, and their numbers, of samples that later windows predict too.
    neurons = model.num_neurons
    total = np.zeros((len(model.runs), 0, neurons), np.float32)
    count = np.zeros(0, np.float32)
    for windows, num_samples in _windows(model, movie, start, stride_samples, before):
        starts = start + stride_samples * np.arange(len(windows))
        predicted = _predict(model, windows, starts, behavior)
        length = stride_samples * (len(windows) - 1) + last - first
        new = length - len(count)
        total = np.concatenate([total, np.zeros_like(total, shape=(len(total), new, neurons))], 1)
        count = np.concatenate([count, np.zeros(new, np.float32)])
        for number in range(len(windows)):
            at = slice(number * stride_samples, number * stride_samples + last - first)
            total[:, at] += predicted[:, number]
            count[at] += 1
        # The next window predicts nothing before its 30th sample; after the last one, all is done.
        is_last = num_samples is not None
        done = length if is_last else stride_samples * len(windows)
        skipped = max(0, -(start + first))
        end = done if num_samples is None else min(done, num_samples - start - first)
        responses = total[:, skipped:end] / count[skipped:end, None]
        if responses.shape[1]:
            yield responses if scaled else model.to_unit(responses)
        reporter.advance(task, responses.shape[1])
        total, count = total[:, done:], count[done:]
        start += stride_samples * len(windows)
    reporter.finish(task)


def describe_context(before: Before, stride_samples: int) -> str:
    """Return a sentence on where windows begin and what they show before and after the movie."""
    screen = {"grey": "the mean grey of the model's video", "first": "the first frame"}.get(
        str(before), f"grey level {before}"
    )
    windows, rest = divmod(SAMPLES[1] - SAMPLES[0], stride_samples)
    # Where the stride does not divide the second half, some samples lie in one window more.
    number = f"{windows} or {windows + 1}" if rest else f"{windows}"
    mean = "predicted by the one window" if number == "1" else f"the mean of the {number} windows"
    return (
        f"windows of 2 s begin every {stride_samples} samples of 1/30 s, and each sample is {mean} "
        f"with it in the second half; before the movie the screen is {screen}, and after it the "
        "last frame stays"
    )


def _windows(
    model: SessionModel, movie: Movie, start: int, stride_samples: int, before: Before
) -> Iterator[tuple[F32, int | None]]:
    """Yield frames of consecutive windows, `(windows, 60, height, width)`, as many as fit.

    The second value is the number of samples of the movie with the last windows, else None.
    """
    at_once = max(1, min(WINDOWS_AT_ONCE, NEURON_WINDOWS // model.num_neurons))
    # Frames from the first one of the next window on.
    held = np.zeros((0, *model.frame_shape), np.float32)
    num_frames = 0
    needed = stride_samples * (at_once - 1) + NUM_FRAMES
    for frames in screen_frames(movie, model.frame_shape):
        if num_frames == 0:
            lead = frames[:1].astype(np.float32)
            if before != "first":
                lead[:] = model.mean_grey if before == "grey" else before
            held = np.repeat(lead, -start, axis=0)
        num_frames += len(frames)
        held = np.concatenate([held, frames.astype(np.float32)])
        while len(held) > needed + NUM_FRAMES:
            yield _cut(held[:needed], stride_samples), None
            held = held[stride_samples * at_once :]
            start += stride_samples * at_once
    # Windows whose predicted samples begin before the end of the movie.
    num_windows = -(-(num_frames - SAMPLES[0] - start) // stride_samples)
    length = stride_samples * (num_windows - 1) + NUM_FRAMES
    if length > len(held):
        held = np.concatenate([held, np.repeat(held[-1:], length - len(held), axis=0)])
    windows = _cut(held[:length], stride_samples)
    for at in range(0, num_windows, at_once):
        is_last = at + at_once >= num_windows
        yield windows[at : at + at_once], num_frames if is_last else None


def _cut(frames: F32, stride_samples: int) -> F32:
    views = np.lib.stride_tricks.sliding_window_view(frames, NUM_FRAMES, axis=0)
    return np.moveaxis(views[::stride_samples], -1, 1)


def _predict(
    model: SessionModel, windows: F32, starts: NDArray[np.int64], behavior: BehaviorTrace | None
) -> F32:
    """Return scaled responses, float32 `(runs, windows, 30, neurons)`."""
    with torch.inference_mode():
        video = model.scale_frames(torch.from_numpy(np.array(windows)))
        channels = None
        if behavior is not None:
            channels = torch.from_numpy(behavior.windows(starts / RESPONSE_RATE_HZ)).to(video)
        return model.predict_windows(video, channels).cpu().numpy()


def require_options(before: Before, stride_samples: int) -> None:
    """Check options of `predict_movie`.

    Raises:
        OmniMouseError: One is out of range.
    """
    if not 1 <= stride_samples <= SAMPLES[1] - SAMPLES[0]:
        raise OmniMouseError(
            f"`stride_samples` must lie between 1 and 30: {stride_samples}",
            hint="30 predicts each sample once, 1 thirty times",
        )
    if isinstance(before, str):
        if before not in ("grey", "first"):
            raise OmniMouseError(
                f"`before` must be grey, first or a grey level: {before}",
                hint="for example --before 127",
            )
    elif not 0 <= before <= 255:
        raise OmniMouseError(
            f"`before` must be a grey level from 0 to 255: {format_number(before)}",
            hint="for example --before 127",
        )
