"""Triton kernels compiled for an absent GPU: their registers, spills and instructions."""

import re
import subprocess
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from omnimouse_cli.kernels.dendrite.function import DendriticFunction
from omnimouse_cli.kernels.dendrite.lookup import triton as lookup
from omnimouse_cli.kernels.dendrite.lookup.grid import Grid
from omnimouse_cli.kernels.dendrite.swiglu import (
    swiglu_backward_kernel,
    swiglu_forward_kernel,
)
from omnimouse_cli.kernels.dendrite.tiles import compile_constants, tile_constants
from omnimouse_cli.kernels.dendrite.triton import backward_kernel, forward_kernel

POINTER_TYPES = {"float32": "*fp32", "bfloat16": "*bf16", "float16": "*fp16"}
NUM_WARPS = 4
# Units of a layer, more than the elements of a tile.
WIDE = 8192
LINE = re.compile(r"^(\.L_x_\d+):|^\s*/\*[0-9a-f]+\*/\s+(?:@!?U?P\w+\s+)?([A-Z][A-Z0-9_.]*)(.*);")
LABEL = re.compile(r"\.L_x_\d+")
# Instructions that read or write a thread's own memory, which is where registers spill to.
LOCAL_MEMORY = ("LDL", "STL")


class CompiledKernel(NamedTuple):
    """A compiled kernel.

    Args:
        registers: Registers of a thread.
        spilled_bytes: Local memory of a thread.
        shared_bytes: Shared memory of a program.
        instructions: Instructions of the whole kernel, in order.
        loop: Instructions of its longest loop, the one over tiles.
    """

    registers: int
    spilled_bytes: int
    shared_bytes: int
    instructions: list[str]
    loop: list[str]

    @property
    def uses_local_memory(self) -> bool:
        """Whether any instruction touches local memory."""
        return any(name.startswith(LOCAL_MEMORY) for name in self.instructions)


# Names of the pointers to arguments, results and their gradients.
FORWARD_POINTERS = ("a_pointer", "b_pointer", "out_pointer")
BACKWARD_POINTERS = ("g_pointer", "a_pointer", "b_pointer", "da_pointer", "db_pointer")
# Names of the 32-bit integers.
INTEGERS = (
    "count", "rows", "share", "g_stride", "a_stride", "b_stride", "d_stride", "out_stride",
)  # fmt: skip
OTHER_POINTERS = {"weights": "*fp32", "partial": "*fp32", "table": "*i64"}


def compile_dendrite(
    function: DendriticFunction, dtype: str, capability: int
) -> tuple[CompiledKernel, CompiledKernel]:
    """Compile the forward and the backward pass of a dendritic function in wide layers.

    Args:
        function: Shape of the inner network.
        dtype: Type of the arguments: float32, bfloat16 or float16.
        capability: Compute capability of the GPU: 80, 90 or 100.
    """
    constants = compile_constants(function, getattr(torch, dtype), WIDE, is_flat=True)
    return _compile_both(forward_kernel, backward_kernel, dtype, constants, capability)


def compile_lookup(
    grid: Grid, dtype: str, capability: int
) -> tuple[CompiledKernel, CompiledKernel]:
    """Compile the forward and the backward pass of interpolation in wide layers."""
    tiles = tile_constants(getattr(torch, dtype), WIDE, is_flat=True)
    constants = {**lookup.compile_constants(grid), **tiles}
    return _compile_both(
        lookup.forward_kernel, lookup.backward_kernel, dtype, constants, capability
    )


def compile_swiglu(dtype: str, capability: int) -> tuple[CompiledKernel, CompiledKernel]:
    """Compile the forward and the backward pass of SwiGLU in the same way."""
    constants = {"TILE": tile_constants(getattr(torch, dtype), WIDE, is_flat=True)["TILE"]}
    return _compile_both(
        swiglu_forward_kernel, swiglu_backward_kernel, dtype, constants, capability
    )


def _compile_both(
    forward: Any,  # noqa: ANN401 - a triton.jit function
    backward: Any,  # noqa: ANN401
    dtype: str,
    constants: dict[str, Any],
    capability: int,
) -> tuple[CompiledKernel, CompiledKernel]:
    return (
        _compile(forward, dict.fromkeys(FORWARD_POINTERS, dtype), constants, capability),
        _compile(backward, dict.fromkeys(BACKWARD_POINTERS, dtype), constants, capability),
    )


def _compile(
    kernel: Any,  # noqa: ANN401
    pointers: dict[str, str],
    constants: dict[str, Any],
    capability: int,
) -> CompiledKernel:
    """Compile a kernel with strides and sizes that 16 divides."""
    types = {name: POINTER_TYPES[dtype] for name, dtype in pointers.items()} | OTHER_POINTERS
    types |= dict.fromkeys(INTEGERS, "i32")
    signature = {name: types.get(name, "constexpr") for name in kernel.arg_names}
    variables = [number for number, kind in enumerate(signature.values()) if kind != "constexpr"]
    attributes = {(number,): [["tt.divisibility", 16]] for number in variables}
    source = ASTSource(kernel, signature, constants, attributes)
    target = GPUTarget("cuda", capability, 32)
    options = {"num_warps": NUM_WARPS, "enable_fp_fusion": True}
    return _disassemble(triton.compile(source, target=target, options=options))


def _disassemble(done: Any) -> CompiledKernel:  # noqa: ANN401 - the result of triton.compile
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "kernel.cubin"
        path.write_bytes(done.asm["cubin"])
        text = _run("nvdisasm", "-c", str(path))
        usage = _run("cuobjdump", "-res-usage", str(path))
    names, loop = _instructions(text)
    registers = re.search(r"REG:(\d+)", usage)
    stack = re.search(r"STACK:(\d+)", usage)
    assert registers is not None, "cuobjdump prints the number of registers"
    assert stack is not None, "cuobjdump prints the size of the stack"
    return CompiledKernel(
        registers=int(registers.group(1)),
        spilled_bytes=int(stack.group(1)),
        shared_bytes=int(done.metadata.shared),
        instructions=names,
        loop=loop,
    )


def _run(tool: str, *arguments: str) -> str:
    binary = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / tool
    done = subprocess.run([binary, *arguments], capture_output=True, text=True, check=True)
    return done.stdout


def _instructions(text: str) -> tuple[list[str], list[str]]:
    """Return the names of all instructions, and those of the longest loop."""
    names: list[str] = []
    labels: dict[str, int] = {}
    loop = (0, 0)
    for line in text.splitlines():
        found = LINE.match(line)
        if found is None:
            continue
        label, name, rest = found.groups()
        if label:
            labels[label] = len(names)
            continue
        names.append(name)
        target = LABEL.search(rest)
        start = labels.get(target.group()) if name.startswith("BRA") and target else None
        # The last instructions jump to themselves, so that nothing runs past the end.
        if start is not None and len(names) - start > loop[1] - loop[0]:
            loop = (start, len(names))
    return names, names[slice(*loop)]
