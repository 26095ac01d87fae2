"""Tables joined by object_id: ids checked, columns of one table placed into the rows of another."""

import numpy as np
from astropy.table import Table

from tuningfork.errors import SampleError
from tuningfork.publishing.columns import masked


class Join:
    """Columns of one table placed into the rows of the catalogue; rows without a partner are masked."""

    def __init__(self, table: Table, place: np.ndarray, n: int) -> None:
        self.table, self.place, self.n = table, place, n

    def number(self, name: str) -> np.ma.MaskedArray:
        """A numeric column (integers stay integers only if nothing overflows a float's 53 bits); all masked where the table has none."""
        out = np.ma.masked_all(self.n, dtype=float)
        if name in self.table.colnames:
            column = masked(self.table, name)
            if column.dtype.kind in "iu":
                out = np.ma.masked_all(self.n, dtype=np.int64)
            out[self.place] = column.astype(out.dtype)
        out.data[np.ma.getmaskarray(out)] = 0
        return out

    def text(self, name: str) -> np.ma.MaskedArray:
        """A text column; '' where the table has none."""
        if name not in self.table.colnames:
            return np.ma.asarray(np.full(self.n, "", dtype="U1"))
        column = masked(self.table, name).astype(str)
        values = np.where(np.ma.getmaskarray(column), "", column.data)
        out = np.full(self.n, "", dtype=values.dtype if values.dtype.itemsize else "U1")
        out[self.place] = values
        return np.ma.asarray(out)


def ids_of(table: Table, what: str) -> np.ndarray:
    """The object ids of a table, checked to be there and unique."""
    if "object_id" not in table.colnames:
        raise SampleError(f"{what}: no column object_id")
    ids = masked(table, "object_id").data.astype(str)
    values, counts = np.unique(ids, return_counts=True)
    if (counts > 1).any():
        raise SampleError(f"{what}: object_id {values[counts > 1][0]} stands {counts.max()} times; ids must be unique")
    return ids


def match(object_id: np.ndarray, wanted: np.ndarray, what: str) -> np.ndarray:
    """Positions of `wanted` in `object_id`."""
    if not len(wanted):
        return np.zeros(0, dtype=int)
    order = np.argsort(object_id, kind="stable")
    found = np.minimum(np.searchsorted(object_id[order], wanted), len(order) - 1)
    unknown = object_id[order][found] != wanted
    if unknown.any():
        raise SampleError(f"{what}: {wanted[unknown][0]} is no object of this sample ({unknown.sum()} such ids); they were made for another selection")
    return order[found]
