"""A project of a test's own, and the commands that a user would type in it."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
PARTS = ("params.yaml", "notebooks", "lib", "data_manifests", ".gitignore", ".dvcignore")


def copy_project(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Copy into `folder` what a project consists of, and `change` its parameters."""
    for part in PARTS:
        source = ROOT / part
        if source.is_dir():
            unwanted = shutil.ignore_patterns("__pycache__", "*.egg-info", ".ipynb_checkpoints")
            shutil.copytree(source, folder / part, ignore=unwanted)
        else:
            shutil.copy(source, folder / part)
    edit(folder, change)


def edit(project: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the parameters of a project."""
    path = project / "params.yaml"
    params = yaml.safe_load(path.read_text())
    change(params)
    path.write_text(yaml.safe_dump(params, sort_keys=False))


def environment(project: Path) -> dict[str, str]:
    """Of this environment's programs, on the project's library, offline: no data but its own."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("REBLUR_")}
    programs = f"{Path(sys.executable).parent}{os.pathsep}{inherited['PATH']}"
    return inherited | {"PATH": programs, "PYTHONPATH": str(project / "lib")}


def call(project: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a module of this environment in the project."""
    return subprocess.run(
        [sys.executable, "-m", *command],
        cwd=project, env=environment(project), text=True, capture_output=True, check=False,
        timeout=560,
    )  # fmt: skip


def reblur(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return call(project, "reblur.cli", *arguments)


def dvc(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return call(project, "dvc", *arguments)


def git(project: Path, *arguments: str) -> str:
    command = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", *arguments]
    return subprocess.run(command, cwd=project, check=True, capture_output=True, text=True).stdout
