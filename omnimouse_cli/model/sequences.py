"""The token sequences of a forward pass: their lengths, times and intervals."""

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
from omnimouse_cli.kernels.attention import Interval, Intervals, overlap

LATENT_SAMPLES = 10
NUM_LATENT_GROUPS = NUM_RESPONSE_SAMPLES // LATENT_SAMPLES
QUERY_LOOKAHEAD_SAMPLES = 10


class TokenGroup(NamedTuple):
    """Consecutive tokens that share one time stamp.

    Times are whole samples of 1/30 s from the window's start: frames and response samples share
    that grid, so whether intervals touch is exact.

    Args:
        time: Position in samples for rotary embeddings.
        interval: Samples that the tokens span, and their number.
    """

    time: int
    interval: Interval


TokenSequence = tuple[TokenGroup, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A masking strategy applied to a session: how much of each modality is input and target.

    Args:
        strategy: Which inputs are visible and what is predicted.
        num_neurons: Neurons of the batch.
        num_visible: Neurons whose responses are an input.
        num_targets: Neurons whose responses are predicted; 0 if the strategy predicts none.
        num_channels: Behavior channels of the session.
        has_screen: Whether the session has a screen.
    """

    strategy: Strategy
    num_neurons: int
    num_visible: int
    num_targets: int
    num_channels: int
    has_screen: bool

    @property
    def num_input_channels(self) -> int:
        """Behavior channels that are an input."""
        return self.num_channels if self.strategy.behavior == "encoded" else 0

    @property
    def num_target_channels(self) -> int:
        """Behavior channels that are predicted."""
        return self.num_channels if self.strategy.behavior == "reconstructed" else 0

    @property
    def num_query_times(self) -> int:
        """Queries of each target neuron; each predicts the next samples."""
        targets = self.strategy.targets
        return (targets[1] - targets[0]) // QUERY_SAMPLES if targets else 0

    @property
    def has_video(self) -> bool:
        """Whether video is an input."""
        return self.has_screen and self.strategy.video is not None


class ResponseSegment(NamedTuple):
    """Consecutive samples whose responses are cut into tokens.

    Args:
        first: First sample.
        last: Sample after the last one.
        all_neurons: Whether all neurons of the batch are visible, or the selected ones alone.
    """

    first: int
    last: int
    all_neurons: bool

    @property
    def num_times(self) -> int:
        """Tokens of each neuron."""
        return (self.last - self.first - TOKEN_SAMPLES) // TOKEN_STRIDE_SAMPLES + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Sequences:
    """The token sequences of a forward pass, in the order in which they are concatenated.

    Args:
        segments: Segments of responses that become tokens.
        latent_groups: Numbers of the groups of latents that exist, of six.
        video_steps: First time step of the video encoder that is visible, and the step after the
            last one; None without video.
        context: Response and behavior tokens, which the encoder reads.
        latents: Latents, into which the encoder writes.
        video: Video tokens.
        queries: Response and behavior queries of the decoder.
    """

    segments: tuple[ResponseSegment, ...]
    latent_groups: tuple[int, ...]
    video_steps: tuple[int, int] | None
    context: TokenSequence
    latents: TokenSequence
    video: TokenSequence
    queries: TokenSequence

    @property
    def fusion(self) -> TokenSequence:
        """Latents and video tokens, the sequence of the fusion layers."""
        return self.latents + self.video

    @property
    def read(self) -> tuple[bool, ...]:
        """Whether a decoder query sees the tokens of each group of the fusion sequence."""
        queries, fusion = token_intervals(self.queries), token_intervals(self.fusion)
        return tuple(any(overlap(key, query) for query in queries) for key in fusion)

    @property
    def lengths(self) -> dict[str, int]:
        """Tokens of each sequence."""
        return {
            name: num_tokens(getattr(self, name))
            for name in ("context", "latents", "video", "fusion", "queries")
        }


def num_tokens(sequence: TokenSequence) -> int:
    """Return the length of a sequence."""
    return sum(group.interval.tokens for group in sequence)


def token_intervals(sequence: TokenSequence) -> Intervals:
    """Return the intervals of a sequence's tokens, on which its masks depend."""
    return tuple(group.interval for group in sequence)


@lru_cache(maxsize=4096)
def build_sequences(config: ModelConfig, task: Task) -> Sequences:
    """Build the sequences of a task.

    Args:
        config: Configuration of the model; latents and video are used.
        task: Which modalities are inputs and targets.
    """
    segments, groups = _segments(task), _latent_groups(task.strategy)
    steps = _video_steps(config.video, task.strategy.video) if task.has_video else None
    return Sequences(
        segments=segments,
        latent_groups=groups,
        video_steps=steps,
        context=_context(task, segments),
        latents=_latents(config, groups),
        video=_video(config.video, steps),
        queries=_queries(task),
    )


def _segments(task: Task) -> tuple[ResponseSegment, ...]:
    strategy = task.strategy
    if strategy.prefix is None:
        return ()
    first, last = strategy.prefix
    border = first + strategy.full_population_prefix
    if task.num_visible >= task.num_neurons:
        return (ResponseSegment(first, last, all_neurons=False),)
    segments = (
        ResponseSegment(first, border, all_neurons=True),
        ResponseSegment(border, last, all_neurons=False),
    )
    return tuple(segment for segment in segments if segment.first < segment.last)


def _context(task: Task, segments: tuple[ResponseSegment, ...]) -> TokenSequence:
    responses = tuple(
        TokenGroup(start, Interval(start, start + TOKEN_SAMPLES, count))
        for segment in segments
        for count in (task.num_neurons if segment.all_neurons else task.num_visible,)
        for start in range(segment.first, segment.last - TOKEN_SAMPLES + 1, TOKEN_STRIDE_SAMPLES)
    )
    return responses + _whole_window(task.num_input_channels)


def _whole_window(count: int) -> TokenSequence:
    return (TokenGroup(0, Interval(0, NUM_RESPONSE_SAMPLES, count)),) if count else ()


def _latent_groups(strategy: Strategy) -> tuple[int, ...]:
    if strategy.context is None:
        return ()
    first, last = strategy.context
    return tuple(k for k in range(NUM_LATENT_GROUPS) if first <= LATENT_SAMPLES * k < last)


def _latents(config: ModelConfig, groups: tuple[int, ...]) -> TokenSequence:
    grouped = tuple(
        TokenGroup(start, Interval(start, start + LATENT_SAMPLES, config.latents.per_group))
        for start in (LATENT_SAMPLES * k for k in groups)
    )
    return grouped + _whole_window(config.latents.num_global)


def _video_steps(video: VideoConfig, frames: tuple[int, int] | None) -> tuple[int, int]:
    """Return the time steps of a range of frames, as in OmniMouse (arXiv 2604.18827)."""
    assert frames is not None
    steps, first, last = video.grid[0], 0, video.grid[0]
    if frames[0] > 0:
        first = _first_step_after(video, frames[0])
    if frames[1] < NUM_FRAMES:
        last = _first_step_after(video, frames[1])
    first = min(max(first, 0), steps - 1)
    return first, min(max(last, first + 1), steps)


def _first_step_after(video: VideoConfig, frame: int) -> int:
    return 2 + (frame + video.padding[0] - video.kernel[0]) // video.stride[0]


def _video(video: VideoConfig, steps: tuple[int, int] | None) -> TokenSequence:
    # A token's time is the latest frame of its receptive field, so that nothing is ahead of time.
    if steps is None:
        return ()
    latest = video.kernel[0] - 1 - video.padding[0]
    times = (min(video.stride[0] * i + latest, NUM_FRAMES - 1) for i in range(*steps))
    return tuple(
        TokenGroup(time, Interval(time, time + video.kernel[0], video.tokens_per_time))
        for time in times
    )


def _queries(task: Task) -> TokenSequence:
    responses: TokenSequence = ()
    if task.strategy.targets is not None and task.num_targets:
        responses = tuple(
            TokenGroup(start, Interval(start, start + QUERY_LOOKAHEAD_SAMPLES, task.num_targets))
            for start in range(*task.strategy.targets, QUERY_SAMPLES)
        )
    return responses + _whole_window(task.num_target_channels)
