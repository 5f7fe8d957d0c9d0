"""summary.json: what a finished run was, as scaling reports read it."""

import hashlib
from typing import Any

from omnimouse_cli.batch.dataset import Dataset, SessionInfo
from omnimouse_cli.batch.windows import WindowTable
from omnimouse_cli.config.data import NUM_RESPONSE_SAMPLES, RESPONSE_RATE_HZ
from omnimouse_cli.config.run import RunConfig
from omnimouse_cli.cost.parameters import count_parameters
from omnimouse_cli.cost.training import window_flops
from omnimouse_cli.train.function_tables import table_fields
from omnimouse_cli.train.loop import Plan
from omnimouse_cli.train.parallel.world import device_name
from omnimouse_cli.train.state import TrainState
from omnimouse_cli.train.step import Work
from omnimouse_cli.train.validate import Validation, validation_sessions


def summary_of(state: TrainState, work: Work, plan: Plan, validation: Validation) -> dict[str, Any]:
    """Give the fields of `summary.json`.

    Args:
        state: At the end of training.
        work: Data and settings of the steps.
        plan: The run's folder and data set.
        validation: At the end.
    """
    config, counters, dataset = work.config, state.counters, plan.dataset
    return {
        "run": plan.run.resolve().name,
        "model": config.model.size,
        "parameters": count_parameters(
            config.model,
            neurons=[session.num_neurons for session in dataset.sessions],
            num_channels=len(dataset.behavior_channels),
            num_animals=len(dataset.animals),
        ),
        "windows_seen": counters.windows,
        "short_windows_seen": counters.short_windows,
        "unique_tokens": unique_tokens(dataset, config),
        "tokens_seen": counters.tokens,
        "epochs": counters.step * work.batches_per_step / work.loader.batches_per_epoch,
        "steps": counters.step,
        "sessions": len(dataset.sessions),
        "animals": len(dataset.animals),
        "seed": config.seed,
        "response_loss": config.model.response_loss,
        "adapted_from": config.train.adapt_from,
        "unfrozen": list(config.train.unfreeze),
        "dendrite_table": table_fields(state.core, config.model.dendrite),
        "split": split_of(config, dataset),
        "validation": {
            "neural_loss": validation.neural_loss,
            "records": [record.to_dict() for record in validation.records],
        },
        "wall_seconds": counters.elapsed_seconds,
        "device": device_name(work.world.device),
        "num_ranks": work.world.num_ranks,
        "flops": _flops(state, work, plan),
    }


def _flops(state: TrainState, work: Work, plan: Plan) -> float | None:
    """Estimate the operations of training; None where a part of the core is frozen.

    What a frozen part saves depends on what lies before it, and the estimate does not know.
    """
    train = work.config.train
    if train.adapt_from is not None and "all" not in train.unfreeze:
        return None
    whole, short = window_flops(work.config, plan.dataset.sessions, plan.strategies)
    counters = state.counters
    return (counters.windows - counters.short_windows) * whole + counters.short_windows * short


def unique_tokens(dataset: Dataset, config: RunConfig) -> int:
    """Count the tokens that training windows cover: one neuron at one stored sample each."""
    return sum(
        _covered_tokens(dataset.session(key), table)
        for key, table in dataset.require_windows(config.data).items()
    )


def _covered_tokens(session: SessionInfo, table: WindowTable) -> int:
    """Tokens under a session's windows; two runs of windows never cover the same sample."""
    step = min(table.stride_samples, NUM_RESPONSE_SAMPLES)
    samples = int(((table.run_windows - 1) * step + NUM_RESPONSE_SAMPLES).sum())
    rate = session.shard.description.responses.clock.rate_hz
    return session.num_neurons * round(samples / RESPONSE_RATE_HZ * rate)


def split_of(config: RunConfig, dataset: Dataset) -> str:
    """Name what the validation loss is measured on: equal names are comparable losses."""
    sessions = validation_sessions(config, dataset)
    content = "\n".join(f"{session.key} {session.fingerprint}" for session in sessions)
    name = hashlib.sha256(content.encode()).hexdigest()[:8]
    return f"{'+'.join(config.train.validation_tiers)} of {len(sessions)} sessions ({name})"
