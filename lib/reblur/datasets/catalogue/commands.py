"""`reblur data list · show · add · fetch · verify`."""

import argparse
import sys
import textwrap
from pathlib import Path

from reblur.datasets.catalogue.manifest_schema import ByHand, Manifest, Pypi
from reblur.datasets.catalogue.manifests import (
    candidates,
    data_root,
    home,
    load_manifest,
    manifest_hash,
    manifest_names,
    present,
)
from reblur.errors import ReblurError

# Addresses and file names stay in one piece.
WRAPPED = {"break_long_words": False, "break_on_hyphens": False}


def add_commands(commands: argparse._SubParsersAction) -> None:
    """Add `data` and its sub-commands to the command line."""
    data = commands.add_parser("data", help="what data there are; fetch and verify them")
    actions = data.add_subparsers(required=True, metavar="action")

    listing = actions.add_parser("list", help="every data set: here or missing, size, licence")
    listing.set_defaults(run=run_list)

    show = actions.add_parser("show", help="one data set: source, licence, layout, splits")
    show.add_argument("name")
    show.set_defaults(run=run_show)

    credits = actions.add_parser(
        "attribution", help="print the page that credits every data set (docs/attribution.md)"
    )
    credits.set_defaults(run=run_attribution)

    add = actions.add_parser("add", help="record a folder of your own pairs, after a look at them")
    add.add_argument("folder", type=Path, metavar="FOLDER", help="blur/ and sharp/, GoPro's tree …")
    add.add_argument("--name", required=True, help="what to call it: small letters, digits, '_'")
    add.add_argument(
        "--blurred", help="which blurred folders, where there are several (blur_gamma, say)"
    )
    add.set_defaults(run=run_add)

    fetch = actions.add_parser("fetch", help="bring data sets here, checked")
    fetch.add_argument("names", nargs="+", metavar="NAME")
    fetch.set_defaults(run=run_fetch)

    verify = actions.add_parser("verify", help="recompute checksums (default: of all that is here)")
    verify.add_argument("names", nargs="*", metavar="NAME")
    verify.set_defaults(run=run_verify)


def run_list(arguments: argparse.Namespace) -> int:
    from reblur.datasets.images.own_sets import own_folder, own_names

    rows = [("name", "here", "size", "licence", "commercial use", "source")]
    for name in manifest_names():
        manifest = load_manifest(name)
        size = manifest.total_bytes()
        rows.append(
            (
                name,
                here(manifest),
                "?" if size is None else human_size(size),
                manifest.licence.name,
                commercial_use(manifest),
                manifest.source.kind.replace("_", " "),
            )
        )
    for name in own_names():
        folder = own_folder(name)
        rows.append((name, "yes" if folder.is_dir() else "no", "?", "your own", "?", str(folder)))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        )
    print(f"\nData stand under {data_root()} (REBLUR_DATA). One of them: reblur data show NAME")
    return 0


def run_add(arguments: argparse.Namespace) -> int:
    from reblur.datasets.catalogue.own_commands import run_add

    return run_add(arguments)


def run_show(arguments: argparse.Namespace) -> int:
    from reblur.datasets.images.own_sets import own_names

    if arguments.name in own_names():
        from reblur.datasets.catalogue.own_commands import show_own

        _print_fields(show_own(arguments.name))
        return 0
    manifest = load_manifest(arguments.name)
    source = manifest.source
    size = manifest.total_bytes()
    lines = [
        ("name", manifest.name),
        ("title", manifest.title),
        ("what it is", manifest.description),
        ("homepage", manifest.homepage),
        ("licence", " ".join(filter(None, (manifest.licence.name, manifest.licence.url)))),
        ("commercial use", commercial_use(manifest)),
        ("shown in pages", "yes" if manifest.licence.redistribute else "no"),
        ("layout", manifest.layout),
        ("files", f"{len(manifest.files) or 'not listed'}"),
        ("size", "not known" if size is None else human_size(size)),
        ("here", here(manifest)),
        ("folder", str(home(manifest))),
        ("source", source.kind.replace("_", " ")),
    ]
    if isinstance(source, ByHand):
        lines += [("page", source.page), ("how", source.instructions)]
        lines += [("expected", f"{part.count} × {part.pattern}") for part in source.expected]
    elif isinstance(source, Pypi):
        lines.append(("distribution", f"{source.filename}, {human_size(source.bytes)}"))
    for split in manifest.split_names():
        if manifest.files:
            files = [file for file in manifest.files if file.split == split]
            scenes = dict.fromkeys(file.scene for file in files)
            told = f"{len(files)} files of {len(scenes)} scenes: {', '.join(scenes)}"
        else:
            told = ", ".join(manifest.splits[split])
        lines.append((f"split {split}", told))
    lines.append(("manifest hash", manifest_hash(manifest)))
    _print_fields(lines)
    return 0


def _print_fields(lines: list[tuple[str, str]]) -> None:
    width = max(len(label) for label, _ in lines)
    for label, text in lines:
        print(
            textwrap.fill(
                f"{label.ljust(width)}  {text}", 100, **WRAPPED, subsequent_indent=" " * (width + 2)
            )
        )


def run_fetch(arguments: argparse.Namespace) -> int:
    from reblur.datasets.catalogue.fetching import fetch

    failed = 0
    for name in arguments.names:
        try:
            print(f"{name}: here, in {fetch(name)}")
        except ReblurError as error:  # the other sets may well be had
            print(f"reblur: {error}", file=sys.stderr)
            failed += 1
    return 2 if failed else 0


def run_verify(arguments: argparse.Namespace) -> int:
    from reblur.datasets.catalogue.fetching import verify
    from reblur.datasets.images.own_sets import own_names

    wrong = 0
    for name in arguments.names or [*manifest_names(), *own_names()]:
        if name in own_names():
            wrong += _verify_own(name)
            continue
        manifest = load_manifest(name)
        if not arguments.names and here(manifest) == "no":
            print(f"{name}: not here")
            continue
        problems = verify(name)
        for problem in problems:
            print(f"{name}: {problem}")
        if not problems:
            whole = f"all {len(manifest.files)} checksums match" if manifest.files else "complete"
            print(f"{name}: {whole}")
        wrong += len(problems)
    return 1 if wrong else 0


def _verify_own(name: str) -> int:
    from reblur.datasets.catalogue.own_commands import verify_own

    problems = verify_own(name)
    for problem in problems:
        print(f"{name}: {problem}")
    if not problems:
        print(f"{name}: every pair is sound, and every file as it was recorded")
    return len(problems)


def here(manifest: Manifest) -> str:
    """ "yes", "no", or how many of the files are here."""
    try:
        counts = [present(manifest, folder) for folder in candidates(manifest)]
    except ReblurError:  # the package that holds the files is not installed
        return "no"
    found, total = max(counts)
    if found == total:
        return "yes"
    return f"{found} of {total} files" if found else "no"


def run_attribution(arguments: argparse.Namespace) -> int:
    print(attribution())
    return 0


def attribution() -> str:
    """The page that credits every data set, in Markdown, made from the manifests."""
    lines = [
        "# Data sets and their licences",
        "",
        "Made from `data_manifests/` by `reblur data attribution`; do not edit. Pictures of a set "
        "stand in committed pages and figures only where the last column says so. Weights name in "
        "their metadata the sets that they were trained on, and whether those allow commercial "
        "use.",
        "",
        "| data set | what it is | licence | commercial use | shown in pages |",
        "|---|---|---|---|---|",
    ]
    for name in manifest_names():
        about = load_manifest(name)
        licence = about.licence
        named = f"[{licence.name}]({licence.url})" if licence.url else licence.name
        title = f"[{about.title}]({about.homepage})"
        cells = [f"`{name}`", title, named, commercial_use(about)]
        lines.append(f"| {' | '.join(cells)} | {'yes' if licence.redistribute else 'no'} |")
    return "\n".join(lines)


def commercial_use(manifest: Manifest) -> str:
    """ "yes", "no" or "unknown"."""
    return {True: "yes", False: "no"}.get(manifest.licence.commercial_use, "unknown")


def human_size(count: int) -> str:
    """Bytes in decimal units: 4.6 MB."""
    size = float(count)
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"
