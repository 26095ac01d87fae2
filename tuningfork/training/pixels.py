"""Stamps on the device, normalised: the whole set where it fits in memory, else batch by batch through a prefetching thread."""

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tuningfork.errors import ModelError
from tuningfork.training.arrays import Stamps, name_some
from tuningfork.training.normalisation import NEEDS_SKY, apply_normalisation

__all__ = ["PLACEMENTS", "DeviceStamps", "check_pixels", "choose_kind", "faulty_pixels", "sky_columns"]

log = logging.getLogger(__name__)
PLACEMENTS = ("auto", "resident", "streamed")
CHUNK_BYTES = 2**26


class DeviceStamps:
    """Chosen stamps, normalised, ready in batches on a device.

    Where they are kept does not change a bit of the batches: normalised on the device (float32); as they are stored, on the device, where these
    are pictures and only their bytes fit (each batch is normalised as it is taken); or in the memory map, read one batch ahead by a thread.

    Parameters
    ----------
    stamps
        Where the pixels are.
    rows : ndarray of int, shape (n,)
        The rows of `stamps` that are chosen; positions below count in this list.
    normalisation
        What `fit_normalisation` returned.
    device
        Where the batches are wanted.
    budget_bytes
        Memory that may hold the set.
    placement : {'auto', 'resident', 'streamed'}
        ``auto`` compares the size of the set with `budget_bytes`; the others decide. What was chosen and why is one line of the log.

    Raises
    ------
    ModelError
        A stamp that the store calls usable is not finite or constant, or has no sky where the normalisation needs one; the ids are named. Or a
        placement that does not exist.
    """

    def __init__(
        self, stamps: Stamps, rows: np.ndarray, normalisation: Mapping[str, Any], device: torch.device, budget_bytes: int, placement: str = "auto"
    ) -> None:
        self.stamps, self.rows, self.normalisation, self.device = stamps, rows, normalisation, device
        self.sky = sky_columns(stamps, rows, normalisation)
        kind = choose_kind(len(rows), stamps, budget_bytes, placement)
        # planes, as they are stored: augmentation is faster on them, and a batch costs little to lay out for the convolutions after it
        self.images = None if kind is None else torch.empty((len(rows), *stamps.shape), dtype=getattr(torch, kind), device=device)
        self._buffer = np.empty((0, *stamps.shape), dtype=stamps.dtype)
        start = time.perf_counter()
        self._fill()
        rate = len(rows) / max(time.perf_counter() - start, 1e-9)
        self._tell(kind, budget_bytes, placement, rate)

    @property
    def resident(self) -> bool:
        """Whether the whole set is on the device."""
        return self.images is not None

    def batches(self, order: Sequence[np.ndarray]) -> Iterator[Tensor]:
        """Normalised images (n, C, H, W) of each array of positions, in order."""
        if self.images is not None:
            for positions in order:
                found = self.images.index_select(0, torch.from_numpy(np.asarray(positions, dtype=np.int64)).to(self.device, non_blocking=True))
                yield found if self.images.dtype == torch.float32 else self._normalised(found, positions)
            return
        with ThreadPoolExecutor(1, thread_name_prefix="stamps") as pool:
            pending: Future[Tensor] | None = None
            for following in [*order, None]:
                ready, pending = pending, None if following is None else pool.submit(self._read, following)
                if ready is not None:
                    yield ready.result()

    def _fill(self) -> None:
        """Look at every stamp once, and keep it where it is to be kept."""
        chunk = max(1, CHUNK_BYTES // (int(np.prod(self.stamps.shape)) * 4))
        for start in range(0, len(self.rows), chunk):
            positions = np.arange(start, min(start + chunk, len(self.rows)))
            raw = self.stamps.take(self.rows[positions])
            check_pixels(raw, self.stamps.object_id[self.rows[positions]])
            if self.images is not None:
                pixels = torch.from_numpy(raw)
                self.images[start : start + len(positions)] = pixels if self.images.dtype == torch.uint8 else self._normalised(pixels, positions)

    def _tell(self, kind: str | None, budget_bytes: int, placement: str, rate: float) -> None:
        sizes = " or ".join(f"{_megabytes(_bytes(len(self.rows), self.stamps, name))} as {name}" for name in _kinds(self.stamps))
        limit = f"{_megabytes(budget_bytes)} of {'the device' if self.device.type == 'cuda' else 'the job'}'s memory may hold them"
        why = limit if placement == "auto" else f"compute.stamps is {placement}; {limit}"
        where = "streamed from the memory map, one batch ahead" if kind is None else f"kept on {self.device.type} as {kind}"
        log.info("stamps: %s of %s (%s) are %s: %s; read at %s stamps/s", *(f"{len(self.rows):,}", _shape(self.stamps), sizes, where, why, f"{rate:,.0f}"))

    def _read(self, positions: np.ndarray) -> Tensor:
        # rows in the order of the file are kinder to the disk; the batch gets its own order back
        order = np.argsort(positions, kind="stable")
        if len(self._buffer) < len(positions):
            self._buffer = np.empty((len(positions), *self.stamps.shape), dtype=self.stamps.dtype)
        # one buffer for all batches: touching new memory is many times slower. Nobody else reads meanwhile, and index_select copies
        raw = torch.from_numpy(self.stamps.take(self.rows[positions[order]], out=self._buffer[: len(positions)]))
        if self.device.type == "cuda":
            raw = raw.pin_memory()
        images = self._normalised(raw, positions[order])
        return images.index_select(0, torch.from_numpy(np.argsort(order, kind="stable")).to(self.device))

    def _normalised(self, raw: Tensor, positions: np.ndarray) -> Tensor:
        sky = None if self.sky is None else [torch.from_numpy(column[positions]) for column in self.sky]
        return apply_normalisation(self.normalisation, raw.to(self.device, non_blocking=True), *(sky or (None, None)))


def choose_kind(count: int, stamps: Stamps, budget_bytes: int, placement: str = "auto") -> str | None:
    """How `count` stamps are kept on the device: ``float32`` (normalised), ``uint8`` (pictures, as stored), or None: they are streamed.

    Raises
    ------
    ModelError
        A placement other than auto, resident and streamed.
    """
    if placement not in PLACEMENTS:
        raise ModelError(f"stamps: {placement!r} is no placement; choose {', '.join(PLACEMENTS)} (compute.stamps)")
    if placement == "streamed":
        return None
    fitting = [kind for kind in _kinds(stamps) if _bytes(count, stamps, kind) <= budget_bytes]
    # asked to keep what does not fit, it takes the smallest
    return fitting[0] if fitting else _kinds(stamps)[-1] if placement == "resident" else None


def _kinds(stamps: Stamps) -> tuple[str, ...]:
    return ("float32", "uint8") if np.dtype(stamps.dtype) == np.uint8 else ("float32",)


def _bytes(count: int, stamps: Stamps, kind: str) -> int:
    return count * int(np.prod(stamps.shape)) * np.dtype(kind).itemsize


def _megabytes(count: int) -> str:
    return f"{count / 1e6:,.3g} MB" if count < 1e7 else f"{count / 1e6:,.0f} MB"


def _shape(stamps: Stamps) -> str:
    return "x".join(map(str, stamps.shape))


def sky_columns(stamps: Stamps, rows: np.ndarray, normalisation: Mapping[str, Any], *, strict: bool = True) -> tuple[np.ndarray, np.ndarray] | None:
    """(sky, sky_sigma) of these rows, or None where the normalisation does not need them; `strict` refuses rows without a usable sky by name."""
    if normalisation["name"] not in NEEDS_SKY:
        return None
    if missing := {"sky", "sky_sigma"} - set(stamps.scalars):
        raise ModelError(
            f"normalisation {normalisation['name']} needs the column(s) {', '.join(sorted(missing))} of the stamps; for pictures use unit, imagenet or standard"
        )
    sky, sigma = (np.asarray(stamps.scalars[name], dtype=float)[rows] for name in ("sky", "sky_sigma"))
    if strict and not (ok := np.isfinite(sky) & np.isfinite(sigma) & (sigma > 0)).all():
        raise ModelError(f"{int((~ok).sum())} usable stamp(s) without a positive sky_sigma: {name_some(stamps.object_id[rows][~ok])}; cut them again")
    return sky, sigma


def faulty_pixels(raw: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Masks (n,) of the stamps that have a pixel that is not finite, and of those that are constant."""
    flat = raw.reshape(len(raw), -1)
    low, high = flat.min(axis=1), flat.max(axis=1)
    finite = np.isfinite(low) & np.isfinite(high)
    return ~finite, finite & (low == high)


def check_pixels(raw: np.ndarray, ids: np.ndarray) -> None:
    """Refuse stamps that the store calls usable and that are not: `ModelError` names them."""
    nonfinite, constant = faulty_pixels(raw)
    for mask, what in ((nonfinite, "NaN or infinite pixels"), (constant, "the same value in every pixel")):
        if mask.any():
            raise ModelError(f"usable stamp(s) with {what}: {name_some(ids[mask])}; their status should say so: cut them again, or leave them out")
