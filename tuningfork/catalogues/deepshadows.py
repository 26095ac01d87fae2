"""DeepShadows (Tanoglidis et al. 2021): low-surface-brightness galaxies of DES against two kinds of artifacts, as classes in ``label``.

Positives come from the catalogue alone and negatives from the artifact lists alone. The published split lists hold positions without
labels, many of them twice: a listed position that matches neither is unlabelled, never an artifact (reference/science.md, 10).
"""

import hashlib
import logging
from typing import Any

import numpy as np
from astropy.table import Table, vstack

from tuningfork.catalogues import assemble, des_lsbg, positions
from tuningfork.catalogues import columns as common
from tuningfork.catalogues.table_files import read_table
from tuningfork.errors import CatalogueError

log = logging.getLogger(__name__)

BIBCODE = ["2021A&C....3500469T", "2021ApJS..252...18T"]
DOI = ["10.1016/j.ascom.2021.100469", "10.3847/1538-4365/abca89"]
LSBG, ARTIFACT = "lsbg", "artifact_{kind}"
# The binary task takes the artifacts that passed the support-vector machine and were rejected by eye.
KINDS = {2: (2,), 3: (1, 2)}
MATCH_ARCSEC = 0.5
BANDS = ("g", "r", "i")

# Quantity -> names in the catalogue or the lists, none corrected for extinction: a correction on one side only would give the class away.
FEATURES: dict[str, tuple[str, ...]] = {
    "ellipticity": ("ell_se", "ellipticity", "ell"),
    **{f"mag_auto_{b}": (f"mag_auto_{b}_obs", f"mag_auto_{b}_se", f"mag_auto_{b}") for b in BANDS},
    **{f"flux_radius_{b}_asec": (f"flux_radius_{b}_asec",) for b in BANDS},
    **{f"mu_mean_{b}": (f"mu_mean_{b}_se", f"mu_mean_model_{b}", f"mu_mean_{b}_obs") for b in BANDS},
    **{f"mu_max_{b}": (f"mu_max_model_{b}", f"mu_max_{b}_se", f"mu_max_{b}") for b in BANDS},
    **{f"mu_eff_{b}": (f"mu_eff_model_{b}", f"mu_eff_{b}_se", f"mu_eff_{b}") for b in BANDS},
}
IDS = ("coadd_object_id", "coadd_id")
PIXEL_ARCSEC = 0.263


def read_list(raw: Table, label: str) -> Table:
    """One list of positives or negatives: identifier, position, label, and the features that both sides publish.

    Parameters
    ----------
    raw : Table
        The DES catalogue, or a list of artifacts.
    label : str
        Class of all its rows.

    Returns
    -------
    Table
        Features that the list lacks are masked; the ellipticity is 1 - B_IMAGE/A_IMAGE where it is not published, a flux radius in pixels
        becomes arcsec.

    Raises
    ------
    CatalogueError
        No identifier or no position.
    """
    where = f"deepshadows, {label}"
    table = Table()
    table["object_id"] = assemble.identifiers(raw[common.find(raw, IDS, where)], where)
    for key in ("ra", "dec"):
        table[key] = np.ma.filled(common.floats(raw[common.find(raw, (f"{key}_se", key), where)], where), np.nan)
    table["label"] = np.full(len(raw), label, dtype="U10")
    for name, aliases in FEATURES.items():
        found = common.find_optional(raw, aliases)
        table[name] = common.masked_column(common.floats(raw[found], where, missing=(99.0, -99.0, -9999.0))) if found else _derived(raw, name, where)
    return table


def _derived(raw: Table, name: str, where: str) -> Any:
    a, b = common.find_optional(raw, "A_IMAGE"), common.find_optional(raw, "B_IMAGE")
    if name == "ellipticity" and a and b:
        return common.masked_column(1 - common.floats(raw[b], where) / np.ma.masked_less_equal(common.floats(raw[a], where), 0))
    pixels = common.find_optional(raw, name.removesuffix("_asec")) if name.startswith("flux_radius") else None
    return common.masked_column(common.floats(raw[pixels], where) * PIXEL_ARCSEC) if pixels else common.empty_floats(len(raw))


def standardise(lists: list[Table], *, per_class: int | None = None, seed: int = 1) -> Table:
    """Stack the lists of `read_list`, without duplicates, into the common columns.

    Parameters
    ----------
    lists : list of Table
        Positives and negatives.
    per_class : int, optional
        At most so many of each class, chosen by a hash of their ids.
    seed : int
        Another seed chooses others.

    Returns
    -------
    Table
        ``meta["origin"]["left_out"]``: ``duplicates`` (a position or an id that stood in the same list before) and ``in_two_lists`` (all
        rows of an object that is called both, since its label is unknown).

    Raises
    ------
    CatalogueError
        A row has no position, or a class has fewer than `per_class` rows.
    """
    where = "deepshadows"
    table = vstack(lists, metadata_conflicts="silent")
    assemble.refuse_no_position(table, where)
    table, left_out = _without_duplicates(table)
    if per_class is not None:
        table = table[_chosen(table, per_class, seed)]
    table.add_column(np.asarray(table["object_id"]).copy(), name="galaxy_id", index=1)
    table["mag"] = table["mag_auto_g"].copy()
    info = {name: described for name in FEATURES if (described := des_lsbg.info_of(name)) is not None}
    info |= {name: common.COLUMNS[name] for name in ("object_id", "galaxy_id", "ra", "dec", "mag", "label")}
    raw = Table(meta={"origin": common.merge_origins([part.meta.get("origin", {}) for part in lists])})
    return assemble.finish(table, raw, where, info, doi=DOI, bibcode=BIBCODE, left_out=left_out)


def _without_duplicates(table: Table) -> tuple[Table, dict[str, int]]:
    """Drop what stands twice in a list, then what stands in two lists."""
    label = np.unique(np.asarray(table["label"]), return_inverse=True)[1]
    same_id = np.unique(np.asarray(table["object_id"]), return_inverse=True)[1]
    places = np.stack([np.asarray(table["ra"]), np.asarray(table["dec"])])
    same_place = np.unique(places, axis=1, return_inverse=True)[1].ravel()
    first, clear = np.ones(len(table), bool), np.ones(len(table), bool)
    for key in (same_id, same_place):
        _, index = np.unique(np.stack([label, key]), axis=1, return_index=True)
        first &= np.isin(np.arange(len(table)), index)
    for key in (same_id, same_place):
        called = np.zeros((key.max(initial=0) + 1, label.max(initial=0) + 1), bool)
        called[key[first], label[first]] = True
        clear &= called.sum(axis=1)[key] <= 1
    return table[first & clear], {"duplicates": int((~first).sum()), "in_two_lists": int((first & ~clear).sum())}


def _chosen(table: Table, per_class: int, seed: int) -> np.ndarray:
    if per_class < 1:
        raise CatalogueError(f"deepshadows: per_class is {per_class}; it must be 1 or more")
    order = np.array([hashlib.sha256(f"{seed}/{name}".encode()).hexdigest() for name in table["object_id"].tolist()])
    keep = []
    for label in np.unique(np.asarray(table["label"])):
        rows = np.flatnonzero(np.asarray(table["label"]) == label)
        if len(rows) < per_class:
            raise CatalogueError(f"deepshadows: {per_class} of each class were asked, and {str(label)!r} has {len(rows)}")
        keep.append(rows[np.argsort(order[rows])[:per_class]])
    return np.sort(np.concatenate(keep)) if keep else np.array([], int)


def join_splits(table: Table, lists: dict[str, Table]) -> tuple[np.ndarray, np.ndarray]:
    """The side of each object in the published split, and the listed positions that are no object of the table.

    Parameters
    ----------
    table : Table
        With ``ra`` and ``dec``.
    lists : dict
        Side (train, validation, test) -> table with columns ``ra`` and ``dec``.

    Returns
    -------
    side : array of str, shape (N,)
        '' where an object is in none. One that is in several (hundreds of positions are) is in the last of train, validation, test.
    unmatched : float array, shape (M, 2)
        Right ascension and declination of each distinct listed position within 0.5 arcsec of no object.
    """
    side = np.full(len(table), "", dtype="U10")
    unmatched = []
    for name in ("train", "validation", "test"):
        ra, dec = (np.asarray(lists[name][key], float) for key in ("ra", "dec"))
        side[positions.nearest(table["ra"], table["dec"], ra, dec, MATCH_ARCSEC) >= 0] = name
        nowhere = positions.nearest(ra, dec, table["ra"], table["dec"], MATCH_ARCSEC) < 0
        unmatched.append(np.stack([ra[nowhere], dec[nowhere]], axis=1))
    return side, np.unique(np.concatenate(unmatched), axis=0)


def fetch(transport: Any, *, classes: int = 2, per_class: int | None = None, seed: int = 1, given_split: bool = False, unlabelled: bool = False) -> Table:
    """Fetch catalogue and artifact lists from DES.

    Parameters
    ----------
    transport : Transport
        An open transport.
    classes : int
        2: ``lsbg`` and ``artifact_2``, the paper's main task; 3: also ``artifact_1``.
    per_class, seed
        See `standardise`; the paper has 20,000 of each.
    given_split : bool
        Also a column ``given_split`` from the published lists.
    unlabelled : bool
        With `given_split`: listed positions that match no object become rows without a label.

    Raises
    ------
    CatalogueError, ArchiveError
        As `standardise` and the archive's client; or `classes` is neither 2 nor 3.
    """
    from tuningfork.archives import des

    if classes not in KINDS:
        raise CatalogueError(f"deepshadows: classes is {classes!r}; choose 2 or 3")
    if unlabelled and not given_split:
        raise CatalogueError("deepshadows: 'unlabelled' goes with 'given_split': the positions come from the published lists")
    asked = {LSBG: des.lsbg_catalogue(transport), **{ARTIFACT.format(kind=kind): des.artifacts(transport, kind) for kind in KINDS[classes]}}
    lists = []
    for label, fetched in asked.items():
        part = read_list(read_table(fetched.path, "csv", text=(*IDS, *(name.upper() for name in IDS))), label)
        part.meta = {"origin": assemble.file_origin(fetched, transport)}
        lists.append(part)
    table = standardise(lists, per_class=per_class, seed=seed)
    return _with_split(transport, table, unlabelled) if given_split else table


def _with_split(transport: Any, table: Table, unlabelled: bool) -> Table:
    from tuningfork.archives import des

    files = {side: des.repository_file(transport, f"Baseline_{name}.csv") for side, name in des.SPLITS.items()}
    side, unmatched = join_splits(table, {name: read_table(fetched.path, "csv") for name, fetched in files.items()})
    table["given_split"] = side
    meta, info = table.meta, {name: (table[name].unit, table[name].info.description, table[name].info.meta) for name in table.colnames}
    if unlabelled and len(unmatched):
        rows = Table({"ra": unmatched[:, 0], "dec": unmatched[:, 1]})
        rows["object_id"] = [f"deepshadows_{ra:.6f}_{dec:+.6f}" for ra, dec in unmatched]
        rows["galaxy_id"], rows["label"], rows["given_split"] = rows["object_id"].copy(), np.full(len(rows), ""), np.full(len(rows), "")
        table = vstack([table, rows], metadata_conflicts="silent")
        for name, (unit, description, extra) in info.items():
            table[name].unit, table[name].info.description, table[name].info.meta = unit, description, extra
    meta["origin"] |= {"rows": len(table), "listed_without_label": len(unmatched), "split_lists": [f.sidecar["sha256"] for f in files.values()]}
    table.meta = meta
    log.info("deepshadows: %d objects are in the published split; %d listed positions match none", int((side != "").sum()), len(unmatched))
    unit, ucd, text = common.COLUMNS["given_split"]
    table["given_split"].info.description, table["given_split"].info.meta = text, {"ucd": ucd}
    return common.mark_simulated(table)
