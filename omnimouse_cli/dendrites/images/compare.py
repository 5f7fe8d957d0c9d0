"""The comparison: every competitor is trained, kept, and what is there already is not repeated."""

from pathlib import Path

import torch

from omnimouse_cli.dendrites.images.activation import ACTIVATIONS
from omnimouse_cli.dendrites.images.competitor import compete, store
from omnimouse_cli.dendrites.images.folder import Comparison, begin
from omnimouse_cli.dendrites.images.images import Images
from omnimouse_cli.dendrites.images.settings import Settings
from omnimouse_cli.reporter import Reporter


def train_all(
    settings: Settings, images: Images, folder: Path, *, device: torch.device, reporter: Reporter
) -> Comparison:
    """Train every competitor that has no result yet.

    Args:
        settings: What is compared.
        images: On which images.
        folder: Where results are written as they come.
        device: Where networks run.
        reporter: Is told about progress.

    Raises:
        KeyboardInterrupt: The user stopped it; the message says what is kept.
    """
    comparison = begin(folder, settings, images)
    missing = comparison.missing()
    done = len(comparison.competitors) - len(missing)
    reporter.say(f"{len(comparison.competitors)} competitors in {folder}, {done} trained already")
    for competitor in missing:
        sessions = 2 if ACTIVATIONS[competitor.activation].learned else 1
        rounds = 1 + (3 if settings.search else 0)
        task = competitor.name
        reporter.start(task, sessions * settings.epochs * rounds)

        def tick(task: str = task) -> None:
            reporter.advance(task)

        try:
            store(compete(competitor, settings, images, device, tick), comparison.results)
        except KeyboardInterrupt as stop:
            raise KeyboardInterrupt(
                f"finished competitors are kept in {folder}; the same command goes on there"
            ) from stop
        finally:
            reporter.finish(task)
    return comparison
