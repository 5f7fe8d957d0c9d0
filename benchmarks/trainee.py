"""A model with its optimizers, and one batch of random numbers to train on again and again."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from torch.nn.utils import clip_grad_norm_

from omnimouse_cli.api.allocation import keep_freed_memory
from omnimouse_cli.batch.batch import Batch, to_device
from omnimouse_cli.batch.dataset import CHANNEL_ORDER
from omnimouse_cli.batch.selection import select
from omnimouse_cli.batch.strategies import TRAINING_STRATEGIES
from omnimouse_cli.batch.strategy import Strategy
from omnimouse_cli.config.data import NUM_BEHAVIOR_SAMPLES, NUM_FRAMES, NUM_RESPONSE_SAMPLES
from omnimouse_cli.config.run import RunConfig
from omnimouse_cli.config.sizes import default_run_config
from omnimouse_cli.cost.flops import count_flops
from omnimouse_cli.cost.parameters import count_core
from omnimouse_cli.cost.training import make_task
from omnimouse_cli.model.compile import compile_parts, usual_fusion_length
from omnimouse_cli.model.omnimouse import OmniMouse
from omnimouse_cli.model.sequences import Task
from omnimouse_cli.model.session_embeddings import SessionEmbeddings
from omnimouse_cli.training.optimizer import build_core_optimizer, build_session_optimizer
from omnimouse_cli.training.parallel.core_gradient import CoreGradient
from omnimouse_cli.training.parallel.world import World
from omnimouse_cli.training.step import compute_batch_losses

ANIMAL = "1"
Precision = Literal["float32", "bfloat16"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Model, batch and precision of a measured step.

    Args:
        size: Name of the model size.
        neurons: Neurons of the session; a batch has at most the model's `max_population`.
        windows: Windows per batch.
        strategy: Masking strategy: inputs and targets.
        precision: Precision of the forward pass.
        is_compiled: Whether the parts that training compiles are compiled.
    """

    size: str
    neurons: int
    windows: int
    strategy: Strategy
    precision: Precision
    is_compiled: bool

    @property
    def config(self) -> RunConfig:
        """The run that the size starts from, on rates."""
        config = default_run_config(self.size)
        return replace(
            config,
            model=replace(config.model, response_loss="poisson"),
            train=replace(config.train, precision=self.precision, compile=self.is_compiled),
        )

    @property
    def population(self) -> int:
        """Neurons of a window."""
        return min(self.neurons, self.config.model.max_population)

    @property
    def parameters(self) -> int:
        """Parameters of the core."""
        return count_core(self.config.model, num_channels=len(CHANNEL_ORDER))

    @property
    def flops(self) -> int:
        """Floating-point operations of a step, by the same count that training reports."""
        flops = count_flops(
            self.config.model,
            self._task(self.strategy),
            session_neurons=self.neurons,
            batch_size=self.windows,
        )
        return self.windows * flops.training

    @property
    def fusion_length(self) -> int | None:
        """Tokens for which a training compiles fusion layers; None without any."""
        tasks = [self._task(strategy) for strategy in TRAINING_STRATEGIES]
        return usual_fusion_length(self.config.model, tasks)

    def _task(self, strategy: Strategy) -> Task:
        return make_task(
            self.config.model,
            strategy,
            num_neurons=self.population,
            num_channels=len(CHANNEL_ORDER),
            has_screen=True,
        )


class Trainee:
    """Does the training step of one rank, as `omnimouse train` does.

    Args:
        case: What is trained.
        device: Where.
    """

    def __init__(self, case: Case, device: torch.device) -> None:
        if device.type == "cpu":
            keep_freed_memory()
        torch.manual_seed(0)
        self._case, self._config, self._device = case, case.config, device
        model = self._config.model
        self._core = OmniMouse(model, behavior_channels=CHANNEL_ORDER, animals=[ANIMAL]).to(device)
        self._core.recomputes = self._config.train.activation_checkpointing
        self._table = SessionEmbeddings(
            case.neurons, model.d_embedding, model.decoder.num_neuron_weights(len(CHANNEL_ORDER))
        ).to(device)
        if case.is_compiled:
            compile_parts(
                self._core,
                device,
                batch_size=case.windows,
                fusion_length=case.fusion_length,
            )
        trained = {name: p for name, p in self._core.named_parameters() if p.requires_grad}
        self._gradient = CoreGradient(trained.values(), num_extra=0, world=World())
        self._core_optimizer = build_core_optimizer(trained, self._config.train)
        self._table_optimizer = build_session_optimizer(
            dict(self._table.named_parameters()), self._config.train
        )
        self._batch = to_device(_batch(case), device, self._config.data)
        self._generator = torch.Generator().manual_seed(0)

    def step(self) -> None:
        """Forward, backward, clip, update."""
        train = self._config.train
        self._gradient.clear()
        selection = select(
            self._case.strategy,
            num_neurons=self._case.population,
            num_windows=self._case.windows,
            generator=self._generator,
            max_targets=self._config.model.max_targets,
        )
        neural, behavior, _ = compute_batch_losses(
            self._core,
            self._batch,
            embeddings=self._table,
            animal=ANIMAL,
            strategy=self._case.strategy,
            selection=selection,
            config=self._config,
        )
        parts = [neural, None if behavior is None else train.behavior_weight * behavior]
        torch.stack([part for part in parts if part is not None]).sum().backward()  # type: ignore[no-untyped-call]
        assert self._table_optimizer is not None
        if train.clip_norm is not None:
            clip_grad_norm_(self._table.parameters(), train.clip_norm)
        self._table_optimizer.step()
        self._table_optimizer.zero_grad()
        self._gradient.average(torch.ones((), device=self._device), train.clip_norm)
        self._core_optimizer.step()


def _batch(case: Case) -> Batch:
    generator = torch.Generator().manual_seed(0)
    windows, video = case.windows, case.config.model.video
    order = torch.rand(windows, case.neurons, generator=generator).argsort(dim=1)
    responses = torch.rand(windows, NUM_RESPONSE_SAMPLES, case.population, generator=generator)
    frame = (video.frame_height, video.frame_width)
    num_channels = len(CHANNEL_ORDER)
    return Batch(
        number=0,
        session="1-1-1",
        responses=responses.square(),
        neuron_index=order[:, : case.population].sort(dim=1).values,
        video=torch.randn(windows, NUM_FRAMES, *frame, generator=generator),
        behavior=torch.randn(windows, num_channels, NUM_BEHAVIOR_SAMPLES, generator=generator),
        behavior_present=np.ones(num_channels, np.bool_),
        start_seconds=np.zeros(windows),
    )
