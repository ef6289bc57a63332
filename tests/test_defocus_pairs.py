"""Readers of the defocus data sets that exist as files."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from reblur.datasets.catalogue.manifests import load_manifest
from reblur.datasets.defocus import pairs as defocus_pairs
from reblur.datasets.defocus.pairs import (
    MAPS,
    PAIRS,
    DefocusMaps,
    MapFiles,
    open_defocus_maps,
    open_defocus_pairs,
)
from reblur.datasets.images.files import read_image_16, write_image
from reblur.datasets.images.pairs import PairFolder
from reblur.errors import ReblurError


def picture(path: Path, value: int, size: tuple[int, int] = (6, 8)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_image(path, np.full((*size, 3), value, np.uint8))


def grey(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)


def make(root: Path, name: str) -> None:
    """A small copy of each data set as its authors publish it; blurred files are 10, sharp 20."""
    files = {
        "sdd": [*(f"train_patches/{{}}/a_{n}.png" for n in (1, 10, 2)), "test/{}/b.png"],
        "realdof": ["{}/001.png", "{}/002.png"],
        "rtf": ["{}/image_01.png", "{}/image_02.png"],
    }
    kinds = {"sdd": ("blur", "gt"), "realdof": ("source", "target"), "rtf": ("image/0", "GT")}
    if name in files:
        for pattern in files[name]:
            for kind, value in zip(kinds[name], (10, 20), strict=True):
                picture(root / pattern.format(kind), value)
    if name == "rtf":
        for n in (1, 2):
            grey(root / f"map/map_0{n}.png", np.full((6, 8), 40 * n, np.uint8))
    if name == "dpdd":
        for part, numbers in (("train_c", (900, 910)), ("val_c", (950,)), ("test_c", (990, 1000))):
            for number in numbers:
                picture(root / part / f"source/1P0A0{number + 1}.png", 10)
                picture(root / part / f"target/1P0A0{number}.png", 20)
    if name == "lfdof":
        for part, scenes in (("train_data", ("ISO_1", "ISO_2")), ("test_data", ("ISO_9",))):
            for scene in scenes:
                picture(root / part / f"ground_truth/{scene}.png", 20)
                for n in range(3):
                    picture(root / part / f"input/{scene}/{n}.png", 10)
    if name == "ded":
        for n in range(1, 21):
            picture(root / f"image/image_{n}.jpg", 10)
            picture(root / f"sharp/center_{n}.jpg", 20)
            grey(root / f"filtered/defocus_filterd_{n}.png", np.full((6, 8), n, np.uint8))
    if name == "focus_stack_pcb":
        picture(root / "expected.jpg", 20)
        for n in range(1, 4):
            picture(root / f"pcb_00{n}.jpg", 10)
    if name in ("cuhk", "cuhk_samples"):
        photograph, mask = ("image", "gt") if name == "cuhk" else ("photo", "mask")
        for n in (1, 604, 605):
            picture(root / f"{photograph}/out_of_focus{n:04}.jpg", 10)
            picture(root / f"{photograph}/motion{n:04}.jpg", 10)
            values = np.zeros((6, 8), np.uint8)
            values[:, 4:] = 255
            grey(root / f"{mask}/out_of_focus{n:04}.png", values)
            grey(root / f"{mask}/motion{n:04}.png", values)


EXPECTED = {  # (data set, split) → names
    ("sdd", "train"): ["a_1", "a_2", "a_10"],
    ("sdd", "test"): ["b"],
    ("dpdd", "train"): ["1P0A0901", "1P0A0911"],
    ("dpdd", "validation"): ["1P0A0951"],
    ("dpdd", "test"): ["1P0A0991", "1P0A01001"],
    ("realdof", "test"): ["001", "002"],
    ("rtf", "test"): ["image_01", "image_02"],
    ("lfdof", "train"): [f"ISO_{s}-{n}" for s in (1, 2) for n in range(3)],
    ("lfdof", "test"): ["ISO_9-0", "ISO_9-1", "ISO_9-2"],
    ("ded", "train"): [str(n) for n in range(1, 19)],
    ("ded", "test"): ["19", "20"],
    ("focus_stack_pcb", "test"): ["pcb_001", "pcb_002", "pcb_003"],
}


def test_every_reader_is_expected_and_has_a_manifest():
    assert {name for name, _ in EXPECTED} == set(PAIRS)
    for name in PAIRS | MAPS:
        splits = load_manifest(name).split_names()
        if name in PAIRS:
            assert {split for known, split in EXPECTED if known == name} == set(splits)


@pytest.mark.parametrize(("name", "split"), EXPECTED)
def test_pairs_are_found_matched_and_in_natural_order(tmp_path, name, split):
    make(tmp_path, name)
    pairs = PairFolder(PAIRS[name](tmp_path, split))
    assert pairs.names == EXPECTED[name, split]
    assert len(set(pairs.names)) == len(pairs)
    for pair, files in zip(pairs, pairs.files, strict=True):
        assert files.split == split
        assert abs(pair.blurred.mean() - 10) < 1
        assert abs(pair.sharp.mean() - 20) < 1


def test_all_refocusings_of_a_scene_are_one_scene(tmp_path):
    make(tmp_path / "lfdof", "lfdof")
    make(tmp_path / "pcb", "focus_stack_pcb")
    assert {f.scene for f in PAIRS["lfdof"](tmp_path / "lfdof", "train")} == {"ISO_1", "ISO_2"}
    assert {f.scene for f in PAIRS["focus_stack_pcb"](tmp_path / "pcb", "test")} == {"pcb"}


LONE = {
    "sdd": "test/gt/b.png",
    "dpdd": "test_c/target/1P0A0990.png",
    "realdof": "source/001.png",
    "rtf": "GT/image_01.png",
    "lfdof": "test_data/ground_truth/ISO_9.png",
    "ded": "sharp/center_3.jpg",
    "focus_stack_pcb": "expected.jpg",
}


@pytest.mark.parametrize("name", LONE)
def test_a_file_without_a_partner_is_named(tmp_path, name):
    make(tmp_path, name)
    lost = tmp_path / LONE[name]
    lost.rename(lost.with_name(f"extra_999{lost.suffix}.bak"))
    with pytest.raises(ReblurError, match=r"without a partner|holds no images") as caught:
        PAIRS[name](tmp_path, "test")
    assert str(tmp_path) in str(caught.value)


def test_a_pair_of_two_sizes_names_both_files(tmp_path):
    make(tmp_path, "realdof")
    picture(tmp_path / "target/002.png", 20, (6, 9))
    pairs = PairFolder(PAIRS["realdof"](tmp_path, "test"))
    with pytest.raises(ReblurError, match=r"source/002\.png and .*target/002\.png.*8×6 and 9×6"):
        pairs[1]


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(ReblurError, match="train_patches"):
        PAIRS["sdd"](tmp_path, "train")


def test_sixteen_bits_are_read_whole_or_as_eight(tmp_path):
    make(tmp_path, "dpdd")
    files = PAIRS["dpdd"](tmp_path, "validation")
    values = np.full((6, 8, 3), 25_700 + 100, np.uint16)
    cv2.imwrite(str(files[0].sharp), values)
    assert PairFolder(files)[0].sharp.max() == 100
    assert read_image_16(files[0].sharp).max() == 25_800


def test_pairs_are_opened_by_their_manifest(tmp_path, monkeypatch):
    monkeypatch.setenv("REBLUR_DATA", str(tmp_path))
    monkeypatch.delenv("REBLUR_MIRROR", raising=False)
    make(tmp_path / "sdd", "sdd")
    assert open_defocus_pairs("sdd", "test").names == ["b"]
    assert len(open_defocus_pairs("sdd")) == 4
    with pytest.raises(ReblurError, match="train, test"):
        open_defocus_pairs("sdd", "validation")
    with pytest.raises(ReblurError, match="dpdd"):
        open_defocus_pairs("gopro_linear", "test")
    with pytest.raises(ReblurError, match=r"realdof.*by hand"):
        open_defocus_pairs("realdof", "test")
    with pytest.raises(ReblurError, match=r"fetch focus_stack_pcb"):
        open_defocus_pairs("focus_stack_pcb", "test")


# Maps of the defocus


@pytest.mark.parametrize(
    ("name", "split", "names", "mean"),
    [
        ("cuhk", "train", ["out_of_focus0001", "out_of_focus0604"], 0.5),
        ("cuhk", "test", ["out_of_focus0605"], 0.5),
        ("rtf", "test", ["01", "02"], 40 / 255),
        ("ded", "test", ["19", "20"], 19 / 255),
    ],
)
def test_maps_are_found_and_read(tmp_path, name, split, names, mean):
    make(tmp_path, name)
    maps = DefocusMaps(MAPS[name](tmp_path, split))
    assert maps.names == names
    first = maps[0]
    assert first.photograph.shape == (6, 8, 3)
    assert first.defocus.dtype == np.float32
    assert first.defocus.mean() == pytest.approx(mean)


def test_all_samples_of_cuhk_test():
    manifest = load_manifest("cuhk_samples")
    assert {file.split for file in manifest.files} == {"test"}
    assert len(manifest.files) == 82
    assert manifest.options == {"white": "blurred"}


@pytest.mark.parametrize("white", ["blurred", "sharp"])
def test_white_is_what_the_manifest_says(tmp_path, monkeypatch, white):
    make(tmp_path, "cuhk")
    manifest = load_manifest("cuhk").model_copy(update={"options": {"white": white}})
    monkeypatch.setattr(defocus_pairs, "load_manifest", lambda name: manifest)
    monkeypatch.setattr(defocus_pairs, "locate", lambda manifest, split: tmp_path)
    defocus = open_defocus_maps("cuhk", "test")[0].defocus
    assert defocus[0, 0] == (0 if white == "blurred" else 1)
    assert defocus[0, -1] == (1 if white == "blurred" else 0)


@pytest.mark.parametrize(
    ("values", "largest"),
    [
        (np.full((6, 8), 51, np.uint8), 0.2),
        (np.full((6, 8), 13107, np.uint16), 0.2),
        (np.eye(6, 8, dtype=bool), 1.0),
    ],
)
def test_maps_of_any_depth_become_fractions(tmp_path, values, largest):
    picture(tmp_path / "photo.png", 10)
    grey(tmp_path / "map.png", values)
    entry = MapFiles("x", tmp_path / "photo.png", tmp_path / "map.png")
    assert DefocusMaps([entry])[0].defocus.max() == pytest.approx(largest, rel=1e-4)


def test_a_map_may_lack_columns_on_the_right_and_nothing_else(tmp_path):
    picture(tmp_path / "photo.png", 10, (36, 36))
    grey(tmp_path / "map.png", np.zeros((36, 34), np.uint8))
    maps = DefocusMaps([MapFiles("x", tmp_path / "photo.png", tmp_path / "map.png")])
    assert maps[0].photograph.shape == (36, 34, 3)
    for size in ((36, 20), (30, 36), (36, 37)):
        grey(tmp_path / "map.png", np.zeros(size, np.uint8))
        with pytest.raises(ReblurError, match=r"photo\.png and .*map\.png"):
            maps[0]
    (tmp_path / "map.png").write_bytes(b"no picture")
    with pytest.raises(ReblurError, match=r"map\.png"):
        maps[0]
