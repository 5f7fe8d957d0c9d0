"""`omnimouse eval`: score runs per masking strategy, beside baselines and the noise ceiling."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from omnimouse_cli.api.allocation import keep_freed_memory
from omnimouse_cli.api.evaluate import EvaluatedRun, evaluate, require_known
from omnimouse_cli.api.folders import newest_finished_run
from omnimouse_cli.cli.console import print_document, print_line, print_next, print_table, reporter
from omnimouse_cli.cli.eval_perturbed import perturbation_notes, perturbed_tables
from omnimouse_cli.cli.eval_tables import score_tables
from omnimouse_cli.cli.options import (
    AllowOtherDataOption,
    DeviceOption,
    JsonOption,
    QuietOption,
    SeedOption,
    ShardsOption,
)
from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.evaluation.records import TILING_STRIDE_SAMPLES

if TYPE_CHECKING:
    from omnimouse_cli.evaluation.records import EvalOptions, Evaluation, Unavailable
    from omnimouse_cli.run.load import LoadedRun


def command_eval(
    run: Annotated[
        list[Path] | None,
        typer.Argument(help="Run folders; by default the newest finished one."),
    ] = None,
    *,
    regime: Annotated[
        str | None,
        typer.Option(
            help="predict, decode, forecast, population or all; or a masking strategy; or "
            "a TOML file of strategies; or several, separated by commas. By default all, and "
            "predict with --perturb."
        ),
    ] = None,
    no_stimulus: Annotated[
        bool, typer.Option("--no-stimulus", help="Skip strategies that have the stimulus as input.")
    ] = False,
    no_behavior: Annotated[
        bool, typer.Option("--no-behavior", help="Use behavior neither as input nor as target.")
    ] = False,
    tier: Annotated[
        str | None,
        typer.Option(
            help="Tier that is scored; by default test, or oracle or validation where there is no "
            "test."
        ),
    ] = None,
    shards: ShardsOption = None,
    allow_other_data: AllowOtherDataOption = False,
    stride: Annotated[
        int,
        typer.Option(
            min=1,
            help="Distance between windows in samples of 1/30 s. By default every response sample "
            "is scored once: 30, and 5 for predict-causal. Decoding scores both seconds of a "
            "window, so every behavior sample twice.",
        ),
    ] = TILING_STRIDE_SAMPLES,
    draws: Annotated[
        int,
        typer.Option(min=1, help="Random draws of context neurons in population strategies."),
    ] = 8,
    metrics: Annotated[
        bool,
        typer.Option(
            "--metrics",
            help="Also print all other metrics (R2, deviance explained, bits per sample, ...) and "
            "the scores per area, layer and depth.",
        ),
    ] = False,
    baselines: Annotated[
        str,
        typer.Option(
            help="Baselines beside the model: fast (minutes), all, or names separated by commas, "
            "for example ridge,glm. A known noise ceiling stands beside any of them."
        ),
    ] = "fast",
    no_baselines: Annotated[
        bool, typer.Option("--no-baselines", help="Score only the model.")
    ] = False,
    perturb: Annotated[
        str | None,
        typer.Option(
            help="Also score strategies with the stimulus under perturbed video, separated by "
            "commas: noise, blur, contrast, adversarial, ..."
        ),
    ] = None,
    ensemble: Annotated[
        bool,
        typer.Option(
            "--ensemble",
            help="Score the mean prediction of the runs as one model; stored in the first run.",
        ),
    ] = False,
    name: Annotated[
        str | None,
        typer.Option(
            help="Folder in RUN/eval; by default tier, regime and what differs from the defaults."
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the files, instead of one in RUN/eval; several runs get one each in it."
        ),
    ] = None,
    batch: Annotated[
        int | None, typer.Option(min=1, help="Windows per forward pass; fewer need less memory.")
    ] = None,
    seed: SeedOption = 0,
    device: DeviceOption = "auto",
    json_output: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Score runs per regime: single-trial correlation of neurons and behavior, beside baselines."""
    from omnimouse_cli.evaluation.combine import combined_document
    from omnimouse_cli.evaluation.store import make_document

    keep_freed_memory()
    with reporter(quiet=quiet) as progress:
        require_known(regime, () if no_baselines else baselines)
        folders = list(dict.fromkeys(run or [newest_finished_run()]))
        if not run:
            progress.say(f"taking {folders[0]} (the newest finished run)")
        results = [
            evaluate(
                group,
                regime=regime,
                no_stimulus=no_stimulus,
                no_behavior=no_behavior,
                tier=tier,
                shards=shards,
                allow_other_data=allow_other_data,
                stride=stride,
                draws=draws,
                baselines=baselines,
                no_baselines=no_baselines,
                perturb=perturb or (),
                name=name,
                out=target,
                batch=batch,
                seed=seed,
                device=device,
                progress=progress,
            )
            for group, target in _groups(folders, out, ensemble=ensemble)
        ]
    documents = [make_document(result.evaluation, result.options, result.run) for result in results]
    if json_output:
        combined = [
            combined_document(runs, evaluation) for runs, evaluation, _ in _combine(results)
        ]
        several = {"runs": documents, "combined": combined}
        print_document("eval", documents[0] if len(results) == 1 else several)
    else:
        _print(results, metrics=metrics)
    # The table is printed in any case.
    for result in results:
        if result.write_error is not None:
            raise result.write_error
    print_next("report", *folders, quiet=quiet, json_output=json_output)


def _groups(
    folders: Sequence[Path], out: Path | None, *, ensemble: bool
) -> list[tuple[Sequence[Path], Path | None]]:
    """Return the runs of each evaluation and its folder; None is one in RUN/eval.

    Raises:
        OmniMouseError: An ensemble of one run, or runs that would get the same folder.
    """
    if ensemble:
        if len(folders) < 2:
            raise OmniMouseError(
                f"an ensemble has several runs, and {folders[0]} is one",
                hint="name the folders of runs that differ in their seed",
            )
        return [(folders, out)]
    if out is None or len(folders) == 1:
        return [([folder], out) for folder in folders]
    names = [folder.resolve().name for folder in folders]
    if len(set(names)) < len(names):
        raise OmniMouseError(
            f"--out {out} cannot hold evaluations of several runs of the same name: "
            f"{', '.join(map(str, folders))}",
            hint="evaluate them one by one, each with its own --out",
        )
    return [([folder], out / name) for folder, name in zip(folders, names, strict=True)]


def _print(results: "Sequence[EvaluatedRun]", *, metrics: bool) -> None:
    for result in results:
        if len(results) > 1:
            print_line(f"{result.run.folder} ({result.run.config.model.feed_forward})")
        for table in score_tables(result.evaluation, result.options, metrics=metrics):
            print_table(table)
        for line in _unavailable_lines(result.evaluation.unavailable):
            print_line(line)
    for runs, evaluation, options in _combine(results):
        seeds = ", ".join(str(run.config.seed) for run in runs)
        names = ", ".join(run.folder.name for run in runs)
        print_line(f"mean of {len(runs)} runs of seeds {seeds}: {names}")
        for table in score_tables(evaluation, options, metrics=metrics):
            print_table(table)
    for table in perturbed_tables(results):
        print_table(table)
    for line in perturbation_notes(results):
        print_line(line)


def _combine(
    results: "Sequence[EvaluatedRun]",
) -> "Iterator[tuple[list[LoadedRun], Evaluation, EvalOptions]]":
    """Yield runs that differ in their seed alone, the mean of their evaluations, and options."""
    from omnimouse_cli.evaluation.combine import combine_seeds, group_by_seed

    for group in group_by_seed([result.run for result in results]):
        same = [results[position] for position in group]
        evaluation = combine_seeds([result.evaluation for result in same])
        yield [result.run for result in same], evaluation, same[0].options


def _unavailable_lines(unavailable: Sequence["Unavailable"]) -> list[str]:
    """Return one line for each reason why something could not be scored."""
    reasons: dict[str, tuple[list[str], list[str]]] = {}
    for item in unavailable:
        strategies, sessions = reasons.setdefault(item.reason, ([], []))
        what = f"{item.predictor} of " if item.predictor else ""
        strategies.append(f"{what}{item.strategy}")
        sessions.append(item.session)
    return [
        f"not available in {', '.join(dict.fromkeys(sessions))}: "
        f"{', '.join(dict.fromkeys(strategies))} ({reason})"
        for reason, (strategies, sessions) in reasons.items()
    ]
