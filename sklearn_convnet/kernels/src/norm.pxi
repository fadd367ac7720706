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

cdef enum:
    NORM_ROWS = 512
    FEW_NORM_ROWS = 32


# --- one scale and one shift for each map: what remains where statistics are known --------

def channel_affine(
    const real[:, ::1] X,     # IN  (m, channels)
    const real[::1] scale,    # IN  (channels,)
    const real[::1] shift,    # IN  (channels,) or None
    real[:, ::1] Y,           # OUT like X
    int n_threads,
):
    """Y = X scale + shift; its input gradient is the same without the shift."""
    cdef Py_ssize_t m = X.shape[0], n = X.shape[1], i, c
    same_shape(shape_of(X.shape, 2), shape_of(Y.shape, 2), "Y")
    same_length(n, scale.shape[0], "scale")
    if shift is not None:
        same_length(n, shift.shape[0], "shift")
        for i in prange(m, nogil=True, num_threads=threads_for(m * n, n_threads)):
            for c in range(n):
                Y[i, c] = X[i, c] * scale[c] + shift[c]
    else:
        for i in prange(m, nogil=True, num_threads=threads_for(m * n, n_threads)):
            for c in range(n):
                Y[i, c] = X[i, c] * scale[c]


# --- batch normalisation (Ioffe and Szegedy, 2015) -----------------------------------------
#
#   mean = sum_i w_i x_i / W    variance = sum_i w_i (x_i - mean)^2 / W    W = sum_i w_i
#   xh = (x - mean) / sqrt(variance + epsilon)     z = scale xh + offset   y = f(z)
#   doffset = sum_i dz_i    dscale = sum_i dz_i xh_i
#   dx_i = scale / sqrt(variance + epsilon) (dz_i - w_i / W (doffset + xh_i dscale))

cdef struct Norm:
    Py_ssize_t n_rows, n_channels, sample_rows
    const real* X
    const real* Y
    const real* dY
    const real* weight        # one a sample, or NULL
    const real* centre        # of each channel, near its mean: what sums are taken about
    int code
    real alpha


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


cdef double block_weight(const Norm* q, Py_ssize_t block) noexcept nogil:
    cdef Py_ssize_t row, end = block_end(q, block)
    cdef double total = 0
    if q.weight is NULL:
        return end - block * NORM_ROWS
    for row in range(block * NORM_ROWS, end):
        total += row_weight(q, row)
    return total


cdef void moment_block(
    const Norm* q, Py_ssize_t block, bint squared, double* total, real* few
) noexcept nogil:
    """`moment_rows` of a block, in double; `few` is scratch for a number a channel."""
    cdef Py_ssize_t i, c, row, end = block_end(q, block)
    memset(total, 0, q.n_channels * sizeof(double))
    for i in range(NORM_ROWS // FEW_NORM_ROWS):
        row = smaller(block * NORM_ROWS + i * FEW_NORM_ROWS, end)
        moment_rows(q, row, smaller(row + FEW_NORM_ROWS, end), squared, few)
        for c in range(q.n_channels):
            total[c] += few[c]


cdef void moments_of_block(
    const Norm* q, Py_ssize_t block, double* weight, double* means, double* squares, real* scratch
) noexcept nogil:
    """Weight, mean and sum of squared deviations of a block, 0 where it weighs nothing. Scratch:
    two numbers a channel."""
    cdef Norm about = q[0]
    cdef real* centre = scratch + whole_vectors(q.n_channels)
    cdef Py_ssize_t c
    cdef double left
    weight[0] = block_weight(q, block)
    if weight[0] == 0:
        memset(means, 0, q.n_channels * sizeof(double))
        memset(squares, 0, q.n_channels * sizeof(double))
        return
    about.centre = q.X  # the first row
    moment_block(&about, block, False, means, scratch)
    for c in range(q.n_channels):
        means[c] = q.X[c] + means[c] / weight[0]
        centre[c] = <real> means[c]
    about.centre = centre
    moment_block(&about, block, True, squares, scratch)
    for c in range(q.n_channels):
        left = means[c] - centre[c]
        squares[c] -= weight[0] * left * left


cdef void merge_blocks(
    const Norm* q, Py_ssize_t n_blocks, const double* weights, const double* means,
    const double* squares, double* mean, double* variance
) noexcept nogil:
    """Mean and variance of all rows from those of the blocks, in the order of these."""
    cdef Py_ssize_t block, c, n = q.n_channels
    cdef double total = 0, d
    for block in range(n_blocks):
        total += weights[block]
    for c in range(n):
        mean[c] = variance[c] = 0
    for block in range(n_blocks):
        for c in range(n):
            mean[c] += weights[block] / total * (means[block * n + c] - q.X[c])
    for c in range(n):
        mean[c] += q.X[c]
    for block in range(n_blocks):
        for c in range(n):
            d = means[block * n + c] - mean[c]
            variance[c] += squares[block * n + c] + weights[block] * d * d
    for c in range(n):
        variance[c] = variance[c] / total if variance[c] > 0 else 0


cdef void add_blocks(double* totals, Py_ssize_t n_blocks, Py_ssize_t n) noexcept nogil:
    """The first row becomes the sum of all rows."""
    cdef Py_ssize_t block, c
    for block in range(1, n_blocks):
        for c in range(n):
            totals[c] += totals[block * n + c]


def batchnorm_forward(
    const real[:, ::1] X,       # IN  (m, channels), samples one after the other
    const real[::1] weight,     # IN  (n,) of the samples, or None
    const real[::1] scale,      # IN  (channels,)
    const real[::1] offset,     # IN  (channels,)
    double[::1] mean,           # OUT (channels,)
    double[::1] variance,       # OUT (channels,), biased
    real[:, ::1] Y,             # OUT like X
    const real[:, ::1] addend,  # IN  like X, or None
    double epsilon, str activation, double alpha, int n_threads,
):
    """Y = f(scale (X - mean) / sqrt(variance + epsilon) + offset + addend)."""
    cdef Norm q
    cdef Py_ssize_t m = X.shape[0], n = X.shape[1], n_blocks = ceil_div(m, NORM_ROWS)
    cdef Py_ssize_t block, c, width = whole_vectors(n)
    cdef double left
    cdef double* weights
    cdef double* means
    cdef double* squares
    cdef real* factor
    cdef real* centre
    cdef real* shift
    cdef real* scratch
    cdef const real* added = NULL
    norm_shapes(&q, X, weight, scale)
    q.code = activation_code(activation, True)
    q.alpha = alpha
    same_length(n, offset.shape[0], "offset")
    same_length(n, mean.shape[0], "mean")
    same_length(n, variance.shape[0], "variance")
    same_shape(shape_of(X.shape, 2), shape_of(Y.shape, 2), "Y")
    if addend is not None:
        same_shape(shape_of(X.shape, 2), shape_of(addend.shape, 2), "addend")
        added = &addend[0, 0]
    n_threads = threads_for(m * n, n_threads)
    weights = <double*> allocate(
        n_blocks * (1 + 2 * n) * sizeof(double) + (3 + 2 * n_threads) * width * sizeof(real))
    means = weights + n_blocks
    squares = means + n_blocks * n
    factor = <real*> (squares + n_blocks * n)
    centre = factor + width
    shift = centre + width
    scratch = shift + width
    with nogil:
        for block in prange(n_blocks, num_threads=n_threads):
            moments_of_block(&q, block, weights + block, means + block * n, squares + block * n,
                             scratch + threadid() * 2 * width)
        merge_blocks(&q, n_blocks, weights, means, squares, &mean[0], &variance[0])
        for c in range(n):
            centre[c] = <real> mean[c]
            left = mean[c] - centre[c]
            factor[c] = <real> (scale[c] / sqrt(variance[c] + epsilon))
            shift[c] = <real> (offset[c] - left * factor[c])
        q.centre = centre
        for block in prange(n_blocks, num_threads=n_threads):
            normalize_block(&q, block, factor, shift, added, &Y[0, 0])
        free(weights)


cdef void normalize_block(
    const Norm* q, Py_ssize_t block, const real* factor, const real* shift,
    const real* addend, real* y
) noexcept nogil:
    cdef Py_ssize_t i, row, v, c, n = q.n_channels, end = block_end(q, block), first, last
    for i in range(NORM_ROWS // FEW_NORM_ROWS):
        first = smaller(block * NORM_ROWS + i * FEW_NORM_ROWS, end)
        last = smaller(first + FEW_NORM_ROWS, end)
        for row in range(first, last):
            for v in range(n // LANES):
                put(y + row * n + v * LANES,
                    (at(q.X + row * n + v * LANES) - at(q.centre + v * LANES))
                    * at(factor + v * LANES) + at(shift + v * LANES))
            for c in range(n // LANES * LANES, n):
                y[row * n + c] = (q.X[row * n + c] - q.centre[c]) * factor[c] + shift[c]
        if addend is not NULL:
            add_chunk_to(y + first * n, addend + first * n, (last - first) * n)
        activate(q.code, q.alpha, y + first * n, (last - first) * n)


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


cdef void norm_sums_rows(
    const Norm* q, Py_ssize_t start, Py_ssize_t end, real* dz, real* totals
) noexcept nogil:
    """dz = dY f'(z) for a few rows, and the sums of dz and of dz (x - centre)."""
    cdef Py_ssize_t row, v, c, n = q.n_channels
    cdef real* products = totals + n
    cdef vec sums, products_, centre
    cdef const real* d
    cdef const real* x
    memcpy(dz + start * n, q.dY + start * n, (end - start) * n * sizeof(real))
    multiply_derivative(q.code, q.alpha, q.Y + start * n, dz + start * n, (end - start) * n)
    for v in range(n // LANES):
        d = dz + start * n + v * LANES
        x = q.X + start * n + v * LANES
        centre = at(q.centre + v * LANES)
        sums, products_ = at(ZEROS), at(ZEROS)
        for row in range(end - start):
            sums = sums + at(d + row * n)
            products_ = products_ + at(d + row * n) * (at(x + row * n) - centre)
        put(totals + v * LANES, sums)
        put(products + v * LANES, products_)
    for c in range(n // LANES * LANES, n):
        totals[c] = products[c] = 0
        for row in range(start, end):
            totals[c] += dz[row * n + c]
            products[c] += dz[row * n + c] * (q.X[row * n + c] - q.centre[c])


cdef void norm_sums_block(
    const Norm* q, Py_ssize_t block, real* dz, double* totals, real* few
) noexcept nogil:
    """`norm_sums_rows` of a block, in double; `few` is scratch for two numbers a channel."""
    cdef Py_ssize_t i, c, row, end = block_end(q, block)
    memset(totals, 0, 2 * q.n_channels * sizeof(double))
    for i in range(NORM_ROWS // FEW_NORM_ROWS):
        row = smaller(block * NORM_ROWS + i * FEW_NORM_ROWS, end)
        norm_sums_rows(q, row, smaller(row + FEW_NORM_ROWS, end), dz, few)
        for c in range(2 * q.n_channels):
            totals[c] += few[c]


cdef void norm_input_block(
    const Norm* q, Py_ssize_t block, const real* factor, const real* level,
    const real* slope, real* dx
) noexcept nogil:
    """From dz to dx = factor dz - w (level + slope (x - centre)), in place."""
    cdef Py_ssize_t i, row, v, c, n = q.n_channels, end = block_end(q, block), first, last
    cdef real w[FEW_NORM_ROWS]
    cdef real* d
    cdef const real* x
    for i in range(NORM_ROWS // FEW_NORM_ROWS):
        first = smaller(block * NORM_ROWS + i * FEW_NORM_ROWS, end)
        last = smaller(first + FEW_NORM_ROWS, end)
        few_weights(q, first, last, w)
        for row in range(first, last):
            d = dx + row * n
            x = q.X + row * n
            for v in range(n // LANES):
                put(d + v * LANES,
                    at(factor + v * LANES) * at(d + v * LANES) - w[row - first] * (
                        at(level + v * LANES) + at(slope + v * LANES)
                        * (at(x + v * LANES) - at(q.centre + v * LANES))))
            for c in range(n // LANES * LANES, n):
                d[c] = factor[c] * d[c] - w[row - first] * (
                    level[c] + slope[c] * (x[c] - q.centre[c]))


def batchnorm_backward(
    const real[:, ::1] X,         # IN  (m, channels)
    const real[::1] weight,       # IN  (n,) or None
    const real[::1] scale,        # IN  (channels,)
    const double[::1] mean,       # IN  (channels,), those of the forward
    const double[::1] variance,   # IN  (channels,)
    const real[:, ::1] Y,         # IN  like X, activated
    const real[:, ::1] dY,        # IN  like X
    real[:, ::1] dX,              # OUT like X
    real[::1] dscale,             # OUT (channels,) or None
    real[::1] doffset,            # OUT (channels,) or None
    double epsilon, str activation, double alpha, int n_threads,
):
    """The gradients of batchnorm_forward."""
    cdef Norm q
    cdef Py_ssize_t m = X.shape[0], n = X.shape[1], n_blocks = ceil_div(m, NORM_ROWS)
    cdef Py_ssize_t block, row, c, width = whole_vectors(n)
    cdef double total = 0, inverse, left
    cdef double* totals
    cdef real* centre
    cdef real* factor
    cdef real* level
    cdef real* slope
    cdef real* few
    norm_shapes(&q, X, weight, scale)
    for array, name in ((Y, "Y"), (dY, "dY"), (dX, "dX")):
        same_shape(shape_of(X.shape, 2), array.shape, name)
    for array, name in ((mean, "mean"), (variance, "variance"), (dscale, "dscale"),
                        (doffset, "doffset")):
        if array is not None:
            same_length(n, array.shape[0], name)
    q.code = activation_code(activation, True)
    q.alpha = alpha
    q.Y = &Y[0, 0]
    q.dY = &dY[0, 0]
    n_threads = threads_for(m * n, n_threads)
    totals = <double*> allocate(
        2 * n_blocks * n * sizeof(double) + (4 + 2 * n_threads) * width * sizeof(real))
    centre = <real*> (totals + 2 * n_blocks * n)
    factor = centre + width
    level = factor + width
    slope = level + width
    few = slope + width
    q.centre = centre
    with nogil:
        for c in range(n):
            centre[c] = <real> mean[c]
        for row in range(m // q.sample_rows):
            total += <double> row_weight(&q, row * q.sample_rows) * q.sample_rows
        for block in prange(n_blocks, num_threads=n_threads):
            norm_sums_block(&q, block, &dX[0, 0], totals + 2 * block * n,
                            few + threadid() * 2 * width)
        add_blocks(totals, n_blocks, 2 * n)
        for c in range(n):
            # sum dz xh = (sum dz (x - centre) - (mean - centre) sum dz) / deviation
            inverse = 1 / sqrt(variance[c] + epsilon)
            left = mean[c] - centre[c]
            totals[n + c] = (totals[n + c] - left * totals[c]) * inverse
            factor[c] = <real> (scale[c] * inverse)
            slope[c] = <real> (scale[c] * inverse * inverse * totals[n + c] / total)
            level[c] = <real> (scale[c] * inverse * totals[c] / total - left * slope[c])
        for block in prange(n_blocks, num_threads=n_threads):
            norm_input_block(&q, block, factor, level, slope, &dX[0, 0])
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
    cdef Response q
    cdef Py_ssize_t m = X.shape[0], i
    cdef double* scratch
    response_geometry(&q, shape_of(X.shape, 2), shape_of(dX.shape, 2), size, alpha, beta, bias)
    same_shape(shape_of(X.shape, 2), shape_of(dY.shape, 2), "dY")
    if m * q.n == 0:
        return
    n_threads = threads_for(m * q.n, n_threads)
    scratch = <double*> allocate(3 * n_threads * q.n * sizeof(double))
    with nogil:
        for i in prange(m, num_threads=n_threads):
            response_backward_row(
                &q, &X[i, 0], &dY[i, 0], &dX[i, 0], scratch + 3 * threadid() * q.n)
        free(scratch)
