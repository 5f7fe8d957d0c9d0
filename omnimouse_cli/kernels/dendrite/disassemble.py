"""Triton kernels compiled for an absent GPU: their registers, spills and instructions."""

import re
import subprocess
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import torch
import triton
from torch import Tensor
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from omnimouse_cli.kernels.dendrite.function import DendriticFunction
from omnimouse_cli.kernels.dendrite.lookup import triton as lookup
from omnimouse_cli.kernels.dendrite.lookup.grid import Grid
from omnimouse_cli.kernels.dendrite.swiglu import (
    swiglu_backward_kernel,
    swiglu_forward_kernel,
)
from omnimouse_cli.kernels.dendrite.tiles import OPTIONS, TiledSize, tiled_size
from omnimouse_cli.kernels.dendrite.triton import (
    backward_kernel,
    compile_constants,
    forward_kernel,
)

POINTER_TYPES = {torch.float32: "*fp32", torch.bfloat16: "*bf16", torch.float16: "*fp16"}
# A layer with more units than the elements of a tile, all of one cell type.
WIDE = (1, 8192)
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
POINTERS = (
    "g_pointer", "a_pointer", "b_pointer", "out_pointer", "da_pointer", "db_pointer",
)  # fmt: skip
OTHER_POINTERS = {"weights": "*fp32", "partial": "*fp32", "table": "*i64"}
STRIDES = ("g_stride", "a_stride", "b_stride", "d_stride", "out_stride")


def compile_dendrite(
    function: DendriticFunction,
    dtype: str,
    capability: int,
    shape: tuple[int, int] = WIDE,
    types: int = 1,
) -> tuple[CompiledKernel, CompiledKernel]:
    """Compile the forward and the backward pass of a dendritic function.

    Args:
        function: Shape of the inner network.
        dtype: Type of the arguments: float32, bfloat16 or float16.
        capability: Compute capability of the GPU: 80, 90 or 100.
        shape: Rows and units of the matrices.
        types: Cell types.
    """
    matrix = torch.empty(shape, dtype=getattr(torch, dtype))
    size = tiled_size([matrix], types)
    constants = compile_constants(function, matrix.dtype, size)
    return _compile_both((forward_kernel, backward_kernel), matrix, size, constants, capability)


def compile_lookup(
    grid: Grid, dtype: str, capability: int, shape: tuple[int, int] = WIDE, types: int = 1
) -> tuple[CompiledKernel, CompiledKernel]:
    """Compile the forward and the backward pass of interpolation."""
    matrix = torch.empty(shape, dtype=getattr(torch, dtype))
    size = tiled_size([matrix], types)
    constants = lookup.compile_constants(grid) | size.constants
    kernels = (lookup.forward_kernel, lookup.backward_kernel)
    return _compile_both(kernels, matrix, size, constants, capability)


def compile_swiglu(
    dtype: str, capability: int, shape: tuple[int, int] = WIDE
) -> tuple[CompiledKernel, CompiledKernel]:
    """Compile the forward and the backward pass of SwiGLU in the same way."""
    matrix = torch.empty(shape, dtype=getattr(torch, dtype))
    size = tiled_size([matrix], 1)
    constants = {"TILE": size.constants["TILE"]}
    kernels = (swiglu_forward_kernel, swiglu_backward_kernel)
    return _compile_both(kernels, matrix, size, constants, capability)


def _compile_both(
    kernels: tuple[Any, Any],
    matrix: Tensor,
    size: TiledSize,
    constants: dict[str, Any],
    capability: int,
) -> tuple[CompiledKernel, CompiledKernel]:
    """Compile two kernels for contiguous matrices, as Triton does when they are launched."""
    pointers = dict.fromkeys(POINTERS, POINTER_TYPES[matrix.dtype]) | OTHER_POINTERS
    numbers = dict.fromkeys(STRIDES, matrix.stride(0))
    numbers |= {"rows": size.rows, "share": size.share, "count": matrix.numel()}
    # A number of 1 is made a constant, and a kernel may rely on what is divisible by 16.
    constants = constants | {name: 1 for name, number in numbers.items() if number == 1}
    types = pointers | dict.fromkeys(numbers, "i32") | dict.fromkeys(constants, "constexpr")
    divisible = {name for name, number in numbers.items() if number % 16 == 0} | pointers.keys()
    forward, backward = (
        _disassemble(_compile(kernel, types, constants, divisible, capability))
        for kernel in kernels
    )
    return forward, backward


def _compile(
    kernel: Any,  # noqa: ANN401 - a triton.jit function
    types: dict[str, str],
    constants: dict[str, Any],
    divisible: set[str],
    capability: int,
) -> Any:  # noqa: ANN401
    names = kernel.arg_names
    signature = {name: types[name] for name in names}
    constants = {name: value for name, value in constants.items() if name in names}
    attributes = {
        (number,): [["tt.divisibility", 16]]
        for number, name in enumerate(names)
        if name in divisible
    }
    source = ASTSource(kernel, signature, constants, attributes)
    target = GPUTarget("cuda", capability, 32)
    return triton.compile(source, target=target, options=OPTIONS)


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
