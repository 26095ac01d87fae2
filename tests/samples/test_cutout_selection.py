"""Objects of a cutout sample: chosen, scaled and labelled by expressions of the catalogue's columns."""

import numpy as np
import pytest
from astropy.table import MaskedColumn, Table

from tuningfork.config import CutoutSample
from tuningfork.errors import SampleError
from tuningfork.samples.build import finish_sample
from tuningfork.samples.cutouts import select_cutout_sample

N = 400


def _catalogue(seed: int = 1) -> Table:
    rng = np.random.default_rng(seed)
    r90 = rng.uniform(2, 20, N)
    return Table(
        {
            "object_id": np.array([f"o{i:04d}" for i in range(N)]),
            "galaxy_id": np.array([f"g{i // 2:04d}" if i < 20 else f"g{i:04d}" for i in range(N)]),
            "ra": rng.uniform(150, 170, N),
            "dec": rng.uniform(-5, 5, N),
            "petroR90_r": MaskedColumn(r90, mask=np.arange(N) == 7),
            "z": rng.uniform(0, 0.2, N),
            "oh_p50": MaskedColumn(rng.normal(8.9, 0.2, N), mask=np.arange(N) == 3),
            "smooth": rng.uniform(0, 1, N),
        }
    )


def _spec(**changes: object) -> dict[str, object]:
    described = {
        "kind": "cutout",
        "catalogue": {"name": "sdss_galspec"},
        "images": {"service": "skyserver", "layer": "dr14", "format": "jpeg", "arcsec_per_pixel": "2 * petroR90_r / 0.396 / 128", "pixels": 128},
        "task": "regression",
        "targets": ["oh_p50"],
        **changes,
    }
    return CutoutSample.model_validate(described).model_dump(mode="json")


def test_rows_that_pass_are_scaled_by_the_expression() -> None:
    catalogue = _catalogue()
    found = select_cutout_sample(catalogue, _spec(select={"where": "z > 0.05"}))
    assert len(found) == np.sum(catalogue["z"] > 0.05)
    kept = {str(i): n for n, i in enumerate(catalogue["object_id"])}
    rows = [kept[str(i)] for i in found["object_id"]]
    expected = 2 * np.asarray(catalogue["petroR90_r"])[rows] / 0.396 / 128
    known = ~np.ma.getmaskarray(found["arcsec_per_pixel"])
    np.testing.assert_allclose(np.asarray(found["arcsec_per_pixel"])[known], expected[known])
    np.testing.assert_allclose(np.asarray(found["stamp_arcsec"])[known], 128 * expected[known])


def test_a_row_without_a_scale_stays_and_says_why() -> None:
    found = select_cutout_sample(_catalogue(), _spec())
    lost = np.asarray(found["exclude_reason"]) != ""
    assert found["object_id"][lost].tolist() == ["o0007"]
    assert "petroR90_r" in found["exclude_reason"][lost][0]


def test_a_missing_target_leaves_the_object_unlabelled() -> None:
    found = select_cutout_sample(_catalogue(), _spec())
    assert found["object_id"][~np.asarray(found["labelled"])].tolist() == ["o0003"]


def test_classes_by_rule_take_the_first_that_holds() -> None:
    rules = {"smooth": "smooth > 0.7", "featured": "smooth < 0.3"}
    spec = _spec(task="classes", targets=["smooth", "featured"], classes=rules)
    catalogue = _catalogue()
    found = select_cutout_sample(catalogue, spec)
    value = np.asarray(catalogue["smooth"])
    assert found["label"][value > 0.7].tolist() == ["smooth"] * int(np.sum(value > 0.7))
    assert np.asarray(found["labelled"]).sum() == np.sum((value > 0.7) | (value < 0.3))


def test_the_limit_takes_the_same_objects_whatever_their_order() -> None:
    catalogue = _catalogue()
    spec = _spec(select={"limit": 50})
    first = set(select_cutout_sample(catalogue, spec)["object_id"].tolist())
    second = set(select_cutout_sample(catalogue[::-1], spec)["object_id"].tolist())
    assert len(first) == 50
    assert first == second


def test_an_empty_choice_names_the_condition() -> None:
    with pytest.raises(SampleError, match="z > 9"):
        select_cutout_sample(_catalogue(), _spec(select={"where": "z > 9"}))


def test_objects_without_position_are_refused_with_the_remedy() -> None:
    catalogue = _catalogue()
    catalogue["ra"] = MaskedColumn(catalogue["ra"], mask=np.arange(N) == 5)
    with pytest.raises(SampleError, match=r"o0005.*select\.where"):
        select_cutout_sample(catalogue, _spec())


def test_shards_follow_the_sky_and_galaxies_stay_on_one_side() -> None:
    spec = _spec(split={"by": "healpix", "healpix_nside": 64, "validation": 0.2, "test": 0.2}, shards={"healpix_nside": 4})
    objects, index = finish_sample(select_cutout_sample(_catalogue(), spec), spec)
    assert len(objects) == N
    assert sum(shard["rows"] for shard in index["shards"].values()) == N
    assert len(index["shards"]) > 1
    used = np.isin(objects["split"], ["train", "validation", "test"])
    for galaxy in set(objects["galaxy_id"][used].tolist()):
        assert len(set(objects["split"][used & (objects["galaxy_id"] == galaxy)].tolist())) == 1


def test_a_new_scale_changes_the_shards_and_a_new_label_does_not() -> None:
    spec = _spec(split={"by": "galaxy"})
    _, before = finish_sample(select_cutout_sample(_catalogue(), spec), spec)
    relabelled = _catalogue()
    relabelled["oh_p50"][10] += 0.1
    _, labels = finish_sample(select_cutout_sample(relabelled, spec), spec)
    rescaled = _catalogue()
    rescaled["petroR90_r"][10] *= 2
    _, scale = finish_sample(select_cutout_sample(rescaled, spec), spec)
    assert labels["shards"] == before["shards"]
    assert labels["labels"] != before["labels"]
    changed = [name for name in before["shards"] if scale["shards"][name]["digest"] != before["shards"][name]["digest"]]
    assert len(changed) == 1


def test_what_another_sample_learns_from_is_no_test_object() -> None:
    spec = _spec(split={"by": "galaxy", "test": 0.5, "validation": 0.1})
    selected = select_cutout_sample(_catalogue(), spec)
    before, _ = finish_sample(selected, spec)
    test = np.flatnonzero(before["split"] == "test")
    other = {"ra": np.asarray(before["ra"])[test[:6]], "dec": np.asarray(before["dec"])[test[:6]] + 0.2 / 3600, "split": np.array(["train"] * 4 + ["test"] * 2)}
    after, _ = finish_sample(selected, spec, apart=[other])
    changed = np.flatnonzero(before["split"] != after["split"])
    assert changed.tolist() == sorted(test[:4].tolist())
    assert set(after["split"][changed].tolist()) == {"guard"}
