"""The precision of a forward pass: the user's, else the device's."""

import pytest
import torch

from omnimouse_cli.model.precision import autocast

GPU = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device"),
]


@pytest.mark.parametrize(
    ("precision", "device", "expected"),
    [
        (None, "cpu", torch.float32),
        pytest.param(None, "cuda", torch.bfloat16, marks=GPU),
        pytest.param("float32", "cuda", torch.float32, marks=GPU),
        ("bfloat16", "cpu", torch.bfloat16),
    ],
)
def test_the_device_decides_the_precision_where_the_user_does_not(precision, device, expected):
    one = torch.ones(1, 1, device=device)
    with autocast(precision, torch.device(device)):
        assert (one @ one).dtype is expected
