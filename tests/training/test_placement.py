"""Where the stamps of a training are kept: chosen by their size, said in one line, and without a trace in the weights."""

import logging

import numpy as np
import pytest
import torch
from toy_sample import RECIPE, TARGETS, make_objects, make_store

from tuningfork.errors import ModelError
from tuningfork.files import sha256_of
from tuningfork.stamps.store import StampSet, StampShard, write_shard
from tuningfork.training.arrays import ArrayStamps
from tuningfork.training.loop import train
from tuningfork.training.memory import free_memory, memory_budget
from tuningfork.training.normalisation import fit_normalisation
from tuningfork.training.pixels import DeviceStamps, choose_kind

CPU = torch.device("cpu")
SMALL = {"name": "deepshadows", "options": {"width": 0.1}}


def pictures(n=48):
    """The toy sample as 8-bit colour pictures."""
    shard, objects = make_objects(n)
    low, high = shard.pixels.min(), shard.pixels.max()
    grey = ((shard.pixels - low) / (high - low) * 255).round().astype(np.uint8)
    return StampShard(shard.object_id, shard.status, shard.reason, np.concatenate([grey, grey // 2, 255 - grey], axis=1), {}), objects


def of(dtype, count=10, shape=(3, 20, 20)):
    return ArrayStamps(np.arange(count).astype(str), np.zeros((count, *shape), dtype))


@pytest.mark.parametrize("dtype, budget, expected", [
    ("float32", 48_000, "float32"), ("float32", 47_999, None), ("uint8", 48_000, "float32"),
    ("uint8", 47_999, "uint8"), ("uint8", 12_000, "uint8"), ("uint8", 11_999, None),
])  # fmt: skip
def test_auto_keeps_what_fits(dtype, budget, expected):
    """10 stamps of 3x20x20 are 12,000 values: 48,000 bytes as float32, 12,000 as uint8."""
    assert choose_kind(10, of(dtype), budget) == expected
    assert choose_kind(10, of(dtype), budget, "streamed") is None
    assert choose_kind(10, of(dtype), budget, "resident") == (expected or ("uint8" if dtype == "uint8" else "float32"))


def test_another_word_is_refused():
    with pytest.raises(ModelError, match=r"'disk' is no placement; choose auto, resident, streamed \(compute.stamps\)"):
        choose_kind(10, of("uint8"), 10, "disk")


@pytest.mark.parametrize("name", ["unit", "minmax_published", "standard"])
def test_pictures_give_the_same_batches_in_every_place(tmp_path, name):
    shard, _ = pictures(24)
    write_shard(tmp_path / "a.arrow", shard)
    stamps, rows = StampSet([tmp_path / "a.arrow"]), np.arange(3, 24)[::-1]
    fitted = fit_normalisation({"name": name}, torch.from_numpy(shard.pixels))
    size = 21 * 3 * 48 * 48
    kept = [DeviceStamps(stamps, rows, fitted, CPU, budget) for budget in (4 * size, size, size - 1)]
    assert [None if one.images is None else one.images.dtype for one in kept] == [torch.float32, torch.uint8, None]
    order = [np.array([5, 3, 3, 20]), np.array([0]), np.arange(20)[::-1].copy(), np.array([7, 1])]
    batches = [list(one.batches(order)) for one in kept]
    for first, *others in zip(*batches, strict=True):
        assert all(torch.equal(first, other) for other in others)
    # each batch is its own memory: the next one does not overwrite it
    assert torch.equal(batches[2][0][1], batches[2][0][2]) and not torch.equal(batches[2][0][0], batches[2][3][0])


@pytest.mark.parametrize("kind", ["pictures", "images"])
def test_the_weights_are_the_same_bit_for_bit_in_every_place(tmp_path, kind):
    if kind == "pictures":
        shard, objects = pictures()
        stamps = ArrayStamps(shard.object_id, shard.pixels)
        recipe = {**RECIPE, "normalisation": {"name": "unit"}}
    else:
        (stamps, objects), recipe = make_store(tmp_path), dict(RECIPE)
    recipe |= {"epochs": 2, "augmentation": {**RECIPE["augmentation"], "d4": True}}
    digests = set()
    for place, memory in (("resident", None), ("streamed", None), ("auto", 1)):
        places = {"out_dir": tmp_path / place, "resume_dir": tmp_path / "resume"}
        common = {"network": SMALL, "stamps": stamps, "objects": objects, "targets": TARGETS, "task": "fractions", "recipe": recipe, "seed": 1, "threads": 1}
        train(**common, **places, placement=place, memory_mb=memory)
        digests.add(sha256_of(tmp_path / place / "weights.safetensors"))
    assert len(digests) == 1


def test_the_log_says_in_one_line_what_was_chosen_and_why(caplog):
    shard, _ = pictures(24)
    stamps, rows = ArrayStamps(shard.object_id, shard.pixels), np.arange(24)
    with caplog.at_level(logging.INFO, logger="tuningfork.training.pixels"):
        DeviceStamps(stamps, rows, {"name": "unit"}, CPU, 2_000_000)
        DeviceStamps(stamps, rows, {"name": "unit"}, CPU, 400_000)
        DeviceStamps(stamps, rows, {"name": "unit"}, CPU, 10**9, "streamed")
    kept, bytes_kept, streamed = [record.getMessage() for record in caplog.records]
    assert kept.startswith(
        "stamps: 24 of 3x48x48 (0.664 MB as float32 or 0.166 MB as uint8) are kept on cpu as float32: 2 MB of the job's memory may hold them; read at "
    )
    assert "are kept on cpu as uint8: 0.4 MB" in bytes_kept
    assert "are streamed from the memory map, one batch ahead: compute.stamps is streamed; 1,000 MB of the job's memory" in streamed


def machine(root, meminfo="MemTotal: 9 kB\nMemAvailable:    4000000 kB\n", cgroup="0::/a/b\n", files=None):
    for path, text in {"proc/meminfo": meminfo, "proc/self/cgroup": cgroup, **(files or {})}.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return free_memory(root)


def group(folder, limit, used, cached=0):
    return {f"{folder}/memory.max": limit, f"{folder}/memory.current": str(used), f"{folder}/memory.stat": f"anon 5\ninactive_file {cached}\n"}


def test_free_memory_is_what_the_strictest_group_leaves(tmp_path):
    top = "sys/fs/cgroup"
    assert machine(tmp_path / "none") == 4_096_000_000
    assert machine(tmp_path / "open", files=group(f"{top}/a/b", "max", 7)) == 4_096_000_000
    assert machine(tmp_path / "own", files=group(f"{top}/a/b", "1000000", 400_000, 100_000)) == 700_000
    assert machine(tmp_path / "above", files=group(f"{top}/a/b", "1000000", 0) | group(f"{top}/a", "500000", 100_000)) == 400_000
    assert machine(tmp_path / "over", files=group(f"{top}/a/b", "1000", 4000)) == 0
    old = {f"{top}/memory/x/memory.limit_in_bytes": "3000", f"{top}/memory/x/memory.usage_in_bytes": "1000", f"{top}/memory/x/memory.stat": "cache 4\n"}
    assert machine(tmp_path / "version1", cgroup="4:cpu:/x\n3:memory:/x\n", files=old) == 2000


def test_the_budget_is_half_of_the_job_or_of_what_is_free():
    assert memory_budget(CPU, 1) == 500_000 and memory_budget(CPU, 0) == 0
    assert 2**20 < memory_budget(CPU) <= memory_budget(CPU, 10**9) * 1.5
