"""Run folders with known files, evaluations among them, for tests of pages: no model is trained."""

import json
from pathlib import Path

import numpy as np

from omnimouse_cli.files import write_document

# A name that would be an element, and a script, if it were not escaped.
NASTY = "<script>document.title='no'</script>"
STRATEGIES = {"predict": 0.4, "forecast": 0.3}


def write_run(folder: Path, *, finished: bool = True, session: str = "1-1", **changes) -> Path:
    """Write a run of one animal: configuration, environment, log, and a summary if finished."""
    folder.mkdir(parents=True)
    (folder / "config.toml").write_text('seed = 3\n[model]\nresponse_loss = "poisson"\n')
    environment = {
        "versions": {"python": "3.11", "omnimouse": "0.2.0"},
        "platform": "Linux x86_64",
        "command_line": ["omnimouse", "train", "shards with space"],
        "seed": 3,
        "shards": "/data/shards",
        "resumes": [],
    }
    write_document(folder / "environment.json", "environment", environment)
    lines = []
    for step in range(1, 41):
        progress = {"step": step, "epoch": step / 10, "windows": 8 * step, "tokens": 480 * step}
        losses = {"neural": 1 / step, "behavior": 2 / step}
        lines.append({**progress, "loss": 1.0, "losses": losses, "strategy": "predict"})
        if step % 20 == 0:
            record = {"strategy": "predict", "session": "overall", "target": "neurons"}
            lines.append({**progress, "validation": {**record, "value": 0.5}})
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    data = {
        "session": session,
        "animal": "mouse",
        "neurons": 30,
        "response_kind": "dff",
        "fingerprint": "0123456789abcdef",
        "licence": "CC-BY-4.0",
        "citation": "Someone et al. 2021",
        "doi": None,
    }
    summary = {
        "run": folder.name,
        "model": "nano",
        "parameters": {"core": 1_000_000, "tables": 250_000, "total": 1_250_000},
        "unique_tokens": 5_000_000,
        "tokens_seen": 15_000_000,
        "epochs": 3.0,
        "steps": 40,
        "sessions": 1,
        "animals": 1,
        "data": [data],
        "seed": 3,
        "validation": {"neural_loss": 0.5, "records": []},
        "wall_seconds": 7200.0,
        "device": "cpu",
    } | changes
    if finished:
        write_document(folder / "summary.json", "summary", summary)
    return folder


def record(strategy, predictor, value, *, session="overall", metric="single_trial_correlation"):
    """Return a record of eval.json of neurons."""
    return {
        "regime": strategy,
        "strategy": strategy,
        "inputs": ["stimulus"],
        "session": session,
        "tier": "test",
        "target": "neurons",
        "metric": metric,
        "predictor": predictor,
        "value": value,
        "low": None if value is None else value - 0.05,
        "high": None if value is None else value + 0.05,
        "neurons": 30,
        "windows": 20,
        "samples": 600,
    }


def write_evaluation(
    run: Path,
    name: str = "test-all",
    *,
    sessions=("1-1",),
    neurons: int = 30,
    perturbed: bool = False,
    baseline: str = "ridge",
    seed: int = 0,
) -> Path:
    """Write an evaluation with scores that rise with the number of the neuron."""
    folder = run / "eval" / name
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    records, arrays, traces = [], {}, {}
    for strategy, score in STRATEGIES.items():
        for session in (*sessions, "overall"):
            predictors = {"model": score, baseline: score - 0.1, "ceiling": 0.8}
            records += [
                record(strategy, one, value, session=session) for one, value in predictors.items()
            ]
            records.append(
                record(
                    strategy, "model", score / 0.8, session=session, metric="fraction_of_ceiling"
                )
            )
            records.append(record(strategy, "model", None, session=session, metric="feve"))
            for one, value in ((baseline, 0.1), ("without_stimulus", 0.02)):
                name = f"model-{one}"
                records.append(record(strategy, name, value, session=session, metric="difference"))
        for session in sessions:
            place = f"{session}/{strategy}/neurons"
            values = np.linspace(-0.1, 2 * score, neurons)
            arrays |= {
                f"{place}/index": np.arange(neurons),
                f"{place}/model": np.where(np.arange(neurons) == 5, np.nan, values),
                f"{place}/{baseline}": values / 2,
            }
            if strategy == "predict":
                arrays[f"{place}/oracle"] = np.sqrt(np.abs(values))
            shown = np.array([neurons - 1, neurons // 2])
            seconds = np.concatenate([np.arange(30), 60 + np.arange(30)]) / 30
            measured = rng.gamma(1.0, 1.0, (60, 2)).astype(np.float32)
            measured[7] = np.nan
            traces |= {
                f"{place}/index": shown,
                f"{place}/label": np.array([f"neuron {number}" for number in shown]),
                f"{place}/seconds": seconds,
                f"{place}/measured": measured,
                f"{place}/model": measured / 2,
                f"{place}/{baseline}": measured / 3,
            }
    for session in sessions:
        arrays[f"{session}/unit_id"] = 1000 + np.arange(neurons)
        arrays[f"{session}/position_um"] = rng.uniform(-300, 300, (neurons, 3))
        arrays[f"{session}/area"] = np.array([NASTY if n % 2 else "VISp" for n in range(neurons)])
    document = {
        "run": run.name,
        "model": "nano",
        "step": 40,
        "options": {"tier": "test", "regime": "all", "seed": 0},
        "rows": [
            {"strategy": "predict", "conditioning": "responses from frames", "trained_on": True}
        ],
        "records": records,
        "unavailable": [
            {"strategy": "decode", "session": "1-1", "reason": "no behavior", "predictor": None}
        ],
    }
    if perturbed:
        document["perturbed"] = list(perturbed_records())
    np.savez(folder / "neurons.npz", **arrays)
    np.savez(folder / "traces.npz", **traces)
    write_document(folder / "eval.json", "eval", document)
    return folder


def perturbed_records():
    """Yield records of noise of five severities: the score falls with each."""
    for severity in range(6):
        own = {
            "perturbation": "noise" if severity else "clean",
            "severity": severity,
            "level": 4.0 * severity,
            "level_unit": "grey levels",
        }
        for session in ("1-1", "overall"):
            yield {**own, **record("predict", "model", 0.4 - 0.05 * severity, session=session)}
        if severity:
            change = record("predict", "model-clean", -0.05 * severity, metric="difference")
            yield {**own, **change}
