"""Brain models at the scale of whole data sets: the package behind the `omnimouse` command.

The names below are its functions for Python; each is loaded when it is first used.

>>> import numpy as np
>>> import omnimouse_cli as om
>>> run = om.load_run("runs/demo")
>>> rates = run.predict(np.zeros((90, 36, 64)), fps=30, session="20001-1-1")
>>> rates
Prediction: float32 (90, 6), unit rate, 0.000 to 2.967 s
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from omnimouse_cli.api.compare import compare
    from omnimouse_cli.api.evaluate import evaluate
    from omnimouse_cli.api.load import load_run
    from omnimouse_cli.api.mei import most_exciting
    from omnimouse_cli.api.preprocess import preprocess
    from omnimouse_cli.api.probe import probe
    from omnimouse_cli.api.report import run_report
    from omnimouse_cli.api.scaling_report import scaling_report
    from omnimouse_cli.api.shards import open_shards
    from omnimouse_cli.api.simulate import simulate
    from omnimouse_cli.api.train import train
    from omnimouse_cli.errors import OmniMouseError

    __version__: str

# Public names and the modules that have them.
_MODULES = {
    "OmniMouseError": "errors",
    "compare": "api.compare",
    "evaluate": "api.evaluate",
    "load_run": "api.load",
    "most_exciting": "api.mei",
    "open_shards": "api.shards",
    "preprocess": "api.preprocess",
    "probe": "api.probe",
    "run_report": "api.report",
    "scaling_report": "api.scaling_report",
    "simulate": "api.simulate",
    "train": "api.train",
}

__all__ = [
    "OmniMouseError",
    "__version__",
    "compare",
    "evaluate",
    "load_run",
    "most_exciting",
    "open_shards",
    "preprocess",
    "probe",
    "run_report",
    "scaling_report",
    "simulate",
    "train",
]


def __getattr__(name: str) -> object:
    """Load a public name (PEP 562)."""
    if name == "__version__":
        from importlib.metadata import version

        value: object = version("omnimouse")
    elif name in _MODULES:
        value = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
