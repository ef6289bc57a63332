"""Contact sheets show every picture once: tiny ones enlarged, small ones pixel for pixel."""

import numpy as np
import pytest

from reblur.study.analysis.sheets import GAP, LARGEST, TEXT, contact_sheet


def picture(height, width, colour):
    return np.full((height, width, 3), colour, np.uint8)


def test_pictures_stand_side_by_side_below_their_label():
    sheet = np.asarray(contact_sheet([[picture(60, 70, 10), picture(60, 70, 99)]], ["row"]))
    top = TEXT + GAP
    assert (sheet[top : top + 60, GAP : GAP + 70] == 10).all()
    assert (sheet[top : top + 60, 2 * GAP + 70 : 2 * GAP + 140] == 99).all()


def test_a_tiny_picture_is_enlarged_pixel_by_pixel():
    tiny = np.arange(20 * 30 * 3, dtype=np.uint8).reshape(20, 30, 3)
    sheet = np.asarray(contact_sheet([[tiny]], ["row"]))
    shown = sheet[TEXT + GAP : TEXT + GAP + 60, GAP : GAP + 90]
    assert (shown == tiny.repeat(3, 0).repeat(3, 1)).all()


def test_large_pictures_are_made_smaller_and_rows_may_differ_in_length():
    rows = [[picture(600, 900, 1)], [picture(8, 8, 2), picture(8, 8, 3)]]
    sheet = contact_sheet(rows, ["large", "small"], ["a very long name " * 20, "b"])
    assert sheet.width == 2 * (LARGEST + GAP) + GAP


def test_nothing_to_show_is_refused():
    with pytest.raises(ValueError, match="at least one picture"):
        contact_sheet([[]], [])
