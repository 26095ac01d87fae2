"""What a configuration will cost before anything is fetched: objects, requests to each archive, bytes, hours, disk, GPU hours.

Counts are those that the papers publish, or, where the archive is asked, what it answers; each says which. Nothing here downloads a product.
"""

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tuningfork.archives import mast
from tuningfork.archives.request import ARCHIVES
from tuningfork.archives.transport import Transport
from tuningfork.config import Config, CutoutSample, FolderSample, Model, MosaicSample, Sample, recipe_of
from tuningfork.errors import ArchiveError, NotInArchive

log = logging.getLogger(__name__)

PUBLISHED, ASKED, ASSUMED = "published", "asked", "assumed"
PUBLISHED_ROWS = {
    "kartaltepe2015": 7567,
    "molino2017": 68531,
    "sdss_galspec": 142186,
    "mpa_jhu": 927552,
    "des_lsbg": 23790,
    "deepshadows": 40000,
    "greco2018": 1422,
    "gz_decals": 313789,
    "galaxy10": 17736,
}
"""Objects (for molino2017 stamps) that the papers report: reference/systems.md, A1, B1, C1, D1, E1; gz_decals from its image counts."""
PUBLISHED_LABELS = {"molino2017": 1600}
"""Labelled objects where they are far fewer than the objects: reference/systems.md, A1."""
CATALOGUE_BYTES = {"sdss_galspec": 60e6, "mpa_jhu": 4.3e9, "gz_decals": 1.6e9, "galaxy10": 2.54e9}
"""Size of the files or replies that hold a catalogue (reference/archives.md, 3.3 and 6); `OTHER_CATALOGUE_BYTES` where they are small."""
OTHER_CATALOGUE_BYTES = 10e6
CATALOGUE_ARCHIVE = {"sdss_galspec": "skyserver", "mpa_jhu": "sas", "des_lsbg": "des", "deepshadows": "des", "gz_decals": "zenodo", "galaxy10": "zenodo"}
MOSAIC_BYTES = {"clash": 5000**2 * 4, "hlf-goods-s": 25000**2 * 4}
"""One plane of a collection: reference/archives.md, 2.1 and 2.2."""
JPEG_BYTES_PER_PIXEL = 0.30
"""Of colour cutouts: 400 real ones of 128 pixels have 4.9 kB on average."""
VIEWS = 8
"""Orientations that a prediction averages over."""


@dataclass(frozen=True)
class Assumptions:
    """What the machine and the line give: bytes/s of one archive, and floating-point operations/s that a training sustains on one GPU."""

    bytes_per_second: float = 10e6
    gpu_flops: float = 1e13


@dataclass
class Traffic:
    """What one archive is asked for."""

    requests: float = 0
    bytes: float = 0
    sources: set[str] = field(default_factory=set)
    catalogues: set[str] = field(default_factory=set)

    def add(self, requests: float, size: float, source: str) -> None:
        """`requests` more, of `size` bytes together."""
        self.requests, self.bytes = self.requests + requests, self.bytes + size
        self.sources.add(source)


@dataclass(frozen=True)
class Plan:
    """Costs of a configuration.

    Attributes
    ----------
    objects : dict
        Sample -> (objects, where the number comes from).
    traffic : dict
        Archive -> what it is asked for.
    hours : dict
        Archive -> hours at its polite rate, or at the line's speed where that is slower.
    stamp_bytes, cache_bytes : float
        Disk for the stamps and for what is downloaded.
    gpu_hours : dict
        Model (with its folds) -> hours of one GPU.
    notes : list of str
        What the numbers leave out.
    """

    objects: dict[str, tuple[float, str]]
    traffic: dict[str, Traffic]
    hours: dict[str, float]
    stamp_bytes: float
    cache_bytes: float
    gpu_hours: dict[str, float]
    notes: list[str]


def make_plan(config: Config, recipes: Path, *, transport: Transport | None = None, assumptions: Assumptions | None = None) -> Plan:
    """Work out what a configuration costs.

    Parameters
    ----------
    config
        A validated configuration.
    recipes
        Folder of the training recipes.
    transport
        Ask the archives for what they say cheaply (the sizes of mosaics, by HEAD requests); without it published numbers are used.
    assumptions
        Speed of the line and of the GPU.
    """
    given = assumptions or Assumptions()
    objects, traffic, notes, stamp_bytes = {}, dict[str, Traffic](), list[str](), 0.0
    for name, sample in config.samples.items():
        number, source = _objects(sample, notes, name)
        objects[name] = (number, source)
        stamp_bytes += number * _stamp_bytes(sample)
        if isinstance(sample, MosaicSample):
            _mosaics(sample, traffic, transport)
        elif isinstance(sample, CutoutSample):
            _cutouts(sample, number, source, traffic)
    hours = {name: _hours(name, found, given) for name, found in traffic.items()}
    gpu = {name: _gpu_hours(config, name, model, recipes, objects, given) for name, model in config.models.items()}
    return Plan(objects, traffic, hours, stamp_bytes, sum(found.bytes for found in traffic.values()), gpu, notes)


def render(plan: Plan, assumptions: Assumptions | None = None) -> str:
    """The plan as text for a terminal."""
    given = assumptions or Assumptions()
    lines = ["objects"]
    lines += [f"  {name:<24}{number:>12,.0f}  {source}" for name, (number, source) in plan.objects.items()]
    lines += ["", f"{'archives':<26}{'requests':>12}{'GB':>10}{'hours':>10}  sizes"]
    for name, found in plan.traffic.items():
        lines.append(f"  {name:<24}{found.requests:>12,.0f}{found.bytes / 1e9:>10.2f}{plan.hours[name]:>10.1f}  {', '.join(sorted(found.sources))}")
    total = plan.cache_bytes + plan.stamp_bytes
    lines += ["", f"disk: {total / 1e9:.1f} GB ({plan.cache_bytes / 1e9:.1f} downloads, {plan.stamp_bytes / 1e9:.2f} stamps)"]
    lines += ["", f"GPU hours, at {given.gpu_flops / 1e12:g} TFLOP/s sustained (all epochs of the recipe; early stopping makes it less)"]
    lines += [f"  {name:<24}{value:>12.2f}" for name, value in plan.gpu_hours.items()]
    lines.append(f"  {'together':<24}{sum(plan.gpu_hours.values()):>12.2f}")
    lines += ["", *(f"note: {note}" for note in plan.notes)]
    return "\n".join(lines).rstrip() + "\n"


def _objects(sample: Sample, notes: list[str], name: str) -> tuple[float, str]:
    if isinstance(sample, FolderSample):
        return sum(1 for path in Path(sample.folder).rglob("*") if path.is_file()) if Path(sample.folder).is_dir() else 0, "counted in the folder"
    known = PUBLISHED_ROWS.get(sample.catalogue.name)
    number, source = (float(known), PUBLISHED) if known is not None else (math.nan, "unknown")
    if isinstance(sample, MosaicSample) and sample.catalogue.name == "molino2017":
        # 25 clusters in 16 filters make the published number; a part of them makes that part
        number *= len(sample.images.fields) * len(sample.images.bands) / (len(mast.CLUSTERS) * 16)
    if isinstance(sample, CutoutSample):
        limits = [sample.select.limit, sample.catalogue.options.get("limit")]
        for limit in limits:
            if limit is not None and not limit > number:
                number, source = float(limit), "limit"
        if sample.select.where:
            notes.append(f"{name}: select.where leaves fewer objects than the {number:,.0f} counted here")
        if known is None and math.isnan(number):
            notes.append(f"{name}: the number of rows of {sample.catalogue.name!r} is not known before it is fetched; set select.limit to bound it")
            number = 0.0
    return number, source


def _stamp_bytes(sample: Sample) -> float:
    side = sample.stamp.pixels
    if isinstance(sample, MosaicSample):
        return 4.0 * side**2
    if isinstance(sample, FolderSample):
        return sample.stamp.channels * side**2
    return (3.0 if _is_colour(sample) else 4.0 * len(sample.images.bands)) * side**2


def _is_colour(sample: CutoutSample) -> bool:
    return sample.images.format == "jpeg" or sample.images.service == "galaxy10"


def _mosaics(sample: MosaicSample, traffic: dict[str, Traffic], transport: Transport | None) -> None:
    images = sample.images
    vizier = traffic.setdefault("vizier", Traffic())
    tables = len(images.fields) + (1 if sample.match else 0)
    vizier.add(tables, tables * OTHER_CATALOGUE_BYTES, ASSUMED)
    wanted = ("image", "weight") if images.weights else ("image",)
    paths = [mast.detection_paths(images.collection, name)[kind] for name in images.fields for kind in wanted]
    paths += [mast.mosaic_paths(images.collection, name, band)[kind] for name in images.fields for band in images.bands for kind in wanted]
    found = traffic.setdefault("mast", Traffic())
    for path in dict.fromkeys(paths):
        size, source = float(MOSAIC_BYTES[images.collection]), PUBLISHED
        if transport is not None:
            try:
                size, source = float(transport.head("mast", path)["content-length"]), ASKED
            except NotInArchive:
                continue
            except (ArchiveError, KeyError, ValueError) as error:
                log.warning("%s: its size is not known (%s)", path, error)
        found.add(1, size, source)


def _cutouts(sample: CutoutSample, number: float, source: str, traffic: dict[str, Traffic]) -> None:
    name = sample.catalogue.name
    archive = traffic.setdefault(CATALOGUE_ARCHIVE.get(name, "vizier"), Traffic())
    if name not in archive.catalogues:  # two samples of one catalogue fetch it once
        archive.catalogues.add(name)
        archive.add(1, CATALOGUE_BYTES.get(name, OTHER_CATALOGUE_BYTES), PUBLISHED if name in CATALOGUE_BYTES else ASSUMED)
    if sample.images.service == "galaxy10":
        return
    pixels = sample.images.pixels**2
    size = JPEG_BYTES_PER_PIXEL * pixels if _is_colour(sample) else 4.0 * pixels * len(sample.images.bands) + 5760
    traffic.setdefault(sample.images.service, Traffic()).add(number, number * size, source)


def _hours(name: str, found: Traffic, given: Assumptions) -> float:
    return max(found.requests / ARCHIVES[name].requests_per_second, found.bytes / given.bytes_per_second) / 3600


def _gpu_hours(config: Config, name: str, model: Model, recipes: Path, objects: Mapping[str, tuple[float, str]], given: Assumptions) -> float:
    """Three passes forward for each image that is drawn (forward, and backward at twice the cost), and eight for each that is predicted."""
    sample, recipe = config.samples[model.train], recipe_of(model, recipes)
    number = objects[model.train][0]
    labelled = number
    if not isinstance(sample, FolderSample) and isinstance(sample, MosaicSample) and sample.labels is not None:
        labelled = min(number, PUBLISHED_LABELS.get(sample.catalogue.name, number))
    drawn = labelled * (1 - sample.split.validation - sample.split.test) * float(recipe.get("draws_per_epoch", 1.0)) * int(recipe["epochs"])
    predicted = sum(objects[other][0] for other in dict.fromkeys([model.train, *model.predict]))
    flops = forward_flops(config, model, unsupervised=recipe["loss"] == "elbo")
    return (3 * drawn * (1 + model.folds) + VIEWS * predicted) * flops / given.gpu_flops / 3600


def forward_flops(config: Config, model: Model, *, unsupervised: bool = False) -> float:
    """Floating-point operations of one image through a model's network, counted by torch without computing anything."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from tuningfork.networks import registry

    sample = config.samples[model.train]
    channels: int = 1 if isinstance(sample, MosaicSample) else sample.stamp.channels if isinstance(sample, FolderSample) else 3
    if isinstance(sample, CutoutSample) and not _is_colour(sample):
        channels = len(sample.images.bands)
    with torch.device("meta"):
        network = registry.build(
            model.network.name,
            in_channels=channels,
            n_outputs=0 if unsupervised else len(sample.targets),
            image_size=sample.stamp.pixels,
            **model.network.options,
        ).eval()
        image = torch.zeros(1, channels, sample.stamp.pixels, sample.stamp.pixels)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(image)
    return float(counter.get_total_flops())
