# Dense layers: Y = f(X W + b), dX = dz W', dW = X' dz, with dz = dY f'(z). All three are the
# product of product.pxi.

cdef enum:
    DZ_ROWS = 32         # of dz that are made and summed together


cdef int dense_shapes(
    const Py_ssize_t* shape_X, const Py_ssize_t* shape_W, const Py_ssize_t* shape_Y
) except -1:
    cdef Py_ssize_t n_in = shape_X[1], n_units = shape_W[1]
    cdef Py_ssize_t weights[2]
    cdef Py_ssize_t outputs[2]
    if n_in < 1 or n_units < 1:
        raise ValueError(f"a dense layer needs inputs and units, got {n_in} and {n_units}")
    weights[:] = [n_in, n_units]
    outputs[:] = [shape_X[0], n_units]
    same_sizes(weights, shape_W, 2, "W")
    same_sizes(outputs, shape_Y, 2, "Y")
    return 0


def dense_forward(
    const real[:, ::1] X,  # IN  (n, inputs)
    const real[:, ::1] W,  # IN  (inputs, units)
    const real[::1] b,     # IN  (units,) or None
    real[:, ::1] Y,        # OUT (n, units)
    str activation, double alpha, int n_threads,
):
    """Y = f(X W + b)."""
    n_threads = checked(n_threads, X is None or W is None or Y is None, "X, W, Y")
    cdef Product q
    dense_shapes(X.shape, W.shape, Y.shape)
    q.code = activation_code(activation, True)
    if b is not None:
        same_length(W.shape[1], b.shape[0], "b")
    if X.shape[0] == 0:
        return
    q.alpha = alpha
    q.n_rows, q.n_k, q.n_columns = X.shape[0], X.shape[1], W.shape[1]
    q.A, q.a_row, q.a_k = &X[0, 0], q.n_k, 1
    q.B, q.b_k, q.b_column = &W[0, 0], q.n_columns, 1
    q.init = NULL if b is None else &b[0]
    q.C = &Y[0, 0]
    multiply(&q, n_threads)


cdef void sum_rows(const real* a, Py_ssize_t n_rows, Py_ssize_t width, real* total) noexcept nogil:
    """Sums over MC rows at a time, then over these sums."""
    cdef Py_ssize_t n_lanes = width // LANES * LANES, n_rest = width - n_lanes
    cdef Py_ssize_t first = 0, n, row, j
    cdef real rest[MAX_LANES]
    memset(total, 0, width * sizeof(real))
    while first < n_rows:
        n = smaller(MC, n_rows - first)
        add_rows(a + first * width, width, n, n_lanes, total)
        memset(rest, 0, n_rest * sizeof(real))
        for row in range(first, first + n):
            for j in range(n_rest):
                rest[j] += a[row * width + n_lanes + j]
        for j in range(n_rest):
            total[n_lanes + j] += rest[j]
        first += n


cdef void dense_dz(
    int code, real alpha, const real* y, const real* dy, Py_ssize_t n_rows, Py_ssize_t n_units,
    real* dz, real* total
) noexcept nogil:
    """dz of some rows, and its sum over them unless that is NULL."""
    memcpy(dz, dy, n_rows * n_units * sizeof(real))
    multiply_derivative(code, alpha, y, dz, n_rows * n_units)
    if total is not NULL:
        sum_rows(dz, n_rows, n_units, total)


def dense_backward(
    const real[:, ::1] X,   # IN  (n, inputs)
    const real[:, ::1] W,   # IN  (inputs, units)
    const real[:, ::1] Y,   # IN  (n, units), activated
    const real[:, ::1] dY,  # IN  like Y
    real[:, ::1] dX,        # OUT like X, or None
    real[:, ::1] dW,        # OUT like W, or None
    real[::1] db,           # OUT (units,) or None
    str activation, double alpha, int n_threads,
):
    """The gradients of dense_forward, each computed where its array is given."""
    n_threads = checked(
        n_threads, X is None or W is None or Y is None or dY is None,
        "X, W, Y, dY")
    cdef Product q
    cdef Py_ssize_t n = X.shape[0], n_in = X.shape[1], n_units = W.shape[1], block, start
    cdef Py_ssize_t n_blocks = ceil_div(n, DZ_ROWS)
    cdef int code = activation_code(activation, True)
    cdef real* dz
    cdef real* sums
    dense_shapes(X.shape, W.shape, Y.shape)
    same_sizes(Y.shape, dY.shape, 2, "dY")
    if dX is not None:
        same_sizes(X.shape, dX.shape, 2, "dX")
    if dW is not None:
        same_sizes(W.shape, dW.shape, 2, "dW")
    if db is not None:
        same_length(n_units, db.shape[0], "db")
    if n == 0:
        if dW is not None:
            dW[:] = 0
        if db is not None:
            db[:] = 0
        return
    q.init = NULL
    q.code = IDENTITY
    q.alpha = 0
    dz = <real*> allocate((n + n_blocks) * n_units * sizeof(real))
    sums = dz + n * n_units
    try:
        with nogil:
            # By those who use it.
            for block in prange(
                    n_blocks, num_threads=threads_for_products(n * n_in * n_units, n_threads),
                    schedule="static"):
                start = block * DZ_ROWS
                dense_dz(code, alpha, &Y[start, 0], &dY[start, 0], smaller(DZ_ROWS, n - start),
                         n_units, dz + start * n_units,
                         NULL if db is None else sums + block * n_units)
            if db is not None:
                sum_rows(sums, n_blocks, n_units, &db[0])
        if dX is not None:
            q.n_rows, q.n_k, q.n_columns = n, n_units, n_in
            q.A, q.a_row, q.a_k = dz, n_units, 1
            q.B, q.b_k, q.b_column = &W[0, 0], 1, n_units
            q.C = &dX[0, 0]
            multiply(&q, n_threads)
        if dW is not None:
            q.n_rows, q.n_k, q.n_columns = n_in, n, n_units
            q.A, q.a_row, q.a_k = &X[0, 0], 1, n_in
            q.B, q.b_k, q.b_column = dz, n_units, 1
            q.C = &dW[0, 0]
            multiply(&q, n_threads)
    finally:
        free(dz)
