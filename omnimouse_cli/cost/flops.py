"""Operations of a forward pass, and those that its backward pass adds."""

from typing import NamedTuple

from omnimouse_cli.kernels.dendrite.lookup import BACKWARD_FLOPS, FORWARD_FLOPS


class Flops(NamedTuple):
    """Operations of the forward pass, by how the backward pass multiplies them.

    A product's backward pass is two products; one of recorded data is one, as data need no
    gradient; attention's backward pass makes its two products' four and repeats the first; that of
    a learned function makes twice the forward pass's and repeats it; that of a function in a table
    reads it again. What is fixed has none.
    """

    products: int = 0
    fixed: int = 0
    of_data: int = 0
    attention: int = 0
    functions: int = 0
    tables: int = 0

    def and_also(self, other: "Flops") -> "Flops":
        """Add what something else takes."""
        return Flops(*(mine + its for mine, its in zip(self, other, strict=True)))

    def of_training(self) -> int:
        """Add what the backward pass costs."""
        backward = 2 * self.products + self.of_data + 5 * self.attention // 2
        backward += 3 * self.functions + BACKWARD_FLOPS * self.tables // FORWARD_FLOPS
        return sum(self) + backward
