# --- local response normalisation (Krizhevsky, Sutskever and Hinton, 2012) -----------------
#
#   s_c = bias + alpha / size sum_{j near c} x_j^2      y_c = x_c s_c^-beta
#   dx_c = dy_c s_c^-beta - 2 alpha beta / size x_c sum_{j with c near j} dy_j x_j s_j^(-beta-1)
#
# where j near c is c - size // 2 <= j <= c + (size - 1) // 2.

# Sums are made in double, for all channels of a row at a time: neighbour by neighbour, of numbers
# with zeros on both sides.

cdef struct Response:
    Py_ssize_t n, below, above
    double alpha, beta, bias


cdef inline Py_ssize_t response_scratch(const Response* q) noexcept nogil:
    """s and its power, and a row of numbers with zeros on both sides."""
    return 3 * q.n + q.below + q.above


cdef void window_sums(
    const Response* q, Py_ssize_t before, Py_ssize_t after, double* padded, double* total
) noexcept nogil:
    """total_c = sum over j from c - before to c + after of the n numbers behind `before` zeros."""
    cdef Py_ssize_t c, j
    memset(padded, 0, before * sizeof(double))
    memset(padded + before + q.n, 0, after * sizeof(double))
    memset(total, 0, q.n * sizeof(double))
    for j in range(before + after + 1):
        for c in range(q.n):
            total[c] += padded[c + j]


cdef void response_sums(
    const Response* q, const real* x, double* padded, double* s, double* power
) noexcept nogil:
    """s and s^-beta; for the usual beta without pow."""
    cdef Py_ssize_t c
    cdef double root
    for c in range(q.n):
        padded[q.below + c] = <double> x[c] * x[c]
    window_sums(q, q.below, q.above, padded, s)
    for c in range(q.n):
        s[c] = q.bias + q.alpha * s[c]
    if q.beta == 0.75:
        for c in range(q.n):
            root = sqrt(s[c])
            power[c] = 1 / (root * sqrt(root))
    else:
        for c in range(q.n):
            power[c] = pow(s[c], -q.beta)


cdef void response_row(const Response* q, const real* x, real* y, double* scratch) noexcept nogil:
    cdef Py_ssize_t c
    cdef double* power = scratch + q.n
    response_sums(q, x, power + q.n, scratch, power)
    for c in range(q.n):
        y[c] = <real> (x[c] * power[c])


cdef void response_backward_row(
    const Response* q, const real* x, const real* dy, real* dx, double* scratch
) noexcept nogil:
    cdef Py_ssize_t c
    cdef double* s = scratch
    cdef double* power = s + q.n
    cdef double* term = power + q.n
    response_sums(q, x, term, s, power)
    for c in range(q.n):
        term[q.above + c] = dy[c] * x[c] * power[c] / s[c]
    window_sums(q, q.above, q.below, term, s)
    for c in range(q.n):
        dx[c] = <real> (dy[c] * power[c] - 2 * q.alpha * q.beta * x[c] * s[c])


cdef int response_geometry(
    Response* q, shape_X, shape_Y, Py_ssize_t size, double alpha, double beta, double bias
) except -1:
    same_shape(shape_X, shape_Y, "the output")
    if size < 1:
        raise ValueError(f"size must be at least 1, got {size}")
    q.n = shape_X[1]
    q.below, q.above = smaller(size // 2, q.n), smaller((size - 1) // 2, q.n)
    q.alpha, q.beta, q.bias = alpha / size, beta, bias
    return 0


def response_norm_forward(
    const real[:, ::1] X,  # IN  (m, channels)
    real[:, ::1] Y,        # OUT like X
    Py_ssize_t size, double alpha, double beta, double bias, int n_threads,
):
    n_threads = checked(n_threads, X is None or Y is None, "X, Y")
    cdef Response q
    cdef Py_ssize_t m = X.shape[0], i
    cdef double* scratch
    response_geometry(&q, shape_of(X.shape, 2), shape_of(Y.shape, 2), size, alpha, beta, bias)
    if m * q.n == 0:
        return
    n_threads = threads_for(m * q.n, n_threads)
    scratch = <double*> allocate(n_threads * response_scratch(&q) * sizeof(double))
    with nogil:
        for i in prange(m, num_threads=n_threads):
            response_row(&q, &X[i, 0], &Y[i, 0],
                         scratch + threadid() * response_scratch(&q))
        free(scratch)


def response_norm_backward(
    const real[:, ::1] X,   # IN  (m, channels)
    const real[:, ::1] dY,  # IN  like X
    real[:, ::1] dX,        # OUT like X
    Py_ssize_t size, double alpha, double beta, double bias, int n_threads,
):
    n_threads = checked(n_threads, X is None or dY is None or dX is None, "X, dY, dX")
    cdef Response q
    cdef Py_ssize_t m = X.shape[0], i
    cdef double* scratch
    response_geometry(&q, shape_of(X.shape, 2), shape_of(dX.shape, 2), size, alpha, beta, bias)
    same_sizes(X.shape, dY.shape, 2, "dY")
    if m * q.n == 0:
        return
    n_threads = threads_for(m * q.n, n_threads)
    scratch = <double*> allocate(n_threads * response_scratch(&q) * sizeof(double))
    with nogil:
        for i in prange(m, num_threads=n_threads):
            response_backward_row(&q, &X[i, 0], &dY[i, 0], &dX[i, 0],
                                  scratch + threadid() * response_scratch(&q))
        free(scratch)
