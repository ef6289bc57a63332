"""`reblur data add` and what it records."""

import pytest
import yaml

from own_folders import BAD, KINDS, both, numbers, put
from reblur.cli import main
from reblur.datasets.catalogue.contents import content_hash
from reblur.datasets.images import own_sets
from reblur.datasets.images.own_sets import load_own, open_own, own_content
from reblur.datasets.images.pairs import PairCrops
from reblur.errors import ReblurError
from reblur.study.data.available import data_hashes, refuse_changed
from small_manifests import SmallManifests, entry


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    SmallManifests(tmp_path, monkeypatch)(files=[entry("a.png", b"a")])
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "pairs"


def test_a_folder_is_described_recorded_and_opened(folder, capsys):
    both(folder, "blur", "sharp", numbers(10))
    put(folder / "blur" / ".ipynb_checkpoints" / "img_001-checkpoint.png")
    assert main(["data", "add", str(folder), "--name", "mine"]) == 0
    told = capsys.readouterr().out
    for words in (
        "10 pairs of 10 scenes, as blur/ and sharp/",
        "32×24 (10)",
        "to train on: 8 pairs",
        "to test on: 2 pairs of 2 scenes (drawn by scene",
        "passed over: 1, hidden or of the system: blur/.ipynb_checkpoints",
        "pairs: mine",
    ):
        assert words in told
    record = load_own("mine")
    assert record.content == content_hash(folder) == own_content("mine")
    test = open_own("mine", "test")
    assert set(test.scenes) == set(record.test_scenes)
    assert len(open_own("mine", "train")) == 8
    assert len(open_own("mine")) == 10
    assert set(open_own(str(folder), "test").scenes) == set(record.test_scenes)
    for action in ("list", "show"):
        assert main(["data", action, *(["mine"] if action == "show" else [])]) == 0
        assert str(folder) in capsys.readouterr().out


@pytest.mark.parametrize("name", BAD)
def test_a_bad_pair_is_told_and_not_recorded(folder, capsys, name):
    spoil, words = BAD[name]
    both(folder, "blur", "sharp", numbers(5))
    spoil(folder)
    assert main(["data", "add", str(folder), "--name", "mine"]) == 1
    told = capsys.readouterr().out
    assert words in told
    assert "not recorded" in told
    assert own_sets.own_names() == []


def test_a_folder_whose_names_have_nothing_in_common_is_told(folder, capsys):
    for n in range(3):
        put(folder / "blur" / f"{n}_B.png", n)
        put(folder / "sharp" / f"{n}_S.png", n)
    assert main(["data", "add", str(folder), "--name", "mine"]) == 1
    told = capsys.readouterr().out
    assert "0 pairs of 0 scenes, as blur/ and sharp/" in told
    assert told.count("partner") == 6


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda f: put(f / "blur/img_001.png", 77), "changed: blur/img_001.png"),
        (lambda f: (f / "blur/img_001.png").unlink(), "missing: blur/img_001.png"),
        (lambda f: (f / "blur/img_001.png").write_bytes(b""), "bad: blur/img_001.png: is empty"),
        (lambda f: both(f, "blur", "sharp", ["x.png"]), "new: blur/x.png"),
    ],
)
def test_verify_tells_what_changed(folder, capsys, change, words):
    both(folder, "blur", "sharp", numbers(5))
    assert main(["data", "add", str(folder), "--name", "mine"]) == 0
    assert main(["data", "verify", "mine"]) == 0
    capsys.readouterr()
    change(folder)
    assert main(["data", "verify", "mine"]) == 1
    assert words in capsys.readouterr().out


def test_a_recorded_test_part_stays_when_pairs_are_added(folder):
    both(folder, "blur", "sharp", numbers(5))
    main(["data", "add", str(folder), "--name", "mine"])
    before = set(open_own("mine", "test").scenes)
    both(folder, "blur", "sharp", numbers(40, "new_{}.png"))
    assert set(open_own("mine", "test").scenes) == before
    assert len(open_own("mine", "train")) == 45 - len(before)


def test_a_folder_with_its_own_test_part_keeps_it(folder):
    KINDS["GoPro"].make(folder)
    arguments = ["data", "add", str(folder), "--name", "gamma", "--blurred", "blur_gamma"]
    assert main(arguments) == 0
    record = load_own("gamma")
    assert record.test_scenes is None
    opened = open_own("gamma", "test")
    assert set(opened.scenes) == {"GOPR0384_11_00"}
    assert {pair.blurred.parent.name for pair in opened.files} == {"blur_gamma"}


@pytest.mark.parametrize(
    ("name", "words"),
    [("small", "published data set"), ("Not Fit", "unfit"), ("taken", "choose another name")],
)
def test_names_that_are_refused(folder, tmp_path, capsys, name, words):
    both(folder, "blur", "sharp", numbers(3))
    both(tmp_path / "other", "blur", "sharp", numbers(3))
    main(["data", "add", str(tmp_path / "other"), "--name", "taken"])
    assert main(["data", "add", str(folder), "--name", name]) == 2
    assert words in capsys.readouterr().err


def test_a_record_that_is_none_is_told(folder):
    path = own_sets.record_path("mine")
    path.parent.mkdir()
    path.write_text(yaml.safe_dump({"name": "mine"}))
    with pytest.raises(ReblurError, match="no record of a folder"):
        load_own("mine")
    with pytest.raises(ReblurError, match="data add FOLDER --name other"):
        load_own("other")


def test_files_that_are_other_than_recorded_are_told_when_they_are_opened(folder, capsys):
    both(folder, "blur", "sharp", numbers(5))
    main(["data", "add", str(folder), "--name", "mine"])
    open_own("mine", "train")
    assert capsys.readouterr().err == ""
    put(folder / "blur/img_001.png", 77)
    open_own("mine", "train")
    assert "mine: its files are other than recorded" in capsys.readouterr().err


def test_a_training_is_refused_whose_files_changed_since_its_recipe(folder):
    both(folder, "blur", "sharp", numbers(5))
    main(["data", "add", str(folder), "--name", "mine"])
    hashes = data_hashes(["mine", "small"])
    refuse_changed(hashes)
    put(folder / "blur/img_001.png", 77)
    with pytest.raises(ReblurError, match="mine: its files have changed since"):
        refuse_changed(hashes)


def test_crops_are_trained_on_from_a_recorded_folder(folder):
    both(folder, "input", "target", numbers(5))
    main(["data", "add", str(folder), "--name", "mine"])
    batch = PairCrops(open_own("mine", "train"), 16).batch(0, [0, 1, 2])
    assert batch["blurred"].shape == (3, 3, 16, 16)
    difference = 255 * (batch["sharp"] - batch["blurred"]).mean()
    assert difference == pytest.approx(100, abs=2)
