"""A large catalogue of which ten objects change: only their shards are fetched again.

The table, the selection and the shards are made by the real rules; the stamps are not fetched but noted as made (``--touch``), and what would be
fetched again is read off a dry run. The full form: ``python tests/freshness/scale.py --objects 1000000 --nside 8`` (768 shards).
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from workbench import Bench, Forges

from tuningfork.tables import read_columns

SHARDS, TABLE, STAMPS = (f"results/samples/big/{name}" for name in ("shards.json", "objects.parquet", "stamps.json"))
CHANGED = 10


def configuration(nside: int) -> dict[str, Any]:
    """One sample of cutouts of a table of one's own; live, so that no sky is rendered, but nothing is asked of an archive here."""
    columns = {"object_id": "id", "ra": "ra", "dec": "dec", "mag": "mag"}
    sample = {
        "kind": "cutout",
        "shards": {"healpix_nside": nside},
        "catalogue": {"name": "table", "options": {"file": "big.csv", "columns": columns}},
        "task": "regression",
        "targets": ["mag"],
        "images": {"service": "legacysurvey", "layer": "ls-dr9-south"},
    }
    return {"archives": {"mode": "live"}, "samples": {"big": sample}}


def write_table(path: Path, ra: np.ndarray, dec: np.ndarray) -> None:
    """Objects all over the sky."""
    rows = [f"o{number},{a:.6f},{d:.6f},{16 + number % 500 / 100:.2f}" for number, (a, d) in enumerate(zip(ra.tolist(), dec.tolist(), strict=True))]
    path.write_text("\n".join(["id,ra,dec,mag", *rows]) + "\n")


def shards_of(folder: Path, ids: list[str]) -> set[str]:
    """The shards of some objects."""
    table = read_columns(folder / TABLE, ["object_id", "shard"])
    return set(table["shard"][np.isin(table["object_id"], ids)].tolist())


def change_ten(folder: Path, forges: Forges, objects: int, nside: int) -> tuple[list[str], list[str], int]:
    """What reruns when ten objects move a little, what should, and the number of shards."""
    rng = np.random.default_rng(1)
    ra, dec = rng.uniform(0, 360, objects), np.degrees(np.arcsin(rng.uniform(-1, 1, objects)))
    folder.mkdir(parents=True)
    write_table(folder / "big.csv", ra, dec)
    bench = Bench(folder, forges, configuration=configuration(nside))
    bench.snakemake("--", SHARDS)
    names = list(json.loads((folder / SHARDS).read_text())["shards"])
    for name in names:
        stamps = folder / f"results/samples/big/stamps/{name}.arrow"
        stamps.parent.mkdir(exist_ok=True)
        for path in (stamps, stamps.with_suffix(".sha256"), folder / STAMPS, folder / "results/samples/big/ledger.parquet"):
            path.touch()
    bench.snakemake("--touch", "--forcerun", "fetch_cutouts", "collect_stamps", "--", STAMPS)
    assert bench.snakemake("-n", "--", STAMPS) == []
    moved = rng.choice(objects, CHANGED, replace=False)
    ids = [f"o{row}" for row in moved.tolist()]
    before = shards_of(folder, ids)
    dec[moved] += np.where(dec[moved] > 0, -1e-3, 1e-3)
    write_table(folder / "big.csv", ra, dec)
    got = [*bench.snakemake("--", SHARDS), *bench.snakemake("-n", "--", STAMPS)]
    changed = before | shards_of(folder, ids)
    want = ["download_catalogue[big, table]", "select_sample[big]", "shard_sample[big]", "collect_stamps[big]"]
    return sorted(got), sorted([*want, *(f"fetch_cutouts[big, {name}]" for name in changed)]), len(names)


def main() -> int:
    """Exit code 1 if another shard is fetched than those of the ten, or one of those is not."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--objects", type=int, default=1_000_000)
    parser.add_argument("--nside", type=int, default=8, help="HEALPix resolution of the shards; 8 makes 768 (default: 8)")
    options = parser.parse_args()
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        forges = Forges(1)
        got, want, shards = change_ten(Path(name) / "big", forges, options.objects, options.nside)
        forges.close()
    fetched = sum(job.startswith("fetch_cutouts") for job in got)
    print(f"{options.objects} objects in {shards} shards, {CHANGED} changed: {fetched} shards are fetched again ({time.monotonic() - start:.0f} s)")
    print("as it should be" if got == want else f"too much: {sorted(set(got) - set(want))}; too little: {sorted(set(want) - set(got))}")
    return int(got != want)


if __name__ == "__main__":
    raise SystemExit(main())
