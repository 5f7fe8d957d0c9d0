"""What tells evaluations of a run apart: default names, and the check before one is replaced."""

import hashlib
import importlib.metadata
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from omnimouse_cli.batch.dataset import Dataset
from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.evaluation.records import EvalOptions, ScoredShards
from omnimouse_cli.evaluation.strategies import split_regime
from omnimouse_cli.files import read_document, to_json_value
from omnimouse_cli.model.precision import resolve_precision
from omnimouse_cli.run.ensemble import Ensemble
from omnimouse_cli.run.folder import EVAL
from omnimouse_cli.run.load import LoadedRun
from omnimouse_cli.run.weights import RunDescription

# Options that tell two evaluations of a run apart.
IDENTITY = (
    "regime", "stimulus", "behavior", "tier", "include_blanks", "stride_samples", "baselines",
    "seed", "perturb", "draws",
)  # fmt: skip
# Letters of a name before a hash takes the place of the rest; file systems take 255 bytes.
LONGEST_NAME = 180


def describe_shards(run: RunDescription, dataset: Dataset) -> ScoredShards:
    """Return which data are scored, and whether they are those of the training.

    Args:
        run: The run.
        dataset: Sessions that are scored.
    """
    scored = {session.key: session.fingerprint for session in dataset.sessions}
    trained = {entry.session: entry.fingerprint for entry in run.sessions}
    folder = dataset.folder.resolve()
    is_recorded = None not in trained.values()
    return ScoredShards(
        path=str(folder),
        fingerprint=dataset.fingerprint,
        sessions=scored,
        other_data=tuple(key for key in scored if trained[key] not in (None, scored[key])),
        is_default=scored == trained if is_recorded else folder == run.shards,
    )


def evaluation_name(options: EvalOptions, run: LoadedRun | None = None) -> str:
    """Return the default name of an evaluation: tier, regime, and what differs from the defaults.

    Args:
        options: What is evaluated.
        run: The run; an ensemble is named with its runs.

    Example:
        >>> evaluation_name(EvalOptions(regime="forecast", stimulus=False, seed=3))
        'test-forecast-no-stimulus-seed-3'
    """
    defaults = EvalOptions()
    parts = [options.tier, _regime_name(options.regime)]
    parts += [f"no-{what}" for what in ("stimulus", "behavior") if not getattr(options, what)]
    if options.perturb:
        parts.append(f"perturbed-{'+'.join(sorted(options.perturb))}")
    if options.baselines != defaults.baselines:
        names = "+".join(sorted(options.baselines))
        parts.append(f"baselines-{names}" if names else "no-baselines")
    parts += [
        f"{name.removesuffix('_samples')}-{getattr(options, name)}"
        for name in ("stride_samples", "draws", "seed")
        if getattr(options, name) != getattr(defaults, name)
    ]
    if options.shards is not None and not options.shards.is_default:
        parts.append(f"shards-{options.shards.fingerprint[:8]}")
    if isinstance(run, Ensemble):
        others = "+".join(one.folder.resolve().name for one in run.runs[1:])
        parts.append(f"ensemble-of-{len(run.runs)}-{others}")
    name = "-".join(parts)
    if len(name) <= LONGEST_NAME:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{name[:LONGEST_NAME]}-{digest}"


def _regime_name(regime: str) -> str:
    """Return regimes in a name; of a TOML file its stem and a hash of what it holds."""
    parts = split_regime(regime)
    if len(parts) > 1:
        return "+".join(map(_regime_name, parts))
    if not regime.endswith(".toml"):
        return regime
    digest = hashlib.sha256(Path(regime).read_bytes()).hexdigest()[:8]
    return f"{Path(regime).stem}-{digest}"


def require_same_evaluation(folder: Path, options: EvalOptions, run: LoadedRun) -> None:
    """Check that a folder holds no evaluation, or one of the same run with the same options.

    Args:
        folder: Where the evaluation will be written.
        options: What is evaluated.
        run: The run.

    Raises:
        OmniMouseError: The folder holds another evaluation; the message names what differs.
    """
    stored = folder / EVAL
    if not stored.is_file():
        return
    try:
        before = read_document(stored, "eval")
    except OmniMouseError:
        # A damaged file is replaced.
        return
    old, new = _identity(before), _identity(summarize_evaluation(options, run))
    if run.folder in folder.parents:
        # The run may have been renamed since.
        del old["run"]
    differing = [
        f"{name} ({old[name]}, now {new[name]})"
        for name in new
        if old.get(name) is not None and old[name] != new[name]
    ]
    if differing:
        raise OmniMouseError(
            f"{folder} holds another evaluation, which differs in {', '.join(differing)}",
            hint="name another folder with --name or --out; without them the name holds whatever "
            "differs from the defaults",
        )


def _identity(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return what tells evaluations apart; device and batches do not."""
    options = document.get("options") or {}
    regime = str(options.get("regime"))
    facts = {
        **{name: options.get(name) for name in IDENTITY},
        "regime": Path(regime).stem if regime.endswith(".toml") else regime,
        "fingerprint of the shards": (options.get("shards") or {}).get("fingerprint"),
        "run": document.get("runs") or [document.get("run")],
    }
    return {name: to_json_value(value) for name, value in facts.items()}


def summarize_evaluation(options: EvalOptions, run: LoadedRun) -> dict[str, Any]:
    """Return the fields of eval.json about the run and the options."""
    runs = [one.folder.name for one in run.runs] if isinstance(run, Ensemble) else None
    precision = resolve_precision(run.config.train.precision, options.device)
    own = {"stride": options.stride_samples, "precision": precision}
    return {
        "run": run.folder.name,
        **({} if runs is None else {"runs": runs}),
        "model": run.config.model.size,
        "step": run.step,
        # `version` is that of the document.
        "omnimouse": importlib.metadata.version("omnimouse"),
        "options": {**asdict(options), **own},
    }
