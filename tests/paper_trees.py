"""Tiny trees in the layouts that authors publish, and profile `paper` at a tiny size."""

from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml
from skimage import data

SIZE = (64, 80)
GOPRO = {"train": "GOPR0372_07_00", "test": "GOPR0384_11_00"}


@lru_cache(maxsize=1)
def _astronaut() -> np.ndarray:
    return cv2.cvtColor(data.astronaut(), cv2.COLOR_RGB2BGR)


def picture(number: int, size: tuple[int, int] = SIZE, blur: float = 0) -> np.ndarray:
    """A part of a photograph, another one for every number; blurred by so many pixels."""
    top, left = (37 * number) % (512 - size[0]), (59 * number) % (512 - size[1])
    image = _astronaut()[top : top + size[0], left : left + size[1]]
    return cv2.GaussianBlur(image, (0, 0), blur) if blur else image


def put(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image)


def pairs(root: Path, blurred: str, sharp: str, names: Iterable[str], first: int = 0) -> None:
    for number, name in enumerate(names, first):
        put(root / blurred / name, picture(number, blur=1.5))
        put(root / sharp / name, picture(number))


def motion(root: Path) -> None:
    """Chapter 1: GoPro, HIDE, RealBlur, REDS and Köhler's benchmark."""
    for part, sequence in GOPRO.items():
        for blurred in ("blur", "blur_gamma"):
            pairs(root / "gopro" / part / sequence, blurred, "sharp", ["000047.png", "000048.png"])
    pairs(root / "hide", "test/test-close-ups", "GT", ["7fromGOPR0950.png"])
    pairs(root / "hide", "test/test-long-shot", "GT", ["9fromGOPR1096.MP4.png"], 1)
    wholes = {
        "J": "RealBlur-J_ECC_IMCORR_centroid_itensity_ref",
        "R": "RealBlur-R_BM3D_ECC_IMCORR_centroid_itensity_ref",
    }
    for camera, whole in wholes.items():
        for number, part in enumerate(("train", "test"), 1):
            scene = f"{whole}/scene{number:03d}"
            put(root / "realblur" / scene / "blur" / "blur_1.png", picture(number, blur=1.5))
            put(root / "realblur" / scene / "gt" / "gt_1.png", picture(number))
            line = f"{scene}/gt/gt_1.png {scene}/blur/blur_1.png \n"
            (root / "realblur" / f"RealBlur_{camera}_{part}_list.txt").write_text(line)
    for part in ("train", "val"):
        names = ["000/00000000.png", "001/00000000.png"]
        pairs(root / "reds" / part, f"{part}_blur", f"{part}_sharp", names)
    size = (162, 164)
    for which in range(1, 5):
        for path in range(1, 13):
            name = f"{which}_{path}"
            frames = root / "kohler" / f"Image{which}" / f"Kernel{path}"
            put(root / "kohler" / f"Blurry{name}.png", picture(which, size, 2))
            put(frames / f"GroundTruth{name}_1.png", picture(which, size))


def defocus(root: Path) -> None:
    """Chapter 2: SDD, DPDD (16 bits), RealDOF, LFDOF, RTF with its narrower maps, CUHK's masks."""
    two = ["0001.png", "0002.png"]
    for part in ("train_patches", "test"):
        pairs(root / "sdd" / part, "blur", "gt", two)
    pairs(root / "realdof", "source", "target", two)
    for part in ("train", "val", "test"):
        for number, (side, blur) in enumerate((("source", 1.5), ("target", 0))):
            path = root / "dpdd" / f"{part}_c" / side / f"1P0A{1000 + number}.png"
            put(path, picture(3, blur=blur).astype(np.uint16) * 257)
        base = root / "lfdof" / f"{part}_data"
        if part != "val":
            put(base / "ground_truth" / "10.png", picture(4))
            for focus in (1, 2):
                put(base / "input" / "10" / f"{focus}.png", picture(4, blur=focus))
    pairs(root / "rtf", "image/0", "GT", ["image_01.png"])
    ramp = np.tile(np.linspace(0, 255, SIZE[1] - 4), (SIZE[0], 1)).astype(np.uint8)
    put(root / "rtf" / "map" / "map_01.png", ramp)
    for number in (1, 605):
        put(root / "cuhk" / "image" / f"out_of_focus{number:04d}.jpg", picture(number, blur=1))
        put(root / "cuhk" / "gt" / f"out_of_focus{number:04d}.png", np.eye(*SIZE, dtype="u1") * 255)


def diffusion(root: Path) -> None:
    """Chapter 3: FFHQ, and real photographs and faces of low quality."""
    for number in (0, 1, 60000, 65000):
        folder = root / "ffhq" / "images1024x1024" / f"{number // 1000 * 1000:05d}"
        put(folder / f"{number:05d}.png", picture(number, (64, 64)))
    for part in ("training_data/iphone", "test_data/patches/iphone"):
        for number in range(2):
            put(root / "dped" / "iphone" / part / f"{number}.jpg", picture(number, (24, 24), 1))
    for name in ("realset80", "webphoto_test", "wider_test"):
        for number in range(4):
            put(root / name / f"{number:04d}_00.png", picture(number, blur=1.5))


def make_trees(project: Path) -> None:
    """Every data set that profile `paper` reads, and manifests that expect no more files."""
    for make in (motion, defocus, diffusion):
        make(project / "data")
    for path in (project / "data_manifests").glob("*.yaml"):
        manifest = yaml.safe_load(path.read_text())
        for part in manifest["source"].get("expected", ()):
            part["count"] = 1
        path.write_text(yaml.safe_dump(manifest, sort_keys=False))


def shrink(params: dict[str, Any]) -> None:
    """Profile `paper` of two steps on a CPU: all its data sets, few variants, and chapter 4."""
    paper = params["profiles"]["paper"]
    params["profiles"] = {"paper": paper}
    params["restore"]["profiles"] = ["paper"]
    paper["machine"] = {"device": "cpu", "threads": 1}
    few = {"steps": 2, "batch": 2, "log_every": 1}
    one, two, three = (paper[name] for name in ("scale_recurrent", "defocus", "diffusion"))
    for part in (one, two, three):
        part |= {"seeds": [0], "crop": 32}
        part["training"] |= few
    one |= {"variants": ["ss", "sr_edrb3_skip"], "networks": {"width": 2}}
    two |= {"variants": ["baseline", "full"], "networks": {"width": 2}}
    three["data"] |= {
        "photographs": ["skimage_photographs"], "face_size": 64, "min_side": 64, "tests": 2,
        "low": {"real_superres": 32, "real_faces": 32}, "highs": 4, "samples": 2,
        "photograph_size": 64, "shots": 1, "test_size": 64, "patches": 8,
    }  # fmt: skip
    three["tasks"] = {
        name: {"sources": ["softened"], "t0": t0}
        for name, t0 in (("real_superres", ["drawn"]), ("real_faces", [100]))
    }
    three |= {"variants": ["rrdb"], "options": {"rrdb": {"width": 4, "blocks": 1, "growth": 2}}}
    three["denoiser"] |= {"network": "ddpm_small", "options": {"channels": [8, 8, 8]}}
    three["denoiser"]["training"] |= few
    three["synthesis"]["steps"] = 2
    paper["carry_over"] = {
        "variants": ["sr_edrb3_skip"], "sources": ["motion", "defocus", "mixture"], "t0": 100,
        "seeds": [0], "networks": {"width": 2}, "crop": 32, "loss": "mse",
        "training": {**one["training"]},
    }  # fmt: skip
