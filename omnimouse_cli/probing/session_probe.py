"""Receptive fields and tuning of the neurons of a session, NaN where they are not reliable."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.probing.behavior_state import BehaviorState
from omnimouse_cli.probing.receptive_field import GaussianFit, ReceptiveMap
from omnimouse_cli.probing.settings import ProbeOptions
from omnimouse_cli.probing.tuning import ContrastTuning, DirectionTuning, PeakTuning, SizeTuning

F64 = NDArray[np.float64]
Bools = NDArray[np.bool_]
MapName = Literal["gradient", "noise"]
PROPERTIES = (
    "receptive_field",
    "orientation",
    "spatial_frequency",
    "temporal_frequency",
    "size",
    "contrast",
)
Group = TypeVar("Group", GaussianFit, ContrastTuning, DirectionTuning, PeakTuning, SizeTuning)
# Fields that `keep_known` leaves as they are: curves, their axes, and flags.
CURVES = frozenset(
    {"curve", "annulus_curve", "axis", "diameter_px", "inner_px", "contrast", "at_end"}
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ReceptiveFields:
    """Receptive fields by both methods.

    Args:
        reported: The method whose Gaussian is the reported one: `gradient`, or `noise` where no
            gradients were computed.
        fits: Gaussian by method.
        maps: Map by method.
    """

    reported: MapName
    fits: Mapping[MapName, GaussianFit]
    maps: Mapping[MapName, ReceptiveMap]

    @property
    def fit(self) -> GaussianFit:
        """The reported Gaussian."""
        return self.fits[self.reported]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SessionProbe:
    """Receptive fields and tuning of the neurons of a session, predicted by a model.

    Numbers are NaN where `known` is False. Curves and maps are given for every neuron that was
    shown the stimuli.

    Args:
        session: Session key.
        runs: Folders of the runs; several are an ensemble, whose predictions are averaged.
        state: Behavior during the stimuli.
        unit: Unit of responses.
        options: Stimuli and thresholds.
        frame_shape: Height and width of a frame in pixels.
        mean_grey: Grey level of the surround, and mean of all stimuli.
        degrees_per_pixel: Visual angle of a pixel at the center of the screen; None where the
            monitor is not known.
        neuron: int64 `(neurons,)`: columns of the recording.
        unit_id: int64 `(neurons,)`: unit numbers of the recording; None without.
        score: float64 `(neurons,)`: prediction score, or modulation where there is none.
        score_source: What the score is and where it comes from.
        least_score: Least score of neurons that are given numbers.
        reliable: Bool `(neurons,)`: whether the score is high enough.
        known: By property, bool `(neurons,)`: whether its numbers are reliable.
        reliability: By property, float64 `(neurons,)`: correlation of curves or maps between
            halves; NaN where there are none.
        reliability_source: By property, the halves that are correlated.
        receptive_field: Receptive fields.
        orientation: Tuning for direction and orientation.
        in_disc: Bool `(neurons,)`: whether `orientation` was measured with gratings in a disc about
            the receptive field; False where they filled the screen.
        spatial_frequency: Tuning for spatial frequency, in cycles per pixel, at the preferred
            direction and temporal frequency.
        temporal_frequency: Tuning for temporal frequency in Hz.
        size: Tuning for size.
        contrast: Contrast response.
        grey_response: float64 `(neurons,)`: response to a grey screen.
        notes: Sentences about what was assumed.
    """

    session: str
    runs: tuple[str, ...]
    state: BehaviorState
    unit: str
    options: ProbeOptions
    frame_shape: tuple[int, int]
    mean_grey: float
    degrees_per_pixel: float | None
    neuron: NDArray[np.int64]
    unit_id: NDArray[np.int64] | None
    score: F64
    score_source: str
    least_score: float
    reliable: Bools
    known: Mapping[str, Bools]
    reliability: Mapping[str, F64]
    reliability_source: Mapping[str, str]
    receptive_field: ReceptiveFields
    orientation: DirectionTuning
    in_disc: Bools
    spatial_frequency: PeakTuning
    temporal_frequency: PeakTuning
    size: SizeTuning
    contrast: ContrastTuning
    grey_response: F64
    notes: tuple[str, ...]


def keep_known(group: Group, known: Bools) -> Group:
    """Return a group whose numbers are NaN where `known` is False; curves stay.

    Args:
        group: Fit or tuning of neurons.
        known: Bool `(neurons,)`.
    """
    values = {}
    for name in group.__dataclass_fields__:
        value = getattr(group, name)
        if name not in CURVES and isinstance(value, np.ndarray):
            values[name] = np.where(known if value.ndim == 1 else known[:, None], value, np.nan)
    return replace(group, **values)
