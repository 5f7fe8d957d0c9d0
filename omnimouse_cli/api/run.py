"""A trained run, or several as an ensemble: `om.load_run`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

from numpy.typing import ArrayLike

from omnimouse_cli.api.arguments import PathLike, as_path, explain_values
from omnimouse_cli.api.embeddings import Embeddings
from omnimouse_cli.api.neurons import Neurons, describe_neurons
from omnimouse_cli.api.prediction import Behavior, Prediction, make_trace, open_frames
from omnimouse_cli.api.progress import choose_reporter
from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.files import explain_file_errors
from omnimouse_cli.reporter import Reporter
from omnimouse_cli.text import pluralize, suggest_name

if TYPE_CHECKING:
    import torch

    from omnimouse_cli.batch.dataset import Dataset
    from omnimouse_cli.probing.behavior_state import StateName
    from omnimouse_cli.probing.predict_recorded import RecordedPrediction
    from omnimouse_cli.probing.session_model import SessionModel
    from omnimouse_cli.run.load import LoadedRun
    from omnimouse_cli.shard import Shard


class Run:
    """A trained run with its shards; or an ensemble of runs, whose predictions are averaged.

    Args:
        runs: The runs; the first one describes the ensemble.
        dataset: Shards of sessions of the runs; None where they are not there.
        device: Where models compute.

    Attributes:
        runs: The runs.
        dataset: The shards.
        device: Where models compute.
    """

    def __init__(
        self, runs: "Sequence[LoadedRun]", dataset: "Dataset | None", device: "torch.device"
    ) -> None:
        from omnimouse_cli.run.ensemble import make_ensemble

        self.runs = tuple(runs)
        # What all runs of an ensemble have in common.
        self._common = make_ensemble(self.runs) if len(self.runs) > 1 else self.runs[0]
        self.dataset = dataset
        self.device = device

    @property
    def folders(self) -> tuple[Path, ...]:
        """Folder of each run."""
        return tuple(run.folder for run in self.runs)

    @property
    def shards(self) -> Path | None:
        """Folder of the shards; None where they were not found."""
        return None if self.dataset is None else self.dataset.folder

    @property
    def model(self) -> str:
        """Name of the model size."""
        return self._common.config.model.size

    @property
    def sessions(self) -> tuple[str, ...]:
        """Keys of the sessions that all runs know, in the order of training."""
        return tuple(one.session for one in self._common.sessions)

    @property
    def animals(self) -> tuple[str, ...]:
        """Keys of the animals."""
        return tuple(dict.fromkeys(one.animal for one in self._common.sessions))

    @property
    def behavior_channels(self) -> tuple[str, ...]:
        """Behavior channels in the order of the model."""
        return self._common.behavior_channels

    @property
    def frame_shape(self) -> tuple[int, int]:
        """Height and width of the frames that the model takes, in pixels."""
        video = self._common.config.model.video
        return video.frame_height, video.frame_width

    def predict(
        self,
        frames: ArrayLike | PathLike,
        fps: float | None = None,
        *,
        session: str | None = None,
        behavior: Behavior | None = None,
        before: Literal["grey", "first"] | float = "grey",
        stride: int | None = None,
        scaled: bool = False,
        progress: bool | Reporter = False,
    ) -> Prediction:
        """Return the responses of the neurons of a session to a movie.

        Frames are averaged to the size of the model's, in grey, and shown at 30 Hz by
        sample-and-hold. Windows that reach beyond the end show the last frame.

        Args:
            frames: `(frames, height, width)` or `(frames, height, width, colors)` of any size and
                number type, grey levels from 0 to 255 (or 0 to 1); or the path of a movie: `.npy`,
                `.npz`, a folder of images, a video.
            fps: Frames per second; None takes those of a video file, and otherwise 30.
            session: Session key; None is the only session.
            behavior: Behavior during the movie. A state in which it stays: `median` of the session
                (the default with shards), `mean` (the default without), or `missing`. Or as it was,
                in the units of the recording, NaN where missing: an array `(frames, channels)` in
                the order of `behavior_channels`; a mapping from channels to `(frames,)`, or with
                other times as `time_seconds`; the `Path` of a CSV file with these columns.
            before: The screen before the movie: `grey`, the mean of the training video; `first`,
                the first frame; or a grey level from 0 to 255.
            stride: Distance of windows in samples of 1/30 s, from 1 to 30; None is 3, so that each
                sample is the mean of ten windows.
            scaled: Whether responses stay in standard deviations, as in training.
            progress: Whether lines about the progress are written on stderr; or a reporter.

        Returns:
            float32 `(time, neurons)` with times at 30 Hz, unit, and of an ensemble the standard
            deviation over runs.

        Raises:
            OmniMouseError: There is no such session, it has no screen, the run was trained without
                video, frames are none, of two colors or not finite, or behavior does not fit.

        Example:
            >>> import numpy as np
            >>> import omnimouse_cli as om
            >>> run = om.load_run("runs/demo", device="cpu")
            >>> frames = np.zeros((60, 72, 128), np.uint8)
            >>> run.predict(frames, fps=60, session="20001-1-1")
            Prediction: float32 (30, 6), unit rate, 0.000 to 0.967 s
        """
        from omnimouse_cli.probing.movie import describe_movie, require_frames_first
        from omnimouse_cli.probing.predict import STRIDE_SAMPLES, describe_context, predict_movie
        from omnimouse_cli.probing.predict_job import describe_behavior

        state = behavior if isinstance(behavior, str) else None
        model = self.session_model(session, state=state)
        stride_samples = STRIDE_SAMPLES if stride is None else stride
        with explain_file_errors():
            movie = open_frames(frames, fps)
            require_frames_first(movie, model.frame_shape)
            trace = None
            if behavior is not None and not isinstance(behavior, str):
                trace = make_trace(behavior, movie, model)
            predicted = predict_movie(
                model,
                movie,
                behavior=trace,
                before=before,
                stride_samples=stride_samples,
                scaled=scaled,
                reporter=choose_reporter(progress),
            )
        return Prediction(
            values=predicted.responses,
            time_seconds=predicted.time_seconds,
            unit=predicted.unit,
            std=predicted.std,
            session=model.session,
            neurons=self.neurons(model.session),
            notes=(
                *describe_movie(movie, model.frame_shape),
                describe_context(before, stride_samples),
                describe_behavior(model, trace),
            ),
        )

    def predict_recording(
        self,
        shards: PathLike | None = None,
        session: str | None = None,
        *,
        allow_other_data: bool = False,
        regime: str = "predict",
        tier: str = "test",
        no_stimulus: bool = False,
        no_behavior: bool = False,
        draws: int = 1,
        stride: int = 30,
        batch: int | None = None,
        seed: int = 0,
        scaled: bool = False,
        progress: bool | Reporter = False,
    ) -> "tuple[RecordedPrediction, ...]":
        """Return predictions for the recorded windows of a tier, beside what was measured.

        They are the numbers that `om.evaluate` scores, bit for bit.

        Args:
            shards: Folder of the shards; None is that of this run.
            session: Session key; None is the only session.
            allow_other_data: Whether `shards` may hold other data than those of the training.
            regime: `predict`, `decode`, `forecast`, `population` or `all`; a masking strategy; or a
                TOML file of strategies.
            tier: Tier of the trials.
            no_stimulus: Whether strategies that have the stimulus as input are skipped.
            no_behavior: Whether behavior is used neither as input nor as target.
            draws: Random draws of context neurons in population strategies.
            stride: Distance between windows in samples of 1/30 s.
            batch: Windows per forward pass.
            seed: Seed of the draws.
            scaled: Whether responses stay in standard deviations and behavior in z-scores.
            progress: Whether lines about the progress are written on stderr; or a reporter.

        Returns:
            One for each strategy of the regime, draw, and target (responses or behavior), with
            `predicted` and `measured`, float32 `(time, outputs)`, `time_seconds`, and `scored`.

        Raises:
            OmniMouseError: Shards, session, regime or tier do not exist, or no window can be
                predicted.

        Example:
            >>> import numpy as np
            >>> import omnimouse_cli as om
            >>> run = om.load_run("runs/demo", device="cpu")
            >>> one, *others = run.predict_recording("shards", "20001-1-1", tier="validation")
            >>> one.strategy, one.predicted.shape == one.measured.shape, one.units[0]
            ('predict', True, 'rate')
        """
        from omnimouse_cli.evaluation.records import EvalOptions
        from omnimouse_cli.probing.predict_recorded import predict_recording
        from omnimouse_cli.run.load import open_run_data

        key = self._choose(session)
        with explain_values():
            options = EvalOptions(
                regime=regime,
                stimulus=not no_stimulus,
                behavior=not no_behavior,
                tier=tier,
                stride_samples=stride,
                baselines=(),
                device=self.device.type,
                batch_windows=batch,
                seed=seed,
                draws=draws,
            )
        with explain_file_errors():
            dataset, reporter = self.dataset, choose_reporter(progress)
            if shards is not None or dataset is None:
                dataset = open_run_data(
                    self._common, as_path(shards), reporter, allow_other_data=allow_other_data
                )
            return tuple(
                predict_recording(
                    self.runs, dataset, key, options=options, scaled=scaled, reporter=reporter
                )
            )

    def session_model(
        self, session: str | None = None, *, state: str | None = None
    ) -> "SessionModel":
        """Return the neurons of a session as functions of videos, with gradients (PyTorch).

        Args:
            session: Session key; None is the only session.
            state: State of behavior: `median`, `mean` or `missing`; None is `median` with shards
                and `mean` without.

        Raises:
            OmniMouseError: There is no such session or state, it has no screen, or the run was
                trained without video.
        """
        from omnimouse_cli.probing.session_model import SessionModel

        key = self._choose(session)
        return SessionModel(
            self.runs,
            key,
            dataset=None if self._shard(key) is None else self.dataset,
            device=self.device,
            state=cast("StateName | None", state),
        )

    def neurons(self, session: str | None = None) -> Neurons:
        """Return ids, positions, areas and layers of the neurons, and scores if evaluated.

        Without the shards, they are those that an evaluation has. Scores of an ensemble are those
        of an evaluation of the same ensemble.

        Args:
            session: Session key; None is the only session.

        Raises:
            OmniMouseError: The run has no such session.

        Example:
            >>> import omnimouse_cli as om
            >>> om.load_run("runs/demo", device="cpu").neurons()
            Neurons: 6 of 20001-1-1, unit_id, position_um
        """
        key = self._choose(session)
        return describe_neurons(
            key, self._num_neurons(key), shard=self._shard(key), runs=self.folders
        )

    def embeddings(self, session: str | None = None) -> Embeddings:
        """Return the learned vector of each neuron, with ids and positions.

        Args:
            session: Session key; None is the only session.

        Raises:
            OmniMouseError: The run has no such session, or this is an ensemble.

        Example:
            >>> import omnimouse_cli as om
            >>> om.load_run("runs/demo", device="cpu").embeddings().vectors.shape
            (6, 64)
        """
        if len(self.runs) > 1:
            raise OmniMouseError(
                f"{pluralize(len(self.runs), 'run')} have no common embeddings: each run learns a "
                "space of its own",
                hint=f"load one of them: om.load_run({str(self.folders[0])!r})",
            )
        key = self._choose(session)
        learned = self.runs[0].embeddings[key]
        return Embeddings(
            session=key,
            animal=self.runs[0].animal_of(key),
            vectors=learned.neuron_embeddings.detach().float().cpu().numpy().copy(),
            biases=learned.neuron_biases.detach().float().cpu().numpy()[:, 0].copy(),
            session_vector=learned.session_embedding.detach().float().cpu().numpy().copy(),
            neurons=self.neurons(key),
        )

    def _choose(self, session: str | None) -> str:
        """Return the key of a session that the run has.

        Raises:
            OmniMouseError: There is no such session, or none was named and there are several.
        """
        names = ", ".join(map(str, self.folders))
        if session is None:
            if len(self.sessions) == 1:
                return self.sessions[0]
            raise OmniMouseError(
                f"{names}: {pluralize(len(self.sessions), 'session')}, and none was named",
                hint=f"session= is one of {', '.join(self.sessions)}",
            )
        if session not in self.sessions:
            raise OmniMouseError(
                f"{names} has no session {session}",
                hint=suggest_name(session, self.sessions, cutoff=0.0),
            )
        return session

    def _num_neurons(self, session: str) -> int:
        return next(one.neurons for one in self._common.sessions if one.session == session)

    def _shard(self, session: str) -> "Shard | None":
        """Return the shard of a session; None where it was not found."""
        if self.dataset is None:
            return None
        found = {one.key: one.shard for one in self.dataset.sessions}
        return found.get(session)

    def __repr__(self) -> str:
        names = ", ".join(map(str, self.folders))
        return (
            f"Run {names}: {self.model}, {pluralize(len(self.sessions), 'session')} "
            f"({', '.join(self.sessions)}), frames of {self.frame_shape[0]} x "
            f"{self.frame_shape[1]}, behavior {', '.join(self.behavior_channels) or 'none'}, "
            f"shards {self.shards or 'not found'}, on {self.device}"
        )
