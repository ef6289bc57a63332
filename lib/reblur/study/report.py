"""The report: one self-contained page, put together from the tables and figures on disk.

Nothing is computed here. What a chapter's sections name and what is not there is shown as missing.
"""

import base64
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from typing import Any

from reblur.errors import ReblurError
from reblur.files import write_text
from reblur.study.params import chapters_of, profile_of, run_folder, runs_of
from reblur.study.provenance import SUFFIX, one_line, stamp, write_provenance
from reblur.study.results import NO_EVIDENCE, RUN_KEYS, read_run
from reblur.study.tables import MISSING, NOT_AVAILABLE, Table, cells, is_absent, read_table

VERDICTS = {"holds": "holds", "does not hold": "fails", "cannot tell": "unknown"}
ANSWERS = {"holds": "Yes", "does not hold": "No", "cannot tell": "Cannot tell"}
_PNG_LIMIT = 300_000  # bytes; larger pictures are photographs and are embedded as JPEG


@dataclass(frozen=True)
class Section:
    """A section of the page; `items` are stems below results/<profile>: "tables/ablation"."""

    key: str
    title: str
    text: str
    items: tuple[str, ...]


def write_report(project: Path, profile: str, params: Mapping[str, Any]) -> Path:
    """Write results/<profile>/report/index.html and its provenance; returns the page's path.

    Args:
        project: the project's root.
        params: the whole of params.yaml.

    Raises:
        ReblurError: the profile has no results at all.
    """
    root = Path(project) / "results" / profile
    if not (root / "tables").is_dir():
        raise ReblurError(
            f"{root / 'tables'}: there are no results of profile {profile!r}; make them with "
            f"'make study PROFILE={profile}'."
        )
    section = profile_of(dict(params), profile)
    runs = [(run.arm, run.seed) for run in runs_of(dict(params), profile)]
    chapters, sources = _chapters(root, chapters_of(dict(params), profile))
    made = stamp(profile, {}, _data_hashes(root), sources, root)
    page = render(
        profile=profile,
        evidence=bool(section.get("evidence", False)),
        chapters=chapters,
        runs=_runs(root, runs),
        made=made,
    )
    path = root / "report" / "index.html"
    write_text(path, page)
    write_provenance(path.with_suffix(""), "report", {"title": "Reblur"}, [path], made)
    return path


def render(
    *,
    profile: str,
    evidence: bool,
    chapters: Sequence[Mapping[str, Any]],
    runs: Sequence[Mapping[str, Any]],
    made: dict[str, Any],
) -> str:
    """The page as HTML, from plain values; everything but our own style and script is escaped."""
    from jinja2 import Environment, StrictUndefined

    folder = files("reblur.study") / "templates"
    texts = {
        name: (folder / name).read_text(encoding="utf-8")
        for name in ("index.html", "page.css", "page.js")
    }
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(texts["index.html"]).render(
        profile=profile,
        evidence=evidence,
        chapters=chapters,
        runs=runs,
        missing=[run for run in runs if run["status"] == MISSING],
        answers=[item for chapter in chapters for item in chapter["answers"]],
        stamp=made,
        stamp_line=one_line(made),
        style=texts["page.css"],
        script=texts["page.js"],
    )


def _chapters(root: Path, names: Sequence[str]) -> tuple[list[dict[str, Any]], list[Path]]:
    """The chapters as the template wants them, and the files that were read."""
    chapters, sources = [], []
    for name in names:
        module = import_module(f"reblur.study.{name}")
        sections = []
        for section in module.SECTIONS:
            items = [_item(root, item, sources) for item in section.items]
            sections.append(
                {"id": section.key, "title": section.title, "text": section.text, "items": items}
            )
        claims = [item for s in sections for item in s["items"] if item["kind"] == "claims"]
        answers = [claim for item in claims for claim in item["claims"] if claim["question"]]
        chapters.append(
            {
                "id": name,
                "title": module.TITLE,
                "question": module.QUESTION,
                "sections": sections,
                "answers": answers,
            }
        )
    return chapters, sources


def _item(root: Path, name: str, sources: list[Path]) -> dict[str, Any]:
    """A table, a figure, the claims or the slider; or the word that it is missing."""
    stem = root / name
    notes = stem.with_name(stem.name + SUFFIX)
    if not notes.exists():
        return {"kind": "missing", "name": name}
    sources.append(notes)
    if name.startswith("tables/"):
        sources.append(stem.with_name(f"{stem.name}.csv"))
        table = read_table(stem)
        return _claims(table) if "verdict" in table.frame else table_item(table)
    details = json.loads(notes.read_text(encoding="utf-8"))
    if details["kind"] == "slider":
        return _slider(stem.parent, details["slider"]["examples"], sources)
    path = stem.with_name(f"{stem.name}.png")
    sources.append(path)
    source, size = _embedded_picture(path)
    shown = details["figure"] | {"caption": _caption(details["figure"]["caption"])}
    return {"kind": "figure", "src": source, "size": size, **shown}


def _caption(text: str) -> str:
    """A caption without the warning that the page's banner gives once."""
    return NO_EVIDENCE.sub("", text)


def table_item(table: Table) -> dict[str, Any]:
    """A table for the template: heads and rows of cells with what to sort by."""
    head = [
        {"title": c.title, "paper": c.group == "paper", "number": c.kind != "text"}
        for c in table.columns
    ]
    rows = []
    for values, texts in zip(table.frame.to_dict(orient="records"), cells(table), strict=True):
        row = []
        for column, text in zip(table.columns, texts, strict=True):
            value = values.get(column.key)
            absent = is_absent(value) or text in (MISSING, NOT_AVAILABLE)
            row.append({"text": text, "sort": "" if absent else value, "absent": absent})
        rows.append(row)
    return {
        "kind": "table",
        "id": table.stem,
        "title": table.title,
        "caption": _caption(table.caption),
        "head": head,
        "rows": rows,
    }


def _claims(table: Table) -> dict[str, Any]:
    claims = [
        {
            "text": row["text"],
            "verdict": row["verdict"],
            "style": VERDICTS[row["verdict"]],
            "answer": ANSWERS[row["verdict"]],
            "evidence": row["evidence"].split("; "),
            "reason": row["reason"],
            "source": row["source"],
            "question": row["question"],
        }
        for row in table.frame.to_dict(orient="records")
    ]
    return {"kind": "claims", "claims": claims, "caption": _caption(table.caption)}


def _slider(folder: Path, examples: list[dict[str, Any]], sources: list[Path]) -> dict[str, Any]:
    for example in examples:
        for view in example["views"]:
            path = folder / view["file"]
            sources.append(path)
            view["src"] = _data_uri(path.read_bytes(), "jpeg")
    return {"kind": "slider", "examples": examples}


def _embedded_picture(path: Path) -> tuple[str, tuple[int, int]]:
    """(data URI, (width, height)) of a PNG; large ones as JPEG."""
    from PIL import Image

    data = path.read_bytes()
    with Image.open(io.BytesIO(data)) as picture:
        size = picture.size
        if len(data) <= _PNG_LIMIT:
            return _data_uri(data, "png"), size
        stream = io.BytesIO()
        picture.convert("RGB").save(stream, "JPEG", quality=88, subsampling=0)
    return _data_uri(stream.getvalue(), "jpeg"), size


def _data_uri(data: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def _runs(root: Path, runs: Sequence[tuple[str, int]]) -> list[dict[str, Any]]:
    """A row a run for the provenance block."""
    rows = []
    for variant, seed in runs:
        folder = run_folder(root, variant, seed)
        row: dict[str, Any] = {"name": f"{variant}-{seed}", "status": MISSING}
        if (folder / "run.json").exists():
            facts = read_run(folder)
            made = facts.get("provenance", {})
            code = made.get("code", {})
            row |= {key: facts[key] for key in RUN_KEYS}
            row |= {
                "status": "done" if (folder / "scores.csv").exists() else "not evaluated",
                "commit": code.get("commit", "unknown")[:10],
                "dirty": bool(code.get("dirty")),
                "device": made.get("machine", {}).get("device", "unknown"),
            }
        rows.append(row)
    return rows


def _data_hashes(root: Path) -> dict[str, str]:
    """The data of the tables' own stamps, which the page passes on."""
    hashes: dict[str, str] = {}
    for path in sorted((root / "tables").glob(f"*{SUFFIX}")):
        hashes |= json.loads(path.read_text(encoding="utf-8"))["stamp"]["data"]
    return hashes
