"""A convolutional digital twin: responses from the stimulus and behavior, and nothing else."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from omnimouse_cli.batch.batch import Batch
from omnimouse_cli.batch.dataset import require_frame_size
from omnimouse_cli.batch.selection import Selection
from omnimouse_cli.batch.strategy import Strategy
from omnimouse_cli.config.model import ModelConfig
from omnimouse_cli.errors import ConfigError
from omnimouse_cli.model.gaussian_readout import GaussianReadout
from omnimouse_cli.model.initialize import linear, scaled_
from omnimouse_cli.model.motion_energy import mask_frames
from omnimouse_cli.model.omnimouse import Prediction
from omnimouse_cli.model.precision import parameter_precision
from omnimouse_cli.model.session_embeddings import SessionEmbeddings, activate
from omnimouse_cli.model.shortcuts.behavior import sample_and_hold

# B batch, F features, T samples, Y rows and X columns of positions, C behavior channels,
# G target neurons


class LayerShape(NamedTuple):
    """Sizes of a layer under a masking strategy.

    Args:
        inputs: Feature maps that it reads; 1 is the video.
        outputs: Feature maps that it computes.
        pooling: Side of the squares that its input is averaged over.
        spatial: Side of the spatial kernel.
        stride: Positions between two of its outputs.
        temporal: Length of the temporal kernel.
        rows: Rows of positions that it computes.
        columns: Columns of positions that it computes.
        first: First sample that it computes; it reads `temporal - 1` samples more before.
        last: Sample after the last one that it computes.
    """

    inputs: int
    outputs: int
    pooling: int
    spatial: int
    stride: int
    temporal: int
    rows: int
    columns: int
    first: int
    last: int


def layer_shapes(config: ModelConfig, targets: tuple[int, int]) -> list[LayerShape]:
    """Return the sizes of each layer of the core, which computes no sample that is not needed.

    Args:
        config: Configuration of the model.
        targets: First target sample, and the sample after the last one.

    Example:
        >>> from omnimouse_cli.config.sizes import MODELS
        >>> [(shape.rows, shape.columns) for shape in layer_shapes(MODELS["cnn-twin"], (30, 60))]
        [(9, 16), (9, 16)]
    """
    twin, size = config.twin, (config.video.frame_height, config.video.frame_width)
    shapes = []
    for layer, outputs in enumerate(twin.channels):
        pooling, stride = twin.pooling[layer], twin.spatial_strides[layer]
        rows, columns = (-(-(length // pooling) // stride) for length in size)
        size = (rows, columns)
        later = sum(length - 1 for length in twin.temporal_kernels[layer + 1 :])
        shapes.append(
            LayerShape(
                inputs=twin.channels[layer - 1] if layer else 1,
                outputs=outputs,
                pooling=pooling,
                spatial=twin.spatial_kernels[layer],
                stride=stride,
                temporal=twin.temporal_kernels[layer],
                rows=rows,
                columns=columns,
                first=targets[0] - later,
                last=targets[1],
            )
        )
    return shapes


def is_twin_strategy(strategy: Strategy) -> bool:
    """Whether a twin can predict under a strategy: responses, without responses as inputs."""
    is_response = strategy.targets is not None and strategy.behavior != "reconstructed"
    return is_response and strategy.prefix is None


class TwinLayer(nn.Module):
    """A spatial convolution, then one in time, a norm, the influence of behavior and an ELU.

    Args:
        shape: Sizes of the layer.
        num_channels: Behavior channels of the data set.
        contrast_floor: See `TwinConfig`.
    """

    def __init__(self, shape: LayerShape, num_channels: int, contrast_floor: float) -> None:
        super().__init__()
        inputs, outputs, side = shape.inputs, shape.outputs, shape.spatial
        self.pooling, self.contrast_floor = shape.pooling, contrast_floor
        self.spatial = nn.Conv3d(
            inputs,
            outputs,
            (1, side, side),
            stride=(1, shape.stride, shape.stride),
            padding=(0, side // 2, side // 2),
            bias=False,
        )
        self.temporal = nn.Conv3d(outputs, outputs, (shape.temporal, 1, 1), bias=False)
        for convolution in (self.spatial, self.temporal):
            scaled_(convolution.weight, fan_in=convolution.weight[0].numel())
        self.norm_gain = nn.Parameter(torch.ones(outputs))
        self.norm_bias = nn.Parameter(torch.zeros(outputs))
        self.behavior = linear(num_channels, outputs, bias=False) if num_channels else None

    def forward(self, x_BFTYX: Tensor, behavior_BTC: Tensor | None) -> Tensor:
        """Return feature maps at fewer samples: the first ones are only past of the others.

        Args:
            x_BFTYX: Video or feature maps.
            behavior_BTC: Behavior at the samples that are returned; None if it is hidden.
        """
        if self.pooling > 1:
            side = (1, self.pooling, self.pooling)
            x_BFTYX = functional.avg_pool3d(x_BFTYX, side)
        x_BFTYX = self.temporal(self.spatial(x_BFTYX))
        # Over features and positions of one time point, so that nothing depends on later ones.
        x_BFTYX = x_BFTYX - x_BFTYX.mean(dim=(1, 3, 4), keepdim=True)
        variance_B1T11 = x_BFTYX.square().mean(dim=(1, 3, 4), keepdim=True)
        x_BFTYX = x_BFTYX * torch.rsqrt(variance_B1T11 + self.contrast_floor)
        shift_BFT = self.norm_bias[:, None]
        if behavior_BTC is not None and self.behavior is not None:
            shift_BFT = shift_BFT + self.behavior(behavior_BTC).transpose(1, 2)
        shape = (1, -1, 1, 1, 1)
        return functional.elu(x_BFTYX * self.norm_gain.view(shape) + shift_BFT[..., None, None])


class CnnTwin(nn.Module):
    """The core of a digital twin: factorized 3-D convolutions shared by all neurons and animals.

    A neuron reads one position of the feature maps. As in the baselines of Sensorium 2023
    (Turishcheva et al., arXiv 2305.19654) spatial and temporal convolutions alternate, behavior is
    an input, the gaze shifts what is read, and the read-out has a position and feature weights per
    neuron. Unlike there, the norm has no running statistics, so that results do not depend on the
    number of ranks. A response depends on frames up to its own time, and not on later ones.

    Args:
        config: Configuration of the model; `response_loss` is set.
        behavior_channels: Channels of the data set, in the order of a batch's.
        animals: Animals of the data set, which share all parameters.

    Attributes:
        shortcuts_only: Always False in effect: a twin has no shortcuts. The training loop sets it.
        recomputes: Has no effect. The training loop sets it.
    """

    def __init__(
        self, config: ModelConfig, *, behavior_channels: Sequence[str], animals: Sequence[str]
    ) -> None:
        super().__init__()
        self.shortcuts_only = self.recomputes = False
        if config.response_loss is None:
            raise ValueError("`response_loss` must be set before a model is built: None")
        self.config = config
        self.behavior_channels = tuple(behavior_channels)
        self.animals = tuple(animals)
        shapes = layer_shapes(config, (0, 0))
        self.layers = nn.ModuleList(
            TwinLayer(shape, len(behavior_channels), config.twin.contrast_floor) for shape in shapes
        )
        self.readout = GaussianReadout(
            config.d_embedding,
            shapes[-1].outputs,
            (shapes[-1].rows, shapes[-1].columns),
            len(behavior_channels),
        )

    def forward(
        self,
        batch: Batch,
        embeddings: SessionEmbeddings,
        animal: str,  # noqa: ARG002 - the signature of cores
        strategy: Strategy,
        selection: Selection,
    ) -> Prediction:
        """Predict the responses of target neurons.

        Args:
            batch: Windows of one session, on the model's device.
            embeddings: Embeddings of the session.
            animal: Not used.
            strategy: Which frames and whether behavior are visible, and the target samples.
            selection: Target neurons.

        Raises:
            ConfigError: The strategy has responses as inputs or behavior as targets.
        """
        if not is_twin_strategy(strategy):
            raise ConfigError(f"strategy {strategy.name}: {describe_twin()}")
        assert strategy.targets is not None
        behavior_BSC = None
        if strategy.behavior == "encoded" and batch.behavior is not None:
            behavior_BSC = sample_and_hold(_visible_behavior(batch.behavior, strategy))
        shapes = layer_shapes(self.config, strategy.targets)
        x_BFTYX = self._visible_video(batch, strategy, shapes[0].first - shapes[0].temporal + 1)
        for layer, shape in zip(self.layers, shapes, strict=True):
            behavior_BTC = _cut(behavior_BSC, shape.first, shape.last)
            x_BFTYX = layer(x_BFTYX, behavior_BTC)
        biases_N1 = embeddings.neuron_biases
        neurons_BG = batch.neuron_index.gather(1, selection.to(biases_N1.device).targets)
        with parameter_precision(biases_N1.device):
            drive_BTG = self.readout(
                x_BFTYX.to(biases_N1.dtype),
                _cut(behavior_BSC, *strategy.targets),
                embeddings.neuron_embeddings,
                neurons_BG,
            )
            drive_BTG = drive_BTG + biases_N1[:, 0][neurons_BG][:, None]
            assert self.config.response_loss is not None
            responses_BTG = activate(
                drive_BTG,
                response_loss=self.config.response_loss,
                beta=self.config.decoder.softplus_beta,
            )
        return Prediction(responses_BTG, None)

    def _visible_video(self, batch: Batch, strategy: Strategy, first: int) -> Tensor:
        """Return frames `first` to the last target sample, grey where none is visible."""
        assert strategy.targets is not None
        video, last = self.config.video, strategy.targets[1]
        if batch.video is None or strategy.video is None:
            shape = (batch.num_windows, 1, last - first, video.frame_height, video.frame_width)
            return batch.responses.new_zeros(shape)
        height, width = batch.video.shape[-2:]
        require_frame_size(batch.session, (height, width), video, model="the model")
        shown_BTYX = mask_frames(batch.video, strategy.video)[:, max(first, 0) : last]
        before = max(-first, 0)
        return functional.pad(shown_BTYX, (0, 0, 0, 0, before, 0))[:, None]


def _visible_behavior(behavior_BCS: Tensor, strategy: Strategy) -> Tensor:
    """Return behavior with 0, the mean, where it is lost or hidden."""
    number_S = torch.arange(behavior_BCS.shape[2], device=behavior_BCS.device)
    first, last = strategy.behavior_samples
    hidden_BCS = behavior_BCS.isnan() | (number_S < first) | (number_S >= last)
    return behavior_BCS.masked_fill(hidden_BCS, 0.0)


def describe_twin() -> str:
    """Return what a twin can do, as the reason why something else is unavailable."""
    return "a cnn-twin predicts responses from stimulus and behavior, and nothing else"


def _cut(behavior_BSC: Tensor | None, first: int, last: int) -> Tensor | None:
    """Return samples `first` to `last`; before the window the first sample is repeated."""
    if behavior_BSC is None:
        return None
    index = torch.arange(first, last, device=behavior_BSC.device).clamp(min=0)
    return behavior_BSC[:, index]
