"""The shard format, writing and reading it, the catalogue of a data set, verification."""

from omnimouse_cli.shard.catalogue import Catalogue, CatalogueEntry, open_catalogue
from omnimouse_cli.shard.description import ShardDescription
from omnimouse_cli.shard.read import Shard, TrialTable, open_shard

__all__ = [
    "Catalogue",
    "CatalogueEntry",
    "Shard",
    "ShardDescription",
    "TrialTable",
    "open_catalogue",
    "open_shard",
]
