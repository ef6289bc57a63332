"""What made a result: the code that it reaches, its data, the libraries and the machine.

The code of a result is the import closure of a few modules: every module of `reblur` that they
import, directly or not, as syntax trees without docstrings and comments. A changed comment changes
nothing; a changed loss function changes the hash of every run that reaches it, and of no other.
"""

import ast
import hashlib
import platform
import subprocess
from collections.abc import Iterable
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import reblur
from reblur.files import sha256_of_value

PACKAGE = Path(reblur.__file__).parent
#: Modules that hold names alone: what they say of a run stands in its configuration.
DECLARATIONS = ("reblur", "reblur.networks.names")
LIBRARIES = (
    "torch",
    "torchvision",
    "numpy",
    "scipy",
    "pandas",
    "pillow",
    "scikit-image",
    "opencv-python-headless",
    "safetensors",
    "lpips",
    "accelerate",
    "diffusers",
)


def path_of(module: str) -> Path | None:
    """The file of a module of the package; None where it is none (a class, a function)."""
    stem = PACKAGE.joinpath(*module.split(".")[1:])
    for path in (stem.with_suffix(".py"), stem / "__init__.py"):
        if path.is_file():
            return path
    return None


@lru_cache(maxsize=None)
def _module(path: Path, modified: int) -> tuple[str, tuple[str, ...]]:
    """(hash of the code without docstrings and comments, names that it may import from reblur)."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imported: list[str] = []
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                imported += [alias.name for alias in names]
            case ast.ImportFrom(module=str(module), names=names, level=0):
                imported += [module, *(f"{module}.{alias.name}" for alias in names)]
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [part for part in body if not _is_text(part)] or [ast.Pass()]
    code = ast.dump(tree, annotate_fields=False)
    ours = tuple(name for name in imported if name.split(".")[0] == "reblur")
    return hashlib.sha256(code.encode()).hexdigest(), ours


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def closure(modules: Iterable[str]) -> dict[str, str]:
    """Every module that `modules` reach by imports, they included → the hash of its code."""
    found: dict[str, str] = {}
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        path = path_of(name)
        if path is None or name in found or name in DECLARATIONS:
            continue
        found[name], imported = _module(path, path.stat().st_mtime_ns)
        waiting += imported
        parent = name.rpartition(".")[0]
        waiting += [parent] if "." in parent else []
    return dict(sorted(found.items()))


def code_hash(modules: Iterable[str]) -> str:
    """One hash of the import closure of `modules`."""
    return sha256_of_value(closure(modules))


def code_state() -> dict[str, Any]:
    """{'version', 'commit', 'dirty'} of the library's own working tree.

    Results and dvc.lock do not count: a study that has just run is not a change of the code.
    Without git the commit is 'unknown' and dirty is None; before the first commit it is 'none'.
    """
    top = _git("rev-parse", "--show-toplevel", folder=PACKAGE)
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
    """{'device', 'cpu', 'matrix_units', 'threads', 'system'}: bytes are equal on machines of one
    kind."""
    import torch

    cpu, flags = _processor()
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else cpu
    return {
        "device": device,
        "cpu": cpu,
        "matrix_units": "amx_bf16" in flags,
        "threads": torch.get_num_threads(),
        "system": f"{platform.system()} {platform.machine()}",
    }


@lru_cache(maxsize=1)
def _processor() -> tuple[str, frozenset[str]]:
    """(model name, flags) of the processor."""
    name, flags = platform.processor() or platform.machine(), frozenset[str]()
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                name = value.strip()
            elif key.strip() == "flags":
                flags = frozenset(value.split())
                break
    except OSError:
        pass  # not Linux
    return name, flags
