"""Why a file or folder that looks like data is no recording, and what to do with it."""

import zipfile
from pathlib import Path

ARCHIVES = (".tar", ".tgz", ".tbz2", ".txz", ".gz", ".bz2", ".xz", ".zst", ".7z", ".rar")
UNFINISHED = (".part", ".partial", ".crdownload", ".download", ".aria2", ".filepart", ".incomplete")
_AS_ARRAYS = "; write its responses as arrays (responses.npy with times.npy or a rate)"
_OTHERS = {
    ".mat": f"a MATLAB file{_AS_ARRAYS}",
    ".h5": f"an HDF5 file that is not NWB{_AS_ARRAYS}",
    ".hdf5": f"an HDF5 file that is not NWB{_AS_ARRAYS}",
    ".tif": "a film of the microscope without extracted traces; extract them first",
    ".tiff": "a film of the microscope without extracted traces; extract them first",
    ".sbx": "a film of the microscope without extracted traces; extract them first",
    ".npy": f"an array outside a layout that is known{_AS_ARRAYS}",
    ".npz": "an archive of arrays without `responses` and `times` or `rate_hz`",
    ".pkl": f"a pickle, which is never opened{_AS_ARRAYS}",
    ".pickle": f"a pickle, which is never opened{_AS_ARRAYS}",
    ".zarr": "a Zarr store that is not NWB",
    ".nwb": "no NWB file that can be read",
    ".safetensors": "a shard or weights, and no recording",
}


def describe_other(path: Path) -> str | None:
    """Return what a path that is no recording is, and what to do; None if it is not like data.

    Args:
        path: A file, a link or a Zarr store. Only the list of contents of a zip is read.

    Example:
        >>> describe_other(Path("session.tar.gz"))
        'an archive; unpack it first'
        >>> describe_other(Path("notes.txt"))
    """
    suffix = path.suffix.lower()
    if suffix in UNFINISHED:
        return "an unfinished download; finish it first"
    is_data = suffix in _OTHERS or suffix in ARCHIVES or suffix == ".zip"
    if is_data and path.is_symlink() and not path.exists():
        return "a link to a file that is not here; get it first, as with `datalad get`"
    if suffix in ARCHIVES:
        return "an archive; unpack it first"
    if suffix == ".zip":
        return _describe_zip(path) if path.is_file() else None
    return _OTHERS.get(suffix)


def _describe_zip(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, NotImplementedError, ValueError) as error:
        return f"a zip archive that cannot be read ({error}); download it again"
    folders = sorted({name.partition("/")[0] for name in names})
    shown = ", ".join(folders[:3]) + (", ..." if len(folders) > 3 else "")
    return f"a zip archive of {shown or 'nothing'} and no Sensorium set; unpack it first"
