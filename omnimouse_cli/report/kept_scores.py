"""The scores of a run in its kept evaluations, with the resamples by which they are paired."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.evaluation.records import MODEL, OVERALL
from omnimouse_cli.evaluation.stored import find_evaluations, load_arrays
from omnimouse_cli.files import read_document
from omnimouse_cli.run.folder import EVALUATE_AGAIN, RESAMPLES

F64 = NDArray[np.float64]
# By strategy, session, target and metric: the entry of the index, and the resamples.
Resamples = Mapping[tuple[str, ...], tuple[Mapping[str, Any], F64]]


class ScoreKey(NamedTuple):
    """What a score is of; the fields are those of a record."""

    tier: str
    strategy: str
    session: str
    target: str
    metric: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class KeptScore:
    """One score of the model in one session.

    Args:
        value: The score; None where it does not exist.
        resamples: float64 `(resamples,)`: the score with other weights of the blocks of windows;
            None where none were kept.
        num_blocks: Blocks of windows.
        scored: Hash of the values that were scored; empty where an earlier version wrote none.
        animal: Animal of the session.
        weight: Neurons of the session (or of the group of neurons): its weight among sessions.
        windows: Scored windows.
        over: What its interval is over: `windows` or `stimuli`.
        evaluation: Folder of the evaluation.
        options: Options of the evaluation.
    """

    value: float | None
    resamples: F64 | None
    num_blocks: int
    scored: str
    animal: str
    weight: int
    windows: int
    over: str
    evaluation: Path
    options: Mapping[str, Any]


def read_scores(run: Path) -> dict[ScoreKey, list[KeptScore]]:
    """Read the scores of a run in all its evaluations, the newest first.

    Evaluations of ensembles are another model's and are left out.

    Raises:
        OmniMouseError: A file of an evaluation is damaged.
    """
    scores: dict[ScoreKey, list[KeptScore]] = {}
    for document in reversed(find_evaluations(run)):
        content = read_document(document, "eval")
        if "runs" in content:
            continue
        kept = _read_resamples(document.with_name(RESAMPLES))
        try:
            for key, score in _scores_of(document.parent, content, kept):
                scores.setdefault(key, []).append(score)
        except (KeyError, TypeError, AttributeError) as error:
            raise OmniMouseError(
                f"{document} is damaged: a record lacks or misstates {error}", hint=EVALUATE_AGAIN
            ) from error
    return scores


def _scores_of(
    folder: Path, content: Mapping[str, Any], kept: Resamples
) -> Iterator[tuple[ScoreKey, KeptScore]]:
    """Yield the scores of the model in each session."""
    for record in content["records"]:
        if record["predictor"] != MODEL or record["session"] == OVERALL:
            continue
        key = ScoreKey(**{name: record[name] for name in ScoreKey._fields})
        entry, resamples = kept.get(key[1:], ({}, None))
        yield (
            key,
            KeptScore(
                value=record["value"],
                resamples=resamples,
                num_blocks=entry.get("blocks", 0),
                scored=entry.get("scored", ""),
                animal=entry.get("animal", ""),
                weight=entry.get("neurons", record["neurons"]),
                windows=record["windows"],
                over=record.get("interval_over") or "windows",
                evaluation=folder,
                options=content["options"],
            ),
        )


def _read_resamples(path: Path) -> Resamples:
    """Return the entries of the index and their resamples."""
    arrays = load_arrays(path)
    if not arrays:
        return {}
    try:
        index, values = json.loads(str(arrays["index"])), arrays["values"].astype(np.float64)
        ends = np.cumsum([entry["resamples"] for entry in index], dtype=np.int64)
        if (ends[-1] if len(ends) else 0) != len(values):
            raise ValueError("its index does not fit its values")
        parts = np.split(values, ends[:-1])
        keys = [
            (entry["strategy"], entry["session"], entry["target"], entry["metric"])
            for entry in index
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise OmniMouseError(f"{path} is damaged: {error}", hint=EVALUATE_AGAIN) from error
    return {key: (entry, part) for key, entry, part in zip(keys, index, parts, strict=False)}
