# --- global pooling: X (n, pixels, channels), Y (n, channels) -----------------------------

cdef int global_shapes(shape_X, shape_Y) except -1:
    if shape_X[1] < 1:
        raise ValueError("global pooling needs at least one pixel, got 0")
    check_places(shape_X[1])
    same_shape((shape_X[0], shape_X[2]), shape_Y, "the pooled array")
    return 0


cdef void globalmax_image(
    const real* x, Py_ssize_t n_pixels, Py_ssize_t n_channels, real* y, int32_t* index
) noexcept nogil:
    cdef Py_ssize_t c
    cdef int32_t i
    cdef bint better
    memcpy(y, x, n_channels * sizeof(real))
    if index is not NULL:
        memset(index, 0, n_channels * sizeof(int32_t))
    for i in range(1, <int32_t> n_pixels):
        for c in range(n_channels):
            better = ((x[i * n_channels + c] > y[c])
                      | ((x[i * n_channels + c] != x[i * n_channels + c]) & (y[c] == y[c])))
            y[c] = x[i * n_channels + c] if better else y[c]
            if index is not NULL:
                index[c] = i if better else index[c]


def globalmax_forward(
    const real[:, :, ::1] X,   # IN  (n, pixels, channels)
    real[:, ::1] Y,            # OUT (n, channels)
    int32_t[:, ::1] index,     # OUT like Y, or None
    int n_threads,
):
    n_threads = checked(n_threads, X is None or Y is None, "X, Y")
    cdef Py_ssize_t image, n_pixels = X.shape[1], n_channels = X.shape[2]
    global_shapes(shape_of(X.shape, 3), shape_of(Y.shape, 2))
    if index is not None:
        same_sizes(Y.shape, index.shape, 2, "index")
    if X.shape[0] * n_channels == 0:
        return
    for image in prange(
        X.shape[0], nogil=True,
        num_threads=threads_for(X.shape[0] * n_pixels * n_channels, n_threads),
    ):
        globalmax_image(&X[image, 0, 0], n_pixels, n_channels, &Y[image, 0],
                        NULL if index is None else &index[image, 0])


def globalmax_backward(
    const real[:, ::1] dY,        # IN  (n, channels)
    const int32_t[:, ::1] index,  # IN  like dY
    real[:, :, ::1] dX,           # OUT (n, pixels, channels)
    int n_threads,
):
    n_threads = checked(n_threads, dY is None or index is None or dX is None, "dY, index, dX")
    cdef Py_ssize_t image
    cdef bint is_wrong = False
    cdef bint* wrong = &is_wrong
    global_shapes(shape_of(dX.shape, 3), shape_of(dY.shape, 2))
    same_sizes(dY.shape, index.shape, 2, "index")
    if dX.shape[0] * dX.shape[2] == 0:
        return
    for image in prange(
        dX.shape[0], nogil=True, num_threads=threads_for(
            dX.shape[0] * dX.shape[1] * dX.shape[2], n_threads)
    ):
        if not scatter_image(&dY[image, 0], &index[image, 0], &dX[image, 0, 0], 1, dX.shape[1],
                             dX.shape[2]):
            wrong[0] = True
    if is_wrong:
        wrong_index(dX.shape[1])


cdef void globalavg_image(
    const real* x, Py_ssize_t n_pixels, Py_ssize_t n_channels, real* y
) noexcept nogil:
    cdef Py_ssize_t block, first, i, c
    # So many pixels of few channels fill a block.
    cdef Py_ssize_t n = smaller(larger(1, BLOCK // n_channels), n_pixels), width
    cdef double[BLOCK] total
    for block in range(ceil_div(n_channels, BLOCK)):
        first = block * BLOCK
        width = smaller(BLOCK, n_channels - first) * n
        memset(total, 0, sizeof(total))
        for i in range(n_pixels // n):
            for c in range(width):
                total[c] += x[i * n * n_channels + first + c]
        for c in range(n_pixels % n * n_channels):
            total[c] += x[n_pixels // n * n * n_channels + c]
        width = width // n
        for i in range(1, n):
            for c in range(width):
                total[c] += total[i * width + c]
        for c in range(width):
            y[first + c] = <real> (total[c] / n_pixels)


def globalavg_forward(
    const real[:, :, ::1] X,  # IN  (n, pixels, channels)
    real[:, ::1] Y,           # OUT (n, channels)
    int n_threads,
):
    n_threads = checked(n_threads, X is None or Y is None, "X, Y")
    cdef Py_ssize_t image, n_pixels = X.shape[1], n_channels = X.shape[2]
    global_shapes(shape_of(X.shape, 3), shape_of(Y.shape, 2))
    if X.shape[0] * n_channels == 0:
        return
    for image in prange(
        X.shape[0], nogil=True,
        num_threads=threads_for(X.shape[0] * n_pixels * n_channels, n_threads),
    ):
        globalavg_image(&X[image, 0, 0], n_pixels, n_channels, &Y[image, 0])


cdef void spread_image(
    const real* dy, Py_ssize_t n_pixels, Py_ssize_t n_channels, real* dx
) noexcept nogil:
    cdef Py_ssize_t i, c
    for i in range(n_pixels):
        for c in range(n_channels):
            dx[i * n_channels + c] = dy[c] / n_pixels


def globalavg_backward(
    const real[:, ::1] dY,  # IN  (n, channels)
    real[:, :, ::1] dX,     # OUT (n, pixels, channels)
    int n_threads,
):
    n_threads = checked(n_threads, dY is None or dX is None, "dY, dX")
    cdef Py_ssize_t image, n_pixels = dX.shape[1], n_channels = dX.shape[2]
    global_shapes(shape_of(dX.shape, 3), shape_of(dY.shape, 2))
    if dX.shape[0] * n_channels == 0:
        return
    for image in prange(
        dX.shape[0], nogil=True,
        num_threads=threads_for(dX.shape[0] * n_pixels * n_channels, n_threads),
    ):
        spread_image(&dY[image, 0], n_pixels, n_channels, &dX[image, 0, 0])
