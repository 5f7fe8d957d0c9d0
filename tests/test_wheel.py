"""The wheel and the source distribution in dist/: what they hold, and that no Rust is needed."""

import os
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

pytestmark = [pytest.mark.wheel, pytest.mark.slow, pytest.mark.training]

ROOT = Path(__file__).resolve().parents[1]
VERSION = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["package"]["version"]
SOURCE = f"omnimouse-{VERSION}/"
COMMANDS = (
    "simulate recordings --sessions 1 --neurons 12 --minutes 2",
    "preprocess",
    "inspect --verify",
    "train --steps 2",
    "eval --regime predict --baselines ridge",
)


def built(pattern):
    found = sorted((ROOT / "dist").glob(pattern))
    if not found:
        pytest.skip(f"dist/{pattern} is not here; `make wheel` builds it")
    (path,) = found
    return path


def package_files():
    """The files of the package that are under version control, but for the extension."""
    tracked = subprocess.run(
        ["git", "ls-files", "omnimouse_cli"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return set(tracked.stdout.split())


def run(arguments, **options):
    done = subprocess.run(arguments, capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, f"{arguments}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def install(python, source):
    pip = [sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check"]
    cache = {"CARGO_TARGET_DIR": os.environ.get("CARGO_TARGET_DIR", str(ROOT / "target"))}
    run([*pip, "install", "--quiet", "--no-deps", str(source)], env=os.environ | cache)


@pytest.fixture
def bare(tmp_path):
    """An environment with the packages of this one, but none of its programs and not omnimouse."""
    folder = tmp_path / "bare"
    venv.create(folder, with_pip=False)
    python = folder / "bin/python"
    ask = "import sysconfig; print(sysconfig.get_path('purelib'))"
    own = Path(run([python, "-c", ask]).strip())
    # torch alone has 5 GB. Packages installed here come first.
    others = sysconfig.get_path("purelib")
    (own / "others.pth").write_text(f"import site; site.addsitedir({others!r})\n")
    return folder


@pytest.fixture
def wheel():
    return built(f"omnimouse-{VERSION}-*.whl")


def test_the_wheel_is_for_every_python_from_3_11_on(wheel):
    name, version, python, abi, platform = wheel.stem.split("-")
    assert (name, version, python, abi) == ("omnimouse", VERSION, "cp311", "abi3")
    assert platform.startswith(("linux_", "manylinux", "macosx_"))


def test_the_wheel_holds_the_package_its_types_its_extension_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        information = {Path(name).name for name in archive.namelist() if ".dist-info/" in name}
        entry_points = archive.read(f"omnimouse-{VERSION}.dist-info/entry_points.txt").decode()
    assert {"omnimouse_cli/py.typed", "omnimouse_cli/_native.pyi"} <= names
    assert names == package_files() | {"omnimouse_cli/_native.abi3.so"}
    assert {"METADATA", "RECORD", "LICENSE"} <= information
    assert "omnimouse=omnimouse_cli.cli.app:main" in entry_points.replace(" ", "")


def test_the_source_distribution_holds_what_a_build_needs():
    with tarfile.open(built(f"omnimouse-{VERSION}.tar.gz")) as archive:
        names = {name.removeprefix(SOURCE) for name in archive.getnames()}
    rust = {str(path.relative_to(ROOT)) for path in (ROOT / "rust/src").rglob("*.rs")}
    needed = {"Cargo.toml", "Cargo.lock", "rust/Cargo.toml", "pyproject.toml", "README.md"}
    assert (package_files() | rust | needed | {"LICENSE", "PKG-INFO"}) <= names
    assert not [name for name in names if name.endswith(".so")]


def clean_environment(bare):
    """Variables under which only the environment's own programs are found: no cargo, no rustc."""
    return {
        "PATH": str(bare / "bin"),
        "HOME": str(bare),
        "OMP_NUM_THREADS": "1",
        "LC_ALL": "C.UTF-8",
    }


def installed_version(bare, folder):
    """Return the version that the environment imports, from its own files."""
    ask = (
        "import omnimouse_cli as om, omnimouse_cli._native as n; print(om.__version__, n.__file__)"
    )
    answer = run([bare / "bin/python", "-c", ask], env=clean_environment(bare), cwd=folder)
    version, path = answer.split()
    assert path.startswith(str(bare))
    return version


def test_an_installed_wheel_goes_from_simulate_to_eval_without_rust(wheel, bare, tmp_path):
    install(bare / "bin/python", wheel)
    assert installed_version(bare, tmp_path) == VERSION
    environment = clean_environment(bare)
    version = run([bare / "bin/omnimouse", "--version"], env=environment, cwd=tmp_path)
    assert version == f"omnimouse {VERSION}\n"
    for command in COMMANDS:
        run([bare / "bin/omnimouse", *command.split()], env=environment, cwd=tmp_path)
    assert list(tmp_path.glob("runs/*/eval/*/eval.json"))


def test_the_source_distribution_builds_and_installs(bare, tmp_path):
    install(bare / "bin/python", built(f"omnimouse-{VERSION}.tar.gz"))
    assert installed_version(bare, tmp_path) == VERSION
