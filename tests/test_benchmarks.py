"""The benchmarks run, do the same work as what they compare, and write facts beside numbers."""

import importlib
import json
import os
import signal
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from torch.utils.data import DataLoader

from omnimouse_cli.config.data import DataConfig

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]
BENCHMARKS = ROOT / "benchmarks"
QUICK = ("--quick", "--device", "cpu")


@pytest.fixture
def script(monkeypatch):
    """Import a file of benchmarks/ as it is imported when one of them is run."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module


def run(name, *arguments, out):
    """Run a benchmark on the CPU and return its output and the document that it wrote."""
    done = subprocess.run(
        [sys.executable, BENCHMARKS / f"{name}.py", *QUICK, "--out", out, *arguments],
        capture_output=True,
        text=True,
        check=False,
        # Threads that wait for each other make short steps long where tests share a machine.
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, json.loads((out / f"{name}-cpu.json").read_text())


@pytest.fixture
def run_here(script, monkeypatch, capsys, tmp_path):
    """Run a benchmark without a process of its own, which would load torch once more."""

    def run_it(name):
        monkeypatch.setattr(sys, "argv", [f"{name}.py", *QUICK, "--out", str(tmp_path)])
        script(name).main()
        return capsys.readouterr().out, json.loads((tmp_path / f"{name}-cpu.json").read_text())

    return run_it


def require_facts(document, name):
    assert (document["format"], document["version"]) == ("omnimouse-benchmark", 1)
    assert (document["benchmark"], document["device"]) == (name, "cpu")
    assert document["is_quick"] is True
    machine, versions = document["machine"], document["versions"]
    assert machine["processor"]
    assert machine["cores"] >= 1
    assert machine["memory_bytes"] > 2**28
    assert machine["last_level_cache_bytes"] is None or machine["last_level_cache_bytes"] > 2**15
    assert machine["load_average"] >= 0
    assert versions["python"] == sys.version.split()[0]
    assert {"omnimouse", "torch", "numpy", "safetensors"} <= versions.keys()
    assert set(document["commit"]) == {"hash", "is_changed"}


@pytest.mark.training
def test_the_loader_is_measured_beside_memcpy_and_its_peers(tmp_path):
    output, document = run("loader", "--folder", tmp_path / "shards", out=tmp_path)
    require_facts(document, "loader")
    assert (tmp_path / "shards" / "catalogue.json").is_file()
    rows = {row["name"]: row for row in document["rows"]}
    # Whoever has the extra `bench` measures more, and who is not measured is named.
    others = ("litdata", "mosaicml-streaming")
    for peer in others:
        is_measured = f"{peer}, 0 workers" in rows
        assert is_measured != (peer in document["absent_peers"])
        assert is_measured or f"not measured: {peer} (" in output
    assert [name for name in rows if not name.startswith(others)] == [
        "omnimouse, 1 thread",
        "omnimouse, 2 threads",
        "omnimouse, 1 thread, bfloat16",
        "numpy memmap, plain",
        "numpy memmap, tuned",
        "torch DataLoader, 0 workers",
        "torch DataLoader, 2 workers",
        "torch DataLoader, 2 workers, item = batch",
    ]
    # 8 windows: 60 samples of 600 neurons, 60 frames of 36 x 64, 40 samples of 5 channels.
    whole = 4 * 8 * (60 * 600 + 60 * 36 * 64 + 40 * 5)
    memcpy = document["memcpy_bytes_per_second"]
    best = max(row["batches_per_second"] for row in rows.values() if not row["is_ours"])
    for name, row in rows.items():
        assert name in output
        assert row["is_ours"] == name.startswith("omnimouse")
        num_bytes = whole // 2 if name.endswith("bfloat16") else whole
        assert row["output_bytes_per_batch"] == num_bytes
        assert row["cpu_ms_per_batch"] > 0
        bytes_per_second = row["batches_per_second"] * num_bytes
        assert row["output_bytes_per_second"] == pytest.approx(bytes_per_second)
        assert row["ratio_to_memcpy"] == pytest.approx(bytes_per_second / memcpy)
        assert row["ratio_to_best_peer"] == pytest.approx(row["batches_per_second"] / best)
        assert row["ratio_to_memcpy"] > 0
        assert len(row["batches_per_second_rounds"]) == document["settings"]["rounds"]
    cold, corpus = document["cold"], document["corpus"]
    # Responses, frames, and 2 s of 4 channels at 20 Hz and one at 100 Hz.
    window = 60 * 300 * 2 + 60 * 36 * 64 + 4 * (4 * 40 + 200)
    assert cold["useful_bytes"] == document["settings"]["cold_batches"] * 8 * window
    assert min(row["batches_per_second"] for row in cold["rows"]) > 0
    assert (corpus["sessions"], corpus["batches"]) == (2, 4)
    growth = document["growth"]
    assert growth["batches"] == 300
    # Every batch that stayed would be 0.6 MB, and nothing of a batch stays.
    assert growth["growth_bytes"] < 50e6


def test_windows_that_another_format_keeps_are_whole_and_every_two_seconds(script, tmp_path):
    synthetic, peers, formats = script("synthetic"), script("peers"), script("formats")
    dataset = synthetic.synthetic_dataset(tmp_path, synthetic.Extent(neurons=12, rows=400))
    files = peers.WindowFiles(dataset, DataConfig(batch_size=2, max_neurons=5))
    starts = formats.windows_every_two_seconds(files)
    assert len(starts) == 6
    assert set(np.diff(starts)) == {60}

    def write(folder, samples):
        folder.mkdir()
        for number, sample in enumerate(samples):
            np.savez(folder / f"{number:02d}.npz", **sample)

    def read(folder, finish):
        return [finish(np.load(path)) for path in sorted(folder.glob("*.npz"))]

    peer = formats.FormatPeer(name="npz", write=write, read=read, load=DataLoader)
    place = formats.write_windows(peer, files, tmp_path)
    with formats.open_batches(peer, place, files, workers=0, pin_memory=False) as batches:
        shapes = [[tuple(part.shape) for part in next(batches)] for _ in range(7)]
    assert shapes == 7 * [[(2, 60, 5), (2, 60, 36, 64), (2, 5, 40)]]
    wrong = replace(peer, read=lambda folder, finish: read(folder, finish)[::-1], name="wrong")
    with pytest.raises(AssertionError):
        formats.write_windows(wrong, files, tmp_path)


def test_a_peer_that_cannot_be_imported_is_reported_with_the_reason(script, monkeypatch):
    for library in ("litdata", "streaming"):
        monkeypatch.setitem(sys.modules, library, None)
    found, absent = script("formats").format_peers()
    assert found == []
    assert list(absent) == ["litdata", "mosaicml-streaming"]
    assert "litdata" in absent["litdata"]


@pytest.mark.training
def test_a_step_is_measured_beside_a_matrix_product(tmp_path):
    output, document = run("step", "--neurons", "12,32", "--windows", "2", out=tmp_path)
    require_facts(document, "step")
    assert [(row["size"], row["neurons"]) for row in document["rows"]] == [
        ("nano", 12),
        ("nano", 32),
    ]
    assert "nano, float32" in output
    for row in document["rows"]:
        assert row["ratio_to_product"] > 0
        rate = row["flops_per_step"] / row["step_seconds"]
        assert row["flops_per_second"] == pytest.approx(rate)
        assert row["ratio_to_product"] == pytest.approx(rate / row["product_flops_per_second"])
        assert row["windows_per_second"] == pytest.approx(2 / row["step_seconds"])
        assert row["peak_memory_bytes"] is None
        shares = row["time_shares"]
        assert set(shares) == {"attention", "convolution", "matrix products", "other"}
        assert min(shares.values()) > 0
        assert sum(shares.values()) == pytest.approx(1)
    fewer, more = document["rows"]
    assert fewer["parameters"] == more["parameters"]
    assert fewer["flops_per_step"] < more["flops_per_step"]


def test_a_dendritic_unit_is_measured_beside_swiglu(run_here):
    output, document = run_here("dendrite")
    require_facts(document, "dendrite")
    rows = {row["name"]: row for row in document["rows"]}
    assert list(rows) == [
        "swiglu, eager",
        "dendritic, relu",
        "dendritic, smoothstep",
        "dendritic, frozen, lookup table",
        "dendritic, plain PyTorch",
    ]
    swiglu = rows["swiglu, eager"]
    rounds = [row["seconds_rounds"] for row in rows.values()]
    assert {len(seconds) for seconds in rounds} == {2}
    matrix = 4 * 256 * 512
    for name, row in rows.items():
        assert name in output
        assert row["ratio_to_swiglu"] == pytest.approx(row["seconds"] / swiglu["seconds"])
        ratio = row["peak_bytes"] / swiglu["peak_bytes"]
        assert row["memory_ratio_to_swiglu"] == pytest.approx(ratio)
        # Three arguments, the output and both gradients are there in any case.
        assert row["peak_bytes"] >= 5 * matrix
    # The kernel keeps nothing of its hidden units; plain PyTorch keeps all eight of each, and a
    # lookup table is read in plain PyTorch on a CPU.
    assert rows["dendritic, relu"]["memory_ratio_to_swiglu"] < 1.1
    assert rows["dendritic, frozen, lookup table"]["memory_ratio_to_swiglu"] > 2
    assert rows["dendritic, plain PyTorch"]["memory_ratio_to_swiglu"] > 2


def test_a_roofline_follows_from_the_counted_instructions(run_here):
    pytest.importorskip("triton", reason="there is no Triton for this machine")
    output, document = run_here("dendrite_roofline")
    require_facts(document, "dendrite_roofline")
    rows = {(row["kernel"], row["pass"]): row for row in document["rows"]}
    names = ("swiglu", "8-1-relu", "lookup table")
    assert list(rows) == [(name, way) for name in names for way in ("forward", "backward")]
    for (name, way), row in rows.items():
        assert f"{name} {way}, bfloat16" in output
        assert (row["spilled_bytes"], row["uses_local_memory"]) == (0, False)
        assert row["bytes_per_element"] == {"forward": 6, "backward": 10}[way]
        seconds = 8192 * 32768 * row["bytes_per_element"] / 3.35e12
        assert row["memory_seconds"] == pytest.approx(seconds)
        issued = 8192 * 32768 * row["instructions_per_element"] / (132 * 128 * 1.755e9)
        assert row["issue_seconds"] == pytest.approx(issued)
    for way in ("forward", "backward"):
        dendritic = rows["8-1-relu", way]
        assert (
            dendritic["instructions_per_element"] > rows["swiglu", way]["instructions_per_element"]
        )
        assert dendritic["issue_seconds"] < dendritic["memory_seconds"]
        # Two pairs of an element, each in a cycle.
        reads = 2 * 8192 * 32768 / (132 * 1.755e9)
        assert rows["lookup table", way]["table_read_seconds"] == pytest.approx(reads)
        assert dendritic["table_read_seconds"] == 0


def test_a_size_that_does_not_exist_is_refused_with_the_sizes(script, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["step.py", "--sizes", "nano,huge"])
    with pytest.raises(SystemExit) as stop:
        script("step").main()
    assert stop.value.code == 2
    output = capsys.readouterr().err
    assert "--sizes must be of nano, tiny, 1M, 5M, 20M, 80M, 300M: huge" in output


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("aten::addmm", "matrix products"),
        ("aten::mm", "matrix products"),
        ("aten::bmm", "matrix products"),
        ("aten::add", "other"),
        ("aten::copy_", "other"),
        ("aten::convolution_backward", "convolution"),
        ("aten::_scaled_dot_product_flash_attention_for_cpu_backward", "attention"),
        ("sm90_xmma_gemm_bf16bf16_bf16f32_f32_tn_n_tilesize128x128x64", "matrix products"),
        ("sm90_xmma_wgrad_implicit_gemm_indexed_bf16", "convolution"),
        ("nvjet_tst_128x256_64x4_1x2_h_bz_coopA_NNT", "matrix products"),
        ("pytorch_flash::flash_bwd_dq_dk_dv_loop_seqk_parallel_kernel", "attention"),
        ("triton_tem_fused_flex_attention_0", "attention"),
        ("triton_poi_fused_add_mul_3", "other"),
    ],
)
def test_operators_and_kernels_are_distinguished_by_name(name, kind, script):
    assert script("shares").kind_of(name) == kind


@pytest.mark.training
def test_preprocess_is_measured_beside_copies_of_its_responses(tmp_path):
    output, document = run("preprocess", "--folder", tmp_path / "work", out=tmp_path)
    require_facts(document, "preprocess")
    assert document["responses_bytes"] == 4 * 50 * 300
    peaks = document["peak_bytes_of_jobs"]
    assert set(peaks) == {"1", "2"}
    assert all(2**20 < peak < 500e6 for peak in peaks.values())
    rows = {row["name"]: row for row in document["rows"]}
    assert list(rows)[:3] == ["cp", "cp and sync", "preprocess"]
    for name, row in rows.items():
        assert name in output
        num_bytes = 60_000 * (2 if "2 recordings" in name else 1)
        assert row["bytes_per_second"] == pytest.approx(num_bytes / row["seconds"])
        copied = rows["cp"]["bytes_per_second"]
        assert row["ratio_to_cp"] == pytest.approx(row["bytes_per_second"] / copied)


def test_checks_of_a_gpu_survive_failures_crashes_and_time_outs(
    script, monkeypatch, capsys, tmp_path
):
    gpu = script("gpu")
    measured = {"size": "80M", "precision": "bfloat16", "ratio_to_peak": 0.4, "first_seconds": 400}
    # What a check starts ends with it.
    hang = (
        "import json, subprocess, time\n"
        "child = subprocess.Popen(['sleep', '60'])\n"
        "print(json.dumps({'pid': child.pid}), flush=True)\n"
        "print('{\"torn', flush=True)\n"
        "time.sleep(60)\n"
    )
    programs = {
        "steps, compiled, 80M": (f"print({json.dumps(measured)!r})", 20),
        "fails": ("print('words'); print('{\"a\": 1}'); raise ValueError('no such kernel')", 20),
        "crashes": ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", 20),
        "hangs": (hang, 1.5),
        "late": ("pass", 1000),
    }
    checks = [
        gpu.Check(name=name, seconds=seconds, arguments=("-c", code))
        for name, (code, seconds) in programs.items()
    ]
    monkeypatch.setattr(gpu, "all_checks", lambda **_: checks)
    monkeypatch.setattr(gpu, "LEAST_SECONDS", 500)
    result = tmp_path / "results" / "gpu.json"
    assert gpu.main(["--out", str(result), "--budget", "100"]) == 1
    assert [path.name for path in result.parent.iterdir()] == ["gpu.json"]
    document = json.loads(result.read_text())
    assert (document["format"], document["benchmark"]) == ("omnimouse-benchmark", "gpu")
    outcomes = document["checks"]
    assert {name: outcome["state"] for name, outcome in outcomes.items()} == {
        "steps, compiled, 80M": "passed",
        "fails": "failed",
        "crashes": "failed",
        "hangs": "timed out",
        "late": "skipped",
    }
    assert outcomes["fails"]["rows"] == [{"a": 1}]
    assert "no such kernel" in outcomes["fails"]["log"]
    assert outcomes["crashes"]["exit_code"] == -signal.SIGSEGV
    assert outcomes["late"]["exit_code"] is None
    (row,) = outcomes["hangs"]["rows"]
    status = Path(f"/proc/{row['pid']}/status")
    # Its parent is gone, and where nobody collects it, it stays as a zombie.
    assert not status.exists() or "(zombie)" in status.read_text()
    verdicts = {target["name"]: target["is_met"] for target in document["targets"]}
    assert verdicts.pop("80M at batch 8, compiled, share of peak FLOP/s") is True
    assert verdicts.pop("first compiled step of 80M in seconds") is False
    assert set(verdicts.values()) == {None}
    assert "first compiled step of 80M in seconds: 400 (missed)" in capsys.readouterr().out


def test_a_gpu_is_checked_with_an_installed_wheel(script, monkeypatch, tmp_path):
    gpu, wheels = script("gpu"), tmp_path / "wheels"
    wheels.mkdir()
    facts = "omnimouse-7.dist-info"
    files = {
        "omnimouse_cli.py": "installed = True\n",
        f"{facts}/METADATA": "Metadata-Version: 2.1\nName: omnimouse\nVersion: 7\n",
        f"{facts}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{facts}/RECORD": "",
    }
    with zipfile.ZipFile(wheels / "omnimouse-7-py3-none-any.whl", "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    # The sources lie in the working folder and must not hide the wheel.
    code = (
        "import importlib.metadata, json, omnimouse_cli\n"
        "version = importlib.metadata.version('omnimouse')\n"
        "print(json.dumps({'version': version, 'installed': omnimouse_cli.installed}))\n"
    )
    checks = [gpu.Check(name="imports", seconds=60, arguments=("-P", "-c", code))]
    monkeypatch.setattr(gpu, "all_checks", lambda **_: checks)
    result = tmp_path / "gpu.json"
    assert gpu.main(["--out", str(result), "--wheels", str(wheels)]) == 0
    (row,) = json.loads(result.read_text())["checks"]["imports"]["rows"]
    assert row == {"version": "7", "installed": True}
    with pytest.raises(SystemExit, match="there is no wheel in"):
        gpu.main(["--out", str(result), "--wheels", str(tmp_path)])


def test_a_check_that_does_not_exist_is_refused(script, capsys):
    with pytest.raises(SystemExit) as stop:
        script("gpu").main(["--only", "facts;speed"])
    assert stop.value.code == 2
    assert "there is no check speed" in capsys.readouterr().err


def test_windows_at_every_sample_make_predictions_independent_of_the_start(
    script, small_mouse, write_run, tmp_path
):
    run = write_run(tmp_path / "run", small_mouse)
    study = script("predict_stride").study(run, None, 3.0)
    changes = {row["stride_samples"]: row["largest_change"] for row in study["strides"]}
    assert changes[1] == 0
    assert 0 < changes[3] < changes[30]


def test_intervals_of_exponents_hold_the_truth_and_only_true_breaks_are_found(script):
    # The short form of the study; the full one: benchmarks/results/scaling-coverage-cpu.json.
    study = script("scaling_coverage")
    for design in study.COVERAGE:
        found = study.measure_coverage(design, num_draws=4, num_resamples=40)
        assert found["refused"] == 0
        # 95 % in the long run; 3 of 4 leaves room for chance.
        assert min(found["coverage"][name] for name in ("alpha", "beta")) >= 0.75
    true = study.count_breaks(study.simulate_addition, 2)
    assert true["places"] == pytest.approx([study.ADDITION["break"]] * 2, rel=0.1)
    false = study.count_breaks(lambda generator: study.simulate(study.SMOOTH[0], generator), 2)
    assert false["supported"] == 0
