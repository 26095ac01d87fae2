"""The interval of a share, for reports and for analysis alike."""

import math
from statistics import NormalDist

__all__ = ["wilson"]


def wilson(found: float, total: float, level: float = 0.95) -> dict[str, float | None]:
    """``{value, lo, hi}`` of a share `found` of `total`, with the score interval of Wilson (1927); None where `total` is 0."""
    if total <= 0:
        return {"value": None, "lo": None, "hi": None}
    z = NormalDist().inv_cdf(0.5 + level / 2)
    share = found / total
    middle = (share + z * z / (2 * total)) / (1 + z * z / total)
    half = z * math.sqrt(max(0.0, share * (1 - share)) / total + z * z / (4 * total * total)) / (1 + z * z / total)
    return {"value": share, "lo": max(0.0, middle - half), "hi": min(1.0, middle + half)}
