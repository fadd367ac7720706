"""The file of a checkpoint: written as a whole or not at all, known to be whole, and locked.

# Design:
# * The file is what `joblib.dump` writes, and behind it a trailer: a mark and a checksum of all
#   before them. A pickle knows where it ends, so `joblib.load` reads the file as it is.
# * It is written to a file beside it, which then takes its name. Of a symbolic link that is the
#   file that the link points at.
# * The lock is one of the operating system, on a third file. A process that is killed gives it
#   up, whatever is left in the folder.
"""

import errno
import hashlib
import os
from contextlib import suppress

import joblib

from ..whole_file import whole_file

try:
    from fcntl import LOCK_EX, LOCK_NB, flock

    def _lock(file):
        flock(file, LOCK_EX | LOCK_NB)

except ImportError:
    from msvcrt import LK_NBLCK, locking  # type: ignore[attr-defined]  # of Windows alone

    def _lock(file):
        locking(file.fileno(), LK_NBLCK, 1)


MARK = b"sklearn_convnet checkpoint\n"
DIGEST_BYTES = 32
TRAILER_BYTES = len(MARK) + DIGEST_BYTES
CHUNK_BYTES = 2**20
HELD_BY_ANOTHER = (errno.EAGAIN, errno.EACCES, errno.EDEADLK)


class CheckpointError(ValueError):
    """Raised for a file that is no whole checkpoint, or that another fit is writing."""


def _digest(file, n_bytes):
    """The checksum of the first bytes of a file."""
    digest = hashlib.blake2b(digest_size=DIGEST_BYTES)
    file.seek(0)
    while n_bytes > 0:
        chunk = file.read(min(n_bytes, CHUNK_BYTES))
        if not chunk:
            break
        digest.update(chunk)
        n_bytes -= len(chunk)
    return digest.digest()


def beside(path):
    """The files that are written beside a checkpoint: what is not yet whole, and the lock."""
    path = os.path.realpath(path)
    return f"{path}.partial", f"{path}.lock"


def save(value, path):
    """Writes a pickle with its trailer in the place of what was there before."""
    partial, _ = beside(path)
    with whole_file(path, partial) as file:
        joblib.dump(value, file)
        digest = _digest(file, file.tell())
        file.write(MARK + digest)


def load(path):
    """Reads what `save` has written.

    Raises
    ------
    CheckpointError
        If the file is another one, cut short, changed, or of classes that are no more.
    """
    with open(path, "rb") as file:
        n_bytes = file.seek(0, os.SEEK_END) - TRAILER_BYTES
        file.seek(max(n_bytes, 0))
        trailer = file.read()
        if n_bytes < 0 or not trailer.startswith(MARK):
            raise CheckpointError("holds no checkpoint, or only a part of one")
        if trailer[len(MARK) :] != _digest(file, n_bytes):
            raise CheckpointError("is damaged: its bytes are not those that were saved")
        file.seek(0)
        try:
            return joblib.load(file)
        except Exception as error:
            raise CheckpointError(
                f"is whole, but cannot be loaded here, perhaps since it is of another version "
                f"of a package ({type(error).__name__}: {error})"
            ) from error


class Lock:
    """Held by the fit that writes a checkpoint, so that no other does.

    Raises
    ------
    CheckpointError
        If another fit holds it, in this process or in another.
    """

    def __init__(self, path):
        _, self.path = beside(path)
        self.file = self._locked_file()
        while not self._is_listed():  # who held it has removed the file meanwhile
            self.file.close()
            self.file = self._locked_file()

    def _locked_file(self):
        file = open(self.path, "ab")
        try:
            _lock(file)
        except OSError as error:
            if error.errno in HELD_BY_ANOTHER:
                file.close()
                raise CheckpointError("is being written by another fit") from None
            # A file system without locks: the fit goes on without one.
        return file

    def _is_listed(self):
        try:
            return os.path.samestat(os.fstat(self.file.fileno()), os.stat(self.path))
        except FileNotFoundError:
            return False

    def release(self):
        """Removes the file while the lock is held; Windows removes closed files only."""
        if os.name == "nt":
            self.file.close()
        with suppress(OSError):
            os.remove(self.path)
        self.file.close()
