"""`omnimouse eval`: score runs row by row, beside baselines and, where known, their ceiling."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from omnimouse_cli.cli.console import print_document, print_line, print_table, reporter
from omnimouse_cli.cli.eval_perturbed import Evaluated, perturbation_notes, perturbed_tables
from omnimouse_cli.cli.folders import newest_finished_run
from omnimouse_cli.cli.options import (
    DeviceOption,
    JsonOption,
    QuietOption,
    SeedOption,
    ShardsOption,
)

if TYPE_CHECKING:
    from omnimouse_cli.evaluate.records import EvalOptions, EvalRecord, Unavailable
    from omnimouse_cli.reporter import Reporter

TILING_STRIDE = 30
COLUMNS = (
    ("ridge", "ridge"),
    ("persistence", "persistence"),
    ("psth", "trial average"),
    ("train_mean", "train mean"),
    ("ceiling", "ceiling"),
)
_Key = tuple[str, str]


def command_eval(
    run: Annotated[
        list[Path] | None,
        typer.Argument(help="Run folders; by default the newest finished one."),
    ] = None,
    *,
    regime: Annotated[
        str | None,
        typer.Option(
            help="predict, decode, forecast, population or all; or a strategy's name; or a TOML "
            "file with strategies. By default all, and predict with --perturb."
        ),
    ] = None,
    no_stimulus: Annotated[
        bool, typer.Option("--no-stimulus", help="Leave out rows that see the stimulus.")
    ] = False,
    no_behavior: Annotated[
        bool, typer.Option("--no-behavior", help="Show no behavior, and ask for none.")
    ] = False,
    tier: Annotated[str, typer.Option(help="Trials that are scored.")] = "test",
    shards: ShardsOption = None,
    stride: Annotated[
        int,
        typer.Option(
            min=1,
            help="Steps between windows, in 1/30 s; 30 scores every sample once.",
        ),
    ] = TILING_STRIDE,
    no_baselines: Annotated[
        bool, typer.Option("--no-baselines", help="Score the model alone.")
    ] = False,
    perturb: Annotated[
        str | None,
        typer.Option(
            help="Score rows that see the stimulus also under perturbed video, with commas: noise, "
            "blur, contrast, adversarial, ..."
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Folder in RUN/eval; by default tier and regime.")
    ] = None,
    batch: Annotated[
        int | None, typer.Option(min=1, help="Windows of a forward pass; fewer need less memory.")
    ] = None,
    seed: SeedOption = 0,
    device: DeviceOption = "auto",
    json_output: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Score runs per regime: correlation of every neuron and channel, beside baselines."""
    from omnimouse_cli.evaluate.records import EvalOptions
    from omnimouse_cli.evaluate.robustness.perturbations import require_families
    from omnimouse_cli.evaluate.store import document_of

    families = tuple(dict.fromkeys(word.strip() for word in (perturb or "").split(",") if word))
    require_families(families)
    options = EvalOptions(
        regime=regime or ("predict" if families else "all"),
        stimulus=not no_stimulus,
        behavior=not no_behavior,
        tier=tier,
        stride_samples=stride,
        baselines=not no_baselines,
        batch_windows=batch,
        seed=seed,
        perturb=families,
    )
    with reporter(quiet=quiet) as progress:
        folders = list(dict.fromkeys(run or [newest_finished_run()]))
        if not run:
            progress.say(f"taking {folders[0]} (the newest finished run)")
        done = []
        for folder in folders:
            done.append(_evaluated(folder, shards, options, device, progress))
            _stored(done[-1], name, progress)
    documents = [document_of(one.evaluation, one.options, one.run) for one in done]
    if json_output:
        print_document("eval", documents[0] if len(done) == 1 else {"runs": documents})
        return
    _print(done)


def _print(done: "Sequence[Evaluated]") -> None:
    for one in done:
        if len(done) > 1:
            print_line(f"{one.run.folder} ({one.run.config.model.feed_forward})")
        for table in _tables(one.evaluation.records, one.options):
            print_table(table)
        for line in _missing(one.evaluation.unavailable):
            print_line(line)
    for table in perturbed_tables(done):
        print_table(table)
    for line in perturbation_notes(done):
        print_line(line)


def _evaluated(
    folder: Path,
    shards: Path | None,
    options: "EvalOptions",
    device: str,
    progress: "Reporter",
) -> Evaluated:
    from omnimouse_cli.evaluate.evaluate import evaluate
    from omnimouse_cli.evaluate.robustness.evaluate import with_perturbations
    from omnimouse_cli.evaluate.rows import require_regime
    from omnimouse_cli.run.load import load_run, open_run_data
    from omnimouse_cli.train.parallel.world import select_device

    require_regime(options.regime)
    options = replace(options, device=select_device(device).type)
    loaded = load_run(folder)
    dataset = open_run_data(loaded, shards)
    missing = len(loaded.sessions) - len(dataset.sessions)
    if missing:
        progress.warn(f"{missing} of {len(loaded.sessions)} sessions of the run are not in shards")
    try:
        evaluation = evaluate(loaded, dataset, options, progress)
        if options.perturb:
            evaluation = with_perturbations(evaluation, loaded, dataset, options, progress)
    except KeyboardInterrupt as interruption:
        text = f"nothing was written of {folder}; run the same command again"
        raise KeyboardInterrupt(text) from interruption
    return Evaluated(loaded, evaluation, options)


def _stored(done: Evaluated, name: str | None, progress: "Reporter") -> None:
    from omnimouse_cli.evaluate.store import evaluation_name, store
    from omnimouse_cli.run.folder import evaluation_folder

    folder = evaluation_folder(done.run.folder, name or evaluation_name(done.options))
    files = store(folder, done.evaluation, done.options, done.run)
    progress.say(f"written: {', '.join(str(path) for path in files)}")


def _missing(unavailable: Sequence["Unavailable"]) -> list[str]:
    """Say what could not be scored, one line for each reason."""
    reasons: dict[str, tuple[list[str], list[str]]] = {}
    for statement in unavailable:
        rows, sessions = reasons.setdefault(statement.reason, ([], []))
        what = f"{statement.predictor} of " if statement.predictor else ""
        rows.append(f"{what}{statement.strategy}")
        sessions.append(statement.session)
    return [
        f"not available in {', '.join(dict.fromkeys(sessions))}: "
        f"{', '.join(dict.fromkeys(rows))} ({reason})"
        for reason, (rows, sessions) in reasons.items()
    ]


def _tables(records: Sequence["EvalRecord"], options: "EvalOptions") -> list[Table]:
    """One table per session and, where there are several, one over all of them first."""
    from omnimouse_cli.evaluate.records import OVERALL

    sessions = list(dict.fromkeys(record.session for record in records))
    ordered = [OVERALL, *(name for name in sessions if name != OVERALL)]
    if len(ordered) == 2:
        ordered = ordered[1:]
    tables = []
    for session in ordered:
        of_session = [record for record in records if record.session == session]
        tables.append(_table(session, of_session, options))
    return tables


def _table(session: str, records: Sequence["EvalRecord"], options: "EvalOptions") -> Table:
    from omnimouse_cli.evaluate.records import SINGLE_TRIAL

    title = f"{session}, tier {options.tier}: single-trial correlation [95 % interval over windows]"
    numbers = {(r.strategy, r.target, r.metric, r.predictor): r for r in records}
    singles = [r for r in records if r.metric == SINGLE_TRIAL]
    present = {record.predictor for record in singles}
    columns = [(key, label) for key, label in COLUMNS if key in present]
    table = Table(title=title, title_justify="left")
    for heading in ("row", "target", "model", *(label for _, label in columns)):
        table.add_column(heading, justify="left" if heading in ("row", "target") else "right")
    for heading in ("model - ridge", "of ceiling", "to average"):
        table.add_column(heading, justify="right")
    for row, target in dict.fromkeys((r.strategy, r.target) for r in singles):
        table.add_row(row, target, *_cells((row, target), numbers, [key for key, _ in columns]))
    return table


def _cells(
    key: _Key,
    numbers: Mapping[tuple[str, str, str, str], "EvalRecord"],
    predictors: Sequence[str],
) -> list[str]:
    from omnimouse_cli.evaluate.records import DIFFERENCE, FRACTION, MODEL, SINGLE_TRIAL, TO_AVERAGE

    cells = [_with_interval(numbers.get((*key, SINGLE_TRIAL, MODEL)))]
    cells += [_number(numbers.get((*key, SINGLE_TRIAL, name))) for name in predictors]
    cells.append(_with_interval(numbers.get((*key, DIFFERENCE, f"{MODEL}-ridge")), sign="+"))
    share = numbers.get((*key, FRACTION, MODEL))
    cells.append("" if share is None or share.value is None else f"{100 * share.value:.0f} %")
    cells.append(_number(numbers.get((*key, TO_AVERAGE, MODEL))))
    return cells


def _number(record: "EvalRecord | None") -> str:
    if record is None:
        return ""
    return "none" if record.value is None else f"{record.value:.3f}"


def _with_interval(record: "EvalRecord | None", sign: str = "") -> str:
    if record is None or record.value is None:
        return _number(record)
    value = f"{record.value:{sign}.3f}"
    if record.low is None or record.high is None:
        return value
    return f"{value} [{record.low:{sign}.3f}, {record.high:{sign}.3f}]"
