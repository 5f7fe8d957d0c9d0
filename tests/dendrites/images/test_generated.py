"""Generated images need a product of features, or none: what simple rules reach on them."""

import numpy as np
import pytest

from omnimouse_cli.dendrites.images.generated import GENERATED, generate_images
from omnimouse_cli.dendrites.images.read import load_images


def fit_linear_rule(features, labels):
    """Share of right classes on the last third by least squares on the others."""
    features = np.column_stack([features, np.ones(len(features))])
    first = slice(0, 1200)
    weights = np.linalg.lstsq(features[first], 2.0 * labels[first] - 1, rcond=None)[0]
    return np.mean((features[1200:] @ weights > 0) == labels[1200:])


@pytest.mark.parametrize("name", GENERATED)
def test_only_the_product_needs_more_than_a_linear_rule(name):
    images = load_images(name)
    # Means of 2 x 2 pixels, which are the bars of the gratings, and all their products.
    flat = images.pixels.reshape(-1, 4, 2, 4, 2).mean(axis=(2, 4)).reshape(-1, 16) - 0.5
    products = flat[:, :, None] * flat[:, None, :]
    squares = products[:, *np.triu_indices(16)]
    found = fit_linear_rule(flat, images.labels)
    found_with_products = fit_linear_rule(np.concatenate([flat, squares], axis=1), images.labels)
    if name == "xor-images":
        assert found == pytest.approx(0.5, abs=0.05)
        assert found_with_products > 0.8
    else:
        assert found > 0.93
        assert found_with_products < found + 0.01


def test_both_sets_are_the_same_images_and_balanced():
    xor, linear = map(generate_images, GENERATED)
    assert np.array_equal(xor.pixels, linear.pixels)
    assert 0 <= xor.pixels.min() < xor.pixels.max() <= 1
    for images in (xor, linear):
        assert images.shape == (1, 8, 8)
        assert 0.45 < images.labels.mean() < 0.55
    assert not np.array_equal(xor.pixels, generate_images(GENERATED[0], seed=1).pixels)
