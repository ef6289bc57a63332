"""Reblur: a reproducible study of image deblurring."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("reblur")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+unknown"
