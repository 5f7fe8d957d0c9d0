"""A raw format whose library is not installed names the extra that installs it."""

import sys
from pathlib import Path

import pytest

from omnimouse_cli.errors import RecordingError
from omnimouse_cli.recording.extras import require_extra
from omnimouse_cli.recording.open import open_recording


def test_a_library_that_is_installed_is_returned():
    assert require_extra("json", "nwb", Path("session.nwb")).loads("1") == 1


def test_a_library_that_is_not_installed_is_named_with_its_extra():
    with pytest.raises(
        RecordingError, match=r"session\.nwb cannot be read without no_such"
    ) as raised:
        require_extra("no_such_library.part", "nwb", Path("session.nwb"))
    assert raised.value.hint == "pip install 'omnimouse[nwb]'"


def test_a_library_that_lacks_another_one_is_broken(tmp_path, monkeypatch):
    (tmp_path / "half_a_library.py").write_text("import no_such_library")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ModuleNotFoundError, match="no_such_library"):
        require_extra("half_a_library", "nwb", Path("session.nwb"))


def test_an_nwb_file_names_its_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    path = tmp_path / "session.nwb"
    path.write_bytes(b"\x89HDF\r\n\x1a\n")
    with pytest.raises(RecordingError, match="cannot be read without h5py") as raised:
        open_recording(path)
    assert "omnimouse[nwb]" in raised.value.hint
