"""What every notebook that compares begins with: a chapter's runs in a profile, what was measured
of them, and where tables, figures and metrics go."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd
from IPython.display import Markdown, display

from reblur.datasets.images.pairs import Pair
from reblur.errors import ReblurError
from reblur.evaluation.protocols import PROTOCOLS
from reblur.study.analysis.claims import Claim, Side, judge
from reblur.study.analysis.metrics import write_metrics
from reblur.study.analysis.pictures import panel
from reblur.study.analysis.scores import costs, matching, read_curves, read_facts, read_scores
from reblur.study.analysis.sentences import most_and_least
from reblur.study.analysis.summary import summarise
from reblur.study.analysis.tables import labelled, not_run, table
from reblur.study.data.available import may_be_shown
from reblur.study.display import demo_banner, note, see, show, verdicts
from reblur.study.examples import Example, examples
from reblur.study.params import Params, read_params, results_folder
from reblur.study.rows import BLURRED, Run
from reblur.study.runs import chapter_module, planned_runs, recipe

#: The recipe of a run → its test sets, by name.
Sets = Callable[[Mapping[str, Any]], Mapping[str, Iterable[Pair]]]

RULE = (
    "The rule is fixed before any number is seen: a claim is supported if the 95 % intervals of "
    "all its differences lie on its side, refuted if one lies on the other side, and inconclusive "
    "otherwise."
)
CROPS = "The square: where the blur took most detail, whatever the results. PSNR: whole image."


@dataclass(frozen=True)
class Comparison:
    """A chapter in a profile.

    Attributes:
        chapter: the module of `reblur.study.chapters`.
        part: what the profile asks of it.
        runs: every run asked for.
        root: results/<profile>, where the scores are.
        folder: where tables, figures and metrics are written.
        scores, facts: `read_scores` and `read_facts`.
        summary, curves: `summarise` and `read_curves`, with the names of the configurations.
        cost: `scores.costs`.
    """

    profile: str
    params: Params
    chapter: ModuleType
    part: Any
    runs: Sequence[Run]
    root: Path
    folder: Path
    scores: pd.DataFrame
    facts: pd.DataFrame
    summary: pd.DataFrame
    cost: pd.DataFrame
    curves: pd.DataFrame

    @property
    def tables(self) -> Path:
        return self.folder / "tables" / self.chapter.CHAPTER

    @property
    def figures(self) -> Path:
        return self.folder / "figures" / self.chapter.CHAPTER

    @property
    def banner(self) -> Any:
        return demo_banner(self.profile, self.params.profile(self.profile).evidence)

    @property
    def test_sets(self) -> list[str]:
        """Every test set that something was scored on."""
        return list(self.summary["dataset"].dropna().unique())

    def place(self, dataset: str) -> str:
        """The name of a test set for people."""
        return self.chapter.DATASETS.get(dataset, dataset)

    def asks(self, *variants: str, **fields: Any) -> bool:
        """Whether the profile asks for a run of one of the variants (of any, where none is named)
        with these fields."""
        found = matching(self.facts, fields)
        return bool((found & (self.facts["variant"].isin(variants) | (not variants))).any())

    def section(self, words: str, wanted: bool) -> bool:
        """Display the heading of a section (Markdown) where it is `wanted`; returns that."""
        if wanted:
            display(Markdown(words))
        return wanted

    def of(self, *variants: str, **fields: Any) -> pd.DataFrame:
        """Rows of the summary in the order of `variants`; every variant where none is named.

        `fields` (level, task, …) are those of the runs; the blurred input has none of them but its
        task.
        """
        here = self.summary
        asked = {key: value for key, value in fields.items() if key != "task"}
        found = matching(here, asked) | (here["variant"] == BLURRED)
        found &= matching(here, {key: fields[key] for key in ("task",) if key in fields})
        here = here[found]
        if not variants:
            return here
        here = here[here["variant"].isin(variants)]
        return here.sort_values("variant", key=lambda n: n.map(variants.index), kind="stable")

    def gains(
        self, rows: pd.DataFrame, *datasets: str, metric: str = "psnr", blurred: bool = False
    ) -> pd.DataFrame:
        """Those of `rows` that are of the test sets and the metric, without the blurred input."""
        found = rows["dataset"].isin(datasets) & (rows["metric"] == metric)
        return rows[found & (blurred | (rows["variant"] != BLURRED))]

    def by_blur_length(self, dataset: str, *variants: str, bins: int = 4) -> pd.DataFrame:
        """The gain in PSNR on the test images of a synthetic set, in `bins` equal shares from the
        shortest blur to the longest: rows as of `gains`, with `blur_length` (px), the median."""
        there = self.scores[self.scores["dataset"] == dataset]
        lengths = there[there["metric"] == "blur_length"].set_index("image")["value"]
        if lengths.empty:
            return pd.DataFrame()
        shares = pd.qcut(lengths, bins, labels=False)
        median = lengths.groupby(shares).median().round(1)
        psnr = there[there["metric"] == "psnr"]
        rows = summarise(psnr.assign(dataset=psnr["image"].map(shares).astype(str)), self.runs)
        rows = labelled(rows, self.chapter.label)
        rows = rows[rows["variant"].isin(variants)]
        return rows.assign(blur_length=rows["dataset"].astype(int).map(median))

    def show_table(
        self,
        rows: pd.DataFrame,
        cells: Sequence[tuple[str, str, str]],
        *,
        key: str,
        title: str,
        seen: bool = True,
        **options: Any,
    ) -> None:
        """Write and display `tables.table` of rows of the summary, with what is seen in the first
        test set's gain in PSNR."""
        there = [cell for cell in cells if cell[0] in self.test_sets]
        if all(what == "gain" for _, _, what in there):  # of which the blurred input has none
            rows = rows[rows["variant"] != BLURRED]
        named: dict[str, Any] = {
            "label": self.chapter.label,
            "headings": self.chapter.DATASETS,
            "costs": self.cost,
        }
        named |= options
        made = table(rows, there, key=key, title=title, **named)
        show(made, self.tables)
        if seen and there:
            see(most_and_least(labelled(self.gains(rows, there[0][0]), named["label"])))

    def show_figure(self, drawn: Any) -> None:
        """Write and display a figure."""
        show(drawn, self.figures)

    def show_claims(self, claims: Sequence[Claim]) -> None:
        """A section of the verdicts on those claims whose every side the profile asks for; none
        where it asks for no such claim."""
        asked = [c for c in claims if all(self._asked(side) for pair in c.pairs for side in pair)]
        left = len(claims) - len(asked)
        more = f" {left} of {len(claims)} claims are about runs that this profile does not ask for."
        if self.section(f"## Claims tested\n\n{RULE}{more * bool(left)}", bool(asked)):
            display(verdicts(judge(asked, self.scores, self.facts, self._side_label)))

    def _side_label(self, side: Side) -> str:
        fields = {"variant": side} if isinstance(side, str) else {"variant": "", **dict(side)}
        return str(self.chapter.label(fields))

    def _asked(self, side: str | Mapping[str, Any]) -> bool:
        return side == BLURRED or self.asks(**dict(side))  # type: ignore[arg-type]

    def show_missing(self) -> None:
        """Display which runs are missing of those that are asked for, or planned."""
        planned = planned_runs(self.params, self.profile, self.chapter)
        words = not_run(read_facts(self.root, planned), self.chapter.label, self.chapter.DATASETS)
        display(Markdown(words or "Nothing: every run that this profile asks for is here."))

    def one_of_each(self, *wanted: Mapping[str, Any]) -> list[Run]:
        """The first seed's run of each configuration that the fields name and the profile asks."""
        found = [
            next((r for r in self.runs if fields.items() <= r.as_dict().items()), None)
            for fields in wanted
        ]
        return [run for run in found if run is not None]

    def examples(self, shown: Sequence[Run], dataset: str, sets: Sets) -> list[Example]:
        """Test photographs of the best, the median and the worst gain of the first run's
        configuration; none where it was not run, or, which is said, the photographs are not here.

        Args:
            sets: makes the test sets of a recipe.
        """
        if not shown or not self.facts.loc[matching(self.facts, shown[0]), "done"].any():
            return []
        try:
            made = recipe(self.params, self.profile, shown[0])
            committed = self.params.profile(self.profile).evidence
            name = scored_on(dataset)
            if committed and not may_be_shown(behind(name, made)):
                words = "its licence does not let its pictures be passed on, so none is shown."
                display(note(f"{self.place(dataset)}: {words}"))
                return []
            pairs = sets(made).get(name, [])
        except ReblurError as error:
            display(note(f"No pictures of {self.place(dataset)}: {error}"))
            return []
        if not pairs:
            display(note(f"No pictures of {self.place(dataset)}: its photographs are not here."))
            return []
        return examples(pairs, self.root, shown, self.scores, dataset, self.chapter.label)

    def show_examples(self, found: Sequence[Example], key: str = "panel") -> None:
        """Display a slider of each example, and write and display a panel of crops where pictures
        were kept."""
        display(*found)
        if not any(image is not None for one in found for image in one.restored.values()):
            return
        rows, places = [one.crops() for one in found], [one.place for one in found]
        self.show_figure(panel(rows, key=key, title="Crops.", caption=CROPS, labels=places))


def scored_on(dataset: str) -> str:
    """The test set of a data set of scores: protocols have their own (`sdd_raw`) on one set."""
    return re.sub(rf"_({'|'.join(PROTOCOLS)})$", "", dataset)


def behind(dataset: str, made: Mapping[str, Any]) -> list[str]:
    """The data sets whose pictures a test set shows: itself, or those that it is made of."""
    tests = made["tests"]
    if dataset in made["test_data"]:
        return [dataset]
    if domain := tests.get("domain"):
        return list(domain["images"])
    if dataset == "measured_depth":
        return list(tests["synthetic"]["scenes"])
    return list((tests.get("synthetic") or {}).get("photographs", ()))


def compare(profile: str, chapter: str, folder: str = "") -> Comparison:
    """Read what a profile has of a chapter, and write `metrics/<chapter>.json`.

    Args:
        folder: where tables, figures and metrics are written; "": results/<profile>.

    Raises:
        ReblurError: the profile has no such chapter, or a file of a run is broken.
    """
    params, module = read_params(), chapter_module(chapter)
    part, runs = params.profile(profile).part(chapter), module.runs(params, profile)
    root = results_folder(profile)
    scores, facts = read_scores(root, runs), read_facts(root, runs)
    summary = labelled(summarise(scores, runs), module.label)
    curves = labelled(read_curves(root, runs), module.label)
    written = Path(folder) if folder else root
    write_metrics(summary, written / "metrics" / f"{chapter}.json")
    return Comparison(
        profile, params, module, part, runs, root, written, scores, facts, summary, costs(facts),
        curves,
    )  # fmt: skip
