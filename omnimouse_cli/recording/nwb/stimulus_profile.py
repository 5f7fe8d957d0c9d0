"""What is known of the stimuli of a data set beyond its files: monitor, templates, grey."""

from dataclasses import dataclass, replace

from omnimouse_cli.recording.nwb.geometry import ALLEN, Display, PixelMap, map_template
from omnimouse_cli.recording.nwb.tree import Node
from omnimouse_cli.recording.recording import Monitor

# Rows and columns, in pixels of Allen's monitor, that its templates fill. Source: AllenSDK.
_ALLEN_RECTANGLES = {
    "natural_movie": (1080, 1920),
    "natural_scenes": (918, 1174),
    "locally_sparse_noise": (720, 1260),
}
# Allen's drifting gratings where the table has no column. Source: white paper.
_ALLEN_CYCLES_PER_DEGREE = 0.04
# Module of Allen's files of the first generation, and of dandiset 000039.
_ALLEN_MODULE = "processing/brain_observatory_pipeline"
_ALLEN_STIMULI = (*_ALLEN_RECTANGLES, "drifting_gratings", "static_gratings")
_STRETCHED = "the template, stretched"


@dataclass(frozen=True, slots=True, kw_only=True)
class StimulusProfile:
    """What is known of the stimuli of a data set.

    Args:
        name: Name of the data set; empty for any other file.
        display: The monitor; None if its geometry is not known.
        cycles_per_degree: Spatial frequency of gratings in tables without that column.
        grey_seconds: Gaps up to this length between two stimuli are grey; 0 if that is not known.
    """

    name: str = ""
    display: Display | None = None
    cycles_per_degree: float | None = None
    grey_seconds: float = 0.0

    def map_images(self, name: str, shape: tuple[int, int]) -> PixelMap | None:
        """Return how the images of a template are shown; None if they are stretched.

        Args:
            name: Name of the template.
            shape: Rows and columns of its images.
        """
        rectangle = self._rectangle(name)
        if self.display is None or rectangle is None:
            return None
        return map_template(self.display, shape, rectangle)

    def is_stretched(self, name: str) -> bool:
        """Return whether the images of a template are stretched, because no size is known."""
        return self.display is None or self._rectangle(name) is None

    def monitor(self, *, is_film: bool, is_stretched: bool) -> Monitor:
        """Return the monitor and how frames were made for it.

        Args:
            is_film: Whether frames are a film of what the monitor showed.
            is_stretched: Whether frames of a template were stretched.
        """
        if self.display is None and not is_film:
            return Monitor(policy=_STRETCHED)
        policy = f"the monitor; some as {_STRETCHED}" if is_stretched else "the monitor"
        known = Monitor(policy=policy) if self.display is None else self.display.monitor
        return replace(known, policy=policy)

    def _rectangle(self, name: str) -> tuple[int, int] | None:
        for beginning, rectangle in _ALLEN_RECTANGLES.items():
            if name.startswith(beginning):
                return rectangle
        return None


def find_profile(root: Node) -> StimulusProfile:
    """Return the profile of the data set that a file belongs to, by what the file says.

    Args:
        root: Root of the file.
    """
    display = root.get("general/devices/StimulusDisplay")
    text = "" if display is None else str(display.attributes.get("description", ""))
    is_allen = root.get(_ALLEN_MODULE) is not None or "PA248Q" in text
    institution = (root.child_text("general/institution") or "").lower()
    if institution.startswith("allen institute"):
        groups = (root.get(path) for path in ("stimulus/presentation", "intervals"))
        names = [name for group in groups if group is not None for name in group.names()]
        is_allen |= any(name.startswith(_ALLEN_STIMULI) for name in names)
    if not is_allen:
        return StimulusProfile()
    return StimulusProfile(
        name="Allen Visual Coding",
        display=ALLEN,
        cycles_per_degree=_ALLEN_CYCLES_PER_DEGREE,
        grey_seconds=10.0,
    )
