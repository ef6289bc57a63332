"""The DVC pipeline: written from params.yaml, and run with independent stages side by side.

    <profile>_plan      brings the test data and writes a recipe for every run: what makes it
    <profile>_data      shows a chapter's data and scores the blurred input
    <profile>_pairs     chapter 3: trains a target's diffusion model, makes the pairs of each source
    <profile>_train     trains and scores one run (<profile>_restore: one on pairs that were made)
    <profile>_compare   a chapter's tables, figures and claims
    <profile>_report    the pages

A run depends on its recipe alone, so that DVC runs again what a change reaches, and nothing else.
`dvc.yaml` and `pipeline.yaml` are written by `reblur plan`; nobody edits them.
"""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import yaml

from reblur.datasets.catalogue.manifest_schema import ByHand
from reblur.datasets.catalogue.manifests import load_manifest, manifest_names
from reblur.errors import ReblurError
from reblur.files import write_json, write_text
from reblur.study.chapters.stages import stage_recipes
from reblur.study.data.available import note_available
from reblur.study.params import Params, read_params, results_folder
from reblur.study.provenance import has_git
from reblur.study.runs import all_runs, chapter_module, recipe, recipe_path

HEADER = "# Written by `reblur plan` from params.yaml; edit that, and not this.\n"
KEPT = ("run.json", "scores.csv", "log.csv")  # a run's outputs; the rest may be absent


def committed(root: Path, profile: str) -> bool:
    """Whether git keeps a profile's results; those of the others are kept by DVC's cache.

    Without git (an unpacked archive) the exceptions of .gitignore tell.
    """
    command = ["git", "check-ignore", "-q", f"results/{profile}/x"]
    try:
        told = subprocess.run(command, cwd=root, capture_output=True).returncode
    except OSError:  # no such program
        told = 128
    if told in (0, 1):
        return told == 1
    rules = root / ".gitignore"
    lines = rules.read_text(encoding="utf-8").splitlines() if rules.is_file() else []
    return f"!/results/{profile}/" in lines


def prepare_dvc(root: Path) -> None:
    """Let DVC work without git, which it refuses until it is told to."""
    if not has_git(root):
        print(f"{root}: no git here, so DVC is told to work without it; 'dvc exp' needs a clone.")
        dvc(root, "config", "--local", "core.no_scm", "true")


def pipeline_of(params: Params, profile: str) -> dict[str, Any]:
    """What the stages of a profile run over: chapters, runs, and targets of chapter 3."""
    runs = all_runs(params, profile)
    entry: dict[str, Any] = {"chapters": dict.fromkeys(params.profile(profile).chapters, "")}
    plain = [run for run in runs if run.task is None]
    made = [run for run in runs if run.task is not None]
    if plain:
        entry["train"] = {run.name: run.folder.as_posix() for run in plain}
    if made:
        entry["restore"] = {
            run.name: {"folder": run.folder.as_posix(), "pairs": f"{run.task}-{run.seed}"}
            for run in made
        }
        entry["pairs"] = {f"{run.task}-{run.seed}": "" for run in made}
    return entry


def stages_of(params: Params, profile: str, cached: bool) -> dict[str, Any]:
    """The stages of a profile, as dvc.yaml has them."""
    at, entry = f"results/{profile}", pipeline_of(params, profile)

    def kept(*paths: str) -> list[dict[str, Any]]:
        return [{path: {"cache": cached, "persist": True}} for path in paths]

    def notebook(name: str, copy: str, **parameters: str) -> str:
        given = " ".join(f"-p {k}={v}" for k, v in {"profile": profile, **parameters}.items())
        return f"reblur notebook {name} {given} -o {at}/notebooks/{copy}.ipynb"

    def each(over: str, **stage: Any) -> dict[str, Any]:
        return {"foreach": f"${{pipeline.{profile}.{over}}}", "do": stage}

    plan: dict[str, Any] = {
        "cmd": f"reblur plan {profile}",
        "deps": ["params.yaml", "data_manifests", "lib/reblur", "notebooks"],
        "outs": kept(f"{at}/recipes"),
    }
    if reads_folders(params, profile):  # only a look tells whether their contents have changed
        plan["always_changed"] = True
    stages = {
        f"{profile}_plan": plan,
        f"{profile}_data": each(
            "chapters",
            cmd=notebook("data_${key}", "data_${key}"),
            deps=[f"{at}/recipes/data-${{key}}.json"],
            outs=kept(f"{at}/blurred/${{key}}"),
        ),
    }
    if "train" in entry:
        stages[f"{profile}_train"] = each(
            "train",
            cmd=notebook("train", "train-${key}", run="${key}"),
            deps=[f"{at}/recipes/${{key}}.json"],
            outs=kept(*(f"{at}/${{item}}/{name}" for name in KEPT)),
        )
    if "pairs" in entry:
        stages[f"{profile}_pairs"] = each(
            "pairs",
            cmd=notebook("pairs", "pairs-${key}", target="${key}"),
            deps=[f"{at}/recipes/pairs-${{key}}.json"],
            outs=kept(f"{at}/targets/${{key}}"),
        )
        stages[f"{profile}_restore"] = each(
            "restore",
            cmd=notebook("train", "train-${key}", run="${key}"),
            deps=[f"{at}/recipes/${{key}}.json", f"{at}/targets/${{item.pairs}}"],
            outs=kept(*(f"{at}/${{item.folder}}/{name}" for name in KEPT)),
        )
    stages[f"{profile}_compare"] = each(
        "chapters",
        cmd=notebook("compare_${key}", "compare_${key}"),
        deps=[
            f"{at}/recipes/compare-${{key}}.json",
            f"{at}/blurred/${{key}}",
            f"{at}/runs/${{key}}",
        ],
        outs=kept(
            f"{at}/tables/${{key}}",
            f"{at}/figures/${{key}}",
            f"{at}/notebooks/compare_${{key}}.ipynb",
        ),
        metrics=kept(f"{at}/metrics/${{key}}.json"),
    )
    chapters = entry["chapters"]
    stages[f"{profile}_report"] = {
        "cmd": f"reblur report {profile}",
        "deps": [f"{at}/notebooks/compare_{name}.ipynb" for name in chapters],
        "outs": kept(f"{at}/report"),
    }
    return stages


def reads_folders(params: Params, profile: str) -> bool:
    """Whether a profile reads data whose contents no manifest vouches for."""
    known = manifest_names()
    return any(
        name not in known or isinstance(load_manifest(name).source, ByHand)
        for chapter in params.profile(profile).chapters
        for name in chapter_module(chapter).all_data(params, profile)
    )


def pipeline_files(params: Params, root: Path) -> dict[str, str]:
    """dvc.yaml and pipeline.yaml as params.yaml asks for them: name → text."""
    stages: dict[str, Any] = {}
    for profile in params.profiles:
        stages |= stages_of(params, profile, cached=not committed(root, profile))
    lists = {"pipeline": {profile: pipeline_of(params, profile) for profile in params.profiles}}
    whole = {"vars": ["pipeline.yaml"], "params": ["params.yaml"], "stages": stages}

    def text(value: Any) -> str:
        return HEADER + yaml.safe_dump(value, sort_keys=False, width=110, default_flow_style=None)

    return {"dvc.yaml": text(whole), "pipeline.yaml": text(lists)}


def write_pipeline(params: Params, root: Path) -> list[str]:
    """Write the files of the pipeline where they are out of date; returns their names."""
    changed = []
    for name, text in pipeline_files(params, root).items():
        path = root / name
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            write_text(path, text)
            changed.append(name)
    return changed


def check_pipeline(params: Params, root: Path) -> None:
    """ReblurError when params.yaml asks for other runs than the pipeline lists."""
    for name, text in pipeline_files(params, root).items():
        path = root / name
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            raise ReblurError(
                f"{name} lists other runs than params.yaml asks for; bring it up to date with "
                "'reblur plan', then run again."
            )


def plan(params: Params, profile: str, root: Path) -> None:
    """Bring the test data of a profile and write its recipes, those that have changed alone."""
    asked: dict[str, bool] = {}
    for chapter in params.profile(profile).chapters:
        if data := getattr(params.profile(profile).part(chapter), "data", None):
            sets = (*data.real.sets, *["kohler"] * getattr(data, "kohler", False))
            asked |= dict.fromkeys(sets, data.real.download)
    note_available(profile, asked)
    recipes: dict[str, Any] = {}
    for chapter in params.profile(profile).chapters:
        (root / results_folder(profile) / "runs" / chapter).mkdir(parents=True, exist_ok=True)
        recipes |= stage_recipes(params, profile, chapter)
    recipes |= {run.name: recipe(params, profile, run) for run in all_runs(params, profile)}
    for name, made in recipes.items():
        path = recipe_path(profile, name)
        if not path.is_file() or json.loads(path.read_text(encoding="utf-8")) != made:
            write_json(path, made)
    for path in recipe_path(profile, "x").parent.glob("*.json"):
        if path.stem not in recipes:
            path.unlink()


#: What DVC says after each stage of git and of remote storage, which a study does not use.
HINTS = (
    "To track the changes with git", "git add ", "To enable auto staging", "dvc config ",
    "Use `dvc push`", "Updating lock file",
)  # fmt: skip


def dvc(root: Path, *arguments: str, capture: bool = False) -> subprocess.CompletedProcess[str]:
    """Run `dvc` of this environment in the project's root; what it says is shown but for `HINTS`,
    or captured."""
    command = [sys.executable, "-m", "dvc", *arguments]
    if capture:
        return subprocess.run(command, cwd=root, text=True, capture_output=True, check=False)
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command,
        cwd=root,
        encoding="utf-8",
        errors="replace",
        stdout=subprocess.PIPE,
        env=environment,
    ) as running:
        for line in running.stdout or ():
            if line.strip() and not line.strip().startswith(HINTS):
                print(line, end="", flush=True)
    return subprocess.CompletedProcess(command, running.returncode)


def changed_stages(root: Path, profile: str) -> list[str]:
    """The stages of `profile` that DVC would run as things stand.

    Raises:
        ReblurError: DVC cannot read the pipeline; its own words are passed on.
    """
    done = dvc(root, "status", "--json", f"{profile}_report", "--with-deps", capture=True)
    if done.returncode != 0:
        raise ReblurError(f"dvc status failed: {done.stderr.strip().splitlines()[-1]}")
    return list(json.loads(done.stdout))


def run_profile(root: Path, profile: str, jobs: int) -> int:
    """Bring every stage of a profile up to date, `jobs` of them side by side.

    What can be made is made: a run that fails stops neither the others nor the comparison.

    Returns:
        The number of stages that failed.
    """
    write_pipeline(read_params(root / "params.yaml"), root)
    prepare_dvc(root)
    if dvc(root, "repro", f"{profile}_plan").returncode != 0:
        return 1
    failed = 0
    for kinds in (("pairs",), ("data", "train", "restore")):
        names = [f"{profile}_{kind}@" for kind in kinds]
        stages = [s for s in changed_stages(root, profile) if s.startswith(tuple(names))]
        failed += _side_by_side(root, stages, jobs)
    for stage in (f"{profile}_compare", f"{profile}_report"):
        failed += dvc(root, "repro", "--single-item", "--keep-going", stage).returncode != 0
    return failed


def _side_by_side(root: Path, stages: Sequence[str], jobs: int) -> int:
    """Run the stages and say after each how many are done; returns how many failed."""

    def up_to_date(stage: str) -> bool:
        return dvc(root, "--wait-for-lock", "repro", "--single-item", stage).returncode == 0

    failed = 0
    with ThreadPoolExecutor(max(1, jobs)) as pool:
        for number, done in enumerate(pool.map(up_to_date, stages), 1):
            failed += not done
            print(f"{number} of {len(stages)} stages done", flush=True)
    return failed
