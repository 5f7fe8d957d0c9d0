"""Most exciting stimuli: `om.most_exciting`, the function of `omnimouse mei`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from omnimouse_cli.api.arguments import PathLike, as_path, as_paths
from omnimouse_cli.api.folders import find_run
from omnimouse_cli.api.load import as_run
from omnimouse_cli.api.progress import choose_reporter
from omnimouse_cli.api.run import Run
from omnimouse_cli.errors import explain_interruption
from omnimouse_cli.files import explain_file_errors, require_folder
from omnimouse_cli.reporter import Reporter

if TYPE_CHECKING:
    from omnimouse_cli.probing.behavior_state import StateName
    from omnimouse_cli.probing.mei import ExcitingStimuli, Kind
    from omnimouse_cli.probing.mei_constraints import Prior


def most_exciting(
    run: Run | PathLike | Sequence[PathLike] | None = None,
    *,
    session: str | None = None,
    neurons: str | Sequence[int] = "best:10",
    kind: "Kind" = "image",
    least: bool = False,
    starts: int = 3,
    steps: int = 40,
    prior: "Prior" = "smooth",
    mean: float | None = None,
    contrast: float = 12.0,
    state: "StateName | None" = None,
    validate: PathLike | Sequence[PathLike] | None = None,
    out: PathLike | None = None,
    shards: PathLike | None = None,
    allow_other_data: bool = False,
    seed: int = 0,
    device: str = "auto",
    progress: bool | Reporter = False,
) -> "ExcitingStimuli":
    """Make the stimuli that excite neurons most, validated by runs that did not make them.

    Args:
        run: A run of `om.load_run`, or the folder of one, by default the newest finished one; or
            several folders, as an ensemble, of which the last one only validates unless `validate`
            names others.
        session: Session key; None takes the first of the run.
        neurons: Columns of the recording from 0, not unit ids; or `best:N`, those that the first
            run predicts best on its validation tier.
        kind: `image`, shown still for a second, or `video`; a second of grey comes before either.
        least: Whether least exciting stimuli are made too.
        starts: Number of starts of each neuron: best natural stimulus, best grating, then noise.
        steps: Steps of the gradient ascent.
        prior: Filter of gradients: `smooth` (a blur), `natural` (1/f) or `none`.
        mean: Mean grey level of every frame; None is that of natural stimuli of the training tiers.
        contrast: RMS contrast of the screen in every frame, in grey levels.
        state: State of behavior: `median`, `mean` or `missing`; None is `median`, and `mean`
            without shards.
        validate: Runs of other seeds that validate the stimuli.
        out: Folder of arrays, tables and the page; None is RUN/mei/SESSION-KIND.
        shards: Folder of the shards; None takes the run's own.
        allow_other_data: Whether the shards may hold other data than those of the training.
        seed: Seed of the noise.
        device: `cpu`, `cuda` or `auto`.
        progress: Whether lines about the progress are written on stderr; or a reporter.

    Returns:
        Stimuli, float32 `(neurons, frames, height, width)` in grey levels, and the responses of the
        runs that made them and of those that validate, in the unit of the recording.

    Raises:
        OmniMouseError: There is no such run, session or neuron, the run was trained without video,
            an option cannot be used, or no stimulus has this mean and contrast.

    Example:
        >>> import omnimouse_cli as om
        >>> run = om.load_run("runs/demo", device="cpu")
        >>> found = om.most_exciting(run, neurons=[0, 3], starts=1, steps=2)
        >>> found.stimuli["most"].shape, found.responses["most"].shape
        ((2, 1, 36, 64), (1, 2))
    """
    from omnimouse_cli.probing.mei import MeiOptions, most_exciting
    from omnimouse_cli.probing.mei_neurons import choose_neurons
    from omnimouse_cli.probing.mei_output import write_files
    from omnimouse_cli.probing.session_model import choose_sessions
    from omnimouse_cli.recording.session_key import key_as_file_name
    from omnimouse_cli.run.load import load_run

    options = MeiOptions(
        kind=kind,
        least=least,
        starts=starts,
        steps=steps,
        prior=prior,
        mean=mean,
        contrast=contrast,
        state=state,
        seed=seed,
    )
    reporter = choose_reporter(progress)
    with explain_file_errors():
        # Runs that only validate may differ from the others in more than their seed.
        folders = [] if isinstance(run, Run) else list(dict.fromkeys(as_paths(run)))
        first = run if isinstance(run, Run) else folders[:1]
        loaded = as_run(
            first,
            shards=shards,
            device=device,
            reporter=reporter,
            allow_other_data=allow_other_data,
        )
        runs = (*loaded.runs, *(load_run(find_run(folder, reporter)) for folder in folders[1:]))
        validating = [find_run(folder, reporter) for folder in dict.fromkeys(as_paths(validate))]
        others = [load_run(folder) for folder in validating] or None
        if loaded.dataset is None:
            reporter.warn(
                f"no shards of {loaded.folders[0]} were found: no natural stimuli (--shards)"
            )
        key = choose_sessions(runs[0], session=session)[0]
        if session is None and len(runs[0].sessions) > 1:
            reporter.say(f"taking session {key}, the first of the run (--session)")
        target = as_path(out) or loaded.folders[0] / "mei" / f"{key_as_file_name(key)}-{kind}"
        require_folder(target)
        with explain_interruption():
            if isinstance(neurons, str):
                columns = choose_neurons(
                    runs[0],
                    loaded.dataset,
                    key,
                    neurons,
                    device=loaded.device,
                    reporter=reporter,
                )
            else:
                columns = tuple(neurons)
            result = most_exciting(
                runs,
                key,
                columns,
                dataset=loaded.dataset,
                validate=others,
                options=options,
                device=loaded.device,
                reporter=reporter,
            )
        with explain_interruption(f"{target} is incomplete; run the same command again"):
            files = write_files(result, target)
        reporter.say(f"wrote {', '.join(str(path) for path in files)}")
    return result
