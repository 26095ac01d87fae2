"""Networks that learn a distribution, from the labels to the published table: they say how much labels scatter where they scatter, and nothing is lost."""

import json

import numpy as np
import pytest
from astropy.table import Table
from torch import nn

from tuningfork import tables
from tuningfork.analysis.evaluate import evaluate
from tuningfork.errors import ModelError
from tuningfork.inference.compose import compose, prediction_table
from tuningfork.inference.load import load_model
from tuningfork.inference.predict import predict
from tuningfork.networks import registry
from tuningfork.publishing.catalogue import assemble
from tuningfork.publishing.wide import widen
from tuningfork.training.arrays import ArrayStamps
from tuningfork.training.loop import train

RECIPE = {
    "optimizer": {"name": "adam", "learning_rate": 1e-2},
    "schedule": "cosine",
    "batch_size": 64,
    "epochs": 25,
    "patience": 0,
    "augmentation": {"d4": True, "flips": True},
    "normalisation": {"name": "raw"},
    "precision": "fp32",
}
N = 1200


class Brightness(nn.Module):
    """Sees the brightness of an image and no more."""

    head_names = ("last.",)

    def __init__(self, n_outputs):
        super().__init__()
        self.body = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1, 24), nn.Tanh(), nn.Linear(24, 24), nn.Tanh())
        self.last = nn.Linear(24, n_outputs)

    def forward(self, images):
        return self.last(self.body(images))


@pytest.fixture(autouse=True)
def network(monkeypatch):
    monkeypatch.setitem(registry._BUILDERS, "brightness", lambda *, in_channels, n_outputs, image_size: Brightness(n_outputs))


def made(seed=3):
    """Images of brightness x, and labels: y scatters by 0.05 + 0.4 x, z by 0.1 and by an error of its own that is known; votes follow x."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(0, 1, N)
    pixels = (2 * x[:, None, None, None] - 1 + 0.05 * rng.normal(size=(N, 1, 16, 16))).astype(np.float32)
    ids = np.array([f"o{i:04d}" for i in range(N)])
    error = rng.choice([0.02, 0.5], N)
    votes = rng.integers(5, 40, N)
    truth = np.stack([0.1 + 0.6 * x, 0.7 - 0.6 * x, np.full(N, 0.2)], axis=1)
    fractions = np.array([rng.multinomial(n, rng.dirichlet(6 * p)) for n, p in zip(votes, truth, strict=True)]) / votes[:, None]
    objects = {
        "object_id": ids,
        "galaxy_id": ids,
        "group_id": ids,
        "split": np.array(["train", "train", "validation", "test"])[np.arange(N) % 4],
        "x": x,
        "y": 8 + x + (0.05 + 0.4 * x) * rng.normal(size=N),
        "z": 3 - x + 0.1 * rng.normal(size=N) + error * rng.normal(size=N),
        "z_err": error,
        "n_votes": votes,
        **{name: fractions[:, k] for k, name in enumerate("abc")},
    }
    return ArrayStamps(ids, pixels), objects, truth


def learned(folder, loss, targets, task="regression", name="model", **options):
    stamps, objects, _ = made()
    recipe = {**RECIPE, "loss": loss, **options.pop("recipe", {})}
    places = {"out_dir": folder / name, "resume_dir": folder / "resume"}
    given = {"network": {"name": "brightness"}, "seed": 2, "threads": 1, **places, **options}
    result = train(stamps=stamps, objects=objects, targets=targets, task=task, recipe=recipe, **given)
    return load_model(folder / name, "cpu"), stamps, objects, result


def published(model, stamps, objects, folds=(), held_out=None):
    """The table of predictions as the rules write and read it."""
    main, *others = [predict(network, stamps, threads=1) for network in (model, *folds)]
    return compose(main, model.targets, objects["split"], others, held_out)


def test_several_numbers_are_learned_at_once_by_their_error_alone(tmp_path):
    model, stamps, objects, _ = learned(tmp_path, "rmse", ["y", "z"])
    columns, test = published(model, stamps, objects), objects["split"] == "test"
    assert model.head.record() == {"name": "identity"} and not [name for name in columns if "_q" in name or "_sigma" in name]
    for name, truth in (("y", 8 + objects["x"]), ("z", 3 - objects["x"])):
        assert np.sqrt(np.mean((columns[name] - truth)[test] ** 2)) < 0.1


@pytest.mark.parametrize("loss", ["quantile", "gaussian"])
def test_the_scatter_of_labels_is_learned_where_it_is(tmp_path, loss):
    model, stamps, objects, _ = learned(tmp_path, loss, ["y", "z"])
    about = json.loads((tmp_path / "model/model.json").read_text())
    assert about["head"]["name"] == loss and about["n_outputs"] == (10 if loss == "quantile" else 4)
    columns = published(model, stamps, objects)
    report = evaluate(objects, columns, targets=["y", "z"], task="regression", seed=0, resamples=50)["sections"]["test"]
    for entry in report["distribution"]["y"]["coverage"].values():
        assert abs(entry["value"] - entry["nominal"]) < 0.07, entry
    half = (columns["y_q84"] - columns["y_q16"]) / 2 if loss == "quantile" else columns["y_sigma"]
    true = 0.05 + 0.4 * objects["x"]
    test = objects["split"] == "test"
    for low, high in ((0.1, 0.4), (0.6, 0.9)):
        here = test & (objects["x"] > low) & (objects["x"] < high)
        assert np.mean(half[here]) == pytest.approx(np.mean(true[here]), rel=0.25)
    assert np.sqrt(np.mean((columns["y"] - 8 - objects["x"])[test] ** 2)) < 0.08
    if loss == "quantile":
        stack = np.stack([columns[f"y_{name}"] for name in ("q025", "q16", "q50", "q84", "q975")])
        assert (np.diff(stack, axis=0) > 0).all()
        np.testing.assert_array_equal(columns["y_q50"], columns["y"])


def test_what_labels_scatter_by_themselves_is_not_the_networks(tmp_path):
    model, stamps, objects, _ = learned(tmp_path, "gaussian", ["z"], label_errors={"z": "z_err"})
    own = published(model, stamps, objects)
    assert np.median(own["z_sigma"]) == pytest.approx(0.1, abs=0.035)
    without, *_ = learned(tmp_path, "gaussian", ["z"], name="without")
    assert np.median(published(without, stamps, objects)["z_sigma"]) == pytest.approx(np.sqrt(0.1**2 + (0.02**2 + 0.5**2) / 2), abs=0.07)
    with pytest.raises(ModelError, match="no column 'z_error'"):
        learned(tmp_path, "gaussian", ["z"], name="wrong", label_errors={"z": "z_error"})


def test_votes_give_fractions_and_their_scatter(tmp_path):
    model, stamps, objects, _ = learned(tmp_path, "dirichlet_multinomial", list("abc"), "fractions")
    columns, truth = published(model, stamps, objects), made()[2]
    predicted, test = np.stack([columns[name] for name in "abc"], axis=1), objects["split"] == "test"
    np.testing.assert_allclose(predicted.sum(axis=1), 1, atol=1e-6)
    assert np.sqrt(np.mean((predicted - truth)[test] ** 2)) < 0.04
    # the votes were drawn from Dirichlet distributions of concentration 6
    expected = np.sqrt(truth * (1 - truth) / 7)
    found = np.stack([columns[f"{name}_sigma"] for name in "abc"], axis=1)
    assert np.mean(found[test]) == pytest.approx(np.mean(expected[test]), rel=0.2)
    with pytest.raises(ModelError, match="votes: independent"):
        learned(tmp_path, "dirichlet_multinomial", list("abc"), "fractions", name="boxes", votes="independent")


def test_another_head_starts_anew_and_the_same_one_goes_on(tmp_path):
    short = {"recipe": {"epochs": 1}}
    learned(tmp_path, "quantile", ["y"], name="parent", **short)
    parent = {"parent_weights": tmp_path / "parent/weights.safetensors"}
    same = learned(tmp_path, "quantile", ["y"], name="same", **short, **parent)[3]
    assert same.fresh_tensors == []
    fewer = {"recipe": {"epochs": 1, "quantiles": [0.1, 0.3, 0.5, 0.7, 0.9]}}  # as many outputs, and they mean something else
    for name, loss, options in (("levels", "quantile", fewer), ("gauss", "gaussian", short), ("points", "rmse", short)):
        assert learned(tmp_path, loss, ["y"], name=name, **options, **parent)[3].fresh_tensors == ["last.weight", "last.bias"]
    about = json.loads((tmp_path / "parent/model.json").read_text())
    (tmp_path / "parent/model.json").write_text(json.dumps({**about, "head": {"name": "mixture"}}))
    with pytest.raises(ModelError, match=r"model\.json: head 'mixture' is none"):
        load_model(tmp_path / "parent")


def test_networks_of_an_ensemble_are_averaged_as_the_documentation_says():
    ids = np.array(["a", "b"])

    def one(value, sigma):
        columns = {"y_q16": np.array([value - 1, np.nan]), "y_sigma": np.array([sigma, np.nan]), "z_00": np.array([value, np.nan])}
        values = np.array([[value], [np.nan]])
        return {"object_id": ids, "status": np.array(["ok", "absent"]), "mean": values, "std": 0 * values, "columns": columns}

    got = compose(one(9.0, 5.0), ["y"], ["train", "train"], [one(1.0, 3.0), one(3.0, 4.0)], np.ones((2, 2), bool))
    assert got["y"][0] == 2.0 and got["y_q16"][0] == 1.0, "the main network has seen the object: only the folds speak"
    assert got["y_sigma"][0] == pytest.approx(np.sqrt((9 + 16) / 2)) and got["y_std"][0] == pytest.approx(1.0)
    assert got["z_00"][0] == 9.0 and np.isnan(got["y_sigma"][1]) and np.isnan(got["y_q16"][1])
    alone = compose(one(9.0, 5.0), ["y"], ["test", "test"])
    assert alone["y_q16"][0] == 8.0 and alone["y_sigma"][0] == 5.0


def test_several_percentiles_of_a_catalogue_go_from_labels_to_the_published_table(tmp_path):
    """Five columns of one quantity (paper B): evaluated, published and made wide, with and without quantiles of each."""
    targets = ["oh_p16", "oh_p50", "oh_p84"]
    stamps, objects, _ = made()
    objects |= {"oh_p50": objects["y"], "oh_p16": objects["y"] - 0.1, "oh_p84": objects["y"] + 0.1 + 0.1 * objects["x"], "oh_p50_sigma": objects["z_err"]}
    places = {"out_dir": tmp_path / "model", "resume_dir": tmp_path / "resume"}
    recipe = {**RECIPE, "loss": "quantile", "quantiles": [0.05, 0.5, 0.95], "epochs": 2}
    common = {"stamps": stamps, "objects": objects, "targets": targets, "task": "regression", "seed": 1, "threads": 1}
    train(network={"name": "brightness"}, recipe=recipe, **common, **places)
    model = load_model(tmp_path / "model", "cpu")
    columns = published(model, stamps, objects)
    report = evaluate(objects, columns, targets=targets, task="regression", seed=0, resamples=50)
    assert report["headline"] == "standardised_rmse" and list(report["sections"]["test"]["distribution"]) == targets
    units = {target: "dex" for target in targets}
    tables.write(prediction_table(columns, targets, "regression", {"model": "toy"}, units), tmp_path / "p.parquet")
    predictions = tables.read(tmp_path / "p.parquet")
    assert str(predictions["oh_p16_q05"].unit) == "dex" and "stat.percentile" in predictions["oh_p16_q05"].info.meta["ucd"]
    assert "5 per cent quantile of oh_p16" in predictions["oh_p16_q05"].info.description

    table = Table({**objects, "ra": np.linspace(1, 2, N), "dec": np.zeros(N)})
    ledger = Table({"object_id": objects["object_id"], "status": np.full(N, "ok"), "reason": np.full(N, "")})
    long = assemble(table, ledger, predictions, targets=targets, task="regression")
    at = long.colnames.index
    assert at("oh_p84") < at("oh_p16_q05") < at("oh_p16_q50") < at("oh_p16_q95") < at("oh_p50_q05") < at("oh_p16_std") < at("label_oh_p16")
    np.testing.assert_allclose(np.asarray(long["oh_p84_q95"]), columns["oh_p84_q95"], atol=1e-6)
    assert long["oh_p50_q95"].info.meta["ucd"] == "stat.percentile;meta.modelled" and str(long["oh_p50_q95"].unit) == "dex"
    assert "oh_p50_sigma" in long.colnames, "a column of the survey's own keeps its name where the network has none of it"
    assert {"oh_p16_q05", "oh_p84_q95"} <= set(widen(long).colnames)


def test_a_column_of_the_survey_gives_way_to_the_networks_own(tmp_path):
    model, stamps, objects, _ = learned(tmp_path, "gaussian", ["y"], recipe={"epochs": 1})
    predictions = prediction_table(published(model, stamps, objects), ["y"], "regression")
    table = Table({**objects, "y_sigma": np.full(N, 0.25), "ra": np.linspace(1, 2, N), "dec": np.zeros(N)})
    ledger = Table({"object_id": objects["object_id"], "status": np.full(N, "ok"), "reason": np.full(N, "")})
    long = assemble(table, ledger, predictions, targets=["y"], task="regression")
    assert (np.asarray(long["label_y_sigma"]) == 0.25).all() and not (np.asarray(long["y_sigma"]) == 0.25).any()
    assert long["y_sigma"].info.meta["ucd"] == "stat.error;meta.modelled"
