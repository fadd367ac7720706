# Enlarging maps. Each output plane, row and column is a mixture of two of the input, at most:
# row h is (1 - t) source[h] + t (source[h] + 1). Nearest neighbours have t = 0.
# Positions are pixel centres: output h lies at (h + 1/2) / factor - 1/2 of the input.

cdef void mixture(
    Py_ssize_t size, Py_ssize_t factor, bint linear, Py_ssize_t* source, real* share
) noexcept nogil:
    cdef Py_ssize_t i
    cdef double at
    for i in range(size * factor):
        source[i] = i // factor
        share[i] = 0
        if linear:
            at = (i + 0.5) / factor - 0.5
            at = 0 if at < 0 else (size - 1 if at > size - 1 else at)
            source[i] = <Py_ssize_t> at
            share[i] = <real> (at - source[i])


cdef struct Upsample:
    Py_ssize_t size[3]
    Py_ssize_t large[3]
    Py_ssize_t n_channels
    Py_ssize_t* source[3]  # of each axis
    real* share[3]


cdef struct Rows:
    int n
    Py_ssize_t at[4]
    real weight[4]


cdef inline Rows input_rows(const Upsample* q, Py_ssize_t row) noexcept nogil:
    """The rows of the input that are in a row of the output, those of all planes counted in order.
    One without weight is none: it may be infinite."""
    cdef Rows rows
    cdef Py_ssize_t d = row // q.large[1], h = row % q.large[1]
    cdef real s = q.share[0][d], t = q.share[1][h]
    cdef int i, j
    rows.n = 0
    for i in range(1 + (s != 0)):
        for j in range(1 + (t != 0)):
            rows.at[rows.n] = (q.source[0][d] + i) * q.size[1] + q.source[1][h] + j
            rows.weight[rows.n] = (s if i else 1 - s) * (t if j else 1 - t)
            rows.n += 1
    return rows


cdef inline void add_multiple(
    Py_ssize_t n, real weight, const real* x, real* y
) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        y[i] += weight * x[i]


cdef inline void mix(
    Py_ssize_t n, real u, const real* a, real v, const real* b, real* y
) noexcept nogil:
    """y = u a + v b"""
    cdef Py_ssize_t i, c
    for i in range(n // LANES):
        c = i * LANES
        put(y + c, at(a + c) * u + at(b + c) * v)
    for c in range(n // LANES * LANES, n):
        y[c] = u * a[c] + v * b[c]


cdef void upsample_row(
    const Upsample* q, const real* x, Py_ssize_t row, real* y, real* mixed
) noexcept nogil:
    """One row of the output. Scratch is for a row of the input."""
    cdef Rows rows = input_rows(q, row)
    cdef Py_ssize_t n_channels = q.n_channels, width = q.size[2] * n_channels, w, c
    cdef const real* begin = mixed
    cdef const real* left
    cdef real u
    cdef int r
    if rows.n == 1:
        begin = x + rows.at[0] * width
    else:
        mix(width, rows.weight[0], x + rows.at[0] * width, rows.weight[1],
            x + rows.at[1] * width, mixed)
        for r in range(2, rows.n):
            add_multiple(width, rows.weight[r], x + rows.at[r] * width, mixed)
    for w in range(q.large[2]):
        left = begin + q.source[2][w] * n_channels
        u = q.share[2][w]
        if u == 0:
            for c in range(n_channels):
                y[c] = left[c]
        else:
            mix(n_channels, 1 - u, left, u, left + n_channels, y)
        y = y + n_channels


cdef void upsample_backward_image(
    const Upsample* q, const real* dy, real* dx, real* mixed
) noexcept nogil:
    """Scratch is for a row of the input."""
    cdef Py_ssize_t n_channels = q.n_channels, width = q.size[2] * n_channels, row, w
    cdef Rows rows
    cdef real* begin
    cdef real* left
    cdef int r
    memset(dx, 0, q.size[0] * q.size[1] * width * sizeof(real))
    for row in range(q.large[0] * q.large[1]):
        rows = input_rows(q, row)
        begin = mixed
        if rows.n == 1:
            begin = dx + rows.at[0] * width
        else:
            memset(mixed, 0, width * sizeof(real))
        for w in range(q.large[2]):
            left = begin + q.source[2][w] * n_channels
            add_multiple(n_channels, 1 - q.share[2][w], dy, left)
            if q.share[2][w] != 0:
                add_multiple(n_channels, q.share[2][w], dy, left + n_channels)
            dy = dy + n_channels
        if rows.n > 1:
            for r in range(rows.n):
                add_multiple(width, rows.weight[r], mixed, dx + rows.at[r] * width)


cdef void* upsample_tables(
    Upsample* q, const Py_ssize_t* small, const Py_ssize_t* large, bint linear
) except NULL:
    """Compares shapes, and fills the tables of all axes, which share the memory it returns."""
    cdef Py_ssize_t* memory
    cdef Py_ssize_t* source
    cdef real* share
    cdef int axis
    cdef bint fit = small[0] == large[0] and small[4] == large[4] and small[4] > 0
    q.n_channels = small[4]
    for axis in range(3):
        q.size[axis], q.large[axis] = small[1 + axis], large[1 + axis]
        fit = fit and q.size[axis] > 0 and q.large[axis] > 0
        fit = fit and q.large[axis] % q.size[axis] == 0
    if not fit:
        raise ValueError(
            f"maps of shape {shape_of(small, 5)} cannot be enlarged to {shape_of(large, 5)}")
    memory = <Py_ssize_t*> allocate(
        (q.large[0] + q.large[1] + q.large[2]) * (sizeof(Py_ssize_t) + sizeof(real)))
    source = memory
    share = <real*> (memory + q.large[0] + q.large[1] + q.large[2])
    for axis in range(3):
        q.source[axis], q.share[axis] = source, share
        mixture(q.size[axis], q.large[axis] // q.size[axis], linear, source, share)
        source = source + q.large[axis]
        share = share + q.large[axis]
    return memory


def upsample_forward(
    const real[:, :, :, :, ::1] X,  # IN  (n, depth, height, width, channels)
    real[:, :, :, :, ::1] Y,        # OUT (n, depth * j, height * k, width * l, channels)
    bint linear, int n_threads,
):
    n_threads = checked(n_threads, X is None or Y is None, "X, Y")
    cdef Upsample q
    cdef void* tables = upsample_tables(&q, X.shape, Y.shape, linear)
    cdef Py_ssize_t n_rows = q.large[0] * q.large[1], size_row = q.large[2] * q.n_channels
    cdef Py_ssize_t size_in = q.size[0] * q.size[1] * q.size[2] * q.n_channels
    cdef Py_ssize_t n = X.shape[0], t
    cdef Py_ssize_t size_mixed = q.size[2] * q.n_channels
    cdef const real* x = NULL if n == 0 else &X[0, 0, 0, 0, 0]
    cdef real* y = NULL if n == 0 else &Y[0, 0, 0, 0, 0]
    cdef real* mixed = NULL
    n_threads = threads_for(n * n_rows * size_row, n_threads)
    try:
        mixed = <real*> allocate(n_threads * size_mixed * sizeof(real))
        for t in prange(n * n_rows, nogil=True, num_threads=n_threads):
            upsample_row(&q, x + t // n_rows * size_in, t % n_rows, y + t * size_row,
                         mixed + threadid() * size_mixed)
    finally:
        free(mixed)
        free(tables)


def upsample_backward(
    const real[:, :, :, :, ::1] dY,  # IN  (n, depth * j, height * k, width * l, channels)
    real[:, :, :, :, ::1] dX,        # OUT (n, depth, height, width, channels)
    bint linear, int n_threads,
):
    """The adjoint of upsample_forward."""
    n_threads = checked(n_threads, dY is None or dX is None, "dY, dX")
    cdef Upsample q
    cdef void* tables = upsample_tables(&q, dX.shape, dY.shape, linear)
    cdef Py_ssize_t n = dX.shape[0], i
    cdef Py_ssize_t n_pixels = q.large[0] * q.large[1] * q.large[2]
    cdef Py_ssize_t size_mixed = q.size[2] * q.n_channels
    cdef real* mixed = NULL
    n_threads = threads_for(n * n_pixels * q.n_channels, n_threads)
    try:
        mixed = <real*> allocate(n_threads * size_mixed * sizeof(real))
        for i in prange(n, nogil=True, num_threads=n_threads):
            upsample_backward_image(&q, &dY[i, 0, 0, 0, 0], &dX[i, 0, 0, 0, 0],
                                    mixed + threadid() * size_mixed)
    finally:
        free(mixed)
        free(tables)
