# The samples of a batch, from wherever they are among all samples.
#
# Design:
# * Samples are shared out as in the first layer, which so finds its part in its core's cache.
# * They lie far apart in memory: while one is copied, the first lines of the next are fetched.

cdef int rows_geometry(
    const Py_ssize_t* shape_X, const int64_t[::1] rows, const Py_ssize_t* shape_Y
) except -1:
    cdef Py_ssize_t i
    cdef Py_ssize_t expected[2]
    expected[:] = [rows.shape[0], shape_X[1]]
    same_sizes(expected, shape_Y, 2, "Y")
    for i in range(rows.shape[0]):
        if not 0 <= rows[i] < shape_X[0]:
            raise ValueError(f"row {rows[i]} is not one of {shape_X[0]}")
    return 0


cdef extern from *:
    """
    #define AHEAD 512  /* bytes of a row that are asked for; the others follow by themselves */

    static inline void fetch_row(const void *row, Py_ssize_t n_bytes)
    {
        for (Py_ssize_t i = 0; i < n_bytes && i < AHEAD; i += CACHE_LINE)
            __builtin_prefetch((const char *) row + i);
    }
    """
    void fetch_row(const void* row, Py_ssize_t n_bytes) noexcept nogil


def take_rows(
    const real[:, ::1] X,      # IN  (n, size)
    const int64_t[::1] rows,   # IN  (m,)
    real[:, ::1] Y,            # OUT (m, size)
    int n_threads,
):
    """Y[i] = X[rows[i]]."""
    n_threads = checked(n_threads, X is None or rows is None or Y is None, "X, rows, Y")
    cdef Py_ssize_t size = X.shape[1], m = rows.shape[0], i
    rows_geometry(X.shape, rows, Y.shape)
    if size == 0:
        return
    for i in prange(m, nogil=True, num_threads=threads_for(m * size, n_threads),
                    schedule="static"):
        if i + 1 < m:
            fetch_row(&X[rows[i + 1], 0], size * sizeof(real))
        memcpy(&Y[i, 0], &X[rows[i], 0], size * sizeof(real))


def take_bytes(
    const unsigned char[:, ::1] X,  # IN  (n, size)
    const int64_t[::1] rows,        # IN  (m,)
    real[:, ::1] Y,                 # OUT (m, size)
    int n_threads,
):
    """The same for bytes, which become numbers of the same value."""
    n_threads = checked(n_threads, X is None or rows is None or Y is None, "X, rows, Y")
    cdef Py_ssize_t size = X.shape[1], m = rows.shape[0], i, j
    cdef const unsigned char* x
    cdef real* y
    rows_geometry(X.shape, rows, Y.shape)
    if size == 0:
        return
    for i in prange(m, nogil=True, num_threads=threads_for(m * size, n_threads),
                    schedule="static"):
        if i + 1 < m:
            fetch_row(&X[rows[i + 1], 0], size)
        x = &X[rows[i], 0]
        y = &Y[i, 0]
        for j in range(size):
            y[j] = x[j]
