"""Features of stamps: what goes into the last layer, averaged over the views, as a table."""

import numpy as np
from toy_sample import make_objects
from toy_survey import CLASSES, NETWORK, RECIPE, make_survey

from tuningfork import tables
from tuningfork.inference import features as module
from tuningfork.inference.features import extract_features, feature_columns, feature_table
from tuningfork.inference.load import load_model
from tuningfork.inference.predict import predict
from tuningfork.training.arrays import ArrayStamps
from tuningfork.training.loop import train


def test_the_last_layer_makes_the_prediction_of_them(trained):
    folder, stamps, _ = trained
    model = load_model(folder, "cpu")
    found = extract_features(model, stamps, tta=False, threads=1)
    predicted = predict(model, stamps, tta=False, threads=1)
    weight, bias = (model.network.state_dict()[f"output.{name}"].double().numpy() for name in ("weight", "bias"))
    logits = found["features"] @ weight.T + bias
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert found["features"].dtype == np.float32 and found["features"].shape == (48, weight.shape[1])
    np.testing.assert_allclose(predicted["mean"], expected, atol=1e-5)
    assert list(found["object_id"]) == list(predicted["object_id"]) and list(found["status"]) == list(predicted["status"])
    after = predict(model, stamps, tta=False, threads=1)
    np.testing.assert_array_equal(after["mean"], predicted["mean"], err_msg="the model is as it was")


def test_a_turned_stamp_has_the_same_features_and_the_order_is_that_asked_for(trained, monkeypatch):
    folder, stamps, _ = trained
    model, some = load_model(folder, "cpu"), stamps.object_id[[7, 3, 20, 4, 11]]
    whole = extract_features(model, stamps, some, threads=1)
    every = np.arange(len(stamps))
    pixels = np.rot90(stamps.take(every), axes=(2, 3)).copy()
    turned = ArrayStamps(stamps.object_id[every], pixels, stamps.status[every], {name: values[every] for name, values in stamps.scalars.items()})
    np.testing.assert_allclose(extract_features(model, turned, some, threads=1)["features"], whole["features"], atol=2e-5)
    monkeypatch.setattr(module, "AT_A_TIME", 2)
    parts = extract_features(model, stamps, some, threads=1)
    np.testing.assert_allclose(parts["features"], whole["features"], atol=1e-6)
    assert list(parts["object_id"]) == list(some)


def test_a_stamp_that_cannot_be_used_has_none_and_the_table_says_so(tmp_path, trained):
    model = load_model(trained[0], "cpu")
    shard, _ = make_objects(6)
    pixels, status = shard.pixels.copy(), shard.status.copy()
    pixels[1], status[4] = np.nan, "absent"
    found = extract_features(model, ArrayStamps(shard.object_id, pixels, status, shard.scalars), threads=1)
    usable = np.array([True, False, True, True, False, True])
    assert np.array_equal(np.isfinite(found["features"]).all(axis=1), usable) and np.isnan(found["features"][~usable]).all()
    tables.write(feature_table(found, {"model": "toy", "sample": "toys"}), tmp_path / "features.parquet")
    read = tables.read_columns(tmp_path / "features.parquet")
    names = feature_columns(found["features"].shape[1])
    assert list(read) == ["object_id", "status", *names] and names[0] == "f_000"
    assert list(read["status"]) == ["ok", "failed", "ok", "ok", "absent", "ok"]
    np.testing.assert_array_equal(np.column_stack([read[name] for name in names]), found["features"])
    table = tables.read(tmp_path / "features.parquet")
    assert table["f_001"].info.meta["ucd"] == "stat.fit.param" and table.meta["model"] == "toy"


def test_those_of_an_autoencoder_are_its_latent_means(tmp_path):
    stamps, objects = make_survey(30)
    places = {"out_dir": tmp_path / "model", "resume_dir": tmp_path / "resume"}
    train(network=NETWORK, stamps=stamps, objects=objects, targets=CLASSES, task="classes", recipe={**RECIPE, "epochs": 1}, seed=1, threads=1, **places)
    model = load_model(tmp_path / "model", "cpu")
    latents = predict(model, stamps, galaxy_id=objects["galaxy_id"], threads=1)["columns"]
    plain = extract_features(model, stamps, tta=False, threads=1)["features"]
    np.testing.assert_allclose(plain, np.column_stack([latents[f"z_{k:02d}"] for k in range(6)]), atol=1e-5)
    averaged = extract_features(model, stamps, threads=1)["features"]
    mirrored = ArrayStamps(stamps.object_id, stamps.pixels[..., ::-1].copy())
    np.testing.assert_allclose(extract_features(model, mirrored, threads=1)["features"], averaged, atol=1e-5)
    assert not np.allclose(averaged, plain, atol=1e-3)
