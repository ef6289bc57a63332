"""Low-quality images and faces: sizes, splits, patches, and what is refused."""

import numpy as np
import pytest
import torch

from reblur.datasets.catalogue.manifests import load_manifest, locate
from reblur.datasets.images.files import write_image
from reblur.datasets.images.low_quality import (
    Patches,
    low_quality_folder,
    open_faces,
    open_low_quality,
)
from reblur.datasets.images.photographs import Photographs
from reblur.errors import ReblurError
from small_manifests import SmallManifests, by_hand, entry


def noise(number: int, height: int, width: int) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 256, (height, width, 3), np.uint8)


def numbered(height: int, width: int, number: int) -> np.ndarray:
    """Each pixel tells its row, its column and its image."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows, columns, np.full_like(rows, number)], axis=2).astype(np.uint8)


@pytest.fixture
def small(tmp_path, monkeypatch) -> SmallManifests:
    return SmallManifests(tmp_path, monkeypatch)


@pytest.fixture
def fetched(small) -> dict[str, np.ndarray]:
    """The set 'small': four images for training, one for testing, one of neither."""
    images = {
        "wide": noise(0, 20, 33),
        "tall": noise(1, 50, 17),
        "large": noise(2, 64, 80),
        "grey": noise(3, 30, 30)[:, :, :1].repeat(3, 2),
        "other": noise(4, 40, 40),
        "unused": noise(5, 40, 40),
    }
    files = []
    for name, image in images.items():
        write_image(small.folder / f"{name}.png", image)
        split = {"other": "test", "unused": None}.get(name, "train")
        of = {"scene": name, "split": split} if split else {}
        files.append(entry(f"{name}.png", (small.folder / f"{name}.png").read_bytes(), **of))
    small(files=files, layout="images")
    return images


def test_small_images_are_enlarged_and_large_ones_left(fetched):
    found = open_low_quality(["small"], "train", 32)
    assert found.names == ["small/wide", "small/tall", "small/large", "small/grey"]
    assert [image.shape for image in found.images] == [
        (32, 53, 3),
        (94, 32, 3),
        (64, 80, 3),
        (32, 32, 3),
    ]
    assert np.array_equal(found[2], fetched["large"])
    assert np.array_equal(found[3][:, :, 0], found[3][:, :, 2])
    left = open_low_quality(["small"], "train", 17)
    assert np.array_equal(left[1], fetched["tall"])
    assert open_low_quality(["small"], "test", 1).names == ["small/other"]


@pytest.mark.parametrize("size", [1, 29, 97, 250])
def test_the_shorter_side_is_exact(fetched, size):
    for image, before in zip(
        open_low_quality(["small"], "train", size).images, fetched.values(), strict=False
    ):
        assert min(image.shape[:2]) == max(size, min(before.shape[:2]))


def test_enlarging_keeps_the_brightness(fetched):
    enlarged = open_low_quality(["small"], "train", 200)
    for name, image in zip(("wide", "tall"), enlarged.images, strict=False):
        assert abs(image.mean() - fetched[name].mean()) < 3


def test_sets_stand_one_after_the_other(fetched):
    twice = open_low_quality(["small", "small"], "test", 8)
    assert twice.names == ["small/other"] * 2


def test_what_cannot_be_opened(fetched, small):
    with pytest.raises(ReblurError, match="has no split 'dev'; its splits are: train, test"):
        open_low_quality(["small"], "dev", 8)
    (small.folder / "tall.png").unlink()
    with pytest.raises(ReblurError, match="1 of 6 files are missing; fetch it"):
        open_low_quality(["small"], "train", 8)
    path = small.folder / "wide.png"
    size = path.stat().st_size
    path.write_bytes(path.read_bytes()[: size // 2] + bytes(size - size // 2))
    write_image(small.folder / "tall.png", fetched["tall"])
    with pytest.raises(ReblurError, match=r"wide\.png: is truncated or damaged"):
        open_low_quality(["small"], "train", 8)
    small(layout="gopro", files=[entry("a.png", b"x")])
    with pytest.raises(ReblurError, match="layout is 'gopro', not one of single images"):
        open_low_quality(["small"], "train", 8)


def test_faces_are_the_centre_square(fetched):
    faces = open_faces(["small"], "train", 16)
    assert [image.shape for image in faces.images] == [(16, 16, 3)] * 4
    left = fetched["large"][:, 8:72]  # 64×64 → 16×16: each pixel the mean of 4×4
    means = left.reshape(16, 4, 16, 4, 3).mean((1, 3))
    assert np.abs(faces[2] - means).max() <= 0.5 + 1e-6
    large = open_faces(["small"], "train", 64)
    assert np.array_equal(large[2], left)
    assert large[1].shape == (64, 64, 3)
    assert abs(large[1].mean() - fetched["tall"][16:33].mean()) < 3


def test_faces_of_scikit_image():
    values = np.load(locate("skimage_lfw") / "lfw_subset.npy")
    rows = []
    for split, first, count in (("train", 0, 70), ("validation", 70, 10), ("test", 80, 20)):
        faces = open_faces(["skimage_lfw"], split, 25)
        assert len(faces) == count
        for row, image in enumerate(faces.images, first):
            assert np.array_equal(image, np.rint(values[row] * 255)[:, :, None].repeat(3, 2))
        rows += faces.names
    assert rows == [f"skimage_lfw/{row:03d}" for row in range(100)]
    assert open_faces(["skimage_lfw"], "test", 32)[0].shape == (32, 32, 3)
    assert open_low_quality(["skimage_lfw"], "test", 48)[0].shape == (48, 48, 3)
    with pytest.raises(ReblurError, match="no split 'dev'; its splits are: train, validation, te"):
        open_faces(["skimage_lfw"], "dev", 25)


def test_by_hand_every_fourth_scene_is_for_testing(small):
    names = ["00_0", "00_1", "01_0", "02_0", "03_0", "03_1", "04_0", "07_0", "08_0", "09_0"]
    small(
        source=by_hand({"pattern": "*.*g", "count": 10}),
        layout="images",
        options={"test_every": "4"},
    )
    with pytest.raises(ReblurError, match=r"found 0.*by hand from"):
        open_low_quality(["small"], "train", 8)
    for number, name in enumerate(names):
        write_image(small.folder / f"{name}.{'png' if number % 2 else 'jpg'}", noise(number, 9, 9))
    (small.folder / "notes.org").touch()  # matches the pattern, and is no image
    test = open_low_quality(["small"], "test", 8).names
    train = open_low_quality(["small"], "train", 8).names
    assert test == ["small/03_0", "small/03_1", "small/09_0"]
    assert sorted(test + train) == [f"small/{name}" for name in names]
    with pytest.raises(ReblurError, match="no split 'validation'; its splits are: train, test"):
        open_low_quality(["small"], "validation", 8)


def test_by_hand_the_authors_split(small):
    parts = {"train": "Train/4/*_LR4.png", "test": "Test/4/*_LR4.png"}
    expected = [{"pattern": p, "count": 1, "split": split} for split, p in parts.items()]
    small(source=by_hand(*expected), layout="images", splits={s: [f"{s}/*"] for s in parts})
    for number, part in enumerate(("Train", "Test")):
        for name in ("1_LR4", "1_HR"):
            write_image(small.folder / part / "4" / f"{name}.png", noise(number, 9, 9))
    for number, split in enumerate(parts):
        found = open_low_quality(["small"], split, 1)
        assert found.names == ["small/1_LR4"]
        assert np.array_equal(found[0], noise(number, 9, 9))
    with pytest.raises(ReblurError, match="no split 'dev'; its splits are: train, test"):
        open_low_quality(["small"], "dev", 1)


@pytest.mark.parametrize(
    ("name", "paths"),
    [
        ("ffhq", {"images1024x1024/00000/00000.png": "train"}),
        ("ffhq", {"images1024x1024/59000/59999.png": "train"}),
        ("ffhq", {"images1024x1024/60000/60000.png": "validation"}),
        ("ffhq", {"images1024x1024/64000/64999.png": "validation"}),
        ("ffhq", {"images1024x1024/65000/65000.png": "test"}),
        ("ffhq", {"images1024x1024/69000/69999.png": "test"}),
        ("celeba_hq", {f"CelebA-HQ-img/{n}.jpg": "train" for n in (0, 10, 100, 1000, 26999)}),
        ("celeba_hq", {f"CelebA-HQ-img/{n}.jpg": "validation" for n in (27000, 27999)}),
        ("celeba_hq", {f"CelebA-HQ-img/{n}.jpg": "test" for n in (28000, 29999)}),
    ],
)
def test_the_patterns_of_large_sets_split_by_number(tmp_path, name, paths):
    expected = load_manifest(name).source.expected
    for path, split in paths.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
        matching = {
            part.split for part in expected if tmp_path / path in tmp_path.glob(part.pattern)
        }
        assert matching == {split}
    total = {"ffhq": 70_000, "celeba_hq": 30_000}[name]
    assert sum(part.count for part in expected) == total


@pytest.fixture
def photographs() -> Photographs:
    sizes = [(40, 60), (50, 33), (64, 64)]
    return Photographs(["a", "b", "c"], [numbered(*size, n) for n, size in enumerate(sizes)])


def test_a_patch_is_a_function_of_seed_and_index(photographs):
    source = Patches(photographs, 16)
    together = source.batch(3, [5, 0, 9, 5])["image"]
    assert together.shape == (4, 3, 16, 16)
    assert together.dtype == torch.float32
    for place, index in enumerate([5, 0, 9, 5]):
        assert torch.equal(together[place : place + 1], source.batch(3, [index])["image"])
    assert not torch.equal(together, source.batch(4, [5, 0, 9, 5])["image"])
    other = Patches(photographs, 16, stream="other").batch(3, [5, 0, 9, 5])["image"]
    assert not torch.equal(together, other)
    assert source.batch(3, [])["image"].shape == (0, 3, 16, 16)


@pytest.mark.parametrize(
    ("switches", "turns"),
    [({}, 8), ({"augment": False}, 1), ({"upright": True}, 2)],
)
def test_patches_are_cut_from_the_images_and_turned(photographs, switches, turns):
    seen, images = set(), set()
    patches = Patches(photographs, 12, **switches).batch(0, range(150))["image"]
    for patch in (patches * 255).round().long():
        rows, columns, number = patch
        image = photographs[int(number[0, 0])]
        images.add(int(number[0, 0]))
        top, left = int(rows.min()), int(columns.min())
        cut = torch.from_numpy(image[top : top + 12, left : left + 12].transpose(2, 0, 1).copy())
        assert torch.equal(patch.flatten(1).sort().values, cut.long().flatten(1).sort().values)
        seen.add((int(rows[0, 0] - rows[-1, 0]), int(columns[0, 0] - columns[0, -1])))
        if switches:
            assert torch.equal(rows, cut[0].long())  # upright
    assert images == {0, 1, 2}
    assert len(seen) == {8: 5, 2: 2, 1: 1}[turns]  # the four transposed ones all have (0, 0)


def test_a_whole_face_is_a_patch(photographs):
    face = Photographs(["f"], [noise(0, 24, 24)])
    patches = Patches(face, 24, upright=True).batch(0, range(40))["image"]
    assert len(torch.unique(patches, dim=0)) == 2


def test_images_smaller_than_a_patch_are_refused(photographs):
    with pytest.raises(ReblurError, match=r"b: is 33×50 pixels, too small for patches of 34×34"):
        Patches(photographs, 34)


def test_a_folder_of_ones_own(tmp_path):
    write_image(tmp_path / "b.png", noise(0, 10, 20))
    write_image(tmp_path / "deep" / "er" / "a.jpg", noise(1, 40, 30))
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / ".hidden.png").touch()
    found = low_quality_folder(tmp_path)
    assert found.names == ["b", "deep-er-a"]
    assert np.array_equal(found[0], noise(0, 10, 20))
    assert [i.shape for i in low_quality_folder(str(tmp_path), 25).images] == [
        (25, 50, 3),
        (40, 30, 3),
    ]


def test_a_bad_folder_is_refused(tmp_path):
    with pytest.raises(ReblurError, match="there is no such folder"):
        low_quality_folder(tmp_path / "nowhere")
    (tmp_path / "notes.txt").touch()
    with pytest.raises(ReblurError, match="holds no images; put some"):
        low_quality_folder(tmp_path)
    (tmp_path / "a.png").touch()
    with pytest.raises(ReblurError, match=r"a\.png: is empty"):
        low_quality_folder(tmp_path)
    (tmp_path / "a.png").write_bytes(b"not a picture")
    with pytest.raises(ReblurError, match=r"a\.png: is not an image"):
        low_quality_folder(tmp_path)
    write_image(tmp_path / "a.png", noise(0, 30, 30))
    whole = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ReblurError, match=r"a\.png: is truncated or damaged"):
        low_quality_folder(tmp_path)
    (tmp_path / "a.png").write_bytes(whole)
    write_image(tmp_path / "a.jpg", noise(0, 30, 30))
    with pytest.raises(ReblurError, match=r"a\.png: and a\.jpg have one name"):
        low_quality_folder(tmp_path)
