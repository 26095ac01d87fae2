"""Predictors that a network must beat: means, and regressions that see only what should not suffice.

All are fitted on the rows given as training and nothing else, and predict (N, K) like the network. `table_features`, `border_features` and
`picture_features` say what each one sees; `fit_predict_ridge` and `fit_predict_forest` are the regressions.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from tuningfork.errors import TuningforkError


def mean_prediction(labels: np.ndarray, n_rows: int) -> np.ndarray:
    """The mean of the training labels (M, K), for each of `n_rows` rows: (n_rows, K)."""
    if not len(labels):
        raise TuningforkError("a baseline needs at least one training row")
    return np.tile(np.mean(labels, axis=0), (n_rows, 1))


def group_mean_prediction(labels: np.ndarray, train_groups: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """The mean of the training labels of each row's own group (its filter, say); of all of them where the group had no training row."""
    names, index = np.unique(np.asarray(train_groups), return_inverse=True)
    overall = mean_prediction(labels, 1)
    sums = np.zeros((len(names), labels.shape[1]))
    np.add.at(sums, index, labels)
    means = np.vstack([sums / np.bincount(index)[:, None], overall])
    place = np.searchsorted(names, groups)
    found = (place < len(names)) & (names[np.minimum(place, len(names) - 1)] == np.asarray(groups))
    return means[np.where(found, place, len(names))]


def table_features(columns: Mapping[str, np.ndarray], names: Sequence[str] = ("mag", "stamp_arcsec", "snr"), category: str | None = "band") -> np.ndarray:
    """Numbers of the table (those of `names` that exist; nan stays nan) and the category as one column a value: (N, F)."""
    features = [np.asarray(columns[name], float) for name in names if name in columns]
    if category is not None and category in columns:
        values = np.asarray(columns[category])
        features += [(values == value).astype(float) for value in np.unique(values)]
    if not features:
        raise TuningforkError(f"none of {', '.join(names)} is a column; the size-and-magnitude baseline has nothing to see")
    return np.column_stack(features)


def border_features(pixels: np.ndarray, width: int = 2, most: int = 512) -> np.ndarray:
    """The outermost `width` pixels on each side of (N, C, H, W) stamps, as they stand and sorted: (N, 2 F).

    A network that only uses the border has learned the noise, the neighbours or the instrument. Sorted values carry what rotations leave alone.
    Of a large picture's border, `most` pixels a channel are taken, evenly spaced.
    """
    n, _, height, wide = pixels.shape
    inside = np.zeros((height, wide), bool)
    inside[width : height - width, width : wide - width] = True
    places = np.flatnonzero(~inside)
    places = places[np.linspace(0, len(places) - 1, min(most, len(places))).astype(int)]
    ring = pixels.reshape(n, pixels.shape[1], -1)[:, :, places].astype(np.float64)
    return np.hstack([ring.reshape(n, -1), np.sort(ring, axis=2).reshape(n, -1)])


def picture_features(pixels: np.ndarray) -> np.ndarray:
    """Hand-made colours and sizes of (N, C, H, W) pictures whose object is in the middle, and their squares.

    Per channel: the mean within 1/8 and within 3/8 of the side, above the background (median of the border). Between neighbouring channels: the
    log ratio of these means (colours). From the mean of the channels: log second-moment radius, axis ratio, concentration (share of the light
    within 1/8 of the side), and the 90th and 99th percentiles. The noise (spread of the border) bounds the logarithms from below.

    Returns
    -------
    (N, F) float array, finite
    """
    stamps = np.asarray(pixels, dtype=np.float64)
    n, channels, height, wide = stamps.shape
    y, x = np.mgrid[:height, :wide]
    dy, dx = (y - (height - 1) / 2) / height, (x - (wide - 1) / 2) / wide
    radius = np.hypot(dy, dx).ravel()
    edge = max(1, height // 16)
    ring = np.ones((height, wide), bool)
    ring[edge:-edge, edge:-edge] = False
    flat = stamps.reshape(n, channels, -1)
    border = flat[:, :, ring.ravel()]
    net = flat - np.median(border, axis=2)[..., None]
    noise = np.maximum(border.std(axis=2).mean(axis=1), 1e-12)[:, None]
    core, wider = (net[:, :, radius < limit].mean(axis=2) for limit in (1 / 8, 3 / 8))
    colours = [np.diff(np.log(np.maximum(means, 0.1 * noise)), axis=1) for means in (core, wider)]
    white = net.mean(axis=1)
    light = np.clip(white - noise, 0, None) * (radius < 0.5)
    total = np.maximum(light.sum(axis=1), 1e-12)
    yy, xx, xy = (light @ moment.ravel() / total for moment in (dy * dy, dx * dx, dx * dy))
    split = np.sqrt((yy - xx) ** 2 + 4 * xy**2)
    axis_ratio = np.sqrt(np.maximum(yy + xx - split, 0) / np.maximum(yy + xx + split, 1e-12))
    shapes = [0.5 * np.log(np.maximum(yy + xx, 1e-6)), axis_ratio, light[:, radius < 1 / 8].sum(axis=1) / total]
    features = np.hstack([core, wider, *colours, np.column_stack(shapes), np.percentile(white, [90, 99], axis=1).T])
    return np.hstack([features, features**2])


def fit_predict_ridge(features: np.ndarray, labels: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Ridge regression of `labels` (M, K) on standardised `features` (M, F), strength by leave-one-out on the training rows, at `targets` (N, F)."""
    from sklearn.linear_model import RidgeCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), RidgeCV(alphas=np.logspace(-2, 6, 17)))
    return np.asarray(model.fit(features, labels).predict(targets)).reshape(len(targets), -1)


def fit_predict_forest(features: np.ndarray, labels: np.ndarray, targets: np.ndarray, seed: int, trees: int = 100) -> np.ndarray:
    """Random forest of `labels` (M, K) on `features` (M, F), which may hold nan, at `targets` (N, F)."""
    from sklearn.ensemble import RandomForestRegressor

    leaf = max(5, len(features) // 400)
    model = RandomForestRegressor(n_estimators=trees, min_samples_leaf=leaf, random_state=seed, n_jobs=1)
    return model.fit(features, labels.ravel() if labels.shape[1] == 1 else labels).predict(targets).reshape(len(targets), -1)


def to_fractions(predicted: np.ndarray) -> np.ndarray:
    """Regressed numbers (N, K) as fractions: negative ones to zero, rows scaled to sum 1 (uniform where nothing is left)."""
    clipped = np.clip(predicted, 0, None)
    total = clipped.sum(axis=1, keepdims=True)
    return np.where(total > 0, clipped / np.where(total > 0, total, 1), 1 / predicted.shape[1])
