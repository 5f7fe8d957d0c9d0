"""Where the time of a dendritic unit goes on an absent GPU, from the disassembly.

    python benchmarks/dendrite_roofline.py [--quick]

The kernels are compiled for an H100, their loop over tiles is counted, and from its published rates
follow two times: that of issuing the instructions and that of moving the bytes. Nothing is timed.
SwiGLU, written and compiled in the same way, stands beside them. Of a frozen function's table there
is a third: that of its reads, if each takes a cycle of a processor's first cache, which is so where
no two threads of a warp want the same line.
"""

from collections.abc import Iterator
from typing import Any

import torch
from machine import benchmark_parser, print_rows, write_result

from omnimouse_cli.kernels.dendrite import DendriticFunction
from omnimouse_cli.kernels.dendrite.disassemble import (
    CompiledKernel,
    compile_dendrite,
    compile_lookup,
    compile_swiglu,
)
from omnimouse_cli.kernels.dendrite.lookup import Grid

ELEMENTS = 8192 * 32768
# Of an H100 SXM, as published: 132 processors of 128 lanes at 1.755 GHz, 3.35 TB/s.
LANES_PER_SECOND = 132 * 128 * 1.755e9
BYTES_PER_SECOND = 3.35e12
PROCESSOR_CYCLES_PER_SECOND = 132 * 1.755e9
# These run on units half as wide as those of additions and products, special ones on an eighth.
HALF_RATE = (
    "FMNMX", "FSETP", "FSEL", "LOP3", "SHF", "PRMT", "ISETP", "IADD3", "LEA", "IMAD", "VIADD",
    "VIMNMX", "SEL", "I2FP",
)  # fmt: skip
SPECIAL = ("MUFU", "FRND", "F2I")
# Arguments are read 16 bytes at once, pairs of a table are these.
TABLE_READ = "LDG.E.64"
CAPABILITY = 90
TENSORS_MOVED = {"forward": 3, "backward": 5}


def kernels(
    dtype: str, functions: list[DendriticFunction]
) -> Iterator[tuple[str, str, CompiledKernel]]:
    """Compile everything that is compared; yield name, pass and kernel."""
    compiled = {"swiglu": compile_swiglu(dtype, CAPABILITY)}
    compiled |= {
        function.name: compile_dendrite(function, dtype, CAPABILITY) for function in functions
    }
    compiled["lookup table"] = compile_lookup(Grid(), dtype, CAPABILITY)
    for name, (forward, backward) in compiled.items():
        yield name, "forward", forward
        yield name, "backward", backward


def row_of(name: str, way: str, dtype: str, kernel: CompiledKernel) -> dict[str, Any]:
    """Return the cost of a kernel's loop per element."""
    item_bytes = getattr(torch, dtype).itemsize
    # A thread reads 16 bytes of each argument in one round of the loop.
    each = 16 // item_bytes
    names = [text.partition(".")[0] for text in kernel.loop]
    half = sum(name in HALF_RATE for name in names)
    slow = sum(name in SPECIAL for name in names)
    reads = kernel.loop.count(TABLE_READ)
    moved = TENSORS_MOVED[way] * item_bytes
    return {
        "kernel": name,
        "pass": way,
        "precision": dtype,
        "registers": kernel.registers,
        "spilled_bytes": kernel.spilled_bytes,
        "uses_local_memory": kernel.uses_local_memory,
        "instructions_per_element": len(names) / each,
        "half_rate_per_element": half / each,
        "bytes_per_element": moved,
        "issue_seconds": ELEMENTS * len(names) / each / LANES_PER_SECOND,
        "half_rate_unit_seconds": ELEMENTS * 2 * half / each / LANES_PER_SECOND,
        "special_unit_seconds": ELEMENTS * 8 * slow / each / LANES_PER_SECOND,
        "table_read_seconds": ELEMENTS * reads / each / PROCESSOR_CYCLES_PER_SECOND,
        "memory_seconds": ELEMENTS * moved / BYTES_PER_SECOND,
    }


def main() -> None:
    """Compile, count, print and write."""
    assert __doc__ is not None
    options = benchmark_parser(__doc__.splitlines()[0]).parse_args()
    functions = [DendriticFunction()]
    precisions = ["bfloat16"]
    if not options.quick:
        functions += [DendriticFunction(12), DendriticFunction(8, 1, "smoothstep")]
        precisions.append("float32")
    rows = [
        row_of(name, way, dtype, kernel)
        for dtype in precisions
        for name, way, kernel in kernels(dtype, functions)
    ]
    print(f"8192 x 32768 elements on an H100 (published rates), compiled for sm_{CAPABILITY}")
    print_rows(
        ("", "registers", "spilled", "instr/el", "bytes/el", "issue ms", "half-rate ms",
         "special ms", "table reads ms", "memory ms"),
        [
            (
                f"{row['kernel']} {row['pass']}, {row['precision']}",
                str(row["registers"]),
                str(row["spilled_bytes"]),
                f"{row['instructions_per_element']:.1f}",
                str(row["bytes_per_element"]),
                f"{1000 * row['issue_seconds']:.3f}",
                f"{1000 * row['half_rate_unit_seconds']:.3f}",
                f"{1000 * row['special_unit_seconds']:.3f}",
                f"{1000 * row['table_read_seconds']:.3f}",
                f"{1000 * row['memory_seconds']:.3f}",
            )
            for row in rows
        ],
    )  # fmt: skip
    content = {"is_quick": options.quick, "elements": ELEMENTS, "rows": rows}
    write_result(options.out, "dendrite_roofline", torch.device("cpu"), content)


if __name__ == "__main__":
    main()
