"""Running a profile's pipeline by DVC: independent stages side by side, one lock file a profile.

DVC keeps one dvc.lock for the whole dvc.yaml and refuses to have it ignored by git. So that a demo
run leaves the working tree clean, the lock's stages are kept beside the results that they describe,
`results/<profile>/dvc.lock` (ignored for demo, committed for gpu), put together before DVC runs and
taken apart after.
"""

import json
import subprocess
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import yaml

from reblur.errors import ReblurError
from reblur.files import write_text
from reblur.study.params import CHAPTERS, chapter_of, chapters_of, profile_of, read_params, steps_of

LOCK = "dvc.lock"


def gather_locks(root: Path) -> None:
    """Make `dvc.lock` of every `results/<profile>/dvc.lock`; stages that it holds already stay."""
    lock = root / LOCK
    stages: dict[str, Any] = {}
    for part in sorted(root.glob(f"results/*/{LOCK}")):
        stages |= (yaml.safe_load(part.read_text()) or {}).get("stages", {})
    if lock.is_file():
        stages |= (yaml.safe_load(lock.read_text()) or {}).get("stages", {})
    if stages:
        _write_lock(lock, stages)


def part_locks(root: Path) -> None:
    """Write each profile's stages to `results/<profile>/dvc.lock` and remove `dvc.lock`."""
    lock = root / LOCK
    if not lock.is_file():
        return
    stages = (yaml.safe_load(lock.read_text()) or {}).get("stages", {})
    profiles: dict[str, dict[str, Any]] = {}
    for name, stage in stages.items():
        profiles.setdefault(name.split("_", 1)[0], {})[name] = stage
    for profile, part in profiles.items():
        _write_lock(root / "results" / profile / LOCK, part)
    lock.unlink()


def _write_lock(path: Path, stages: dict[str, Any]) -> None:
    text = yaml.safe_dump({"schema": "2.0", "stages": stages}, sort_keys=False)
    if not path.is_file() or path.read_text() != text:
        write_text(path, text)


def dvc(root: Path, *arguments: str, capture: bool = False) -> subprocess.CompletedProcess[str]:
    """Run `dvc` of this environment in the project's root; waits for another DVC's lock."""
    command = [sys.executable, "-m", "dvc", *arguments]
    return subprocess.run(command, cwd=root, text=True, capture_output=capture, check=False)


def changed_stages(root: Path, profile: str) -> set[str]:
    """The stages of `profile` that DVC would run as things stand.

    Raises:
        ReblurError: DVC cannot read the pipeline; its own words are passed on.
    """
    done = dvc(root, "status", "--json", f"{profile}_report", "--with-deps", capture=True)
    if done.returncode != 0:
        raise ReblurError(f"dvc status failed: {done.stderr.strip().splitlines()[-1]}")
    return set(json.loads(done.stdout))


def changed_runs(root: Path, profile: str, changed: set[str]) -> dict[str, list[str]]:
    """The runs (or targets of a diffusion model) of `profile` in which DVC has something to do:
    run → its stages, in their order.

    A run's later stages are listed with its first: they change when that has run.
    """
    changed = {name.split("@", 1)[1] for name in changed if "@" in name}
    runs: dict[str, list[str]] = {}
    for name in _stages(root, profile):
        run = name.split("@", 1)[1]
        if run in changed:
            runs.setdefault(run, []).append(name)
    return runs


def _stages(root: Path, profile: str) -> list[str]:
    """The stages of a profile that are one of several: `demo_train@sr_edrb3-0`."""
    stages = dvc(root, "stage", "list", "--name-only", capture=True).stdout.split()
    return [name for name in stages if name.startswith(f"{profile}_") and "@" in name]


def data_stage(profile: str, chapter: str) -> str:
    """The stage that prepares a chapter's data: `demo_data`, `demo_defocus_data`."""
    return f"{profile}_data" if chapter == CHAPTERS[0] else f"{profile}_{chapter}_data"


def run_profile(root: Path, profile: str, jobs: int) -> int:
    """Bring every stage of `profile` up to date, up to `jobs` runs side by side.

    A stage that fails leaves the others' results: its dependents among the runs are left out, and
    the comparison and the report are made of what is there.

    Returns:
        The number of stages that failed.
    """
    params = read_params(root / "params.yaml")
    gather_locks(root)
    try:
        data = [data_stage(profile, chapter) for chapter in chapters_of(params, profile)]
        if dvc(root, "repro", *data).returncode != 0:
            return 1
        changed = changed_stages(root, profile)
        if not changed & {f"{profile}_compare", f"{profile}_report"} and not any(
            "@" in name for name in changed
        ):
            return 0
        runs = changed_runs(root, profile, changed)
        tasks = {name for name in runs if f"{profile}_denoise@{name}" in runs[name]}
        if tasks:  # what is trained on the pairs of a new diffusion model is not changed yet
            everything = set(_stages(root, profile))
            later = {n for n in everything if _task_of(n, profile) in tasks}
            runs = changed_runs(root, profile, changed | later)

        def bring_up_to_date(stages: list[str], first: Future[list[str]] | None) -> list[str]:
            """Train, then evaluate; what stands after a failure is not tried."""
            if first is not None and first.result():
                return stages
            for position, stage in enumerate(stages):
                done = dvc(root, "--wait-for-lock", "repro", "--single-item", stage)
                if done.returncode != 0:
                    return stages[position:]
            return []

        # A diffusion model's pairs are waited for: the models first, what learns from them last.
        # Of the others the longest first, so that none is left running alone at the end.
        def order(run: str) -> tuple[int, int]:
            task = _task_of(runs[run][0], profile)
            return (0 if run in tasks else 1 if task is None else 2, -_steps(params, profile, run))

        models: dict[str, Future[list[str]]] = {}
        with ThreadPoolExecutor(max(1, jobs)) as pool:
            ended = []
            for run in sorted(runs, key=order):
                before = models.get(_task_of(runs[run][0], profile) or "")
                ended.append(pool.submit(bring_up_to_date, runs[run], before))
                if run in tasks:
                    models[run] = ended[-1]
            failed = [name for left in ended for name in left.result()]
        for stage in (f"{profile}_compare", f"{profile}_report"):
            if dvc(root, "repro", "--single-item", stage).returncode != 0:
                return len(failed) + 1
        return len(failed)
    finally:
        part_locks(root)


def _task_of(stage: str, profile: str) -> str | None:
    """The task of chapter 3 whose pairs a stage trains on; None of any other stage."""
    kind, _, run = stage.partition("@")
    return run.split("-", 1)[0] if kind == f"{profile}_diffusion" else None


def _steps(params: dict[str, Any], profile: str, run: str) -> int:
    """Of all the trainings of the stages of a run: `sr_edrb3-0`, `superres-rrdb-0`, `superres`."""
    part = profile_of(params, profile)
    variant = run.rsplit("-", 1)[0].replace("-", "_")
    if run in params.get("diffusion", {}).get("tasks", {}):
        return int(part["diffusion"]["denoiser"]["training"]["steps"])
    chapter = part[chapter_of(params, variant)]
    return steps_of(chapter, variant) * len(chapter.get("levels", {}).get(variant, [None]))
