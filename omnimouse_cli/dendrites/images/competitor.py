"""One competitor from its widths to its test accuracy, and the files that keep it."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save
from torch import Tensor

from omnimouse_cli.dendrites.images.activation import ACTIVATIONS, DENDRITIC
from omnimouse_cli.dendrites.images.images import Images
from omnimouse_cli.dendrites.images.network import Weights, logits_of
from omnimouse_cli.dendrites.images.plan import NetworkKind, Plan, matched_plan, plan_of
from omnimouse_cli.dendrites.images.procedure import Budget, Course, course_of
from omnimouse_cli.dendrites.images.search import Trial, drawn_settings, profiles, search
from omnimouse_cli.dendrites.images.session import measured
from omnimouse_cli.dendrites.images.settings import Setting, Settings, inner_widths, reference_units
from omnimouse_cli.dendrites.images.trainees import Data, Trainee, data_of, generators_of
from omnimouse_cli.files import read_document, write_atomically, write_document
from omnimouse_cli.seeds import derive_seed

KIND = "dendrites-competitor"
KEPT_ARGUMENTS = 8192
WEIGHTS, CURVES, ARGUMENTS = "weights.", "curves.", "arguments."


@dataclass(frozen=True, slots=True, kw_only=True)
class Competitor:
    """Who competes: a kind of network and an activation."""

    network: NetworkKind
    activation: str

    @property
    def name(self) -> str:
        """Of its files."""
        return f"{self.network}-{self.activation}"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Result:
    """A competitor that has been trained.

    Args:
        competitor: Which.
        plan: Its network.
        setting: What it was trained with.
        fields: What the files say beside arrays: accuracies and so on, lists over seeds.
        arrays: Weights, curves and arguments of units, by prefixed names.
    """

    competitor: Competitor
    plan: Plan
    setting: Setting
    fields: dict[str, Any]
    arrays: dict[str, Tensor]

    def part(self, prefix: str) -> dict[str, Tensor]:
        """Give the arrays whose names begin so, without it."""
        return {
            name.removeprefix(prefix): array
            for name, array in self.arrays.items()
            if name.startswith(prefix)
        }


def seeds_of(settings: Settings) -> list[int]:
    """Give the seeds that all competitors have in common."""
    return [derive_seed(settings.seed, number) for number in range(settings.seeds)]


def plan_for(
    competitor: Competitor, settings: Settings, images: Images, profile: tuple[int, ...]
) -> Plan:
    """Give the network of a profile that has as many parameters as the dendritic reference."""
    fixed: dict[str, Any] = {
        "image": images.shape,
        "num_classes": images.num_classes,
        "inner": inner_widths(settings, images.shape),
    }
    unit = reference_units(competitor.network, images.shape)
    widths = [unit * share for share in profiles(competitor.network, images.shape)[0]]
    reference = plan_of(competitor.network, ACTIVATIONS[DENDRITIC], widths, **fixed)
    return matched_plan(
        competitor.network,
        ACTIVATIONS[competitor.activation],
        profile,
        reference.num_parameters,
        **fixed,
    )


def compete(
    competitor: Competitor,
    settings: Settings,
    images: Images,
    device: torch.device,
    tick: Callable[[], None],
) -> Result:
    """Search where that is wanted, train on all seeds, test.

    Args:
        competitor: Who.
        settings: Of the comparison.
        images: All.
        device: Where.
        tick: Called after every epoch.
    """
    choices = profiles(competitor.network, images.shape)
    setting = Setting(profile=choices[0], dropout=settings.dropout)
    budget = Budget(
        epochs=settings.epochs, batch=settings.batch, pretrain_steps=settings.pretrain_steps
    )
    trials: list[Trial] = []
    if settings.search:
        trials = search(
            lambda profile: plan_for(competitor, settings, images, profile),
            drawn_settings(settings.search, setting, choices, settings.seed),
            images,
            budget,
            seed=settings.seed,
            most_images=settings.most_images,
            device=device,
            tick=tick,
        )
        setting = min(trials, key=lambda trial: trial.loss).setting
    plan = plan_for(competitor, settings, images, setting.profile)
    trainees = [Trainee(seed=seed, setting=setting) for seed in seeds_of(settings)]
    data = data_of(images, seeds_of(settings), most_images=settings.most_images, device=device)
    course = course_of(plan, trainees, data, budget, tick=tick)
    return _result(competitor, plan, trainees=trainees, data=data, course=course, trials=trials)


def _result(
    competitor: Competitor,
    plan: Plan,
    *,
    trainees: list[Trainee],
    data: Data,
    course: Course,
    trials: list[Trial],
) -> Result:
    last, joint = course.last, course.joint
    at_best = (last.best - 1).clamp(min=0)[:, None]
    fields = {
        "parameters": plan.num_parameters,
        "inner_parameters": plan.num_inner_parameters,
        "units": [layer.units for layer in plan.layers],
        "accuracy": measured(plan, last.weights, data, data.test)[1].tolist(),
        "validation_accuracy": last.accuracies.gather(1, at_best)[:, 0].tolist(),
        "validation_loss": last.losses.gather(1, at_best)[:, 0].tolist(),
        "best_epoch": last.best.tolist(),
        "joint_accuracy": None
        if joint is None
        else measured(plan, joint.weights, data, data.test)[1].tolist(),
        "pretraining_r2": None if course.pretrained is None else course.pretrained.tolist(),
        "search": [dataclasses.asdict(trial) for trial in trials],
    }
    arrays = {f"{WEIGHTS}{name}": weight.cpu() for name, weight in last.weights.items()}
    arrays |= {f"{CURVES}accuracy": last.accuracies, f"{CURVES}loss": last.losses}
    if plan.activation.learned:
        sampled = sampled_arguments(plan, last.weights, trainees, data)
        arrays |= {f"{ARGUMENTS}{number}": rows for number, rows in enumerate(sampled)}
    return Result(
        competitor=competitor,
        plan=plan,
        setting=trainees[0].setting,
        fields=fields,
        arrays={name: array.contiguous() for name, array in arrays.items()},
    )


@torch.no_grad()
def sampled_arguments(
    plan: Plan, weights: Weights, trainees: list[Trainee], data: Data
) -> list[Tensor]:
    """Give arguments of units on validation images, `(seeds, rows, arguments)` per layer."""
    sampled: dict[int, Tensor] = {}
    generators = generators_of(trainees, "arguments")

    def keep(layer: int, rows_SMN: Tensor) -> None:
        drawn = [
            torch.randint(rows_SMN.shape[1], (KEPT_ARGUMENTS,), generator=g) for g in generators
        ]
        picked = torch.stack(drawn).to(rows_SMN.device)[..., None].expand(-1, -1, rows_SMN.shape[2])
        sampled[layer] = rows_SMN.gather(1, picked).cpu()

    pixels, _ = next(data.batches(data.validation))
    logits_of(plan, weights, pixels, observer=keep)
    return [sampled[number] for number in range(len(plan.layers))]


def store(result: Result, folder: Path) -> None:
    """Write the arrays, then the document: where it is, both are whole."""
    name = result.competitor.name
    with write_atomically(folder / f"{name}.safetensors") as stream:
        stream.write(save(result.arrays))
    write_document(
        folder / f"{name}.json",
        KIND,
        {
            "network": result.competitor.network,
            "activation": result.competitor.activation,
            "setting": dataclasses.asdict(result.setting),
            **result.fields,
        },
    )


def is_stored(competitor: Competitor, folder: Path) -> bool:
    """Say whether a competitor has been trained."""
    return (folder / f"{competitor.name}.json").exists()


def read_result(
    competitor: Competitor,
    folder: Path,
    settings: Settings,
    image: tuple[int, int, int],
    num_classes: int,
) -> Result:
    """Read what `store` wrote.

    Args:
        competitor: Which.
        folder: Of results.
        settings: Of the comparison.
        image: Channels, height, width.
        num_classes: Of the images.
    """
    fields = read_document(folder / f"{competitor.name}.json", KIND)
    stored = fields.pop("setting")
    setting = Setting(**{**stored, "profile": tuple(stored["profile"])})
    return Result(
        competitor=competitor,
        plan=plan_of(
            competitor.network,
            ACTIVATIONS[competitor.activation],
            fields["units"],
            image=image,
            num_classes=num_classes,
            inner=inner_widths(settings, image),
        ),
        setting=setting,
        fields=fields,
        arrays=load_file(folder / f"{competitor.name}.safetensors"),
    )
