"""How volunteers would answer the questions of Galaxy Zoo DECaLS: chances that follow structure and seeing, and answers drawn from them."""

from dataclasses import dataclass

import numpy as np

from tuningfork.sky.wide.galaxies import Galaxies

QUESTIONS: dict[str, tuple[str, ...]] = {
    "smooth-or-featured": ("smooth", "featured-or-disk", "artifact"),
    "how-rounded": ("round", "in-between", "cigar-shaped"),
    "disk-edge-on": ("yes", "no"),
    "edge-on-bulge": ("boxy", "none", "rounded"),
    "has-spiral-arms": ("yes", "no"),
    "spiral-winding": ("tight", "medium", "loose"),
    "spiral-arm-count": ("1", "2", "3", "4", "more-than-4", "cant-tell"),
    "bar": ("strong", "weak", "no"),
    "bulge-size": ("dominant", "large", "moderate", "small", "none"),
    "merging": ("none", "minor-disturbance", "major-disturbance", "merger"),
}
"""Question -> answers, as the columns of the catalogue spell them (reference/archives.md, 6)."""

PARENTS: dict[str, tuple[str, str] | None] = {
    "smooth-or-featured": None,
    "how-rounded": ("smooth-or-featured", "smooth"),
    "disk-edge-on": ("smooth-or-featured", "featured-or-disk"),
    "edge-on-bulge": ("disk-edge-on", "yes"),
    "has-spiral-arms": ("disk-edge-on", "no"),
    "spiral-winding": ("has-spiral-arms", "yes"),
    "spiral-arm-count": ("has-spiral-arms", "yes"),
    "bar": ("disk-edge-on", "no"),
    "bulge-size": ("disk-edge-on", "no"),
    "merging": None,
}
"""Which answer leads to a question; merging is asked of everybody who did not see an artifact."""

AGREEMENT = 30.0
"""People differ: their chances scatter about the mean like a Dirichlet distribution of this concentration."""


@dataclass(frozen=True)
class Answers:
    """Votes by question, int (n, answers); chances by question, float (n, answers); and the share of people who were asked each question, (n,)."""

    votes: dict[str, np.ndarray]
    chances: dict[str, np.ndarray]
    asked: dict[str, np.ndarray]

    def fractions(self, question: str) -> np.ndarray:
        """Mean of the Dirichlet posterior of a uniform prior of one vote in all, shape (n, answers): what the network of the catalogue predicts."""
        return self.concentrations(question) / self.concentrations(question).sum(axis=1, keepdims=True)

    def concentrations(self, question: str) -> np.ndarray:
        """Parameters of that posterior."""
        return self.votes[question] + 1.0 / self.votes[question].shape[1]


def chances(galaxies: Galaxies, fwhm: float) -> dict[str, np.ndarray]:
    """Chance of each answer of each question for people who are asked it, seen with `fwhm` arcsec; rows sum to 1."""
    detail = _step(galaxies.radius / fwhm, 1.9, 0.45)
    edge = galaxies.edge_on
    q = np.sqrt(galaxies.q**2 + (0.18 * fwhm / galaxies.radius) ** 2)
    upset = np.maximum(galaxies.merger, galaxies.disturbed)
    pattern = 0.08 + 0.85 * galaxies.structure + 1.6 * galaxies.bar + 1.5 * galaxies.clumps + 0.45 * upset
    pattern = np.where(edge, 1.0, np.clip(pattern, 0, 1.2))
    featured = 0.96 / (1 + np.exp(-7.0 * (pattern * (0.25 + 0.75 * detail) - 0.42))) + 0.02
    result = {"smooth-or-featured": _normal(0.98 * (1 - featured), 0.98 * featured, np.full(len(galaxies), 0.02))}
    result["how-rounded"] = _peaks(q, (0.93, 0.66, 0.30), (0.11, 0.11, 0.12))
    yes = 0.02 + 0.95 * _step(-q, -0.31, 0.035)
    result["disk-edge-on"] = _normal(yes, 1 - yes)
    bulge = np.maximum(galaxies.bulge, 0.004)
    round_ = _step(np.log10(bulge), np.log10(0.09), 0.14)
    result["edge-on-bulge"] = _normal(0.08 * round_ + 0.02, 0.95 * (1 - round_) + 0.02, 0.9 * round_ + 0.02)
    arms = 0.02 + 0.95 * _step(galaxies.structure * (0.3 + 0.7 * detail), 0.32, 0.06)
    result["has-spiral-arms"] = _normal(arms, 1 - arms)
    result["spiral-winding"] = _peaks(np.log(galaxies.pitch), (np.log(0.20), np.log(0.34), np.log(0.56)), (0.26, 0.22, 0.26))
    counts = np.arange(1, 6)
    near = np.exp(-0.5 * ((galaxies.arms[:, None] - counts) / 0.45) ** 2) * (0.35 + 0.65 * detail)[:, None] + 0.03
    result["spiral-arm-count"] = _normal(*near.T, 0.45 - 0.35 * detail)
    seen = galaxies.bar * (0.35 + 0.65 * detail)
    strong = _step(seen, 0.115, 0.016)
    weak = _step(seen, 0.035, 0.009) * (1 - strong)
    result["bar"] = _normal(strong + 0.015, weak + 0.05, (1 - strong - weak) + 0.03)
    result["bulge-size"] = _peaks(np.log10(bulge), tuple(np.log10([0.75, 0.40, 0.19, 0.075, 0.012])), (0.13, 0.14, 0.15, 0.18, 0.3))
    merging, disturbed = _step(galaxies.merger, 0.35, 0.12), _step(galaxies.disturbed, 0.40, 0.14)
    major = 0.5 * disturbed * galaxies.disturbed + 0.15 * merging
    result["merging"] = _normal(
        0.9 * (1 - merging) * (1 - disturbed) + 0.02, 0.07 + 0.85 * disturbed * (1 - 0.5 * galaxies.disturbed), 0.01 + major, 0.02 + 0.88 * merging
    )
    return result


def vote(rng: np.random.Generator, probabilities: dict[str, np.ndarray], people: np.ndarray) -> Answers:
    """Let `people` (n,) look at each galaxy and answer down the tree."""
    votes: dict[str, np.ndarray] = {}
    asked: dict[str, np.ndarray] = {}
    for question, answers in QUESTIONS.items():
        parent = PARENTS[question]
        if question == "merging":
            number = people - votes["smooth-or-featured"][:, 2]
            share = 1 - (votes["smooth-or-featured"][:, 2] + 1 / 3) / (people + 1)
        elif parent is None:
            number, share = people, np.ones(len(people))
        else:
            column = QUESTIONS[parent[0]].index(parent[1])
            given = votes[parent[0]]
            number = given[:, column]
            share = asked[parent[0]] * (number + 1 / given.shape[1]) / (given.sum(axis=1) + 1)
        opinion = rng.standard_gamma(np.maximum(AGREEMENT * probabilities[question], 1e-3))
        opinion /= opinion.sum(axis=1, keepdims=True)
        votes[question] = rng.multinomial(number, opinion).reshape(len(people), len(answers))
        asked[question] = share
    return Answers(votes, probabilities, asked)


def floor(answers: Answers, question: str, least: float = 0.5) -> float:
    """Root mean square, over answers and galaxies of which at least `least` of the people were asked, between vote fractions and chances."""
    rows = answers.asked[question] >= least
    if not rows.any():
        return float("nan")
    return float(np.sqrt(np.mean((answers.fractions(question)[rows] - answers.chances[question][rows]) ** 2)))


def _step(value: np.ndarray, middle: float, width: float) -> np.ndarray:
    return 1 / (1 + np.exp(-np.clip((value - middle) / width, -40, 40)))


def _normal(*columns: np.ndarray) -> np.ndarray:
    chance = np.maximum(np.stack(columns, axis=1), 1e-3)
    return chance / chance.sum(axis=1, keepdims=True)


def _peaks(value: np.ndarray, middles: tuple[float, ...], widths: tuple[float, ...]) -> np.ndarray:
    """Answers that follow one quantity: each is given about its own value."""
    log = -0.5 * ((value[:, None] - np.array(middles)) / np.array(widths)) ** 2
    chance = np.exp(log - log.max(axis=1, keepdims=True)) + 0.02
    return chance / chance.sum(axis=1, keepdims=True)
