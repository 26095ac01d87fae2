"""Out-of-fold predictions: never from a network that has seen the object, unless every network has."""

import numpy as np
import pytest

from tuningfork import tables
from tuningfork.errors import ModelError
from tuningfork.inference.compose import compose, held_out_of, prediction_table

IDS = np.array(["a", "b", "c", "d", "e"])
SPLIT = np.array(["train", "validation", "test", "train", "unlabelled"])


def made(value, std=0.0, ids=IDS):
    status = np.array(["ok", "ok", "partial", "ok", "absent"])
    mean = np.full((5, 2), float(value))
    mean[4] = np.nan
    return {"object_id": ids, "status": status, "mean": mean, "std": np.where(np.isnan(mean), np.nan, std)}


def test_without_folds_the_main_network_speaks_for_all():
    got = compose(made(0.3, 0.1), ["x", "y"], SPLIT)
    np.testing.assert_allclose(got["x"][:4], 0.3)
    np.testing.assert_allclose(got["x_std"][:4], 0.1)
    assert got["fold"].tolist() == [-1] * 5 and got["in_training"].tolist() == [True, False, False, True, False]
    assert np.isnan(got["x"][4]) and got["status"][4] == "absent"


def test_seen_objects_come_from_the_fold_that_has_not_seen_them():
    # fold 0 has not seen a, c, e; fold 1 has not seen b, c, e; both have seen d
    held_out = np.array([[1, 0], [0, 1], [1, 1], [0, 0], [1, 1]], dtype=bool)
    got = compose(made(0.9), ["x", "y"], SPLIT, [made(0.1), made(0.2)], held_out)
    np.testing.assert_allclose(got["x"][:4], [0.1, 0.2, 0.9, 0.9])
    assert got["fold"].tolist() == [0, 1, -1, -1, -1]
    np.testing.assert_allclose(got["x_main"][:4], 0.9)


def test_the_spread_is_that_of_all_views_of_all_fair_networks():
    rng = np.random.default_rng(1)
    views = rng.uniform(size=(3, 8, 5, 2))  # network, view, object, target
    main, *folds = [{**made(0), "mean": v.mean(axis=0), "std": v.std(axis=0)} for v in views]
    held_out = np.array([[1, 0], [1, 1], [0, 1], [0, 0], [1, 1]], dtype=bool)
    got = compose(main, ["x", "y"], SPLIT, folds, held_out)
    fair = [[1], [1, 2], [0, 2], [0], [0, 1, 2]]
    for i, networks in enumerate(fair):
        np.testing.assert_allclose(got["x_std"][i], views[networks, :, i, 0].std())
        np.testing.assert_allclose(got["y_std"][i], views[networks, :, i, 1].std())
    np.testing.assert_allclose(got["x"][1], views[1:, :, 1, 0].mean())


def test_held_out_means_neither_trained_on_nor_chosen_by():
    fold = {"object_id": IDS[:4], "split": np.array(["train", "validation", "test", "guard"])}
    assert held_out_of(IDS, fold).tolist() == [False, False, True, True, True]


def test_predictions_for_other_objects_are_refused():
    held_out = np.ones((5, 1), dtype=bool)
    with pytest.raises(ModelError, match="fold 0 are for other objects"):
        compose(made(0.3), ["x", "y"], SPLIT, [made(0.1, ids=IDS[::-1])], held_out)
    with pytest.raises(ModelError, match="do not belong together"):
        compose(made(0.3), ["x", "y"], SPLIT, [made(0.1)], held_out[:, :0])


def test_the_table_survives_parquet_with_nulls_and_ucds(tmp_path):
    table = prediction_table(compose(made(0.3, 0.1), ["x", "y"], SPLIT), ["x", "y"], "fractions", {"model": "toy"})
    tables.write(table, tmp_path / "p.parquet")
    back = tables.read(tmp_path / "p.parquet")
    assert back["x"].mask.tolist() == [False] * 4 + [True] and back.meta["model"] == "toy"
    assert "stat.probability" in back["x"].info.meta["ucd"] and back["object_id"].tolist() == IDS.tolist()
    regression = prediction_table(compose(made(8.9), ["oh"], SPLIT), ["oh"], "regression", units={"oh": "dex"})
    assert str(regression["oh"].unit) == "dex" == str(regression["oh_std"].unit)


def test_members_of_an_ensemble_weigh_the_same_and_have_seen_what_the_main_network_has():
    rng = np.random.default_rng(2)
    views = rng.uniform(size=(4, 8, 5, 2))  # main, two members, one fold; view, object, target
    main, first, second, fold = [{**made(0), "mean": v.mean(axis=0), "std": v.std(axis=0)} for v in views]
    held_out = np.array([[1], [0], [1], [0], [1]], dtype=bool)
    got = compose(main, ["x", "y"], SPLIT, [fold], held_out, members=[first, second])
    value = {"a": [3], "b": [0, 1, 2], "c": [0, 1, 2], "d": [0, 1, 2], "e": [0, 1, 2]}  # a: only the fold has not seen it
    spread = {"a": [3], "b": [0, 1, 2], "c": [0, 1, 2, 3], "d": [0, 1, 2], "e": [0, 1, 2, 3]}
    for i, name in enumerate(IDS.tolist()):
        np.testing.assert_allclose(got["y"][i], views[value[name], :, i, 1].mean())
        np.testing.assert_allclose(got["y_std"][i], views[spread[name], :, i, 1].std())
    assert got["fold"].tolist() == [0, -1, -1, -1, -1]
    np.testing.assert_allclose(got["x_main"], views[0, :, :, 0].mean(axis=0))
    with pytest.raises(ModelError, match="member 1 are for other objects"):
        compose(main, ["x", "y"], SPLIT, members=[first, {**second, "object_id": IDS[::-1]}])


def test_what_networks_say_of_their_errors_is_joined_as_the_values_are():
    def told(value, sigma, low, latent):
        return {**made(value), "columns": {"x_sigma": np.full(5, sigma), "x_q05": np.full(5, low), "z_00": np.full(5, latent), "other_q05": np.full(5, latent)}}

    held_out = np.array([[1], [0], [1], [0], [1]], dtype=bool)
    got = compose(told(0.3, 3.0, -1.0, 1.0), ["x", "y"], SPLIT, [told(0.5, 7.0, -9.0, 2.0)], held_out, members=[told(0.4, 4.0, -2.0, 3.0)])
    np.testing.assert_allclose(got["x_sigma"], [7, *[np.sqrt((9 + 16) / 2)] * 4])
    np.testing.assert_allclose(got["x_q05"], [-9, *[-1.5] * 4])
    assert set(got["z_00"]) == {1.0} == set(got["other_q05"])
