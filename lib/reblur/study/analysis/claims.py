"""Claims put to the test: each is supported, refuted or inconclusive by the intervals.

The rule is fixed before any number is seen. A claim names pairs of configurations; the evidence is
the 95 % interval of the differences of each pair, image by image, over seeds and photographs. A
configuration may also be compared with the mean of two others: to be better than that is to win
back more than half of what the worse of them lacks.

- 'greater': supported if every pair's interval lies above the margin (0 for most claims), refuted
  if one lies below it. Of LPIPS and other metrics of which less is better, less is the greater.
- 'best': the first configuration is greater than each of the others.
- 'within': supported if every interval lies inside ±margin, refuted if one lies outside of it.

Anything else is inconclusive, and so is a comparison of trainings that saw different numbers of
samples (steps × batch, over every seed), unless the claim is about equal time. An interval from one
seed leaves out what another training would have changed, whatever it is compared with: its verdict
is for this one trained network. A side that learned nothing, and so returns its input, is named.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import pandas as pd

from reblur.study.analysis.scores import Which, matching
from reblur.study.analysis.statistics import (
    LOWER_IS_BETTER,
    NOT_RUN,
    Interval,
    missing_interval,
)
from reblur.study.analysis.summary import RETURNS_INPUT, difference, returns_input
from reblur.study.rows import BLURRED

Verdict = Literal["supported", "refuted", "inconclusive", "not run"]
Side = str | Which  # BLURRED, or a configuration
Names = Callable[[Side], str]

ONE_NETWORK = "for this one trained network"
UNEQUAL = "trained unequally"
COLUMNS = (
    "key", "text", "verdict", "remark", "evidence", "source", "question", "seeds", "mean", "low",
    "high",
)  # fmt: skip


@dataclass(frozen=True)
class Claim:
    """A claim that intervals can decide.

    Attributes:
        key: a short name.
        text: the claim, in one sentence.
        source: who claims it.
        kind: see the module.
        configurations: 'greater' and 'within': a tuple (ours, theirs, …) for each pair, the mean
            of the references being taken; 'best': the best one, then the others.
        dataset, metric: what it is judged on.
        margin: in the metric's unit.
        question: the claim as a question that a page answers at its head; '' for most.
        equal_time: the sides had equal time to train, and so not equally many samples.
    """

    key: str
    text: str
    source: str
    kind: Literal["greater", "within", "best"]
    configurations: tuple[Any, ...]
    dataset: str
    metric: str = "psnr"
    margin: float = 0.0
    question: str = ""
    equal_time: bool = False

    @property
    def pairs(self) -> list[tuple[Side, ...]]:
        """(ours, theirs, …) of each comparison."""
        if self.kind == "best":
            best, *others = self.configurations
            return [(best, other) for other in others]
        return [tuple(pair) for pair in self.configurations]


def judge(
    claims: Sequence[Claim], scores: pd.DataFrame, facts: pd.DataFrame, name: Names
) -> pd.DataFrame:
    """The verdict on each claim, a row each, in COLUMNS: seeds, the fewest of its pairs; mean, low
    and high, the interval of its first pair.

    Args:
        scores, facts: `read_scores` and `read_facts`.
        name: what people call a side of a pair.
    """
    rows = []
    for claim in claims:
        found = [_interval(claim, pair, scores, facts) for pair in claim.pairs]
        verdict, remark = verdict_of(claim, found)
        sides = [side for pair in claim.pairs for side in pair if side != BLURRED]
        idle = [name(side) for side in sides if returns_input(scores, side, claim.dataset)]
        idle = [f"{side} {RETURNS_INPUT}" for side in dict.fromkeys(idle)]
        remark = "; ".join(filter(None, [remark, *idle]))
        evidence = [
            f"{name(ours)} − {_mean_of(theirs, name)}: {in_words(interval, claim.metric)}"
            for (ours, *theirs), interval in zip(claim.pairs, found, strict=True)
        ]
        rows.append(
            {
                "key": claim.key, "text": claim.text, "verdict": verdict, "remark": remark,
                "evidence": "; ".join(evidence), "source": claim.source,
                "question": claim.question,
                "seeds": min([i.seeds for i in found if i.known], default=0),
                "mean": found[0].mean, "low": found[0].low, "high": found[0].high,
            }
        )  # fmt: skip
    return pd.DataFrame(rows, columns=list(COLUMNS))


def verdict_of(claim: Claim, found: Sequence[Interval]) -> tuple[Verdict, str]:
    """The verdict on a claim from the interval of each of its pairs, and a remark."""
    if claim.metric in LOWER_IS_BETTER:
        found = [replace(i, mean=-i.mean, low=-i.high, high=-i.low) for i in found]
    judged = [interval for interval in found if interval.known]
    lone = ONE_NETWORK if any(interval.seeds == 1 for interval in judged) else ""
    if any(_refutes(claim, interval) for interval in judged):
        return "refuted", lone
    if all(interval.note == NOT_RUN for interval in found):
        return "not run", ""
    gaps = [interval.note for interval in found if not interval.known]
    if gaps:
        count = f" ({len(gaps)} of {len(found)} comparisons)" if len(found) > 1 else ""
        return "inconclusive", f"{'; '.join(dict.fromkeys(gaps))}{count}"
    if all(_supports(claim, interval) for interval in judged):
        return "supported", lone
    edge = f"±{claim.margin:g}" if claim.kind == "within" else f"{claim.margin:g}"
    return "inconclusive", f"an interval contains {edge}"


def in_words(interval: Interval, metric: str = "psnr") -> str:
    """'+0.31 [+0.13, +0.52] dB', or why there is no interval."""
    if not interval.known:
        return interval.note
    digits, unit = (2, " dB") if metric.startswith("psnr") else (4, "")
    ends = [f"{end:+.{digits}f}" for end in (interval.mean, interval.low, interval.high)]
    return f"{ends[0]} [{ends[1]}, {ends[2]}]{unit}"


def _interval(
    claim: Claim, pair: Sequence[Side], scores: pd.DataFrame, facts: pd.DataFrame
) -> Interval:
    """The interval of a pair; none where its sides trained on different numbers of samples."""
    ours, *theirs = pair
    sides = [side for side in pair if side != BLURRED]
    trained = [facts[matching(facts, side) & facts["done"]] for side in sides]
    found = difference(
        scores, ours, theirs[0] if len(theirs) == 1 else theirs, claim.dataset, claim.metric
    )
    runs = pd.concat(trained)
    if found.known and not claim.equal_time and runs["samples"].nunique() > 1:
        steps = sorted(int(steps) for steps in runs["steps"].unique())
        words = " and ".join(f"{n:,}" for n in steps) if len(steps) > 1 else "other batches of"
        return missing_interval(f"{UNEQUAL}: {words} updates")
    return found


def _supports(claim: Claim, interval: Interval) -> bool:
    if claim.kind == "within":
        return interval.low > -claim.margin and interval.high < claim.margin
    return interval.low > claim.margin


def _refutes(claim: Claim, interval: Interval) -> bool:
    if claim.kind == "within":
        return interval.low > claim.margin or interval.high < -claim.margin
    return interval.high < claim.margin


def _mean_of(sides: Sequence[Side], name: Names) -> str:
    words = " and ".join(name(side) for side in sides)
    return words if len(sides) == 1 else f"the mean of {words}"
