"""labels.json: tags and a note that the user gives a run."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.files import read_document, write_document

LABELS = "labels.json"
MAX_TAG_LETTERS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """Tags and note of a run.

    Args:
        tags: Distinct words, in the order in which they were given.
        note: Free text; empty without one.
    """

    tags: tuple[str, ...] = ()
    note: str = ""

    def __post_init__(self) -> None:
        """Check the tags."""
        for tag in self.tags:
            if not tag.strip() or not tag.isprintable() or "," in tag or len(tag) > MAX_TAG_LETTERS:
                raise ValueError(
                    f"a tag must be a word of at most {MAX_TAG_LETTERS} letters without commas: "
                    f"{tag!r}"
                )


def read_labels(run: Path) -> Labels:
    """Return the tags and the note of a run; empty ones where none were given.

    Raises:
        OmniMouseError: labels.json is damaged.
    """
    path = run / LABELS
    if not path.exists():
        return Labels()
    content = read_document(path, "labels")
    tags, note = content.get("tags"), content.get("note")
    if (
        not isinstance(tags, list)
        or not all(isinstance(tag, str) for tag in tags)
        or not isinstance(note, str)
    ):
        raise OmniMouseError(
            f"{path} is damaged: `tags` must be a list of texts and `note` a text",
            hint="remove the file, and give the run its tags again",
        )
    try:
        return Labels(tags=tuple(tags), note=note)
    except ValueError as error:
        raise OmniMouseError(f"{path}: {error}", hint="remove the file") from error


def change_labels(
    run: Path, *, add: Sequence[str] = (), remove: Sequence[str] = (), note: str | None = None
) -> Labels:
    """Change the tags and the note of a run; the file is written whole or not at all.

    Args:
        run: Folder of the run.
        add: Tags to add.
        remove: Tags to remove.
        note: The new note, empty for none; None keeps the present one.

    Raises:
        OmniMouseError: A tag cannot be used, or the run has not the tag that is to be removed.
    """
    labels = read_labels(run)
    absent = [tag for tag in remove if tag not in labels.tags]
    if absent:
        raise OmniMouseError(
            f"{run} has no tag {absent[0]!r}",
            hint=f"its tags: {', '.join(labels.tags) or 'none'}",
        )
    tags = dict.fromkeys([*labels.tags, *(tag.strip() for tag in add)])
    try:
        changed = Labels(
            tags=tuple(tag for tag in tags if tag not in remove),
            note=labels.note if note is None else note.strip(),
        )
    except ValueError as error:
        raise OmniMouseError(str(error), hint="for example --tag baseline") from error
    write_document(run / LABELS, "labels", asdict(changed))
    return changed
