"""The files of an evaluation: eval.json, arrays and a table of neurons, and the figure."""

import importlib.util
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from omnimouse_cli.evaluation.identity import summarize_evaluation
from omnimouse_cli.evaluation.neuron_table import format_neurons
from omnimouse_cli.evaluation.records import MODEL, EvalOptions, Evaluation
from omnimouse_cli.evaluation.scored_value import ScoredValue
from omnimouse_cli.evaluation.traces import trace_arrays
from omnimouse_cli.files import write_atomically, write_document, write_text
from omnimouse_cli.run.folder import EVAL, NEURONS, RESAMPLES, TRACES
from omnimouse_cli.run.load import LoadedRun

FIGURE = "eval.png"
NEURON_TABLE = "neurons.csv"
# Fields of a record by which its resamples are found.
RESAMPLE_KEY = ("session", "strategy", "target", "metric")


def make_document(
    evaluation: Evaluation, options: EvalOptions, run: LoadedRun
) -> Mapping[str, Any]:
    """Return the content of eval.json; a field of the document is added here."""
    perturbed = {
        "perturbed": [record.to_dict() for record in evaluation.perturbed],
        "attack_checks": [check.to_dict() for check in evaluation.attack_checks],
    }
    return {
        **summarize_evaluation(options, run),
        "rows": [row.to_dict() for row in evaluation.rows],
        "records": [record.to_dict() for record in evaluation.records],
        "unavailable": [entry.to_dict() for entry in evaluation.unavailable],
        **(perturbed if options.perturb else {}),
    }


def resample_arrays(numbers: Sequence[ScoredValue]) -> dict[str, Any]:
    """Return the arrays of `resamples.npz`, by which runs are compared on equal windows.

    Returns:
        `index`, a JSON text: for each number of the model what it is, how many resamples it has and
        the hash of what was scored; `values`, float32, the resamples of all numbers in a row.
    """
    kept = [
        (number, number.resamples)
        for number in numbers
        if number.record.predictor == MODEL and number.resamples is not None
    ]
    index = [
        {
            **{name: getattr(number.record, name) for name in RESAMPLE_KEY},
            "resamples": len(values),
            "blocks": number.num_blocks,
            "scored": number.scored,
            "animal": number.animal,
            "neurons": number.num_neurons,
        }
        for number, values in kept
    ]
    values = [values for _, values in kept]
    joined = np.concatenate(values) if values else np.zeros(0)
    return {"index": json.dumps(index), "values": joined.astype(np.float32)}


def store(
    folder: Path, evaluation: Evaluation, options: EvalOptions, run: LoadedRun
) -> tuple[Path, ...]:
    """Write the files of an evaluation, eval.json last: where it is, the others are complete.

    Args:
        folder: Folder of the evaluation; the files of an earlier one are replaced.
        evaluation: The result.
        options: What was evaluated.
        run: Of which run.

    Returns:
        The files; without Matplotlib there is no figure.
    """
    neurons, traces, figure = folder / NEURONS, folder / TRACES, folder / FIGURE
    document, table, resamples = folder / EVAL, folder / NEURON_TABLE, folder / RESAMPLES
    arrays = {
        neurons: evaluation.neurons,
        traces: trace_arrays(evaluation.traces),
        resamples: resample_arrays(evaluation.numbers),
    }
    for path, content in arrays.items():
        with write_atomically(path) as stream:
            np.savez_compressed(stream, **content)
    write_text(table, format_neurons(evaluation.neurons))
    if has_matplotlib():
        from omnimouse_cli.evaluation.figure import draw

        with write_atomically(figure) as stream:
            draw(evaluation, title=f"{run.folder.name}, tier {options.tier}", stream=stream)
    else:
        # It would be that of an earlier evaluation.
        figure.unlink(missing_ok=True)
    write_document(document, "eval", make_document(evaluation, options, run))
    files = (document, neurons, table, traces, resamples)
    return (*files, figure) if has_matplotlib() else files


def has_matplotlib() -> bool:
    """Return whether figures can be drawn."""
    return importlib.util.find_spec("matplotlib") is not None
