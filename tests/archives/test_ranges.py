"""Parts of remote mosaics over real HTTP: what is asked, what is kept, what is refused; and stamps that cannot tell the difference."""

import dataclasses
import itertools
import os
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from misbehaving_server import fits_bytes, status
from range_server import cut_after, ranged

from tuningfork.archives import manifest, mast, range_plan, ranges, sparse
from tuningfork.archives.intervals import Intervals
from tuningfork.archives.range_plan import make_plan, pixel_bytes
from tuningfork.archives.request import ARCHIVES, Archive
from tuningfork.errors import ArchiveError, NotInArchive, StampError
from tuningfork.stamps.cut import cut_shard
from tuningfork.stamps.mosaic import Mosaic, Pixels
from tuningfork.stamps.remote import fetch_stamps, touched_windows
from tuningfork.stamps.windows import Cutter

PATH = "/missions/hlsp/clash/a209/data/hst/scale_65mas/hlsp_clash_hst_wfc3ir_a209_f160w_v1_drz.fits"
SIDE, SCALE = 600, 0.065


def mosaic_bytes(seed: int, *, rotation_deg: float = 0.0, simulated: bool = False) -> bytes:
    wcs, angle = WCS(naxis=2), np.radians(rotation_deg)
    wcs.wcs.ctype, wcs.wcs.crval, wcs.wcs.crpix = ["RA---TAN", "DEC--TAN"], [322.36, -7.69], [SIDE / 2, SIDE / 2]
    wcs.wcs.cd = SCALE / 3600 * np.array([[-1, 0], [0, 1]]) @ np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    header = wcs.to_header()
    header["ABMAGZP"] = 25.0
    if simulated:
        header["SIMULATE"] = True
    hdu = fits.PrimaryHDU(np.random.default_rng(seed).normal(1, 0.1, (SIDE, SIDE)).astype(np.float32), header)
    head = hdu.header.tostring().encode()
    return head + hdu.data.astype(">f4").tobytes().ljust(-(-SIDE * SIDE * 4 // 2880) * 2880, b"\0")


IMAGE, WEIGHT = mosaic_bytes(1), mosaic_bytes(2)


def objects(count: int = 25, seed: int = 7, *, low: float = -10, high: float = SIDE + 10) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(low, high, (2, count))
    ids = np.array([f"o{i}" for i in range(count)])
    return {
        "object_id": ids,
        "field": np.full(count, "a209"),
        "band": np.full(count, "f160w"),
        "x_pix": x + 1,
        "y_pix": y + 1,
        "stamp_arcsec": rng.uniform(4, 60, count) * SCALE,
    }


def serve_field(server, behaviour=ranged, **options):
    paths = mast.mosaic_paths("clash", "a209", "f160w")
    server.on(paths["image"], behaviour(IMAGE, **options))
    server.on(paths["weight"], behaviour(WEIGHT, **options))


def fetch_field(transport, read="ranges", **options):
    return manifest.fetch_field(transport, collection="clash", field="a209", bands=["f160w"], weights=True, read=read, detection=False, **options)


def received(server, since=0, until=None):
    return [(int(a), int(b) + 1) for seen in server.seen[since:until] for a, b in _spans(seen.headers.get("range", ""))]


def _spans(text):
    return [part.split("-") for part in text.removeprefix("bytes=").split(",") if part and not part.startswith("-")]


# stamps


@pytest.mark.parametrize("orientation", ["native", "north_up"])
@pytest.mark.parametrize("several", [True, False])
def test_stamps_of_partial_copies_are_those_of_whole_files_bit_for_bit(server, make_transport, tmp_path, several, orientation):
    body = mosaic_bytes(1, rotation_deg=30)
    some = objects(5 if orientation == "north_up" or not several else 25, high=SIDE - 20)
    paths = mast.mosaic_paths("clash", "a209", "f160w")
    server.on(paths["image"], ranged(body, several=several))
    server.on(paths["weight"], ranged(WEIGHT, several=several))
    partial, whole = make_transport(cache=tmp_path / "a"), make_transport(cache=tmp_path / "b")
    parts, all_of_it = fetch_field(partial), fetch_field(whole, "whole")
    assert parts["bands"]["f160w"]["remote"]["weight"]["length"] == len(WEIGHT) and all_of_it["bands"]["f160w"]["remote"] is None
    traffic = fetch_stamps(partial, some, {"a209": parts}, orientation=orientation)
    assert 0 < traffic.received < 0.62 * (len(body) + len(WEIGHT)) and not traffic.whole
    one, other = (cut_shard(some, {"a209": m}, pixels=32, orientation=orientation, min_coverage=0.0) for m in (parts, all_of_it))
    assert one.status.tolist() == other.status.tolist() and "failed" not in one.status and "ok" in one.status
    assert np.array_equal(one.pixels, other.pixels)
    for name, values in other.scalars.items():
        assert np.array_equal(one.scalars[name], values, equal_nan=True), name


@pytest.mark.parametrize("turned", [False, True])
def test_what_is_fetched_is_exactly_what_cutting_reads(tmp_path, monkeypatch, turned):
    path = tmp_path / "m.fits"
    path.write_bytes(IMAGE)
    mosaic, read, plain = Mosaic(path), [], Pixels.windows

    def record(self, row, column, out):
        read.append((row.copy(), column.copy(), np.full(len(row), out.shape[1])))
        return plain(self, row, column, out)

    monkeypatch.setattr(Pixels, "windows", record)
    rng = np.random.default_rng(5)
    x, y, side = rng.uniform(0, SIDE, 60), rng.uniform(0, SIDE, 60), rng.uniform(3, 120, 60)
    row, column, size = touched_windows(x, y, side, turned=turned)
    for n in np.unique(size):
        same = size == n
        cutter = Cutter(mosaic, 16, turned=turned)
        monkeypatch.setattr(cutter, "_turn", lambda windows, *_: np.zeros((len(windows), 16, 16), np.float32))
        cutter.cut(x[same], y[same], side[same], int(n))
        assert all(np.array_equal(mine[same], theirs) for mine, theirs in zip((row, column, size), read.pop(), strict=True))


def test_positions_on_the_sky_do_as_well_as_pixels(server, transport):
    serve_field(server)
    found = fetch_field(transport)
    some = objects(8, low=50, high=550)
    ra, dec = Mosaic(found["bands"]["f160w"]["image"]).wcs.wcs_pix2world(some["x_pix"], some["y_pix"], 1)
    some = {name: values for name, values in some.items() if name not in ("x_pix", "y_pix")} | {"ra": ra, "dec": dec}
    fetch_stamps(transport, some, {"a209": found})
    assert set(cut_shard(some, {"a209": found}, pixels=16).status) == {"ok"}


def test_a_hole_is_an_error_and_never_a_zero(server, transport):
    serve_field(server)
    found = fetch_field(transport)
    entry = found["bands"]["f160w"]
    assert entry["status"] == "ok" and entry["sha256"] is None
    shard = cut_shard(objects(5, low=100, high=500), {"a209": found}, pixels=16)
    assert set(shard.status) == {"failed"} and "not fetched" in shard.reason[0] and not shard.pixels.any()
    some = objects(5, low=100, high=500)
    fetch_stamps(transport, some, {"a209": found})
    mosaic = Mosaic(entry["image"], entry["weight"])
    with pytest.raises(StampError, match="all of it is needed"):
        _ = mosaic.pixels.array
    row, column, size = touched_windows(some["x_pix"] - 1, some["y_pix"] - 1, some["stamp_arcsec"] / mosaic.pixel_scale_arcsec)
    n = int(size[0])
    mosaic.pixels.windows(row[:1], column[:1], np.empty((1, n, n), np.float32))
    with pytest.raises(StampError, match="not fetched"):
        mosaic.pixels.windows(row[:1], column[:1] - 1, np.empty((1, n, n), np.float32))
    os.unlink(f"{entry['image']}.present.npy")
    with pytest.raises(StampError, match="list of what is here"):
        Mosaic(entry["image"])


# traffic


def test_a_second_run_asks_only_for_what_is_missing_and_a_third_for_nothing(server, transport):
    serve_field(server)
    found = {"a209": fetch_field(transport)}
    first, more = objects(6, low=50, high=550), objects(9, low=50, high=550)
    fetch_stamps(transport, first, found)
    seen = len(server.seen)
    assert fetch_stamps(transport, first, found).requests == 0 and len(server.seen) == seen
    fetch_stamps(transport, more, found)
    before = Intervals.of(*zip(*received(server, until=seen), strict=True))
    after = received(server, seen)
    assert len(server.seen) > seen
    per_file = {one.target for one in server.seen[seen:]}
    assert len(per_file) == 2 and after
    assert before.total  # both files have one grid, so their ranges can be judged together
    assert Intervals.of(*zip(*after, strict=True)).minus(before).total == Intervals.of(*zip(*after, strict=True)).total


def test_the_cache_may_be_emptied_under_a_manifest(server, transport):
    serve_field(server)
    found = {"a209": fetch_field(transport)}
    entry = found["a209"]["bands"]["f160w"]
    sparse.forget(type(transport.cache.root)(entry["image"]))
    fetch_stamps(transport, objects(6, low=50, high=550), found)
    assert set(cut_shard(objects(6, low=50, high=550), found, pixels=16).status) == {"ok"}


def test_requests_name_the_version_and_run_within_the_archives_connections(server, make_transport):
    few = {**ARCHIVES, "mast": dataclasses.replace(ARCHIVES["mast"], connections=2)}
    server.on(PATH, ranged(IMAGE, several=False))
    transport = make_transport(archives=few)
    remote = ranges.open_remote(transport, "mast", PATH, read="ranges")
    assert not remote.several and remote.validator == '"v1"' and len(server.seen) == 2
    traffic = ranges.fetch(transport, remote, Intervals.of(range(100_000, 900_000, 50_000), range(101_000, 901_000, 50_000)))
    assert traffic.requests == 16 == len(server.seen) - 2 and server.busiest <= 2
    assert all(seen.headers["if-range"] == '"v1"' for seen in server.seen[2:])


def test_a_header_longer_than_the_first_request_is_read_to_its_end(server, transport):
    header = fits.Header([("HISTORY", f"drizzled {i}") for i in range(1500)])
    hdu = fits.PrimaryHDU(np.zeros((300, 300), np.float32), header)
    body = hdu.header.tostring().encode() + hdu.data.tobytes() + b"\0" * (-hdu.data.nbytes % 2880)
    server.on(PATH, ranged(body))
    remote = ranges.open_remote(transport, "mast", PATH)
    assert remote.length == len(body) and len(server.seen) > 1
    with ranges.RemoteFile(transport, remote) as file, fits.open(file) as hdus:
        assert len(hdus[0].header["HISTORY"]) == 1500
    seen = len(server.seen)
    ranges.open_remote(transport, "mast", PATH)
    assert len(server.seen) == seen + 1  # the rest of the header was here


def test_astropy_reads_sections_through_fsspec(server, transport):
    server.on(PATH, ranged(IMAGE))
    remote = ranges.open_remote(transport, "mast", PATH, read="ranges")
    with ranges.RemoteFile(transport, remote) as file, fits.open(file) as hdus:
        found = hdus[0].section[300:303, 10:20]
    offset = IMAGE.index(b"END" + b" " * 77) // 2880 * 2880 + 2880
    expected = np.frombuffer(IMAGE, ">f4", SIDE * SIDE, offset).reshape(SIDE, SIDE)[300:303, 10:20]
    assert np.array_equal(found, expected)
    assert sum(stop - start for start, stop in received(server)) < 3 * ranges.HEAD_BYTES


# plans


def test_most_of_a_file_is_downloaded_whole_and_judged(server, transport):
    serve_field(server)
    found = {"a209": fetch_field(transport)}
    some = objects(150)
    traffic = fetch_stamps(transport, some, found)
    assert traffic.whole and traffic.received >= len(IMAGE) + len(WEIGHT)
    assert {seen.headers.get("range") for seen in server.seen[2:]} == {None}
    assert "failed" not in cut_shard(some, found, pixels=16).status
    entry = found["a209"]["bands"]["f160w"]
    assert Mosaic(entry["image"]).pixels.array.shape == (SIDE, SIDE)
    # a manifest made now points at the whole files and asks for nothing
    seen = len(server.seen)
    again = fetch_field(transport)["bands"]["f160w"]
    assert again["remote"] is None and again["sha256"] and len(server.seen) == seen


def test_a_plan_weighs_bytes_against_requests():
    place, length = Archive("x", "https://x", requests_per_second=4.0), 2_500_000_000
    rng = np.random.default_rng(0)
    row, column = rng.integers(0, 24_900, (2, 3000))
    wanted = pixel_bytes(2880, 4, (25_000, 25_000), row, column, np.full(3000, 60))
    at_once = make_plan(wanted, length, place, several=True, read="ranges")
    assert not at_once.whole and at_once.moved < 2 * wanted.total and at_once.requests < 1000
    quick = make_plan(wanted, length, place, several=True, read="auto")
    assert not quick.whole and at_once.moved <= quick.moved and quick.seconds <= 251
    assert make_plan(wanted, length, place, several=False, read="auto").whole
    few = pixel_bytes(2880, 4, (25_000, 25_000), row[:12], column[:12], np.full(12, 60))
    one_by_one = make_plan(few, length, place, several=False, read="auto")
    assert not one_by_one.whole and one_by_one.share < 0.1
    # what was spent before counts: nobody pays by instalments much more than for the whole
    assert make_plan(few, length, place, several=False, read="auto", present=Intervals.of(range(0, 3_000_000, 3000), range(100, 3_000_100, 3000))).whole


@pytest.mark.parametrize("several", [True, False])
def test_the_requests_of_a_plan_hold_all_its_bytes_once(several, monkeypatch):
    monkeypatch.setattr(range_plan, "MAX_REQUEST_BYTES", 5000)
    rng = np.random.default_rng(1)
    start = rng.integers(0, 4_000_000, 700)
    wanted = Intervals.of(start, start + rng.integers(1, 20_000, 700)).minus(Intervals.of([50_000], [60_000]))
    place = Archive("x", "https://x", requests_per_second=1e6)
    plan = make_plan(wanted, 10_000_000, place, several=several, read="ranges")
    groups = plan.groups()
    pieces = [(a, b) for group in groups for a, b in zip(group.start.tolist(), group.stop.tolist(), strict=True)]
    assert pieces == sorted(pieces) and all(b <= c for (_, b), (c, _) in itertools.pairwise(pieces))
    assert not len(wanted.minus(Intervals.of(*zip(*pieces, strict=True))))
    assert all(len(group) <= (range_plan.MAX_PARTS if several else 1) and group.total <= 5000 for group in groups)


def test_pixels_lie_where_fits_puts_them():
    shape, n = (7, 9), 4
    file = np.concatenate([np.full(10, -1.0), np.arange(63.0)]).astype(">f4")
    for row in range(-5, 9):
        for column in range(-5, 11):
            found = pixel_bytes(40, 4, shape, np.array([row]), np.array([column]), np.array([n]))
            values = [v for a, b in zip(found.start, found.stop, strict=True) for v in np.frombuffer(file.tobytes()[a:b], ">f4")]
            inside = np.arange(63.0).reshape(shape)[max(row, 0) : max(row + n, 0), max(column, 0) : max(column + n, 0)]
            assert values == inside.ravel().tolist()


# faults


WANTED = Intervals.of(range(200_000, 800_000, 20_000), range(204_000, 804_000, 20_000))


def assert_here(remote, wanted=WANTED, body=IMAGE):
    with sparse.SparseFile(remote.file, remote.origin) as file:
        for start, stop in zip(wanted.start.tolist(), wanted.stop.tolist(), strict=True):
            assert file.read(start, stop) == body[start:stop]


def test_parts_in_any_order_are_put_in_place(server, transport):
    server.on(PATH, ranged(IMAGE, reverse=True))
    remote = ranges.open_remote(transport, "mast", PATH, read="ranges")
    assert ranges.fetch(transport, remote, WANTED).requests == 1
    assert_here(remote)


def test_fewer_parts_than_asked_are_no_failure(server, make_transport):
    server.on(PATH, ranged(IMAGE, most=4))
    transport = make_transport(attempts=1)
    remote = ranges.open_remote(transport, "mast", PATH, read="ranges")
    assert ranges.fetch(transport, remote, WANTED).requests == -(-len(WANTED) // 4)
    assert_here(remote)


@pytest.mark.parametrize("after", [0, 50, 150, 4200, 60_001])
@pytest.mark.parametrize("several", [True, False])
def test_a_cut_reply_keeps_what_came_and_only_the_rest_is_asked(server, transport, after, several):
    good = ranged(IMAGE, several=several)
    server.on(PATH, good)
    remote = ranges.open_remote(transport, "mast", PATH, read="ranges")
    opened = len(server.seen)
    server.on(PATH, cut_after(good, after), good)
    ranges.fetch(transport, remote, WANTED)
    assert_here(remote)
    asked = sum(int(b) - int(a) + 1 for seen in server.seen[opened:] for a, b in _spans(seen.headers["range"]))
    assert len(server.seen) >= opened + 2 or after == 60_001
    assert asked <= 2 * WANTED.total


def test_an_archive_that_is_down_for_a_while_is_asked_again(server, transport):
    good = ranged(IMAGE)
    server.on(PATH, status(503), good)
    remote = ranges.open_remote(transport, "mast", PATH, read="ranges")
    server.on(PATH, status(503), status(429, Retry_After="0"), good)
    ranges.fetch(transport, remote, WANTED)
    assert_here(remote)


def test_what_came_before_a_failure_is_not_asked_again(server, make_transport):
    good = ranged(IMAGE)
    server.on(PATH, good)
    transport = make_transport()
    remote = ranges.open_remote(transport, "mast", PATH, read="ranges")
    server.on(PATH, cut_after(good, 30_000), status(503))
    with pytest.raises(ArchiveError, match="503"):
        ranges.fetch(transport, remote, WANTED)
    server.on(PATH, good)
    seen = len(server.seen)
    ranges.fetch(make_transport(), remote, WANTED)
    assert_here(remote)
    assert sum(b - a for a, b in received(server, seen)) < WANTED.total - 20_000


@pytest.mark.parametrize("options", [{"etag": '"v2"'}, {"etag": None, "modified": "Wed, 16 Nov 2016 12:45:26 GMT"}])
def test_another_version_is_noticed_and_nothing_is_mixed(server, transport, options):
    first = {"etag": None} if options["etag"] is None else {}
    server.on(PATH, ranged(IMAGE, **first))
    remote = ranges.open_remote(transport, "mast", PATH, read="ranges")
    server.on(PATH, ranged(WEIGHT, **options))
    with pytest.raises(ArchiveError, match="has changed since it was opened"):
        ranges.fetch(transport, remote, WANTED)
    with sparse.SparseFile(remote.file, remote.origin) as file:
        assert len(WANTED.minus(file.present)) == len(WANTED)
    newer = ranges.open_remote(transport, "mast", PATH, read="ranges")
    ranges.fetch(transport, newer, WANTED)
    assert_here(newer, body=WEIGHT)
    assert newer.file != remote.file and not remote.file.exists()


def test_a_server_that_forgets_to_compare_versions_is_found_out(server, transport):
    server.on(PATH, ranged(IMAGE))
    remote = ranges.open_remote(transport, "mast", PATH, read="ranges")

    def careless(handler):
        del handler.headers["If-Range"]
        ranged(WEIGHT, etag='"v2"')(handler)

    server.on(PATH, careless)
    with pytest.raises(ArchiveError, match="has changed"):
        ranges.fetch(transport, remote, WANTED)


def test_a_page_in_place_of_a_part_is_asked_again_and_never_stored(server, transport):
    server.on(PATH, ranged(IMAGE))
    remote = ranges.open_remote(transport, "mast", PATH, read="ranges")
    page = status(200, b"<html>maintenance</html>", Content_Type="text/html")
    server.on(PATH, page, ranged(IMAGE))
    ranges.fetch(transport, remote, WANTED)
    assert_here(remote)


def test_a_server_without_ranges_is_downloaded_whole(server, transport):
    def whole_only(body, **options):
        def behave(handler):
            del handler.headers["Range"]
            ranged(body)(handler)

        return behave

    serve_field(server, whole_only)
    found = fetch_field(transport)["bands"]["f160w"]
    assert found["remote"] is None and Mosaic(found["image"], found["weight"]).pixels.array.shape == (SIDE, SIDE)


def test_what_the_mirror_has_is_not_asked_for(server, make_transport, tmp_path):
    for path, body in zip(mast.mosaic_paths("clash", "a209", "f160w").values(), (IMAGE, WEIGHT), strict=True):
        place = tmp_path / "mirror" / "mast" / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(body)
    found = fetch_field(make_transport(mirror=tmp_path / "mirror"))["bands"]["f160w"]
    assert found["remote"] is None and found["sha256"] and not server.seen


def test_a_file_without_a_validator_is_downloaded_whole(server, transport):
    serve_field(server, etag=None, modified="")
    assert fetch_field(transport)["bands"]["f160w"]["remote"] is None


def test_a_server_that_stops_serving_ranges_is_downloaded_whole(server, transport):
    server.on(PATH, ranged(IMAGE))
    remote = ranges.open_remote(transport, "mast", PATH, read="ranges")

    def no_more(handler):
        del handler.headers["Range"]
        ranged(IMAGE)(handler)

    server.on(PATH, no_more)
    assert ranges.fetch(transport, remote, WANTED).whole
    assert_here(remote)


def test_several_ranges_at_once_may_be_refused_halfway(server, transport):
    server.on(PATH, ranged(IMAGE))
    remote = ranges.open_remote(transport, "mast", PATH, read="ranges")
    assert remote.several
    server.on(PATH, ranged(IMAGE, several=False))
    assert not ranges.fetch(transport, remote, WANTED).whole
    assert_here(remote)


def test_what_is_no_mosaic_is_refused_at_the_door(server, transport):
    server.on(PATH, ranged(IMAGE[:-2880]))
    with pytest.raises(ArchiveError, match="cut short"):
        ranges.open_remote(transport, "mast", PATH)
    server.on(PATH, ranged(b"<html>" * 9000))
    with pytest.raises(ArchiveError, match="no FITS header"):
        ranges.open_remote(transport, "mast", PATH)
    server.on(PATH, ranged(mosaic_bytes(3, simulated=True)))
    with pytest.raises(ArchiveError, match="simulated"):
        ranges.open_remote(transport, "mast", PATH)
    with pytest.raises(NotInArchive):
        ranges.open_remote(transport, "mast", PATH.replace("f160w", "f225w"))
    assert not list((transport.cache.root / "sparse").rglob("*.fits"))


def test_the_simulated_realm_keeps_its_own_copies(server, make_transport):
    server.on(PATH, ranged(mosaic_bytes(3, simulated=True)))
    remote = ranges.open_remote(make_transport(realm="simulated-0123"), "mast", PATH, read="ranges")
    server.on(PATH, ranged(IMAGE, etag='"real"'))
    with pytest.raises(ArchiveError, match="not marked as simulated"):
        ranges.open_remote(make_transport(realm="simulated-0123"), "mast", PATH)
    assert ranges.open_remote(make_transport(), "mast", PATH).file != remote.file


def test_an_absent_filter_is_an_answer(server, transport):
    found = fetch_field(transport)
    assert found["bands"]["f160w"]["status"] == "absent" and found["detection"]["status"] == "not fetched"
    assert fetch_stamps(transport, objects(3), {"a209": found}).requests == 0


def test_a_killed_job_leaves_a_copy_that_goes_on(server, make_transport, tmp_path):
    transport = make_transport()
    server.on(PATH, ranged(IMAGE, several=False))
    remote = ranges.open_remote(transport, "mast", PATH, read="ranges")
    good, count = ranged(IMAGE, several=False), len(server.seen)

    def slow(handler):
        if len(server.seen) - count > 12:
            server.release.wait(20)
        good(handler)

    server.on(PATH, slow)
    code = textwrap.dedent(
        f"""
        from pathlib import Path
        from tuningfork.archives import range_fetch, ranges
        from tuningfork.archives.intervals import Intervals
        from tuningfork.archives.transport import Transport
        range_fetch.COMMIT_S = 0.0
        with Transport(realm="live", cache=Path({str(tmp_path / "cache")!r}), endpoints={{"mast": {server.url!r}}}) as transport:
            ranges.fetch(transport, ranges.Remote.of(transport, {remote.record!r}), Intervals.of({WANTED.start.tolist()}, {WANTED.stop.tolist()}))
        """
    )
    child = subprocess.Popen([sys.executable, "-c", code])
    for _ in range(1000):
        if len(server.seen) - count > 14 and sparse.present_in(remote.file).total > 30_000:
            break
        time.sleep(0.02)
    child.send_signal(signal.SIGKILL)
    child.wait()
    here = sparse.present_in(remote.file)
    assert here.total > 30_000 and len(WANTED.minus(here))
    server.release.set()
    server.on(PATH, good)
    seen = len(server.seen)
    assert ranges.fetch(transport, remote, WANTED).requests <= len(WANTED.minus(here)) < len(WANTED)
    assert not [pair for pair in received(server, seen) if here.covers(*map(np.array, zip(pair, strict=True)))[0]]
    assert_here(remote)


# hosts


def test_the_bucket_has_the_archives_tree_under_another_root():
    assert mast.s3_path("/missions/hlsp/clash/a209/x.fits") == "/mast/hlsp/clash/a209/x.fits"
    with pytest.raises(ArchiveError, match="high-level science products"):
        mast.s3_path("/pub/x.fits")


@pytest.fixture
def two_hosts(server, make_transport):
    return make_transport(endpoints={"mast": server.url, "s3": server.url}, attempts=1)


def test_the_bucket_stands_in_for_an_archive_that_fails(server, two_hosts):
    server.on(PATH, status(503))
    server.on(mast.s3_path(PATH), ranged(IMAGE, several=False))
    assert mast.fetch_mosaic(two_hosts, PATH, hosts=mast.HOSTS).sidecar["archive"] == "s3"
    with pytest.raises(ArchiveError, match="503"):
        mast.fetch_mosaic(two_hosts, PATH)


def test_the_bucket_can_be_the_first_choice_and_its_no_is_none(server, two_hosts):
    server.on(PATH, ranged(IMAGE))
    assert mast.open_mosaic(two_hosts, PATH, hosts=("s3", "mast")).archive == "mast"
    assert len(server.seen) == 2  # neither was asked twice
    server.on(mast.s3_path(PATH), ranged(IMAGE, several=False))
    found = mast.open_mosaic(two_hosts, PATH, hosts=("s3", "mast"))
    assert (found.archive, found.several) == ("s3", False)
    asked = len(server.seen)
    with pytest.raises(NotInArchive):
        mast.open_mosaic(two_hosts, PATH.replace("f160w", "f225w"), hosts=mast.HOSTS)
    assert len(server.seen) == asked + 1  # the archive's no is an answer
    with pytest.raises(ArchiveError, match="no host 'ftp'"):
        mast.fetch_mosaic(two_hosts, PATH, hosts=("ftp",))


def test_tiny_files_are_fine(server, transport):
    server.on(PATH, ranged(fits_bytes(20)))
    found = mast.open_mosaic(transport, PATH, read="auto")
    assert found.length == len(fits_bytes(20))
    ranges.fetch(transport, found, Intervals.of([0], [found.length]))
    assert_here(found, Intervals.of([0], [found.length]), fits_bytes(20))
