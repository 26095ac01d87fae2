"""Galaxy Zoo DECaLS as published: the network's posteriors and the volunteers' votes, and the sample behind them."""

from dataclasses import dataclass

import numpy as np
from astropy.table import Table

from tuningfork.sky.wide.galaxies import Galaxies, parts_of, total_flux
from tuningfork.sky.wide.measure import petrosian
from tuningfork.sky.wide.parameters import WideParameters
from tuningfork.sky.wide.sdss import distance_modulus
from tuningfork.sky.wide.seds import magnitudes
from tuningfork.sky.wide.surveys import SOUTH
from tuningfork.sky.wide.zoo import BARRED, BETWEEN, CIGAR, DISTURBED, EDGE, EDGE_BULGE, KINDS, LOOSE, MERGING, ROUND, TIGHT, draw
from tuningfork.sky.wide.zoo_votes import QUESTIONS, Answers, chances, floor, vote

OVERLAP = (32.05, 34.45)
"""Dec range that DECaLS and BASS+MzLS both have."""

_MIX = {ROUND: 0.17, BETWEEN: 0.19, CIGAR: 0.08, BARRED: 0.16, TIGHT: 0.11, LOOSE: 0.12, EDGE: 0.05, EDGE_BULGE: 0.05, DISTURBED: 0.035, MERGING: 0.035}
_REGIONS = (0.50, 0.38, 0.12)
_RA = (112.0, 260.0)


@dataclass(frozen=True)
class ZooSample:
    """Galaxies with their kind (number in `zoo.KINDS`), what people answered, and their light."""

    kind: np.ndarray
    galaxies: Galaxies
    answers: Answers
    parts: np.ndarray


def sample(parameters: WideParameters, first: int) -> ZooSample:
    """Galaxies to r = 17.5 in the overlap of north and south (half of them), in the south and in the north; parts numbered from `first`."""
    rng = parameters.generator("decals", "galaxies")
    number = parameters.decals_galaxies
    kind = rng.choice(list(_MIX), number, p=list(_MIX.values()))
    kind[: len(KINDS)] = np.arange(len(KINDS))  # every kind at least once
    where = rng.choice(3, number, p=_REGIONS)
    dec = np.select([where == 0, where == 1], [rng.uniform(*OVERLAP, number), rng.uniform(-8, 31, number)], rng.uniform(35, 60, number))
    r = np.clip(17.5 - rng.exponential(0.8, number), 13.8, 17.5)
    redshift = np.clip(0.02 + 0.13 * rng.beta(2.0, 3.2, number) * 10 ** (0.1 * (r - 17)), 0.0201, 0.1499)
    galaxies = draw(rng, kind, rng.uniform(*_RA, number), dec, r, redshift)
    answers = vote(parameters.generator("decals", "votes"), chances(galaxies, SOUTH.fwhm["r"]), rng.integers(35, 46, number))
    return ZooSample(kind, galaxies, answers, parts_of(parameters.generator("decals", "parts"), galaxies, first))


def names(ra: np.ndarray, dec: np.ndarray) -> np.ndarray:
    """``SIM-Jhhmmss.ss+ddmmss.s``: names in the manner of the IAU that no real galaxy has."""
    hours, degrees = ra / 15, np.abs(dec)
    seconds, arcsec = np.floor(hours * 360000) / 100, np.floor(degrees * 36000) / 10
    parts = [
        (int(s // 3600), int(s // 60 % 60), s % 60, "-" if d < 0 else "+", int(a // 3600), int(a // 60 % 60), a % 60)
        for s, d, a in zip(seconds.tolist(), dec.tolist(), arcsec.tolist(), strict=True)
    ]
    return np.array(["SIM-J{:02d}{:02d}{:05.2f}{}{:02d}{:02d}{:04.1f}".format(*part) for part in parts])


def metadata(rng: np.random.Generator, made: ZooSample, first: int) -> Table:
    """What both published tables say of each galaxy besides the answers."""
    galaxies, number = made.galaxies, len(made.kind)
    size = petrosian(made.parts, first, number, galaxies.ra, galaxies.dec, SOUTH.fwhm["r"])
    flux = total_flux(made.parts, first, number)[:, 2] * np.exp(rng.normal(0, 0.02, number))
    table = Table({"iauname": names(galaxies.ra, galaxies.dec), "ra": np.round(galaxies.ra, 8), "dec": np.round(galaxies.dec, 8)})
    table["redshift"] = np.round(galaxies.redshift, 6)
    table["mag_r"] = np.round(magnitudes(flux), 4)
    table["elpetro_absmag_r"] = np.round(magnitudes(flux) - distance_modulus(galaxies.redshift) - 0.9 * galaxies.redshift, 4)
    table["sersic_nmgy_r"] = np.round(flux, 4)
    for name, values in (("petro_theta", size.radius), ("petro_th50", size.r50), ("petro_th90", size.r90)):
        table[name] = np.round(values * np.exp(rng.normal(0, 0.03, number)), 5)
    table["wrong_size_statistic"] = np.round(np.abs(rng.normal(40, 25, number)), 3)
    table["wrong_size_warning"] = np.asarray(table["wrong_size_statistic"]) > 161.0
    return table


def auto_posteriors(about: Table, answers: Answers) -> Table:
    """Concentrations, fractions and shares of people asked, as the network publishes them."""
    table = about.copy()
    for question, choices in QUESTIONS.items():
        concentrations, fractions = answers.concentrations(question), answers.fractions(question)
        for column, choice in enumerate(choices):
            table[f"{question}_{choice}_concentration"] = np.round(concentrations[:, column], 5)
            table[f"{question}_{choice}_fraction"] = np.round(fractions[:, column], 6)
        table[f"{question}_proportion_volunteers_asked"] = np.round(answers.asked[question], 6)
    table.meta = {"simulated": True, "name": "gz_decals_auto_posteriors"}
    return table


def volunteers(rng: np.random.Generator, about: Table, answers: Answers) -> Table:
    """Votes of the fifth campaign for two thirds of the galaxies: counts, fractions and fractions corrected for redshift."""
    number = len(about)
    rows = np.sort(rng.permutation(number)[: max(2 * number // 3, 1)])
    table = about[rows]
    table["upload_group"], table["active_learning_on"] = rng.integers(1, 9, len(rows)), rng.random(len(rows)) < 0.3
    table["in_gzd_c"], table["data_release"] = np.ones(len(rows), bool), np.full(len(rows), "dr5")
    for question, choices in QUESTIONS.items():
        votes = answers.votes[question][rows]
        total = votes.sum(axis=1)
        table[f"{question}_total-votes"] = total
        for column, choice in enumerate(choices):
            fraction = np.where(total > 0, votes[:, column] / np.maximum(total, 1), np.nan)
            table[f"{question}_{choice}"] = votes[:, column]
            table[f"{question}_{choice}_fraction"] = np.round(fraction, 6)
            table[f"{question}_{choice}_debiased"] = np.round(np.clip(fraction, 0, 1), 6)
    table.meta = {"simulated": True, "name": "gz_decals_volunteers_5"}
    return table


def calibration(made: ZooSample) -> dict[str, object]:
    """Shares of the kinds, and the noise of the votes about their expectation by question (what a perfect predictor would be charged)."""
    kinds, counts = np.unique(made.kind, return_counts=True)
    floors = {question: floor(made.answers, question) for question in QUESTIONS}
    return {
        "kinds": {KINDS[k]: round(float(c) / len(made.kind), 4) for k, c in zip(kinds, counts, strict=True)},
        "vote_floor": {question: round(value, 5) for question, value in floors.items() if np.isfinite(value)},
        "in_overlap": round(float(np.mean((made.galaxies.dec > OVERLAP[0]) & (made.galaxies.dec < OVERLAP[1]))), 4),
    }
