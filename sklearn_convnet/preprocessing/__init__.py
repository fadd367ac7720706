"""Transformers from what data are stored as to what estimators take.

`ImageReader` makes arrays of the names of image files, so that a pipeline, and all that searches
or validates it, runs on a list of names. `ImageFiles` stands for the images as an array would, and
lets an estimator read them batch by batch. `Spectrogram` makes images of sounds.
"""

from .images import ImageFiles, ImageReader
from .spectrogram import Spectrogram

__all__ = ["ImageFiles", "ImageReader", "Spectrogram"]
