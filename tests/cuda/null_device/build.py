"""Build the null device: a CUDA runtime, driver and cuBLAS whose kernels do nothing.

    python tests/cuda/null_device/build.py FOLDER

writes `libcuda.so.1` into FOLDER. A program that is started with the variables of `environment`
finds a device of capability 9.0 there; allocations, streams, pinned memory, compilation by inductor
and Triton, and copies of small facts are real, results of kernels are not.
"""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

HERE = Path(__file__).resolve().parent
LIBRARY = "libcuda.so.1"
# Python runs the file sitecustomize.py of this folder first.
STARTUP = HERE / "startup"
SOURCES = ("memory.c", "runtime.c", "driver.c", "libraries.c")
TORCH_LIBRARIES = ("libc10_cuda", "libtorch_cuda", "libtorch_cuda_linalg", "libtorch_python")
# What torch imports of these is replaced; libraries that are not used stay as they are.
REPLACED = re.compile(r"(__)?cuda[A-Z_]|cublas")
# Functions of cuBLAS that compute; the others make handles and set options.
PRODUCT = re.compile(
    r"cublas(?!.*(Get|Set|Create|Destroy|Algo)).*(gemm|gemv|matmul|dot)", re.IGNORECASE
)


class UnavailableError(Exception):
    """The null device cannot be built here; the message says why."""


def build(folder: Path) -> Path:
    """Build the library in a folder and return its path.

    Raises:
        UnavailableError: A compiler, a header or a CUDA build of torch is missing, or does not fit.
    """
    headers, libraries = _headers(), _torch_libraries()
    for tool in ("gcc", "nm"):
        if shutil.which(tool) is None:
            raise UnavailableError(f"{tool} was not found")
    # Headers of cuBLAS include one of the C++ library that is not everywhere, and in C need nothing
    # of it: an empty one comes last.
    substitute = folder / "include/nv/target"
    substitute.parent.mkdir(parents=True, exist_ok=True)
    substitute.touch()
    headers.append(folder / "include")
    objects = [_compile(HERE / name, folder, headers) for name in SOURCES]
    written = set(_symbols("--defined-only", objects))
    imported = {name for name in _symbols("--undefined-only", libraries) if REPLACED.match(name)}
    rest = (imported | _driver_functions(headers)) - written
    generated = folder / "generated.c"
    generated.write_text(_generated(sorted(rest)))
    objects.append(_compile(generated, folder, headers))
    library = folder / LIBRARY
    soname = f"-Wl,-soname,{LIBRARY}"
    _run(["gcc", "-shared", soname, "-o", library, *objects, "-lpthread", "-ldl"])
    return library


def environment(library: Path, counts: Path) -> dict[str, str]:
    """Return the variables with which a program sees the null device.

    Args:
        library: Path of the built library.
        counts: File that receives the counts of the program's calls; see `counts.py`.
    """
    # Triton links what it compiles against the driver that it finds in this folder.
    return {
        "LD_PRELOAD": str(library),
        "TRITON_LIBCUDA_PATH": str(library.parent),
        "NULL_DEVICE_COUNTS": str(counts),
        "PYTHONPATH": os.pathsep.join(filter(None, [str(STARTUP), os.environ.get("PYTHONPATH")])),
    }


def _headers() -> list[Path]:
    """Return the folders of headers; those of CUDA's own compiler come with Triton alone."""
    packages = Path(sysconfig.get_paths()["purelib"])
    found = [packages / "nvidia/cu13/include", packages / "triton/backends/nvidia/include"]
    for folder, header in zip(found, ("cublasLt.h", "crt/host_defines.h"), strict=True):
        if not (folder / header).is_file():
            raise UnavailableError(f"{folder / header} is not here")
    return found


def _torch_libraries() -> list[Path]:
    folder = Path(sysconfig.get_paths()["purelib"]) / "torch/lib"
    if not (folder / "libtorch_cuda.so").is_file():
        raise UnavailableError("this torch was built without CUDA")
    return [path for name in TORCH_LIBRARIES if (path := folder / f"{name}.so").is_file()]


def _compile(source: Path, folder: Path, headers: list[Path]) -> Path:
    target = folder / f"{source.stem}.o"
    include = [argument for path in (HERE, *headers) for argument in ("-I", path)]
    _run(["gcc", "-c", "-fPIC", "-O1", "-std=gnu11", "-Wall", *include, "-o", target, source])
    return target


def _run(command: list[str | Path]) -> str:
    # The compiler itself must not run on a null device.
    clean = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=clean)
    if done.returncode:
        raise UnavailableError(f"{command[0]} failed: {done.stderr.strip()[:1000]}")
    return done.stdout


def _symbols(which: str, files: list[Path]) -> list[str]:
    """Return the dynamic symbols that libraries import, or the symbols that objects define."""
    dynamic = ["-D"] if which == "--undefined-only" else []
    lines = _run(["nm", *dynamic, which, *files]).splitlines()
    return [line.split()[-1].partition("@")[0] for line in lines if len(line.split()) > 1]


def _driver_functions(headers: list[Path]) -> set[str]:
    """Return the functions that the driver's header declares, by the names that a driver exports.

    Programs look these up by name while they run, so no list of imports holds them.
    """
    text = (headers[0] / "cuda.h").read_text()
    declared = set(re.findall(r"CUresult\s+CUDAAPI\s+(cu\w+)\s*\(", text))
    renamed = re.findall(r"#\s*define\s+(cu\w+)\s+(cu\w+_v\d+)\b", text)
    return declared | {new for old, new in renamed if old in declared}


def _generated(names: list[str]) -> str:
    lines = ['#include "device.h"']
    for name in names:
        counted = "count(COUNT_PRODUCTS); " if PRODUCT.match(name) else ""
        lines.append(f"int {name}(void) {{ {counted}return 0; }}")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(f"{build(Path(sys.argv[1]))}\n")
