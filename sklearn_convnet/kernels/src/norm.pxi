# Normalisation.
#
# Design:
# * Statistics are summed over NORM_ROWS rows at a time, each block in the order of its rows,
#   and the blocks in order: threads and their number change nothing.
# * A block's variance is summed about its own mean while its rows are in cache, and blocks are
#   merged as by Chan, Golub and LeVeque (1983): one pass over memory for both statistics.
# * Time goes by the passes over memory. So a convolution that has the maps in cache anyway may do
#   a part of this: `Norm` and its functions, epilogue/norm.pxi, are what they share; winograd.pxi
#   has the calls.

# --- one scale and one shift for each map: what remains where statistics are known --------

cdef void affine_rows(
    const real* x, Py_ssize_t n_rows, Py_ssize_t n, const real* scale, const real* shift, real* y
) noexcept nogil:
    """y = x scale + shift; the shift may be NULL."""
    cdef Py_ssize_t row, c
    cdef real factor = scale[0], term
    if n == 1 and shift is not NULL:  # vectors run along the rows
        term = shift[0]
        for row in range(n_rows):
            y[row] = x[row] * factor + term
    elif shift is NULL:
        for row in range(n_rows):
            for c in range(n):
                y[row * n + c] = x[row * n + c] * scale[c]
    else:
        for row in range(n_rows):
            for c in range(n):
                y[row * n + c] = x[row * n + c] * scale[c] + shift[c]


cdef void scale_and_shift(
    const real* x, Py_ssize_t m, Py_ssize_t n, const real* scale, const real* shift, real* y,
    int n_threads
) noexcept nogil:
    """The same for many rows, by threads."""
    cdef Py_ssize_t i, start
    for i in prange(ceil_div(m, NORM_ROWS), num_threads=threads_for(m * n, n_threads)):
        start = i * NORM_ROWS
        affine_rows(x + start * n, smaller(NORM_ROWS, m - start), n, scale, shift, y + start * n)


def channel_affine(
    const real[:, ::1] X,     # IN  (m, channels)
    const real[::1] scale,    # IN  (channels,)
    const real[::1] shift,    # IN  (channels,) or None
    real[:, ::1] Y,           # OUT like X
    int n_threads,
):
    """Y = X scale + shift; its input gradient is the same without the shift."""
    n_threads = checked(n_threads, X is None or scale is None or Y is None, "X, scale, Y")
    cdef Py_ssize_t m = X.shape[0], n = X.shape[1]
    same_sizes(X.shape, Y.shape, 2, "Y")
    same_length(n, scale.shape[0], "scale")
    if shift is not None:
        same_length(n, shift.shape[0], "shift")
    if m * n == 0:
        return
    with nogil:
        scale_and_shift(&X[0, 0], m, n, &scale[0], NULL if shift is None else &shift[0], &Y[0, 0],
                        n_threads)


def standardize(
    const real[:, ::1] X,         # IN  (m, columns)
    const double[::1] mean,       # IN  (columns,)
    const double[::1] deviation,  # IN  (columns,)
    real[:, ::1] Y,               # OUT like X
    int n_threads,
):
    """Y = X scale + shift; scale = 1 / deviation and shift = -mean / deviation are rounded."""
    n_threads = checked(
        n_threads, X is None or mean is None or deviation is None or Y is None,
        "X, mean, deviation, Y")
    cdef Py_ssize_t m = X.shape[0], n = X.shape[1], c
    cdef double inverse
    cdef real* scale
    same_sizes(X.shape, Y.shape, 2, "Y")
    same_length(n, mean.shape[0], "mean")
    same_length(n, deviation.shape[0], "deviation")
    if m * n == 0:
        return
    scale = <real*> allocate(2 * n * sizeof(real))
    with nogil:
        for c in range(n):
            inverse = 1 / deviation[c]
            scale[c] = <real> inverse
            scale[n + c] = <real> (-mean[c] * inverse)
        scale_and_shift(&X[0, 0], m, n, scale, scale + n, &Y[0, 0], n_threads)
        free(scale)


def centred_affine(
    const double[:, ::1] X,    # IN  (m, columns)
    const double[::1] centre,  # IN  (columns,)
    const double[::1] scale,   # IN  (columns,)
    const double[::1] shift,   # IN  (columns,)
    real[:, ::1] Y,            # OUT like X
    int n_threads,
):
    """Y = (X - centre) scale + shift in double, rounded once: of large numbers that differ little,
    such as counts, nothing is lost before the difference is taken."""
    n_threads = checked(
        n_threads, X is None or centre is None or scale is None or shift is None or Y is None,
        "X, centre, scale, shift, Y")
    cdef Py_ssize_t m = X.shape[0], n = X.shape[1], i, c
    same_sizes(X.shape, Y.shape, 2, "Y")
    same_length(n, centre.shape[0], "centre")
    same_length(n, scale.shape[0], "scale")
    same_length(n, shift.shape[0], "shift")
    for i in prange(m, nogil=True, num_threads=threads_for(m * n, n_threads)):
        for c in range(n):
            Y[i, c] = <real> ((X[i, c] - centre[c]) * scale[c] + shift[c])


# --- batch normalisation (Ioffe and Szegedy, 2015) -----------------------------------------
#
#   mean = sum_i w_i x_i / W    variance = sum_i w_i (x_i - mean)^2 / W    W = sum_i w_i
#   xh = (x - mean) / sqrt(variance + epsilon)     z = scale xh + offset   y = f(z)
#   doffset = sum_i dz_i    dscale = sum_i dz_i xh_i
#   dx_i = scale / sqrt(variance + epsilon) (dz_i - w_i / W (doffset + xh_i dscale))


cdef inline double part_weight(
    const real* weight, Py_ssize_t sample_parts, Py_ssize_t i
) noexcept nogil:
    return 1 if weight is NULL else weight[i // sample_parts]


cdef void merge_moments(
    const double* moments, Py_ssize_t n_parts, Py_ssize_t n, const real* weight,
    Py_ssize_t sample_parts, double* mean, double* variance
) noexcept nogil:
    """Mean and variance of all rows from the moments of parts, in the order of these; weights of
    samples of so many parts, or NULL, are put to those of the parts."""
    cdef Py_ssize_t i, c, row = 1 + 2 * n
    cdef const double* origin = moments + 1
    cdef const double* of
    cdef double total = 0, w, d
    for i in range(n_parts):
        total += part_weight(weight, sample_parts, i) * moments[i * row]
    for c in range(n):
        mean[c] = variance[c] = 0
    for i in range(n_parts):
        of = moments + i * row
        w = part_weight(weight, sample_parts, i) * of[0] / total
        for c in range(n):
            mean[c] += w * (of[1 + c] - origin[c])
    for c in range(n):
        mean[c] += origin[c]
    for i in range(n_parts):
        of = moments + i * row
        w = part_weight(weight, sample_parts, i)
        for c in range(n):
            d = of[1 + c] - mean[c]
            variance[c] += w * (of[1 + n + c] + of[0] * d * d)
    for c in range(n):
        variance[c] = variance[c] / total if variance[c] > 0 else 0


cdef void add_blocks(double* totals, Py_ssize_t n_blocks, Py_ssize_t n) noexcept nogil:
    """The first row becomes the sum of all rows."""
    cdef Py_ssize_t block, c
    for block in range(1, n_blocks):
        for c in range(n):
            totals[c] += totals[block * n + c]


cdef int norm_shapes(Norm* q, X, const real[::1] weight, const real[::1] scale) except -1:
    cdef const real[:, ::1] x = X
    q.n_rows, q.n_channels = x.shape[0], x.shape[1]
    if q.n_rows < 1 or q.n_channels < 1:
        raise ValueError(f"batch norm needs samples and channels, got shape {X.shape}")
    same_length(q.n_channels, scale.shape[0], "scale")
    q.X = &x[0, 0]
    q.weight = NULL
    q.sample_rows = 1
    if weight is not None:
        if weight.shape[0] < 1 or q.n_rows % weight.shape[0]:
            raise ValueError(
                f"weight has length {weight.shape[0]}, which does not divide "
                f"{q.n_rows} rows")
        q.weight = &weight[0]
        q.sample_rows = q.n_rows // weight.shape[0]
    return 0


cdef extern from *:
    """
    /* The affine map of statistics that are known, and what filters and biases make of it. Arrays
       do not overlap, so that the roots and quotients are those of vectors. */
    static void known_norm(
        Py_ssize_t n, const double *restrict mean, const double *restrict variance,
        const skcn_real *restrict scale, const skcn_real *restrict offset, double epsilon,
        skcn_real *restrict affine)
    {
        for (Py_ssize_t c = 0; c < n; c++) {
            affine[c] = (skcn_real) mean[c];
            affine[n + c] = (skcn_real) (scale[c] / sqrt(variance[c] + epsilon));
            affine[2 * n + c] = offset[c];
        }
    }

    static void folded_norm(
        Py_ssize_t n, const double *restrict mean, const double *restrict variance,
        const skcn_real *restrict scale, const skcn_real *restrict offset,
        const skcn_real *restrict b, double epsilon,
        skcn_real *restrict factor, skcn_real *restrict shift)
    {
        for (Py_ssize_t c = 0; c < n; c++) {
            double f = scale[c] / sqrt(variance[c] + epsilon);
            double start = offset[c] - mean[c] * f;
            factor[c] = (skcn_real) f;
            shift[c] = (skcn_real) (b ? start + b[c] * f : start);
        }
    }
    """
    void known_norm(
        Py_ssize_t n, const double* mean, const double* variance, const real* scale,
        const real* offset, double epsilon, real* affine) noexcept nogil
    void folded_norm(
        Py_ssize_t n, const double* mean, const double* variance, const real* scale,
        const real* offset, const real* b, double epsilon, real* factor, real* shift) noexcept nogil


def batchnorm_running(
    const double[::1] mean,      # IN  (channels,)
    const double[::1] variance,  # IN  (channels,)
    const real[::1] scale,       # IN  (channels,)
    const real[::1] offset,      # IN  (channels,)
    real[:, ::1] affine,         # OUT (3, channels), as of batchnorm_statistics
    double epsilon, int n_threads,
):
    """The affine map of statistics that are known."""
    checked(n_threads, mean is None or variance is None or scale is None or offset is None
            or affine is None, "mean, variance, scale, offset, affine")
    cdef Py_ssize_t n = mean.shape[0]
    same_length(n, variance.shape[0], "variance")
    same_length(n, scale.shape[0], "scale")
    same_length(n, offset.shape[0], "offset")
    same_shape((3, n), shape_of(affine.shape, 2), "affine")
    if n > 0:
        known_norm(n, &mean[0], &variance[0], &scale[0], &offset[0], epsilon, &affine[0, 0])


def batchnorm_fold(
    const double[::1] mean,      # IN  (channels,)
    const double[::1] variance,  # IN  (channels,)
    const real[::1] scale,       # IN  (channels,)
    const real[::1] offset,      # IN  (channels,)
    const real[::1] b,           # IN  (channels,) or None
    real[::1] factor,            # OUT (channels,)
    real[::1] shift,             # OUT (channels,)
    double epsilon, int n_threads,
):
    """The batch norm of Z + b, at a prediction, as factor Z + shift."""
    checked(n_threads, mean is None or variance is None or scale is None or offset is None
            or factor is None or shift is None, "mean, variance, scale, offset, factor, shift")
    cdef Py_ssize_t n = mean.shape[0]
    same_length(n, variance.shape[0], "variance")
    same_length(n, scale.shape[0], "scale")
    same_length(n, offset.shape[0], "offset")
    if b is not None:
        same_length(n, b.shape[0], "b")
    same_length(n, factor.shape[0], "factor")
    same_length(n, shift.shape[0], "shift")
    if n > 0:
        folded_norm(n, &mean[0], &variance[0], &scale[0], &offset[0],
                    NULL if b is None else &b[0], epsilon, &factor[0], &shift[0])


def batchnorm_statistics(
    const real[:, ::1] X,          # IN  (m, channels), samples one after the other
    const real[::1] weight,        # IN  (n,) of the samples, or None
    const real[::1] scale,         # IN  (channels,)
    const real[::1] offset,        # IN  (channels,)
    const double[:, ::1] moments,  # IN  (parts, 1 + 2 channels) of parts of samples, or None
    double[::1] mean,              # OUT (channels,)
    double[::1] variance,          # OUT (channels,), biased
    real[:, ::1] affine,           # OUT (3, channels): z = (X - affine[0]) affine[1] + affine[2]
    double epsilon, int n_threads,
):
    """Mean and variance of X, from its moments if they are known, and the affine map that takes X
    to scale (X - mean) / sqrt(variance + epsilon) + offset."""
    n_threads = checked(
        n_threads, X is None or scale is None or offset is None
        or mean is None or variance is None or affine is None,
        "X, scale, offset, mean, variance, affine")
    cdef Norm q
    cdef Py_ssize_t m = X.shape[0], n = X.shape[1], n_blocks = ceil_div(m, NORM_ROWS)
    cdef Py_ssize_t block, c, n_samples, n_parts
    cdef double* work
    cdef real* scratch
    norm_shapes(&q, X, weight, scale)
    same_length(n, offset.shape[0], "offset")
    same_length(n, mean.shape[0], "mean")
    same_length(n, variance.shape[0], "variance")
    same_shape((3, n), shape_of(affine.shape, 2), "affine")
    n_threads = threads_for(m * n, n_threads)
    if moments is not None:
        n_samples = 1 if weight is None else weight.shape[0]
        n_parts = moments.shape[0]
        same_shape((n_parts, 1 + 2 * n), shape_of(moments.shape, 2), "moments")
        if n_parts < 1 or n_parts % n_samples:
            raise ValueError(f"moments are of {n_parts} parts, expected a multiple of {n_samples}")
        merge_moments(&moments[0, 0], n_parts, n, q.weight, n_parts // n_samples,
                      &mean[0], &variance[0])
    else:
        work = <double*> allocate(
            n_blocks * (1 + 2 * n) * sizeof(double)
            + n_threads * moments_scratch(n) * sizeof(real))
        scratch = <real*> (work + n_blocks * (1 + 2 * n))
        with nogil:
            for block in prange(n_blocks, num_threads=n_threads):
                moments_of_rows(&q, block * NORM_ROWS, block_end(&q, block),
                                work + block * (1 + 2 * n),
                                scratch + threadid() * moments_scratch(n))
            merge_moments(work, n_blocks, n, NULL, 1, &mean[0], &variance[0])
            free(work)
    with nogil:
        for c in range(n):
            affine[0, c] = <real> mean[c]
            affine[1, c] = <real> (scale[c] / sqrt(variance[c] + epsilon))
            affine[2, c] = <real> (offset[c] - (mean[c] - affine[0, c]) * affine[1, c])


cdef void normalize_few(
    const Norm* q, Py_ssize_t few, Py_ssize_t x_row, const real* addend, real* y
) noexcept nogil:
    """FEW_NORM_ROWS rows, or what is left of them."""
    cdef Py_ssize_t n = q.n_channels, first = few * FEW_NORM_ROWS
    cdef Py_ssize_t count = smaller(FEW_NORM_ROWS, q.n_rows - first)
    normalize_rows(q, q.X + first * x_row, x_row, count, y + first * n)
    if addend is not NULL:
        add_chunk_to(y + first * n, addend + first * n, count * n)
    activate(q.code, q.alpha, y + first * n, count * n)


def batchnorm_forward(
    const real[:, ::1] X,       # IN  (m, at least so many channels): the first are normalised
    const real[:, ::1] affine,  # IN  (3, channels), of batchnorm_statistics
    real[:, ::1] Y,             # OUT (m, channels)
    const real[:, ::1] addend,  # IN  like Y, or None
    str activation, double alpha, int n_threads,
):
    """Y = f((X - affine[0]) affine[1] + affine[2] + addend)."""
    n_threads = checked(n_threads, X is None or affine is None or Y is None, "X, affine, Y")
    cdef Norm q
    cdef Py_ssize_t m = Y.shape[0], n = Y.shape[1], few
    cdef const real* added = NULL
    same_shape((3, n), shape_of(affine.shape, 2), "affine")
    same_length(m, X.shape[0], "X")
    if X.shape[1] < n:
        raise ValueError(f"X has {X.shape[1]} channels, expected at least {n}")
    if addend is not None:
        same_sizes(Y.shape, addend.shape, 2, "addend")
    q.code = activation_code(activation, True)
    if m * n == 0:
        return
    if addend is not None:
        added = &addend[0, 0]
    q.n_rows, q.n_channels, q.X = m, n, &X[0, 0]
    use_affine(&q, &affine[0, 0], q.code, alpha)
    for few in prange(ceil_div(m, FEW_NORM_ROWS), nogil=True,
                      num_threads=threads_for(m * n, n_threads)):
        normalize_few(&q, few, X.shape[1], added, &Y[0, 0])


cdef void norm_input_block(
    const Norm* q, Py_ssize_t block, const real* level, const real* slope, const real* dz, real* dx
) noexcept nogil:
    """The input gradient from dz, which may be dx, of the rows of a block."""
    cdef Py_ssize_t i, row, n = q.n_channels, end = block_end(q, block), first, last
    cdef real w[FEW_NORM_ROWS]
    for i in range(NORM_ROWS // FEW_NORM_ROWS):
        first = smaller(block * NORM_ROWS + i * FEW_NORM_ROWS, end)
        last = smaller(first + FEW_NORM_ROWS, end)
        few_weights(q, first, last, w)
        for row in range(first, last):
            norm_input_row(n, q.factor, level, slope, q.centre, w[row - first], dz + row * n,
                           q.X + row * n, dx + row * n)


def batchnorm_backward(
    const real[:, ::1] X,         # IN  (m, channels)
    const real[::1] weight,       # IN  (n,) or None
    const real[::1] scale,        # IN  (channels,)
    const double[::1] mean,       # IN  (channels,), those of the forward
    const double[::1] variance,   # IN  (channels,)
    const real[:, ::1] affine,    # IN  (3, channels)
    const real[:, ::1] dY,        # IN  like X; dz where there are sums
    const double[:, ::1] sums,    # IN  (parts, 2 channels) of dz and dz (X - affine[0]), or None
    real[:, ::1] dX,              # OUT like X, or None
    real[:, ::1] back,            # OUT (4, channels) or None
    real[::1] dscale,             # OUT (channels,) or None
    real[::1] doffset,            # OUT (channels,) or None
    double epsilon, str activation, double alpha, int n_threads,
):
    """The gradients of batchnorm_forward and, through them, of batchnorm_statistics. Without
    weights, dX = back[0] dz - (back[1] + back[2] (X - back[3])); where dX is None, dY is dz."""
    n_threads = checked(
        n_threads, X is None or scale is None or mean is None or variance is None
        or affine is None or dY is None, "X, scale, mean, variance, affine, dY")
    cdef Norm q
    cdef Py_ssize_t m = X.shape[0], n = X.shape[1], n_blocks = ceil_div(m, NORM_ROWS)
    cdef Py_ssize_t block, row, c, width = whole_vectors(n), n_parts = n_blocks, n_scratch
    cdef double total = 0, inverse, left
    cdef double* totals
    cdef real* level
    cdef real* slope
    cdef real* scratch
    cdef const real* dz
    cdef real* dx = NULL
    norm_shapes(&q, X, weight, scale)
    same_shape((3, n), shape_of(affine.shape, 2), "affine")
    same_shape(shape_of(X.shape, 2), shape_of(dY.shape, 2), "dY")
    if dX is not None:
        same_shape(shape_of(X.shape, 2), shape_of(dX.shape, 2), "dX")
    for array, name in ((mean, "mean"), (variance, "variance"), (dscale, "dscale"),
                        (doffset, "doffset")):
        if array is not None:
            same_length(n, array.shape[0], name)
    if back is not None:
        same_shape((4, n), shape_of(back.shape, 2), "back")
        if weight is not None:
            raise ValueError("one map for all rows is that of rows without weights")
    if sums is not None:
        n_parts = sums.shape[0]
        same_shape((larger(1, n_parts), 2 * n), shape_of(sums.shape, 2), "sums")
    use_affine(&q, &affine[0, 0], activation_code(activation, True), alpha)
    if dX is not None:
        dx = &dX[0, 0]
    elif sums is None and q.code != IDENTITY:
        raise ValueError("the gradient before an activation needs sums or dX")
    q.normed, q.normed_centre = q.X, q.centre
    n_threads = threads_for(m * n, n_threads)
    n_scratch = gradient_rows_scratch(n)
    totals = <double*> allocate(
        2 * n_parts * n * sizeof(double) + (2 * width + n_threads * n_scratch) * sizeof(real))
    level = <real*> (totals + 2 * n_parts * n)
    slope = level + width
    scratch = slope + width
    with nogil:
        for row in range(m // q.sample_rows):
            total += <double> row_weight(&q, row * q.sample_rows) * q.sample_rows
        dz = &dY[0, 0]
        if sums is None:
            if q.code != IDENTITY:
                dz = dx
            for block in prange(n_blocks, num_threads=n_threads):
                gradient_rows(&q, block * NORM_ROWS, block_end(&q, block), &dY[0, 0], dx,
                              totals + 2 * block * n, scratch + threadid() * n_scratch)
        else:
            memcpy(totals, &sums[0, 0], 2 * n_parts * n * sizeof(double))
        add_blocks(totals, n_parts, 2 * n)
        for c in range(n):
            # sum dz xh = (sum dz (x - centre) - (mean - centre) sum dz) / deviation
            inverse = 1 / sqrt(variance[c] + epsilon)
            left = mean[c] - q.centre[c]
            totals[n + c] = (totals[n + c] - left * totals[c]) * inverse
            slope[c] = <real> (scale[c] * inverse * inverse * totals[n + c] / total)
            level[c] = <real> (scale[c] * inverse * totals[c] / total - left * slope[c])
        if back is not None:
            for c in range(n):
                back[0, c], back[1, c], back[2, c] = q.factor[c], level[c], slope[c]
                back[3, c] = q.centre[c]
        if dx is not NULL:
            for block in prange(n_blocks, num_threads=n_threads):
                norm_input_block(&q, block, level, slope, dz, dx)
        if doffset is not None:
            for c in range(n):
                doffset[c] = <real> totals[c]
        if dscale is not None:
            for c in range(n):
                dscale[c] = <real> totals[n + c]
        free(totals)
