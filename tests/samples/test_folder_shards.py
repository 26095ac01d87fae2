"""A picture that was exchanged makes its own shard stale, and no other."""

import numpy as np
from PIL import Image

from tuningfork.samples import build
from tuningfork.samples.folder import select_folder_sample

SPEC = {
    "kind": "folder",
    "task": "regression",
    "targets": ["y"],
    "stamp": {"pixels": 16, "channels": 1},
    "split": {"by": "galaxy", "column": None, "seed": 1, "validation": 0.2, "test": 0.2, "healpix_nside": 4096},
    "shards": {"healpix_nside": 64, "buckets": 4},
}


def _sample(folder):
    labels = {"file": str(folder / "labels.csv"), "path_column": "file", "id_column": None, "label_column": None, "group_column": None, "suffix": ".png"}
    selected = select_folder_sample({**SPEC, "folder": str(folder / "pictures"), "labels": labels})
    return build.finish_sample(selected, SPEC)


def test_new_bytes_under_an_old_name(tmp_path):
    (tmp_path / "pictures").mkdir()
    rows = ["file,y"]
    for number in range(40):
        Image.fromarray(np.full((16, 16), number, np.uint8)).save(tmp_path / "pictures" / f"g{number}.png")
        rows.append(f"g{number}.png,{number}")
    (tmp_path / "labels.csv").write_text("\n".join(rows))
    objects, before = _sample(tmp_path)
    assert _sample(tmp_path)[1] == before
    Image.fromarray(np.full((16, 16), 200, np.uint8)).save(tmp_path / "pictures" / "g7.png", compress_level=1)
    after = _sample(tmp_path)[1]
    stale = {name for name, shard in after["shards"].items() if shard["digest"] != before["shards"][name]["digest"]}
    assert stale == {str(objects["shard"][list(objects["object_id"]).index("g7")])}
    assert after["labels"] == before["labels"]
