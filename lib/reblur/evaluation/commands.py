"""`reblur deblur`: restore photographs on the command line."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from reblur.errors import ReblurError
from reblur.evaluation.folder_commands import add_evaluate

if TYPE_CHECKING:
    import numpy as np
    import torch


def add_commands(commands: argparse._SubParsersAction) -> None:
    """Add `deblur` and `evaluate` to the command line."""
    add_evaluate(commands)
    deblur = commands.add_parser(
        "deblur",
        help="restore photographs of any size",
        description="Restore photographs of any size. EXIF data and colour profiles are kept.",
    )
    deblur.add_argument(
        "photographs", nargs="+", type=Path, metavar="PHOTO", help="image files, or folders of them"
    )
    deblur.add_argument(
        "-o", "--output", required=True, type=Path, help="a folder, or a file for one photograph"
    )
    deblur.add_argument(
        "--weights",
        type=Path,
        help="a .safetensors file of a run (default: the best under results/)",
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


def run_deblur(arguments: argparse.Namespace) -> int:
    """Restore the photographs; 1 if any of them failed."""
    from tqdm import tqdm

    from reblur.evaluation.deblurring import deblur_files, plan_outputs
    from reblur.evaluation.tiling import plan_tiles, restore_image
    from reblur.networks import denoiser_names
    from reblur.networks.weights import load_network

    plan_tiles(1, 1, arguments.tile)  # an impossible tile is one error, not one a file
    plan = plan_outputs(arguments.photographs, arguments.output)
    device = device_of(arguments.device)
    weights = arguments.weights or _best_weights()
    network, _ = load_network(weights)
    if network.config["name"] in denoiser_names():
        raise ReblurError(
            f"{weights}: is a diffusion model, which restores nothing by itself; name the weights "
            "of a restorer, below results/<profile>/runs."
        )
    network = network.to(device)

    def say(line: str) -> None:
        tqdm.write(line, file=sys.stderr if line.startswith("reblur:") else sys.stdout)

    form = "{desc}: {percentage:3.0f}%|{bar}| {elapsed}<{remaining}"
    bar = tqdm(total=len(plan), bar_format=form, disable=None)  # None: none without a terminal

    def restore(photograph: "np.ndarray", source: Path) -> "np.ndarray":
        bar.set_description(source.name)
        before = bar.n

        def progress(done: int, total: int) -> None:
            bar.update(before + done / total - bar.n)

        return restore_image(
            network,
            photograph,
            tile=arguments.tile,
            precision=arguments.precision,
            channels_last=True,
            progress=progress,
        )

    with bar:
        failed = deblur_files(plan, restore, overwrite=arguments.overwrite, say=say)
    if failed:
        print(f"reblur: {failed} of {len(plan)} photographs failed.", file=sys.stderr)
    return 1 if failed else 0


def device_of(name: str) -> "torch.device":
    """The device of that name; "auto" is a GPU if there is one.

    Raises:
        ReblurError: no such device, or none of that kind here.
    """
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ReblurError(f"device '{name}' is not to be had here; use --device cpu.") from error
    return device


def _best_weights() -> Path:
    from reblur.datasets.catalogue.manifests import project_root
    from reblur.evaluation.deblurring import best_weights

    try:
        results = project_root() / "results"
    except ReblurError as error:
        raise ReblurError(
            "no project here to take weights from; name a file with --weights, or change into the "
            "project's folder."
        ) from error
    best = best_weights(results)
    print(f"weights: {best.path} ({best.psnr_gain:+.2f} dB over doing nothing)", file=sys.stderr)
    if best.psnr_gain <= 0:
        print(
            "reblur: warning: these weights, the best at hand, were no better than doing nothing "
            "on the study's test set; train longer, or name others with --weights.",
            file=sys.stderr,
        )
    return best.path
