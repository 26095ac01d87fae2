"""The documented bits of the `flag` column of a published catalogue, and how they are set."""

from collections.abc import Mapping
from enum import IntFlag

import numpy as np
from astropy.table import Table

from tuningfork.publishing.joining import Join


class Flag(IntFlag):
    """What a user of a row should know; 0 is a row without remark."""

    NO_STAMP = 1
    PARTIAL = 2
    PETRO_FLOOR = 4
    NO_PETRO = 8
    NEIGHBOUR = 16
    LOW_SNR = 32
    IN_TRAINING = 64
    EXTRAPOLATED = 128
    NOT_DETECTED = 256
    NOT_PREDICTED = 512
    NOT_SELECTED = 1024


MEANINGS: dict[Flag, str] = {
    Flag.NO_STAMP: "no usable stamp (column status says why); the predictions are empty",
    Flag.PARTIAL: "part of the stamp was not observed",
    Flag.PETRO_FLOOR: "the Petrosian radius is at the lower limit of its measurement: small, or failed",
    Flag.NO_PETRO: "no Petrosian radius; another size was used for the stamp (never set for cutouts and pictures, whose size is no Petrosian radius)",
    Flag.NEIGHBOUR: "another source lies within the stamp",
    Flag.LOW_SNR: "signal-to-noise ratio in the stamp below 5",
    Flag.IN_TRAINING: "the main network learned from this row (column in_training); where folds exist the predictions are those of the fold's network, "
    "which did not",
    Flag.EXTRAPOLATED: "magnitude, size or S/N outside the central 99 % of the rows trained on, or a filter without such rows",
    Flag.NOT_DETECTED: "not detected in this filter; the magnitude is empty (mag_limit holds the limit where one is known); never set where a catalogue "
    "has no photometry of each filter",
    Flag.NOT_PREDICTED: "a usable stamp without prediction",
    Flag.NOT_SELECTED: "in the ledger only: the row could not be used by the selection (column status)",
}
LOW_SNR = 5.0
_RANGES = ("mag", "stamp_arcsec", "snr")


def names(value: int) -> list[str]:
    """The names of the bits set in `value`, lower case: ``names(33) == ["no_stamp", "low_snr"]``."""
    return [bit.name.lower() for bit in Flag if value & bit and bit.name]


def documentation() -> list[str]:
    """One line a bit: ``1 no_stamp: no usable stamp ...``."""
    return [f"{bit.value} {bit.name.lower()}: {MEANINGS[bit]}" for bit in Flag if bit.name]


def training_ranges(values: Mapping[str, np.ndarray]) -> dict[str, dict[str, tuple[float, float]]]:
    """Central 99 % of magnitude, size and S/N of the rows trained on, by filter ('' where there are no filters); empty without such rows."""
    trained = np.asarray(values["in_training"], bool)
    filters = np.asarray(values["filter"]).astype(str) if "filter" in values else np.full(len(trained), "")
    ranges: dict[str, dict[str, tuple[float, float]]] = {}
    for band in np.unique(filters[trained]):
        here = trained & (filters == band)
        ranges[str(band)] = {}
        for name in _RANGES:
            known = np.ma.compressed(np.ma.asarray(values[name])[here])
            if len(known):
                low, high = np.percentile(known, [0.5, 99.5])
                ranges[str(band)][name] = (float(low), float(high))
    return ranges


def flags_of(
    values: Mapping[str, np.ndarray],
    objects: Table,
    from_objects: Join,
    usable: np.ndarray,
    predicted: np.ma.MaskedArray,
    n_selected: int,
    ranges: Mapping[str, Mapping[str, tuple[float, float]]],
    *,
    mosaic: bool = True,
) -> np.ndarray:
    """The flag of each row (N,) from the columns of the catalogue; `ranges` as `training_ranges` gives them, rows beyond `n_selected` are ledger only.

    `mosaic`: the stamps were cut from mosaics, four Petrosian radii wide, and the magnitudes are those of each filter. For cutouts and pictures a missing
    radius or magnitude is no remark.
    """
    n = len(usable)
    petrosian = from_objects.text("petrosian_flag").data
    has_prediction = ~np.ma.getmaskarray(predicted).any(axis=1)
    selected = np.arange(n) < n_selected
    filters = np.asarray(values["filter"]).astype(str) if "filter" in values else np.full(n, "")
    outside = np.zeros(n, bool)
    for name in _RANGES if ranges else ():
        edges = np.array([ranges.get(f, {}).get(name, (-np.inf, np.inf)) for f in filters.tolist()], dtype=float).reshape(n, 2)
        number = np.ma.filled(values[name].astype(float), np.nan)
        outside |= (number < edges[:, 0]) | (number > edges[:, 1])
    if ranges:
        outside |= ~np.isin(filters, list(ranges))
    bits = {
        Flag.NO_STAMP: ~usable & selected,
        Flag.PARTIAL: np.asarray(values["status"]) == "partial",
        Flag.PETRO_FLOOR: petrosian == "floor",
        Flag.NO_PETRO: mosaic
        & ((petrosian == "none") | (np.ma.getmaskarray(values["petrosian_radius_arcsec"]) & selected & ("petrosian_radius_arcsec" in objects.colnames))),
        Flag.NEIGHBOUR: np.ma.filled(values["n_neighbours"], 0) > 0,
        Flag.LOW_SNR: np.ma.filled(values["snr"] < LOW_SNR, False),
        Flag.IN_TRAINING: np.asarray(values["in_training"], bool),
        Flag.EXTRAPOLATED: outside & has_prediction,
        Flag.NOT_DETECTED: np.ma.getmaskarray(values["mag"]) & selected & (mosaic and "mag" in objects.colnames),
        Flag.NOT_PREDICTED: usable & ~has_prediction & selected,
        Flag.NOT_SELECTED: ~selected,
    }
    return sum((np.asarray(on).astype(np.int64) * int(bit) for bit, on in bits.items()), np.zeros(n, np.int64))
