# Gates: Y(n, i, c) = X(n, i, c) G(n, i, c), where G may have one position for all, or one channel.
#
# dX = dY G, and dG is the sum of dY X over what G has one of. One thread sums those of an image, in
# double: that of channels block by block, each along the positions in their order.

cdef struct Gate:
    Py_ssize_t n_pixels, n_channels   # of X
    bint per_pixel, per_channel       # whether G has as many of each as X


cdef int gate_shapes(Gate* q, shape_X, shape_G) except -1:
    """Reads the shapes; a product of equal shapes, or with one number, is one row."""
    cdef bint whole
    q.n_pixels, q.n_channels = shape_X[1], shape_X[2]
    if q.n_pixels < 1 or q.n_channels < 1:
        raise ValueError(f"maps must not be empty, got shape {shape_X}")
    if shape_G[0] != shape_X[0] or shape_G[1] not in (1, shape_X[1]) or (
            shape_G[2] not in (1, shape_X[2])):
        raise ValueError(f"G has shape {shape_G}, expected {shape_X}, or 1 along the last axes")
    q.per_pixel, q.per_channel = shape_G[1] == q.n_pixels, shape_G[2] == q.n_channels
    whole = q.per_pixel and q.per_channel
    if whole or (shape_G[1] == 1 and shape_G[2] == 1):
        q.n_channels, q.n_pixels = q.n_pixels * q.n_channels, 1
        q.per_pixel, q.per_channel = False, whole
    return 0


cdef void multiply_image(const Gate* q, const real* x, const real* g, real* y) noexcept nogil:
    cdef Py_ssize_t i, c
    for i in range(q.n_pixels):
        if q.per_channel:
            for c in range(q.n_channels):
                y[c] = x[c] * g[c]
        else:
            for c in range(q.n_channels):
                y[c] = x[c] * g[0]
        x, y = x + q.n_channels, y + q.n_channels
        if q.per_pixel:
            g = g + 1


cdef inline real row_product(const real* a, const real* b, Py_ssize_t n) noexcept nogil:
    """The sum of products, of APART partial sums."""
    cdef double total[APART]
    cdef Py_ssize_t c, j
    for j in range(APART):
        total[j] = 0
    for c in range(n // APART):
        for j in range(APART):
            total[j] += <double> a[c * APART + j] * b[c * APART + j]
    for c in range(n // APART * APART, n):
        total[0] += <double> a[c] * b[c]
    return <real> ((total[0] + total[1]) + (total[2] + total[3]))


cdef void sum_over_pixels(const Gate* q, const real* x, const real* dy, real* dg) noexcept nogil:
    """Over the positions, for each channel."""
    cdef double total[BLOCK]
    cdef Py_ssize_t block, first, width, i, c, at
    for block in range(ceil_div(q.n_channels, BLOCK)):
        first = block * BLOCK
        width = smaller(BLOCK, q.n_channels - first)
        memset(total, 0, sizeof(total))
        for i in range(q.n_pixels):
            at = i * q.n_channels + first
            for c in range(width):
                total[c] += <double> x[at + c] * dy[at + c]
        for c in range(width):
            dg[first + c] = <real> total[c]


cdef void gate_gradient(const Gate* q, const real* x, const real* dy, real* dg) noexcept nogil:
    cdef Py_ssize_t i, c
    if not q.per_channel:
        for i in range(q.n_pixels):
            dg[i] = row_product(x + i * q.n_channels, dy + i * q.n_channels, q.n_channels)
    elif q.n_pixels == 1:
        for c in range(q.n_channels):
            dg[c] = x[c] * dy[c]
    else:
        sum_over_pixels(q, x, dy, dg)


def gate_forward(
    const real[:, :, ::1] X,  # IN  (n, pixels, channels)
    const real[:, :, ::1] G,  # IN  (n, pixels or 1, channels or 1)
    real[:, :, ::1] Y,        # OUT like X
    int n_threads,
):
    """Y = X G"""
    n_threads = checked(n_threads, X is None or G is None or Y is None, "X, G, Y")
    cdef Gate q
    cdef Py_ssize_t n = X.shape[0], image
    gate_shapes(&q, shape_of(X.shape, 3), shape_of(G.shape, 3))
    same_sizes(X.shape, Y.shape, 3, "Y")
    for image in prange(
        n, nogil=True, num_threads=threads_for(n * q.n_pixels * q.n_channels, n_threads)
    ):
        multiply_image(&q, &X[image, 0, 0], &G[image, 0, 0], &Y[image, 0, 0])


def gate_backward(
    const real[:, :, ::1] X,   # IN  (n, pixels, channels)
    const real[:, :, ::1] G,   # IN  (n, pixels or 1, channels or 1)
    const real[:, :, ::1] dY,  # IN  like X
    real[:, :, ::1] dX,        # OUT like X, or None
    real[:, :, ::1] dG,        # OUT like G
    int n_threads,
):
    """dX = dY G, without what X does to G, and dG, the sum of dY X."""
    n_threads = checked(
        n_threads, X is None or G is None or dY is None or dG is None, "X, G, dY, dG")
    cdef Gate q
    cdef Py_ssize_t n = X.shape[0], image
    gate_shapes(&q, shape_of(X.shape, 3), shape_of(G.shape, 3))
    same_sizes(X.shape, dY.shape, 3, "dY")
    same_sizes(G.shape, dG.shape, 3, "dG")
    if dX is not None:
        same_sizes(X.shape, dX.shape, 3, "dX")
    for image in prange(
        n, nogil=True, num_threads=threads_for(n * q.n_pixels * q.n_channels, n_threads)
    ):
        if dX is not None:
            multiply_image(&q, &dY[image, 0, 0], &G[image, 0, 0], &dX[image, 0, 0])
        gate_gradient(&q, &X[image, 0, 0], &dY[image, 0, 0], &dG[image, 0, 0])
