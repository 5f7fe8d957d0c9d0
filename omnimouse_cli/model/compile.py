"""Compilation of the blocks of the model."""

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
import torch._dynamo
from torch import Tensor, nn
from torch._inductor import config as inductor
from torch.fx.experimental import _config as symbolic_shapes

from omnimouse_cli.config.model import ModelConfig
from omnimouse_cli.kernels.attention import AttentionMask, all_visible, full_mask, pad_tokens
from omnimouse_cli.model.blocks import CrossBlock, SelfBlock
from omnimouse_cli.model.build import Core
from omnimouse_cli.model.feed_forward import FeedForward
from omnimouse_cli.model.rotary import Angles
from omnimouse_cli.model.sequences import (
    Task,
    build_sequences,
    num_tokens,
    token_intervals,
)
from omnimouse_cli.model.video_blocks import VideoBlock

# B batch, L tokens, Q query tokens, K key tokens, N tokens of a clip, M and C widths


def compile_parts(
    model: Core,
    device: torch.device,
    *,
    batch_size: int,
    fusion_length: int | None = None,
    uses_cuda_graphs: bool = False,
    **options: Any,  # noqa: ANN401 - of torch.compile
) -> None:
    """Compile the blocks of a model in place, at their first use.

    A strategy changes lengths, masks and which blocks run. Compiled as one, the model would be
    compiled anew for each of 120 strategies; its blocks are compiled a few times, for sequences of
    any length: each class once per width, with and without a mask. Blocks of a class share what is
    compiled, and an evaluation runs what training has compiled. Names of parameters do not change.

    Args:
        model: Changed in place.
        device: Device of the model.
        batch_size: Windows of a training batch. Unless it is 1, a single window is computed twice
            as a batch of two, since code that is compiled for any size serves no size of 1.
        fusion_length: Usual tokens of a fusion layer, for which the layers are compiled separately
            in full batches; None compiles them for any shape alone.
        uses_cuda_graphs: Whether layers of that shape are captured as CUDA graphs, whose results
            are kept until the next forward pass of the model.
        options: Further arguments of `torch.compile`.
    """
    # Two lengths that are the same by chance in the first batch may differ in the next one.
    symbolic_shapes.use_duck_shape = False
    # Numbers in blocks, as epsilons, are constants. Taken for inputs, each is traced a second time.
    torch._dynamo.config.specialize_float = True
    # inductor decides by the number of tokens whether a backward pass computes two sums in one
    # kernel, and compiles anew for batches on the other side of its threshold. Here it always does.
    if hasattr(inductor.triton, "mix_order_reduction_non_strict_mode"):
        inductor.triton.mix_order_reduction_non_strict_mode = True
    fusion_shape = None if fusion_length is None else (batch_size, fusion_length)
    forwards: dict[type[nn.Module], Callable[..., Tensor]] = {
        SelfBlock: _self_forward(fusion_shape, options, uses_cuda_graphs=uses_cuda_graphs),
        CrossBlock: _cross_forward(options),
        VideoBlock: _video_forward(options),
    }
    for part in compiled_parts(model, device):
        if type(part) in forwards:
            forward = partial(forwards[type(part)], part)
            part.forward = forward if batch_size == 1 else _without_single_windows(forward)
        else:
            part.compile(dynamic=True, **options)
    if uses_cuda_graphs:
        model.register_forward_pre_hook(_begin_cuda_graphs)


def _without_single_windows(forward: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Return a block's forward pass that computes a batch of one window as one of two."""

    def run(x: Tensor, *others: Any) -> Tensor:  # noqa: ANN401 - angles, masks, factors
        if x.shape[0] > 1:
            return forward(x, *others)
        # Of the others only a context, `(batch, tokens, width)`, has windows.
        pairs = (
            each.repeat(2, 1, 1) if isinstance(each, Tensor) and each.dim() == x.dim() else each
            for each in (x, *others)
        )
        return forward(*pairs)[:1]

    return run


def _begin_cuda_graphs(*_: object) -> None:
    torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]


def compiled_parts(model: Core, device: torch.device) -> list[nn.Module]:
    """Return the modules that run the same code for every strategy and session."""
    kinds: tuple[type[nn.Module], ...] = (SelfBlock, CrossBlock, VideoBlock)
    if device.type == "cpu":
        # Attention on a CPU runs group by group, and groups differ between strategies.
        kinds = (FeedForward, VideoBlock)
    return [module for module in model.modules() if isinstance(module, kinds)]


def usual_fusion_length(config: ModelConfig, tasks: Sequence[Task]) -> int | None:
    """Return the length of the fusion sequences of at least half of the tasks; None without one.

    Example:
        >>> from omnimouse_cli.batch.strategies import TRAINING_STRATEGIES
        >>> from omnimouse_cli.config.sizes import SIZES
        >>> tasks = [
        ...     Task(strategy=strategy, num_neurons=99, num_visible=64, num_targets=35,
        ...          num_channels=3, has_screen=True) for strategy in TRAINING_STRATEGIES]
        >>> usual_fusion_length(SIZES["80M"], tasks), usual_fusion_length(SIZES["nano"], tasks)
        (4096, None)
    """
    lengths = Counter(build_sequences(config, task).lengths["fusion"] for task in tasks)
    length, count = lengths.most_common(1)[0]
    return length if 2 * count >= len(tasks) else None


def compiled_code(config: ModelConfig, task: Task, usual_length: int | None) -> frozenset[str]:
    """Return names of the compiled code that a task runs.

    Args:
        config: Configuration of the model.
        task: Which modalities are inputs and targets.
        usual_length: Length of fusion sequences that is compiled for itself; None if there is none.
    """
    sequences = build_sequences(config, task)
    intervals = token_intervals(sequences.fusion)
    is_usual = num_tokens(sequences.fusion) == usual_length
    # Without a mask, sequences of any length are compiled for only if no length is usual.
    is_masked = not all_visible(intervals, intervals) and (is_usual or usual_length is None)
    fusion = "fusion, usual length" if is_usual else "fusion"
    uses = {
        "video": task.has_video,
        "encoder": bool(sequences.context),
        "decoder": bool(sequences.queries),
        fusion: True,
        f"{fusion}, masked": is_masked,
    }
    return frozenset(name for name, is_used in uses.items() if is_used)


def _self_forward(
    fusion_shape: tuple[int, int] | None, options: dict[str, Any], *, uses_cuda_graphs: bool
) -> Callable[..., Tensor]:
    any_shape = torch.compile(SelfBlock.forward, dynamic=True, **options)
    mode = "reduce-overhead" if uses_cuda_graphs else None
    usual_shape = torch.compile(_forward_usual_shape, dynamic=False, mode=mode, **options)

    def forward(block: SelfBlock, x_BLM: Tensor, angles: Angles, mask: AttentionMask) -> Tensor:
        compiled = usual_shape if x_BLM.shape[:2] == fusion_shape else any_shape
        if mask is None and fusion_shape is not None and compiled is any_shape:
            # Lengths are rare that are not the usual one: a mask spares a compilation of its own.
            mask = full_mask(x_BLM.shape[1], x_BLM.shape[1], x_BLM.device)
        return _run_attention(compiled, block, (x_BLM,), (angles,), mask)

    return forward


def _forward_usual_shape(
    block: SelfBlock, x_BLM: Tensor, angles: Angles, mask: AttentionMask
) -> Tensor:
    # torch.compile keeps what it has compiled with the code of a function. A function of its own
    # is not served by what was compiled for any shape.
    return SelfBlock.forward(block, x_BLM, angles, mask)


def _cross_forward(options: dict[str, Any]) -> Callable[..., Tensor]:
    compiled = torch.compile(CrossBlock.forward, dynamic=True, **options)

    def forward(
        block: CrossBlock,
        x_BQM: Tensor,
        context_BKM: Tensor,
        *angles_and_mask: Any,  # noqa: ANN401 - angles of queries and of keys, mask
    ) -> Tensor:
        query_angles, key_angles, mask = angles_and_mask
        if mask is None:
            # One strategy in ten hides nothing: a mask spares a compilation of its own.
            mask = full_mask(x_BQM.shape[1], context_BKM.shape[1], x_BQM.device)
        angles = (query_angles, key_angles)
        return _run_attention(compiled, block, (x_BQM, context_BKM), angles, mask)

    return forward


def _run_attention(
    compiled: Callable[..., Tensor],
    block: nn.Module,
    inputs: tuple[Tensor, ...],
    angles: tuple[Angles, ...],
    mask: AttentionMask,
) -> Tensor:
    """Run a block of attention on sequences that are padded to the length of its mask."""
    length = inputs[0].shape[1]
    if mask is not None:
        inputs = tuple(pad_tokens(x_BLM, 1) for x_BLM in inputs)
        angles = tuple(Angles(*(pad_tokens(part_LP, 0) for part_LP in each)) for each in angles)
    return _run(compiled, block, inputs, *angles, mask)[:, :length]


def _video_forward(options: dict[str, Any]) -> Callable[..., Tensor]:
    compiled = torch.compile(VideoBlock.transform_windows, dynamic=True, **options)

    def forward(block: VideoBlock, x_BNC: Tensor, factors_2B11: Tensor | None = None) -> Tensor:
        if factors_2B11 is None:
            # Ones spare a compilation of its own for blocks and evaluations that drop nothing.
            factors_2B11 = torch.ones(2, x_BNC.shape[0], 1, 1, device=x_BNC.device)
        # Numbers of windows vary, their sizes do not. Sizes derived from any number of tokens would
        # take most of the time of compilation.
        return _run(compiled, block, (block.shape.windows(x_BNC),), factors_2B11)

    return forward


def _run(
    compiled: Callable[..., Tensor],
    block: nn.Module,
    inputs: tuple[Tensor, ...],
    *constants: Angles | AttentionMask | Tensor,
) -> Tensor:
    """Run compiled code so that it is compiled no more often than needed.

    Args:
        compiled: Takes the block, the inputs and the constants.
        block: The module whose parameters the compiled code takes.
        inputs: Tensors that have gradients in training. Their first two sizes vary.
        constants: Everything else.
    """
    # Latents that are the same in every window come expanded, with strides of their own.
    inputs = tuple(_WithoutBase.apply(x.contiguous()) for x in inputs)
    for x in inputs:
        torch._dynamo.mark_static(x, [*range(2, x.dim())])
    if torch.is_grad_enabled() or torch.is_inference_mode_enabled():
        return compiled(block, *inputs, *constants)
    # Without gradients there would be other code to compile. An evaluation runs that of training,
    # and drops what a block saves for its backward pass as soon as the block is through.
    with torch.enable_grad():
        leaves = [x.detach().requires_grad_() for x in inputs]
        for x in leaves:
            torch._dynamo.mark_static(x, [*range(2, x.dim())])
        return compiled(block, *leaves, *constants).detach()


class _WithoutBase(torch.autograd.Function):
    """The same numbers in the same memory, which autograd does not know as a view.

    Code that is compiled for a view depends on the sizes of the tensor that it is a view of, and
    serves no evaluation, whose inputs are detached from theirs.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:  # noqa: ANN401, ARG004 - of torch
        return x.detach()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:  # noqa: ANN401, ARG004 - of torch
        return gradients[0]
