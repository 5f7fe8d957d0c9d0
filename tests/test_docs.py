"""The pages of docs/ are true: commands run, options and links exist, the contract is whole."""

import ast
import json
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import typer.main
import yaml
from typer.testing import CliRunner

import omnimouse_cli as om
from omnimouse_cli.cli.app import program

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted((ROOT / "docs").glob("*.md"))
# Pages whose commands run one after the other in one working folder.
SESSION = (
    "getting_started", "my_recording", "how_good", "neurons_like", "more_data", "two_arguments",
    "my_cluster",
)  # fmt: skip
# What a person waits for, and what is enough to show that the command runs.
SHORTER = {
    "simulate recordings": "simulate recordings --sessions 1 --neurons 8 --minutes 1",
    # Linear models are computed before each training; those of the README have them.
    "--minutes 10": "--steps 2 --set model.decoder.linear_rank=none",
    "--steps 300": "--steps 2 --set model.decoder.linear_rank=none",
    "train --set": "train --set model.decoder.linear_rank=none --set",
    "--steps 200": "--steps 2",
    "--regime all": "--regime predict --baselines ridge",
    "--regime forecast": "--regime forecast-causal --baselines ridge",
    "--perturb noise": "--perturb noise --stride 300",
    "predict --tier test --regime forecast-causal --baselines ridge": "predict --tier test",
    "mei ": "mei --starts 1 --steps 2 ",
    "--columns parameters": "--bootstrap 10 --columns parameters",
    "compare --data digits": "compare --quick --networks mlp --activations relu --seeds 2 "
    "--epochs 1 --no-robustness",
}
# Documents that only omnimouse itself reads.
INTERNAL = {
    "truth", "checkpoint", "dendrites-comparison", "dendrites-competitor", "dendrites-robustness",
}  # fmt: skip
README = (ROOT / "README.md").read_text()


def blocks(text, language):
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


def shown_commands(text):
    """Words of each `omnimouse` command of a page, from its own name on."""
    lines = [
        line
        for block in [*blocks(text, "sh"), *blocks(text, "console")]
        for line in block.replace("\\\n", " ").splitlines()
    ]
    lines += re.findall(r"`(omnimouse [a-z][^`\n]*)`", text)
    # A command may be an argument of another one.
    found = [re.split(r"\bomnimouse(?:_cli)? (?=[a-z])", line) for line in lines]
    return [shlex.split(parts[1].strip("'")) for parts in found if len(parts) > 1]


def page_id(page):
    return page.stem


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_commands_have_the_options_that_are_shown(page):
    whole = typer.main.get_command(program())
    for name, *words in shown_commands(page.read_text()):
        command = whole.commands[name]
        if words and words[0] in getattr(command, "commands", {}):
            command = command.commands[words[0]]
        options = {text for parameter in command.params for text in parameter.opts}
        shown = {word.partition("=")[0] for word in words if word.startswith("--")}
        assert shown <= options | {"--help"}, f"{name} has no {shown - options}"


def test_the_script_that_is_shown_is_the_one_that_the_tests_submit():
    (shown,) = blocks((ROOT / "docs/slurm.md").read_text(), "bash")
    assert shown == (ROOT / "examples/slurm_train.sh").read_text()


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_links_lead_somewhere(page):
    # The site has some pages that are made from other files.
    made = {"changelog.md", "commands.md"}
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text()):
        if not target.startswith("https://") and target not in made:
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_programs_that_are_shown_use_public_names(page):
    for block in blocks(page.read_text(), "python"):
        used = {
            node.attr
            for node in ast.walk(ast.parse(block))
            if isinstance(node, ast.Attribute) and getattr(node.value, "id", None) == "om"
        }
        assert used <= set(om.__all__)


def test_the_version_is_the_same_everywhere():
    cargo = tomllib.loads((ROOT / "Cargo.toml").read_text())
    version = cargo["workspace"]["package"]["version"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == version
    (released, date), *_ = re.findall(
        r"^## ([\d.]+) - ([\d-]+)$", (ROOT / "CHANGELOG.md").read_text(), flags=re.MULTILINE
    )
    assert (released, date) == (version, str(citation["date-released"]))
    assert f"version = {{{version}}}" in (ROOT / "docs/cite.md").read_text()


def test_every_page_of_a_session_is_there_and_shows_commands():
    for name in SESSION:
        assert shown_commands((ROOT / f"docs/{name}.md").read_text()), name


def session_commands():
    """Commands of the pages; those of the README run in its own test, but for the first page."""
    elsewhere = set("\n".join(blocks(README, "sh")).splitlines())
    for name in SESSION:
        for line in "".join(blocks((ROOT / f"docs/{name}.md").read_text(), "sh")).splitlines():
            if line.startswith("omnimouse ") and (line not in elsewhere or name == SESSION[0]):
                yield line


@pytest.mark.training
@pytest.mark.slow
@pytest.mark.usefixtures("few_mei_references")
def test_the_commands_of_the_pages_run_and_write_the_fields_of_the_contract(
    tmp_path, monkeypatch, write_nwb
):
    h5py = pytest.importorskip("h5py")
    monkeypatch.chdir(tmp_path)
    with h5py.File("session.nwb", "w") as file:
        write_nwb(file)
    sizes = [(n, d) for n in (1e6, 2e6, 4e6, 8e6) for d in (1e9, 2e9, 4e9, 8e9)]
    rows = [f"{n},{d},{1 + 20 / n**0.35 + 320 / d**0.3}" for n, d in sizes]
    Path("runs.csv").write_text("\n".join(["params,tokens,loss", *rows]))
    for command in session_commands():
        line = command
        for long, short in SHORTER.items():
            line = line.replace(long, short)
        done = CliRunner().invoke(program(), shlex.split(line)[1:])
        assert done.exit_code == 0, f"{line}\n{done.output}\n{done.exception}"
    contract = (ROOT / "docs/outputs.md").read_text()
    fields = {}
    for path in Path().rglob("*.json"):
        content = json.loads(path.read_text())
        kind = content.get("format", "") if isinstance(content, dict) else ""
        if kind.startswith("omnimouse-") and kind.removeprefix("omnimouse-") not in INTERNAL:
            fields.setdefault(kind, set()).update(content)
    assert len(fields) >= 8
    lacking = {
        (kind, name)
        for kind, names in fields.items()
        for name in names
        if f"`{name}`" not in contract
    }
    assert not lacking, "docs/outputs.md lacks these fields"


@pytest.mark.slow
def test_the_site_builds_without_a_warning(tmp_path):
    pytest.importorskip("mkdocs")
    pytest.importorskip("nbconvert")
    arguments = ["-m", "mkdocs", "--quiet", "build", "--strict", "--site-dir", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "commands/index.html").read_text()
    assert "--adapt-from" in page
    assert (tmp_path / "trained_twin/index.html").read_text().count("<img") >= 3
    # Nothing is loaded from elsewhere.
    for path in tmp_path.rglob("*.html"):
        loaded = re.findall(
            r'<(?:script|link|img)[^>]*(?:src|href)="(https?:[^"]*)"', path.read_text()
        )
        assert [address for address in loaded if "canonical" not in address] == [], path
