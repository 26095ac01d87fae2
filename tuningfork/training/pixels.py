"""Stamps on the device, normalised: the whole set where it fits in memory, else batch by batch through a prefetching thread."""

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tuningfork.errors import ModelError
from tuningfork.training.arrays import Stamps, name_some
from tuningfork.training.normalisation import NEEDS_SKY, apply_normalisation

__all__ = ["DeviceStamps", "check_pixels", "faulty_pixels", "memory_budget", "sky_columns"]

CHUNK_BYTES = 2**26


class DeviceStamps:
    """Chosen stamps, normalised, ready in batches on a device.

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
        Memory that may hold the normalised set (float32). What does not fit is read from the memory map, one batch ahead in a thread.

    Raises
    ------
    ModelError
        A stamp that the store calls usable is not finite or constant, or has no sky where the normalisation needs one; the ids are named.
    """

    def __init__(self, stamps: Stamps, rows: np.ndarray, normalisation: Mapping[str, Any], device: torch.device, budget_bytes: int) -> None:
        self.stamps, self.rows, self.normalisation, self.device = stamps, rows, normalisation, device
        self.sky = sky_columns(stamps, rows, normalisation)
        self.images: Tensor | None = None
        if len(rows) * int(np.prod(stamps.shape)) * 4 <= budget_bytes:
            # channels_last: what the convolutions want, so that no batch has to be laid out again
            layout = torch.channels_last if stamps.shape[0] > 1 else torch.contiguous_format
            self.images = torch.empty((len(rows), *stamps.shape), dtype=torch.float32, device=device, memory_format=layout)
        chunk = max(1, CHUNK_BYTES // (int(np.prod(stamps.shape)) * 4))
        for start in range(0, len(rows), chunk):
            positions = np.arange(start, min(start + chunk, len(rows)))
            raw = stamps.take(rows[positions])
            check_pixels(raw, stamps.object_id[rows[positions]])
            if self.images is not None:
                self.images[start : start + len(positions)] = self._normalised(torch.from_numpy(raw), positions)

    @property
    def resident(self) -> bool:
        """Whether the whole set is on the device."""
        return self.images is not None

    def batches(self, order: Sequence[np.ndarray]) -> Iterator[Tensor]:
        """Normalised images (n, C, H, W) of each array of positions, in order."""
        if self.images is not None:
            for positions in order:
                yield self.images.index_select(0, torch.from_numpy(np.asarray(positions, dtype=np.int64)).to(self.device, non_blocking=True))
            return
        with ThreadPoolExecutor(1, thread_name_prefix="stamps") as pool:
            pending: Future[Tensor] | None = None
            for following in [*order, None]:
                ready, pending = pending, None if following is None else pool.submit(self._read, following)
                if ready is not None:
                    yield ready.result()

    def _read(self, positions: np.ndarray) -> Tensor:
        # rows in the order of the file are kinder to the disk; the batch gets its own order back
        order = np.argsort(positions, kind="stable")
        raw = torch.from_numpy(self.stamps.take(self.rows[positions[order]]))
        if self.device.type == "cuda":
            raw = raw.pin_memory()
        images = self._normalised(raw, positions[order])
        return images.index_select(0, torch.from_numpy(np.argsort(order, kind="stable")).to(self.device))

    def _normalised(self, raw: Tensor, positions: np.ndarray) -> Tensor:
        sky = None if self.sky is None else [torch.from_numpy(column[positions]) for column in self.sky]
        return apply_normalisation(self.normalisation, raw.to(self.device, non_blocking=True), *(sky or (None, None)))


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


def memory_budget(device: torch.device, memory_mb: int | None = None) -> int:
    """Bytes that the stamps may take on the device: half of `memory_mb`, else half of what is free there."""
    if device.type == "cuda":
        free = torch.cuda.mem_get_info(device)[0]
        return free // 2
    if memory_mb is not None:
        return memory_mb * 2**20 // 2
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
