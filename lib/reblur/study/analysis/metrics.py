"""The numbers that `dvc metrics show` and `dvc exp show` list."""

from pathlib import Path

import numpy as np
import pandas as pd

from reblur.files import write_json
from reblur.study.rows import CONFIGURATION_FIELDS, Run

#: What is kept of each configuration on each test set; in dB.
KEPT = {"psnr": "mean", "gain": "gain", "low": "gain_low", "high": "gain_high"}


def write_metrics(summary: pd.DataFrame, path: Path) -> None:
    """Write PSNR, and its gain with the ends of the interval, of every configuration and test set.

    A flat JSON object, `<slug>.<test set>.gain` → dB with four digits, without what was not run.

    Args:
        summary: `summarise`.
    """
    found = {}
    for row in summary[summary["metric"] == "psnr"].to_dict("records"):
        fields = {key: None if pd.isna(row[key]) else row[key] for key in CONFIGURATION_FIELDS}
        name = f"{Run(seed=-1, **fields).slug}.{row['dataset']}"
        known = {key: row[column] for key, column in KEPT.items() if np.isfinite(row[column])}
        found |= {f"{name}.{key}": round(float(value), 4) for key, value in known.items()}
    write_json(path, found)
