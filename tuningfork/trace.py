"""One object from its row in a published catalogue back to the archive's reply: predictions, network, stamp, selection, pixels, source table.

Only what lies in the working directory is read; nothing is fetched.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tuningfork import tables
from tuningfork.archives.cache import Entry
from tuningfork.archives.cutouts import cutout_requests
from tuningfork.config import CutoutSample, FolderSample, MosaicSample, Sample
from tuningfork.errors import TuningforkError
from tuningfork.files import read_json, sha256_of
from tuningfork.samples.cutouts import cutout_spec
from tuningfork.stamps.store import read_shard
from tuningfork.workflow import Workflow

__all__ = ["Step", "render", "trace"]

CACHE = Path("resources/cache")
MOST = 20
"""Objects of one galaxy that are traced; a cluster galaxy has one in each of sixteen filters."""


@dataclass(frozen=True)
class Step:
    """One link of the chain: what it is, the file that holds it, and what is known of it."""

    what: str
    where: str
    facts: tuple[str, ...]


def trace(wf: Workflow, name: str, directory: Path = Path()) -> dict[str, list[Step]]:
    """Follow an object (or all objects of a galaxy) through everything that was made of it.

    Parameters
    ----------
    wf
        The configuration that made it.
    name
        An ``object_id`` or a ``galaxy_id``.
    directory
        Working directory.

    Returns
    -------
    dict of str to list of Step
        Of each object, from the published row back to the source.

    Raises
    ------
    TuningforkError
        No sample has it, or the samples are not made yet.
    """
    found: dict[str, list[Step]] = {}
    looked = []
    for sample in wf.samples():
        file = directory / f"results/samples/{sample}/objects.parquet"
        if not file.is_file():
            continue
        looked.append(sample)
        for row, values in _rows_of(file, name):
            found[f"{values['object_id']} of sample {sample}"] = list(_chain(wf, directory, sample, row, values))
    if not looked:
        raise TuningforkError(f"{directory.resolve()}: no sample has been made here; run snakemake first, or give the --configfile of the run")
    if not found:
        raise TuningforkError(f"{name!r} is neither an object_id nor a galaxy_id of {', '.join(looked)}")
    return found


def render(found: Mapping[str, list[Step]]) -> str:
    """The chains as text, one step a line and its facts below."""
    lines = []
    for title, steps in found.items():
        lines += [title, *(line for step in steps for line in (f"  {step.what:<11}{step.where}", *(f"  {'':<11}{fact}" for fact in step.facts))), ""]
    return "\n".join(lines)


def _rows_of(file: Path, name: str, *, most: int = MOST) -> list[tuple[int, dict[str, Any]]]:
    """(row, values) of the rows whose object_id or galaxy_id this is."""
    ids = pq.read_table(file, columns=[column for column in ("object_id", "galaxy_id") if column in pq.read_schema(file).names])
    mask = np.zeros(len(ids), dtype=bool)
    for column in ids.columns:
        mask |= pc.equal(column, name).to_numpy(zero_copy_only=False) == True  # noqa: E712 - null is neither
    rows = np.flatnonzero(mask)[:most]
    if not rows.size:
        return []
    values = pq.read_table(file).take(rows).to_pylist()
    return list(zip(rows.tolist(), values, strict=True))


def _chain(wf: Workflow, directory: Path, sample: str, row: int, values: Mapping[str, Any]) -> Iterator[Step]:
    object_id = str(values["object_id"])
    described = wf.config.samples[sample]
    models: dict[str, None] = {}
    for product, spec in wf.config.catalogues.items():
        if spec.sample == sample:
            yield from _published(directory, product, object_id)
            models[spec.model] = None
    for model, predicted in wf.predictions():
        if predicted == sample:
            yield from _predicted(directory, model, sample, object_id, wf)
            models[model] = None
    for model in _with_parents(wf, models):
        yield from _network(directory, model)
    yield from _stamp(directory, sample, str(values.get("shard", "")), object_id)
    yield Step("selected", f"results/samples/{sample}/objects.parquet, row {row + 1}", _selection(values, described))
    yield from _pixels(wf, directory, sample, described, values)
    yield from _source(directory, sample)


def _published(directory: Path, product: str, object_id: str) -> Iterator[Step]:
    file = Path(f"results/catalogues/{product}.parquet")
    if not (directory / file).is_file():
        return
    made = read_json(directory / f"results/catalogues/{product}.provenance.json")
    facts = [
        f"made {made['created']}, configuration {made['configuration']['digest'][:12]}, code {made['code']}",
        *(f"weights of {model}: SHA-256 {weights['sha256']}" for model, weights in made["weights"].items()),
    ]
    targets = tables.read_meta(directory / file).get("targets", [])
    for row, values in _rows_of(directory / file, object_id):
        yield Step("published", f"{file}, row {row + 1}", (_values(values, targets, ("flag", "status")), *facts))


def _predicted(directory: Path, model: str, sample: str, object_id: str, wf: Workflow) -> Iterator[Step]:
    file = Path(f"results/models/{model}/predictions/{sample}.parquet")
    if not (directory / file).is_file():
        return
    targets = wf.config.samples[wf.config.models[model].train].targets
    for row, values in _rows_of(directory / file, object_id):
        fold = "the networks of the model" if values["fold"] < 0 else f"fold network {values['fold']}"
        seen = "that learned from it" if values["in_training"] and values["fold"] < 0 else "that did not learn from it"
        yield Step("predicted", f"{file}, row {row + 1}", (f"{_values(values, targets, ('status', 'split'))}; by {fold}, {seen}",))


def _values(values: Mapping[str, Any], targets: Any, further: tuple[str, ...]) -> str:
    """``lsbg 0.93 +- 0.02, flag 0``, of what the row has."""
    words = []
    for target in targets:
        value, spread = values.get(target), values.get(f"{target}_std")
        words.append(f"{target} none" if value is None else f"{target} {value:.4g}" + ("" if spread is None else f" ± {spread:.2g}"))
    return ", ".join(words + [f"{name} {values[name]}" for name in further if values.get(name) is not None])


def _with_parents(wf: Workflow, models: Mapping[str, None]) -> list[str]:
    found = list(models)
    for model in found:
        parent = wf.parent(model)
        if parent is not None and parent not in found:
            found.append(parent)
    return found


def _network(directory: Path, model: str) -> Iterator[Step]:
    folder = Path(f"results/models/{model}")
    if not (directory / folder / "model.json").is_file():
        return
    about = read_json(directory / folder / "model.json")
    training, parent = about["training"], about.get("parent")
    yield Step(
        "network",
        f"{folder}/weights.safetensors",
        (
            f"{about['network']['name']}, seed {training['seed']}, {training['n_train']} training rows, best epoch {training['best_epoch']}"
            + (f", from {parent['name']} (SHA-256 {parent['weights_sha256'][:12]}...)" if parent else ""),
            f"SHA-256 {sha256_of(directory / folder / 'weights.safetensors')}; stamps {', '.join(f'{s} {d[:12]}' for s, d in about['data'].items())}",
        ),
    )


def _stamp(directory: Path, sample: str, shard: str, object_id: str) -> Iterator[Step]:
    file = Path(f"results/samples/{sample}/stamps/{shard}.arrow")
    if not shard or not (directory / file).is_file():
        return
    stamps = read_shard(directory / file)
    for row in np.flatnonzero(stamps.object_id == object_id).tolist():
        numbers = ", ".join(f"{name} {values[row]:.6g}" for name, values in sorted(stamps.scalars.items()) if np.isfinite(values[row]))
        reason = f" ({stamps.reason[row]})" if stamps.reason[row] else ""
        size = "x".join(map(str, stamps.pixels.shape[1:]))
        digest = (directory / file).with_suffix(".sha256").read_text().strip()
        yield Step(
            "stamp", f"{file}, row {row + 1}", (f"{stamps.status[row]}{reason}, {size} {stamps.pixels.dtype}; {numbers}", f"digest of the shard {digest}")
        )


def _selection(values: Mapping[str, Any], described: Sample) -> tuple[str, ...]:
    names = ["galaxy_id", "field", "band", "ra", "dec", "mag", "stamp_arcsec", "split", "group_id", "labelled", "label", *described.targets]
    return (", ".join(f"{name} {values[name]}" for name in dict.fromkeys(names) if values.get(name) not in (None, "")),)


def _pixels(wf: Workflow, directory: Path, sample: str, described: Sample, values: Mapping[str, Any]) -> Iterator[Step]:
    if isinstance(described, FolderSample):
        path = Path(described.folder) / str(values.get("path") or "")
        if (directory / path).is_file():
            yield Step("pixels", str(path), (f"{(directory / path).stat().st_size:,} bytes, SHA-256 {sha256_of(directory / path)}",))
    elif isinstance(described, MosaicSample):
        yield from _mosaics(directory, sample, values)
    elif isinstance(described, CutoutSample):
        yield from _cutout(wf, directory, sample, described, values)


def _mosaics(directory: Path, sample: str, values: Mapping[str, Any]) -> Iterator[Step]:
    manifest = Path(f"resources/mosaics/{sample}/{values['field']}.json")
    if not (directory / manifest).is_file():
        return
    entry = read_json(directory / manifest)["bands"].get(values["band"])
    if not entry or not entry.get("image"):
        yield Step("pixels", str(manifest), (f"the archive has no mosaic of {values['field']} in {values['band']}",))
        return
    for what in ("image", "weight"):
        if entry.get(what):
            yield _reply(directory, Path(entry[what]), "pixels" if what == "image" else "weights")


def _cutout(wf: Workflow, directory: Path, sample: str, described: CutoutSample, values: Mapping[str, Any]) -> Iterator[Step]:
    images = wf.sample_slice(sample, "images")["images"]
    if images["service"] == "galaxy10":
        yield Step("pixels", f"picture {values.get('row')} of the catalogue's own file", ())
        return
    if values.get("arcsec_per_pixel") is None:
        return
    request = cutout_requests(cutout_spec(images), np.array([values["ra"]]), np.array([values["dec"]]), np.array([values["arcsec_per_pixel"]]))[0]
    skies = wf.sky_input(sample)
    if skies and not (directory / skies[0]).is_file():
        return
    realm = f"simulated-{sha256_of(directory / skies[0])[:16]}" if skies else "live"
    key = request.key(realm)
    yield _reply(directory, CACHE / key[:2] / f"{key}{request.suffix}", "pixels")


def _reply(directory: Path, file: Path, what: str) -> Step:
    """A cached reply: what was asked, when, and whether it is still what came."""
    if not (directory / file).is_file():
        return Step(what, str(file), ("not in the cache: cleared, or another host answered in place of this one",))
    whole = Entry(directory / file).read(verify=True)
    if whole is None:
        return Step(what, str(file), ("it is not what its sidecar says: see `tuningfork verify`",))
    return Step(what, str(file), (whole["url"], f"retrieved {whole['retrieved']}, {whole['bytes']:,} bytes, SHA-256 {whole['sha256']}"))


def _source(directory: Path, sample: str) -> Iterator[Step]:
    """The tables that the sample was selected from."""
    for file in sorted((directory / f"resources/catalogues/{sample}").glob("*.parquet")):
        origin = tables.read_meta(file).get("origin", {})
        lists = {name: value if isinstance(value, list) else [value] for name, value in origin.items()}
        asked = zip(lists.get("query") or lists.get("table", []), lists.get("sha256", []), strict=False)
        retrieved = sorted({str(value) for value in lists.get("retrieved", []) if value})
        facts = [f"{' '.join(str(query).split())}, SHA-256 {digest}" for query, digest in asked]
        facts += [f"retrieved {retrieved[0]}" + (f" to {retrieved[-1]}" if len(retrieved) > 1 else "")] if retrieved else []
        facts += [f"{name} {origin[name]}" for name in ("doi", "bibcode") if origin.get(name)]
        archive = f" ({origin['archive']}{', SIMULATED' if origin.get('simulated') else ''})" if origin.get("archive") else ""
        yield Step("source", f"{file.relative_to(directory)}{archive}", tuple(facts))
