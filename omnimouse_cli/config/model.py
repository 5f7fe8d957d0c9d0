"""Configuration of the model, with the fields of five published sizes and two for a laptop."""

from dataclasses import dataclass, field
from typing import Literal, get_args

from omnimouse_cli.config.checks import require_fraction, require_one_of, require_positive
from omnimouse_cli.config.data import NUM_FRAMES
from omnimouse_cli.config.dendrite import DendriteConfig
from omnimouse_cli.config.twin import TwinConfig

FeedForwardKind = Literal["swiglu", "geglu", "relu", "gelu", "learned", "dendritic"]
ResponseLoss = Literal["poisson", "gaussian", "gamma"]
ModelKind = Literal["transformer", "cnn-twin"]
FEED_FORWARDS: tuple[FeedForwardKind, ...] = get_args(FeedForwardKind)
# Those with two arguments.
GATED: tuple[FeedForwardKind, ...] = ("swiglu", "geglu", "dendritic")
# Those whose function is learned.
LEARNED: tuple[FeedForwardKind, ...] = ("learned", "dendritic")
# The correction of the factor model has products of pairs of so many factors.
MOST_PAIRED_FACTORS = 8
# Row and column of the center of a receptive field, and their uncertainties.
FIELD_WEIGHTS = 4
# Orientations of motion energies; each has two directions.
ORIENTATIONS = 8
# Standard deviation of their Gabors over the wavelength, unless a model says another.
MOTION_ENVELOPE = 0.4
# Width of receptive fields in which tuning is fitted where training changes it, in positions.
FITTED_WIDTH = 0.8
# The linear decoder averages responses in these half-open bins around a behavior sample, in samples
# of 1/30 s: narrow near it, wide far from it.
DECODING_BINS = ((-30, -15), (-15, -6), (-6, -2), (-2, 3), (3, 7), (7, 16), (16, 31))


@dataclass(frozen=True, slots=True, kw_only=True)
class LatentConfig:
    """Latent tokens of a window.

    Args:
        per_group: Latents of each of the six groups of 10 samples (published: 640).
        num_global: Latents that see the whole window (published: 256).
    """

    per_group: int = 640
    num_global: int = 256

    def __post_init__(self) -> None:
        """Refuse values that cannot work."""
        require_positive(per_group=self.per_group, num_global=self.num_global)


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoConfig:
    """The video encoder (Hiera), over 60 frames of `frame_height` x `frame_width` pixels.

    Args:
        d_embed: Width of the first stage; each later stage doubles it.
        num_heads: Heads of the first stage; each later stage doubles them.
        stages: Blocks per stage; between two stages 2 x 2 neighbours are pooled.
        kernel: Patch convolution (frames, rows, columns).
        stride: Its stride.
        padding: Its padding.
        mask_unit: Attention window of the first stage, in its tokens (rows, columns).
        layout: `aligned` keeps positions, and hidden frames never reach the encoder; `reference`
            reproduces the published index order and its trimming, for imported weights.
        drop_path: Rate of the last block; it grows linearly from 0.
        start: `published` starts weights at a standard deviation of 0.02 whatever their width;
            `scaled` by their number of inputs, as everywhere else in the model, so that a narrow
            encoder is not all but linear at first.
        frame_height: Rows of a frame.
        frame_width: Columns of a frame.
    """

    d_embed: int = 128
    num_heads: int = 2
    stages: tuple[int, ...] = (2, 8)
    kernel: tuple[int, int, int] = (6, 7, 7)
    stride: tuple[int, int, int] = (2, 2, 2)
    padding: tuple[int, int, int] = (2, 1, 3)
    mask_unit: tuple[int, int] = (8, 8)
    layout: Literal["aligned", "reference"] = "aligned"
    drop_path: float = 0.25
    start: Literal["published", "scaled"] = "published"
    frame_height: int = 36
    frame_width: int = 64

    def __post_init__(self) -> None:
        """Refuse values that cannot work."""
        require_positive(d_embed=self.d_embed, num_heads=self.num_heads)
        require_one_of(("aligned", "reference"), layout=self.layout)
        require_one_of(("published", "scaled"), start=self.start)
        require_fraction(drop_path=self.drop_path)
        if not self.stages or min(self.stages) < 1:
            raise ValueError(f"`stages` must be at least one block each: {self.stages}")
        if self.d_embed % self.num_heads:
            raise ValueError(
                f"`d_embed` must be a multiple of `num_heads`: {self.d_embed}, {self.num_heads}"
            )
        if self.layout == "reference" and len(self.stages) != 2:
            raise ValueError(f"the `reference` layout has two stages: {self.stages}")
        self._require_grid()

    def _require_grid(self) -> None:
        grid, pooled = self.grid, self.pooling
        if min(grid) < 1:
            raise ValueError(
                f"`kernel` {self.kernel} is larger than {NUM_FRAMES} frames of "
                f"{self.frame_height} x {self.frame_width} pixels"
            )
        for axis, tokens, unit in zip(("rows", "columns"), grid[1:], self.mask_unit, strict=True):
            if unit < 1 or tokens % unit:
                raise ValueError(
                    f"`mask_unit` must divide the {tokens} {axis} of patches that frames of "
                    f"{self.frame_height} x {self.frame_width} pixels give: {unit}"
                )
            if unit % pooled:
                raise ValueError(
                    f"`mask_unit` must be a multiple of {pooled}, as {len(self.stages)} stages "
                    f"pool it: {unit} {axis}"
                )

    @property
    def grid(self) -> tuple[int, int, int]:
        """Patches in time, rows and columns."""
        sizes = (NUM_FRAMES, self.frame_height, self.frame_width)
        time, rows, columns = (
            (size + 2 * padding - kernel) // stride + 1
            for size, padding, kernel, stride in zip(
                sizes, self.padding, self.kernel, self.stride, strict=True
            )
        )
        return time, rows, columns

    @property
    def tokens_per_time(self) -> int:
        """Tokens of one time step that leave the encoder."""
        _, rows, columns = self.grid
        return rows // self.pooling * (columns // self.pooling)

    @property
    def pooling(self) -> int:
        """Patches that become one token, along rows and along columns."""
        return 1 << (len(self.stages) - 1)

    @property
    def d_output(self) -> int:
        """Width of the last stage."""
        return self.d_embed * self.pooling


@dataclass(frozen=True, slots=True, kw_only=True)
class DecoderConfig:
    """The read-outs.

    Args:
        own_history: History shortcut: a neuron's own visible samples are added to its decoder query
            and, filtered, to its read-out.
        population_rank: Population shortcut: sums over the visible neurons, this many per sample,
            are added to every read-out, a reduced-rank regression beside the transformer. None is
            off.
        motion_wavelengths: Stimulus shortcut: motion energies at these wavelengths, in pixels, are
            added to every read-out, with weights that factorize into where and what, as in encoding
            models; visible gaze shifts the screen. An empty list is off.
        motion_time_constants: Time constants of the motion energies' filters in time, in seconds.
        motion_envelope: Standard deviation of the Gabors of motion energies over their wavelength:
            0.4 is a bandwidth of about 1.4 octaves, 0.3 of about 2.1.
        motion_transience: Share of the area of their filters in time that a later phase of opposite
            sign takes back: 0 for sustained responses, near 1 for hardly any to still images.
        linear_rank: Largest rank of the linear models of a session, which are computed from the
            training data in closed form before training and stay fixed: a regression of responses
            on motion energies and behavior, a factor model of the population with a non-linear
            correction, and a regression of behavior on responses, of full rank. Training learns
            what they leave. None is off.
        fitted_fields: Whether, in a model with a stimulus shortcut and linear models, centers of
            receptive fields are computed with the latter; training moves them by about their
            uncertainty.
        fitted_tuning: Whether, with fitted fields, the weights of motion energies are computed too,
            from the energies about the center; training scales them. So is the gaze.
        fitted_width: Width of receptive fields in which tuning is fitted, as a standard deviation
            in positions of the motion energies; centers and this width are then fixed. None: they
            are fitted with a width of 0.8, and training changes both.
        shared_filters: Whether all motion energies of a time constant share one learned filter in
            time, so that training does not weigh energies of one time constant against each other;
            else each has its own.
        behavior_rank: Behavior shortcut: this many mixtures of the behavior channels change the
            gain of every neuron. None is off.
        feed_forward_multiplier: Hidden width of the decoder's feed-forward over `d_model`.
        softplus_beta: Sharpness of the Softplus read-out (published: 0.1; with beta = 0.1 the
            initial rate is 6.9 standard deviations, with a sharper one it is near the data).
        start_at_mean: Start each neuron's bias at its mean response (published: 0).
    """

    own_history: bool = False
    population_rank: int | None = None
    motion_wavelengths: tuple[float, ...] = ()
    motion_time_constants: tuple[float, ...] = (0.045,)
    motion_envelope: float = MOTION_ENVELOPE
    motion_transience: float = 0.0
    linear_rank: int | None = None
    fitted_fields: bool = False
    fitted_tuning: bool = False
    fitted_width: float | None = None
    shared_filters: bool = False
    behavior_rank: int | None = None
    feed_forward_multiplier: float = 4.0
    softplus_beta: float = 0.1
    start_at_mean: bool = False

    @property
    def has_shortcuts(self) -> bool:
        """Whether the model has any shortcut."""
        ranks = (self.population_rank, self.behavior_rank)
        return self.own_history or bool(self.motion_wavelengths) or any(ranks)

    @property
    def fits_fields(self) -> bool:
        """Whether centers of receptive fields are weights of the neurons."""
        return self.fitted_fields and bool(self.motion_wavelengths) and self.linear_rank is not None

    @property
    def num_energies(self) -> int:
        """Motion energies of a position; 0 without the stimulus shortcut."""
        return num_energies(self.motion_wavelengths, self.motion_time_constants)

    @property
    def has_fixed_fields(self) -> bool:
        """Whether centers and width of receptive fields stay as fitted."""
        return self.num_tuning_weights > 0 and self.fitted_width is not None

    @property
    def num_tuning_weights(self) -> int:
        """Fitted weights of motion energies of a neuron; 0 where they are not fitted."""
        return self.num_energies if self.fits_fields and self.fitted_tuning else 0

    def __post_init__(self) -> None:
        """Refuse values that cannot work."""
        require_positive(
            feed_forward_multiplier=self.feed_forward_multiplier,
            softplus_beta=self.softplus_beta,
            motion_envelope=self.motion_envelope,
            fitted_width=self.fitted_width,
            population_rank=self.population_rank,
            behavior_rank=self.behavior_rank,
            linear_rank=self.linear_rank,
        )
        require_fraction(motion_transience=self.motion_transience)
        for wavelength in self.motion_wavelengths:
            require_positive(motion_wavelengths=wavelength)
        for seconds in self.motion_time_constants:
            require_positive(motion_time_constants=seconds)

    def num_neuron_weights(self, num_channels: int) -> int:
        """Return the number of weights of a neuron in the linear models.

        They weight the components of the regression on stimulus and behavior, the factors with the
        logarithm of the noise and the correction, and the bins of the regression of behavior;
        fitted receptive fields have a center and its uncertainty, fitted tuning a weight of
        each motion energy.

        Args:
            num_channels: Behavior channels of the data set.
        """
        if self.linear_rank is None:
            return 0
        correction = num_correction_features(self.linear_rank)
        # Beside the weights of bins, a neuron has the response from which it deviates.
        decoding = num_channels * len(DECODING_BINS) + 1 if num_channels else 0
        fields = FIELD_WEIGHTS if self.fits_fields else 0
        of_screen = fields + self.num_tuning_weights
        return 2 * self.linear_rank + 1 + correction + of_screen + decoding


def num_energies(wavelengths: tuple[float, ...], time_constants: tuple[float, ...]) -> int:
    """Count the energies of a position: two directions of each orientation, scale and filter."""
    return 2 * ORIENTATIONS * len(wavelengths) * len(time_constants)


def num_correction_features(rank: int) -> int:
    """Return the number of non-linear features that correct a factor model of this rank."""
    paired = min(rank, MOST_PAIRED_FACTORS)
    return 4 * rank + paired * (paired + 1) // 2 + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    """The transformer.

    Source of the published values: OmniMouse (ICLR 2026, arXiv 2604.18827).

    Args:
        size: Name of the size that the other values started from.
        kind: `transformer`, or `cnn-twin`, a convolutional digital twin, which predicts responses
            from stimulus and behavior alone. Of the other options a twin has `d_embedding`,
            `response_loss`, `max_population`, `max_targets`, the size of frames, `softplus_beta`
            and `start_at_mean`.
        d_model: Width of the residual stream.
        num_heads: Attention heads; `d_model / num_heads` is the head's width.
        layers: Fusion layers.
        pattern: Cycle of local (L) and global (G) fusion layers; short depths are prefixed by L.
        d_embedding: Width of neuron, session and animal vectors.
        feed_forward: The feed-forward's non-linearity, everywhere: `swiglu` (published), `geglu`,
            `dendritic` (a learned function of two arguments); `relu`, `gelu` and `learned` (a
            learned function of one) have no gate, and are wider by half for as many parameters.
        feed_forward_multiplier: Hidden width over `d_model` before rounding up.
        feed_forward_multiple: Hidden widths are rounded up to a multiple of this.
        dropout: Share of residual updates that is dropped in training (published: 0).
        neuron_dropout: Share of a neuron vector's entries dropped in training (published: 0).
        response_loss: `poisson` or `gamma` (Softplus read-out; the variance of a response is its
            mean, or grows with the square of it) or `gaussian` (linear read-out, squared error);
            None decides by the response kind of the data, and never for `gamma`.
        rope_shortest_seconds: Period of the fastest rotary frequency; the slowest is 2 s.
        experiment_time: Hold the projection of experiment time that the published parameter list
            has and the published model never uses; it is frozen, and counts in the totals.
        max_population: Largest number of neurons per window.
        max_targets: Largest number of target neurons per window, of `max_population`.
    """

    size: str = "nano"
    kind: ModelKind = "transformer"
    d_model: int = 256
    num_heads: int = 4
    layers: int = 6
    pattern: str = "LLLLLG"
    d_embedding: int = 256
    feed_forward: FeedForwardKind = "swiglu"
    feed_forward_multiplier: float = 2.67
    feed_forward_multiple: int = 128
    dropout: float = 0.0
    neuron_dropout: float = 0.0
    response_loss: ResponseLoss | None = None
    rope_shortest_seconds: float = 0.001
    experiment_time: bool = False
    max_population: int = 4096
    max_targets: int = 3072
    latents: LatentConfig = field(default_factory=LatentConfig)
    video: VideoConfig = field(default_factory=VideoConfig)
    decoder: DecoderConfig = field(default_factory=DecoderConfig)
    dendrite: DendriteConfig = field(default_factory=DendriteConfig)
    twin: TwinConfig = field(default_factory=TwinConfig)

    def __post_init__(self) -> None:
        """Refuse values that cannot work."""
        require_positive(
            d_model=self.d_model,
            num_heads=self.num_heads,
            layers=self.layers,
            d_embedding=self.d_embedding,
            feed_forward_multiplier=self.feed_forward_multiplier,
            feed_forward_multiple=self.feed_forward_multiple,
            rope_shortest_seconds=self.rope_shortest_seconds,
            max_population=self.max_population,
            max_targets=self.max_targets,
        )
        require_fraction(dropout=self.dropout, neuron_dropout=self.neuron_dropout)
        require_one_of(FEED_FORWARDS, feed_forward=self.feed_forward)
        require_one_of(("transformer", "cnn-twin"), kind=self.kind)
        require_one_of(get_args(ResponseLoss), response_loss=self.response_loss)
        if self.d_model % self.num_heads or (self.d_model // self.num_heads) % 2:
            raise ValueError(
                "`d_model` must be `num_heads` times an even head width: "
                f"{self.d_model} over {self.num_heads} heads"
            )
        # A learned function of one argument has half as many units again.
        units = self.feed_forward_multiple * (1.5 if self.feed_forward == "learned" else 1)
        if self.dendrite.cell_types > 1 and units % self.dendrite.cell_types:
            raise ValueError(
                "`cell_types` must divide `feed_forward_multiple`, or 1.5 times it where "
                "`feed_forward` is `learned`, so that types share units equally: "
                f"{self.dendrite.cell_types}, {units:g}"
            )
        if self.feed_forward == "learned" and self.dendrite.normalize:
            raise ValueError(
                "`dendrite.normalize` normalizes two arguments, and `feed_forward` is `learned`: "
                "leave it off"
            )
        if not self.pattern or set(self.pattern) - {"L", "G"}:
            raise ValueError(f"`pattern` must be made of L and G: {self.pattern!r}")
