"""Claims put to the test: each holds, does not hold, or cannot be told from the intervals.

The rule is fixed before any number is seen. A claim names ordered pairs of variants; the evidence
is the 95 % interval of the per-image PSNR difference of each pair. A variant may also be compared
with the mean of two others: to be better than that is to win back more than half of what the worse
of them lacks.

- 'greater': holds if every interval lies above the margin (0 for most claims); does not hold if one
  lies below it.
- 'within': holds if every interval lies inside ±margin; does not hold if one lies outside of it.
- Anything else cannot be told. Nor can a claim about variants from one seed each, for such an
  interval leaves out how much another seed would have changed, nor from trainings of different
  length.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import pandas as pd

from reblur.study.comparisons import register
from reblur.study.results import BLURRED, Study
from reblur.study.statistics import ONE_SEED, Interval, difference_interval, missing_interval
from reblur.study.tables import Column, Table

Verdict = Literal["holds", "does not hold", "cannot tell"]


@dataclass(frozen=True)
class Claim:
    """A claim that intervals can decide.

    Attributes:
        key: a short name.
        text: the claim, in one sentence.
        source: who claims it.
        kind: 'greater' or 'within' (see the module).
        pairs: (variant, reference, …) of each difference, from the mean of the references;
            'blurred' is a reference too.
        margin: in dB.
        question: the claim as a question that the report answers at its head; '' for most.
    """

    key: str
    text: str
    source: str
    kind: Literal["greater", "within"]
    pairs: tuple[tuple[str, ...], ...]
    margin: float = 0.0
    question: str = ""


def judge(claim: Claim, intervals: Sequence[Interval]) -> tuple[Verdict, str]:
    """The verdict on a claim from the interval of each of its pairs, and why it cannot be told."""
    gaps = [pair for pair, i in zip(claim.pairs, intervals, strict=True) if not i.known]
    lone = [
        pair
        for pair, i in zip(claim.pairs, intervals, strict=True)
        if i.known and i.seeds < 2 and pair[1] != BLURRED
    ]
    judged = [
        interval
        for pair, interval in zip(claim.pairs, intervals, strict=True)
        if pair not in gaps and pair not in lone
    ]
    if any(_refutes(claim, interval) for interval in judged):
        return "does not hold", ""
    if gaps:
        return "cannot tell", f"{len(gaps)} of {len(intervals)} pairs cannot be compared"
    if lone:
        return "cannot tell", "one seed: another training might turn it"
    if all(_supports(claim, interval) for interval in judged):
        return "holds", ""
    edge = f"±{claim.margin:g} dB" if claim.kind == "within" else f"{claim.margin:g}"
    return "cannot tell", f"an interval contains {edge}"


def _supports(claim: Claim, interval: Interval) -> bool:
    if claim.kind == "greater":
        return interval.low > claim.margin
    return interval.low > -claim.margin and interval.high < claim.margin


def _refutes(claim: Claim, interval: Interval) -> bool:
    if claim.kind == "greater":
        return interval.high < claim.margin
    return interval.low > claim.margin or interval.high < -claim.margin


@register
def claims_table(
    study: Study,
    *,
    stem: str,
    title: str,
    claims: Sequence[Mapping[str, Any]],
    dataset: str,
    labels: Mapping[str, str],
) -> Table:
    """The verdict on each claim, with the intervals that it rests on.

    Args:
        claims: `dataclasses.asdict` of each `Claim`.
    """
    names = {BLURRED: "do nothing", **labels}
    rows = []
    for values in claims:
        pairs = tuple(tuple(pair) for pair in values["pairs"])
        claim = Claim(**{**values, "pairs": pairs})
        found = [_difference(study, ours, theirs, dataset) for ours, *theirs in pairs]
        verdict, reason = judge(claim, found)
        evidence = [
            f"{names.get(ours, ours)} − {_mean_of(theirs, names)}: {_decibels(interval)}"
            for (ours, *theirs), interval in zip(pairs, found, strict=True)
        ]
        alone = all(interval.note == ONE_SEED for interval in found)
        rows.append(
            {
                "key": claim.key,
                "text": claim.text,
                "verdict": verdict,
                "evidence": "; ".join(evidence),
                "reason": reason or (ONE_SEED if alone else ""),
                "source": claim.source,
                "question": claim.question,
            }
        )
    columns = (
        Column("claim", "text", "text"),
        Column("verdict", "verdict", "text"),
        Column("PSNR differences", "evidence", "text"),
        Column("remark", "reason", "text", absent=""),
        Column("source", "source", "text"),
    )
    caption = (
        "Judged by 95 % intervals of per-image PSNR differences over seeds and images, by a rule "
        f"fixed beforehand, on {dataset} and with this profile's data and training, which are not "
        "the paper's."
    )
    return Table(stem, title, caption, pd.DataFrame(rows), columns)


def _difference(study: Study, ours: str, theirs: Sequence[str], dataset: str) -> Interval:
    """The interval of a pair; none where they trained for different numbers of steps."""
    steps = [study.fact(name, "steps") for name in (ours, *theirs) if name != BLURRED]
    if None not in steps and len(set(steps)) > 1:
        words = " and ".join(f"{n:,}" for n in dict.fromkeys(steps))
        return missing_interval(f"trained for {words} steps")
    if len(theirs) == 1:
        return study.difference(ours, theirs[0], dataset, "psnr")
    matrices = [study.matrix(name, dataset, "psnr") for name in (ours, *theirs)]
    if not all(matrix.size for matrix in matrices):
        return missing_interval()
    seeds = [study.seeds_scored(name, dataset) for name in (ours, *theirs)]
    if any(other != seeds[0] for other in seeds):
        return missing_interval("other seeds")
    return difference_interval(matrices[0], sum(matrices[1:]) / len(theirs), dataset)


def _mean_of(names: Sequence[str], labels: Mapping[str, str]) -> str:
    words = " and ".join(labels.get(name, name) for name in names)
    return words if len(names) == 1 else f"the mean of {words}"


def plain(claims: Sequence[Claim]) -> list[dict[str, Any]]:
    """The claims as `claims_table` takes them."""
    return [asdict(claim) for claim in claims]


def _decibels(interval: Interval) -> str:
    if not interval.known:
        return interval.note
    return f"{interval.mean:+.2f} [{interval.low:+.2f}, {interval.high:+.2f}] dB"
