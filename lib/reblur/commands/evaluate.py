"""`reblur evaluate`: scores of a network, or of images restored elsewhere, on folders."""

import argparse
import sys
from pathlib import Path

from reblur.errors import ReblurError


def add_commands(commands: argparse._SubParsersAction) -> None:
    """Add `evaluate` to the command line."""
    evaluate = commands.add_parser(
        "evaluate",
        help="score restorations against sharp images",
        description="Score a network, or images restored elsewhere, against sharp images: a CSV "
        "with a row an image, and the means with the names of their conventions.",
    )
    restored = evaluate.add_mutually_exclusive_group(required=True)
    restored.add_argument("--weights", type=Path, help="a .safetensors file; restores --input")
    restored.add_argument(
        "--restored", type=Path, metavar="DIR", help="images that were restored elsewhere"
    )
    evaluate.add_argument("--target", type=Path, metavar="DIR", help="the sharp images")
    evaluate.add_argument("--input", type=Path, metavar="DIR", help="the blurred images")
    evaluate.add_argument(
        "--pairs",
        metavar="NAME",
        help="in place of both: the test part of a folder of pairs, or of one added by 'data add'",
    )
    evaluate.add_argument(
        "--protocol",
        default="raw",
        choices=("raw", "homography", "to_input", "to_output"),
        help="for pairs that are not aligned (default: raw, pixel by pixel)",
    )
    evaluate.add_argument("-o", "--output", type=Path, help="a folder for the two CSV files")
    evaluate.add_argument("--tile", type=int, help="largest side of a tile in pixels")
    evaluate.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1 …")
    evaluate.set_defaults(run=run_evaluate)


def run_evaluate(arguments: argparse.Namespace) -> int:
    """Score the images; 1 if any of them failed."""
    from tqdm import tqdm

    from reblur.evaluation.deblurring import device_of
    from reblur.evaluation.folders import (
        PROTOCOLS,
        score_folders,
        summarise,
        write_folder_scores,
    )
    from reblur.evaluation.scoring import restorer_of
    from reblur.evaluation.tiling import plan_tiles
    from reblur.study.weights import load_restorer

    plan_tiles(1, 1, arguments.tile)  # an impossible tile is one error, not one an image
    out = arguments.output
    if out is not None and (out.suffix == ".csv" or (out.exists() and not out.is_dir())):
        raise ReblurError(
            f"{out}: is no name of a folder; name one for scores.csv and summary.csv."
        )
    images = _images(arguments)
    device, restorer = device_of(arguments.device), None
    if arguments.weights is not None:
        network = load_restorer(arguments.weights)
        restorer = restorer_of(network.to(device), tile=arguments.tile, channels_last=True)
    scores = score_folders(
        images,
        restorer,
        protocol=arguments.protocol,
        device=device,
        say=lambda line: tqdm.write(line, file=sys.stderr),
    )
    if scores.empty:
        raise ReblurError("none of the images could be scored; mend what is named above.")
    summary = summarise(scores)
    print(f"{len(scores)} of {len(images)} images; {PROTOCOLS[arguments.protocol]}")
    for row in summary.itertuples():
        gain = "" if row.gain != row.gain else f" (input {row.input_mean:.4f}, {row.gain:+.4f})"
        left = f"; {row.infinite} equal their target and are left out" if row.infinite else ""
        print(f"{row.metric:12} {row.mean:.4f}{gain} over {row.images} images{left}")
        print(f"{'':12} {row.convention}")
    if arguments.protocol == "raw" and "lpips" not in scores:
        print(f"{'lpips':12} not available; 'reblur data fetch lpips_alexnet' brings its network")
    if out is not None:
        write_folder_scores(scores, summary, out)
        print(f"written: {out / 'scores.csv'}, {out / 'summary.csv'}")
    return 1 if len(scores) < len(images) else 0


def _images(arguments: argparse.Namespace) -> list:
    from reblur.datasets.images.own_sets import open_own
    from reblur.evaluation.folders import Images, images_of

    if arguments.pairs is not None:
        if arguments.input or arguments.target or arguments.restored:
            raise ReblurError("--pairs names both sides and needs --weights; leave the others out.")
        files = open_own(arguments.pairs, "test").files
        return [Images(pair.name, pair.sharp, input=pair.blurred) for pair in files]
    if arguments.target is None or (arguments.weights and arguments.input is None):
        raise ReblurError("name the folders: --target, and with --weights --input too.")
    return images_of(arguments.target, input=arguments.input, restored=arguments.restored)
