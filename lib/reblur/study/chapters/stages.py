"""The recipes of the stages that every chapter has beside its runs: its data and its comparison."""

from pathlib import Path
from typing import Any

from reblur.study.params import Params
from reblur.study.provenance import code_hash


def plain_stages(params: Params, profile: str, chapter: str) -> dict[str, dict[str, Any]]:
    """`data-<chapter>`: the test sets and how the blurred input is scored; `compare-<chapter>`:
    what was asked for, and the code of the analysis."""
    from reblur.study.runs import all_runs, recipe  # they know every chapter

    runs = [run for run in all_runs(params, profile) if run.chapter == chapter]
    tested = {}
    for run in runs:
        made = recipe(params, profile, run)
        keys = ("tests", "test_data", "scored_by")
        tested[run.task or ""] = {key: made[key] for key in keys}
    part = params.profile(profile).part(chapter)
    return {
        f"data-{chapter}": {"tests": tested, "machine": params.profile(profile).machine.as_dict()},
        f"compare-{chapter}": {
            "runs": [run.name for run in runs],
            "section": getattr(params, chapter).as_dict(),
            "part": part.as_dict(),
            "evidence": params.profile(profile).evidence,
            "made_by": code_hash(analysis_code(chapter)),
        },
    }


def analysis_code(chapter: str) -> list[str]:
    """What a chapter's tables and figures follow from: all of the analysis, and the chapter."""
    from reblur.study import analysis

    names = sorted(path.stem for path in Path(analysis.__file__).parent.glob("[a-z]*.py"))
    found = [f"reblur.study.analysis.{name}" for name in names]
    return [f"{module}:*" for module in (*found, f"reblur.study.chapters.{chapter}")]
