"""The core's gradient as one vector, whose parts are summed over ranks during the backward pass."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor
from torch.autograd.graph import Node
from torch.nn import Parameter

from omnimouse_cli.training.optimizer import clip_gradient
from omnimouse_cli.training.parallel.world import World

# Smallest size of a bucket but the last one: large enough for the full speed of a reduction, small
# enough that most of it overlaps with the backward pass. An 80M core has 16 buckets.
BUCKET_BYTES = 25 * 2**20


class CoreGradient:
    """The gradients of the core as views of one vector, which ranks sum bucket by bucket.

    A bucket is a contiguous part of the vector. In the last backward pass of a step, its sum over
    ranks starts as soon as the gradients in it are complete. Buckets start from the last parameters
    to the first, as a backward pass reaches them, and in this order on every rank, also on one
    without a batch: collectives that ranks start in different orders deadlock.

    Args:
        parameters: Trained parameters, in the order in which a forward pass uses them; each gets a
            permanent gradient, which is zero if the parameter is not used.
        num_extra: Numbers, such as losses, that are summed with the gradients.
        world: The ranks.
    """

    def __init__(self, parameters: Iterable[Parameter], *, num_extra: int, world: World) -> None:
        parameters = list(parameters)
        sizes = [parameter.numel() for parameter in parameters]
        self._world = world
        self._all = torch.zeros(sum(sizes) + num_extra, device=parameters[0].device)
        self._gradient = self._all[: sum(sizes)]
        self.extra = self._all[sum(sizes) :]
        self._buckets: list[Tensor] = []
        self._bucket_of: dict[Tensor, int] = {}
        start, end = sum(sizes), self._all.numel()
        for parameter in reversed(parameters):
            start -= parameter.numel()
            gradient = self._all[start : start + parameter.numel()]
            parameter.grad = gradient.view(parameter.shape)
            self._bucket_of[parameter] = len(self._buckets)
            bucket = self._all[start:end]
            if bucket.nbytes >= BUCKET_BYTES or start == 0:
                self._buckets.append(bucket)
                end = start
        # Number of missing gradients of each bucket during the last backward pass of a step; None
        # outside of it.
        self._num_missing: list[int] | None = None
        # Functions that wait for the sums that have started.
        self._waits: list[Callable[[], None]] = []
        self._overlaps = not world.is_single and len(self._buckets) > 1
        if self._overlaps:
            for parameter in parameters:
                parameter.register_post_accumulate_grad_hook(  # type: ignore[no-untyped-call]
                    self._count_gradient
                )

    def clear(self) -> None:
        """Set gradients and extra numbers to zero."""
        self._all.zero_()

    def overlap_with_backward(self, loss: Tensor) -> None:
        """Start the sum of each bucket as soon as the backward pass has completed it.

        Args:
            loss: Loss of the last batch of this rank in the step; its backward pass must be called
                next, and the extra numbers must be final.
        """
        if self._overlaps:
            self._num_missing = [0] * len(self._buckets)
            for parameter in parameters_of(loss):
                if parameter in self._bucket_of:
                    self._num_missing[self._bucket_of[parameter]] += 1
            self._start_complete_buckets()

    def start_all_reduce(self) -> Callable[[], None]:
        """Start every sum over ranks that has not started; the returned function waits for all.

        Every rank calls it once in a step, before any other communication after its last backward
        pass.
        """
        self._num_missing = None
        self._start_buckets(len(self._buckets))
        waits, self._waits = self._waits, []

        def wait() -> None:
            for each in waits:
                each()

        return wait

    def average(self, num_batches: Tensor, max_norm: float | None) -> Tensor:
        """Divide the summed gradient by the number of batches and clip it.

        Args:
            num_batches: float32 `()`: batches that the sum is over.
            max_norm: Largest L2 norm; None does not clip.

        Returns:
            float32 `()`: the norm before clipping.
        """
        self._gradient.div_(num_batches)
        return clip_gradient(self._gradient, max_norm)

    def _count_gradient(self, parameter: Tensor) -> None:
        """Count a gradient that the backward pass has completed."""
        if self._num_missing is None:
            return
        bucket = self._bucket_of[parameter]
        self._num_missing[bucket] -= 1
        assert self._num_missing[bucket] >= 0, "a gradient was computed twice in a backward pass"
        self._start_complete_buckets()

    def _start_complete_buckets(self) -> None:
        assert self._num_missing is not None
        complete = 0
        while complete < len(self._buckets) and self._num_missing[complete] == 0:
            complete += 1
        self._start_buckets(complete)

    def _start_buckets(self, end: int) -> None:
        """Start the sums of the buckets before `end` that have not started."""
        for bucket in self._buckets[len(self._waits) : end]:
            self._waits.append(self._world.start_all_reduce(bucket))


def parameters_of(loss: Tensor) -> set[Tensor]:
    """Return the parameters whose gradients a backward pass from a loss computes.

    Example:
        >>> used, unused = Parameter(torch.ones(2)), Parameter(torch.ones(2))
        >>> parameters_of((2 * used).sum()) == {used}
        True
    """
    found: set[Tensor] = set()
    nodes: list[Node | None] = [loss.grad_fn]
    visited: set[Node] = set()
    while nodes:
        node = nodes.pop()
        if node is None or node in visited:
            continue
        visited.add(node)
        # The node of a parameter accumulates its gradient and is the end of its branch.
        parameter = getattr(node, "variable", None)
        if parameter is not None:
            found.add(parameter)
        nodes += [parent for parent, _ in node.next_functions]
    return found
