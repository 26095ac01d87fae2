"""What the rules on the wire do when an archive fails: the functions that their scripts call, over real HTTP, against a stand-in told to misbehave."""

import contextlib
import dataclasses
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tuningfork import tables
from tuningfork.archives import mast
from tuningfork.archives.cache import verify
from tuningfork.archives.manifest import fetch_field
from tuningfork.archives.request import ARCHIVES
from tuningfork.archives.transport import Transport
from tuningfork.archives.urls import fetch_url
from tuningfork.catalogues import guo2013, kartaltepe2015, molino2017
from tuningfork.catalogues.columns import TARGETS
from tuningfork.catalogues.image_labels import read_csv
from tuningfork.errors import ArchiveError, CatalogueError
from tuningfork.files import read_json, sha256_of, write_json
from tuningfork.samples.build import finish_sample, select_mosaic_sample
from tuningfork.samples.ledger import assert_conserved
from tuningfork.sky.build import render_sky
from tuningfork.sky.parameters import SkyParameters
from tuningfork.sky.server import Faults, serve
from tuningfork.stamps.rows import ledger_of, rows_of_shard
from tuningfork.stamps.shard import cut_objects
from tuningfork.stamps.store import write_shard

CLUSTERS, BANDS = ("SIM-A", "SIM-B"), ("f475w", "f606w", "f814w", "f160w")
LABELS = "https://raw.githubusercontent.com/mperezcarrasco/CLASH/master/CLASH/CLASH_labels.csv"
SMALL = ("f606w", "f160w")
FETCHES = {
    "kartaltepe2015": lambda transport: kartaltepe2015.fetch(transport),
    "guo2013": lambda transport: guo2013.fetch(transport),
    "molino2017 of VizieR": lambda transport: molino2017.fetch(transport, fields=("SIM-A",)),
    "molino2017 of MAST": lambda transport: molino2017.fetch(transport, source="mast", fields=("SIM-A",)),
    "labels": lambda transport: fetch_url(transport, LABELS),
}


@pytest.fixture(scope="module")
def sky(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two small clusters; of SIM-B the archive lost F814W, which its catalogue still has, and the weight of F606W."""
    parameters = SkyParameters(seed=5, goodss_side_px=700, clusters=CLUSTERS, cluster_side_px=400, bands=BANDS, absent=(("SIM-B", "f475w"),), clash_labels=80)
    root = render_sky(parameters, tmp_path_factory.mktemp("faulty") / "sky", progress=False).parent
    (root / local("SIM-B", "f814w")).unlink()
    (root / local("SIM-B", "f606w", "weight")).unlink()
    return root


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def path_of(cluster: str, band: str, kind: str = "image") -> str:
    return mast.mosaic_paths("clash", cluster, band)[kind]


def local(cluster: str, band: str, kind: str = "image") -> str:
    return f"mast{path_of(cluster, band, kind)}"


@contextlib.contextmanager
def archive(sky: Path, cache: Path, faults: Faults | None = None, attempts: int = 3, **limits: float) -> Iterator[tuple[Transport, list]]:
    """A transport as the rules have it, but of little patience, and the journal of (method, path, status) of all requests."""
    journal: list[tuple[str, str, int]] = []
    archives = {name: dataclasses.replace(known, **limits) for name, known in ARCHIVES.items()}
    with (
        serve(sky, faults=faults, journal=journal) as endpoints,
        Transport(
            realm="simulated-faulty", cache=cache, endpoints=endpoints, archives=archives, attempts=attempts, backoff_s=0.002, longest_pause_s=0.01
        ) as transport,
    ):
        yield transport, journal


def mosaics(transport: Transport, cluster: str = "SIM-A", bands: tuple[str, ...] = SMALL) -> dict:
    return fetch_field(transport, collection="clash", field=cluster, bands=bands, weights=True)


def asked(journal: list) -> list[str]:
    """Paths below the archive, in the order of the requests."""
    return [path.removeprefix("/mast") for _, path, _ in journal]


def named(cache: Path) -> list[Path]:
    """Files of the cache under a final name, without their sidecars."""
    return [path for path in cache.glob("[0-9a-f][0-9a-f]/[!.]*") if path.suffix != ".json"]


def assert_sound(cache: Path, files: int) -> None:
    """So many whole files, each of which is what its sidecar says, and no lock, part or scrap beside them."""
    assert len(named(cache)) == files and list(verify(cache)) == []
    assert [path.name for path in cache.rglob(".*")] == []


# filters that the archive does not have


def test_a_filter_that_the_archive_lacks_ends_in_the_ledger_as_absent(sky, cache, tmp_path):
    manifests = {}
    with archive(sky, cache) as (transport, journal):
        for cluster in CLUSTERS:
            manifests[cluster] = mosaics(transport, cluster, BANDS)
            write_json(tmp_path / f"{cluster}.json", manifests[cluster])
        catalogue = molino2017.fetch(transport, fields=CLUSTERS)
        labels = read_csv(fetch_url(transport, LABELS).path)
    assert {name: entry["status"] for name, entry in manifests["SIM-A"]["bands"].items()} == dict.fromkeys(BANDS, "ok")
    assert {name: entry["status"] for name, entry in manifests["SIM-B"]["bands"].items()} == dict.fromkeys(BANDS, "ok") | {"f475w": "absent", "f814w": "absent"}
    assert manifests["SIM-B"]["bands"]["f606w"]["weight"] is None and manifests["SIM-B"]["bands"]["f160w"]["weight"] is not None
    refused = [path.removeprefix("/mast") for _, path, status in journal if status == 404]
    assert refused == [
        path_of("SIM-B", "f475w"),
        path_of("SIM-B", "f606w", "weight"),
        path_of("SIM-B", "f814w"),
    ]  # asked once each, and no weight without image

    spec = {
        "kind": "mosaic",
        "bands": list(BANDS),
        "select": {"magnitude_limit": 24.5, "magnitude": "own_filter"},
        "size": {"source": "catalogue"},
        "stamp": {"petrosian_radii": 4.0},
        "labels": {"id_column": "ID"},
        "targets": list(TARGETS),
        "task": "fractions",
        "split": {"by": "galaxy", "column": None, "seed": 1, "validation": 0.2, "test": 0.2, "healpix_nside": 4096, "same_arcsec": 0.4},
        "shards": {"healpix_nside": 64},
    }
    objects, index = finish_sample(select_mosaic_sample(catalogue, spec, label_table=labels), spec)
    tables.write(objects, tmp_path / "objects.parquet")
    paths = []
    for name, entry in index["shards"].items():
        rows = rows_of_shard(tmp_path / "objects.parquet", name)
        shard = cut_objects(rows, [tmp_path / f"{cluster}.json" for cluster in entry["fields"]], pixels=16, orientation="native")
        paths.append(tmp_path / f"{name}.arrow")
        write_shard(paths[-1], shard)
    ledger = ledger_of(paths)
    assert_conserved(objects["object_id"], ledger)
    status = dict(zip(ledger["object_id"].tolist(), ledger["status"].tolist(), strict=True))
    seen = {(field, band): Counter() for field in CLUSTERS for band in BANDS}
    for name, field, band in zip(objects["object_id"].tolist(), objects["field"].tolist(), objects["band"].tolist(), strict=True):
        seen[field, band][status[name]] += 1
    assert set(seen["SIM-B", "f814w"]) == {"absent"} and seen["SIM-B", "f814w"].total() > 10
    assert seen["SIM-B", "f475w"].total() == 0  # never observed, so no magnitude and no object either
    for group in set(seen) - {("SIM-B", "f814w"), ("SIM-B", "f475w")}:
        assert seen[group]["absent"] == 0 and seen[group]["ok"] > 0.5 * seen[group].total(), group
    reason = ledger["reason"][ledger["status"] == "absent"]
    assert set(reason.tolist()) == {"no f814w image of SIM-B in the archive"}


# faults of the moment


@pytest.mark.parametrize("fault", ["500", "503", "429", "truncate", "html"])
def test_faults_that_pass_leave_no_trace(sky, cache, fault):
    patterns = ("*_f160w_v1_drz.fits", "*votable*", "*cat-molino.txt", "*.csv")
    with archive(sky, cache, dict.fromkeys(patterns, (fault, 2))) as (transport, journal):
        found = mosaics(transport)
        fetched = {name: fetch(transport) for name, fetch in FETCHES.items()}
    assert {entry["status"] for entry in [*found["bands"].values(), found["detection"]]} == {"ok"}
    digests = read_json(sky / "sky.json")["files"]
    for band in SMALL:
        assert found["bands"][band]["sha256"] == digests[local("SIM-A", band)] == sha256_of(found["bands"][band]["image"])
    tries = Counter(asked(journal))
    assert tries[path_of("SIM-A", "f160w")] == 3 and tries[path_of("SIM-A", "f606w")] == 1
    assert all(len(fetched[name]) > 20 for name in FETCHES if name != "labels")
    assert sha256_of(fetched["labels"].path) == digests["github/mperezcarrasco/CLASH/master/CLASH/CLASH_labels.csv"]
    assert_sound(cache, 6 + len(FETCHES))


def test_one_mosaic_that_never_comes_is_named_and_the_next_run_fetches_what_is_missing(sky, cache):
    broken = path_of("SIM-A", "f606w", "weight")
    wanted = list(mast.detection_paths("clash", "SIM-A").values()) + [path_of("SIM-A", band, kind) for band in SMALL for kind in ("image", "weight")]
    with archive(sky, cache, {f"*{broken}": "500"}) as (transport, journal):
        with pytest.raises(ArchiveError) as caught:
            mosaics(transport)
        for part in ("archive 'mast'", f"{broken}: HTTP 500", "Run again later (what is already here is kept)"):
            assert part in str(caught.value)
    assert asked(journal) == [*wanted[:3], *[broken] * 3]
    assert_sound(cache, 3)
    with archive(sky, cache) as (transport, journal):
        found = mosaics(transport)
    assert asked(journal) == wanted[3:] and {status for _, _, status in journal} == {200}
    assert_sound(cache, len(wanted))
    with archive(sky, cache, lambda path: "500") as (transport, journal):
        assert mosaics(transport) == found and journal == []


@pytest.mark.parametrize("fault", ["500", "503", "stall", "html"])
def test_a_catalogue_that_never_comes_is_an_error_with_its_cure(sky, cache, fault):
    with archive(sky, cache, {"*": fault}, attempts=2, read_timeout_s=0.15) as (transport, _):
        for name, fetch in FETCHES.items():
            host = {"molino2017 of MAST": "mast", "labels": "github"}.get(name, "vizier")
            with pytest.raises(ArchiveError, match=rf"archive '{host}' did not give http://127.*Run again later"):
                fetch(transport)
    assert_sound(cache, 0)


def test_vizier_that_reports_its_error_with_status_200_is_asked_again_and_then_quoted(sky, cache):
    with archive(sky, cache, {"*votable*": ("vizier-error-200", 2)}) as (transport, journal):
        assert len(kartaltepe2015.fetch(transport)) > 20
    assert [status for _, _, status in journal] == [200] * 3
    with archive(sky, cache, {"*votable*": "vizier-error-200"}) as (transport, journal):
        assert len(kartaltepe2015.fetch(transport)) > 20 and journal == []
        with pytest.raises(ArchiveError, match=r"archive 'vizier' did not give http://.*: the server reports: The database is not currently reachable"):
            guo2013.fetch(transport)
        assert len(journal) == 3
        with pytest.raises(ArchiveError, match="The database is not currently reachable"):
            molino2017.fetch(transport, fields=CLUSTERS)
    assert_sound(cache, 1)


def test_a_cluster_that_vizier_does_not_have_is_no_fault_of_the_moment(sky, cache):
    with archive(sky, cache) as (transport, journal):
        with pytest.raises(CatalogueError, match="J/MNRAS/470/95/SIM-C: the server knows no such table"):
            molino2017.fetch(transport, fields=("SIM-A", "SIM-C"))
        with pytest.raises(ArchiveError, match=r"'mast' has no http://\S+SIM-C_cat-molino\.txt \(HTTP 404\)"):
            molino2017.fetch(transport, source="mast", fields=("SIM-C",))
    assert len(journal) == 3  # SIM-A came; nothing was asked twice
    assert_sound(cache, 1)


# bodies that are not what was asked


def test_half_a_body_is_resumed_within_a_run_and_by_the_next(sky, cache):
    path, size = path_of("SIM-A", "f160w"), (sky / local("SIM-A", "f160w")).stat().st_size
    with archive(sky, cache, {f"*{path}": "truncate"}, attempts=1) as (transport, journal), pytest.raises(ArchiveError, match="was cut"):
        mosaics(transport, bands=("f160w",))
    assert [status for _, _, status in journal] == [200] * 3 and len(named(cache)) == 2  # the detection image and its weight
    (half,) = cache.glob("*/.*.part/body")
    assert half.stat().st_size == size // 2
    with archive(sky, cache, {f"*{path}": ("truncate", 1)}) as (transport, journal):
        found = mosaics(transport, bands=("f160w",))
    assert [status for _, name, status in journal if name.endswith(path)] == [206, 206]
    assert found["bands"]["f160w"]["sha256"] == read_json(sky / "sky.json")["files"][local("SIM-A", "f160w")]
    assert_sound(cache, 4)


@pytest.mark.parametrize("fault", ["html", "vizier-error-200"])
def test_a_page_in_place_of_a_mosaic_is_refused(sky, cache, fault):
    refusal = r"f160w_v1_drz\.fits: not a FITS file: it begins with '<[!?]"
    with archive(sky, cache, {"*_f160w_v1_drz.fits": fault}) as (transport, journal), pytest.raises(ArchiveError, match=refusal):
        mosaics(transport)
    assert asked(journal).count(path_of("SIM-A", "f160w")) == 3
    assert_sound(cache, 4)  # the detection image, F606W and their weights, fetched before


def test_a_damaged_mosaic_on_the_server_is_refused(sky, cache, tmp_path):
    """The file itself is short: every reply is complete, and wrong."""
    copy = tmp_path / "sky"
    target = copy / local("SIM-A", "f160w")
    target.parent.mkdir(parents=True)
    target.write_bytes((sky / local("SIM-A", "f160w")).read_bytes()[:-2880])
    (copy / "sky.json").write_text(json.dumps({"files": {local("SIM-A", "f160w"): "0" * 64}}))
    with archive(copy, cache) as (transport, journal), pytest.raises(ArchiveError, match=r"drz\.fits: a FITS file cut short: its headers promise \d+ bytes"):
        mosaics(transport, bands=("f160w",))
    assert [status for _, _, status in journal] == [404, 200, 200, 200]  # this sky has no detection image
    assert_sound(cache, 0)


# silence


def test_a_stalled_mosaic_times_out_and_goes_on_where_it_stopped(sky, cache):
    path = path_of("SIM-A", "f606w")
    with archive(sky, cache, {f"*{path}": ("stall", 1)}, read_timeout_s=0.15) as (transport, journal):
        found = mosaics(transport)
    assert [status for _, name, status in journal if name.endswith(path)] == [200, 206]
    assert found["bands"]["f606w"]["sha256"] == read_json(sky / "sky.json")["files"][local("SIM-A", "f606w")]
    assert_sound(cache, 6)


def test_a_server_that_stalls_for_good_is_given_up(sky, cache):
    refusal = r"archive 'mast' did not give \S+drz\.fits: the body was cut after \d+ bytes \(.*timed out.*Run again later"
    with archive(sky, cache, {"*.fits": "stall"}, attempts=2, read_timeout_s=0.15) as (transport, journal), pytest.raises(ArchiveError, match=refusal):
        mosaics(transport)
    assert [status for _, _, status in journal] == [200, 206]
    assert named(cache) == []


def test_a_server_that_is_gone_is_named(sky, cache):
    with archive(sky, cache) as (transport, _):
        mosaics(transport, bands=("f160w",))
    with serve(sky) as endpoints:
        pass
    archives = {name: dataclasses.replace(known, connect_timeout_s=0.2) for name, known in ARCHIVES.items()}
    with Transport(realm="simulated-faulty", cache=cache, endpoints=endpoints, archives=archives, attempts=2, backoff_s=0.002) as transport:
        assert mosaics(transport, bands=("f160w",))["bands"]["f160w"]["status"] == "ok"  # what is here needs no archive
        with pytest.raises(ArchiveError, match=r"archive 'mast' did not give \S+f606w_v1_drz\.fits: no answer.*check that this machine reaches that host"):
            mosaics(transport)
    assert_sound(cache, 4)


# any of them, in any order


@given(plan=st.lists(st.sampled_from(["", "500", "503", "429", "html", "truncate", "vizier-error-200"]), max_size=12))
@settings(deadline=None, max_examples=12, derandomize=True)
def test_whatever_fails_in_whatever_order_runs_end_with_the_same_files(sky, tmp_path_factory, plan):
    """Runs against a server with a queue of faults, repeated until one succeeds, leave what one run on a good day leaves."""
    cache = tmp_path_factory.mktemp("any") / "cache"
    queue = list(plan)
    runs = 0
    while True:
        runs += 1
        with archive(sky, cache, lambda _: (queue.pop(0) or None) if queue else None, attempts=2) as (transport, _):
            try:
                found = mosaics(transport, bands=("f160w",))
                rows = len(kartaltepe2015.fetch(transport))
                break
            except ArchiveError:
                assert list(verify(cache)) == []
    digests = read_json(sky / "sky.json")["files"]
    assert runs <= 1 + len(plan)
    assert found["bands"]["f160w"]["sha256"] == digests[local("SIM-A", "f160w")] and found["detection"]["status"] == "ok"
    assert rows == int(np.sum(tables.read(sky / "vizier/J/ApJS/221/11/table3.parquet")["Depth"] == 2))
    assert_sound(cache, 5)
