"""Matrix products with what comes before and after them: into attention, and out of it."""

from omnimouse_cli.kernels.products.choose import project_heads, update_tokens
from omnimouse_cli.kernels.products.heads import HeadShape
from omnimouse_cli.kernels.products.weights import EntryWeights, UpdateWeights

__all__ = ["EntryWeights", "HeadShape", "UpdateWeights", "project_heads", "update_tokens"]
