"""Mosaics that are read by byte ranges give the stamps of mosaics that are downloaded, through the real rules."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from tuningfork.stamps.store import read_shard

pytestmark = pytest.mark.slow
HERE = Path(__file__).parent


def test_ranges_give_the_stamps_of_whole_mosaics(repository: Path, tmp_path: Path) -> None:
    tiny = yaml.safe_load((HERE / "tiny.yaml").read_text())
    sample = {**tiny["samples"]["clash"], "shards": {"healpix_nside": 1}}
    sample["images"] = {**sample["images"], "fields": ["SIM-A"], "bands": ["f475w", "f160w"]}
    sample["split"] = {"by": "galaxy", "validation": 0.2, "test": 0.3}
    samples = {way: {**sample, "images": {**sample["images"], "read": way}} for way in ("whole", "ranges")}
    configuration = {"sky": {**tiny["sky"], "clusters": ["SIM-A"], "bands": ["f475w", "f160w"], "goodss_side_px": 200}, "samples": samples}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(configuration))
    command = [Path(sys.executable).with_name("snakemake"), "-s", repository / "Snakefile", "-d", tmp_path, "--configfile", tmp_path / "config.yaml"]
    # Ranges first: what is whole in the cache is not fetched in parts.
    for way in ("ranges", "whole"):
        done = subprocess.run([*command, "--cores", "2", f"results/samples/{way}/stamps.json"], capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    whole, ranges = (sorted((tmp_path / f"results/samples/{way}/stamps").glob("*.sha256")) for way in samples)
    assert [path.name for path in whole] == [path.name for path in ranges] and whole
    for one, other in zip(whole, ranges, strict=True):
        assert one.read_text() == other.read_text()
        assert np.isin(read_shard(other.with_suffix(".arrow")).status, ["ok", "partial"]).sum() > 20
    manifests = [json.loads((tmp_path / f"resources/mosaics/{way}/SIM-A.json").read_text()) for way in samples]
    assert manifests[0] != manifests[1]
    assert list((tmp_path / "logs/cut_stamps").glob("whole.*")) and not list((tmp_path / "logs/cut_stamps").glob("ranges.*"))
    assert list((tmp_path / "logs/cut_remote_stamps").glob("ranges.*"))
