"""One training loop for all chapters: mixed precision, averaging, exact resume, many GPUs."""

from reblur.training.loop import TrainingResult, train
from reblur.training.options import TrainingOptions, learning_rate
from reblur.training.progress import LiveCurve

__all__ = ["LiveCurve", "TrainingOptions", "TrainingResult", "learning_rate", "train"]
