"""How trained competitors bear corruptions and attacks, under a valid protocol and a flawed one."""

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from omnimouse_cli.dendrites.images.attack import (
    Predict,
    gradient_attack,
    has_square_attack,
    square_attack,
)
from omnimouse_cli.dendrites.images.competitor import WEIGHTS, Result, seeds_of
from omnimouse_cli.dendrites.images.images import Images
from omnimouse_cli.dendrites.images.network import PIXEL_MEAN, PIXEL_STD, Weights, logits_of
from omnimouse_cli.dendrites.images.settings import Settings, attack_epsilon
from omnimouse_cli.dendrites.images.trainees import (
    EVALUATED_AT_ONCE,
    Data,
    Trainee,
    data_of,
    dropout_of,
    generators_of,
)
from omnimouse_cli.evaluate.robustness.corruption import CORRUPTIONS, SEVERITIES, corrupted
from omnimouse_cli.seeds import derive_seed

KIND = "dendrites-robustness"
MOST_CORRUPTED = 1000
# Attacks of these multiples of the budget show whether the loss rises with it; the last may change
# a pixel to anything.
MULTIPLES = (0.25, 0.5, 1.0, 2.0)
WHOLE_BOX = 1.0
# Published runs left dropout on, and held images from -1 to 1 in a box from 0 to 1.
FLAWS = {
    "valid": (False, False),
    "dropout on": (True, False),
    "wrong box": (False, True),
    "both": (True, True),
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Testbed:
    """Images that robustness is measured on, the same for all competitors.

    Args:
        settings: Of the comparison.
        data: Divided for every seed.
        attacked: int64 `(seeds, images)`: which are attacked.
        corrupted: uint8 `(images, channels, height, width)` by family and severity.
        places: int64 `(seeds, images)`: of test images among the corrupted ones.
    """

    settings: Settings
    data: Data
    attacked: Tensor
    corrupted: dict[tuple[str, int], Tensor]
    places: Tensor


def prepare(settings: Settings, images: Images, device: torch.device) -> Testbed:
    """Corrupt the test images of all seeds once."""
    data = data_of(images, seeds_of(settings), most_images=settings.most_images, device=device)
    test = data.test[:, :MOST_CORRUPTED]
    chosen, places = torch.unique(test, return_inverse=True)
    pixels = images.pixels[chosen.cpu().numpy()]
    table = {
        (family, severity): torch.from_numpy(
            corrupted(pixels, family, severity, derive_seed(settings.seed, family, severity))
        ).to(device)
        for family in CORRUPTIONS
        for severity in SEVERITIES
    }
    return Testbed(
        settings=settings,
        data=data,
        attacked=data.test[:, : settings.attack_images],
        corrupted=table,
        places=places,
    )


def measure_robustness(result: Result, bed: Testbed) -> dict[str, Any]:
    """Give errors under corruptions, accuracies under attacks, checks, and the flawed protocols.

    Args:
        result: A trained competitor.
        bed: On which images.

    Returns:
        What goes into its file: lists over seeds.
    """
    weights = {
        name: weight.to(bed.data.pixels.device) for name, weight in result.part(WEIGHTS).items()
    }
    return {
        "network": result.competitor.network,
        "activation": result.competitor.activation,
        "clean_error": [1 - accuracy for accuracy in result.fields["accuracy"]],
        "corruption_error": _corruption_errors(result, weights, bed),
        "attacks": _attacks(result, weights, bed),
        "protocols": {
            name: _under_protocol(result, weights, bed, dropout=dropout, wrong_box=wrong_box)
            for name, (dropout, wrong_box) in FLAWS.items()
        },
    }


@torch.no_grad()
def _corruption_errors(
    result: Result, weights: Weights, bed: Testbed
) -> dict[str, list[list[float]]]:
    """Give the error of every seed at every severity, by family."""
    labels = bed.data.labels[bed.data.test[:, : bed.places.shape[1]]]
    errors: dict[str, list[list[float]]] = {}
    for family in CORRUPTIONS:
        by_severity = []
        for severity in SEVERITIES:
            table = bed.corrupted[family, severity]
            wrong = torch.zeros(len(labels), device=labels.device)
            for some, right in zip(
                torch.split(bed.places, EVALUATED_AT_ONCE, dim=1),
                torch.split(labels, EVALUATED_AT_ONCE, dim=1),
                strict=True,
            ):
                logits = logits_of(result.plan, weights, table[some].float() / 255)
                wrong += (logits.argmax(dim=2) != right).sum(dim=1)
            by_severity.append((wrong / labels.shape[1]).tolist())
        errors[family] = np.transpose(by_severity).tolist()
    return errors


def _attacks(result: Result, weights: Weights, bed: Testbed) -> dict[str, Any]:
    settings = bed.settings
    pixels, labels = bed.data.pixels[bed.attacked], bed.data.labels[bed.attacked]
    predict = functools.partial(logits_of, result.plan, weights)
    epsilon = attack_epsilon(settings, result_image(bed))
    curve = []
    fooled_at_budget = torch.zeros_like(labels, dtype=torch.bool)
    for budget in (*(epsilon * multiple for multiple in MULTIPLES), WHOLE_BOX):
        reached = gradient_attack(
            predict,
            pixels,
            labels,
            epsilon=budget,
            steps=settings.attack_steps,
            restarts=settings.attack_restarts if budget in (epsilon, WHOLE_BOX) else 1,
            seed=derive_seed(settings.seed, "attack"),
        )
        if budget == epsilon:
            fooled_at_budget = reached.fooled
        curve.append(
            {
                "epsilon": budget,
                "accuracy": (~reached.fooled).float().mean(dim=1).tolist(),
                "loss": reached.loss.mean(dim=1).tolist(),
            }
        )
    square = _square(result, weights, bed, epsilon) if has_square_attack() else None
    together = fooled_at_budget if square is None else fooled_at_budget | square
    return {
        "epsilon": epsilon,
        "gradient": curve,
        "square": None if square is None else (~square).float().mean(dim=1).tolist(),
        "accuracy": (~together).float().mean(dim=1).tolist(),
    }


def result_image(bed: Testbed) -> tuple[int, int, int]:
    """Channels, height, width of the images."""
    channels, height, width = bed.data.pixels.shape[1:]
    return channels, height, width


def _square(result: Result, weights: Weights, bed: Testbed, epsilon: float) -> Tensor:
    """Give which images of each seed the attack without gradients fools."""
    fooled = []
    for seed in range(bed.attacked.shape[0]):
        alone = {name: weight[seed : seed + 1] for name, weight in weights.items()}

        def predict(pixels: Tensor, alone: Weights = alone) -> Tensor:
            return logits_of(result.plan, alone, pixels.unsqueeze(0))[0]

        some = bed.attacked[seed]
        fooled.append(
            square_attack(
                predict,
                bed.data.pixels[some],
                bed.data.labels[some],
                epsilon=epsilon,
                queries=bed.settings.attack_queries,
                seed=derive_seed(bed.settings.seed, "square", seed),
                num_classes=result.plan.num_classes,
            )
        )
    return torch.stack(fooled)


def _under_protocol(
    result: Result, weights: Weights, bed: Testbed, *, dropout: bool, wrong_box: bool
) -> dict[str, list[float]]:
    """Attack once as published: dropout on, or images from -1 to 1 in a box from 0 to 1."""
    settings = bed.settings
    pixels, labels = bed.data.pixels[bed.attacked], bed.data.labels[bed.attacked]
    if wrong_box:
        pixels = (pixels - PIXEL_MEAN) / PIXEL_STD
    predict = _stochastic(result, weights, bed, dropout=dropout, normalised=wrong_box)
    with torch.no_grad():
        clean = (predict(pixels).argmax(dim=2) == labels).float().mean(dim=1)
    reached = gradient_attack(
        predict,
        pixels,
        labels,
        epsilon=attack_epsilon(settings, result_image(bed)),
        steps=settings.attack_steps,
        restarts=1,
        seed=derive_seed(settings.seed, "protocol"),
    )
    return {
        "clean": clean.tolist(),
        "accuracy": (~reached.fooled).float().mean(dim=1).tolist(),
    }


def _stochastic(
    result: Result, weights: Weights, bed: Testbed, *, dropout: bool, normalised: bool
) -> Predict:
    trainees = [Trainee(seed=seed, setting=result.setting) for seed in seeds_of(bed.settings)]
    device = bed.data.pixels.device
    generators = generators_of(trainees, "dropout at attack", device=device.type)
    drop = dropout_of(trainees, generators) if dropout else None
    return lambda pixels: logits_of(
        result.plan, weights, pixels, dropout=drop, normalised=normalised
    )
