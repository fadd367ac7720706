# Lp pools: y = (sum_t |x_t|^p)^(1/p),  dx_t += dy sign(x_t) (|x_t| / y)^(p-1)
#
# Design:
# * Several neighbouring outputs of a row are worked on together: pixel t of all their windows is
#   put into one array, of which the powers are taken in whole blocks, however few channels there
#   are. They are few, so that pixels are read again while they are in the cache.
# * |x| is in units of the largest of its window, so that no power overflows where the norm does
#   not. Of numbers from 0 to 1, exp(p log x) is as good as the largest power needs it.

cdef enum:
    LP_NUMBERS = 1024  # of the outputs that are worked on together, unless one has more


cdef struct Stretch:
    # Neighbouring outputs of a row; of each of their numbers, in whole blocks:
    Py_ssize_t first, end
    real* unit      # the largest |x| of its window
    real* part      # |x| / unit of one pixel of the window
    double* total


cdef inline Py_ssize_t stretch_outputs(const Pool* q) noexcept nogil:
    return smaller(q.out[2], larger(1, LP_NUMBERS // q.n_channels))


cdef inline Py_ssize_t stretch_length(const Pool* q) noexcept nogil:
    return ceil_div(stretch_outputs(q) * q.n_channels, BLOCK) * BLOCK


cdef inline Py_ssize_t stretch_bytes(const Pool* q) noexcept nogil:
    """Size of the scratch of a thread."""
    return stretch_length(q) * (2 * sizeof(real) + sizeof(double))


cdef inline Py_ssize_t n_stretches(const Pool* q) noexcept nogil:
    """Of a row."""
    return ceil_div(q.out[2], stretch_outputs(q))


cdef Stretch stretch_at(const Pool* q, Py_ssize_t i, char* memory) noexcept nogil:
    """Number i of a row. What is behind its numbers in the last block is zeros."""
    cdef Stretch s
    s.first = i * stretch_outputs(q)
    s.end = smaller(s.first + stretch_outputs(q), q.out[2])
    s.total = <double*> memory
    s.unit = <real*> (s.total + stretch_length(q))
    s.part = s.unit + stretch_length(q)
    memset(s.part, 0, stretch_length(q) * sizeof(real))
    return s


cdef inline real power(real x, real p) noexcept nogil:
    """x^p for x >= 0 and p > 0, with a product p log x that is no larger than where exp ends."""
    cdef real product = log_positive(x) * p
    cdef real y = exp_negative(product if product < -EXP_LOWEST else -EXP_LOWEST)
    return y if (x > 0) & (x < <real> INFINITY) else x


cdef void power_block(real* x, double p) noexcept nogil:
    """x^p for x >= 0, in place, for BLOCK elements; usual powers by products and roots."""
    cdef int i
    if p == 0:
        for i in range(BLOCK):
            x[i] = 1
    elif p == 0.5:
        for i in range(BLOCK):
            x[i] = square_root(x[i])
    elif p == 2:
        for i in range(BLOCK):
            x[i] = x[i] * x[i]
    elif p == 3:
        for i in range(BLOCK):
            x[i] = x[i] * x[i] * x[i]
    elif p == 4:
        for i in range(BLOCK):
            x[i] = (x[i] * x[i]) * (x[i] * x[i])
    elif p != 1:
        for i in range(BLOCK):
            x[i] = power(x[i], <real> p)


cdef void powers(real* x, Py_ssize_t n, double p) noexcept nogil:
    """The same for n elements of whole blocks."""
    cdef Py_ssize_t i
    for i in range(n // BLOCK):
        power_block(x + i * BLOCK, p)


cdef inline Py_ssize_t lp_first(const Pool* q) noexcept nogil:
    """The first column of a window that is in the map for some output of a row."""
    return larger(0, q.before[2] - (q.out[2] - 1) * q.stride[2])


cdef inline Py_ssize_t lp_end(const Pool* q) noexcept nogil:
    """The column behind the last one."""
    return smaller(q.window[2], q.before[2] + q.size[2])


cdef void keep_largest(
    const Pool* q, const real* x, Py_ssize_t i, const Stretch* s
) noexcept nogil:
    """unit = max(unit, |x|) in column i of the windows, for a row of the map."""
    cdef Py_ssize_t n = q.n_channels, o, c, column
    cdef real* unit = s.unit
    cdef real size
    for o in range(s.first, s.end):
        column = o * q.stride[2] + i - q.before[2]
        if 0 <= column < q.size[2]:
            for c in range(n):
                size = absolute(x[column * n + c])
                unit[c] = size if size > unit[c] else unit[c]
        unit += n


cdef void shares_at(
    const Pool* q, const real* x, Py_ssize_t i, const real* unit, const Stretch* s
) noexcept nogil:
    """part = |x| / unit there; 0 beside the map."""
    cdef Py_ssize_t n = q.n_channels, o, c, column
    cdef real* part = s.part
    for o in range(s.first, s.end):
        column = o * q.stride[2] + i - q.before[2]
        if 0 <= column < q.size[2]:
            for c in range(n):
                part[c] = absolute(x[column * n + c]) / unit[c]
        else:
            memset(part, 0, n * sizeof(real))
        part += n
        unit += n


cdef void lppool_stretch(
    const Pool* q, const Window* w, const real* x, double p, const Stretch* s, real* y
) noexcept nogil:
    cdef Py_ssize_t length = stretch_length(q), width = q.size[2] * q.n_channels, d, h, i, k
    memset(s.unit, 0, length * sizeof(real))
    memset(s.total, 0, length * sizeof(double))
    for d in range(w.start[0], w.end[0]):
        for h in range(w.start[1], w.end[1]):
            for i in range(lp_first(q), lp_end(q)):
                keep_largest(q, x + (d * q.size[1] + h) * width, i, s)
    for k in range(length):
        s.unit[k] = s.unit[k] if (s.unit[k] > 0) & (s.unit[k] < <real> INFINITY) else 1
    for d in range(w.start[0], w.end[0]):
        for h in range(w.start[1], w.end[1]):
            for i in range(lp_first(q), lp_end(q)):
                shares_at(q, x + (d * q.size[1] + h) * width, i, s.unit, s)
                powers(s.part, length, p)
                for k in range(length):
                    s.total[k] += s.part[k]
    for k in range(length):
        s.part[k] = <real> s.total[k]
    powers(s.part, length, 1 / p)
    for k in range((s.end - s.first) * q.n_channels):
        y[k] = s.unit[k] * s.part[k]


cdef void lppool_row(
    const Pool* q, const real* x, Py_ssize_t number, double p, real* y, char* memory
) noexcept nogil:
    cdef Window w = row_window(q, number)
    cdef Py_ssize_t i
    cdef Stretch s
    for i in range(n_stretches(q)):
        s = stretch_at(q, i, memory)
        lppool_stretch(q, &w, x, p, &s, y + s.first * q.n_channels)


def lppool_forward(
    const real[:, :, :, :, ::1] X,  # IN  (n, depth, height, width, channels)
    real[:, :, :, :, ::1] Y,        # OUT (n, *out, channels)
    pool_size, stride, padding, double p, int n_threads,
):
    n_threads = checked(n_threads, X is None or Y is None, "X, Y")
    cdef Pool q
    cdef Py_ssize_t t, n_rows, size_in, size_row
    cdef real* y
    cdef char* memory
    pool_geometry(&q, X.shape, Y.shape, pool_size, stride, padding)
    if not 1 <= p < INFINITY:
        raise ValueError(f"p must be finite and at least 1, got {p}")
    if q.n_images * q.n_channels == 0:
        return
    y = &Y[0, 0, 0, 0, 0]
    n_rows = q.n_out // q.out[2]
    size_in, size_row = q.n_in * q.n_channels, q.out[2] * q.n_channels
    n_threads = threads_for(q.n_images * size_in, n_threads)
    memory = <char*> allocate(n_threads * stretch_bytes(&q))
    for t in prange(q.n_images * n_rows, nogil=True, num_threads=n_threads):
        lppool_row(&q, &X[0, 0, 0, 0, 0] + t // n_rows * size_in, t % n_rows, p, y + t * size_row,
                   memory + threadid() * stretch_bytes(&q))
    free(memory)


cdef void add_slopes(
    const Pool* q, const real* x, Py_ssize_t i, const real* dy, const Stretch* s, real* dx
) noexcept nogil:
    """dx += dy sign(x) part in column i of the windows, for a row of the map; nothing at 0."""
    cdef Py_ssize_t n = q.n_channels, o, c, at, column
    cdef const real* part = s.part
    cdef real slope
    for o in range(s.first, s.end):
        column = o * q.stride[2] + i - q.before[2]
        if 0 <= column < q.size[2]:
            for c in range(n):
                at = column * n + c
                slope = with_sign(part[c], x[at]) * dy[c]
                dx[at] += slope if x[at] != 0 else 0
        part += n
        dy += n


cdef void lppool_backward_row(
    const Pool* q, const real* x, Py_ssize_t number, const real* y, const real* dy, double p,
    real* dx, char* memory
) noexcept nogil:
    cdef Py_ssize_t width = q.size[2] * q.n_channels, piece, d, h, i, start
    cdef Window w = row_window(q, number)
    cdef Stretch s
    for piece in range(n_stretches(q)):
        s = stretch_at(q, piece, memory)
        for d in range(w.start[0], w.end[0]):
            for h in range(w.start[1], w.end[1]):
                start = (d * q.size[1] + h) * width
                for i in range(lp_first(q), lp_end(q)):
                    shares_at(q, x + start, i, y + s.first * q.n_channels, &s)
                    powers(s.part, stretch_length(q), p - 1)
                    add_slopes(q, x + start, i, dy + s.first * q.n_channels, &s, dx + start)


cdef void lppool_backward_image(
    const Pool* q, const real* x, const real* y, const real* dy, double p, real* dx, char* memory
) noexcept nogil:
    cdef Py_ssize_t number, size = q.out[2] * q.n_channels
    memset(dx, 0, q.n_in * q.n_channels * sizeof(real))
    for number in range(q.n_out // q.out[2]):
        lppool_backward_row(q, x, number, y + number * size, dy + number * size, p, dx, memory)


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
    cdef char* memory
    pool_geometry(&q, X.shape, Y.shape, pool_size, stride, padding)
    same_sizes(Y.shape, dY.shape, 5, "dY")
    same_sizes(X.shape, dX.shape, 5, "dX")
    if not 1 <= p < INFINITY:
        raise ValueError(f"p must be finite and at least 1, got {p}")
    if q.n_images * q.n_channels == 0:
        return
    size_in, size_out = q.n_in * q.n_channels, q.n_out * q.n_channels
    n_threads = threads_for(q.n_images * size_in, n_threads)
    memory = <char*> allocate(n_threads * stretch_bytes(&q))
    for image in prange(q.n_images, nogil=True, num_threads=n_threads):
        lppool_backward_image(
            &q, &X[0, 0, 0, 0, 0] + image * size_in, &Y[0, 0, 0, 0, 0] + image * size_out,
            &dY[0, 0, 0, 0, 0] + image * size_out, p, &dX[0, 0, 0, 0, 0] + image * size_in,
            memory + threadid() * stretch_bytes(&q))
    free(memory)
