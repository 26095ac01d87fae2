"""Random reads per second of the stamp store against raw memory, the same rows into the same reused buffer.

Run with ``python benchmarks/bench_store.py``; one thread.
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tuningfork.stamps.store import StampSet, StampShard, write_shard


def make_shards(folder: Path, shards: int, rows: int, shape: tuple[int, int, int], rng: np.random.Generator) -> list[Path]:
    """Write shards of random stamps; return their paths."""
    paths = []
    for k in range(shards):
        pixels = rng.normal(size=(rows, *shape)).astype(np.float32)
        ids = np.array([f"{k}_{i}" for i in range(rows)])
        paths.append(folder / f"{k:x}.arrow")
        write_shard(paths[-1], StampShard(ids, np.full(rows, "ok"), np.full(rows, ""), pixels, {"sky": np.zeros(rows)}))
    return paths


def rate(function: Callable[[np.ndarray], object], batches: np.ndarray, repeats: int = 3) -> float:
    """Stamps a second: the best of `repeats` passes over all batches."""
    best = np.inf
    for _ in range(repeats):
        start = time.perf_counter()
        for batch in batches:
            function(batch)
        best = min(best, time.perf_counter() - start)
    return batches.size / best


def main(shards: int = 4, rows: int = 2000, batch: int = 64, batches: int = 400) -> dict[str, float]:
    """Print the comparison; returns the rates (stamps a second)."""
    rng = np.random.default_rng(1)
    shape = (1, 80, 80)
    with tempfile.TemporaryDirectory() as folder:
        paths = make_shards(Path(folder), shards, rows, shape, rng)
        start = time.perf_counter()
        many = StampSet(paths)
        opening = time.perf_counter() - start
        start = time.perf_counter()
        StampSet(paths, verify=False)
        unverified = time.perf_counter() - start
        one = StampSet(paths[:1])
        order = rng.integers(0, len(many), (batches, batch))
        first = rng.integers(0, len(one), (batches, batch))
        memory = many.take(np.arange(len(many)))
        out = np.empty((batch, *shape), np.float32)
        rates = {
            "memory": rate(lambda rows: np.take(memory, rows, axis=0, out=out, mode="clip"), order),
            "one shard": rate(lambda rows: one.take(rows, out), first),
            "many shards": rate(lambda rows: many.take(rows, out), order),
        }
    print(f"random reads of batches of {batch} stamps {shape} float32, one thread, {shards} shards of {rows}")
    print(f"  raw memory               {rates['memory']:12.0f} /s")
    for name in ("one shard", "many shards"):
        print(f"  stamp store, {name:11s} {rates[name]:12.0f} /s   {rates[name] / rates['memory']:6.1%} of raw memory")
    print(f"  opening: {opening * 1e3:.0f} ms with digests ({memory.nbytes / opening / 1e9:.2f} GB/s), {unverified * 1e3:.1f} ms without")
    return rates


if __name__ == "__main__":
    main()
