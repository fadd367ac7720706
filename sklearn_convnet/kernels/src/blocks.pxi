# Kernels of blocks of layers: sums of maps, and maps side by side; filters the other way round.

cdef void add_chunk(const real* a, const real* b, real* y, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        y[i] = a[i] + b[i]


def add(
    const real[::1] A,  # IN
    const real[::1] B,  # IN  like A
    real[::1] Y,        # OUT like A; may be A or B
    str activation, double alpha, int n_threads,
):
    """Y = f(A + B)."""
    n_threads = checked(n_threads, A is None or B is None or Y is None, "A, B, Y")
    cdef Py_ssize_t n = A.shape[0], t, start, count
    cdef int code = activation_code(activation, True)
    same_length(n, B.shape[0], "B")
    same_length(n, Y.shape[0], "Y")
    for t in prange(chunks_for(n), nogil=True, num_threads=threads_for(n, n_threads)):
        start = t * CHUNK
        count = chunk_end(n, t) - start
        add_chunk(&A[start], &B[start], &Y[start], count)
        activate(code, alpha, &Y[start], count)


def copy_channels(
    const real[:, ::1] X,  # IN    (m, channels)
    real[:, ::1] Y,        # INOUT (m, channels)
    Py_ssize_t x_start, Py_ssize_t y_start, Py_ssize_t width, bint accumulate, int n_threads,
):
    """Y[:, y_start:][:, :width] (+)= X[:, x_start:][:, :width]: concatenation, and its adjoint."""
    n_threads = checked(n_threads, X is None or Y is None, "X, Y")
    cdef Py_ssize_t m = X.shape[0], i
    same_length(m, Y.shape[0], "Y")
    if width < 0 or not (
        0 <= x_start <= X.shape[1] - width and 0 <= y_start <= Y.shape[1] - width
    ):
        raise ValueError(
            f"{width} channels from {x_start} and {y_start} do not lie within "
            f"{X.shape[1]} and {Y.shape[1]}")
    if m * width == 0:
        return
    for i in prange(m, nogil=True, num_threads=threads_for(m * width, n_threads)):
        if accumulate:
            add_chunk(&X[i, x_start], &Y[i, y_start], &Y[i, y_start], width)
        else:
            memcpy(&Y[i, y_start], &X[i, x_start], width * sizeof(real))


cdef enum:
    EXCHANGED_ROWS = 64  # of a filter's matrix, one after the other


def exchange_maps(
    const real[:, :, ::1] W,  # IN  (taps, inputs, outputs)
    real[:, :, ::1] T,        # OUT (taps, outputs, inputs)
    int n_threads,
):
    """T(t, j, i) = W(t, i, j): filters from outputs to inputs."""
    n_threads = checked(n_threads, W is None or T is None, "W, T")
    cdef Py_ssize_t n_rows = W.shape[1], n_columns = W.shape[2], i, t, row
    cdef Py_ssize_t n_strips = ceil_div(n_rows, EXCHANGED_ROWS)
    cdef Py_ssize_t expected[3]
    expected[:] = [W.shape[0], n_columns, n_rows]
    same_sizes(expected, T.shape, 3, "T")
    if W.shape[0] * n_rows * n_columns == 0:
        return
    n_threads = threads_for(W.shape[0] * n_rows * n_columns, n_threads)
    for i in prange(W.shape[0] * n_strips, nogil=True, num_threads=n_threads):
        t = i // n_strips
        row = i % n_strips * EXCHANGED_ROWS
        transpose(&W[t, row, 0], n_columns, smaller(EXCHANGED_ROWS, n_rows - row), n_columns,
                  &T[t, 0, row], n_rows)
