"""Energies of Gabor quadrature pairs, which are sums of separable filters."""

import math

import torch
from torch import Tensor, nn

from omnimouse_cli.config.model import MOTION_ENVELOPE, ORIENTATIONS

# L taps of a filter, N pixels and P positions along a side of a frame, X columns of pixels,
# Q columns of positions, O orientations up to a right angle, H those before it,
# M separable filters, R rows of positions, D directions, V rows of pixels x filters in time
# (x images, before columns), W responses x rows of positions, J images x columns of positions

# Beyond a right angle an orientation is the mirror image of one before it, and shares its filters.
HALF = ORIENTATIONS // 2
# Along columns: a cosine and a sine for each orientation before the right angle, then the envelope
# for the one at it, which does not change along them, and once more for the means.
SEPARABLE = 2 * HALF + 2
# Forth even, forth odd, back even and back odd.
RESPONSES = 4
# Every POSITION_STRIDE-th pixel is a position.
POSITION_STRIDE = 2
REACH_STD = 2.25


class Gabors(nn.Module):
    """Quadrature pairs of every orientation at every position of a frame, as separable filters.

    A convolution with whole Gabors takes a CPU more than twice as long. The weights are fixed
    matrices, one for columns and then one for rows.

    Args:
        wavelength: Wavelength in pixels.
        frame: Rows and columns of pixels.
        envelope: Standard deviation of the envelope over the wavelength.
    """

    def __init__(
        self, wavelength: float, frame: tuple[int, int], envelope: float = MOTION_ENVELOPE
    ) -> None:
        super().__init__()
        columns_MXQ, rows_MWV, mean_H = separable(wavelength, frame, envelope)
        self.register_buffer("columns", columns_MXQ.contiguous(), persistent=False)
        self.register_buffer("rows", rows_MWV, persistent=False)
        self.register_buffer("mean", mean_H, persistent=False)

    def forward(self, pixels_VX: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return energies of orientations before, at and beyond the right angle.

        Args:
            pixels_VX: `(rows x prompt and late x images, columns)`, filtered in time.

        Returns:
            float32 `(orientations, forth and back, rows, images x columns)`, of positions.
        """
        columns_MXQ, rows_MWV = self.get_buffer("columns"), self.get_buffer("rows")
        across_MVQ = torch.bmm(pixels_VX.expand(SEPARABLE, -1, -1), columns_MXQ)
        across_MVJ = across_MVQ.view(SEPARABLE, rows_MWV.shape[2], -1)
        down_MWJ = torch.bmm(rows_MWV, across_MVJ)
        cosine_HWJ, sine_HWJ, at_1WJ, blurred_1WJ = torch.split(down_MWJ, [HALF, HALF, 1, 1])
        factor_H11 = self.get_buffer("mean")[:, None, None]
        flat_HWJ = torch.addcmul(cosine_HWJ, factor_H11, blurred_1WJ)
        before_HDRJ = _energy(flat_HWJ + sine_HWJ)
        # The first has no mirror image; the others' come in the opposite order.
        beyond_ODRJ = _energy(flat_HWJ[1:] - sine_HWJ[1:]).flip(0)
        return before_HDRJ, _energy(at_1WJ), beyond_ODRJ


def _energy(response_OWJ: Tensor) -> Tensor:
    orientations, responses, images = response_OWJ.shape
    even_and_odd = response_OWJ.view(orientations, 2, 2, responses // RESPONSES, images)
    even_ODRJ, odd_ODRJ = even_and_odd.unbind(2)
    return torch.addcmul(even_ODRJ.square(), odd_ODRJ, odd_ODRJ)


def separable(
    wavelength: float, frame: tuple[int, int], envelope: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Split Gabors of mean 0 and unit norm into filters along columns and along rows.

    A Gabor is the envelope times exp(i (row + column)): its real part is even, its imaginary part
    odd, and it is a product. The even one lacks its mean, a multiple of the envelope.

    Before the right angle an orientation responds with cosine + sine + mean, and its mirror image
    with cosine - sine + mean. Forth is what even + i odd gives of prompt + i late, back what it
    gives of prompt - i late.

    Returns:
        columns_MXQ: From columns of pixels to columns of positions, in the order of SEPARABLE.
        rows_MWV: From rows of pixels, prompt and late at each, to rows of positions for each of the
            RESPONSES.
        mean_H: Factor of the last filter for each orientation before the right angle.
    """
    reach = math.ceil(REACH_STD * envelope * wavelength)
    axis_L = torch.arange(-reach, reach + 1, dtype=torch.float64)
    envelope_L = torch.exp(-((axis_L / (envelope * wavelength)) ** 2) / 2)
    angle_O1 = math.pi * torch.arange(HALF + 1, dtype=torch.float64)[:, None] / ORIENTATIONS
    phase_L = 2 * math.pi * axis_L / wavelength
    row_OL = torch.polar(envelope_L.expand(HALF + 1, -1), phase_L * angle_O1.sin())
    column_OL = torch.polar(envelope_L.expand(HALF + 1, -1), phase_L * angle_O1.cos())
    gabor_OLL = row_OL[:, :, None] * column_OL[:, None]
    blur_LL = envelope_L[:, None] * envelope_L
    mean_O1 = (gabor_OLL.real.sum(dim=(1, 2)) / blur_LL.sum())[:, None]
    even_OLL, odd_OLL = gabor_OLL.real - mean_O1[..., None] * blur_LL, gabor_OLL.imag
    even_norm_O1, odd_norm_O1 = (x.flatten(1).norm(dim=1)[:, None] for x in (even_OLL, odd_OLL))
    last_1L = row_OL[HALF:] - mean_O1[HALF:] * envelope_L
    row_ML = torch.cat([row_OL[:HALF], 1j * row_OL[:HALF], last_1L, envelope_L[None]])
    # The last filter is scaled as the one before it; its factors make up for that.
    orientation_M = [*range(HALF), *range(HALF), HALF, HALF]
    mean_H1 = -(mean_O1 / even_norm_O1 * even_norm_O1[HALF])[:HALF]
    before_HL = column_OL[:HALF]
    column_ML = torch.cat([before_HL.real, before_HL.imag, envelope_L.expand(2, -1)])
    columns_MXQ = _at_positions(column_ML, frame[1]).transpose(1, 2)
    even_MPN = _at_positions(row_ML.real / even_norm_O1[orientation_M], frame[0])
    odd_MPN = _at_positions(row_ML.imag / odd_norm_O1[orientation_M], frame[0])
    return columns_MXQ.float(), _responses(even_MPN, odd_MPN).float(), mean_H1[:, 0].float()


def _at_positions(filter_ML: Tensor, pixels: int) -> Tensor:
    """Return the weights of pixels by a filter about each position: `(M, positions, pixels)`."""
    length = filter_ML.shape[1]
    position_P1 = POSITION_STRIDE * torch.arange(num_positions(pixels))[:, None]
    tap_PN = torch.arange(pixels) - position_P1 + length // 2
    inside_PN = (tap_PN >= 0) & (tap_PN < length)
    return torch.where(inside_PN, filter_ML[:, tap_PN.clamp(0, length - 1)], 0.0)


def _responses(even_MPN: Tensor, odd_MPN: Tensor) -> Tensor:
    """Return the weights of prompt and late at every row for each response: `(M, W, V)`."""
    weights = (
        torch.stack([even_MPN, -odd_MPN], dim=-1),
        torch.stack([odd_MPN, even_MPN], dim=-1),
        torch.stack([even_MPN, odd_MPN], dim=-1),
        torch.stack([odd_MPN, -even_MPN], dim=-1),
    )
    return torch.cat(weights, dim=1).flatten(2)


def num_positions(pixels: int) -> int:
    """Count the positions along a side of a frame."""
    return -(-pixels // POSITION_STRIDE)
