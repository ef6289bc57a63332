"""Made pairs: what is written is read again, whole or not at all, and every damage is named."""

import errno
import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from reblur.datasets.images import pair_sets
from reblur.datasets.images.pair_sets import (
    MadePair,
    open_pair_set,
    pair_set_hash,
    upsample,
    write_highs,
    write_pair_set,
)
from reblur.datasets.images.pairs import PairCrops
from reblur.errors import ReblurError

SCALE = 4
ABOUT = {"source": "refined_100", "t0": 100, "seed": 0, "weights": "ab" * 32}


def noise(number: int, height: int, width: int) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 256, (height, width, 3), np.uint8)


HIGHS = [(f"p{n}", f"scene{n // 2}", noise(n, 32, 24 + 8 * n)) for n in range(3)]


def made(samples: int = 2, shift: int = 100) -> list[MadePair]:
    return [
        MadePair(
            f"{name}-{k}", scene, noise(shift + 10 * n + k, *low_size(image)), {"jpeg": 60 + k}
        )
        for n, (name, scene, image) in enumerate(HIGHS)
        for k in range(samples)
    ]


def low_size(image: np.ndarray) -> tuple[int, int]:
    return image.shape[0] // SCALE, image.shape[1] // SCALE


@pytest.fixture
def folders(tmp_path) -> tuple[Path, Path]:
    """The high folder and the set's."""
    high, low = tmp_path / "task" / "high", tmp_path / "pairs" / "refined_100"
    assert write_highs(high, HIGHS) == "written"
    assert write_pair_set(low, made(), high=high, scale=SCALE, about=ABOUT) == "written"
    return high, low


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, with its bytes."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def again(high: Path, low: Path, **changes) -> str:
    arguments = {"high": high, "scale": SCALE, "about": ABOUT, **changes}
    return write_pair_set(low, arguments.pop("pairs", made()), **arguments)


def test_what_is_written_is_read_again(folders):
    pairs = open_pair_set(folders[1])
    assert pairs.names == ["p0-0", "p0-1", "p1-0", "p1-1", "p2-0", "p2-1"]
    assert pairs.scenes == ["scene0"] * 4 + ["scene1"] * 2
    assert pairs.draws == [{"jpeg": 60}, {"jpeg": 61}] * 3
    assert (pairs.about, pairs.scale) == (ABOUT, SCALE)
    for index, (pair, written) in enumerate(zip(pairs, made(), strict=True)):
        assert np.array_equal(pairs.low(index), written.low)
        high = HIGHS[index // 2][2]
        assert np.array_equal(pair.sharp, high)
        assert np.array_equal(pairs.high(index), high)
        size = high.shape[1::-1]
        expected = cv2.resize(written.low, size, interpolation=cv2.INTER_CUBIC)
        assert np.array_equal(pair.blurred, expected)
        assert (pair.name, pair.scene) == (written.name, written.scene)


def test_scale_one_changes_no_value(folders, tmp_path):
    same = [MadePair(name, scene, image, {}) for name, scene, image in HIGHS]
    again(folders[0], tmp_path / "one", pairs=same, scale=1)
    pairs = open_pair_set(tmp_path / "one")
    assert pairs.names == ["p0", "p1", "p2"]
    assert all(np.array_equal(pair.blurred, pair.sharp) for pair in pairs)


def test_a_set_is_a_training_source(folders):
    crops = PairCrops(open_pair_set(folders[1]), 16)
    batch = crops.batch(0, range(5))
    assert batch["blurred"].shape == batch["sharp"].shape == (5, 3, 16, 16)
    assert torch.equal(batch["sharp"][3:4], crops.batch(0, [3])["sharp"])
    with pytest.raises(ReblurError, match="too small for crops"):
        PairCrops(open_pair_set(folders[1]), 33).batch(0, [0])


def test_upsampling_keeps_a_plane_and_the_centre():
    ramp = np.repeat(np.arange(10, 250, 30, dtype=np.uint8)[None, :, None], 6, 0).repeat(3, 2)
    large = upsample(ramp, 24, 32)
    assert large.shape == (24, 32, 3)
    assert abs(large.mean() - ramp.mean()) < 0.5  # no shift of half a pixel
    assert np.array_equal(upsample(np.full((3, 3, 3), 77, np.uint8), 9, 9), np.full((9, 9, 3), 77))


def test_the_same_set_is_kept_and_nothing_drawn(folders):
    before = tree(folders[1])

    def never():
        raise AssertionError("drawn again")
        yield

    assert again(*folders, pairs=never()) == "kept"
    assert write_highs(folders[0], HIGHS) == "kept"
    assert tree(folders[1]) == before


@pytest.mark.parametrize(
    "changes", [{"about": {**ABOUT, "t0": 200}}, {"scale": 8}], ids=["about", "scale"]
)
def test_another_configuration_replaces_the_set(folders, changes):
    before = pair_set_hash(folders[1])
    pairs = [
        MadePair(pair.name, pair.scene, noise(n, 32 // 8, width // 8), {})
        if "scale" in changes
        else pair
        for n, (pair, width) in enumerate(zip(made(), [24, 24, 32, 32, 40, 40], strict=True))
    ]
    assert again(*folders, pairs=pairs, **changes) == "replaced"
    assert pair_set_hash(folders[1]) != before
    assert len(open_pair_set(folders[1])) == 6
    assert [path.name for path in folders[1].parent.iterdir()] == ["refined_100"]


def test_a_damaged_set_is_made_again(folders):
    (folders[1] / "low" / "p1-0.png").unlink()
    assert again(*folders) == "replaced"
    assert len(open_pair_set(folders[1])) == 6


def test_the_hash_is_of_the_images_and_of_how_they_were_made(folders, tmp_path):
    high, low = folders
    plain = pair_set_hash(low)
    again(high, tmp_path / "elsewhere" / "deeper" / "set")
    assert pair_set_hash(tmp_path / "elsewhere" / "deeper" / "set") == plain
    for number, changes in enumerate(
        [{"pairs": made(shift=900)}, {"pairs": made(samples=1)}, {"about": {"source": "other"}}]
    ):
        again(high, tmp_path / str(number), **changes)
        assert pair_set_hash(tmp_path / str(number)) != plain


def test_a_project_can_be_moved(folders, tmp_path):
    root = tmp_path / "moved"
    root.mkdir()
    for part in ("task", "pairs"):
        shutil.move(tmp_path / part, root / part)
    pairs = open_pair_set(root / "pairs" / "refined_100")
    assert np.array_equal(pairs[0].sharp, HIGHS[0][2])


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:40])


def _change(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-20] ^= 1
    path.write_bytes(bytes(data))


@pytest.mark.parametrize(
    ("damage", "said"), [(Path.unlink, "missing"), (_truncate, "changed"), (_change, "changed")]
)
@pytest.mark.parametrize("which", ["low", "high"])
def test_missing_and_changed_files_are_refused(folders, damage, said, which):
    high, low = folders
    damage(low / "low" / "p2-1.png" if which == "low" else high / "p2.png")
    name, count = ("p2-1.png", 6) if which == "low" else ("p2.png", 3)
    with pytest.raises(ReblurError, match=rf"1 of {count} images are {said} \({name}.*again"):
        open_pair_set(low)


def test_other_high_images_are_refused(folders):
    high, low = folders
    assert write_highs(high, [(n, s, 255 - image) for n, s, image in HIGHS]) == "replaced"
    with pytest.raises(ReblurError, match="are others than it was made from; make the set again"):
        open_pair_set(low)
    assert again(high, low) == "replaced"
    assert np.array_equal(open_pair_set(low)[0].sharp, 255 - HIGHS[0][2])


def test_another_scale_in_the_manifest_is_refused(folders):
    path = folders[1] / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "scale": 2}))
    with pytest.raises(ReblurError, match=r"6×8 pixels are not 24×32 at scale 2; make the set"):
        open_pair_set(folders[1])[0]


@pytest.mark.parametrize("text", ["", "{", '{"scale": 4}', "[]"])
def test_a_broken_manifest_is_refused(folders, text):
    (folders[1] / "manifest.json").write_text(text)
    for reader in (open_pair_set, pair_set_hash):
        with pytest.raises(
            ReblurError, match=r"is not the manifest of a set of made pairs .*again"
        ):
            reader(folders[1])
    assert again(*folders) == "replaced"


def test_no_set_is_refused(folders, tmp_path):
    for absent in (tmp_path / "nowhere", folders[1] / "low"):
        with pytest.raises(ReblurError, match=r"it has no manifest\.json"):
            open_pair_set(absent)
    with pytest.raises(ReblurError, match="is not the manifest of a set"):
        open_pair_set(folders[0])
    with pytest.raises(ReblurError, match="is no folder of high images"):
        again(tmp_path / "nowhere", tmp_path / "new")


@pytest.mark.parametrize(
    ("pair", "said"),
    [
        (MadePair("p9-0", "scene0", noise(0, 8, 6), {}), "p9-0: is no name of a high image"),
        (MadePair("p0-x", "scene0", noise(0, 8, 6), {}), "p0-x: is no name of a high image"),
        (MadePair("p0-0", "scene1", noise(0, 8, 6), {}), "has the scene 'scene1'"),
        (MadePair("p0-0", "scene0", noise(0, 8, 7), {}), "7×8 pixels are not 24×32 at scale 4"),
        (MadePair("p1-1", "scene0", noise(0, 8, 8), {}), "two images have this name"),
        (MadePair("../p0-0", "scene0", noise(0, 8, 6), {}), "is no name of an image"),
    ],
)
def test_a_pair_that_does_not_fit_leaves_the_old_set(folders, pair, said):
    before = tree(folders[1].parent)
    with pytest.raises(ReblurError, match=said):
        again(*folders, pairs=[*made()[2:], pair], about={})
    assert tree(folders[1].parent) == before


def test_nothing_to_write_is_refused(folders, tmp_path):
    with pytest.raises(ReblurError, match="no pairs to write"):
        again(folders[0], tmp_path / "new", pairs=[])
    with pytest.raises(ReblurError, match="no images to write"):
        write_highs(tmp_path / "new", [])
    assert not (tmp_path / "new").exists()


def test_names_that_could_be_of_two_images_are_refused(tmp_path):
    images = [("a-0", "s", noise(0, 8, 8)), ("a", "s", noise(1, 8, 8))]
    with pytest.raises(ReblurError, match="a-0: could be a sample of a; rename it"):
        write_highs(tmp_path / "high", images)
    with pytest.raises(ReblurError, match="two images have this name"):
        write_highs(tmp_path / "high", [images[0], images[0]])


@pytest.mark.parametrize("after", [0, 3])
@pytest.mark.parametrize("replaced", [False, True])
def test_a_full_disk_leaves_nothing_half_written(folders, tmp_path, monkeypatch, after, replaced):
    high, low = folders
    target = low if replaced else tmp_path / "pairs" / "new"
    before = tree(tmp_path)
    written = []

    def full(path: Path, image: np.ndarray) -> str:
        if len(written) == after:
            raise OSError(errno.ENOSPC, "No space left on device")
        written.append(path)
        path.write_bytes(b"part")
        return "0" * 64

    monkeypatch.setattr(pair_sets, "_write_png", full)
    with pytest.raises(ReblurError, match="the disk is full; nothing was overwritten"):
        again(high, target, about={"source": "other"})
    assert len(written) == after
    assert tree(tmp_path) == before
    assert not list(target.parent.glob(".*"))


def test_a_failed_exchange_puts_the_old_set_back(folders, monkeypatch):
    before, rename = tree(folders[1].parent), Path.rename

    def fails(self: Path, target: Path) -> Path:
        if self.name == "whole":
            raise OSError(errno.EACCES, "Permission denied")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fails)
    with pytest.raises(ReblurError, match="cannot be written"):
        again(*folders, about={})
    assert tree(folders[1].parent) == before


def test_an_interrupted_generator_leaves_nothing(folders, tmp_path):
    def stopped():
        yield made()[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        again(folders[0], tmp_path / "new" / "set", pairs=stopped())
    assert list((tmp_path / "new").iterdir()) == []


def test_a_folder_of_other_files_is_never_replaced(folders, tmp_path):
    mine = tmp_path / "mine"
    mine.mkdir()
    assert again(folders[0], mine) == "replaced"  # empty
    (mine / "thesis.txt").write_text("years of work")
    for write in (lambda: again(folders[0], mine, about={}), lambda: write_highs(mine, HIGHS)):
        with pytest.raises(
            ReblurError, match=r"holds other files \(.*\); name a folder of its own"
        ):
            write()
    assert (mine / "thesis.txt").read_text() == "years of work"
    with pytest.raises(ReblurError, match="is a file"):
        write_highs(mine / "thesis.txt", HIGHS)
    photographs = tmp_path / "photographs"
    photographs.mkdir()
    (photographs / "a.png").touch()
    with pytest.raises(ReblurError, match=r"holds other files \(a\.png\)"):
        write_highs(photographs, HIGHS)
