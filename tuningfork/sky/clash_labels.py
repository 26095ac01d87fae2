"""The CLASH label file: for some of the stamps bright enough in their own filter, what a handful of people called them."""

import numpy as np
from astropy.table import Table

from tuningfork.sky.bands import BANDS
from tuningfork.sky.parameters import CLASSES, SkyParameters
from tuningfork.sky.population import Population
from tuningfork.sky.votes import Votes, class_probabilities, draw_exclusive, panel_sizes

MAGNITUDE_LIMIT = 24.5


def eligible(parameters: SkyParameters, populations: list[Population], catalogues: list[Table]) -> Table:
    """Every stamp that passes the cut in its own filter, with its true class probabilities (columns named by `CLASSES`)."""
    rows: dict[str, list[np.ndarray]] = {name: [] for name in ("object_id", "galaxy_id", "field", "band", "number", "object", *CLASSES)}
    for population, catalogue in zip(populations, catalogues, strict=True):
        numbers, objects = np.asarray(catalogue["_number"]), np.asarray(catalogue["_object"])
        for band in parameters.bands:
            magnitude = np.asarray(catalogue[f"{BANDS[band].column}_PHOTOZ"])
            chosen = np.flatnonzero((magnitude < MAGNITUDE_LIMIT) & (magnitude > 0))
            if (population.name, band) in parameters.absent or not len(chosen):
                continue
            rows["object_id"].append(np.array([f"{population.name}_{band}_{number}" for number in numbers[chosen]]))
            rows["galaxy_id"].append(np.asarray(catalogue["CLASHID"])[chosen])
            rows["field"].append(np.full(len(chosen), population.name))
            rows["band"].append(np.full(len(chosen), band))
            rows["number"].append(numbers[chosen])
            rows["object"].append(objects[chosen])
            for name, values in zip(CLASSES, class_probabilities(population, band)[objects[chosen]].T, strict=True):
                rows[name].append(values)
    return Table({name: np.concatenate(values) for name, values in rows.items()})


def draw_labels(parameters: SkyParameters, stamps: Table) -> tuple[np.ndarray, Votes]:
    """Choose the labelled rows of `stamps`, evenly over the bands as far as they reach, and let people vote; returns row numbers and votes."""
    rng = parameters.generator("clash labels")
    bands = np.asarray(stamps["band"])
    order = rng.permutation(len(stamps))
    quota = _quotas({band: int((bands == band).sum()) for band in parameters.bands}, parameters.clash_labels)
    chosen = np.concatenate([order[bands[order] == band][:number] for band, number in quota.items()])
    chosen = chosen[rng.permutation(len(chosen))]
    probabilities = np.column_stack([np.asarray(stamps[name])[chosen] for name in CLASSES])
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    return chosen, draw_exclusive(rng, probabilities, panel_sizes(rng, len(chosen), *parameters.clash_classifiers))


def label_file(ids: np.ndarray, votes: Votes) -> str:
    """The CSV as its authors publish it: nine decimals at most, no trailing zeros."""
    lines = [",".join(("ID", *CLASSES))]
    lines += [",".join([str(name), *(f"{value:.9f}".rstrip("0").rstrip(".") for value in row)]) for name, row in zip(ids, votes.fractions, strict=True)]
    return "\n".join(lines) + "\n"


def _quotas(available: dict[str, int], wanted: int) -> dict[str, int]:
    """Share `wanted` rows evenly; what one band has not, the others give."""
    quota: dict[str, int] = {}
    left = wanted
    for position, band in enumerate(sorted(available, key=lambda name: available[name])):
        quota[band] = min(available[band], left // (len(available) - position))
        left -= quota[band]
    return quota
