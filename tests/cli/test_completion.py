"""The Tab key completes values, cheaply and without errors."""

import json
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from omnimouse_cli.cli.app import _COMMANDS, program
from omnimouse_cli.config.load import load_config
from omnimouse_cli.errors import ConfigError


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A working folder with a catalogue and two runs."""
    monkeypatch.chdir(tmp_path)
    for name in ("runs/first", "runs/second"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "config.toml").touch()
    (tmp_path / "shards").mkdir()
    sessions = [
        {"session": "100-1-1", "animal": "100", "tiers": {"train": 1.0, "held-out": 1.0}},
        {"session": "200-1-1", "animal": "200", "tiers": {}},
    ]
    (tmp_path / "shards/catalogue.json").write_text(json.dumps({"sessions": sessions}))
    return tmp_path


def complete(*words):
    environment = {
        "_OMNIMOUSE_COMPLETE": "complete_bash",
        "COMP_WORDS": "\n".join(("omnimouse", *words)),
        "COMP_CWORD": str(len(words)),
    }
    result = CliRunner().invoke(program(words[0]), [], env=environment, prog_name="omnimouse")
    assert result.exit_code == 0, result.output
    return result.stdout.split()


@pytest.mark.parametrize(
    ("words", "values"),
    [
        (("train", "--model", "ti"), ["tiny"]),
        (("train", "--model", ""), ["nano", "tiny", "1M"]),
        (("train", "--device", "cu"), ["cuda"]),
        (("train", "--sessions", "100-1-1,2"), ["100-1-1,200-1-1"]),
        (("train", "--init-from", "runs/f"), ["runs/first"]),
        (("sweep", "--models", "nano,ti"), ["nano,tiny"]),
        (("eval", "--regime", "fore"), ["forecast", "forecast+stimulus"]),
        (("eval", "--tier", "held"), ["held-out"]),
        (("eval", "--tier", "o"), ["oracle"]),
        (("eval", "runs/"), ["runs/first", "runs/second"]),
        (("inspect", "--session", "2"), ["200-1-1"]),
        (("probe", "--animal", "1"), ["100"]),
    ],
)
def test_values_are_completed(place, words, values):
    found = complete(*words)
    assert set(values) <= set(found)
    last = words[-1]
    assert all(value.startswith(last) for value in found)


def test_every_completed_configuration_key_exists(place):
    keys = complete("train", "--set", "")
    assert "model.layers=" in keys
    assert "train.steps=" in keys
    for key in keys:
        with pytest.raises(ConfigError) as wrong:
            load_config(None, [f"{key}[[]]"])
        assert "there is no configuration key" not in str(wrong.value)
    assert complete("train", "--set", "train.wa") == ["train.warmup_fraction="]


def test_nothing_is_said_where_nothing_can_be_completed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shards").mkdir()
    (tmp_path / "shards/catalogue.json").write_text("no JSON")
    (tmp_path / "omnimouse.toml").write_text("no TOML = [")
    for words in (("eval", "--tier", "x"), ("inspect", "--session", ""), ("eval", "")):
        assert complete(*words) == []


@pytest.mark.training
def test_completion_imports_neither_torch_nor_numpy(place):
    code = (
        "import os, sys\n"
        "os.environ |= {'_OMNIMOUSE_COMPLETE': 'complete_bash', 'COMP_CWORD': '3',\n"
        "    'COMP_WORDS': 'omnimouse eval --regime fore'}\n"
        "sys.argv = ['omnimouse']\n"
        "from omnimouse_cli.cli.app import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print(sorted({'torch', 'numpy', 'omnimouse_cli.cli.train'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert done.stderr == ""


@pytest.mark.parametrize("name", [*_COMMANDS, "dendrites", "dendrites compare", "bench loader"])
def test_h_is_help(name):
    short, long = (
        CliRunner().invoke(program(name.split()[0]), [*name.split(), option])
        for option in ("-h", "--help")
    )
    assert short.exit_code == 0
    assert short.output == long.output
