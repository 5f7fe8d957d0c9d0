"""Scores of a run: `om.evaluate`, the function of `omnimouse eval`."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from omnimouse_cli.api.arguments import PathLike, as_path, as_paths, as_words, explain_values
from omnimouse_cli.api.folders import find_run, newest_finished_run
from omnimouse_cli.api.libraries import require_libraries
from omnimouse_cli.api.progress import choose_reporter
from omnimouse_cli.errors import OmniMouseError, explain_interruption
from omnimouse_cli.evaluation.records import (
    MODEL,
    NEURONS,
    OVERALL,
    SINGLE_TRIAL,
    TILING_STRIDE_SAMPLES,
    EvalOptions,
    Evaluation,
)
from omnimouse_cli.files import explain_file_errors, explain_unwritable, require_folder
from omnimouse_cli.reporter import Reporter

if TYPE_CHECKING:
    from omnimouse_cli.api.run import Run
    from omnimouse_cli.batch.dataset import Dataset
    from omnimouse_cli.run.load import LoadedRun

# Scored without a tier: the first that the sessions have.
DEFAULT_TIERS = ("test", "oracle", "validation")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EvaluatedRun:
    """A run, its evaluation, and the options of the evaluation.

    Args:
        run: The run.
        evaluation: `evaluation.records` has one record for each number, `evaluation.unavailable`
            what the recordings do not allow, with the reason.
        options: What was evaluated, and how.
        files: The files that were written.
        write_error: Why none were written, where that failed at the end.
    """

    run: "LoadedRun"
    evaluation: Evaluation
    options: EvalOptions
    files: tuple[Path, ...] = ()
    write_error: OmniMouseError | None = None

    def score(
        self,
        strategy: str = "predict",
        *,
        session: str | None = None,
        target: str = NEURONS,
        metric: str = SINGLE_TRIAL,
        predictor: str = MODEL,
    ) -> float | None:
        """Return one number of the evaluation; None where it is not defined.

        Args:
            strategy: Name of the masking strategy.
            session: Session key; None is over all sessions.
            target: `neurons`, `gaze`, `pupil`, `running` or a channel's name.
            metric: By default the single-trial correlation.
            predictor: `model`, a baseline or `ceiling`.

        Raises:
            OmniMouseError: There is no such number.
        """
        records = self.evaluation.records
        sessions = {one.session for one in records}
        if session is None:
            session = next(iter(sessions)) if len(sessions) == 1 else OVERALL
        wanted = (strategy, session, target, metric, predictor)
        for one in records:
            if (one.strategy, one.session, one.target, one.metric, one.predictor) == wanted:
                return one.value
        strategies = dict.fromkeys(one.strategy for one in records)
        raise OmniMouseError(
            f"the evaluation has no {metric} of {target} by {predictor} in {strategy}, {session}",
            hint=f"its strategies are {', '.join(strategies)}; "
            "evaluation.unavailable has reasons for what is missing",
        )


def evaluate(
    run: "Run | PathLike | Sequence[PathLike] | None" = None,
    *,
    regime: str | None = None,
    no_stimulus: bool = False,
    no_behavior: bool = False,
    tier: str | None = None,
    shards: PathLike | None = None,
    allow_other_data: bool = False,
    stride: int = TILING_STRIDE_SAMPLES,
    draws: int = 8,
    baselines: str | Sequence[str] = "fast",
    no_baselines: bool = False,
    perturb: str | Sequence[str] = (),
    name: str | None = None,
    out: PathLike | None = None,
    batch: int | None = None,
    seed: int = 0,
    device: str = "auto",
    progress: bool | Reporter = False,
) -> EvaluatedRun:
    """Score a run per regime, beside baselines and the noise ceiling, and write RUN/eval.

    Args:
        run: A run of `om.load_run`, or the folder of one, by default the newest finished one; or
            several folders, whose mean prediction is scored as that of one model (an ensemble) and
            stored in the first.
        regime: `predict`, `decode`, `forecast`, `population` or `all`; or a masking strategy; or a
            TOML file of strategies; or several of them, separated by commas. None is `all`, and
            `predict` with `perturb`.
        no_stimulus: Whether strategies that have the stimulus as input are skipped.
        no_behavior: Whether behavior is used neither as input nor as target.
        tier: Tier that is scored; None is `test`, or `oracle` or `validation` where there is none.
        shards: Folder of the shards; None is that of the training.
        allow_other_data: Whether the shards may hold other data than those of the training.
        stride: Distance between windows in samples of 1/30 s.
        draws: Random draws of context neurons in population strategies.
        baselines: `fast`, `all`, or names; a known noise ceiling stands beside any of them.
        no_baselines: Whether only the model is scored.
        perturb: Families of perturbations of the video under which strategies are scored too.
        name: Folder in RUN/eval; None is tier, regime and what differs from the defaults.
        out: Folder of the files, instead of one in RUN/eval.
        batch: Windows per forward pass.
        seed: Seed of everything random.
        device: `cpu`, `cuda` or `auto`.
        progress: Whether lines about the progress are written on stderr; or a reporter.

    Returns:
        Every number, with intervals, and the files that were written: none, with a warning, where
        the folder of the run cannot be written to.

    Raises:
        OmniMouseError: The run, its shards or an option cannot be used, nothing can be scored, or
            the folder holds another evaluation.
        KeyboardInterrupt: Ctrl-C; nothing was written.

    Example:
        >>> import omnimouse_cli as om
        >>> scores = om.evaluate("runs/demo", regime="forecast", no_baselines=True)
        >>> -1 <= scores.score("forecast") <= 1
        True
    """
    from omnimouse_cli.api.run import Run
    from omnimouse_cli.evaluation.robustness.perturbations import require_families

    reporter = choose_reporter(progress)
    families = as_words(perturb)
    require_families(families)
    words = require_known(regime, () if no_baselines else baselines)
    if families:
        require_libraries("eval --perturb", "scipy")
    with explain_values():
        options = EvalOptions(
            regime=regime or ("predict" if families else "all"),
            stimulus=not no_stimulus,
            behavior=not no_behavior,
            tier=tier or DEFAULT_TIERS[0],
            stride_samples=stride,
            baselines=words,
            batch_windows=batch,
            seed=seed,
            perturb=families,
            draws=draws,
        )
    folders = list(run.folders) if isinstance(run, Run) else as_paths(run)
    folders = [find_run(folder, reporter) for folder in folders]
    if isinstance(run, Run):
        # The run's own shards were compared when it was loaded.
        allow_other_data = allow_other_data or shards is None
        shards = run.shards if shards is None else shards
        device = run.device.type if device == "auto" else device
    if not folders:
        folders = [newest_finished_run()]
        reporter.say(f"taking {folders[0]} (the newest finished run)")
    target = _Target(name=name, out=as_path(out))
    if name is not None or out is not None:
        target.folder(folders[0], options)
    with explain_file_errors():
        loaded, dataset, options = _open(
            folders,
            as_path(shards),
            options,
            device,
            reporter,
            allow_other_data=allow_other_data,
            choose_tier=tier is None,
        )
        folder = target.prepare(loaded, options, reporter)
        evaluation = _score(loaded, dataset, options, reporter)
    found = EvaluatedRun(run=loaded, evaluation=evaluation, options=options)
    if folder is not None:
        found = _write(found, folder, reporter)
    if found.write_error is not None and isinstance(progress, bool):
        # The command raises it once the table is printed.
        reporter.warn(f"no file was written: {found.write_error.message}")
    return found


def require_known(regime: str | None, baselines: str | Sequence[str]) -> tuple[str, ...]:
    """Refuse regimes and baselines that do not exist, before a run is chosen or loaded.

    Args:
        regime: As in `evaluate`.
        baselines: `fast`, `all`, or names; an empty sequence is no baseline.

    Returns:
        The words of `baselines`.

    Raises:
        OmniMouseError: One does not exist, or a text names none.
    """
    from omnimouse_cli.evaluation.baselines.table import select_baselines
    from omnimouse_cli.evaluation.strategies import require_regime

    if regime is not None:
        require_regime(regime)
    words = as_words(baselines)
    if isinstance(baselines, str) and not words:
        raise OmniMouseError("--baselines names no baseline", hint="to have none: --no-baselines")
    select_baselines(words)
    return words


@dataclass(frozen=True, slots=True, kw_only=True)
class _Target:
    """Where an evaluation is written.

    Args:
        name: Folder in RUN/eval; None is the default name.
        out: Folder in place of one in RUN/eval.
    """

    name: str | None
    out: Path | None

    def folder(self, run: Path, options: EvalOptions, loaded: "LoadedRun | None" = None) -> Path:
        """Return the folder of the evaluation of a run, which need not be loaded yet.

        Raises:
            OmniMouseError: The name is not that of a folder, or `out` is a file.
        """
        from omnimouse_cli.evaluation.identity import evaluation_name
        from omnimouse_cli.run.folder import evaluation_folder

        if self.out is None:
            return evaluation_folder(run, self.name or evaluation_name(options, loaded))
        if self.name is not None:
            raise OmniMouseError(
                "--name and --out cannot be given together",
                hint="--name is a folder in RUN/eval, --out a folder anywhere",
            )
        require_folder(self.out)
        return self.out

    def prepare(self, run: "LoadedRun", options: EvalOptions, reporter: Reporter) -> Path | None:
        """Return the folder; None, with a warning, if the folder of the run cannot be written to.

        Raises:
            OmniMouseError: `out` cannot be written to, or the folder holds another evaluation.
        """
        from omnimouse_cli.evaluation.identity import require_same_evaluation

        folder = self.folder(run.folder, options, run)
        require_same_evaluation(folder, options, run)
        reason = explain_unwritable(folder)
        if reason is None:
            return folder
        if self.out is not None:
            raise OmniMouseError(
                f"{folder} cannot be written to: {reason}", hint="name another folder with --out"
            )
        reporter.warn(
            f"{folder} cannot be written to ({reason}): no file will be written, only the table "
            "printed (--out FOLDER writes elsewhere)"
        )
        return None


def _open(
    folders: Sequence[Path],
    shards: Path | None,
    options: EvalOptions,
    device: str,
    reporter: Reporter,
    *,
    allow_other_data: bool,
    choose_tier: bool,
) -> "tuple[LoadedRun, Dataset, EvalOptions]":
    """Load a run, or several as an ensemble, and open its shards.

    Args:
        folders: Folder of the run, or of each run of an ensemble.
        shards: Folder of the shards; None is that of the training.
        options: What is evaluated.
        device: `cpu`, `cuda` or `auto`.
        reporter: Receives which defaults were taken.
        allow_other_data: Whether the shards may hold other data than those of the training.
        choose_tier: Whether the first of the usual tiers that the sessions have is scored.

    Returns:
        The run, its data, and the options with device, tier and data.

    Raises:
        OmniMouseError: The run, its shards or the regime cannot be used.
    """
    from omnimouse_cli.evaluation.identity import describe_shards
    from omnimouse_cli.run.ensemble import make_ensemble
    from omnimouse_cli.run.load import load_run, open_run_data
    from omnimouse_cli.training.parallel.world import select_device

    device = select_device(device).type
    runs = [load_run(folder) for folder in folders]
    loaded = runs[0]
    if len(runs) > 1:
        loaded = make_ensemble(runs)
        names = ", ".join(folder.name for folder in folders)
        reporter.say(f"scoring the mean prediction of {len(runs)} runs: {names}")
    dataset = open_run_data(loaded, shards, reporter, allow_other_data=allow_other_data)
    missing = len(loaded.sessions) - len(dataset.sessions)
    if missing:
        reporter.warn(f"sessions of the run without a shard: {missing} of {len(loaded.sessions)}")
    tier = default_tier(dataset, reporter) if choose_tier else options.tier
    found = describe_shards(loaded, dataset)
    return loaded, dataset, replace(options, device=device, tier=tier, shards=found)


def _score(
    run: "LoadedRun", dataset: "Dataset", options: EvalOptions, reporter: Reporter
) -> Evaluation:
    """Evaluate a run, also under perturbed video if the options say so.

    Raises:
        OmniMouseError: Nothing can be scored.
        KeyboardInterrupt: With a message about what is kept.
    """
    from omnimouse_cli.evaluation.evaluate import evaluate
    from omnimouse_cli.evaluation.robustness.evaluate import with_perturbations

    kept = f"nothing was written for {run.folder}; run the same command again"
    with explain_interruption(kept):
        evaluation = evaluate(run, dataset, options, reporter)
        if options.perturb:
            evaluation = with_perturbations(evaluation, run, dataset, options, reporter)
        return evaluation


def default_tier(dataset: "Dataset", reporter: Reporter) -> str:
    """Return the first of the usual tiers of which a session has windows; `test` without any."""
    from omnimouse_cli.batch.windows import window_table

    def has_windows(tier: str) -> bool:
        tables = (
            window_table(session.shard, tiers=(tier,), include_blanks=False)
            for session in dataset.sessions
        )
        return any(table.num_windows for table in tables)

    tier = next((tier for tier in DEFAULT_TIERS if has_windows(tier)), DEFAULT_TIERS[0])
    if tier != DEFAULT_TIERS[0]:
        reporter.say(f"scoring tier {tier}: no window lies in tier {DEFAULT_TIERS[0]} (--tier)")
    return tier


def _write(found: EvaluatedRun, folder: Path, reporter: Reporter) -> EvaluatedRun:
    """Write the files of an evaluation, and return it with them, or with the error.

    Args:
        found: The evaluation.
        folder: Where it is written.
        reporter: Receives what was written or replaced.
    """
    from omnimouse_cli.evaluation.store import has_matplotlib, store
    from omnimouse_cli.run.folder import EVAL

    done = "replaced" if (folder / EVAL).exists() else "wrote"
    try:
        with explain_file_errors():
            files = store(folder, found.evaluation, found.options, found.run)
    except OmniMouseError as error:
        return replace(found, write_error=error)
    reporter.say(f"{done} {', '.join(str(path) for path in files)}")
    if not has_matplotlib():
        reporter.warn("no figure: Matplotlib is not installed; pip install 'omnimouse[report]'")
    return replace(found, files=files)
