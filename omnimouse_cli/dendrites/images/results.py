"""The folder of a comparison: its settings, and the results of every network and activation."""

import dataclasses
import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save
from torch import Tensor

from omnimouse_cli.dendrites.images.architecture import (
    ACTIVATIONS,
    Architecture,
    NetworkKind,
    build_architecture,
)
from omnimouse_cli.dendrites.images.data import Images
from omnimouse_cli.dendrites.images.settings import (
    ComparisonSettings,
    Hyperparameters,
    get_inner_widths,
)
from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.files import read_document, write_atomically, write_document

COMPARISON, RESULTS, ROBUSTNESS, REPORT = "comparison.json", "results", "robustness", "compare.json"
# Formats of the JSON documents.
COMPARISON_FORMAT = "dendrites-comparison"
RESULT_FORMAT = "dendrites-competitor"
ROBUSTNESS_FORMAT = "dendrites-robustness"
# Prefixes of the names of stored arrays.
WEIGHTS, CURVES, ARGUMENTS = "weights.", "curves.", "arguments."
# The inner network before it was trained on images.
START = "start."


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One of the compared models: a kind of network with one activation."""

    network: NetworkKind
    activation: str

    @property
    def name(self) -> str:
        """Name of its files."""
        return f"{self.network}-{self.activation}"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CandidateResult:
    """A trained candidate.

    Args:
        candidate: Network and activation.
        architecture: Architecture of its networks.
        hyperparameters: Hyperparameters of its final training.
        fields: Fields of the JSON document: numbers, and lists over seeds.
        arrays: Weights, learning curves and sampled arguments of units, by prefixed names.
    """

    candidate: Candidate
    architecture: Architecture
    hyperparameters: Hyperparameters
    fields: dict[str, Any]
    arrays: dict[str, Tensor]

    def get_arrays(self, prefix: str) -> dict[str, Tensor]:
        """Return the arrays whose names begin with `prefix`, by the rest of the name."""
        return {
            name.removeprefix(prefix): array
            for name, array in self.arrays.items()
            if name.startswith(prefix)
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A comparison and its folder.

    Args:
        folder: Folder of all files.
        settings: Settings of the comparison.
        image: Channels, height and width of an image.
        num_classes: Number of classes.
    """

    folder: Path
    settings: ComparisonSettings
    image: tuple[int, int, int]
    num_classes: int

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """All candidates, network by network."""
        pairs = itertools.product(self.settings.networks, self.settings.activations)
        return tuple(Candidate(network=network, activation=name) for network, name in pairs)

    def get_robustness_path(self, candidate: Candidate) -> Path:
        """Return the path of the document that `read_robustness` reads."""
        return self.folder / ROBUSTNESS / f"{candidate.name}.json"

    def has_result(self, candidate: Candidate) -> bool:
        """Return whether a candidate has been trained."""
        return (self.folder / RESULTS / f"{candidate.name}.json").exists()

    def write_result(self, result: CandidateResult) -> None:
        """Write the arrays and then the JSON document, so that a document implies its arrays."""
        path = self.folder / RESULTS / f"{result.candidate.name}.json"
        with write_atomically(path.with_suffix(".safetensors")) as stream:
            stream.write(save(result.arrays))
        content = {
            "network": result.candidate.network,
            "activation": result.candidate.activation,
            "setting": dataclasses.asdict(result.hyperparameters),
            **result.fields,
        }
        write_document(path, RESULT_FORMAT, content)

    def read_result(self, candidate: Candidate) -> CandidateResult:
        """Read a trained candidate."""
        path = self.folder / RESULTS / f"{candidate.name}.json"
        fields = read_document(path, RESULT_FORMAT)
        stored = fields.pop("setting")
        return CandidateResult(
            candidate=candidate,
            architecture=build_architecture(
                candidate.network,
                ACTIVATIONS[candidate.activation],
                fields["units"],
                image=self.image,
                num_classes=self.num_classes,
                inner=get_inner_widths(self.settings, self.image),
            ),
            hyperparameters=Hyperparameters(**{**stored, "profile": tuple(stored["profile"])}),
            fields=fields,
            arrays=load_file(path.with_suffix(".safetensors")),
        )

    def read_robustness(self, candidate: Candidate) -> Mapping[str, Any] | None:
        """Read errors under corruptions and attacks; None where they were not measured."""
        path = self.get_robustness_path(candidate)
        return read_document(path, ROBUSTNESS_FORMAT) if path.exists() else None


def begin_comparison(folder: Path, settings: ComparisonSettings, images: Images) -> Comparison:
    """Create the folder of a comparison, or continue the comparison that it holds.

    Raises:
        OmniMouseError: The folder holds something else, or a comparison with other settings.
    """
    if not is_available(folder, settings):
        raise OmniMouseError(
            f"{folder} holds something else than this comparison",
            hint="choose another folder with --out; the same arguments continue a comparison",
        )
    if not (folder / COMPARISON).exists():
        content = {
            "settings": dataclasses.asdict(settings),
            "image": images.shape,
            "num_classes": images.num_classes,
        }
        write_document(folder / COMPARISON, COMPARISON_FORMAT, content)
    return Comparison(
        folder=folder, settings=settings, image=images.shape, num_classes=images.num_classes
    )


def is_available(folder: Path, settings: ComparisonSettings) -> bool:
    """Return whether a folder is absent, empty, or holds a comparison with the same settings."""
    if not folder.exists():
        return True
    if not is_comparison(folder):
        return folder.is_dir() and not any(folder.iterdir())
    return open_comparison(folder).settings == settings


def is_comparison(folder: Path) -> bool:
    """Return whether a folder holds a comparison."""
    return (folder / COMPARISON).is_file()


def open_comparison(folder: Path) -> Comparison:
    """Read the settings of a comparison.

    Raises:
        OmniMouseError: The folder does not hold a comparison.
    """
    content = read_document(folder / COMPARISON, COMPARISON_FORMAT)
    channels, height, width = content["image"]
    return Comparison(
        folder=folder,
        settings=ComparisonSettings.from_dict(content["settings"]),
        image=(channels, height, width),
        num_classes=content["num_classes"],
    )
