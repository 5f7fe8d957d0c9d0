"""From correlations per neuron to one number per session and over sessions."""

from collections.abc import Sequence

import numpy as np

from omnimouse_cli.metrics.moments import Moments, correlation


def mean_correlation(moments: Moments) -> tuple[float | None, int]:
    """Average correlations over outputs, weighted by their samples; an undefined one counts as 0.

    Undefined outputs stay in the denominator, as in OmniMouse (ICLR 2026, arXiv 2604.18827).

    Args:
        moments: Of shape `(outputs,)`.

    Returns:
        The mean, None if no output has a correlation; and how many outputs have none, because
        truth or prediction is constant.
    """
    per_output = correlation(moments)
    undefined = np.isnan(per_output)
    total = float(moments.count.sum())
    if undefined.all() or total == 0:
        return None, int(undefined.sum())
    value = float(np.where(undefined, 0.0, per_output) @ moments.count / total)
    return value, int(undefined.sum())


def overall_value(values: Sequence[float | None], num_neurons: Sequence[int]) -> float | None:
    """Average over sessions, each weighted by its neurons; None where no session has a value.

    Source of the weights: OmniMouse (ICLR 2026, arXiv 2604.18827).

    Example:
        >>> overall_value([0.2, 0.4, None], [100, 300, 50])
        0.35
    """
    pairs = [
        (value, weight)
        for value, weight in zip(values, num_neurons, strict=True)
        if value is not None
    ]
    if not pairs:
        return None
    return float(sum(v * w for v, w in pairs) / sum(w for _, w in pairs))


def fraction_of_ceiling(value: float | None, ceiling: float | None) -> float | None:
    """Return value / ceiling; None where either is missing or the ceiling is not above 0.

    Example:
        >>> fraction_of_ceiling(0.3, 0.6)
        0.5
        >>> fraction_of_ceiling(0.3, 0.0) is None
        True
    """
    if value is None or ceiling is None or ceiling <= 0:
        return None
    return value / ceiling
