"""Means over steps, and CSV files that grow by a row and that a resumed training takes up again."""

import errno
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import torch
from torch import Tensor

from reblur.errors import ReblurError
from reblur.files import write_text

Row: TypeAlias = dict[str, int | float]


class Record:
    """The rows of a CSV file, in memory and on the disk; without a path in memory only.

    The columns are those of all rows, in the order of their first appearance. Numbers are written
    with nine significant digits, which name a float32 exactly.
    """

    def __init__(self, path: Path | None, rows: Sequence[Mapping[str, int | float]] = ()) -> None:
        self.path = path
        self.rows: list[Row] = [dict(row) for row in rows]
        self._columns = list(dict.fromkeys(name for row in self.rows for name in row))
        if path is not None and self.rows:
            self._write_all()
        elif path is not None:
            path.unlink(missing_ok=True)  # rows of a run that was killed before its first state

    def append(self, row: Mapping[str, int | float]) -> None:
        """Add a row.

        Raises:
            ReblurError: the disk is full.
        """
        self.rows.append(dict(row))
        new = [name for name in row if name not in self._columns]
        self._columns += new
        if self.path is None:
            return
        if new:
            self._write_all()
            return
        try:
            with self.path.open("a", encoding="utf-8", newline="\n") as stream:
                stream.write(self._line(self.rows[-1]))
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise ReblurError(
                    f"{self.path}: the disk is full; free some space and run again, the training "
                    "goes on from its last saved state."
                ) from error
            raise

    def _write_all(self) -> None:
        assert self.path is not None
        header = ",".join(self._columns) + "\n"
        write_text(self.path, header + "".join(self._line(row) for row in self.rows))

    def _line(self, row: Row) -> str:
        cells = (row.get(name, "") for name in self._columns)
        return ",".join(f"{c:.9g}" if isinstance(c, float) else str(c) for c in cells) + "\n"


class Means:
    """Means of scalars over steps, added up on their device: reading them waits for it, once."""

    def __init__(
        self, sums: dict[str, Tensor] | None = None, counts: dict[str, int] | None = None
    ) -> None:
        self.sums, self.counts = dict(sums or {}), dict(counts or {})

    def add(self, figures: Mapping[str, Tensor]) -> None:
        """Take in the scalars of one step; a name may be missing at some steps."""
        for name, value in figures.items():
            self.sums[name] = self.sums[name] + value if name in self.sums else value
            self.counts[name] = self.counts.get(name, 0) + 1

    def take(self, over_processes: Callable[[Tensor], Tensor]) -> dict[str, float]:
        """The means by name, and a fresh start."""
        names = list(self.sums)
        means = torch.stack([self.sums[name] / self.counts[name] for name in names])
        self.sums, self.counts = {}, {}
        return dict(zip(names, over_processes(means).tolist(), strict=True))
