"""Most and least exciting stimuli of neurons: made by some runs, validated by others."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from omnimouse_cli.batch.dataset import Dataset
from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.probing.behavior_state import StateName
from omnimouse_cli.probing.mei_ascent import (
    SHOWN_FRAMES,
    AscentOptions,
    ascend,
    respond,
)
from omnimouse_cli.probing.mei_constraints import (
    FINAL_STEPS,
    PRIORS,
    Prior,
    draw_noise,
    hold_contrast,
    require_feasible,
)
from omnimouse_cli.probing.mei_references import choose_gratings, measure_contrast, natural_stimuli
from omnimouse_cli.probing.session_model import SessionModel, require_neurons
from omnimouse_cli.reporter import Reporter, Silent
from omnimouse_cli.run.ensemble import require_same_recording
from omnimouse_cli.run.load import LoadedRun
from omnimouse_cli.text import pluralize

F32 = NDArray[np.float32]
I64 = NDArray[np.int64]
Kind = Literal["image", "video"]
CONTRAST = 12.0
# Responses above this multiple of the largest one to natural stimuli are called extrapolated.
EXTRAPOLATED = 2.0
KINDS: tuple[Kind, ...] = ("image", "video")
# References that ascents start from. A video that starts from a drifting grating keeps its speed.
STARTS: dict[Kind, tuple[str, ...]] = {"image": ("natural", "grating"), "video": ("natural",)}
PROGRESS_TASK = "gradient ascent"
NOT_VALIDATED = (
    "no other run validated these stimuli: the responses are those of the runs that made them, and "
    "an ascent also raises a model's errors; train another seed and name it with --validate"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class MeiOptions:
    """How most exciting stimuli are made.

    Args:
        kind: `image`, shown still for a second, or `video`, 30 frames in a second; a second of grey
            comes before either.
        least: Whether least exciting stimuli are made too.
        starts: Number of starts of each neuron: the best natural stimulus (with shards), then for
            images the best grating, then noise with the spectrum of natural images.
        steps: Steps of the ascent.
        prior: Filter of gradients: `smooth`, `natural` or `none`.
        mean: Mean of every frame in grey levels; None is that of natural stimuli of the training
            tiers, or without shards the grey level that the runs scale to 0.
        contrast: RMS contrast of the screen in every frame, in grey levels. At the default, a
            pattern of the size of a receptive field may have full contrast on a grey screen; at
            that of natural video, most of the contrast lies outside of the receptive field.
        state: Behavior during the stimuli: `median`, `mean` or `missing`; None is `median` with
            shards and `mean` without.
        seed: Seed of the noise.
    """

    kind: Kind = "image"
    least: bool = False
    starts: int = 3
    steps: int = 40
    prior: Prior = "smooth"
    mean: float | None = None
    contrast: float = CONTRAST
    state: StateName | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        """Raise OmniMouseError for values out of range."""
        for name, value, known in (("kind", self.kind, KINDS), ("prior", self.prior, PRIORS)):
            if value not in known:
                raise OmniMouseError(
                    f"there is no {name} {value!r}", hint=f"it is one of {', '.join(known)}"
                )
        for name in ("starts", "steps"):
            if getattr(self, name) < 1:
                raise OmniMouseError(f"{name} must be at least 1: {getattr(self, name)}")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ExcitingStimuli:
    """Most exciting stimuli of some neurons of a session, with the responses to them.

    Responses are means over the second in which a stimulus is shown.

    Args:
        session: Session key.
        neurons: int64 `(neurons,)`: their columns in the recording.
        unit_ids: int64 `(neurons,)`: their ids in the recording; None if it has none.
        unit: Unit of responses.
        state: Behavior during the stimuli: `median`, `mean` or `missing`.
        options: How the stimuli were made.
        mean: Mean of every frame of a made stimulus, and of the grey before, in grey levels.
        contrast: RMS contrast of every frame of a made stimulus, in grey levels.
        video_contrast: RMS contrast of the natural stimuli, as they were shown, and of gratings.
        made_by: Runs that made the stimuli.
        validated_by: Runs that did not; possibly none.
        stimuli: Grey levels by name, float32 `(neurons, frames, height, width)`; images have one
            frame. `most`; `least` with that option; `natural`, the best of the training tiers, with
            shards; and `grating`, the best one.
        responses: By the same names and `grey`, float32 `(runs in made_by, neurons)`.
        validated: The same, float32 `(runs in validated_by, neurons)`; empty without such runs.
        starts: Responses after the ascent from each start, as means over the runs in `made_by`,
            float32 `(starts, neurons)`.
        notes: Sentences on the limits of the numbers.
    """

    session: str
    neurons: I64
    unit_ids: I64 | None
    unit: str
    state: str
    options: MeiOptions
    mean: float
    contrast: float
    video_contrast: float
    made_by: tuple[str, ...]
    validated_by: tuple[str, ...]
    stimuli: dict[str, F32]
    responses: dict[str, F32]
    validated: dict[str, F32]
    starts: F32
    notes: tuple[str, ...]


def most_exciting(
    runs: Sequence[LoadedRun],
    session: str,
    neurons: Sequence[int],
    *,
    dataset: Dataset | None = None,
    validate: Sequence[LoadedRun] | None = None,
    options: MeiOptions | None = None,
    device: torch.device | None = None,
    reporter: Reporter | None = None,
) -> ExcitingStimuli:
    """Make the stimuli that excite neurons most, and validate them with other runs.

    Args:
        runs: Runs that make the stimuli, as an ensemble.
        session: Session key.
        neurons: Columns of neurons in the recording, from 0.
        dataset: Shards of the session; without them responses are in standard deviations, and there
            are no natural stimuli.
        validate: Runs that validate the stimuli; None takes the last of several `runs`, which then
            makes none.
        options: How stimuli are made; None takes the defaults.
        device: Where to compute; None is the CPU.
        reporter: Receives progress in ascents.

    Raises:
        OmniMouseError: An unknown session or neuron, a run that makes and validates, a mean and
            contrast that no stimulus has, or neurons that do not depend on the video.
    """
    options, reporter = options or MeiOptions(), reporter or Silent()
    makers, others, notes = _divide_runs(runs, validate)
    models = [
        SessionModel(each, session, dataset=dataset, device=device, state=options.state)
        for each in (makers, others)
        if each
    ]
    for run in others:
        require_same_recording(makers[0], run, session)
    maker = models[0]
    chosen = require_neurons(neurons, maker.num_neurons, session)
    references, ascent, video_contrast = _make_references(maker, dataset, options)
    reporter.start(PROGRESS_TASK, len(chosen) * options.starts * (1 + options.least))
    found = _search(maker, chosen, references, ascent=ascent, options=options, reporter=reporter)
    reporter.finish(PROGRESS_TASK)
    notes += _require_gradient(found.has_gradient, chosen, session)
    shown = {**found.stimuli, "grey": np.full_like(found.stimuli["most"][:, :1], ascent.mean)}
    by_model = []
    for model in models:
        responses = {
            name: respond(model, stimuli, ascent.mean, chosen[:, None])[..., 0]
            for name, stimuli in shown.items()
        }
        for values in responses.values():
            values[:, ~found.has_gradient] = np.nan
        by_model.append(responses)
    notes += _extrapolation(by_model[0], found.has_gradient)
    unit_ids = None if maker.shard is None else maker.shard.unit_id
    return ExcitingStimuli(
        session=session,
        neurons=chosen,
        unit_ids=None if unit_ids is None else unit_ids[chosen],
        unit=maker.unit.name,
        state=maker.state.name,
        options=options,
        mean=ascent.mean,
        contrast=ascent.contrast,
        video_contrast=video_contrast,
        made_by=tuple(str(run.folder) for run in makers),
        validated_by=tuple(str(run.folder) for run in others),
        stimuli=found.stimuli,
        responses=by_model[0],
        validated=by_model[1] if others else {},
        starts=found.starts,
        notes=tuple(notes),
    )


def _divide_runs(
    runs: Sequence[LoadedRun], validate: Sequence[LoadedRun] | None
) -> tuple[list[LoadedRun], list[LoadedRun], list[str]]:
    """Return the runs that make stimuli, those that validate them, and notes."""
    makers, others = list(runs), list(validate or ())
    if validate is None and len(makers) > 1:
        others = [makers.pop()]
        return makers, others, [f"{others[0].folder} made no stimuli: it validates the others'"]
    if not others:
        return makers, [], [NOT_VALIDATED]
    folders = {run.folder.resolve() for run in makers}
    for run in others:
        if run.folder.resolve() in folders:
            raise OmniMouseError(
                f"{run.folder} makes the stimuli and cannot validate them",
                hint="validate with a run of another seed",
            )
    return makers, others, []


def _make_references(
    maker: SessionModel, dataset: Dataset | None, options: MeiOptions
) -> tuple[dict[str, F32], AscentOptions, float]:
    """Return natural stimuli and gratings, the options of ascents, and the contrast of gratings."""
    data, moving = maker.runs[0].config.data, options.kind == "video"
    mean, video_contrast = data.video_mean, data.video_std
    references: dict[str, F32] = {}
    if dataset is not None:
        natural = natural_stimuli(dataset, data, maker.session, moving=moving)
        if len(natural):
            references["natural"] = natural
            mean, video_contrast = measure_contrast(natural)
    mean = mean if options.mean is None else options.mean
    require_feasible(mean, options.contrast)
    gratings = torch.from_numpy(choose_gratings(maker.frame_shape, moving=moving))
    held = hold_contrast(gratings, mean, video_contrast, steps=FINAL_STEPS)
    references["grating"] = held.numpy()
    ascent = AscentOptions(
        mean=mean, contrast=options.contrast, prior=options.prior, steps=options.steps
    )
    return references, ascent, video_contrast


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _SearchResult:
    """The best stimuli by name, responses after each start, and which neurons have a gradient."""

    stimuli: dict[str, F32]
    starts: F32
    has_gradient: NDArray[np.bool_]


def _search(
    maker: SessionModel,
    neurons: I64,
    references: dict[str, F32],
    *,
    ascent: AscentOptions,
    options: MeiOptions,
    reporter: Reporter,
) -> _SearchResult:
    num_frames = SHOWN_FRAMES if options.kind == "video" else 1
    shape = (len(neurons), num_frames, *maker.frame_shape)
    generator = torch.Generator().manual_seed(options.seed)
    responses = {
        name: respond(maker, each, ascent.mean, np.tile(neurons, (len(each), 1))).mean(axis=0)
        for name, each in references.items()
    }
    best = {name: references[name][values.argmax(axis=0)] for name, values in responses.items()}
    stimuli: dict[str, F32] = {}
    responses_after, has_gradient = np.empty(0, np.float32), np.zeros(len(neurons), np.bool_)
    for made, sign in (("most", 1), *((("least", -1),) if options.least else ())):
        starts = [
            references[name][(sign * responses[name]).argmax(axis=0)]
            for name in STARTS[options.kind]
            if name in references
        ][: options.starts]
        while len(starts) < options.starts:
            starts.append(draw_noise(shape, generator).numpy())
        result = ascend(
            maker,
            np.concatenate(starts),
            np.tile(neurons, options.starts),
            np.full(options.starts * len(neurons), sign),
            ascent,
            advance=lambda count: reporter.advance(PROGRESS_TASK, count),
        )
        after = result.responses.reshape(options.starts, -1)
        chosen = (sign * after).argmax(axis=0)
        stimuli[made] = result.stimuli.reshape(-1, *shape)[chosen, np.arange(len(neurons))]
        if sign == 1:
            responses_after = maker.to_unit(after, neurons)
            has_gradient |= result.has_gradient.reshape(options.starts, -1).any(axis=0)
    responses_after[:, ~has_gradient] = np.nan
    return _SearchResult(
        stimuli={**stimuli, **best}, starts=responses_after, has_gradient=has_gradient
    )


def _extrapolation(responses: dict[str, F32], has_gradient: NDArray[np.bool_]) -> list[str]:
    """Return a note on responses that are much larger than those to natural stimuli."""
    if "natural" not in responses:
        return []
    most, natural = (responses[name].mean(axis=0)[has_gradient] for name in ("most", "natural"))
    beyond = int((most > EXTRAPOLATED * natural).sum())
    if not beyond:
        return []
    return [
        f"of {beyond} of {pluralize(len(most), 'neuron')} the predicted response to the most "
        f"exciting stimulus is more than {EXTRAPOLATED:g} times that to any natural one: training "
        "supports the pattern of the stimulus, but the size of the response is extrapolated, by "
        "all runs alike"
    ]


def _require_gradient(has_gradient: NDArray[np.bool_], neurons: I64, session: str) -> list[str]:
    """Return a note on neurons whose responses do not depend on the video.

    Raises:
        OmniMouseError: There are no others.
    """
    if has_gradient.all():
        return []
    names = ", ".join(str(neuron) for neuron in neurons[~has_gradient])
    noun = "neuron" if (~has_gradient).sum() == 1 else "neurons"
    if not has_gradient.any():
        raise OmniMouseError(
            f"the predicted responses of {session} do not depend on the video: the gradient of "
            f"{noun} {names} is 0",
            hint="name other neurons, or a run that was trained with video",
        )
    return [f"no numbers of {noun} {names}: the responses do not depend on the video"]
