"""Stamps at another size: block means, whatever they are taken with."""

import numpy as np
import pytest

from tuningfork.errors import StampError
from tuningfork.stamps.resized import ResizedStamps, resized
from tuningfork.stamps.store import StampSet, StampShard, write_shard


def store(folder, dtype, side=24, n=7):
    rng = np.random.default_rng(0)
    pixels = rng.uniform(0, 255, (n, 2, side, side)).astype(dtype)
    ids = np.array([f"o{i}" for i in range(n)])
    write_shard(folder / "a0.arrow", StampShard(ids, np.full(n, "ok", "U32"), np.full(n, ""), pixels, {"sky_sigma": rng.uniform(1, 2, n)}))
    return StampSet([folder / "a0.arrow"]), pixels


def test_whole_blocks_are_averaged(tmp_path):
    stamps, pixels = store(tmp_path, np.float32)
    small = ResizedStamps(stamps, 8)
    assert small.shape == (2, 8, 8) and small.dtype == np.float32 and len(small) == 7
    blocks = pixels.reshape(7, 2, 8, 3, 8, 3).mean(axis=(3, 5))
    np.testing.assert_allclose(small.take([3, 0, 3]), blocks[[3, 0, 3]], rtol=1e-5)
    np.testing.assert_array_equal(small.take([3, 0])[0], small.take([3])[0])
    out = np.empty((2, 2, 8, 8), np.float32)
    assert small.take([1, 2], out=out) is out
    assert small.index_of(["o4"]).tolist() == [4] and small.scalars["sky_sigma"] is stamps.scalars["sky_sigma"]


@pytest.mark.parametrize("pixels", [24, 17, 5])
def test_light_is_kept_at_any_size(tmp_path, pixels):
    stamps, whole = store(tmp_path, np.float32)
    np.testing.assert_allclose(ResizedStamps(stamps, pixels).take(np.arange(7)).mean(axis=(2, 3)), whole.mean(axis=(2, 3)), rtol=1e-5)


def test_pictures_stay_pictures(tmp_path):
    stamps, pixels = store(tmp_path, np.uint8)
    small = ResizedStamps(stamps, 12).take(np.arange(7))
    assert small.dtype == np.uint8
    np.testing.assert_allclose(small, pixels.reshape(7, 2, 12, 2, 12, 2).mean(axis=(3, 5)), atol=0.5 + 1e-4)


def test_larger_is_refused_and_none_is_the_set_itself(tmp_path):
    stamps, _ = store(tmp_path, np.float32)
    assert resized(stamps, None) is stamps and resized(stamps, 6).shape == (2, 6, 6)
    with pytest.raises(StampError, match=r"24 x 24 pixels cannot be averaged to 25 x 25"):
        resized(stamps, 25)
