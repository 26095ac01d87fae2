"""A shard that objects were left out of, for a reason that may pass, is asked for again in the next run: as often as needed, and not once more."""

from pathlib import Path

import numpy as np
import pytest

from tuningfork.archives.transport import Transport
from tuningfork.config import load
from tuningfork.files import read_json
from tuningfork.sky.server import serve
from tuningfork.sky.wide.build import render_wide
from tuningfork.sky.wide.parameters import WideParameters
from tuningfork.stamps.cutouts import fetch_shard, note_failures
from tuningfork.stamps.store import read_shard, write_shard
from tuningfork.workflow import Workflow

SAMPLE = {
    "kind": "cutout",
    "catalogue": {"name": "gz_decals"},
    "task": "regression",
    "targets": ["smooth"],
    "images": {"service": "legacysurvey", "layer": "unwise-neo7", "bands": ["1", "2"], "arcsec_per_pixel": 2.75, "pixels": 32},
    "stamp": {"pixels": 32},
}


@pytest.fixture
def stamps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a shard's stamps go; the working directory is that of a run."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "results/samples/galaxies/stamps").mkdir(parents=True)
    return tmp_path / "results/samples/galaxies/stamps/1a.arrow"


def _workflow(repository: Path, **archives: object) -> Workflow:
    config = load({"archives": archives, "samples": {"galaxies": SAMPLE}}, [], repository / "config" / "recipes")
    return Workflow(config, repository)


def test_a_shard_that_was_never_fetched_has_token_zero(repository: Path, stamps: Path) -> None:
    assert _workflow(repository).retry_token("galaxies", "1a") == 0


def test_a_complete_shard_keeps_the_token_with_which_it_was_made(repository: Path, stamps: Path) -> None:
    for token in (0, 3):
        note_failures(stamps, 0, token=token)
        assert _workflow(repository).retry_token("galaxies", "1a") == token


def test_a_shard_with_failures_gets_another_token_until_it_is_complete(repository: Path, stamps: Path) -> None:
    made_with = [0]
    for failed in (5, 2, 2, 0, 0):
        note_failures(stamps, failed, token=made_with[-1])
        made_with.append(_workflow(repository).retry_token("galaxies", "1a"))
    assert made_with == [0, 1, 2, 3, 3, 3]


def test_failures_are_left_alone_where_the_configuration_says_so(repository: Path, stamps: Path) -> None:
    note_failures(stamps, 5, token=2)
    assert _workflow(repository, retry_failed=False).retry_token("galaxies", "1a") == 2
    assert _workflow(repository, retry_failed=True).retry_token("galaxies", "1a") == 3


def test_another_shard_is_another_matter(repository: Path, stamps: Path) -> None:
    note_failures(stamps, 5, token=0)
    assert _workflow(repository).retry_token("galaxies", "1b") == 0


def test_runs_over_an_archive_that_recovers(repository: Path, stamps: Path, tmp_path: Path) -> None:
    """What the rule does, run by run: fetch with the token, write, note; the next run's token says whether there is a next time."""
    root = render_wide(WideParameters(5, 20, 20, 20, 20, 20), tmp_path / "sky", progress=False).parent
    count = 4
    objects = {
        "object_id": np.array([f"o{i}" for i in range(count)]),
        "ra": np.linspace(150, 151, count),
        "dec": np.linspace(2, 3, count),
        "arcsec_per_pixel": np.full(count, 2.75),
        "exclude_reason": np.full(count, ""),
    }
    images, stamp = {**SAMPLE["images"], "format": "fits", "footprint": None}, {"pixels": 32, "crop": 1.0}
    tokens, requests, digests = [], [], []
    # First the archive fails for all, then for one, then for none.
    for fault in ({"/legacysurvey/*": "503"}, {"*ra=150&*": "html"}, None, None):
        token = _workflow(repository).retry_token("galaxies", "1a")
        if tokens and token == tokens[-1]:
            tokens.append(token)
            break
        journal: list = []
        with (
            serve(root, faults=fault, journal=journal) as endpoints,
            Transport(realm="simulated-retry", cache=tmp_path / "cache", endpoints=endpoints, attempts=1, longest_pause_s=0.01) as transport,
        ):
            shard, failed = fetch_shard(transport, objects, images=images, stamp=stamp)
        digests.append(write_shard(stamps, shard))
        note_failures(stamps, failed, token=token)
        tokens.append(token)
        requests.append(len(journal))
    assert tokens == [0, 1, 2, 2]
    assert requests == [4, 4, 1]
    assert len(set(digests)) == 3
    assert set(read_shard(stamps).status) == {"ok"}
    assert read_json(stamps.with_suffix(".retry.json")) == {"token": 2, "failed": 0}
