"""Pictures: pixel for pixel, chosen by rules, a slider that stands on its own."""

import base64
import io
import json
import re

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from made_results import runs_of, write_study
from reblur.errors import ReblurError
from reblur.study.analysis.pictures import (
    GAP,
    LETTERS,
    WIDEST,
    Cell,
    contact_sheet,
    crop_window,
    crops,
    map_cell,
    panel,
    pick,
    slider,
)
from reblur.study.analysis.scores import matching, read_scores

SHARP = np.random.default_rng(0).integers(0, 256, (120, 160, 3), dtype=np.uint8)
BLURRED = gaussian_filter(SHARP, (2, 2, 0))


def test_a_crop_stands_in_the_panel_pixel_for_pixel():
    row = crops(BLURRED, SHARP, {"SS": BLURRED}, {"blurred input": 21.5, "SS": 22.25}, side=100)
    top, left = crop_window(BLURRED, SHARP, 100)
    made = panel([row], key="panel", title="Panel", side=160)
    pixels = np.asarray(made.image)
    x = 160 + GAP
    for picture in (BLURRED, BLURRED, SHARP):
        crop = picture[top : top + 100, left : left + 100]
        np.testing.assert_array_equal(pixels[:100, x : x + 100], crop)
        x += 100 + GAP
    assert [cell.text for cell in row] == [
        "", "blurred input\n21.50 dB", "SS\n22.25 dB", "sharp",
    ]  # fmt: skip


def test_small_pictures_are_enlarged_by_whole_factors_and_large_ones_made_smaller():
    made = panel([[Cell(SHARP[:20, :30]), Cell(np.zeros((400, 800, 3), np.uint8))]],
                 key="k", title="t", side=100)  # fmt: skip
    assert made.image.size == (90 + 100 + 2 * GAP, 60 + GAP)
    np.testing.assert_array_equal(np.asarray(made.image)[:60:3, :90:3], SHARP[:20, :30])


def test_a_contact_sheet_names_its_rows_and_columns():
    rows = [[SHARP, SHARP], [BLURRED, SHARP[:20, :30]]]
    made = contact_sheet(rows, ["sharp", "others"], ["a", "b"])
    pixels = np.asarray(made.image)
    above = LETTERS + 4 + GAP  # a label
    np.testing.assert_array_equal(pixels[above : above + 120, :160], SHARP)
    assert contact_sheet([[]], ["none"]) is None


def test_many_columns_make_a_panel_no_wider():
    made = panel([[Cell(SHARP)] * 14], key="k", title="t", side=256)
    assert made.image.width <= WIDEST


def test_what_was_not_kept_is_a_grey_field_that_says_so():
    row = crops(BLURRED, SHARP, {"NAFNet": None}, {})
    assert row[2] == Cell(None, "NAFNet\nno weights here")
    made = panel([row], key="k", title="t", labels=["first"])
    assert (217, 217, 217) in {color for _, color in made.image.getcolors(1 << 20)}
    assert panel([[Cell(None, "not run")]], key="k", title="t") is None
    assert panel([], key="k", title="t") is None


def test_the_crop_is_where_the_blur_took_most_detail():
    sharp = np.full((64, 64, 3), 128, np.uint8)
    sharp[40:48:2, 10:18] = 255
    blurred = gaussian_filter(sharp, (2, 2, 0))
    top, left = crop_window(blurred, sharp, 16)
    assert top <= 40 <= 48 <= top + 16 + 1
    assert left <= 10 <= 18 <= left + 16 + 1


@pytest.mark.parametrize(
    ("largest", "word"), [(8.0, "map\nup to 8.0 px"), (0.4, "map\ncollapsed: below 1 px")]
)
def test_a_map_that_has_collapsed_says_so(largest, word):
    cell = map_cell(np.full((8, 8), largest), 13.8, "map")
    assert cell.text == word
    assert cell.picture.shape == (8, 8, 3)


def test_a_panel_is_written_and_shown_as_one_jpeg(tmp_path):
    made = panel([[Cell(SHARP)]], key="panel", title="Panel")
    path = made.write(tmp_path / "figures")
    assert path.name == "panel.jpg"
    with Image.open(path) as image:
        assert (image.format, image.size) == ("JPEG", made.image.size)
    assert made._repr_jpeg_() == path.read_bytes()
    assert not hasattr(made, "_repr_png_")


def test_pictures_are_picked_by_their_gain(tmp_path):
    runs = runs_of(["ss", "absent"])
    scores = read_scores(write_study(tmp_path, runs, {"ss": 0.1}), runs)
    psnr = scores[scores["metric"] == "psnr"]
    ours = psnr[matching(psnr, {"variant": "ss"})].groupby("image")["value"].mean()
    blurred = psnr[matching(psnr, {"variant": "blurred"})].set_index("image")["value"]
    gains = (ours - blurred).sort_values()
    picked = pick(scores, {"variant": "ss"}, "synthetic")
    assert picked["best"] == (gains.index[-1], pytest.approx(gains.iloc[-1]))
    assert picked["worst"] == (gains.index[0], pytest.approx(gains.iloc[0]))
    assert gains.iloc[17] <= picked["median"][1] <= gains.iloc[18]
    with pytest.raises(ReblurError, match="not scored"):
        pick(scores, {"variant": "absent"}, "synthetic")


IMAGES = {"blurred input": BLURRED, "worst arm": BLURRED, "full method": SHARP, "sharp": SHARP}


def test_a_slider_opens_on_the_method_and_needs_nothing_else():
    text = slider(IMAGES, key="k", opens_on="full method", psnr={"full method": 27.3})
    chosen = re.findall(r'<option value="([^"]*)" selected', text)
    assert chosen == ["blurred input", "full method"]
    assert "full method (27.30 dB)" in text
    assert not re.search(r'(src|href)="(?!data:image/jpeg)', text)
    assert '<input type="range"' in text  # moves with the arrow keys
    assert text.count("aria-label") == 3
    data = re.findall(r"data:image/jpeg;base64,([^\"]+)", text)
    assert len(data) == len(IMAGES)  # each picture once
    for one in data:
        with Image.open(io.BytesIO(base64.b64decode(one))) as image:
            assert image.size == (160, 120)
    others = json.loads(re.search(r"uris = (\{.*?\}), seam", text)[1])
    assert set(others) == {"worst arm", "sharp"}


def test_a_slider_becomes_smaller_until_it_fits():
    noise = np.random.default_rng(1).integers(0, 256, (900, 1200, 3), dtype=np.uint8)
    images = {"blurred input": noise, "full method": noise}
    small = slider(images, key="k", opens_on="full method", bytes_at_most=400_000)
    large = slider(images, key="k", opens_on="full method", bytes_at_most=10_000_000)
    assert len(small) < 0.5 * len(large)


def test_names_cannot_break_out_of_a_slider():
    images = {"blurred input": BLURRED, "</script><b>": BLURRED, "full": SHARP}
    text = slider(images, key="k", opens_on="full")
    assert "<b>" not in text
    assert text.count("</script>") == 1


def test_a_slider_without_its_method_is_refused():
    with pytest.raises(ReblurError, match="full method: no such image"):
        slider({"blurred input": BLURRED}, key="k", opens_on="full method")
