"""Tables of commands at 80, 100 and 120 columns are those in snapshots/.

After a change that is meant: UPDATE_SNAPSHOTS=1 python -m pytest tests/cli/test_table_snapshots.py
"""

import os
from pathlib import Path

import pytest

from omnimouse_cli.api.preprocess import Preprocessed
from omnimouse_cli.cli import inspect_raw, inspect_shards, preprocess, regimes, runs
from omnimouse_cli.cli import train_output as train
from omnimouse_cli.cli.eval_tables import score_tables
from omnimouse_cli.cli.tables import pair_table
from omnimouse_cli.evaluation.records import EvalOptions, EvalRecord, Evaluation
from omnimouse_cli.evaluation.row import Row
from omnimouse_cli.shard.catalogue import CatalogueEntry
from omnimouse_cli.shard.summary import (
    ModalitySummary,
    ResponseSummary,
    SessionSummary,
    TierSummary,
)

FOLDER = Path(__file__).parent / "snapshots"
SHORT, LONG = "100-1-1", "dynamic29515-10-12-Video-9b4f6a1a067fe51e15306b9628efea20"


def eval_tables(sessions=(SHORT, "overall"), *, metrics=True):
    shown = [
        ("predict", "neurons", 0.312, {"energy_ridge": 0.245, "psth_smoothed": 0.23}),
        ("population-256+stimulus", "neurons", 0.356, {"reduced_rank": 0.341, "ridge": 0.33}),
        ("decode", "running", 0.81, {"ridge": 0.79, "train_mean": None}),
    ]
    records = []
    for session in sessions:
        for strategy, target, value, baselines in shown:
            facts = {
                "regime": strategy.partition("-")[0],
                "strategy": strategy,
                "inputs": ("stimulus", "behavior"),
                "session": session,
                "tier": "test",
                "target": target,
                "neurons": 254,
                "windows": 120,
                "samples": 3600,
                "scored_seconds": 120.0,
            }
            draws = {"draws": 8, "draws_sd": 0.004} if "population" in strategy else {}
            records.append(_score(facts, "model", value, bias_corrected=value - 0.004, **draws))
            for name, score in baselines.items():
                records.append(_score(facts, name, score))
            best = next(iter(baselines))
            difference = {"metric": "difference", "source": None}
            records.append(_score(facts, f"model-{best}", value - baselines[best], **difference))
            if strategy == "predict":
                ceiling = {"source": "repeats", "repeats": 9.5}
                records += [
                    _score(facts, "ceiling", 0.43, **ceiling),
                    _score(facts, "model", 0.73, metric="fraction_of_ceiling", **ceiling),
                    _score(facts, "model", 0.61, metric="cc_norm", **ceiling),
                    _score(facts, "model", 0.41, metric="feve", excluded=12, **ceiling),
                    _score(facts, "ceiling", 0.89, metric="cc_max", **ceiling),
                    _score(facts, "ceiling", 0.34, metric="oracle", **ceiling),
                ]
            for metric, score in (("r2", 0.09), ("bits_per_sample", 0.012), ("loss", 0.8123)):
                records.append(_score(facts, "model", score, metric=metric))
    rows = [
        Row(
            strategy=strategy,
            regime=strategy.partition("-")[0],
            inputs=("stimulus", "behavior"),
            conditioning="responses of all neurons at 1.00 to 2.00 s from the stimulus and "
            "behavior of the whole window, later ones included",
            trained_on=strategy != "predict",
        )
        for strategy, *_ in shown
    ]
    evaluation = Evaluation(records=tuple(records), unavailable=(), rows=tuple(rows))
    yield from score_tables(evaluation, EvalOptions(), metrics=metrics)


def eval_sessions_tables():
    """Tables of several sessions, with short keys and with a long one."""
    yield from eval_tables((SHORT, "200-1-1", "overall"), metrics=False)
    *scores, _rows = eval_tables((SHORT, LONG, "overall"), metrics=False)
    yield from scores


def _score(facts, predictor, value, *, metric="single_trial_correlation", **more):
    ends = {} if value is None else {"low": value - 0.021, "high": value + 0.034}
    over = {"interval_over": "windows, sessions"}
    return EvalRecord(
        **facts, **ends, **over, metric=metric, predictor=predictor, value=value, **more
    )


def _session(key):
    tiers = {"train": 34.5, "validation": 5.1, "test": 4.1, "oracle": 5.3}
    return {
        "session": key,
        "animal": "29515",
        "neurons": 7440,
        "hours": 0.82,
        "tokens": 658_000_000,
        "native_tokens": 175_000_000,
        "sample_rate_hz": 30.0,
        "response_kind": "rate",
        "dtype": "F16",
        "modalities": ["responses", "screen", "eye_tracker", "treadmill"],
        "tiers": {
            tier: {"minutes": minutes, "windows": 1000, "windows_require_behavior": 990}
            for tier, minutes in tiers.items()
        },
        "valid_fraction": 0.983,
        "bytes": 1_300_000_000,
    }


def inspect_shards_tables():
    records = [_session(SHORT), _session(LONG)]
    yield inspect_shards._sessions_table(
        records[:1], inspect_shards._totals(records[:1]), Path("shards")
    )
    yield inspect_shards._sessions_table(records, inspect_shards._totals(records), Path("shards"))
    tiers = tuple(
        TierSummary(
            tier=tier,
            trials=1200,
            minutes=34.5,
            usable_minutes=33.25,
            stimuli=600,
            repeated_stimuli=6,
            kinds={"video": 1100, "image": 100},
            seen_in_train=None if tier == "train" else False,
        )
        for tier in records[0]["tiers"]
    )
    modalities = tuple(
        ModalitySummary(
            modality=name,
            start_seconds=0.0123,
            rate_hz=29.967,
            samples=123_456,
            size=size,
            channels=channels,
            valid_fraction=0.99,
        )
        for name, size, channels in (
            ("responses", "7440", ()),
            ("screen", "36 x 64", ()),
            ("eye_tracker", "4", ("x (deg)", "y (deg)", "diameter (px)", "derivative")),
        )
    )
    quantiles = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
    responses = ResponseSummary(
        quantiles=quantiles,
        mean=tuple(0.12345 * (1 + q) for q in quantiles),
        std=tuple(1.2345 * (1 + q) for q in quantiles),
        constant_neurons=1,
        file_std_ratio=None,
    )
    summary = SessionSummary(
        tiers=tiers, modalities=modalities, responses=responses, distinct_frames=12_345
    )
    yield inspect_shards._tier_table(records[0], summary)
    yield inspect_shards._modality_table(summary)
    rounding = {"rms_relative": 0.0002, "max_relative": 0.0004}
    yield inspect_shards._response_table(
        {"statistics_tier": "train", "rounding": rounding}, summary
    )


def inspect_raw_tables():
    record = {
        "session": LONG,
        "animal": "29515",
        "neurons": 7440,
        "sample_rate_hz": 30.0,
        "native_rate_hz": 7.98,
        "minutes": 49.2,
        "missing_minutes": 0.5,
        "response_kind": "rate",
        "series": "processing/ophys/Fluorescence",
        "excluded": {"not a cell": 12},
        "behavior": [
            {"name": "eye_tracker", "rate_hz": 20.0, "channels": ["x", "y"], "units": ["deg"] * 2}
        ],
        "screen": {"frame_height": 144, "frame_width": 256, "flips": 88_000, "width_cm": None,
                   "rendering": "shrunk"},
        "trials": {"video": 1200, "image": 300},
        "stimuli": 640,
        "split": "file",
        "tiers": {"train": {"minutes": 34.5, "trials": 900},
                  "oracle": {"minutes": 4.1, "trials": 6}},
        "licence": "CC-BY-4.0",
        "citation": "Author et al., A paper with a long title about many neurons, A journal, 2025",
        "doi": None,
        "institution": None,
    }  # fmt: skip
    yield pair_table("", inspect_raw._facts(record).items())


def runs_tables():
    trained = {
        "run": "sweep/nano-s1-seed42",
        "model": "nano",
        "state": "finished",
        "step": 12_000,
        "sessions": 1,
        "validation": 0.8123,
        "evaluations": ["test-all", "test-forecast"],
        "scores": {"forecast": 0.351},
        "shown": ("test-forecast", "forecast", 0.351),
        "bytes": 12_345_678,
        "tags": ["baseline", "figure 2"],
    }
    begun = {
        **trained,
        "run": "20261129-174500-tiny",
        "model": "tiny",
        "state": "unfinished",
        "step": None,
        "validation": None,
        "evaluations": [],
        "shown": None,
        "tags": [],
    }
    yield runs.runs_table("runs", [trained, begun, {"run": "broken", "state": "damaged"}])


def preprocess_tables():
    sessions = tuple(
        CatalogueEntry(
            session=key,
            animal="29515",
            file=f"{key}.safetensors",
            bytes=1_300_000_000,
            neurons=7440,
            samples=88_000,
            sample_rate_hz=30.0,
            native_rate_hz=7.98,
            response_kind="rate",
            dtype="F16",
            modalities=("responses", "screen"),
            tokens=658_000_000,
            native_tokens=175_000_000,
            hours=0.82,
            tiers={"train": 34.5, "validation": 5.1, "test": 4.1, "oracle": 5.3},
            valid_fraction=0.983,
            dropped={"invalid trials": 1.2, "no behavior": 0.31},
            fingerprint="0",
            notes=(),
            missing_rows=0,
            format="experanto",
            split="file",
            licence=None,
        )
        for key in (SHORT, LONG)
    )
    yield preprocess._table(
        Preprocessed(
            shards=Path("shards"),
            sessions=sessions,
            written=(SHORT,),
            kept=(LONG,),
            skipped=(),
            failed=(),
            recordings=(),
            jobs=1,
        )
    )


def regimes_tables():
    yield regimes._regimes_table(regimes._scored(64))
    yield regimes._table(regimes._entries("test") + regimes._entries("validation"))


def train_tables():
    summary = {
        "model": "nano",
        "parameters": {"core": 1_234_567, "tables": 654_321},
        "sessions": 2,
        "animals": 1,
        "steps": 12_000,
        "epochs": 8.8,
        "tokens_seen": 658_000_000,
        "wall_seconds": 540.0,
        "device": "cpu",
        "response_loss": "poisson",
        "validation": {
            "neural_loss": 0.8123,
            "records": [
                {"session": "overall", "strategy": strategy, "target": target, "value": value,
                 "predictor": predictor}
                for strategy, target, predictor, value in (
                    ("predict", "neurons", "model", 0.8123),
                    ("predict", "neurons", "train_mean", 0.9012),
                    ("forecast", "neurons", "model", 0.7901),
                    ("forecast", "neurons", "train_mean", 0.9012),
                    ("forecast", "neurons", "persistence", 1.2345),
                    ("decode", "behavior", "model", 0.4321),
                    ("decode", "behavior", "train_mean", 1.0021),
                )
            ],
        },
    }  # fmt: skip
    yield pair_table("runs/20261129-174500-nano", train._summary_lines(summary))
    plan = {
        "steps": 12_000,
        "steps_done": 400,
        "epochs": 8.8,
        "minutes": 125.0,
        "seconds": 7_500.0,
        "not_measured": None,
        "linear_start": True,
        "seconds_per_step": {"whole_model": 0.63},
        "parameters": {"core": 1_234_567, "tables": 654_321, "components": {"encoder": 999_999}},
        "flops_per_window": 1.23e9,
        "shortcuts_first_fraction": 0.3,
        "shortcuts_first_flops_per_window": 1.1e8,
        "memory_bytes": {"parameters": 2**24, "optimizer": 2**25, "activations": 2**31},
        "available_memory_bytes": 2**34,
        "sequence_lengths": {"video": 240, "responses": 4096},
        "ranks": [{"rank": 0, "sessions": [SHORT, "200-1-1"]}],
    }
    yield pair_table("nano, 1 rank", [*train._length_lines(plan), *train._cost_lines(plan)])


TABLES = {
    "eval": eval_tables,
    "eval-sessions": eval_sessions_tables,
    "inspect": inspect_shards_tables,
    "inspect-raw": inspect_raw_tables,
    "runs": runs_tables,
    "preprocess": preprocess_tables,
    "regimes": regimes_tables,
    "train": train_tables,
}


@pytest.mark.parametrize("width", [80, 100, 120])
@pytest.mark.parametrize("command", TABLES)
def test_tables_are_those_of_the_snapshot(command, width):
    text = "".join(table.render(width) for table in TABLES[command]())
    path = FOLDER / f"{command}-{width}.txt"
    if "UPDATE_SNAPSHOTS" in os.environ:
        path.write_text(text)
    assert text == path.read_text()
    assert max(map(len, text.splitlines())) <= width
