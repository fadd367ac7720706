"""The error of files that cannot be read."""


class ModelFileError(ValueError):
    """Raised for a file that is damaged, of another kind, or of a newer format; it says why."""
