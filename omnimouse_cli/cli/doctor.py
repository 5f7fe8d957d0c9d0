"""`omnimouse doctor`: versions, devices and missing libraries."""

import importlib.util
import os
import platform
import shutil
from pathlib import Path
from typing import Any

from omnimouse_cli.api.folders import folder
from omnimouse_cli.cli.console import print_document, print_next, print_table
from omnimouse_cli.cli.options import JsonOption
from omnimouse_cli.cli.tables import pair_table

_LIBRARIES = {
    "torch": "training and evaluation",
    "numpy": "everything",
    "safetensors": "weights",
    "triton": "fused kernels on a GPU",
    "matplotlib": "figures (extra `report`)",
    "scipy": "scaling laws (extra `report`)",
    "scikit-learn": "the ridge baseline (extra `report`)",
}


def command_doctor(*, json_output: JsonOption = False) -> None:
    """Show versions, devices and missing libraries."""
    facts = _facts()
    if json_output:
        print_document("doctor", facts)
        return
    versions = facts["versions"].items()
    pairs = {name: value or f"missing: needed for {_LIBRARIES[name]}" for name, value in versions}
    pairs |= {name.replace("_", " "): str(value) for name, value in facts["machine"].items()}
    pairs["GPUs"] = ", ".join(facts["gpus"]) or "none: training runs on the CPU"
    pairs["missing"] = ", ".join(facts["missing"]) or "nothing"
    print_table(pair_table("omnimouse doctor", pairs.items()))
    print_next(*(["preprocess"] if folder("recordings").is_dir() else ["simulate", "recordings"]))


def _facts() -> dict[str, Any]:
    versions = {"omnimouse": _version("omnimouse")} | {name: _version(name) for name in _LIBRARIES}
    gpus: list[str] = []
    if versions["torch"]:
        import torch

        gpus = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    missing = [name for name, version in versions.items() if version is None]
    if importlib.util.find_spec("omnimouse_cli._native") is None:
        missing.append("the Rust extension (install with maturin)")
    return {
        "versions": versions,
        "machine": {
            "python": platform.python_version(),
            "platform": platform.platform(),
            "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
            "free_disk_gigabytes": round(shutil.disk_usage(Path.cwd()).free / 1e9, 1),
        },
        "gpus": gpus,
        "missing": missing,
    }


def _version(name: str) -> str | None:
    import importlib.metadata

    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
