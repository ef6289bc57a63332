"""Chapter 3: do training pairs whose low-quality side went through a diffusion model teach more?

Tasks, restorers and the rule for the best t₀ come from its section of params.yaml, the sources of
pairs from the profile.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from reblur.study import data as chapter_data
from reblur.study import figures as draw
from reblur.study.claims import plain
from reblur.study.comparisons import losses_table
from reblur.study.diffusion_claims import claims, task_claims_table
from reblur.study.diffusion_cost import cost_table, denoisers_table, runs_table
from reblur.study.diffusion_figures import gains_by_source, tradeoff
from reblur.study.diffusion_pictures import (
    example_files,
    learned,
    pairs,
    sample_files,
)
from reblur.study.diffusion_real import real_files, real_panel
from reblur.study.diffusion_results import (
    CLEAN,
    HANDMADE,
    INITIAL,
    ORACLE,
    REFINED,
    SOURCES,
    TASKS,
    arms_of,
    choice_in_words,
    data_folder,
    first_variants,
    panel_arms,
    restorer_of,
    shown_source,
    source_name,
    source_of,
    task_of,
    tasks_of,
    variant_of,
)
from reblur.study.diffusion_tables import (
    distances_table,
    real_table,
    restorers_table,
)
from reblur.study.figures import Drawing
from reblur.study.panels import Example, panel
from reblur.study.report import Section
from reblur.study.results import BLURRED, Study
from reblur.study.tables import Table

CHAPTER = "diffusion"
TITLE = "Training pairs synthesised by diffusion"
QUESTION = (
    "A degradation made by hand is never quite that of the camera. If its images are noised a "
    "little and denoised by a diffusion model of the camera's own images (arXiv 2303.06994), do "
    "they come nearer to them, is their content kept, and does a restorer learn more from them?"
)
SECTIONS = (
    Section("claims", "What holds?", "", ("tables/diffusion_claims",)),
    Section(
        "learned",
        "What the diffusion models learned",
        "Each was trained on low-quality images alone, those of its target.",
        ("figures/diffusion_learned", "tables/diffusion_denoisers"),
    ),
    Section(
        "pairs",
        "Pairs before and after",
        "From a later start more of the image is drawn anew: in the target's manner, it is hoped.",
        ("figures/diffusion_pairs",),
    ),
    Section(
        "tradeoff",
        "Distance against drift",
        "Refinement is to bring an image nearer to the target without changing what it shows. Both "
        "are measured at every t₀, and the best one is chosen by a rule fixed beforehand.",
        ("figures/diffusion_tradeoff", "tables/diffusion_distances"),
    ),
    Section(
        "restorers",
        "What the pairs teach",
        "Where a hidden camera makes the target, there is a truth to score against.",
        ("figures/diffusion_sources", "tables/diffusion_restorers"),
    ),
    Section(
        "real",
        "Real photographs and faces",
        "Here nobody knows the truth: scores without a reference, and pictures.",
        ("figures/diffusion_real", "tables/diffusion_real"),
    ),
    Section("cost", "What it costs", "", ("tables/diffusion_cost",)),
    Section(
        "pictures",
        "Pictures",
        "Choose what stands on either side of the seam, and move it.",
        ("figures/diffusion/slider/slider", "figures/diffusion_panel"),
    ),
    Section(
        "training",
        "Every run",
        "",
        ("tables/diffusion_runs", "figures/diffusion_training", "tables/diffusion_losses"),
    ),
)
FIGURES = "figures/diffusion"  # where this chapter's slider stands


def labels(study: Study) -> dict[str, str]:
    """The names of all arms, and of all sources, under which the panels show them."""
    named = {**SOURCES, BLURRED: "low quality"}
    for arm in study.variants:
        task = TASKS.get(task_of(arm), task_of(arm))
        named[arm] = f"{task}, {restorer_of(arm)}: {source_name(source_of(arm))}"
    return named


def tables(study: Study, chapter: Mapping[str, Any]) -> list[Table]:
    """Every table of the chapter, in the report's order.

    Args:
        chapter: the section `diffusion` of params.yaml: `tasks` says which are real, `rule` how the
            best t₀ is chosen.
    """
    rule, tasks, named = chapter["rule"], tasks_of(study), labels(study)
    controlled = tasks_of(study, real=False, tasks=chapter["tasks"])
    variants = list(dict.fromkeys(variant_of(arm) for arm in study.variants))
    with_truth = [variant for variant in variants if task_of(variant) in controlled]
    without = [variant for variant in variants if variant not in with_truth]
    sources = {arm: source_name(source_of(arm)) for arm in study.variants}
    unfound = {
        f"{variant}@{REFINED}": f"refined ({choice_in_words(study, task_of(variant), rule)})"
        for variant in with_truth
    }
    return [
        task_claims_table(
            study,
            stem="diffusion_claims",
            title="What holds?",
            claims=[(task, plain(claims(study, task, rule))) for task in controlled],
            labels=sources | unfound,
        ),
        denoisers_table(
            study,
            stem="diffusion_denoisers",
            title="The diffusion models of the targets",
            tasks=tasks,
        ),
        distances_table(
            study,
            stem="diffusion_distances",
            title="Distance to the target and drift of the content",
            tasks=tasks,
            rule=rule,
        ),
        restorers_table(
            study,
            stem="diffusion_restorers",
            title="Restorers by the source of their training pairs",
            variants=with_truth,
        ),
        real_table(
            study,
            stem="diffusion_real",
            title="Restored real images",
            variants=without,
        ),
        cost_table(study, stem="diffusion_cost", title="What a refined image costs", tasks=tasks),
        runs_table(study, stem="diffusion_runs", title="Every run of the chapter"),
        losses_table(study, stem="diffusion_losses", title="Do the losses fall?", labels=named),
    ]


def examples(params: dict[str, Any], profile: str, study: Study) -> list[Example]:
    """The test images of panel and slider, restored by the first restorer of their task.

    What a network restored is named by its source, so that all tasks share one panel.
    """
    section = params[CHAPTER]
    chosen = {
        task_of(variant): panel_arms(study, variant, section["panel"], section["rule"])
        for variant in first_variants(study, tasks_of(study))
    }
    arms = [arm for named in chosen.values() for arm in named.values()]
    found = chapter_data.examples(params, profile, study, CHAPTER, arms)
    return [by_source(one, chosen.get(one.dataset, {}), section["panel"]) for one in found]


def by_source(example: Example, arms: Mapping[str, str], sources: Sequence[str]) -> Example:
    """An example whose restored images are named by their sources, None where there is none."""
    restored = {source: example.restored.get(arms.get(source, "")) for source in sources}
    psnr = {s: example.psnr[arm] for s, arm in arms.items() if arm in example.psnr}
    psnr[BLURRED] = example.psnr.get(BLURRED, float("nan"))
    return replace(example, restored=restored, psnr=psnr)


def inputs(study: Study, chapter: Mapping[str, Any]) -> list[Path]:
    """Every file that tables and figures read besides `study.inputs` and those of the examples."""
    folder = data_folder(study)
    found: list[Path] = []
    for task in tasks_of(study):
        found += [folder / task / f"{name}.csv" for name in ("distances", "drift", "cost")]
        nothing = study.root / study.blurred / task
        found += [nothing / name for name in ("realism.csv", "distances.csv")]
        found += [folder / task / "denoiser" / name for name in ("run.json", "log.csv")]
        found += [path for paths in sample_files(study, task).values() for path in paths]
        found += [path for files in example_files(study, task).values() for path in files.values()]
    real = tasks_of(study, real=True, tasks=chapter["tasks"])
    for variant in first_variants(study, real):
        arms = panel_arms(study, variant, chapter["panel"], chapter["rule"])
        found += [path for files in real_files(study, arms).values() for path in files.values()]
    return [path for path in found if path.is_file()]


def figures(study: Study, chapter: Mapping[str, Any], shown: Sequence[Example]) -> list[Drawing]:
    """Every figure of the chapter, in the report's order.

    Args:
        chapter: the section `diffusion` of params.yaml.
        shown: the test images of the panel (`examples`).
    """
    rule, tasks = chapter["rule"], tasks_of(study)
    controlled = tasks_of(study, real=False, tasks=chapter["tasks"])
    variants = list(dict.fromkeys(variant_of(arm) for arm in study.variants))
    return [
        learned(
            study, stem="diffusion_learned", title="What the diffusion models learned", tasks=tasks
        ),
        pairs(
            study,
            stem="diffusion_pairs",
            title="The low-quality side of a pair, before and after",
            tasks=tasks,
            rule=rule,
        ),
        tradeoff(
            study,
            stem="diffusion_tradeoff",
            title="Distance to the target against drift of the content",
            tasks=tasks,
            rule=rule,
        ),
        gains_by_source(
            study,
            stem="diffusion_sources",
            title="What each source of pairs is worth",
            variants=[variant for variant in variants if task_of(variant) in controlled],
            rule=rule,
        ),
        real_panel(
            study,
            stem="diffusion_real",
            title="Real images, restored",
            tasks=[task for task in tasks if task not in controlled],
            sources=chapter["panel"],
            rule=rule,
        ),
        _panel(study, shown, controlled, rule),
        _training(study, controlled, rule),
    ]


def _panel(
    study: Study, shown: Sequence[Example], tasks: Sequence[str], rule: Mapping[str, Any]
) -> Drawing:
    title = "Restored by what the pairs taught"
    drawing = panel(study, shown, stem="diffusion_panel", title=title, labels=labels(study))
    starts = {TASKS.get(task, task): shown_source(study, task, rule) for task in tasks}
    words = "; ".join(f"{name}, {source_name(s)}" for name, s in starts.items() if s)
    text = f" Refined, from the rule's t₀ or else the smallest: {words}." if words else ""
    return replace(drawing, caption=drawing.caption + text)


def _training(study: Study, tasks: Sequence[str], rule: Mapping[str, Any]) -> Drawing:
    """Validation PSNR of the first controlled task's first restorer."""
    variant = (first_variants(study, tasks) or [""])[0]
    arms = arms_of(study, variant)
    sources = [CLEAN, HANDMADE, INITIAL, REFINED, ORACLE]
    drawn = panel_arms(study, variant, sources, rule)
    one = replace(study, runs=tuple(run for run in study.runs if run[0] in arms))
    names = {arm: source_name(source_of(arm)) for arm in arms}
    task = task_of(variant)
    heading = f"{TASKS.get(task, task)}, {restorer_of(variant)}" if variant else "no task"
    return draw.training_curves(
        one,
        stem="diffusion_training",
        title=f"PSNR over training time: {heading}",
        variants=list(drawn.values()),
        labels=names,
    )
