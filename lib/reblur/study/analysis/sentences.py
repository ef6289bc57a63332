"""Sentences about rows of the summary: what a notebook says it sees, with the numbers as they are.

Every function takes rows of `summarise` of one data set and one metric, with the column `label` of
`tables.labelled`.
"""

import pandas as pd

from reblur.study.analysis.tables import METRICS
from reblur.study.rows import CONFIGURATION_FIELDS

NONE = "None of these was run in this profile."


def gain_in_words(row: pd.Series) -> str:
    """'+0.31 dB [+0.13, +0.52]', or why there is no such number ('not run')."""
    if pd.isna(row["gain"]):
        return str(row["note"]) or "not available"
    _, unit, digits = METRICS.get(row["metric"], ("", "", 4))
    said = f"{row['gain']:+.{digits}f} {unit}".strip()
    if pd.isna(row["gain_low"]) or pd.isna(row["gain_high"]):
        return said
    return f"{said} [{row['gain_low']:+.{digits}f}, {row['gain_high']:+.{digits}f}]"


def most_and_least(rows: pd.DataFrame, less: bool = False) -> str:
    """Which configuration gained most and which least, and how many intervals leave out zero.

    Args:
        less: less is better, as of NIQE: the lowest gain is the most.
    """
    known = rows.dropna(subset="gain").sort_values("gain", ascending=less, kind="stable")
    if known.empty:
        return NONE
    most, least = known.iloc[0], known.iloc[-1]
    if len(known) == 1:
        verb = "changed it by" if less else "gained"
        return f"{most['label']} {verb} {gain_in_words(most)}. {against_zero(known)}"
    verb = "lowered it" if less else "gained"
    said = f"{most['label']} {verb} most, {gain_in_words(most)}"
    return f"{said}; {least['label']} least, {gain_in_words(least)}. {against_zero(known)}"


def against_zero(rows: pd.DataFrame) -> str:
    """'Of 12 intervals 9 lie above zero, 1 below, and 2 contain it.'"""
    known = rows.dropna(subset=["gain_low", "gain_high"])
    above, below = int((known["gain_low"] > 0).sum()), int((known["gain_high"] < 0).sum())
    if not len(known):
        return "There is no interval yet."
    if len(known) == 1:
        return (
            f"Its interval {'lies above' if above else 'lies below' if below else 'contains'} zero."
        )
    return (
        f"Of {len(known)} intervals {above or 'none'} lie{'s' * (above == 1)} above zero, "
        f"{below or 'none'} below, and {len(known) - above - below or 'none'} contain"
        f"{'s' * (len(known) - above - below == 1)} it."
    )


def with_seeds(facts: pd.DataFrame) -> str:
    """'20 of 20 configurations were trained, each with 1 seed.', from `read_facts`."""
    fields = list(CONFIGURATION_FIELDS)
    done = facts.groupby(fields, sort=False, dropna=False)["done"].sum()
    least, most = (int(n) for n in (done[done > 0].min(), done.max())) if done.any() else (0, 0)
    said = f"{(done > 0).sum()} of {len(done)} configurations were trained"
    if not most:
        return f"{said}."
    seeds = f"{most} seed{'s' * (most > 1)}" if least == most else f"{least} to {most} seeds"
    return f"{said}, each with {seeds}."
