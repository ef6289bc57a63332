"""Tables: a filter and a pivot of the summary, written as CSV and shown as HTML.

The frame of a table keeps the exact numbers; its columns say how people read them. An interval
stands in small type under its mean. What was not run says so, and is never a zero.
"""

import html
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from reblur.files import atomic_path
from reblur.study.analysis.scores import start_steps
from reblur.study.analysis.statistics import NOT_RUN
from reblur.study.analysis.summary import NOT_AVAILABLE
from reblur.study.rows import BLURRED, CONFIGURATION_FIELDS

Label = Callable[[Mapping[str, Any]], str]

#: Metric → heading, unit, digits after the point.
METRICS: dict[str, tuple[str, str, int]] = {
    "psnr": ("PSNR", "dB", 2),
    "psnr_tone": ("PSNR, tone", "dB", 2),
    "psnr_detail": ("PSNR, detail", "dB", 2),
    "ssim": ("SSIM", "", 4),
    "ssim_matlab": ("SSIM (MATLAB)", "", 4),
    "msssim": ("MSSIM", "", 4),
    "lpips": ("LPIPS", "", 4),
    "niqe": ("NIQE", "", 2),
    "seconds": ("time", "s/image", 3),
    "mae": ("error of the map", "px", 2),
    "correlation": ("rank correlation", "", 3),
    "auc": ("AUC", "", 3),
    "content_deviation": ("content deviation", "", 4),
    "swd": ("SWD", "", 5),
    "spectrum": ("spectrum", "dB", 2),
    "mmd": ("AlexNet-MMD", "", 4),
    "fd": ("AlexNet-FD", "", 2),
}
_MOST_CELLS = 3  # beside more, a page shows what a row costs only when it is chosen
_MOST_EMPTY_ROWS = 3  # more rows without a number become one sentence


@dataclass(frozen=True)
class Column:
    """How people read a column of a table.

    Attributes:
        key: the column of the frame; its interval, if any, is <key>_low and <key>_high.
        heading: its title.
        unit: stands under the heading.
        digits: after the point; whole numbers have separators (1,234).
        signed: whether a number carries its sign, as a difference does.
        hidden: whether a page shows it only when it is chosen.
    """

    key: str
    heading: str
    unit: str = ""
    digits: int = 2
    signed: bool = False
    hidden: bool = False


@dataclass(frozen=True)
class Table:
    """A table with its words; `key` is the name of its CSV."""

    key: str
    title: str
    frame: pd.DataFrame
    columns: tuple[Column, ...]
    caption: str = ""
    notes: tuple[str, ...] = ()

    def write(self, folder: Path) -> Path:
        """Write <folder>/<key>.csv: every column of the frame, eight digits; returns its path."""
        path = Path(folder) / f"{self.key}.csv"
        with atomic_path(path) as temporary:
            self.frame.to_csv(temporary, index=False, float_format="%.8g", lineterminator="\n")
        return path

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        return to_html(self)


def table(
    summary: pd.DataFrame,
    cells: Sequence[tuple[str, str, str]],
    *,
    key: str,
    title: str,
    label: Label,
    heading: str = "variant",
    headings: Mapping[str, str] | None = None,
    costs: pd.DataFrame | None = None,
    caption: str = "",
) -> Table:
    """A row a configuration of the summary, in its order; a column a cell.

    Args:
        summary: `summarise`, filtered to the configurations wanted.
        cells: (data set, metric, 'mean' or 'gain') of each column.
        label: the name of a row, from the fields of its configuration.
        heading: the title of the names' column.
        headings: data set → its name for people; needed where the cells are of several.
        costs: `scores.costs`: adds parameters, multiply-adds, updates and seeds.
    """
    fields = list(CONFIGURATION_FIELDS)
    frame = labelled(summary[fields].drop_duplicates().reset_index(drop=True), label)
    several = len({dataset for dataset, _, _ in cells}) > 1
    columns, notes = [Column("label", heading)], []
    for dataset, metric, what in cells:
        word, unit, digits = METRICS.get(metric, (metric, "", 4))
        name = f"{dataset}_{metric}" + ("_gain" if what == "gain" else "")
        ends = ("gain", "gain_low", "gain_high") if what == "gain" else ("mean", "low", "high")
        rows = summary[(summary["dataset"] == dataset) & (summary["metric"] == metric)]
        chosen = rows[[*fields, *ends, "note"]].rename(
            columns=dict(zip(ends, (name, f"{name}_low", f"{name}_high"), strict=True))
        )
        frame = frame.merge(chosen, "left", fields).rename(columns={"note": f"{name}_note"})
        notes.append(frame.pop(f"{name}_note"))
        place = f"{(headings or {}).get(dataset, dataset)}: " if several else ""
        shown = f"{word} gain" if what == "gain" else word
        columns.append(Column(name, f"{place}{shown}", unit, digits, what == "gain"))
    said = pd.concat(notes, axis=1).apply(_unique_notes, axis=1) if notes else ""
    words = []
    if costs is not None:
        frame, wide = frame.merge(costs, "left", fields), len(cells) > _MOST_CELLS
        columns += [
            Column("parameters", "parameters", "", 0, hidden=wide),
            Column("macs", "multiply-adds", "G", 1, hidden=wide),
            Column("steps", "updates", "", 0, hidden=wide and not frame["unequal"].eq(True).any()),
            Column("trained", "seeds"),
        ]
        if frame["unequal"].eq(True).any():
            least, most = int(frame["steps"].min()), int(frame["steps"].max())
            words.append(
                f"The rows trained for {least:,} to {most:,} updates: what differs between rows of "
                "different length is not the configuration alone."
            )
    frame["note"] = said
    if not frame["note"].isin(["", NOT_RUN]).all():
        columns.append(Column("note", "remark"))
    return Table(key, title, frame, tuple(columns), caption, tuple(words))


def labelled(frame: pd.DataFrame, label: Label, column: str = "label") -> pd.DataFrame:
    """The frame with a column of names, made from the fields of each row's configuration."""
    fields = frame[list(CONFIGURATION_FIELDS)].astype(object)
    fields["t0"] = start_steps(fields["t0"]).to_numpy()  # whole numbers, also beside missing ones
    records = fields.where(fields.notna(), None).to_dict("records")
    return frame.assign(**{column: [label(record) for record in records]})


def not_run(facts: pd.DataFrame, label: Label, tasks: Mapping[str, str] | None = None) -> str:
    """'2 of 20 configurations were run in this profile; not run: A, B.'; '' where all were.

    Args:
        tasks: the name of each task: those of a chapter of several tasks are listed by task.
    """
    fields = list(CONFIGURATION_FIELDS)
    done = facts.groupby(fields, sort=False, dropna=False)["done"].any().reset_index()
    missing = labelled(done.loc[~done["done"], fields], label)
    if missing.empty:
        return ""
    several = done["task"].nunique() > 1
    lists = [
        f"{(tasks or {}).get(str(task), str(task))}: " * several + ", ".join(rows["label"])
        for task, rows in missing.groupby("task", sort=False, dropna=False)
    ]
    names = "; ".join(lists)
    ran = len(done) - len(missing)
    return f"{ran} of {len(done)} configurations were run in this profile; not run: {names}."


def to_html(table: Table) -> str:
    """The table as HTML: class `results`, the sort value of each cell in `data-value`."""
    numbers = [column.key for column in table.columns if _numeric(table, column)]
    rows = table.frame.to_dict("records")
    lost = [bool(numbers) and all(_absent(row[key]) for key in numbers) for row in rows]
    fold = sum(lost) > _MOST_EMPTY_ROWS
    empty = [row for row, absent in zip(rows, lost, strict=True) if fold and absent]
    shown = [row for row, absent in zip(rows, lost, strict=True) if not (fold and absent)]
    head = "".join(_heading(table, column) for column in table.columns)
    body = "".join(
        f"<tr>{''.join(_cell(table, column, row) for column in table.columns)}</tr>"
        for row in shown
    )
    notes = list(table.notes)
    if fold:
        names = ", ".join(str(row[table.columns[0].key]) for row in empty)
        notes.append(f"Not run ({len(empty)} of {len(rows)}): {names}.")
    below = "".join(f'<p class="note">{html.escape(note)}</p>' for note in notes)
    caption = f"<strong>{html.escape(table.title)}</strong> {html.escape(table.caption)}"
    return (
        f'<figure class="table" id="table-{table.key}"><figcaption>{caption}</figcaption>'
        f'<table class="results"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
        f"{below}</figure>"
    )


def _unique_notes(notes: pd.Series) -> str:
    parts = [part for note in notes if not _absent(note) for part in str(note).split("; ")]
    return "; ".join(dict.fromkeys(parts))


def _numeric(table: Table, column: Column) -> bool:
    return column.key in table.frame and pd.api.types.is_numeric_dtype(table.frame[column.key])


def _heading(table: Table, column: Column) -> str:
    unit = f"<small>{html.escape(column.unit)}</small>" if column.unit else ""
    kind = "number" if _numeric(table, column) else "text"
    hidden = ' data-hidden="yes"' if column.hidden else ""
    return f'<th class="{kind}"{hidden}>{html.escape(column.heading)}{unit}</th>'


def _cell(table: Table, column: Column, row: Mapping[str, Any]) -> str:
    value = row.get(column.key)
    if not _numeric(table, column):
        text = "" if _absent(value) else str(value)
        return f'<td class="text" data-value="{html.escape(text)}">{html.escape(text)}</td>'
    if _absent(value):
        measured = f"{column.key}_low" in table.frame
        itself = column.signed and row.get("variant") == BLURRED  # it gains nothing over itself
        missing = NOT_RUN in str(row.get("note", ""))
        word = NOT_RUN if missing else NOT_AVAILABLE if measured and not itself else "–"
        return f'<td class="number missing" data-value="">{word}</td>'
    form = f"{{:{'+' if column.signed else ''},.{column.digits}f}}"
    ends = [row.get(f"{column.key}_{end}", math.nan) for end in ("low", "high")]
    small = ""
    if not any(_absent(end) for end in ends):
        small = "<small>[{}, {}]</small>".format(*(form.format(float(end)) for end in ends))
    exact = json.dumps(float(value))
    return f'<td class="number" data-value="{exact}">{form.format(float(value))}{small}</td>'


def _absent(value: Any) -> bool:
    return value is None or value is pd.NA or value != value or value == ""
