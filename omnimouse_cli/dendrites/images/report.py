"""The outcome of a comparison: trained, tried under corruptions and attacks, judged, written."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from omnimouse_cli.dendrites.images.activation import DENDRITIC
from omnimouse_cli.dendrites.images.assess import Scores, rows_of, scores_of, summaries_of
from omnimouse_cli.dendrites.images.attack import has_square_attack
from omnimouse_cli.dendrites.images.claims import RULE, Claim, claims_of
from omnimouse_cli.dendrites.images.compare import train_all
from omnimouse_cli.dendrites.images.folder import REPORT, Comparison
from omnimouse_cli.dendrites.images.images import Images
from omnimouse_cli.dendrites.images.robustness import FLAWS, KIND, measure_robustness, prepare
from omnimouse_cli.dendrites.images.settings import Settings
from omnimouse_cli.dendrites.intervals import mean_interval
from omnimouse_cli.dendrites.soft_xor import Count, analyse_run, counted
from omnimouse_cli.files import write_document
from omnimouse_cli.reporter import Reporter

# What the published controls had against them, and how it is here.
FAIRNESS = (
    "the last hidden layer of every network has its nonlinearity (a published control had none)",
    "every competitor trains, validates and tests on the same images of a seed (published controls "
    "trained on the validation images and were validated on the test images)",
    "every competitor has the same batch size and the same epochs per session",
    "every competitor has the same number of parameters within 1 % (a published control had 19 % "
    "fewer)",
    "learned activations also have the epochs of session II, in which the function is found; "
    "`joint_accuracy` is what that session alone reaches",
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Outcome:
    """What a comparison shows.

    Args:
        comparison: Which.
        scores: Of all competitors.
        summaries: One per competitor.
        claims: The paper's, judged.
        saddles: Soft XORs by network.
    """

    comparison: Comparison
    scores: Scores
    summaries: Sequence[dict[str, Any]]
    claims: Sequence[Claim]
    saddles: dict[str, Count]

    def content(self) -> dict[str, Any]:
        """Give the fields of compare.json."""
        return {
            "settings": self.comparison.settings.to_dict(),
            "rows": rows_of(self.scores),
            "summaries": list(self.summaries),
            "claims": [claim.to_dict() for claim in self.claims],
            "rule": RULE,
            "protocols": protocols_of(self.scores),
            "fairness": list(FAIRNESS),
        }


def compare(
    settings: Settings, images: Images, folder: Path, *, device: torch.device, reporter: Reporter
) -> Outcome:
    """Do what has not been done yet, and judge.

    Args:
        settings: What is compared.
        images: On which images.
        folder: Where everything is kept; what is there is not done again.
        device: Where networks run.
        reporter: Is told about progress.
    """
    comparison = train_all(settings, images, folder, device=device, reporter=reporter)
    if settings.robustness:
        _try_all(comparison, images, device=device, reporter=reporter)
    scores = scores_of(comparison)
    saddles: dict[str, Count] = {}
    if DENDRITIC in settings.activations:
        analysed = analyse_run(folder, reporter)
        saddles = {network: counted(analysed, network) for network in settings.networks}
    outcome = Outcome(
        comparison=comparison,
        scores=scores,
        summaries=summaries_of(scores),
        claims=claims_of(scores, saddles),
        saddles=saddles,
    )
    write_document(folder / REPORT, "dendrites-compare", outcome.content())
    return outcome


def _try_all(
    comparison: Comparison, images: Images, *, device: torch.device, reporter: Reporter
) -> None:
    """Measure the robustness of every competitor for which that has not been done."""
    places = {one: comparison.robustness / f"{one.name}.json" for one in comparison.competitors}
    left = [one for one, path in places.items() if not path.exists()]
    if not left:
        return
    if not has_square_attack():
        reporter.warn(
            "the attack without gradients is left out: it needs the extra omnimouse[attack]"
        )
    reporter.start("robustness", len(left))
    bed = prepare(comparison.settings, images, device)
    for competitor in left:
        measured = measure_robustness(comparison.result(competitor), bed)
        write_document(places[competitor], KIND, measured)
        reporter.advance("robustness", note=competitor.name)
    reporter.finish("robustness")


def protocols_of(scores: Scores) -> list[dict[str, Any]]:
    """Give accuracy without and with attack under the valid protocol and under each mistake."""
    return [
        {
            "network": network,
            "activation": name,
            "protocol": protocol,
            "clean": mean_interval(
                np.array(score.robustness["protocols"][protocol]["clean"])
            ).to_dict(),
            "attacked": mean_interval(
                np.array(score.robustness["protocols"][protocol]["accuracy"])
            ).to_dict(),
        }
        for network, by_name in scores.items()
        for name, score in by_name.items()
        if score.robustness is not None
        for protocol in FLAWS
    ]
