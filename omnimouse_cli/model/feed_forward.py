"""The feed-forward of every token, with the non-linearity of choice."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from omnimouse_cli.config.dendrite import CELLS, DendriteConfig
from omnimouse_cli.config.model import GATED, LEARNED, FeedForwardKind, ModelConfig
from omnimouse_cli.kernels.dendrite import DendriticFunction, dendrite, fits_registers
from omnimouse_cli.kernels.dendrite.lookup import Grid, TableAccuracy, build_tables, interpolate
from omnimouse_cli.model.dendrite_start import start_weights
from omnimouse_cli.model.initialize import linear

# B batch, L tokens, M width of the model, U hidden units, K cell types, P weights of a function

# The hidden units of so many tokens fit in the caches of a CPU core.
PIECE_TOKENS = 1024

FeedForwardFactory = Callable[[int, int], "FeedForward"]


def matched_width(kind: FeedForwardKind, hidden: int) -> int:
    """Return the hidden width that has as many parameters as a gated feed-forward of `hidden`."""
    return hidden if kind in GATED else round(1.5 * hidden)


def inner_network(config: DendriteConfig) -> DendriticFunction:
    """Return the shape of the inner network."""
    return DendriticFunction(config.hidden, config.depth, config.inner)


def lookup_grid(config: DendriteConfig) -> Grid | None:
    """Return the grid of the lookup table of frozen functions; None where they are computed.

    Example:
        >>> lookup_grid(DendriteConfig(freeze=True))
        >>> lookup_grid(DendriteConfig(freeze=True, hidden=64, depth=2))
        Grid(cells=256, limit=4.0)
    """
    if not config.freeze or config.table is None:
        return None
    if config.table != "auto":
        return Grid(config.table, config.table_range)
    return None if fits_registers(inner_network(config)) else Grid(CELLS, config.table_range)


class Dendrite(nn.Module):
    """Learned functions of two arguments, one for each cell type.

    The lookup table of frozen ones is built from the weights whenever they are loaded, and is not
    stored. Call `build_table` after writing into the weights in any other way.

    Args:
        config: Inner network and initialization.
    """

    table: Tensor

    def __init__(self, config: DendriteConfig) -> None:
        super().__init__()
        self.function = inner_network(config)
        self.normalize = config.normalize
        weights_KP = start_weights(config.start, self.function, config.cell_types)
        # On whatever device modules are being created.
        self.weights = nn.Parameter(torch.empty(weights_KP.shape), requires_grad=not config.freeze)
        with torch.no_grad():
            self.weights.copy_(weights_KP)
        self.grid = lookup_grid(config)
        self.accuracy: TableAccuracy | None = None
        if self.grid is not None:
            self.register_buffer("table", self.weights.new_empty(0), persistent=False)
            self.register_load_state_dict_post_hook(_build_loaded_table)  # type: ignore[no-untyped-call]
            self.build_table()

    def build_table(self) -> None:
        """Build the lookup table, if there is one, from the weights."""
        # Models on the meta device have no values: they are only counted.
        if self.grid is None or self.weights.is_meta:
            return
        tables = build_tables(self.weights.cpu(), self.function, self.grid)
        self.table = tables.values.to(self.weights.device)
        self.accuracy = tables.accuracy

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Apply each cell type's function to its units `(..., units)`."""
        if self.normalize:
            a, b = self.normalized(a, b).chunk(2, dim=-1)
        if self.grid is None:
            return dendrite(a, b, self.weights, self.function)
        return interpolate(a, b, self.table, self.grid.limit)

    def normalized(self, a: Tensor, b: Tensor) -> Tensor:
        """Normalize both arguments of a token together: `(..., 2 units)`, first ones first."""
        both = torch.cat([a, b], dim=-1)
        return functional.layer_norm(both, both.shape[-1:]).to(a.dtype)


def _build_loaded_table(module: Dendrite, _keys: Any) -> None:  # noqa: ANN401
    module.build_table()


def rebuild_tables(model: nn.Module) -> None:
    """Build the lookup tables of all frozen functions of a model from their weights."""
    for module in model.modules():
        if isinstance(module, Dendrite):
            module.build_table()


def table_accuracy(model: nn.Module) -> TableAccuracy | None:
    """Return the largest errors of all lookup tables of a model; None without one."""
    accuracies = [
        module.accuracy
        for module in model.modules()
        if isinstance(module, Dendrite) and module.accuracy is not None
    ]
    return TableAccuracy.worst(accuracies) if accuracies else None


class FeedForward(nn.Module):
    """`down(f(up(x), gate(x)))` or `down(f(up(x)))`; the activated projection is `up`, not `gate`.

    Args:
        width: Width of input and output.
        hidden: Hidden width of a gated kind; others are wider by half, with as many parameters.
        kind: Name of f.
        dendrite: The learned f; None where f is fixed.
        is_shared: Whether the learned f is a submodule of the model and not of this module.
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
        # In a tuple, so that a shared function is not a submodule of each of its users.
        self._shared = (dendrite,) if is_shared else ()

    def forward(self, x_BLM: Tensor) -> Tensor:
        """Transform each token by itself; a CPU that only predicts, PIECE_TOKENS at a time."""
        only_predicts = not (torch.is_grad_enabled() or torch.compiler.is_compiling())
        if x_BLM.device.type != "cpu" or not only_predicts:
            return self._transform(x_BLM)
        pieces = torch.split(x_BLM.flatten(0, -2), PIECE_TOKENS)
        return torch.cat([self._transform(piece) for piece in pieces]).view(x_BLM.shape)

    def _transform(self, x_BLM: Tensor) -> Tensor:
        out: Tensor = self.down(self._activate(x_BLM))
        return out

    def _activate(self, x_BLM: Tensor) -> Tensor:
        up_BLU: Tensor = self.up(x_BLM)
        if self.kind == "relu":
            return functional.relu(up_BLU)
        if self.kind == "gelu":
            return functional.gelu(up_BLU)
        if self.kind == "learned":
            # A distilled SwiGLU whose second argument is 1 starts as SiLU.
            one_argument_BLU: Tensor = self.function(up_BLU, torch.ones_like(up_BLU))
            return one_argument_BLU
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
        """The learned function, of this module or of the whole model."""
        function = self._shared[0] if self._shared else self.dendrite
        assert function is not None, "a learned feed-forward has a function"
        return function

    def arguments(self, x_BLM: Tensor) -> Tensor:
        """Return the arguments of the learned function for each token: `(..., 2, units)`."""
        assert self.gate is not None, "a learned function has two arguments"
        a_BLU, b_BLU = self.up(x_BLM), self.gate(x_BLM)
        if self.function.normalize:
            both = self.function.normalized(a_BLU, b_BLU)
            return both.view(*a_BLU.shape[:-1], 2, -1)
        return torch.stack([a_BLU, b_BLU], dim=-2)


def shared_dendrite(config: ModelConfig) -> Dendrite | None:
    """Create the function that all blocks share; None where they have their own, or none."""
    if config.feed_forward in LEARNED and config.dendrite.sharing == "model":
        return Dendrite(config.dendrite)
    return None


def feed_forward_factory(config: ModelConfig, shared: Dendrite | None) -> FeedForwardFactory:
    """Return a function that creates the feed-forward of a width and a hidden width.

    Args:
        config: Configuration of the model.
        shared: Learned function that all blocks share; None if there is none.
    """

    def make_feed_forward(width: int, hidden: int) -> FeedForward:
        kind = config.feed_forward
        if kind not in LEARNED:
            return FeedForward(width, hidden, kind)
        own = Dendrite(config.dendrite) if shared is None else shared
        return FeedForward(width, hidden, kind, dendrite=own, is_shared=shared is not None)

    return make_feed_forward
