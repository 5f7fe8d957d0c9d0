"""A folder of shards as one data set: its sessions, channels, animals, scaling and windows."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.batch.windows import WindowTable, window_table
from omnimouse_cli.config.data import WINDOW_SECONDS, DataConfig
from omnimouse_cli.config.model import VideoConfig
from omnimouse_cli.errors import ConfigError, ShardError
from omnimouse_cli.shard import CatalogueEntry, Shard, open_shard
from omnimouse_cli.shard.catalogue import open_shards
from omnimouse_cli.text import pluralize, suggest_name

CHANNEL_ORDER = ("pupil_x", "pupil_y", "pupil_size", "pupil_size_derivative", "running")
# Largest mean of a neuron's scaled responses.
MAX_SCALED_MEAN = 50.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SessionInfo:
    """One session of a data set.

    Args:
        key: Session key, unique in the data set.
        animal: Animal key.
        num_neurons: Columns of the responses.
        response_kind: `rate`, `dff`, `fluorescence` or `unknown`.
        channels: Behavior channels that are used, device by device.
        frame_shape: Height and width of a frame in pixels; None without a screen.
        fingerprint: Fingerprint of the values in the shard.
        shard: The open shard; its arrays are read on demand.
        has_time_course: Whether responses may change within a window. Sets of single images have
            one row per window.
    """

    key: str
    animal: str
    num_neurons: int
    response_kind: str
    channels: tuple[str, ...]
    frame_shape: tuple[int, int] | None
    fingerprint: str
    shard: Shard
    has_time_course: bool = True

    @property
    def path(self) -> Path:
        """Path of the shard."""
        return self.shard.path


@dataclass(frozen=True, kw_only=True, eq=False)
class Dataset:
    """Some sessions of a folder of shards.

    Args:
        folder: Folder of the catalogue and the shards.
        sessions: Sessions, in the catalogue's order unless they were named in another.
        channel_order: Behavior channels in the order of a batch; None orders those of the
            sessions.
    """

    folder: Path
    sessions: tuple[SessionInfo, ...]
    channel_order: tuple[str, ...] | None = None

    @cached_property
    def behavior_channels(self) -> tuple[str, ...]:
        """Channels of all sessions: pupil and running first, then the others by name."""
        if self.channel_order is not None:
            return self.channel_order
        present = {name for session in self.sessions for name in session.channels}
        known = [name for name in CHANNEL_ORDER if name in present]
        return (*known, *sorted(present.difference(CHANNEL_ORDER)))

    @cached_property
    def animals(self) -> tuple[str, ...]:
        """Animals of all sessions, each once, in order of appearance."""
        return tuple(dict.fromkeys(session.animal for session in self.sessions))

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the session keys and fingerprints, 32 hexadecimal digits."""
        parts = "\n".join(f"{session.key} {session.fingerprint}" for session in self.sessions)
        return hashlib.sha256(parts.encode()).hexdigest()[:32]

    @cached_property
    def _by_key(self) -> dict[str, SessionInfo]:
        return {session.key: session for session in self.sessions}

    def session(self, key: str) -> SessionInfo:
        """Return a session by its key.

        Raises:
            ShardError: The data set has no such session; the hint names the nearest key.
        """
        if key not in self._by_key:
            raise _unknown_session(key, self._by_key, self.folder)
        return self._by_key[key]

    def behavior_present(self, key: str) -> NDArray[np.bool_]:
        """Return which of the data set's channels a session has: bool `(channels,)`."""
        channels = self.session(key).channels
        return np.array([name in channels for name in self.behavior_channels], np.bool_)

    def normalization(
        self, config: DataConfig, key: str
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return what is subtracted from each neuron's responses, and what divides them.

        Args:
            config: `normalize`, `std_floor_relative` and `std_floor_absolute` are used.
            key: Session key.

        Returns:
            Shift and scale, each float32 `(num_neurons,)`.
        """
        session = self.session(key)
        mode = normalization_mode(config, session.response_kind)
        mean = np.asarray(session.shard.neuron_mean, np.float64)
        std = np.asarray(session.shard.neuron_std, np.float64)
        floor = config.std_floor_absolute
        if floor is None:
            finite = std[np.isfinite(std)]
            floor = config.std_floor_relative * float(finite.mean()) if finite.size else 0.0
        scale = np.fmax(std, floor).astype(np.float32)
        if mode == "scale" and config.std_floor_absolute is None:
            # A stuck neuron would become a huge constant. Rates are not that far from 0.
            stuck = np.where(std > 0, MAX_SCALED_MEAN, 1.0)
            scale = np.fmax(scale, (np.abs(mean) / stuck).astype(np.float32))
        # Neurons that never change have no standard deviation to divide by.
        scale[~(scale > 0)] = 1.0
        shift = np.zeros_like(scale) if mode == "scale" else np.nan_to_num(mean).astype(np.float32)
        return shift, scale

    def scaled_mean(self, config: DataConfig, key: str) -> NDArray[np.float32]:
        """Return the scaled mean response of each neuron in training trials.

        Args:
            config: As of `normalization`.
            key: Session key.

        Returns:
            Float32 `(num_neurons,)`; 0 where no mean is known.
        """
        shift, scale = self.normalization(config, key)
        mean = np.nan_to_num(np.asarray(self.session(key).shard.neuron_mean, np.float32))
        scaled: NDArray[np.float32] = (mean - shift) / scale
        return scaled

    def windows(self, config: DataConfig, key: str) -> WindowTable:
        """Return the windows of a session, possibly none; computed once per session and selection.

        Args:
            config: `tiers`, `include_blanks`, `require_behavior` and `stride_samples` select the
                windows.
            key: Session key.
        """
        selection = (
            key,
            config.tiers,
            config.include_blanks,
            config.require_behavior,
            config.stride_samples,
        )
        if selection not in self._windows:
            self._windows[selection] = window_table(
                self.session(key).shard,
                tiers=config.tiers,
                include_blanks=config.include_blanks,
                require_behavior=config.require_behavior,
                stride_samples=config.stride_samples,
            )
        return self._windows[selection]

    @cached_property
    def _windows(self) -> dict[tuple[str, tuple[str, ...], bool, bool, int], WindowTable]:
        return {}

    def require_windows(self, config: DataConfig) -> dict[str, WindowTable]:
        """Return the windows of every session by session key, in the order of `sessions`.

        Raises:
            ShardError: A tier that no trial has, or a session without a window.
        """
        require_tiers(self.sessions, config.tiers)
        tables = {session.key: self.windows(config, session.key) for session in self.sessions}
        for key, table in tables.items():
            if table.num_windows == 0:
                raise ShardError(
                    f"session {key} has no window: no stretch of its tiers "
                    f"{', '.join(config.tiers)} is valid for {WINDOW_SECONDS:g} s",
                    hint="omit the session (`data.sessions`), or name other tiers; "
                    "`omnimouse inspect` lists windows per tier",
                )
        return tables


def normalization_mode(config: DataConfig, response_kind: str) -> Literal["scale", "standardize"]:
    """Return whether responses are divided by their standard deviation, or z-scored."""
    if config.normalize is not None:
        return config.normalize
    return "standardize" if response_kind in ("dff", "fluorescence") else "scale"


def used_tiers(sessions: Sequence[SessionInfo]) -> set[str]:
    """Return the tiers that some trial of some session has."""
    return {
        session.shard.description.tiers[number]
        for session in sessions
        for number in np.unique(session.shard.trials.tier)
        if number >= 0
    }


def require_tiers(sessions: Sequence[SessionInfo], tiers: Iterable[str]) -> None:
    """Check that some trial of some session has each tier.

    Raises:
        ShardError: No trial has a tier; the message lists the tiers that exist.
    """
    used = used_tiers(sessions)
    for tier in tiers:
        if tier not in used:
            names = ", ".join(sorted(used)) or "none"
            raise ShardError(
                f"no trial has tier {tier}; tiers are {names}",
                hint="name one of them; `omnimouse inspect` lists their minutes",
            )


def require_frame_size(
    session: str, frame_size: tuple[int, int] | None, config: VideoConfig, *, model: str
) -> None:
    """Check that the frames of a session have the size that a model expects.

    Args:
        session: Session key.
        frame_size: Height and width of its frames in pixels; None without a screen.
        config: Video encoder of the model.
        model: Name of the model in the message.

    Raises:
        ConfigError: The sizes differ.
    """
    expected = (config.frame_height, config.frame_width)
    if frame_size is not None and frame_size != expected:
        raise ConfigError(
            f"session {session} has frames of {frame_size[0]} x {frame_size[1]} pixels and {model} "
            f"is for {expected[0]} x {expected[1]}",
            hint="preprocess the recording again, or train a model with "
            f"model.video.frame_height={frame_size[0]} and model.video.frame_width={frame_size[1]}",
        )


def open_dataset(
    shards: Path,
    *,
    sessions: Sequence[str] | None = None,
    max_sessions: int | None = None,
    behavior_channels: Sequence[str] | None = None,
) -> Dataset:
    """Open a folder of shards; only headers are read.

    Args:
        shards: Folder with `catalogue.json`.
        sessions: Keys of the sessions to open; None opens all.
        max_sessions: Open only the first so many; there must not be fewer.
        behavior_channels: Channels of the data set in this order, also those that no session has;
            others are dropped. None uses those of the sessions.

    Returns:
        The data set, its sessions in the order of `sessions` or of the catalogue.

    Raises:
        ShardError: No folder, no catalogue, no session, too few sessions, an unknown session, a
            damaged shard.
    """
    found = open_shards(shards).shards
    keys = tuple(found) if sessions is None else tuple(dict.fromkeys(sessions))
    if not keys:
        raise ShardError(
            f"no session of {shards} was chosen: `data.sessions` is empty",
            hint="name some, or leave `data.sessions` out to take all",
        )
    for key in keys:
        if key not in found:
            raise _unknown_session(key, found, shards)
    if max_sessions is not None and max_sessions > len(keys):
        chosen = "" if sessions is None else " of those named"
        raise ShardError(
            f"{shards} has {pluralize(len(keys), 'session')}{chosen}, and the first "
            f"{max_sessions} are to be used (`data.max_sessions`)",
            hint=f"use a number up to {len(keys)}, or leave it out to use all",
        )
    return Dataset(
        folder=shards,
        sessions=tuple(
            _describe_session(shards, found[key], behavior_channels) for key in keys[:max_sessions]
        ),
        channel_order=None if behavior_channels is None else tuple(behavior_channels),
    )


def stored_channels(shard: Shard) -> tuple[str, ...]:
    """Return all behavior channels of a shard, device by device."""
    return tuple(name for device in shard.description.behavior for name in device.channels)


def _describe_session(
    folder: Path, found: Shard | CatalogueEntry, wanted: Sequence[str] | None
) -> SessionInfo:
    # Opening a damaged shard once more says what is wrong with it.
    shard = open_shard(folder / found.file) if isinstance(found, CatalogueEntry) else found
    description = shard.description
    screen = description.screen
    return SessionInfo(
        key=description.session,
        animal=description.animal,
        num_neurons=description.responses.num_neurons,
        response_kind=description.response_kind,
        channels=tuple(name for name in stored_channels(shard) if wanted is None or name in wanted),
        frame_shape=None if screen is None else (screen.frame_height, screen.frame_width),
        fingerprint=description.fingerprint,
        shard=shard,
        has_time_course=description.responses.clock.rate_hz * WINDOW_SECONDS > 1,
    )


def _unknown_session(key: str, known: Iterable[str], folder: Path) -> ShardError:
    return ShardError(f"{folder} has no session {key}", hint=suggest_name(key, known, cutoff=0.0))
