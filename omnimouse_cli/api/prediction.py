"""Responses that a run predicts to a movie, with behavior as a state, arrays or a file."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from omnimouse_cli.api.arguments import PathLike
from omnimouse_cli.api.neurons import Neurons
from omnimouse_cli.api.series import F64, TimeSeries
from omnimouse_cli.errors import OmniMouseError

if TYPE_CHECKING:
    from omnimouse_cli.probing.movie import Movie
    from omnimouse_cli.probing.predict_behavior import BehaviorTrace
    from omnimouse_cli.probing.session_model import SessionModel

# A state, a CSV file, one array of all channels, or an array of each channel.
Behavior = str | Path | ArrayLike | Mapping[str, ArrayLike]
TIME = "time_seconds"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Prediction(TimeSeries):
    """Predicted responses; NumPy functions, indices and `len` are those of `values`.

    Args:
        values: float32 `(time, neurons)` in `unit`; of an ensemble the mean over runs.
        time_seconds: float64 `(time,)`: 1/30 s apart, from the first frame.
        unit: Unit of the responses: that of the recording (`rate`, `dff`, ...), or `standard
            deviations` where the shards were not found.
        std: float32 `(time, neurons)`: standard deviation over the runs of an ensemble (divisor
            n - 1); None for one run.
        session: Session key.
        neurons: The neurons, in the order of the columns.
        notes: A sentence for each step from the given frames and behavior to those of the model.
    """

    std: NDArray[np.float32] | None
    session: str
    neurons: Neurons
    notes: tuple[str, ...]


def open_frames(frames: ArrayLike | PathLike, fps: float | None) -> "Movie":
    """Return frames as a movie.

    Args:
        frames: Array, or path of a file or folder.
        fps: Frames per second.

    Raises:
        OmniMouseError: Frames or `fps` cannot be used.
    """
    from omnimouse_cli.probing.movie_open import open_movie

    is_path = isinstance(frames, str | Path)
    return open_movie(Path(cast("str", frames)) if is_path else np.asarray(frames), fps=fps)


def make_trace(
    behavior: Path | ArrayLike | Mapping[str, ArrayLike], movie: "Movie", model: "SessionModel"
) -> "BehaviorTrace":
    """Return behavior that was given for a movie.

    Args:
        behavior: A CSV file with a column `time_seconds`; an array `(frames, channels)` of the
            channels of the model; or an array `(frames,)` of each channel, with other times as
            `time_seconds`.
        movie: The movie.
        model: The session.

    Raises:
        OmniMouseError: The session has no shard, or behavior does not fit the movie or the channels
            of the session.
    """
    from omnimouse_cli.probing.predict_behavior import make_behavior, read_behavior

    if model.shard is None:
        raise OmniMouseError(
            f"behavior needs the shard of session {model.session}, whose mean and standard "
            "deviation scale it",
            hint="name the folder of the shards: om.load_run(RUN, shards=FOLDER)",
        )
    if isinstance(behavior, Path):
        trace = read_behavior(behavior, model.channels, model.shard)
    else:
        given = behavior if isinstance(behavior, Mapping) else _columns(behavior, model)
        values = {name: np.asarray(column, np.float64) for name, column in given.items()}
        seconds = values.pop(TIME, None)
        if seconds is None:
            seconds = _frame_seconds(movie, values)
        trace = make_behavior(seconds, values, model.channels, model.shard)
    trace.require_span(movie.num_frames / movie.fps)
    return trace


def _columns(behavior: ArrayLike, model: "SessionModel") -> dict[str, NDArray[Any]]:
    """Return the columns of an array by channel, without channels that the session lacks."""
    assert model.shard is not None, "make_trace has checked it"
    values = np.asarray(behavior, np.float64)
    if values.ndim != 2 or values.shape[1] != len(model.channels):
        raise OmniMouseError(
            f"behavior must be (frames, {len(model.channels)}): {values.shape}",
            hint=f"one column for each of {', '.join(model.channels) or 'no channel'}",
        )
    present = {name for one in model.shard.description.behavior for name in one.channels}
    return {name: values[:, i] for i, name in enumerate(model.channels) if name in present}


def _frame_seconds(movie: "Movie", values: Mapping[str, F64]) -> F64:
    """Return the times of the frames, each of which must have a row of behavior."""
    for name, column in values.items():
        if column.shape != (movie.num_frames,):
            raise OmniMouseError(
                f"behavior {name} must have one value for each of {movie.num_frames} frames: "
                f"{column.shape}",
                hint=f"with other times, give them as {TIME!r}",
            )
    return np.arange(movie.num_frames) / movie.fps
