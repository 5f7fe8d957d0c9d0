"""The token sequences of a forward pass: how many there are, when they are, what they span."""

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from omnimouse_cli.batch.strategy import (
    QUERY_SAMPLES,
    TOKEN_SAMPLES,
    TOKEN_STRIDE_SAMPLES,
    Strategy,
)
from omnimouse_cli.config.data import NUM_FRAMES, NUM_RESPONSE_SAMPLES
from omnimouse_cli.config.model import ModelConfig, VideoConfig
from omnimouse_cli.kernels.attention import Interval, Intervals

LATENT_SAMPLES = 10
NUM_LATENT_GROUPS = NUM_RESPONSE_SAMPLES // LATENT_SAMPLES
QUERY_LOOKAHEAD_SAMPLES = 10


class Tokens(NamedTuple):
    """Neighbouring tokens of one time.

    Times are whole samples of 1/30 s from the window's start: frames and response samples share
    that grid, so times and the touching of intervals are exact.

    Args:
        time: The sample that positions stand for in rotary embeddings.
        interval: What the tokens span, and how many there are.
    """

    time: int
    interval: Interval


Sequence = tuple[Tokens, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a forward pass gets and is asked, apart from numbers in tensors.

    Args:
        strategy: What is seen and asked.
        num_neurons: Neurons of the batch.
        num_visible: Of them, those that are seen.
        num_targets: Of them, those that are asked for.
        num_channels: Behavior channels that the session has.
        stimulus: Whether the session has a screen.
    """

    strategy: Strategy
    num_neurons: int
    num_visible: int
    num_targets: int
    num_channels: int
    stimulus: bool

    @property
    def channels_seen(self) -> int:
        """Behavior channels that are an input."""
        return self.num_channels if self.strategy.behavior == "encoded" else 0

    @property
    def channels_asked(self) -> int:
        """Behavior channels that are asked for."""
        return self.num_channels if self.strategy.behavior == "reconstructed" else 0

    @property
    def targets_asked(self) -> int:
        """Neurons whose responses are asked for."""
        return self.num_targets if self.strategy.targets else 0

    @property
    def num_query_times(self) -> int:
        """Times at which each target neuron is asked for its next samples."""
        targets = self.strategy.targets
        return (targets[1] - targets[0]) // QUERY_SAMPLES if targets else 0

    @property
    def sees_video(self) -> bool:
        """Whether video is an input."""
        return self.stimulus and self.strategy.video is not None


class Piece(NamedTuple):
    """A stretch of samples whose responses are cut into tokens, of everyone or of the visible."""

    first: int
    last: int
    everyone: bool

    @property
    def num_times(self) -> int:
        """Tokens of each neuron."""
        return (self.last - self.first - TOKEN_SAMPLES) // TOKEN_STRIDE_SAMPLES + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The sequences of a forward pass, in the order in which they are concatenated.

    Args:
        pieces: Stretches of responses that become tokens.
        latent_groups: Numbers of the groups of latents that exist, of six.
        features: First and last time step of the video encoder that is seen; None without video.
        context: Response and behavior tokens that the encoder reads.
        latents: Latents that the encoder writes.
        video: Video tokens.
        queries: Response and behavior queries of the decoder.
    """

    pieces: tuple[Piece, ...]
    latent_groups: tuple[int, ...]
    features: tuple[int, int] | None
    context: Sequence
    latents: Sequence
    video: Sequence
    queries: Sequence

    @property
    def fusion(self) -> Sequence:
        """Latents and video, which the fusion layers see and the decoder reads."""
        return self.latents + self.video

    @property
    def sequence_lengths(self) -> dict[str, int]:
        """Tokens of each sequence."""
        return {
            name: length(getattr(self, name))
            for name in ("context", "latents", "video", "fusion", "queries")
        }


def length(sequence: Sequence) -> int:
    """Tokens of a sequence."""
    return sum(tokens.interval.tokens for tokens in sequence)


def intervals(sequence: Sequence) -> Intervals:
    """What the tokens of a sequence span: all that a mask depends on."""
    return tuple(tokens.interval for tokens in sequence)


@lru_cache(maxsize=4096)
def make_layout(config: ModelConfig, request: Request) -> Layout:
    """Lay out the sequences that a strategy needs.

    Args:
        config: Of the model; latents and video are read.
        request: What is seen and asked.
    """
    strategy = request.strategy
    pieces = _pieces(request)
    groups = _latent_groups(strategy)
    video = _features(config.video, strategy.video) if request.sees_video else None
    return Layout(
        pieces=pieces,
        latent_groups=groups,
        features=video,
        context=_context(request, pieces),
        latents=_latents(config, groups),
        video=_video(config.video, video),
        queries=_queries(request),
    )


def _pieces(request: Request) -> tuple[Piece, ...]:
    strategy = request.strategy
    if strategy.prefix is None:
        return ()
    first, last = strategy.prefix
    border = first + strategy.full_population_prefix
    if request.num_visible >= request.num_neurons:
        return (Piece(first, last, everyone=False),)
    pieces = (Piece(first, border, everyone=True), Piece(border, last, everyone=False))
    return tuple(piece for piece in pieces if piece.first < piece.last)


def _context(request: Request, pieces: tuple[Piece, ...]) -> Sequence:
    responses = tuple(
        Tokens(start, Interval(start, start + TOKEN_SAMPLES, count))
        for piece in pieces
        for count in (request.num_neurons if piece.everyone else request.num_visible,)
        for start in range(piece.first, piece.last - TOKEN_SAMPLES + 1, TOKEN_STRIDE_SAMPLES)
    )
    return responses + _whole_window(request.channels_seen)


def _whole_window(count: int) -> Sequence:
    return (Tokens(0, Interval(0, NUM_RESPONSE_SAMPLES, count)),) if count else ()


def _latent_groups(strategy: Strategy) -> tuple[int, ...]:
    if strategy.context is None:
        return ()
    first, last = strategy.context
    return tuple(k for k in range(NUM_LATENT_GROUPS) if first <= LATENT_SAMPLES * k < last)


def _latents(config: ModelConfig, groups: tuple[int, ...]) -> Sequence:
    grouped = tuple(
        Tokens(start, Interval(start, start + LATENT_SAMPLES, config.latents.per_group))
        for start in (LATENT_SAMPLES * k for k in groups)
    )
    return grouped + _whole_window(config.latents.num_global)


def _features(video: VideoConfig, frames: tuple[int, int] | None) -> tuple[int, int]:
    """Time steps for a range of frames. Source: omnimouse reference, section 2.2."""
    assert frames is not None
    steps, first, last = video.grid[0], 0, video.grid[0]
    if frames[0] > 0:
        first = _first_feature_after(video, frames[0])
    if frames[1] < NUM_FRAMES:
        last = _first_feature_after(video, frames[1])
    first = min(max(first, 0), steps - 1)
    return first, min(max(last, first + 1), steps)


def _first_feature_after(video: VideoConfig, frame: int) -> int:
    return 2 + (frame + video.padding[0] - video.kernel[0]) // video.stride[0]


def _video(video: VideoConfig, features: tuple[int, int] | None) -> Sequence:
    """A feature's time is the latest frame of its receptive field: nothing is ahead of time."""
    if features is None:
        return ()
    latest = video.kernel[0] - 1 - video.padding[0]
    times = (min(video.stride[0] * i + latest, NUM_FRAMES - 1) for i in range(*features))
    return tuple(
        Tokens(time, Interval(time, time + video.kernel[0], video.tokens_per_time))
        for time in times
    )


def _queries(request: Request) -> Sequence:
    responses: Sequence = ()
    if request.strategy.targets is not None and request.targets_asked:
        responses = tuple(
            Tokens(start, Interval(start, start + QUERY_LOOKAHEAD_SAMPLES, request.targets_asked))
            for start in range(*request.strategy.targets, QUERY_SAMPLES)
        )
    return responses + _whole_window(request.channels_asked)
