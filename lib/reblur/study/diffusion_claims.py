"""What chapter 3 puts to the test, task by task."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from reblur.study.claims import Claim, claims_table
from reblur.study.comparisons import register
from reblur.study.diffusion_results import (
    CLEAN,
    HANDMADE,
    INITIAL,
    ORACLE,
    REFINED,
    SOURCES_IN_WORDS,
    TASKS,
    arms_of,
    best_of,
    choice_in_words,
    first_variants,
    restorer_of,
    source_of,
)
from reblur.study.results import Study
from reblur.study.tables import Column, Table

PAPER = "Diffusion-synthesised training pairs, arXiv 2303.06994"


def claims(study: Study, task: str, rule: Mapping[str, Any]) -> list[Claim]:
    """What is put to the test for a controlled task, with its first restorer. No gain is assumed:
    where no t₀ keeps the rule's bound, the claims of refinement cannot be told."""
    variant = first_variants(study, [task])[0]
    name = TASKS.get(task, task)
    best = best_of(study, task, rule)
    ours = f"{variant}@{best or REFINED}"
    found = choice_in_words(study, task, rule)
    chosen = f"{found.removeprefix('refined, ')} by the rule" if best else f"by the rule: {found}"
    head = name[:1].upper() + name[1:]

    def claim(key: str, text: str, better: str, worse: Sequence[str], asked: str = "") -> Claim:
        pairs = tuple((better, f"{variant}@{source}") for source in worse)
        by = PAPER if key in ("softened", "handmade") else "this study"
        words = f"{head}, {restorer_of(variant)}: {text}"
        return Claim(f"{task}_{key}", words, by, "greater", pairs, question=asked)

    refined = f"pairs refined by diffusion ({chosen})"
    others = [source_of(arm) for arm in arms_of(study, variant) if source_of(arm) != ORACLE]
    wanted = [
        claim(
            "softened",
            f"{refined} beat the softened degradation that they start from.",
            ours,
            [INITIAL],
            f"{head}: do pairs refined by diffusion beat the degradation that they start from?",
        ),
        claim("handmade", f"{refined} beat the full hand-made degradation.", ours, [HANDMADE]),
        claim("clean", "hand-made pairs beat clean ones.", f"{variant}@{HANDMADE}", [CLEAN]),
        claim("oracle", "the true camera's pairs are the best.", f"{variant}@{ORACLE}", others),
    ]
    sources = {source_of(arm) for arm in arms_of(study, variant)}
    return [c for c in wanted if _asked(c, sources)]


def _asked(claim: Claim, sources: set[str]) -> bool:
    """Whether both sides were asked for; a refined one that the rule did not find still is."""
    named = {source_of(arm) for pair in claim.pairs for arm in pair}
    return bool(claim.pairs) and {n for n in named if n.partition("_")[0] != REFINED} <= sources


@register
def task_claims_table(
    study: Study,
    *,
    stem: str,
    title: str,
    claims: Sequence[Sequence[Any]],
    labels: Mapping[str, str],
) -> Table:
    """The verdicts on the claims of each task, judged on the task's own test set.

    Args:
        claims: (task and data set, its claims as `claims.plain` gives them), in order.
    """
    judged = [
        claims_table(study, stem=stem, title=title, claims=found, dataset=task, labels=labels)
        for task, found in claims
        if found
    ]
    frame = pd.concat([table.frame for table in judged]) if judged else pd.DataFrame()
    columns = (
        judged[0].columns if judged else (Column("claim", "text", "text"), Column("", "verdict"))
    )
    caption = (
        "Judged by 95 % intervals of per-image PSNR differences over seeds and images, by a rule "
        "fixed beforehand, on each task's held-out photographs as its hidden camera takes them. "
        f"{SOURCES_IN_WORDS}"
    )
    return Table(stem, title, caption, frame.reset_index(drop=True), columns)
