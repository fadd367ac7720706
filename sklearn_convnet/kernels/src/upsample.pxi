# Enlarging images. Each output row and column is a mixture of two of the input, at most:
# row h is (1 - t) source[h] + t (source[h] + 1). Nearest neighbours have t = 0.
# Positions are pixel centres: output h lies at (h + 1/2) / factor - 1/2 of the input.

cdef void mixture(
    Py_ssize_t size, Py_ssize_t factor, bint bilinear, Py_ssize_t* source, real* share
) noexcept nogil:
    cdef Py_ssize_t i
    cdef double at
    for i in range(size * factor):
        source[i] = i // factor
        share[i] = 0
        if bilinear:
            at = (i + 0.5) / factor - 0.5
            at = 0 if at < 0 else (size - 1 if at > size - 1 else at)
            source[i] = <Py_ssize_t> at
            share[i] = <real> (at - source[i])


cdef struct Upsample:
    Py_ssize_t height, width, n_channels, factor_h, factor_w
    Py_ssize_t* row
    Py_ssize_t* column
    real* row_share
    real* column_share


cdef inline void corners(
    const Upsample* q, Py_ssize_t h, Py_ssize_t w, Py_ssize_t* at, real* weight
) noexcept nogil:
    """The four input pixels of an output pixel, and their weights."""
    cdef Py_ssize_t top = q.row[h], left = q.column[w]
    cdef real t = q.row_share[h], u = q.column_share[w]
    cdef Py_ssize_t bottom = smaller(top + 1, q.height - 1)
    cdef Py_ssize_t right = smaller(left + 1, q.width - 1)
    at[0] = (top * q.width + left) * q.n_channels
    at[1] = (top * q.width + right) * q.n_channels
    at[2] = (bottom * q.width + left) * q.n_channels
    at[3] = (bottom * q.width + right) * q.n_channels
    weight[0] = (1 - t) * (1 - u)
    weight[1] = (1 - t) * u
    weight[2] = t * (1 - u)
    weight[3] = t * u


cdef void upsample_row(const Upsample* q, const real* x, Py_ssize_t h, real* y) noexcept nogil:
    cdef Py_ssize_t at[4]
    cdef real weight[4]
    cdef Py_ssize_t w, c
    cdef int k
    memset(y, 0, q.width * q.factor_w * q.n_channels * sizeof(real))
    for w in range(q.width * q.factor_w):
        corners(q, h, w, at, weight)
        for k in range(4):
            if weight[k] != 0:  # a neighbour without weight may be infinite
                for c in range(q.n_channels):
                    y[c] += weight[k] * x[at[k] + c]
        y = y + q.n_channels


cdef void upsample_backward_image(const Upsample* q, const real* dy, real* dx) noexcept nogil:
    cdef Py_ssize_t at[4]
    cdef real weight[4]
    cdef Py_ssize_t h, w, c
    cdef int k
    memset(dx, 0, q.height * q.width * q.n_channels * sizeof(real))
    for h in range(q.height * q.factor_h):
        for w in range(q.width * q.factor_w):
            corners(q, h, w, at, weight)
            for k in range(4):
                if weight[k] != 0:
                    for c in range(q.n_channels):
                        dx[at[k] + c] += weight[k] * dy[c]
            dy = dy + q.n_channels


cdef void* upsample_tables(Upsample* q, shape_X, shape_Y, bint bilinear) except NULL:
    cdef Py_ssize_t n_rows, n_columns
    cdef Py_ssize_t* memory
    q.height, q.width, q.n_channels = shape_X[1], shape_X[2], shape_X[3]
    if 0 in shape_X[1:] or shape_Y[1] % q.height or shape_Y[2] % q.width:
        raise ValueError(
            f"maps of shape {tuple(shape_X)} cannot be enlarged to {tuple(shape_Y)}")
    q.factor_h, q.factor_w = shape_Y[1] // q.height, shape_Y[2] // q.width
    same_shape((shape_X[0], q.height * q.factor_h, q.width * q.factor_w, q.n_channels),
               shape_Y, "the larger array")
    if q.factor_h < 1 or q.factor_w < 1:
        raise ValueError(
            f"maps of shape {tuple(shape_X)} cannot be enlarged to {tuple(shape_Y)}")
    n_rows, n_columns = shape_Y[1], shape_Y[2]
    memory = <Py_ssize_t*> allocate(
        (n_rows + n_columns) * (sizeof(Py_ssize_t) + sizeof(real)))
    q.row = memory
    q.column = q.row + n_rows
    q.row_share = <real*> (q.column + n_columns)
    q.column_share = q.row_share + n_rows
    mixture(q.height, q.factor_h, bilinear, q.row, q.row_share)
    mixture(q.width, q.factor_w, bilinear, q.column, q.column_share)
    return memory


def upsample_forward(
    const real[:, :, :, ::1] X,  # IN  (n, height, width, channels)
    real[:, :, :, ::1] Y,        # OUT (n, height * k, width * l, channels)
    bint bilinear, int n_threads,
):
    n_threads = checked(n_threads, X is None or Y is None, "X, Y")
    cdef Upsample q
    cdef Py_ssize_t n_rows = Y.shape[0] * Y.shape[1], t
    cdef void* tables = upsample_tables(
        &q, shape_of(X.shape, 4), shape_of(Y.shape, 4), bilinear)
    with nogil:
        for t in prange(n_rows, num_threads=threads_for(
                n_rows * Y.shape[2] * q.n_channels, n_threads)):
            upsample_row(&q, &X[t // Y.shape[1], 0, 0, 0], t % Y.shape[1],
                         &Y[t // Y.shape[1], t % Y.shape[1], 0, 0])
        free(tables)


def upsample_backward(
    const real[:, :, :, ::1] dY,  # IN  (n, height * k, width * l, channels)
    real[:, :, :, ::1] dX,        # OUT (n, height, width, channels)
    bint bilinear, int n_threads,
):
    """The adjoint of upsample_forward."""
    n_threads = checked(n_threads, dY is None or dX is None, "dY, dX")
    cdef Upsample q
    cdef Py_ssize_t n = dX.shape[0], i
    cdef void* tables = upsample_tables(
        &q, shape_of(dX.shape, 4), shape_of(dY.shape, 4), bilinear)
    with nogil:
        for i in prange(n, num_threads=threads_for(
                n * dY.shape[1] * dY.shape[2] * q.n_channels, n_threads)):
            upsample_backward_image(&q, &dY[i, 0, 0, 0], &dX[i, 0, 0, 0])
        free(tables)
