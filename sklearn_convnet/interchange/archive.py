"""The container of a model: a zip of two parts, neither of them compressed.

# Design:
# * Any zip program opens it, and any safetensors reader reads the second part.
# * What a zip may have besides is refused before it is read: other parts, compression, sizes that
#   the file does not have, anything before the first part or after the last. So no more is ever
#   allocated than the file is long.
"""

import os
import struct
import zipfile

from .errors import ModelFileError

#: The parts, in their order.
PARTS = ("model.json", "arrays.safetensors")

#: The most that the first part may have: lists and dicts of it take many times as much memory.
MAX_JSON_BYTES = 2**24

#: The list of the parts at the end of a zip has about 70 bytes for each.
_MAX_LIST_BYTES = 2**10

# Its last bytes, as the format has them (APPNOTE.TXT, 4.3.14 to 4.3.16): an end, before which
# files of more than 4 GB have a place of another end, and that.
_END = struct.Struct("<4s4H2LH")
_PLACE = struct.Struct("<4sLQL")
_LARGE_END = struct.Struct("<4sQ2H2L4Q")

#: The date of the parts, so that the same model is the same bytes: the first that zips know.
_DATE = (1980, 1, 1, 0, 0, 0)


def write_archive(file, parts):
    """Writes the contents of the parts, as bytes in their order."""
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in zip(PARTS, parts, strict=True):
            info = zipfile.ZipInfo(name, _DATE)
            info.external_attr = 0o644 << 16  # of a file that all may read
            archive.writestr(info, content)


def read_archive(path):
    """The contents of the parts, as bytes.

    Raises
    ------
    ModelFileError
        If the file is none, or damaged.
    """
    with open(path, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        try:
            _check_list(file, size)
            with zipfile.ZipFile(file) as archive:
                parts = archive.infolist()
                _check_parts(parts, size)
                return [archive.read(part) for part in parts]
        except ModelFileError:
            raise
        except Exception as error:  # of the library, for bytes that may be anything
            raise ModelFileError(f"it is damaged: {error}") from error


def _check_list(file, size):
    """Raises ModelFileError unless the file ends in a list of two parts and nothing else."""
    tail_bytes = min(size, _END.size + _PLACE.size + _LARGE_END.size)
    file.seek(size - tail_bytes)
    tail = file.read(tail_bytes)
    if len(tail) < _END.size or tail[-_END.size :][:4] != b"PK\5\6":
        raise ModelFileError("it is no model file, or only a part of one")
    _, disk, list_disk, *counts, n_bytes, start, comment = _END.unpack(tail[-_END.size :])
    end = size - _END.size
    place = tail[-_END.size - _PLACE.size : -_END.size]
    if place[:4] == b"PK\6\7":
        *_, disk, list_disk, n, n_too, n_bytes, start = _LARGE_END.unpack(tail[: _LARGE_END.size])
        counts += [n, n_too]
        end -= _PLACE.size + _LARGE_END.size
        if len(tail) < tail_bytes or _PLACE.unpack(place)[2] != end:
            raise ModelFileError("the end of its list of parts is not where it should be")
    if set(counts) != {len(PARTS)} or disk or list_disk or comment or n_bytes > _MAX_LIST_BYTES:
        raise ModelFileError(f"it is another zip, with other parts than {' and '.join(PARTS)}")
    if start + n_bytes != end:
        raise ModelFileError("it has bytes before or after its parts")


def _check_parts(parts, size):
    """Raises ModelFileError for parts that no model has, before any is read."""
    if tuple(part.orig_filename for part in parts) != PARTS:
        raise ModelFileError(f"it is another zip, with other parts than {' and '.join(PARTS)}")
    for part in parts:
        if part.compress_type != zipfile.ZIP_STORED or part.flag_bits:
            raise ModelFileError(f"{part.filename} is compressed or encrypted, which no model is")
        if part.compress_size != part.file_size:
            raise ModelFileError(f"{part.filename} has two sizes")
    if sum(part.file_size for part in parts) > size:
        raise ModelFileError("its parts are larger than the file")
    if parts[0].file_size > MAX_JSON_BYTES:
        raise ModelFileError(
            f"{parts[0].filename} has {parts[0].file_size} bytes, more than {MAX_JSON_BYTES}"
        )
