"""The ledger of a sample: one status for every object that was selected, so that nothing is ever lost on the way to the catalogue."""

from typing import Any

import numpy as np
from astropy.table import Table, vstack

from tuningfork import tables
from tuningfork.catalogues.columns import strings
from tuningfork.errors import SampleError
from tuningfork.samples.labels import refuse_duplicates

STATUSES = ("ok", "outside_footprint", "absent", "blank", "partial", "nonfinite", "too_small", "failed")
USABLE = ("ok", "partial")
COLUMNS = {
    "object_id": (None, "meta.id;meta.main", "Identifier, unique in the sample"),
    "status": (None, "meta.code.status", f"What became of the stamp: {', '.join(STATUSES)}"),
    "reason": (None, "meta.note", "Why, where the status is not ok"),
}


def build(object_id: Any, status: Any, reason: Any = "") -> Table:
    """A ledger from ids, statuses and reasons (a single status or reason stands for all).

    Raises
    ------
    SampleError
        An id stands twice, a status is unknown, or 'failed' comes without a reason.
    """
    identifiers = np.atleast_1d(np.asarray(object_id)).astype(str)
    states = np.broadcast_to(np.asarray(status).astype(str), identifiers.shape)
    reasons = np.broadcast_to(np.asarray(reason).astype(str), identifiers.shape)
    refuse_duplicates(identifiers, "the ledger")
    unknown = sorted(set(states.tolist()) - set(STATUSES))
    if unknown:
        raise SampleError(f"ledger status {', '.join(map(repr, unknown))}: choose from {', '.join(STATUSES)}")
    silent = (states == "failed") & (reasons == "")
    if silent.any():
        raise SampleError(f"the ledger says that {identifiers[silent][0]} failed, but not why")
    ledger = Table([identifiers, states.copy(), reasons.copy()], names=["object_id", "status", "reason"])
    tables.describe(ledger, COLUMNS)
    return ledger


def merge(*ledgers: Table) -> Table:
    """One ledger from several of disjoint objects, sorted by id.

    Raises
    ------
    SampleError
        An object stands in two of them.
    """
    if not ledgers:
        return build(np.array([], dtype=str), np.array([], dtype=str), np.array([], dtype=str))
    stacked = vstack(list(ledgers), join_type="inner", metadata_conflicts="silent")
    identifiers = strings(stacked["object_id"])
    refuse_duplicates(identifiers, "the merged ledger")
    order = np.argsort(identifiers, kind="stable")
    return build(identifiers[order], strings(stacked["status"])[order], strings(stacked["reason"])[order])


def counts(ledger: Table) -> dict[str, int]:
    """Number of objects in each status, zeros included."""
    states = strings(ledger["status"])
    return {status: int((states == status).sum()) for status in STATUSES}


def assert_conserved(selected_ids: Any, ledger: Table, what: str = "the ledger") -> None:
    """Raise SampleError, naming them, unless `ledger` has exactly the selected objects, each once."""
    selected = np.atleast_1d(np.asarray(selected_ids)).astype(str)
    refuse_duplicates(selected, "the selected objects")
    held = strings(ledger["object_id"])
    refuse_duplicates(held, what)
    lost, strange = np.setdiff1d(selected, held), np.setdiff1d(held, selected)
    faults = []
    if len(lost):
        faults.append(f"{len(lost)} selected objects are missing: {_some(lost)}")
    if len(strange):
        faults.append(f"{len(strange)} objects were never selected: {_some(strange)}")
    if faults:
        raise SampleError(f"{what} does not balance ({len(selected)} selected, {len(held)} held): {'; '.join(faults)}")


def _some(names: np.ndarray, n: int = 10) -> str:
    return ", ".join(names[:n].tolist()) + (", ..." if len(names) > n else "")
