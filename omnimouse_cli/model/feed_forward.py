"""The feed-forward: what each token goes through by itself, with the non-linearity of choice."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from omnimouse_cli.config.dendrite import DendriteConfig
from omnimouse_cli.config.model import GATED, FeedForwardKind, ModelConfig
from omnimouse_cli.kernels.dendrite import DendriticFunction, dendrite, dendrite_packed
from omnimouse_cli.kernels.dendrite_table import Grid, TableError, served, served_packed, tabulate
from omnimouse_cli.model.dendrite_start import start_weights
from omnimouse_cli.model.initialize import linear

# B batch, L tokens, M width of the model, U hidden units, K cell types, P weights of a function

Make = Callable[[int, int], "FeedForward"]


def matched_width(kind: FeedForwardKind, hidden: int) -> int:
    """Give the hidden width that has as many parameters as a gated feed-forward of `hidden`."""
    return hidden if kind in GATED else round(1.5 * hidden)


def function_of(config: DendriteConfig) -> DendriticFunction:
    """Give the shape of the inner network."""
    return DendriticFunction(config.hidden, config.depth, config.inner)


def grid_of(config: DendriteConfig) -> Grid | None:
    """Give the grid of the table that functions are read from; None where they are computed."""
    if not config.freeze or config.table is None:
        return None
    return Grid(config.table, config.table_range)


class Dendrite(nn.Module):
    """Learned functions of two arguments, one for each cell type.

    Frozen ones are read from a table, which follows from the weights and is stored nowhere. Who
    writes into the weights, but for `load_state_dict`, has it made anew.

    Args:
        config: Of the inner network and its start.
    """

    pairs: Tensor

    def __init__(self, config: DendriteConfig) -> None:
        super().__init__()
        self.function = function_of(config)
        self.normalize = config.normalize
        weights_KP = start_weights(config.start, self.function, config.cell_types)
        # On whatever device modules are being made.
        self.weights = nn.Parameter(torch.empty(weights_KP.shape), requires_grad=not config.freeze)
        with torch.no_grad():
            self.weights.copy_(weights_KP)
        self.grid = grid_of(config)
        self.error: TableError | None = None
        if self.grid is not None:
            self.register_buffer("pairs", self.weights.new_empty(0), persistent=False)
            self.register_load_state_dict_post_hook(_tabulate_loaded)  # type: ignore[no-untyped-call]
            self.tabulate()

    def tabulate(self) -> None:
        """Make the table, if there is one, of the weights as they are."""
        # Without weights there are no values: models are made like that to be counted.
        if self.grid is None or self.weights.is_meta:
            return
        tables = tabulate(self.weights.cpu(), self.function, self.grid)
        self.pairs = tables.pairs.to(self.weights.device)
        self.error = tables.error

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Apply each cell type's function to its units `(..., units)`."""
        if self.grid is None:
            if not self.normalize:
                return dendrite(a, b, self.weights, self.function)
            return dendrite_packed(self.normalized(a, b), self.weights, self.function)
        if not self.normalize:
            return served(a, b, self.pairs, self.grid.reach)
        return served_packed(self.normalized(a, b), self.pairs, self.grid.reach)

    def normalized(self, a: Tensor, b: Tensor) -> Tensor:
        """Normalise both arguments of a token together: `(..., 2 units)`, first ones first."""
        both = torch.cat([a, b], dim=-1)
        return functional.layer_norm(both, both.shape[-1:]).to(a.dtype)


def _tabulate_loaded(module: Dendrite, _keys: Any) -> None:  # noqa: ANN401
    module.tabulate()


def tabulate_all(model: nn.Module) -> None:
    """Make the tables of all frozen functions of a model anew."""
    for module in model.modules():
        if isinstance(module, Dendrite):
            module.tabulate()


def table_error(model: nn.Module) -> TableError | None:
    """Give the largest errors of all tables that functions are read from; None without one."""
    errors = [
        module.error
        for module in model.modules()
        if isinstance(module, Dendrite) and module.error is not None
    ]
    return TableError.worst(errors) if errors else None


class FeedForward(nn.Module):
    """`down(f(up(x), gate(x)))` or `down(f(up(x)))`: what is activated is `up`, not `gate`.

    Args:
        width: Of input and output.
        hidden: Between them, of a gated kind; others are wider by half, with as many parameters.
        kind: Name of f.
        dendrite: The learned f; None where it is a fixed one.
        is_shared: Whether the learned f belongs to somebody else, who lists its parameters.
    """

    def __init__(
        self,
        width: int,
        hidden: int,
        kind: FeedForwardKind = "swiglu",
        *,
        dendrite: Dendrite | None = None,
        is_shared: bool = False,
    ) -> None:
        super().__init__()
        self.kind = kind
        units = matched_width(kind, hidden)
        self.up = linear(width, units, bias=False)
        self.gate = linear(width, units, bias=False) if kind in GATED else None
        self.down = linear(units, width, bias=False)
        self.dendrite = None if is_shared else dendrite
        # In a tuple, so that a shared function is not listed once for each of its users.
        self._borrowed = (dendrite,) if is_shared else ()

    def forward(self, x_BLM: Tensor) -> Tensor:
        """Transform each token by itself."""
        out: Tensor = self.down(self._activate(x_BLM))
        return out

    def _activate(self, x_BLM: Tensor) -> Tensor:
        up_BLU: Tensor = self.up(x_BLM)
        if self.kind == "relu":
            return functional.relu(up_BLU)
        if self.kind == "gelu":
            return functional.gelu(up_BLU)
        assert self.gate is not None, "every other kind is gated"
        gate_BLU: Tensor = self.gate(x_BLM)
        if self.kind == "swiglu":
            return functional.silu(up_BLU) * gate_BLU
        if self.kind == "geglu":
            return functional.gelu(up_BLU) * gate_BLU
        out_BLU: Tensor = self.function(up_BLU, gate_BLU)
        return out_BLU

    @property
    def function(self) -> Dendrite:
        """The learned function, the block's own or that of the whole model."""
        function = self._borrowed[0] if self._borrowed else self.dendrite
        assert function is not None, "a dendritic feed-forward has a function"
        return function

    def arguments(self, x_BLM: Tensor) -> Tensor:
        """Give what the learned function is given for each token: `(..., 2, units)`."""
        assert self.gate is not None, "a learned function has two arguments"
        a_BLU, b_BLU = self.up(x_BLM), self.gate(x_BLM)
        if self.function.normalize:
            both = self.function.normalized(a_BLU, b_BLU)
            return both.view(*a_BLU.shape[:-1], 2, -1)
        return torch.stack([a_BLU, b_BLU], dim=-2)


def shared_dendrite(config: ModelConfig) -> Dendrite | None:
    """Make the function that all blocks share; None where they have their own, or none."""
    if config.feed_forward == "dendritic" and config.dendrite.sharing == "model":
        return Dendrite(config.dendrite)
    return None


def maker_of(config: ModelConfig, shared: Dendrite | None) -> Make:
    """Give what makes the feed-forward of a width and a hidden width.

    Args:
        config: Names the non-linearity.
        shared: Function of the whole model; None if there is none.
    """

    def make(width: int, hidden: int) -> FeedForward:
        if config.feed_forward != "dendritic":
            return FeedForward(width, hidden, config.feed_forward)
        own = Dendrite(config.dendrite) if shared is None else shared
        return FeedForward(width, hidden, "dendritic", dendrite=own, is_shared=shared is not None)

    return make
