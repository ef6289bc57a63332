"""`reblur deblur` and `reblur app`: restore photographs, on the command line or on a page."""

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from reblur.errors import ReblurError

if TYPE_CHECKING:
    from torch import nn


def add_commands(commands: argparse._SubParsersAction) -> None:
    """Add `app` and `deblur` to the command line."""
    _add_app(commands)
    deblur = commands.add_parser(
        "deblur",
        help="restore photographs",
        description="Restore photographs, of up to 500 megapixels, with their EXIF data, XMP and "
        "colour profile.",
    )
    deblur.add_argument(
        "photographs", nargs="+", type=Path, metavar="PHOTO", help="image files, or folders of them"
    )
    deblur.add_argument(
        "-o", "--output", required=True, type=Path, help="a folder, or a file for one photograph"
    )
    deblur.add_argument(
        "--task",
        default="motion",
        help="the blur to remove: motion (default), defocus, or another task of params.yaml",
    )
    deblur.add_argument(
        "--weights",
        type=Path,
        help="a .safetensors file of a run (default: those that params.yaml's rule chooses)",
    )
    deblur.add_argument(
        "--bits", type=int, choices=(8, 16), default=8, help="of the results; 16: PNG or TIFF"
    )
    deblur.add_argument(
        "--compare", type=Path, metavar="PAGE", help="write an HTML page with before/after sliders"
    )
    deblur.add_argument(
        "--tile", type=int, help="largest side of a tile in pixels; smaller needs less memory"
    )
    deblur.add_argument(
        "--device", default="auto", help="auto (a GPU if there is one), cpu, cuda, cuda:1 …"
    )
    deblur.add_argument(
        "--precision",
        choices=("fp32", "bf16"),
        default="fp32",
        help="bf16: faster where the processor has units for it, up to half a grey level off",
    )
    deblur.add_argument("--overwrite", action="store_true", help="replace results that are there")
    deblur.set_defaults(run=run_deblur)


def _add_app(commands: argparse._SubParsersAction) -> None:
    app = commands.add_parser(
        "app",
        help="restore photographs on a page in the browser",
        description="A page on which photographs are restored, for this machine alone. Photographs "
        "and results are removed when it ends; download what is to stay.",
    )
    app.add_argument("--weights", type=Path, help="a .safetensors file to choose from, too")
    app.add_argument("--device", default="auto", help="auto (a GPU if there is one), cpu, cuda …")
    app.add_argument("--port", type=int, default=8765, help="default 8765; 0: any free one")
    app.add_argument("--no-browser", action="store_true", help="do not open a browser")
    app.set_defaults(run=_run_app)


def _run_app(arguments: argparse.Namespace) -> int:
    from reblur.app import run_app

    return run_app(arguments)


def run_deblur(arguments: argparse.Namespace) -> int:
    """Restore the photographs; 1 if any of them failed."""
    import time

    from tqdm import tqdm

    from reblur.evaluation.before_after import Page
    from reblur.evaluation.deblurring import (
        Restored,
        deblur_files,
        passed_over,
        plan_outputs,
        restore_file,
    )
    from reblur.evaluation.tiling import plan_tiles

    plan_tiles(1, 1, arguments.tile)  # an impossible tile is one error, not one a file
    plan = plan_outputs(arguments.photographs, arguments.output, arguments.bits)
    for folder in filter(Path.is_dir, arguments.photographs):
        if others := passed_over(folder):
            print(f"{folder}: passed over {others}", file=sys.stderr)
    network = _network(arguments)
    page = Page() if arguments.compare else None
    form = "{desc}{percentage:3.0f}%|{bar}| {n_fmt} of {total_fmt} tiles, {remaining} left"
    tiles = {source: _tiles(source, arguments.tile) for source, _ in plan}
    bar = tqdm(total=sum(tiles.values()), bar_format=form, disable=None)  # None: in a terminal
    start, before = time.monotonic(), 0
    say = _speaker()

    def restore(source: Path) -> Restored:
        bar.set_description(source.name)

        def progress(done: int, total: int) -> None:
            bar.total += total - tiles[source]
            tiles[source] = total
            bar.update(before + done - bar.n)

        return restore_file(
            source,
            network,
            tile=arguments.tile,
            precision=arguments.precision,
            bits=arguments.bits,
            progress=progress,
        )

    def done(source: Path, target: Path, restored: Restored | None) -> None:
        nonlocal before
        before += tiles[source]
        bar.update(before - bar.n)
        if page is not None and restored is not None:
            page.add(source.name, restored)

    with bar:
        account = deblur_files(plan, restore, overwrite=arguments.overwrite, say=say, done=done)
    if page is not None:
        page.write(arguments.compare)
        say(f"{arguments.compare}")
    others = [f"{account.failed} failed"] if account.failed else []
    others += [f"{account.left_alone} left alone"] if account.left_alone else []
    print(
        f"restored {account.restored} of {len(plan)} photographs"
        + (f" ({', '.join(others)})" if others else "")
        + f", {account.megapixels:.1f} megapixels in {time.monotonic() - start:.1f} s",
        file=sys.stderr,
    )
    return 1 if account.failed else 0


def _network(arguments: argparse.Namespace) -> "nn.Module":
    """The network that restores, on its device; which weights they are is told."""
    from reblur.evaluation.deblurring import device_of
    from reblur.study.weights import describe, load_restorer, weights_for

    device = device_of(arguments.device)
    if arguments.weights:
        weights = describe(arguments.weights)
    else:
        weights = weights_for(arguments.task, _project())
    network = load_restorer(weights.path)
    print(weights, file=sys.stderr)
    worse = [name for name, gain in weights.gains.items() if gain <= 0]
    if worse:
        print(
            f"reblur: warning: on {', '.join(worse)} the blurred input was as good or better; "
            "train longer, or name others with --weights.",
            file=sys.stderr,
        )
    return network.to(device)


def _tiles(source: Path, tile: int | None) -> int:
    """How many tiles a file has by its header; 1 where that says nothing."""
    from PIL import Image

    from reblur.evaluation.tiling import plan_tiles

    try:
        with Image.open(source) as image:
            rows, columns = plan_tiles(image.height, image.width, tile)
    except Exception:  # told when its turn comes
        return 1
    return rows.count * columns.count


def _speaker() -> Callable[[str], None]:
    """Prints errors to stderr and the rest to stdout, as long as somebody reads there."""
    from tqdm import tqdm

    def say(line: str) -> None:
        try:
            tqdm.write(line, file=sys.stderr if line.startswith("reblur:") else sys.stdout)
            sys.stdout.flush()
        except BrokenPipeError:  # `| head`: the photographs are restored all the same
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

    return say


def _project() -> Path:
    from reblur.datasets.catalogue.manifests import project_root

    try:
        return project_root()
    except ReblurError as error:
        raise ReblurError(
            "no project here to take weights from; name a file with --weights, or change into the "
            "project's folder."
        ) from error
