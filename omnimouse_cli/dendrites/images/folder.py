"""The folder of a comparison: what is compared, and which results are there."""

import dataclasses
import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omnimouse_cli.dendrites.images.competitor import Competitor, Result, is_stored, read_result
from omnimouse_cli.dendrites.images.images import Images
from omnimouse_cli.dendrites.images.settings import Settings
from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.files import read_document, write_document

COMPARISON, RESULTS, ROBUSTNESS, REPORT = "comparison.json", "results", "robustness", "compare.json"
KIND = "dendrites-comparison"


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A folder of a comparison.

    Args:
        folder: Where it is.
        settings: What is compared.
        image: Channels, height, width.
        num_classes: Of the images.
    """

    folder: Path
    settings: Settings
    image: tuple[int, int, int]
    num_classes: int

    @property
    def competitors(self) -> tuple[Competitor, ...]:
        """All, network by network."""
        pairs = itertools.product(self.settings.networks, self.settings.activations)
        return tuple(Competitor(network=network, activation=name) for network, name in pairs)

    @property
    def results(self) -> Path:
        """Folder of trained competitors."""
        return self.folder / RESULTS

    @property
    def robustness(self) -> Path:
        """Folder of what corruptions and attacks did."""
        return self.folder / ROBUSTNESS

    def missing(self) -> list[Competitor]:
        """Give the competitors that have not been trained yet."""
        return [one for one in self.competitors if not is_stored(one, self.results)]

    def result(self, competitor: Competitor) -> Result:
        """Read a trained competitor."""
        return read_result(competitor, self.results, self.settings, self.image, self.num_classes)


def begin(folder: Path, settings: Settings, images: Images) -> Comparison:
    """Make the folder of a comparison, or go on with the same one.

    Raises:
        OmniMouseError: The folder holds something else.
    """
    if folder.exists() and not is_free_for(folder, settings):
        raise OmniMouseError(
            f"{folder} holds something else than this comparison",
            hint="give another folder with --out; the same arguments go on with what is there",
        )
    comparison = Comparison(
        folder=folder, settings=settings, image=images.shape, num_classes=images.num_classes
    )
    if not (folder / COMPARISON).exists():
        content = {
            "settings": settings.to_dict(),
            "image": images.shape,
            "num_classes": images.num_classes,
        }
        write_document(folder / COMPARISON, KIND, content)
    return comparison


def is_free_for(folder: Path, settings: Settings) -> bool:
    """Say whether a folder is empty, or holds a comparison with the same settings."""
    if not folder.exists():
        return True
    if not is_comparison(folder):
        return folder.is_dir() and not any(folder.iterdir())
    return open_comparison(folder).settings == settings


def is_comparison(folder: Path) -> bool:
    """Say whether a folder holds a comparison."""
    return (folder / COMPARISON).is_file()


def open_comparison(folder: Path) -> Comparison:
    """Read what a folder compares.

    Raises:
        OmniMouseError: It is no folder of a comparison.
    """
    content = read_document(folder / COMPARISON, KIND)
    channels, height, width = content["image"]
    return Comparison(
        folder=folder,
        settings=_settings(content["settings"]),
        image=(channels, height, width),
        num_classes=content["num_classes"],
    )


def _settings(stored: dict[str, Any]) -> Settings:
    known = {field.name for field in dataclasses.fields(Settings)}
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in stored.items()
        if name in known
    }
    return Settings(**values)
