"""Images, volumes and scenes made of real pictures, for `makers.py`."""

import numpy as np
from scipy import ndimage

#: Brightness from which a piece of Fashion-MNIST counts as there.
VISIBLE = 0.1


def picture(name):
    """A picture of scikit-image, of brightness 0 to 1, channels last."""
    from skimage import data

    pixels = getattr(data, name)().astype(np.float32) / 255
    return pixels if pixels.ndim == 3 else pixels[..., np.newaxis]


def blocks(pixels, size):
    """Square blocks `(n, size, size, n_channels)`, row by row; what is left over is dropped."""
    rows, columns = (length // size for length in pixels.shape[:2])
    whole = pixels[: rows * size, : columns * size]
    whole = whole.reshape(rows, size, columns, size, -1).swapaxes(1, 2)
    return whole.reshape(rows * columns, size, size, -1)


def patches(pixels, size, block, rng, n_blocks=60):
    """Pieces for training and, from other blocks, for the test; and the block of each of the first.

    A third of the blocks, at most `n_blocks` of them, is for the test.
    """
    found = blocks(pixels, block)
    found = found[rng.permutation(len(found))[:n_blocks]]
    n_test = len(found) // 3
    test, train = (np.concatenate([blocks(b, size) for b in f]) for f in np.split(found, [n_test]))
    return train, test, np.arange(len(train)) // (block // size) ** 2


def turned(image, degrees):
    return ndimage.rotate(image, degrees, order=1, reshape=False).clip(0, 1)


def moving(pictures, size, n_frames, rng):
    """Volumes of frames in which a picture moves: 0 to the left, 1 right, 2 up or 3 down.

    It goes a pixel a frame, in noise. It begins anywhere, and comes in again where it has left the
    frame, so that no place tells which way it goes.
    """
    X = np.zeros((len(pictures), n_frames, size, size))
    y = rng.randint(4, size=len(pictures))
    steps = np.array([(0, -1), (0, 1), (-1, 0), (1, 0)])
    edge = pictures.shape[1]
    for frames, pixels, step in zip(X, pictures, steps[y], strict=True):
        frames[:, :edge, :edge] = pixels
        place = rng.randint(size, size=2)
        for t in range(n_frames):
            frames[t] = np.roll(frames[t], place + t * step, axis=(0, 1))
    X += rng.normal(scale=0.1, size=X.shape)
    return X.clip(0, 1).astype(np.float32)[..., np.newaxis], y


def bounding_corners(pixels):
    """Corners `(4, 2)`, x and y, of what is visible of a picture: clockwise from the upper left."""
    rows, columns = (np.flatnonzero((pixels > VISIBLE).any(axis=axis)) for axis in (1, 0))
    left, right = columns[0] - 0.5, columns[-1] + 0.5
    top, bottom = rows[0] - 0.5, rows[-1] + 0.5
    return np.array([[left, top], [right, top], [right, bottom], [left, bottom]])


def fashion_scenes(n, pictures, targets, backgrounds, rng, size=48):
    """A piece of clothing somewhere on part of a picture, turned and made larger or smaller.

    Returns images, labels, corners of boxes as shares of the size, and masks, like
    `make_digit_scenes`.
    """
    images, masks = np.zeros((n, size, size)), np.zeros((n, size, size), np.uint8)
    labels, boxes = np.zeros(n, int), np.zeros((n, 4, 2))
    for i in range(n):
        chosen = rng.randint(len(pictures))
        pixels, corners = pictures[chosen], bounding_corners(pictures[chosen])
        scale, angle = rng.uniform(0.7, 1.1), np.deg2rad(rng.uniform(-30, 30))
        cos, sin = scale * np.cos(angle), scale * np.sin(angle)
        matrix = np.array([[cos, -sin], [sin, cos]])
        middle = corners.mean(axis=0)
        offsets = (corners - middle) @ matrix.T
        reach = offsets.max(axis=0).clip(max=size / 2)
        place = rng.uniform(reach, size - reach) - 0.5
        map_ = np.eye(3)
        map_[:2, :2], map_[:2, 2] = matrix, place - matrix @ middle
        drawn = warped(pixels, map_, size)
        there = warped((pixels > VISIBLE).astype(float), map_, size)
        images[i] = there * drawn + (1 - there) * 0.6 * cut(backgrounds, size, rng)[0]
        labels[i], boxes[i], masks[i] = targets[chosen], place + offsets, there > 0.5
    boxes = ((boxes + 0.5) / size).reshape(n, 8)
    return images.clip(0, 1).astype(np.float32), labels, boxes, masks


def warped(pixels, matrix, size):
    """A picture in a square of zeros, moved by a matrix `(3, 3)` of x, y and 1 in pixels."""
    from skimage import transform

    back = np.linalg.inv(matrix)
    return transform.warp(pixels, back, output_shape=(size, size), order=1)


def fashion_corners(pictures, rng, size=40, reach=7):
    """Pictures in perspective, and where their four corners went, as shares of the size."""
    from skimage.transform import ProjectiveTransform

    edge = pictures.shape[1]
    source = np.array([[0, 0], [edge, 0], [edge, edge], [0, edge]]) - 0.5
    start = source + (size - edge) / 2
    images, corners = np.zeros((len(pictures), size, size)), np.zeros((len(pictures), 4, 2))
    for image, corner, pixels in zip(images, corners, pictures, strict=True):
        corner[:] = start + rng.uniform(-reach, reach, size=(4, 2))
        matrix = ProjectiveTransform.from_estimate(source, corner).params
        image[:] = warped(pixels, matrix, size)
    images += rng.normal(scale=0.1, size=images.shape)
    return images.clip(0, 1), ((corners + 0.5) / size).reshape(-1, 8)


def cut(pictures, size, rng):
    """A square of one of several pictures, and which one."""
    chosen = rng.randint(len(pictures))
    pixels = pictures[chosen]
    row, column = (rng.randint(length - size + 1) for length in pixels.shape[:2])
    return pixels[row : row + size, column : column + size], chosen


def mosaics(n, pictures, rng, size=48, n_regions=4):
    """Images of several regions, each a part of a picture, and which picture each pixel is of.

    A pixel belongs to the nearest of as many random points (Voronoi).
    """
    X = np.zeros((n, size, size, pictures[0].shape[-1]), np.float32)
    y = np.zeros((n, size, size), int)
    grid = np.stack(np.meshgrid(np.arange(size), np.arange(size), indexing="ij"), axis=-1)
    for image, labels in zip(X, y, strict=True):
        points = rng.uniform(0, size, size=(n_regions, 2))
        nearest = ((grid[:, :, np.newaxis] - points) ** 2).sum(axis=-1).argmin(axis=-1)
        for region in range(n_regions):
            pixels, chosen = cut(pictures, size, rng)
            image[nearest == region], labels[nearest == region] = pixels[nearest == region], chosen
    return X, y
