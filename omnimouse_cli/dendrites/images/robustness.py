"""Robustness of trained candidates: corruptions, attacks, and the published protocol's mistakes."""

import functools
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from omnimouse_cli.dendrites.images.data import (
    EVALUATION_BATCH,
    Images,
    SplitData,
    split_for_seeds,
)
from omnimouse_cli.dendrites.images.network import PIXEL_MEAN, PIXEL_STD, Weights, compute_logits
from omnimouse_cli.dendrites.images.results import WEIGHTS, CandidateResult
from omnimouse_cli.dendrites.images.settings import ComparisonSettings, get_attack_epsilon
from omnimouse_cli.dendrites.images.training import Replicate, make_dropout, make_generators
from omnimouse_cli.evaluation.robustness.corruption import CORRUPTIONS, SEVERITIES, corrupt
from omnimouse_cli.seeds import derive_seed

MAX_CORRUPTED = 1000
# Attacks with these multiples of epsilon show whether the loss rises with it; the last attack may
# change a pixel to anything.
MULTIPLES = (0.25, 0.5, 1.0, 2.0)
UNBOUNDED = 1.0
# Published runs left dropout on, and had pixels from -1 to 1 in a box from 0 to 1.
# Whether dropout is on, and whether the box is wrong, by protocol.
PROTOCOLS = {
    "valid": (False, False),
    "dropout on": (True, False),
    "wrong box": (False, True),
    "both": (True, True),
}
# The steps of an attack sum to so many times epsilon: a pixel can reach the bound and come back.
STEP_SHARE = 2.5
SQUARE_LIBRARY = "art"
FIRST_SQUARE = 0.3

# Maps images `(seeds, batch, channels, height, width)` to logits `(seeds, batch, classes)`.
Predict = Callable[[Tensor], Tensor]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RobustnessData:
    """Images that robustness is measured on, the same for all candidates.

    Args:
        settings: Settings of the comparison.
        split: Images and their split for each seed.
        epsilon: Largest change of a pixel by an attack, with pixels from 0 to 1.
        attacked: int64 `(seeds, images)`, indices of the attacked test images.
        corrupted: uint8 `(images, channels, height, width)` by family and severity.
        positions: int64 `(seeds, images)`, positions of test images among the corrupted ones.
    """

    settings: ComparisonSettings
    split: SplitData
    epsilon: float
    attacked: Tensor
    corrupted: dict[tuple[str, int], Tensor]
    positions: Tensor


def prepare_robustness_data(
    settings: ComparisonSettings, images: Images, device: torch.device
) -> RobustnessData:
    """Corrupt the test images of all seeds once."""
    split = split_for_seeds(
        images, settings.derive_seeds(), max_images=settings.most_images, device=device
    )
    chosen, positions = torch.unique(split.test[:, :MAX_CORRUPTED], return_inverse=True)
    pixels = images.pixels[chosen.cpu().numpy()]
    table = {
        (family, severity): torch.from_numpy(
            corrupt(pixels, family, severity, derive_seed(settings.seed, family, severity))
        ).to(device)
        for family in CORRUPTIONS
        for severity in SEVERITIES
    }
    return RobustnessData(
        settings=settings,
        split=split,
        epsilon=get_attack_epsilon(settings, images.shape),
        attacked=split.test[:, : settings.attack_images],
        corrupted=table,
        positions=positions,
    )


def measure_robustness(result: CandidateResult, data: RobustnessData) -> dict[str, Any]:
    """Measure errors under corruptions and accuracies under attacks.

    Args:
        result: A trained candidate.
        data: The images to measure on.

    Returns:
        Content of the candidate's robustness document, with lists over seeds.
    """
    device = data.split.pixels.device
    weights = {name: weight.to(device) for name, weight in result.get_arrays(WEIGHTS).items()}
    return {
        "network": result.candidate.network,
        "activation": result.candidate.activation,
        "clean_error": [1 - accuracy for accuracy in result.fields["accuracy"]],
        "corruption_error": _measure_corruptions(result, weights, data),
        "attacks": _measure_attacks(result, weights, data),
        "protocols": {
            name: _measure_protocol(result, weights, data, dropout=dropout, wrong_box=wrong_box)
            for name, (dropout, wrong_box) in PROTOCOLS.items()
        },
    }


@torch.no_grad()
def _measure_corruptions(
    result: CandidateResult, weights: Weights, data: RobustnessData
) -> dict[str, list[list[float]]]:
    """Return the error rate of every seed at every severity, by family."""
    labels = data.split.labels[data.split.test[:, : data.positions.shape[1]]]
    errors: dict[str, list[list[float]]] = {}
    for family in CORRUPTIONS:
        by_severity = []
        for severity in SEVERITIES:
            table = data.corrupted[family, severity]
            wrong = torch.zeros(len(labels), device=labels.device)
            for positions, true in zip(
                torch.split(data.positions, EVALUATION_BATCH, dim=1),
                torch.split(labels, EVALUATION_BATCH, dim=1),
                strict=True,
            ):
                pixels = table[positions].float() / 255
                logits = compute_logits(result.architecture, weights, pixels)
                wrong += (logits.argmax(dim=2) != true).sum(dim=1)
            by_severity.append((wrong / labels.shape[1]).tolist())
        errors[family] = np.transpose(by_severity).tolist()
    return errors


def _measure_attacks(
    result: CandidateResult, weights: Weights, data: RobustnessData
) -> dict[str, Any]:
    """Return accuracy and loss of each seed by the attack's budget, and under all attacks."""
    settings, epsilon = data.settings, data.epsilon
    pixels, labels = data.split.pixels[data.attacked], data.split.labels[data.attacked]
    predict = functools.partial(compute_logits, result.architecture, weights)
    curve = []
    fooled = torch.zeros_like(labels, dtype=torch.bool)
    for budget in (*(epsilon * multiple for multiple in MULTIPLES), UNBOUNDED):
        attack = gradient_attack(
            predict,
            pixels,
            labels,
            epsilon=budget,
            steps=settings.attack_steps,
            restarts=settings.attack_restarts if budget in (epsilon, UNBOUNDED) else 1,
            seed=derive_seed(settings.seed, "attack"),
        )
        if budget == epsilon:
            fooled = attack.fooled
        curve.append(
            {
                "epsilon": budget,
                "accuracy": (~attack.fooled).float().mean(dim=1).tolist(),
                "loss": attack.loss.mean(dim=1).tolist(),
            }
        )
    square = None
    if has_square_attack():
        fooled_by_square = _attack_with_squares(result, weights, data)
        fooled = fooled | fooled_by_square
        square = (~fooled_by_square).float().mean(dim=1).tolist()
    return {
        "epsilon": epsilon,
        "gradient": curve,
        "square": square,
        "accuracy": (~fooled).float().mean(dim=1).tolist(),
    }


def _attack_with_squares(result: CandidateResult, weights: Weights, data: RobustnessData) -> Tensor:
    """Return which images of each seed the gradient-free attack fools, bool `(seeds, images)`."""
    fooled = []
    for seed, indices in enumerate(data.attacked):
        seed_weights = {name: weight[seed : seed + 1] for name, weight in weights.items()}

        def predict(pixels: Tensor, seed_weights: Weights = seed_weights) -> Tensor:
            return compute_logits(result.architecture, seed_weights, pixels.unsqueeze(0))[0]

        fooled.append(
            square_attack(
                predict,
                data.split.pixels[indices],
                data.split.labels[indices],
                epsilon=data.epsilon,
                queries=data.settings.attack_queries,
                seed=derive_seed(data.settings.seed, "square", seed),
                num_classes=result.architecture.num_classes,
            )
        )
    return torch.stack(fooled)


def _measure_protocol(
    result: CandidateResult,
    weights: Weights,
    data: RobustnessData,
    *,
    dropout: bool,
    wrong_box: bool,
) -> dict[str, list[float]]:
    """Return accuracies before and after one attack, with dropout on or in the wrong box."""
    settings = data.settings
    pixels, labels = data.split.pixels[data.attacked], data.split.labels[data.attacked]
    if wrong_box:
        pixels = (pixels - PIXEL_MEAN) / PIXEL_STD
    replicates = [
        Replicate(seed=seed, hyperparameters=result.hyperparameters)
        for seed in settings.derive_seeds()
    ]
    generators = make_generators(replicates, "dropout at attack", device=pixels.device.type)
    predict = functools.partial(
        compute_logits,
        result.architecture,
        weights,
        dropout=make_dropout(replicates, generators) if dropout else None,
        is_scaled=wrong_box,
    )
    with torch.no_grad():
        clean = (predict(pixels).argmax(dim=2) == labels).float().mean(dim=1)
    attack = gradient_attack(
        predict,
        pixels,
        labels,
        epsilon=data.epsilon,
        steps=settings.attack_steps,
        restarts=1,
        seed=derive_seed(settings.seed, "protocol"),
    )
    return {
        "clean": clean.tolist(),
        "accuracy": (~attack.fooled).float().mean(dim=1).tolist(),
    }


class AttackResult(NamedTuple):
    """The strongest of all perturbed images.

    Args:
        fooled: bool `(seeds, batch)`, whether any perturbed image was misclassified.
        loss: float32 `(seeds, batch)`, the largest cross-entropy.
    """

    fooled: Tensor
    loss: Tensor


def gradient_attack(
    predict: Predict,
    pixels: Tensor,
    labels: Tensor,
    *,
    epsilon: float,
    steps: int,
    restarts: int,
    seed: int,
    box: tuple[float, float] = (0.0, 1.0),
) -> AttackResult:
    """Attack with projected gradient descent on the signs of gradients, from random starts.

    Restarts alternate between cross-entropy and the margin between the best wrong class and the
    right one, whose gradient does not vanish where a network is confident.

    Args:
        predict: The attacked networks.
        pixels: `(seeds, batch, channels, height, width)`.
        labels: `(seeds, batch)`.
        epsilon: Largest change of a pixel.
        steps: Steps of each restart.
        restarts: Number of random starts.
        seed: Seed of the starts.
        box: Lowest and highest value of a pixel.
    """
    generator = torch.Generator(pixels.device).manual_seed(seed)
    fooled, largest_loss = _evaluate_attack(predict(pixels), labels)
    for restart in range(restarts):
        start = torch.rand(pixels.shape, generator=generator, device=pixels.device) * 2 - 1
        perturbed = (pixels + epsilon * start).clamp(*box)
        for _ in range(steps):
            perturbed = perturbed.detach().requires_grad_()
            logits = predict(perturbed)
            aim = (
                _compute_margins(logits, labels) if restart % 2 else _compute_losses(logits, labels)
            )
            gradient = torch.autograd.grad(aim.sum(), perturbed)[0]
            moved = perturbed.detach() + STEP_SHARE * epsilon / steps * gradient.sign()
            perturbed = (pixels + (moved - pixels).clamp(-epsilon, epsilon)).clamp(*box)
        newly_fooled, loss = _evaluate_attack(predict(perturbed), labels)
        fooled, largest_loss = fooled | newly_fooled, torch.maximum(largest_loss, loss)
    return AttackResult(fooled=fooled, loss=largest_loss)


def _compute_losses(logits: Tensor, labels: Tensor) -> Tensor:
    losses = functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none")
    return losses.view(labels.shape)


def _compute_margins(logits: Tensor, labels: Tensor) -> Tensor:
    right = logits.gather(2, labels[..., None])[..., 0]
    others = logits.scatter(2, labels[..., None], -torch.inf)
    return others.amax(dim=2) - right


@torch.no_grad()
def _evaluate_attack(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    return logits.argmax(dim=2) != labels, _compute_losses(logits, labels)


def has_square_attack() -> bool:
    """Return whether the library of the gradient-free attack is installed."""
    return importlib.util.find_spec(SQUARE_LIBRARY) is not None


def square_attack(
    predict: Callable[[Tensor], Tensor],
    pixels: Tensor,
    labels: Tensor,
    *,
    epsilon: float,
    queries: int,
    seed: int,
    num_classes: int,
) -> Tensor:
    """Attack one network without gradients: the Square Attack of the toolbox `art`.

    Args:
        predict: Maps images `(batch, channels, height, width)` to logits `(batch, classes)`.
        pixels: float32 `(batch, channels, height, width)`, from 0 to 1.
        labels: `(batch,)`.
        epsilon: Largest change of a pixel.
        queries: Queries of the network for each image.
        seed: Seed of the squares.
        num_classes: Number of classes.

    Returns:
        bool `(batch,)`, whether an image is misclassified after the attack.
    """
    from art.attacks.evasion import SquareAttack
    from art.estimators.classification import BlackBoxClassifierNeuralNetwork

    def classify(images: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> object:
        with torch.no_grad():
            batch = torch.from_numpy(np.ascontiguousarray(images, np.float32)).to(pixels.device)
            return predict(batch).softmax(dim=1).cpu().numpy()

    classifier = BlackBoxClassifierNeuralNetwork(
        classify, tuple(pixels.shape[1:]), num_classes, clip_values=(0.0, 1.0)
    )
    attack = SquareAttack(
        classifier,
        norm=np.inf,
        eps=epsilon,
        max_iter=queries,
        p_init=FIRST_SQUARE,
        nb_restarts=1,
        batch_size=len(pixels),
        verbose=False,
    )
    # The library draws from NumPy's global generator.
    state = np.random.get_state()
    np.random.seed(seed % 2**32)
    try:
        perturbed = attack.generate(pixels.cpu().numpy(), labels.cpu().numpy())
    finally:
        np.random.set_state(state)
    within = np.clip(perturbed, pixels.cpu().numpy() - epsilon, pixels.cpu().numpy() + epsilon)
    with torch.no_grad():
        moved = torch.from_numpy(np.clip(within, 0, 1).astype(np.float32)).to(pixels.device)
        return predict(moved).argmax(dim=1) != labels
