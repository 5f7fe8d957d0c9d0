"""What a user may say about a raw recording that its files do not say, or not as we read them."""

import math
from dataclasses import dataclass
from typing import Literal, get_args

from omnimouse_cli.recording.session_key import is_usable_key

Split = Literal["auto", "conditions", "movie-time", "time"]
SPLITS: tuple[Split, ...] = get_args(Split)
# The options about what is inside of a file.
CONTENT_OPTIONS = ("series", "stimulus", "trials", "running", "pupil", "rate_hz")


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenOptions:
    """Options of opening a recording; None leaves a choice to the rules of the raw format.

    Args:
        series: Path of the responses inside the file, or a kind (`rate`, `dff`, `fluorescence`).
        stimulus: Path of the stimulus inside the file.
        trials: Path of the table of trials inside the file, or of a CSV file.
        running: Path of the running speed.
        pupil: Path of the pupil.
        rate_hz: Rows of the responses per second, for files that do not say.
        split: How tiers are made where the files have none.
        static: Whether recordings of single images without a time course are opened.
        licence: Licence of the data.
        citation: How to cite the data.
        key: Session key; None takes that of the files.
    """

    series: str | None = None
    stimulus: str | None = None
    trials: str | None = None
    running: str | None = None
    pupil: str | None = None
    rate_hz: float | None = None
    split: Split = "auto"
    static: bool = False
    licence: str | None = None
    citation: str | None = None
    key: str | None = None

    def __post_init__(self) -> None:
        """Raise ValueError for a value that cannot be used."""
        if self.rate_hz is not None and not 0 < self.rate_hz < math.inf:
            raise ValueError(f"`rate_hz` must be positive: {self.rate_hz}")
        if self.split not in SPLITS:
            raise ValueError(f"`split` must be one of {', '.join(SPLITS)}: {self.split}")
        if self.key is not None and not is_usable_key(self.key):
            raise ValueError(f"`key` must be usable as a file name: {self.key!r}")
