"""Files that are written as a whole or not at all."""

import os
from contextlib import contextmanager, suppress
from secrets import token_hex


@contextmanager
def whole_file(path, partial=None):
    """A file that takes the place of `path` when the block ends without an error.

    Parameters
    ----------
    path : str or path-like
        Of a symbolic link it is the file that the link points at.
    partial : str, default=None
        Where to write meanwhile, in the same folder; None is a name that nothing else has.
    """
    path = os.path.realpath(path)
    partial = partial or f"{path}.{token_hex(4)}.partial"
    try:
        with open(partial, "w+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException:
        with suppress(OSError):
            os.remove(partial)
        raise
