"""Readers of pairs: every layout, scenes and splits, bad folders, and training crops."""

from pathlib import Path

import numpy as np
import pytest
import torch

from reblur.datasets.images import pairs
from reblur.datasets.images.files import write_image
from reblur.datasets.images.layouts import open_kohler
from reblur.datasets.images.own import open_own_pairs
from reblur.datasets.images.pairs import PairCrops
from reblur.datasets.images.published import open_pairs_of
from reblur.errors import ReblurError
from small_manifests import SmallManifests, by_hand, entry


def put(path: Path, value: int = 0, size: tuple[int, int] = (8, 10)) -> None:
    write_image(path, np.full((*size, 3), value, np.uint8))


def numbered(value: int, height: int = 40, width: int = 50) -> np.ndarray:
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows, columns, np.full_like(rows, value)], axis=2).astype(np.uint8)


@pytest.fixture
def manifest(tmp_path, monkeypatch):
    return SmallManifests(tmp_path, monkeypatch)


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


def realblur_folder(camera: str) -> str:
    return f"RealBlur-{camera}_ECC_IMCORR_centroid_itensity_ref"


def realblur(root: Path, camera: str = "J") -> None:
    lines: dict[str, list[str]] = {"train": [], "test": []}
    for part, scene in (("train", "scene001"), ("train", "scene003"), ("test", "scene002")):
        for number in (1, 2, 10):
            put(root / realblur_folder(camera) / scene / "blur" / f"blur_{number}.png", 0)
            put(root / realblur_folder(camera) / scene / "gt" / f"gt_{number}.png", 1)
            folder = f"{realblur_folder(camera)}/{scene}"
            lines[part].append(f"{folder}/gt/gt_{number}.png {folder}/blur/blur_{number}.png ")
    for part, text in lines.items():
        (root / f"RealBlur_{camera}_{part}_list.txt").write_text("\n".join(reversed(text)) + "\n\n")


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


MADE = {"gopro": gopro, "reds": reds, "realblur": realblur, "hide": hide}


def manifest_of(manifest: SmallManifests, layout: str, parts: tuple[str, ...], **options: str):
    """A manifest by hand of what `MADE` makes, each of the authors' parts a split."""
    MADE[layout](manifest.folder)
    source = by_hand({"pattern": "**/*.png", "count": 4})
    splits = {part: [f"{part}/*"] for part in parts}
    manifest(source=source, layout=layout, splits=splits, options=options)


def test_gopro(manifest):
    manifest_of(manifest, "gopro", ("train", "test"), blurred="blur_gamma")
    found = open_pairs_of("small", "train")
    assert found.scenes == ["GOPR01", "GOPR01", "GOPR02"]
    assert (found[0].blurred.max(), found[0].sharp.max()) == (1, 2)
    (manifest.folder / "test" / "GOPR03" / "sharp" / "000001.png").unlink()
    assert len(open_pairs_of("small", "train")) == 3, "a part that is whole can be used"
    with pytest.raises(ReblurError, match=r"000001\.png: has no sharp partner"):
        open_pairs_of("small", "test")


def test_reds_scenes_of_one_name_carry_their_part(manifest):
    manifest_of(manifest, "reds", ("train", "val"))
    assert sorted(open_pairs_of("small").scenes) == ["001", "train_000", "val_000"]
    assert open_pairs_of("small", "val").scenes == ["val_000"]


@pytest.mark.parametrize("camera", ["J", "R"])
def test_realblur_of_one_camera_by_its_lists(manifest, camera):
    for other in "JR":
        realblur(manifest.folder, other)
    manifest_of(manifest, "realblur", ("train", "test"), within=f"RealBlur-{camera}_*")
    found = open_pairs_of("small", "train")
    assert found.scenes == ["scene001"] * 3 + ["scene003"] * 3
    assert [pair.blurred.stem for pair in found.files[:3]] == ["blur_1", "blur_2", "blur_10"]
    assert {pair.sharp.parts[-4][:10] for pair in found.files} == {f"RealBlur-{camera}"}
    (manifest.folder / realblur_folder(camera) / "scene002" / "gt" / "gt_2.png").unlink()
    with pytest.raises(ReblurError, match=r"blur_2\.png"):
        open_pairs_of("small", "test")


def test_hide(manifest):
    manifest_of(manifest, "hide", ("test",))
    assert open_pairs_of("small", "test").scenes == ["GOPR0950", "GOPR1096"]
    (manifest.folder / "GT" / "7fromGOPR0950.png").unlink()
    with pytest.raises(ReblurError, match=r"7fromGOPR0950\.png: has no sharp partner"):
        open_pairs_of("small", "test")


def test_a_pair_of_two_sizes_names_both_files(tmp_path):
    folders(tmp_path)
    put(tmp_path / "blur" / "a.png", size=(8, 9))
    found = open_own_pairs(tmp_path)
    with pytest.raises(ReblurError, match=r"blur/a\.png and .*sharp/a\.webp: .*9×8 and 10×8"):
        found[0]
    assert found[1].name == "b"


def test_unreadable_image_of_a_pair(tmp_path):
    folders(tmp_path)
    (tmp_path / "blur" / "a.png").write_bytes(b"")
    with pytest.raises(ReblurError, match=r"a\.png: is empty"):
        open_own_pairs(tmp_path)[0]


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


@pytest.mark.parametrize("name", ["skimage_photographs", "kohler"])
def test_sets_without_pairs(name):
    with pytest.raises(ReblurError, match="has no pairs"):
        open_pairs_of(name, "test")


@pytest.fixture
def crops_of(tmp_path):
    for number in range(3):
        image = numbered(number)
        write_image(tmp_path / "blur" / f"{number}.png", image)
        write_image(tmp_path / "sharp" / f"{number}.png", image + np.uint8(100))
    return open_own_pairs(tmp_path)


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
