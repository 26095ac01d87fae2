"""Only what is stale reruns: of every kind of change the exact set of jobs. And the set is not too small: what a job ran is in its fingerprint."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml
from changes import CHANGES, Change, append, cell, edit, expected, function, put, remove, version
from scale import CHANGED, change_ten
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
    made = os.environ.get("TUNINGFORK_FRESHNESS_BASE")  # of an earlier run of this very code, to try the table again without it
    with finished(tmp_path_factory.mktemp("freshness"), forges, Path(made) if made else None) as bench:
        yield bench
    forges.close()


@pytest.fixture(scope="module")
def rows(base: Bench, request: pytest.FixtureRequest) -> dict[str, Future]:
    """The rows that were asked for, two at a time; the longest first."""
    parameters = [getattr(getattr(item, "callspec", None), "params", {}).get("change") for item in request.session.items]
    asked = {change.name for change in parameters if isinstance(change, Change)}
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


def test_of_a_large_catalogue_only_the_shards_of_changed_objects_are_fetched_again(base: Bench, tmp_path: Path) -> None:
    got, want, shards = change_ten(tmp_path / "big", base.forges, 10_000, 2)
    assert got == want
    assert shards == 48 and 0 < sum(job.startswith("fetch_cutouts") for job in got) <= 2 * CHANGED


WHY = {
    "nothing": (lambda bench: None, "results/catalogues/Zoo.csv is up to date: publish_catalogue made it on "),
    "a learning rate": (
        put("models", "zoo", "training", "optimizer", value={"learning_rate": 1e-4}),
        " <- train_model[zoo]: recipe.optimizer.learning_rate: 0.001 -> 0.0001",
    ),
    "a function": (function("training/optimisers.py", "make_optimizer"), "train_model[zoo]: code changed: tuningfork.training.optimisers.make_optimizer"),
    "its own code": (
        edit("tuningfork/publishing/readme.py", "MOST_DECIMALS = 12", "MOST_DECIMALS = 11"),
        "code changed: tuningfork.publishing.readme.MOST_DECIMALS",
    ),
    "a script": (append("workflow/scripts/publish_catalogue.py", "\ndone = True\n"), "publish_catalogue[Zoo]: code changed: script"),
    "a new version": (version("torch", "99.0"), "train_model[zoo]: code changed: torch"),
    "deleted": (remove("results/catalogues/Zoo.csv"), "publish_catalogue[Zoo]: missing: results/catalogues/Zoo.csv"),
    "behind a checkpoint": (
        cell("zoo.csv", "z04", 4, "0.90"),
        "download_catalogue[zoo, table]: newer, and not what it was: zoo.csv",
    ),
    "another sample": (put("samples", "pictures", "split", "seed", value=2), "may be stale, as freeze_group[pictures] will tell"),
    "another title": (put("catalogues", "Zoo", "title", value="A zoo"), "publish_catalogue[Zoo]: title: Zoo: zoo applied to zoo -> A zoo"),
}


def _why(base: Bench, name: str, number: int) -> str:
    bench = base.copy(base.folder.with_name(f"why{number:02d}"))
    try:
        WHY[name][0](bench)
        configfile = bench.folder.with_name(f"{bench.folder.name}.yaml")
        configfile.write_text(yaml.safe_dump(bench.configuration, sort_keys=False))
        given = ["-s", bench.repository / "Snakefile", "-d", bench.folder, "--configfile", configfile]
        environment = {**os.environ, "PYTHONPATH": str(bench.repository)}
        command = [sys.executable, "-c", "from tuningfork.cli import main; raise SystemExit(main())", "why", "results/catalogues/Zoo.csv", *given]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=bench.folder)
        assert done.returncode == 0, done.stderr
        return done.stdout
    finally:
        bench.remove()


@pytest.fixture(scope="module")
def told(base: Bench) -> dict[str, Future]:
    pool = ThreadPoolExecutor(2)
    return {name: pool.submit(_why, base, name, number) for number, name in enumerate(WHY)}


@pytest.mark.parametrize("name", WHY)
def test_why(told: dict[str, Future], name: str) -> None:
    words = told[name].result()
    assert words.count("\n") == 1 and WHY[name][1] in words
