"""Contact sheets show every picture once, unscaled where it is small."""

import numpy as np
import pytest

from reblur.study.sheets import GAP, LARGEST, TEXT, contact_sheet


def picture(height, width, colour):
    return np.full((height, width, 3), colour, np.uint8)


def test_pictures_stand_side_by_side_below_their_label():
    sheet = np.asarray(contact_sheet([[picture(20, 30, 10), picture(20, 30, 99)]], ["row"]))
    top = TEXT + GAP
    assert (sheet[top : top + 20, GAP : GAP + 30] == 10).all()
    assert (sheet[top : top + 20, 2 * GAP + 30 : 2 * GAP + 60] == 99).all()


def test_large_pictures_are_made_smaller_and_rows_may_differ_in_length():
    rows = [[picture(600, 900, 1)], [picture(8, 8, 2), picture(8, 8, 3)]]
    sheet = contact_sheet(rows, ["large", "small"], ["a very long name " * 20, "b"])
    assert sheet.width == 2 * (LARGEST + GAP) + GAP


def test_nothing_to_show_is_refused():
    with pytest.raises(ValueError, match="at least one picture"):
        contact_sheet([[]], [])
