"""The Rust extension: shards, written and memory-mapped, the background loader, dendritic units."""

from collections.abc import Sequence
from pathlib import Path
from typing import final

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "ByteStream",
    "Checksum",
    "Loader",
    "ResponseStream",
    "Schedule",
    "Session",
    "Shard",
    "ShardFormatError",
    "Slot",
    "dendrite_backward",
    "dendrite_forward",
    "dendrite_table_backward",
    "dendrite_table_forward",
    "entry_backward",
    "entry_forward",
    "gate_backward",
    "gate_forward",
    "keys_backward",
    "keys_forward",
    "norm_backward",
    "norm_forward",
    "update_backward",
    "update_forward",
]

class ShardFormatError(ValueError):
    """A shard that is damaged, cut short or of another version; the text names file and reason."""

@final
class Shard:
    """An open shard; only its header has been read.

    Args:
        path: The file.
        mapped: Whether it is mapped into memory; else its ranges are read when they are needed.

    Raises:
        FileNotFoundError: There is no such file.
        ShardFormatError: The file is no shard, or not all of one.
    """

    def __new__(cls, path: Path | str, *, mapped: bool = True) -> Shard: ...
    @property
    def session(self) -> str:
        """Session key."""

    @property
    def num_neurons(self) -> int:
        """Columns of the responses."""

    @property
    def frame_shape(self) -> tuple[int, int] | None:
        """Height and width of a frame; None without a screen."""

    @property
    def channels(self) -> list[str]:
        """Behavior channels, device by device."""

@final
class Slot:
    """Memory for one batch: contiguous, writable arrays, whose types say what is written.

    In place of float32, uint16 takes the bits of bfloat16, rounded to nearest.

    Args:
        grid_indices: int64: first samples of the windows.
        neuron_index: int64: columns of each window, one window after the other.
        responses: float32: 60 rows of neurons a window.
        video: float32: 60 frames a window; uint8 takes grey levels as they are stored.
        behavior: float32: 40 samples of each channel a window.
    """

    def __new__(
        cls,
        *,
        grid_indices: NDArray[np.int64],
        neuron_index: NDArray[np.int64],
        responses: NDArray[np.float32] | NDArray[np.uint16],
        video: NDArray[np.float32] | NDArray[np.uint16] | NDArray[np.uint8] | None = None,
        behavior: NDArray[np.float32] | NDArray[np.uint16] | None = None,
    ) -> Slot: ...

@final
class Session:
    """A shard with its scaling, ready to assemble windows.

    Args:
        shard: The open shard.
        shift: float32 `(neurons,)`: subtracted from responses.
        scale: float32 `(neurons,)`: divides responses.
        video_mean: Grey level that becomes 0.
        video_std: Grey levels that become 1.
        channel_rows: Which of the output's channels each of the shard's channels is; None leaves
            a channel out.
        num_channels: Channels of the output.
        portable: Whether vector instructions are left alone; the bytes are the same.
    """

    def __new__(
        cls,
        shard: Shard,
        *,
        shift: NDArray[np.float32],
        scale: NDArray[np.float32],
        video_mean: float,
        video_std: float,
        channel_rows: Sequence[int | None],
        num_channels: int,
        portable: bool = False,
    ) -> Session: ...
    def read(self, slot: Slot, num_windows: int, num_neurons: int) -> None:
        """Fill a slot with the windows and neurons that it names.

        Raises:
            ShardFormatError: The shard shrank, or names a frame that it does not have.
            ValueError: A window lies outside a signal, or a neuron does not exist.
        """

@final
class Schedule:
    """The order of all batches: a pure function of sessions, seed and number.

    Args:
        sources: Session key, int64 first starts of its runs, int64 number of starts of each run.
        stride_samples: Grid steps between the windows of a run.
        batch_size: Windows in a batch.
        seed: Below 2**64.
        balanced: Whether every session comes equally often.
    """

    def __new__(
        cls,
        sources: Sequence[tuple[str, NDArray[np.int64], NDArray[np.int64]]],
        *,
        stride_samples: int,
        batch_size: int,
        seed: int,
        balanced: bool,
    ) -> Schedule: ...
    @property
    def batches_per_epoch(self) -> int:
        """Batches in which the longest session (balanced) or all (proportional) are drawn once."""

    def batch(self, number: int) -> tuple[int, list[int]]:
        """Which session a batch is of, and the grid indices of its windows."""

    def neurons(self, number: int, window: int, population: int, count: int) -> list[int]:
        """The neurons of one window of a batch, ascending."""

@final
class Loader:
    """Threads that fill slots ahead of their reader.

    Args:
        schedule: The order.
        sessions: In the schedule's order.
        max_neurons: Neurons of a window at most.
        first_batch: Number of the first batch that comes here.
        step: From one batch that comes here to the next.
        threads: How many.
        read_ahead_bytes: Of coming batches that the system is asked to read, at most.
    """

    def __new__(
        cls,
        schedule: Schedule,
        sessions: Sequence[Session],
        *,
        max_neurons: int,
        first_batch: int,
        step: int,
        threads: int,
        read_ahead_bytes: int = 0,
    ) -> Loader: ...
    def give(self, slot: Slot) -> None:
        """Give a slot to be filled; its arrays must not be touched until it comes back."""

    def take(self, timeout_seconds: float) -> tuple[int, int, int, Slot] | None:
        """Wait for number, session index, neurons per window and slot of the next batch.

        None when the time passes first.

        Raises:
            ShardFormatError: The batch's shard shrank, or names a frame that it does not have.
        """

    def close(self) -> None:
        """End the threads and let go of the slots."""

@final
class Checksum:
    """Takes the first 128 bits of BLAKE3 of bytes that come in order."""

    def __new__(cls) -> Checksum: ...
    def update(self, data: bytes | NDArray[np.uint8], /) -> None:
        """Add bytes: of an array without gaps between them."""

    def digest(self) -> bytes:
        """The checksum of all bytes until now."""

    def hexdigest(self) -> str:
        """The same in hexadecimal digits."""

@final
class ByteStream:
    """Writes bytes that come in order, by a thread that also takes their checksum.

    Args:
        descriptor: Of a file that is open for writing.
        first_byte: Where in it the first byte goes.
    """

    def __new__(cls, descriptor: int, *, first_byte: int) -> ByteStream: ...
    def write(self, data: bytes | NDArray[np.uint8], /) -> None:
        """Write bytes after those before: of an array without gaps between them.

        Raises:
            OSError: The file cannot be written; of the last bytes only `finish` knows.
        """

    def finish(self) -> str:
        """Wait until all is written; give its checksum as hexadecimal digits.

        Raises:
            OSError: The file cannot be written.
        """

@final
class ResponseStream:
    """Stores rows of responses that come in order, and remembers what they tell.

    Each block is checked, rounded and measured in one pass, while a thread writes it and takes the
    checksum. How rows are cut into blocks changes nothing.

    Args:
        descriptor: Of a file that is open for writing.
        first_byte: Where in it the first row goes.
        dtype: `float16`, `bfloat16` or `float32`.
        num_columns: Of every block.
        expected_rows: For which room is asked for on the disk before they come.
        portable: Whether vector instructions are left alone; the bytes are the same.
    """

    def __new__(
        cls,
        descriptor: int,
        *,
        first_byte: int,
        dtype: str,
        num_columns: int,
        expected_rows: int = 0,
        portable: bool = False,
    ) -> ResponseStream: ...
    def feed(
        self, rows: NDArray[np.float32], counted: NDArray[np.uint8], finite: NDArray[np.uint8]
    ) -> tuple[int, int] | None:
        """Write a block, unless a finite number does not fit: then give its row and column.

        Args:
            rows: `(rows, columns)` without gaps.
            counted: Per row, whether it counts for mean and squares; others are only stored.
            finite: Per row, set to whether all its numbers are finite; others only are stored.

        Raises:
            OSError: The file cannot be written; of the last blocks only `finish` knows.
        """

    def finish(self) -> str:
        """Wait until all is written; give its checksum as hexadecimal digits.

        Raises:
            OSError: The file cannot be written.
        """

    def facts(
        self,
        mean: NDArray[np.float64],
        squares: NDArray[np.float64],
        square_error: NDArray[np.float64],
        largest_error: NDArray[np.float32],
    ) -> tuple[int, int, bool]:
        """Give the finite rows, how many of them count, and whether a number is below zero.

        Args:
            mean: Set to the means of the rows that count, per column.
            squares: Set to the sums of squared deviations from them.
            square_error: Set to the sums of squared rounding errors of the finite rows.
            largest_error: Set to the largest rounding errors of the finite rows.
        """

def dendrite_forward(
    a: NDArray[np.float32],
    b: NDArray[np.float32],
    weights: NDArray[np.float32],
    out: NDArray[np.float32],
    *,
    network: tuple[int, int, str],
    threads: int,
) -> None:
    """Write f(a, b) of every unit.

    Args:
        a: `(rows, units)`, each row without gaps.
        b: As a.
        weights: `(cell types, weights)`.
        out: Without gaps.
        network: Hidden units, hidden layers, `relu` or `smoothstep`.
        threads: How many share the work; the result does not depend on it.
    """

def dendrite_backward(
    g: NDArray[np.float32],
    a: NDArray[np.float32],
    b: NDArray[np.float32],
    weights: NDArray[np.float32],
    da: NDArray[np.float32],
    db: NDArray[np.float32] | None,
    dweights: NDArray[np.float32],
    *,
    network: tuple[int, int, str],
    threads: int,
) -> None:
    """Write the gradients of both arguments and of the weights.

    Args:
        g: Gradient of the output, `(rows, units)`, each row without gaps.
        a: As g.
        b: As g.
        weights: `(cell types, weights)`.
        da: Without gaps; without db `(rows, 2 units)`, for both.
        db: Without gaps.
        dweights: As weights.
        network: Hidden units, hidden layers, `relu` or `smoothstep`.
        threads: How many share the work; the result does not depend on it.
    """

def dendrite_table_forward(
    a: NDArray[np.float32],
    b: NDArray[np.float32],
    tables: NDArray[np.float32],
    out: NDArray[np.float32],
    *,
    reach: float,
    threads: int,
) -> None:
    """Write f(a, b) of every unit, read from tables.

    Args:
        a: `(rows, units)`, each row without gaps.
        b: As a.
        tables: `(cell types x rows of a table, 2 cells)`.
        out: Without gaps.
        reach: The largest argument of the tables' grid.
        threads: How many share the work; the result does not depend on it.
    """

def dendrite_table_backward(
    g: NDArray[np.float32],
    a: NDArray[np.float32],
    b: NDArray[np.float32],
    tables: NDArray[np.float32],
    da: NDArray[np.float32],
    db: NDArray[np.float32] | None,
    *,
    reach: float,
    threads: int,
) -> None:
    """Write the gradients of both arguments.

    Args:
        g: Gradient of the output, `(rows, units)`, each row without gaps.
        a: As g.
        b: As g.
        tables: `(cell types x rows of a table, 2 cells)`.
        da: Without gaps; without db `(rows, 2 units)`, for both.
        db: Without gaps.
        reach: The largest argument of the tables' grid.
        threads: How many share the work; the result does not depend on it.
    """

def norm_forward(
    x: NDArray[np.float32],
    weight: NDArray[np.float32],
    out: NDArray[np.float32],
    *,
    epsilon: float,
    threads: int,
) -> None:
    """Write x / sqrt(mean(x^2) + epsilon) weight of every row.

    Args:
        x: `(rows, columns)`, each row without gaps.
        weight: `(columns,)`.
        out: As x, without gaps.
        epsilon: Added to the mean square.
        threads: How many share the work; the result does not depend on it.
    """

def norm_backward(
    g: NDArray[np.float32],
    x: NDArray[np.float32],
    weight: NDArray[np.float32],
    dx: NDArray[np.float32],
    dweight: NDArray[np.float32],
    *,
    epsilon: float,
    threads: int,
) -> None:
    """Write the gradients of x and of the weight.

    Args:
        g: Gradient of the output, `(rows, columns)`, each row without gaps.
        x: As in the forward pass, like the next one.
        weight: `(columns,)`.
        dx: As x, without gaps.
        dweight: As weight.
        epsilon: Added to the mean square.
        threads: How many share the work; the result does not depend on it.
    """

def gate_forward(
    a: NDArray[np.float32], b: NDArray[np.float32], out: NDArray[np.float32], *, threads: int
) -> None:
    """Write silu(a) b of every element.

    Args:
        a: `(rows, columns)`, each row without gaps.
        b: As a.
        out: As a, without gaps.
        threads: How many share the work; the result does not depend on it.
    """

def gate_backward(
    g: NDArray[np.float32],
    a: NDArray[np.float32],
    b: NDArray[np.float32],
    da: NDArray[np.float32],
    db: NDArray[np.float32],
    *,
    threads: int,
) -> None:
    """Write the gradients of both arguments.

    Args:
        g: Gradient of the output, `(rows, columns)`, each row without gaps.
        a: As in the forward pass.
        b: As a.
        da: As a, without gaps.
        db: As da.
        threads: How many share the work; the result does not depend on it.
    """

def entry_forward(
    x: NDArray[np.float32],
    weights: tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]],
    angles: tuple[NDArray[np.float32], NDArray[np.float32]] | None,
    projection: NDArray[np.float32] | None,
    outs: list[NDArray[np.float32]],
    *,
    shape: tuple[int, int, int, int, int],
    pooling: tuple[int, bool],
    epsilons: tuple[float, float],
    threads: int,
) -> None:
    """Write every part of a projection of normed tokens, head by head.

    Args:
        x: `(items x tokens, width)`, each row without gaps.
        weights: Of the norm, of the projection, and its bias, which is empty if there is none.
        angles: Cosines and sines, `(tokens, head width / 2)` each; None turns nothing.
        projection: Written for the backward pass, `(items x tokens, parts x heads x head width)`,
            without gaps; None is not.
        outs: One of each part, `(items, heads, tokens, head width)`, without gaps.
        shape: Tokens of an item, parts, normed parts, heads, width of a head.
        pooling: Tokens whose queries become one, and whether they are neighbours.
        epsilons: Added to the mean square of tokens, and of heads.
        threads: How many share the work; the result does not depend on it.
    """

def entry_backward(
    gs: list[NDArray[np.float32]],
    x: NDArray[np.float32],
    projection: NDArray[np.float32],
    weights: tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]],
    angles: tuple[NDArray[np.float32], NDArray[np.float32]] | None,
    outs: tuple[
        NDArray[np.float32], tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]
    ],
    *,
    shape: tuple[int, int, int, int, int],
    pooling: tuple[int, bool],
    epsilons: tuple[float, float],
    threads: int,
) -> None:
    """Write the gradients of tokens and weights.

    Args:
        gs: Gradients of the parts, the width of a head without gaps.
        x: As in the forward pass.
        projection: That the forward pass wrote.
        weights: As in the forward pass.
        angles: Cosines and sines.
        outs: Gradients of x, without gaps, and of every weight.
        shape: Tokens of an item, parts, normed parts, heads, width of a head.
        pooling: Tokens whose queries become one, and whether they are neighbours.
        epsilons: Added to the mean square of tokens, and of heads.
        threads: How many share the work; the result does not depend on it.
    """

_UpdateWeights = tuple[
    NDArray[np.float32],
    NDArray[np.float32],
    NDArray[np.float32],
    NDArray[np.float32],
    NDArray[np.float32],
    NDArray[np.float32],
]

def update_forward(
    x: NDArray[np.float32],
    read: NDArray[np.float32],
    weights: _UpdateWeights,
    kept: tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]] | None,
    out: NDArray[np.float32],
    *,
    epsilon: float,
    threads: int,
) -> None:
    """Write what tokens become of what they read.

    Args:
        x: `(items x tokens, width)`, each row without gaps.
        read: `(items, heads, tokens, head width)`, the last one without gaps.
        weights: Out, its bias, which is empty if there is none, norm, up, gate, down.
        kept: Written for the backward pass: tokens in the middle and both kinds of hidden units,
            each with a row of every token, without gaps; None is not.
        out: As x, without gaps.
        epsilon: Added to the mean square of tokens.
        threads: How many share the work; the result does not depend on it.
    """

def update_backward(
    g: NDArray[np.float32],
    read: NDArray[np.float32],
    kept: tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]],
    weights: _UpdateWeights,
    outs: tuple[NDArray[np.float32], NDArray[np.float32], _UpdateWeights],
    *,
    epsilon: float,
    threads: int,
) -> None:
    """Write the gradients of tokens, of what they read, and of weights.

    Args:
        g: Gradient of the output, `(items x tokens, width)`, each row without gaps.
        read: As in the forward pass.
        kept: That the forward pass wrote.
        weights: As in the forward pass.
        outs: Gradients of x and of what is read, `(items x tokens, numbers)` without gaps, and of
            every weight.
        epsilon: Added to the mean square of tokens.
        threads: How many share the work; the result does not depend on it.
    """

def keys_forward(
    x: NDArray[np.float32],
    keys: NDArray[np.int64],
    counts: list[int],
    outs: list[NDArray[np.float32]],
    *,
    threads: int,
) -> None:
    """Write what each group of queries sees of keys or values.

    Args:
        x: `(items, heads, keys, width)`, the last one without gaps.
        keys: Numbers of the keys that groups see, group after group.
        counts: How many each group sees.
        outs: One for each group, `(items, heads, keys of the group, width)`, without gaps.
        threads: How many share the work; the result does not depend on it.
    """

def keys_backward(
    gs: list[NDArray[np.float32]],
    keys: NDArray[np.int64],
    counts: list[int],
    out: NDArray[np.float32],
    *,
    shape: tuple[int, int, int, int],
    threads: int,
) -> None:
    """Write the gradient of all keys: the sum of what groups say of each.

    Args:
        gs: Gradients of the outputs, the width without gaps.
        keys: As in the forward pass.
        counts: As in the forward pass.
        out: Of the shape, without gaps.
        shape: Items, heads, keys, width.
        threads: How many share the work; the result does not depend on it.
    """
