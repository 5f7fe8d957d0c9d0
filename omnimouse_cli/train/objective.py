"""Which response loss fits the data, and the refusal of one that does not."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from omnimouse_cli.batch.dataset import SessionInfo
from omnimouse_cli.config.model import ResponseLoss
from omnimouse_cli.config.run import RunConfig
from omnimouse_cli.errors import ConfigError
from omnimouse_cli.shard import Shard

# Enough of a recording to meet a negative value where there are any: 16 stretches of 8 s.
STRETCHES = 16
STRETCH_SAMPLES = 240


def with_response_loss(config: RunConfig, sessions: Sequence[SessionInfo]) -> RunConfig:
    """Settle response loss and normalization where the configuration leaves them to the data.

    Args:
        config: Of the run.
        sessions: What is trained on.

    Returns:
        The configuration with `model.response_loss` and `data.normalize` set: rates get a Poisson
        loss on scaled responses, dF/F a squared error on standardized ones.

    Raises:
        ConfigError: Sessions of different kinds, or a Poisson loss on responses below zero.
    """
    kinds = {session.key: effective_kind(session) for session in sessions}
    _require_one_kind(kinds)
    kind = next(iter(kinds.values()))
    loss: ResponseLoss = config.model.response_loss or ("gaussian" if kind == "dff" else "poisson")
    normalize = config.data.normalize or ("standardize" if loss == "gaussian" else "scale")
    if loss == "poisson":
        _require_not_negative(kinds, normalize)
    return dataclasses.replace(
        config,
        model=dataclasses.replace(config.model, response_loss=loss),
        data=dataclasses.replace(config.data, normalize=normalize),
    )


def effective_kind(session: SessionInfo) -> str:
    """Say what responses are: `rate` or `dff`; where nobody said, negative ones are dF/F."""
    if session.response_kind == "unknown":
        return "dff" if has_negative(session.shard) else "rate"
    return session.response_kind


def has_negative(shard: Shard) -> bool:
    """Look for a response below zero, in stretches spread over the recording."""
    if bool((np.asarray(shard.neuron_mean) < 0).any()):
        return True
    num_samples = shard.description.responses.clock.num_samples
    starts = np.unique(np.linspace(0, max(0, num_samples - STRETCH_SAMPLES), STRETCHES, dtype=int))
    return any(
        bool((shard.read_responses(int(start), int(start) + STRETCH_SAMPLES) < 0).any())
        for start in starts
    )


def _require_one_kind(kinds: dict[str, str]) -> None:
    by_kind: dict[str, list[str]] = {}
    for session, kind in kinds.items():
        by_kind.setdefault(kind, []).append(session)
    if len(by_kind) > 1:
        named = "; ".join(f"{kind}: {', '.join(keys)}" for kind, keys in sorted(by_kind.items()))
        raise ConfigError(
            f"one model cannot be trained on responses of different kinds ({named})",
            hint="choose sessions of one kind with --set data.sessions=[...]",
        )


def _require_not_negative(kinds: dict[str, str], normalize: str) -> None:
    negative = [session for session, kind in kinds.items() if kind == "dff"]
    if negative:
        raise ConfigError(
            "a Poisson loss needs responses that are never negative, and "
            f"session {negative[0]} holds dF/F",
            hint="use --set model.response_loss=gaussian, or leave it out",
        )
    if normalize == "standardize":
        raise ConfigError(
            "a Poisson loss needs responses that are never negative, and "
            "`data.normalize` is standardize, which subtracts the mean",
            hint="use --set data.normalize=scale, or leave it out",
        )
