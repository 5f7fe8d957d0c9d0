"""Chooses the share of the stimulus regression that is added to the drive of receptive fields."""

from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor

from omnimouse_cli.batch.batch import Batch
from omnimouse_cli.config.data import NUM_RESPONSE_SAMPLES
from omnimouse_cli.model.motion_energy import TIMES
from omnimouse_cli.model.omnimouse import OmniMouse
from omnimouse_cli.model.shortcuts.encoding import EncodingShortcut
from omnimouse_cli.model.shortcuts.stimulus import GAZE_AXES, StimulusShortcut
from omnimouse_cli.training.start.encoding import correlation, fit_weights
from omnimouse_cli.training.start.receptive_fields import (
    fit_fields,
    retinal_energies,
    weights_about,
)
from omnimouse_cli.training.start.session_data import SessionData, TrainingReader
from omnimouse_cli.training.start.tuning import fit_tuning

# B windows, T time steps, A samples, F energies, P positions, N neurons, R rank

# All of it, unless less predicts held-out responses better.
SHARES = (1.0, 0.75, 0.5, 0.25, 0.0)
# Neurons of a session that the share is chosen on.
MOST_NEURONS = 256


def choose_stimulus_share(
    reader: TrainingReader,
    core: OmniMouse,
    sessions: Sequence[tuple[str, SessionData, SessionData]],
) -> float:
    """Return the share with which the linear models predict held-out responses best.

    Receptive fields and the regression on the whole screen see the same stimulus, and are fitted to
    the same responses. Tuning is taken as fitted; training scales it later.

    Args:
        reader: Reads the windows.
        core: Its linear models have what sessions share.
        sessions: Keys, windows of the training tiers and of the validation tiers.
    """
    stimulus, encoding = core.linear_paths.stimulus, core.linear_paths.encoding
    assert stimulus is not None, "fitted tuning needs the stimulus shortcut"
    assert encoding is not None, "the core has linear models"
    scores: list[list[Tensor]] = [[] for _ in SHARES]
    for session, train, held_out in sessions:
        if train.contrasts is None or held_out.contrasts is None:
            continue
        every = slice(None, None, -(-train.responses.shape[2] // MOST_NEURONS))
        weights_NR = fit_weights(train, encoding)[every]
        field_N4 = fit_fields(reader, core, session, train)
        tuning_NF = fit_tuning(reader, core, session, train, field_N4)[every]
        batches = reader.batches(session, reader.config.train.validation_tiers)
        drive_WAN = torch.cat(list(_drives(batches, stimulus, field_N4[every], tuning_NF)))
        whole_WAN, of_stimulus_WAN = _expected(held_out, encoding, weights_NR)
        for share, each in zip(SHARES, scores, strict=True):
            predicted_WAN = drive_WAN + whole_WAN - (1 - share) * of_stimulus_WAN
            each.append(correlation(predicted_WAN, held_out.predicted[..., every]))
    means = [float(torch.cat(each).mean()) if each else 0.0 for each in scores]
    return SHARES[means.index(max(means))]


def _drives(
    batches: Iterable[Batch], stimulus: StimulusShortcut, field_N4: Tensor, tuning_NF: Tensor
) -> Iterator[Tensor]:
    """Yield the drive of each batch at the time steps of `SessionData.predicted`."""
    samples = slice(TIMES.start, None, TIMES.step)
    filter_FAT = stimulus.filter((NUM_RESPONSE_SAMPLES // 2, NUM_RESPONSE_SAMPLES))[:, samples]
    where_PN = weights_about(field_N4[:, :GAZE_AXES].double(), stimulus).to(filter_FAT)
    tuning_FN = tuning_NF.to(filter_FAT).T
    for batch in batches:
        local_BTFN = retinal_energies(batch, stimulus).flatten(3) @ where_PN
        yield torch.einsum("btfn,fat->ban", local_BTFN * tuning_FN, filter_FAT)


def _expected(
    data: SessionData, encoding: EncodingShortcut, weights_NR: Tensor
) -> tuple[Tensor, Tensor]:
    """Return what the regression predicts, and the part of it that is due to the stimulus."""
    columns_WAD = data.columns(encoding)
    of_stimulus_DR = encoding.get_buffer("of_stimulus")
    num_stimulus = len(of_stimulus_DR)
    weights_RN = weights_NR.to(columns_WAD).T
    of_stimulus_WAN = columns_WAD[..., :num_stimulus] @ of_stimulus_DR @ weights_RN
    of_behavior_WAN = (
        columns_WAD[..., num_stimulus:] @ encoding.get_buffer("of_behavior") @ weights_RN
    )
    return of_stimulus_WAN + of_behavior_WAN, of_stimulus_WAN
