"""Numbers of a report in words: completeness and purity with their intervals, names of quantities and losses."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from tuningfork.publishing import wording
from tuningfork.publishing.tables_html import metrics_page


@given(st.integers(0, 60), st.integers(1, 60), st.sampled_from([0.68, 0.95, 0.99]))
def test_the_interval_of_a_share_is_that_of_scipy(found, total, level):
    found = min(found, total)
    ours, theirs = wording.wilson(found, total, level), binomtest(found, total).proportion_ci(level, method="wilson")
    assert ours["value"] == found / total
    assert (ours["lo"], ours["hi"]) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


def test_completeness_goes_along_rows_and_purity_along_columns():
    rows = wording.class_rows({"classes": ["artifact", "lsbg"], "counts": [[8, 2], [0, 10]]})
    assert [(row[1], row[2][:6], row[3], row[4][:6]) for row in rows] == [("10", "0.8000", "8", "1.0000"), ("10", "1.0000", "12", "0.8333")]


def test_a_class_that_nothing_is_called_has_no_purity():
    rows = wording.class_rows({"classes": ["a", "b"], "counts": [[3, 0], [2, 0]]})
    assert rows[1][3:] == ("0", "–") and rows[1][2].startswith("0.0000")
    assert wording.class_rows(None) == wording.class_rows({"classes": ["a"], "counts": None}) == []


def report(task, **section):
    entry = {"value": 0.8, "lo": 0.7, "hi": 0.9, "n": 20, "n_groups": 20}
    common = {"n": 20, "n_groups": 20, "groups": "group_id", "headline": entry, "metrics": {}, "baselines": {}, "floor": {}, "by": {}}
    head = {"task": task, "targets": ["oh_p50"], "headline": "accuracy", "better": "higher", "level": 0.95, "resamples": 100, "model": "m"}
    return {**head, "sections": {"test": {**common, **section}}}


def test_the_page_of_classes_has_completeness_and_purity_and_no_table_of_one_filter():
    entry = {"headline": {"value": 0.8, "lo": 0.7, "hi": 0.9, "n": 20}, "baselines": {}}
    page = metrics_page(report("classes", confusion={"classes": ["a", "b"], "counts": np.eye(2).tolist()}, by={"band": {"grz": entry}}))
    assert "completeness" in page and "purity" in page and "grz" not in page
    assert "f160w" in metrics_page(report("classes", by={"band": {"f160w": entry, "f606w": entry}}))


def test_the_page_of_a_regression_says_how_often_its_errors_hold():
    page = metrics_page(report("regression", calibration={"oh_p50": {"within_one_std": 0.0687, "n": 262}}))
    assert "0.0687" in page and "0.683" in page and "completeness" not in page


def test_names_of_quantities_and_losses():
    assert wording.quantity("oh_p50") == ("12 + log(O/H)", "dex") and wording.quantity("log_mass") == ("log mass", "")
    assert wording.loss("elbo") == "negative ELBO" and wording.loss("cross_entropy") == "cross entropy"
