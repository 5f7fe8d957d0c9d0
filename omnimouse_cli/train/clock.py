"""How long a run has trained, and whether to stop: the same answer on every rank."""

import time

from omnimouse_cli.train.parallel.world import World


class Clock:
    """Counts on from the seconds of earlier sittings.

    Args:
        elapsed_seconds: Trained before.
        world: The ranks.
    """

    def __init__(self, elapsed_seconds: float, world: World) -> None:
        self._started = time.perf_counter() - elapsed_seconds
        self._world = world

    def read(self, *, is_asked: bool) -> tuple[float, bool]:
        """Agree on the time and on whether anybody wants to stop.

        Args:
            is_asked: Whether this rank was asked to stop.

        Returns:
            Seconds of the rank whose clock is ahead, and whether any rank was asked.
        """
        elapsed = time.perf_counter() - self._started
        latest, asked = self._world.all_reduce_max([elapsed, float(is_asked)])
        return latest, asked > 0
