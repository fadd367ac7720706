# Pooling, map by map.
#
#   max   Y(o, c) = max_t X(o s + t - p, c)           dX(arg max, c) += dY(o, c)
#   mean  Y(o, c) = 1 / n_o sum_t X(o s + t - p, c)   dX(i, c) += dY(o, c) / n_o
#
# over the n_o true pixels of a window: padding is minus infinity to the maximum and absent
# from the mean. Where windows overlap, gradients add up. Of equal maxima the first in the
# order of memory counts; NaN is larger than any number.

cdef struct Pool:
    Py_ssize_t size[3]
    Py_ssize_t window[3]
    Py_ssize_t out[3]
    Py_ssize_t stride[3]
    Py_ssize_t before[3]
    Py_ssize_t n_images, n_channels, n_in, n_out


cdef struct Window:
    Py_ssize_t start[3]
    Py_ssize_t end[3]


cdef int pool_geometry(
    Pool* q, shape_X, shape_Y, pool_size, stride, padding
) except -1:
    cdef int axis
    cdef Py_ssize_t after, expected
    q.n_images, q.n_channels = shape_X[0], shape_X[4]
    if shape_Y[0] != q.n_images or shape_Y[4] != q.n_channels:
        raise ValueError(
            f"output has shape {tuple(shape_Y)}, expected {q.n_images} images with "
            f"{q.n_channels} maps")
    q.n_in = q.n_out = 1
    for axis in range(3):
        q.size[axis] = shape_X[1 + axis]
        q.out[axis] = shape_Y[1 + axis]
        q.window[axis] = pool_size[axis]
        q.stride[axis] = stride[axis]
        q.before[axis], after = padding[axis]
        if q.window[axis] < 1 or q.stride[axis] < 1:
            raise ValueError(f"pool size {pool_size} and stride {stride} must be positive")
        if not (0 <= q.before[axis] < q.window[axis] and 0 <= after < q.window[axis]):
            raise ValueError(f"padding {padding} must be smaller than the pool {pool_size}")
        expected = q.size[axis] + q.before[axis] + after - q.window[axis]
        if expected < 0:
            raise ValueError(
                f"a pool of size {q.window[axis]} does not fit a padded map of size "
                f"{q.size[axis] + q.before[axis] + after} on axis {axis}")
        expected = expected // q.stride[axis] + 1
        if q.out[axis] != expected:
            raise ValueError(
                f"output has size {q.out[axis]} on axis {axis}, expected {expected}")
        q.n_in *= q.size[axis]
        q.n_out *= q.out[axis]
    return 0


cdef inline Window pool_window(const Pool* q, Py_ssize_t position) noexcept nogil:
    """The true pixels of the window of one output position."""
    cdef Window w
    cdef Py_ssize_t at[3]
    cdef int axis
    at[2] = position % q.out[2]
    at[1] = position // q.out[2] % q.out[1]
    at[0] = position // (q.out[2] * q.out[1])
    for axis in range(3):
        w.start[axis] = at[axis] * q.stride[axis] - q.before[axis]
        w.end[axis] = smaller(w.start[axis] + q.window[axis], q.size[axis])
        w.start[axis] = larger(w.start[axis], 0)
    return w


cdef inline Py_ssize_t window_count(const Window* w) noexcept nogil:
    return ((w.end[0] - w.start[0]) * (w.end[1] - w.start[1]) * (w.end[2] - w.start[2]))


cdef void maxpool_window(
    const Pool* q, const real* x, Py_ssize_t position, real* y, int32_t* index
) noexcept nogil:
    cdef Window w = pool_window(q, position)
    cdef Py_ssize_t d, h, i, c
    cdef int32_t at
    cdef bint first = True, better
    cdef const real* pixel
    for d in range(w.start[0], w.end[0]):
        for h in range(w.start[1], w.end[1]):
            for i in range(w.start[2], w.end[2]):
                at = <int32_t> ((d * q.size[1] + h) * q.size[2] + i)
                pixel = x + at * q.n_channels
                if first:
                    memcpy(y, pixel, q.n_channels * sizeof(real))
                    if index is not NULL:
                        for c in range(q.n_channels):
                            index[c] = at
                    first = False
                elif index is NULL:
                    for c in range(q.n_channels):
                        better = (pixel[c] > y[c]) | (pixel[c] != pixel[c])
                        y[c] = pixel[c] if better else y[c]
                else:
                    for c in range(q.n_channels):
                        better = (pixel[c] > y[c]) | ((pixel[c] != pixel[c]) & (y[c] == y[c]))
                        y[c] = pixel[c] if better else y[c]
                        index[c] = at if better else index[c]


def maxpool_forward(
    const real[:, :, :, :, ::1] X,   # IN  (n, depth, height, width, channels)
    real[:, :, :, :, ::1] Y,         # OUT (n, *out, channels)
    int32_t[:, :, :, :, ::1] index,  # OUT like Y, or None: the pixel of the maximum
    pool_size, stride, padding, int n_threads,
):
    cdef Pool q
    cdef Py_ssize_t t, image, out
    cdef real* y
    cdef int32_t* at = NULL
    pool_geometry(&q, (<object> X).shape, (<object> Y).shape, pool_size, stride, padding)
    if index is not None:
        same_shape((<object> Y).shape, (<object> index).shape, "index")
    if q.n_images * q.n_channels == 0:
        return
    y = &Y[0, 0, 0, 0, 0]
    if index is not None:
        at = &index[0, 0, 0, 0, 0]
    for t in prange(
        q.n_images * q.n_out, nogil=True,
        num_threads=threads_for(q.n_images * q.n_in * q.n_channels, n_threads),
    ):
        maxpool_window(
            &q, &X[0, 0, 0, 0, 0] + t // q.n_out * q.n_in * q.n_channels, t % q.n_out,
            y + t * q.n_channels, NULL if at is NULL else at + t * q.n_channels)


cdef void scatter_image(
    const real* dy, const int32_t* index, real* dx, Py_ssize_t n_out, Py_ssize_t n_in,
    Py_ssize_t n_channels
) noexcept nogil:
    cdef Py_ssize_t o, c
    memset(dx, 0, n_in * n_channels * sizeof(real))
    for o in range(n_out):
        for c in range(n_channels):
            dx[index[o * n_channels + c] * n_channels + c] += dy[o * n_channels + c]


def maxpool_backward(
    const real[:, :, :, :, ::1] dY,        # IN  (n, *out, channels)
    const int32_t[:, :, :, :, ::1] index,  # IN  like dY
    real[:, :, :, :, ::1] dX,              # OUT (n, depth, height, width, channels)
    int n_threads,
):
    cdef Py_ssize_t n = dX.shape[0], n_channels = dX.shape[4], image
    cdef Py_ssize_t n_in = dX.shape[1] * dX.shape[2] * dX.shape[3]
    cdef Py_ssize_t n_out = dY.shape[1] * dY.shape[2] * dY.shape[3]
    same_shape((<object> dY).shape, (<object> index).shape, "index")
    same_length(n, dY.shape[0], "dY")
    same_length(n_channels, dY.shape[4], "a pixel of dY")
    if n * n_channels * n_in * n_out == 0:
        return
    for image in prange(
        n, nogil=True, num_threads=threads_for(n * n_in * n_channels, n_threads)
    ):
        scatter_image(
            &dY[0, 0, 0, 0, 0] + image * n_out * n_channels,
            &index[0, 0, 0, 0, 0] + image * n_out * n_channels,
            &dX[0, 0, 0, 0, 0] + image * n_in * n_channels, n_out, n_in, n_channels)


cdef void avgpool_window(
    const Pool* q, const real* x, Py_ssize_t position, real* y
) noexcept nogil:
    cdef Window w = pool_window(q, position)
    cdef Py_ssize_t d, h, i, c
    cdef real share = <real> 1 / window_count(&w)
    cdef const real* pixel
    memset(y, 0, q.n_channels * sizeof(real))
    for d in range(w.start[0], w.end[0]):
        for h in range(w.start[1], w.end[1]):
            for i in range(w.start[2], w.end[2]):
                pixel = x + ((d * q.size[1] + h) * q.size[2] + i) * q.n_channels
                for c in range(q.n_channels):
                    y[c] += pixel[c]
    for c in range(q.n_channels):
        y[c] = y[c] * share


def avgpool_forward(
    const real[:, :, :, :, ::1] X,  # IN  (n, depth, height, width, channels)
    real[:, :, :, :, ::1] Y,        # OUT (n, *out, channels)
    pool_size, stride, padding, int n_threads,
):
    cdef Pool q
    cdef Py_ssize_t t
    cdef real* y
    pool_geometry(&q, (<object> X).shape, (<object> Y).shape, pool_size, stride, padding)
    if q.n_images * q.n_channels == 0:
        return
    y = &Y[0, 0, 0, 0, 0]
    for t in prange(
        q.n_images * q.n_out, nogil=True,
        num_threads=threads_for(q.n_images * q.n_in * q.n_channels, n_threads),
    ):
        avgpool_window(
            &q, &X[0, 0, 0, 0, 0] + t // q.n_out * q.n_in * q.n_channels, t % q.n_out,
            y + t * q.n_channels)


cdef void avgpool_backward_image(const Pool* q, const real* dy, real* dx) noexcept nogil:
    cdef Window w
    cdef Py_ssize_t o, d, h, i, c
    cdef real share
    cdef real* pixel
    memset(dx, 0, q.n_in * q.n_channels * sizeof(real))
    for o in range(q.n_out):
        w = pool_window(q, o)
        share = <real> 1 / window_count(&w)
        for d in range(w.start[0], w.end[0]):
            for h in range(w.start[1], w.end[1]):
                for i in range(w.start[2], w.end[2]):
                    pixel = dx + ((d * q.size[1] + h) * q.size[2] + i) * q.n_channels
                    for c in range(q.n_channels):
                        pixel[c] += dy[o * q.n_channels + c] * share


def avgpool_backward(
    const real[:, :, :, :, ::1] dY,  # IN  (n, *out, channels)
    real[:, :, :, :, ::1] dX,        # OUT (n, depth, height, width, channels)
    pool_size, stride, padding, int n_threads,
):
    cdef Pool q
    cdef Py_ssize_t image
    pool_geometry(&q, (<object> dX).shape, (<object> dY).shape, pool_size, stride, padding)
    if q.n_images * q.n_channels == 0:
        return
    for image in prange(
        q.n_images, nogil=True,
        num_threads=threads_for(q.n_images * q.n_in * q.n_channels, n_threads),
    ):
        avgpool_backward_image(
            &q, &dY[0, 0, 0, 0, 0] + image * q.n_out * q.n_channels,
            &dX[0, 0, 0, 0, 0] + image * q.n_in * q.n_channels)


# --- global pooling: X (n, pixels, channels), Y (n, channels) -----------------------------

cdef int global_shapes(X, shape_Y) except -1:
    if X.shape[1] < 1:
        raise ValueError("global pooling needs at least one pixel, got 0")
    same_shape((X.shape[0], X.shape[2]), shape_Y, "the pooled array")
    return 0


cdef void globalmax_image(
    const real* x, Py_ssize_t n_pixels, Py_ssize_t n_channels, real* y, int32_t* index
) noexcept nogil:
    cdef Py_ssize_t c
    cdef int32_t i
    cdef bint better
    memcpy(y, x, n_channels * sizeof(real))
    if index is not NULL:
        memset(index, 0, n_channels * sizeof(int32_t))
    for i in range(1, <int32_t> n_pixels):
        for c in range(n_channels):
            better = ((x[i * n_channels + c] > y[c])
                      | ((x[i * n_channels + c] != x[i * n_channels + c]) & (y[c] == y[c])))
            y[c] = x[i * n_channels + c] if better else y[c]
            if index is not NULL:
                index[c] = i if better else index[c]


def globalmax_forward(
    const real[:, :, ::1] X,   # IN  (n, pixels, channels)
    real[:, ::1] Y,            # OUT (n, channels)
    int32_t[:, ::1] index,     # OUT like Y, or None
    int n_threads,
):
    cdef Py_ssize_t image, n_pixels = X.shape[1], n_channels = X.shape[2]
    global_shapes(<object> X, (<object> Y).shape)
    if index is not None:
        same_shape((<object> Y).shape, (<object> index).shape, "index")
    if X.shape[0] * n_channels == 0:
        return
    for image in prange(
        X.shape[0], nogil=True, num_threads=threads_for(X.shape[0] * n_pixels * n_channels, n_threads)
    ):
        globalmax_image(&X[image, 0, 0], n_pixels, n_channels, &Y[image, 0],
                        NULL if index is None else &index[image, 0])


def globalmax_backward(
    const real[:, ::1] dY,        # IN  (n, channels)
    const int32_t[:, ::1] index,  # IN  like dY
    real[:, :, ::1] dX,           # OUT (n, pixels, channels)
    int n_threads,
):
    cdef Py_ssize_t image
    global_shapes(<object> dX, (<object> dY).shape)
    same_shape((<object> dY).shape, (<object> index).shape, "index")
    if dX.shape[0] * dX.shape[2] == 0:
        return
    for image in prange(
        dX.shape[0], nogil=True, num_threads=threads_for(
            dX.shape[0] * dX.shape[1] * dX.shape[2], n_threads)
    ):
        scatter_image(&dY[image, 0], &index[image, 0], &dX[image, 0, 0], 1, dX.shape[1],
                      dX.shape[2])


cdef void globalavg_image(
    const real* x, Py_ssize_t n_pixels, Py_ssize_t n_channels, real* y
) noexcept nogil:
    cdef Py_ssize_t c
    sum_rows(x, n_pixels, n_channels, y)
    for c in range(n_channels):
        y[c] = y[c] / n_pixels


def globalavg_forward(
    const real[:, :, ::1] X,  # IN  (n, pixels, channels)
    real[:, ::1] Y,           # OUT (n, channels)
    int n_threads,
):
    cdef Py_ssize_t image, n_pixels = X.shape[1], n_channels = X.shape[2]
    global_shapes(<object> X, (<object> Y).shape)
    if X.shape[0] * n_channels == 0:
        return
    for image in prange(
        X.shape[0], nogil=True, num_threads=threads_for(X.shape[0] * n_pixels * n_channels, n_threads)
    ):
        globalavg_image(&X[image, 0, 0], n_pixels, n_channels, &Y[image, 0])


cdef void spread_image(
    const real* dy, Py_ssize_t n_pixels, Py_ssize_t n_channels, real* dx
) noexcept nogil:
    cdef Py_ssize_t i, c
    for i in range(n_pixels):
        for c in range(n_channels):
            dx[i * n_channels + c] = dy[c] / n_pixels


def globalavg_backward(
    const real[:, ::1] dY,  # IN  (n, channels)
    real[:, :, ::1] dX,     # OUT (n, pixels, channels)
    int n_threads,
):
    cdef Py_ssize_t image, n_pixels = dX.shape[1], n_channels = dX.shape[2]
    global_shapes(<object> dX, (<object> dY).shape)
    if dX.shape[0] * n_channels == 0:
        return
    for image in prange(
        dX.shape[0], nogil=True, num_threads=threads_for(dX.shape[0] * n_pixels * n_channels, n_threads)
    ):
        spread_image(&dY[image, 0], n_pixels, n_channels, &dX[image, 0, 0])
