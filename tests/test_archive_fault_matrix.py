"""Every fault of an archive, at every archive: what could be had is had, nothing unfinished bears a final name, and a second run asks for what is missing.

Over real HTTP, through the clients that the rules use. Counted: requests by the stand-in's journal, bytes by the sidecars.
"""

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from tuningfork.archives import datalab, des, footprint, mast, sas, skyserver, tap, vizier, zenodo
from tuningfork.archives.cache import sidecars, verify
from tuningfork.archives.cutouts import CutoutSpec, cutout_requests
from tuningfork.archives.request import ARCHIVES, Fetched, Request
from tuningfork.archives.transport import Transport
from tuningfork.archives.urls import fetch_url
from tuningfork.errors import ArchiveError, OutsideFootprint, TuningforkError
from tuningfork.sky.build import render_sky
from tuningfork.sky.faults import FAULTS, Fault, FaultPlan
from tuningfork.sky.parameters import SkyParameters
from tuningfork.sky.server import serve_services
from tuningfork.sky.services.registry import open_services
from tuningfork.sky.wide.build import render_wide
from tuningfork.sky.wide.parameters import WideParameters

GITHUB = "https://raw.githubusercontent.com/dtanoglidis/DeepShadows/main/Datasets"
VIEWER = CutoutSpec("legacysurvey", "ls-dr9", "fits", ("g", "r", "z"), 32)
PICTURE = CutoutSpec("skyserver", "dr14", "jpeg", ("g", "r", "i"), 64)
TIMES = 2
# Which a viewer that says nothing but "500" is given before its cutout is taken to lie outside the survey (`legacysurvey.FiveHundred`).
TIMES_OF_500 = 1


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    smallest = WideParameters(seed=2, sdss_galaxies=40, lsb_galaxies=20, hsc_galaxies=20, decals_galaxies=40, galaxy10_images=20)
    return render_wide(smallest, tmp_path_factory.mktemp("wide"), progress=False).parent


@pytest.fixture(scope="module")
def services(root: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """All archives: those of the wide sky, and MAST over one small cluster."""
    cluster = SkyParameters(seed=5, goodss_side_px=700, clusters=("SIM-A",), cluster_side_px=400, bands=("f160w",), clash_labels=40)
    hst = render_sky(cluster, tmp_path_factory.mktemp("hst") / "sky", progress=False).parent
    return {**open_services(root), "mast": open_services(hst)["mast"]}


@pytest.fixture(scope="module")
def places(root: Path) -> dict[str, np.ndarray]:
    """Positions (degrees) of galaxies of two samples, (N, 2)."""
    files = {"decals": "truth_decals.parquet", "sdss": "tables/SpecObj.parquet"}
    tables = {name: pq.read_table(root / file, columns=["ra", "dec"]) for name, file in files.items()}
    return {name: np.column_stack([table["ra"], table["dec"]]) for name, table in tables.items()}


def _piece(ra: float, dec: float) -> Request:
    return datalab.cutout_request(str(datalab.brick_name(ra, dec)), "r", ra, dec, 0.002)


Get = Callable[[Transport, dict[str, np.ndarray]], Any]
GETS: dict[str, tuple[str, Get]] = {
    "mosaic": ("mast", lambda wire, _: mast.fetch_mosaic(wire, mast.mosaic_paths("clash", "SIM-A", "f160w")["image"])),
    "VizieR table": ("vizier", lambda wire, _: vizier.query(wire, "J/ApJ/857/104/table1")),
    "VizieR by TAP": ("tapvizier", lambda wire, _: tap.query(wire, "tapvizier", 'SELECT TOP 5 * FROM "J/ApJ/857/104/table1"')),
    "list of positions": ("github", lambda wire, _: fetch_url(wire, f"{GITHUB}/hsc_artifacts.csv")),
    "MPA-JHU file": ("sas", lambda wire, _: sas.galspec(wire, "Info")),
    "LSBG catalogue": ("des", lambda wire, _: des.lsbg_catalogue(wire)),
    "Zenodo file": ("zenodo", lambda wire, _: zenodo.fetch_file(wire, 10845026, "Galaxy10_DECals.h5")),
    "SQL": ("skyserver", lambda wire, _: skyserver.sql(wire, "SELECT TOP 9 objID, ra, dec FROM PhotoObj ORDER BY objID")),
    "SDSS picture": ("skyserver", lambda wire, at: wire.fetch_request(cutout_requests(PICTURE, *at["sdss"][0], 0.4)[0])),
    "cutout": ("legacysurvey", lambda wire, at: wire.fetch_request(cutout_requests(VIEWER, *at["decals"][0], 0.262)[0])),
    "piece of a brick": (
        "datalab",
        lambda wire, at: wire.fetch_request(datalab.cutout_request(str(datalab.brick_name(*at["decals"][0])), "r", *at["decals"][0], 0.002)),
    ),
    "footprint": ("cds", lambda wire, _: wire.fetch_request(footprint.footprint_request("dr14"))),
}

# What no client can tell from a good reply: changed bytes within a whole body, where the archive publishes no digest; and a text file that
# ends early because its promised length was too short.
BLIND = {("corrupt", name) for name in GETS if name != "Zenodo file"} | {
    ("wrong-length-less", "list of positions"),
    ("wrong-length-less", "LSBG catalogue"),
    ("wrong-length-less", "SQL"),
}
HARMLESS = ("slow",)
MATRIX = [(fault, name) for name in GETS for fault in FAULTS if (fault, name) not in BLIND and (fault != "vizier-error-200" or "VizieR" in name)]


@dataclasses.dataclass
class Run:
    """What one run did: its journal (method, path, status) and its cache."""

    journal: list[tuple[str, str, int]]
    cache: Path

    @property
    def files(self) -> dict[str, int]:
        """Whole files and their bytes, by key."""
        return {path.name: sidecar["bytes"] for path, sidecar in sidecars(self.cache)}

    @property
    def asked(self) -> list[str]:
        return [path for _, path, _ in self.journal]

    def assert_sound(self) -> None:
        """Every file under a final name is whole, and there is nothing else but bodies that can be resumed."""
        assert list(verify(self.cache)) == []
        scraps = {path.name.rpartition(".")[2] for path in self.cache.glob("*/.*")}
        assert scraps <= {"part"}


class Archives:
    """The stand-in, whose faults a test sets, and transports in front of it that have little patience."""

    def __init__(self) -> None:
        self.endpoints: dict[str, str] = {}
        self.journal: list[tuple[str, str, int]] = []
        self.plan = FaultPlan(None)

    @contextlib.contextmanager
    def running(self, cache: Path, faults: Mapping[str, Fault] | None = None, **options: Any) -> Iterator[tuple[Transport, Run]]:
        """A run as the rules have it; its journal is complete when the block ends."""
        self.plan, begin, run = FaultPlan(faults), len(self.journal), Run([], cache)
        # Where all requests stall, none needs the time that an honest reply takes.
        stalled = [0.3 if fault.times or len(faults or {}) > 1 else 0.06 for fault in (faults or {}).values() if fault.name == "stall"]
        quick = {name: dataclasses.replace(known, read_timeout_s=max(stalled, default=20.0)) for name, known in ARCHIVES.items()}
        defaults = {"attempts": 3, "backoff_s": 0.002, "longest_pause_s": 0.01, "cooldown_s": 0.02}
        try:
            with Transport(realm="simulated-matrix", cache=cache, endpoints=self.endpoints, archives=quick, **{**defaults, **options}) as transport:
                yield transport, run
        finally:
            run.journal += self.journal[begin:]


@pytest.fixture(scope="module")
def archives(services: dict[str, Any]) -> Iterator[Archives]:
    found = Archives()
    with serve_services(services, faults=lambda path: found.plan.fault(path), journal=found.journal) as found.endpoints:
        yield found


@pytest.fixture(scope="module")
def clean(archives: Archives, places: dict[str, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Run]:
    """A run on a good day, for each thing to get."""

    @functools.cache
    def run_of(name: str) -> Run:
        with archives.running(tmp_path_factory.mktemp("clean") / "cache") as (transport, run):
            GETS[name][1](transport, places)
        assert run.files
        return run

    return run_of


def fault_of(name: str, times: int | None) -> Fault:
    """A fault that lasts as long as a test can bear: `times` requests, or a fraction of a second."""
    if name == "away":
        return Fault("away", None, 0.15 if times else None)
    return Fault(name, times, {"slow": 0.02, "stall": 5.0}.get(name))


@pytest.mark.parametrize(("fault", "name"), MATRIX)
def test_a_fault_that_passes_costs_its_requests_and_nothing_else(archives, places, clean, tmp_path, fault, name):
    archive, get = GETS[name]
    clean(name)  # what a service does once is not part of the fault
    times = TIMES_OF_500 if (fault, name) == ("500", "cutout") else TIMES
    with archives.running(tmp_path / "cache", {f"/{archive}/*": fault_of(fault, times)}, patience_s=20.0, attempts=6) as (transport, run):
        get(transport, places)
    assert run.files == clean(name).files
    run.assert_sound()
    assert not list((tmp_path / "cache").glob("*/.*"))
    extra = len(run.journal) - len(clean(name).journal)
    if fault == "away":
        assert extra >= 1
    elif "stall" not in fault:  # a stalled body that can be resumed comes in fewer pieces
        assert extra == (0 if fault in HARMLESS else times)
    with archives.running(tmp_path / "cache", {"*": Fault("500")}) as (transport, again):
        get(transport, places)
    assert again.journal == [], "the second run asks nobody"


@pytest.mark.parametrize(("fault", "name"), [(fault, name) for fault, name in MATRIX if fault not in HARMLESS])
def test_a_fault_that_stays_is_told_and_the_next_run_fetches_what_is_missing(archives, places, clean, tmp_path, fault, name):
    archive, get = GETS[name]
    with archives.running(tmp_path / "cache", {f"/{archive}/*": fault_of(fault, None)}) as (transport, run), pytest.raises(ArchiveError) as caught:
        get(transport, places)
    if not isinstance(caught.value, OutsideFootprint):
        assert f"archive {archive!r} did not give http://127.0.0.1" in str(caught.value)
    assert run.files == {}
    run.assert_sound()
    assert 1 <= len(run.journal) <= 12
    with archives.running(tmp_path / "cache") as (transport, again):
        get(transport, places)
    assert again.files == clean(name).files
    wanted = clean(name).asked
    # A body that is whole but was promised to be longer is asked for its rest first, in vain.
    assert sorted(again.asked) == sorted(wanted) or (fault == "wrong-length" and sorted(again.asked) == sorted([*wanted, *again.asked[:1]]))
    assert not list((tmp_path / "cache").glob("*/.*"))


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault not in ("slow", "corrupt", "vizier-error-200")])
def test_of_many_cutouts_all_come_that_can_and_the_others_say_why(archives, places, tmp_path, fault):
    """Every third cutout fails for good; one lies outside the survey; the next run asks for exactly those that failed."""
    number = 12
    at = places["decals"]
    ra, dec = np.append(at[:number, 0], 200.0), np.append(at[:number, 1], -85.0)
    requests = cutout_requests(VIEWER, ra, dec, 0.262)
    broken = {i for i in range(number) if i % 3 == 0}
    patterns = {f"/legacysurvey/*ra={dict(requests[i].pairs)['ra']}*": fault_of(fault, None) for i in broken}
    with archives.running(tmp_path / "cache", patterns, patience_s=0.5) as (transport, run):
        found = dict(transport.fetch_each(requests, progress=False))
    assert {i for i, outcome in found.items() if isinstance(outcome, Fetched)} == set(range(number)) - broken
    assert isinstance(found[number], OutsideFootprint)
    for i in broken:
        assert isinstance(found[i], TuningforkError) and f"ra={dict(requests[i].pairs)['ra']}" not in str(found[number])
    assert len(run.files) == number - len(broken)
    assert sum(run.files.values()) == sum(outcome.path.stat().st_size for outcome in found.values() if isinstance(outcome, Fetched))
    run.assert_sound()
    with archives.running(tmp_path / "cache") as (transport, again):
        found = dict(transport.fetch_each(requests, progress=False))
    assert all(isinstance(outcome, Fetched) for i, outcome in found.items() if i < number)
    assert {i for i, outcome in found.items() if isinstance(outcome, Fetched) and not outcome.from_cache} == broken
    asked = {path.partition("?")[2] for path in again.asked}
    assert len([path for path in asked if f"ra={dict(requests[number].pairs)['ra']}" not in path]) == len(broken)
