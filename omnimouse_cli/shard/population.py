"""The stored neurons: those without a value are excluded, stuck and repeated ones are noted."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.errors import RecordingError
from omnimouse_cli.recording.recording import Neurons, Recording, Signal
from omnimouse_cli.shard.blocks import block_rows, iterate_blocks, read_block
from omnimouse_cli.text import pluralize

NO_VALUE = "no finite value"
# Blocks of the sample, spread over the recording, and their size in all; one block at least.
SAMPLED_BLOCKS = 8
SAMPLED_BYTES = 32 * 2**20
# Neurons that a note lists by name.
MAX_NAMED = 5


def sample_responses(signal: Signal) -> NDArray[np.float32]:
    """Return blocks of rows from all over a signal: float32 `(rows, channels)`."""
    step = block_rows(signal)
    last = max(0, signal.clock.num_samples - step)
    fitting = SAMPLED_BYTES // max(1, 4 * step * signal.num_channels)
    num_blocks = max(1, min(SAMPLED_BLOCKS, fitting))
    firsts = np.unique(np.linspace(0, last, num_blocks).astype(np.int64))
    if len(firsts) * step >= signal.clock.num_samples:
        firsts = np.arange(0, signal.clock.num_samples, step)
    blocks = [read_block(signal, int(first)).rows for first in firsts]
    return np.concatenate(blocks) if blocks else np.empty((0, signal.num_channels), np.float32)


def exclude_empty(
    recording: Recording, sample: NDArray[np.float32]
) -> tuple[Recording, NDArray[np.float32], list[str]]:
    """Exclude neurons without any finite value.

    All rows are read only while some neuron has no finite value in those until then.

    Args:
        recording: The recording.
        sample: float32 `(rows, neurons)`: `sample_responses` of its responses.

    Returns:
        Recording and sample without these neurons, and a sentence if there are any.

    Raises:
        RecordingError: No neuron has a finite value.
    """
    is_empty = ~np.isfinite(sample).any(axis=0)
    if is_empty.any():
        for block in iterate_blocks(recording.responses):
            is_empty &= ~np.isfinite(block.rows).any(axis=0)
            if not is_empty.any():
                break
    if not is_empty.any():
        return recording, sample, []
    empty, kept = np.flatnonzero(is_empty), np.flatnonzero(~is_empty)
    if len(kept) == 0:
        raise RecordingError(
            f"{recording.path}: no response has a finite value",
            hint="check the responses of the recording, or name others with --series",
        )
    named = _name_some(recording.neurons, empty)
    note = f"{pluralize(len(empty), 'neuron')} without a finite value excluded: {named}"
    return _select_neurons(recording, kept, len(empty)), sample[:, kept], [note]


def _select_neurons(recording: Recording, kept: NDArray[np.int64], num_empty: int) -> Recording:
    signal, neurons = recording.responses, recording.neurons

    def chosen(values: NDArray[Any] | None) -> NDArray[Any] | None:
        return None if values is None else values[kept]

    responses = replace(
        signal,
        num_channels=len(kept),
        read_rows=lambda first, last: signal.read_rows(first, last)[:, kept],
        file_mean=chosen(signal.file_mean),
        file_std=chosen(signal.file_std),
    )
    provenance = recording.provenance
    excluded: Mapping[str, int] = {**provenance.excluded, NO_VALUE: num_empty}
    return replace(
        recording,
        responses=responses,
        neurons=replace(
            neurons,
            num_neurons=len(kept),
            unit_id=chosen(neurons.unit_id),
            position_um=chosen(neurons.position_um),
            delay_seconds=chosen(neurons.delay_seconds),
            area=chosen(neurons.area),
            layer=chosen(neurons.layer),
        ),
        provenance=replace(provenance, excluded=excluded),
    )


def describe_stuck(neurons: Neurons, std: NDArray[np.float64], tier: str) -> list[str]:
    """Return a sentence if responses never change.

    Args:
        neurons: The stored neurons.
        std: float64 `(neurons,)`: standard deviations on the statistics tier.
        tier: Name of that tier.
    """
    stuck = np.flatnonzero(std == 0)
    if len(stuck) == 0:
        return []
    where = "" if tier == "all" else f" on tier {tier}"
    return [
        f"{len(stuck)} of {pluralize(neurons.num_neurons, 'neuron')} never change{where} (stuck or "
        f"silent): {_name_some(neurons, stuck)}"
    ]


def describe_copies(recording: Recording, candidates: NDArray[np.int64]) -> list[str]:
    """Return a sentence if neurons have the values of other neurons in all rows.

    Args:
        recording: The recording, of the stored neurons.
        candidates: int64 `(neurons,)`: the first neuron whose statistics each has, or itself. The
            responses are read again only if there are any, and while any of them is a copy.
    """
    copies = np.flatnonzero(candidates != np.arange(len(candidates)))
    if len(copies) == 0:
        return []
    for block in iterate_blocks(recording.responses):
        rows, originals = block.rows[:, copies], block.rows[:, candidates[copies]]
        is_equal = (rows == originals) | (np.isnan(rows) & np.isnan(originals))
        copies = copies[is_equal.all(axis=0)]
        if len(copies) == 0:
            return []
    label = recording.neurons.label
    pairs = [f"{label(copy)} as {label(candidates[copy])}" for copy in copies[:MAX_NAMED].tolist()]
    return [
        f"{len(copies)} of {pluralize(recording.neurons.num_neurons, 'neuron')} have the same "
        f"values as another neuron in every row, which makes it trivial to predict them from each "
        f"other: {_list_some(pairs, len(copies))}"
    ]


def _name_some(neurons: Neurons, columns: NDArray[np.int64]) -> str:
    names = [neurons.label(column) for column in columns[:MAX_NAMED].tolist()]
    return _list_some(names, len(columns))


def _list_some(names: Sequence[str], count: int) -> str:
    return ", ".join(names) + (", ..." if count > len(names) else "")
