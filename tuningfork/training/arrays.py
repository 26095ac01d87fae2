"""What training and inference need of a set of stamps, and a set that is already in memory."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from tuningfork.errors import StampError

__all__ = ["ArrayStamps", "Stamps", "name_some"]


class Stamps(Protocol):
    """What training and inference need of a set of stamps; `tuningfork.stamps.store.StampSet` is one."""

    @property
    def object_id(self) -> np.ndarray:
        """Ids, (N,)."""
        ...

    @property
    def status(self) -> np.ndarray:
        """Statuses, (N,)."""
        ...

    @property
    def scalars(self) -> Mapping[str, np.ndarray]:
        """Numbers of each stamp, (N,) by name."""
        ...

    @property
    def shape(self) -> tuple[int, ...]:
        """(C, H, W) of one stamp."""
        ...

    @property
    def dtype(self) -> np.dtype:
        """Type of a pixel."""
        ...

    def __len__(self) -> int: ...

    def index_of(self, ids: Sequence[str] | np.ndarray) -> np.ndarray:
        """Row numbers of these ids."""
        ...

    def take(self, indices: Sequence[int] | np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """Copies of these rows, (n, C, H, W)."""
        ...


@dataclass(frozen=True)
class ArrayStamps:
    """Stamps that are already in memory, as a `Stamps`.

    Parameters
    ----------
    object_id : ndarray of str, shape (N,)
    pixels : ndarray, shape (N, C, H, W), float32 or uint8
    status : ndarray of str, shape (N,), optional
        All ``ok`` if not given.
    scalars : dict of str to ndarray, shape (N,)
    """

    object_id: np.ndarray
    pixels: np.ndarray
    status: np.ndarray = None  # type: ignore[assignment]
    scalars: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "object_id", np.asarray(self.object_id, dtype=str))
        if self.status is None:
            object.__setattr__(self, "status", np.full(len(self.object_id), "ok"))
        if self.pixels.ndim != 4 or len(self.pixels) != len(self.object_id) or len(np.unique(self.object_id)) != len(self.object_id):
            raise StampError(f"{len(self.object_id)} ids and pixels of shape {self.pixels.shape}: (N, C, H, W) and N different ids are needed")

    def __len__(self) -> int:
        return len(self.object_id)

    @property
    def shape(self) -> tuple[int, ...]:
        """(C, H, W) of one stamp."""
        return self.pixels.shape[1:]

    @property
    def dtype(self) -> np.dtype:
        """Type of a pixel."""
        return self.pixels.dtype

    def index_of(self, ids: Sequence[str] | np.ndarray) -> np.ndarray:
        """Row numbers of these ids; `StampError` names the first that is missing."""
        rows = {name: row for row, name in enumerate(self.object_id.tolist())}
        try:
            return np.array([rows[name] for name in np.asarray(ids, dtype=str).tolist()], dtype=np.int64)
        except KeyError as error:
            raise StampError(f"no stamp of {error.args[0]!r}") from None

    def take(self, indices: Sequence[int] | np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """Copies of these rows, (n, C, H, W)."""
        return np.take(self.pixels, indices, axis=0, out=out)


def name_some(ids: Sequence[str] | np.ndarray, most: int = 5) -> str:
    """The first few ids in quotes, and how many more."""
    shown = ", ".join(repr(str(name)) for name in ids[:most])
    return shown + (f" and {len(ids) - most} more" if len(ids) > most else "")
