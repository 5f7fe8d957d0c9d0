"""Checks of the data during training: shards that were replaced, values that are not finite."""

from pathlib import Path
from typing import NamedTuple

from omnimouse_cli.batch.batch import Batch
from omnimouse_cli.batch.dataset import Dataset, SessionInfo
from omnimouse_cli.batch.loader import Loader
from omnimouse_cli.config.run import RunConfig
from omnimouse_cli.errors import OmniMouseError, ShardError
from omnimouse_cli.reporter import Reporter
from omnimouse_cli.shard.format import read_header
from omnimouse_cli.shard.verify import find_damage
from omnimouse_cli.training.parallel.world import World

# Steps whose batches are read again to find values that are not finite: on a GPU the loss is read
# only every few steps.
MAX_STEPS_READ_AGAIN = 20


class FileIdentity(NamedTuple):
    """Attributes of a file of which at least one changes when it is replaced or written to.

    Args:
        device: Number of the file system.
        inode: Number of the file in it.
        num_bytes: Length.
        modified_nanoseconds: Time of the last change.
    """

    device: int
    inode: int
    num_bytes: int
    modified_nanoseconds: int


def file_identity(path: Path) -> FileIdentity:
    """Return the identity of a file; raises OSError if it cannot be found."""
    status = path.stat()
    return FileIdentity(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


class ShardFiles:
    """The files of a data set, to find out whether one was replaced since it was opened.

    The mapping of a file that is replaced keeps the old data, but opening it again, as validation
    does, reads the new ones.

    Args:
        dataset: Sessions that are trained on; their headers were read when they were opened.
        reporter: Receives a warning if a file was replaced by one with the same header.
    """

    def __init__(self, dataset: Dataset, reporter: Reporter) -> None:
        self.dataset, self._reporter = dataset, reporter
        self._identities = {item.path: file_identity(item.path) for item in dataset.sessions}

    def find_change(self, world: World) -> ShardError | None:
        """Return the error of the first shard that has changed on any rank; None without one.

        Args:
            world: The ranks; every rank calls this function.
        """
        changes = map(self._change_of, self.dataset.sessions)
        own = next((change for change in changes if change is not None), None)
        return next((change for change in world.all_gather(own) if change is not None), None)

    def _change_of(self, session: SessionInfo) -> ShardError | None:
        path = session.path
        hint = (
            f"put the file back that session {session.key} was trained on, and resume; to train on "
            "the new one, start a new run"
        )
        try:
            identity = file_identity(path)
            if identity == self._identities[path]:
                return None
            header = read_header(path)
        except OSError as error:
            reason = error.strerror or type(error).__name__
            return ShardError(
                f"{path} cannot be found any more, during the training on it: {reason}", hint=hint
            )
        except ShardError as error:
            return ShardError(
                f"{path} has changed during the training on it: {error.message}", hint=hint
            )
        # The header holds the checksums of all values.
        if header != session.shard.header:
            return ShardError(
                f"{path} was replaced by other data during the training on it", hint=hint
            )
        self._identities[path] = identity
        self._reporter.warn(
            f"{path} was written again during the training on it, with the same header; "
            f"`omnimouse inspect {path.parent} --verify` checks its values"
        )
        return None


def explain_infinite_loss(
    loss: float, *, step: int, config: RunConfig, dataset: Dataset, exact: bool
) -> OmniMouseError:
    """Return the error of a loss that is not finite, which names the shard that causes it, if any.

    The batches of the step are read again to find infinite inputs or responses.

    Args:
        loss: Infinity or NaN.
        step: Number of steps after which the loss was found.
        config: Resolved configuration.
        dataset: Sessions that are trained on.
        exact: Whether the loss of every step was checked; otherwise it may have been infinite in
            an earlier step, and the batches of up to MAX_STEPS_READ_AGAIN steps are read.
    """
    message = f"the loss of step {step} is not a finite number: {loss}"
    assert config.train.batches_per_step is not None, "resolved before training"
    first_step = max(0, step - (1 if exact else MAX_STEPS_READ_AGAIN))
    first_batch = first_step * config.train.batches_per_step
    last_batch = step * config.train.batches_per_step
    verify = f"omnimouse inspect {dataset.folder} --verify"
    with Loader(dataset, config.data, seed=config.seed, first_batch=first_batch) as loader:
        for _ in range(first_batch, last_batch):
            batch = next(loader)
            signal = _infinite_signal(batch)
            if signal is not None:
                path = dataset.session(batch.session).path
                damage = find_damage(path)
                return ShardError(
                    f"{message}, because {signal} of session {batch.session} is not, at "
                    f"{batch.start_seconds.min():.0f} to {batch.start_seconds.max() + 2:.0f} s of "
                    f"{path}{'' if damage is None else ', which is damaged'}",
                    hint=f"check the shards with `{verify}`; copy the damaged one again, or make "
                    "it with `omnimouse preprocess --force`, and resume",
                )
    return OmniMouseError(
        message,
        hint="lower train.learning_rate, or set train.clip_norm, and resume from the last "
        f"checkpoint; `{verify}` shows whether a shard is damaged",
    )


def _infinite_signal(batch: Batch) -> str | None:
    """Return the name of a signal with a value that is not finite; None without one."""
    if not batch.responses.isfinite().all():
        return "a response"
    if batch.video is not None and not batch.video.isfinite().all():
        return "a frame"
    # NaN is a lost sample.
    if batch.behavior is not None and batch.behavior.isinf().any():
        return "behavior"
    return None
