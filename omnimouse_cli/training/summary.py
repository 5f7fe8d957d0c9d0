"""summary.json: the result of a finished training, as scaling reports read it."""

import hashlib
from collections.abc import Sequence
from typing import Any

from omnimouse_cli.batch.dataset import Dataset, SessionInfo
from omnimouse_cli.batch.epochs import unique_neuron_hours
from omnimouse_cli.config.dendrite import DendriteConfig
from omnimouse_cli.config.run import RunConfig
from omnimouse_cli.cost.parameters import count_parameters
from omnimouse_cli.model.build import Core
from omnimouse_cli.model.feed_forward import lookup_grid, table_accuracy
from omnimouse_cli.reporter import Reporter
from omnimouse_cli.training.parallel.world import device_name
from omnimouse_cli.training.state import TrainState
from omnimouse_cli.training.step import TrainingSetup
from omnimouse_cli.training.throughput import counts_flops, peak_memory_bytes, peak_of_run
from omnimouse_cli.training.validation_records import Validation
from omnimouse_cli.training.validation_windows import validation_sessions, windows_per_session


def build_summary(
    state: TrainState, setup: TrainingSetup, validation: Validation
) -> dict[str, Any]:
    """Return the fields of `summary.json`.

    Args:
        state: State at the end of training.
        setup: Data and settings of the training.
        validation: Validation at the end of training.
    """
    config, dataset, counters = setup.config, setup.dataset, state.counters
    flops = counters.flops if counts_flops(config.train) else None
    seconds = max(counters.elapsed_seconds, 1e-9)
    peak = peak_of_run(config.train, setup.world)
    return {
        "run": setup.run.resolve().name,
        "model": config.model.size,
        "model_kind": config.model.kind,
        "parameters": count_parameters(
            config.model,
            neurons=[session.num_neurons for session in dataset.sessions],
            num_channels=len(dataset.behavior_channels),
            num_animals=len(dataset.animals),
        ),
        "windows_seen": counters.windows,
        "shortcut_windows_seen": counters.shortcut_windows,
        "unique_tokens": setup.unique_tokens,
        "unique_neuron_hours": unique_neuron_hours(dataset, config.data),
        "tokens_seen": counters.tokens,
        "epochs": setup.epochs(counters.tokens),
        "steps": counters.step,
        "sessions": len(dataset.sessions),
        "data": [_session_fields(session) for session in dataset.sessions],
        "animals": len(dataset.animals),
        "subset": _name_sessions(dataset.sessions),
        "seed": config.seed,
        "learning_rate": config.train.learning_rate,
        "response_loss": config.model.response_loss,
        "adapted_from": config.train.adapt_from,
        "unfrozen": list(config.train.unfreeze),
        "dendrite_table": _lookup_table_fields(state.core, config.model.dendrite),
        "split": _validation_split(config, dataset),
        "validation": {
            "neural_loss": validation.neural_loss,
            "windows_per_session": windows_per_session(config),
            "records": [record.to_dict() for record in validation.records],
        },
        "wall_seconds": counters.elapsed_seconds,
        "device": device_name(setup.world.device),
        "num_ranks": setup.world.num_ranks,
        "flops": flops,
        "tokens_per_second": counters.tokens / seconds,
        "mfu": flops / seconds / peak if flops is not None and peak is not None else None,
        "peak_memory_bytes": peak_memory_bytes(setup.world.device),
    }


def _session_fields(session: SessionInfo) -> dict[str, Any]:
    """Return what identifies the data of a session, and under which terms they may be used."""
    provenance = session.shard.description.provenance
    return {
        "session": session.key,
        "animal": session.animal,
        "neurons": session.num_neurons,
        "response_kind": session.response_kind,
        "fingerprint": session.fingerprint,
        "licence": provenance.licence,
        "citation": provenance.citation,
        "doi": provenance.doi,
    }


def _validation_split(config: RunConfig, dataset: Dataset) -> str:
    """Return a name of the validation data: losses with equal names are comparable."""
    sessions = validation_sessions(config, dataset)
    limit = windows_per_session(config)
    sample = "" if limit is None else f", at most {limit} windows of each"
    tiers = "+".join(config.train.validation_tiers)
    return f"{tiers} of {_name_sessions(sessions, sample)}"


def _name_sessions(sessions: Sequence[SessionInfo], sample: str = "") -> str:
    """Return a name of a set of sessions: equal names are the same sessions, unchanged."""
    # Not the fingerprint of the values: names of earlier runs stay comparable.
    sources = [(one.key, one.shard.description.source.fingerprint) for one in sessions]
    content = "\n".join(f"{key} {fingerprint}" for key, fingerprint in sources)
    digest = hashlib.sha256(content.encode()).hexdigest()[:8]
    return f"{len(sessions)} sessions{sample} ({digest})"


def report_lookup_error(core: Core, config: DendriteConfig, reporter: Reporter) -> None:
    """Report the largest interpolation error of frozen functions in lookup tables, if any."""
    accuracy, grid = table_accuracy(core), lookup_grid(config)
    if accuracy is None or grid is None:
        return
    reporter.say(
        f"frozen functions are read from lookup tables of {grid.cells} x {grid.cells} cells; "
        f"interpolation is off by {100 * accuracy.rms:.2g} % of their standard deviation (root "
        f"mean square, normal arguments); at most {100 * accuracy.largest:.2g} % for arguments up "
        f"to {grid.limit:g}, {100 * accuracy.beyond:.2g} % up to {2 * grid.limit:g}"
    )


def _lookup_table_fields(core: Core, config: DendriteConfig) -> dict[str, Any] | None:
    accuracy, grid = table_accuracy(core), lookup_grid(config)
    if accuracy is None or grid is None:
        return None
    return {"cells": grid.cells, "range": grid.limit, "error": accuracy._asdict()}
