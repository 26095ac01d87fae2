"""Render the sky of the wide surveys into one directory: light, published tables and files; ``sky.json`` comes last and says that it is whole."""

import logging
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import Table, vstack
from tqdm import tqdm

from tuningfork import tables
from tuningfork.files import sha256_of, write_json, write_text
from tuningfork.sky.wide import galaxy10, lsb, lsb_samples, lsb_tables, sdss, sdss_tables, zoo, zoo_tables
from tuningfork.sky.wide.image import PARTS, WideSky, write_parts
from tuningfork.sky.wide.parameters import WideParameters
from tuningfork.sky.wide.parts import PART
from tuningfork.sky.wide.surveys import DES_DR1, NORTH_SOUTH

log = logging.getLogger(__name__)

SAS = "files/sas/sas/dr8/common/sdss-spectro/redux/galSpec{part}-dr8.fits"
DES = "files/des/despublic/other_files/y3-lsbg/{name}"
GITHUB = "files/github/dtanoglidis/DeepShadows/main/Datasets/{name}"
ZOO = "files/zenodo/records/4573248/files/gz_decals_{name}.parquet"
GALAXY10 = "files/zenodo/records/10845026/files/Galaxy10_DECals.h5"
GRECO = "J/ApJ/857/104/table1"
TRUTH = "truth_{name}.parquet"
TREES = ("tables", "files", "vizier")


def render_wide(parameters: WideParameters, out_dir: str | os.PathLike[str], progress: bool = True) -> Path:
    """Render the simulated sky of the wide surveys.

    Parameters
    ----------
    parameters : WideParameters
    out_dir : path
        Directory to write; an older sky in it is removed first, other files are left alone.
    progress : bool
        Show progress bars on stderr.

    Returns
    -------
    Path
        ``out_dir/sky.json``: ``kind`` "wide", parameters, key, counts, calibration and the SHA-256 of every file. It is written last: a directory without it
        is not a sky.
    """
    out = Path(out_dir)
    out.mkdir(parents=True, exist_ok=True)
    (out / "sky.json").unlink(missing_ok=True)
    for tree in TREES:
        shutil.rmtree(out / tree, ignore_errors=True)
    for path in [out / PARTS, *(out / TRUTH.format(name=name) for name in _SAMPLES)]:
        path.unlink(missing_ok=True)

    counts: dict[str, Any] = {}
    calibration: dict[str, Any] = {}
    parts = np.zeros(0, PART)
    steps = tqdm(_SAMPLES.items(), desc="rendering the wide sky", unit="sample", disable=not progress)
    first = 0
    for name, render in steps:
        steps.set_postfix_str(name)
        made, truth, counts[name], calibration[name] = render(_Place(parameters, out, first, parts, progress))
        parts = np.concatenate([parts, made])
        first += len(truth)
        truth.meta = {"simulated": True, "sky": parameters.key()}
        tables.write(truth, out / TRUTH.format(name=name))
    write_parts(parts, out / PARTS)
    own = {PARTS, *(TRUTH.format(name=name) for name in _SAMPLES), *TREES}
    files = sorted(path for path in out.rglob("*") if path.is_file() and path.relative_to(out).parts[0] in own)
    value = {
        "kind": "wide",
        "simulated": True,
        "key": parameters.key(),
        "parameters": asdict(parameters),
        "counts": counts,
        "calibration": calibration,
        "files": {path.relative_to(out).as_posix(): sha256_of(path) for path in files},
    }
    write_json(out / "sky.json", value)
    log.info("simulated sky of the wide surveys %s: %d files, %s", parameters.key()[:12], len(files), counts)
    return out / "sky.json"


@dataclass(frozen=True)
class _Place:
    """Where a sample goes: the directory, the number of its first object, the light of the samples before it."""

    parameters: WideParameters
    out: Path
    first: int
    before: np.ndarray
    progress: bool

    def path(self, relative: str) -> Path:
        """A path in the directory, its folder made."""
        path = self.out / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        return path


_Rendered = tuple[np.ndarray, Table, dict[str, Any], dict[str, Any]]
"""Parts, truth (one row an object of the parts), counts, calibration."""


def _sdss(place: _Place) -> _Rendered:
    sample = sdss.draw(place.parameters, place.first)
    made, truth = sdss_tables.make(place.parameters, sample, place.first)
    sdss_tables.write_sql(made, place.out / "tables")
    for part in sdss_tables.FITS_PARTS:
        sdss_tables.write_fits(made, part, place.path(SAS.format(part=part)))
    metallicity = np.asarray(made["galSpecExtra"]["oh_p50"])
    counts = {"galaxies": len(truth), "spectra": len(made["SpecObj"]), "with_metallicity": int((metallicity > 0).sum())}
    calibration = {"oh_std": round(float(metallicity[metallicity > 0].std()), 5), "label_floor_dex": round(sdss_tables.label_floor(made), 5)}
    calibration["mass_metallicity_scatter_dex"] = round(float((sample.metallicity - sdss.mass_metallicity(sample.mass)).std()), 5)
    return sample.parts, truth, counts, calibration


def _des(place: _Place) -> _Rendered:
    """Both lists of artifacts and the catalogue; ``y3_lsbg`` and ``des_dr1.main`` for SQL; the split lists of DeepShadows."""
    found = lsb_samples.des(place.parameters)
    rng = place.parameters.generator("des", "tables")
    parts, truths, seen, number = [], [], {}, 0
    for label, own in found.items():
        seen[label] = lsb_tables.measured(rng, own, lsb_tables.FIRST_ID + number + np.arange(len(own)))
        parts.append(lsb.parts(place.parameters.generator("des", "parts", label), own, place.first + number))
        truths.append(lsb_samples.truth(own, label, seen[label]["coadd_object_id"]))
        number += len(own)
    catalogue = lsb_tables.catalogue(rng, found[lsb.GALAXY], seen[lsb.GALAXY])
    write_text(place.path(DES.format(name="LSBG_catalog_v2.csv")), lsb_tables.comma_separated(catalogue))
    for kind, label in ((1, lsb.REJECTED_BY_MACHINE), (2, lsb.REJECTED_BY_EYE)):
        write_text(place.path(DES.format(name=f"random_negative_all_{kind}.txt")), lsb_tables.comma_separated(lsb_tables.artifact_list(rng, seen[label])))
    ra, dec = (np.concatenate([np.asarray(seen[label][axis]) for label in (lsb.GALAXY, lsb.REJECTED_BY_EYE)]) for axis in ("ra", "dec"))
    for name, table in lsb_tables.split_lists(rng, ra, dec).items():
        write_text(place.path(GITHUB.format(name=f"Baseline_{name}.csv")), lsb_tables.comma_separated(table, index=True))
    everything = vstack([seen[label] for label in found], metadata_conflicts="silent")
    main = everything[["coadd_object_id", "ra", "dec"]]
    for band in lsb_tables.BANDS:
        main[f"mag_auto_{band}"], main[f"flux_radius_{band}"] = everything[f"mag_{band}"], np.asarray(everything[f"radius_{band}"]) / DES_DR1.pixscale
    for name, table in (("y3_lsbg", catalogue), ("des_dr1.main", main)):
        table.meta = {"simulated": True, "name": name}
        tables.write(table, place.path(f"tables/{name}.parquet"))
    counts = {"galaxies": len(found[lsb.GALAXY]), "artifacts_1": len(found[lsb.REJECTED_BY_MACHINE]), "artifacts_2": len(found[lsb.REJECTED_BY_EYE])}
    separations = {f"auc_linear_{label}": lsb_samples.linear_auc(seen[lsb.GALAXY], seen[label]) for label in (lsb.REJECTED_BY_EYE, lsb.REJECTED_BY_MACHINE)}
    return np.concatenate(parts), vstack(truths, metadata_conflicts="silent"), counts, separations


def _hsc(place: _Place) -> _Rendered:
    """Greco et al. (2018) as VizieR and as the DeepShadows repository have it, and the artifacts of the latter."""
    galaxies, artifacts, shared = lsb_samples.hsc(place.parameters)
    rng = place.parameters.generator("hsc", "tables")
    table = lsb_tables.hsc_catalogue(rng, galaxies, np.arange(1, len(galaxies) + 1))
    table.meta = {"simulated": True, "name": GRECO, "description": "Low-surface-brightness galaxies of a simulated survey, as those of Greco+ 2018"}
    tables.write(table, place.path(f"vizier/{GRECO}.parquet"))
    write_text(place.path(GITHUB.format(name="hsc_LSBGs.dat")), lsb_tables.whitespace_rows(table))
    write_text(place.path(GITHUB.format(name="hsc_artifacts.csv")), lsb_tables.comma_separated(lsb_tables.hsc_artifacts(rng, artifacts)))
    own = galaxies.take(np.arange(shared, len(galaxies)))  # the shared ones are in the light of DES already
    parts = [lsb.parts(place.parameters.generator("hsc", "parts"), own, place.first)]
    parts.append(lsb.parts(place.parameters.generator("hsc", "parts", "artifacts"), artifacts, place.first + len(own)))
    ids = [np.arange(shared + 1, len(galaxies) + 1), -np.arange(1, len(artifacts) + 1)]
    truth = vstack([lsb_samples.truth(own, lsb.GALAXY, ids[0]), lsb_samples.truth(artifacts, lsb.REJECTED_BY_EYE, ids[1])], metadata_conflicts="silent")
    return np.concatenate(parts), truth, {"galaxies": len(galaxies), "artifacts": len(artifacts), "shared_with_des": shared}, {}


def _decals(place: _Place) -> _Rendered:
    made = zoo_tables.sample(place.parameters, place.first)
    rng = place.parameters.generator("decals", "tables")
    about = zoo_tables.metadata(rng, made, place.first)
    tables.write(zoo_tables.auto_posteriors(about, made.answers), place.path(ZOO.format(name="auto_posteriors")))
    tables.write(zoo_tables.volunteers(rng, about, made.answers), place.path(ZOO.format(name="volunteers_5")))
    truth = about[["iauname", "ra", "dec", "redshift", "mag_r"]]
    truth["kind"] = np.array(zoo.KINDS)[made.kind]
    for name in ("q", "bulge", "structure", "arms", "pitch", "bar", "merger", "disturbed"):
        truth[name] = getattr(made.galaxies, name)
    south = int((made.galaxies.dec < zoo_tables.OVERLAP[0]).sum())
    return made.parts, truth, {"galaxies": len(truth), "south_only": south}, zoo_tables.calibration(made)


def _galaxy10(place: _Place) -> _Rendered:
    made = galaxy10.sample(place.parameters, place.first)
    sky = WideSky(np.concatenate([place.before, made.parts]), place.parameters.seed)
    galaxy10.write(sky, made, place.path(GALAXY10), progress=place.progress)
    owner = np.unique(made.galaxy, return_index=True)[1]
    truth = Table({"ra": made.galaxies.ra, "dec": made.galaxies.dec, "redshift": made.galaxies.redshift, "ans": made.answer[owner], "r": made.galaxies.r})
    north = float(np.mean(made.dec >= NORTH_SOUTH))
    counts = {"pictures": len(made.answer), "galaxies": len(truth), "classes": np.bincount(made.answer, minlength=10).tolist()}
    return made.parts, truth, counts, {"north": round(north, 4)}


_SAMPLES: dict[str, Callable[[_Place], _Rendered]] = {"sdss": _sdss, "des": _des, "hsc": _hsc, "decals": _decals, "galaxy10": _galaxy10}
