"""RESULTS.md: what the committed profiles show, made from their scores."""

import pandas as pd

from reblur.datasets.catalogue.manifests import project_root
from reblur.files import write_text
from reblur.study.analysis.scores import denoiser_seconds, read_facts, read_scores
from reblur.study.analysis.sentences import gain_in_words, most_and_least
from reblur.study.analysis.summary import summarise
from reblur.study.analysis.tables import labelled, not_run
from reblur.study.params import Params, results_folder
from reblur.study.rows import BLURRED
from reblur.study.runs import chapter_module, planned_runs

HEAD = """# Results

Made from the scores by `reblur report`; do not edit. Gains are in PSNR (dB) over the blurred input,
with 95 % bootstrap intervals over seeds and photographs; a set of one photograph or scene has no
interval. The rules were fixed before the runs: [docs/protocol.md](docs/protocol.md).
"""


def write_results(params: Params) -> None:
    """Write RESULTS.md from every profile of evidence that has results."""
    parts = [HEAD]
    for profile, described in params.profiles.items():
        if not described.evidence:
            continue
        chapters = params.profile(described.planned or profile).chapters
        sections = [_chapter(params, profile, chapter) for chapter in chapters]
        if any(sections):
            page = f"results/{profile}/report/index.html"
            parts.append(f"## Profile `{profile}`\n\nThe rendered report: [{page}]({page}).\n")
            parts += sections
    write_text(project_root() / "RESULTS.md", "\n".join(part for part in parts if part))


def _chapter(params: Params, profile: str, chapter: str) -> str:
    """A chapter's section; '' where nothing of it was run, unless it is planned."""
    module = chapter_module(chapter)
    root, runs = project_root() / results_folder(profile), planned_runs(params, profile, module)
    facts = read_facts(root, runs)
    if not facts["done"].any():
        planned = params.profile(profile).planned is not None
        return planned * f"### {module.TITLE}\n\nNone of {len(runs)} planned runs is trained yet.\n"
    summary = labelled(summarise(read_scores(root, runs), runs), module.label)
    rows = summary[summary["metric"] == "psnr"]
    sets = list(dict.fromkeys(rows["dataset"].dropna()))
    done = facts[facts["done"]]
    models = denoiser_seconds(root, runs)
    hours = (done["seconds"].sum() + models) / 3600
    beside = ", the diffusion models' included" * (models > 0)
    lines = [
        f"### {module.TITLE}",
        "",
        f"{len(done)} of {len(facts)} runs, {hours:.1f} hours of training{beside}. "
        f"{not_run(facts, module.label, module.DATASETS)}",
        "",
    ]
    if not sets:  # real images of low quality alone
        return "\n".join(
            [*lines, "Its test images have no known truth; the report shows them.", ""]
        )
    lines += [
        f"| {' | '.join(['', *(module.DATASETS.get(name, name) for name in sets)])} |",
        "|---" * (len(sets) + 1) + "|",
    ]
    for label, group in rows.groupby("label", sort=False):
        cells = [_cell(group[group["dataset"] == name]) for name in sets]
        if any(cells):
            lines.append(f"| {label} | {' | '.join(cells)} |")
    first = rows[(rows["dataset"] == sets[0]) & (rows["variant"] != BLURRED)]
    return "\n".join([*lines, "", f"On {module.DATASETS.get(sets[0], sets[0])}: "
                      f"{most_and_least(first)}", ""])  # fmt: skip


def _cell(rows: pd.DataFrame) -> str:
    """The gain with its interval; the blurred input's own PSNR; '' where nothing was scored."""
    if rows.empty or pd.isna(rows.iloc[0]["mean"]):
        return ""
    row = rows.iloc[0]
    return f"{row['mean']:.2f} dB" if row["variant"] == BLURRED else gain_in_words(row)
