"""How people would classify what can be seen: true class probabilities for each object and band, and votes drawn from them.

The probabilities follow structure and what the telescope shows of it in that filter: a bulge is smooth, arms and edge-on disks are features, clumps
and mergers irregular, what is not resolved a point source, and what drowns in noise unclassifiable. No image is looked at.
"""

from dataclasses import dataclass

import numpy as np

from tuningfork.sky.bands import BANDS
from tuningfork.sky.parameters import CLASSES
from tuningfork.sky.population import BULGE_LIGHT, CLUMP_LIGHT, DISK, DISK_LIGHT, IRREGULAR, POINT_LIGHT, Population

CLASH_PANEL = np.array(
    [
        [0.90, 0.05, 0.02, 0.03, 0.00],
        [0.07, 0.86, 0.06, 0.00, 0.01],
        [0.08, 0.12, 0.77, 0.01, 0.02],
        [0.13, 0.01, 0.01, 0.85, 0.00],
        [0.03, 0.01, 0.05, 0.01, 0.90],
    ]
)
"""Confusion of the people: row, what is there to be seen; column, what a person answers."""

CANDELS_PANEL = np.array(
    [
        [0.68, 0.25, 0.02, 0.05, 0.00],
        [0.09, 0.80, 0.09, 0.01, 0.01],
        [0.05, 0.29, 0.63, 0.01, 0.02],
        [0.20, 0.03, 0.01, 0.75, 0.01],
        [0.06, 0.10, 0.10, 0.02, 0.72],
    ]
)
"""The same for the CANDELS panel, which ticked "disk" more readily."""

_SHARPNESS = 2.6
_REDRAWS = 200


@dataclass(frozen=True)
class Votes:
    """Votes on n objects: `count` of ticks (n, 5), number of people (n,), published fractions (n, 5), their expectation (n, 5) and floor (n,).

    `floor` is the expected RMSE over the five classes between the normalised fractions of a fresh panel and their expectation: what a perfect
    predictor of the expectation would still be charged.
    """

    count: np.ndarray
    people: np.ndarray
    fractions: np.ndarray
    expected: np.ndarray
    floor: np.ndarray


def appearance(population: Population, band: str) -> dict[str, np.ndarray]:
    """What decides the classification in one band.

    Returns
    -------
    dict of ndarray, shape (n,)
        ``snr``: signal-to-noise within the half-light radius; ``resolution``: half-light radius over the PSF's half width; ``bulge``, ``disk``,
        ``clumps``, ``point``: shares of the light in this band.
    """
    index = population.bands.index(band)
    properties = BANDS[band]
    total = np.maximum(population.flux()[:, index], 1e-9)
    radius = np.hypot(np.maximum(population.radius, 0.01), 0.5 * properties.fwhm)
    area = np.pi * radius**2 * np.maximum(population.q, 0.35) / population.scale**2
    electrons = 0.5 * total * properties.electrons_per_microjansky
    variance = area * properties.sky_sigma(population.scale) ** 2 + electrons / properties.exposure
    shares = {
        name: population.flux(light)[:, index] / total
        for name, light in (("bulge", BULGE_LIGHT), ("disk", DISK_LIGHT), ("clumps", CLUMP_LIGHT), ("point", POINT_LIGHT))
    }
    return {"snr": electrons / np.sqrt(variance), "resolution": population.radius / (0.5 * properties.fwhm), **shares}


def class_probabilities(population: Population, band: str, panel: np.ndarray = CLASH_PANEL) -> np.ndarray:
    """Probability that one person, shown the stamp in this band, gives each class, shape (n, 5); rows sum to 1."""
    seen = appearance(population, band)
    log_snr = np.log10(np.maximum(seen["snr"], 1e-3))
    resolved = _step(seen["resolution"], 0.62, 0.10)
    visible = _step(log_snr, 1.08, 0.12)
    detail = _step(log_snr - 0.45 * np.log10(np.maximum(seen["resolution"], 0.3)), 0.80, 0.14) * _step(seen["resolution"], 1.35, 0.25)
    edge_on = _step(-population.q, -0.42, 0.05) * (population.kind == DISK)
    pattern = np.where(population.kind == DISK, 0.30 + 1.05 * population.structure, 0.10) + 0.45 * edge_on
    features = detail * np.clip(seen["disk"] * pattern, 0, 1)
    disturbed = np.where(population.kind == IRREGULAR, 0.34 + 1.1 * seen["clumps"], 1.0 * seen["clumps"]) + 0.45 * population.merger
    faint = _step(-log_snr, -1.42, 0.13)
    irregular = resolved * (np.clip(disturbed, 0, 1) * (0.35 + 0.65 * detail) + 0.22 * faint * (1 - seen["bulge"]))
    smooth = np.clip(1 - features - irregular, 0.04, 1) * (0.55 + 0.45 * seen["bulge"])
    evidence = np.stack([resolved * smooth, resolved * features, irregular, 1 - resolved, np.full(len(population), 0.02)], axis=1)
    shown = evidence**_SHARPNESS
    shown /= shown.sum(axis=1, keepdims=True)
    hidden = np.array([0.04, 0.01, 0.10, 0.01, 0.84])
    shown = visible[:, None] * shown + (1 - visible[:, None]) * hidden
    return shown @ panel


def draw_exclusive(rng: np.random.Generator, probabilities: np.ndarray, people: np.ndarray) -> Votes:
    """Each person gives exactly one class (CLASH): a multinomial per object; the expectation of the fractions is `probabilities` itself."""
    count = rng.multinomial(people, probabilities)
    again = rng.multinomial(people, np.broadcast_to(probabilities, (_REDRAWS, *probabilities.shape)), size=(_REDRAWS, len(people)))
    floor = _rmse(again / people[:, None], probabilities).mean(axis=0)
    return Votes(count, people, count / people[:, None], probabilities, floor)


def tick_probabilities(probabilities: np.ndarray) -> np.ndarray:
    """Chance that a person ticks each box when several may be ticked (CANDELS): the less certain ones are ticked beside the first choice."""
    return 1 - (1 - probabilities) ** 1.5


def draw_ticks(rng: np.random.Generator, probabilities: np.ndarray, people: np.ndarray) -> Votes:
    """Each person may tick several boxes (CANDELS): five binomials per object.

    `fractions` are ticks over people and need not sum to 1; `expected` and `floor` are of the fractions normalised to sum 1.
    """
    ticks = tick_probabilities(probabilities)
    count = rng.binomial(people[:, None], ticks)
    again = rng.binomial(people[:, None], np.broadcast_to(ticks, (_REDRAWS, *ticks.shape))).astype(np.float32)
    again /= np.maximum(again.sum(axis=2, keepdims=True), 1)
    expected = again.mean(axis=0, dtype=float)
    expected /= np.maximum(expected.sum(axis=1, keepdims=True), 1e-9)
    return Votes(count, people, count / people[:, None], expected, _rmse(again, expected).mean(axis=0))


def panel_sizes(rng: np.random.Generator, number: int, low: int, high: int, many: float = 0.0) -> np.ndarray:
    """How many people looked at each object: `low` to `high`, and 40 at a fraction `many` of them."""
    people = rng.integers(low, high + 1, number)
    return np.where(rng.random(number) < many, 40, people)


def summary(votes: Votes, bands: np.ndarray) -> dict[str, object]:
    """Means for ``sky.json``: the floor in all and per filter, the RMSE that the drawn votes have, and the classes' means; rows without a vote left out."""
    voted = votes.count.sum(axis=1) > 0
    seen, bands = normalised(votes.fractions)[voted], bands[voted]
    drawn, floor = _rmse(seen, votes.expected[voted]), votes.floor[voted]
    mean = {str(band): {"floor": _round(floor[bands == band].mean()), "drawn": _round(drawn[bands == band].mean())} for band in np.unique(bands)}
    return {
        "rows": len(seen),
        "bayes_floor": _round(floor.mean()),
        "bayes_floor_drawn": _round(drawn.mean()),
        "class_mean_baseline": _round(_rmse(seen, seen.mean(axis=0)).mean()),
        "class_means": {name: _round(value) for name, value in zip(CLASSES, seen.mean(axis=0), strict=True)},
        "per_filter": mean,
    }


def normalised(fractions: np.ndarray) -> np.ndarray:
    """Fractions divided by their sum; rows without any tick stay 0."""
    total = fractions.sum(axis=1, keepdims=True)
    return fractions / np.where(total > 0, total, 1)


def _rmse(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.sqrt(np.mean((a - b) ** 2, axis=-1))


def _round(value: float) -> float:
    return round(float(value), 5)


def _step(value: np.ndarray, middle: float, width: float) -> np.ndarray:
    return 1 / (1 + np.exp(-np.clip((value - middle) / width, -40, 40)))
