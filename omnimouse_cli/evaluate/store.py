"""The files of an evaluation: eval.json, neurons.npz and the figure."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from omnimouse_cli.evaluate.records import EvalOptions, Evaluation
from omnimouse_cli.files import write_atomically, write_document
from omnimouse_cli.run.load import LoadedRun

EVAL = "eval.json"
NEURONS = "neurons.npz"
FIGURE = "eval.png"


def evaluation_name(options: EvalOptions) -> str:
    """The name of an evaluation that was given none: tier and regime, and what was left out.

    Example:
        >>> evaluation_name(EvalOptions(regime="forecast", stimulus=False))
        'test-forecast-no-stimulus'
    """
    regime = Path(options.regime).stem if options.regime.endswith(".toml") else options.regime
    left_out = [f"no-{what}" for what in ("stimulus", "behavior") if not getattr(options, what)]
    perturbed = ["perturbed"] if options.perturb else []
    return "-".join([options.tier, regime, *left_out, *perturbed])


def document_of(evaluation: Evaluation, options: EvalOptions, run: LoadedRun) -> Mapping[str, Any]:
    """The content of eval.json."""
    perturbed = {
        "perturbed": [record.to_dict() for record in evaluation.perturbed],
        "attack_checks": [check.to_dict() for check in evaluation.attack_checks],
    }
    return {
        "run": run.folder.name,
        "model": run.config.model.size,
        "step": run.step,
        "options": asdict(options),
        "records": [record.to_dict() for record in evaluation.records],
        "unavailable": [statement.to_dict() for statement in evaluation.unavailable],
        **(perturbed if options.perturb else {}),
    }


def store(
    folder: Path, evaluation: Evaluation, options: EvalOptions, run: LoadedRun
) -> tuple[Path, ...]:
    """Write the files of an evaluation, eval.json last: where it is, the others are whole.

    Args:
        folder: From `run.folder.evaluation_folder`; what is there is replaced.
        evaluation: The result.
        options: What was evaluated.
        run: Of which run.

    Returns:
        The files.
    """
    neurons, figure, document = folder / NEURONS, folder / FIGURE, folder / EVAL
    with write_atomically(neurons) as stream:
        np.savez_compressed(stream, **evaluation.neurons)
    from omnimouse_cli.evaluate.figure import draw

    with write_atomically(figure) as stream:
        draw(evaluation, title=f"{run.folder.name}, tier {options.tier}", stream=stream)
    write_document(document, "eval", document_of(evaluation, options, run))
    return document, neurons, figure
