"""Galaxy Zoo DECaLS (Walmsley et al. 2022; Zenodo 4573248): vote fractions of 314,000 galaxies, by people or by their network.

Names have hyphens in the file and underscores here (``smooth_or_featured_smooth_fraction``), as the paper of the VAE writes them
(reference/systems.md, D1). Only the columns that are wanted are read out of the Parquet file of 1.6 GB. The class rules of that paper are
SQL expressions over these columns.
"""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from astropy.table import Table

from tuningfork.catalogues import assemble
from tuningfork.catalogues import columns as common
from tuningfork.catalogues.table_files import read_table
from tuningfork.errors import CatalogueError

log = logging.getLogger(__name__)

RECORD = 4573248
BIBCODE = "2022MNRAS.509.3966W"
DOI = ["10.5281/zenodo.4573248", "10.1093/mnras/stab2093"]
FILES = {
    "auto": "gz_decals_auto_posteriors.parquet",
    "volunteers_5": "gz_decals_volunteers_5.parquet",
    "volunteers_1_and_2": "gz_decals_volunteers_1_and_2.parquet",
}
METADATA = (
    "iauname",
    "ra",
    "dec",
    "redshift",
    "mag_r",
    "elpetro_absmag_r",
    "sersic_nmgy_r",
    "petro_th50",
    "petro_th90",
    "petro_theta",
    "wrong_size_statistic",
    "wrong_size_warning",
)
NANOMAGGY_ZERO_POINT = 22.5

# Question -> answers of the fifth campaign, which the network learned; campaigns 1 and 2 asked some of them otherwise.
QUESTIONS: dict[str, tuple[str, ...]] = {
    "smooth_or_featured": ("smooth", "featured_or_disk", "artifact"),
    "how_rounded": ("round", "in_between", "cigar_shaped"),
    "disk_edge_on": ("yes", "no"),
    "edge_on_bulge": ("boxy", "none", "rounded"),
    "bar": ("strong", "weak", "no"),
    "has_spiral_arms": ("yes", "no"),
    "spiral_winding": ("tight", "medium", "loose"),
    "spiral_arm_count": ("1", "2", "3", "4", "more_than_4", "cant_tell"),
    "bulge_size": ("dominant", "large", "moderate", "small", "none"),
    "merging": ("none", "minor_disturbance", "major_disturbance", "merger"),
}
QUESTIONS_1_AND_2: dict[str, tuple[str, ...]] = {
    **QUESTIONS,
    "how_rounded": ("completely", "in_between", "cigar_shaped"),
    "bar": ("yes", "no"),
    "spiral_arm_count": ("1", "2", "3", "4", "more_than_4"),
    "bulge_size": ("none", "obvious", "dominant"),
    "merging": ("merger", "tidal_debris", "both", "neither"),
}

_SMOOTH = "smooth_or_featured_smooth_fraction > {}"
_FEATURED = "smooth_or_featured_featured_or_disk_fraction > {}"
_FACE_ON = f"{_FEATURED} AND disk_edge_on_no_fraction > {{}}"
_MERGER = "merging_minor_disturbance_fraction > {0} OR merging_major_disturbance_fraction > {0} OR merging_merger_fraction > {0}"

CLASS_RULES: dict[str, str] = {
    "disk_no_bar": _FACE_ON.format(0.5, 0.5) + " AND bar_no_fraction > 0.8",
    "disk_strong_bar": _FACE_ON.format(0.5, 0.5) + " AND bar_strong_fraction > 0.5",
    "disk_weak_bar": _FACE_ON.format(0.5, 0.5) + " AND bar_weak_fraction > 0.5",
    "edge_on": _FEATURED.format(0.5) + " AND disk_edge_on_yes_fraction > 0.7",
    "merger": _MERGER.format(0.6),
    "smooth_cigar_shaped": _SMOOTH.format(0.5) + " AND how_rounded_cigar_shaped_fraction > 0.6",
    "smooth_in_between": _SMOOTH.format(0.7) + " AND how_rounded_in_between_fraction > 0.85",
    "smooth_rounded": _SMOOTH.format(0.7) + " AND how_rounded_round_fraction > 0.8",
}
"""The eight classes of Xu et al. (2023), in the order of their labels; every threshold is a vote fraction."""

_DISK = _FACE_ON.format(0.6, 0.6)
OVERLAP_RULES: dict[str, dict[str, str]] = {
    "how_rounded": {name: f"{_SMOOTH.format(0.6)} AND how_rounded_{name}_fraction > 0.6" for name in QUESTIONS["how_rounded"]},
    "disk_edge_on": {name: f"{_FEATURED.format(0.6)} AND disk_edge_on_{name}_fraction > 0.6" for name in QUESTIONS["disk_edge_on"]},
    # The paper computed the weak bars too, and left them out of its list.
    "bar": {name: f"{_DISK} AND bar_{name}_fraction > 0.6" for name in ("no", "strong")},
    "has_spiral_arms": {name: f"{_DISK} AND has_spiral_arms_{name}_fraction > 0.6" for name in QUESTIONS["has_spiral_arms"]},
    "spiral_winding": {
        name: f"{_DISK} AND has_spiral_arms_yes_fraction > 0.6 AND spiral_winding_{name}_fraction > 0.6" for name in QUESTIONS["spiral_winding"]
    },
    "bulge_size": {name: f"{_DISK} AND bulge_size_{name}_fraction > 0.6" for name in ("none", "small", "moderate")},
    "merging": {"merger": _MERGER.format(0.6), "no_merger": "disk_edge_on_no_fraction > 0.6 AND merging_none_fraction > 0.8"},
}
"""Question -> answer -> rule: the seven questions on which Xu et al. (2023) compare the surveys where they overlap."""

COLUMNS: dict[str, common.Info] = {
    **{name: common.COLUMNS[name] for name in ("object_id", "galaxy_id", "ra", "dec", "redshift", "mag", "petrosian_radius_arcsec", "n_votes")},
    "iauname": (None, "meta.id", "Name in the NASA-Sloan Atlas 1.0.1"),
    "mag_r": ("mag", "phot.mag;em.opt.R", "22.5 - 2.5 log10(sersic_nmgy_r) (AB)"),
    "elpetro_absmag_r": ("mag", "phot.mag;phys.magAbs;em.opt.R", "Absolute magnitude in r, elliptical Petrosian"),
    "sersic_nmgy_r": ("nmgy", "phot.flux;em.opt.R", "Flux of the Sersic fit in r, corrected for extinction"),
    "petro_th50": ("arcsec", "phys.angSize;src", "Radius with half the Petrosian flux in r"),
    "petro_th90": ("arcsec", "phys.angSize;src", "Radius with 90 % of the Petrosian flux in r"),
    "petro_theta": ("arcsec", "phys.angSize;src", "Petrosian radius in r"),
    "wrong_size_statistic": ("pix", "stat.value", "Mean distance of probable source pixels from the centre"),
    "wrong_size_warning": (None, "meta.code.qual", "True where people may have seen a wrong field of view (statistic above 161)"),
}


def fraction_columns(questions: dict[str, tuple[str, ...]] = QUESTIONS) -> list[str]:
    """Names of the vote fractions."""
    return [f"{question}_{answer}_fraction" for question, answers in questions.items() for answer in answers]


def read_file(path: Path, questions: Sequence[str] | None = None, *, debiased: bool = False) -> Table:
    """The wanted columns of one of the Parquet files, their names with underscores.

    Parameters
    ----------
    path : Path
        The file.
    questions : sequence of str, optional
        Questions whose columns are wanted; None takes all.
    debiased : bool
        Also the fractions that were corrected for redshift.

    Raises
    ------
    CatalogueError
        Not a Parquet file, or an unknown question.
    """
    if unknown := set(questions or ()) - set(QUESTIONS):
        raise CatalogueError(f"gz_decals: no question {', '.join(sorted(unknown))}; the questions are {', '.join(QUESTIONS)}")
    wanted_questions = tuple(questions or QUESTIONS)
    try:
        names = pq.read_schema(path).names
    except (pa.ArrowException, OSError) as error:
        raise CatalogueError(f"{path}: not a Parquet file ({error})") from error

    def wanted(name: str) -> bool:
        plain = name.replace("-", "_")
        if plain in METADATA:
            return True
        asked = plain.startswith(tuple(f"{question}_" for question in wanted_questions))
        return asked and not plain.endswith("_concentration") and (debiased or not plain.endswith("_debiased"))

    raw = read_table(path, "parquet", only=[name for name in names if wanted(name)])
    for name in raw.colnames:
        if "-" in name:
            raw.rename_column(name, name.replace("-", "_"))
    return raw


def standardise(raw: Table, source: str = "auto") -> Table:
    """Turn the published table into the common columns.

    Parameters
    ----------
    raw : Table
        As `read_file` gives it, or the CSV file's with underscores.
    source : str
        One of `FILES`: it says which questions were asked.

    Returns
    -------
    Table
        ``object_id`` = iauname, ``mag`` = mag_r (computed from the Sersic flux where it is absent), ``petrosian_radius_arcsec`` =
        petro_theta, ``n_votes`` of the first question where people voted; fractions, computed from counts where the file has none (masked
        where nobody was asked); all else as published.

    Raises
    ------
    CatalogueError
        A column is missing, or a galaxy stands twice.
    """
    where = "gz_decals"
    questions = QUESTIONS_1_AND_2 if source == "volunteers_1_and_2" else QUESTIONS
    table = Table()
    table["object_id"] = assemble.identifiers(raw[common.find(raw, "iauname", where)], where)
    table["galaxy_id"] = table["object_id"].copy()
    for key in ("ra", "dec"):
        table[key] = np.ma.filled(common.floats(raw[common.find(raw, key, where)], where), np.nan)
    table["redshift"] = _numbers(raw, "redshift", where)
    table["mag"] = common.masked_column(_magnitude(raw, where))
    table["petrosian_radius_arcsec"] = _numbers(raw, "petro_theta", where)
    if "smooth_or_featured_total_votes" in raw.colnames:
        votes = common.floats(raw["smooth_or_featured_total_votes"], where)
        table["n_votes"] = common.masked_column(np.ma.MaskedArray(np.rint(np.ma.getdata(votes)).astype(np.int64), mask=np.ma.getmaskarray(votes)))
    for name in raw.colnames:
        if name not in table.colnames:
            table[name] = common.masked_column(common.floats(raw[name], where)) if raw[name].dtype.kind == "f" else raw[name]
    info = dict(COLUMNS)
    for question, answers in questions.items():
        _add_fractions(table, question, answers, where)
        info |= _question_info(question, answers)
    return assemble.finish(table, raw, where, info, doi=DOI, bibcode=BIBCODE)


def fetch(transport: Any, *, source: str = "auto", questions: Sequence[str] | None = None, debiased: bool = False) -> Table:
    """Fetch one of the catalogues from Zenodo.

    Parameters
    ----------
    transport : Transport
        An open transport.
    source : str
        ``auto``: the network's fractions for all galaxies (1.6 GB); ``volunteers_5``: the votes of the fifth campaign (41 MB), from deeper
        images; ``volunteers_1_and_2``: of the first two (19 MB), with other answers.
    questions, debiased
        See `read_file`.

    Raises
    ------
    CatalogueError, ArchiveError
        As `read_file`, `standardise` and the archive's client; or another source.
    """
    from tuningfork.archives import zenodo

    if source not in FILES:
        raise CatalogueError(f"gz_decals: source is {source!r}; choose {', '.join(FILES)}")
    fetched = zenodo.fetch_file(transport, RECORD, FILES[source])
    raw = read_file(fetched.path, questions, debiased=debiased)
    raw.meta = {"origin": assemble.file_origin(fetched, transport, source=source)}
    return standardise(raw, source)


def _numbers(raw: Table, name: str, where: str) -> Any:
    return common.masked_column(common.floats(raw[name], where)) if name in raw.colnames else common.empty_floats(len(raw))


def _magnitude(raw: Table, where: str) -> np.ma.MaskedArray:
    if "mag_r" in raw.colnames:
        return common.floats(raw["mag_r"], where)
    if "sersic_nmgy_r" not in raw.colnames:
        return np.ma.masked_all(len(raw))
    return NANOMAGGY_ZERO_POINT - 2.5 * np.ma.log10(np.ma.masked_less_equal(common.floats(raw["sersic_nmgy_r"], where), 0))


def _add_fractions(table: Table, question: str, answers: Sequence[str], where: str) -> None:
    """Fractions of a question that the file does not give, where it gives the counts."""
    counts = [f"{question}_{answer}" for answer in answers]
    if not set(counts) <= set(table.colnames):
        return
    votes = np.ma.stack([common.floats(table[name], where) for name in counts])
    # Nobody asked: 0/0 is no fraction.
    total = np.ma.masked_less_equal(votes.sum(axis=0), 0)
    for name, count in zip(counts, votes, strict=True):
        if f"{name}_fraction" not in table.colnames:
            table[f"{name}_fraction"] = common.masked_column(count / total)


def _question_info(question: str, answers: Sequence[str]) -> dict[str, common.Info]:
    words = question.replace("_", " ")
    info: dict[str, common.Info] = {
        f"{question}_total_votes": (None, "meta.number", f"Votes on '{words}'"),
        f"{question}_proportion_volunteers_asked": (None, "stat.probability", f"Estimated fraction of people who would be asked '{words}'"),
    }
    for answer in answers:
        said = answer.replace("_", " ")
        info[f"{question}_{answer}"] = (None, "meta.number", f"Votes for '{said}' on '{words}'")
        info[f"{question}_{answer}_fraction"] = (None, "stat.probability;src.morph.type", f"Fraction of votes for '{said}' on '{words}'")
        info[f"{question}_{answer}_debiased"] = (None, "stat.probability;src.morph.type", f"Fraction for '{said}' on '{words}', corrected for redshift")
    return info
