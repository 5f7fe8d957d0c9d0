"""The simulated neurons: positions, receptive fields, and couplings to behavior and state."""

import itertools
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.recording.simulated.settings import (
    BEHAVIOR_CHANNELS,
    FRAME_HEIGHT,
    FRAME_WIDTH,
    INPUT_CHANNELS,
    NUM_STATES,
    make_generator,
)

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

# Ten mice of Sensorium 2023 (78,853 neurons; coordinates and activity statistics, CC0-1.0): squares
# of 616 um, ten planes 25 um apart; log mean activity .04 to 1.01 on average with std .67 to .84;
# median standard deviation 6.1 to 13.2; median std / mean 4.4 to 6.9.
FIELD_UM = 616.0
PLANES_UM = np.arange(200.0, 426.0, 25.0)
FIELD_CORNERS_UM = ((-1498.0, -759.0), (-728.0, -381.0))
LOG_MEAN_ACTIVITY = 0.85
LOG_MEAN_ACTIVITY_STD = 0.75
# The mean number of events per row is rate / quantum: about one event in two seconds.
QUANTUM_PER_ACTIVITY = 36.0
AMPLITUDE_SHAPE = 2.0
# Standard deviations of the log-gain per standard deviation of each behavior channel.
COUPLING_STD = np.array([0.34, 0.34, 0.24, 0.30, 0.28])
COUPLING_MEAN = np.array([0.0, 0.0, 0.08, 0.0, 0.15])
GAZE_COUPLED_SHARE = 0.6
STATE_COUPLING = 0.78


@dataclass(frozen=True, slots=True, kw_only=True)
class Population:
    """The neurons of one session; every array has one row per neuron.

    Args:
        unit_id: int64, ascending.
        position_um: `(neurons, 3)` in micrometres.
        activity: Mean of the response.
        quantum: Mean size of one event, in units of the response.
        center_row, center_column: Center of the receptive field at mean gaze, in pixels.
        orientation: Radians; the stripes of the Gabor are perpendicular to this direction.
        wavelength, width: Wavelength and standard deviation of the Gabor, in pixels.
        direction: Direction selectivity, -1 to 1.
        strength: Strength s of the stimulus: the gain is (1 + s * energy) / (1 + s).
        coupling: `(neurons, 5)` log-gain per standard deviation of each behavior channel.
        loading: `(neurons, 4)` log-gain per unit of each shared state.
        inputs: `(neurons, 2)` numbers of the two `INPUT_CHANNELS` that drive a neuron in place of
            its Gabor, and have no other effect on it; None where Gabors drive the neurons.
        signs: `(neurons, 2)` sign of each input, 1 or -1; None without inputs.
        is_product: Whether the inputs are multiplied, otherwise they are added; None without.
    """

    unit_id: NDArray[np.int64]
    position_um: F64
    activity: F64
    quantum: F64
    center_row: F64
    center_column: F64
    orientation: F64
    wavelength: F64
    width: F64
    direction: F64
    strength: F64
    coupling: F64
    loading: F64
    inputs: NDArray[np.int64] | None = None
    signs: F64 | None = None
    is_product: NDArray[np.bool_] | None = None

    @property
    def num_neurons(self) -> int:
        """Number of neurons."""
        return len(self.unit_id)

    def arrays(self) -> dict[str, NDArray[np.float64] | NDArray[np.int64]]:
        """Return every array by its name, without those that the neurons do not have."""
        arrays = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: values for name, values in arrays.items() if values is not None}


def draw_population(
    seed: int, session: int, num_neurons: int, multiplicative: float | None = None
) -> Population:
    """Draw the neurons of one session; the receptive fields follow the position (retinotopy).

    Args:
        seed: Seed of the simulation.
        session: Number of the session.
        num_neurons: Number of neurons.
        multiplicative: Fraction of neurons that multiply two behavioral signals, all others add
            two; None drives all by their Gabors.
    """
    rng = make_generator(seed, "neurons", session)
    corner = np.array([rng.uniform(*limits) for limits in FIELD_CORNERS_UM])
    position = rng.uniform(0.0, 1.0, (num_neurons, 2))
    depth = np.sort(rng.choice(PLANES_UM, num_neurons))
    center_of_field = np.array([FRAME_HEIGHT / 2, FRAME_WIDTH / 2]) + rng.normal(0.0, [1.5, 3.0])
    center = (
        center_of_field
        + (position[:, ::-1] - 0.5) * [10.0, 12.0]
        + rng.normal(0.0, 1.0, (num_neurons, 2))
    )
    center = np.clip(center, 3.0, [FRAME_HEIGHT - 4.0, FRAME_WIDTH - 4.0])
    activity = rng.lognormal(LOG_MEAN_ACTIVITY, LOG_MEAN_ACTIVITY_STD, num_neurons)
    wavelength = rng.uniform(10.0, 16.0, num_neurons)
    coupling = rng.normal(COUPLING_MEAN, COUPLING_STD, (num_neurons, len(BEHAVIOR_CHANNELS)))
    coupling[:, :2] *= rng.random((num_neurons, 1)) < GAZE_COUPLED_SHARE
    loading = rng.normal([0.0, 0.0, 0.7, 0.0], 1.0, (num_neurons, NUM_STATES))
    loading *= (
        STATE_COUPLING
        * rng.gamma(8.0, 1 / 8.0, (num_neurons, 1))
        / np.linalg.norm(loading, axis=1, keepdims=True)
    )
    inputs: dict[str, Any] = {}
    if multiplicative is not None:
        inputs = _draw_inputs(seed, session, num_neurons, multiplicative)
        # Their signals have no other effect.
        coupling[:] = 0.0
    return Population(
        unit_id=np.arange(1, num_neurons + 1),
        position_um=np.column_stack([corner + position * FIELD_UM, depth]),
        activity=activity,
        quantum=QUANTUM_PER_ACTIVITY * activity * rng.lognormal(0.0, 0.25, num_neurons),
        center_row=center[:, 0],
        center_column=center[:, 1],
        orientation=rng.uniform(0.0, 2 * np.pi, num_neurons),
        wavelength=wavelength,
        width=wavelength * rng.uniform(0.26, 0.34, num_neurons),
        direction=rng.uniform(0.0, 0.8, num_neurons),
        strength=rng.lognormal(np.log(10.0), 0.5, num_neurons),
        coupling=coupling,
        loading=loading,
        **inputs,
    )


def _draw_inputs(
    seed: int, session: int, num_neurons: int, multiplicative: float
) -> dict[str, NDArray[Any]]:
    """Draw the two inputs of every neuron, and which neurons multiply them."""
    rng = make_generator(seed, "inputs", session)
    pairs = np.array(list(itertools.combinations(range(len(INPUT_CHANNELS)), 2)), np.int64)
    num_products = round(multiplicative * num_neurons)
    return {
        "inputs": pairs[rng.integers(len(pairs), size=num_neurons)],
        "signs": rng.choice([-1.0, 1.0], (num_neurons, 2)),
        "is_product": rng.permutation(num_neurons) < num_products,
    }
