"""Which code, parameters, data, libraries and machine made a file: a stamp beside every result.

A stamp holds no time of day, no host name and no absolute path: the same study made again on the
same machine has the same stamp.
"""

import platform
import subprocess
from collections.abc import Sequence
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import reblur
from reblur.files import sha256_of_file, sha256_of_value, write_json

SUFFIX = ".provenance.json"
LIBRARIES = (
    "torch",
    "torchvision",
    "numpy",
    "scipy",
    "pandas",
    "pillow",
    "scikit-image",
    "opencv-python-headless",
    "matplotlib",
    "safetensors",
    "lpips",
    "accelerate",
    "diffusers",
)


def stamp(
    profile: str,
    params: dict[str, Any],
    data_hashes: dict[str, str],
    inputs: Sequence[Path],
    root: Path,
) -> dict[str, Any]:
    """The stamp of a result, as a value that JSON can hold.

    Args:
        profile: name of the profile of params.yaml.
        params: the parameters that the result depends on.
        data_hashes: data set's name -> hash of its manifest.
        inputs: the files that the result was computed from; hashed here.
        root: results/<profile>. Inputs below it are named relative to it; of files elsewhere the
            bare name is kept, after 'elsewhere/'.
    """
    return {
        "profile": profile,
        "code": code_state(),
        "params": params,
        "params_sha256": sha256_of_value(params),
        "data": dict(data_hashes),
        "inputs": {relative_name(path, root): sha256_of_file(path) for path in inputs},
        "versions": library_versions(),
        "machine": machine(),
    }


def one_line(stamp: dict[str, Any]) -> str:
    """The stamp in one line of text, for footers and for the metadata of a PNG."""
    code, machine = stamp["code"], stamp["machine"]
    changed = " with uncommitted changes" if code["dirty"] else ""
    data = sha256_of_value(stamp["data"])[:8] if stamp["data"] else "none"
    return " · ".join(
        (
            f"reblur {code['version']}",
            f"commit {code['commit'][:10]}{changed}",
            f"profile {stamp['profile']}",
            f"params {stamp['params_sha256'][:8]}",
            f"data {data}",
            f"torch {stamp['versions'].get('torch', 'not installed')}",
            f"python {stamp['versions']['python']}",
            f"{machine['device']}, {machine['threads']} threads",
        )
    )


def write_provenance(
    stem: Path, kind: str, details: dict[str, Any], files: Sequence[Path], stamp: dict[str, Any]
) -> Path:
    """Write `<stem>.provenance.json` beside the finished files of a result; returns its path.

    Args:
        stem: the result's path without suffix.
        kind: 'table', 'figure' or 'report'; `details` stands under this name.
        files: the files that the result consists of; hashed here.
    """
    path = stem.with_name(stem.name + SUFFIX)
    hashes = {file.name: sha256_of_file(file) for file in files}
    write_json(path, {"kind": kind, kind: details, "files": hashes, "stamp": stamp})
    return path


def relative_name(path: Path, root: Path) -> str:
    """`path` as it is written in a stamp: relative to `root`, or its bare name."""
    path, root = Path(path).resolve(), Path(root).resolve()
    if path.is_relative_to(root):
        return path.relative_to(root).as_posix()
    return f"elsewhere/{path.name}"


def code_state() -> dict[str, Any]:
    """{'version', 'commit', 'dirty'} of the library's own working tree.

    Results and dvc.lock do not count: a study that has just run is not a change of the code.
    Without git the commit is 'unknown' and dirty is None; before the first commit it is 'none'.
    """
    folder = Path(reblur.__file__).parent
    top = _git("rev-parse", "--show-toplevel", folder=folder)
    if top is None:
        return {"version": reblur.__version__, "commit": "unknown", "dirty": None}
    excluded = (":(top,exclude)results", ":(top,exclude)dvc.lock")
    status = _git("status", "--porcelain", "--", ":(top)", *excluded, folder=Path(top))
    commit = _git("rev-parse", "--verify", "HEAD", folder=Path(top))
    return {
        "version": reblur.__version__,
        "commit": commit or "none",
        "dirty": None if status is None else bool(status),
    }


def _git(*arguments: str, folder: Path) -> str | None:
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=folder, capture_output=True, text=True, timeout=60
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


@lru_cache(maxsize=1)
def library_versions() -> dict[str, str]:
    """Version of Python and of every library of `LIBRARIES` that is installed."""
    versions = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


def machine() -> dict[str, Any]:
    """{'device', 'cpu', 'threads', 'system'}: the GPU's name, or the processor's."""
    import torch

    cpu = _processor()
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else cpu
    return {
        "device": device,
        "cpu": cpu,
        "threads": torch.get_num_threads(),
        "system": f"{platform.system()} {platform.machine()}",
    }


@lru_cache(maxsize=1)
def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass  # not Linux
    return platform.processor() or platform.machine()
