"""The model card and the HTML tables, from real evaluations."""

from html.parser import HTMLParser

import numpy as np
import pytest

from tuningfork.analysis.evaluate import compare, evaluate
from tuningfork.publishing.model_card import model_card
from tuningfork.publishing.tables_html import metrics_page

TARGETS = ["p_smooth", "p_features"]
MODEL = {
    "format": 1,
    "name": "clash",
    "network": {"name": "deep-clash", "options": {"width": 0.25}},
    "in_channels": 1,
    "image_size": 80,
    "targets": TARGETS,
    "task": "fractions",
    "normalisation": {"name": "asinh_sky"},
    "training": {"seed": 7, "epochs_run": 12, "best_epoch": 9, "best_validation_loss": 0.1, "n_train": 100, "n_validation": 20, "loss": "per_sample_rmse"},
    "data": {"clash": "0123456789abcdef"},
    "parent": {"name": "candels", "weights_sha256": "f" * 64},
    "simulated": False,
}


def tables(noise, n=200):
    generator = np.random.default_rng(0)
    truth = generator.uniform(0, 1, n)
    p = np.clip(truth + np.random.default_rng(1).normal(0, noise, n), 0, 1)
    ids = np.array([f"o{i}" for i in range(n)])
    split = np.where(np.arange(n) % 2, "train", "test")
    band = np.where(np.arange(n) % 4 < 2, "f160w", "f225w")
    objects = {
        "object_id": ids,
        "galaxy_id": ids,
        "group_id": ids,
        "band": band,
        "split": split,
        "p_smooth": truth,
        "p_features": 1 - truth,
        "n_votes": np.full(n, 5.0),
    }
    return objects, {"object_id": ids, "status": np.full(n, "ok"), "p_smooth": p, "p_features": 1 - p}


@pytest.fixture(scope="module")
def report():
    return evaluate(*tables(0.05), targets=TARGETS, task="fractions", seed=0, resamples=100)


@pytest.fixture(scope="module")
def comparison():
    objects, good = tables(0.05)
    _, bad = tables(0.3)
    return compare(objects, good, bad, targets=TARGETS, task="fractions", seed=0, names=("transfer", "scratch"), resamples=100)


def test_card_says_what_the_network_is_and_how_good(report, comparison):
    card = model_card(MODEL, report | {"comparisons": {"scratch": comparison}})
    value = report["sections"]["test"]["headline"]["value"]
    assert f"{value:.4f} [" in card
    for text in (
        "# clash",
        "`deep-clash`",
        "started from `candels`",
        "noise floor of the labels",
        "filter mean",
        "Against `scratch`",
        "## Limitations",
        "seed: 7",
    ):
        assert text in card, text
    assert "SIMULATED" not in card
    assert "the interval excludes zero" in card


def test_card_of_a_simulated_model_says_so_first(report):
    card = model_card(MODEL | {"simulated": True}, report)
    assert "SIMULATED" in card.splitlines()[2]


def test_card_without_evaluation_says_so():
    card = model_card(MODEL | {"parent": None})
    assert "Not evaluated" in card and "random weights" in card


def test_card_with_provenance(tmp_path):
    from tuningfork.publishing import provenance

    found = provenance.build("clash", configuration={}, code="abc", inputs=[{"catalogue": "molino2017", "doi": "10.1/x"}], simulated=False)
    card = model_card(MODEL, None, found)
    assert "molino2017 (doi 10.1/x)" in card and found["created"] in card


class Page(HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.cells, self.links = [], [], []

    def handle_starttag(self, tag, attrs):
        if tag != "meta":
            self.open.append(tag)
        self.links += [v for k, v in attrs if k in ("href", "src")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ("td", "th"):
            self.cells.append(data)


def test_page_is_well_formed_alone_and_escaped(report, comparison):
    page = metrics_page(report | {"model": "<clash>", "comparisons": {"scratch": comparison}})
    parser = Page()
    parser.feed(page)
    assert parser.open == [] and parser.links == []
    assert "&lt;clash&gt;" in page and "<script" not in page
    assert {"network", "mean", "filter mean", "NIR", "UV", "transfer"} <= set(parser.cells)
    assert len(page) < 30_000
    assert "SIMULATED" not in page


def test_page_of_a_simulated_run_says_so(report):
    assert "SIMULATED sky" in metrics_page(report | {"simulated": True})


def test_page_and_card_of_a_regression():
    objects, predictions = tables(0.05)
    report = evaluate(objects, predictions, targets=["p_smooth"], task="regression", seed=0, resamples=50)
    assert "NMAD, p_smooth" in metrics_page(report)
    assert "NMAD, p_smooth" in model_card(MODEL | {"task": "regression", "targets": ["p_smooth"]}, report)


def test_what_is_left_of_the_difference_of_two_samples_is_on_the_page_and_the_card(report):
    entry = {"value": 0.61, "lo": 0.55, "hi": 0.67, "n": 90, "n_groups": 60}
    domains = {
        "samples": ["south", "north"],
        "classifier": "logistic regression",
        "n": [60, 30],
        "auc": {"adapted": entry, "plain": {**entry, "value": 0.93}},
        "change": {"plain": {**entry, "value": -0.32, "significant": True}},
    }
    for text in (metrics_page(report | {"domains": domains}), model_card(MODEL, report | {"domains": domains})):
        assert "telling the samples apart" in text and "0.61" in text and "0.93" in text and "-0.32" in text
        assert "Logistic regression; test rows: 60 of south and 30 of north, labelled or not." in text
    assert "telling the samples apart" not in model_card(MODEL, report) + metrics_page(report)
