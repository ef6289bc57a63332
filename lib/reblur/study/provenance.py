"""What made a result: the code that it reaches, its data, the libraries and the machine.

The code of a result is what a few functions reach: every function, class and constant of `reblur`
that they name, directly or not, as syntax trees without docstrings, comments and annotations. A
changed comment changes nothing; a changed loss function changes the hash of every run that reaches
it, and of no other.
"""

import ast
import hashlib
import platform
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import reblur
from reblur.files import sha256_of_value

PACKAGE = Path(reblur.__file__).parent
SENTENCES = ("reblur.errors", "reblur.faults")
#: Modules that add nothing to what a result's identity holds anyhow: the names of networks (their
#: options stand in the configuration), where data lie (their contents are hashed), sentences.
APART = ("reblur", "reblur.network_names", "reblur.datasets.catalogue", *SENTENCES)
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


@dataclass(frozen=True)
class _Definition:
    """A statement at the top of a module: its hash, and what it refers to.

    Attributes:
        code: hash of its syntax tree, without docstrings and annotations of functions (comments
            are in no tree).
        names: names that it reads, and attributes of such names: ("losses", "charbonnier").
        imports: what it imports itself: (module, name).
    """

    code: str
    names: frozenset[tuple[str, str | None]]
    imports: frozenset[tuple[str, str]]


@dataclass(frozen=True)
class _Module:
    """The definitions of a module by name, what runs at its import besides, and its imports."""

    definitions: dict[str, _Definition]
    always: dict[str, _Definition]
    imports: dict[str, tuple[str, str | None]]  # local name -> (module, name; None: the module)


def _definition(node: ast.AST) -> _Definition:
    for part in ast.walk(node):  # what annotates a function does nothing
        if isinstance(part, ast.FunctionDef):
            part.returns = None
        elif isinstance(part, ast.arg):
            part.annotation = None
    imports = frozenset(
        (part.module, alias.name)
        for part in ast.walk(node)
        if isinstance(part, ast.ImportFrom) and part.module and _is_ours(part.module)
        for alias in part.names
    )
    names = {
        (part.value.id, part.attr)
        for part in ast.walk(node)
        if isinstance(part, ast.Attribute) and isinstance(part.value, ast.Name)
    }
    names |= {(part.id, None) for part in ast.walk(node) if isinstance(part, ast.Name)}
    for part in ast.walk(node):
        body = getattr(part, "body", None)
        if isinstance(body, list):
            part.body = [inner for inner in body if not _is_text(inner)] or [ast.Pass()]
    code = hashlib.sha256(ast.dump(node, annotate_fields=False).encode()).hexdigest()
    return _Definition(code, frozenset(names), imports)


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _is_ours(module: str) -> bool:
    return module.split(".")[0] == "reblur" and not _apart(module)


def _apart(module: str) -> bool:
    return module in APART or module.startswith("reblur.datasets.catalogue.")


@cache
def _read_module(path: Path, modified: int) -> _Module:
    definitions: dict[str, _Definition] = {}
    always: dict[str, _Definition] = {}
    imports: dict[str, tuple[str, str | None]] = {}
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        match node:
            case ast.Import() | ast.Expr(value=ast.Constant()):
                pass
            case ast.ImportFrom(module=str(module), names=names):
                for alias in names:
                    inner = f"{module}.{alias.name}"
                    whole = _is_ours(inner) and path_of(inner) is not None
                    if not (whole or _is_ours(module)):
                        continue
                    imports[alias.asname or alias.name] = (
                        (inner, None) if whole else (module, alias.name)
                    )
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                read = {
                    d.value.id
                    for part in node.decorator_list
                    for d in ast.walk(part)
                    if isinstance(d, ast.Attribute) and isinstance(d.value, ast.Name)
                }
                # What hooks itself into another definition of the module runs at its import.
                where = always if read & definitions.keys() else definitions
                where[name if where is definitions else f"{name}@{node.lineno}"] = _definition(node)
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                definitions[name] = _definition(node)
            case _:
                always[f"@{node.lineno}"] = _definition(node)
    return _Module(definitions, always, imports)


def closure(entries: Iterable[str]) -> dict[str, str]:
    """Every definition that `entries` reach, they included: "module:name" → the hash of its code.

    It follows names, module by module: a definition that a result does not reach is no part of it,
    though it stands in a file that it reads.

    Args:
        entries: "module:name" of a function, class or constant; "module:*" is all of it.
    """
    found: dict[str, str] = {}
    waiting: list[tuple[str, str | None]] = [tuple(e.split(":")) for e in entries]  # type: ignore
    while waiting:
        module, name = waiting.pop()
        path = path_of(module)
        if path is None or f"{module}:{name}" in found or _apart(module):
            continue
        read = _read_module(path, path.stat().st_mtime_ns)
        if name in (None, "*"):
            waiting += [(module, inner) for inner in read.definitions]
            continue
        if name in read.imports:  # handed on
            waiting.append(read.imports[name])
            continue
        reached = {key: d for key, d in read.always.items() if f"{module}:{key}" not in found}
        if name in read.definitions:
            reached[name] = read.definitions[name]
        elif path_of(f"{module}.{name}") is not None:
            waiting.append((f"{module}.{name}", None))
        for key, definition in reached.items():
            found[f"{module}:{key}"] = definition.code
            waiting += definition.imports
            for base, attribute in definition.names:
                if base in read.definitions:
                    waiting.append((module, base))
                elif base in read.imports:
                    there, what = read.imports[base]
                    # A module is used by its attributes; its bare name stands beside each of them.
                    waiting += [(there, what or attribute)] if what or attribute else []
    return {key: found[key] for key in sorted(found)}


def code_hash(entries: Iterable[str]) -> str:
    """One hash of all that `entries` reach; where a definition stands does not matter."""
    return sha256_of_value(sorted(closure(entries).values()))


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


def has_git(folder: Path) -> bool:
    """Whether a folder stands in a clone, and there is a git to ask."""
    return _git("rev-parse", "--show-toplevel", folder=folder) is not None


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
