# --- local response normalisation (Krizhevsky, Sutskever and Hinton, 2012) -----------------
#
#   s_c = bias + alpha / size sum_{j near c} x_j^2      y_c = x_c s_c^-beta
#   dx_c = dy_c s_c^-beta - 2 alpha beta / size x_c sum_{j with c near j} dy_j x_j s_j^(-beta-1)
#
# where j near c is c - size // 2 <= j <= c + (size - 1) // 2.

cdef struct Response:
    Py_ssize_t n, below, above
    double alpha, beta, bias


cdef inline double power_of(const Response* q, double s) noexcept nogil:
    """s^-beta; for the usual beta without pow."""
    cdef double root
    if q.beta == 0.75:
        root = sqrt(s)
        return 1 / (root * sqrt(root))
    return pow(s, -q.beta)


cdef void response_sums(const Response* q, const real* x, double* s) noexcept nogil:
    cdef Py_ssize_t c, j
    cdef double total
    for c in range(q.n):
        total = 0
        for j in range(larger(0, c - q.below), smaller(q.n, c + q.above + 1)):
            total += <double> x[j] * x[j]
        s[c] = q.bias + q.alpha * total


cdef void response_row(const Response* q, const real* x, real* y, double* s) noexcept nogil:
    cdef Py_ssize_t c
    response_sums(q, x, s)
    for c in range(q.n):
        y[c] = <real> (x[c] * power_of(q, s[c]))


cdef void response_backward_row(
    const Response* q, const real* x, const real* dy, real* dx, double* s
) noexcept nogil:
    """s is scratch for 3 n numbers."""
    cdef Py_ssize_t c, j
    cdef double total
    cdef double* power = s + q.n
    cdef double* term = s + 2 * q.n
    response_sums(q, x, s)
    for c in range(q.n):
        power[c] = power_of(q, s[c])
        term[c] = dy[c] * x[c] * power[c] / s[c]
    for c in range(q.n):
        total = 0
        for j in range(larger(0, c - q.above), smaller(q.n, c + q.below + 1)):
            total += term[j]
        dx[c] = <real> (dy[c] * power[c] - 2 * q.alpha * q.beta * x[c] * total)


cdef int response_geometry(
    Response* q, shape_X, shape_Y, Py_ssize_t size, double alpha, double beta, double bias
) except -1:
    same_shape(shape_X, shape_Y, "the output")
    if size < 1:
        raise ValueError(f"size must be at least 1, got {size}")
    q.n = shape_X[1]
    q.below, q.above = size // 2, (size - 1) // 2
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
    scratch = <double*> allocate(n_threads * q.n * sizeof(double))
    with nogil:
        for i in prange(m, num_threads=n_threads):
            response_row(&q, &X[i, 0], &Y[i, 0], scratch + threadid() * q.n)
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
    scratch = <double*> allocate(3 * n_threads * q.n * sizeof(double))
    with nogil:
        for i in prange(m, num_threads=n_threads):
            response_backward_row(
                &q, &X[i, 0], &dY[i, 0], &dX[i, 0], scratch + 3 * threadid() * q.n)
        free(scratch)
