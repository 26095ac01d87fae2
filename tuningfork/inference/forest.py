"""Class probabilities from latents: a random forest that is grown again, the same way, from the latents kept with a model.

No forest is stored: the latents of the labelled training rows, the seed and the number of trees decide it, so a model stays plain data.
"""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from sklearn.tree import DecisionTreeClassifier

from tuningfork.errors import ModelError
from tuningfork.training.latents import LabelledLatents

__all__ = ["LatentForest"]


class LatentForest:
    """A random forest on latent means whose trees each see a bootstrap of the galaxies, with balanced classes.

    As scikit-learn's forest with ``class_weight="balanced"`` (Xu et al. 2023 take five trees of it), but galaxies are drawn, not rows: all rows
    and views of a galaxy are in a tree's bag or out of it together, so that out-of-bag probabilities are of galaxies that a tree has not seen.

    Parameters
    ----------
    known
        Latents, labels and galaxies of the training rows.
    n_classes
        Number of targets; those without a training row get probability 0.
    trees, seed, threads
        The threads share the trees and change nothing in the result.

    Raises
    ------
    ModelError
        Fewer than two classes among the rows.
    """

    def __init__(self, known: LabelledLatents, n_classes: int, *, trees: int, seed: int, threads: int = 1) -> None:
        self.n_classes, self.threads = n_classes, max(1, threads)
        self.classes = np.unique(known.labels)
        if len(self.classes) < 2:
            raise ModelError("the latents of this model have labels of one class: there is nothing to tell apart")
        views = known.latents.shape[1]
        x = np.ascontiguousarray(known.latents.reshape(len(known.labels) * views, -1), dtype=np.float32)
        y = np.repeat(known.labels, views)
        self.galaxies, galaxy = np.unique(known.galaxy_id, return_inverse=True)
        counts = np.bincount(known.labels, minlength=n_classes)
        balance = len(known.labels) / (len(self.classes) * np.maximum(counts, 1))
        generator = np.random.default_rng(np.random.SeedSequence([seed, 0x0F0E57]))
        draws = generator.integers(len(self.galaxies), size=(trees, len(self.galaxies)))
        self.in_bag = np.stack([np.bincount(draw, minlength=len(self.galaxies)) for draw in draws])
        states = generator.integers(2**31 - 1, size=trees).tolist()

        def grow(tree: int) -> DecisionTreeClassifier:
            weight = np.repeat(self.in_bag[tree][galaxy] * balance[known.labels], views)
            return DecisionTreeClassifier(max_features="sqrt", random_state=states[tree]).fit(x, y, sample_weight=weight)

        with ThreadPoolExecutor(self.threads) as pool:
            self.trees = list(pool.map(grow, range(trees)))

    def probabilities(self, latents: np.ndarray, galaxy_id: np.ndarray) -> np.ndarray:
        """Probabilities of the classes for every view.

        Parameters
        ----------
        latents : ndarray, shape (n, V, d)
        galaxy_id : ndarray of str, shape (n,)
            Rows of a galaxy that the forest knows, in whatever survey, are judged by the trees that have not drawn it (out of bag).

        Returns
        -------
        ndarray, shape (V, n, n_classes)
            NaN for a galaxy that every tree has drawn (likely only in a forest of a few trees).
        """
        count, views, _ = latents.shape
        x = np.ascontiguousarray(latents.reshape(count * views, -1), dtype=np.float32)
        place = np.minimum(np.searchsorted(self.galaxies, galaxy_id), len(self.galaxies) - 1)
        known = self.galaxies[place] == galaxy_id

        def votes(tree: int) -> tuple[np.ndarray, np.ndarray]:
            fair = ~(known & (self.in_bag[tree][place] > 0))
            return self.trees[tree].predict_proba(x).reshape(count, views, -1) * fair[:, None, None], fair

        total, voters = np.zeros((count, views, len(self.classes))), np.zeros(count)
        with ThreadPoolExecutor(self.threads) as pool:
            for start in range(0, len(self.trees), 4 * self.threads):  # a few at a time: their votes are as large as the answer
                for part, fair in pool.map(votes, range(start, min(start + 4 * self.threads, len(self.trees)))):
                    total, voters = total + part, voters + fair
        result = np.zeros((views, count, self.n_classes))
        with np.errstate(invalid="ignore"):
            result[:, :, self.classes] = (total / voters[:, None, None]).transpose(1, 0, 2)
        result[:, voters == 0] = np.nan
        return result
