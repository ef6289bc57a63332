"""A table of results: exact numbers in a CSV, the same rows for people in Markdown and HTML.

A table keeps its numbers in a DataFrame and a list of columns that says how people read them.
Both are written, so that a table can be read back and shown by whoever did not make it (the
report), and made again from its recipe and compared (`reblur verify`).
"""

import csv
import io
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from reblur.errors import ReblurError
from reblur.files import write_text
from reblur.study.provenance import SUFFIX, one_line, write_provenance
from reblur.study.statistics import Interval

MISSING = "missing"
NOT_AVAILABLE = "not available"


@dataclass(frozen=True)
class Column:
    """How people read a column of a table.

    Attributes:
        title: its heading.
        key: the column of the frame. An interval also uses <key>_low and <key>_high, a published
            figure <key>_mark.
        kind: 'text'; 'count' (1,234); 'giga' (in units of 1e9); 'number'; 'interval'
            ('28.40 [28.1, 28.7]'); 'signed' (an interval with its sign); 'published' ('28.40 [M]').
        digits: after the point.
        absent: what stands where there is no value.
        group: 'ours', or 'paper' for figures that are not ours.
    """

    title: str
    key: str
    kind: Literal["text", "count", "giga", "number", "interval", "signed", "published"] = "number"
    digits: int = 2
    absent: str = MISSING
    group: Literal["ours", "paper"] = "ours"


@dataclass(frozen=True)
class Table:
    """A table with its captions; `recipe` says how to make it again (see `study.chapters`)."""

    stem: str
    title: str
    caption: str
    frame: pd.DataFrame
    columns: tuple[Column, ...]
    recipe: dict[str, Any] = field(default_factory=dict)

    def _repr_markdown_(self) -> str:
        """What a notebook shows."""
        return to_markdown(self)


def interval_values(key: str, interval: Interval) -> dict[str, float]:
    """The three values of an interval under the names that a 'interval' column looks for."""
    return {key: interval.mean, f"{key}_low": interval.low, f"{key}_high": interval.high}


def cells(table: Table) -> list[list[str]]:
    """The cells as people read them, row by row."""
    rows = table.frame.to_dict(orient="records")
    return [[_cell(row, column) for column in table.columns] for row in rows]


def _cell(row: dict[str, Any], column: Column) -> str:
    value = row.get(column.key)
    if is_absent(value):
        measured = column.group == "ours" and column.kind != "text"
        lost = MISSING in (row.get("status"), row.get(f"{column.key}_status"))
        return MISSING if measured and lost else column.absent
    match column.kind:
        case "text":
            return str(value)
        case "count":
            return f"{round(float(value)):,}"
        case "giga":
            return f"{float(value) / 1e9:.{column.digits}f} G"
        case "number":
            return f"{float(value):.{column.digits}f}"
        case "published":
            digits = f"{float(value):.{column.digits}f}"
            return f"{digits} [{row.get(f'{column.key}_mark', '')}]"
    return _interval_cell(row, column)


def _interval_cell(row: dict[str, Any], column: Column) -> str:
    sign = "+" if column.kind == "signed" else ""
    number = f"{{:{sign}.{column.digits}f}}"
    ends = [row.get(f"{column.key}{end}") for end in ("", "_low", "_high")]
    mean, low, high = (number.format(float(end)) if not is_absent(end) else None for end in ends)
    return f"{mean} (no interval)" if low is None or high is None else f"{mean} [{low}, {high}]"


def is_absent(value: Any) -> bool:
    """Whether a cell holds nothing: None, NaN or an empty text."""
    return value is None or value == "" or (isinstance(value, float) and math.isnan(value))


def to_csv(frame: pd.DataFrame) -> str:
    """The frame as CSV text: empty where there is no value, eight digits after the point.

    A column of whole numbers is written without a point. The format is ours, so that the bytes do
    not change with a version of pandas.
    """
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(frame.columns)
    columns = [_csv_column(frame[name].tolist()) for name in frame.columns]
    writer.writerows(zip(*columns, strict=True))
    return stream.getvalue()


def _csv_column(values: list[Any]) -> list[str]:
    numbers = [v for v in values if isinstance(v, int | float) and not is_absent(v)]
    digits = 0 if all(float(number).is_integer() for number in numbers) else 8
    return [_csv_value(value, digits) for value in values]


def _csv_value(value: Any, digits: int) -> str:
    if is_absent(value):
        return ""
    if not isinstance(value, int | float):
        return str(value)
    text = f"{value:.{digits}f}"
    return text.lstrip("-") if float(text) == 0 else text  # no negative zero


def from_csv(text: str, texts: Iterable[str] = ()) -> pd.DataFrame:
    """The frame that `to_csv` wrote; columns of numbers become floats, but for those in `texts`."""
    if not text.strip():  # a table without rows, such as the differences of a single variant
        return pd.DataFrame()
    frame = pd.read_csv(io.StringIO(text), dtype=str, keep_default_na=False)
    for name in frame.columns.difference(list(texts), sort=False):
        filled = frame[name][frame[name] != ""]
        numbers = pd.to_numeric(filled, errors="coerce")
        if len(filled) and not numbers.isna().any():
            frame[name] = pd.to_numeric(frame[name], errors="coerce").astype(float)
    return frame


def to_markdown(table: Table, footer: str = "") -> str:
    """The table as Markdown: heading, caption, rows, provenance."""
    titles = [column.title for column in table.columns]
    rows = [[_escape(cell) for cell in row] for row in [titles, *cells(table)]]
    widths = [max(3, *(len(row[i]) for row in rows)) for i in range(len(titles))]
    right = [column.kind != "text" for column in table.columns]
    rule = ["-" * (width - 1) + (":" if r else "-") for width, r in zip(widths, right, strict=True)]

    def line(row: Sequence[str]) -> str:
        padded = [
            cell.rjust(width) if r else cell.ljust(width)
            for cell, width, r in zip(row, widths, right, strict=True)
        ]
        return f"| {' | '.join(padded)} |"

    body = [line(rows[0]), line(rule), *map(line, rows[1:])]
    parts = [f"### {table.title}", table.caption, "\n".join(body)]
    if footer:
        parts.append(f"<sub>{footer}</sub>")
    return "\n\n".join(part for part in parts if part) + "\n"


def _escape(cell: str) -> str:
    return cell.replace("|", "\\|").replace("\n", " ")


def write_table(table: Table, folder: Path, provenance: dict[str, Any]) -> list[Path]:
    """Write <stem>.csv, <stem>.md and <stem>.provenance.json into `folder`; returns their paths.

    Args:
        folder: results/<profile>/tables.
        provenance: a stamp (`study.provenance.stamp`).
    """
    stem = Path(folder) / table.stem
    data, text = stem.with_name(f"{table.stem}.csv"), stem.with_name(f"{table.stem}.md")
    write_text(data, to_csv(table.frame))
    write_text(text, to_markdown(table, one_line(provenance)))
    details = {
        "title": table.title,
        "caption": table.caption,
        "columns": [asdict(column) for column in table.columns],
        "recipe": table.recipe,
    }
    return [data, text, write_provenance(stem, "table", details, [data, text], provenance)]


def read_table(stem: Path) -> Table:
    """The table that `write_table` wrote at `stem` (folder/name, without suffix).

    Raises:
        ReblurError: it is not there, or not whole.
    """
    stem = Path(stem)
    try:
        notes = stem.with_name(stem.name + SUFFIX).read_text(encoding="utf-8")
        text = stem.with_name(f"{stem.name}.csv").read_text(encoding="utf-8")
        details = json.loads(notes)["table"]
        columns = tuple(Column(**column) for column in details["columns"])
        texts = [column.key for column in columns if column.kind == "text"]
        return Table(
            stem.name,
            details["title"],
            details["caption"],
            from_csv(text, texts),
            columns,
            details["recipe"],
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ReblurError(
            f"{stem}: the table is not there or not whole ({error}); make the comparison again."
        ) from error
