"""The configuration of a simulation, and the constants that its modules share."""

from dataclasses import asdict, dataclass

import numpy as np

from omnimouse_cli.errors import ConfigError

RESPONSE_RATE_HZ = 30.0
EYE_RATE_HZ = 20.0
TREADMILL_RATE_HZ = 100.0
FRAME_RATE_HZ = 30.0
FRAME_HEIGHT = 36
FRAME_WIDTH = 64
GREY = 113
GREY_STD = 59.0
ORIGIN_SECONDS = 1.6e9
# Animals of seed s are FIRST_ANIMAL + s MAX_ANIMALS and those after it: no two seeds share one.
FIRST_ANIMAL, MAX_ANIMALS = 20001, 1000
BEHAVIOR_CHANNELS = ("pupil_x", "pupil_y", "pupil_size", "pupil_size_derivative", "running")
# Dimensions of the shared state.
NUM_STATES = 4
# Signals that neurons add or multiply in pairs, where they do; those that are hardly correlated.
INPUT_CHANNELS = ("pupil_x", "pupil_y", "pupil_size")
# r_t = DECAY r_(t-1) + (1 - DECAY) s_t: 150 ms, as in an 8 Hz scan resampled to 30 Hz.
DECAY = 0.8
# Must change whenever the same seed gives other recordings.
MODEL_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulationConfig:
    """A set of simulated recordings.

    Args:
        sessions: Number of recordings, distributed over the animals in turn.
        animals: Number of mice, at most 1000.
        neurons: Number of neurons of each recording.
        minutes: Duration of each recording.
        seed: Seed of all random numbers; other seeds are other animals.
        multiplicative: Fraction of neurons that are driven by the product of two behavioral
            signals, and all others by the sum of two; None drives every neuron by the motion energy
            of its Gabor.
    """

    sessions: int = 2
    animals: int = 1
    neurons: int = 128
    minutes: float = 6.0
    seed: int = 0
    multiplicative: float | None = None

    def __post_init__(self) -> None:
        """Raise ConfigError for values that cannot be simulated."""
        for name in ("sessions", "animals", "neurons"):
            if getattr(self, name) < 1:
                raise ConfigError(f"`{name}` must be at least 1: {getattr(self, name)}")
        if self.animals > self.sessions:
            raise ConfigError(
                f"`animals` must not exceed `sessions` ({self.sessions}): {self.animals}",
                hint="each animal needs a session of its own: raise --sessions",
            )
        if self.animals > MAX_ANIMALS:
            raise ConfigError(
                f"`animals` must not exceed {MAX_ANIMALS}: {self.animals}",
                hint="simulate others with another --seed",
            )
        if not 1.0 <= self.minutes <= 600.0:
            raise ConfigError(
                f"`minutes` must lie between 1 and 600: {self.minutes:g}",
                hint="every tier needs a clip of ten seconds",
            )
        if self.seed < 0:
            raise ConfigError(f"`seed` must not be negative: {self.seed}")
        if self.multiplicative is not None and not 0.0 <= self.multiplicative <= 1.0:
            raise ConfigError(
                f"`multiplicative` must lie between 0 and 1: {self.multiplicative:g}",
                hint="it is a fraction of the neurons; leave it out for motion energies",
            )

    def animal(self, number: int) -> int:
        """Return the animal of session `number`."""
        return FIRST_ANIMAL + self.seed * MAX_ANIMALS + number % self.animals

    def session_key(self, number: int) -> str:
        """Return the key `animal-session-scan` of session `number`."""
        return f"{self.animal(number)}-{number // self.animals + 1}-1"

    def identity(self, number: int) -> dict[str, float | int]:
        """Return all values that the files of session `number` depend on."""
        facts = asdict(self)
        del facts["sessions"]
        if self.multiplicative is None:
            # As recordings that were simulated before there was a choice.
            del facts["multiplicative"]
        return {"model_version": MODEL_VERSION, **facts, "number": number}


def make_generator(seed: int, *stream: int | str) -> np.random.Generator:
    """Return the random number generator of one purpose, independent of all others.

    Args:
        seed: Seed of the simulation.
        stream: The purpose, e.g. `"neurons", 3`.
    """
    words = [
        int.from_bytes(part.encode(), "big") if isinstance(part, str) else part for part in stream
    ]
    return np.random.default_rng([seed, *words])
