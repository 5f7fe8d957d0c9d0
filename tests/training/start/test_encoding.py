"""The regression of responses on the stimulus: random features, and what they add."""

import pytest
import torch

from omnimouse_cli.model.shortcuts.encoding import EncodingShortcut
from omnimouse_cli.training.start import encoding
from omnimouse_cli.training.start.session_data import SessionData

FEATURES, NEURONS = 3, 6


def simulate(windows, seed, respond):
    """Contrasts that change slowly, and responses to a function of them, with noise."""
    generator = torch.Generator().manual_seed(seed)
    contrasts = torch.randn(windows, 6, FEATURES, generator=generator).repeat_interleave(5, dim=1)
    drive = respond(contrasts)[..., None].repeat_interleave(2, dim=1)
    noise = torch.randn(windows, 60, NEURONS, generator=generator)
    return SessionData(drive.expand(-1, -1, NEURONS) + 0.5 * noise, contrasts, None)


def test_products_of_random_features_are_a_gaussian_kernel():
    shortcut = EncodingShortcut(FEATURES, (1, 1), num_channels=0, rank=4)
    data = simulate(50, 0, lambda contrasts: contrasts[..., 0])
    encoding._set_means([data], shortcut)
    encoding._draw_random_features([data], shortcut, 0.7)
    means = data.screen_means(shortcut)
    features = data.columns(shortcut).flatten(0, 1)[:, means.shape[1] :]
    assert features.mean(0).abs().max() < 1e-5
    cosines = features[::40] + shortcut.get_buffer("offsets")
    some = means[::40]
    distances = torch.cdist(some, some) / means.square().sum(1).mean().sqrt()
    expected = torch.exp(-(distances**2) / (2 * 0.7**2))
    # A mean of 1,000 products whose variance is at most 1/2; five standard errors.
    found = 2 * cosines @ cosines.T / cosines.shape[1]
    torch.testing.assert_close(found, expected, atol=5 * (2 / 1000) ** 0.5, rtol=0)


@pytest.mark.parametrize(
    ("respond", "is_linear"),
    [
        (lambda contrasts: contrasts[..., 0] - contrasts[..., 1], True),
        (lambda contrasts: contrasts[..., 0] * contrasts[..., 1], False),
    ],
    ids=["linear", "product"],
)
def test_linear_and_nonlinear_responses_are_predicted(respond, is_linear):
    shortcut = EncodingShortcut(FEATURES, (1, 1), num_channels=0, rank=4)
    train, validation, test = (
        simulate(windows, seed, respond) for seed, windows in enumerate((200, 50, 50))
    )
    buffers, text = encoding.choose_components([train], [validation], shortcut)
    assert "length scale" in text
    for name, value in buffers.items():
        shortcut.get_buffer(name.removeprefix("encoding.")).copy_(value)

    def score(columns, of_train):
        of_train, recorded = of_train.flatten(0, 1), train.predicted.flatten(0, 1)
        # The default driver of torch 2.11 reads uninitialized memory: columns of 0 make all else 0.
        slopes = torch.linalg.lstsq(of_train, recorded, driver="gelsd").solution
        return float(encoding.correlation(columns @ slopes, test.predicted).mean())

    components = shortcut.get_buffer("of_stimulus")
    found = score(test.columns(shortcut) @ components, train.columns(shortcut) @ components)
    lagged, of_train = (shortcut.lagged_contrasts(data.contrasts)[:, 15:] for data in (test, train))
    assert found > 0.7
    assert score(lagged, of_train) > 0.7 if is_linear else score(lagged, of_train) < 0.2


def test_a_stimulus_that_does_not_predict_held_out_responses_is_left_out():
    shortcut = EncodingShortcut(FEATURES, (1, 1), num_channels=0, rank=4)
    train = simulate(40, 0, lambda contrasts: contrasts[..., 0])
    validation = simulate(40, 1, lambda contrasts: -contrasts[..., 0])
    buffers, text = encoding.choose_components([train], [validation], shortcut)
    assert "none" in text
    assert not any("of_stimulus" in name for name in buffers)
