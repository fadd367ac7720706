# Normalisation.
#
# Design:
# * Statistics are summed over NORM_ROWS rows at a time, each block in the order of its rows,
#   and the blocks in order: threads and their number change nothing.
# * Within a block, FEW_NORM_ROWS rows are summed in the arrays' own precision, while they
#   are in the L1 cache, and these sums in double.
# * A block's variance is summed about its own mean while its rows are in cache, and blocks are
#   merged as by Chan, Golub and LeVeque (1983): one pass over memory for both statistics.
# * Sums are taken about a number near the mean, the first row or the mean as the arrays'
#   precision has it, and what that leaves is put right in double.
# * Time goes by the passes over memory. So a convolution that has the maps in cache anyway may do
#   a part of this: sum the moments of its output, normalise its input as it reads it, and sum
#   the gradient there. `Norm` and its functions are what they share; winograd.pxi has the calls.
# * f' of a norm's own activation is that of f(z) made again from X: less time than to read it, and
#   no need to keep it.

cdef enum:
    NORM_ROWS = 512
    FEW_NORM_ROWS = 32


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

cdef struct Norm:
    Py_ssize_t n_rows, n_channels, sample_rows
    const real* X
    const real* weight        # one a sample, or NULL
    # z = (x - centre) factor + shift, of each channel; the centre is near its mean. Or NULL: then X
    # is f(z).
    const real* centre
    const real* factor
    const real* shift
    int code
    real alpha
    # What a norm made z of, as a part of a sum perhaps, and what its sums are taken about.
    const real* normed
    const real* normed_centre


cdef void use_affine(Norm* q, const real* affine, int code, real alpha) noexcept nogil:
    """z by the three rows that `batchnorm_statistics` makes, or NULL, and f."""
    q.centre = affine
    if affine is not NULL:
        q.factor = affine + q.n_channels
        q.shift = affine + 2 * q.n_channels
    q.code, q.alpha = code, alpha


cdef inline real row_weight(const Norm* q, Py_ssize_t row) noexcept nogil:
    return 1 if q.weight is NULL else q.weight[row // q.sample_rows]


cdef void few_weights(
    const Norm* q, Py_ssize_t start, Py_ssize_t end, real* weights
) noexcept nogil:
    """The weights of a few rows, with one division."""
    cdef Py_ssize_t i, sample = start // q.sample_rows
    cdef Py_ssize_t left = (sample + 1) * q.sample_rows - start
    for i in range(end - start):
        weights[i] = 1 if q.weight is NULL else q.weight[sample]
        left -= 1
        if left == 0:
            left = q.sample_rows
            sample += 1


cdef inline Py_ssize_t block_end(const Norm* q, Py_ssize_t block) noexcept nogil:
    return smaller((block + 1) * NORM_ROWS, q.n_rows)


cdef void moment_rows(
    const Norm* q, Py_ssize_t start, Py_ssize_t end, bint squared, real* total
) noexcept nogil:
    """total = sum of w (x - centre) over a few rows, or of its square."""
    cdef real w[FEW_NORM_ROWS]
    cdef vec sums, centre, d
    cdef real sum_, d_
    cdef Py_ssize_t row, v, c, n = q.n_channels
    cdef const real* x
    few_weights(q, start, end, w)
    for v in range(n // LANES):
        x = q.X + start * n + v * LANES
        centre = at(q.centre + v * LANES)
        sums = at(ZEROS)
        for row in range(end - start):
            d = at(x + row * n) - centre
            sums = sums + w[row] * (d * d if squared else d)
        put(total + v * LANES, sums)
    for c in range(n // LANES * LANES, n):
        sum_ = 0
        for row in range(start, end):
            d_ = q.X[row * n + c] - q.centre[c]
            sum_ += w[row - start] * (d_ * d_ if squared else d_)
        total[c] = sum_


cdef double weight_of_rows(const Norm* q, Py_ssize_t start, Py_ssize_t end) noexcept nogil:
    cdef Py_ssize_t row
    cdef double total = 0
    if q.weight is NULL:
        return end - start
    for row in range(start, end):
        total += row_weight(q, row)
    return total


cdef void add_moments(
    const Norm* q, Py_ssize_t start, Py_ssize_t end, bint squared, double* total, real* few
) noexcept nogil:
    """`moment_rows` of the rows from start to end, in double; `few` is scratch for a number a
    channel."""
    cdef Py_ssize_t row = start, c
    memset(total, 0, q.n_channels * sizeof(double))
    while row < end:
        moment_rows(q, row, smaller(row + FEW_NORM_ROWS, end), squared, few)
        for c in range(q.n_channels):
            total[c] += few[c]
        row += FEW_NORM_ROWS


cdef inline Py_ssize_t moments_scratch(Py_ssize_t n_channels) noexcept nogil:
    """Numbers of scratch for `moments_of_rows`."""
    return 2 * whole_vectors(n_channels)


cdef void moments_of_rows(
    const Norm* q, Py_ssize_t start, Py_ssize_t end, double* moments, real* scratch
) noexcept nogil:
    """Moments of the rows from start to end: their weight, and of each channel the mean, then of
    each the sum of squared deviations; all 0 where they weigh nothing."""
    cdef Norm about = q[0]
    cdef Py_ssize_t c, n = q.n_channels
    cdef real* centre = scratch + whole_vectors(n)
    cdef double* means = moments + 1
    cdef double* squares = means + n
    cdef double left
    moments[0] = weight_of_rows(q, start, end)
    if moments[0] == 0:
        memset(means, 0, 2 * n * sizeof(double))
        return
    about.centre = q.X + start * n
    add_moments(&about, start, end, False, means, scratch)
    for c in range(n):
        means[c] = about.centre[c] + means[c] / moments[0]
        centre[c] = <real> means[c]
    about.centre = centre
    add_moments(&about, start, end, True, squares, scratch)
    for c in range(n):
        left = means[c] - centre[c]
        squares[c] -= moments[0] * left * left


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


cdef void normalize_rows(
    const Norm* q, const real* x, Py_ssize_t n_rows, real* z
) noexcept nogil:
    cdef Py_ssize_t row, v, c, n = q.n_channels
    for row in range(n_rows):
        for v in range(n // LANES):
            put(z + v * LANES, (at(x + v * LANES) - at(q.centre + v * LANES))
                * at(q.factor + v * LANES) + at(q.shift + v * LANES))
        for c in range(n // LANES * LANES, n):
            z[c] = (x[c] - q.centre[c]) * q.factor[c] + q.shift[c]
        x += n
        z += n


cdef void normalize_block(
    const Norm* q, Py_ssize_t block, const real* addend, real* y
) noexcept nogil:
    cdef Py_ssize_t i, n = q.n_channels, end = block_end(q, block), first, count
    for i in range(NORM_ROWS // FEW_NORM_ROWS):
        first = smaller(block * NORM_ROWS + i * FEW_NORM_ROWS, end)
        count = smaller(FEW_NORM_ROWS, end - first)
        normalize_rows(q, q.X + first * n, count, y + first * n)
        if addend is not NULL:
            add_chunk_to(y + first * n, addend + first * n, count * n)
        activate(q.code, q.alpha, y + first * n, count * n)


def batchnorm_forward(
    const real[:, ::1] X,       # IN  (m, channels)
    const real[:, ::1] affine,  # IN  (3, channels), of batchnorm_statistics
    real[:, ::1] Y,             # OUT like X
    const real[:, ::1] addend,  # IN  like X, or None
    str activation, double alpha, int n_threads,
):
    """Y = f((X - affine[0]) affine[1] + affine[2] + addend)."""
    n_threads = checked(n_threads, X is None or affine is None or Y is None, "X, affine, Y")
    cdef Norm q
    cdef Py_ssize_t m = X.shape[0], n = X.shape[1], block
    cdef const real* added = NULL
    same_shape((3, n), shape_of(affine.shape, 2), "affine")
    same_sizes(X.shape, Y.shape, 2, "Y")
    if addend is not None:
        same_sizes(X.shape, addend.shape, 2, "addend")
    q.code = activation_code(activation, True)
    if m * n == 0:
        return
    if addend is not None:
        added = &addend[0, 0]
    q.n_rows, q.n_channels, q.X = m, n, &X[0, 0]
    use_affine(&q, &affine[0, 0], q.code, alpha)
    for block in prange(ceil_div(m, NORM_ROWS), nogil=True,
                        num_threads=threads_for(m * n, n_threads)):
        normalize_block(&q, block, added, &Y[0, 0])


cdef inline Py_ssize_t gradient_rows_scratch(Py_ssize_t n_channels) noexcept nogil:
    """Numbers of scratch for `gradient_rows`."""
    return whole_vectors((2 + FEW_NORM_ROWS) * n_channels)


cdef void times_slope(
    const Norm* q, Py_ssize_t start, Py_ssize_t n_rows, real* dz, real* y
) noexcept nogil:
    """dz *= f'(z) for a few rows; y is scratch for them."""
    cdef const real* x = q.X + start * q.n_channels
    if q.code == IDENTITY:
        return
    if q.centre is NULL:
        multiply_derivative(q.code, q.alpha, x, dz, n_rows * q.n_channels)
    else:
        normalize_rows(q, x, n_rows, y)
        activate(q.code, q.alpha, y, n_rows * q.n_channels)
        multiply_derivative(q.code, q.alpha, y, dz, n_rows * q.n_channels)


cdef void sum_gradient(
    const Norm* q, Py_ssize_t start, Py_ssize_t n_rows, const real* dz, real* totals
) noexcept nogil:
    """The sums of dz and of dz (normed - normed_centre) over a few rows."""
    cdef Py_ssize_t row, v, c, n = q.n_channels
    cdef real* products = totals + n
    cdef const real* x = q.normed + start * n
    cdef vec sums, products_, centre
    for v in range(n // LANES):
        centre = at(q.normed_centre + v * LANES)
        sums, products_ = at(ZEROS), at(ZEROS)
        for row in range(n_rows):
            sums = sums + at(dz + row * n + v * LANES)
            products_ = products_ + at(dz + row * n + v * LANES) * (
                at(x + row * n + v * LANES) - centre)
        put(totals + v * LANES, sums)
        put(products + v * LANES, products_)
    for c in range(n // LANES * LANES, n):
        totals[c] = products[c] = 0
        for row in range(n_rows):
            totals[c] += dz[row * n + c]
            products[c] += dz[row * n + c] * (x[row * n + c] - q.normed_centre[c])


cdef void gradient_rows(
    const Norm* q, Py_ssize_t start, Py_ssize_t end, const real* dY, real* dZ, double* totals,
    real* scratch
) noexcept nogil:
    """From dY, which may be dZ itself, to dZ = dY f'(z), for the rows from start to end, and two
    sums a channel, `sum_gradient`, unless totals is NULL. Scratch: `gradient_rows_scratch`."""
    cdef Py_ssize_t row = start, n = q.n_channels, count, c
    if totals is not NULL:
        memset(totals, 0, 2 * n * sizeof(double))
    while row < end:
        count = smaller(FEW_NORM_ROWS, end - row)
        if dY != dZ:
            memcpy(dZ + row * n, dY + row * n, count * n * sizeof(real))
        times_slope(q, row, count, dZ + row * n, scratch + 2 * n)
        if totals is not NULL:
            sum_gradient(q, row, count, dZ + row * n, scratch)
            for c in range(2 * n):
                totals[c] += scratch[c]
        row += count


cdef void norm_input_block(
    const Norm* q, Py_ssize_t block, const real* level, const real* slope, const real* dz, real* dx
) noexcept nogil:
    """dx = factor dz - w (level + slope (x - centre)); dz may be dx."""
    cdef Py_ssize_t i, row, v, c, n = q.n_channels, end = block_end(q, block), first, last
    cdef real w[FEW_NORM_ROWS]
    cdef real* to
    cdef const real* d
    cdef const real* x
    for i in range(NORM_ROWS // FEW_NORM_ROWS):
        first = smaller(block * NORM_ROWS + i * FEW_NORM_ROWS, end)
        last = smaller(first + FEW_NORM_ROWS, end)
        few_weights(q, first, last, w)
        for row in range(first, last):
            d = dz + row * n
            x = q.X + row * n
            to = dx + row * n
            for v in range(n // LANES):
                put(to + v * LANES,
                    at(q.factor + v * LANES) * at(d + v * LANES) - w[row - first] * (
                        at(level + v * LANES) + at(slope + v * LANES)
                        * (at(x + v * LANES) - at(q.centre + v * LANES))))
            for c in range(n // LANES * LANES, n):
                to[c] = q.factor[c] * d[c] - w[row - first] * (
                    level[c] + slope[c] * (x[c] - q.centre[c]))


def batchnorm_backward(
    const real[:, ::1] X,         # IN  (m, channels)
    const real[::1] weight,       # IN  (n,) or None
    const real[::1] scale,        # IN  (channels,)
    const double[::1] mean,       # IN  (channels,), those of the forward
    const double[::1] variance,   # IN  (channels,)
    const real[:, ::1] affine,    # IN  (3, channels)
    const real[:, ::1] dY,        # IN  like X; dz where there are sums
    const double[:, ::1] sums,    # IN  (parts, 2 channels) of dz and dz (X - affine[0]), or None
    real[:, ::1] dX,              # OUT like X
    real[::1] dscale,             # OUT (channels,) or None
    real[::1] doffset,            # OUT (channels,) or None
    double epsilon, str activation, double alpha, int n_threads,
):
    """The gradients of batchnorm_forward and, through them, of batchnorm_statistics."""
    n_threads = checked(
        n_threads, X is None or scale is None or mean is None or variance is None
        or affine is None or dY is None or dX is None,
        "X, scale, mean, variance, affine, dY, dX")
    cdef Norm q
    cdef Py_ssize_t m = X.shape[0], n = X.shape[1], n_blocks = ceil_div(m, NORM_ROWS)
    cdef Py_ssize_t block, row, c, width = whole_vectors(n), n_parts = n_blocks, n_scratch
    cdef double total = 0, inverse, left
    cdef double* totals
    cdef real* level
    cdef real* slope
    cdef real* scratch
    cdef const real* dz
    norm_shapes(&q, X, weight, scale)
    same_shape((3, n), shape_of(affine.shape, 2), "affine")
    for array, name in ((dY, "dY"), (dX, "dX")):
        same_shape(shape_of(X.shape, 2), array.shape, name)
    for array, name in ((mean, "mean"), (variance, "variance"), (dscale, "dscale"),
                        (doffset, "doffset")):
        if array is not None:
            same_length(n, array.shape[0], name)
    if sums is not None:
        n_parts = sums.shape[0]
        same_shape((larger(1, n_parts), 2 * n), shape_of(sums.shape, 2), "sums")
    use_affine(&q, &affine[0, 0], activation_code(activation, True), alpha)
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
        if sums is None:
            dz = &dX[0, 0]
            for block in prange(n_blocks, num_threads=n_threads):
                gradient_rows(&q, block * NORM_ROWS, block_end(&q, block), &dY[0, 0], &dX[0, 0],
                              totals + 2 * block * n, scratch + threadid() * n_scratch)
        else:
            dz = &dY[0, 0]
            memcpy(totals, &sums[0, 0], 2 * n_parts * n * sizeof(double))
        add_blocks(totals, n_parts, 2 * n)
        for c in range(n):
            # sum dz xh = (sum dz (x - centre) - (mean - centre) sum dz) / deviation
            inverse = 1 / sqrt(variance[c] + epsilon)
            left = mean[c] - q.centre[c]
            totals[n + c] = (totals[n + c] - left * totals[c]) * inverse
            slope[c] = <real> (scale[c] * inverse * inverse * totals[n + c] / total)
            level[c] = <real> (scale[c] * inverse * totals[c] / total - left * slope[c])
        for block in prange(n_blocks, num_threads=n_threads):
            norm_input_block(&q, block, level, slope, dz, &dX[0, 0])
        if doffset is not None:
            for c in range(n):
                doffset[c] = <real> totals[c]
        if dscale is not None:
            for c in range(n):
                dscale[c] = <real> totals[n + c]
        free(totals)


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
