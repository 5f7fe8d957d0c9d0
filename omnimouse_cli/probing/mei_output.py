"""Files of most exciting stimuli: arrays, a table as CSV and JSON, and a page with pictures."""

import base64
import csv
import io
import struct
import zlib
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.files import require_folder, write_atomically, write_document, write_text
from omnimouse_cli.probing.mei import ExcitingStimuli
from omnimouse_cli.report.html import escape, render_document, render_section, render_table
from omnimouse_cli.text import format_number

NAMES = {
    "most": "most exciting",
    "least": "least exciting",
    "natural": "best natural",
    "grating": "best grating",
    "grey": "grey",
}
GROUPS = (
    "made: response by the runs that made the stimuli; validated: by other runs; each to every "
    "stimulus, also to grey, gratings and natural ones, which are there for comparison"
)
# Frames of a video on a contact sheet.
SHEET_FRAMES = (0, 5, 10, 15, 20, 25)
PIXEL_SIZE = 4
SHEET_PIXEL_SIZE = 2


def write_files(result: ExcitingStimuli, folder: Path) -> tuple[Path, ...]:
    """Write mei.npz, mei.csv, mei.json and mei.html into a folder, and return their paths.

    Raises:
        OmniMouseError: The folder is a file.
    """
    require_folder(folder)
    arrays, table, document, page = (
        folder / f"mei.{end}" for end in ("npz", "csv", "json", "html")
    )
    with write_atomically(arrays) as stream:
        np.savez_compressed(stream, allow_pickle=False, **list_arrays(result))
    write_text(table, _format_csv(result))
    write_document(document, "mei", describe(result))
    write_text(page, render_page(result))
    return arrays, table, document, page


def list_arrays(result: ExcitingStimuli) -> dict[str, NDArray[Any]]:
    """Return the arrays of mei.npz: `stimuli/most`, `made/most`, `validated/most`, ..."""
    arrays: dict[str, NDArray[Any]] = {"neurons": result.neurons, "starts": result.starts}
    if result.unit_ids is not None:
        arrays["unit_ids"] = result.unit_ids
    groups = {"stimuli": result.stimuli, "made": result.responses, "validated": result.validated}
    for group, values in groups.items():
        arrays |= {f"{group}/{name}": array for name, array in values.items()}
    return arrays


def list_rows(result: ExcitingStimuli) -> list[dict[str, float | int | None]]:
    """Return one row per neuron: responses to each stimulus, as means over runs.

    `made_NAME` is that of the runs that made the stimuli, `validated_NAME` of those that validate.
    """
    rows: list[dict[str, float | int | None]] = []
    for number, neuron in enumerate(result.neurons):
        unit = None if result.unit_ids is None else int(result.unit_ids[number])
        row: dict[str, float | int | None] = {"neuron": int(neuron), "unit_id": unit}
        for group, values in (("made", result.responses), ("validated", result.validated)):
            for name in NAMES:
                if name in values:
                    mean = float(values[name][:, number].mean())
                    row[f"{group}_{name}"] = mean if np.isfinite(mean) else None
        rows.append(row)
    return rows


def describe(result: ExcitingStimuli) -> dict[str, Any]:
    """Return the content of mei.json."""
    return {
        "session": result.session,
        "made_by": result.made_by,
        "validated_by": result.validated_by,
        "state": result.state,
        "unit": result.unit,
        "mean_grey": result.mean,
        "contrast_grey": result.contrast,
        "video_contrast_grey": result.video_contrast,
        "options": asdict(result.options),
        "notes": result.notes,
        "neurons": [
            {**row, "starts": result.starts[:, number].tolist()}
            for number, row in enumerate(list_rows(result))
        ],
    }


def _format_csv(result: ExcitingStimuli) -> str:
    rows = list_rows(result)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def render_page(result: ExcitingStimuli) -> str:
    """Return the HTML of the page."""
    shown = "still for a second" if result.options.kind == "image" else "for a second"
    validated = ", ".join(result.validated_by) or "no run"
    is_missing = result.state == "missing"
    behavior = "behavior missing" if is_missing else f"behavior at its {result.state}"
    about = (
        f"{result.session}: made by {', '.join(result.made_by)}, validated by {validated}. Every "
        f"stimulus is shown {shown} after a second of grey ({result.mean:.0f}). Made stimuli have "
        f"an RMS contrast of {result.contrast:.0f} grey levels over the screen in every frame, "
        f"gratings {result.video_contrast:.0f}, as natural stimuli on average, which are shown "
        f"unchanged. Responses are means over that second ({result.unit}), with {behavior}."
    )
    notes = "".join(f"<li>{escape(note)}</li>" for note in result.notes)
    return render_document(
        f"Most exciting stimuli: {result.session}",
        [
            f"<header><h1>Most exciting {result.options.kind}s</h1><p>{escape(about)}</p></header>",
            render_section("Limits", f"<ul>{notes}</ul>") if notes else "",
            render_section("Responses", _render_responses(result)),
            render_section("Stimuli", _render_stimuli(result)),
            "<footer>The same numbers are in mei.csv and mei.json, the stimuli in mei.npz."
            "</footer>",
        ],
    )


def _render_responses(result: ExcitingStimuli) -> str:
    rows = list_rows(result)
    names = [name for name in rows[0] if name not in ("neuron", "unit_id")]
    heading = (f"{NAMES[name.partition('_')[2]]}, {name.partition('_')[0]}" for name in names)
    cells = [(str(row["neuron"]), *(format_number(row[name]) for name in names)) for row in rows]
    table = render_table(("neuron", *heading), cells)
    return f'<p class="note">{escape(GROUPS)}.</p>{table}'


def _render_stimuli(result: ExcitingStimuli) -> str:
    parts = []
    for number, row in enumerate(list_rows(result)):
        pictures = []
        for name, title in NAMES.items():
            if name not in result.stimuli:
                continue
            caption = f"{title}: {format_number(row[f'made_{name}'])}"
            if result.validated:
                caption += f", validated {format_number(row[f'validated_{name}'])}"
            source, width = _draw_sheet(result.stimuli[name][number])
            pictures.append(
                f'<figure style="display:inline-block;margin:.4rem .8rem .4rem 0">'
                f'<img src="{source}" width="{width}" alt="{escape(caption)}" '
                f'style="image-rendering:pixelated;max-width:100%">'
                f"<figcaption>{escape(caption)}</figcaption></figure>"
            )
        parts.append(f"<h3>Neuron {row['neuron']}</h3>{''.join(pictures)}")
    return "".join(parts)


def _draw_sheet(frames: NDArray[np.float32]) -> tuple[str, int]:
    """Return a picture of an image, or of some frames of a video side by side, and its width.

    Args:
        frames: Grey levels `(frames, height, width)`.
    """
    size = PIXEL_SIZE
    if len(frames) > 1:
        frames, size = frames[list(SHEET_FRAMES)], SHEET_PIXEL_SIZE
    # One column of white between frames.
    spaced = np.pad(frames, ((0, 0), (0, 0), (0, 1)), constant_values=255)
    sheet = np.concatenate(list(spaced), axis=1)[:, :-1]
    return encode_png(sheet), size * sheet.shape[1]


def encode_png(grey: NDArray[np.float32]) -> str:
    """Return a grey picture as a PNG in a `data:` address.

    Args:
        grey: Grey levels 0 to 255 `(height, width)`; they are rounded.
    """
    pixels = np.clip(np.rint(grey), 0, 255).astype(np.uint8)
    height, width = pixels.shape
    # Every row starts with the number of its filter, 0 for none.
    rows = np.pad(pixels, ((0, 0), (1, 0))).tobytes()
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows, 9)), (b"IEND", b""))
    data = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in chunks
    )
    return f"data:image/png;base64,{base64.b64encode(data).decode()}"
