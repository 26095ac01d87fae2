"""Render the whole sky into one directory, laid out as the archives' own trees; ``sky.json`` comes last and says that it is complete."""

import logging
import os
import shutil
from dataclasses import asdict
from pathlib import Path

import numpy as np
from astropy.table import Table, vstack
from tqdm import tqdm

from tuningfork import tables
from tuningfork.files import sha256_of, write_json, write_text
from tuningfork.sky import candels, clash_labels, galaxies, molino, mosaics, render
from tuningfork.sky.bands import BANDS, HLF_SCALE
from tuningfork.sky.parameters import CLASSES, SkyParameters
from tuningfork.sky.population import KINDS, Population
from tuningfork.sky.sextraction import petrosian_radius
from tuningfork.sky.votes import Votes, appearance, summary

log = logging.getLogger(__name__)

CLASH_IMAGES = "mast/missions/hlsp/clash/{cluster}/data/hst/scale_65mas/hlsp_clash_hst_{instrument}_{cluster}_{band}_v1_{kind}.fits"
CLASH_CATALOGUE = "mast/missions/hlsp/clash/{cluster}/catalogs/molino/hlsp_clash_hst_ir_{cluster}_cat-molino.txt"
HLF_IMAGES = "mast/missions/hlsp/hlf/goods-s/hlsp_hlf_hst_wfc3-60mas_goodss_f160w_v1.5_{kind}.fits"
MOLINO = "J/MNRAS/470/95/{cluster}"
VIZIER_TABLE = "vizier/{name}.parquet"
LABELS = "github/mperezcarrasco/CLASH/master/CLASH/CLASH_labels.csv"
TRUTH = "truth.parquet"


def render_sky(parameters: SkyParameters, out_dir: str | os.PathLike[str], *, progress: bool = True) -> Path:
    """Render the simulated sky and its published tables.

    Parameters
    ----------
    parameters : SkyParameters
    out_dir : path
        Directory to write; an older sky in it is removed first. What the rendering did not make (other files) is left alone.
    progress : bool
        Show progress bars on stderr.

    Returns
    -------
    Path
        ``out_dir/sky.json``: parameters, key, counts, Bayes floors of the votes, and the SHA-256 of every file. It is written last: a directory
        without it is not a sky.
    """
    out = Path(out_dir)
    out.mkdir(parents=True, exist_ok=True)
    (out / "sky.json").unlink(missing_ok=True)
    for tree in ("mast", "vizier", "github"):
        shutil.rmtree(out / tree, ignore_errors=True)
    (out / TRUTH).unlink(missing_ok=True)

    populations: list[Population] = []
    catalogues: list[Table] = []
    fields = tqdm([*parameters.clusters, "goodss"], desc="rendering the sky", unit="field", disable=not progress)
    for name in fields:
        fields.set_postfix_str(name)
        if name == "goodss":
            candels_truth, candels_votes = _render_goodss(parameters, out, progress)
            continue
        population, catalogue = _render_cluster(parameters, name, out, progress)
        populations.append(population)
        catalogues.append(catalogue)

    clash_truth, clash_votes, labelled_bands = _label_clash(parameters, populations, catalogues, out)
    truth = vstack([clash_truth, candels_truth], metadata_conflicts="silent")
    truth.meta = {"simulated": True, "sky": parameters.key()}
    tables.write(truth, out / TRUTH)
    files = sorted(path for path in out.rglob("*") if path.is_file() and path.relative_to(out).parts[0] in {"mast", "vizier", "github", TRUTH})
    value = {
        "simulated": True,
        "key": parameters.key(),
        "parameters": asdict(parameters),
        "counts": {
            "clash_stamps": len(clash_truth),
            "clash_labels": len(labelled_bands),
            "candels_rows": len(candels_truth),
            "clusters": {name: len(catalogue) for name, catalogue in zip(parameters.clusters, catalogues, strict=True)},
        },
        "clash": summary(clash_votes, labelled_bands),
        "candels": summary(candels_votes, np.full(len(candels_truth), "f160w")),
        "files": {path.relative_to(out).as_posix(): sha256_of(path) for path in files},
    }
    write_json(out / "sky.json", value)
    log.info("simulated sky %s: %d files, %d CLASH stamps, %d CANDELS rows", parameters.key()[:12], len(files), len(clash_truth), len(candels_truth))
    return out / "sky.json"


def _render_cluster(parameters: SkyParameters, name: str, out: Path, progress: bool) -> tuple[Population, Table]:
    population = galaxies.cluster(parameters, name)
    images = render.paint(population, progress)
    rng = parameters.generator("roll", name)
    roll = float(rng.uniform(0.14, 0.28) * rng.choice([-1, 1]))
    exposures: dict[str, np.ndarray] = {}
    infrared: list[tuple[np.ndarray, np.ndarray, mosaics.Band]] = []
    absent = {band for cluster, band in parameters.absent if cluster == name}
    for painted, band_name in zip(images, population.bands, strict=True):
        band = BANDS[band_name]
        rng = parameters.generator("mosaic", name, band_name)
        exposures[band_name] = mosaics.cluster_exposure(rng, band, population.side, 1.3 * roll if band.instrument == "wfc3uvis" else roll)
        if band_name in absent:
            continue
        blank = np.nan if band.instrument == "acs" else 0.0
        science, weight = mosaics.expose(rng, render.observe(painted, band_name, population.scale), exposures[band_name], band, population.scale, blank)
        for kind, plane in (("drz", science), ("wht", weight)):
            path = _place(out, CLASH_IMAGES.format(cluster=name, instrument=band.instrument, band=band_name, kind=kind))
            mosaics.write_image(path, plane, population.wcs, band, target=name, kind=kind, exposure=band.exposure)
        if band.instrument == "wfc3ir":
            infrared.append((science, weight, band))
    reference = mosaics.detection_reference()
    for kind, plane in zip(("drz", "wht"), mosaics.combine(infrared, reference), strict=True):
        path = _place(out, CLASH_IMAGES.format(cluster=name, instrument="wfc3ir", band="total", kind=kind))
        exposure = sum(band.exposure for _, _, band in infrared)
        mosaics.write_image(path, plane, population.wcs, reference, target=name, kind=kind, exposure=exposure, detection=True)
    catalogue = molino.measure(parameters, population, exposures, absent)
    write_text(out / CLASH_CATALOGUE.format(cluster=name), molino.mast_text(catalogue))
    table_name = MOLINO.format(cluster=name)
    tables.write(molino.vizier_table(catalogue, table_name), out / VIZIER_TABLE.format(name=table_name))
    return population, catalogue


def _render_goodss(parameters: SkyParameters, out: Path, progress: bool) -> tuple[Table, Votes]:
    population = galaxies.goodss(parameters)
    band = BANDS["f160w"]
    signal = render.paint(population, progress)[0]
    exposure = mosaics.goodss_exposure(population.side, candels.area_rows(population.side))
    signal = render.observe(signal, "f160w", HLF_SCALE)
    science, weight = mosaics.expose(parameters.generator("mosaic", "goodss"), signal, exposure, band, HLF_SCALE, np.nan)
    edge = exposure.shape[0] // 100
    science[-edge:], weight[-edge:], exposure[-edge:] = 0, 0, 0
    for kind, plane in (("sci", science), ("wht", weight)):
        mosaics.write_image(_place(out, HLF_IMAGES.format(kind=kind)), plane, population.wcs, band, target="SIM-GOODS-S", kind=kind, exposure=band.exposure)
    photometry, numbers = candels.guo(parameters, population, exposure)
    table, link, votes = candels.kartaltepe(parameters, population, exposure, numbers)
    for published in (table, photometry):
        tables.write(published, out / VIZIER_TABLE.format(name=published.meta["name"]))
    rows = np.asarray(link["object"])
    truth = _truth(population, rows, np.full(len(rows), "f160w"))
    truth["object_id"], truth["galaxy_id"] = np.asarray(link["object_id"]), np.asarray(link["galaxy_id"])
    for name, values in zip(CLASSES, votes.expected.T, strict=True):
        truth[name] = values
    truth["n_votes"], truth["floor"] = votes.people, votes.floor
    return truth, votes


def _label_clash(parameters: SkyParameters, populations: list[Population], catalogues: list[Table], out: Path) -> tuple[Table, Votes, np.ndarray]:
    stamps = clash_labels.eligible(parameters, populations, catalogues)
    chosen, votes = clash_labels.draw_labels(parameters, stamps)
    write_text(out / LABELS, clash_labels.label_file(np.asarray(stamps["object_id"])[chosen], votes))
    pieces = []
    for population in populations:
        own = stamps[np.asarray(stamps["field"]) == population.name]
        pieces.append(_truth(population, np.asarray(own["object"]), np.asarray(own["band"])))
        for name in ("object_id", "galaxy_id", *CLASSES):
            pieces[-1][name] = np.asarray(own[name])
    truth = vstack(pieces)
    people, floor = np.zeros(len(stamps), dtype=int), np.full(len(stamps), np.nan)
    people[chosen], floor[chosen] = votes.people, votes.floor
    truth["n_votes"], truth["floor"] = people, floor
    return truth, votes, np.asarray(stamps["band"])[chosen]


def _truth(population: Population, rows: np.ndarray, bands: np.ndarray) -> Table:
    """What the simulation knows about stamps: position, type, magnitude and signal-to-noise in the stamp's own band, size."""
    ra, dec = population.wcs.all_pix2world(population.x[rows], population.y[rows], 1)
    magnitude, snr = np.empty(len(rows)), np.empty(len(rows))
    for band in np.unique(bands):
        at = bands == band
        magnitude[at], snr[at] = population.magnitude(str(band))[rows[at]], appearance(population, str(band))["snr"][rows[at]]
    return Table(
        {
            "field": np.full(len(rows), population.name),
            "band": bands,
            "ra": ra,
            "dec": dec,
            "x": population.x[rows],
            "y": population.y[rows],
            "kind": np.array(KINDS)[population.kind[rows]],
            "member": population.member[rows],
            "redshift": population.redshift[rows],
            "magnitude": magnitude,
            "snr": snr,
            "petrosian_radius_arcsec": petrosian_radius(population)[rows],
        }
    )


def _place(out: Path, relative: str) -> Path:
    path = out / relative
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
