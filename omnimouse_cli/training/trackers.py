"""The experiment trackers of `train --track`: TensorBoard, Weights & Biases, Trackio; offline."""

import contextlib
import importlib.util
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.text import suggest_name

PROJECT = "omnimouse"
# `--track none` ends the tracking of a run.
NONE = "none"


class Tracker(Protocol):
    """Receives the numbers of a run, step by step; `view` is the command that shows them."""

    view: str

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Add the numbers of a step; steps never decrease."""

    def close(self) -> None:
        """Write what is left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackedRun:
    """The run that is tracked.

    Args:
        folder: Its folder.
        id: Its name in the tracker, the same after every resume.
        config: Its configuration by dotted keys.
    """

    folder: Path
    id: str
    config: Mapping[str, Any]


class _TensorBoard:
    """Event files in RUN/tensorboard."""

    def __init__(self, run: TrackedRun) -> None:
        from torch.utils.tensorboard import SummaryWriter

        folder = run.folder / "tensorboard"
        self.view = f"tensorboard --logdir {folder}"
        for old in folder.glob("events.out.tfevents.*"):
            old.unlink()
        self._writer: Any = SummaryWriter(str(folder))

    def log(self, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        self._writer.close()


class _WeightsAndBiases:
    """An offline run in RUN/wandb."""

    def __init__(self, run: TrackedRun) -> None:
        import wandb

        for old in (run.folder / "wandb").glob(f"offline-run-*-{run.id}"):
            shutil.rmtree(old)
        self.view = f"wandb sync {run.folder / 'wandb'}/offline-run-*-{run.id}"
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            id=run.id,
            name=run.folder.resolve().name,
            dir=str(run.folder),
            config=dict(run.config),
            mode=os.environ.get("WANDB_MODE", "offline"),
            settings=wandb.Settings(console="off", silent=True),
        )

    def log(self, step: int, values: Mapping[str, float]) -> None:
        self._run.log(dict(values), step=step)

    def close(self) -> None:
        self._run.finish()


class _Trackio:
    """A run of the project `omnimouse` in Trackio's local database."""

    def __init__(self, run: TrackedRun) -> None:
        import trackio

        self.view = f"trackio show --project {PROJECT}"
        self._finish = trackio.finish
        name = f"{run.folder.resolve().name}-{run.id}"
        # Before its first run, the project does not exist.
        with contextlib.suppress(ValueError):
            for old in [one for one in trackio.Api().runs(PROJECT) if one.name == name]:
                old.delete()
        self._run = trackio.init(
            project=PROJECT,
            name=name,
            config=dict(run.config),
            embed=False,
            auto_log_gpu=False,
            auto_log_cpu=False,
        )

    def log(self, step: int, values: Mapping[str, float]) -> None:
        self._run.log(dict(values), step=step)

    def close(self) -> None:
        # The method of the run would be called once more at the end of the process.
        self._finish()


# The adapter of each tracker; the module and the extra have its name.
TRACKERS: dict[str, Callable[[TrackedRun], Tracker]] = {
    "tensorboard": _TensorBoard,
    "wandb": _WeightsAndBiases,
    "trackio": _Trackio,
}


def require_trackers(names: Sequence[str]) -> None:
    """Check the names of trackers, and that their libraries are installed.

    Args:
        names: Trackers, or `none` alone.

    Raises:
        OmniMouseError: A name is unknown, or a library is missing.
    """
    for name in names if tuple(names) != (NONE,) else ():
        if name not in TRACKERS:
            raise OmniMouseError(
                f"--track must be {', '.join(TRACKERS)}, or {NONE} alone: {name!r}",
                hint=suggest_name(name, TRACKERS),
            )
        if not is_installed(name):
            raise OmniMouseError(
                f"--track {name} needs {name}, which is not installed",
                hint=f"install the extra: pip install 'omnimouse[{name}]'",
            )


def is_installed(name: str) -> bool:
    """Return whether the library of a tracker is installed."""
    return importlib.util.find_spec(name) is not None
