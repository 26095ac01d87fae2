"""The rows of one shard out of a sample's table, and one ledger out of all shards."""

import os
from collections.abc import Iterable

import numpy as np
from astropy.table import Table

from tuningfork import tables
from tuningfork.samples import ledger
from tuningfork.stamps.store import read_shard


def rows_of_shard(table: str | os.PathLike[str], shard: str) -> dict[str, np.ndarray]:
    """Columns of the objects of one shard, in the order of the table."""
    columns = tables.read_columns(table)
    rows = columns["shard"] == shard
    return {name: values[rows] for name, values in columns.items()}


def ledger_of(paths: Iterable[str | os.PathLike[str]]) -> Table:
    """The ledger of all shards, sorted by id; each file's digest is checked on the way."""
    shards = [read_shard(path) for path in paths]
    return ledger.merge(*(ledger.build(shard.object_id, shard.status, shard.reason) for shard in shards))
