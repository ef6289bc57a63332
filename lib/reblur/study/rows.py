"""A run is a row: everything that names one training, and what follows from that row.

Nothing is ever read out of a name: folder, DVC's name and label are functions of the fields.
"""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

#: The variant of the blurred input itself, which no training made; its seed is -1.
BLURRED = "blurred"


@dataclass(frozen=True)
class Run:
    """One training of one configuration with one seed.

    Attributes:
        chapter: the module of `reblur.study.chapters`: scale_recurrent, defocus, diffusion, …
        variant: an entry of the chapter's `variants` in params.yaml, or `blurred`.
        network: the name of the network (`reblur.networks`).
        seed: of the initial weights and of the training samples.
        task: the domain that is restored, where a chapter has several (superres, deblur, faces).
        level: root mean square misalignment of the training pairs in pixels.
        source: where the training pairs come from (clean, handmade, refined, oracle, …).
        t0: the step that refined pairs were noised to; "drawn" for each image.
    """

    chapter: str
    variant: str
    network: str
    seed: int
    task: str | None = None
    level: int | None = None
    source: str | None = None
    t0: int | Literal["drawn"] | None = None

    @property
    def slug(self) -> str:
        """The configuration in one word, for folders and DVC: `full-8px`, `deblur-rrdb-clean`."""
        parts = [
            self.task,
            self.variant,
            None if self.level is None else f"{self.level}px",
            self.source,
            None if self.t0 is None else f"t0_{self.t0}",
        ]
        return "-".join(part for part in parts if part is not None)

    @property
    def name(self) -> str:
        """What DVC calls the run; unique in a profile: `scale_recurrent-ss-0`."""
        return f"{self.chapter}-{self.slug}-{self.seed}"

    @property
    def folder(self) -> Path:
        """The run's folder below `results/<profile>`; the blurred input's has its scores alone."""
        if self.variant == BLURRED:
            return Path(BLURRED) / self.chapter / (self.task or "")
        return Path("runs") / self.chapter / self.slug / f"seed_{self.seed}"

    def as_dict(self) -> dict[str, Any]:
        """The fields, in the order of `RUN_FIELDS`."""
        return {name: getattr(self, name) for name in RUN_FIELDS}


#: The columns of a run in every frame, in their order.
RUN_FIELDS = ("chapter", "task", "variant", "network", "level", "source", "t0", "seed")
#: Those that name a configuration: what a table compares, over its seeds.
CONFIGURATION_FIELDS = RUN_FIELDS[:-1]

assert {field.name for field in fields(Run)} == set(RUN_FIELDS)


def blurred_input(chapter: str, task: str | None = None) -> Run:
    """The row of the blurred input itself: what every restorer is measured against."""
    return Run(chapter, BLURRED, "none", -1, task)
