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
# * Vectors run over channels. A vector over the end of a pixel works on numbers of the next
#   one as well, which overwrites what was written too much: so where channels do not fill
#   vectors, a row of outputs is made in a buffer that ends later than the row.
# * The maximum is looked for in the order of memory, so that the first of equal ones stays.
# * The mean is taken in two steps: down the rows of the windows, for all pixels and channels of
#   the row at once, as they lie in memory; then along what that left.
# * Sums over more than FEW_PIXELS, and those of global pools, are made in double: running sums in
#   float32 lose a digit for every hundred pixels, of which what tells maps apart may be the last.

cdef enum:
    FEW_PIXELS = 64
    FEW_CHANNELS = 8


cdef extern from *:
    """
    /* best = max(best, x) and its place; of equal ones the one that was there. */
    static inline __attribute__((always_inline)) void keep_larger(
        vec *best, bits_vec *place, vec x, bits_vec here)
    {
        bits_vec better = ~(bits_vec) (x <= *best) & (bits_vec) (*best == *best);
        *best = (vec) (((bits_vec) x & better) | ((bits_vec) *best & ~better));
        *place = (here & better) | (*place & ~better);
    }

    static inline void store_places(int32_t *to, bits_vec place)
    {
        for (Py_ssize_t lane = 0; lane < LANES; lane++)
            to[lane] = (int32_t) place[lane];
    }
    """
    void keep_larger(vec* best, bits_vec* place, vec x, bits_vec here) noexcept nogil
    void store_places(int32_t* to, bits_vec place) noexcept nogil


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
    Pool* q, const Py_ssize_t* shape_X, const Py_ssize_t* shape_Y, pool_size, stride, padding
) except -1:
    """Shapes have five axes."""
    cdef int axis
    cdef Py_ssize_t after[3]
    cdef Py_ssize_t expected
    q.n_images, q.n_channels = shape_X[0], shape_X[4]
    if shape_Y[0] != q.n_images or shape_Y[4] != q.n_channels:
        raise ValueError(
            f"output has shape {shape_of(shape_Y, 5)}, expected {q.n_images} images with "
            f"{q.n_channels} maps")
    q.n_in = q.n_out = 1
    read_sizes(pool_size, 3, 1, "pool_size", q.window)
    read_sizes(stride, 3, 1, "stride", q.stride)
    read_padding(padding, 3, q.before, after)
    for axis in range(3):
        q.size[axis] = shape_X[1 + axis]
        q.out[axis] = shape_Y[1 + axis]
        if q.before[axis] >= q.window[axis] or after[axis] >= q.window[axis]:
            raise ValueError(f"padding {padding} must be smaller than the pool {pool_size}")
        if q.size[axis] < 1:
            raise ValueError(f"the map has size {q.size[axis]} on axis {axis}")
        expected = q.size[axis] + q.before[axis] + after[axis] - q.window[axis]
        if expected < 0:
            raise ValueError(
                f"a pool of size {q.window[axis]} does not fit a padded map of size "
                f"{q.size[axis] + q.before[axis] + after[axis]} on axis {axis}")
        expected = expected // q.stride[axis] + 1
        if q.out[axis] != expected:
            raise ValueError(
                f"output has size {q.out[axis]} on axis {axis}, expected {expected}")
        q.n_in *= q.size[axis]
        q.n_out *= q.out[axis]
    return 0


cdef inline void window_on(const Pool* q, int axis, Py_ssize_t o, Window* w) noexcept nogil:
    """The true pixels of window o along an axis."""
    cdef Py_ssize_t start = o * q.stride[axis] - q.before[axis]
    w.start[axis] = larger(start, 0)
    w.end[axis] = smaller(start + q.window[axis], q.size[axis])


cdef inline Window row_window(const Pool* q, Py_ssize_t number) noexcept nogil:
    """The true pixels of the windows of a row of outputs, but for the axis along it."""
    cdef Window w
    cdef Py_ssize_t plane = 0
    if number >= q.out[1]:  # a division takes longer than a small window
        plane = number // q.out[1]
    window_on(q, 0, plane, &w)
    window_on(q, 1, number - plane * q.out[1], &w)
    return w


cdef inline Window pool_window(const Pool* q, Py_ssize_t position) noexcept nogil:
    """The true pixels of the window of one output position."""
    cdef Window w = row_window(q, position // q.out[2])
    window_on(q, 2, position % q.out[2], &w)
    return w


cdef inline Py_ssize_t window_count(const Window* w) noexcept nogil:
    return ((w.end[0] - w.start[0]) * (w.end[1] - w.start[1]) * (w.end[2] - w.start[2]))


cdef inline vec lanes_at(const real* pixel, Py_ssize_t n) noexcept nogil:
    """The first n numbers of a vector, zeros after them: nothing behind them is read."""
    cdef vec some = (<const vec*> ZEROS)[0]
    if n >= LANES:
        return (<const vec*> pixel)[0]
    memcpy(&some, pixel, n * sizeof(real))
    return some


cdef inline vec vector_before(const real* x, const real* end) noexcept nogil:
    """The vector at x; what of it would lie at `end` or behind is zero."""
    return lanes_at(x, end - x)


cdef struct Row:
    # Scratch of a row of outputs, each array a vector longer than the row of the input.
    real* sums          # of the columns of the windows
    real* y
    int32_t* index
    double* wide_sums   # likewise, if windows are large
    double* totals      # of a pixel of the output


cdef inline Py_ssize_t row_length(const Pool* q) noexcept nogil:
    """Of the longer of both rows, in numbers, with a vector of slack, in whole vectors."""
    return (vectors_for(larger(q.size[2], q.out[2]) * q.n_channels) + 1) * LANES


cdef inline bint has_large_windows(const Pool* q) noexcept nogil:
    return q.window[0] * q.window[1] * q.window[2] > FEW_PIXELS


cdef Py_ssize_t row_bytes(const Pool* q) noexcept nogil:
    """Of the scratch of a thread, a multiple of that of a double."""
    cdef Py_ssize_t n = row_length(q)
    cdef Py_ssize_t wide = n + q.n_channels if has_large_windows(q) else 0
    return ceil_div(n * (2 * sizeof(real) + sizeof(int32_t)), CACHE_LINE) * CACHE_LINE + (
        wide * sizeof(double))


cdef Row row_scratch(const Pool* q, char* memory, int thread) noexcept nogil:
    """The scratch of a thread."""
    cdef Row row
    cdef Py_ssize_t n = row_length(q)
    memory = memory + thread * row_bytes(q)
    row.sums = <real*> memory
    row.y = row.sums + n
    row.index = <int32_t*> (row.y + n)
    row.wide_sums = <double*> (memory + row_bytes(q)) - n - q.n_channels
    row.totals = row.wide_sums + n
    return row


cdef inline void max_of_window(
    const Pool* q, const Window* w, const real* x, Py_ssize_t c, const real* end,
    real* y, int32_t* index, bint want_index
) noexcept nogil:
    """The maximum over a window for a vector of channels, from channel c on."""
    cdef Py_ssize_t d, h, i, row, at
    cdef vec best
    cdef bits_vec place, here, zero = <bits_vec> (<const vec*> ZEROS)[0]
    row = (w.start[0] * q.size[1] + w.start[1]) * q.size[2] + w.start[2]
    best = vector_before(x + row * q.n_channels + c, end)
    place = zero + <bits> row
    for d in range(w.start[0], w.end[0]):
        for h in range(w.start[1], w.end[1]):
            row = (d * q.size[1] + h) * q.size[2]
            for i in range(w.start[2], w.end[2]):
                at = row + i
                here = zero + <bits> at
                keep_larger(&best, &place, vector_before(x + at * q.n_channels + c, end), here)
    put(y, best)
    if want_index:
        store_places(index, place)


cdef inline void max_of_four(
    const real* x, Py_ssize_t first, Py_ssize_t row_pixels, Py_ssize_t n_channels,
    real* y, int32_t* index, bint want_index
) noexcept nogil:
    """The same over two by two pixels, of which the one at x is the first: without loops."""
    cdef const real* below = x + row_pixels * n_channels
    cdef bits_vec zero = <bits_vec> (<const vec*> ZEROS)[0], place = zero + <bits> first
    cdef vec best = at(x)
    keep_larger(&best, &place, at(x + n_channels), zero + <bits> (first + 1))
    keep_larger(&best, &place, at(below), zero + <bits> (first + row_pixels))
    keep_larger(&best, &place, at(below + n_channels), zero + <bits> (first + row_pixels + 1))
    put(y, best)
    if want_index:
        store_places(index, place)


cdef inline bint has_four(const Pool* q, const Window* w) noexcept nogil:
    """Whether all windows of a row are two by two pixels of a plane."""
    return (w.end[0] - w.start[0] == 1 and w.end[1] - w.start[1] == 2 and q.window[2] == 2
            and q.before[2] == 0 and (q.out[2] - 1) * q.stride[2] + 2 <= q.size[2])


cdef inline void max_of_row(
    const Pool* q, const real* x, Py_ssize_t number, const real* end,
    real* y, int32_t* index, bint want_index
) noexcept nogil:
    """One row of outputs of an image, and what vectors write behind it."""
    cdef Window w = row_window(q, number)
    cdef Py_ssize_t o, v, c, to, first = (w.start[0] * q.size[1] + w.start[1]) * q.size[2]
    cdef bint simple = has_four(q, &w) and (
        x + (first + 2 * q.size[2]) * q.n_channels + LANES <= end)
    for o in range(q.out[2]):
        window_on(q, 2, o, &w)
        for v in range(vectors_for(q.n_channels)):
            c = v * LANES
            to = o * q.n_channels + c
            if simple:
                max_of_four(x + (first + w.start[2]) * q.n_channels + c, first + w.start[2],
                            q.size[2], q.n_channels, y + to, index + to, want_index)
            else:
                max_of_window(q, &w, x, c, end, y + to, index + to, want_index)


cdef void maxpool_row(
    const Pool* q, const real* x, Py_ssize_t number, const real* end,
    real* y, int32_t* index, Row row
) noexcept nogil:
    """One row of outputs of an image; `end` is that of the whole input."""
    cdef Py_ssize_t n = q.out[2] * q.n_channels
    cdef bint direct = q.n_channels % LANES == 0
    cdef real* to = y if direct else row.y
    if index is NULL:
        max_of_row(q, x, number, end, to, row.index, False)
    else:
        max_of_row(q, x, number, end, to, index if direct else row.index, True)
    if not direct:
        memcpy(y, row.y, n * sizeof(real))
        if index is not NULL:
            memcpy(index, row.index, n * sizeof(int32_t))


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


cdef bint scatter_image(
    const real* dy, const int32_t* index, real* dx, Py_ssize_t n_out, Py_ssize_t n_in,
    Py_ssize_t n_channels
) noexcept nogil:
    """Says whether all places are in the map; at the first that is not, it ends."""
    cdef Py_ssize_t o, c, place
    memset(dx, 0, n_in * n_channels * sizeof(real))
    for o in range(n_out):
        for c in range(n_channels):
            place = <uint32_t> index[c]  # a negative one is a large one
            if place >= n_in:
                return False
            dx[place * n_channels + c] += dy[c]
        index = index + n_channels
        dy = dy + n_channels
    return True


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


cdef bint rows_lie_within(const Pool* q, const int32_t* index) noexcept nogil:
    """Whether the places of an image's outputs are in the rows of their windows; where windows
    have several planes, in these planes."""
    cdef Py_ssize_t plane = q.size[1] * q.size[2], n = q.out[2] * q.n_channels, number, first
    for number in range(q.n_out // q.out[2]):
        first = number // q.out[1] * q.window[0] * plane
        if q.window[0] == 1:
            first += number % q.out[1] * q.window[1] * q.size[2]
        if not lie_within(index + number * n, n, first,
                          q.window[1] * q.size[2] if q.window[0] == 1 else q.window[0] * plane):
            return False
    return True


cdef int check_index(const Pool* q, const int32_t* index, int n_threads) except -1:
    """Raises ValueError for a place that is not where the maximum of a window can be. The windows
    lie side by side."""
    cdef Py_ssize_t size = q.n_out * q.n_channels, image
    cdef bint is_wrong = False
    cdef bint* wrong = &is_wrong
    for image in prange(
        q.n_images, nogil=True, num_threads=threads_for(q.n_images * size, n_threads)
    ):
        if not rows_lie_within(q, index + image * size):
            wrong[0] = True
    if is_wrong:
        wrong_index(q.n_in)
    return 0


cdef void avgpool_row(
    const Pool* q, const real* x, Py_ssize_t number, real* y, Row row
) noexcept nogil:
    """One row of outputs, as maxpool_row."""
    cdef Window w = row_window(q, number)
    cdef Py_ssize_t width = q.size[2] * q.n_channels, v, i, d, h, c, o
    cdef vec total
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
            (<vec*> (row.y + o * q.n_channels + c))[0] = total
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


cdef void avgpool_backward_image(
    const Pool* q, const real* dy, real* dx, Row row
) noexcept nogil:
    """A row of outputs goes to the columns of their windows, and these to the rows."""
    cdef Py_ssize_t width = q.size[2] * q.n_channels, n = q.n_channels
    cdef Py_ssize_t number, d, h, i, o, first, last, c
    cdef Window w
    cdef real share
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
        # Of a window that reaches far over the map, the pixels that are in it for some output.
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


# --- global pooling: X (n, pixels, channels), Y (n, channels) -----------------------------

cdef int global_shapes(shape_X, shape_Y) except -1:
    if shape_X[1] < 1:
        raise ValueError("global pooling needs at least one pixel, got 0")
    check_places(shape_X[1])
    same_shape((shape_X[0], shape_X[2]), shape_Y, "the pooled array")
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
    n_threads = checked(n_threads, X is None or Y is None, "X, Y")
    cdef Py_ssize_t image, n_pixels = X.shape[1], n_channels = X.shape[2]
    global_shapes(shape_of(X.shape, 3), shape_of(Y.shape, 2))
    if index is not None:
        same_sizes(Y.shape, index.shape, 2, "index")
    if X.shape[0] * n_channels == 0:
        return
    for image in prange(
        X.shape[0], nogil=True,
        num_threads=threads_for(X.shape[0] * n_pixels * n_channels, n_threads),
    ):
        globalmax_image(&X[image, 0, 0], n_pixels, n_channels, &Y[image, 0],
                        NULL if index is None else &index[image, 0])


def globalmax_backward(
    const real[:, ::1] dY,        # IN  (n, channels)
    const int32_t[:, ::1] index,  # IN  like dY
    real[:, :, ::1] dX,           # OUT (n, pixels, channels)
    int n_threads,
):
    n_threads = checked(n_threads, dY is None or index is None or dX is None, "dY, index, dX")
    cdef Py_ssize_t image
    cdef bint is_wrong = False
    cdef bint* wrong = &is_wrong
    global_shapes(shape_of(dX.shape, 3), shape_of(dY.shape, 2))
    same_sizes(dY.shape, index.shape, 2, "index")
    if dX.shape[0] * dX.shape[2] == 0:
        return
    for image in prange(
        dX.shape[0], nogil=True, num_threads=threads_for(
            dX.shape[0] * dX.shape[1] * dX.shape[2], n_threads)
    ):
        if not scatter_image(&dY[image, 0], &index[image, 0], &dX[image, 0, 0], 1, dX.shape[1],
                             dX.shape[2]):
            wrong[0] = True
    if is_wrong:
        wrong_index(dX.shape[1])


cdef void globalavg_image(
    const real* x, Py_ssize_t n_pixels, Py_ssize_t n_channels, real* y
) noexcept nogil:
    cdef Py_ssize_t block, first, i, c
    # So many pixels of few channels fill a block.
    cdef Py_ssize_t n = smaller(larger(1, BLOCK // n_channels), n_pixels), width
    cdef double[BLOCK] total
    for block in range(ceil_div(n_channels, BLOCK)):
        first = block * BLOCK
        width = smaller(BLOCK, n_channels - first) * n
        memset(total, 0, sizeof(total))
        for i in range(n_pixels // n):
            for c in range(width):
                total[c] += x[i * n * n_channels + first + c]
        for c in range(n_pixels % n * n_channels):
            total[c] += x[n_pixels // n * n * n_channels + c]
        width = width // n
        for i in range(1, n):
            for c in range(width):
                total[c] += total[i * width + c]
        for c in range(width):
            y[first + c] = <real> (total[c] / n_pixels)


def globalavg_forward(
    const real[:, :, ::1] X,  # IN  (n, pixels, channels)
    real[:, ::1] Y,           # OUT (n, channels)
    int n_threads,
):
    n_threads = checked(n_threads, X is None or Y is None, "X, Y")
    cdef Py_ssize_t image, n_pixels = X.shape[1], n_channels = X.shape[2]
    global_shapes(shape_of(X.shape, 3), shape_of(Y.shape, 2))
    if X.shape[0] * n_channels == 0:
        return
    for image in prange(
        X.shape[0], nogil=True,
        num_threads=threads_for(X.shape[0] * n_pixels * n_channels, n_threads),
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
    n_threads = checked(n_threads, dY is None or dX is None, "dY, dX")
    cdef Py_ssize_t image, n_pixels = dX.shape[1], n_channels = dX.shape[2]
    global_shapes(shape_of(dX.shape, 3), shape_of(dY.shape, 2))
    if dX.shape[0] * n_channels == 0:
        return
    for image in prange(
        dX.shape[0], nogil=True,
        num_threads=threads_for(dX.shape[0] * n_pixels * n_channels, n_threads),
    ):
        spread_image(&dY[image, 0], n_pixels, n_channels, &dX[image, 0, 0])


# --- Lp pooling: y = (sum_t |x_t|^p)^(1/p),  dx_t += dy sign(x_t) (|x_t| / y)^(p-1) --------

cdef inline double power(double x, double p) noexcept nogil:
    """x^p for x >= 0; the usual exponents without pow."""
    if p == 1:
        return x
    if p == 2:
        return x * x
    if p == 0:
        return 1
    return pow(x, p)


cdef void lppool_window(
    const Pool* q, const real* x, Py_ssize_t position, double p, real* y
) noexcept nogil:
    """In units of the largest, so that no power of a number overflows where the norm does not."""
    cdef Window w = pool_window(q, position)
    cdef Py_ssize_t block, c
    for block in range(ceil_div(q.n_channels, BLOCK)):
        c = block * BLOCK
        lppool_channels(q, &w, x + c, <int> smaller(BLOCK, q.n_channels - c), p, y + c)


cdef void lppool_channels(
    const Pool* q, const Window* w, const real* x, int n, double p, real* y
) noexcept nogil:
    cdef double[BLOCK] unit
    cdef double[BLOCK] total
    cdef Py_ssize_t d, h, i
    cdef const real* pixel
    cdef double size
    cdef int c
    memset(unit, 0, sizeof(unit))
    memset(total, 0, sizeof(total))
    for d in range(w.start[0], w.end[0]):
        for h in range(w.start[1], w.end[1]):
            for i in range(w.start[2], w.end[2]):
                pixel = x + ((d * q.size[1] + h) * q.size[2] + i) * q.n_channels
                for c in range(n):
                    size = fabs(pixel[c])
                    unit[c] = size if size > unit[c] else unit[c]
    for c in range(n):
        unit[c] = 1 if unit[c] == 0 or unit[c] == INFINITY else unit[c]
    for d in range(w.start[0], w.end[0]):
        for h in range(w.start[1], w.end[1]):
            for i in range(w.start[2], w.end[2]):
                pixel = x + ((d * q.size[1] + h) * q.size[2] + i) * q.n_channels
                if p == 2:
                    for c in range(n):
                        size = pixel[c] / unit[c]
                        total[c] += size * size
                else:
                    for c in range(n):
                        total[c] += power(fabs(pixel[c]) / unit[c], p)
    if p == 2:
        for c in range(n):
            y[c] = <real> (unit[c] * sqrt(total[c]))
    else:
        for c in range(n):
            y[c] = <real> (unit[c] * power(total[c], 1 / p))


def lppool_forward(
    const real[:, :, :, :, ::1] X,  # IN  (n, depth, height, width, channels)
    real[:, :, :, :, ::1] Y,        # OUT (n, *out, channels)
    pool_size, stride, padding, double p, int n_threads,
):
    n_threads = checked(n_threads, X is None or Y is None, "X, Y")
    cdef Pool q
    cdef Py_ssize_t t
    cdef real* y
    pool_geometry(&q, X.shape, Y.shape, pool_size, stride, padding)
    if not 1 <= p < INFINITY:
        raise ValueError(f"p must be finite and at least 1, got {p}")
    if q.n_images * q.n_channels == 0:
        return
    y = &Y[0, 0, 0, 0, 0]
    for t in prange(
        q.n_images * q.n_out, nogil=True,
        num_threads=threads_for(q.n_images * q.n_in * q.n_channels, n_threads),
    ):
        lppool_window(
            &q, &X[0, 0, 0, 0, 0] + t // q.n_out * q.n_in * q.n_channels, t % q.n_out, p,
            y + t * q.n_channels)


cdef inline void lppool_slopes(
    Py_ssize_t n, const real* x, const real* y, const real* dy, double p, real* dx
) noexcept nogil:
    """One pixel of a window."""
    cdef double slope
    cdef Py_ssize_t c
    if p == 2:
        for c in range(n):
            dx[c] += dy[c] * (x[c] / y[c] if x[c] != 0 else 0)
    else:
        for c in range(n):
            if x[c] != 0:
                slope = power(fabs(x[c]) / y[c], p - 1)
                dx[c] += <real> ((-slope if x[c] < 0 else slope) * dy[c])


cdef void lppool_backward_image(
    const Pool* q, const real* x, const real* y, const real* dy, double p, real* dx
) noexcept nogil:
    cdef Window w
    cdef Py_ssize_t o, d, h, i, at
    memset(dx, 0, q.n_in * q.n_channels * sizeof(real))
    for o in range(q.n_out):
        w = pool_window(q, o)
        for d in range(w.start[0], w.end[0]):
            for h in range(w.start[1], w.end[1]):
                for i in range(w.start[2], w.end[2]):
                    at = ((d * q.size[1] + h) * q.size[2] + i) * q.n_channels
                    lppool_slopes(q.n_channels, x + at, y + o * q.n_channels,
                                  dy + o * q.n_channels, p, dx + at)


def lppool_backward(
    const real[:, :, :, :, ::1] X,   # IN  (n, depth, height, width, channels)
    const real[:, :, :, :, ::1] Y,   # IN  (n, *out, channels)
    const real[:, :, :, :, ::1] dY,  # IN  like Y
    real[:, :, :, :, ::1] dX,        # OUT like X
    pool_size, stride, padding, double p, int n_threads,
):
    """The derivative at 0 is 0."""
    n_threads = checked(
        n_threads, X is None or Y is None or dY is None or dX is None,
        "X, Y, dY, dX")
    cdef Pool q
    cdef Py_ssize_t image, size_in, size_out
    pool_geometry(&q, X.shape, Y.shape, pool_size, stride, padding)
    same_sizes(Y.shape, dY.shape, 5, "dY")
    same_sizes(X.shape, dX.shape, 5, "dX")
    if not 1 <= p < INFINITY:
        raise ValueError(f"p must be finite and at least 1, got {p}")
    if q.n_images * q.n_channels == 0:
        return
    size_in, size_out = q.n_in * q.n_channels, q.n_out * q.n_channels
    for image in prange(
        q.n_images, nogil=True, num_threads=threads_for(q.n_images * size_in, n_threads)
    ):
        lppool_backward_image(
            &q, &X[0, 0, 0, 0, 0] + image * size_in, &Y[0, 0, 0, 0, 0] + image * size_out,
            &dY[0, 0, 0, 0, 0] + image * size_out, p, &dX[0, 0, 0, 0, 0] + image * size_in)


# --- heterogeneous max pooling (Deng, Abdel-Hamid and Yu, 2013) ----------------------------
#
# Group g of the maps has windows of its own size P_g, at the centres that all share: along
# each axis the window of output o begins at o s + (s - P_g) // 2, clipped to the map. What
# is then empty is the nearest pixel. Gradients: maxpool_backward.

cdef struct Span:
    Py_ssize_t start, end


cdef inline Span group_span(
    Py_ssize_t o, Py_ssize_t stride, Py_ssize_t window, Py_ssize_t size
) noexcept nogil:
    cdef Span span
    cdef Py_ssize_t gap = stride - window
    # Floor division, also of negative numbers.
    cdef Py_ssize_t start = o * stride + (gap - (gap < 0) * (gap & 1)) // 2
    span.start = larger(0, smaller(start, size - 1))
    span.end = larger(span.start + 1, smaller(start + window, size))
    return span


cdef void group_maxpool_row(
    const real* x, Py_ssize_t height, Py_ssize_t width, Py_ssize_t n_channels,
    Py_ssize_t group_channels, Py_ssize_t group, Py_ssize_t o_h, Py_ssize_t n_out,
    Py_ssize_t s_h, Py_ssize_t s_w, Py_ssize_t window_h, Py_ssize_t window_w,
    real* y, int32_t* index
) noexcept nogil:
    """One row of outputs, of one group."""
    cdef Span rows = group_span(o_h, s_h, window_h, height), columns
    cdef Py_ssize_t o, h, w, c, at
    cdef int32_t best
    cdef real top, value
    for o in range(n_out):
        columns = group_span(o, s_w, window_w, width)
        for c in range(group * group_channels, (group + 1) * group_channels):
            best = <int32_t> (rows.start * width + columns.start)
            top = x[best * n_channels + c]
            for h in range(rows.start, rows.end):
                for w in range(columns.start, columns.end):
                    at = h * width + w
                    value = x[at * n_channels + c]
                    if value > top or (value != value and top == top):
                        top = value
                        best = <int32_t> at
            y[o * n_channels + c] = top
            if index is not NULL:
                index[o * n_channels + c] = best


def group_maxpool_forward(
    const real[:, :, :, ::1] X,         # IN  (n, height, width, channels)
    real[:, :, :, ::1] Y,               # OUT (n, *out, channels)
    int32_t[:, :, :, ::1] index,        # OUT like Y, or None
    const int64_t[:, ::1] pool_sizes,   # IN  (groups, 2): height and width of the windows
    stride, int n_threads,
):
    n_threads = checked(
        n_threads, X is None or Y is None or pool_sizes is None,
        "X, Y, pool_sizes")
    cdef Py_ssize_t n = X.shape[0], height = X.shape[1], width = X.shape[2]
    cdef Py_ssize_t n_channels = X.shape[3], n_groups = pool_sizes.shape[0]
    cdef Py_ssize_t steps[2]
    cdef Py_ssize_t s_h, s_w, t, g, row
    cdef int32_t* at = NULL
    read_sizes(stride, 2, 1, "stride", steps)
    s_h, s_w = steps[0], steps[1]
    same_length(2, pool_sizes.shape[1], "a row of pool_sizes")
    if n_groups < 1 or n_channels < 1 or n_channels % n_groups:
        raise ValueError(f"{n_groups} pool sizes must divide {n_channels} channels")
    if height < 1 or width < 1:
        raise ValueError(f"maps must not be empty, got {height} x {width}")
    check_places(height * width)
    for g in range(n_groups):
        if not (0 < pool_sizes[g, 0] <= MAX_SIZE and 0 < pool_sizes[g, 1] <= MAX_SIZE):
            raise ValueError(f"pool sizes must be from 1 to {MAX_SIZE}")
    same_shape((n, ceil_div(height, s_h), ceil_div(width, s_w), n_channels),
               shape_of(Y.shape, 4), "Y")
    if index is not None:
        same_sizes(Y.shape, index.shape, 4, "index")
    if n == 0:
        return
    if index is not None:
        at = &index[0, 0, 0, 0]
    row = Y.shape[2] * n_channels
    for t in prange(n * Y.shape[1], nogil=True,
                    num_threads=threads_for(n * height * width * n_channels, n_threads)):
        for g in range(n_groups):
            group_maxpool_row(
                &X[t // Y.shape[1], 0, 0, 0], height, width, n_channels,
                n_channels // n_groups, g, t % Y.shape[1], Y.shape[2], s_h, s_w,
                pool_sizes[g, 0], pool_sizes[g, 1], &Y[0, 0, 0, 0] + t * row,
                NULL if at is NULL else at + t * row)
