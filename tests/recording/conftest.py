"""Fixtures of the recording tests: fields of a device are edited in place."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml


@pytest.fixture
def edit_meta() -> Callable[..., None]:
    """`edit_meta(session, device, key=value, ...)` changes fields of meta.yml; None removes one."""

    def edit(session: Path, device: str, **fields: Any) -> None:
        path = session / device / "meta.yml"
        meta = {**yaml.safe_load(path.read_text()), **fields}
        kept = {key: value for key, value in meta.items() if value is not None}
        path.write_text(yaml.safe_dump(kept))

    return edit
