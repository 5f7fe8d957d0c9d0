"""Tuning of neurons from their responses to gratings: direction, frequency, size, contrast."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# N neurons, D directions, F spatial frequencies, H temporal frequencies, P phases, C conditions

F64 = NDArray[np.float64]
# Curves of direction are read between their samples at this resolution.
STEPS_PER_DEGREE = 2
# Grid of the fit of contrast responses.
EXPONENTS = np.linspace(0.5, 5.0, 46)
HALF_SATURATIONS = np.geomspace(0.03, 3.0, 60)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DirectionTuning:
    """Tuning for the direction of gratings; arrays are float64 `(neurons,)` but the curve.

    R is the response above that to a grey screen, and 0 below. Directions are of motion,
    counter-clockwise from rightward; orientations are of bars, counter-clockwise from horizontal,
    so that a grating moving right (0) has vertical bars (90).

    Args:
        orientation_deg: Preferred orientation, 0 to 180: half the angle of the sum over directions
            d of R(d) exp(2 i d), and a right angle more.
        direction_deg: Preferred direction, 0 to 360: that of the two across the preferred
            orientation to which the response is larger.
        osi: 1 - circular variance: |sum of R(d) exp(2 i d)| / sum of R(d) (Ringach et al., J.
            Neurosci. 22, 2002).
        osi_ratio: (preferred - orthogonal) / (preferred + orthogonal), R being averaged over the
            two directions of an orientation.
        dsi: (preferred - opposite) / (preferred + opposite) direction.
        dsi_vector: |sum of R(d) exp(i d)| / sum of R(d).
        width_deg: Half the width of the curve of orientation at half of its height, which is
            counted from its minimum.
        curve: float64 `(neurons, directions)`: R before values below 0 were cut.
    """

    orientation_deg: F64
    direction_deg: F64
    osi: F64
    osi_ratio: F64
    dsi: F64
    dsi_vector: F64
    width_deg: F64
    curve: F64


def tune_direction(curve_ND: F64) -> DirectionTuning:
    """Measure the tuning for direction.

    Args:
        curve_ND: float64 `(neurons, directions)`: responses above those to grey, to directions in
            equal steps from 0 to 360 degrees; their number is even.

    Example:
        >>> direction = np.deg2rad(np.arange(0, 360, 45))
        >>> found = tune_direction(1 + np.cos(2 * (direction - np.pi / 4))[None])
        >>> [round(float(one[0]), 3) for one in (found.orientation_deg, found.osi, found.dsi)]
        [135.0, 0.5, 0.0]
    """
    num_directions = curve_ND.shape[1]
    if num_directions % 2 or num_directions < 4:
        raise ValueError(f"`curve` must have an even number of directions: {num_directions}")
    angle_D = 2 * np.pi * np.arange(num_directions) / num_directions
    positive_ND = np.maximum(curve_ND, 0.0)
    axis_N = np.angle(positive_ND @ np.exp(2j * angle_D)) / 2 % np.pi
    total_N = positive_ND.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        osi_N = np.abs(positive_ND @ np.exp(2j * angle_D)) / total_N
        dsi_vector_N = np.abs(positive_ND @ np.exp(1j * angle_D)) / total_N
    forth_N, back_N, left_N, right_N = (
        np.maximum(interpolate_angles(curve_ND, axis_N + quarter * np.pi / 2), 0.0)
        for quarter in (0, 2, 1, 3)
    )
    preferred_N, opposite_N = np.maximum(forth_N, back_N), np.minimum(forth_N, back_N)
    direction_N = axis_N + np.where(back_N > forth_N, np.pi, 0.0)
    nothing_N = total_N <= 0
    orientation_deg = (np.rad2deg(axis_N) + 90) % 180
    return DirectionTuning(
        orientation_deg=np.where(nothing_N, np.nan, orientation_deg),
        direction_deg=np.where(nothing_N, np.nan, np.rad2deg(direction_N) % 360),
        osi=osi_N,
        osi_ratio=contrast_index(forth_N + back_N, left_N + right_N),
        dsi=contrast_index(preferred_N, opposite_N),
        dsi_vector=dsi_vector_N,
        width_deg=np.where(nothing_N, np.nan, half_width_deg(curve_ND, axis_N)),
        curve=curve_ND,
    )


def contrast_index(first: F64, second: F64) -> F64:
    """Return (first - second) / (first + second); NaN where the sum is not positive.

    Example:
        >>> contrast_index(np.array([3.0, 0.0]), np.array([1.0, 0.0])).tolist()
        [0.5, nan]
    """
    total = first + second
    return np.where(total > 0, (first - second) / np.where(total > 0, total, 1.0), np.nan)


def interpolate_angles(curve_ND: F64, angle_N: F64) -> F64:
    """Return a periodic curve at one angle per neuron, by the Fourier series of its samples.

    Args:
        curve_ND: float64 `(neurons, samples)` in equal steps over a period.
        angle_N: float64 `(neurons,)`: in radians, a period being 2 pi.
    """
    num_samples = curve_ND.shape[1]
    series_NK = np.fft.rfft(curve_ND, axis=1) / num_samples
    order_K = np.arange(series_NK.shape[1])
    weight_K = np.where((order_K == 0) | (2 * order_K == num_samples), 1.0, 2.0)
    turned = series_NK * np.exp(1j * angle_N[:, None] * order_K)
    return np.asarray((turned.real * weight_K).sum(axis=1))


def half_width_deg(curve_ND: F64, axis_N: F64) -> F64:
    """Return half the width at half height of the curve of orientation, in degrees.

    Args:
        curve_ND: float64 `(neurons, directions)` over 360 degrees.
        axis_N: float64 `(neurons,)`: where its peak lies, in radians of direction.
    """
    num_directions = curve_ND.shape[1]
    folded_ND = (curve_ND + np.roll(curve_ND, num_directions // 2, axis=1)) / 2
    steps = 90 * STEPS_PER_DEGREE
    offset = np.deg2rad(np.arange(-steps, steps + 1) / STEPS_PER_DEGREE)
    fine = np.stack([interpolate_angles(folded_ND, axis_N + each) for each in offset], axis=1)
    low, high = fine.min(axis=1), fine[:, steps]
    half = ((low + high) / 2)[:, None]
    sides = [_first_crossing(side, half) for side in (fine[:, steps:], fine[:, steps::-1])]
    width_N = (sides[0] + sides[1]) / (2 * STEPS_PER_DEGREE)
    return np.asarray(np.where(high > low, width_N, np.nan))


def _first_crossing(values_NC: F64, level_N1: F64) -> F64:
    """Return after how many steps values fall below a level; all steps if they do not."""
    below_NC = values_NC < level_N1
    last = values_NC.shape[1] - 1
    step_N = np.where(below_NC.any(axis=1), np.maximum(below_NC.argmax(axis=1), 1), last)
    row_N = np.arange(len(values_NC))
    before_N, after_N = values_NC[row_N, step_N - 1], values_NC[row_N, step_N]
    fall_N = before_N - after_N
    part_N = (before_N - level_N1[:, 0]) / np.where(fall_N > 0, fall_N, 1.0)
    return np.asarray(np.where(below_NC.any(axis=1) & (fall_N > 0), step_N - 1 + part_N, step_N))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PeakTuning:
    """Tuning for a quantity on a logarithmic axis.

    Args:
        preferred: float64 `(neurons,)`: peak of the parabola in the logarithm through the largest
            response and its neighbors; the end of the axis where that is the largest.
        at_end: Bool `(neurons,)`: the largest response is at an end of the axis, so that the
            preferred value may lie beyond it.
        axis: float64 `(values,)`, ascending.
        curve: float64 `(neurons, values)`: responses above those to grey.
    """

    preferred: F64
    at_end: NDArray[np.bool_]
    axis: F64
    curve: F64


def tune_peak(axis: F64, curve_NC: F64) -> PeakTuning:
    """Find the peak of curves on an axis that is ascending and positive.

    Example:
        >>> axis = np.array([1.0, 2.0, 4.0, 8.0])
        >>> found = tune_peak(axis, np.array([[0.0, 3.0, 3.0, 0.0], [1.0, 2.0, 3.0, 4.0]]))
        >>> found.preferred.round(3).tolist(), found.at_end.tolist()
        ([2.828, 8.0], [False, True])
    """
    best_N = curve_NC.argmax(axis=1)
    last = len(axis) - 1
    at_end_N = (best_N == 0) | (best_N == last)
    middle_N = np.clip(best_N, min(1, last), max(last - 1, 0))
    preferred_N = axis[best_N].astype(np.float64)
    if last >= 2:
        row = np.arange(len(curve_NC))
        y0, y1, y2 = (curve_NC[row, middle_N + step] for step in (-1, 0, 1))
        x0, x1, x2 = (np.log(axis)[middle_N + step] for step in (-1, 0, 1))
        numerator = (x1 - x0) ** 2 * (y1 - y2) - (x1 - x2) ** 2 * (y1 - y0)
        denominator = (x1 - x0) * (y1 - y2) - (x1 - x2) * (y1 - y0)
        inside = ~at_end_N & (denominator > 0)
        shift = numerator / np.where(inside, denominator, 1.0) / 2
        preferred_N = np.where(inside, np.exp(x1 - shift), preferred_N)
    return PeakTuning(preferred=preferred_N, at_end=at_end_N, axis=axis, curve=curve_NC)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SizeTuning:
    """Responses to gratings in discs, and in annuli, about the receptive field.

    Args:
        preferred_px: float64 `(neurons,)`: diameter with the largest response, as in `PeakTuning`.
        at_end: Bool `(neurons,)`.
        suppression: float64 `(neurons,)`: surround suppression index, 1 - R(largest disc) / R(best
            disc); 0 without suppression, above 1 where the largest disc lowers the response below
            that to grey.
        diameter_px: float64 `(discs,)`.
        curve: float64 `(neurons, discs)`: responses above those to grey.
        inner_px: float64 `(annuli,)`: diameters of the grey discs within the annuli, which reach
            as far as the largest disc.
        annulus_curve: float64 `(neurons, annuli)`.
    """

    preferred_px: F64
    at_end: NDArray[np.bool_]
    suppression: F64
    diameter_px: F64
    curve: F64
    inner_px: F64
    annulus_curve: F64


def tune_size(diameter_px: F64, curve_NC: F64, inner_px: F64, annulus_NC: F64) -> SizeTuning:
    """Measure the tuning for size; diameters are ascending.

    Example:
        >>> none = np.zeros((1, 0))
        >>> sizes = np.array([4.0, 8.0, 16.0, 32.0])
        >>> tune_size(sizes, np.array([[1, 4.0, 3, 2]]), none[0], none).suppression.tolist()
        [0.5]
    """
    peak = tune_peak(diameter_px, curve_NC)
    best_N, last_N = curve_NC.max(axis=1), curve_NC[:, -1]
    return SizeTuning(
        preferred_px=peak.preferred,
        at_end=peak.at_end,
        suppression=np.where(best_N > 0, 1 - last_N / np.where(best_N > 0, best_N, 1), np.nan),
        diameter_px=diameter_px,
        curve=curve_NC,
        inner_px=inner_px,
        annulus_curve=annulus_NC,
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ContrastTuning:
    """The contrast response R(c) = R_max c^n / (c^n + h^n) (Naka & Rushton, J. Physiol. 1966).

    Args:
        half: float64 `(neurons,)`: contrast h of half saturation; a value at the ends of
            [0.03, 3] is a bound.
        exponent: float64 `(neurons,)`: n, in [0.5, 5].
        explained: float64 `(neurons,)`: share of the variance over contrasts that the fit explains.
        contrast: float64 `(contrasts,)`.
        curve: float64 `(neurons, contrasts)`: responses above those to grey.
    """

    half: F64
    exponent: F64
    explained: F64
    contrast: F64
    curve: F64


def tune_contrast(contrast: F64, curve_NC: F64) -> ContrastTuning:
    """Fit contrast responses by least squares over a grid of exponents and half saturations.

    Example:
        >>> contrast = np.array([0.1, 0.2, 0.4, 0.8])
        >>> found = tune_contrast(contrast, (contrast**2 / (contrast**2 + 0.09))[None])
        >>> bool(abs(found.half[0] - 0.3) < 0.02), bool(abs(found.exponent[0] - 2) < 0.11)
        (True, True)
    """
    exponent_G, half_G = (grid.ravel() for grid in np.meshgrid(EXPONENTS, HALF_SATURATIONS))
    powers_GC = contrast ** exponent_G[:, None]
    shape_GC = powers_GC / (powers_GC + (half_G**exponent_G)[:, None])
    # The best scale of each shape, which is not negative, and what it leaves of the sum of squares.
    dots_NG = curve_NC @ shape_GC.T
    gain_NG = np.maximum(dots_NG, 0) ** 2 / (shape_GC**2).sum(axis=1)
    best_N = gain_NG.argmax(axis=1)
    row = np.arange(len(curve_NC))
    error_N = (curve_NC**2).sum(axis=1) - gain_NG[row, best_N]
    variance_N = ((curve_NC - curve_NC.mean(axis=1, keepdims=True)) ** 2).sum(axis=1)
    driven_N = (dots_NG[row, best_N] > 0) & (variance_N > 0)
    return ContrastTuning(
        half=np.where(driven_N, half_G[best_N], np.nan),
        exponent=np.where(driven_N, exponent_G[best_N], np.nan),
        explained=np.where(driven_N, 1 - error_N / np.where(driven_N, variance_N, 1.0), np.nan),
        contrast=contrast,
        curve=curve_NC,
    )


def angle_difference_deg(first: F64, second: F64, period: float) -> F64:
    """Return the distance of angles with a period, in degrees, 0 to half the period.

    Example:
        >>> angle_difference_deg(np.array([175.0]), np.array([5.0]), 180).tolist()
        [10.0]
    """
    return np.abs((first - second + period / 2) % period - period / 2)


def row_correlation(first: F64, second: F64) -> F64:
    """Return the Pearson correlation of each row with the same row: `(neurons,)`; NaN if constant.

    Args:
        first: float64 `(neurons, values)`.
        second: The same shape.
    """
    x, y = (values - values.mean(axis=1, keepdims=True) for values in (first, second))
    norm = np.sqrt((x**2).sum(axis=1) * (y**2).sum(axis=1))
    return np.where(norm > 0, (x * y).sum(axis=1) / np.where(norm > 0, norm, 1.0), np.nan)
