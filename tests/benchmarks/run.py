"""`make bench`: every speed claim as a ratio, both sides measured in one run on this machine."""

import importlib.util
import platform
import sys
from pathlib import Path

import torch


def main() -> int:
    """Run every bench_*.py beside this file (or those named) and print one table."""
    wanted = set(sys.argv[1:])
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {platform.machine()}")
    print(f"{'what':52} {'ours':>11} {'reference':>11} {'unit':10} {'ratio':>7}  note")
    for path in sorted(Path(__file__).parent.glob("bench_*.py")):
        if wanted and path.stem.removeprefix("bench_") not in wanted:
            continue
        specification = importlib.util.spec_from_file_location(path.stem, path)
        module = importlib.util.module_from_spec(specification)
        # Registered first: a benchmark may start child processes that import it by name.
        sys.modules[path.stem] = module
        specification.loader.exec_module(module)
        for row in module.run():
            print(
                f"{row['name']:52} {row['ours']:11.4g} {row['reference']:11.4g} "
                f"{row['unit']:10} {row['ratio']:7.2f}  {row['note']}",
                flush=True,
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
