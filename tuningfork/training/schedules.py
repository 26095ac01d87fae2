"""The learning rate of every step as a pure function of its number, so that a resumed run needs no scheduler."""

import math

import torch

__all__ = ["schedule_factors", "set_step", "warm_up_steps"]

RISE_AND_FALL, ANNEAL = 0.425, 0.15
"""Parts of a one-cycle: as long down as up, then 15 % of the steps towards 1/1000 (Wu & Boada 2019)."""


def warm_up_steps(epochs: float, steps_per_epoch: int) -> int:
    """Steps of a warm-up of so many `epochs`, which need not be whole."""
    return round(epochs * steps_per_epoch)


def schedule_factors(schedule: str, step: int, total: int, warm_up: int = 0) -> tuple[float, float | None]:
    """(factor on the learning rate, momentum or None) of step 0 <= `step` < `total`.

    ``cosine`` falls from 1 to 0 (Loshchilov & Hutter 2017, without restarts); ``one_cycle`` rises linearly from 1/10 to 1 and back while the
    momentum goes .95, .85, .95, then falls linearly to 1/1000.

    With a `warm_up` of that many steps the factor first rises linearly, by 1 / (warm_up + 1) a step, to 1 in step `warm_up`; the schedule has
    the steps from there on (Goyal et al. 2017, section 2.2, per step). A one-cycle has a rise of its own; recipes do not give it another.
    """
    if step < warm_up:
        return (step + 1) / (warm_up + 1), None
    where = (step - warm_up) / max(total - warm_up, 1)
    if schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * where)), None
    if schedule == "one_cycle":
        if where < 2 * RISE_AND_FALL:
            height = 1 - abs(where - RISE_AND_FALL) / RISE_AND_FALL
            return 0.1 + 0.9 * height, 0.95 - 0.1 * height
        return 0.1 + (0.001 - 0.1) * (where - 2 * RISE_AND_FALL) / ANNEAL, 0.95
    return 1.0, None


def set_step(optimizer: torch.optim.Optimizer, schedule: str, step: int, total: int, warm_up: int = 0) -> float:
    """Set learning rate (and momentum, in a one-cycle) of every group for this step; return the highest rate."""
    factor, momentum = schedule_factors(schedule, step, total, warm_up)
    for group in optimizer.param_groups:
        group["lr"] = group["base_lr"] * factor
        if momentum is not None and "momentum" in group:
            group["momentum"] = momentum
        elif momentum is not None and "betas" in group:
            group["betas"] = (momentum, group["betas"][1])
    return max(group["lr"] for group in optimizer.param_groups)
