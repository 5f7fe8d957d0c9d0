"""`omnimouse bench`: measure the loader on this machine."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from omnimouse_cli.api.folders import default_shards
from omnimouse_cli.cli.console import print_document, print_next, print_table, reporter
from omnimouse_cli.cli.options import JsonOption, QuietOption, SeedOption
from omnimouse_cli.cli.tables import ResultTable, pair_table
from omnimouse_cli.config.data import MAX_BATCH, MAX_THREADS
from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.reporter import Reporter
from omnimouse_cli.text import format_percent

if TYPE_CHECKING:
    from omnimouse_cli.batch.measure import LoaderSpeed

# The published data set has 323 sessions, and a sparse shard still takes some megabytes.
MAX_CORPUS = 10_000


def command_bench_loader(
    shards: Annotated[
        Path | None, typer.Argument(help="Folder of shards; by default shards/.")
    ] = None,
    *,
    simulate_corpus: Annotated[
        int | None,
        typer.Option(
            "--simulate-corpus",
            min=1,
            max=MAX_CORPUS,
            help="First write so many sparse shards of full size, to SHARDS or a temporary folder.",
        ),
    ] = None,
    threads: Annotated[
        int,
        typer.Option("--threads", min=1, max=MAX_THREADS, help="Threads that assemble batches."),
    ] = 1,
    batches: Annotated[
        int, typer.Option("--batches", min=1, help="Number of batches that are timed.")
    ] = 500,
    batch_size: Annotated[
        int, typer.Option("--batch-size", min=1, max=MAX_BATCH, help="Windows per batch.")
    ] = 8,
    bfloat16: Annotated[
        bool, typer.Option("--bfloat16", help="Batches in bfloat16 instead of float32.")
    ] = False,
    step_ms: Annotated[
        float,
        typer.Option(
            "--step-ms", min=0, help="Time of a training step to simulate between batches."
        ),
    ] = 0.0,
    seed: SeedOption = 0,
    json_output: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Draw batches as training does and time them, beside memcpy on this machine."""
    from omnimouse_cli.batch.measure import measure_loader
    from omnimouse_cli.config.data import DataConfig

    config = DataConfig(
        threads=threads, batch_size=batch_size, dtype="bfloat16" if bfloat16 else "float32"
    )
    with reporter(quiet=quiet) as progress, _corpus(shards, simulate_corpus, progress) as folder:
        progress.say(f"drawing {batches:,} batches of {folder}/")
        speed = measure_loader(
            folder,
            config,
            seed=seed,
            num_batches=batches,
            step_seconds=step_ms / 1000,
            reporter=progress,
        )
    if json_output:
        print_document("bench-loader", asdict(speed))
    else:
        print_table(_table(speed))
    if simulate_corpus is None:
        print_next("train", folder, quiet=quiet, json_output=json_output)


@contextmanager
def _corpus(shards: Path | None, simulated: int | None, progress: Reporter) -> Iterator[Path]:
    """Yield the folder of shards; a temporary one is removed afterwards."""
    if simulated is None:
        yield shards if shards is not None else default_shards()
        return
    from omnimouse_cli.shard.sparse import write_sparse_corpus

    if shards is not None and shards.exists() and any(shards.iterdir()):
        raise OmniMouseError(
            f"{shards} is not empty: a simulated corpus needs a folder of its own",
            hint="name a new folder, or none to use a temporary one",
        )
    with tempfile.TemporaryDirectory(prefix="omnimouse-") as temporary:
        folder = shards if shards is not None else Path(temporary)
        write_sparse_corpus(folder, simulated, progress)
        yield folder


def _table(speed: "LoaderSpeed") -> ResultTable:
    memcpy = speed.memcpy_bytes_per_second
    rows = {
        "sessions": f"{speed.sessions:,}",
        "stored samples": f"{speed.samples:,}",
        "opened in": f"{speed.open_seconds:.2f} s",
        "first batch in": f"{speed.first_batch_seconds:.2f} s",
        "threads": f"{speed.threads}",
        "batches": f"{speed.batches_per_second:.0f} a second",
        "windows": f"{speed.windows_per_second:.0f} a second",
        "output": f"{speed.output_bytes_per_second / 1e9:.2f} GB/s",
        "memcpy, 1 thread": f"{memcpy / 1e9:.2f} GB/s",
        "output / memcpy": f"{speed.output_bytes_per_second / memcpy:.2f}",
        "CPU": f"{speed.cpu_ms_per_batch:.2f} ms a batch",
        "waiting": f"{format_percent(speed.wait_fraction)} of the time",
        "resident memory": _megabytes(speed.resident_bytes),
        "of which loader": _megabytes(speed.loader_bytes),
        f"growth over {speed.batches:,} batches": _megabytes(speed.growth_bytes),
        "mapped pages of files": _megabytes(speed.mapped_bytes),
    }
    return pair_table("", rows.items())


def _megabytes(num_bytes: int | None) -> str:
    return "unknown" if num_bytes is None else f"{num_bytes / 1e6:.0f} MB"
