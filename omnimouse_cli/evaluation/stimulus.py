"""Which stimulus was on at a time and since when: the basis of PSTHs and of repeats."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, cast

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.batch.windows import BLANK_KIND
from omnimouse_cli.config.data import RESPONSE_RATE_HZ
from omnimouse_cli.recording.recording import FLIP_TOLERANCE_SECONDS
from omnimouse_cli.shard import Shard

# A calcium response outlasts its stimulus: so much of the blank after a trial belongs to it.
AFTERMATH_SECONDS = 1.0
# Sessions that a sentence names.
MAX_NAMED_SESSIONS = 5

# Whether stimuli of scored samples are shown in training trials.
Familiarity = Literal["seen", "unseen", "mixed"]

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Phases:
    """The stimulus at some times, all of one shape.

    Args:
        condition: int64: number of the stimulus; -1 where none was on.
        trial: int64: number of its trial; -1 where none was on.
        bin: int64: samples of 1/30 s since the stimulus appeared.
    """

    condition: I64
    trial: I64
    bin: I64


def is_kind(shard: Shard, kind: str) -> NDArray[np.bool_]:
    """Return bool `(trials,)`: which trials are of a kind, such as `blank`."""
    kinds = shard.description.kinds
    of_kind: NDArray[np.bool_] = shard.trials.kind == (kinds.index(kind) if kind in kinds else -2)
    return of_kind


def in_tiers(shard: Shard, tiers: Sequence[str]) -> NDArray[np.bool_]:
    """Return bool `(trials,)`: which trials are in one of some tiers."""
    known = shard.description.tiers
    return np.isin(shard.trials.tier, [known.index(tier) for tier in tiers if tier in known])


def stimulus_phases(shard: Shard, times: F64) -> Phases:
    """Find the stimulus of each time; the first second of a blank belongs to the stimulus before.

    Args:
        shard: The session.
        times: float64, any shape, from the recording's origin.
    """
    trials, blank = shard.trials, is_kind(shard, BLANK_KIND)
    # A blank screen may be a condition of its own, but it is no stimulus.
    named = np.flatnonzero((trials.condition >= 0) & ~blank)
    held = times + FLIP_TOLERANCE_SECONDS
    if not len(named):
        nothing = np.full(times.shape, -1, np.int64)
        return Phases(condition=nothing, trial=nothing, bin=np.zeros(times.shape, np.int64))
    position = np.searchsorted(trials.start_seconds[named], held, side="right") - 1
    trial = named[np.maximum(position, 0)]
    now = np.searchsorted(trials.start_seconds, held, side="right") - 1
    own = now == trial
    after = blank[now] & (held < trials.end_seconds[trial] + AFTERMATH_SECONDS)
    on = (position >= 0) & (own | after)
    elapsed = np.floor((held - trials.start_seconds[trial]) * RESPONSE_RATE_HZ)
    return Phases(
        condition=np.where(on, trials.condition[trial], -1).astype(np.int64),
        trial=np.where(on, trial, -1),
        bin=np.where(on, elapsed, 0).astype(np.int64),
    )


def unseen_in_training(
    shard: Shard, times: F64, *, tier: str, training_tiers: Sequence[str]
) -> tuple[NDArray[np.bool_], Familiarity | None]:
    """Return which samples show a stimulus that is in no training trial.

    Args:
        shard: The session.
        times: float64, any shape, from the recording's origin.
        tier: Tier of the scored trials; what a blank before them has left of another is no sample.
        training_tiers: Tiers that the run was trained on.

    Returns:
        Bool of the shape of `times`, and whether all stimuli of the tier's samples are `seen` in
        training, all `unseen`, or some of both (`mixed`); None where that is not known.
    """
    phases, trials = stimulus_phases(shard, times), shard.trials
    training = np.unique(trials.condition[in_tiers(shard, training_tiers)])
    of_tier = phases.trial >= 0
    if of_tier.any():
        of_tier &= in_tiers(shard, (tier,))[phases.trial]
    unseen = of_tier & ~np.isin(phases.condition, training)
    # Parts of a movie may overlap though they are conditions of their own.
    whole = shard.description.stimulus_seen_in_train.get(tier)
    found = {(True, False): "seen", (False, True): "unseen", (True, True): "mixed"}.get(
        (bool((of_tier & ~unseen).any()), bool(unseen.any()))
    )
    if found != "mixed" and whole is not None:
        found = "seen" if whole else "unseen"
    return unseen, cast("Familiarity | None", found)


def describe_seen(shards: Sequence[Shard], tier: str) -> list[str]:
    """Return a sentence if stimuli of a tier are shown in train trials too, or may be.

    Args:
        shards: The sessions.
        tier: Tier that is scored.
    """
    described = [shard.description for shard in shards]
    known = [one for one in described if tier in one.stimulus_seen_in_train]
    texts = {
        True: f"stimuli of tier {tier} are shown in train trials too",
        None: f"whether stimuli of tier {tier} are shown in train trials too is not known",
    }
    lines = []
    for seen, text in texts.items():
        keys = [one.session for one in known if one.stimulus_seen_in_train[tier] is seen]
        if keys:
            more = ", ..." if len(keys) > MAX_NAMED_SESSIONS else ""
            lines.append(f"{text}: {', '.join(keys[:MAX_NAMED_SESSIONS])}{more}")
    return lines
