"""Two surveys of the same galaxies, 64 pixels in three bands: discs, bars and pairs, without a label for some; the second survey is blurred and scaled."""

import numpy as np
from scipy.ndimage import gaussian_filter

from tuningfork.training.arrays import ArrayStamps

CLASSES = ("disc", "bar", "pair")
SIDE = 64
NETWORK = {"name": "galaxy-vae", "options": {"latent": 6, "upsampling": "bilinear"}}
RECIPE = {
    "loss": "elbo",
    "elbo": {"beta": 0.2},
    "forest": {"trees": 40},
    "optimizer": {"name": "adam", "learning_rate": 3e-3},
    "batch_size": 10,
    "epochs": 3,
    "patience": 0,
    "augmentation": {"flips": True},
    "normalisation": {"name": "asinh_scaled"},
    "precision": "fp32",
}


def make_survey(n: int = 60, seed: int = 0, *, second: bool = False) -> tuple[ArrayStamps, dict[str, np.ndarray]]:
    """Stamps in nanomaggy-like units, and columns object_id, galaxy_id, split, side, label ('' for every fourth).

    The galaxies of a seed are the same in both surveys; ids of objects are not.
    """
    rng = np.random.default_rng(seed)
    kind, size = np.arange(n) % 3, rng.uniform(3, 5, n)
    flux = 10 ** rng.uniform(0.3, 2.0, n)
    colour = 1 + 0.3 * rng.normal(size=(n, 3))
    y, x = np.indices((SIDE, SIDE)) - (SIDE - 1) / 2
    s = size[:, None, None]
    disc = np.exp(-(x**2 + y**2) / (2 * s**2))
    bar = np.exp(-(x**2 / (2 * (2.5 * s) ** 2) + y**2 / (2 * (0.5 * s) ** 2)))
    pair = np.exp(-((x - 10) ** 2 + y**2) / (2 * (0.7 * s) ** 2)) + np.exp(-((x + 10) ** 2 + y**2) / (2 * (0.7 * s) ** 2))
    light = np.choose(kind[:, None, None], [disc, bar, pair]) * flux[:, None, None]
    images = light[:, None] * colour[:, :, None, None]
    noise = np.random.default_rng(seed + 1000 * second).normal(0, 0.3, images.shape)
    if second:
        images, noise = 2.5 * gaussian_filter(images, (0, 0, 1.5, 1.5)), 0.5 * noise
    pixels = (images + noise).astype(np.float32)
    galaxy = np.array([f"galaxy_{i:04d}" for i in range(n)])
    ids = np.char.add(galaxy, "_north" if second else "_south")
    side = np.array(["train", "train", "train", "validation", "test"])[np.arange(n) // 3 % 5]
    labelled = np.arange(n) // 15 % 4 != 3
    objects = {
        "object_id": ids,
        "galaxy_id": galaxy,
        "split": np.where(labelled, side, "unlabelled"),
        "side": side,
        "label": np.where(labelled, np.array(CLASSES)[kind], ""),
    }
    return ArrayStamps(ids, pixels), objects
