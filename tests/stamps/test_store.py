import dataclasses

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tuningfork.errors import StampError
from tuningfork.stamps.store import StampSet, StampShard, read_shard, write_shard


def make(count: int, prefix: str = "o", dtype: type = np.float32, seed: int = 0, shape: tuple[int, ...] = (1, 8, 8)) -> StampShard:
    rng = np.random.default_rng(seed)
    pixels = rng.integers(1, 255, (count, *shape)).astype(dtype)
    return StampShard(
        np.array([f"{prefix}{i}" for i in range(count)], dtype=str),
        np.full(count, "ok"),
        np.full(count, ""),
        pixels,
        {"sky": rng.normal(size=count), "zoom": np.full(count, np.nan)},
    )


@pytest.mark.parametrize("dtype", [np.float32, np.uint8])
@pytest.mark.parametrize("count", [0, 1, 7])
def test_a_shard_comes_back_as_it_was_written(tmp_path, dtype, count):
    shard = make(count, "µ/../", dtype, shape=(3, 5, 6))
    digest = write_shard(tmp_path / "a.arrow", shard)
    again = read_shard(tmp_path / "a.arrow")
    assert (tmp_path / "a.sha256").read_text().strip() == digest and len(digest) == 64
    assert again.object_id.tolist() == shard.object_id.tolist() and again.status.tolist() == shard.status.tolist()
    assert again.pixels.dtype == dtype and np.array_equal(again.pixels, shard.pixels) and not again.pixels.flags.writeable
    for name in shard.scalars:
        assert np.array_equal(again.scalars[name], shard.scalars[name], equal_nan=True)


def test_the_digest_follows_the_content(tmp_path):
    shard = make(5)
    first = write_shard(tmp_path / "a.arrow", shard)
    assert write_shard(tmp_path / "b.arrow", make(5)) == first
    changed = shard.pixels.copy()
    changed[2, 0, 0, 0] += 1
    others = [
        dataclasses.replace(shard, pixels=changed),
        dataclasses.replace(shard, status=np.array(["partial"] + ["ok"] * 4)),
        dataclasses.replace(shard, object_id=np.array([f"p{i}" for i in range(5)])),
        dataclasses.replace(shard, scalars={**shard.scalars, "sky": np.zeros(5)}),
        dataclasses.replace(shard, scalars={"sky": shard.scalars["sky"]}),
    ]
    assert len({first, *(write_shard(tmp_path / "c.arrow", other) for other in others)}) == 6


def test_damage_is_found(tmp_path):
    path = tmp_path / "a.arrow"
    write_shard(path, make(40))
    whole = path.read_bytes()
    for length in (0, 10, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(StampError, match=r"a\.arrow"):
            read_shard(path)
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    path.write_bytes(flipped)
    with pytest.raises(StampError, match="promises"):
        StampSet([path])
    assert len(StampSet([path], verify=False)) == 40
    path.write_bytes(whole)
    (tmp_path / "a.sha256").unlink()
    with pytest.raises(StampError, match=r"a\.sha256"):
        read_shard(path)
    with pytest.raises(StampError, match="nowhere"):
        read_shard(tmp_path / "nowhere.arrow")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"status": np.array(["ok", "fine", "ok"])}, "unknown status"),
        ({"object_id": np.array(["a", "b", "a"])}, "more than once"),
        ({"status": np.array(["ok", "blank", "ok"])}, "must be stored as zeros"),
        ({"pixels": np.full((3, 1, 8, 8), np.nan, np.float32)}, "not finite"),
        ({"pixels": np.ones((3, 1, 8, 8), np.float64)}, "float32 or uint8"),
        ({"scalars": {"sky": np.zeros(2)}}, "sky"),
        ({"scalars": {"status": np.zeros(3)}}, "cannot be names"),
    ],
)
def test_a_shard_that_contradicts_itself_is_refused(tmp_path, change, message):
    with pytest.raises(StampError, match=message):
        write_shard(tmp_path / "a.arrow", dataclasses.replace(make(3), **change))
    assert not (tmp_path / "a.arrow").exists()


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sizes=st.lists(st.integers(0, 6), min_size=1, max_size=4), data=st.data())
def test_random_reads_over_shards_equal_the_arrays(tmp_path, sizes, data):
    shards = [make(size, f"{k}_", seed=k) for k, size in enumerate(sizes)]
    for k, shard in enumerate(shards):
        write_shard(tmp_path / f"{k}.arrow", shard)
    stamps = StampSet([tmp_path / f"{k}.arrow" for k in range(len(shards))])
    every = np.concatenate([shard.pixels for shard in shards])
    assert len(stamps) == len(every) and stamps.shape == (1, 8, 8) and stamps.dtype == np.float32
    indices = data.draw(st.lists(st.integers(0, len(every) - 1), max_size=20)) if len(every) else []
    assert np.array_equal(stamps.take(indices), every[np.array(indices, dtype=int)])
    assert stamps.index_of(stamps.object_id[np.array(indices, dtype=int)]).tolist() == indices


def test_take_fills_the_given_buffer_and_refuses_what_does_not_fit(tmp_path):
    write_shard(tmp_path / "a.arrow", make(4))
    stamps = StampSet([tmp_path / "a.arrow"])
    out = np.empty((2, 1, 8, 8), np.float32)
    assert stamps.take([3, 3], out) is out and np.array_equal(out[0], out[1])
    with pytest.raises(IndexError):
        stamps.take([4])
    with pytest.raises(IndexError):
        stamps.take([-1])
    with pytest.raises(ValueError, match="out has shape"):
        stamps.take([1], out)


def test_sets_that_cannot_be_one_are_refused(tmp_path):
    write_shard(tmp_path / "a.arrow", make(3))
    write_shard(tmp_path / "b.arrow", make(3, "p", shape=(1, 9, 9)))
    write_shard(tmp_path / "c.arrow", make(2))
    with pytest.raises(StampError, match="different shape"):
        StampSet([tmp_path / "a.arrow", tmp_path / "b.arrow"])
    with pytest.raises(StampError, match="'o0'"):
        StampSet([tmp_path / "a.arrow", tmp_path / "c.arrow"])
    with pytest.raises(StampError, match="no stamp shard"):
        StampSet([])
    with pytest.raises(StampError, match="'zzz'"):
        StampSet([tmp_path / "a.arrow"]).index_of(["o1", "zzz"])
