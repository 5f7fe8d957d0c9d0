"""What all sessions share: the model's core, with gradients that are one vector for all ranks."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from omnimouse_cli.train.optimizer import clip
from omnimouse_cli.train.parallel.world import World


class CoreGradient:
    """The gradients of a module as views of one vector, which ranks sum in one go.

    Numbers that ranks sum beside them (losses) travel at its end.

    Args:
        parameters: That are trained; every one has a gradient from now on, zeros where unused.
        num_extra: Numbers beside them.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], *, num_extra: int) -> None:
        self._parameters = list(parameters)
        sizes = [parameter.numel() for parameter in self._parameters]
        device = self._parameters[0].device
        self._all = torch.zeros(sum(sizes) + num_extra, device=device)
        self._gradient = self._all[: sum(sizes)]
        self.extra = self._all[sum(sizes) :]
        for parameter, piece in zip(
            self._parameters, torch.split(self._gradient, sizes), strict=True
        ):
            parameter.grad = piece.view(parameter.shape)

    def clear(self) -> None:
        """Begin a step."""
        self._all.zero_()

    def start_all_reduce(self, world: World) -> Callable[[], None]:
        """Begin to sum gradients and extra numbers over ranks."""
        return world.start_all_reduce(self._all)

    def average(self, num_batches: Tensor, max_norm: float | None) -> Tensor:
        """Turn the sum over batches into their mean, and clip it.

        Args:
            num_batches: Batches that the sum is over, a tensor without dimensions.
            max_norm: Largest L2 norm; None is no limit.

        Returns:
            The norm before clipping, a tensor without dimensions.
        """
        self._gradient.div_(num_batches)
        return clip([self._gradient], max_norm)
