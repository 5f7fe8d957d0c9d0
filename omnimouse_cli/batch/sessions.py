"""Sessions of a data set as the Rust extension assembles them, and its errors as ours."""

from collections.abc import Iterator
from contextlib import contextmanager

from omnimouse_cli import _native
from omnimouse_cli.batch.dataset import Dataset, stored_channels
from omnimouse_cli.config.data import DataConfig
from omnimouse_cli.errors import ShardError
from omnimouse_cli.reporter import Reporter


@contextmanager
def native_errors() -> Iterator[None]:
    """Turn the extension's refusals of a file into `ShardError`; their text names the file."""
    try:
        yield
    except _native.ShardFormatError as error:
        raise ShardError(
            str(error),
            hint="`omnimouse inspect --verify` looks for damage; "
            "`omnimouse preprocess --force` makes the shard again",
        ) from error
    except OSError as error:
        raise ShardError(str(error), hint="put the shard back, or preprocess again") from error


def warn_of_reading(dataset: Dataset, config: DataConfig, reporter: Reporter) -> None:
    """Tell in one line if shards will be read because their file system cannot map them."""
    if config.access == "read":
        return
    paths = [session.path for session in dataset.sessions if not session.shard.is_mapped]
    if paths:
        others = f" and {len(paths) - 1} other shards" if len(paths) > 1 else ""
        reporter.warn(
            f"{paths[0]}{others} cannot be mapped into memory where they lie, so they are read, "
            'which is slower; `data.access = "read"` does so without this warning'
        )


def native_session(dataset: Dataset, config: DataConfig, key: str) -> _native.Session:
    """Open a session in the extension, scaled as `config` says.

    Raises:
        ShardError: The shard is missing or damaged.
    """
    session, channels = dataset.session(key), dataset.behavior_channels
    shift, scale = dataset.normalization(config, key)
    with native_errors():
        return _native.Session(
            _native.Shard(session.path, mapped=config.access == "map"),
            shift=shift,
            scale=scale,
            video_mean=config.video_mean,
            video_std=config.video_std,
            channel_rows=[
                channels.index(name) if name in session.channels else None
                for name in stored_channels(session.shard)
            ],
            num_channels=len(channels),
        )
