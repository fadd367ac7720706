# Activations of whole arrays, and softmax.

def activation_forward(
    const real[::1] X,   # IN
    real[::1] Y,         # OUT
    str activation, double alpha, int n_threads,
):
    """Y = f(X)."""
    n_threads = checked(n_threads, X is None or Y is None, "X, Y")
    cdef int code = activation_code(activation, False)
    cdef Py_ssize_t n = X.shape[0], t
    same_length(n, Y.shape[0], "Y")
    for t in prange(chunks_for(n), nogil=True, num_threads=threads_for(n, n_threads)):
        activated_copy(code, alpha, &X[t * CHUNK], &Y[t * CHUNK], chunk_end(n, t) - t * CHUNK)


def activation_backward(
    const real[::1] S,   # IN  the output, from GELU on the input
    const real[::1] dY,  # IN
    real[::1] dX,        # OUT
    str activation, double alpha, int n_threads,
):
    """dX = dY f'(z)."""
    n_threads = checked(n_threads, S is None or dY is None or dX is None, "S, dY, dX")
    cdef int code = activation_code(activation, False)
    cdef Py_ssize_t n = S.shape[0], t
    same_length(n, dY.shape[0], "dY")
    same_length(n, dX.shape[0], "dX")
    for t in prange(chunks_for(n), nogil=True, num_threads=threads_for(n, n_threads)):
        times_derivative(code, alpha, &S[t * CHUNK], &dY[t * CHUNK], &dX[t * CHUNK],
                         chunk_end(n, t) - t * CHUNK)


# softmax(x)_c = exp(x_c - max x) / sum_c' exp(x_c' - max x)

cdef enum:
    MAX_SOFTMAX_ROWS = 4 * BLOCK


cdef inline Py_ssize_t softmax_rows(Py_ssize_t n) noexcept nogil:
    """How many rows of n numbers are worked on together, so that few blocks are not full."""
    return larger(1, MAX_SOFTMAX_ROWS // n)


cdef enum:
    APART = 4  # results, each of which waits for the one before it and not for the others


cdef inline real row_max(const real* x, Py_ssize_t n) noexcept nogil:
    cdef real top[APART]
    cdef Py_ssize_t c, j
    for j in range(APART):
        top[j] = x[0]
    for c in range(n // APART):
        for j in range(APART):
            top[j] = x[c * APART + j] if x[c * APART + j] > top[j] else top[j]
    for c in range(n // APART * APART, n):
        top[0] = x[c] if x[c] > top[0] else top[0]
    for j in range(1, APART):
        top[0] = top[j] if top[j] > top[0] else top[0]
    return top[0]


cdef inline double row_total(const real* x, Py_ssize_t n) noexcept nogil:
    cdef double total[APART]
    cdef Py_ssize_t c, j
    for j in range(APART):
        total[j] = 0
    for c in range(n // APART):
        for j in range(APART):
            total[j] += x[c * APART + j]
    for c in range(n // APART * APART, n):
        total[0] += x[c]
    return (total[0] + total[1]) + (total[2] + total[3])


cdef void exponentials(
    const real* x, real* y, real* top, Py_ssize_t n_rows, Py_ssize_t n
) noexcept nogil:
    """y = exp(x - top), with the maximum of each row."""
    cdef real rest[BLOCK]
    cdef Py_ssize_t row, start, c, n_all = n_rows * n, n_rest = n_all % BLOCK
    for row in range(n_rows):
        start = row * n
        top[row] = row_max(x + start, n)
        for c in range(n):
            y[start + c] = x[start + c] - top[row]
    exp_blocks(y, n_all // BLOCK)
    if n_rest:
        memset(rest, 0, BLOCK * sizeof(real))
        memcpy(rest, y + n_all - n_rest, n_rest * sizeof(real))
        exp_blocks(rest, 1)
        memcpy(y + n_all - n_rest, rest, n_rest * sizeof(real))


cdef void softmax_of_rows(const real* x, real* y, Py_ssize_t n_rows, Py_ssize_t n) noexcept nogil:
    cdef real top[MAX_SOFTMAX_ROWS]
    cdef real factor
    cdef Py_ssize_t row, c
    exponentials(x, y, top, n_rows, n)
    for row in range(n_rows):
        factor = <real> (1 / row_total(y, n))
        for c in range(n):
            y[c] = y[c] * factor
        y += n


def softmax_forward(
    const real[:, ::1] X,  # IN
    real[:, ::1] Y,        # OUT
    int n_threads,
):
    n_threads = checked(n_threads, X is None or Y is None, "X, Y")
    cdef Py_ssize_t m = X.shape[0], n = X.shape[1], few, i, start
    same_length(m, Y.shape[0], "Y")
    same_length(n, Y.shape[1], "a row of Y")
    if n == 0:
        raise ValueError("softmax needs at least one column, got 0")
    few = softmax_rows(n)
    for i in prange(ceil_div(m, few), nogil=True, num_threads=threads_for(m * n, n_threads)):
        start = i * few
        softmax_of_rows(&X[start, 0], &Y[start, 0], smaller(few, m - start), n)


# dx_c = y_c (dy_c - sum_c' y_c' dy_c')

cdef void softmax_backward_row(
    const real* y, const real* dy, real* dx, Py_ssize_t n
) noexcept nogil:
    cdef double dot = 0
    cdef Py_ssize_t c
    for c in range(n):
        dot += <double> y[c] * dy[c]
    for c in range(n):
        dx[c] = y[c] * <real> (dy[c] - dot)


def softmax_backward(
    const real[:, ::1] Y,   # IN
    const real[:, ::1] dY,  # IN
    real[:, ::1] dX,        # OUT
    int n_threads,
):
    n_threads = checked(n_threads, Y is None or dY is None or dX is None, "Y, dY, dX")
    cdef Py_ssize_t m = Y.shape[0], n = Y.shape[1], i
    same_length(m, dY.shape[0], "dY")
    same_length(n, dY.shape[1], "a row of dY")
    same_length(m, dX.shape[0], "dX")
    same_length(n, dX.shape[1], "a row of dX")
    if n == 0:
        raise ValueError("softmax needs at least one column, got 0")
    for i in prange(m, nogil=True, num_threads=threads_for(m * n, n_threads)):
        softmax_backward_row(&Y[i, 0], &dY[i, 0], &dX[i, 0], n)
