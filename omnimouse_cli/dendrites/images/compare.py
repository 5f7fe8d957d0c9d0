"""The comparison: train every candidate, measure its robustness, judge the claims of the paper."""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from omnimouse_cli.dendrites.images.architecture import (
    ACTIVATIONS,
    DENDRITIC,
    Architecture,
    build_architecture,
    list_width_profiles,
    match_architecture,
)
from omnimouse_cli.dendrites.images.claims import RULE, Claim, judge_claims
from omnimouse_cli.dendrites.images.data import Images, SplitData, split_for_seeds
from omnimouse_cli.dendrites.images.network import Weights, compute_logits
from omnimouse_cli.dendrites.images.procedure import (
    TrainingResult,
    Trial,
    draw_hyperparameters,
    search_hyperparameters,
    train_networks,
)
from omnimouse_cli.dendrites.images.results import (
    ARGUMENTS,
    CURVES,
    REPORT,
    ROBUSTNESS_FORMAT,
    START,
    WEIGHTS,
    Candidate,
    CandidateResult,
    Comparison,
    begin_comparison,
)
from omnimouse_cli.dendrites.images.robustness import (
    has_square_attack,
    measure_robustness,
    prepare_robustness_data,
)
from omnimouse_cli.dendrites.images.scores import ScoreTable, read_scores
from omnimouse_cli.dendrites.images.settings import (
    ComparisonSettings,
    Hyperparameters,
    get_inner_widths,
    get_reference_units,
)
from omnimouse_cli.dendrites.images.summaries import (
    build_rows,
    summarize,
    summarize_protocols,
)
from omnimouse_cli.dendrites.images.training import (
    Replicate,
    evaluate,
    make_generators,
    use_one_thread,
)
from omnimouse_cli.dendrites.learned_surfaces import analyze_run
from omnimouse_cli.dendrites.soft_xor import count_soft_xors
from omnimouse_cli.files import write_document
from omnimouse_cli.reporter import Reporter

SAMPLED_ARGUMENTS = 8192
# How the comparison differs from the published one.
FAIRNESS = (
    "the last hidden layer of every network has its nonlinearity (a published control had none)",
    "every activation trains, validates and tests on the same images of a seed (published controls "
    "trained on the validation images and were validated on the test images)",
    "every activation has the same batch size and the same epochs per session",
    "every network is computed by one thread from random numbers of its own seed, so that its "
    "numbers depend on neither the other networks nor the number of cores",
    "every activation has the same number of parameters within 1 % (a published control had 19 % "
    "fewer)",
    "learned activations also have the epochs of session II, in which the function is found: "
    "`epochs_of_all_sessions` counts them, and `joint_accuracy` is what that session alone reaches",
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ComparisonReport:
    """Scores and claims of a comparison.

    Args:
        settings: Settings of the comparison.
        scores: Scores by network and activation.
        summaries: One record per network and activation.
        claims: The claims of the paper with their verdicts.
    """

    settings: ComparisonSettings
    scores: ScoreTable
    summaries: Sequence[dict[str, Any]]
    claims: Sequence[Claim]

    def to_dict(self) -> dict[str, Any]:
        """Return the fields of compare.json."""
        return {
            "settings": dataclasses.asdict(self.settings),
            "rows": build_rows(self.scores),
            "summaries": list(self.summaries),
            "claims": [claim.to_dict() for claim in self.claims],
            "rule": RULE,
            "protocols": summarize_protocols(self.scores),
            "fairness": list(FAIRNESS),
        }


def compare(
    settings: ComparisonSettings,
    images: Images,
    folder: Path,
    *,
    device: torch.device,
    reporter: Reporter,
) -> ComparisonReport:
    """Train and measure what has not been yet, judge the claims and write compare.json.

    Args:
        settings: Settings of the comparison.
        images: The data set.
        folder: Folder of the comparison; results in it are not computed again.
        device: Device of the networks.
        reporter: Receives messages and progress.

    Raises:
        OmniMouseError: The folder holds something else.
        KeyboardInterrupt: The user interrupted the training; results so far are kept.
    """
    comparison = train_candidates(settings, images, folder, device=device, reporter=reporter)
    if settings.robustness:
        _measure_robustness(comparison, images, device=device, reporter=reporter)
    scores = read_scores(comparison)
    soft_xors = {}
    if DENDRITIC in settings.activations:
        analyzed = analyze_run(folder, reporter)
        soft_xors = {network: count_soft_xors(analyzed, network) for network in settings.networks}
    report = ComparisonReport(
        settings=settings,
        scores=scores,
        summaries=summarize(scores),
        claims=judge_claims(scores, soft_xors),
    )
    write_document(folder / REPORT, "dendrites-compare", report.to_dict())
    return report


def train_candidates(
    settings: ComparisonSettings,
    images: Images,
    folder: Path,
    *,
    device: torch.device,
    reporter: Reporter,
) -> Comparison:
    """Train every candidate that has no result in the folder.

    Raises:
        OmniMouseError: The folder holds something else.
        KeyboardInterrupt: The user interrupted the training; results so far are kept.
    """
    comparison = begin_comparison(folder, settings, images)
    missing = [one for one in comparison.candidates if not comparison.has_result(one)]
    total = len(comparison.candidates)
    reporter.say(
        f"{total} combinations of network and activation in {folder}, "
        f"{total - len(missing)} trained already"
    )
    for candidate in missing:
        sessions = 2 if ACTIVATIONS[candidate.activation].learned else 1
        rounds = 1 + (3 if settings.search else 0)
        task = candidate.name
        reporter.start(task, sessions * settings.epochs * rounds)

        def on_epoch(task: str = task) -> None:
            reporter.advance(task)

        try:
            comparison.write_result(
                train_candidate(candidate, settings, images, device=device, on_epoch=on_epoch)
            )
        except KeyboardInterrupt as stop:
            raise KeyboardInterrupt(
                f"finished results are kept in {folder}; the same command continues there"
            ) from stop
        finally:
            reporter.finish(task)
    return comparison


@use_one_thread()
def train_candidate(
    candidate: Candidate,
    settings: ComparisonSettings,
    images: Images,
    *,
    device: torch.device,
    on_epoch: Callable[[], None],
) -> CandidateResult:
    """Search hyperparameters if the settings ask for it, train on all seeds, and test.

    The result depends on neither the other candidates nor the number of threads.

    Args:
        candidate: Network and activation.
        settings: Settings of the comparison.
        images: The data set.
        device: Device of the networks.
        on_epoch: Called after every epoch.
    """
    profiles = list_width_profiles(candidate.network, images.shape)
    hyperparameters = Hyperparameters(profile=profiles[0], dropout=settings.dropout)
    trials: list[Trial] = []
    if settings.search:
        trials = search_hyperparameters(
            lambda profile: _build_matched(candidate, settings, images, profile),
            draw_hyperparameters(settings.search, hyperparameters, profiles, settings.seed),
            images,
            settings,
            device=device,
            on_epoch=on_epoch,
        )
        hyperparameters = min(trials, key=lambda trial: trial.loss).hyperparameters
    architecture = _build_matched(candidate, settings, images, hyperparameters.profile)
    seeds = settings.derive_seeds()
    replicates = [Replicate(seed=seed, hyperparameters=hyperparameters) for seed in seeds]
    data = split_for_seeds(images, seeds, max_images=settings.most_images, device=device)
    trained = train_networks(architecture, replicates, data, settings, on_epoch=on_epoch)
    arrays = {f"{WEIGHTS}{name}": weight.cpu() for name, weight in trained.final.weights.items()}
    arrays |= {f"{START}{name}": weight.cpu() for name, weight in trained.pretrained.items()}
    arrays |= {
        f"{CURVES}accuracy": trained.final.accuracies,
        f"{CURVES}loss": trained.final.losses,
    }
    if trained.joint is not None:
        arrays[f"{CURVES}joint_accuracy"] = trained.joint.accuracies
    if architecture.activation.learned:
        sampled = _sample_arguments(architecture, trained.final.weights, replicates, data)
        arrays |= {f"{ARGUMENTS}{number}": rows for number, rows in sampled.items()}
    return CandidateResult(
        candidate=candidate,
        architecture=architecture,
        hyperparameters=hyperparameters,
        fields=_build_fields(architecture, trained, data, trials),
        arrays={name: array.contiguous() for name, array in arrays.items()},
    )


def _build_matched(
    candidate: Candidate, settings: ComparisonSettings, images: Images, profile: tuple[int, ...]
) -> Architecture:
    """Return the architecture of a profile with as many parameters as the dendritic reference."""
    unit = get_reference_units(candidate.network, images.shape)
    reference = build_architecture(
        candidate.network,
        ACTIVATIONS[DENDRITIC],
        [unit * share for share in list_width_profiles(candidate.network, images.shape)[0]],
        image=images.shape,
        num_classes=images.num_classes,
        inner=get_inner_widths(settings, images.shape),
    )
    return match_architecture(reference, ACTIVATIONS[candidate.activation], profile)


def _build_fields(
    architecture: Architecture, trained: TrainingResult, data: SplitData, trials: list[Trial]
) -> dict[str, Any]:
    """Return the fields of a candidate's JSON document; scores are lists over seeds."""
    final, joint, r2 = trained.final, trained.joint, trained.pretraining_r2

    def test(weights: Weights) -> list[float]:
        return list(evaluate(architecture, weights, data, data.test)[1].tolist())

    return {
        "parameters": architecture.num_parameters,
        "inner_parameters": architecture.num_inner_parameters,
        "units": [layer.units for layer in architecture.layers],
        "accuracy": test(final.weights),
        "validation_accuracy": final.get_at_best(final.accuracies).tolist(),
        "validation_loss": final.get_at_best(final.losses).tolist(),
        "best_epoch": final.best.tolist(),
        "joint_accuracy": None if joint is None else test(joint.weights),
        "pretraining_r2": None if r2 is None else r2.tolist(),
        "search": [
            {
                "setting": dataclasses.asdict(trial.hyperparameters),
                "loss": trial.loss,
                "accuracy": trial.accuracy,
            }
            for trial in trials
        ],
    }


@torch.no_grad()
def _sample_arguments(
    architecture: Architecture, weights: Weights, replicates: list[Replicate], data: SplitData
) -> dict[int, Tensor]:
    """Return arguments of units on validation images, `(seeds, samples, arguments)`, by layer."""
    sampled: dict[int, Tensor] = {}
    generators = make_generators(replicates, "arguments")

    def sample(layer: int, rows_SMN: Tensor) -> None:
        drawn = [
            torch.randint(rows_SMN.shape[1], (SAMPLED_ARGUMENTS,), generator=one)
            for one in generators
        ]
        indices = torch.stack(drawn).to(rows_SMN.device)[..., None]
        sampled[layer] = rows_SMN.gather(1, indices.expand(-1, -1, rows_SMN.shape[2])).cpu()

    pixels, _ = next(data.batches(data.validation))
    compute_logits(architecture, weights, pixels, observer=sample)
    return sampled


@use_one_thread()
def _measure_robustness(
    comparison: Comparison, images: Images, *, device: torch.device, reporter: Reporter
) -> None:
    """Measure and write the robustness of every candidate that has no robustness document."""
    missing = [
        one for one in comparison.candidates if not comparison.get_robustness_path(one).exists()
    ]
    if not missing:
        return
    if not has_square_attack():
        reporter.warn(
            "the attack without gradients is skipped: it needs the extra omnimouse[attack]"
        )
    reporter.start("robustness", len(missing))
    robustness_data = prepare_robustness_data(comparison.settings, images, device)
    for candidate in missing:
        measured = measure_robustness(comparison.read_result(candidate), robustness_data)
        write_document(comparison.get_robustness_path(candidate), ROBUSTNESS_FORMAT, measured)
        reporter.advance("robustness", note=candidate.name)
    reporter.finish("robustness")
