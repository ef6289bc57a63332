"""Contact sheets: rows of pictures with labels, pixel for pixel, for notebooks."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

GAP = 6  # pixels between pictures
TEXT = 13  # height of the labels' letters in pixels
SMALLEST = 96  # shorter sides are enlarged towards it
LARGEST = 220  # longer sides are made smaller: a sheet is for an overview


def contact_sheet(
    rows: Sequence[Sequence[UInt8[np.ndarray, "_ _ 3"]]],
    row_labels: Sequence[str],
    column_labels: Sequence[str] = (),
) -> Image.Image:
    """One picture of rows of pictures; a label above each row, and one below each column.

    Args:
        rows: (h, w, 3) uint8 pictures of any sizes; tiny ones are enlarged by a whole factor, pixel
            by pixel, others shown at their own size or made smaller.
        row_labels: one text a row; missing ones are left out.
        column_labels: one text a column, such as the photographs' names.
    """
    shown = [[_thumbnail(picture) for picture in row] for row in rows if len(row)]
    if not shown:
        raise ValueError("a contact sheet needs at least one picture")
    columns = max(len(row) for row in shown)
    cell = max(picture.width for row in shown for picture in row)
    font = ImageFont.load_default(TEXT)
    line = TEXT + GAP
    heights = [line + max(picture.height for picture in row) for row in shown]
    below = line if column_labels else 0
    width = columns * (cell + GAP) + GAP
    sheet = Image.new("RGB", (width, sum(heights) + GAP * len(heights) + below), "white")
    draw = ImageDraw.Draw(sheet)
    top = 0
    for number, row in enumerate(shown):
        if number < len(row_labels):
            draw.text((GAP, top), row_labels[number], "black", font)
        for column, picture in enumerate(row):
            sheet.paste(picture, (GAP + column * (cell + GAP), top + line))
        top += heights[number] + GAP
    for column, text in enumerate(column_labels[:columns]):
        fitting = _cut(draw, text, font, cell)
        draw.text((GAP + column * (cell + GAP), top), fitting, "black", font)
    return sheet


def _thumbnail(picture: np.ndarray) -> Image.Image:
    image = Image.fromarray(picture)
    if (factor := SMALLEST // max(image.size)) > 1:
        image = image.resize(
            (image.width * factor, image.height * factor), Image.Resampling.NEAREST
        )
    image.thumbnail((LARGEST, LARGEST), Image.Resampling.LANCZOS)
    return image


def _cut(draw: ImageDraw.ImageDraw, text: str, font: ImageFont.FreeTypeFont, width: int) -> str:
    """The text, shortened with an ellipsis until it is at most `width` pixels wide."""
    if draw.textlength(text, font) <= width:
        return text
    while text and draw.textlength(f"{text}…", font) > width:
        text = text[:-1]
    return f"{text}…"
