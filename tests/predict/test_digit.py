"""A picture of any size becomes what MNIST's images are: known digits come back from what was made of them."""

import itertools

import numpy as np
import pytest
from PIL import Image

from apot_lit.predict.digit import as_digit
from tests.export.conftest import digits

IMAGES = digits()[0][:40, 0].numpy()


def enlarged(image, times=4):
    return np.kron(image, np.ones((times, times), np.uint8))


def on_sheet(image, rows, columns, top, left, paper=0):
    sheet = np.full((rows, columns), paper, np.uint8)
    sheet[top : top + image.shape[0], left : left + image.shape[1]] = image
    return sheet


def cells_apart(a, b):
    """The share of pixels whose grey values are more than 40 apart."""
    return (np.abs(a.astype(int) - b.astype(int)) > 40).mean()


@pytest.mark.parametrize("index", range(10))
def test_an_image_of_mnist_stays_as_it_is(index):
    np.testing.assert_array_equal(as_digit(IMAGES[index]), IMAGES[index])


def test_dark_ink_on_light_paper_is_turned_over():
    np.testing.assert_array_equal(as_digit(255 - IMAGES[3]), IMAGES[3])
    np.testing.assert_array_equal(as_digit(255 - IMAGES[3], invert=False), 255 - IMAGES[3])
    np.testing.assert_array_equal(as_digit(IMAGES[3], invert=True), 255 - IMAGES[3])


def test_a_whole_picture_is_scaled_without_being_centred_if_that_is_asked():
    np.testing.assert_array_equal(as_digit(enlarged(IMAGES[5]), center=False), IMAGES[5])


def test_digits_anywhere_on_a_larger_sheet_come_back():
    """MNIST's own images are 20 pixels high and centred by this rule, to the rounding of a pixel or two."""
    changed = []
    for image in IMAGES:
        found = as_digit(on_sheet(255 - enlarged(image), 300, 400, 150, 30, paper=255))
        shifts = [np.roll(found, (y, x), (0, 1)) for y in (-1, 0, 1) for x in (-1, 0, 1)]
        changed.append(min(cells_apart(shifted, image) for shifted in shifts))
    assert np.median(changed) < 0.02
    other = [cells_apart(a, b) for a, b in itertools.pairwise(IMAGES)]
    assert max(changed) < np.median(other)


@pytest.mark.parametrize(("top", "left"), [(0, 0), (50, 70), (272, 372)])
def test_where_the_digit_stands_changes_nothing(top, left):
    sheet = on_sheet(IMAGES[7], 300, 400, top, left)
    np.testing.assert_array_equal(as_digit(sheet), as_digit(on_sheet(IMAGES[7], 60, 60, 9, 11)))


def test_the_larger_side_is_20_pixels_and_the_mass_lies_in_the_middle():
    bar = on_sheet(np.full((100, 10), 255, np.uint8), 400, 400, 20, 300)
    digit = as_digit(bar)
    rows, columns = np.nonzero(digit)
    assert np.ptp(rows) + 1 == 20
    assert np.ptp(columns) + 1 == 2
    assert (rows.mean() + 0.5, columns.mean() + 0.5) == (14, 14)


def test_a_thin_line_of_a_large_photograph_keeps_its_strength():
    page = np.full((2000, 1500), 240, np.uint8)
    page[300:1700, 740:744] = 60
    digit = as_digit(page)
    assert digit.max() == 255
    assert (digit > 127).sum() == 20


def test_the_grain_of_paper_is_not_a_digit():
    generator = np.random.default_rng(0)
    page = np.clip(generator.normal(225, 2, (200, 200)), 0, 255).astype(np.uint8)
    assert not as_digit(page).any()
    page[60:140, 95:105] = 20
    rows, columns = np.nonzero(as_digit(page) > 60)
    assert (np.ptp(rows) + 1, len(set(columns))) == (20, 2)


def test_a_picture_of_one_pixel_and_a_black_one():
    assert as_digit(np.zeros((1, 1), np.uint8)).shape == (28, 28)
    assert not as_digit(np.zeros((50, 30), np.uint8)).any()


def test_a_rotated_scan_keeps_its_shape():
    """What is wider than high is 20 pixels wide."""
    lying = np.asarray(Image.fromarray(on_sheet(np.full((10, 100), 255, np.uint8), 200, 200, 50, 50)))
    rows, columns = np.nonzero(as_digit(lying))
    assert (np.ptp(rows) + 1, np.ptp(columns) + 1) == (2, 20)
