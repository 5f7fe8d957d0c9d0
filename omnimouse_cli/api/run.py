"""A trained run, or several as an ensemble: `om.load_run`."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from omnimouse_cli.api.arguments import PathLike, as_path, as_paths
from omnimouse_cli.api.embeddings import Embeddings
from omnimouse_cli.api.neurons import Neurons, describe_neurons
from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.files import explain_file_errors
from omnimouse_cli.text import pluralize, suggest_name

if TYPE_CHECKING:
    import torch

    from omnimouse_cli.batch.dataset import Dataset
    from omnimouse_cli.run.load import LoadedRun
    from omnimouse_cli.shard import Shard


class Run:
    """A trained run with its shards; or an ensemble of runs, whose predictions are averaged.

    Args:
        runs: The runs; the first one describes the ensemble.
        dataset: Shards of sessions of the runs; None where they are not there.
        device: Where models compute.
    """

    def __init__(
        self, runs: "Sequence[LoadedRun]", dataset: "Dataset | None", device: "torch.device"
    ) -> None:
        self._runs = tuple(runs)
        self._dataset = dataset
        self.device = device

    @property
    def folders(self) -> tuple[Path, ...]:
        """Folder of each run."""
        return tuple(run.folder for run in self._runs)

    @property
    def shards(self) -> Path | None:
        """Folder of the shards; None where they were not found."""
        return None if self._dataset is None else self._dataset.folder

    @property
    def model(self) -> str:
        """Name of the model size."""
        return self._runs[0].config.model.size

    @cached_property
    def sessions(self) -> tuple[str, ...]:
        """Keys of the sessions that all runs know, in the order of training."""
        known = [{one.session for one in run.sessions} for run in self._runs]
        return tuple(
            one.session
            for one in self._runs[0].sessions
            if all(one.session in keys for keys in known)
        )

    @property
    def animals(self) -> tuple[str, ...]:
        """Keys of the animals."""
        return self._runs[0].animals

    @property
    def behavior_channels(self) -> tuple[str, ...]:
        """Behavior channels in the order of the model."""
        return self._runs[0].behavior_channels

    @property
    def frame_shape(self) -> tuple[int, int]:
        """Height and width of the frames that the model takes, in pixels."""
        video = self._runs[0].config.model.video
        return video.frame_height, video.frame_width

    def neurons(self, session: str | None = None) -> Neurons:
        """Return ids, positions, areas and layers of the neurons, and scores if evaluated.

        Without the shards, they are those that an evaluation has. Scores of an ensemble are those
        of its first run.

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
            key, self._num_neurons(key), shard=self._shard(key), run=self.folders[0]
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
        if len(self._runs) > 1:
            raise OmniMouseError(
                f"{pluralize(len(self._runs), 'run')} have no common embeddings: each run learns a "
                "space of its own",
                hint=f"load one of them: om.load_run({str(self.folders[0])!r})",
            )
        key = self._choose(session)
        learned = self._runs[0].embeddings[key]
        return Embeddings(
            session=key,
            animal=self._runs[0].animal_of(key),
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
        return next(one.neurons for one in self._runs[0].sessions if one.session == session)

    def _shard(self, session: str) -> "Shard | None":
        """Return the shard of a session; None where it was not found."""
        if self._dataset is None:
            return None
        found = {one.key: one.shard for one in self._dataset.sessions}
        return found.get(session)

    def __repr__(self) -> str:
        names = ", ".join(map(str, self.folders))
        return (
            f"Run {names}: {self.model}, {pluralize(len(self.sessions), 'session')} "
            f"({', '.join(self.sessions)}), frames of {self.frame_shape[0]} x "
            f"{self.frame_shape[1]}, behavior {', '.join(self.behavior_channels) or 'none'}, "
            f"shards {self.shards or 'not found'}, on {self.device}"
        )


@explain_file_errors()
def load_run(
    run: PathLike | Sequence[PathLike], *, shards: PathLike | None = None, device: str = "auto"
) -> Run:
    """Load a finished run, or several runs of other seeds as an ensemble.

    Args:
        run: Folder of the run; or several, whose predictions are averaged.
        shards: Folder of the shards; None takes that of the training if it is still there. Without
            shards, responses are in standard deviations and neurons have no ids.
        device: `cpu`, `cuda` or `auto` (cuda where there is one).

    Raises:
        CheckpointError: A folder is no run, has not finished or is damaged; or the shards have
            none of its sessions.
        OmniMouseError: No run was named, there is no such device, or the runs share no session.

    Example:
        >>> import omnimouse_cli as om
        >>> run = om.load_run("runs/demo", device="cpu")
        >>> run.sessions, run.frame_shape
        (('20001-1-1',), (36, 64))
    """
    from omnimouse_cli.probe.session_model import find_shards
    from omnimouse_cli.run.load import load_run
    from omnimouse_cli.train.parallel.world import select_device

    folders = as_paths(run)
    if not folders:
        raise OmniMouseError("no run was named", hint="name the folder of a run, or several")
    target = select_device(device)
    loaded = tuple(load_run(folder) for folder in folders)
    result = Run(loaded, find_shards(loaded[0], as_path(shards)), target)
    if not result.sessions:
        raise OmniMouseError(
            f"the runs share no session: {', '.join(map(str, folders))}",
            hint="an ensemble has runs of the same sessions that differ in their seed",
        )
    return result
