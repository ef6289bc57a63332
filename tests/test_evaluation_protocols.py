"""The Köhler protocol and the RealBlur alignment, on known shifts, scales and homographies."""

import cv2
import numpy as np
import pytest
import scipy.fft
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage import data

from reblur.datasets.images.files import write_image
from reblur.datasets.images.layouts import KohlerImage
from reblur.datasets.images.pairs import Pair
from reblur.errors import ReblurError
from reblur.evaluation.alignment import align, compare_aligned
from reblur.evaluation.kohler import integer_shift, kohler_scores, score_kohler, shifted
from reblur.evaluation.scoring import do_nothing, score_pairs
from reblur.measures import full_reference as metrics

SHARP = data.astronaut()[100:420, 60:410]


def moved(image: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """What a camera sees that points elsewhere: real content comes in at the edges."""
    whole = data.astronaut()
    height, width = image.shape[:2]
    return whole[100 - rows : 100 - rows + height, 60 - columns : 60 - columns + width]


class TestKohler:
    @settings(deadline=None, max_examples=15)
    @given(rows=st.integers(-40, 40), columns=st.integers(-40, 40), scale=st.floats(0.3, 1.0))
    def test_a_shift_is_found_at_any_scale(self, rows, columns, scale):
        spectrum = scipy.fft.rfft2(moved(SHARP, rows, columns).mean(2) * scale)
        assert integer_shift(SHARP.mean(2), spectrum) == (-rows, -columns)

    @pytest.mark.parametrize("scale", [0.5, 0.8, 0.95])
    def test_a_scale_is_taken_out(self, scale):
        scores = kohler_scores((SHARP * scale).round().astype(np.uint8), [SHARP])
        assert scores.psnr > 48  # what rounding to 8 bits leaves
        assert scores.msssim > 0.999

    def test_a_shift_is_taken_out(self):
        restored = moved(SHARP, 6, -9)
        scores = kohler_scores(restored, [SHARP])
        # The published scale is fitted before the shift, so that a pure shift is not perfect.
        assert scores.psnr > metrics.psnr(SHARP, restored) + 10
        assert scores.msssim > 0.99

    def test_a_frame_against_itself_is_perfect(self):
        scores = kohler_scores(SHARP, [SHARP])
        assert scores.psnr > 200
        assert scores.msssim == pytest.approx(1.0, abs=1e-9)

    def test_each_metric_takes_its_best_frame(self):
        frames = [moved(SHARP, *by) for by in ((0, 0), (3, 2), (5, 5))]
        worse = [ndimage.gaussian_filter(frame, (2, 2, 0)) for frame in frames]
        restored = ndimage.gaussian_filter(frames[1], (0.7, 0.7, 0))
        scores = kohler_scores(restored, [worse[0], worse[2], frames[1], worse[1]])
        assert (scores.psnr_frame, scores.msssim_frame) == (2, 2)
        alone = kohler_scores(restored, [frames[1]])
        assert scores.psnr == alone.psnr
        assert scores.msssim == alone.msssim

    def test_psnr_equals_a_plain_form_of_the_published_script(self):
        restored = ndimage.gaussian_filter(moved(SHARP, 4, -7), (1, 1, 0))
        x, z = SHARP.astype(float), restored.astype(float)
        z = z * (x * z).sum() / (z * z).sum()
        correlation = np.fft.ifft2(np.fft.fft2(x.mean(2)) * np.conj(np.fft.fft2(z.mean(2)))).real
        row, column = np.unravel_index(correlation.argmax(), correlation.shape)
        row, column = (int(row) + 160) % 320 - 160, (int(column) + 175) % 350 - 175
        assert (row, column) == (-4, 7)
        aligned = ndimage.shift(z, (row, column, 0), order=0, cval=0)
        mask = ndimage.shift(np.ones_like(z), (row, column, 0), order=0, cval=0)
        difference = (x * mask - aligned) @ np.array([0.299, 0.587, 0.114])
        expected = 10 * np.log10(255**2 / (difference**2).mean())
        assert kohler_scores(restored, [SHARP]).psnr == pytest.approx(expected, abs=1e-9)

    def test_a_folder_of_the_benchmark_is_scored(self, tmp_path):
        blurred = ndimage.gaussian_filter(SHARP, (2, 2, 0))
        write_image(tmp_path / "Blurry1_3.png", blurred)
        frames = {29: moved(SHARP, 1, 1), 30: blurred, 31: moved(SHARP, 2, 3)}
        for number, frame in frames.items():  # number 30 would win, and is left out as published
            write_image(tmp_path / f"GroundTruth1_3_{number}.png", np.ascontiguousarray(frame))
        paths = tuple(tmp_path / f"GroundTruth1_3_{number}.png" for number in frames)
        image = KohlerImage("1_3", tmp_path / "Blurry1_3.png", paths)
        table = score_kohler(do_nothing, [image])
        expected = kohler_scores(blurred, [frames[29], frames[31]])
        assert table.loc[0, ["image", "psnr", "msssim"]].tolist() == [
            "1_3",
            expected.psnr,
            expected.msssim,
        ]
        with pytest.raises(ReblurError, match=r"image 1_3.*no sharp frames"):
            score_kohler(do_nothing, [KohlerImage("1_3", image.blurred, paths[1:2])])

    @pytest.mark.parametrize("shift", [(0, 0), (2, -3), (-4, 1), (5, 0)])
    def test_shifting_leaves_black_behind(self, shift):
        image = np.arange(1.0, 57.0).reshape(7, 8)
        expected = ndimage.shift(image, shift, order=0, cval=0)
        assert np.array_equal(shifted(image, shift), expected)

    @pytest.mark.parametrize(
        ("restored", "frames", "said"),
        [
            (SHARP, [], "no sharp frames"),
            (SHARP, [SHARP, SHARP[1:]], "frame 1 is 350×319"),
            (SHARP[:100], [SHARP[:100]], "at least 161×161"),
            (np.zeros_like(SHARP), [SHARP], "all black"),
        ],
    )
    def test_faults_are_told(self, restored, frames, said):
        with pytest.raises(ReblurError, match=said):
            kohler_scores(restored, frames)


HOMOGRAPHY = np.array(
    [[1.004, 0.006, 3.2], [-0.005, 0.998, -2.1], [6e-6, -4e-6, 1.0]], dtype=np.float64
)


def misaligned() -> np.ndarray:
    """A part of a photograph, resampled so that `align` should find HOMOGRAPHY."""
    offset = np.array([[1, 0, 60], [0, 1, 100], [0, 0, 1.0]])
    to_sharp = offset @ np.linalg.inv(HOMOGRAPHY)  # pixel of the result -> pixel of the whole
    size = (SHARP.shape[1], SHARP.shape[0])
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    return cv2.warpPerspective(data.astronaut(), to_sharp, size, flags=flags)


class TestAlignment:
    def test_a_known_homography_is_found(self):
        aligned = align(SHARP, (misaligned() * 0.9).round().astype(np.uint8))
        corners = np.array([[0, 0], [349, 0], [0, 319], [349, 319]], np.float64)[None]
        found = cv2.perspectiveTransform(corners, aligned.homography.astype(np.float64))
        expected = cv2.perspectiveTransform(corners, HOMOGRAPHY)
        assert np.abs(found - expected).max() < 0.1
        assert 0.95 < aligned.mask.mean() < 1
        assert (aligned.sharp[aligned.mask == 0] == 0).all()

    def test_scores_rise_to_those_of_an_aligned_pair(self):
        raw = metrics.psnr(SHARP, misaligned()), metrics.ssim(SHARP, misaligned())
        aligned = compare_aligned(SHARP, misaligned())
        assert aligned["psnr"] > raw[0] + 10
        assert aligned["ssim"] > raw[1] + 0.2
        assert aligned["ssim"] > 0.97

    def test_an_aligned_pair_keeps_its_scores(self):
        blurred = ndimage.gaussian_filter(SHARP, (1.5, 1.5, 0))
        aligned = compare_aligned(SHARP, blurred)
        assert aligned["psnr"] == pytest.approx(metrics.psnr(SHARP, blurred), abs=0.25)
        assert aligned["ssim"] == pytest.approx(metrics.ssim(SHARP, blurred), abs=0.01)

    def test_it_is_a_protocol_of_score_pairs(self):
        pair = Pair(name="one", scene="one", blurred=misaligned(), sharp=SHARP)
        frame = score_pairs(do_nothing, [pair], "shifted", compare=compare_aligned, lpips=False)
        assert frame["psnr"][0] == compare_aligned(SHARP, misaligned())["psnr"]
        assert frame.attrs["not_available"] == ["psnr_tone", "psnr_detail", "ssim_matlab", "lpips"]

    @pytest.mark.parametrize(
        ("restored", "said"),
        [
            (np.zeros_like(SHARP), "cannot be aligned"),
            (np.full_like(SHARP, 128), "cannot be aligned"),
            (SHARP[1:], "of one size"),
        ],
    )
    def test_what_cannot_be_aligned_is_told(self, restored, said):
        with pytest.raises(ReblurError, match=said):
            compare_aligned(SHARP, restored)
