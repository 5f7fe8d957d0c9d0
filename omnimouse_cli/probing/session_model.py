"""Responses of the neurons of a session to any video, predicted by one trained run or several."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from omnimouse_cli.batch.batch import Batch
from omnimouse_cli.batch.dataset import Dataset, SessionInfo, require_frame_size
from omnimouse_cli.batch.published_strategies import predict_from_stimulus
from omnimouse_cli.batch.selection import select
from omnimouse_cli.config.data import NUM_BEHAVIOR_SAMPLES, NUM_FRAMES, NUM_RESPONSE_SAMPLES
from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.evaluation.forward import MaskedModel
from omnimouse_cli.probing.behavior_state import BehaviorState, StateName, make_state
from omnimouse_cli.reporter import Reporter
from omnimouse_cli.run.ensemble import num_neurons, require_alike
from omnimouse_cli.run.load import LoadedRun, open_run_data
from omnimouse_cli.shard import Shard
from omnimouse_cli.text import suggest_name

# R runs, B windows, T frames, Y rows, X columns, S samples, N neurons, C channels

F32 = NDArray[np.float32]
# Predicted samples of a window: those of its second half, from the video of the whole window.
SAMPLES = (30, 60)
STRATEGY = predict_from_stimulus("predict", "encoded")
# Unit of scaled responses, and of all responses of a session without a shard.
SCALED_UNIT = "standard deviations"
WINDOWS_AT_ONCE = 16


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ResponseUnit:
    """How the responses of a model become those of the recording: `shift + scale * response`.

    Args:
        name: Unit of the result: the recording's response kind, or `standard deviations`.
        shift: float32 `(neurons,)`.
        scale: float32 `(neurons,)`.
    """

    name: str
    shift: F32
    scale: F32


class SessionModel:
    """Predicts the responses of all neurons of a session to windows of video.

    The masking strategy is `predict`: samples 30 to 60 of a window from all its 60 frames. The
    model predicts scaled responses, as it was trained on them: `(response - shift) / scale`.

    Args:
        runs: One run, or several that know the session as an ensemble; they are moved to `device`.
        session: Session key.
        dataset: Shards of the session; without them responses stay in standard deviations and the
            state cannot be `median`.
        device: Where to compute.
        state: Behavior during the video: `median`, `mean` or `missing`; None takes `median` with
            shards and `mean` without.

    Attributes:
        session: Session key.
        state: Behavior during the video.
        unit: How scaled responses become those of the recording.
        frame_shape: Height and width of a frame in pixels.
        num_neurons: Number of neurons.
        device: Where the model computes.
        shard: The session's shard; None without shards.

    Raises:
        OmniMouseError: A run does not know the session, was trained without video, or differs from
            the first run in its neurons, frames, channels or scaling.
    """

    def __init__(
        self,
        runs: Sequence[LoadedRun],
        session: str,
        *,
        dataset: Dataset | None = None,
        device: torch.device | None = None,
        state: StateName | None = None,
    ) -> None:
        self.runs = tuple(runs)
        self.session = session
        self.device = device or torch.device("cpu")
        for run in self.runs:
            choose_sessions(run, session=session)
        first = self.runs[0]
        self.num_neurons = num_neurons(first, session)
        video = first.config.model.video
        self.frame_shape = (video.frame_height, video.frame_width)
        for run in self.runs[1:]:
            require_alike(first, run, session)
        self.shard: Shard | None = None
        self._present = np.ones(len(first.behavior_channels), np.bool_)
        self.unit = ResponseUnit(
            name=SCALED_UNIT,
            shift=np.zeros(self.num_neurons, np.float32),
            scale=np.ones(self.num_neurons, np.float32),
        )
        if dataset is not None:
            info = dataset.session(session)
            self.shard = info.shard
            _require_screen(info, first)
            shift, scale = dataset.normalization(first.config.data, session)
            self.unit = ResponseUnit(name=info.response_kind, shift=shift, scale=scale)
            self._present = dataset.behavior_present(session)
        channels = first.behavior_channels
        self.state: BehaviorState = make_state(
            state or ("mean" if self.shard is None else "median"), channels, self.shard
        )
        for run in self.runs:
            run.model.to(self.device)
            run.embeddings[session].to(self.device)

    @property
    def channels(self) -> tuple[str, ...]:
        """Behavior channels of the model, in its order."""
        return self.runs[0].behavior_channels

    @property
    def mean_grey(self) -> float:
        """Mean grey level of the training video, which scaled frames have as 0."""
        return self.runs[0].config.data.video_mean

    def scale_frames(self, grey_BTYX: Tensor) -> Tensor:
        """Return frames of grey levels 0 to 255 scaled as in training: `(grey - mean) / std`."""
        data = self.runs[0].config.data
        scaled: Tensor = (
            grey_BTYX.to(self.device, torch.float32) - data.video_mean
        ) / data.video_std
        return scaled

    def predict_windows(
        self,
        video_BTYX: Tensor,
        behavior_BCS: Tensor | None = None,
        neurons_BN: Tensor | None = None,
    ) -> Tensor:
        """Return the responses of every run; gradients flow to the video.

        Args:
            video_BTYX: float32 `(windows, 60, height, width)` from `scale_frames`, on the device.
            behavior_BCS: float32 `(windows, channels, 40)`, z-scored, NaN where it is missing; None
                takes `state`.
            neurons_BN: int64 `(windows, neurons)`: columns of the recording that are predicted in
                each window; None takes all in every window.

        Returns:
            float32 `(runs, windows, 30, neurons)`: scaled responses (`to_unit` converts them) in
            the second half of each window.
        """
        batch = self._batch(video_BTYX, behavior_BCS, neurons_BN)
        selection = select(
            STRATEGY,
            num_neurons=batch.neuron_index.shape[1],
            num_windows=batch.num_windows,
            generator=None,
        )
        predicted = []
        for run in self.runs:
            model = MaskedModel(
                run=run,
                device=self.device,
                session=self.session,
                strategy=STRATEGY,
                selection=selection,
            )
            responses = model.predict(batch).responses
            assert responses is not None, "the strategy has response targets"
            predicted.append(responses.float())
        return torch.stack(predicted)

    def mean_responses(
        self, grey_BTYX: NDArray[np.generic], neurons: NDArray[np.int64] | None = None
    ) -> F32:
        """Return the responses to stimuli, each averaged over the second half of its window.

        Args:
            grey_BTYX: Grey levels 0 to 255, of any number type, `(stimuli, 60, height, width)`.
            neurons: int64 `(stimuli, neurons)`: columns of the recording that are predicted for
                each stimulus; None takes all for every stimulus.

        Returns:
            float32 `(runs, stimuli, neurons)` in units of the recording (`unit`).
        """
        parts = []
        with torch.inference_mode():
            for first in range(0, len(grey_BTYX), WINDOWS_AT_ONCE):
                rows = slice(first, first + WINDOWS_AT_ONCE)
                video = self.scale_frames(torch.from_numpy(np.asarray(grey_BTYX[rows])))
                chosen = None if neurons is None else torch.from_numpy(neurons[rows])
                responses = self.predict_windows(video, neurons_BN=chosen)
                parts.append(responses.mean(dim=2).cpu().numpy())
        return self.to_unit(np.concatenate(parts, axis=1), neurons)

    def to_unit(self, responses: F32, neurons: NDArray[np.int64] | None = None) -> F32:
        """Return responses `(..., neurons)` in units of the recording.

        Args:
            responses: Scaled responses, as `predict_windows` returns them.
            neurons: int64, of a shape that broadcasts against the responses: their columns in the
                recording; None if the last axis has all neurons.
        """
        chosen = slice(None) if neurons is None else neurons
        scale, shift = self.unit.scale[chosen], self.unit.shift[chosen]
        return np.asarray(responses * scale + shift, dtype=np.float32)

    def _batch(
        self, video_BTYX: Tensor, behavior_BCS: Tensor | None, neurons_BN: Tensor | None
    ) -> Batch:
        windows = len(video_BTYX)
        if video_BTYX.shape[1:] != (NUM_FRAMES, *self.frame_shape):
            raise ValueError(
                f"`video` must be (windows, {NUM_FRAMES}, {self.frame_shape[0]}, "
                f"{self.frame_shape[1]}): {tuple(video_BTYX.shape)}"
            )
        behavior = behavior_BCS
        if behavior is None and self.channels:
            values = torch.from_numpy(self.state.values).to(self.device)
            behavior = values[None, :, None].expand(windows, -1, NUM_BEHAVIOR_SAMPLES)
        if behavior is not None:
            present = torch.from_numpy(self._present).to(self.device)
            behavior = torch.where(present[None, :, None], behavior, torch.zeros(()).to(behavior))
        if neurons_BN is None:
            neurons_BN = torch.arange(self.num_neurons).expand(windows, -1)
        shape = (windows, NUM_RESPONSE_SAMPLES, neurons_BN.shape[1])
        return Batch(
            number=-1,
            session=self.session,
            responses=torch.zeros(shape, device=self.device),
            neuron_index=neurons_BN.to(self.device),
            video=video_BTYX,
            behavior=behavior,
            behavior_present=self._present,
            start_seconds=np.zeros(windows),
        )


def find_shards(
    run: LoadedRun, shards: Path | None, reporter: Reporter, *, allow_other_data: bool = False
) -> Dataset | None:
    """Open the shards of a run; None if no folder is named and that of the training is gone.

    Arguments are those of `open_run_data`.

    Raises:
        CheckpointError: `shards` is named and has none of the run's sessions, or the shards hold
            other data than those of the training.
    """
    if shards is None and (run.shards is None or not run.shards.is_dir()):
        return None
    return open_run_data(run, shards, reporter, allow_other_data=allow_other_data)


def choose_sessions(
    run: LoadedRun, *, session: str | None = None, animal: str | None = None
) -> tuple[str, ...]:
    """Return session keys of a run: the named one, those of an animal, or by default all.

    Raises:
        OmniMouseError: The run has no such session or animal.
    """
    keys = [one.session for one in run.sessions]
    if session is not None:
        if session not in keys:
            raise OmniMouseError(
                f"{run.folder} has no session {session}",
                hint=suggest_name(session, keys, cutoff=0.0),
            )
        return (session,)
    if animal is not None:
        if animal not in run.animals:
            raise OmniMouseError(
                f"{run.folder} has no animal {animal}",
                hint=suggest_name(animal, run.animals, cutoff=0.0),
            )
        return tuple(one.session for one in run.sessions if one.animal == animal)
    return tuple(keys)


def require_neurons(neurons: Sequence[int], num_neurons: int, session: str) -> NDArray[np.int64]:
    """Return columns of neurons, each once, in their order.

    Raises:
        OmniMouseError: There is none, or the session has fewer neurons.
    """
    columns = list(dict.fromkeys(neurons))
    if not columns:
        raise OmniMouseError("no neuron was named", hint="name columns of the recording: 0,5")
    for column in columns:
        if not 0 <= column < num_neurons:
            raise OmniMouseError(
                f"session {session} has no neuron {column}",
                hint=f"neurons are columns of the recording, 0 to {num_neurons - 1}",
            )
    return np.array(columns, np.int64)


def _require_screen(info: SessionInfo, run: LoadedRun) -> None:
    if info.frame_shape is None:
        raise OmniMouseError(
            f"session {info.key} has no screen: {run.folder} predicts no responses to a video",
            hint="name a session with a screen: --session KEY",
        )
    require_frame_size(info.key, info.frame_shape, run.config.model.video, model=str(run.folder))
