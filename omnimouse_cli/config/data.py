"""Configuration of data: sessions, windows, scaling and loading."""

from dataclasses import dataclass
from typing import Literal

from omnimouse_cli.config.checks import require_at_most, require_one_of, require_positive

WINDOW_SECONDS = 2.0
RESPONSE_RATE_HZ = 30.0
FRAME_RATE_HZ = 30.0
BEHAVIOR_RATE_HZ = 20.0
NUM_RESPONSE_SAMPLES = 60
NUM_FRAMES = 60
NUM_BEHAVIOR_SAMPLES = 40
# More than any machine has use for; the extension reserves memory for each.
MAX_THREADS, MAX_BATCH = 1024, 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class DataConfig:
    """The training data of a run.

    Args:
        sessions: Keys of the sessions to train on; None uses all of the data set.
        max_sessions: Use only the first so many sessions (nested subsets of a sweep).
        behavior_channels: Channels that the model has, in its order, also those that no session
            has; others are dropped. None uses those of the sessions.
        tiers: Tiers whose trials windows may lie in.
        include_blanks: Whether windows may also lie in blank screens without a tier.
        require_behavior: Whether windows lie only where no behavior sample is lost. Otherwise
            samples that are lost between the first and the last of a signal are masked: they read
            0 as inputs and are not scored as targets.
        batch_size: Windows in a batch, all of one session.
        max_neurons: Largest number of neurons that are drawn per window.
        stride_samples: Steps between window starts, in samples of 1/30 s.
        sampling: `balanced` draws every session equally often, `proportional` by its windows.
        normalize: `scale` divides responses by the neuron's standard deviation (rates),
            `standardize` subtracts the mean first (dF/F); None decides by the response kind.
        std_floor_relative: Standard deviations below this share of their mean are raised to it.
        std_floor_absolute: The same floor in the unit of the responses; published weights need 1.0.
        video_mean: Grey level (0-255) that becomes 0. Source: OmniMouse (ICLR 2026, arXiv
            2604.18827).
        video_std: Difference of grey levels that becomes 1.
        dtype: Number type of responses, video and behavior in a batch; bfloat16 halves the bytes
            copied to a GPU, where it becomes float32 again.
        video_dtype: `uint8` keeps grey levels as they are stored, and scales them where the model
            computes; None is `dtype`.
        access: `map` memory-maps shards, and falls back to reading, with a warning, where the file
            system does not support it; `read` always reads.
        threads: Number of loader threads.
        prefetch_batches: Number of batches assembled ahead.
        read_ahead_megabytes: Megabytes of coming batches that the system is told to read ahead from
            disk; None reads a batch when it is assembled.
        verify: Whether a thread compares every shard with its checksums while batches are drawn;
            None does so in a training until every window was drawn once.
    """

    sessions: tuple[str, ...] | None = None
    max_sessions: int | None = None
    behavior_channels: tuple[str, ...] | None = None
    tiers: tuple[str, ...] = ("train",)
    include_blanks: bool = True
    require_behavior: bool = False
    batch_size: int = 8
    max_neurons: int = 4096
    stride_samples: int = 1
    sampling: Literal["balanced", "proportional"] = "balanced"
    normalize: Literal["scale", "standardize"] | None = None
    std_floor_relative: float = 0.01
    std_floor_absolute: float | None = None
    video_mean: float = 113.0
    video_std: float = 59.0
    dtype: Literal["float32", "bfloat16"] = "float32"
    video_dtype: Literal["uint8"] | None = None
    access: Literal["map", "read"] = "map"
    threads: int = 1
    prefetch_batches: int = 2
    read_ahead_megabytes: int | None = 64
    verify: bool | None = None

    def __post_init__(self) -> None:
        """Raise ValueError for values that cannot work."""
        require_positive(
            batch_size=self.batch_size,
            max_neurons=self.max_neurons,
            stride_samples=self.stride_samples,
            std_floor_relative=self.std_floor_relative,
            std_floor_absolute=self.std_floor_absolute,
            video_std=self.video_std,
            threads=self.threads,
            prefetch_batches=self.prefetch_batches,
            max_sessions=self.max_sessions,
            read_ahead_megabytes=self.read_ahead_megabytes,
        )
        require_at_most(MAX_THREADS, threads=self.threads)
        require_at_most(MAX_BATCH, batch_size=self.batch_size)
        require_one_of(("balanced", "proportional"), sampling=self.sampling)
        require_one_of(("scale", "standardize"), normalize=self.normalize)
        channels = self.behavior_channels or ()
        if len(set(channels)) < len(channels):
            raise ValueError(f"`behavior_channels` must name each channel once: {channels}")
        require_one_of(("float32", "bfloat16"), dtype=self.dtype)
        require_one_of(("uint8",), video_dtype=self.video_dtype)
        require_one_of(("map", "read"), access=self.access)
        if not self.tiers:
            raise ValueError("`tiers` must name at least one tier")
