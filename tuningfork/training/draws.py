"""Which rows the batches of an epoch have, and which part of a batch each of several processes takes."""

import numpy as np
import torch

from tuningfork.training.recipe import Recipe

__all__ = ["epoch_order", "part_of"]


def epoch_order(train_rows: np.ndarray, recipe: Recipe, generator: torch.Generator) -> list[np.ndarray]:
    """Rows of the batches of one epoch.

    A permutation where `draws_per_epoch` is 1 (a last batch of one row is left out: it has no variance to normalise by), else full batches
    drawn with replacement.
    """
    size, count = recipe.batch_size, len(train_rows)
    if recipe.draws_per_epoch == 1:
        order = train_rows[torch.randperm(count, generator=generator).numpy()]
        batches = [order[start : start + size] for start in range(0, count, size)]
        return batches[:-1] if len(batches) > 1 and len(batches[-1]) == 1 else batches
    steps = max(1, int(recipe.draws_per_epoch * count / size))
    return list(train_rows[torch.randint(count, (steps, size), generator=generator).numpy()])


def part_of(count: int, rank: int, size: int) -> slice:
    """Which of `count` rows process `rank` of `size` takes: parts that differ by one row at most, in order."""
    return slice(count * rank // size, count * (rank + 1) // size)
