"""Choice of the neurons for which stimuli are made: named, or best predicted by a run."""

from dataclasses import replace

import numpy as np
import torch

from omnimouse_cli.batch.dataset import Dataset
from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.evaluation.evaluate import evaluate
from omnimouse_cli.evaluation.records import MODEL, EvalOptions
from omnimouse_cli.probing.session_model import STRATEGY
from omnimouse_cli.reporter import Reporter, Silent
from omnimouse_cli.run.load import LoadedRun

BEST = "best"


def choose_neurons(
    run: LoadedRun,
    dataset: Dataset | None,
    session: str,
    text: str,
    *,
    device: torch.device | None = None,
    reporter: Reporter | None = None,
) -> tuple[int, ...]:
    """Return columns of neurons.

    Args:
        run: The run whose predictions rank neurons.
        dataset: Shards of the session; only `best:N` needs them.
        session: Session key.
        text: Columns from 0, separated by commas, or `best:N`: those with the highest
            single-trial correlation of `predict` on the validation tier of the run, the best first.
        device: Where predictions are computed; None is the CPU.
        reporter: Receives the progress of the evaluation.

    Raises:
        OmniMouseError: The text is neither, or there are no shards or validation windows.
    """
    kind, _, count = text.partition(":")
    if kind.strip() == BEST:
        if not count.strip().isdigit() or int(count) < 1:
            raise OmniMouseError(
                f"--neurons {text}: best takes a number of neurons", hint="for example best:10"
            )
        return _rank(run, dataset, session, device, reporter or Silent())[: int(count)]
    words = [word.strip() for word in text.split(",") if word.strip()]
    if not words or not all(word.isdigit() for word in words):
        raise OmniMouseError(
            f"--neurons {text!r} is neither a list of columns nor best:N",
            hint="for example --neurons 0,5,17 or --neurons best:10",
        )
    return tuple(int(word) for word in words)


def _rank(
    run: LoadedRun,
    dataset: Dataset | None,
    session: str,
    device: torch.device | None,
    reporter: Reporter,
) -> tuple[int, ...]:
    if dataset is None:
        raise OmniMouseError(
            "best:N needs the shards of the run, which were not found",
            hint="name their folder (--shards FOLDER), or neurons (--neurons 0,5)",
        )
    options = EvalOptions(
        regime=STRATEGY.name,
        tier=run.config.train.validation_tiers[0],
        baselines=(),
        device=(device or torch.device("cpu")).type,
    )
    only = replace(dataset, sessions=(dataset.session(session),))
    scores = evaluate(run, only, options, reporter).neurons
    folder = f"{session}/{STRATEGY.name}/neurons"
    order = np.argsort(-np.nan_to_num(scores[f"{folder}/{MODEL}"], nan=-1.0), kind="stable")
    return tuple(int(column) for column in scores[f"{folder}/index"][order])
