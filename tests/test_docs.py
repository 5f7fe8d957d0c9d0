"""The pages of docs/ are true: commands and options exist, their script is the tested one."""

import re
import shlex
from pathlib import Path

import pytest
import typer.main

from omnimouse_cli.cli.app import program

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted((ROOT / "docs").glob("*.md"))


def blocks(text, language):
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


def commands(text):
    """Words of each `omnimouse` command of a page, from its own name on."""
    lines = [
        line
        for block in blocks(text, "sh")
        for line in block.replace("\\\n", " ").splitlines()
        if re.search(r"\bomnimouse(_cli)? ", line)
    ]
    # A command may be an argument of another one.
    return [shlex.split(re.split(r"\bomnimouse(?:_cli)? ", line)[1].strip("'")) for line in lines]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_commands_have_the_options_that_are_shown(page):
    known = typer.main.get_command(program()).commands
    found = commands(page.read_text())
    assert len(found) >= 1
    for name, *words in found:
        options = {text for parameter in known[name].params for text in parameter.opts}
        shown = {word.partition("=")[0] for word in words if word.startswith("--")}
        assert shown <= options, f"{name} has no {shown - options}"


def test_the_script_that_is_shown_is_the_one_that_the_tests_submit():
    (shown,) = blocks((ROOT / "docs/slurm.md").read_text(), "bash")
    assert shown == (ROOT / "examples/slurm_train.sh").read_text()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        assert (page.parent / target).exists(), target
