"""What a notebook shows: tables, figures, sentences, the verdicts on claims, a banner.

Each shows in JupyterLab as it is; `pages` gives it its looks in the report. The CSS classes are
`table.results` (an interval and a unit stand in `small`, a cell sorts by `data-value`, a column
with `data-hidden` waits to be chosen), `td.missing`, `p.note`, `p.links`, `p.caption`,
`div.banner`, `div.verdicts > div.verdict.supported` (refuted, inconclusive, missing) and
`figure.slider` (`analysis.pictures.slider`).
"""

import html
from pathlib import Path
from typing import Any

import pandas as pd
from IPython.display import HTML, Markdown, display

from reblur.study.analysis.statistics import NOT_RUN

NOTHING = "Not drawn: none of the runs that it would show is there."


def show(shown: Any, folder: Path | None = None) -> None:
    """Write a table or a figure into `folder`, display it, and link to the file under it.

    Args:
        shown: a table or a drawing of `analysis`, or None for a figure of which there is nothing to
            draw, which is said.
        folder: below results/<profile>; the executed notebook and its page link to the file. None:
            nothing is written.
    """
    if shown is None:
        display(note(NOTHING))
        return
    words = f"{getattr(shown, 'title', '')} {getattr(shown, 'caption', '')}".strip()
    kinds = ("image/png", "image/jpeg")
    display(shown, metadata={kind: {"alt": words} for kind in kinds} if words else None)
    if not hasattr(shown, "_repr_html_"):  # a table has its caption with it
        title, caption = html.escape(shown.title), html.escape(shown.caption)
        display(HTML(f'<p class="caption"><strong>{title}</strong> {caption}</p>'))
    if folder is not None:
        display(links(shown.write(folder)))


def note(text: str) -> HTML:
    """A remark, smaller than what stands around it."""
    return HTML(f'<p class="note">{html.escape(text)}</p>')


def links(*files: str | Path) -> HTML:
    """A line of links to files below results/<profile>, from a folder beside them."""
    items = []
    for file in map(Path, files):
        inside = file.parts[file.parts.index("results") + 2 :] if "results" in file.parts else ()
        target = Path("..", *inside) if inside else file
        items.append(f'<a href="{html.escape(target.as_posix())}">{html.escape(str(file))}</a>')
    return HTML(f'<p class="links">{" · ".join(items)}</p>')


def banner(text: str) -> HTML:
    """A warning above everything else, such as that a profile's numbers are no evidence."""
    return HTML(f'<div class="banner" role="note">{html.escape(text)}</div>')


def demo_banner(profile: str, evidence: bool) -> HTML | None:
    """The banner of a profile whose numbers are no evidence; None for one of evidence."""
    if evidence:
        return None
    return banner(
        f"Profile {profile}: no evidence. Its runs are short and small; they show that everything "
        "runs."
    )


def see(*sentences: str, head: str = "**What we see.** ") -> None:
    """Display sentences that were made from the numbers."""
    display(Markdown(head + " ".join(sentence for sentence in sentences if sentence)))


def verdicts(judged: pd.DataFrame) -> HTML:
    """A card for each claim of `analysis.claims.judge`: verdict, claim, evidence, seeds, source."""
    cards = []
    for row in judged.to_dict("records"):
        kind = "missing" if row["verdict"] == NOT_RUN else row["verdict"]
        remark = f", {row['remark']}" if row["remark"] else ""
        seeds = f" ({row['seeds']} seed{'s' * (row['seeds'] != 1)})" if row["seeds"] else ""
        lines = row["evidence"].split("; ")
        known = [line for line in lines if not line.endswith(NOT_RUN)]
        if lost := len(lines) - len(known):
            known.append(f"{lost} comparison{'s' * (lost > 1)} {NOT_RUN}")
        evidence = "".join(f'<p class="evidence">{html.escape(line)}</p>' for line in known)
        cards.append(
            f'<div class="verdict {kind}"><p><span class="word">{row["verdict"]}</span>'
            f"{html.escape(remark)}{seeds}</p><p>{html.escape(row['text'])}</p>"
            f'{evidence}<p class="source">{html.escape(row["source"])}</p></div>'
        )
    return HTML(f'<div class="verdicts">{"".join(cards)}</div>')
