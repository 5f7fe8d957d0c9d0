"""Which model a published checkpoint is of, told from the shapes of its tensors."""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from omnimouse_cli.batch.dataset import CHANNEL_ORDER
from omnimouse_cli.config.convert import to_dict
from omnimouse_cli.config.model import LatentConfig, ModelConfig
from omnimouse_cli.config.presets import SMALL_SIZES
from omnimouse_cli.config.sizes import SIZES
from omnimouse_cli.errors import CheckpointError
from omnimouse_cli.model.layout import NUM_LATENT_GROUPS
from omnimouse_cli.model.omnimouse import OmniMouse
from omnimouse_cli.model.rotary import rotary_frequencies
from omnimouse_cli.published.names import ANIMALS

PUBLISHED_SIZES = tuple(name for name in SIZES if name not in SMALL_SIZES)
PUBLISHED_HEAD_WIDTH = 64
FREQUENCIES = "rotary_emb.inv_freq"
LATENTS = "response_latent_embedding._latent_embeddings.weight"
LATENT_IDS = "response_latent_embedding._latent_ids"
_LAYER = re.compile(r"proc\.(\d+)\.")
_BLOCK = re.compile(r"hiera\.backbone\.blocks\.(\d+)\.")
_POOLING_BLOCK = re.compile(r"hiera\.backbone\.blocks\.(\d+)\.proj\.weight")


def model_of(tensors: Mapping[str, Tensor], path: Path) -> ModelConfig:
    """Derive a model's configuration.

    Widths and depths come from shapes; what no shape shows (strides, windows, the pattern of
    local and global layers) is as published.

    Args:
        tensors: Shared weights and buffers of a checkpoint, by their published names.
        path: The file that they are of, for messages.

    Returns:
        The configuration; its size is a published one, by `differences` that one exactly or not.

    Raises:
        CheckpointError: Tensors are missing, or make no model.
    """
    layers = _numbered(_LAYER, tensors)
    like = [name for name in PUBLISHED_SIZES if SIZES[name].layers == layers]
    if not like:
        depths = ", ".join(dict.fromkeys(str(SIZES[name].layers) for name in PUBLISHED_SIZES))
        raise CheckpointError(
            f"{path} has {layers} fusion layers (proc.*), and the published sizes have {depths}",
            hint="this is not a checkpoint of the published model",
        )
    width, d_embedding = _shape(tensors, "neuron_to_model_proj.weight", path, 2)
    patch = _shape(tensors, "hiera.backbone.patch_embed.proj.weight", path, 5)
    try:
        base = SIZES[like[0]]
        video = replace(
            base.video,
            d_embed=_shape(tensors, "hiera.backbone.pos_embed_spatial", path, 3)[2],
            kernel=(patch[2], patch[3], patch[4]),
            stages=_stages(tensors, path),
            layout="reference",
        )
        model = replace(
            base,
            d_model=width,
            num_heads=_heads(width, tensors, path),
            d_embedding=d_embedding,
            response_loss="poisson",
            latents=_latents(tensors, path),
            video=video,
        )
    except ValueError as error:
        raise CheckpointError(f"the tensors of {path} make no model: {error}") from error
    named = (replace(model, size=name) for name in like)
    return next((found for found in named if not differences(found)), model)


def differences(model: ModelConfig) -> tuple[str, ...]:
    """Say where a model is not of the published size that it is named after."""
    published = _imported(SIZES[model.size])
    return tuple(
        f"{key} is {value} and not {wanted}"
        for (key, value), wanted in zip(
            _flat(model).items(), _flat(published).values(), strict=True
        )
        if value != wanted
    )


def core_shapes(model: ModelConfig) -> dict[str, tuple[int, ...]]:
    """Give the shape of every tensor of the core but for the table of animals, by our names."""
    with torch.device("meta"):
        core = OmniMouse(model, behavior_channels=CHANNEL_ORDER, animals=())
    return {
        name: tuple(value.shape) for name, value in core.state_dict().items() if name != ANIMALS
    }


def require_shapes(
    found: Mapping[str, Tensor], wanted: Mapping[str, tuple[int, ...]], path: Path
) -> None:
    """Refuse tensors that are missing, of another shape or type, or not finite.

    Args:
        found: Tensors by published name; there may be others.
        wanted: Shape of each that has to be there.
        path: The file that they are of.
    """
    for name, shape in wanted.items():
        if name not in found:
            raise CheckpointError(
                f"{path} lacks the tensor {name}", hint="copy the whole checkpoint again"
            )
        tensor = found[name]
        if tuple(tensor.shape) != shape:
            raise CheckpointError(
                f"{path}: the tensor {name} has shape {tuple(tensor.shape)}, and {shape} is needed",
                hint="this is not a checkpoint of the published model",
            )
        if tensor.dtype != torch.float32 or tensor.layout != torch.strided:
            raise CheckpointError(
                f"{path}: the tensor {name} is {tensor.dtype}, {tensor.layout}, and torch.float32, "
                "torch.strided is needed"
            )
        if not bool(torch.isfinite(tensor).all()):
            raise CheckpointError(
                f"{path}: the tensor {name} has values that are not finite",
                hint="the file may be damaged: copy it again",
            )


def _numbered(pattern: re.Pattern[str], names: Mapping[str, Tensor]) -> int:
    """Count the different numbers in names: of layers, or of blocks."""
    return len({match[1] for match in map(pattern.match, names) if match})


def _shape(
    tensors: Mapping[str, Tensor], name: str, path: Path, dimensions: int
) -> tuple[int, ...]:
    if name not in tensors:
        raise CheckpointError(
            f"{path} lacks the tensor {name}", hint="copy the whole checkpoint again"
        )
    shape = tuple(tensors[name].shape)
    if len(shape) != dimensions or min(shape) < 1:
        raise CheckpointError(
            f"{path}: the tensor {name} has shape {shape}, and {dimensions} dimensions are needed"
        )
    return shape


def _stages(tensors: Mapping[str, Tensor], path: Path) -> tuple[int, int]:
    blocks = _numbered(_BLOCK, tensors)
    pooling = [int(match[1]) for match in map(_POOLING_BLOCK.fullmatch, tensors) if match]
    if len(pooling) != 1 or not 0 < pooling[0] < blocks:
        raise CheckpointError(
            f"{path}: the published video encoder has one block that pools, and here "
            f"{len(pooling)} of {blocks} do (hiera.backbone.blocks.*.proj)",
            hint="this is not a checkpoint of the published model",
        )
    return pooling[0], blocks - pooling[0]


def _heads(width: int, tensors: Mapping[str, Tensor], path: Path) -> int:
    head_width = _head_width(tensors, path)
    if width % head_width:
        raise CheckpointError(
            f"{path}: the model is {width} wide, which is no multiple of a head's {head_width}",
            hint="this is not a checkpoint of the published model",
        )
    return width // head_width


def _head_width(tensors: Mapping[str, Tensor], path: Path) -> int:
    """Every rotary frequency turns a pair of a head's entries."""
    if FREQUENCIES not in tensors:
        return PUBLISHED_HEAD_WIDTH
    (pairs,) = _shape(tensors, FREQUENCIES, path, 1)
    published = rotary_frequencies(pairs, SIZES["1M"].rope_shortest_seconds)
    if not torch.allclose(tensors[FREQUENCIES].double(), published, rtol=1e-6):
        raise CheckpointError(
            f"{path}: {FREQUENCIES} is not that of the published model, whose periods are 1 ms to "
            "2 s",
            hint="this is not a checkpoint of the published model",
        )
    return 2 * pairs


def _latents(tensors: Mapping[str, Tensor], path: Path) -> LatentConfig:
    """Tell latents of groups from global ones: a window holds the former six times."""
    (rows, _) = _shape(tensors, LATENTS, path, 2)
    published = SIZES["1M"].latents
    if LATENT_IDS not in tensors and rows == published.per_group + published.num_global:
        return published
    (of_window,) = _shape(tensors, LATENT_IDS, path, 1)
    per_group, rest = divmod(of_window - rows, NUM_LATENT_GROUPS - 1)
    if rest or not 0 < per_group < rows:
        raise CheckpointError(
            f"{path}: {rows} latents ({LATENTS}) cannot be {of_window} in a window ({LATENT_IDS})"
        )
    return LatentConfig(per_group=per_group, num_global=rows - per_group)


def _imported(size: ModelConfig) -> ModelConfig:
    video = replace(size.video, layout="reference")
    return replace(size, response_loss="poisson", video=video)


def _flat(section: ModelConfig) -> dict[str, object]:
    flat: dict[str, object] = {}
    for key, value in to_dict(section).items():
        if isinstance(value, dict):
            flat |= {f"{key}.{name}": inner for name, inner in value.items()}
        else:
            flat[key] = value
    return flat
