"""Only what is stale reruns: of every kind of change the exact set of jobs. And the set is not too small: what a job ran is in its fingerprint."""

import json
import os
import re
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from changes import CHANGES, Change, expected
from workbench import Bench, Forges, finished

from tuningfork import fingerprint

pytestmark = pytest.mark.slow
ROWS = [change for change in CHANGES if not change.late or os.environ.get("TUNINGFORK_FRESHNESS_ALL")]
BY_NAME = {  # modules that scripts load by name at run time, and that the rules name in their `code`
    "download_catalogue": ("tuningfork.wire", "tuningfork.sky.server", "tuningfork.catalogues.molino2017", "tuningfork.catalogues.table"),
    "download_labels": ("tuningfork.wire", "tuningfork.sky.server"),
    "download_mosaics": ("tuningfork.wire", "tuningfork.sky.server"),
    "fetch_cutouts": ("tuningfork.wire", "tuningfork.sky.server"),
    "train_model": ("tuningfork.networks.deep_clash", "tuningfork.networks.deepshadows"),
    "predict": ("tuningfork.networks.deep_clash", "tuningfork.networks.deepshadows"),
}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    forges = Forges()
    with finished(tmp_path_factory.mktemp("freshness"), forges) as bench:
        yield bench
    forges.close()


@pytest.fixture(scope="module")
def rows(base: Bench, request: pytest.FixtureRequest) -> dict[str, Future]:
    """The rows that were asked for, two at a time; the longest first."""
    asked = {item.callspec.params["change"].name for item in request.session.items if "change" in getattr(getattr(item, "callspec", None), "params", {})}
    pool = ThreadPoolExecutor(2)
    chosen = sorted((change for change in ROWS if change.name in asked), key=lambda change: not change.really)
    return {change.name: pool.submit(_stale, base, change, number) for number, change in enumerate(chosen)}


def _stale(base: Bench, change: Change, number: int) -> list[str]:
    bench = base.copy(base.folder.with_name(f"row{number:02d}"))
    try:
        change.apply(bench)
        return bench.stale(*change.really)
    finally:
        bench.remove()


@pytest.mark.parametrize("change", ROWS, ids=lambda change: re.sub(r"\W+", "-", change.name))
def test_exactly_what_is_stale_reruns(base: Bench, rows: dict[str, Future], change: Change) -> None:
    got, want = rows[change.name].result(), expected(change, base.names())
    assert got == want, f"too much: {sorted(set(got) - set(want))}; too little: {sorted(set(want) - set(got))}"


def test_what_a_job_called_is_in_its_fingerprint(base: Bench, repository: Path) -> None:
    traces = sorted((base.folder.parent / "trace").glob("*.json"))
    rules = {path.name.split(".")[0] for path in traces}
    assert len(rules) > 15
    for path in traces:
        rule = path.name.split(".")[0]
        known = fingerprint.parts_of(repository / "workflow" / "scripts" / f"{rule}.py", BY_NAME.get(rule, ()))
        called = set()
        for file, name in json.loads(path.read_text()):
            module = ".".join((repository / file).relative_to(repository).with_suffix("").parts).removesuffix(".__init__")
            if not name.startswith("<"):
                called.add(f"{module}.{name.split('.')[0]}")
        assert called, rule
        assert called <= set(known), f"{rule} called what its fingerprint does not know: {sorted(called - set(known))}"


def test_stamps_with_a_wrong_digest_are_refused_by_training_and_prediction(base: Bench) -> None:
    bench = base.copy(base.folder.with_name("corrupt"))
    shards = sorted((bench.folder / "results/samples/pictures/stamps").glob("*.arrow"))
    body = bytearray(shards[0].read_bytes())
    body[len(body) // 2] ^= 1
    shards[0].write_bytes(body)
    assert bench.stale() == []  # Snakemake reads no stamp: it looks at times, and here at none
    for file in ("models/pictures/weights.safetensors", "models/zoo/predictions/pictures.parquet"):
        (bench.folder / "results" / file).unlink()
    ran = bench.snakemake("--keep-going", "--", "results/models/pictures/weights.safetensors", "results/models/zoo/predictions/pictures.parquet", fails=True)
    assert ran == ["predict[zoo, pictures]", "train_model[pictures]"]
    assert bench.words().count("StampError") == 2 and f"stamps/{shards[0].name}" in bench.words()
    bench.remove()
