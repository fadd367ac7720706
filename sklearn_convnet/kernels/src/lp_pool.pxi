# --- Lp pooling: y = (sum_t |x_t|^p)^(1/p),  dx_t += dy sign(x_t) (|x_t| / y)^(p-1) --------

cdef inline double power(double x, double p) noexcept nogil:
    """x^p for x >= 0; the usual exponents without pow."""
    if p == 1:
        return x
    if p == 2:
        return x * x
    if p == 0:
        return 1
    return pow(x, p)


cdef void lppool_window(
    const Pool* q, const real* x, Py_ssize_t position, double p, real* y
) noexcept nogil:
    """In units of the largest, so that no power of a number overflows where the norm does not."""
    cdef Window w = pool_window(q, position)
    cdef Py_ssize_t block, c
    for block in range(ceil_div(q.n_channels, BLOCK)):
        c = block * BLOCK
        lppool_channels(q, &w, x + c, <int> smaller(BLOCK, q.n_channels - c), p, y + c)


cdef void lppool_channels(
    const Pool* q, const Window* w, const real* x, int n, double p, real* y
) noexcept nogil:
    cdef double[BLOCK] unit
    cdef double[BLOCK] total
    cdef Py_ssize_t d, h, i
    cdef const real* pixel
    cdef double size
    cdef int c
    memset(unit, 0, sizeof(unit))
    memset(total, 0, sizeof(total))
    for d in range(w.start[0], w.end[0]):
        for h in range(w.start[1], w.end[1]):
            for i in range(w.start[2], w.end[2]):
                pixel = x + ((d * q.size[1] + h) * q.size[2] + i) * q.n_channels
                for c in range(n):
                    size = fabs(pixel[c])
                    unit[c] = size if size > unit[c] else unit[c]
    for c in range(n):
        unit[c] = 1 if unit[c] == 0 or unit[c] == INFINITY else unit[c]
    for d in range(w.start[0], w.end[0]):
        for h in range(w.start[1], w.end[1]):
            for i in range(w.start[2], w.end[2]):
                pixel = x + ((d * q.size[1] + h) * q.size[2] + i) * q.n_channels
                if p == 2:
                    for c in range(n):
                        size = pixel[c] / unit[c]
                        total[c] += size * size
                else:
                    for c in range(n):
                        total[c] += power(fabs(pixel[c]) / unit[c], p)
    if p == 2:
        for c in range(n):
            y[c] = <real> (unit[c] * sqrt(total[c]))
    else:
        for c in range(n):
            y[c] = <real> (unit[c] * power(total[c], 1 / p))


def lppool_forward(
    const real[:, :, :, :, ::1] X,  # IN  (n, depth, height, width, channels)
    real[:, :, :, :, ::1] Y,        # OUT (n, *out, channels)
    pool_size, stride, padding, double p, int n_threads,
):
    n_threads = checked(n_threads, X is None or Y is None, "X, Y")
    cdef Pool q
    cdef Py_ssize_t t
    cdef real* y
    pool_geometry(&q, X.shape, Y.shape, pool_size, stride, padding)
    if not 1 <= p < INFINITY:
        raise ValueError(f"p must be finite and at least 1, got {p}")
    if q.n_images * q.n_channels == 0:
        return
    y = &Y[0, 0, 0, 0, 0]
    for t in prange(
        q.n_images * q.n_out, nogil=True,
        num_threads=threads_for(q.n_images * q.n_in * q.n_channels, n_threads),
    ):
        lppool_window(
            &q, &X[0, 0, 0, 0, 0] + t // q.n_out * q.n_in * q.n_channels, t % q.n_out, p,
            y + t * q.n_channels)


cdef inline void lppool_slopes(
    Py_ssize_t n, const real* x, const real* y, const real* dy, double p, real* dx
) noexcept nogil:
    """One pixel of a window."""
    cdef double slope
    cdef Py_ssize_t c
    if p == 2:
        for c in range(n):
            dx[c] += dy[c] * (x[c] / y[c] if x[c] != 0 else 0)
    else:
        for c in range(n):
            if x[c] != 0:
                slope = power(fabs(x[c]) / y[c], p - 1)
                dx[c] += <real> ((-slope if x[c] < 0 else slope) * dy[c])


cdef void lppool_backward_image(
    const Pool* q, const real* x, const real* y, const real* dy, double p, real* dx
) noexcept nogil:
    cdef Window w
    cdef Py_ssize_t o, d, h, i, at
    memset(dx, 0, q.n_in * q.n_channels * sizeof(real))
    for o in range(q.n_out):
        w = pool_window(q, o)
        for d in range(w.start[0], w.end[0]):
            for h in range(w.start[1], w.end[1]):
                for i in range(w.start[2], w.end[2]):
                    at = ((d * q.size[1] + h) * q.size[2] + i) * q.n_channels
                    lppool_slopes(q.n_channels, x + at, y + o * q.n_channels,
                                  dy + o * q.n_channels, p, dx + at)


def lppool_backward(
    const real[:, :, :, :, ::1] X,   # IN  (n, depth, height, width, channels)
    const real[:, :, :, :, ::1] Y,   # IN  (n, *out, channels)
    const real[:, :, :, :, ::1] dY,  # IN  like Y
    real[:, :, :, :, ::1] dX,        # OUT like X
    pool_size, stride, padding, double p, int n_threads,
):
    """The derivative at 0 is 0."""
    n_threads = checked(
        n_threads, X is None or Y is None or dY is None or dX is None,
        "X, Y, dY, dX")
    cdef Pool q
    cdef Py_ssize_t image, size_in, size_out
    pool_geometry(&q, X.shape, Y.shape, pool_size, stride, padding)
    same_sizes(Y.shape, dY.shape, 5, "dY")
    same_sizes(X.shape, dX.shape, 5, "dX")
    if not 1 <= p < INFINITY:
        raise ValueError(f"p must be finite and at least 1, got {p}")
    if q.n_images * q.n_channels == 0:
        return
    size_in, size_out = q.n_in * q.n_channels, q.n_out * q.n_channels
    for image in prange(
        q.n_images, nogil=True, num_threads=threads_for(q.n_images * size_in, n_threads)
    ):
        lppool_backward_image(
            &q, &X[0, 0, 0, 0, 0] + image * size_in, &Y[0, 0, 0, 0, 0] + image * size_out,
            &dY[0, 0, 0, 0, 0] + image * size_out, p, &dX[0, 0, 0, 0, 0] + image * size_in)
