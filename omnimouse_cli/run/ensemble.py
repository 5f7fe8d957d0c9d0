"""Several runs as one model, whose predictions are the mean of theirs."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import cast

import torch
from torch import Tensor, nn

from omnimouse_cli.batch.batch import Batch
from omnimouse_cli.batch.selection import Selection
from omnimouse_cli.batch.strategy import Strategy
from omnimouse_cli.errors import CheckpointError
from omnimouse_cli.model.build import Core
from omnimouse_cli.model.omnimouse import Prediction
from omnimouse_cli.model.session_embeddings import SessionEmbeddings
from omnimouse_cli.run.load import LoadedRun
from omnimouse_cli.run.weights import RunDescription


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Ensemble(LoadedRun):
    """A run whose model is the mean of several; its other facts are those of the first.

    Args:
        runs: The runs.
    """

    runs: tuple[LoadedRun, ...]


class _MeanCore(nn.Module):
    """Predicts the mean of the predictions of several cores."""

    def __init__(self, cores: Sequence[Core]) -> None:
        super().__init__()
        self.cores = nn.ModuleList(cores)

    def forward(
        self,
        batch: Batch,
        embeddings: nn.ModuleList,
        animal: str,
        strategy: Strategy,
        selection: Selection,
    ) -> Prediction:
        """Return the mean prediction; arguments are those of `OmniMouse.forward`.

        Args:
            batch: Windows of one session, on the model's device.
            embeddings: Embeddings of the session, one module for each core.
            animal: Animal of the session.
            strategy: Which inputs are visible and what is predicted.
            selection: Visible and target neurons.
        """
        predictions = []
        for number, (core, own) in enumerate(zip(self.cores, embeddings, strict=True)):
            # What one core computes once from the windows is not what another one does.
            kept = None
            if batch.kept is not None:
                kept = {
                    key[1]: value
                    for key, value in batch.kept.items()
                    if isinstance(key, tuple) and key[0] == number
                }
            one = replace(batch, kept=kept)
            predictions.append(core(one, own, animal, strategy, selection))
            if batch.kept is not None and kept is not None:
                batch.kept |= {(number, key): value for key, value in kept.items()}
        return Prediction(
            responses=_mean([one.responses for one in predictions]),
            behavior=_mean([one.behavior for one in predictions]),
        )


def make_ensemble(runs: Sequence[LoadedRun]) -> Ensemble:
    """Return several runs as one, whose predictions are their mean.

    Responses of the runs are scaled alike, so that the mean of scaled responses is that of
    responses in the unit of the recording.

    Args:
        runs: Two or more runs; the ensemble has the sessions that all of them know.

    Raises:
        CheckpointError: It is a single run, or runs differ in what they take or predict, or have no
            session in common.
    """
    first = runs[0]
    if len(runs) < 2:
        raise CheckpointError(
            f"an ensemble has several runs, and {first.folder} is one",
            hint="name the folders of runs that differ in their seed",
        )
    common = set.intersection(*({one.session for one in run.sessions} for run in runs))
    if not common:
        names = ", ".join(str(run.folder) for run in runs)
        raise CheckpointError(
            f"no session is in all of {names}",
            hint="an ensemble has runs of the same sessions that differ in their seed",
        )
    for run in runs[1:]:
        for session in common:
            require_alike(first, run, session)
    known = {field.name: getattr(first, field.name) for field in fields(RunDescription)}
    known["sessions"] = tuple(one for one in first.sessions if one.session in common)
    embeddings = {
        session: nn.ModuleList([run.embeddings[session] for run in runs]) for session in common
    }
    return Ensemble(
        **known,
        model=cast("Core", _MeanCore([run.model for run in runs]).eval()),
        embeddings=cast("dict[str, SessionEmbeddings]", embeddings),
        runs=tuple(runs),
    )


def require_alike(first: RunDescription, other: RunDescription, session: str) -> None:
    """Check that the predictions of two runs for a session can be averaged.

    Raises:
        CheckpointError: They differ in what they take or what they predict, or were trained on
            different data of the session.
    """
    for name, value in _facts(first, session).items():
        found = _facts(other, session)[name]
        if found != value:
            raise CheckpointError(
                f"{first.folder} and {other.folder} differ in their {name}: {value} and {found}",
                hint="an ensemble has runs of the same sessions that differ in their seed",
            )
    require_same_recording(first, other, session)


def require_same_recording(first: RunDescription, other: RunDescription, session: str) -> None:
    """Check that two runs were trained on the same values of a session, where both record it.

    Raises:
        CheckpointError: They were trained on different values.
    """
    found = [_fingerprint(run, session) for run in (first, other)]
    if None not in found and found[0] != found[1]:
        raise CheckpointError(
            f"{first.folder} and {other.folder} were trained on different data of session "
            f"{session} (fingerprints {found[0]:.8} and {found[1]:.8})",
            hint="name runs that were trained on the same shards",
        )


def _fingerprint(run: RunDescription, session: str) -> str | None:
    return next(one.fingerprint for one in run.sessions if one.session == session)


def num_neurons(run: RunDescription, session: str) -> int:
    """Return the number of neurons of a session of a run."""
    return next(one.neurons for one in run.sessions if one.session == session)


def _facts(run: RunDescription, session: str) -> dict[str, object]:
    """Return what the runs of an ensemble share."""
    data, video = run.config.data, run.config.model.video
    return {
        "number of neurons": num_neurons(run, session),
        "kind of model": run.config.model.kind,
        "frame size": (video.frame_height, video.frame_width),
        "behavior channels": run.behavior_channels,
        "loss of responses": run.response_loss,
        "scaling of responses": (
            data.normalize,
            data.std_floor_relative,
            data.std_floor_absolute,
        ),
        "scaling of video": (data.video_mean, data.video_std),
        "precision": run.config.train.precision,
    }


def _mean(values: Sequence[Tensor | None]) -> Tensor | None:
    present = [value for value in values if value is not None]
    return torch.stack(present).mean(dim=0) if present else None
