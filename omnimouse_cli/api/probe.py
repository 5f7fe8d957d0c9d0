"""Receptive fields and tuning of a run's neurons: `om.probe`, the function of `omnimouse probe`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from omnimouse_cli.api.arguments import PathLike, as_path, require_at_least
from omnimouse_cli.api.libraries import require_libraries
from omnimouse_cli.api.load import as_run
from omnimouse_cli.api.progress import choose_reporter
from omnimouse_cli.api.run import Run
from omnimouse_cli.errors import explain_interruption
from omnimouse_cli.files import explain_file_errors, require_folder
from omnimouse_cli.reporter import Reporter

if TYPE_CHECKING:
    from omnimouse_cli.probing.session_probe import SessionProbe
    from omnimouse_cli.probing.settings import ProbeOptions

# Folder of probes in a run.
PROBES = "probe"


def probe(
    run: Run | PathLike | Sequence[PathLike] | None = None,
    *,
    session: str | None = None,
    animal: str | None = None,
    shards: PathLike | None = None,
    allow_other_data: bool = False,
    state: str | None = None,
    neurons: Sequence[int] | None = None,
    directions: int = 16,
    spatial: Sequence[float] | None = None,
    temporal: Sequence[float] | None = None,
    contrast: float = 0.8,
    full_screen: bool = False,
    noise_windows: int = 640,
    gradient_windows: int = 8,
    min_score: float = 0.1,
    min_modulation: float = 0.1,
    min_reliability: float = 0.5,
    min_snr: float = 3.0,
    pictures: int = 24,
    out: PathLike | None = None,
    seed: int = 0,
    device: str = "auto",
    progress: bool | Reporter = False,
) -> "dict[str, SessionProbe]":
    """Measure receptive fields and tuning on gratings and noise that were never shown.

    Args:
        run: A run of `om.load_run`, or the folder of one, by default the newest finished one; or
            several folders, as an ensemble.
        session: Session key; None takes all sessions of the run.
        animal: Animal key, to probe all sessions of one animal.
        shards: Folder of the shards; None takes the run's own.
        allow_other_data: Whether the shards may hold other data than those of the training.
        state: Behavior during the stimuli: `median`, `mean` or `missing`; None is `median`, and
            `mean` without shards.
        neurons: Columns of the recording from 0, not unit ids; None takes all.
        directions: Number of directions of gratings, even.
        spatial: Spatial frequencies in cycles per pixel; None takes seven from 0.0208 to 0.1667.
        temporal: Temporal frequencies in Hz; None takes 1, 2, 4 and 8.
        contrast: Michelson contrast of gratings.
        full_screen: Whether the tuning for direction is measured with gratings that fill the
            screen, and not in discs about receptive fields.
        noise_windows: Windows of sparse noise for receptive fields.
        gradient_windows: Windows for gradients, which take most of the time; 0 for none.
        min_score: Least prediction score of neurons that are given numbers.
        min_modulation: Without an evaluation: least standard deviation of a neuron's response over
            gratings, in standard deviations of the recorded response.
        min_reliability: Least correlation between halves of a property that is given a number.
        min_snr: Least signal-to-noise ratio of a receptive field with numbers.
        pictures: Neurons of each session that the page shows.
        out: Folder of the tables and the page; None is RUN/probe of the first run.
        seed: Seed of everything random.
        device: `cpu`, `cuda` or `auto`.
        progress: Whether lines about the progress are written on stderr; or a reporter.

    Returns:
        By session key: receptive fields and tuning, arrays `(neurons,)` with NaN where a number is
        not reliable.

    Raises:
        OmniMouseError: There is no such run, session, animal or neuron, the run was trained without
            video, an option cannot be used, or Matplotlib is missing.

    Example:
        >>> import warnings
        >>> import omnimouse_cli as om
        >>> run = om.load_run("runs/demo", device="cpu")
        >>> few = {"directions": 4, "spatial": [0.05], "temporal": [2.0], "noise_windows": 8}
        >>> with warnings.catch_warnings(action="ignore"):
        ...     probes = om.probe(run, neurons=[0, 3], gradient_windows=0, pictures=0, **few)
        >>> probes["20001-1-1"].orientation.orientation_deg.shape
        (2,)
    """
    require_libraries("probe", "matplotlib")
    require_at_least(0, pictures=pictures)
    from omnimouse_cli.probing.page import write_page
    from omnimouse_cli.probing.session_model import choose_sessions
    from omnimouse_cli.probing.settings import (
        APERTURE_PX,
        SPATIAL_FREQUENCIES,
        TEMPORAL_FREQUENCIES,
        ProbeOptions,
    )
    from omnimouse_cli.probing.table import write_tables
    from omnimouse_cli.recording.session_key import key_as_file_name

    options = ProbeOptions(
        directions=directions,
        spatial_frequencies=SPATIAL_FREQUENCIES if spatial is None else tuple(spatial),
        temporal_frequencies=TEMPORAL_FREQUENCIES if temporal is None else tuple(temporal),
        contrast=contrast,
        aperture_px=None if full_screen else APERTURE_PX,
        noise_windows=noise_windows,
        gradient_windows=gradient_windows,
        min_score=min_score,
        min_modulation=min_modulation,
        min_reliability=min_reliability,
        min_snr=min_snr,
        seed=seed,
    )
    reporter = choose_reporter(progress)
    with explain_file_errors():
        loaded = as_run(
            run,
            shards=shards,
            device=device,
            reporter=reporter,
            allow_other_data=allow_other_data,
        )
        target = as_path(out) or loaded.folders[0] / PROBES
        require_folder(target)
        if loaded.dataset is None:
            reporter.warn(
                "no shards were found: responses are in standard deviations, units have no ids, "
                "and gradients are taken at noise (--shards)"
            )
        keys = choose_sessions(loaded.runs[0], session=session, animal=animal)
        with explain_interruption():
            probes = {
                key: _probe(
                    loaded, key, state=state, neurons=neurons, options=options, reporter=reporter
                )
                for key in keys
            }
        with explain_interruption(f"{target} is incomplete; run the same command again"):
            for found in probes.values():
                files = write_tables(found, target / key_as_file_name(found.session))
                reporter.say(f"wrote {', '.join(str(file) for file in files)}")
            page = write_page(list(probes.values()), target, pictures=pictures)
            reporter.say(f"wrote {page}")
    return probes


def _probe(
    run: Run,
    session: str,
    *,
    state: str | None,
    neurons: Sequence[int] | None,
    options: "ProbeOptions",
    reporter: Reporter,
) -> "SessionProbe":
    from omnimouse_cli.probing.probe import probe
    from omnimouse_cli.probing.scores import find_scores

    model = run.session_model(session, state=state)
    scores = find_scores(run.folders, session, model.num_neurons)
    if scores is None:
        reporter.warn(
            f"session {session}: no evaluation has scores of `predict`; neurons are judged by the "
            "model's own modulation (omnimouse eval --regime predict)"
        )
    return probe(
        model,
        dataset=None if model.shard is None else run.dataset,
        neurons=neurons,
        scores=scores,
        options=options,
        reporter=reporter,
    )
