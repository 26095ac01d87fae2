"""The typed model of the YAML: every key, its default and its unit in one place; errors name the key, the file and the nearest valid name.

Light on purpose (pydantic and the standard library): the Snakefile imports it at every parse. Names of catalogues and networks are found
by looking at the source files, not by importing them.
"""

import ast
import functools
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Discriminator, Field, StringConstraints, Tag, ValidationError, field_validator, model_validator

from tuningfork.config_messages import file_with, nearest, problem_line
from tuningfork.config_secrets import secrets_in
from tuningfork.errors import ConfigError

PACKAGE = Path(__file__).parent
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$", max_length=80)]
Band = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+$")]
Target = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_ -]*$")]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
Task = Literal["fractions", "regression", "classes"]
MORPHOLOGY_TARGETS = ("p_smooth", "p_features", "p_irregular", "p_point_source", "p_unclassifiable")


@functools.cache
def catalogue_names() -> tuple[str, ...]:
    """Published catalogues that the library reads: one module of `tuningfork/catalogues` each (those with a ``fetch`` function)."""
    return tuple(
        sorted(path.stem for path in (PACKAGE / "catalogues").glob("*.py") if re.search(r"^def fetch\(", path.read_text(encoding="utf-8"), re.MULTILINE))
    )


@functools.cache
def network_modules() -> dict[str, str]:
    """Network name -> module that registers it, read off the ``@register("name")`` lines without importing torch."""
    modules = {path.stem: path.read_text(encoding="utf-8") for path in sorted((PACKAGE / "networks").glob("*.py"))}
    return {
        name: f"tuningfork.networks.{stem}" for stem, text in modules.items() for name in re.findall(r"""^@register\(["']([^"']+)["']\)""", text, re.MULTILINE)
    }


@functools.cache
def has_published_radius(catalogue: str) -> bool:
    """Whether a catalogue publishes a Petrosian radius: its ``fetch`` takes a ``petrosian_factor``."""
    tree = _parsed(PACKAGE / "catalogues" / f"{catalogue}.py")
    fetch = next(node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "fetch")
    return "petrosian_factor" in {argument.arg for argument in (*fetch.args.args, *fetch.args.kwonlyargs)}


def recipe_names(folder: Path) -> tuple[str, ...]:
    """Training recipes: one YAML file of `config/recipes` each."""
    return tuple(sorted(path.stem for path in folder.glob("*.yaml")))


def _power_of_two(nside: int) -> int:
    if nside & (nside - 1):
        raise ValueError("healpix_nside must be a power of two")
    return nside


def _parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


class Section(BaseModel):
    """A section of the YAML: unknown keys are errors, values are not coerced from other types."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Archives(Section):
    """Where catalogues and images come from."""

    mode: Literal["simulated", "live"] = Field("simulated", description="simulated: the embedded sky behind a stand-in archive; live: the real archives")
    contact: str | None = Field(None, description="an e-mail address or URL that the archives see in the User-Agent; please set it for live runs")
    retry_failed: bool = Field(True, description="ask again in the next run for cutouts that failed for a reason that may pass")
    mirror: Path | None = Field(None, description="folder laid out as the archives' own trees, read before any archive is asked (live only)")


class Sky(Section):
    """The simulated sky (used when archives.mode is simulated)."""

    seed: int = Field(1, ge=0, description="another seed is another sky; the same seed gives the same bytes")
    clusters: tuple[Name, ...] = Field(
        ("SIM-A", "SIM-B", "SIM-C", "SIM-D", "SIM-E"), min_length=1, description="fictitious clusters; each name starts with SIM-"
    )
    bands: tuple[Band, ...] = Field(
        ("f275w", "f475w", "f606w", "f814w", "f110w", "f140w", "f160w"), min_length=1, description="filters rendered for the clusters"
    )
    cluster_side_px: int = Field(1000, ge=200, le=5000, description="side of a cluster mosaic, pixels of 65 mas")
    goodss_side_px: int = Field(4700, ge=200, le=25000, description="side of the GOODS-S mosaic, pixels of 60 mas")
    cluster_density: Positive = Field(95.0, description="objects brighter than F160W = 24.5 per square arcmin in a cluster field")
    goodss_density: Positive = Field(58.0, description="objects brighter than H = 24.5 per square arcmin in GOODS-S")
    clash_labels: int = Field(900, ge=20, description="rows of the visual classification of the clusters")

    @field_validator("clusters")
    @classmethod
    def _fictitious(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if not name.startswith("SIM-"):
                raise ValueError(f"{name!r} could pass as a real cluster; simulated clusters start with 'SIM-'")
        return names


class SurveySky(Section):
    """The simulated sky of the wide surveys (SDSS, DES, HSC, Legacy Surveys, unWISE), used when archives.mode is simulated."""

    seed: int = Field(1, ge=0, description="another seed is another sky; the same seed gives the same bytes")
    sdss_galaxies: int = Field(1400, ge=20, description="galaxies with an SDSS spectrum and a metallicity")
    lsb_galaxies: int = Field(700, ge=20, description="low-surface-brightness galaxies of DES; as many artifacts in each of the two lists")
    hsc_galaxies: int = Field(260, ge=20, description="low-surface-brightness galaxies of HSC; as many artifacts")
    decals_galaxies: int = Field(1500, ge=20, description="galaxies of Galaxy Zoo DECaLS; about half lie where DECaLS and BASS+MzLS overlap")
    galaxy10_images: int = Field(900, ge=20, description="images of the Galaxy10 file")


class Compute(Section):
    """What training and prediction ask of the machine."""

    training_threads: int = Field(1, ge=1, description="CPU threads of one training; the demo runs two trainings side by side on two cores")
    gpu: int = Field(1, ge=0, description="GPUs that one training asks of a cluster, and shares its batches among; with none on the machine it runs on the CPU")
    gpu_model: str | None = Field(None, description="GPU model as the cluster names it, such as a100 or h200")
    gpu_partition: str | None = Field(None, description="cluster partition (queue) of GPU jobs")
    downloads: Literal["nodes", "head_node"] = Field("nodes", description="where a cluster's jobs that ask archives run; head_node: beside snakemake itself")
    download_partition: str | None = Field(None, description="cluster partition of the jobs that ask archives, where only some nodes have internet")
    training_mem_mb: int = Field(2500, ge=500, description="memory of one training or prediction, MB")
    stamps: Literal["auto", "resident", "streamed"] = Field(
        "auto", description="where a training keeps its stamps: on the device if they fit there (auto), always there, or read batch by batch"
    )
    training_minutes: int = Field(240, ge=1, description="run time that one training asks of a cluster, minutes")
    save_minutes: Positive = Field(10.0, description="a training saves its state after every epoch, and within one whenever so many minutes have gone by")


class CatalogueSource(Section):
    """A published catalogue and the archive that serves it."""

    name: str = Field(description="a module of tuningfork/catalogues")
    source: Literal["vizier", "mast"] = Field("vizier", description="the archive that serves it; mast for the text files of Molino et al.")


class Match(Section):
    """A second catalogue joined by position: mutual nearest neighbours."""

    name: str = Field(description="a module of tuningfork/catalogues")
    radius_arcsec: Positive = Field(0.4, description="largest separation, arcsec")
    magnitude_difference: Positive = Field(0.5, description="largest difference of the two magnitudes, mag")


class Labels(Section):
    """A table of labels (CSV): a file of yours, or a URL."""

    file: Path | None = Field(None, description="path of a CSV file, relative to the working directory")
    url: str | None = Field(None, description="https URL of a CSV file")
    id_column: str = Field("ID", description="column that holds the object id")

    @model_validator(mode="after")
    def _one_place(self) -> "Labels":
        if (self.file is None) == (self.url is None):
            raise ValueError("give either 'file' or 'url'")
        return self


class Images(Section):
    """Which mosaics the stamps are cut from."""

    collection: Literal["clash", "hlf-goods-s"] = Field(description="the archive's collection of mosaics")
    fields: tuple[Name, ...] = Field(min_length=1, description="mosaic footprints: CLASH cluster tokens, or goodss")
    bands: tuple[Band, ...] = Field(min_length=1, description="filters, lower case, such as f160w; F850LP is f850lp")
    weights: bool = Field(True, description="fetch the weight maps too: they say which pixels were never observed")
    read: Literal["whole", "ranges", "auto"] = Field(
        "whole", description="whole: download every mosaic; ranges: only the bytes under the stamps; auto: whichever is less and no slower"
    )
    hosts: tuple[Literal["mast", "s3"], ...] = Field(
        ("mast",), min_length=1, description="where mosaics come from, in turn; s3 is the public copy, of which it was not seen that it has these collections"
    )


class Select(Section):
    """Which objects of the catalogue become stamps."""

    magnitude_limit: float = Field(24.5, description="faintest magnitude kept, AB mag")
    magnitude: Literal["own_filter", "h_mass"] = Field("own_filter", description="own_filter: the magnitude in the stamp's own filter; h_mass: total F160W")


class Size(Section):
    """Where the Petrosian radius comes from."""

    source: Literal["catalogue", "image"] = Field("catalogue", description="catalogue: the published radius; image: measured on the detection image")
    petrosian_factor: Positive = Field(
        2.0, description="SExtractor's PETRO_RADIUS is this factor times R(eta=0.2); 1.0 reads the published column as the radius itself"
    )


class Stamp(Section):
    """Size and sampling of a stamp."""

    petrosian_radii: Positive = Field(4.0, description="side of the stamp in Petrosian radii")
    pixels: int = Field(80, ge=8, le=1024, description="side of the stored stamp, pixels")
    orientation: Literal["native", "north_up"] = Field(
        "native", description="native: cut along the mosaic's axes; north_up: reproject mosaics that are rotated"
    )


class CutoutCatalogue(Section):
    """A published catalogue, or any table, whose objects get cutouts."""

    name: str = Field(description="a module of tuningfork/catalogues; 'table' reads any VizieR table, TAP query, URL or file")
    options: dict[str, Any] = Field(default_factory=dict, description="what that catalogue's module takes, such as release, strict, table, columns")


class Cutouts(Section):
    """Which service cuts the images."""

    service: Literal["skyserver", "legacysurvey", "galaxy10"] = Field(
        description="skyserver: SDSS colour JPEG; legacysurvey: the viewer's layers; galaxy10: pictures inside the Galaxy10 file"
    )
    layer: str | None = Field(
        None, description="layer of the viewer, such as ls-dr9-south, des-dr1, hsc-dr2, unwise-neo7; data release of SkyServer, such as dr14"
    )
    format: Literal["fits", "jpeg"] = Field("fits", description="fits: calibrated, any bands; jpeg: the service's colour picture")
    bands: tuple[Band, ...] = Field(("g", "r", "z"), min_length=1, description="bands, in the order of the channels")
    arcsec_per_pixel: Positive | str = Field(
        0.262, description="scale asked for: a number, or an expression of the catalogue's columns, such as 2 * petroR90_r / 0.396 / 128"
    )
    pixels: int = Field(256, ge=16, le=2048, description="side of the cutout asked for, pixels")
    footprint: str | None = Field(
        None,
        description="MOC file (FITS) of where the survey has images, so that objects outside cost no request: a path, a URL, or auto for that of the layer",
    )


class CutoutSelect(Section):
    """Which rows of the catalogue become stamps."""

    where: str | None = Field(None, description="SQL condition on the catalogue's columns; rows that fail it are left out")
    limit: int | None = Field(None, ge=1, description="at most so many objects, chosen by a hash of their ids; for trials")


class CutoutStamp(Section):
    """How a cutout is stored."""

    pixels: int = Field(64, ge=8, le=1024, description="side of the stored stamp, pixels; cutouts are area-averaged to it")
    crop: Annotated[float, Field(gt=0, le=1)] = Field(1.0, description="central part of the cutout that is kept, as a fraction of its side")


class Split(Section):
    """Which objects train, validate and test. A galaxy is never on two sides; adding objects moves no old one."""

    by: Literal["galaxy", "field", "healpix", "column"] = Field("galaxy", description="the unit that stays together; column: take the sides from 'column'")
    column: str | None = Field(None, description="column of the label table that says train, validation or test")
    seed: int = Field(1, ge=0, description="another seed is another split")
    validation: Fraction = Field(0.15, description="fraction of the units that choose the best epoch")
    test: Fraction = Field(0.15, description="fraction of the units that are only ever predicted")
    healpix_nside: int = Field(4096, ge=1, le=262144, description="cell of by: healpix; 4096 is 0.86 arcmin")
    same_arcsec: float = Field(0.4, ge=0, le=120, description="objects nearer than this are one galaxy and stay on one side, arcsec")

    apart_from: tuple[Name, ...] = Field(
        (), description="samples whose galaxies may be learned from before this one is: test objects that they train on or validate with are put aside as guard"
    )

    @model_validator(mode="after")
    def _sides(self) -> "Split":
        if self.validation + self.test >= 1:
            raise ValueError("validation + test leave nothing to train on")
        if (self.by == "column") != (self.column is not None):
            raise ValueError("'column' goes with 'by: column', and only with it")
        if self.healpix_nside & (self.healpix_nside - 1):
            raise ValueError("healpix_nside must be a power of two")
        return self


class CutoutShards(Section):
    """How a sample of cutouts is cut into jobs."""

    healpix_nside: int = Field(8, ge=1, le=65536, description="sky cells that share a job; 8 is 7.3 degrees")

    @field_validator("healpix_nside")
    @classmethod
    def _power_of_two(cls, nside: int) -> int:
        return _power_of_two(nside)


class Shards(Section):
    """How a sample is cut into jobs."""

    healpix_nside: int = Field(64, ge=1, le=65536, description="sky cells that share a job; 64 is 55 arcmin")
    buckets: int = Field(4, ge=1, le=65536, description="folder samples have no sky: this many hash buckets")

    @field_validator("healpix_nside")
    @classmethod
    def _power_of_two(cls, nside: int) -> int:
        return _power_of_two(nside)


class SampleBase(Section):
    """What every sample has."""

    task: Task = Field("fractions", description="fractions: targets that sum to 1; classes: one column of class names; regression: numbers")
    targets: tuple[Target, ...] = Field(MORPHOLOGY_TARGETS, min_length=1, description="what the networks learn; for task classes, the names of the classes")
    votes: Literal["exclusive", "independent"] = Field(
        "exclusive", description="of task fractions: exclusive if a classifier gave one answer, independent if several boxes could be ticked"
    )
    assumed_votes: int | None = Field(None, ge=1, description="classifiers an object where the labels do not say; for the noise floor, which then says so")
    handed: bool = Field(False, description="a mirror image has another label (clockwise spirals): nothing is mirrored, in training and in prediction")
    label_errors: dict[Target, str] = Field(
        default_factory=dict, description="of task regression: target -> column of the objects with the standard deviation of its label"
    )
    split: Split = Split()

    @model_validator(mode="after")
    def _enough_targets(self) -> "SampleBase":
        if self.task != "regression" and len(self.targets) < 2:
            raise ValueError(f"task {self.task} needs at least two targets")
        if len(set(self.targets)) != len(self.targets):
            raise ValueError("a target stands twice")
        if self.label_errors and self.task != "regression":
            raise ValueError(f"label_errors are of numbers: they go with task regression, not with {self.task}")
        if unknown := [name for name in self.label_errors if name not in self.targets]:
            raise ValueError(f"label_errors: {unknown[0]!r} is none of the targets {', '.join(self.targets)}")
        return self


class MosaicSample(SampleBase):
    """Objects of a published catalogue, their stamps cut from mosaics."""

    kind: Literal["mosaic"]
    catalogue: CatalogueSource
    match: Match | None = None
    labels: Labels | None = Field(None, description="labels in a table of their own; without it, those of the catalogue")
    images: Images
    select: Select = Select()
    size: Size = Size()
    stamp: Stamp = Stamp()
    shards: Shards = Shards()


class FolderLabels(Section):
    """The CSV that belongs to an image folder."""

    file: Path = Field(description="the CSV file; columns it needs are named below")
    path_column: str | None = Field(None, description="column with the image's path below the folder")
    id_column: str | None = Field(None, description="column with the object's id; without path_column the image is <folder>/<id><suffix>")
    label_column: str | None = Field(None, description="for task classes: the column that holds the class name")
    group_column: str | None = Field(None, description="rows with the same value stay on one side of the split")
    suffix: str = Field(".jpg", description="file name ending that completes an id")

    @model_validator(mode="after")
    def _some_key(self) -> "FolderLabels":
        if self.path_column is None and self.id_column is None:
            raise ValueError("name a path_column or an id_column")
        return self


class Picture(Section):
    """How pictures of a folder are stored."""

    pixels: int = Field(64, ge=8, le=1024, description="side of the stored picture, pixels; pictures are area-averaged to it")
    channels: Literal[1, 3] = Field(3, description="3: colour; 1: grey, or single-band FITS")
    arcsec_per_pixel: Positive | None = Field(None, description="scale of the original pictures, arcsec per pixel, if they share one")


class FolderSample(SampleBase):
    """Pictures in a folder and labels in a CSV file."""

    kind: Literal["folder"]
    folder: Path = Field(description="the folder with the pictures (FITS, JPEG, PNG)")
    labels: FolderLabels | None = Field(None, description="without labels the folder can only be predicted")
    stamp: Picture = Picture()
    shards: Shards = Shards()

    @model_validator(mode="after")
    def _class_column(self) -> "FolderSample":
        if self.task == "classes" and self.labels is not None and self.labels.label_column is None:
            raise ValueError("task classes needs labels.label_column")
        if self.split.by in ("field", "healpix"):
            raise ValueError(f"a folder has no sky positions: split.by cannot be {self.split.by!r}")
        return self


class CutoutSample(SampleBase):
    """Objects of a catalogue, their stamps fetched one by one from a cutout service."""

    kind: Literal["cutout"]
    catalogue: CutoutCatalogue
    images: Cutouts
    select: CutoutSelect = CutoutSelect()
    classes: dict[Target, str] = Field(
        default_factory=dict, description="of task classes: class -> SQL condition on the catalogue's columns; the first that holds labels the object"
    )
    label_column: str | None = Field(None, description="of task classes, instead of classes: the catalogue's column that holds the class name")
    stamp: CutoutStamp = CutoutStamp()
    shards: CutoutShards = CutoutShards()

    @model_validator(mode="after")
    def _class_rules(self) -> "CutoutSample":
        if self.task != "classes" and (self.classes or self.label_column):
            raise ValueError(f"'classes' and 'label_column' go with task: classes, not with {self.task}")
        if self.task == "classes" and bool(self.classes) == bool(self.label_column):
            raise ValueError("task classes needs either 'classes' (rules) or 'label_column'")
        if self.classes and set(self.classes) != set(self.targets):
            raise ValueError("'classes' must have one rule for each of 'targets'")
        if self.images.service != "galaxy10" and self.images.layer is None:
            raise ValueError("images.layer is missing: which layer of the viewer, or which data release of SkyServer?")
        return self


Sample = Annotated[MosaicSample | FolderSample | CutoutSample, Field(discriminator="kind")]


class Network(Section):
    """The architecture."""

    name: str = Field("deep-clash", description="a network of tuningfork/networks, or timm:<model>")
    options: dict[str, Any] = Field(default_factory=dict, description="options of that network, such as width")


class Claims(Section):
    """What must be true of a model, or the run fails; judged by the intervals of paired differences on the test rows."""

    better_than: tuple[str, ...] = Field(
        (), description="baselines (mean, filter mean, size and magnitude, border pixels, picture features) or models of compare_to"
    )
    no_better_than: tuple[str, ...] = Field((), description="the same, for controls")
    above_floor: bool = Field(False, description="the error must not fall below the noise of the labels: if it does, something leaks")


class Adaptation(Section):
    """A second sample whose features are made to look like the first one's while training (domain adaptation)."""

    sample: Name = Field(description="the sample to adapt to; its labels are not used")
    method: Literal["mmd", "coral", "dann"] = Field(
        "mmd",
        description="mmd: maximum mean discrepancy with five Gaussian kernels; coral: distance of covariances; dann: an adversary tells the samples apart",
    )
    weight: Positive = Field(10.0, description="weight of the alignment beside the loss; if not given, 10 for mmd and 1 for the others")
    paired: bool = Field(False, description="take the same galaxy of both samples together (by galaxy_id); else at random")

    @model_validator(mode="before")
    @classmethod
    def _weight_of_method(cls, values: Any) -> Any:
        if isinstance(values, Mapping) and "weight" not in values and values.get("method") in ("coral", "dann"):
            return {**values, "weight": 1.0}
        return values


class WeightsFile(Section):
    """A file of weights from elsewhere, in timm's names of tensors."""

    file: Path = Field(description="a safetensors file, relative to the working directory")
    prefix: str | None = Field(None, description="what the names in it begin with, such as 'encoder.'; found by itself where all names share it")
    first_layer: Literal["adapt", "fresh"] = Field(
        "adapt", description="first convolution where the images have another number of channels than the file: adapt its kernels, or start it anew"
    )


Start = Annotated[
    Annotated[Name, Tag("model-name")] | Annotated[WeightsFile, Tag("weights-file")],
    Discriminator(lambda value: "weights-file" if isinstance(value, Mapping | WeightsFile) else "model-name"),
]


class Ensemble(Section):
    """Further networks of a model, each a model of its own, trained on the same rows; predictions are means over all of them."""

    seeds: int = Field(0, ge=0, le=50, description="further networks with other seeds: seed + 1, seed + 2, ...")
    sizes: tuple[Annotated[int, Field(ge=8, le=1024)], ...] = Field(
        (), description="further networks that see the stamps averaged by area to so many pixels a side"
    )
    networks: tuple[Network, ...] = Field((), description="further networks of other architectures or options; new ones go to the end")
    shifts_px: int = Field(0, ge=0, le=16, description="predictions average also over views shifted by so many pixels; 0: over turns and mirror images alone")

    @field_validator("sizes")
    @classmethod
    def _each_once(cls, sizes: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(sizes)) != len(sizes):
            raise ValueError("a size stands twice; for two networks of one size use seeds")
        return sizes


class Calibration(Section):
    """How sets and intervals are made from the validation rows."""

    coverage: Annotated[float, Field(gt=0, lt=1)] = Field(0.9, description="probability with which a set or an interval shall hold the label")
    temperature: bool | None = Field(None, description="temperature scaling of probabilities; if not given, for task classes and not for fractions")
    class_conditional: bool = Field(False, description="of task classes: cover each class by itself, also rare ones, with larger sets")


class Model(Section):
    """A trained network."""

    train: Name = Field(description="the sample it learns from")
    start_from: Start | None = Field(None, alias="from", description="where its first weights come from (transfer): a model, or a file")
    network: Network = Network()
    recipe: str = Field("clash", description="a file of config/recipes")
    training: dict[str, Any] = Field(default_factory=dict, description="keys of the recipe that this model changes")
    seed: int = Field(1, ge=0, description="initial weights, shuffling, augmentation")
    folds: int = Field(0, ge=0, le=50, description="leave-groups-out folds: as many further networks, so that rows trained on get out-of-fold predictions")
    ensemble: Ensemble = Field(Ensemble(), description="further networks beside it, and further views in prediction")
    calibration: Calibration | None = Field(Calibration(), description="sets and intervals of stated coverage; null for none")
    compare_to: tuple[Name, ...] = Field((), description="models whose predictions on the same rows are compared with this one's, pair by pair")
    predict: tuple[Name, ...] = Field((), description="further samples to predict")
    adapt_to: Adaptation | None = Field(None, description="domain adaptation to a second sample")
    features: bool = Field(
        False, description="write what goes into the last dense layer (of an autoencoder the latent means) for every stamp; judges an adaptation by it"
    )
    evaluate_on: Name | None = Field(None, description="the sample on whose test rows it is judged; that of train if not given")
    claims: Claims | None = Field(None, description="what must be true of it, or the run fails")

    @property
    def parent(self) -> str | None:
        """The model of this configuration that it starts from."""
        return self.start_from if isinstance(self.start_from, str) else None

    @property
    def weights_file(self) -> WeightsFile | None:
        """The file from elsewhere that it starts from."""
        return self.start_from if isinstance(self.start_from, WeightsFile) else None

    @field_validator("folds")
    @classmethod
    def _two_folds(cls, folds: int) -> int:
        if folds == 1:
            raise ValueError("one fold leaves nothing to train on; use 0 or at least 2")
        return folds


class Publish(Section):
    """A catalogue to publish: a model applied to a sample."""

    model: Name
    sample: Name
    title: str | None = Field(None, description="one line for the catalogue's metadata")


class Config(Section):
    """The whole configuration."""

    archives: Archives = Archives()
    sky: Sky = Sky()
    survey_sky: SurveySky = SurveySky()
    compute: Compute = Compute()
    samples: dict[Name, Sample] = Field(min_length=1)
    models: dict[Name, Model] = Field(default_factory=dict)
    catalogues: dict[Name, Publish] = Field(default_factory=dict)
    papers: dict[Name, tuple[Name, ...]] = Field(
        default_factory=dict, description="name of a target -> the catalogues that it makes, with the models behind them: `snakemake deepshadows`"
    )


def read_yaml(path: str | Path) -> dict[str, Any]:
    """What a YAML file holds, {} where it is empty.

    Raises
    ------
    ConfigError
        It cannot be read, is no YAML of plain values (tags that make objects are refused), or is no mapping.
    """
    try:
        found = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError, yaml.YAMLError, RecursionError) as error:
        raise ConfigError(f"{path}: not a readable YAML file ({' '.join(str(error).split())[:300] or type(error).__name__})") from error
    if found is not None and not isinstance(found, Mapping):
        raise ConfigError(f"{path}: a {type(found).__name__} where sections are expected: 'samples:', 'models:' and so on")
    return dict(found or {})


def load(raw: Mapping[str, Any], files: Sequence[str | Path] = (), recipes: Path = Path("config/recipes")) -> Config:
    """Validate a configuration.

    Parameters
    ----------
    raw
        The merged YAML (Snakemake's ``config``).
    files
        The configuration files it came from, for the error messages.
    recipes
        Folder of the training recipes.

    Raises
    ------
    ConfigError
        One line a mistake: file, key, what is wrong, nearest valid name.
    """
    if secrets := list(secrets_in(raw)):
        raise ConfigError("\n".join(f"{file_with(key, files, raw)}: {'.'.join(key)}: {text}" for key, text in secrets))
    try:
        config = Config.model_validate(dict(raw))
    except ValidationError as error:
        raise ConfigError("\n".join(problem_line(problem, files, raw, Config) for problem in error.errors())) from None
    problems = _unknown_names(config, recipes)
    if problems:
        raise ConfigError("\n".join(f"{file_with(key, files, raw)}: {'.'.join(key)}: {text}" for key, text in problems))
    return config


def recipe_of(model: Model, recipes: Path) -> dict[str, Any]:
    """The model's recipe: the preset with the model's own `training` keys merged over it."""
    preset = yaml.safe_load((recipes / f"{model.recipe}.yaml").read_text(encoding="utf-8"))
    return _merged(preset, model.training)


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(base)
    for key, value in over.items():
        both = isinstance(result.get(key), Mapping) and isinstance(value, Mapping)
        result[key] = _merged(result[key], value) if both else value
    return result


def _unknown_names(config: Config, recipes: Path) -> list[tuple[tuple[str, ...], str]]:
    """References between sections that lead nowhere, each with its key."""
    problems: list[tuple[tuple[str, ...], str]] = []

    def known(value: str, valid: Iterable[str], what: str, *key: str) -> None:
        if value not in valid:
            problems.append((key, f"unknown {what} {value!r}; {nearest(value, valid)}"))

    for name, sample in config.samples.items():
        if isinstance(sample, MosaicSample):
            known(sample.catalogue.name, catalogue_names(), "catalogue", "samples", name, "catalogue", "name")
            if sample.catalogue.name in catalogue_names() and sample.size.source == "catalogue" and not has_published_radius(sample.catalogue.name):
                problems.append((("samples", name, "size", "source"), f"{sample.catalogue.name} publishes no Petrosian radius; use 'image' to measure it"))
            if sample.match:
                known(sample.match.name, catalogue_names(), "catalogue", "samples", name, "match", "name")
            if config.archives.mode == "simulated" and sample.images.collection == "clash":
                for field in sample.images.fields:
                    known(field, config.sky.clusters, "simulated cluster", "samples", name, "images", "fields")
        if isinstance(sample, CutoutSample):
            known(sample.catalogue.name, catalogue_names(), "catalogue", "samples", name, "catalogue", "name")
        for other in sample.split.apart_from:
            known(other, config.samples, "sample", "samples", name, "split", "apart_from")
            if other in config.samples and config.samples[other].split.apart_from:
                problems.append((("samples", name, "split", "apart_from"), f"{other!r} is itself apart from others; name those here instead"))
    for name, model in config.models.items():
        known(model.train, config.samples, "sample", "models", name, "train")
        known(model.recipe, recipe_names(recipes), "recipe", "models", name, "recipe")
        if not model.network.name.startswith("timm:"):
            known(model.network.name, network_modules(), "network", "models", name, "network", "name")
        problems.extend(_ensemble_problems(config, name))
        for other in model.compare_to:
            known(other, config.models, "model", "models", name, "compare_to")
        for other in model.predict:
            known(other, config.samples, "sample", "models", name, "predict")
        if model.adapt_to is not None:
            known(model.adapt_to.sample, config.samples, "sample", "models", name, "adapt_to", "sample")
        if model.evaluate_on is not None:
            known(model.evaluate_on, config.samples, "sample", "models", name, "evaluate_on")
        if model.parent is not None:
            known(model.parent, config.models, "model", "models", name, "from")
            problems.extend(_circle(config, name))
        if model.weights_file is not None and (wrong := _unreadable(model.weights_file.file)):
            problems.append((("models", name, "from", "file"), wrong))
    for name, product in config.catalogues.items():
        known(product.model, config.models, "model", "catalogues", name, "model")
        known(product.sample, config.samples, "sample", "catalogues", name, "sample")
    for name, products in config.papers.items():
        for product_name in products:
            known(product_name, config.catalogues, "catalogue", "papers", name)
    return problems


def _unreadable(weights: Path) -> str:
    """What is wrong with a file of weights, as far as its name and place tell; '' if nothing."""
    if weights.suffix.lower() != ".safetensors":
        return f"{weights} is no .safetensors file; convert it in the environment it comes from, see 'Weights from elsewhere' in config/README.md"
    return "" if weights.is_file() else f"there is no file {weights} in {Path.cwd()}; download it first, see 'Weights from elsewhere' in config/README.md"


def _ensemble_problems(config: Config, name: str) -> list[tuple[tuple[str, ...], str]]:
    model = config.models[name]
    problems: list[tuple[tuple[str, ...], str]] = []
    for network in model.ensemble.networks:
        if not network.name.startswith("timm:") and network.name not in network_modules():
            problems.append((("models", name, "ensemble", "networks"), f"unknown network {network.name!r}; {nearest(network.name, network_modules())}"))
        if model.start_from is not None:
            start = model.parent or (model.weights_file and model.weights_file.file)
            problems.append((("models", name, "ensemble", "networks"), f"{network.name!r} cannot start from the weights of {str(start)!r}; use seeds"))
    pixels = config.samples[model.train].stamp.pixels if model.train in config.samples else None
    if pixels is not None:
        text = f"is not smaller than the stamps of {model.train!r}, {pixels} pixels"
        problems += [(("models", name, "ensemble", "sizes"), f"{size} {text}") for size in model.ensemble.sizes if size >= pixels]
    return problems


def _circle(config: Config, name: str) -> list[tuple[tuple[str, ...], str]]:
    path, here = [name], config.models[name].parent
    while here is not None and here in config.models and here not in path:
        path.append(here)
        here = config.models[here].parent
    if here == name:
        return [(("models", name, "from"), f"the model starts from itself ({' <- '.join([*path, name])}); remove one 'from'")]
    return []
