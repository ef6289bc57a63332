"""Folders of one's own: every layout, every bad pair, what is passed over, the drawn test part."""

from collections import Counter
from pathlib import Path

import pytest

from own_folders import BAD, KINDS, both, numbers, put
from reblur.datasets.images.headers import look_at_pairs
from reblur.datasets.images.own import find_pairs, open_own_pairs, split
from reblur.errors import ReblurError


@pytest.mark.parametrize("name", KINDS)
def test_every_layout_is_recognised(tmp_path, name):
    kind = KINDS[name]
    kind.make(tmp_path)
    found = find_pairs(tmp_path)
    assert found.problems == ()
    assert len(found.pairs) == kind.pairs == len({pair.name for pair in found.pairs})
    assert len({pair.scene for pair in found.pairs}) == kind.scenes
    assert Counter(pair.split for pair in found.pairs) == kind.parts
    for pair in open_own_pairs(tmp_path):
        assert pair.sharp.mean() - pair.blurred.mean() == pytest.approx(100, abs=2), pair.name


@pytest.mark.parametrize("name", KINDS)
def test_training_and_test_pairs_share_no_scene(tmp_path, name):
    KINDS[name].make(tmp_path)
    found = find_pairs(tmp_path)
    parts = split(found)
    scenes = [{pair.scene for pair in parts[part]} for part in ("train", "test")]
    assert scenes[1]
    assert not scenes[0] & scenes[1]
    assert parts == split(find_pairs(tmp_path))
    told = {pair.split for pair in found.pairs}
    if not told & {"test", "val"}:
        assert 0.2 * len(found.pairs) <= len(parts["test"]) < len(found.pairs)


@pytest.mark.parametrize("name", BAD)
def test_every_bad_pair_is_named(tmp_path, name):
    spoil, words = BAD[name]
    both(tmp_path, "blur", "sharp", numbers(5))
    spoil(tmp_path)
    found = find_pairs(tmp_path)
    problems = [*found.problems, *look_at_pairs(found.pairs).problems]
    told = [str(problem) for problem in problems]
    assert any(words in line for line in told), told
    assert all("img_002" in line.lower() for line in told), told


def test_good_headers_give_sizes_without_decoding(tmp_path, monkeypatch):
    both(tmp_path, "blur", "sharp", [*numbers(3), "photo.jpg"])
    monkeypatch.setattr("reblur.datasets.images.headers.read_image", None)
    looked = look_at_pairs(find_pairs(tmp_path).pairs)
    assert looked.problems == ()
    assert set(looked.sizes.values()) == {(32, 24)}


@pytest.mark.parametrize("tag", [1, 6])
def test_a_turned_photograph_has_its_upright_size(tmp_path, tag):
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = tag
    for side in ("blur", "sharp"):
        (tmp_path / side).mkdir()
        Image.new("RGB", (32, 24)).save(tmp_path / side / "a.jpg", exif=exif)
        Image.new("RGB", (32, 24)).save(tmp_path / side / "b.png", exif=exif)
    looked = look_at_pairs(find_pairs(tmp_path).pairs)
    assert set(looked.sizes.values()) == {(32, 24) if tag == 1 else (24, 32)}


PASSED = {
    ".ipynb_checkpoints": "blur/.ipynb_checkpoints/img_001-checkpoint.png",
    "@eaDir": "blur/@eaDir/img_001.png/SYNOPHOTO_THUMB_M.jpg",
    "__MACOSX": "__MACOSX/blur/._img_001.png",
    "._*": "sharp/._img_001.png",
    "Thumbs.db": "blur/Thumbs.db",
    "a text": "README.txt",
    "a list of something else": "train.txt",
    "an image elsewhere": "overview.png",
    "a third folder": "masks/img_001.png",
    "another blurred folder": "blur_gamma/img_001.png",
}


@pytest.mark.parametrize("name", PASSED)
def test_what_is_no_pair_is_passed_over_and_told(tmp_path, name):
    both(tmp_path, "blur", "sharp", numbers(5))
    put(tmp_path / "extra.png")
    (tmp_path / PASSED[name]).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / "extra.png").rename(tmp_path / PASSED[name])
    found = find_pairs(tmp_path)
    assert len(found.pairs) == 5
    assert found.problems == ()
    assert len(found.passed_over) == 1


def test_the_blurred_folder_can_be_chosen(tmp_path):
    KINDS["GoPro"].make(tmp_path)
    found = find_pairs(tmp_path, "blur_gamma")
    assert {pair.blurred.parent.name for pair in found.pairs} == {"blur_gamma"}
    assert {path.parent.name for path, why in found.passed_over if "taken" in why} == {"blur"}


def test_the_drawn_scenes_stay_when_a_scene_is_added(tmp_path):
    both(tmp_path, "blur", "sharp", numbers(20))
    before = {pair.scene for pair in split(find_pairs(tmp_path))["test"]}
    both(tmp_path, "blur", "sharp", ["new.png"])
    after = {pair.scene for pair in split(find_pairs(tmp_path))["test"]}
    assert len(before & after) >= 3
    assert {pair.scene for pair in split(find_pairs(tmp_path), seed=1)["test"]} != after


@pytest.mark.parametrize(
    ("make", "part", "words"),
    [
        (lambda f: None, None, "no such folder"),
        (lambda f: put(f / "a.png"), None, "holds no pairs"),
        (lambda f: both(f, "blur", "photographs", numbers(2)), None, "holds no pairs"),
        (lambda f: both(f / "test", "blur", "sharp", numbers(2)), "train", "no pairs for train"),
        (lambda f: both(f, "blur", "sharp", numbers(1)), "test", "single scene"),
        (lambda f: both(f, "blur", "sharp", numbers(3)), "dev", "the choices are train, test"),
        (
            lambda f: [both(f, "blur", "sharp", numbers(3)), put(f / "blur/x.png")],
            "test",
            "x.png: has no sharp partner",
        ),
    ],
)
def test_what_cannot_be_opened_is_told(tmp_path, make, part, words):
    folder: Path = tmp_path / "pairs"
    make(folder)
    with pytest.raises(ReblurError, match=words):
        open_own_pairs(folder, part)


def test_a_list_that_names_missing_files_is_told(tmp_path):
    KINDS["RealBlur"].make(tmp_path)
    (tmp_path / "RealBlur-J_ECC_IMCORR_centroid_itensity_ref/scene001/gt/gt_1.png").unlink()
    (tmp_path / "RealBlur-J_ECC_IMCORR_centroid_itensity_ref/scene001/blur/blur_1.png").unlink()
    (problem,) = find_pairs(tmp_path).problems
    assert "names no pair of the folder" in str(problem)
