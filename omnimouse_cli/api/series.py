"""Values over time with their times and unit, which NumPy takes as the array of the values."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

F64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TimeSeries:
    """Values over time; NumPy functions, indices and `len` are those of `values`.

    Args:
        values: `(time, ...)`.
        time_seconds: float64 `(time,)`.
        unit: Unit of the values; empty where it is not known.

    Example:
        >>> speed = TimeSeries(values=np.array([0.0, 2.0]), time_seconds=np.array([0.0, 0.5]),
        ...                    unit="cm/s")
        >>> float(np.mean(speed)), speed[1:], speed.shape
        (1.0, array([2.]), (2,))
        >>> speed
        TimeSeries: float64 (2,), unit cm/s, 0.000 to 0.500 s
    """

    values: NDArray[Any]
    time_seconds: F64
    unit: str

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the values."""
        return self.values.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Number type of the values."""
        return self.values.dtype

    def __array__(
        self,
        dtype: DTypeLike | None = None,
        copy: bool | None = None,  # noqa: FBT001 - NumPy's signature
    ) -> NDArray[Any]:
        """Return the values; NumPy calls this."""
        if copy:
            return np.array(self.values, dtype)
        return np.asarray(self.values, dtype)

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, index: Any) -> Any:  # noqa: ANN401 - as an array's
        return self.values[index]

    def __repr__(self) -> str:
        name, shape = type(self).__name__, tuple(map(int, self.shape))
        times = self.time_seconds
        span = f", {times[0]:.3f} to {times[-1]:.3f} s" if len(times) else ""
        unit = f", unit {self.unit}" if self.unit else ""
        return f"{name}: {self.dtype} {shape}{unit}{span}"
