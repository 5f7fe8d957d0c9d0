"""Neurons driven by the sum or product of two behavioral signals: a known answer for units."""

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.recording.simulated.population import Population
from omnimouse_cli.recording.simulated.settings import BEHAVIOR_CHANNELS, INPUT_CHANNELS
from omnimouse_cli.recording.simulated.stimulus import StimulusDrive

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
# Mean of the rectified drive if both signals are independent and normal.
MEAN_PRODUCT, MEAN_SUM = 1 / np.pi, 1 / np.sqrt(2 * np.pi)


class PairedDrive:
    """Computes the rectified sum or product of two behavioral signals of each neuron.

    A product is positive where both signals lie on the same side of their means (or on opposite
    ones, by the signs of the neuron): an exclusive or, of which neither signal alone tells
    anything. The stimulus does not drive these neurons.

    Args:
        population: The neurons, with their inputs.

    Attributes:
        mean_energy: What divides the rectified drive, `(neurons,)`.
    """

    def __init__(self, population: Population) -> None:
        assert population.inputs is not None, "these neurons have inputs,"
        assert population.signs is not None, "their signs,"
        assert population.is_product is not None, "and a rule"
        channels = np.array([BEHAVIOR_CHANNELS.index(name) for name in INPUT_CHANNELS])
        self._channels = channels[population.inputs]
        self._signs = population.signs
        self._is_product = population.is_product
        self._strength = population.strength
        self.mean_energy: F64 = np.where(self._is_product, MEAN_PRODUCT, MEAN_SUM)

    def forget(self) -> None:
        """Do nothing: the drive depends on no earlier rows."""

    def energy(self, behavior: F64) -> F64:
        """Return the drive, about one on average: `(rows, neurons)`.

        Args:
            behavior: In standard deviations from the session's mean, `(rows, 5)`.
        """
        first, second = np.moveaxis(behavior[:, self._channels] * self._signs, -1, 0)
        combined = np.where(self._is_product, first * second, (first + second) / np.sqrt(2))
        return np.asarray(np.maximum(combined, 0.0) / self.mean_energy)

    def gain(self, frames: NDArray[np.uint8] | F32, shift: F64, behavior: F64) -> F64:  # noqa: ARG002
        """Return (1 + strength * energy) / (1 + strength) of the next rows: `(rows, neurons)`.

        Args:
            frames: Not used: the stimulus does not drive these neurons.
            shift: Not used.
            behavior: In standard deviations from the session's mean, `(rows, 5)`.
        """
        return (1 + self._strength * self.energy(behavior)) / (1 + self._strength)


def make_drive(population: Population, seed: int, session: int) -> StimulusDrive | PairedDrive:
    """Return what drives a population: pairs of behavioral signals, or motion energies.

    Args:
        population: The neurons.
        seed: Seed of the simulation.
        session: Number of the session.
    """
    if population.inputs is None:
        return StimulusDrive(population, seed, session)
    return PairedDrive(population)
