"""Units of behavior: short names, factors to cm/s, and what a mouse can run."""

import re

import numpy as np
from numpy.typing import NDArray

CM_PER_SECOND = {
    "cm/s": 1.0, "m/s": 100.0, "mm/s": 0.1, "um/s": 1e-4, "in/s": 2.54, "km/h": 100 / 3.6,
}  # fmt: skip
# A mouse whose fastest hundredth lies outside of this is slower or faster than mice are.
_PLAUSIBLE_CM_S = (2.0, 200.0)
_WORDS = (
    (r"centimet(er|re)s?", "cm"),
    (r"millimet(er|re)s?", "mm"),
    (r"micromet(er|re)s?", "um"),
    (r"\bmet(er|re)s?", "m"),
    (r"\bseconds?|\bsecs?\b", "s"),
    (r"\bpixels?", "px"),
    (r"\bdegrees?|\bdegs?\b", "degrees"),
    (r"\bradians?", "rad"),
    (r"\binch(es)?", "in"),
)


def normal_unit(unit: str) -> str:
    """Return a unit in short form, as `cm/s`.

    Example:
        >>> normal_unit("centimeters per second"), normal_unit("cm s^-1"), normal_unit("pixels^2")
        ('cm/s', 'cm/s', 'px^2')
    """
    text = unit.strip().lower().replace("\u00b2", "^2").replace("**", "^")
    text = re.sub(r"\s+", " ", text).replace(" per ", "/").replace(" / ", "/")
    text = re.sub(r"[ *.]s(ec)?\^?-1$", "/s", text)
    for pattern, short in _WORDS:
        text = re.sub(pattern, short, text)
    return text.replace("squared", "^2").replace(" ^2", "^2")


def implausible_speed(speed_cm_s: NDArray[np.float64]) -> float | None:
    """Return the 99th percentile of a running speed in cm/s if it is unusual for a mouse."""
    finite = np.abs(speed_cm_s[np.isfinite(speed_cm_s)])
    fastest = float(np.percentile(finite, 99)) if finite.size else None
    low, high = _PLAUSIBLE_CM_S
    return None if fastest is None or low <= fastest <= high else fastest
