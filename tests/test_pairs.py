"""Readers of pairs: every layout, scenes and splits, bad folders, and training crops."""

from pathlib import Path

import numpy as np
import pytest
import torch

from reblur.datasets.images import pairs
from reblur.datasets.images.files import write_image
from reblur.datasets.images.layouts import LAYOUTS
from reblur.datasets.images.pairs import PairCrops, open_kohler, open_pairs, open_pairs_of
from reblur.errors import ReblurError
from small_manifests import SmallManifests, by_hand, entry


def put(path: Path, value: int = 0, size: tuple[int, int] = (8, 10)) -> None:
    write_image(path, np.full((*size, 3), value, np.uint8))


def numbered(value: int, height: int = 40, width: int = 50) -> np.ndarray:
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows, columns, np.full_like(rows, value)], axis=2).astype(np.uint8)


def gopro(root: Path) -> None:
    for part, sequence, frames in (
        ("train", "GOPR01", 2),
        ("train", "GOPR02", 1),
        ("test", "GOPR03", 2),
    ):
        for frame in range(1, frames + 1):
            for value, kind in enumerate(("blur", "blur_gamma", "sharp")):
                put(root / part / sequence / kind / f"{frame:06d}.png", value)


def reds(root: Path) -> None:
    for part, scenes in (("train", ("000", "001")), ("val", ("000",))):
        for scene in scenes:
            for value, kind in enumerate(("blur", "sharp")):
                put(root / part / f"{part}_{kind}" / scene / "00000000.png", value)


REALBLUR_J = "RealBlur-J_ECC_IMCORR_centroid_itensity_ref"


def realblur(root: Path, lists: bool = True) -> None:
    lines: dict[str, list[str]] = {"train": [], "test": []}
    for part, scene in (("train", "scene001"), ("train", "scene003"), ("test", "scene002")):
        for number in (1, 2, 10):
            put(root / REALBLUR_J / scene / "blur" / f"blur_{number}.png", 0)
            put(root / REALBLUR_J / scene / "gt" / f"gt_{number}.png", 1)
            folder = f"{REALBLUR_J}/{scene}"
            lines[part].append(f"{folder}/gt/gt_{number}.png {folder}/blur/blur_{number}.png ")
    for part, text in lines.items() if lists else ():
        (root / f"RealBlur_J_{part}_list.txt").write_text("\n".join(reversed(text)) + "\n\n")


def hide(root: Path) -> None:
    test = {"test-close-ups": "7fromGOPR0950.png", "test-long-shot": "9fromGOPR1096.MP4.png"}
    for place, name in [
        ("train", "3fromGOPR0001.png"),
        *((f"test/{k}", v) for k, v in test.items()),
    ]:
        put(root / place / name, 0)
        put(root / "GT" / name, 1)


def folders(root: Path) -> None:
    for name in ("a.png", "b.jpg"):
        put(root / "blur" / name, 0)
    put(root / "sharp" / "a.webp", 1)
    put(root / "sharp" / "b.png", 1)


MADE = {"gopro": gopro, "reds": reds, "realblur": realblur, "hide": hide, "folders": folders}
OPTIONS = {"gopro": {"blurred": "blur"}, "realblur": {"camera": "J"}}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_reads_its_pairs(layout, tmp_path):
    MADE[layout](tmp_path)
    found = open_pairs(layout, tmp_path, **OPTIONS.get(layout, {}))
    assert len(found) >= 2
    assert len(set(found.names)) == len(found)
    assert not any("/" in name for name in found.names)
    for pair in found:
        assert pair.blurred.shape == pair.sharp.shape == (8, 10, 3)
        assert pair.blurred.max() <= 2
        assert (pair.sharp > pair.blurred).all()
    assert [pair.name for pair in found] == found.names


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_refuses_an_empty_folder(layout, tmp_path):
    with pytest.raises(ReblurError, match=str(tmp_path)):
        open_pairs(layout, tmp_path, **OPTIONS.get(layout, {}))
    with pytest.raises(ReblurError, match="no such folder"):
        open_pairs(layout, tmp_path / "nowhere", **OPTIONS.get(layout, {}))


@pytest.mark.parametrize("layout", [name for name in LAYOUTS if name != "folders"])
def test_every_layout_refuses_an_unknown_split(layout, tmp_path):
    MADE[layout](tmp_path)
    with pytest.raises(ReblurError, match="split 'exam': there is no such"):
        open_pairs(layout, tmp_path, "exam", **OPTIONS.get(layout, {}))


def test_gopro(tmp_path):
    gopro(tmp_path)
    found = open_pairs("gopro", tmp_path, "train", blurred="blur")
    assert found.names == ["GOPR01-000001", "GOPR01-000002", "GOPR02-000001"]
    assert found.scenes == ["GOPR01", "GOPR01", "GOPR02"]
    assert found[0].blurred.max() == 0
    gamma = open_pairs("gopro", tmp_path, "test", blurred="blur_gamma")
    assert (len(gamma), gamma[0].blurred.max(), gamma[0].sharp.max()) == (2, 1, 2)
    with pytest.raises(ReblurError, match="needs the option 'blurred'"):
        open_pairs("gopro", tmp_path)
    with pytest.raises(ReblurError, match="name the subset, blur or blur_gamma"):
        open_pairs("gopro", tmp_path, blurred="sharp")


def test_reds_scenes_carry_their_part(tmp_path):
    reds(tmp_path)
    found = open_pairs("reds", tmp_path)
    assert found.scenes == ["train_000", "train_001", "val_000"]
    assert found.names[2] == "val_000-00000000"
    assert open_pairs("reds", tmp_path, "val").names == ["val_000-00000000"]


def test_realblur_by_lists(tmp_path):
    realblur(tmp_path)
    found = open_pairs("realblur", tmp_path, "train", camera="J")
    assert found.names == [f"scene00{scene}-{n}" for scene in (1, 3) for n in (1, 2, 10)]
    assert open_pairs("realblur", tmp_path, "test", camera="J").scenes == ["scene002"] * 3
    assert len(open_pairs("realblur", tmp_path, camera="J")) == 9
    with pytest.raises(ReblurError, match=r"RealBlur_R_test_list\.txt: is missing"):
        open_pairs("realblur", tmp_path, "test", camera="R")
    with pytest.raises(ReblurError, match="name J or R"):
        open_pairs("realblur", tmp_path, camera="X")


def test_realblur_by_folders(tmp_path):
    realblur(tmp_path, lists=False)
    found = open_pairs("realblur", tmp_path, camera="J")
    assert found.names[:3] == ["scene001-1", "scene001-2", "scene001-10"]
    assert len(found) == 9
    (tmp_path / REALBLUR_J / "scene002" / "gt" / "gt_2.png").unlink()
    with pytest.raises(ReblurError, match=r"blur_2\.png"):
        open_pairs("realblur", tmp_path, camera="J")


def test_realblur_lists_that_lie(tmp_path):
    realblur(tmp_path)
    (tmp_path / REALBLUR_J / "scene002" / "gt" / "gt_2.png").unlink()
    with pytest.raises(ReblurError, match=r"gt_2\.png"):
        open_pairs("realblur", tmp_path, "test", camera="J")
    (tmp_path / "RealBlur_J_test_list.txt").write_text("one/two.png\n")
    with pytest.raises(ReblurError, match="line 1: names no gt and blur file"):
        open_pairs("realblur", tmp_path, "test", camera="J")


def test_hide(tmp_path):
    hide(tmp_path)
    found = open_pairs("hide", tmp_path, "test")
    assert found.scenes == ["GOPR0950", "GOPR1096"]
    (tmp_path / "GT" / "7fromGOPR0950.png").unlink()
    with pytest.raises(ReblurError, match=r"1 files without a partner .*7fromGOPR0950\.png"):
        open_pairs("hide", tmp_path, "test")


def test_own_folders(tmp_path):
    folders(tmp_path)
    found = open_pairs("folders", tmp_path)
    assert found.names == found.scenes == ["a", "b"]
    (tmp_path / "deblur.txt").touch()
    (tmp_path / "blur" / ".hidden.png").touch()
    (tmp_path / "blur" / "notes.txt").touch()
    assert len(open_pairs("folders", str(tmp_path))) == 2


def test_own_folders_with_other_names_splits_and_scenes(tmp_path):
    for scene, frame in (("street", "2"), ("street", "10"), ("park", "1")):
        put(tmp_path / "train" / "in" / scene / f"{frame}.png", 0)
        put(tmp_path / "train" / "out" / scene / f"{frame}.png", 1)
    found = open_pairs("folders", tmp_path, "train", blurred="in", sharp="out")
    assert found.names == ["park-1", "street-2", "street-10"]
    assert found.scenes == ["park", "street", "street"]
    with pytest.raises(ReblurError, match="no such folder"):
        open_pairs("folders", tmp_path, "test", blurred="in", sharp="out")


def test_unmatched_files_are_named(tmp_path):
    folders(tmp_path)
    put(tmp_path / "sharp" / "c.png")
    with pytest.raises(ReblurError, match=r"1 files without a partner .*c\.png"):
        open_pairs("folders", tmp_path)


def test_two_files_of_one_name(tmp_path):
    folders(tmp_path)
    put(tmp_path / "sharp" / "a.png")
    with pytest.raises(ReblurError, match="have one name"):
        open_pairs("folders", tmp_path)


def test_a_folder_without_images(tmp_path):
    folders(tmp_path)
    for path in (tmp_path / "sharp").iterdir():
        path.unlink()
    with pytest.raises(ReblurError, match="sharp: holds no images"):
        open_pairs("folders", tmp_path)


def test_a_pair_of_two_sizes_names_both_files(tmp_path):
    folders(tmp_path)
    put(tmp_path / "blur" / "a.png", size=(8, 9))
    found = open_pairs("folders", tmp_path)
    with pytest.raises(ReblurError, match=r"blur/a\.png and .*sharp/a\.webp: .*9×8 and 10×8"):
        found[0]
    assert found[1].name == "b"


def test_unreadable_image_of_a_pair(tmp_path):
    folders(tmp_path)
    (tmp_path / "blur" / "a.png").write_bytes(b"")
    with pytest.raises(ReblurError, match=r"a\.png: is empty"):
        open_pairs("folders", tmp_path)[0]


def test_unknown_layout_and_option(tmp_path):
    folders(tmp_path)
    with pytest.raises(ReblurError, match=r"layout 'heap': there is no such; .*gopro"):
        open_pairs("heap", tmp_path)
    with pytest.raises(ReblurError, match="has no option 'camera'; its options: blurred, sharp"):
        open_pairs("folders", tmp_path, camera="J")


def test_kohler(tmp_path):
    for picture in range(1, 5):
        for trajectory in range(1, 13):
            name = f"{picture}_{trajectory}"
            (tmp_path / f"Blurry{name}.png").touch()
            folder = tmp_path / f"Image{picture}" / f"Kernel{trajectory}"
            folder.mkdir(parents=True)
            for frame in (1, 2, 10):
                (folder / f"GroundTruth{name}_{frame}.png").touch()
    found = open_kohler(tmp_path)
    assert len(found) == 48
    assert [image.name for image in found[:13]] == [*(f"1_{n}" for n in range(1, 13)), "2_1"]
    assert [path.stem.split("_")[-1] for path in found[0].frames] == ["1", "2", "10"]
    for path in found[20].frames:
        path.unlink()
    with pytest.raises(ReblurError, match="GroundTruth2_9_"):
        open_kohler(tmp_path)
    (tmp_path / "Blurry1_5.png").unlink()
    with pytest.raises(ReblurError, match=r"Blurry1_5\.png"):
        open_kohler(tmp_path)


@pytest.fixture
def manifest(tmp_path, monkeypatch):
    return SmallManifests(tmp_path, monkeypatch)


def test_pairs_of_listed_files(manifest):
    folders(manifest.folder)
    put(manifest.folder / "sharp" / "b.jpg", 1)
    split = {"a.png": ("street", "test"), "b.jpg": ("park", "train")}
    put(manifest.folder / "sharp" / "a.png", 1)
    files = [
        entry(
            f"{kind}/{name}",
            (manifest.folder / kind / name).read_bytes(),
            scene=scene,
            split=part,
        )
        for kind in ("blur", "sharp")
        for name, (scene, part) in split.items()
    ]
    manifest(layout="folders", files=files)
    found = open_pairs_of("small", "test")
    assert (found.names, found.scenes) == (["a"], ["street"])
    assert found[0].sharp.min() == 1
    assert open_pairs_of("small").names == ["a", "b"]
    with pytest.raises(ReblurError, match="has no split 'exam'; its splits are: test, train"):
        open_pairs_of("small", "exam")
    manifest(layout="folders", files=files[:3])
    with pytest.raises(ReblurError, match=r"names blur/b\.jpg without sharp/b\.jpg"):
        open_pairs_of("small")


def test_pairs_by_hand(manifest):
    gopro(manifest.folder)
    source = by_hand(
        {"pattern": "train/*/blur/*.png", "count": 3, "split": "train"},
        {"pattern": "test/*/blur/*.png", "count": 2, "split": "test"},
    )
    splits = {"train": ["train/GOPR01"], "validation": ["train/GOPR02"], "test": ["test/*"]}
    options = {"blurred": "blur_gamma"}
    manifest(source=source, layout="gopro", splits=splits, options=options)
    assert open_pairs_of("small", "train").scenes == ["GOPR01"] * 2
    assert open_pairs_of("small", "validation").scenes == ["GOPR02"]
    assert open_pairs_of("small", "test")[0].blurred.max() == 1
    assert len(open_pairs_of("small")) == 5
    manifest(
        source=source, layout="gopro", splits={**splits, "validation": ["train/x"]}, options=options
    )
    with pytest.raises(ReblurError, match="scene train/GOPR02 stands in no split"):
        open_pairs_of("small", "train")
    for path in (manifest.folder / "train").rglob("*.png"):
        path.unlink()
    with pytest.raises(ReblurError, match=r"lacks 3 × train"):
        open_pairs_of("small")
    manifest(source=source, layout="gopro", splits=splits, options=options)
    assert len(open_pairs_of("small", "test")) == 2, "a part that is here can be used"


def test_one_scene_in_both_of_the_authors_parts(manifest):
    gopro(manifest.folder)
    (manifest.folder / "test" / "GOPR03").rename(manifest.folder / "test" / "GOPR01")
    source = by_hand({"pattern": "test/*/blur/*.png", "count": 1})
    splits = {"train": ["train/*"], "test": ["test/*"]}
    manifest(source=source, layout="gopro", splits=splits, options={"blurred": "blur"})
    with pytest.raises(ReblurError, match="GOPR01 stands in two splits"):
        open_pairs_of("small")


@pytest.mark.parametrize(
    ("name", "said"),
    [("skimage_photographs", "has no pairs"), ("kohler", "read it by open_kohler")],
)
def test_sets_without_pairs(name, said):
    with pytest.raises(ReblurError, match=said):
        open_pairs_of(name, "test")


@pytest.fixture
def crops_of(tmp_path):
    for number in range(3):
        image = numbered(number)
        write_image(tmp_path / "blur" / f"{number}.png", image)
        write_image(tmp_path / "sharp" / f"{number}.png", image + np.uint8(100))
    return open_pairs("folders", tmp_path)


@pytest.mark.parametrize("augment", [False, True])
def test_crops_of_pairs(crops_of, augment):
    source = PairCrops(crops_of, 16, augment=augment)
    batch = source.batch(0, range(30), "cpu")
    assert {key: tuple(value.shape) for key, value in batch.items()} == {
        "blurred": (30, 3, 16, 16),
        "sharp": (30, 3, 16, 16),
    }
    blurred, sharp = ((batch[key] * 255).round() for key in ("blurred", "sharp"))
    assert torch.equal(blurred + 100, sharp), "one place and one turn for both"
    assert set(blurred[:, 2, 0, 0].tolist()) == {0, 1, 2}
    upright = (blurred[:, 0, -1, 0] - blurred[:, 0, 0, 0] == 15).all()
    assert upright != augment


def test_a_sample_is_a_function_of_seed_and_index(crops_of):
    source, again = PairCrops(crops_of, 16), PairCrops(crops_of, 16)
    together = source.batch(7, [4, 0, 9])
    for place, index in enumerate([4, 0, 9]):
        single = again.batch(7, [index])
        assert all(torch.equal(single[key][0], together[key][place]) for key in together)
    assert not torch.equal(source.batch(8, [4])["sharp"][0], together["sharp"][0])


def test_pairs_beyond_the_memory_are_read_again(crops_of, monkeypatch):
    kept = PairCrops(crops_of, 16).batch(0, range(9))
    monkeypatch.setattr(pairs, "KEPT_BYTES", 2 * 40 * 50 * 3)
    source = PairCrops(crops_of, 16)
    assert all(torch.equal(value, kept[key]) for key, value in source.batch(0, range(9)).items())
    assert len(source._kept) == 1


def test_crops_that_do_not_fit(crops_of):
    with pytest.raises(ReblurError, match="is 50×40 pixels, too small for crops of 41×41"):
        PairCrops(crops_of, 41).batch(0, [0])
    with pytest.raises(ReblurError, match="crops of 0 pixels of 3 pairs"):
        PairCrops(crops_of, 0)
    with pytest.raises(ReblurError, match="of 0 pairs"):
        PairCrops([], 8)
