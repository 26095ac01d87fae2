"""Predict a folder of new pictures with a trained model: one call from files to a table, a row for every file."""

import csv
import io
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from tuningfork import tables
from tuningfork.errors import ModelError, StampError
from tuningfork.files import write_text
from tuningfork.inference.compose import target_columns
from tuningfork.inference.load import Model, load_model
from tuningfork.inference.predict import predict
from tuningfork.predicted import further_columns
from tuningfork.stamps.background import border_indices, robust_sky
from tuningfork.stamps.pictures import FITS_SUFFIXES, PICTURE_SUFFIXES, import_pictures
from tuningfork.stamps.store import StampShard, usable
from tuningfork.training.arrays import ArrayStamps

__all__ = ["SUFFIXES", "find_pictures", "picture_ids", "predict_folder"]

SUFFIXES = (*FITS_SUFFIXES, *PICTURE_SUFFIXES)
BORDER = 0.1
"""Width of the border that a sky is measured on, as a part of the side: outside 1.6 Petrosian radii in a stamp of four."""


def find_pictures(folder: str | Path) -> list[Path]:
    """The pictures in `folder` and below, sorted by their path; hidden files are none.

    Raises
    ------
    StampError
        No such folder, or no picture in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise StampError(f"{folder}: no such folder")
    relative = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file() and path.name.lower().endswith(SUFFIXES))
    found = sorted(path for path in relative if not any(part.startswith(".") for part in path.parts))
    if not found:
        raise StampError(f"{folder}: no picture in it (looked for {', '.join(SUFFIXES)}, in depth)")
    return [folder / path for path in found]


def picture_ids(paths: Sequence[Path], folder: str | Path) -> list[str]:
    """An id for each picture: its path below `folder` without the file name ending, with it where two would be the same."""
    names = [path.relative_to(folder).as_posix() for path in paths]
    short = [name[: -len(next(suffix for suffix in sorted(SUFFIXES, key=len, reverse=True) if name.lower().endswith(suffix)))] for name in names]
    often = Counter(short)
    return [name if often[stem] > 1 else stem for name, stem in zip(names, short, strict=True)]


def predict_folder(
    model_dir: str | Path,
    folder: str | Path,
    output: str | Path,
    *,
    batch_size: int = 64,
    device: str | torch.device | None = None,
    threads: int | None = None,
    progress: bool | None = None,
) -> dict[str, int]:
    """Predict every picture in `folder` and write a table.

    Pictures are brought to the model's size and channels as those it was trained on were (`tuningfork.stamps.pictures`). A picture that
    cannot be read keeps its row, with its status and the reason; it stops nothing.

    Parameters
    ----------
    model_dir
        Folder of a trained model.
    output
        ``.csv`` or ``.parquet``: columns object_id, file, status, reason, <target>, <target>_std, and quantiles or <target>_sigma of a model
        that gives them.
    batch_size
        Pictures that are in memory at a time.

    Returns
    -------
    dict
        How many pictures have each status.

    Raises
    ------
    ModelError
        No usable model in `model_dir`, or the pictures are not what it was trained on.
    StampError
        No picture in `folder`, or a table of another kind is asked for.
    """
    output = Path(output)
    if output.suffix not in (".csv", ".parquet"):
        raise StampError(f"{output}: write predictions to a .csv or a .parquet file")
    paths = find_pictures(folder)
    ids = picture_ids(paths, folder)
    model = load_model(model_dir, device)
    columns = _empty(model, ids, [path.relative_to(folder).as_posix() for path in paths])
    show = sys.stderr.isatty() if progress is None else progress
    # FITS images and pictures are stored as different numbers: no batch has both
    is_fits = np.array([path.name.lower().endswith(FITS_SUFFIXES) for path in paths])
    with tqdm(total=len(paths), unit="picture", desc=f"predict {model.name}", disable=not show, file=sys.stderr) as bar:
        for kind in (np.flatnonzero(is_fits), np.flatnonzero(~is_fits)):
            for start in range(0, len(kind), batch_size):
                rows = kind[start : start + batch_size]
                _predict_some(model, [paths[row] for row in rows], rows, columns, threads)
                bar.update(len(rows))
    if (columns["reason"] == _wrong_type(model)).all():
        raise ModelError(f"{folder}: {_wrong_type(model)}")
    _write(model, columns, output)
    return dict(Counter(columns["status"].tolist()))


def _empty(model: Model, ids: Sequence[str], files: Sequence[str]) -> dict[str, np.ndarray]:
    text = {"status": np.full(len(ids), "", dtype=object), "reason": np.full(len(ids), "", dtype=object)}
    suffixes = ("", *(f"_{suffix}" for suffix in model.head.suffixes), "_std")
    numbers = {f"{target}{suffix}": np.full(len(ids), np.nan) for target in model.targets for suffix in suffixes}
    return {"object_id": np.array(ids, dtype=object), "file": np.array(files, dtype=object), **text, **numbers}


def _predict_some(model: Model, paths: Sequence[Path], rows: np.ndarray, columns: dict[str, np.ndarray], threads: int | None) -> None:
    """Import and predict these pictures, and fill their `rows` of the columns."""
    ids = columns["object_id"][rows]
    shard = import_pictures(paths, ids, channels=model.in_channels, pixels=model.image_size)
    columns["status"][rows], columns["reason"][rows] = shard.status, shard.reason
    if str(shard.pixels.dtype) != model.info.get("pixel_type", str(shard.pixels.dtype)):
        readable = rows[usable(shard.status)]
        columns["status"][readable], columns["reason"][readable] = "failed", _wrong_type(model)
        return
    found = predict(model, ArrayStamps(shard.object_id, shard.pixels, shard.status, _with_sky(shard)), ids, threads=threads, progress=False)
    lost = rows[usable(shard.status) & (found["status"] == "failed")]
    columns["status"][lost], columns["reason"][lost] = "failed", "constant, or not finite, or without a sky"
    for number, target in enumerate(model.targets):
        columns[target][rows], columns[f"{target}_std"][rows] = found["mean"][:, number], found["std"][:, number]
    for further in further_columns(found["columns"], model.targets):
        columns[further.name][rows] = found["columns"][further.name]


def _with_sky(shard: StampShard) -> dict[str, np.ndarray]:
    """The shard's scalars with ``sky`` and ``sky_sigma``: an image file comes without, so they are measured on the stamp's border.

    As in the stamps of a survey, `sky_sigma` is the noise of a pixel of the file: an average over 1/zoom^2 of them has zoom times less.
    """
    if {"sky", "sky_sigma"} <= set(shard.scalars):
        return shard.scalars
    side = shard.pixels.shape[-1]
    border = border_indices(side, max(1, round(BORDER * side)), side**2)
    planes = shard.pixels.reshape(len(shard), -1, side**2)[:, :, border]
    sky, sigma = robust_sky(planes.reshape(len(shard), -1).astype(np.float32))
    return {**shard.scalars, "sky": sky, "sky_sigma": sigma / np.minimum(shard.scalars["zoom"], 1)}


def _wrong_type(model: Model) -> str:
    wanted = {"uint8": "pictures (JPEG, PNG)", "float32": "FITS images"}
    return f"the model was trained on {wanted.get(str(model.info.get('pixel_type')), 'other images')}"


def _write(model: Model, columns: dict[str, np.ndarray], output: Path) -> None:
    if output.suffix == ".csv":
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(columns)
        for row in zip(*columns.values(), strict=True):
            writer.writerow(["" if isinstance(value, float) and np.isnan(value) else f"{value:.6g}" if isinstance(value, float) else value for value in row])
        write_text(output, text.getvalue())
        return
    meta = {"model": model.name, "weights_sha256": model.info.get("weights_sha256", ""), "simulated": bool(model.info.get("simulated", False))}
    tables.write(target_columns(columns, model.targets, model.task, meta), output)
