"""Two surveys with a known shift, in 64 pixels: one pattern shows the class in both, another in the first only and is strong and random in the second."""

import numpy as np
from torch import nn

from tuningfork.training.arrays import ArrayStamps

CLASSES = ("dim", "bright")
SIDE = 8
RECIPE = {
    "loss": "cross_entropy",
    "optimizer": {"name": "adam", "learning_rate": 5e-3},
    "batch_size": 40,
    "epochs": 20,
    "patience": 0,
    "keep": "last",
    "normalisation": {"name": "raw"},
    "precision": "fp32",
}


def make_shifted(n: int = 300, *, second: bool = False, seed: int = 0) -> tuple[ArrayStamps, dict[str, np.ndarray]]:
    """Stamps, and columns object_id, galaxy_id, split, label: n/2 rows train, n/10 validate, the others test; the galaxies are those of both surveys."""
    rng = np.random.default_rng([seed, second])
    kind = np.arange(n) % 2
    sign = 2 * kind - 1
    shared = sign + rng.normal(0, 0.8, n)
    own = 2 + 2 * rng.normal(size=n) if second else sign + rng.normal(0, 0.8, n)
    y, x = np.indices((SIDE, SIDE))
    rows, columns = (np.where(place % 4 < 2, 0.5, -0.5) for place in (y, x))
    pixels = shared[:, None, None] * rows + own[:, None, None] * columns + rng.normal(0, 0.3, (n, SIDE, SIDE))
    galaxy = np.array([f"galaxy_{i:04d}" for i in range(n)])
    ids = np.char.add(galaxy, "_b" if second else "_a")
    split = np.array(["train"] * 5 + ["validation"] + ["test"] * 4)[np.arange(n) // 2 % 10]
    return ArrayStamps(ids, pixels[:, None].astype(np.float32)), {"object_id": ids, "galaxy_id": galaxy, "split": split, "label": np.array(CLASSES)[kind]}


def toy_head(*, in_channels: int, n_outputs: int, image_size: int) -> nn.Module:
    """Sixteen features of an image and a dense layer on them."""
    return nn.Sequential(nn.Flatten(), nn.Linear(in_channels * image_size**2, 16), nn.ReLU(), nn.Linear(16, n_outputs))
