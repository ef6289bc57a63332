"""The manifests: all valid, split by scene, true to what is installed; the schema's refusals."""

import argparse
import hashlib
import shutil
from pathlib import Path

import pytest

from reblur.datasets.catalogue import manifests
from reblur.datasets.catalogue.commands import add_commands, attribution, human_size
from reblur.datasets.catalogue.manifests import (
    files_of,
    load_manifest,
    locate,
    manifest_hash,
    manifest_names,
    manifests_folder,
    project_root,
)
from reblur.errors import ReblurError
from small_manifests import SmallManifests, by_hand, entry

NAMES = manifest_names()
DATA = b"some bytes"
FILE = entry("a/x.png", DATA, scene="x", split="test")
BY_HAND = by_hand({"pattern": "train/*/blur/*.png", "count": 2, "split": "train"})


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A writer of manifests that have one file, FILE."""
    write = SmallManifests(tmp_path, monkeypatch)
    return lambda **changes: write(**{"files": [FILE], **changes})


def command(*words: str) -> int:
    parser = argparse.ArgumentParser()
    add_commands(parser.add_subparsers())
    arguments = parser.parse_args(["data", *words])
    return arguments.run(arguments)


@pytest.mark.parametrize("name", NAMES)
def test_every_manifest_is_valid(name):
    manifest = load_manifest(name)
    assert manifest.licence.name
    assert len(manifest.description) > 40
    assert len(manifest_hash(manifest)) == 64


@pytest.mark.parametrize("name", NAMES)
def test_every_address_pins_a_version(name):
    source = load_manifest(name).source
    if source.kind == "address" and "githubusercontent" in source.base:
        for file in load_manifest(name).files:
            owner, repository, commit = (source.base + (file.origin or file.path)).split("/")[3:6]
            assert owner
            assert repository
            assert len(commit) == 40
            assert set(commit) <= set("0123456789abcdef")


@pytest.mark.parametrize("name", NAMES)
def test_no_scene_stands_in_two_splits(name):
    of_scene: dict[str, set[str]] = {}
    for file in load_manifest(name).files:
        if file.scene:
            of_scene.setdefault(file.scene, set()).add(file.split)
    for split, scenes in load_manifest(name).splits.items():
        for scene in scenes:
            of_scene.setdefault(scene, set()).add(split)
    assert all(len(splits) == 1 for splits in of_scene.values())


@pytest.mark.parametrize(
    "name",
    ["skimage_photographs", "photos_budgie", "photos_unsplash", "ffhq_samples", "redegnet_faces"],
)
def test_photographs_are_split_three_ways(name):
    manifest = load_manifest(name)
    counts = [sum(f.split == s for f in manifest.files) for s in ("train", "validation", "test")]
    assert all(counts)
    assert sum(counts) == len(manifest.files)
    assert counts[0] >= 2 * (counts[1] + counts[2])


def test_the_promised_data_sets():
    promised = {"gopro_authors": 4, "gopro_0372": 28, "reds_samples": 20, "lpips_example": 3}
    promised |= {"photos_budgie": 24, "photos_unsplash": 27, "lpips_alexnet": 1}
    promised |= {"real47": 47, "realsrset_5": 25, "real_faces": 14, "vqfr_faces": 11}
    promised |= {"ffhq_samples": 10, "redegnet_faces": 10, "skimage_lfw": 1}
    for name, count in promised.items():
        assert len(load_manifest(name).files) == count
    for name in ("gopro_linear", "gopro_gamma"):
        splits = load_manifest(name).splits
        assert (len(splits["train"]), len(splits["test"])) == (22, 11)
    assert load_manifest("gopro_linear").options == {"blurred": "blur"}
    assert load_manifest("gopro_gamma").options == {"blurred": "blur_gamma"}
    by_hand = {"gopro_linear", "kohler", "reds", "realblur_j", "realblur_r", "hide"}
    by_hand |= {"realset65", "realset80", "wider_test", "webphoto_test", "dped_iphone", "realsr"}
    by_hand |= {"ffhq", "celeba_hq"}
    assert by_hand <= set(NAMES)
    assert all(load_manifest(name).source.kind == "by_hand" for name in by_hand)


@pytest.mark.parametrize("name", ["skimage_photographs", "skimage_lfw"])
def test_checksums_of_scikit_image(name):
    manifest = load_manifest(name)
    folder = locate(manifest)
    for file in manifest.files:
        content = (folder / file.path).read_bytes()
        assert len(content) == file.bytes
        assert hashlib.sha256(content).hexdigest() == file.sha256


@pytest.mark.parametrize("name", ["real47", "realsrset_5", "real_faces", "vqfr_faces"])
def test_a_fifth_to_a_quarter_of_a_low_quality_set_is_for_testing(name):
    splits = [file.split for file in load_manifest(name).files if file.split is not None]
    assert set(splits) == {"train", "test"}
    assert 0.2 <= splits.count("test") / len(splits) <= 0.25


def test_faces_of_flickr_are_not_for_commerce():
    for name in ("ffhq", "ffhq_samples", "redegnet_faces", "celeba_hq"):
        assert load_manifest(name).licence.commercial_use is False


def test_motorcycles_are_one_scene():
    files = load_manifest("skimage_photographs").files
    assert len({f.scene for f in files if f.path.startswith("motorcycle")}) == 1


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"colour": "red"}, "colour"),
        ({"title": None}, "title"),
        ({"layout": "heap"}, "layout"),
        ({"licence": {"name": "x", "commercial_use": "perhaps"}}, "commercial_use"),
        ({"licence": {"name": "x"}}, "commercial_use"),
        ({"licence": {"name": "x", "commercial_use": True}}, "redistribute"),
        ({"source": {"kind": "telepathy"}}, "telepathy"),
        ({"source": {"kind": "address", "base": "ftp://example.org/"}}, "base"),
        ({"source": {"kind": "address", "base": "https://example.org"}}, "base"),
        ({"files": []}, "names files"),
        ({"files": [FILE, FILE]}, "twice"),
        ({"files": [{**FILE, "path": "../x.png"}]}, "inside the data set"),
        ({"files": [{**FILE, "path": "a/../../x.png"}]}, "inside the data set"),
        ({"files": [{**FILE, "path": "/etc/passwd"}]}, "inside the data set"),
        ({"files": [{**FILE, "path": "C:\\x.png"}]}, "inside the data set"),
        ({"files": [{**FILE, "sha256": "abc"}]}, "sha256"),
        ({"files": [{**FILE, "sha256": FILE["sha256"].upper()}]}, "sha256"),
        ({"files": [{**FILE, "bytes": 0}]}, "bytes"),
        ({"files": [{k: v for k, v in FILE.items() if k != "bytes"}]}, "bytes"),
        ({"files": [{k: v for k, v in FILE.items() if k != "split"}]}, "names its split"),
        ({"files": [FILE, {**FILE, "path": "b.png", "split": "train"}]}, "'x' stands in two"),
        ({"source": BY_HAND}, "not files"),
        ({"folder": "../elsewhere"}, "folder"),
        ({"name": "other", "filename": "small"}, "names itself"),
        ({"source": BY_HAND, "files": None, "splits": {"a": ["x"]}}, "authors' split"),
        ({"source": BY_HAND, "files": None, "splits": {"a": ["t/x"], "b": ["t/x"]}}, "overlap"),
        ({"source": BY_HAND, "files": None, "splits": {"a": ["t/x"], "b": ["t/*"]}}, "overlap"),
        ({"source": BY_HAND, "files": None, "splits": {"a": ["t/x"], "b": ["u/x"]}}, "overlap"),
        ({"source": BY_HAND, "files": None, "splits": {"a": ["t/x*"]}}, "authors' split"),
    ],
)
def test_the_schema_refuses(small, changes, said):
    with pytest.raises(ReblurError, match=r"small\.yaml: ") as refused:
        load_manifest(small(**changes))
    assert said in str(refused.value)


def test_no_yaml_is_refused(small, tmp_path):
    small()
    (tmp_path / "manifests" / "small.yaml").write_text("name: [unclosed")
    with pytest.raises(ReblurError, match="breaks the schema"):
        load_manifest("small")


def test_splits_by_pattern(small):
    splits = {"train": ["train/*"], "test": ["val/001", "val/002"]}
    manifest = load_manifest(small(source=BY_HAND, files=None, layout="gopro", splits=splits))
    assert manifest.split_names() == ["train", "test"]
    assert manifest.split_of("train", "anything") == "train"
    assert manifest.split_of("val", "002") == "test"
    assert manifest.split_of("val", "003") is None


def test_unknown_name_lists_the_choices():
    with pytest.raises(ReblurError, match=r"nonsense: no such data set; .*photos_budgie"):
        load_manifest("nonsense")


def test_the_hash_is_of_the_data(small):
    plain = manifest_hash(load_manifest(small()))
    assert manifest_hash(load_manifest(small(title="Another title"))) == plain
    moved = {"kind": "address", "base": "https://elsewhere.org/"}
    assert manifest_hash(load_manifest(small(source=moved))) == plain
    assert manifest_hash(load_manifest(small(files=[{**FILE, "origin": "y"}]))) == plain
    for change in ({"split": "train"}, {"scene": "y"}, {"sha256": "0" * 64}, {"path": "b.png"}):
        assert manifest_hash(load_manifest(small(files=[{**FILE, **change}]))) != plain


def test_a_changed_manifest_is_read_again(small, tmp_path):
    before = manifest_hash(load_manifest(small()))
    path = tmp_path / "manifests" / "small.yaml"
    path.write_text(path.read_text().replace("split: test", "split: train"))
    assert manifest_hash(load_manifest("small")) != before


def test_locate_and_files_of(small, tmp_path):
    files = [{**FILE, "path": f"{n}.png", "scene": n, "split": s} for n, s in ("ab", "cd", "eb")]
    name = small(files=files)
    with pytest.raises(
        ReblurError, match=r"^small: 3 of 3 files are missing; .*'reblur data fetch small'"
    ):
        locate(name)
    folder = tmp_path / "data" / "small"
    folder.mkdir(parents=True)
    for letter in "ae":
        (folder / f"{letter}.png").write_bytes(DATA)
    with pytest.raises(ReblurError, match="1 of 3 files are missing"):
        locate(name)
    assert locate(name, split="b") == folder
    assert files_of(name, "b") == [folder / "a.png", folder / "e.png"]
    (folder / "c.png").write_bytes(DATA + b"more")
    with pytest.raises(ReblurError, match="1 of 3"):
        files_of(name)
    (folder / "c.png").write_bytes(DATA)
    assert files_of(name) == [folder / f"{letter}.png" for letter in "ace"]
    with pytest.raises(ReblurError, match="has no split 'train'; its splits are: b, d"):
        files_of(name, "train")


def test_by_hand_in_the_data_root_or_in_place_in_a_mirror(small, tmp_path, monkeypatch):
    name = small(source=BY_HAND, files=None, layout="gopro", folder="shared_folder")
    with pytest.raises(ReblurError, match=r"found 0.*by hand from https://example\.org/"):
        locate(name)
    mirror = tmp_path / "mirror"
    monkeypatch.setenv("REBLUR_MIRROR", f"{tmp_path / 'nowhere'}:{mirror}")
    for number in range(2):
        path = mirror / "shared_folder" / "train" / "s" / "blur" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert locate(name) == mirror / "shared_folder"
    shutil.copytree(mirror / "shared_folder", tmp_path / "data" / "shared_folder")
    assert locate(name) == tmp_path / "data" / "shared_folder"


def test_a_package_that_is_not_installed(small):
    name = small(source={"kind": "package", "package": "no_such_package", "folder": "data"})
    with pytest.raises(ReblurError, match="no_such_package is not installed"):
        locate(name)
    assert command("list") == 0


def test_the_project_is_found_from_inside_and_from_outside(tmp_path, monkeypatch):
    monkeypatch.delenv("REBLUR_MANIFESTS", raising=False)
    inside = manifests.project_root()
    monkeypatch.chdir(tmp_path)
    assert manifests.project_root() == inside
    (tmp_path / "other" / "deep").mkdir(parents=True)
    (tmp_path / "other" / "data_manifests").mkdir()
    (tmp_path / "other" / "params.yaml").touch()
    monkeypatch.chdir(tmp_path / "other" / "deep")
    assert manifests.project_root() == tmp_path / "other"
    assert manifests_folder() == tmp_path / "other" / "data_manifests"


def test_list_and_show(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("REBLUR_DATA", str(tmp_path))
    monkeypatch.delenv("REBLUR_MIRROR", raising=False)
    assert command("list") == 0
    lines = capsys.readouterr().out.splitlines()
    row = {line.split()[0]: line for line in lines if line}
    assert {*NAMES} < {*row}
    assert row["photos_budgie"].split()[1:] == ["no", "35.2", "MB", "CC0-1.0", "yes", "address"]
    assert row["skimage_photographs"].split()[1] == "yes"
    column = lines[0].index("source")
    assert row["kohler"][column:] == "by hand"
    assert row["kohler"][:column].split()[-1] == "unknown"
    assert command("show", "gopro_linear") == 0
    shown = capsys.readouterr().out
    for words in ("GOPR0372_07_00", "https://seungjunnah.github.io", "CC BY 4.0", "2103"):
        assert words in shown
    assert command("show", "photos_budgie") == 0
    assert "4 files of 4 scenes" in capsys.readouterr().out


def test_partly_here_is_counted(small, tmp_path, capsys):
    small(files=[{**FILE, "path": f"{n}.png", "scene": str(n)} for n in range(3)])
    (tmp_path / "data" / "small").mkdir(parents=True)
    (tmp_path / "data" / "small" / "1.png").write_bytes(DATA)
    command("list")
    assert "1 of 3 files" in capsys.readouterr().out


def test_verify_command(small, tmp_path, capsys):
    name = small()
    assert command("verify") == 0
    assert "small: not here" in capsys.readouterr().out
    assert command("verify", name) == 1
    assert "missing" in capsys.readouterr().out
    path = tmp_path / "data" / "small" / FILE["path"]
    path.parent.mkdir(parents=True)
    path.write_bytes(DATA)
    assert command("verify") == 0
    assert "all 1 checksums match" in capsys.readouterr().out
    path.write_bytes(DATA[::-1])
    assert command("verify") == 1
    assert f"another checksum: {path}" in capsys.readouterr().out


def test_sizes_for_people():
    assert [human_size(n) for n in (7, 27_060, 4_636_339, 9_000_000_000)] == [
        "7 B",
        "27.1 kB",
        "4.6 MB",
        "9.0 GB",
    ]
    assert isinstance(manifests_folder(), Path)


def test_pictures_are_passed_on_only_where_a_licence_lets_them():
    for name in manifest_names():
        licence = load_manifest(name).licence
        if licence.redistribute:
            assert "none named" not in licence.name
            assert "NC" not in licence.name
            assert "repository" not in licence.name


def test_the_page_of_credits_is_that_of_the_manifests():
    page = project_root() / "docs" / "attribution.md"
    assert page.read_text(encoding="utf-8") == attribution() + "\n"
