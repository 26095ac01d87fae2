"""The table: what is changed, and the exact set of jobs that this makes stale. An extra job is as wrong as a missing one.

Jobs are written ``rule[wildcards]``; ``{A}`` and ``{B}`` are the shards of the two clusters, ``{near}`` and ``{far}`` those of the table, ``{p03}``
that of picture p03, ``{sky}`` and ``{survey_sky}`` the two skies. `really` are the runs that must be done before a dry run can see the rest:
those up to a checkpoint.
"""

import ast
import json
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from workbench import FROZEN, Bench, zoo_row

NOTHING: tuple[str, ...] = ()
Jobs = Sequence[str]


@dataclass(frozen=True)
class Change:
    """One row of the table."""

    name: str
    apply: Callable[[Bench], Any]
    stale: Jobs
    really: Sequence[Sequence[str]] = ()
    late: bool = False  # only in the longer form


# What follows from what ---------------------------------------------------------------------------------------------------

CLASH_TRAININGS = ["train_model[clash]", "train_model[clash.fold0]", "train_model[clash.fold1]", "train_model[scratch]"]
CLASH_EVALUATED = ["evaluate_model[clash]", "evaluate_model[scratch]", "check_model[clash]"]
CLASH_CALIBRATED = ["calibrate_model[clash]", "calibrate_model[scratch]"]
CLASH_PREDICTED = ["predict[clash, clash]", "predict[scratch, clash]", *CLASH_CALIBRATED, *CLASH_EVALUATED, "publish_catalogue[Clusters]"]
CLASH_RETRAINED = [*CLASH_TRAININGS, *CLASH_PREDICTED]
CLASH_FROZEN = ["collect_stamps[clash]", "check_ledger[clash]", "freeze_group[clash]"]
CLASH_CUT = ["cut_stamps[clash, {A}]", "cut_stamps[clash, {B}]"]

PICTURES_PREDICTED = ["predict[pictures, pictures]", "calibrate_model[pictures]", "evaluate_model[pictures]"]
PICTURES_RETRAINED = ["train_model[pictures]", *PICTURES_PREDICTED]
ZOO_PREDICTED = ["predict[zoo, zoo]", "predict[zoo, pictures]", "calibrate_model[zoo]", "evaluate_model[zoo]", "publish_catalogue[Zoo]"]
ZOO_RETRAINED = ["train_model[zoo]", *ZOO_PREDICTED, *PICTURES_RETRAINED]  # the model of the pictures starts from that of the zoo
FREEZE = ["freeze_group[pictures]"]
ZOO_SELECTED = ["select_sample[zoo]", "shard_sample[zoo]", "check_ledger[zoo]", *FREEZE]
PICTURES_SELECTED = ["select_sample[pictures]", "shard_sample[pictures]", "check_ledger[pictures]", *FREEZE]

EVALUATED = [*CLASH_EVALUATED, "evaluate_model[pictures]", "evaluate_model[zoo]"]
PREDICTED = [*CLASH_PREDICTED, *ZOO_PREDICTED, *PICTURES_PREDICTED]
RETRAINED = [*CLASH_RETRAINED, *ZOO_RETRAINED]
SHOWN = ["show_sample[clash]", "show_sample[pictures]", "show_sample[zoo]"]
PUBLISHED = ["publish_catalogue[Clusters]", "publish_catalogue[Zoo]"]
SAMPLED = [f"{rule}[{sample}]" for rule in ("select_sample", "shard_sample", "check_ledger") for sample in ("clash", "pictures", "zoo")]
ALL_FROZEN = ["freeze_group[clash]", *FREEZE]
DOWNLOADS = ["download_catalogue[clash, molino2017]", "download_catalogue[zoo, table]", "download_labels[clash]"]
MOSAICS = ["download_mosaics[clash, SIM-A]", "download_mosaics[clash, SIM-B]"]
STAMPS = [*CLASH_CUT, "fetch_cutouts[zoo, {near}]", "fetch_cutouts[zoo, {far}]", "import_stamps[pictures, {p00}]", "import_stamps[pictures, {p01}]"]
COLLECTED = [f"collect_stamps[{sample}]" for sample in ("clash", "pictures", "zoo")]
SKIES = ["render_sky[{sky}]", "render_survey_sky[{survey_sky}]"]
EVERYTHING = [*SKIES, *DOWNLOADS, *MOSAICS, *SAMPLED, *dict.fromkeys(STAMPS), *COLLECTED, *ALL_FROZEN, *RETRAINED, *SHOWN]

FREEZING = (("--", *FROZEN),)
CLASH_FREEZING = (("--", FROZEN[0]),)
PICTURES_FREEZING = (("--", FROZEN[1]),)


# How things are changed ---------------------------------------------------------------------------------------------------


def put(*path: str | int, value: Any) -> Callable[[Bench], None]:
    """Set a key of the configuration; absent sections are made."""

    def apply(bench: Bench) -> None:
        place = bench.configuration
        for key in path[:-1]:
            place = place.setdefault(key, {})
        place[path[-1]] = value

    return apply


def drop(*path: str) -> Callable[[Bench], None]:
    """Remove a key of the configuration."""

    def apply(bench: Bench) -> None:
        place = bench.configuration
        for key in path[:-1]:
            place = place[key]
        del place[path[-1]]

    return apply


def lines(file: str, change: Callable[[list[str]], list[str]]) -> Callable[[Bench], None]:
    """Rewrite the lines of a file of the working directory."""

    def apply(bench: Bench) -> None:
        path = bench.folder / file
        path.write_text("\n".join(change(path.read_text().splitlines())) + "\n")

    return apply


def cell(file: str, row: str, column: int, value: str) -> Callable[[Bench], None]:
    """Change one value of one row (named by its first column) of a CSV."""

    def change(rows: list[str]) -> list[str]:
        found = [line.split(",") for line in rows]
        (hit,) = (line for line in found if line[0] == row)
        assert hit[column] != value
        hit[column] = value
        return [",".join(line) for line in found]

    return lines(file, change)


def touch(*files: str) -> Callable[[Bench], None]:
    """New times, the same contents; of the working directory, or of the repository (``repository:``)."""

    def apply(bench: Bench) -> None:
        for file in files:
            folder = bench.own_repository() if file.startswith("repository:") else bench.folder
            bench.own(folder / file.removeprefix("repository:")).touch()

    return apply


def remove(*files: str) -> Callable[[Bench], None]:
    """Delete by hand."""

    def apply(bench: Bench) -> None:
        for file in files:
            for path in list(bench.folder.glob(file)):
                path.unlink()

    return apply


def edit(file: str, old: str, new: str) -> Callable[[Bench], None]:
    """Change the text of a file of the repository."""
    return lambda bench: bench.edit(file, old, new)


def function(file: str, name: str) -> Callable[[Bench], None]:
    """Other code in one function of the library, with the same results."""
    return lambda bench: bench.edit_function(f"tuningfork/{file}", name)


def append(file: str, text: str) -> Callable[[Bench], None]:
    """Text at the end of a file of the repository."""

    def apply(bench: Bench) -> None:
        path = bench.own_repository() / file
        path.write_text(path.read_text() + text)

    return apply


def reformat(bench: Bench) -> None:
    """Every module without comments, written as Python itself would; and another docstring on top."""
    for path in (bench.own_repository() / "tuningfork").rglob("*.py"):
        tree = ast.parse(path.read_text())
        if ast.get_docstring(tree) is not None:
            tree.body.pop(0)
        path.write_text('"""Said otherwise."""\n\n# a comment\n' + ast.unparse(tree))


def picture(number: int, *, touched: bool = False) -> Callable[[Bench], None]:
    """Another picture under an old name, or only its time."""

    def apply(bench: Bench) -> None:
        path = bench.folder / f"pictures/p{number:02d}.fits"
        if touched:
            path.touch()
        else:
            fits.writeto(path, np.full((20, 20), 0.5, np.float32) + np.eye(20, dtype=np.float32), overwrite=True)

    return apply


def new_mosaic(field: str, *, same: bool) -> Callable[[Bench], None]:
    """The archive replaces a mosaic by a better one, or not; what was downloaded is asked for again."""

    def apply(bench: Bench) -> None:
        if not same:
            for path in (bench.folder / "resources" / "sky").rglob("*.fits*"):
                if field.lower().removeprefix("sim-") in path.name.lower() or field.lower() in str(path.parent).lower():
                    with fits.open(bench.own(path), mode="update") as file:
                        for unit in file:
                            if unit.data is not None and unit.data.ndim == 2:
                                unit.data += np.float32(0.25 * np.std(unit.data))
        manifest = json.loads((bench.folder / f"resources/mosaics/clash/{field}.json").read_text())
        for entry in (*manifest["bands"].values(), manifest["detection"]):
            for name in ("image", "weight"):
                if entry.get(name):
                    (bench.folder / entry[name]).unlink(missing_ok=True)

    return apply


def version(library: str, number: str) -> Callable[[Bench], None]:
    """Another version of a library is installed, as far as its metadata say."""

    def apply(bench: Bench) -> None:
        folder = bench.own_repository() / f"{library}-{number}.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {library}\nVersion: {number}\n")

    return apply


def lock(bench: Bench) -> None:
    """The lock file, and the environment files that follow from it, name newer packages."""
    for path in (bench.own_repository() / "envs").glob("*.yaml"):
        path.write_text(path.read_text().replace("snakemake=", "snakemake=9.99.0 # was =").replace("astropy==", "astropy==99."))


def move(bench: Bench) -> None:
    """The working directory gets another place."""
    folder = bench.folder.with_name(f"{bench.folder.name}.moved") / "deep" / "down"
    folder.parent.mkdir(parents=True)
    shutil.move(bench.folder, folder)
    bench.folder = folder


def arguments(*words: str) -> Callable[[Bench], None]:
    """Other arguments on the command line."""
    return lambda bench: setattr(bench, "arguments", list(words))


def profile(bench: Bench) -> None:
    """A profile of the user's own, with what sites put there."""
    folder = bench.folder.with_name(f"{bench.folder.name}.profile")
    folder.mkdir()
    (folder / "config.yaml").write_text(
        "cores: 7\nretries: 2\nlatency-wait: 60\nscheduler: greedy\nresources: {gpu: 2, mem_mb: 64000}\ndefault-resources: {slurm_account: ours, runtime: 30}\n"
        "set-threads: {train_model: 4}\nset-resources: {train_model: {mem_mb: 9000}}\n"
    )
    bench.arguments = ["--profile", str(folder)]


def both(*changes: Callable[[Bench], Any]) -> Callable[[Bench], None]:
    """Several changes at once."""

    def apply(bench: Bench) -> None:
        for change in changes:
            change(bench)

    return apply


def rename_model(bench: Bench) -> None:
    """`scratch` is called `plain` from now on."""
    models = bench.configuration["models"]
    models["plain"] = models.pop("scratch")
    models["clash"]["compare_to"] = ["plain"]


def reorder(bench: Bench) -> None:
    """Sections, samples, models and their keys in another order: the same configuration. (Of `classes` the first that holds counts.)"""

    def turned(value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {key: value[key] if key == "classes" else turned(value[key]) for key in reversed(list(value))}

    bench.configuration = turned(bench.configuration)


def at_another_place(bench: Bench) -> None:
    """The same repository, checked out anew elsewhere: every file has a new time."""
    for path in sorted(bench.own_repository().rglob("*")):
        if path.is_file():
            path.touch()


NEW_MODEL = {
    "train": "pictures",
    "network": {"name": "deepshadows", "options": {"width": 0.25}},
    "recipe": "cutouts",
    "training": {"epochs": 1, "precision": "fp32"},
}
MANIFEST_B = "resources/mosaics/clash/SIM-B.json"
REFETCH_B = ("--forcerun", "download_mosaics", "--", MANIFEST_B)

CHANGES = [
    # Nothing that matters
    Change("nothing changed", lambda bench: None, NOTHING),
    Change("inputs are touched", touch("zoo.csv", "pictures.csv", "resources/catalogues/clash/labels.csv", MANIFEST_B), NOTHING),
    Change("intermediates are touched", touch("results/samples/zoo/objects.parquet", FROZEN[1]), NOTHING),
    Change("scripts are touched", touch("repository:workflow/scripts/train_model.py", "repository:workflow/scripts/cut_stamps.py"), NOTHING),
    Change("the repository is checked out anew at another place", at_another_place, NOTHING),
    Change("the order of keys in the YAML", reorder, NOTHING),
    Change("the working directory is moved", move, NOTHING),
    Change("one core", arguments("--cores", "1"), NOTHING),
    Change("a profile of the user's own", profile, NOTHING),
    Change("without any profile", arguments("--cores", "2", "--workflow-profile", "none"), NOTHING),
    Change("no GPU", put("compute", "gpu", value=0), NOTHING),
    Change(
        "another GPU, more threads, memory and time",
        put("compute", value={"gpu": 2, "gpu_model": "h200", "gpu_partition": "gpu", "training_threads": 2, "training_mem_mb": 9000, "training_minutes": 9}),
        NOTHING,
    ),
    Change("a contact for the archives", put("archives", "contact", value="someone@example.org"), NOTHING),
    # Models
    Change(
        "the learning rate of one model",
        put("models", "scratch", "training", "optimizer", value={"learning_rate": 1e-4}),
        [
            "train_model[scratch]",
            "predict[scratch, clash]",
            "calibrate_model[scratch]",
            "evaluate_model[scratch]",
            "evaluate_model[clash]",
            "check_model[clash]",
        ],
    ),
    Change("the learning rate of a parent", put("models", "zoo", "training", "optimizer", value={"learning_rate": 1e-4}), ZOO_RETRAINED),
    Change("the learning rate of a child", put("models", "pictures", "training", "optimizer", value={"learning_rate": 1e-4}), PICTURES_RETRAINED),
    Change("the seed of one model", put("models", "pictures", "seed", value=2), PICTURES_RETRAINED),
    Change("a key of a recipe", edit("config/recipes/cutouts.yaml", "batch_size: 32", "batch_size: 16"), ZOO_RETRAINED),
    Change("a comment in a recipe", append("config/recipes/cutouts.yaml", "# a comment\n"), NOTHING),
    Change("an option of a network", put("models", "pictures", "network", "options", value={"width": 0.25}), PICTURES_RETRAINED),
    Change(
        "a third fold",
        put("models", "clash", "folds", value=3),
        [
            *(f"train_model[clash.fold{k}]" for k in range(3)),
            "predict[clash, clash]",
            "calibrate_model[clash]",
            "evaluate_model[clash]",
            "check_model[clash]",
            "publish_catalogue[Clusters]",
        ],
    ),
    Change(
        "a new model beside the others",
        put("models", "wide", value=NEW_MODEL),
        ["train_model[wide]", "predict[wide, pictures]", "calibrate_model[wide]", "evaluate_model[wide]"],
    ),
    Change(
        "another coverage",
        put("models", "zoo", "calibration", value={"coverage": 0.5}),
        ["calibrate_model[zoo]", "evaluate_model[zoo]", "publish_catalogue[Zoo]"],
    ),
    Change(
        "one more network in an ensemble",
        put("models", "zoo", "ensemble", value={"seeds": 1}),
        ["train_model[zoo.seed1]", *ZOO_PREDICTED],
    ),
    Change(
        "a model is renamed",
        rename_model,
        ["train_model[plain]", "predict[plain, clash]", "calibrate_model[plain]", "evaluate_model[plain]", "evaluate_model[clash]", "check_model[clash]"],
    ),
    Change(
        "a model is dropped", both(drop("models", "scratch"), put("models", "clash", "compare_to", value=[])), ["evaluate_model[clash]", "check_model[clash]"]
    ),
    Change("no comparison any more", put("models", "clash", "compare_to", value=[]), ["evaluate_model[clash]", "check_model[clash]"]),
    Change("another claim", put("models", "clash", "claims", value={"no_better_than": ["mean"]}), ["check_model[clash]"]),
    Change("one sample less to predict", put("models", "zoo", "predict", value=[]), NOTHING),
    Change(
        "a new model that joins the samples of two groups",  # the second group loses its name, and with it the inputs of its models are others
        put("models", "scratch", "predict", value=["zoo"]),
        ["freeze_group[clash]", "predict[scratch, zoo]", *ZOO_RETRAINED, "show_sample[pictures]", "show_sample[zoo]"],
        CLASH_FREEZING,
    ),
    # Catalogues and papers
    Change("the title of a catalogue", put("catalogues", "Zoo", "title", value="A zoo"), ["publish_catalogue[Zoo]"]),
    Change("a new catalogue", put("catalogues", "Plain", value={"model": "scratch", "sample": "clash"}), ["publish_catalogue[Plain]"]),
    Change("a paper is added", put("papers", "clusters", value=["Clusters"]), NOTHING),
    # Samples
    Change(
        "an object is added",
        lines("zoo.csv", lambda rows: [*rows, ",".join(zoo_row(32))]),
        ["download_catalogue[zoo, table]", *ZOO_SELECTED, "fetch_cutouts[zoo, {far}]", "collect_stamps[zoo]", *ZOO_RETRAINED, "show_sample[zoo]"],
        PICTURES_FREEZING,
    ),
    Change(
        "an object is removed",
        lines("zoo.csv", lambda rows: [line for line in rows if not line.startswith("z03,")]),
        ["download_catalogue[zoo, table]", *ZOO_SELECTED, "fetch_cutouts[zoo, {near}]", "collect_stamps[zoo]", *ZOO_RETRAINED, "show_sample[zoo]"],
        PICTURES_FREEZING,
    ),
    Change(
        "an object is relabelled",
        cell("zoo.csv", "z04", 4, "0.90"),
        ["download_catalogue[zoo, table]", *ZOO_SELECTED, *ZOO_RETRAINED, "show_sample[zoo]"],
        PICTURES_FREEZING,
    ),
    Change(
        "a magnitude that no pixel and no label depends on",
        cell("zoo.csv", "z04", 3, "17.77"),
        ["download_catalogue[zoo, table]", *ZOO_SELECTED, "evaluate_model[zoo]", "publish_catalogue[Zoo]", "show_sample[zoo]"],
        PICTURES_FREEZING,
    ),
    Change(
        "the rows of the table in another order",
        lines("zoo.csv", lambda rows: [rows[0], *reversed(rows[1:])]),
        ["download_catalogue[zoo, table]", *ZOO_SELECTED],
        PICTURES_FREEZING,
        late=True,
    ),
    Change(
        "a condition that every object meets",
        put("samples", "zoo", "select", value={"where": "mag < 99"}),
        [*ZOO_SELECTED, "publish_catalogue[Zoo]"],
        PICTURES_FREEZING,
        late=True,
    ),  # the catalogue states the digest of its configuration
    Change(
        "a picture is replaced",
        picture(3),
        [
            *PICTURES_SELECTED,
            "import_stamps[pictures, {p03}]",
            "collect_stamps[pictures]",
            *PICTURES_RETRAINED,
            "predict[zoo, pictures]",
            "show_sample[pictures]",
        ],
        PICTURES_FREEZING,
    ),
    Change(
        "a picture is touched", picture(3, touched=True), [*PICTURES_SELECTED, "import_stamps[pictures, {p03}]", "collect_stamps[pictures]"], PICTURES_FREEZING
    ),
    Change(
        "a picture is relabelled",
        cell("pictures.csv", "p04", 1, "featured"),
        [*PICTURES_SELECTED, *PICTURES_RETRAINED, "show_sample[pictures]"],
        PICTURES_FREEZING,
        late=True,
    ),
    Change(
        "the seed of a split",
        put("samples", "pictures", "split", "seed", value=2),
        ["shard_sample[pictures]", *FREEZE, *PICTURES_RETRAINED, "predict[zoo, pictures]", "show_sample[pictures]"],
        PICTURES_FREEZING,
        late=True,
    ),
    Change(
        "the size of stamps",
        put("samples", "zoo", "stamp", "pixels", value=8),
        [*ZOO_SELECTED, "fetch_cutouts[zoo, {near}]", "fetch_cutouts[zoo, {far}]", "collect_stamps[zoo]", *ZOO_RETRAINED, "show_sample[zoo]"],
        PICTURES_FREEZING,
        late=True,
    ),
    Change("classifiers that the labels do not count", put("samples", "clash", "assumed_votes", value=7), CLASH_EVALUATED),
    Change(
        "a magnitude cut is widened a little",
        put("samples", "clash", "select", value={"magnitude_limit": 24.6}),
        ["select_sample[clash]", "shard_sample[clash]", "cut_stamps[clash, {B}]", *CLASH_FROZEN, *CLASH_RETRAINED, "show_sample[clash]"],
        CLASH_FREEZING,
    ),
    Change(
        "a filter is added",
        put("samples", "clash", "images", "bands", value=["f814w", "f160w"]),
        [*MOSAICS, "select_sample[clash]", "shard_sample[clash]", *CLASH_CUT, *CLASH_FROZEN, *CLASH_RETRAINED, "show_sample[clash]"],
        CLASH_FREEZING,
    ),
    Change(
        "a cluster is removed",
        put("samples", "clash", "images", "fields", value=["SIM-A"]),
        ["download_catalogue[clash, molino2017]", "select_sample[clash]", "shard_sample[clash]", *CLASH_FROZEN, *CLASH_RETRAINED, "show_sample[clash]"],
        CLASH_FREEZING,
    ),
    Change(
        "the archive replaces a mosaic",
        new_mosaic("SIM-B", same=False),
        ["download_mosaics[clash, SIM-B]", "cut_stamps[clash, {B}]", *CLASH_FROZEN, *CLASH_RETRAINED, "show_sample[clash]"],
        (REFETCH_B, *CLASH_FREEZING),
    ),
    Change("a mosaic is downloaded again, and is the same", new_mosaic("SIM-B", same=True), ["download_mosaics[clash, SIM-B]"], (REFETCH_B, *CLASH_FREEZING)),
    # The library
    Change("comments, docstrings and formatting of every module", reformat, NOTHING),
    Change("a new function in a module that all use", append("tuningfork/files.py", "\n\ndef more():\n    return 1\n"), NOTHING),
    Change("a new function beside those of all networks", append("tuningfork/networks/layers.py", "\n\ndef more():\n    return 1\n"), NOTHING),
    Change("a function of one rule", function("publishing/readme.py", "layout"), PUBLISHED),
    Change("a constant of one rule", edit("tuningfork/publishing/readme.py", "MOST_DECIMALS = 12", "MOST_DECIMALS = 11"), PUBLISHED),
    Change("a figure's colour", edit("tuningfork/publishing/figures_base.py", "#0072B2", "#0072B3"), [*EVALUATED, *SHOWN]),
    Change("a caption of the report", append("workflow/report/confusion.rst", "\nMore.\n"), NOTHING),
    Change("a metric", function("analysis/metrics.py", "balanced_accuracy"), EVALUATED),
    Change("the optimiser", function("training/optimisers.py", "make_optimizer"), RETRAINED),
    Change("the loop of prediction", function("inference/predict.py", "predict"), PREDICTED),
    Change("one network", edit("tuningfork/networks/deepshadows.py", 'NAME = "deepshadows"', 'NAME = str("deepshadows")'), ZOO_RETRAINED),
    Change("a script", append("workflow/scripts/evaluate_model.py", "\ndone = True\n"), EVALUATED),
    Change("how mosaics are cut, to the same pixels", function("stamps/cut.py", "cut_stamps"), [*CLASH_CUT, *CLASH_FROZEN], CLASH_FREEZING),
    Change(
        "how pictures are read, to the same pixels",
        function("stamps/pictures.py", "import_pictures"),
        ["import_stamps[pictures, {p00}]", "import_stamps[pictures, {p01}]", "collect_stamps[pictures]", "check_ledger[pictures]", *FREEZE],
        PICTURES_FREEZING,
        late=True,
    ),
    Change(
        "what three rules share (sharding, to the same shards)",
        function("samples/shards.py", "digest_rows"),
        ["shard_sample[clash]", "shard_sample[pictures]", "shard_sample[zoo]", *ALL_FROZEN],
        FREEZING,
        late=True,
    ),
    Change("what all rules share", function("scripting.py", "start"), EVERYTHING, FREEZING, late=True),
    # Versions
    Change("another minor version of torch", version("torch", "99.0"), RETRAINED),
    Change("another version of a package that is not torch or numpy", version("scipy", "99.0"), NOTHING),
    Change("the lock and the environments name newer packages", lock, NOTHING),
    # Deleted by hand
    Change("an end product is deleted", remove("results/catalogues/Zoo.csv"), ["publish_catalogue[Zoo]"]),
    Change("weights behind finished products are deleted", remove("results/models/scratch/weights.safetensors"), NOTHING),  # for `tuningfork verify` to say
    Change(
        "intermediates are deleted",
        remove("results/samples/zoo/selected.parquet", "results/samples/zoo/stamps.json", "resources/catalogues/zoo/table.parquet"),
        NOTHING,
    ),
    Change("all logs are deleted", remove("logs/*/*"), NOTHING),
]


def expected(change: Change, names: dict[str, list[str]]) -> list[str]:
    """The jobs of a row with the names of shards and skies filled in."""
    found = set()
    for job in change.stale:
        name = re.search(r"{(\w+)}", job)
        found |= {job.replace(name[0], shard) for shard in names[name[1]]} if name else {job}
    return sorted(found)


__all__ = ["CHANGES", "Change", "Path", "expected"]
