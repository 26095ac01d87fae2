"""Folders of images: the real ones, and those in which labels and images do not find each other."""

import numpy as np
import pytest
from astropy.table import Table
from hypothesis import given, settings
from hypothesis import strategies as st

from tuningfork import tables
from tuningfork.errors import CatalogueError, SampleError
from tuningfork.samples import folder, images


def make(tmp_path, images, csv=None):
    for name in images:
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    (tmp_path / "data").mkdir(exist_ok=True)
    if csv is not None:
        (tmp_path / "labels.csv").write_text(csv)
    return tmp_path / "data", tmp_path / "labels.csv"


def row(found, name):
    return found.objects[found.objects["object_id"] == name][0]


def test_sdss_metallicity(shared_data):
    root = shared_data / "sdss_metallicity"
    found = folder.read_folder(root, root / "labels.csv", targets=["oh_p50"], id_column="objID", path_column="file", split_column="part")
    assert len(found.objects) == 400 and found.objects["labelled"].all() and len(found.problems) == 0
    assert set(found.objects["given_split"]) == {"train"}
    assert np.std(np.asarray(found.objects["oh_p50"])) == pytest.approx(0.18, abs=0.02)
    assert (root / row(found, "1237648704043942146")["path"]).is_file()


def test_galaxy_zoo_1_classes(shared_data):
    root = shared_data / "gz1_sdss_objid"
    classes = ["elliptical", "spiral_cw", "spiral_acw", "edge_on", "merger", "dont_know"]
    found = folder.read_folder(root, root / "labels.csv", targets=classes, task="classes", class_column="gz1_class_name", id_column="objid_sdss_dr7")
    assert len(found.objects) == 1236 and found.objects["labelled"].all()
    assert {str(c): int(n) for c, n in zip(*np.unique(found.objects["label"], return_counts=True), strict=True)} == {
        "elliptical": 286, "spiral_acw": 286, "spiral_cw": 281, "edge_on": 264, "merger": 80, "dont_know": 39,
    }  # fmt: skip


def test_decals_rings(shared_data):
    root = shared_data / "gz_decals_rings"
    fractions = ["featured_or_disk_fraction", "disk_edge_on_no_fraction"]
    found = folder.read_folder(root, root / "labels.csv", targets=fractions, id_column="iauname", path_column="file_256")
    assert len(found.objects) == 324 and (found.objects["exclude_status"] == "").all()
    assert row(found, "J000411.19+020924.0")["featured_or_disk_fraction"] == 0.6342712290661865


def test_des_lsbg_has_columns_of_our_names(shared_data):
    root = shared_data / "des_lsbg"
    found = folder.read_folder(
        root, root / "labels.csv", targets=["LSBG", "artifact"], task="classes", class_column="label", path_column="file", split_column="split_in_source"
    )
    assert len(found.objects) == 148 and set(found.objects["given_split"]) == {"train", "validation", "test"}
    assert set(found.objects["label"]) == {"LSBG", "artifact"} and "label_csv" in found.objects.colnames
    assert np.ma.asarray(found.objects["ra"]).dtype.kind == "f"


def test_a_folder_without_labels_is_all_unlabelled(shared_data, tmp_path):
    found = folder.read_folder(shared_data / "gz_decals_rings", targets=["a", "b"])
    assert len(found.objects) == 324 and not found.objects["labelled"].any() and np.ma.asarray(found.objects["a"]).count() == 0
    tables.write(found.objects, tmp_path / "o.parquet")
    assert len(tables.read(tmp_path / "o.parquet")) == 324


def test_images_and_labels_that_miss_each_other_keep_their_rows(tmp_path):
    data, csv = make(tmp_path, ["a.jpg", "new.png", "sub/deep.FITS"], "id,y\na,1\nghost,2\n")
    found = folder.read_folder(data, csv, targets=["y"], id_column="id")
    assert found.objects["object_id"].tolist() == ["a", "deep", "ghost", "new"]
    assert row(found, "ghost")["exclude_status"] == "absent" and row(found, "ghost")["labelled"] and row(found, "ghost")["path"] == ""
    assert not row(found, "new")["labelled"] and row(found, "new")["exclude_status"] == "" and row(found, "deep")["path"] == "sub/deep.FITS"
    assert sorted(zip(found.problems["object_id"], found.problems["problem"], strict=True)) == [
        ("deep", "image without label"),
        ("ghost", "label without image"),
        ("new", "image without label"),
    ]


@pytest.mark.parametrize("wrong", ["../../x", "../secret", "/etc/hostname", "a/../../b", "..", "C:/x", "..\\x"])
def test_an_id_or_path_cannot_leave_the_folder(tmp_path, wrong):
    data, csv = make(tmp_path, ["a.jpg"], f'name,y\n"{wrong}",1\na.jpg,2\n')
    (tmp_path / "secret.jpg").write_bytes(b"x")
    by_path = folder.read_folder(data, csv, targets=["y"], path_column="name")
    assert len(by_path.objects) == 2
    bad = by_path.objects[by_path.objects["exclude_status"] == "failed"]
    assert len(bad) == 1 and "leaves the sample's folder" in bad["exclude_reason"][0] and bad["path"][0] == ""
    by_id = folder.read_folder(data, csv, targets=["y"], id_column="name")
    assert (by_id.objects["exclude_status"] == "failed").sum() == 1


def test_an_ambiguous_name_fails_and_says_which(tmp_path):
    data, csv = make(tmp_path, ["one/a.jpg", "two/a.jpg", "b.png", "b.jpg"], "id,y\na,1\nb,2\n")
    found = folder.read_folder(data, csv, targets=["y"], id_column="id", suffix=".jpg")
    assert row(found, "a")["exclude_status"] == "failed" and "one/a.jpg, two/a.jpg" in row(found, "a")["exclude_reason"]
    assert row(found, "b")["path"] == "b.jpg"
    assert len(found.objects) == 2 + 3


def test_bad_values_make_unlabelled_rows(tmp_path):
    data, csv = make(tmp_path, ["a.jpg", "b.jpg", "c.jpg", "d.jpg"], "f,y\na.jpg,nan\nb.jpg,ten\nc.jpg,inf\nd.jpg,4\n")
    found = folder.read_folder(data, csv, targets=["y"], path_column="f")
    assert found.objects["labelled"].tolist() == [False, False, False, True]
    assert row(found, "a")["label_reason"] == "a target is missing" and row(found, "b")["label_reason"] == "a target is not a finite number"


def test_fractions_must_sum_to_one(tmp_path):
    data, csv = make(tmp_path, ["a.jpg", "b.jpg"], "f,p,q\na.jpg,0.5,0.5\nb.jpg,0.5,0.6\n")
    found = folder.read_folder(data, csv, targets=["p", "q"], task="fractions", path_column="f")
    assert found.objects["labelled"].tolist() == [True, False] and "sum to 1.1" in row(found, "b")["label_reason"]


@pytest.mark.parametrize(
    ("csv", "options", "message"),
    [
        ("id,y\na,1\na,2\n", {"id_column": "id"}, "not unique: a"),
        ("id,f,y\na,a.jpg,1\nb,a.jpg,2\n", {"id_column": "id", "path_column": "f"}, r"images: 1 identifier not unique: a\.jpg"),
        ("id,y\na,1\n", {}, "id_column"),
        ("id,y\n,1\n", {"id_column": "id"}, "row 1 has no identifier"),
        ("id,y,s\na,1,tset\n", {"id_column": "id", "split_column": "s"}, "'tset'"),
        ("id,split\na,1\n", {"id_column": "id", "targets": ["split"]}, "cannot be a target"),
    ],
)
def test_what_cannot_be_a_sample_is_refused(tmp_path, csv, options, message):
    data, path = make(tmp_path, ["a.jpg"], csv)
    with pytest.raises(SampleError, match=message):
        folder.read_folder(data, path, **{"targets": ["y"], **options})


def test_a_missing_column_names_the_nearest(tmp_path):
    data, csv = make(tmp_path, ["a.jpg"], "objid,oh\na,1\n")
    with pytest.raises(CatalogueError, match=r"no column 'oh_p50'.*'oh'"):
        folder.read_folder(data, csv, targets=["oh_p50"], id_column="objid")


def test_nothing_at_all_is_an_error(tmp_path):
    data, _ = make(tmp_path, [])
    with pytest.raises(SampleError, match="no images"):
        folder.read_folder(data)
    with pytest.raises(SampleError, match="no such folder"):
        folder.read_folder(tmp_path / "nowhere")


def test_groups_splits_and_positions(tmp_path):
    data, csv = make(tmp_path, ["a.jpg", "b.jpg", "c.jpg"], "id,y,g,split,ra,dec\na,1,G,Train,10.5,-3\nb,2,G,val,,\n")
    found = folder.read_folder(data, csv, targets=["y"], id_column="id", group_column="g", split_column="split")
    assert found.objects["galaxy_id"].tolist() == ["G", "G", "c"] and found.objects["group_id"].tolist() == ["G", "G", "c"]
    assert found.objects["given_split"].tolist() == ["train", "validation", "unlabelled"]
    assert row(found, "a")["ra"] == 10.5 and np.ma.is_masked(row(found, "b")["ra"])


def test_a_spec_of_the_configuration(tmp_path):
    data, csv = make(tmp_path, ["a.png", "b.png"], "id,kind\na,ring\nb,disk\n")
    spec = {
        "folder": str(data), "task": "classes", "targets": ["ring", "disk"], "split": {"by": "galaxy", "column": None},
        "labels": {"file": str(csv), "id_column": "id", "path_column": None, "label_column": "kind", "group_column": None, "suffix": ".png"},
    }  # fmt: skip
    assert folder.select_folder_sample(spec)["label"].tolist() == ["ring", "disk"]
    assert not folder.select_folder_sample({**spec, "labels": None})["labelled"].any()


NAMES = st.text(st.sampled_from("abC./ _-~é"), min_size=1, max_size=12)


@given(NAMES)
@settings(deadline=None)
def test_what_does_not_escape_stays_inside(name):
    import posixpath

    inside = posixpath.normpath(posixpath.join("/root/data", name))
    if not images.escapes(name):
        assert inside == "/root/data" or inside.startswith("/root/data/")


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["", "u/", "v/"]), st.sampled_from([".jpg", ".png"])), max_size=8, unique=True))
@settings(deadline=None, max_examples=40)
def test_every_image_is_one_row_with_an_id_of_its_own(tmp_path_factory, parts):
    root = tmp_path_factory.mktemp("folder")
    names = [f"{d}{n}{e}" for n, d, e in parts]
    for name in names:
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(b"")
    if not names:
        return
    found = folder.read_folder(root, Table({"id": ["a"], "y": ["1"]}), targets=["y"], id_column="id")
    listed = [path for path in found.objects["path"].tolist() if path]
    assert sorted(listed) == sorted(names)
    assert len(set(found.objects["object_id"].tolist())) == len(found.objects)
