"""Where a step's time goes: matrix products, attention, convolution, everything else.

An operator counts as a whole: attention with its softmax, products with the norms, gates and
residuals that are computed with them.
"""

import os
import re
from collections.abc import Callable

import torch
from torch.autograd.profiler_util import FunctionEvent
from torch.profiler import ProfilerActivity, profile

# Names of operators (CPU) and of kernels (CUDA). The first that fits counts: kernels of attention
# and of convolution are matrix products too.
KINDS = {
    "attention": re.compile(r"scaled_dot_product|attention|flash|fmha|flex", re.IGNORECASE),
    "convolution": re.compile(r"conv|fprop|wgrad|dgrad|im2col|col2im", re.IGNORECASE),
    "matrix products": re.compile(
        r"\baten::(add|b|add?b|badd)?mm\b|linear|gemm|gemv|matmul|nvjet|cutlass|splitk",
        re.IGNORECASE,
    ),
}
OTHER = "other"
OPERATORS = ("aten::", "omnimouse::")


def time_shares(work: Callable[[], None], device: torch.device) -> dict[str, float]:
    """Run `work` once under torch's profiler.

    Returns:
        The share of each kind in the time of operators (CPU) or of kernels (CUDA); their sum is 1.
    """
    # Without this the profiler says on stderr that it began, and that there is no GPU.
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")
    is_gpu = device.type == "cuda"
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if is_gpu else [])]
    with profile(activities=activities) as profiler:
        work()
        if is_gpu:
            torch.cuda.synchronize()
    microseconds = dict.fromkeys((*KINDS, OTHER), 0.0)
    if is_gpu:
        for kernel in profiler.key_averages():
            if kernel.device_type.name == "CUDA":
                microseconds[kind_of(kernel.key)] += kernel.self_device_time_total
    else:
        for event in profiler.events() or []:
            microseconds[_kind_of_event(event)] += event.self_cpu_time_total
    total = sum(microseconds.values())
    return {kind: spent / total for kind, spent in microseconds.items()}


def _kind_of_event(event: FunctionEvent) -> str:
    """Return the kind of an event: its own, or that of the operator that called it."""
    kind, caller = kind_of(event.name), event.cpu_parent
    # Work of autograd around an operator, such as adding gradients, is not counted as its own.
    while kind == OTHER and caller is not None and caller.name.startswith(OPERATORS):
        kind, caller = kind_of(caller.name), caller.cpu_parent
    return kind


def kind_of(name: str) -> str:
    """Return the kind of an operator or a kernel."""
    return next((kind for kind, pattern in KINDS.items() if pattern.search(name)), OTHER)
