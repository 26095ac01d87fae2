"""Stamps from cutout services over real HTTP: what is asked, what is stored, and what becomes of every object when archives fail."""

import contextlib
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import astropy.units as u
import h5py
import numpy as np
import pytest
import requests
from astropy.coordinates import Latitude, Longitude
from astropy.io import fits
from mocpy import MOC
from PIL import Image

from tuningfork import tables
from tuningfork.archives.transport import Transport
from tuningfork.errors import ArchiveError
from tuningfork.files import read_json
from tuningfork.sky.server import serve, serve_services
from tuningfork.sky.services.legacysurvey import LegacySurvey
from tuningfork.sky.wide.build import render_wide
from tuningfork.sky.wide.grid import Frame, missing
from tuningfork.sky.wide.image import WideSky
from tuningfork.sky.wide.parameters import WideParameters
from tuningfork.sky.wide.surveys import LAYERS
from tuningfork.stamps.cutouts import Filled, fetch_shard, note_failures
from tuningfork.stamps.store import read_shard, write_shard

SEED = 5
SOUTH = {
    "service": "legacysurvey",
    "layer": "ls-dr9-south",
    "format": "fits",
    "bands": ["g", "r", "z"],
    "arcsec_per_pixel": 0.524,
    "pixels": 64,
    "footprint": None,
}
STAMP = {"pixels": 32, "crop": 1.0}
ZOO = "files/zenodo/records/4573248/files/gz_decals_auto_posteriors.parquet"
H5 = "files/zenodo/records/10845026/files/Galaxy10_DECals.h5"


@pytest.fixture(scope="session")
def wide_sky(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the smallest sky of the wide surveys."""
    smallest = WideParameters(SEED, 20, 20, 20, 20, 20)
    return render_wide(smallest, tmp_path_factory.mktemp("wide"), progress=False).parent


class Wire:
    """Transports to the stand-in that share a cache, and the journal of all that was asked."""

    def __init__(self, root: Path, cache: Path) -> None:
        self.root, self.cache = root, cache
        self.visits: list[tuple[str, str, int]] = []

    @contextlib.contextmanager
    def open(self, faults: object = None, journal: list | None = None) -> Iterator[Transport]:
        with (
            serve(self.root, faults=faults, journal=self.visits if journal is None else journal) as endpoints,
            Transport(realm="simulated-cutouts", cache=self.cache, endpoints=endpoints, attempts=2, backoff_s=0.005, longest_pause_s=0.02) as transport,
        ):
            yield transport

    def fetch(self, objects: dict[str, np.ndarray], *, faults: object = None, images: dict | None = None, stamp: dict | None = None) -> Filled:
        self.visits.clear()
        with self.open(faults) as transport:
            return fetch_shard(transport, objects, images=images or SOUTH, stamp=stamp or STAMP)

    def asked(self, path: str = "/legacysurvey/") -> list[float]:
        """Right ascensions of the requests whose path has `path` in it, in ascending order."""
        return sorted(ra_of(visit[1]) for visit in self.visits if path in visit[1])


def ra_of(path: str) -> float:
    query = parse_qs(urlsplit(path).query)
    return float(query.get("ra", ["nan"])[0])


def at(*places: float) -> Callable[[str], str | None]:
    """Whether a request is for one of these right ascensions."""
    return lambda path: "/legacysurvey/" in path and any(abs(ra_of(path) - ra) < 1e-6 for ra in places)


@pytest.fixture
def wire(wide_sky: Path, tmp_path: Path) -> Wire:
    return Wire(wide_sky, tmp_path / "cache")


@pytest.fixture(scope="session")
def galaxies(wide_sky: Path) -> dict[str, np.ndarray]:
    """Galaxies that the southern survey and no northern one saw, without any strip missing."""
    zoo, sky = tables.read(wide_sky / ZOO), WideSky.open(wide_sky)
    inside = [
        row
        for row in range(len(zoo))
        if zoo["dec"][row] < 31 and (sky.image("ls-dr9-south", zoo["ra"][row], zoo["dec"][row], arcsec_per_pixel=0.524, width=64, height=64) != 0).all()
    ]
    return objects_at(np.asarray(zoo["ra"])[inside], np.asarray(zoo["dec"])[inside])


def objects_at(ra: object, dec: object, scale: float = 0.524) -> dict[str, np.ndarray]:
    ra, dec = np.atleast_1d(np.asarray(ra, float)), np.atleast_1d(np.asarray(dec, float))
    names = np.array([f"o{i:03d}" for i in range(len(ra))])
    return {"object_id": names, "ra": ra, "dec": dec, "arcsec_per_pixel": np.full(len(ra), scale), "exclude_reason": np.full(len(ra), "")}


def some(objects: dict[str, np.ndarray], rows: object) -> dict[str, np.ndarray]:
    return {name: values[rows] for name, values in objects.items()}


def test_rows_come_in_the_order_of_the_objects_and_flux_is_conserved(wire: Wire, wide_sky: Path, galaxies: dict[str, np.ndarray]) -> None:
    objects = some(galaxies, slice(None, None, -1))
    stamp = {"pixels": 24, "crop": 1.0}  # 64 / 24 is no whole number
    shard, failed = wire.fetch(objects, stamp=stamp)
    assert failed == 0
    assert shard.object_id.tolist() == objects["object_id"].tolist()
    assert set(shard.status) == {"ok"} and set(shard.reason) == {""}
    assert shard.pixels.shape == (len(shard), 3, 24, 24) and shard.pixels.dtype == np.float32
    sky = WideSky.open(wide_sky)
    for row in range(len(shard)):
        seen = sky.image("ls-dr9-south", objects["ra"][row], objects["dec"][row], arcsec_per_pixel=0.524, width=64, height=64, bands=("g", "r", "z"))
        flux = seen.sum(axis=(1, 2), dtype=float) * (0.524 / 0.262) ** 2  # nanomaggy: the viewer's values are fluxes per native pixel
        stored = shard.pixels[row].sum(axis=(1, 2), dtype=float) * shard.scalars["pixel_scale_arcsec"][row] ** 2
        np.testing.assert_allclose(stored, flux, rtol=2e-5)
    np.testing.assert_allclose(shard.scalars["pixel_scale_arcsec"], 0.524 * 64 / 24)
    np.testing.assert_allclose(shard.scalars["zoom"], 24 / 64)
    assert (shard.scalars["coverage"] == 1).all()
    path = wire.cache.parent / "shard.arrow"
    write_shard(path, shard)
    np.testing.assert_array_equal(read_shard(path).pixels, shard.pixels)


def test_surface_brightness_adds_up_to_the_published_magnitude(wire: Wire, wide_sky: Path, galaxies: dict[str, np.ndarray]) -> None:
    shard, _ = wire.fetch(galaxies)
    truth = tables.read(wide_sky / "truth_decals.parquet")
    nearest = [int(np.argmin(np.hypot(truth["ra"] - ra, truth["dec"] - dec))) for ra, dec in zip(galaxies["ra"], galaxies["dec"], strict=True)]
    expected = 10 ** (0.4 * (22.5 - np.asarray(truth["mag_r"], float)[nearest]))
    area = shard.scalars["pixel_scale_arcsec"][0] ** 2
    found = (shard.pixels[:, 1] - np.median(shard.pixels[:, 1], axis=(1, 2), keepdims=True)).sum(axis=(1, 2)) * area
    assert np.median(found / expected) == pytest.approx(1, abs=0.2)


def test_the_layers_own_calibrations_become_nanomaggies(wire: Wire, wide_sky: Path) -> None:
    sky = WideSky.open(wide_sky)
    hsc = tables.read(wide_sky / "truth_hsc.parquet")
    objects = objects_at(hsc["ra"][:2], hsc["dec"][:2], 0.168)
    shard, _ = wire.fetch(objects, images={**SOUTH, "layer": "hsc-dr2"}, stamp={"pixels": 64, "crop": 1.0})
    seen = sky.image("hsc-dr2", objects["ra"][0], objects["dec"][0], arcsec_per_pixel=0.168, width=64, height=64, bands=("g", "r", "z"))
    np.testing.assert_allclose(shard.pixels[0], seen * 10 ** (0.4 * (22.5 - 27)) / 0.168**2, rtol=2e-5, atol=5e-4)  # the position asked for is rounded
    infrared, _ = wire.fetch(objects_at(150, 2, 2.75), images={**SOUTH, "layer": "unwise-neo7", "bands": ["2", "1"]}, stamp={"pixels": 64, "crop": 1.0})
    seen = sky.image("unwise-neo7", 150, 2, arcsec_per_pixel=2.75, width=64, height=64, bands=("2", "1"))
    np.testing.assert_allclose(infrared.pixels[0], seen / 2.75**2, rtol=2e-5, atol=5e-4)


def test_the_sky_of_the_border_is_measured_on_the_stored_pixels(wire: Wire, galaxies: dict[str, np.ndarray]) -> None:
    shard, _ = wire.fetch(galaxies)
    border = np.ones((32, 32), bool)
    border[2:-2, 2:-2] = False
    values = shard.pixels[:, :, border]
    np.testing.assert_allclose(shard.scalars["sky"], np.median(values, axis=2).mean(axis=1), atol=0.5 * np.std(values, axis=2).mean())
    assert (shard.scalars["sky_sigma"] > 0).all()


def test_crop_keeps_the_central_part(wire: Wire, wide_sky: Path, galaxies: dict[str, np.ndarray]) -> None:
    objects = some(galaxies, slice(3))
    shard, _ = wire.fetch(objects, stamp={"pixels": 32, "crop": 0.5})
    sky = WideSky.open(wide_sky)
    for row in range(3):
        seen = sky.image("ls-dr9-south", objects["ra"][row], objects["dec"][row], arcsec_per_pixel=0.524, width=64, height=64, bands=("g", "r", "z"))
        np.testing.assert_allclose(shard.pixels[row], seen[:, 16:48, 16:48] / 0.262**2, rtol=5e-4, atol=5e-4)
    np.testing.assert_allclose(shard.scalars["pixel_scale_arcsec"], 0.524)


class Damaged:
    """A sky whose pixels are not finite but for the central half."""

    def image(self, layer: str, ra: float, dec: float, *, arcsec_per_pixel: float, width: int, height: int, bands: tuple[str, ...]) -> np.ndarray:
        image = np.full((len(bands), height, width), np.nan, np.float32)
        image[:, height // 4 : -height // 4, width // 4 : -width // 4] = np.arange(1, width // 2 + 1)
        return image


def test_what_crop_takes_away_does_no_harm(tmp_path: Path) -> None:
    with (
        serve_services({"legacysurvey": LegacySurvey(Damaged())}) as endpoints,
        Transport(realm="simulated-damaged", cache=tmp_path, endpoints=endpoints, attempts=1) as transport,
    ):
        whole, _ = fetch_shard(transport, objects_at(150, 2), images=SOUTH, stamp=STAMP)
        inner, _ = fetch_shard(transport, objects_at(150, 2), images=SOUTH, stamp={"pixels": 16, "crop": 0.5})
    assert (whole.status[0], inner.status[0]) == ("nonfinite", "ok")
    np.testing.assert_allclose(inner.pixels[0, 0, 0], (np.arange(16) * 2 + 1.5) / 0.262**2, rtol=1e-6)
    write_shard(tmp_path / "shard.arrow", whole)


def _strip(layer: str) -> tuple[float, float]:
    """A place where a strip within a brick was not observed in one band."""
    survey = LAYERS[layer]
    for ra in np.arange(140.125, 175, 0.25):
        frame = Frame(ra, 3.125, 5.0, 160, 160)
        found = missing(SEED, survey.exposures, survey.bands, survey.gaps, frame)
        for mask in found.values():
            if mask.sum() > 20 and not mask.all():
                rows, columns = np.nonzero(mask)
                middle = len(rows) // 2
                position = frame.at(np.array(columns[middle]), np.array(rows[middle]))
                return float(position[0]), float(position[1])
    raise AssertionError("no strip")


def test_what_was_not_observed_makes_a_stamp_partial(wire: Wire, wide_sky: Path, galaxies: dict[str, np.ndarray]) -> None:
    ra, dec = _strip("ls-dr9-south")
    edge = 34.5 + 8 * 0.524 / 3600  # the survey ends at 34.5
    objects = objects_at([galaxies["ra"][0], ra, 150.0], [galaxies["dec"][0], dec, edge], 2.0)
    objects["arcsec_per_pixel"][[0, 2]] = 0.524
    shard, failed = wire.fetch(objects)
    assert (shard.status.tolist(), failed) == (["ok", "partial", "partial"], 0)
    sky = WideSky.open(wide_sky)
    for row in (1, 2):
        scale = objects["arcsec_per_pixel"][row]
        seen = sky.image("ls-dr9-south", objects["ra"][row], objects["dec"][row], arcsec_per_pixel=scale, width=64, height=64, bands=("g", "r", "z"))
        share = float((seen != 0).all(axis=0).mean())
        assert 0 < share < 1
        assert shard.scalars["coverage"][row] == pytest.approx(share)
        assert f"{100 * (1 - share):.1f} %" in shard.reason[row]


def test_coverage_is_that_of_the_part_that_is_kept(wire: Wire) -> None:
    edge = 34.5 - 24 * 0.524 / 3600  # the survey ends in the outer quarter of the cutout, which crop takes away
    whole, _ = wire.fetch(objects_at(150.0, edge))
    inner, _ = wire.fetch(objects_at(150.0, edge), stamp={"pixels": 32, "crop": 0.5})
    assert (whole.status[0], inner.status[0]) == ("partial", "ok")
    assert inner.scalars["coverage"][0] == 1
    beyond = 34.5 + 24 * 0.524 / 3600  # and here only the outer quarter was observed
    whole, _ = wire.fetch(objects_at(150.0, beyond))
    inner, failed = wire.fetch(objects_at(150.0, beyond), stamp={"pixels": 32, "crop": 0.5})
    assert (whole.status[0], inner.status[0], failed) == ("partial", "outside_footprint", 0)
    assert not inner.pixels.any()


def test_outside_the_survey_without_a_coverage_map(wire: Wire, galaxies: dict[str, np.ndarray]) -> None:
    objects = objects_at([galaxies["ra"][0], 150.0], [galaxies["dec"][0], 80.0])
    shard, failed = wire.fetch(objects)
    assert (shard.status.tolist(), failed) == (["ok", "outside_footprint"], 0)
    assert "no image" in shard.reason[1]
    assert not shard.pixels[1].any()


def test_with_a_coverage_map_what_is_outside_costs_no_request(wire: Wire, galaxies: dict[str, np.ndarray], tmp_path: Path) -> None:
    moc = MOC.from_cone(Longitude(galaxies["ra"][0] * u.deg), Latitude(galaxies["dec"][0] * u.deg), max_depth=9, radius=1 * u.deg)
    moc.save(tmp_path / "survey.fits", format="fits")
    objects = objects_at([galaxies["ra"][0], 150.0, 10.0], [galaxies["dec"][0], 80.0, -80.0])
    images = {**SOUTH, "footprint": str(tmp_path / "survey.fits")}
    shard, failed = wire.fetch(objects, images=images)
    assert (shard.status.tolist(), failed) == (["ok", "outside_footprint", "outside_footprint"], 0)
    assert wire.asked() == pytest.approx([galaxies["ra"][0]])
    assert "MOC" in shard.reason[1]
    outside, _ = wire.fetch(some(objects, [1, 2]), images=images)
    assert wire.visits == []
    assert set(outside.status) == {"outside_footprint"}


def test_the_layers_own_coverage_map_is_asked_for_once(wire: Wire, galaxies: dict[str, np.ndarray]) -> None:
    objects = objects_at([galaxies["ra"][0], 150.0], [galaxies["dec"][0], 80.0])
    shard, failed = wire.fetch(objects, images={**SOUTH, "footprint": "auto"})
    assert (shard.status.tolist(), failed) == (["ok", "outside_footprint"], 0)
    assert wire.asked() == pytest.approx([galaxies["ra"][0]])
    assert len([visit for visit in wire.visits if visit[1].startswith("/cds/")]) == 1


def test_a_missing_coverage_map_stops_before_any_request(wire: Wire, galaxies: dict[str, np.ndarray], tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match=r"none\.fits"):
        wire.fetch(galaxies, images={**SOUTH, "footprint": str(tmp_path / "none.fits")})
    assert wire.visits == []


def test_pictures_of_skyserver(wire: Wire, wide_sky: Path) -> None:
    photo = tables.read(wide_sky / "tables" / "PhotoObj.parquet")
    sky = WideSky.open(wide_sky)
    seen = [row for row in range(len(photo)) if sky.jpeg("sdss", photo["ra"][row], photo["dec"][row], width=8, height=8) is not None][:3]
    objects = objects_at(np.append(photo["ra"][seen], 150.0), np.append(photo["dec"][seen], 80.0), 0.4)
    images = {"service": "skyserver", "layer": "dr14", "format": "jpeg", "bands": ["g", "r", "i"], "pixels": 64, "footprint": None}
    shard, failed = wire.fetch(objects, images=images)
    assert (shard.status.tolist(), failed) == (["ok"] * 3 + ["outside_footprint"], 0)
    assert shard.pixels.shape == (4, 3, 32, 32) and shard.pixels.dtype == np.uint8
    assert set(shard.scalars) == {"zoom", "pixel_scale_arcsec", "coverage"}
    with serve(wide_sky) as endpoints:
        query = {"ra": f"{objects['ra'][0]:.10g}", "dec": f"{objects['dec'][0]:.10g}", "scale": "0.4", "width": 64, "height": 64}
        body = requests.get(endpoints["skyserver"] + "/dr14/SkyServerWS/ImgCutout/getjpeg", params=query, timeout=20).content
    picture = np.asarray(Image.open(io.BytesIO(body)).convert("RGB"), float)
    averaged = picture.reshape(32, 2, 32, 2, 3).mean(axis=(1, 3))
    assert np.abs(np.moveaxis(shard.pixels[0].astype(float), 0, -1) - averaged).max() <= 0.51


def test_pictures_inside_the_file_of_galaxy10(wire: Wire, wide_sky: Path) -> None:
    rows = np.array([7, 3, 19])
    objects = {**objects_at([10.0, 20.0, 30.0], [0.0, 0.0, 0.0], 0.262), "row": rows}
    objects["object_id"] = np.array([f"galaxy10_{row}" for row in rows])
    images = {"service": "galaxy10", "layer": None, "format": "jpeg", "bands": ["g", "r", "z"], "pixels": 256, "footprint": None}
    shard, failed = wire.fetch(objects, images=images, stamp={"pixels": 256, "crop": 1.0})
    with h5py.File(wide_sky / H5) as file:
        pictures = np.stack([file["images"][row] for row in rows.tolist()])
    assert failed == 0 and set(shard.status) == {"ok"}
    np.testing.assert_array_equal(shard.pixels, np.moveaxis(pictures, -1, 1))
    cropped, _ = wire.fetch(objects, images=images, stamp={"pixels": 64, "crop": 0.5})
    averaged = pictures[:, 64:192, 64:192].reshape(3, 64, 2, 64, 2, 3).mean(axis=(2, 4))
    assert np.abs(np.moveaxis(cropped.pixels.astype(float), 1, -1) - averaged).max() <= 0.51
    assert wire.visits == []  # the file lies in the cache


@pytest.mark.parametrize(("fault", "words"), [("503", "503"), ("html", "HTML"), ("truncate", "")])
def test_one_objects_fault_is_its_own(wire: Wire, galaxies: dict[str, np.ndarray], fault: str, words: str) -> None:
    objects = {**galaxies, "dec": galaxies["dec"].copy()}
    images = {**SOUTH, "layer": "unwise-neo7", "bands": ["1", "2"]}  # no other archive has these
    bad = at(objects["ra"][2], objects["ra"][5])
    shard, failed = wire.fetch(objects, faults=lambda path: fault if bad(path) else None, images=images)
    assert failed == 2
    assert np.flatnonzero(shard.status == "failed").tolist() == [2, 5]
    assert set(np.delete(shard.status, [2, 5])) == {"ok"}
    for row in (2, 5):
        assert words.lower() in shard.reason[row].lower() and "legacysurvey" in shard.reason[row]
        assert not shard.pixels[row].any() and np.isnan(shard.scalars["zoom"][row])
    # The archive is mended: exactly what is missing is asked for, and the result is that of a run without faults.
    again, failed = wire.fetch(objects, images=images)
    assert failed == 0 and set(again.status) == {"ok"}
    assert wire.asked() == pytest.approx(sorted(objects["ra"][[2, 5]]))
    np.testing.assert_array_equal(np.delete(again.pixels, [2, 5], axis=0), np.delete(shard.pixels, [2, 5], axis=0))
    _, failed = wire.fetch(objects, images=images)
    assert (wire.visits, failed) == ([], 0)


def test_excluded_objects_keep_their_reason_and_are_not_asked_for(wire: Wire, galaxies: dict[str, np.ndarray]) -> None:
    objects = some(galaxies, slice(4))
    objects["exclude_reason"] = np.array(["", "no scale: petroR90_r has no positive value", "", ""])
    objects["arcsec_per_pixel"] = np.array([0.524, np.nan, 0.524, 0.524])
    shard, failed = wire.fetch(objects)
    assert shard.status.tolist() == ["ok", "failed", "ok", "ok"]
    assert shard.reason[1].startswith("no scale")
    assert failed == 0, "what no run can mend is not asked for again"
    assert len(wire.asked()) == 3


def test_when_the_viewer_is_down_the_data_lab_has_the_same_pixels(wire: Wire, wide_sky: Path, galaxies: dict[str, np.ndarray], tmp_path: Path) -> None:
    objects = some(galaxies, slice(2))
    shard, failed = wire.fetch(objects, faults={"/legacysurvey/*": "503"})
    assert failed == 0 and set(shard.status) == {"ok"}, shard.reason
    assert any("/datalab/" in visit[1] for visit in wire.visits)
    ours, _ = Wire(wide_sky, tmp_path / "other").fetch(objects)
    total = [found.pixels.sum(axis=(2, 3)) for found in (shard, ours)]
    np.testing.assert_allclose(*total, rtol=0.1)
    assert np.corrcoef(shard.pixels[0, 1].ravel(), ours.pixels[0, 1].ravel())[0, 1] > 0.95


def test_when_both_are_down_both_reasons_are_told(wire: Wire, galaxies: dict[str, np.ndarray]) -> None:
    shard, failed = wire.fetch(some(galaxies, slice(1)), faults={"/legacysurvey/*": "503", "/datalab/*": "500"})
    assert (shard.status.tolist(), failed) == (["failed"], 1)
    assert "legacysurvey" in shard.reason[0] and "datalab" in shard.reason[0]


def test_a_layer_without_another_host_is_not_asked_of_the_data_lab(wire: Wire, galaxies: dict[str, np.ndarray]) -> None:
    shard, failed = wire.fetch(some(galaxies, slice(2)), faults={"/legacysurvey/*": "503"}, images={**SOUTH, "layer": "unwise-neo7", "bands": ["1", "2"]})
    assert (set(shard.status), failed) == ({"failed"}, 2)
    assert not any("/datalab/" in visit[1] for visit in wire.visits)


def test_an_empty_shard_asks_nothing(wire: Wire) -> None:
    shard, failed = wire.fetch(objects_at([], []))
    assert (len(shard), failed, wire.visits) == (0, 0, [])


def test_failures_are_noted_beside_the_stamps(tmp_path: Path) -> None:
    note_failures(tmp_path / "1a.arrow", 3, token=4)
    assert read_json(tmp_path / "1a.retry.json") == {"token": 4, "failed": 3}


def test_every_cutout_says_that_it_is_simulated(wire: Wire, galaxies: dict[str, np.ndarray]) -> None:
    wire.fetch(some(galaxies, slice(2)))
    kept = [path for path in wire.cache.rglob("*") if path.is_file() and path.open("rb").read(6) == b"SIMPLE"]
    assert len(kept) == 2
    assert all(fits.getval(path, "SIMULATE") is True for path in kept)


def test_a_bug_of_the_stand_in_is_a_failure_and_never_the_edge_of_a_survey(tmp_path: Path) -> None:
    class Broken:
        def answer(self, ask: object) -> object:
            raise ZeroDivisionError("a bug")

        def example(self) -> str:
            return "/"

    with (
        serve_services({"legacysurvey": Broken()}) as endpoints,
        Transport(realm="simulated-0", cache=tmp_path, endpoints=endpoints, attempts=2, backoff_s=0.01) as transport,
    ):
        objects = {
            "object_id": np.array(["a"]),
            "ra": np.array([150.0]),
            "dec": np.array([2.0]),
            "arcsec_per_pixel": np.array([0.262]),
            "exclude_reason": np.array([""]),
        }
        images = {"service": "legacysurvey", "layer": "hsc-dr2", "format": "fits", "bands": ["g", "r", "z"], "pixels": 32, "footprint": None}
        shard, failed = fetch_shard(transport, objects, images=images, stamp={"pixels": 32, "crop": 1.0})
    assert shard.status.tolist() == ["failed"] and failed == 1
    assert "stand-in archive failed" in shard.reason[0]
