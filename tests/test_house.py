"""The house rules that a linter does not know: sizes, first lines, the one arrow."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PYTHON = sorted((ROOT / "omnimouse_cli").rglob("*.py"))
SCRIPTS = sorted(
    path for name in ("examples", "benchmarks") for path in (ROOT / name).rglob("*.py")
)
TESTS = sorted((ROOT / "tests").rglob("*.py"))
RUST = sorted((ROOT / "rust" / "src").rglob("*.rs"))
MAX_FILE_LINES = 300
MAX_FUNCTION_LINES = 50


def names(paths):
    return [str(path.relative_to(ROOT)) for path in paths]


def test_there_is_a_house():
    assert len(PYTHON) > 50
    assert RUST


def test_no_file_is_longer_than_300_lines():
    sizes = {
        path: len(path.read_text().splitlines()) for path in [*PYTHON, *RUST, *SCRIPTS, *TESTS]
    }
    assert names(path for path, size in sizes.items() if size > MAX_FILE_LINES) == []


@pytest.mark.parametrize("path", [*PYTHON, *SCRIPTS], ids=names([*PYTHON, *SCRIPTS]))
def test_no_function_is_longer_than_50_lines(path):
    functions = [
        node
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    assert [
        f"{node.name}: {size}"
        for node in functions
        if (size := body_lines(node)) > MAX_FUNCTION_LINES
    ] == []


def body_lines(node):
    """Lines from the first statement on: a signature and a docstring explain and do nothing."""
    body = node.body[1:] if ast.get_docstring(node) else node.body
    return body[-1].end_lineno - body[0].lineno + 1 if body else 0


def test_the_first_line_of_each_python_file_says_its_one_job():
    wrong = []
    for path in [*PYTHON, *SCRIPTS, *TESTS]:
        first = path.read_text().splitlines()[0]
        if not re.fullmatch(r'r?"""\S.*[.?](""")?', first):
            wrong.append(path)
    assert names(wrong) == []


def test_the_first_line_of_each_rust_file_says_its_one_job():
    assert names(path for path in RUST if not path.read_text().startswith("//! ")) == []


def test_python_and_rust_leave_nothing_unfinished():
    words = re.compile(r"\b(TODO|FIXME|XXX|NotImplementedError)\b|todo!\(|unimplemented!\(")
    found = [path for path in [*PYTHON, *RUST, *SCRIPTS] if words.search(path.read_text())]
    assert names(found) == []


def test_only_kernels_know_triton_and_only_shard_batch_and_kernels_the_extension():
    where = {"triton": set(), "omnimouse_cli._native": set()}
    for path in PYTHON:
        inside = path.relative_to(ROOT / "omnimouse_cli")
        for module in imported(path):
            for known, places in where.items():
                if module == known or module.startswith(f"{known}."):
                    places.add(inside)
    assert all(path.parts[0] == "kernels" for path in where["triton"])
    allowed = {"shard", "batch", "kernels", "cli"}
    assert {path.parts[0] for path in where["omnimouse_cli._native"]} <= allowed


def imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_imports_follow_the_one_arrow():
    pytest.importorskip("omnimouse_cli._native", reason="the contract names the built extension")
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run(
        [linter, "--no-logo", "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
