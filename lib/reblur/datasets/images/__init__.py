"""Image files: read and written by one door, single or in pairs."""

from reblur.datasets.images.files import read_image, read_image_16, read_photograph, write_image

__all__ = ["read_image", "read_image_16", "read_photograph", "write_image"]
