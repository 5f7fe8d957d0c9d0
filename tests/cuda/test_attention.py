"""FlexAttention on a GPU against dense attention, under the masks of every strategy."""

import pytest
import torch

from omnimouse_cli.batch.strategies import FAMILY_STRATEGIES, TRAINING_STRATEGIES
from omnimouse_cli.config.sizes import SIZES
from omnimouse_cli.cost.training import make_task
from omnimouse_cli.kernels.attention import Interval, attention, interval_mask
from omnimouse_cli.kernels.attention.reference import DenseMask, dense_mask, reference_attention
from omnimouse_cli.model.sequences import build_sequences, token_intervals

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
    # Compilers warn about themselves; what counts here are the numbers.
    pytest.mark.filterwarnings("default"),
]

GPU = torch.device("cuda")
HEADS, WIDTH = 2, 32
STRATEGIES = tuple({s.name: s for s in (*TRAINING_STRATEGIES, *FAMILY_STRATEGIES)}.values())
GROUPS = 8


def masked_pairs(strategies):
    """Queries and keys of every attention under some strategies, each pair once."""
    found = {}
    for strategy in strategies:
        task = make_task(SIZES["nano"], strategy, num_neurons=70, num_channels=5, has_screen=True)
        sequences = build_sequences(SIZES["nano"], task)
        context, latents, fusion, queries = (
            token_intervals(sequence)
            for sequence in (
                sequences.context,
                sequences.latents,
                sequences.fusion,
                sequences.queries,
            )
        )
        found |= dict.fromkeys([(latents, context), (fusion, fusion), (queries, fusion)])
    return [pair for pair in found if all(sum(run.tokens for run in side) for side in pair)]


def heads(queries, keys, dtype):
    generator = torch.Generator().manual_seed(0)
    lengths = [sum(run.tokens for run in runs) for runs in (queries, keys, keys)]
    return [
        torch.randn(2, HEADS, length, WIDTH, generator=generator).to(GPU, dtype).requires_grad_()
        for length in lengths
    ]


def everything(way, leaves):
    """Output and every gradient."""
    out = way(*leaves)
    return [out.detach(), *torch.autograd.grad(out.float().square().sum(), leaves)]


def compare(queries, keys, dtype, require_close):
    leaves = heads(queries, keys, dtype)
    found = everything(lambda *x: attention(*x, interval_mask(queries, keys, GPU)), leaves)

    mask = dense_mask(queries, keys, torch.device("cpu"))

    def dense(*x):
        parts = (None if part is None else part.to(x[0].device) for part in mask)
        return reference_attention(*x, DenseMask(*parts))

    exact = everything(dense, [x.detach().double().cpu().requires_grad_() for x in leaves])
    # Products of float32 may be made of three of TF32, which are as exact as 22 bits.
    require_close(found, everything(dense, leaves), exact, slack=1000)


@pytest.mark.parametrize("group", range(GROUPS))
def test_flex_attention_is_dense_attention_under_every_strategy(group, require_close, has_numbers):
    pairs = masked_pairs(STRATEGIES)
    assert len(pairs) > 100
    # The null device has no numbers, and one mask tells whether anything launches.
    for queries, keys in pairs[group::GROUPS] if has_numbers else pairs[group : group + 1]:
        compare(queries, keys, torch.bfloat16, require_close)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_a_query_that_sees_nothing_gives_zero(dtype, require_close, has_numbers):
    queries = (Interval(50, 60, 70), Interval(0, 10, 130), Interval(0, 60, 57))
    keys = (Interval(0, 10, 200), Interval(5, 15, 33), Interval(10, 20, 150))
    compare(queries, keys, dtype, require_close)
    if has_numbers:
        out = attention(*heads(queries, keys, dtype), interval_mask(queries, keys, GPU))
        assert torch.equal(out[:, :, :70], torch.zeros_like(out[:, :, :70]))
