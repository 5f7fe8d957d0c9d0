"""Kernels compiled for a GPU that is not here: their registers, spills and instructions."""

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
from omnimouse_cli.kernels.dendrite.tiles import constants_of
from omnimouse_cli.kernels.dendrite.triton import backward_kernel, forward_kernel
from omnimouse_cli.kernels.dendrite.yardstick import (
    swiglu_backward_kernel,
    swiglu_forward_kernel,
)

POINTER_TYPES = {"float32": "*fp32", "bfloat16": "*bf16", "float16": "*fp16"}
NUM_WARPS = 4
# Units of a layer, more than a tile has.
WIDE = 8192
LINE = re.compile(r"^(\.L_x_\d+):|^\s*/\*[0-9a-f]+\*/\s+(?:@!?U?P\w+\s+)?([A-Z][A-Z0-9_.]*)(.*);")
LABEL = re.compile(r"\.L_x_\d+")
# Instructions that read or write a thread's own memory, which is where registers spill to.
LOCAL_MEMORY = ("LDL", "STL")


class Machine(NamedTuple):
    """A compiled kernel.

    Args:
        registers: Of a thread.
        spilled_bytes: Of a thread, in local memory.
        shared_bytes: Of a program.
        instructions: Of the whole kernel, in order.
        loop: Of its longest loop, the walk over tiles.
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


def compiled(
    kernel: Any,  # noqa: ANN401 - a triton.jit function
    pointers: dict[str, str],
    numbers: tuple[str, ...],
    constants: dict[str, Any],
    capability: int,
) -> Machine:
    """Compile a kernel, with strides and sizes that 16 divides, for a compute capability.

    Args:
        kernel: Of Triton.
        pointers: Triton's type of each pointer, by name.
        numbers: Names of the 32-bit numbers.
        constants: What it is compiled for.
        capability: 80, 90 or 100.
    """
    signature = {
        name: pointers.get(name, "i32" if name in numbers else "constexpr")
        for name in kernel.arg_names
    }
    places = [number for number, kind in enumerate(signature.values()) if kind != "constexpr"]
    attributes = {(place,): [["tt.divisibility", 16]] for place in places}
    source = ASTSource(kernel, signature, constants, attributes)
    target = GPUTarget("cuda", capability, 32)
    done = triton.compile(
        source, target=target, options={"num_warps": NUM_WARPS, "enable_fp_fusion": True}
    )
    return _disassembled(done)


def compiled_forward(function: DendriticFunction, dtype: str, capability: int) -> Machine:
    """Compile the forward pass of wide layers."""
    kind = POINTER_TYPES[dtype]
    pointers = {"a_pointer": kind, "b_pointer": kind, "weights": "*fp32", "out_pointer": kind}
    numbers = ("rows", "share", "a_stride", "b_stride", "out_stride")
    constants = constants_of(function, getattr(torch, dtype), WIDE, is_flat=True)
    return compiled(forward_kernel, pointers, numbers, constants, capability)


def compiled_backward(function: DendriticFunction, dtype: str, capability: int) -> Machine:
    """Compile the backward pass of wide layers."""
    names = ("g_pointer", "a_pointer", "b_pointer", "da_pointer", "db_pointer")
    pointers = {**dict.fromkeys(names, POINTER_TYPES[dtype])}
    pointers |= {"weights": "*fp32", "partial": "*fp32"}
    numbers = ("rows", "share", "g_stride", "a_stride", "b_stride", "d_stride")
    constants = constants_of(function, getattr(torch, dtype), WIDE, is_flat=True)
    return compiled(backward_kernel, pointers, numbers, constants, capability)


def compiled_swiglu(dtype: str, capability: int) -> tuple[Machine, Machine]:
    """Compile SwiGLU's forward and backward pass in the same way."""
    tile = {
        "TILE": constants_of(DendriticFunction(), getattr(torch, dtype), WIDE, is_flat=True)["TILE"]
    }
    names = ("a_pointer", "b_pointer", "out_pointer")
    of_backward = ("g_pointer", "a_pointer", "b_pointer", "da_pointer", "db_pointer")
    return (
        compiled(
            swiglu_forward_kernel,
            dict.fromkeys(names, POINTER_TYPES[dtype]),
            ("count",),
            tile,
            capability,
        ),
        compiled(
            swiglu_backward_kernel,
            dict.fromkeys(of_backward, POINTER_TYPES[dtype]),
            ("count",),
            tile,
            capability,
        ),
    )


def _disassembled(done: Any) -> Machine:  # noqa: ANN401 - what triton.compile gives
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "kernel.cubin"
        path.write_bytes(done.asm["cubin"])
        text = _run("nvdisasm", "-c", str(path))
        usage = _run("cuobjdump", "-res-usage", str(path))
    names, loop = _instructions(text)
    registers = re.search(r"REG:(\d+)", usage)
    stack = re.search(r"STACK:(\d+)", usage)
    assert registers is not None, "cuobjdump tells how many registers a kernel has"
    assert stack is not None, "cuobjdump tells how large the stack is"
    return Machine(
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
    """Give every instruction's name, and those between a label and the last jump back to it."""
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
        # The last instructions jump to themselves, so that nothing runs on behind the end.
        if start is not None and len(names) - start > loop[1] - loop[0]:
            loop = (start, len(names))
    return names, names[slice(*loop)]
