"""Copies with holes on disk: a hole is never taken for bytes, whatever happened before."""

import os

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from tuningfork.archives.intervals import Intervals
from tuningfork.archives.range_plan import pixel_bytes
from tuningfork.archives.sparse import SparseFile, forget, present_in
from tuningfork.errors import ArchiveError, StampError
from tuningfork.stamps.mosaic import Pixels

ORIGIN = {"length": 10_000, "validator": '"v1"'}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "key-v1.sparse.fits"


def test_bytes_are_here_once_they_are_listed(path):
    with SparseFile(path, ORIGIN) as file:
        file.write(100, b"abc")
        with pytest.raises(ArchiveError, match="not fetched"):
            file.read(100, 103)
        file.commit([Intervals.of([100], [103])])
        assert file.read(100, 103) == b"abc"
        with pytest.raises(ArchiveError, match="not fetched"):
            file.read(99, 103)
        with pytest.raises(ArchiveError, match="beyond"):
            file.write(9_999, b"ab")
    with SparseFile(path, ORIGIN) as file:
        assert file.read(101, 103) == b"bc"
    assert path.stat().st_size == 10_000


def test_another_origin_begins_anew(path):
    with SparseFile(path, ORIGIN) as file:
        file.write(0, b"abc")
        file.commit([Intervals.of([0], [3])])
    with SparseFile(path, ORIGIN | {"length": 20_000}) as file:
        assert file.present.total == 0
    assert path.stat().st_size == 20_000


@pytest.mark.parametrize("damage", ["gone", "empty", "text", "floats"])
def test_without_its_list_a_copy_holds_nothing(path, damage):
    with SparseFile(path, ORIGIN) as file:
        file.write(0, b"abc")
        file.commit([Intervals.of([0], [3])])
    listed = path.with_name(f"{path.name}.present.npy")
    if damage == "gone":
        listed.unlink()
    elif damage == "floats":
        np.save(listed, np.zeros((1, 2)))
    else:
        listed.write_bytes(b"" if damage == "empty" else b"0 10000")
    with pytest.raises(ArchiveError, match="list of what is here"):
        present_in(path)
    with SparseFile(path, ORIGIN) as file:
        assert file.present.total == 0


def test_a_whole_copy_is_adopted_and_missed_when_it_goes(path, tmp_path):
    whole = tmp_path / "whole.fits"
    whole.write_bytes(bytes(range(250)) * 40)
    with SparseFile(path, ORIGIN) as file:
        file.adopt(whole)
        assert file.read(0, 10_000) == whole.read_bytes()
    with SparseFile(path, ORIGIN) as file:
        assert file.has(0, 10_000)
    whole.unlink()
    with SparseFile(path, ORIGIN) as file:
        assert file.present.total == 0
    short = tmp_path / "short.fits"
    short.write_bytes(b"short")
    with SparseFile(path, ORIGIN) as file, pytest.raises(ArchiveError, match="announced"):
        file.adopt(short)
    forget(path)
    assert not list(tmp_path.glob("key*"))


def test_ordinary_files_have_no_holes(tmp_path):
    assert present_in(tmp_path / "abc.fits") is None


def test_a_plane_of_a_partial_cube_is_read_where_it_is_here(tmp_path):
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    cube = np.random.default_rng(1).normal(size=(3, 30, 40)).astype(np.float32)
    whole, path = tmp_path / "cube.fits", tmp_path / "cube.sparse.fits"
    fits.PrimaryHDU(cube, wcs.to_header()).writeto(whole)
    content, offset = whole.read_bytes(), 2880
    wanted = pixel_bytes(offset + 30 * 40 * 4, 4, (30, 40), np.array([25]), np.array([-2]), np.array([8])).plus(Intervals.of([0], [offset]))
    with SparseFile(path, {"length": len(content)}) as file:
        for start, stop in zip(wanted.start.tolist(), wanted.stop.tolist(), strict=True):
            file.write(start, content[start:stop])
        file.commit([wanted])
    places = np.array([25]), np.array([-2]), np.empty((1, 8, 8), np.float32)
    out = Pixels(path, plane=1).windows(*places)
    assert np.array_equal(out[0, :5, 2:], cube[1, 25:, :6]) and np.isnan(out[0, 5:]).all() and np.isnan(out[0, :, :2]).all()
    with pytest.raises(StampError, match="not fetched"):
        Pixels(path, plane=2).windows(*places)
    assert os.path.getsize(path) == len(content)
