"""What is drawn of a sample and of a model, by what is known of them."""

from types import SimpleNamespace

import numpy as np
import pytest

from tuningfork import reporting
from tuningfork.publishing import figures

N = 40
RNG = np.random.default_rng(3)


@pytest.fixture
def drawn(monkeypatch):
    """Names of the figures that are drawn, and their arguments, instead of their files."""
    calls = {}
    for name in set(figures.__all__) - {"save"}:
        monkeypatch.setattr(figures, name, lambda *args, _name=name, **kwargs: calls.__setitem__(_name, (args, kwargs)))
    monkeypatch.setattr(figures, "save", lambda figure, path: None)
    return calls


def sample(**extra):
    ids = np.array([f"o{k}" for k in range(N)])
    objects = {
        "object_id": ids,
        "ra": RNG.uniform(0, 9, N),
        "dec": RNG.uniform(0, 9, N),
        "mag": RNG.uniform(17, 20, N),
        "stamp_arcsec": np.full(N, 33.5),
        **extra,
    }
    stamps = SimpleNamespace(status=np.full(N, "ok"), object_id=ids, scalars={}, take=lambda rows: np.zeros((len(rows), 3, 8, 8)))
    return objects, {"object_id": ids, "status": np.full(N, "ok")}, stamps


def draw(drawn, **extra):
    objects, ledger, stamps = sample(**extra)
    reporting.draw_sample(objects, ledger, stamps, simulated=True, seed=1, gallery="g.png", scatter="s.png")
    return drawn


def test_sizes_that_differ_are_drawn_against_magnitude(drawn):
    assert "magnitude_size" in draw(drawn, stamp_arcsec=RNG.uniform(10, 40, N))


def test_one_size_or_no_magnitude_gives_the_sky(drawn):
    _, options = draw(drawn)["sky_map"]
    assert options["size_label"] == "side of every stamp: 33.5 arcsec" and np.isfinite(options["magnitude"]).all()
    drawn.clear()
    _, options = draw(drawn, mag=np.full(N, np.nan), stamp_arcsec=RNG.uniform(10, 40, N))["sky_map"]
    assert not np.isfinite(options["magnitude"]).any() and "magnitude_size" not in drawn


def test_without_position_and_magnitude_objects_are_counted(drawn):
    nothing = np.full(N, np.nan)
    (numbers,), _ = draw(drawn, ra=nothing, dec=nothing, mag=nothing)["counts"]
    assert numbers == {"ok": N}


def test_titles_and_heading_of_a_gallery_say_what_is_known(drawn):
    common = {
        "band": np.full(N, "grz"),
        "field": np.full(N, "des-dr1"),
        "label": np.full(N, "edge_on"),
        "arcsec_per_pixel": np.full(N, 0.262),
        "mag": np.full(N, 20.04),
    }
    (_, titles), options = draw(drawn, **common)["stamp_gallery"]
    assert set(titles) == {"edge on 20.0"} and options["heading"] == "des-dr1: grz; north up, east left"
    (_, titles), options = draw(drawn, band=np.full(N, "f160w"), mag=np.full(N, 20.04))["stamp_gallery"]
    assert set(titles) == {"F160W 20.0"} and options["heading"] == ""


def test_latents_are_gathered_in_order_of_their_numbers():
    columns = {f"z_{k:02d}": np.full(3, k) for k in (10, 2, 0)} | {"z_": np.zeros(3), "zoom": np.zeros(3)}
    assert reporting.latents_of(columns).tolist() == [[0, 2, 10]] * 3
    assert reporting.latents_of({"z_00": np.zeros(3)}) is None is reporting.latents_of({"zoom": np.zeros(3)})


def evaluated(task, latents=()):
    objects, _, stamps = sample(label=np.array(["disk", "smooth"] * (N // 2)), split=np.array((["train"] * 3 + ["test"]) * (N // 4)), labelled=np.ones(N, bool))
    objects |= {"group_id": objects["object_id"], "galaxy_id": objects["object_id"], "oh_p50": RNG.normal(8.9, 0.2, N)}
    stamps.index_of = lambda ids: np.array([int(name[1:]) for name in ids])
    targets = ["oh_p50"] if task == "regression" else ["smooth", "disk"]
    p = RNG.uniform(0, 1, N)
    values = {"oh_p50": 8 + p, "oh_p50_std": p} if task == "regression" else {"smooth": p, "disk": 1 - p}
    predictions = {}
    for name in ("adapted", "vae"):
        own = {f"z_{k:02d}": RNG.normal(size=N) for k in range(3)} if name in latents else {}
        predictions[name] = {"object_id": objects["object_id"], "status": np.full(N, "ok"), "in_training": objects["split"] == "train", **values, **own}
    spec = {"model": "adapted", "targets": targets, "task": task, "seed": 1, "simulated": True, "vote_model": "multinomial", "assumed_votes": None}
    stamps.take = lambda rows: RNG.normal(size=(len(rows), 3, 16, 16)).astype(np.float32)
    stamps.pixels = None
    return objects, predictions, stamps, spec


@pytest.mark.parametrize("latents", [(), ("adapted", "vae")])
def test_a_comparison_shows_latents_from_before_to_after(drawn, monkeypatch, latents):
    monkeypatch.setattr(reporting, "evaluate", lambda *args, **kwargs: {"sections": {"test": None, "out_of_fold": None}, "headline": "accuracy"})
    objects, predictions, stamps, spec = evaluated("classes", latents)
    found = reporting.evaluate_model(objects, predictions, stamps, spec)
    reporting.draw_comparison(found, "c.png")
    _, options = drawn["metric_comparison"]
    assert list(options["latents"]) == (["vae", "adapted"] if latents else [])
    assert all(block.shape == (N, 3) for block in options["latents"].values()) and len(options["label"]) == N


def test_a_regression_speaks_of_its_quantity(drawn, monkeypatch):
    monkeypatch.setattr(reporting, "evaluate", lambda *args, **kwargs: {"sections": {"test": None, "out_of_fold": None}, "headline": "rmse"})
    objects, predictions, stamps, spec = evaluated("regression")
    found = reporting.evaluate_model(objects, predictions, stamps, spec)
    for draw_one in (reporting.draw_calibration, reporting.draw_confusion, reporting.draw_examples, reporting.draw_comparison):
        draw_one(found, "x.png")
    assert drawn["regression_calibration"][1]["label"] == "12 + log(O/H)" and drawn["regression_scatter"][1]["unit"] == "dex"
    assert "12 + log(O/H) (dex)" in drawn["stamp_gallery"][1]["heading"]
    assert drawn["metric_comparison"][1]["metric_label"] == "RMSE of 12 + log(O/H) (dex)"


def test_percentiles_of_one_quantity_are_drawn_by_their_median_and_with_what_the_network_states(drawn, monkeypatch):
    monkeypatch.setattr(reporting, "evaluate", lambda *args, **kwargs: {"sections": {"test": None, "out_of_fold": None}, "headline": "standardised_rmse"})
    objects, predictions, stamps, spec = evaluated("regression")
    objects |= {"oh_p16": objects["oh_p50"] - 1, "oh_p84": objects["oh_p50"] + 1}
    for own in predictions.values():
        own |= {"oh_p16": own["oh_p50"] - 1, "oh_p84": own["oh_p50"] + 1}
        own |= {"oh_p50_q16": own["oh_p50"] - 0.1, "oh_p50_q84": own["oh_p50"] + 0.3}
    found = reporting.evaluate_model(objects, predictions, stamps, {**spec, "targets": ["oh_p16", "oh_p50", "oh_p84"]})
    reporting.draw_calibration(found, "x.png")
    reporting.draw_confusion(found, "x.png")
    test = objects["split"] == "test"
    for name in ("regression_calibration", "regression_scatter"):
        np.testing.assert_array_equal(drawn[name][0][0], objects["oh_p50"][test])
    np.testing.assert_allclose(drawn["regression_calibration"][1]["error"], 0.2)
    assert drawn["regression_calibration"][1]["stated"]
    sigma = reporting.predicted_sigma({"x_sigma": np.array([3.0]), "x_std": np.array([4.0])}, "x")
    assert sigma.values[0] == 5.0 and sigma.stated
    assert reporting.predicted_sigma({}, "x") is None and not reporting.predicted_sigma({"x_std": np.ones(1)}, "x").stated
    assert reporting._drawn({"targets": ["lgm_tot_p50", "sfr_tot_p16"]}) == 0 == reporting._drawn({"targets": ["mass", "oh_p50"]})
    assert reporting._drawn({"targets": ["oh_p2p5", "oh_p16", "oh_p50", "oh_p84", "oh_p97p5"]}) == 2
