"""The recipes of the stages that a chapter has beside its runs: its data, its targets, its
comparison."""

from pathlib import Path
from typing import Any

from reblur.files import sha256_of_file
from reblur.study.chapters import diffusion
from reblur.study.params import Params, project_root
from reblur.study.provenance import code_hash


def stage_recipes(params: Params, profile: str, chapter: str) -> dict[str, dict[str, Any]]:
    """`data-<chapter>`: the test sets and how the blurred input is scored; `compare-<chapter>`:
    what was asked for, and the code of the analysis; `pairs-<target>`: what makes chapter 3's."""
    from reblur.study.runs import all_runs, recipe  # they know every chapter

    runs = [run for run in all_runs(params, profile) if run.chapter == chapter]
    tested = {}
    for run in runs:
        made = recipe(params, profile, run)
        keys = ("tests", "test_data", "scored_by")
        tested[run.task or ""] = {key: made[key] for key in keys}
    part = params.profile(profile).part(chapter)
    targets = diffusion.target_recipes(params, profile) if chapter == diffusion.CHAPTER else {}
    return {
        f"data-{chapter}": {"tests": tested, "machine": params.profile(profile).machine.as_dict()},
        f"compare-{chapter}": {
            "runs": [run.name for run in runs],
            "section": getattr(params, chapter).as_dict(),
            "part": part.as_dict(),
            "evidence": params.profile(profile).evidence,
            "made_by": code_hash(analysis_code(chapter)),
            "notebook": _hash_of_notebook(f"compare_{chapter}"),
        },
        **{f"pairs-{name}": made for name, made in targets.items()},
    }


def analysis_code(chapter: str) -> list[str]:
    """What a chapter's tables and figures follow from: all of the analysis, and the chapter."""
    study = Path(__file__).parents[1]
    files = [*study.glob("analysis/[a-z]*.py"), *study.glob(f"chapters/{chapter}*.py")]
    found = [f"{path.parent.name}.{path.stem}" for path in sorted(files)]
    return [f"reblur.study.{module}:*" for module in ("comparison", *found)]


def _hash_of_notebook(name: str) -> str | None:
    path = project_root() / "notebooks" / f"{name}.ipynb"
    return sha256_of_file(path) if path.is_file() else None
