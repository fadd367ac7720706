# Pooling, map by map.
#
#   max   Y(o, c) = max_t X(o s + t - p, c)           dX(arg max, c) += dY(o, c)
#   mean  Y(o, c) = 1 / n_o sum_t X(o s + t - p, c)   dX(i, c) += dY(o, c) / n_o
#
# over the n_o true pixels of a window: padding is minus infinity to the maximum and absent
# from the mean. Where windows overlap, gradients add up. Of equal maxima the first in the
# order of memory counts; NaN is larger than any number.
#
# Design:
# * Windows, and rows of the max pool, are those of epilogue/pooling.pxi.
# * The mean is taken in two steps: down the rows of the windows, for all pixels and channels of
#   the row at once, as they lie in memory; then along what that left.
# * Sums over more than FEW_PIXELS, and those of global pools, are made in double: running sums in
#   float32 lose a digit for every hundred pixels, of which what tells maps apart may be the last.

cdef enum:
    FEW_CHANNELS = 8


def maxpool_forward(
    const real[:, :, :, :, ::1] X,   # IN  (n, depth, height, width, channels)
    real[:, :, :, :, ::1] Y,         # OUT (n, *out, channels)
    int32_t[:, :, :, :, ::1] index,  # OUT like Y, or None: the pixel of the maximum
    pool_size, stride, padding, int n_threads,
):
    n_threads = checked(n_threads, X is None or Y is None, "X, Y")
    cdef Pool q
    cdef Py_ssize_t t, n_rows, size_in, size_row
    cdef const real* x
    cdef real* y
    cdef int32_t* at = NULL
    cdef char* memory
    pool_geometry(&q, X.shape, Y.shape, pool_size, stride, padding)
    if index is not None:
        same_sizes(Y.shape, index.shape, 5, "index")
        check_places(q.n_in)
    if q.n_images * q.n_channels == 0:
        return
    x = &X[0, 0, 0, 0, 0]
    y = &Y[0, 0, 0, 0, 0]
    if index is not None:
        at = &index[0, 0, 0, 0, 0]
    n_rows = q.n_out // q.out[2]
    size_in, size_row = q.n_in * q.n_channels, q.out[2] * q.n_channels
    n_threads = threads_for(q.n_images * size_in, n_threads)
    memory = <char*> allocate(n_threads * row_bytes(&q))
    for t in prange(q.n_images * n_rows, nogil=True, num_threads=n_threads):
        maxpool_row(
            &q, x + t // n_rows * size_in, t % n_rows, x + q.n_images * size_in, y + t * size_row,
            NULL if at is NULL else at + t * size_row, row_scratch(&q, memory, threadid()))
    free(memory)


def maxpool_backward(
    const real[:, :, :, :, ::1] dY,        # IN  (n, *out, channels)
    const int32_t[:, :, :, :, ::1] index,  # IN  like dY
    real[:, :, :, :, ::1] dX,              # OUT (n, depth, height, width, channels)
    int n_threads,
):
    n_threads = checked(n_threads, dY is None or index is None or dX is None, "dY, index, dX")
    cdef Py_ssize_t n = dX.shape[0], n_channels = dX.shape[4], image
    cdef Py_ssize_t n_in = dX.shape[1] * dX.shape[2] * dX.shape[3]
    cdef Py_ssize_t n_out = dY.shape[1] * dY.shape[2] * dY.shape[3]
    cdef bint is_wrong = False
    cdef bint* wrong = &is_wrong
    same_sizes(dY.shape, index.shape, 5, "index")
    same_length(n, dY.shape[0], "dY")
    same_length(n_channels, dY.shape[4], "a pixel of dY")
    check_places(n_in)
    if n * n_channels * n_out == 0:
        dX[:] = 0
        return
    if n_in == 0:
        wrong_index(n_in)
    for image in prange(
        n, nogil=True, num_threads=threads_for(n * n_in * n_channels, n_threads)
    ):
        if not scatter_image(
            &dY[0, 0, 0, 0, 0] + image * n_out * n_channels,
            &index[0, 0, 0, 0, 0] + image * n_out * n_channels,
            &dX[0, 0, 0, 0, 0] + image * n_in * n_channels, n_out, n_in, n_channels
        ):
            wrong[0] = True
    if is_wrong:
        wrong_index(n_in)


cdef void mean_of_fours(
    const Pool* q, const real* x, Py_ssize_t first, real* y
) noexcept nogil:
    """A row of outputs of two by two pixels, whose channels are whole vectors: the same sums."""
    cdef Py_ssize_t n = q.n_channels, width = q.size[2] * n, o, v
    cdef const real* pixel
    cdef vec left, right
    for o in range(q.out[2]):
        for v in range(n // LANES):
            pixel = x + (first + o * q.stride[2]) * n + v * LANES
            left = at(pixel) + at(pixel + width)
            right = at(pixel + n) + at(pixel + n + width)
            put(y + o * n + v * LANES, (left + right) * <real> 0.25)


cdef void avgpool_row(
    const Pool* q, const real* x, Py_ssize_t number, real* y, Row row
) noexcept nogil:
    """One row of outputs, as maxpool_row."""
    cdef Window w = row_window(q, number)
    cdef Py_ssize_t width = q.size[2] * q.n_channels, v, i, d, h, c, o
    cdef bint direct = q.n_channels % LANES == 0
    cdef real* to = y if direct else row.y
    cdef vec total
    if direct and has_four(q, &w):
        mean_of_fours(q, x, (w.start[0] * q.size[1] + w.start[1]) * q.size[2], y)
        return
    for v in range(vectors_for(width)):
        i = v * LANES
        total = (<const vec*> ZEROS)[0]
        for d in range(w.start[0], w.end[0]):
            for h in range(w.start[1], w.end[1]):
                total = total + lanes_at(x + (d * q.size[1] + h) * width + i, width - i)
        (<vec*> (row.sums + i))[0] = total
    for o in range(q.out[2]):
        window_on(q, 2, o, &w)
        for v in range(vectors_for(q.n_channels)):
            c = v * LANES
            total = (<const vec*> ZEROS)[0]
            for i in range(w.start[2], w.end[2]):
                total = total + (<vec*> (row.sums + i * q.n_channels + c))[0]
            total = total * (<real> 1 / window_count(&w))
            put(to + o * q.n_channels + c, total)
    if not direct:
        memcpy(y, row.y, q.out[2] * q.n_channels * sizeof(real))


cdef inline void sum_pixels(
    const double* x, Py_ssize_t n_pixels, Py_ssize_t n, double* total
) noexcept nogil:
    """The sums over pixels of n channels, as many at a time as registers hold."""
    cdef double[FEW_CHANNELS] few
    cdef Py_ssize_t block, i, c, j
    for block in range(n // FEW_CHANNELS):
        c = block * FEW_CHANNELS
        memset(few, 0, sizeof(few))
        for i in range(n_pixels):
            for j in range(FEW_CHANNELS):
                few[j] += x[i * n + c + j]
        memcpy(total + c, few, sizeof(few))
    for c in range(n // FEW_CHANNELS * FEW_CHANNELS, n):
        total[c] = 0
        for i in range(n_pixels):
            total[c] += x[i * n + c]


cdef void avgpool_large_row(
    const Pool* q, const real* x, Py_ssize_t number, real* y, Row row
) noexcept nogil:
    """The same for large windows, with sums in double."""
    cdef Window w = row_window(q, number)
    cdef Py_ssize_t n = q.n_channels, width = q.size[2] * n, d, h, i, o, c
    cdef const real* pixels
    memset(row.wide_sums, 0, width * sizeof(double))
    for d in range(w.start[0], w.end[0]):
        for h in range(w.start[1], w.end[1]):
            pixels = x + (d * q.size[1] + h) * width
            for i in range(width):
                row.wide_sums[i] += pixels[i]
    for o in range(q.out[2]):
        window_on(q, 2, o, &w)
        sum_pixels(row.wide_sums + w.start[2] * n, w.end[2] - w.start[2], n, row.totals)
        for c in range(n):
            y[o * n + c] = <real> (row.totals[c] / window_count(&w))


def avgpool_forward(
    const real[:, :, :, :, ::1] X,  # IN  (n, depth, height, width, channels)
    real[:, :, :, :, ::1] Y,        # OUT (n, *out, channels)
    pool_size, stride, padding, int n_threads,
):
    n_threads = checked(n_threads, X is None or Y is None, "X, Y")
    cdef Pool q
    cdef Py_ssize_t t, n_rows, size_in, size_row
    cdef const real* x
    cdef real* y
    cdef void (*mean_of_row)(const Pool*, const real*, Py_ssize_t, real*, Row) noexcept nogil
    cdef char* memory
    pool_geometry(&q, X.shape, Y.shape, pool_size, stride, padding)
    if q.n_images * q.n_channels == 0:
        return
    x = &X[0, 0, 0, 0, 0]
    y = &Y[0, 0, 0, 0, 0]
    n_rows = q.n_out // q.out[2]
    size_in, size_row = q.n_in * q.n_channels, q.out[2] * q.n_channels
    n_threads = threads_for(q.n_images * size_in, n_threads)
    memory = <char*> allocate(n_threads * row_bytes(&q))
    mean_of_row = avgpool_large_row if has_large_windows(&q) else avgpool_row
    for t in prange(q.n_images * n_rows, nogil=True, num_threads=n_threads):
        mean_of_row(&q, x + t // n_rows * size_in, t % n_rows, y + t * size_row,
                    row_scratch(&q, memory, threadid()))
    free(memory)


cdef bint is_tiled(const Pool* q) noexcept nogil:
    """True if each pixel is in one window."""
    cdef int axis
    for axis in range(3):
        if q.stride[axis] != q.window[axis] or q.out[axis] * q.stride[axis] != q.size[axis]:
            return False
    return q.before[0] + q.before[1] + q.before[2] == 0


cdef void avgpool_backward_image(
    const Pool* q, const real* dy, real* dx, Row row
) noexcept nogil:
    """A row of outputs goes to the columns of their windows, and these to the rows."""
    cdef bint tiled = is_tiled(q)
    cdef Py_ssize_t width = q.size[2] * q.n_channels, n = q.n_channels
    cdef Py_ssize_t number, d, h, i, o, first, last, c
    cdef Window w
    cdef real share
    if not tiled:
        memset(dx, 0, q.n_in * n * sizeof(real))
    for number in range(q.n_out // q.out[2]):
        w = row_window(q, number)
        for o in range(q.out[2]):
            window_on(q, 2, o, &w)
            share = <real> 1 / window_count(&w)
            for c in range(n):
                row.y[o * n + c] = dy[o * n + c] * share
        dy = dy + q.out[2] * n
        memset(row.sums, 0, width * sizeof(real))
        # The pixels of a window that are in the map for some output: it may reach far over that.
        first = larger(0, q.before[2] - (q.out[2] - 1) * q.stride[2])
        last = smaller(q.window[2], q.before[2] + q.size[2])
        for i in range(first, last):
            # The outputs whose pixel i is in the map, and where the pixel of output 0 would be.
            c = i - q.before[2]
            first = larger(0, ceil_div(-c, q.stride[2]))
            last = smaller(q.out[2], ceil_div(q.size[2] - c, q.stride[2]))
            if q.stride[2] == 1:
                add_chunk_to(row.sums + (first + c) * n, row.y + first * n, (last - first) * n)
            else:
                for o in range(first, last):
                    add_chunk_to(row.sums + (o * q.stride[2] + c) * n, row.y + o * n, n)
        for d in range(w.start[0], w.end[0]):
            for h in range(w.start[1], w.end[1]):
                if tiled:
                    memcpy(dx + (d * q.size[1] + h) * width, row.sums, width * sizeof(real))
                else:
                    add_chunk_to(dx + (d * q.size[1] + h) * width, row.sums, width)


def avgpool_backward(
    const real[:, :, :, :, ::1] dY,  # IN  (n, *out, channels)
    real[:, :, :, :, ::1] dX,        # OUT (n, depth, height, width, channels)
    pool_size, stride, padding, int n_threads,
):
    n_threads = checked(n_threads, dY is None or dX is None, "dY, dX")
    cdef Pool q
    cdef Py_ssize_t image
    cdef char* memory
    pool_geometry(&q, dX.shape, dY.shape, pool_size, stride, padding)
    if q.n_images * q.n_channels == 0:
        return
    n_threads = threads_for(q.n_images * q.n_in * q.n_channels, n_threads)
    memory = <char*> allocate(n_threads * row_bytes(&q))
    for image in prange(q.n_images, nogil=True, num_threads=n_threads):
        avgpool_backward_image(
            &q, &dY[0, 0, 0, 0, 0] + image * q.n_out * q.n_channels,
            &dX[0, 0, 0, 0, 0] + image * q.n_in * q.n_channels,
            row_scratch(&q, memory, threadid()))
    free(memory)
