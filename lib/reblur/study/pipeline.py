"""Running a profile's pipeline by DVC: independent stages side by side, one lock file a profile.

DVC keeps one dvc.lock for the whole dvc.yaml and refuses to have it ignored by git. So that a demo
run leaves the working tree clean, the lock's stages are kept beside the results that they describe,
`results/<profile>/dvc.lock` (ignored for demo, committed for gpu), put together before DVC runs and
taken apart after.
"""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
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
    """The runs of `profile` in which DVC has something to do: run → its stages, in their order.

    A run's later stages are listed with its first: they change when that has run.
    """
    changed = {name.split("@", 1)[1] for name in changed if "@" in name}
    stages = dvc(root, "stage", "list", "--name-only", capture=True).stdout.split()
    mine = [name for name in stages if name.startswith(f"{profile}_") and "@" in name]
    runs: dict[str, list[str]] = {}
    for name in mine:
        run = name.split("@", 1)[1]
        if run in changed:
            runs.setdefault(run, []).append(name)
    return runs


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
    part = profile_of(params, profile)
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

        def bring_up_to_date(stages: list[str]) -> list[str]:
            """Train, then evaluate; what stands after a failure is not tried."""
            for position, stage in enumerate(stages):
                done = dvc(root, "--wait-for-lock", "repro", "--single-item", stage)
                if done.returncode != 0:
                    return stages[position:]
            return []

        def steps(run: str) -> int:
            """Of all the trainings of a stage."""
            variant = run.rsplit("-", 1)[0]
            chapter = part[chapter_of(params, variant)]
            return steps_of(chapter, variant) * len(chapter.get("levels", {}).get(variant, [None]))

        # The longest first, so that none is left running alone at the end.
        longest = sorted(runs, key=lambda run: -steps(run))
        with ThreadPoolExecutor(max(1, jobs)) as pool:
            ended = pool.map(bring_up_to_date, [runs[run] for run in longest])
            failed = [name for left in ended for name in left]
        for stage in (f"{profile}_compare", f"{profile}_report"):
            if dvc(root, "repro", "--single-item", stage).returncode != 0:
                return len(failed) + 1
        return len(failed)
    finally:
        part_locks(root)
