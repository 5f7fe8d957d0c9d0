"""Reads what the series, films and tables of an NWB file say of its stimulus."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.errors import RecordingError
from omnimouse_cli.recording.nwb.conditions import (
    has_names,
    is_grey_name,
    is_grey_table,
    row_conditions,
    row_tiers,
)
from omnimouse_cli.recording.nwb.geometry import ALLEN, GREY
from omnimouse_cli.recording.nwb.gratings import grating_segments, has_orientation, parse_gratings
from omnimouse_cli.recording.nwb.movies import open_film, read_geometry
from omnimouse_cli.recording.nwb.presentations import presentation_segments, read_presentations
from omnimouse_cli.recording.nwb.series import read_times
from omnimouse_cli.recording.nwb.sources import (
    Source,
    find_templates,
    has_times,
    list_templates,
    require_node,
)
from omnimouse_cli.recording.nwb.stimulus_profile import find_profile
from omnimouse_cli.recording.nwb.tables import (
    Table,
    make_table,
    read_columns,
    read_csv,
    recording_end,
)
from omnimouse_cli.recording.nwb.templates import Templates, open_templates, show_by_name
from omnimouse_cli.recording.nwb.timeline import Segment, grey_segment
from omnimouse_cli.recording.nwb.tree import Node
from omnimouse_cli.recording.options import OpenOptions
from omnimouse_cli.recording.recording import Monitor
from omnimouse_cli.text import pluralize

# What a source says, most certain first: where two describe one time, the first one counts.
# `named` are rows of a table with frames, `unseen` those without, `film` its parts without a name.
Rank = Literal["invalid", "indices", "gratings", "named", "unseen", "grey", "film"]
RANKS: tuple[Rank, ...] = ("invalid", "indices", "gratings", "named", "unseen", "grey", "film")


class StimulusReader:
    """Collects what all sources of one file say of its stimulus.

    Args:
        root: Root of the open file.
        options: What the user says of the stimulus and the trials.
        response_seconds: float64 `(rows,)`, ascending: times of the imaging rows.

    Attributes:
        profile: Monitor and rules of a known data set.
        groups: Segments of one source each, by rank.
        epochs: Tables of epochs.
        rows: Rows of tables of trials, without frames, by table.
        is_stretched: Whether a template is stretched, or a grating drawn for another monitor.
        film_monitor: The monitor as a film states it.
        uses: For each path inside the file the node and what it is taken for.
        notes: One sentence for each thing that was assumed, repaired or left out.
    """

    def __init__(
        self, root: Node, options: OpenOptions, response_seconds: NDArray[np.float64]
    ) -> None:
        self._root = root
        self._options = options
        self._response_seconds = response_seconds
        self.profile = find_profile(root)
        self.groups: dict[Rank, list[list[Segment]]] = {rank: [] for rank in RANKS}
        self.epochs: list[Table] = []
        self.rows: list[list[Segment]] = []
        self._templates: dict[str, Templates | None] = {}
        self.is_stretched = False
        self.film_monitor: Monitor | None = None
        self.uses: dict[str, tuple[Node, str]] = {}
        self.notes: list[str] = []
        self._trials_path: str | None = None
        if options.trials is not None:
            self._read_named_trials(options.trials)

    def read(self, source: Source) -> None:
        """Add what a source says."""
        node = source.node
        if node.path == self._trials_path:
            return
        match source.kind:
            case "indices":
                self._add_indices(node)
            case "film":
                self._add_film(node)
            case "table":
                self._use(node, self._read_table(node))
            case "features":
                self._add_features(node)
            case "intervals":
                self._add_intervals(node)
            case _:
                self._use(node, "not taken: no known kind of stimulus")

    def _add_indices(self, node: Node) -> None:
        if not has_times(node):
            self._use(node, "not taken: it has no times")
            self.notes.append(f"{node.path}: has no times and is not taken")
            return
        group = find_templates(self._root, node)
        templates = None if group is None else self._open_templates(group)
        shown = read_presentations(node, None if templates is None else templates.num_images)
        if shown is None:
            self._use(node, "not taken: it is empty")
            return
        segments = presentation_segments(shown, templates)
        self.groups["indices"].append(segments)
        num_grey = sum(segment.kind == "blank" for segment in segments)
        kind = "flashes" if any(s.kind == "image" for s in segments) else "runs of a movie"
        text = f"stimulus: {len(segments) - num_grey} {kind}, {pluralize(num_grey, 'time')} grey"
        if templates is None:
            text += "; its templates are not known"
            self.notes.append(f"{node.path}: has no templates, so what was shown has no frames")
        self._use(node, text)

    def _open_templates(self, node: Node) -> Templates | None:
        """Open templates once; None if they are no images."""
        if node.path in self._templates:
            return self._templates[node.path]
        templates: Templates | None = None
        try:
            templates = open_templates(
                node, lambda shape: self.profile.map_images(node.name, shape)
            )
        except RecordingError as error:
            self.notes.append(f"{error.message}: its images are not used")
            self._use(node, "not taken: its images cannot be read")
        else:
            self.is_stretched |= self.profile.is_stretched(node.name)
            self.notes += [templates.scale.note] if templates.scale.note else []
            self._use(node, f"templates: {templates.num_images} images")
        self._templates[node.path] = templates
        return templates

    def _add_film(self, node: Node) -> None:
        segment, notes = open_film(node)
        self.notes += notes
        if segment is not None:
            self.groups["film"].append([segment])
            self.film_monitor = self.film_monitor or read_geometry(node)
            self._use(node, f"stimulus: a film of {pluralize(len(segment.flips), 'frame')}")
            return
        if self._options.stimulus is not None:
            raise RecordingError(
                f"{node.file}, named by --stimulus: {notes[0]}",
                hint="without --stimulus, the recording is opened without these frames",
            )
        self._use(node, f"not taken: {notes[0].partition(': ')[2]}")

    def _read_table(self, node: Node) -> str:
        """Read a table of times; return what it is taken for."""
        columns, name = read_columns(node), node.name.lower()
        is_known = name in ("trials", "epochs", "invalid_times") or is_grey_table(name)
        is_known |= has_names(columns) or has_orientation(columns)
        if not is_known:
            return "not taken: no column names a stimulus"
        try:
            table = self._make_table(node, columns)
        except RecordingError as error:
            # Epochs only add what is unknown.
            if name not in ("epochs", "invalid_times") or has_orientation(columns):
                raise
            self.notes.append(f"{error.message}: it is not taken")
            return "not taken: its times are wrong"
        return "not taken: it has no rows" if table is None else self._add_table(table)

    def _add_table(self, table: Table) -> str:
        """Add the rows of a table; return what it is taken for."""
        name = table.name.lower()
        if name == "invalid_times":
            self.groups["invalid"].append(self._make_rows(table, kind="invalid"))
            return "times that are not used"
        if self._add_gratings(table):
            return f"stimulus: {pluralize(len(table.starts), 'grating')}"
        if name == "epochs":
            self.epochs.append(table)
            return "epochs: what they name and no stimulus covers is unknown"
        if is_grey_table(table.name):
            rows = zip(table.starts.tolist(), table.ends.tolist(), strict=True)
            grey = [grey_segment(start, end, table.path) for start, end in rows]
            self.groups["grey"].append(grey)
            self.notes += table.notes
            if self.profile.display is None:
                self.notes.append(f"{table.path}: grey {GREY} is taken")
            return f"stimulus: {pluralize(len(grey), 'time')} grey"
        return self._add_trials(table)

    def _add_trials(self, table: Table) -> str:
        """Add the rows of a table of trials; return what it is taken for."""
        if self._options.trials is not None:
            return "not taken: other trials are named by --trials"
        rows = self._make_rows(table)
        self.notes += table.notes
        rows = show_by_name(rows, list_templates(self._root), self._open_templates)
        # Where two tables have the same time, the one that names stimuli counts.
        if has_names(table.columns) and table.name.lower() != "trials":
            self.rows.insert(0, rows)
        else:
            self.rows.append(rows)
        return f"trials: {pluralize(len(rows), 'row')}"

    def _make_rows(
        self, table: Table, kind: Literal["video", "invalid"] = "video"
    ) -> list[Segment]:
        num_rows = len(table.starts)
        conditions = row_conditions(table.columns, num_rows)
        tiers = row_tiers(table.columns, num_rows)
        if kind == "video" and not any(conditions):
            self.notes.append(f"{table.path}: no column names the stimulus of a trial")
        return [
            Segment(
                start=start,
                end=end,
                kind="blank" if kind == "video" and is_grey_name(condition) else kind,
                condition=condition,
                origin=table.path,
                tier=tier,
            )
            for start, end, condition, tier in zip(
                table.starts.tolist(), table.ends.tolist(), conditions, tiers, strict=True
            )
        ]

    def _add_gratings(self, table: Table) -> bool:
        """Add the rows of a table of gratings; return whether it is one."""
        gratings = parse_gratings(
            table.columns, table.path, default_frequency=self.profile.cycles_per_degree
        )
        if gratings is None:
            return False
        name = "gratings" if table.name in ("epochs", "trials") else table.name
        display = self.profile.display or ALLEN
        segments, notes = grating_segments(
            gratings,
            table.starts.tolist(),
            table.ends.tolist(),
            name=name,
            display=display,
        )
        num_blank = int(gratings.is_blank.sum())
        if num_blank and not has_names(table.columns) and self.profile.display is None:
            self.notes.append(
                f"{table.path}: rows without an orientation are taken as grey: {num_blank}"
            )
        if has_names(table.columns):
            # A row without an orientation is then another stimulus, not a blank sweep.
            rows = self._make_rows(table)
            segments = [
                row if segment.kind == "blank" and row.kind != "blank" else segment
                for segment, row in zip(segments, rows, strict=True)
            ]
        self.notes += [*table.notes, *gratings.notes, *notes]
        if self.profile.display is None:
            self.notes.append(
                f"{table.path}: the monitor is not known; gratings are drawn for one of "
                f"{display.width_cm} x {display.height_cm} cm at {display.distance_cm:g} cm"
            )
            self.is_stretched = True
        self.groups["gratings"].append(segments)
        return True

    def _add_features(self, node: Node) -> None:
        """Add the rows of a series of parameters (NWB 1)."""
        data, features = node.get("data"), node.get("features")
        assert data is not None, "sources.py found it"
        assert features is not None, "sources.py found it"
        values, names = data.read(), features.texts()
        columns: dict[str, NDArray[Any]] = {
            name: values[:, number] for number, name in enumerate(names[: values.shape[1]])
        }
        columns["start_time"] = read_times(node, len(values))
        ends = self._frame_ends(node, len(values))
        if ends is not None:
            columns["stop_time"] = ends
        table = self._make_table(node, columns)
        if table is None or not self._add_gratings(table):
            self._use(node, f"not taken: no gratings ({', '.join(names)})")
            return
        self._use(node, f"stimulus: {pluralize(len(table.starts), 'grating')}")

    def _frame_ends(self, node: Node, num_rows: int) -> NDArray[np.float64] | None:
        """Return the ends that `frame_duration` gives in imaging frames, in seconds."""
        duration = node.get("frame_duration")
        if duration is None or duration.shape != (num_rows, 2):
            return None
        last = np.nan_to_num(duration.read()[:, 1]).astype(np.int64)
        seconds = np.append(self._response_seconds, recording_end(self._response_seconds))
        ends: NDArray[np.float64] = seconds[np.clip(last, 0, len(seconds) - 1)]
        return ends

    def _add_intervals(self, node: Node) -> None:
        """Add the stretches between on and off of a series of +1 and -1."""
        data = node.get("data")
        assert data is not None
        signs = data.read().astype(np.int64)
        seconds = read_times(node, len(signs))
        starts, ends = seconds[signs > 0], seconds[signs < 0]
        count = min(len(starts), len(ends))
        columns = {"start_time": starts[:count], "stop_time": ends[:count]}
        table = self._make_table(node, columns)
        self._use(node, "not taken: it has no rows" if table is None else self._add_table(table))

    def _read_named_trials(self, path: str) -> None:
        """Read the table that --trials names: a path inside the file, or a CSV file."""
        if self._root.get(path if path.startswith("/") else f"/{path}") is None and (
            Path(path).is_file()
        ):
            table, node = read_csv(Path(path), self._response_seconds), None
        else:
            node = require_node(self._root, path, "--trials")
            table = self._make_table(node, read_columns(node))
            self._trials_path = node.path
        if table is None:
            raise RecordingError(
                f"{path}, which --trials names, has no rows",
                hint="name another table, or omit --trials",
            )
        if not self._add_gratings(table):
            rows = self._make_rows(table)
            self.rows = [show_by_name(rows, list_templates(self._root), self._open_templates)]
            self.notes += table.notes
        if node is not None:
            self._use(node, f"trials, named by --trials: {pluralize(len(table.starts), 'row')}")

    def _make_table(self, node: Node, columns: Mapping[str, NDArray[Any]]) -> Table | None:
        return make_table(node.path, node.name, columns, self._response_seconds, node.where)

    def _use(self, node: Node, use: str) -> None:
        self.uses[node.path] = (node, use)
