"""The model of a published checkpoint, derived from the shapes of its tensors."""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from omnimouse_cli.batch.dataset import CHANNEL_ORDER
from omnimouse_cli.config.convert import flatten, to_dict
from omnimouse_cli.config.model import LatentConfig, ModelConfig
from omnimouse_cli.config.sizes import SIZES, SMALL_SIZES
from omnimouse_cli.errors import CheckpointError
from omnimouse_cli.model.omnimouse import OmniMouse
from omnimouse_cli.model.rotary import rotary_frequencies
from omnimouse_cli.model.sequences import NUM_LATENT_GROUPS
from omnimouse_cli.published.names import ANIMALS

PUBLISHED_SIZES = tuple(name for name in SIZES if name not in SMALL_SIZES)
PUBLISHED_HEAD_WIDTH = 64
FREQUENCIES = "rotary_emb.inv_freq"
LATENTS = "response_latent_embedding._latent_embeddings.weight"
LATENT_IDS = "response_latent_embedding._latent_ids"
_LAYER = re.compile(r"proc\.(\d+)\.")
_BLOCK = re.compile(r"hiera\.backbone\.blocks\.(\d+)\.")
_POOLING_BLOCK = re.compile(r"hiera\.backbone\.blocks\.(\d+)\.proj\.weight")


def derive_model_config(tensors: Mapping[str, Tensor], path: Path) -> ModelConfig:
    """Return the configuration of the model that some tensors belong to.

    Widths and depths come from shapes. Strides, windows and the pattern of local and global layers,
    which no shape shows, are those of the published model.

    Args:
        tensors: Weights and buffers of the core, by published name.
        path: File of the tensors, for messages.

    Returns:
        The configuration. Its size is the published one, or the most similar one, see
        `find_differences`.

    Raises:
        CheckpointError: Tensors are missing, or their shapes do not make a model.
    """
    layers = _count_numbers(_LAYER, tensors)
    candidates = [name for name in PUBLISHED_SIZES if SIZES[name].layers == layers]
    if not candidates:
        depths = ", ".join(dict.fromkeys(str(SIZES[name].layers) for name in PUBLISHED_SIZES))
        raise CheckpointError(
            f"{path} has {layers} fusion layers (proc.*), and the published sizes have {depths}",
            hint="this is not a checkpoint of the published model",
        )
    width, d_embedding = _shape(tensors, "neuron_to_model_proj.weight", path, 2)
    patch = _shape(tensors, "hiera.backbone.patch_embed.proj.weight", path, 5)
    try:
        base = SIZES[candidates[0]]
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
            num_heads=_count_heads(width, tensors, path),
            d_embedding=d_embedding,
            response_loss="poisson",
            latents=_latents(tensors, path),
            video=video,
        )
    except ValueError as error:
        raise CheckpointError(f"the tensors of {path} do not make a model: {error}") from error
    named = (replace(model, size=name) for name in candidates)
    return next((found for found in named if not find_differences(found)), model)


def find_differences(model: ModelConfig) -> tuple[str, ...]:
    """Return the options of a model that differ from the published size of its name."""
    size = SIZES[model.size]
    video = replace(size.video, layout="reference")
    published = replace(size, response_loss="poisson", video=video)
    return tuple(
        f"{key} is {value} and not {wanted}"
        for (key, value), wanted in zip(
            flatten(to_dict(model)).items(), flatten(to_dict(published)).values(), strict=True
        )
        if value != wanted
    )


def core_shapes(model: ModelConfig) -> dict[str, tuple[int, ...]]:
    """Return the shape of every tensor of the core by our name, without animal embeddings."""
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
        found: Tensors by published name; there may be more than needed.
        wanted: Shapes of the tensors that are needed, by published name.
        path: File of the tensors, for messages.

    Raises:
        CheckpointError: The first tensor that does not fit.
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


def _count_numbers(pattern: re.Pattern[str], names: Mapping[str, Tensor]) -> int:
    """Return how many different numbers a pattern finds in names: of layers, or of blocks."""
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
    blocks = _count_numbers(_BLOCK, tensors)
    pooling = [int(match[1]) for match in map(_POOLING_BLOCK.fullmatch, tensors) if match]
    if len(pooling) != 1 or not 0 < pooling[0] < blocks:
        raise CheckpointError(
            f"{path}: the published video encoder has one block that pools, and here "
            f"{len(pooling)} of {blocks} do (hiera.backbone.blocks.*.proj)",
            hint="this is not a checkpoint of the published model",
        )
    return pooling[0], blocks - pooling[0]


def _count_heads(width: int, tensors: Mapping[str, Tensor], path: Path) -> int:
    head_width = _head_width(tensors, path)
    if width % head_width:
        raise CheckpointError(
            f"{path}: the width of the model, {width}, must be a multiple of that of a head, "
            f"{head_width}",
            hint="this is not a checkpoint of the published model",
        )
    return width // head_width


def _head_width(tensors: Mapping[str, Tensor], path: Path) -> int:
    """Return the width of a head: two entries per rotary frequency."""
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
    """Derive the numbers of latents: a window has those of a group six times, global ones once."""
    (rows, _) = _shape(tensors, LATENTS, path, 2)
    published = SIZES["1M"].latents
    if LATENT_IDS not in tensors and rows == published.per_group + published.num_global:
        return published
    (in_window,) = _shape(tensors, LATENT_IDS, path, 1)
    per_group, rest = divmod(in_window - rows, NUM_LATENT_GROUPS - 1)
    if rest or not 0 < per_group < rows:
        raise CheckpointError(
            f"{path}: {rows} latents ({LATENTS}) cannot be {in_window} in a window ({LATENT_IDS})"
        )
    return LatentConfig(per_group=per_group, num_global=rows - per_group)
