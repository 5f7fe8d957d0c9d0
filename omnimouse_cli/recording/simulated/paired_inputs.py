"""The stimulus drive of neurons that add or multiply two inputs: a known answer for units."""

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.recording.simulated.population import Population
from omnimouse_cli.recording.simulated.settings import (
    FRAME_HEIGHT,
    FRAME_WIDTH,
    NUM_INPUTS,
    make_generator,
)
from omnimouse_cli.recording.simulated.stimulus import (
    CALIBRATION_CLIPS,
    CALIBRATION_ROWS,
    EXPONENT,
    HALF_SATURATION,
    StimulusDrive,
)
from omnimouse_cli.recording.simulated.video import draw_clip

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
# One input in each quarter of the screen: the brightness on one side minus that on the other, from
# left to right in two quarters and downwards in the others, so that inputs are nearly uncorrelated.
# They are coarse, so that finding them is not what makes a model good or bad.
INPUT_CENTERS = tuple(
    (FRAME_HEIGHT * row, FRAME_WIDTH * column) for row in (0.25, 0.75) for column in (0.25, 0.75)
)
IS_VERTICAL = (False, True, True, False)
INPUT_WIDTH = 4.5


def input_filters() -> F32:
    """Return the filters of the inputs, of unit norm: `(36 * 64, 4)`."""
    row, column = np.arange(FRAME_HEIGHT)[:, None], np.arange(FRAME_WIDTH)[None, :]
    filters = np.empty((FRAME_HEIGHT * FRAME_WIDTH, NUM_INPUTS), np.float32)
    for number, (center_row, center_column) in enumerate(INPUT_CENTERS):
        down, right = row - center_row, column - center_column
        along = down if IS_VERTICAL[number] else right
        image = along * np.exp(-(down**2 + right**2) / (2 * INPUT_WIDTH**2))
        filters[:, number] = (image / np.linalg.norm(image)).ravel()
    return filters


class PairedDrive(StimulusDrive):
    """Computes the rectified sum or product of two inputs of each neuron, block by block.

    An input is the response of its filter, divided by contrast and of unit variance. A product is
    positive where both inputs have the same sign (or opposite ones, by the signs of the neuron): a
    soft exclusive or, to which no sum of functions of one input comes close.
    """

    def _make_gabors(self) -> F32:
        return input_filters()

    def _calibrate(self, seed: int, session: int) -> F64:
        """Find the scale of every input on clips that are not shown; return mean energies."""
        rng = make_generator(seed, "calibration", session)
        no_shift = np.zeros((CALIBRATION_ROWS, 2))
        self._scale = np.ones(NUM_INPUTS)
        inputs = []
        for clip in range(CALIBRATION_CLIPS):
            frames = draw_clip(rng, CALIBRATION_ROWS, "noise" if clip % 5 < 2 else "objects")
            inputs.append(self.inputs(frames, no_shift))
        together = np.concatenate(inputs)
        self._scale = together.std(axis=0)
        return np.asarray(self._combine(together / self._scale).mean(axis=0))

    def inputs(self, frames: NDArray[np.uint8] | F32, shift: F64) -> F64:
        """Return the inputs at the next rows, of unit variance on calibration clips.

        Args:
            frames: Frame shown at each response row, uint8 or float32 `(rows, 36, 64)`.
            shift: Shift of the receptive fields by the gaze, `(rows, 2)` pixels.

        Returns:
            `(rows, 4)`.
        """
        early, _ = self._filter(frames, shift)
        normalized = early[:, :-1] / np.sqrt(HALF_SATURATION + np.maximum(early[:, -1:], 0.0))
        return np.asarray(normalized, np.float64) / self._scale

    def energy(self, frames: NDArray[np.uint8] | F32, shift: F64) -> F64:
        """Return the drive of the next rows, one on average: `(rows, neurons)`.

        Args:
            frames: Frame shown at each response row, uint8 or float32 `(rows, 36, 64)`.
            shift: Shift of the receptive fields by the gaze, `(rows, 2)` pixels.
        """
        return self._combine(self.inputs(frames, shift)) / self.mean_energy

    def _combine(self, inputs: F64) -> F64:
        """Add or multiply the two inputs of each neuron, and rectify: `(rows, neurons)`."""
        population = self._population
        assert population.inputs is not None, "these neurons have two inputs"
        assert population.signs is not None, "and their signs"
        first, second = np.moveaxis(inputs[:, population.inputs] * population.signs, -1, 0)
        combined = np.where(population.is_product, first * second, (first + second) / np.sqrt(2))
        return np.asarray(np.maximum(combined, 0.0) ** EXPONENT)


def make_drive(population: Population, seed: int, session: int) -> StimulusDrive:
    """Return the stimulus drive of a population: paired inputs where it has them, or energies."""
    drive = StimulusDrive if population.inputs is None else PairedDrive
    return drive(population, seed, session)
