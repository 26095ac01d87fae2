"""The numbers of a report: a network on rows it never saw, beside baselines fitted on its own training rows and the noise floor of the labels.

Selection of models belongs on the validation split; what is here is computed once, on the test split and, where folds exist, out of fold.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from tuningfork.analysis.baseline_set import StampArrays, fit_baselines
from tuningfork.analysis.bootstrap import difference, interval
from tuningfork.analysis.rows import Columns, Rows, join, resampling_groups
from tuningfork.analysis.section import Settings, headline, headline_name, label_scale, section
from tuningfork.errors import SampleError


def evaluate(
    objects: Columns,
    predictions: Columns,
    *,
    targets: Sequence[str],
    task: str,
    seed: int,
    label: str = "label",
    groups: str = "group_id",
    by: Sequence[str] = ("band", "filter_group", "magnitude", "zoom"),
    stamps: StampArrays | None = None,
    vote_model: str = "multinomial",
    assumed_votes: int | None = None,
    label_sigma: str | None = None,
    label_errors: Mapping[str, str] | None = None,
    resamples: int = 1000,
    level: float = 0.95,
    simulated: bool = False,
) -> dict[str, object]:
    """Metrics of a model on one sample.

    Parameters
    ----------
    objects, predictions : mapping of arrays
        objects.parquet and predictions.parquet as `tables.read_columns` gives them, joined here by object_id.
    targets, task, label
        As in `rows.join`.
    seed : int
        Of the resamples, the forest and the simulated panels.
    groups : str
        Column whose values are resampled; galaxy_id where a section has fewer than five of them (the section says which).
    by : sequence of str
        Breakdowns: a column of names (``band``), ``filter_group`` (UV, optical, NIR), ``magnitude`` (from ``mag``), ``zoom``, ``true value``
        (quarters of the first target). Those whose column is absent are left out.
    stamps : StampSet, optional
        The sample's stamps; adds the baselines that see pixels.
    vote_model : str
        ``multinomial`` (answers exclude each other) or ``binomial`` (several boxes may be ticked): for the floor.
    assumed_votes : int, optional
        Votes a row where ``n_votes`` is unknown; the floor then says so.
    label_sigma : str, optional
        Regression of one target: the column with the 1-sigma error of the label; that of `label_errors` unless given.
    label_errors : mapping, optional
        Regression: target -> column with the 1-sigma error of its label.

    Returns
    -------
    dict
        JSON-able; ``sections`` holds ``test`` and ``out_of_fold`` (null where there are no such rows), each with metrics, baselines, floor,
        confusion, calibration and breakdowns, and ``distribution`` of models that predict one. Every number is ``{value, lo, hi, n, n_groups}``.
    """
    rows = join(objects, predictions, targets, task, label)
    errors = dict(label_errors or {})
    label_sigma = label_sigma or errors.get(targets[0])
    settings = Settings(list(targets), task, seed, groups, tuple(by), vote_model, assumed_votes, label_sigma, resamples, level, errors)
    test = rows.comparable & rows.split("test")
    train = rows.usable & rows.labelled & rows.split("train")
    fold = rows.fold()
    folded = rows.comparable & (fold >= 0)
    sections: dict[str, object] = {"test": None, "out_of_fold": None}
    if test.any():
        sections["test"] = section(rows, test, fit_baselines(rows, train, test, task, seed, stamps), settings)
    if folded.any():
        sections["out_of_fold"] = section(rows, folded, _folded_baselines(rows, folded, fold, settings, stamps), settings)
    counts = {str(s): int(c) for s, c in zip(*np.unique(np.asarray(rows.objects["split"]), return_counts=True), strict=True)}
    return {
        "format": 1,
        "task": task,
        "targets": list(targets),
        "headline": headline_name(task, len(targets)),
        "better": "higher" if task == "classes" else "lower",
        "seed": seed,
        "resamples": resamples,
        "level": level,
        "simulated": simulated,
        "rows": {
            "all": len(rows),
            "labelled": int(rows.labelled.sum()),
            "usable": int(rows.usable.sum()),
            "train": int(train.sum()),
            **{f"split_{k}": v for k, v in counts.items()},
        },
        "sections": sections,
    }


def compare(
    objects: Columns,
    first: Columns,
    second: Columns,
    *,
    targets: Sequence[str],
    task: str,
    seed: int,
    names: tuple[str, str] = ("first", "second"),
    label: str = "label",
    groups: str = "group_id",
    split: str = "test",
    resamples: int = 1000,
    level: float = 0.95,
) -> dict[str, object]:
    """Two models on the same rows (transfer against scratch): the headline of each and the paired difference `first` - `second`.

    Only rows of `split` that both could predict count. ``significant`` says whether the interval of the difference excludes zero.
    """
    a, b = (join(objects, predictions, targets, task, label) for predictions in (first, second))
    chosen = a.comparable & b.comparable & a.split(split)
    if not chosen.any():
        raise SampleError(f"no row of split {split!r} has a label and a prediction of both {names[0]} and {names[1]}")
    column, group = resampling_groups(objects, chosen, groups)
    scale = label_scale(a, a.labelled & a.split("train"))
    statistics = [headline(task, rows.predicted[chosen], rows.observed[chosen], scale) for rows in (a, b)]
    both = [interval(s, group, seed, resamples=resamples, level=level).as_json() for s in statistics]
    change = interval(difference(*statistics), group, seed, resamples=resamples, level=level)
    return {
        "headline": headline_name(task, len(targets)),
        "better": "higher" if task == "classes" else "lower",
        "split": split,
        "groups": column,
        "names": list(names),
        names[0]: both[0],
        names[1]: both[1],
        "difference": change.as_json(),
        "significant": bool(change.low > 0 or change.high < 0),
    }


def _folded_baselines(rows: Rows, folded: np.ndarray, fold: np.ndarray, settings: Settings, stamps: StampArrays | None) -> dict[str, np.ndarray]:
    """Baselines for out-of-fold rows: for each fold fitted on the other folds, as the fold's network was."""
    candidates = rows.usable & rows.labelled & (fold >= 0)
    result: dict[str, np.ndarray] = {}
    position = np.cumsum(folded) - 1
    for k in np.unique(fold[folded]):
        here = folded & (fold == k)
        for name, predicted in fit_baselines(rows, candidates & (fold != k), here, settings.task, settings.seed, stamps).items():
            full = result.setdefault(name, np.full((int(folded.sum()), predicted.shape[1]), np.nan))
            full[position[here]] = predicted
    return {name: full for name, full in result.items() if np.isfinite(full).all()}
