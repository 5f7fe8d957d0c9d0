"""When everything of a simulated session happens."""

import numpy as np

from omnimouse_cli.recording.recording import HOLD_TOLERANCE_SECONDS
from omnimouse_cli.recording.simulated.schedule import LEAD_SECONDS, PlannedTrial
from omnimouse_cli.recording.simulated.settings import (
    FRAME_RATE_HZ,
    ORIGIN_SECONDS,
    RESPONSE_RATE_HZ,
    SimulationConfig,
    generator,
)

TAIL_SECONDS = 4.0


class Timeline:
    """Starts and ends of every device, rows and flips, in absolute seconds."""

    def __init__(self, config: SimulationConfig, number: int, trials: list[PlannedTrial]) -> None:
        rng = generator(config.seed, "timeline", number)
        duration = config.minutes * 60.0
        self.eye_start = ORIGIN_SECONDS + 86_400.0 * number + rng.uniform(0.0, 3600.0)
        self.treadmill_start = self.eye_start + rng.uniform(0.02, 0.09)
        self.responses_start = self.eye_start + rng.uniform(8.3, 10.0)
        self.responses_end = self.responses_start + duration
        # A resampled export has two or three rows less than its interval holds.
        self.num_rows = int(duration * RESPONSE_RATE_HZ) - 2
        self.row_seconds = self.responses_start + np.arange(self.num_rows) / RESPONSE_RATE_HZ
        self.behavior_end = self.responses_end + TAIL_SECONDS
        # Flips fall between rows, so that no rounding of a clock decides which frame a row saw.
        screen_start = self.responses_start + LEAD_SECONDS + rng.uniform(0.2, 0.8) / FRAME_RATE_HZ
        frame = 0
        flips = []
        for trial in trials:
            flips.append(frame + np.arange(trial.num_flips))
            frame += trial.frames
        jitter = rng.uniform(-2e-5, 2e-5, sum(trial.num_flips for trial in trials))
        self.flip_seconds = screen_start + np.concatenate(flips) / FRAME_RATE_HZ + jitter
        self.shown_flip = (
            np.searchsorted(
                self.flip_seconds, self.row_seconds + HOLD_TOLERANCE_SECONDS, side="right"
            )
            - 1
        )
