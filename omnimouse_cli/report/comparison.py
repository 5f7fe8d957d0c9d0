"""Paired differences between runs on equal windows, and the configuration keys that differ."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from omnimouse_cli.config.convert import flatten, to_dict
from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.evaluation.records import OVERALL
from omnimouse_cli.metrics.intervals import Spread, interval, mean_spread, resample_spread
from omnimouse_cli.metrics.scores import overall_value
from omnimouse_cli.report.kept_scores import KeptScore, ScoreKey, read_scores
from omnimouse_cli.run.folder import is_run, read_config

# Metrics that depend on the loss of the responses and on their scaling.
OF_LOSS = frozenset(
    {"loss", "deviance_explained", "bits_per_sample", "log_likelihood", "log_likelihood_gain"}
)
LOSS_KEYS = ("model.response_loss", "data.normalize")
# Of an evaluation, what decides which values are scored: the option, its default and its flag.
OPTIONS = (
    ("tier", None, "--tier"),
    ("stride_samples", 30, "--stride"),
    ("draws", 8, "--draws"),
    ("seed", 0, "--seed"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """The difference of a score between two runs, on equal windows.

    Args:
        run: Position of the run among those that are compared.
        minus: Position of the run whose score is subtracted.
        tier: Tier of the windows.
        strategy: Masking strategy.
        session: Session key, or `overall`.
        target: `neurons`, `gaze`, `pupil`, `running` or a channel's name.
        metric: What the score measures.
        values: Scores of `run` and of `minus`; overall, over the sessions that both have.
        value: Their difference.
        low: Lower end of its 95 % interval; None without one.
        high: Upper end.
        interval_over: What the interval is over, as in a record of `eval.json`.
        sessions: Number of sessions.
        windows: Number of windows.
    """

    run: int
    minus: int
    tier: str
    strategy: str
    session: str
    target: str
    metric: str
    values: tuple[float, float]
    value: float
    low: float | None
    high: float | None
    interval_over: str | None
    sessions: int
    windows: int

    def to_dict(self) -> dict[str, Any]:
        """Return the fields for JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unpaired:
    """Scores of a strategy that two runs do not have on equal windows.

    Args:
        run: Position of the run that has to be evaluated.
        minus: Position of the run with which it is compared.
        tier: Tier of the windows.
        strategy: Masking strategy.
        sessions: Session keys.
        reason: What differs.
        command: The command that evaluates the run on the windows of the other.
    """

    run: int
    minus: int
    tier: str
    strategy: str
    sessions: tuple[str, ...]
    reason: str
    command: str

    def to_dict(self) -> dict[str, Any]:
        """Return the fields for JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Runs compared with the first of them.

    Args:
        runs: Folders of the runs.
        configuration: Values of the configuration keys that differ, one for each run.
        differences: Of each session and over all sessions.
        unpaired: What cannot be compared, and why.
    """

    runs: tuple[Path, ...]
    configuration: Mapping[str, tuple[Any, ...]]
    differences: tuple[Difference, ...]
    unpaired: tuple[Unpaired, ...]


def compare_runs(runs: Sequence[Path]) -> Comparison:
    """Compare the first run with each of the others, from their kept evaluations.

    Args:
        runs: Folders of at least two runs.

    Raises:
        OmniMouseError: There are fewer, a folder is not a run, or a file is damaged.
    """
    folders = list(dict.fromkeys(run.resolve() for run in runs))
    if len(folders) < 2:
        raise OmniMouseError(
            "a comparison needs two different runs",
            hint="omnimouse runs lists them: omnimouse compare RUN RUN",
        )
    for run in runs:
        if not is_run(run):
            raise OmniMouseError(f"{run} is not a run", hint="omnimouse runs lists them")
    configuration = _different_keys(runs)
    scores = [read_scores(run) for run in runs]
    differences: list[Difference] = []
    unpaired: list[Unpaired] = []
    for number in range(1, len(runs)):
        is_same_loss = all(
            configuration[key][0] == configuration[key][number]
            for key in LOSS_KEYS
            if key in configuration
        )
        pairs = {
            key: pair
            for key, pair in _pairs(scores[0], scores[number])
            if is_same_loss or key.metric not in OF_LOSS
        }
        differences += _differences(pairs, number)
        unpaired += _unpaired(scores[0], scores[number], pairs, number, runs)
    return Comparison(
        runs=tuple(runs),
        configuration=configuration,
        differences=tuple(differences),
        unpaired=tuple(unpaired),
    )


Pair = tuple[KeptScore, KeptScore]
Scores = Mapping[ScoreKey, Sequence[KeptScore]]


def _different_keys(runs: Sequence[Path]) -> dict[str, tuple[Any, ...]]:
    flat = [flatten(to_dict(read_config(run))) for run in runs]
    keys = dict.fromkeys(key for one in flat for key in one)
    values = {key: tuple(one.get(key) for one in flat) for key in keys}
    return {
        key: of_runs for key, of_runs in values.items() if of_runs.count(of_runs[0]) < len(runs)
    }


def _pairs(first: Scores, second: Scores) -> Iterator[tuple[ScoreKey, Pair]]:
    """Yield the newest scores of both runs that are of the same recorded values."""
    for key, candidates in first.items():
        for one in candidates:
            same = [
                other
                for other in second.get(key, ())
                if one.scored and other.scored == one.scored and other.num_blocks == one.num_blocks
            ]
            if same and one.value is not None and same[0].value is not None:
                yield key, (one, same[0])
                break


def _differences(pairs: Mapping[ScoreKey, Pair], number: int) -> Iterator[Difference]:
    """Yield the differences of each session, and those over all sessions."""
    over_sessions: dict[ScoreKey, dict[ScoreKey, Pair]] = {}
    for key, pair in pairs.items():
        over_sessions.setdefault(key._replace(session=OVERALL), {})[key] = pair
    for overall, of_sessions in over_sessions.items():
        yield from (_difference(key, {key: pair}, number) for key, pair in of_sessions.items())
        yield _difference(overall, of_sessions, number)


def _difference(key: ScoreKey, pairs: Mapping[ScoreKey, Pair], number: int) -> Difference:
    """Return the difference of the mean over sessions."""
    weights = [first.weight for first, _ in pairs.values()]
    means = [
        overall_value([pair[which].value for pair in pairs.values()], weights) for which in (1, 0)
    ]
    assert means[0] is not None, "only scores that exist are paired"
    assert means[1] is not None, "only scores that exist are paired"
    spread, levels = mean_spread(
        [(second.value or 0.0) - (first.value or 0.0) for first, second in pairs.values()],
        weights,
        [_spread(*pair) for pair in pairs.values()],
        {
            "sessions": [one.session for one in pairs],
            "animals": [first.animal for first, _ in pairs.values()],
        },
    )
    value = means[0] - means[1]
    low, high = (None, None) if spread is None else interval(value, spread)
    over = next(iter(pairs.values()))[0].over.partition(",")[0]
    return Difference(
        run=number,
        minus=0,
        **{name: getattr(key, name) for name in ScoreKey._fields},
        values=(means[0], means[1]),
        value=value,
        low=low,
        high=high,
        interval_over=None if spread is None else ", ".join([over, *levels]),
        sessions=len(pairs),
        windows=sum(first.windows for first, _ in pairs.values()),
    )


def _spread(first: KeptScore, second: KeptScore) -> Spread | None:
    """Return the spread of the difference over windows, which both runs have in common."""
    if first.resamples is None or second.resamples is None:
        return None
    assert first.value is not None, "only scores that exist are paired"
    assert second.value is not None, "only scores that exist are paired"
    return resample_spread(
        second.value - first.value, second.resamples - first.resamples, first.num_blocks
    )


def _unpaired(
    first: Scores,
    second: Scores,
    pairs: Mapping[ScoreKey, Pair],
    number: int,
    runs: Sequence[Path],
) -> list[Unpaired]:
    """Return the strategies and sessions that only one run has, or both on different values."""
    paired = {key[:3] for key in pairs}
    found: dict[tuple[str, str, str, int, str], list[str]] = {}
    for key in dict.fromkeys(key[:3] for key in (*first, *second)):
        if key in paired:
            continue
        of_runs = [_newest(scores, key) for scores in (first, second)]
        tier, strategy, session = key
        missing, reason, command = _reason(of_runs, number, runs)
        found.setdefault((tier, strategy, reason, missing, command), []).append(session)
    return [
        Unpaired(
            run=missing,
            minus=number - missing if missing == number else number,
            tier=tier,
            strategy=strategy,
            sessions=tuple(sessions),
            reason=reason,
            command=command,
        )
        for (tier, strategy, reason, missing, command), sessions in found.items()
    ]


def _newest(scores: Scores, key: tuple[str, ...]) -> KeptScore | None:
    return next((candidates[0] for one, candidates in scores.items() if one[:3] == key), None)


def _reason(
    of_runs: Sequence[KeptScore | None], number: int, runs: Sequence[Path]
) -> tuple[int, str, str]:
    """Return the run that is to be evaluated, why, and the command for it."""
    first, second = of_runs
    if first is None or second is None:
        missing, known = (number, first) if second is None else (0, second)
        assert known is not None, "one of the runs has the score"
        return missing, "it has no evaluation of it", _command(runs[missing], known)
    for missing, score, known in ((0, first, second), (number, second, first)):
        if not score.scored:
            reason = "an earlier version evaluated it and kept no resamples"
            return missing, reason, _command(runs[missing], known)
    reason = "its windows, neurons or recorded values are others"
    return number, reason, _command(runs[number], first)


def _command(run: Path, like: KeptScore) -> str:
    """Return the command that evaluates a run as another one was evaluated."""
    options = like.options
    words = ["omnimouse", "eval", str(run), "--regime", str(options.get("regime", "all"))]
    for name, default, flag in OPTIONS:
        if options.get(name, default) != default:
            words += [flag, str(options[name])]
    baselines = options.get("baselines")
    if baselines == []:
        words.append("--no-baselines")
    elif isinstance(baselines, list) and baselines != ["fast"]:
        words += ["--baselines", ",".join(map(str, baselines))]
    shards = options.get("shards")
    if isinstance(shards, dict) and shards.get("is_default") is False:
        words += ["--shards", str(shards.get("path"))]
    words += ["--no-stimulus"] if options.get("stimulus") is False else []
    words += ["--no-behavior"] if options.get("behavior") is False else []
    return shlex.join(words)
