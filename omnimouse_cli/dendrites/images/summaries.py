"""Tables of a comparison: rows for each seed, and summaries for each network and activation."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from omnimouse_cli.dendrites.images.architecture import RELU
from omnimouse_cli.dendrites.images.controls import PairedTest, compare_with_controls
from omnimouse_cli.dendrites.images.robustness import PROTOCOLS
from omnimouse_cli.dendrites.images.scores import F64, ScoreTable, compute_corruption_ratio
from omnimouse_cli.metrics.intervals import Interval, mean_interval

PROBABILITY = (0.0, 1.0)


def build_rows(scores: ScoreTable) -> list[dict[str, Any]]:
    """Return one record per network, activation and seed."""
    rows = []
    for network, by_name in scores.items():
        for name, score in by_name.items():
            fields, robustness = score.result.fields, score.robustness
            for seed, is_reached in enumerate(score.is_reached):
                row = {
                    "network": network,
                    "activation": name,
                    "seed": seed,
                    "parameters": fields["parameters"],
                    "accuracy": fields["accuracy"][seed],
                    "epochs_to_threshold": int(score.epochs[seed]) if is_reached else None,
                    "threshold": score.threshold,
                    "validation_accuracy": fields["validation_accuracy"][seed],
                    "best_epoch": fields["best_epoch"][seed],
                    "epochs_of_all_sessions": int(score.all_epochs[seed]) if is_reached else None,
                    "joint_accuracy": None,
                    "pretraining_r2": None,
                    "corruption_error": None,
                    "attacked_accuracy": None,
                }
                for field in ("joint_accuracy", "pretraining_r2"):
                    row[field] = None if fields[field] is None else fields[field][seed]
                if robustness is not None:
                    errors = [values[seed] for values in robustness["corruption_error"].values()]
                    row["corruption_error"] = float(np.mean(errors))
                    row["attacked_accuracy"] = robustness["attacks"]["accuracy"][seed]
                rows.append(row)
    return rows


def summarize(scores: ScoreTable) -> list[dict[str, Any]]:
    """Return one record per network and activation: means and differences over seeds."""
    summaries = []
    for by_name in scores.values():
        control, tests = by_name.get(RELU), compare_with_controls(by_name)
        for name, score in by_name.items():
            fields = score.result.fields
            mce = relative_mce = None
            if control is not None:
                mce = compute_corruption_ratio(score, control, relative=False)
                relative_mce = compute_corruption_ratio(score, control, relative=True)
            joint = score.joint_epochs
            summaries.append(
                {
                    "network": score.network,
                    "activation": name,
                    "parameters": fields["parameters"],
                    "inner_parameters": fields["inner_parameters"],
                    "units": fields["units"],
                    "accuracy": mean_interval(score.accuracy, within=PROBABILITY).to_dict(),
                    "dendritic_minus_it": _get_test(tests, "accuracy", name),
                    "threshold": score.threshold,
                    "epochs_to_threshold": mean_interval(score.epochs).to_dict(),
                    "fewer_epochs": _get_test(tests, "epochs", name),
                    "epochs_of_all_sessions": mean_interval(score.all_epochs).to_dict(),
                    "fewer_epochs_of_all_sessions": _get_test(
                        tests, "epochs_of_all_sessions", name
                    ),
                    "joint_epochs": None if joint is None else mean_interval(joint).to_dict(),
                    "never_reached": int((~score.is_reached).sum()),
                    "joint_accuracy": _summarize_accuracy(fields["joint_accuracy"]),
                    "mce": _to_dict(mce),
                    "relative_mce": _to_dict(relative_mce),
                    "attacked_accuracy": _summarize_accuracy(score.attacked_accuracy),
                    "search": fields["search"],
                }
            )
    return summaries


def _get_test(
    tests: Mapping[str, Mapping[str, PairedTest]], measure: str, name: str
) -> dict[str, float] | None:
    test = tests.get(measure, {}).get(name)
    return None if test is None else test.to_dict()


def _summarize_accuracy(values: list[float] | F64 | None) -> dict[str, float] | None:
    return None if values is None else mean_interval(values, within=PROBABILITY).to_dict()


def _to_dict(interval: Interval | None) -> dict[str, float] | None:
    return None if interval is None else interval.to_dict()


def summarize_protocols(scores: ScoreTable) -> list[dict[str, Any]]:
    """Return accuracy before and after an attack, under the valid protocol and each mistake."""
    return [
        {
            "network": network,
            "activation": name,
            "protocol": protocol,
            "clean": mean_interval(score.robustness["protocols"][protocol]["clean"]).to_dict(),
            "attacked": mean_interval(
                score.robustness["protocols"][protocol]["accuracy"]
            ).to_dict(),
        }
        for network, by_name in scores.items()
        for name, score in by_name.items()
        if score.robustness is not None
        for protocol in PROTOCOLS
    ]
