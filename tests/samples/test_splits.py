"""Splits: nothing moves when objects are added, nothing stands on two sides, and every side that is asked for exists."""

import hashlib

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.table import Table
from hypothesis import given, settings
from hypothesis import strategies as st

from tuningfork.errors import SampleError
from tuningfork.samples import groups, splits

GROUPS = st.lists(st.text(st.characters(codec="utf-8"), min_size=1, max_size=6), min_size=1, max_size=40)
PARTS = dict(validation=0.2, test=0.2)


@given(GROUPS, GROUPS, st.integers(0, 2**31))
@settings(deadline=None)
def test_adding_objects_never_moves_an_old_one(old, new, seed):
    before = splits.assign_split(np.array(old), np.array(old), seed=seed, **PARTS)
    after = splits.assign_split(np.array(old + new), np.array(old + new), seed=seed, **PARTS)
    np.testing.assert_array_equal(after.split[: len(old)], before.split)
    np.testing.assert_array_equal(after.side[: len(old)], before.side)


@given(st.integers(1, 60), st.integers(0, 60), st.integers(0, 10**6), st.sampled_from([0.0, 5.0, 60.0]))
@settings(deadline=None, max_examples=60)
def test_with_positions_an_old_object_can_only_be_put_aside(n, extra, seed, radius):
    rng = np.random.default_rng(seed)
    ra, dec = 10 + 0.02 * rng.random(n + extra), 0.02 * rng.random(n + extra)
    galaxy = rng.integers(0, 30, n + extra).astype(str)
    field = rng.integers(0, 5, n + extra).astype(str)

    def run(k):
        return splits.assign_split(galaxy[:k], field[:k], seed=seed, ra=ra[:k], dec=dec[:k], same_arcsec=1.0, guard_arcsec=radius, **PARTS)

    before, after = run(n), run(n + extra)
    np.testing.assert_array_equal(after.side[:n], before.side)
    moved = after.split[:n] != before.split
    assert (after.split[:n][moved] == "guard").all()
    table = Table({"object_id": np.arange(n + extra).astype(str), "galaxy_id": galaxy, "split": after.split, "ra": ra, "dec": dec})
    splits.assert_disjoint(table, 1.0)


def test_the_draw_is_the_documented_hash():
    digest = hashlib.sha256(b"split:7:macs2129").digest()
    assert groups.uniform(np.array(["macs2129"]), 7)[0] == (int.from_bytes(digest[:8], "big") >> 11) / 2**53


def test_fractions_come_out_near_what_was_asked():
    names = np.array([f"g{i}" for i in range(5000)])
    side = splits.assign_split(names, names, seed=3, validation=0.1, test=0.25).side
    assert np.mean(side == "test") == pytest.approx(0.25, abs=0.02) and np.mean(side == "validation") == pytest.approx(0.1, abs=0.02)
    assert not np.array_equal(side, splits.assign_split(names, names, seed=4, validation=0.1, test=0.25).side)


def test_few_fields_are_dealt_so_that_every_side_has_one():
    field = np.repeat(["a", "b", "c", "d", "e"], 10)
    galaxy = np.array([f"{f}_{i}" for i, f in enumerate(field)])
    for seed in range(20):
        side = splits.assign_split(galaxy, field, seed=seed, validation=0.15, test=0.15, method="dealt").side
        assert [len(set(field[side == s])) for s in splits.SIDES] == [3, 1, 1]
    fewer = splits.assign_split(galaxy[::3], field[::3], seed=5, validation=0.15, test=0.15, method="dealt")
    more = splits.assign_split(galaxy, field, seed=5, validation=0.15, test=0.15, method="dealt")
    np.testing.assert_array_equal(fewer.split, more.split[::3])
    with pytest.raises(SampleError, match="too few"):
        splits.assign_split(galaxy[:20], field[:20], seed=1, validation=0.2, test=0.2, method="dealt")


def test_a_galaxy_on_two_sides_stays_on_the_stronger():
    names = np.array([f"c{i}" for i in range(200)])
    side = groups.sides(names, 1, 0.2, 0.2)
    train, test = names[side == "train"][0], names[side == "test"][0]
    found = splits.assign_split(np.array(["g", "g", "h"]), np.array([train, test, train]), seed=1, **PARTS)
    assert found.split.tolist() == ["guard", "test", "train"] and found.side.tolist() == ["train", "test", "train"]


def test_unlabelled_rows_keep_their_side():
    names = np.array([f"g{i}" for i in range(50)])
    found = splits.assign_split(names, names, seed=1, labelled=np.arange(50) % 2 == 0, **PARTS)
    assert (found.split[1::2] == "unlabelled").all() and (found.split[::2] == found.side[::2]).all() and set(found.side) == set(splits.SIDES)


def test_training_within_a_stamp_of_another_field_is_guard():
    names = np.array([f"c{i}" for i in range(200)])
    side = groups.sides(names, 1, 0.2, 0.2)
    train, test = names[side == "train"][0], names[side == "test"][0]
    field = np.array([test, train, train, train])
    ra = np.array([10.0, 10.0 + 3 / 3600, 10.0 + 7 / 3600, 10.0 + 7 / 3600])
    found = splits.assign_split(np.arange(4).astype(str), field, seed=1, ra=ra, dec=np.zeros(4), guard_arcsec=np.array([4.0, 1.0, 1.0, 8.0]), **PARTS)
    assert found.split.tolist() == ["test", "guard", "train", "guard"]


def test_healpix_guard_is_measured_to_the_cells_and_static():
    nside, reach = 1024, 20.0
    rng = np.random.default_rng(2)
    ra, dec = 30 + 0.6 * rng.random(3000), 10 + 0.6 * rng.random(3000)
    table = Table({"ra": ra, "dec": dec})
    group = groups.group_ids(table, "healpix", nside)
    galaxy = np.arange(3000).astype(str)

    def run(rows):
        return splits.assign_split(galaxy[rows], group[rows], seed=5, ra=ra[rows], dec=dec[rows], guard_arcsec=reach, nside=nside, validation=0.1, test=0.2)

    everything, part = run(np.arange(3000)), run(np.arange(0, 3000, 7))
    np.testing.assert_array_equal(part.split, everything.split[::7])
    sky = SkyCoord(ra, dec, unit="deg")
    train, other = everything.split == "train", np.isin(everything.side, ["validation", "test"])
    _, separation, _ = sky[train].match_to_catalog_sky(sky[other])
    assert separation.min() > reach * u.arcsec
    guarded = everything.split == "guard"
    assert guarded.any() and (everything.side[guarded] == "train").all()
    # No more than needed: whoever is guard lies within 1.1 reaches of another side's cell, found here by a dense walk around it.
    from astropy_healpix import HEALPix

    cells = HEALPix(nside=nside, order="ring")
    for i in np.flatnonzero(guarded)[:40]:
        around = sky[i].directional_offset_by(np.linspace(0, 360, 400) * u.deg, reach * 1.11 * u.arcsec)
        near = np.unique(cells.lonlat_to_healpix(around.ra, around.dec))
        assert (groups.sides(np.array([f"healpix{nside}_{c}" for c in near]), 5, 0.1, 0.2) != "train").any()


def test_groups_by_strategy():
    table = Table({"galaxy_id": ["a", "b"], "field": ["f", "f"], "ra": [0.0, 180.0], "dec": [0.0, 45.0]})
    assert groups.group_ids(table, "galaxy").tolist() == ["a", "b"] and groups.group_ids(table, "field").tolist() == ["f", "f"]
    assert len(set(groups.group_ids(table, "healpix", 8))) == 2
    with pytest.raises(SampleError, match="power of two"):
        groups.group_ids(table, "healpix", 12)
    with pytest.raises(SampleError, match="choose galaxy, field or healpix"):
        groups.group_ids(table, "cluster")
    table["ra"][0] = np.nan
    with pytest.raises(SampleError, match="1 objects have no position"):
        groups.group_ids(table, "healpix", 8)


@given(st.sets(st.text("abcdefgh", min_size=1, max_size=4), min_size=5, max_size=40), st.integers(2, 5), st.integers(0, 10**6))
@settings(deadline=None)
def test_folds_are_balanced_whole_groups(fields, n_folds, seed):
    names = np.array(sorted(fields))
    repeated = np.repeat(names, 3)
    fold = splits.fold_of(repeated, n_folds, seed)
    counts = np.bincount(splits.fold_of(names, n_folds, seed), minlength=n_folds)
    assert counts.min() >= 1 and counts.max() - counts.min() <= 1
    assert all(len(set(fold[repeated == name])) == 1 for name in names)
    np.testing.assert_array_equal(fold[::3], splits.fold_of(names, n_folds, seed))


def test_too_few_groups_for_the_folds():
    with pytest.raises(SampleError, match="2 groups cannot make 3 folds"):
        splits.fold_of(np.array(["a", "b"]), 3, 1)
    with pytest.raises(SampleError, match="at least 2"):
        splits.fold_of(np.array(["a", "b"]), 1, 1)


def test_hashed_folds_do_not_move_when_groups_are_added():
    names = np.array([f"g{i}" for i in range(300)])
    np.testing.assert_array_equal(splits.fold_of(names[:100], 4, 9, "hashed"), splits.fold_of(names, 4, 9, "hashed")[:100])


def test_a_divided_galaxy_is_named():
    table = Table({"object_id": ["a", "b", "c"], "galaxy_id": ["g", "g", "h"], "split": ["train", "test", "train"]})
    with pytest.raises(SampleError, match="1 galaxy_id on two sides of the split: g"):
        splits.assert_disjoint(table)
    table["split"] = ["guard", "test", "train"]
    splits.assert_disjoint(table)
    table["split"] = ["guard", "tset", "train"]
    with pytest.raises(SampleError, match="'tset'"):
        splits.assert_disjoint(table)


def test_two_positions_of_one_galaxy_are_found():
    table = Table({"object_id": ["a", "b"], "galaxy_id": ["g", "h"], "split": ["train", "test"], "ra": [10.0, 10.0 + 0.3 / 3600], "dec": [0.0, 0.0]})
    splits.assert_disjoint(table, 0.2)
    with pytest.raises(SampleError, match=r"1 pairs within 0\.5 arcsec.*b/a"):
        splits.assert_disjoint(table, 0.5)


def test_a_leak_from_parent_to_child_is_named():
    splits.assert_no_leak(np.array([10.0]), np.array([0.0]), np.array([10.0]), np.array([1.0]), 1.0)
    splits.assert_no_leak(np.array([]), np.array([]), np.array([10.0]), np.array([1.0]), 1.0)
    with pytest.raises(SampleError, match=r"1 test objects.*x7"):
        splits.assert_no_leak(np.array([10.0, 11.0]), np.array([0.0, 0.0]), np.array([np.nan, 11.0]), np.array([0.0, 0.0001]), 1.0, np.array(["x6", "x7"]))


@pytest.mark.parametrize(("validation", "test"), [(0.5, 0.5), (-0.1, 0.1), (0.0, 1.0)])
def test_impossible_fractions_are_refused(validation, test):
    with pytest.raises(SampleError, match="together below 1"):
        splits.assign_split(np.array(["a"]), np.array(["a"]), seed=1, validation=validation, test=test)


def test_real_overlapping_duplicates_of_the_published_lists_are_put_aside(shared_data):
    """The published splits of DeepShadows share positions; ours, on the same positions, share none."""
    from tuningfork.catalogues.image_labels import numbers, read_csv

    table = read_csv(shared_data / "catalogs" / "deepshadows" / "Baseline_training.csv")
    ra, dec = (np.asarray(numbers(table, name)[0])[:6000] for name in ("ra", "dec"))
    name = np.arange(len(ra)).astype(str)
    found = splits.assign_split(name, name, seed=1, ra=ra, dec=dec, same_arcsec=5.0, **PARTS)
    objects = Table({"object_id": name, "galaxy_id": name, "split": found.split, "ra": ra, "dec": dec})
    splits.assert_disjoint(objects, 5.0)
    objects["split"] = found.side
    with pytest.raises(SampleError, match="within 5 arcsec"):
        splits.assert_disjoint(objects, 5.0)
