# Rows of batch norms, of which a convolution with the maps in its cache does a part too: as its
# prologue it normalises its input as it reads that; as its epilogue it sums the moments of its
# output, or the sums of a gradient.
#
# Design:
# * Within a block, FEW_NORM_ROWS rows are summed in the arrays' own precision, while they
#   are in the L1 cache, and these sums in double.
# * A block's variance is summed about its own mean while its rows are in cache: see norm.pxi.
# * Sums are taken about a number near the mean, the first row or the mean as the arrays'
#   precision has it, and what that leaves is put right in double.
# * f' of a norm's own activation is that of f(z) made again from X: less time than to read it, and
#   no need to keep it.

cdef enum:
    NORM_ROWS = 512
    FEW_NORM_ROWS = 32


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
    # The map that a norm made z of, as a part of a sum perhaps, and what its sums are taken about.
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
    cdef real sum_, d_
    cdef Py_ssize_t row, c, n = q.n_channels, n_vectors = n // LANES * LANES
    few_weights(q, start, end, w)
    sum_deviations(q.X + start * n, n, end - start, n_vectors, q.centre, w, squared, total)
    for c in range(n_vectors, n):
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


cdef void normalize_rows(
    const Norm* q, const real* x, Py_ssize_t x_row, Py_ssize_t n_rows, real* z
) noexcept nogil:
    """z of rows of X, which are x_row apart."""
    cdef Py_ssize_t row, v, c, n = q.n_channels
    # Of their own, so that the compiler knows that z is none of them.
    cdef const real* centre = q.centre
    cdef const real* factor = q.factor
    cdef const real* shift = q.shift
    for row in range(n_rows):
        for v in range(n // LANES):
            put(z + v * LANES, (at(x + v * LANES) - at(centre + v * LANES))
                * at(factor + v * LANES) + at(shift + v * LANES))
        for c in range(n // LANES * LANES, n):
            z[c] = (x[c] - centre[c]) * factor[c] + shift[c]
        x += x_row
        z += n


cdef inline void norm_input_row(
    Py_ssize_t n, const real* factor, const real* level, const real* slope, const real* centre,
    real w, const real* dz, const real* x, real* dx
) noexcept nogil:
    """dx = factor dz - w (level + slope (x - centre)); dz may be dx."""
    cdef Py_ssize_t v, c
    for v in range(n // LANES):
        put(dx + v * LANES,
            at(factor + v * LANES) * at(dz + v * LANES) - w * (
                at(level + v * LANES) + at(slope + v * LANES)
                * (at(x + v * LANES) - at(centre + v * LANES))))
    for c in range(n // LANES * LANES, n):
        dx[c] = factor[c] * dz[c] - w * (level[c] + slope[c] * (x[c] - centre[c]))


cdef inline Py_ssize_t gradient_rows_scratch(Py_ssize_t n_channels) noexcept nogil:
    """Numbers of scratch for `gradient_rows`."""
    return whole_vectors((2 + FEW_NORM_ROWS) * n_channels)


cdef void times_slope(
    const Norm* q, Py_ssize_t start, Py_ssize_t n_rows, real* dz, real* y
) noexcept nogil:
    """dz *= f'(z) for a few rows; y is scratch for them."""
    cdef const real* x = q.X + start * q.n_channels
    if q.centre is NULL:
        multiply_derivative(q.code, q.alpha, x, dz, n_rows * q.n_channels)
    else:
        normalize_rows(q, x, q.n_channels, n_rows, y)
        activate(q.code, q.alpha, y, n_rows * q.n_channels)
        multiply_derivative(q.code, q.alpha, y, dz, n_rows * q.n_channels)


cdef void sum_gradient(
    const Norm* q, Py_ssize_t start, Py_ssize_t n_rows, const real* dz, real* totals
) noexcept nogil:
    """The sums of dz and of dz (normed - normed_centre) over a few rows."""
    cdef Py_ssize_t row, c, n = q.n_channels, n_vectors = n // LANES * LANES
    cdef real* products = totals + n
    cdef const real* x = q.normed + start * n
    sum_products(dz, x, n, n_rows, n_vectors, q.normed_centre, totals, products)
    for c in range(n_vectors, n):
        totals[c] = products[c] = 0
        for row in range(n_rows):
            totals[c] += dz[row * n + c]
            products[c] += dz[row * n + c] * (x[row * n + c] - q.normed_centre[c])


cdef void gradient_rows(
    const Norm* q, Py_ssize_t start, Py_ssize_t end, const real* dY, real* dZ, double* totals,
    real* scratch
) noexcept nogil:
    """From dY, which may be dZ itself, to dZ = dY f'(z), for the rows from start to end, and two
    sums a channel, `sum_gradient`, unless totals is NULL. The identity leaves dZ alone. Scratch:
    `gradient_rows_scratch`."""
    cdef Py_ssize_t row = start, n = q.n_channels, count, c
    cdef const real* dz = dY if q.code == IDENTITY else dZ
    if totals is not NULL:
        memset(totals, 0, 2 * n * sizeof(double))
    while row < end:
        count = smaller(FEW_NORM_ROWS, end - row)
        if q.code != IDENTITY:
            if dY != dZ:
                memcpy(dZ + row * n, dY + row * n, count * n * sizeof(real))
            times_slope(q, row, count, dZ + row * n, scratch + 2 * n)
        if totals is not NULL:
            sum_gradient(q, row, count, dz + row * n, scratch)
            for c in range(2 * n):
                totals[c] += scratch[c]
        row += count
