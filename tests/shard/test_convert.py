"""A shard holds exactly what the recording holds, and says what it could not take."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from omnimouse_cli.errors import RecordingError
from omnimouse_cli.recording.recording import Neurons
from omnimouse_cli.shard.intervals import contains

NAMES = {"float16": "F16", "bfloat16": "BF16", "float32": "F32"}


def gamma(rows=900, neurons=6, seed=1):
    return np.random.default_rng(seed).gamma(1.0, 2.0, (rows, neurons)).astype(np.float32)


@pytest.mark.parametrize("dtype", NAMES)
def test_responses_are_those_of_the_recording_rounded_once(make_recording, converted, dtype):
    values = gamma()
    shard = converted(make_recording(responses=values), dtype=dtype)
    rounded = torch.from_numpy(values).to(getattr(torch, dtype))
    expected = rounded.to(torch.float32).numpy()
    assert shard.response_dtype == NAMES[dtype]
    np.testing.assert_array_equal(shard.read_responses(0, 900), expected)
    np.testing.assert_array_equal(shard.read_responses(100, 103), expected[100:103])
    error = (expected.astype(float) - values) / values.std(axis=0, dtype=float)
    rounding = shard.description.responses.rounding
    # The errors are exact, the neurons' standard deviations are those of the train tier.
    assert rounding.rms_relative == pytest.approx(np.sqrt((error**2).mean()), rel=0.2, abs=0)
    assert rounding.max_relative == pytest.approx(np.abs(error).max(), rel=0.4, abs=0)


def test_every_other_tensor_is_that_of_the_recording(make_recording, converted):
    unit_id = np.array([5, 3, 8, 1, 9, 7])
    position = np.arange(18, dtype=np.float32).reshape(6, 3)
    recording = make_recording(
        neurons=6,
        native_rate_hz=7.8,
        notes=("the reader's note",),
    )
    recording = replace(
        recording, neurons=Neurons(num_neurons=6, unit_id=unit_id, position_um=position)
    )
    shard = converted(recording)
    trials, description = recording.trials, shard.description
    np.testing.assert_array_equal(shard.unit_id, unit_id)
    np.testing.assert_array_equal(shard.position_um, position)
    np.testing.assert_array_equal(shard.flip_seconds, recording.screen.flip_seconds)
    np.testing.assert_array_equal(shard.trials.start_seconds, [t.start_seconds for t in trials])
    np.testing.assert_array_equal(shard.trials.end_seconds, [t.end_seconds for t in trials])
    for column, names in (
        ("tier", description.tiers),
        ("kind", description.kinds),
        ("condition", description.conditions),
    ):
        numbers = getattr(shard.trials, column)
        read = [None if number < 0 else names[number] for number in numbers]
        assert read == [getattr(trial, column) for trial in trials]
    for device in recording.behavior:
        rows = device.read_rows(0, device.clock.num_samples)
        np.testing.assert_array_equal(shard.behavior(device.name), rows)
        assert shard.device(device.name).clock == device.clock
        assert shard.device(device.name).channels == device.channels
    assert description.responses.clock == recording.responses.clock
    assert description.native_rate_hz == 7.8
    assert description.origin_seconds == 1.5e9
    assert description.notes == ("the reader's note",)


def on_tier(signal, recording, tier):
    times = signal.clock.start_seconds + np.arange(signal.clock.num_samples) / signal.clock.rate_hz
    inside = np.zeros(len(times), dtype=bool)
    for trial in recording.trials:
        if trial.tier == tier:
            inside |= (times + 1e-4 >= trial.start_seconds) & (times + 1e-4 < trial.end_seconds)
    return signal.read_rows(0, signal.clock.num_samples)[inside].astype(float)


def test_statistics_are_those_of_the_train_tier(make_recording, converted):
    values = gamma()
    values[300:500] += 1000
    recording = make_recording(responses=values)
    shard = converted(recording, dtype="float32")
    train = on_tier(recording.responses, recording, "train")
    np.testing.assert_allclose(shard.neuron_mean, train.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(shard.neuron_std, train.std(axis=0), rtol=1e-6)
    for device in recording.behavior:
        rows = on_tier(device, recording, "train")
        np.testing.assert_allclose(shard.device(device.name).mean, rows.mean(axis=0), rtol=1e-9)
        np.testing.assert_allclose(shard.device(device.name).std, rows.std(axis=0), rtol=1e-9)
    assert shard.description.statistics_tier == "train"


def test_without_a_train_trial_statistics_are_of_everything_valid(make_recording, converted):
    values = gamma()
    recording = make_recording(
        responses=values,
        specification=[("video", "test", "a", 20.0), ("video", "oracle", "b", 12.0)],
    )
    shard = converted(recording)
    assert shard.description.statistics_tier == "all"
    assert "no trial of tier train" in shard.description.notes[-1]
    np.testing.assert_allclose(shard.neuron_mean, values.mean(axis=0, dtype=float), rtol=1e-6)


def test_the_files_own_statistics_lie_beside_and_are_doubted(make_recording, converted, signal):
    values = gamma()
    own = {"file_mean": values.mean(axis=0), "file_std": values.mean(axis=0) * 7}
    recording = make_recording()
    recording = replace(recording, responses=signal("responses", 0.6, 30.0, values, **own))
    shard = converted(recording)
    np.testing.assert_array_equal(shard.file_mean, own["file_mean"].astype(np.float32))
    np.testing.assert_array_equal(shard.file_std, own["file_std"].astype(np.float32))
    assert "the file's own standard deviations differ" in shard.description.notes[-1]
    sound = signal("responses", 0.6, 30.0, values, file_std=values.std(axis=0))
    assert converted(replace(recording, responses=sound)).description.notes == ()


def test_a_neuron_that_never_changes_is_kept_with_zero_spread(make_recording, converted):
    values = gamma()
    values[:, 2] = 0.1
    shard = converted(make_recording(responses=values))
    assert shard.neuron_std[2] == 0
    assert (shard.neuron_std[[0, 1, 3, 4, 5]] > 0).all()


@pytest.mark.parametrize(
    ("said", "lowest", "kind"),
    [
        (None, 0.0, "rate"),
        (None, -1e-2, "dff"),
        ("rate", -1e-2, "rate"),
        ("unknown", 0.0, "unknown"),
    ],
)
def test_any_negative_value_means_dff_unless_the_user_says_otherwise(
    make_recording, converted, said, lowest, kind
):
    values = gamma()
    values[700, 3] = lowest
    shard = converted(make_recording(responses=values), response_kind=said)
    assert shard.description.response_kind == kind


@pytest.mark.parametrize(
    ("dtype", "value", "other"),
    [("float16", 70_000.0, "float32"), ("float16", -65_520.0, "float32"),
     ("bfloat16", 3.4e38, "float32")],
)  # fmt: skip
def test_a_value_that_does_not_fit_is_refused_with_its_place(
    make_recording, converted, dtype, value, other
):
    values = gamma()
    values[123, 4] = value
    with pytest.raises(RecordingError, match=rf"neuron 4 in row 123 .* into {dtype}") as caught:
        converted(make_recording(responses=values), dtype=dtype)
    assert other in caught.value.hint
    converted(make_recording(responses=values), dtype=other)


def test_the_largest_float16_still_fits(make_recording, converted):
    values = gamma()
    values[5, 5] = 65_519.0
    assert converted(make_recording(responses=values)).read_responses(5, 6)[0, 5] == 65_504.0


WITH_INVALID = (
    ("video", "train", "a", 12.0),
    ("invalid", None, None, 5.0),
    ("video", "train", "b", 12.0),
)


def test_nan_under_an_invalid_trial_is_a_gap(make_recording, converted):
    values = gamma(840)
    # The responses start at 0.6 s, the trial lasts from 12.4 to 17.4 s.
    values[354:504] = np.nan
    shard = converted(make_recording(responses=values, specification=WITH_INVALID))
    grid = 0.6 + np.arange(840) / 30 + 1e-4
    valid = contains(shard.valid("responses"), grid)
    expected = np.ones(840, dtype=bool)
    expected[:15] = expected[-15:] = expected[354:504] = False
    np.testing.assert_array_equal(valid, expected)
    assert np.isnan(shard.read_responses(354, 504)).all()
    assert np.isfinite(shard.neuron_std).all()


def test_nan_elsewhere_is_refused_with_its_place_unless_gaps_are_allowed(make_recording, converted):
    values = gamma()
    values[600:604, [1, 4]] = np.nan
    recording = make_recording(responses=values)
    with pytest.raises(
        RecordingError, match=r"2 of 6 neurons are NaN or infinite in row 600 \(at 20\.600 s\)"
    ) as caught:
        converted(recording)
    assert "--allow-gaps" in caught.value.hint
    shard = converted(recording, allow_gaps=True)
    assert not contains(shard.valid("responses"), np.array([0.6 + 602 / 30]))[0]
    assert contains(shard.valid("responses"), np.array([0.6 + 606 / 30]))[0]


def test_infinite_responses_are_refused_too(make_recording, converted):
    values = gamma()
    values[10, 0] = np.inf
    with pytest.raises(RecordingError, match=r"1 of 6 neurons are NaN or infinite in row 10"):
        converted(make_recording(responses=values), dtype="float32")


def test_a_recording_may_have_neither_screen_nor_behavior(make_recording, converted):
    shard = converted(make_recording(screen=False, behavior=False))
    assert shard.description.modalities == ("responses",)
    assert shard.description.screen is None


def test_an_open_end_of_the_last_trial_becomes_the_end_of_the_signals(make_recording, converted):
    recording = make_recording()
    last = replace(recording.trials[-1], end_seconds=np.inf)
    shard = converted(replace(recording, trials=(*recording.trials[:-1], last)))
    assert shard.trials.end_seconds[-1] == recording.behavior[0].clock.end_seconds


@pytest.mark.parametrize(
    "changes",
    [
        {"responses": gamma(85)},
        {"specification": [("video", "train", "a", 1.9), ("video", None, "b", 20.0)]},
        {"specification": [("invalid", "train", None, 30.0)], "screen": False},
        {"specification": []},
    ],
    ids=["responses", "trials", "invalid", "nothing"],
)
def test_a_recording_shorter_than_a_window_is_refused(make_recording, converted, changes):
    fields = {"screen": False, "behavior": False, "responses": gamma(), **changes}
    with pytest.raises(RecordingError, match=r"has no valid window: .* \(valid: "):
        converted(make_recording(**fields))


def test_two_seconds_are_just_enough(make_recording, converted):
    # 60 rows, and half a second at both ends.
    fields = {"screen": False, "behavior": False}
    converted(make_recording(responses=gamma(90), **fields))
    with pytest.raises(RecordingError, match="has no valid window"):
        converted(make_recording(responses=gamma(89), **fields))


def test_behavior_that_ends_before_the_trials_leaves_no_window(make_recording, converted, signal):
    recording = make_recording()
    ended = signal("treadmill", -10.0, 20.0, np.ones((230, 1)), ("running",))
    with pytest.raises(RecordingError, match=r"has no valid window.*, treadmill 10\.5 s\)"):
        converted(replace(recording, behavior=(ended,)))
