"""Trials get kind, tier and flips from the files that agree with the recording."""

import json
from itertools import pairwise

import numpy as np
import pytest
import yaml

from omnimouse_cli.errors import RecordingError
from omnimouse_cli.recording.open import open_recording

CLIP = {"modality": "video", "num_frames": 60, "tier": "train"}
BLANK = {"modality": "blank", "interleave_value": 127, "seconds": 0.4}


def edit_combined(session, change):
    file = session / "screen/combined_meta.json"
    metas = json.loads(file.read_text())
    change(metas)
    file.write_text(json.dumps(metas))


def edit_yml(session, name, **fields):
    file = session / f"screen/meta/{name}.yml"
    file.write_text(yaml.safe_dump({**yaml.safe_load(file.read_text()), **fields}))


def test_trials_abut_and_each_has_its_own_flips(experanto_session):
    recording = open_recording(experanto_session())
    trials, flips = recording.trials, recording.screen.flip_seconds
    assert sum(trial.num_flips for trial in trials) == flips.size
    for trial, following in pairwise(trials):
        assert trial.end_seconds == following.start_seconds
        assert trial.first_flip + trial.num_flips == following.first_flip
        assert trial.start_seconds == flips[trial.first_flip]


def test_the_last_trial_ends_one_frame_after_its_last_flip(experanto_session):
    recording = open_recording(experanto_session(trials=[BLANK, CLIP, CLIP]))
    last = recording.trials[-1]
    assert last.end_seconds == pytest.approx(last.start_seconds + 2.0, abs=1e-5)
    assert last.end_seconds > recording.screen.flip_seconds[-1]


def test_kinds_are_read_in_any_case(experanto_session):
    words = ["Video", "IMAGE", "Blank", "INVALID"]
    trials = [{"modality": word, "num_frames": 1, "interleave_value": 0} for word in words]
    path = experanto_session(trials=[CLIP, *trials])
    np.save(path / "screen/data/00001.npy", np.zeros((1, 9, 16), np.uint8))
    np.save(path / "screen/data/00002.npy", np.zeros((9, 16), np.uint8))
    kinds = [trial.kind for trial in open_recording(path).trials]
    assert kinds == ["video", "video", "image", "blank", "invalid"]


def test_only_videos_have_more_than_one_frame_whatever_num_frames_says(experanto_session):
    trials = [{**BLANK, "num_frames": 12}, CLIP, {"modality": "image", "num_frames": 15}, CLIP]
    recording = open_recording(experanto_session(trials=trials))
    assert [trial.num_flips for trial in recording.trials] == [1, 60, 1, 60]


def test_a_trial_without_tier_has_none(experanto_session):
    trials = [CLIP, BLANK, {**CLIP, "tier": None}, {**CLIP, "tier": ""}, {**CLIP, "tier": "none"}]
    tiers = [trial.tier for trial in open_recording(experanto_session(trials=trials)).trials]
    assert tiers == ["train", None, None, None, "none"]


def test_a_blank_of_tier_blank_has_no_tier(experanto_session):
    trials = [
        CLIP,
        {**BLANK, "tier": "blank"},
        {**BLANK, "tier": "Blank"},
        {**BLANK, "tier": "val"},
    ]
    trials += [{**CLIP, "tier": "blank"}, {**CLIP, "tier": "Val"}]
    tiers = [trial.tier for trial in open_recording(experanto_session(trials=trials)).trials]
    assert tiers == ["train", None, None, "val", "blank", "Val"]


def pause(path, after_flip, seconds):
    """Move the flips from `after_flip` on by some seconds."""
    file = path / "screen/timestamps.npy"
    times = np.load(file)
    times[after_flip:] += seconds
    np.save(file, times)


@pytest.mark.parametrize("seconds", [0.3, 2.0, 60.0])
def test_a_pause_after_a_video_is_not_used(experanto_session, seconds):
    path = experanto_session(trials=[CLIP, CLIP, BLANK, CLIP])
    expected = open_recording(path).trials
    pause(path, 60, seconds)
    recording = open_recording(path)
    first, second = recording.trials[:2]
    assert first.end_seconds == pytest.approx(expected[0].end_seconds, abs=1e-5)
    assert second.start_seconds == pytest.approx(expected[1].start_seconds + seconds)
    assert any("1 trial is followed by a pause" in note for note in recording.notes)
    assert any(f"longest of {seconds:.1f} s" in note for note in recording.notes)


def test_dropped_frames_and_long_blanks_are_no_pause(experanto_session):
    path = experanto_session(trials=[CLIP, CLIP, {**BLANK, "seconds": 59.0}, CLIP])
    pause(path, 60, 0.2)
    recording = open_recording(path)
    for trial, following in pairwise(recording.trials):
        assert trial.end_seconds == following.start_seconds
    assert recording.notes == ()


def test_a_slow_video_is_held_for_its_own_frame(experanto_session):
    path = experanto_session(trials=[{**CLIP, "num_frames": 4}, CLIP])
    file = path / "screen/timestamps.npy"
    times = np.load(file)
    times[:4] = times[0] + np.arange(4) * 0.5
    times[4:] += times[0] + 2.0 - times[4]
    np.save(file, times)
    recording = open_recording(path)
    assert recording.trials[0].end_seconds == recording.trials[1].start_seconds
    assert recording.notes == ()


def test_a_pause_after_an_image_is_not_used(experanto_session):
    images = [{"modality": "image", "tier": "train", "seconds": 0.5}] * 6
    path = experanto_session(trials=[*images, CLIP])
    pause(path, 3, 20.0)
    recording = open_recording(path)
    lengths = [trial.end_seconds - trial.start_seconds for trial in recording.trials[:6]]
    np.testing.assert_allclose(lengths, 0.5, atol=1e-5)
    assert any("20.0 s in all" in note for note in recording.notes)


def test_trials_marked_not_valid_are_kept_with_a_note(experanto_session):
    recording = open_recording(experanto_session(trials=[CLIP, {**CLIP, "valid_trial": False}]))
    assert [trial.tier for trial in recording.trials] == ["train", "train"]
    assert any("marked valid_trial: false are kept, by tier: 1" in note for note in recording.notes)


def test_an_unknown_kind_is_refused_with_the_known_ones(experanto_session):
    path = experanto_session(trials=[CLIP, {**BLANK, "modality": "sound"}])
    with pytest.raises(
        RecordingError, match=r"trial 00001: `modality` must be one of video, image, .*: sound"
    ):
        open_recording(path)


@pytest.mark.parametrize(("combined", "ymls"), [(True, False), (False, True), (True, True)])
def test_both_places_of_trial_fields_give_the_same_trials(experanto_session, combined, ymls):
    expected = open_recording(experanto_session("1-1-1")).trials
    recording = open_recording(experanto_session("2-2-2", combined=combined, ymls=ymls))
    assert recording.trials == expected
    assert recording.notes == ()
    assert (recording.path / "screen/combined_meta.json").exists() == combined


def test_files_that_are_not_five_digits_are_no_trials(experanto_session):
    path = experanto_session(combined=False)
    num_trials = len(open_recording(path).trials)
    for name in ("7", "123456", "notes"):
        (path / f"screen/meta/{name}.yml").write_text("modality: blank\n")
    assert len(open_recording(path).trials) == num_trials


def test_a_combined_file_with_fewer_trials_is_stale(experanto_session):
    path = experanto_session()
    expected = open_recording(path).trials
    edit_combined(path, lambda metas: metas.popitem())
    recording = open_recording(path)
    assert recording.trials == expected
    assert any("combined_meta.json is stale (it has 19 trials" in note for note in recording.notes)


def test_a_combined_file_with_another_number_of_frames_is_stale(experanto_session):
    path = experanto_session()
    expected = open_recording(path).trials
    edit_combined(path, lambda metas: metas["00000"].update(num_frames=59))
    recording = open_recording(path)
    assert recording.trials == expected
    assert any("frames, timestamps.npy has" in note for note in recording.notes)


def test_a_combined_file_with_other_fields_is_stale(experanto_session):
    path = experanto_session()
    edit_yml(path, "00000", tier="final_test")
    recording = open_recording(path)
    assert recording.trials[0].tier == "final_test"
    assert any("trial 00000 differs" in note for note in recording.notes)


def test_a_few_stray_yml_files_do_not_hide_a_complete_list(experanto_session):
    path = experanto_session()
    expected = open_recording(path).trials
    for file in sorted((path / "screen/meta").glob("*.yml"))[2:]:
        file.unlink()
    recording = open_recording(path)
    assert recording.trials == expected
    assert any("meta/NNNNN.yml are not complete" in note for note in recording.notes)


def test_a_missing_trial_leaves_the_others_where_first_frame_idx_says(experanto_session):
    path = experanto_session(ymls=False, trials=[CLIP, BLANK, CLIP, CLIP])
    full = open_recording(path)
    edit_combined(path, lambda metas: metas.pop("00001"))
    recording = open_recording(path)
    kept = [full.trials[number] for number in (0, 2, 3)]
    assert [trial.start_seconds for trial in recording.trials] == [t.start_seconds for t in kept]
    assert [trial.end_seconds for trial in recording.trials] == [t.end_seconds for t in kept]
    assert [trial.first_flip for trial in recording.trials] == [0, 60, 120]
    own = np.delete(full.screen.flip_seconds, 60)
    np.testing.assert_array_equal(recording.screen.flip_seconds, own)
    shown = recording.read_trial(1)
    np.testing.assert_array_equal(shown, full.read_trial(2))
    assert any("1 of 181 flips belong to no trial" in note for note in recording.notes)


def test_frames_that_do_not_add_up_to_the_flips_are_refused(experanto_session):
    path = experanto_session(trials=[CLIP, BLANK, CLIP])
    file = path / "screen/timestamps.npy"
    np.save(file, np.load(file)[:-4])
    with pytest.raises(
        RecordingError, match=r"counts 121 frames in 3 trials, but .* has 117 flips"
    ):
        open_recording(path)


def test_a_missing_trial_without_first_frame_idx_is_refused(experanto_session):
    trials = [{**trial, "first_frame_idx": None} for trial in (CLIP, BLANK, CLIP)]
    path = experanto_session(ymls=False, trials=trials)
    assert len(open_recording(path).trials) == 3
    edit_combined(path, lambda metas: metas.pop("00001"))
    with pytest.raises(RecordingError, match=r"120 frames in 2 trials, but .* has 121 flips"):
        open_recording(path)


def test_first_frame_idx_that_contradicts_the_count_is_refused(experanto_session):
    path = experanto_session(ymls=False, trials=[CLIP, BLANK, CLIP])
    edit_combined(path, lambda metas: metas["00002"].update(first_frame_idx=60))
    with pytest.raises(RecordingError, match="`first_frame_idx` is 60, but 61 frames lie before"):
        open_recording(path)


def test_first_frame_idx_may_count_from_another_base(experanto_session):
    path = experanto_session(ymls=False, trials=[CLIP, BLANK, CLIP])

    def shift(metas):
        for fields in metas.values():
            fields["first_frame_idx"] += 1

    edit_combined(path, shift)
    recording = open_recording(path)
    assert recording.trials[1].first_flip == 60
    assert any("first_frame_idx counts from 1" in note for note in recording.notes)


def test_a_screen_without_trials_is_refused(experanto_session):
    path = experanto_session(combined=False, ymls=False)
    with pytest.raises(RecordingError, match=r"has no trials: neither combined_meta\.json"):
        open_recording(path)
    (path / "screen/combined_meta.json").write_text("{}")
    with pytest.raises(RecordingError, match="lists no trial"):
        open_recording(path)


def test_a_broken_combined_file_is_refused(experanto_session):
    path = experanto_session()
    (path / "screen/combined_meta.json").write_text('{"00000": {"modality"')
    with pytest.raises(RecordingError, match=r"combined_meta\.json is not valid JSON"):
        open_recording(path)
    (path / "screen/combined_meta.json").write_text('{"first": {}}')
    with pytest.raises(RecordingError, match="five-digit name with fields: 'first'"):
        open_recording(path)


def test_a_trial_without_its_kind_or_length_is_refused(experanto_session):
    path = experanto_session(combined=False, trials=[CLIP, BLANK])
    edit_yml(path, "00000", num_frames=None)
    with pytest.raises(RecordingError, match=r"00000\.yml has no `num_frames`"):
        open_recording(path)
    edit_yml(path, "00000", num_frames=0)
    with pytest.raises(RecordingError, match="`num_frames` must be positive: 0"):
        open_recording(path)
    edit_yml(path, "00000", num_frames=60, modality=None)
    with pytest.raises(RecordingError, match=r"00000\.yml has no `modality`"):
        open_recording(path)
