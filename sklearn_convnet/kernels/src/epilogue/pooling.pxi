# Windows of pools, and a row of the output of a max pool: a kernel of its own, or the epilogue of a
# convolution whose output is still in the cache.
#
# Design:
# * Vectors run over channels. A vector over the end of a pixel works on numbers of the next
#   one as well, which overwrites what was written too much: so where channels do not fill
#   vectors, a row of outputs is made in a buffer that ends later than the row.
# * The maximum is looked for in the order of memory, so that the first of equal ones stays.

cdef enum:
    FEW_PIXELS = 64


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
    """Numbers of the longer of both rows, with a vector of slack, in whole vectors."""
    return (vectors_for(larger(q.size[2], q.out[2]) * q.n_channels) + 1) * LANES


cdef inline bint has_large_windows(const Pool* q) noexcept nogil:
    return q.window[0] * q.window[1] * q.window[2] > FEW_PIXELS


cdef Py_ssize_t row_bytes(const Pool* q) noexcept nogil:
    """Size of the scratch of a thread, a multiple of that of a double."""
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
    """True if all windows of a row are two by two pixels of a plane."""
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


cdef bint rows_lie_within(const Pool* q, const int32_t* index) noexcept nogil:
    """True if the places of an image's outputs are in the rows of their windows; where windows have
    several planes, in these planes."""
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
