"""The evaluations of a run, read from RUN/eval: scores, arrays of neurons, example traces."""

from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.evaluation.records import CEILING, MODEL, OVERALL, SINGLE_TRIAL
from omnimouse_cli.evaluation.stored import find_evaluations, load_arrays
from omnimouse_cli.files import read_document
from omnimouse_cli.reporter import Reporter
from omnimouse_cli.run.folder import EVALUATE_AGAIN, NEURONS, TRACES

Arrays = dict[str, NDArray[Any]]
# Of neurons.npz and traces.npz: what the outputs are, and their numbers.
OUTPUT_KINDS = ("neurons", "channels")
INDEX = "index"


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """One number of eval.json; `EvalRecord` describes the fields."""

    strategy: str
    session: str
    target: str
    metric: str
    predictor: str
    value: float | None = None
    low: float | None = None
    high: float | None = None
    neurons: int | None = None
    windows: int | None = None
    perturbation: str = ""
    severity: int = 0
    level: float = 0.0
    level_unit: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OutputArrays:
    """Arrays of the neurons, or channels, that a strategy predicts in one session.

    Args:
        session: Session key.
        strategy: Name of the masking strategy.
        kind: `neurons` or `channels`.
        values: The arrays by name; `index` has the numbers of the outputs.
    """

    session: str
    strategy: str
    kind: str
    values: Arrays


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StoredEvaluation:
    """One evaluation of a run.

    Args:
        run: Name of the run.
        name: Folder in RUN/eval.
        document: Content of eval.json.
        scores: The records of eval.json.
        perturbed: Those under perturbed video.
        scored: Correlations of each output, from neurons.npz.
        neurons: Unit ids, positions, areas and layers of the neurons of each session.
        traces: Example traces, from traces.npz; none in evaluations of earlier versions.
    """

    run: str
    name: str
    document: Mapping[str, Any]
    scores: tuple[Score, ...]
    perturbed: tuple[Score, ...]
    scored: tuple[OutputArrays, ...]
    neurons: Mapping[str, Arrays]
    traces: tuple[OutputArrays, ...]

    @property
    def title(self) -> str:
        """Name of the evaluation; an ensemble is named with its runs."""
        runs = self.document.get("runs")
        if not isinstance(runs, list):
            return f"{self.run}: {self.name}"
        return f"{self.run}: {self.name} (mean prediction of {', '.join(map(str, runs))})"


def read_evaluations(run: Path, name: str, reporter: Reporter) -> list[StoredEvaluation]:
    """Read all evaluations of a run, sorted by name.

    Args:
        run: Folder of the run.
        name: Name of the run on the page.
        reporter: Receives a warning about each evaluation that cannot be read and is left out.
    """
    found = []
    for document in sorted(find_evaluations(run)):
        try:
            found.append(_read_evaluation(name, document))
        except OmniMouseError as error:
            reporter.warn(f"an evaluation is left out: {error.message}")
    return found


def _read_evaluation(run: str, document: Path) -> StoredEvaluation:
    content = read_document(document, "eval")
    neurons = load_arrays(document.with_name(NEURONS))
    facts: dict[str, Arrays] = {}
    for name, values in neurons.items():
        session, _, what = name.partition("/")
        if "/" not in what:
            facts.setdefault(session, {})[what] = values
    return StoredEvaluation(
        run=run,
        name=document.parent.name,
        document=content,
        scores=_read_scores(document, content.get("records")),
        perturbed=_read_scores(document, content.get("perturbed", [])),
        scored=tuple(_group(neurons)),
        neurons=facts,
        traces=tuple(_group(load_arrays(document.with_name(TRACES)))),
    )


def _read_scores(document: Path, records: object) -> tuple[Score, ...]:
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        raise OmniMouseError(f"{document} is damaged: records must be objects", hint=EVALUATE_AGAIN)
    return tuple(_read_score(document, record) for record in records)


def _read_score(document: Path, record: Mapping[str, Any]) -> Score:
    """Return a record as a score.

    Raises:
        OmniMouseError: A field is missing or has the wrong type.
    """
    values: dict[str, Any] = {}
    for field in fields(Score):
        value = record.get(field.name)
        if value is None and field.default is not MISSING:
            continue
        kinds = (str,) if field.type is str else (int, float)
        if type(value) not in kinds:
            raise OmniMouseError(
                f"{document} is damaged: `{field.name}` of a record is {value!r}",
                hint=EVALUATE_AGAIN,
            )
        values[field.name] = value
    return Score(**values)


def _group(arrays: Arrays) -> Iterable[OutputArrays]:
    """Yield arrays named `<session>/<strategy>/<kind>/<what>` by session and strategy."""
    groups: dict[tuple[str, str, str], Arrays] = {}
    for name, values in arrays.items():
        session, _, rest = name.partition("/")
        folder, _, what = rest.rpartition("/")
        strategy, _, kind = folder.rpartition("/")
        if strategy and kind in OUTPUT_KINDS:
            groups.setdefault((session, strategy, kind), {})[what] = values
    for (session, strategy, kind), own in groups.items():
        if INDEX in own:
            yield OutputArrays(session=session, strategy=strategy, kind=kind, values=own)


def best_baseline(scores: Iterable[Score], strategy: str, target: str) -> str | None:
    """Return the baseline with the highest single-trial correlation over all sessions."""
    known = {
        score.predictor: score.value
        for score in scores
        if (score.session, score.strategy, score.target, score.metric)
        == (OVERALL, strategy, target, SINGLE_TRIAL)
        and score.predictor not in (MODEL, CEILING)
        and score.value is not None
    }
    return max(known, key=lambda name: known[name], default=None)
