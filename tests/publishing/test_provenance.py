"""Provenance, references and the credit line."""

import json
from datetime import UTC, datetime

import pytest

from tuningfork.errors import TuningforkError
from tuningfork.files import sha256_of
from tuningfork.publishing import provenance, references

INPUT = {"catalogue": "molino2017", "doi": "10.1093/mnras/stx1243", "bibcode": "2017MNRAS.470...95M", "retrieved": "2024-01-01T00:00:00Z", "sha256": "ab"}


def build(tmp_path, simulated=False, **changes):
    weights = tmp_path / "weights.safetensors"
    weights.write_bytes(b"weights")
    output = tmp_path / "Deep-CLASH.csv"
    output.write_text("a,b\n")
    options = {
        "configuration": {"model": "clash", "seed": 1},
        "code": "c0de",
        "inputs": [INPUT],
        "simulated": simulated,
        "weights": {"clash": weights},
        "outputs": [output],
        "created": datetime(2024, 5, 1, 12, tzinfo=UTC),
    }
    return provenance.build("Deep-CLASH", **{**options, **changes}), weights


def test_provenance_names_everything_that_went_in(tmp_path):
    found, weights = build(tmp_path)
    assert found["weights"]["clash"]["sha256"] == sha256_of(weights)
    assert found["outputs"]["Deep-CLASH.csv"]["bytes"] == 4
    assert found["inputs"] == [INPUT]
    assert found["created"] == "2024-05-01T12:00:00+00:00"
    assert found["statement"].startswith("re-derived with tuningfork")
    assert {"python", "numpy", "astropy", "torch"} <= set(found["software"])
    json.dumps(found, allow_nan=False)


def test_digest_follows_the_configuration(tmp_path):
    digests = {build(tmp_path, configuration={"seed": seed})[0]["configuration"]["digest"] for seed in (1, 1, 2)}
    assert len(digests) == 2


@pytest.mark.parametrize("where", ["argument", "input"])
def test_a_simulated_product_claims_no_doi(tmp_path, where):
    found, _ = build(tmp_path, simulated=where == "argument", inputs=[INPUT | {"simulated": where == "input"}])
    assert found["simulated"] is True and found["statement"] == "SIMULATED: not data"
    assert "doi" not in found["inputs"][0] and "bibcode" not in found["inputs"][0]


def test_packages_that_are_not_there_are_left_out():
    assert set(provenance.versions(["numpy", "no-such-package-at-all"])) == {"python", "numpy"}


def test_every_entry_is_balanced_bibtex():
    for key, entry in references.ENTRIES.items():
        assert entry.startswith(f"@article{{{key},") and entry.count("{") == entry.count("}"), key


def test_references_follow_the_inputs():
    keys = references.keys_for(["molino2017", "kartaltepe2015", "guo2013", "a folder"], ["molino2017"])
    assert {"PerezCarrasco2019", "Molino2017", "Postman2012", "Kartaltepe2015", "Guo2013"} <= set(keys)
    assert len(keys) == len(set(keys))
    text = references.bibtex(keys)
    assert "{10.1093/mnras/stx1243}" in text and "@software{tuningfork," in text


def test_a_simulated_product_cites_no_data():
    keys = references.keys_for(["molino2017"], ["molino2017"], simulated=True)
    assert "Molino2017" not in keys and "Rowe2015" in keys
    assert references.credit(["molino2017"], simulated=True).startswith("SIMULATED")
    assert references.credit(["molino2017"]).startswith("Re-derived with tuningfork")


def test_unknown_reference():
    with pytest.raises(TuningforkError, match="no reference called 'Nobody1900'"):
        references.bibtex(["Nobody1900"])
