"""`import omnimouse_cli`: quick, without torch, and with the options of the commands."""

import importlib.metadata
import inspect
import subprocess
import sys

import pytest
import typer.main

import omnimouse_cli as om
from omnimouse_cli.cli.app import program

FUNCTIONS = sorted(set(om.__all__) - {"OmniMouseError", "__version__"})


def run(program: str) -> str:
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_the_package_imports_neither_torch_nor_numpy():
    heavy = "[name for name in ('torch', 'numpy', 'typer', 'rich') if name in sys.modules]"
    assert run(f"import sys, omnimouse_cli; print({heavy})") == "[]"


def test_shards_are_read_without_torch():
    text = "import sys, omnimouse_cli as om; om.open_shards; print('torch' in sys.modules)"
    assert run(text) == "False"


def test_names_are_public_and_others_do_not_exist():
    assert dir(om) == sorted(om.__all__)
    assert om.__version__ == importlib.metadata.version("omnimouse")
    with pytest.raises(AttributeError, match="module 'omnimouse_cli' has no attribute 'tarin'"):
        _ = om.tarin


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_are_documented_with_an_example(name):
    text = inspect.getdoc(getattr(om, name))
    for heading in ("Args:", "Raises:", "Example:"):
        assert heading in text


# Options that only a command has: what it prints, other processes.
OF_COMMANDS = {
    "preprocess": {"task", "slurm"},
    "train": {"dry_run"},
    "eval": {"metrics", "ensemble"},
    "probe": set(),
    "mei": set(),
    "simulate": set(),
    "scaling-report": set(),
    "report": set(),
}


@pytest.mark.parametrize("name", OF_COMMANDS)
def test_keywords_are_the_options_of_the_command_with_their_defaults(name):
    others = {"eval": "evaluate", "mei": "most_exciting", "report": "run_report"}
    function = getattr(om, others.get(name, name.replace("-", "_")))
    keywords = inspect.signature(function).parameters
    options = {
        parameter.opts[0].removeprefix("--").replace("-", "_"): parameter.default
        for parameter in typer.main.get_command(program()).commands[name].params
        if parameter.param_type_name == "option"
    }
    for shown in ("help", "json", "quiet", *OF_COMMANDS[name]):
        options.pop(shown, None)
    named = {
        key: one for key, one in keywords.items() if one.kind is inspect.Parameter.KEYWORD_ONLY
    }
    assert set(named) - {"progress"} == set(options)
    for key, default in options.items():
        # No option is an empty sequence here, and a path a text there.
        assert (named[key].default or None) == (default or None), key
