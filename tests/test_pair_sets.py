"""Made pairs: what is written is read again, whole or not at all, and every damage is named."""

import errno
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from reblur.datasets.images import pair_sets
from reblur.datasets.images.own_sets import open_own
from reblur.datasets.images.pair_sets import High, Low, open_pair_set, upsample, write_pair_set
from reblur.datasets.images.pairs import PairCrops
from reblur.errors import ReblurError

SCALE = 4
ABOUT = {"source": "refined_100", "t0": 100, "seed": 0, "weights": "ab" * 32}


def noise(number: int, height: int, width: int) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 256, (height, width, 3), np.uint8)


HIGHS = [High(f"p{n}", f"scene{n // 2}", noise(n, 32, 24 + 8 * n)) for n in range(5)]
LOWS = [
    Low(
        f"{high.name}-{k}",
        high.name,
        noise(100 + 10 * n + k, *(side // SCALE for side in high.image.shape[:2])),
        {"jpeg": 60 + k},
    )
    for n, high in enumerate(HIGHS)
    for k in range(2)
]


def write(folder: Path, **changes) -> Path:
    arguments = {"highs": HIGHS, "lows": LOWS, "scale": SCALE, "about": ABOUT} | changes
    write_pair_set(folder / "set", high=folder / "shared" / "high", **arguments)
    return folder / "set"


@pytest.fixture
def folder(tmp_path) -> Path:
    return write(tmp_path)


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, with its bytes."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def test_what_is_written_is_read_again(folder):
    pairs = open_pair_set(folder)
    assert pairs.names == [low.name for low in LOWS]
    assert pairs.scenes == ["scene0"] * 4 + ["scene1"] * 4 + ["scene2"] * 2
    assert pairs.draws == [{"jpeg": 60}, {"jpeg": 61}] * 5
    assert (pairs.about, pairs.scale) == (ABOUT, SCALE)
    for index, (pair, written) in enumerate(zip(pairs, LOWS, strict=True)):
        assert np.array_equal(pairs.low(index), written.image)
        high = HIGHS[index // 2].image
        assert np.array_equal(pair.sharp, high)
        assert np.array_equal(pairs.high(index), high)
        size = high.shape[1::-1]
        expected = cv2.resize(written.image, size, interpolation=cv2.INTER_CUBIC)
        assert np.array_equal(pair.blurred, expected)
        assert pair.name == written.name


def test_a_set_is_a_training_source_named_by_its_folder(folder):
    whole, train, test = (open_own(str(folder), part) for part in (None, "train", "test"))
    assert whole.names == [low.name for low in LOWS]
    assert sorted(train.names + test.names) == sorted(whole.names)
    assert min(len(train), len(test)) > 0
    assert not set(train.scenes) & set(test.scenes)
    batch = PairCrops(train, 16).batch(0, range(5))
    assert batch["blurred"].shape == batch["sharp"].shape == (5, 3, 16, 16)
    assert torch.equal(batch["sharp"][3:4], PairCrops(train, 16).batch(0, [3])["sharp"])


def test_upsampling_keeps_a_plane_and_the_centre():
    ramp = np.repeat(np.arange(10, 250, 30, dtype=np.uint8)[None, :, None], 6, 0).repeat(3, 2)
    large = upsample(ramp, 24, 32)
    assert large.shape == (24, 32, 3)
    assert abs(large.mean() - ramp.mean()) < 0.5  # no shift of half a pixel
    assert np.array_equal(upsample(np.full((3, 3, 3), 77, np.uint8), 9, 9), np.full((9, 9, 3), 77))
    assert upsample(ramp, *ramp.shape[:2]) is ramp


def test_another_set_takes_its_place_and_high_images_that_are_the_same_stay(folder):
    high = folder.parent / "shared" / "high"
    before = {path: path.stat().st_ino for path in high.iterdir()}
    write(folder.parent, lows=LOWS[:3], about={})
    assert {path: path.stat().st_ino for path in high.iterdir()} == before
    assert open_pair_set(folder).names == [low.name for low in LOWS[:3]]
    write(folder.parent, highs=[h._replace(image=255 - h.image) for h in HIGHS])
    assert np.array_equal(open_pair_set(folder)[0].sharp, 255 - HIGHS[0].image)
    assert sorted(path.name for path in folder.parent.iterdir()) == ["set", "shared"]


def test_a_project_can_be_moved(folder, tmp_path):
    (tmp_path / "moved").mkdir()
    for part in ("set", "shared"):
        shutil.move(tmp_path / part, tmp_path / "moved" / part)
    assert np.array_equal(open_pair_set(tmp_path / "moved" / "set")[0].sharp, HIGHS[0].image)


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:40])


def _change(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-20] ^= 1
    path.write_bytes(bytes(data))


@pytest.mark.parametrize(
    ("damage", "said"), [(Path.unlink, "missing"), (_truncate, "changed"), (_change, "changed")]
)
@pytest.mark.parametrize("name", ["set/low/p2-1.png", "shared/high/p2.png"])
def test_missing_and_changed_files_are_refused(folder, damage, said, name):
    damage(folder.parent / name)
    with pytest.raises(ReblurError, match=rf"{Path(name).name} is {said}; make the set again"):
        open_pair_set(folder)


@pytest.mark.parametrize("text", [None, "", "{", '{"scale": 4}', "[]"])
def test_a_broken_manifest_is_refused(folder, text):
    path = folder / "manifest.json"
    path.write_text(text) if text is not None else path.unlink()
    with pytest.raises(ReblurError, match=r"is no set of made pairs \(.*\); make it again"):
        open_pair_set(folder)


def test_nothing_to_write_is_refused(tmp_path):
    with pytest.raises(ReblurError, match="no pairs to write"):
        write(tmp_path, lows=[])
    assert not (tmp_path / "set").exists()


@pytest.mark.parametrize("after", [0, 3, 8])
@pytest.mark.parametrize("there", [False, True])
def test_a_full_disk_leaves_nothing_half_written(tmp_path, monkeypatch, after, there):
    target = tmp_path / "set"
    if there:
        write(tmp_path)
    before, written = tree(target), []

    def full(folder: Path, image: High | Low) -> str:
        if len(written) == after:
            raise OSError(errno.ENOSPC, "No space left on device")
        written.append(image)
        return right(folder, image)

    right = pair_sets._write_png
    monkeypatch.setattr(pair_sets, "_write_png", full)
    with pytest.raises(ReblurError, match="the disk is full; nothing was overwritten"):
        write(tmp_path, about={"source": "other"})
    assert len(written) == after
    assert tree(target) == before
    assert not list(tmp_path.rglob(".*"))


def test_a_failed_exchange_puts_the_old_set_back(folder, monkeypatch):
    before, rename = tree(folder.parent), Path.rename

    def fails(self: Path, target: Path) -> Path:
        if self.name == "new" and target == folder:
            raise OSError(errno.EACCES, "Permission denied")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fails)
    with pytest.raises(ReblurError, match="cannot be written"):
        write(folder.parent, about={})
    assert tree(folder.parent) == before


def test_an_interrupted_generator_leaves_nothing(folder):
    def stopped():
        yield LOWS[0]
        raise KeyboardInterrupt

    before = tree(folder.parent)
    with pytest.raises(KeyboardInterrupt):
        write(folder.parent, lows=stopped())
    assert tree(folder.parent) == before
