"""What the documents say is true: commands run, the maps are the tree."""

import importlib.util
import re
import shlex
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from typer.testing import CliRunner

from omnimouse_cli.cli.app import program

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
ARCHITECTURE = (ROOT / "ARCHITECTURE.md").read_text()

# The session of the README trains for minutes; the same commands at this length show that they run.
SHORTER = {
    "--minutes 10": "--steps 3",
    # The first training has linear models.
    "--steps 200": "--steps 2 --set model.decoder.linear_rank=none",
    "--models nano,tiny": "--models nano",
    "simulate recordings": "simulate recordings --neurons 8 --minutes 1",
    # Draws are averaged, and other baselines run, in tests of them.
    "eval --regime all": "eval --regime all --draws 1 --baselines train_mean --stride 90",
    "probe": "probe --neurons 0,1 --directions 4 --spatial 0.05 --temporal 2 --noise-windows 16",
    "mei --neurons best:5": "mei --neurons 0 --starts 1 --steps 2",
}


def blocks(text, language):
    found, current = [], None
    for line in text.splitlines():
        fence = line.startswith("```")
        if fence and current is not None:
            current = None
        elif fence:
            current = []
            if line == f"```{language}":
                found.append(current)
        elif current is not None:
            current.append(line)
    return ["\n".join(block) for block in found]


def commands(text):
    lines = [
        line.split("#")[0].strip() for block in blocks(text, "sh") for line in block.splitlines()
    ]
    return [line for line in lines if line]


def session_commands():
    return [line for line in commands(README) if line.startswith("omnimouse ")]


def run(words):
    """Run a command in this process: a new one would import torch for seconds."""
    done = CliRunner().invoke(program(), words)
    assert done.exit_code == 0, f"{words}\n{done.output}\n{done.exception!r}"


@pytest.mark.training
@pytest.mark.slow
@pytest.mark.usefixtures("few_mei_references")
def test_the_session_of_the_readme_runs_from_recordings_to_a_report(tmp_path, monkeypatch):
    session = session_commands()
    assert len(session) >= 6
    monkeypatch.chdir(tmp_path)
    # A movie of someone.
    np.save("movie.npy", np.zeros((90, 72, 128), np.uint8))
    for command in session:
        line = command
        for long, short in SHORTER.items():
            line = line.replace(long, short)
        run(shlex.split(line)[1:])
    assert (tmp_path / "shards" / "catalogue.json").exists()
    assert list(tmp_path.glob("runs/*/eval/*/eval.json"))


@pytest.mark.training
@pytest.mark.slow
def test_the_demo_runs_and_names_pictures_that_exist(tmp_path, monkeypatch, capsys):
    specification = importlib.util.spec_from_file_location("demo", ROOT / "examples" / "demo.py")
    demo = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(demo)

    def run_here(arguments, *, cwd, check):
        assert arguments[:3] == [sys.executable, "-m", "omnimouse_cli"]
        monkeypatch.chdir(cwd)
        run(arguments[3:])
        return SimpleNamespace(returncode=0)

    monkeypatch.setattr(demo, "subprocess", SimpleNamespace(run=run_here))
    monkeypatch.setattr(sys, "argv", ["demo.py", "--quick", "--folder", str(tmp_path / "demo")])
    assert demo.main() == 0
    after = capsys.readouterr().out.split("Pictures:")[1].split()
    assert len(after) >= 3
    assert all(Path(name).stat().st_size > 1000 for name in after)


def test_other_commands_of_the_readme_are_targets_of_the_makefile():
    makefile = (ROOT / "Makefile").read_text()
    for line in commands(README):
        if line.startswith("make "):
            assert re.search(rf"^{line.split()[1]}:", makefile, flags=re.MULTILINE), line


def mapped_paths(text):
    """Paths that a tree drawing names: two spaces of indentation are one level."""
    parents: list[str] = []
    (tree,) = (block for block in blocks(text, "") if block.startswith("omnimouse_cli/"))
    for line in tree.splitlines():
        name = line.split()[0] if line.split() else ""
        if not re.fullmatch(r"[\w./-]+", name):
            continue
        level = (len(line) - len(line.lstrip())) // 2
        parents[level:] = [name]
        yield "".join(parents[: level + 1])


@pytest.mark.parametrize("text", [README, ARCHITECTURE], ids=["README", "ARCHITECTURE"])
def test_a_map_of_the_repository_names_what_is_there_and_every_layer(text):
    named = set(mapped_paths(text))
    missing = [path for path in named if not (ROOT / path).exists()]
    assert not missing
    layers = {
        f"omnimouse_cli/{path.parent.name}/" for path in ROOT.glob("omnimouse_cli/*/__init__.py")
    }
    assert layers <= named


def walk_steps():
    """Files and names that the walks of ARCHITECTURE.md list, one pair per name."""
    walks = ARCHITECTURE.split("## Five walks")[1].split("\n## ")[0]
    for block in blocks(walks, ""):
        for line in block.splitlines():
            path, names, *_ = re.split(r"\s{2,}", line)
            yield from ((path, name) for name in names.split(", "))


def test_the_walks_of_the_architecture_name_functions_that_exist():
    steps = list(walk_steps())
    assert len(steps) > 30
    missing = [
        f"{path}: {name}"
        for path, name in steps
        if not re.search(
            rf"^(def |class |){name}\b", (ROOT / "omnimouse_cli" / path).read_text(), re.MULTILINE
        )
    ]
    assert missing == []


def test_the_guide_for_contributors_names_files_that_exist():
    guide = (ROOT / "CONTRIBUTING.md").read_text()
    named = re.findall(r"`((?:omnimouse_cli|tests|rust|benchmarks)/[\w./]+)`", guide)
    assert len(named) > 10
    assert [path for path in named if not (ROOT / path).exists()] == []
