"""Galaxy Zoo DECaLS: wanted columns only, fractions from counts as published, and the class rules of the VAE's paper."""

import hashlib
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tuningfork import tables
from tuningfork.catalogues import gz_decals
from tuningfork.catalogues.expressions import columns_of, first_class, rows_where
from tuningfork.catalogues.table_files import read_table
from tuningfork.errors import CatalogueError

HYPHENS = {question: (question.replace("_", "-"), [answer.replace("_", "-") for answer in answers]) for question, answers in gz_decals.QUESTIONS.items()}
# Class -> the fractions that make it (all others are 0.1).
TYPICAL = {
    "disk_no_bar": {"smooth-or-featured_featured-or-disk": 0.9, "disk-edge-on_no": 0.9, "bar_no": 0.85},
    "disk_strong_bar": {"smooth-or-featured_featured-or-disk": 0.9, "disk-edge-on_no": 0.9, "bar_strong": 0.7},
    "disk_weak_bar": {"smooth-or-featured_featured-or-disk": 0.9, "disk-edge-on_no": 0.9, "bar_weak": 0.7},
    "edge_on": {"smooth-or-featured_featured-or-disk": 0.9, "disk-edge-on_yes": 0.8},
    "merger": {"merging_major-disturbance": 0.7},
    "smooth_cigar_shaped": {"smooth-or-featured_smooth": 0.6, "how-rounded_cigar-shaped": 0.7},
    "smooth_in_between": {"smooth-or-featured_smooth": 0.8, "how-rounded_in-between": 0.9},
    "smooth_rounded": {"smooth-or-featured_smooth": 0.8, "how-rounded_round": 0.9},
    "": {"smooth-or-featured_smooth": 0.8, "how-rounded_round": 0.8},  # exactly at the threshold
}


def auto_posteriors() -> pa.Table:
    n = len(TYPICAL)
    columns = {"iauname": [f"J{i:06d}.00+000000.0" for i in range(n)], "ra": [100.0 + i for i in range(n)], "dec": [10.0 + i for i in range(n)]}
    columns |= {"redshift": [0.05] * (n - 1) + [float("nan")], "mag_r": [16.0] * n, "petro_theta": [8.0] * n, "petro_th50": [3.0] * n, "petro_th90": [6.0] * n}
    columns |= {
        "elpetro_absmag_r": [-20.0] * n,
        "sersic_nmgy_r": [400.0] * n,
        "wrong_size_statistic": [50.0] * n,
        "wrong_size_warning": [False] * (n - 1) + [True],
    }
    columns["file_loc"] = ["/x.png"] * n
    for question, answers in HYPHENS.values():
        columns[f"{question}_proportion_volunteers_asked"] = [0.7] * n
        for answer in answers:
            name = f"{question}_{answer}"
            columns[f"{name}_fraction"] = np.array([typical.get(name, 0.1) for typical in TYPICAL.values()])
            columns[f"{name}_concentration"] = [[1.0, 2.0]] * n
    return pa.table(columns)


@pytest.fixture
def serve(archive, tmp_path):
    def write(name: str, content: pa.Table) -> None:
        pq.write_table(content, tmp_path / name)
        body = (tmp_path / name).read_bytes()
        files = [{"key": name, "size": len(body), "checksum": f"md5:{hashlib.md5(body).hexdigest()}"}]
        archive.files["/api/records/4573248"] = json.dumps({"id": 4573248, "files": files}).encode()
        archive.files[f"/records/4573248/files/{name}"] = body

    return write


def test_the_network_s_fractions(serve, live, tmp_path):
    serve(gz_decals.FILES["auto"], auto_posteriors())
    found = gz_decals.fetch(live)
    assert set(gz_decals.fraction_columns()) <= set(found.colnames)
    assert not any("-" in name or name.endswith("concentration") for name in found.colnames) and "file_loc" not in found.colnames
    assert found["object_id"].tolist() == found["iauname"].tolist() and found["wrong_size_warning"].tolist()[-1]
    assert found["mag"][0] == 16.0 and found["petrosian_radius_arcsec"][0] == 8.0 and np.ma.getmaskarray(found["redshift"])[-1]
    assert found["bar_strong_fraction"].info.description == "Fraction of votes for 'strong' on 'bar'"
    assert found.meta["origin"]["doi"] == gz_decals.DOI and found.meta["origin"]["source"] == "auto"
    tables.write(found, tmp_path / "t.parquet")


def test_each_class_rule_finds_its_galaxy(serve, live):
    serve(gz_decals.FILES["auto"], auto_posteriors())
    found = gz_decals.fetch(live)
    assert first_class(found, gz_decals.CLASS_RULES).tolist() == list(TYPICAL)
    assert list(gz_decals.CLASS_RULES) == sorted(gz_decals.CLASS_RULES)
    for question, rules in gz_decals.OVERLAP_RULES.items():
        for answer, sql in rules.items():
            assert set(columns_of(sql)) <= set(found.colnames), (question, answer)
            rows_where(found, sql)
    assert rows_where(found, gz_decals.OVERLAP_RULES["bar"]["strong"]).tolist() == [name == "disk_strong_bar" for name in TYPICAL]
    assert rows_where(found, gz_decals.OVERLAP_RULES["merging"]["merger"]).tolist() == [name == "merger" for name in TYPICAL]


def test_only_the_questions_asked_for_are_read(serve, live):
    serve(gz_decals.FILES["auto"], auto_posteriors())
    found = gz_decals.fetch(live, questions=["bar"])
    assert "bar_no_fraction" in found.colnames and "merging_none_fraction" not in found.colnames
    with pytest.raises(CatalogueError, match="no question arms; the questions are smooth_or_featured"):
        gz_decals.fetch(live, questions=["arms"])
    with pytest.raises(CatalogueError, match="choose auto"):
        gz_decals.fetch(live, source="desi")


def test_fractions_are_computed_from_votes_where_absent(serve, live):
    n = 3
    columns = {
        "iauname": ["a", "b", "c"],
        "ra": [1.0] * n,
        "dec": [2.0] * n,
        "redshift": [0.1] * n,
        "petro_theta": [5.0] * n,
        "sersic_nmgy_r": [100.0, 0.0, 10.0],
    }
    columns |= {"bar_strong": [3.0, 0.0, 1.0], "bar_weak": [1.0, 0.0, 0.0], "bar_no": [4.0, 0.0, 0.0], "bar_total-votes": [8, 0, 1]}
    columns |= {"smooth-or-featured_total-votes": [40, 38, 5], "bar_no_debiased": [0.5] * n}
    serve(gz_decals.FILES["volunteers_5"], pa.table(columns))
    found = gz_decals.fetch(live, source="volunteers_5")
    assert np.ma.asarray(found["bar_strong_fraction"]).tolist() == [3 / 8, None, 1.0] and found["n_votes"].tolist() == [40, 38, 5]
    assert found["mag"].tolist() == [pytest.approx(17.5), None, pytest.approx(20.0)] and "bar_no_debiased" not in found.colnames
    assert "bar_no_debiased" in gz_decals.fetch(live, source="volunteers_5", debiased=True).colnames


def test_real_votes_give_the_published_fractions(shared_data):
    raw = read_table(shared_data / "catalogs" / "gz_decals_panoptes_votes.csv", "csv", text=("subject_id",))
    for name in raw.colnames:
        raw.rename_column(name, name.replace("-", "_"))
    published = {name: np.asarray(raw[name], float) for name in raw.colnames if name.endswith("_fraction")}
    assert len(published) == 3
    raw.remove_columns(list(published))
    raw.rename_column("subject_id", "iauname")
    found = gz_decals.standardise(raw, "volunteers_1_and_2")
    assert len(found) == 4000
    for name, values in published.items():
        np.testing.assert_allclose(np.ma.filled(found[name], np.nan), values, atol=1e-12)


def test_a_galaxy_that_stands_twice(serve, live):
    twice = auto_posteriors()
    serve(gz_decals.FILES["auto"], pa.concat_tables([twice, twice.slice(0, 1)]))
    with pytest.raises(CatalogueError, match=r"'J000000\.00"):
        gz_decals.fetch(live)
