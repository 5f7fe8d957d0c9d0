"""Simulated recordings: `om.simulate`, the function of `omnimouse simulate`."""

from pathlib import Path
from typing import TYPE_CHECKING

from omnimouse_cli.api.arguments import PathLike
from omnimouse_cli.api.progress import choose_reporter
from omnimouse_cli.files import explain_file_errors
from omnimouse_cli.reporter import Reporter

if TYPE_CHECKING:
    from omnimouse_cli.recording.simulated.simulation import SimulatedSession


@explain_file_errors()
def simulate(
    out: PathLike,
    *,
    sessions: int = 2,
    animals: int = 1,
    neurons: int = 128,
    minutes: float = 6.0,
    seed: int = 0,
    multiplicative: float | None = None,
    force: bool = False,
    progress: bool | Reporter = False,
) -> "tuple[SimulatedSession, ...]":
    """Simulate a small mouse with a known answer, as raw recordings.

    Args:
        out: Folder that receives one folder per session; complete sessions in it are kept.
        sessions: Number of recordings.
        animals: Number of mice; the sessions are dealt to them.
        neurons: Number of neurons of each recording.
        minutes: Duration of each recording.
        seed: Seed of everything random.
        multiplicative: Fraction of neurons that are driven by the product of two behavioral
            signals, the others by the sum of two; None drives all by motion energies.
        force: Whether simulated recordings that are there are replaced.
        progress: Whether lines about the progress are written on stderr; or a reporter.

    Returns:
        One entry per session: its folder, key, animal, and the best possible score per regime.

    Raises:
        OmniMouseError: A value cannot be simulated, or a session's folder holds something else.

    Example:
        >>> import omnimouse_cli as om
        >>> mouse = om.simulate("recordings", sessions=1, neurons=6, minutes=1, seed=2)
        >>> mouse[0].session, 0 < mouse[0].ceilings.predict < 1
        ('22001-1-1', True)
    """
    from omnimouse_cli.recording.simulated.settings import SimulationConfig
    from omnimouse_cli.recording.simulated.simulation import simulate

    config = SimulationConfig(
        sessions=sessions,
        animals=animals,
        neurons=neurons,
        minutes=minutes,
        seed=seed,
        multiplicative=multiplicative,
    )
    reporter = choose_reporter(progress)
    return tuple(simulate(Path(out), config, force=force, reporter=reporter))
