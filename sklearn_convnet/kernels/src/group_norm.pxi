# Normalisation of each sample by itself: by groups of its channels (Wu and He, 2018), of which
# layer normalisation (Ba, Kiros and Hinton, 2016) is the case of one group and one position.
#
#   mean = sum x / N    variance = sum (x - mean)^2 / N    over the N numbers of a group
#   xh = (x - mean) / sqrt(variance + epsilon)    y = scale xh + offset
#   doffset = sum dy    dscale = sum dy xh        over samples and positions
#   dx = (scale dy - sum (scale dy) / N - xh sum (scale dy xh) / N) / sqrt(variance + epsilon)
#
# Design:
# * Of several positions, sums are those of each channel, as in a batch norm (epilogue/norm.pxi),
#   and then over the channels of a group. A task is a sample.
# * Of one position, the numbers of a group are neighbours: vectors run along them. A task is
#   NORM_ROWS samples, which most often are positions of maps.
# * Sums for scale and offset are made task by task, and then in the order of the tasks.

cdef enum:
    FEW_NUMBERS = 1024   # summed in vectors of the arrays' own precision, and then in double


cdef struct Groups:
    Py_ssize_t n, n_positions, n_channels, n_groups, width   # width: channels of a group
    const real* X
    const real* scale
    double epsilon
    # Forward.
    const real* offset
    double* mean              # (n, n_groups)
    double* variance
    real* Y
    # Backward.
    const double* mean_in
    const double* variance_in
    const real* dY
    real* dX
    double* totals            # (tasks, 2 n_channels): dscale, doffset


cdef inline Py_ssize_t group_tasks(const Groups* q) noexcept nogil:
    return q.n if q.n_positions > 1 else ceil_div(q.n, NORM_ROWS)


cdef inline Py_ssize_t group_scratch(const Groups* q) noexcept nogil:
    """Numbers of scratch of a task: of doubles for moments, and then of reals."""
    cdef Py_ssize_t n_doubles = (
        ceil_div(q.n_positions, NORM_ROWS) * (1 + 2 * q.n_channels) + 4 * q.n_channels)
    return n_doubles * sizeof(double) // sizeof(real) + 9 * whole_vectors(q.n_channels)


# --- several positions ---------------------------------------------------------------------

cdef Norm maps_of(const Groups* q, Py_ssize_t sample) noexcept nogil:
    """The maps of a sample as rows of channels."""
    cdef Norm norm
    memset(&norm, 0, sizeof(Norm))
    norm.n_rows, norm.n_channels, norm.sample_rows = q.n_positions, q.n_channels, q.n_positions
    norm.X = q.X + sample * q.n_positions * q.n_channels
    norm.code = IDENTITY
    return norm


cdef void group_statistics(
    const Groups* q, Py_ssize_t sample, double* moments, real* few
) noexcept nogil:
    """Mean and variance of the groups of a sample, from the moments of its channels."""
    cdef Norm norm = maps_of(q, sample)
    cdef Py_ssize_t n = q.n_channels, n_blocks = ceil_div(q.n_positions, NORM_ROWS), block, g, c
    cdef double* mean = moments + n_blocks * (1 + 2 * n)
    cdef double* variance = mean + n
    cdef double total, origin, middle
    for block in range(n_blocks):
        moments_of_rows(&norm, block * NORM_ROWS, block_end(&norm, block),
                        moments + block * (1 + 2 * n), few)
    merge_moments(moments, n_blocks, n, NULL, 1, mean, variance)
    for g in range(q.n_groups):
        origin = mean[g * q.width]
        total = 0
        for c in range(g * q.width, (g + 1) * q.width):
            total += mean[c] - origin
        middle = origin + total / q.width
        total = 0
        for c in range(g * q.width, (g + 1) * q.width):
            total += variance[c] + (mean[c] - middle) * (mean[c] - middle)
        q.mean[sample * q.n_groups + g] = middle
        q.variance[sample * q.n_groups + g] = total / q.width


cdef void group_affine(
    const Groups* q, const double* mean, const double* variance, real* affine
) noexcept nogil:
    """The map that normalises the channels of a sample, as `use_affine` reads it."""
    cdef Py_ssize_t n = q.n_channels, c
    for c in range(n):
        affine[c] = <real> mean[c // q.width]
        affine[n + c] = <real> (q.scale[c] / sqrt(variance[c // q.width] + q.epsilon))
        affine[2 * n + c] = 0 if q.offset is NULL else <real> (
            q.offset[c] - (mean[c // q.width] - affine[c]) * affine[n + c])


cdef void group_maps(const void* work, Py_ssize_t sample, real* scratch) noexcept nogil:
    cdef const Groups* q = <const Groups*> work
    cdef Norm norm = maps_of(q, sample)
    cdef Py_ssize_t place = sample * q.n_groups
    cdef real* affine = scratch + group_scratch(q) - 9 * whole_vectors(q.n_channels)
    group_statistics(q, sample, <double*> scratch, affine)
    group_affine(q, q.mean + place, q.variance + place, affine)
    use_affine(&norm, affine, IDENTITY, 0)
    normalize_rows(&norm, norm.X, norm.n_channels, q.n_positions, q.Y + (norm.X - q.X))


cdef void sum_gradient_of_maps(
    const Norm* q, const real* dy, double* totals, real* few
) noexcept nogil:
    """The sums of dy and of dy (x - centre) over all rows; `few` is scratch for two rows."""
    cdef Py_ssize_t row = 0, n = q.n_channels, count, c
    memset(totals, 0, 2 * n * sizeof(double))
    while row < q.n_rows:
        count = smaller(FEW_NORM_ROWS, q.n_rows - row)
        sum_gradient(q, row, count, dy + row * n, few)
        for c in range(2 * n):
            totals[c] += few[c]
        row += count


cdef void group_maps_backward(const void* work, Py_ssize_t sample, real* scratch) noexcept nogil:
    cdef const Groups* q = <const Groups*> work
    cdef Norm norm = maps_of(q, sample)
    cdef Py_ssize_t n = q.n_channels, place = sample * q.n_groups, first = norm.X - q.X, g, c, block
    cdef double* sums = <double*> scratch
    cdef double* dscale = q.totals + sample * 2 * n
    cdef double* doffset = dscale + n
    cdef real* affine = scratch + group_scratch(q) - 9 * whole_vectors(n)
    cdef real* level = affine + 3 * n
    cdef real* slope = level + n
    cdef double inverse, left, mean_of_dy, mean_of_products
    group_affine(q, q.mean_in + place, q.variance_in + place, affine)
    use_affine(&norm, affine, IDENTITY, 0)
    norm.normed, norm.normed_centre = norm.X, norm.centre
    sum_gradient_of_maps(&norm, q.dY + first, sums, slope + n)
    for g in range(q.n_groups):
        inverse = 1 / sqrt(q.variance_in[place + g] + q.epsilon)
        left = q.mean_in[place + g] - affine[g * q.width]
        mean_of_dy = mean_of_products = 0
        for c in range(g * q.width, (g + 1) * q.width):
            doffset[c] = sums[c]
            dscale[c] = (sums[n + c] - left * sums[c]) * inverse
            mean_of_dy += q.scale[c] * doffset[c]
            mean_of_products += q.scale[c] * dscale[c]
        mean_of_dy /= q.n_positions * q.width
        mean_of_products /= q.n_positions * q.width
        for c in range(g * q.width, (g + 1) * q.width):
            slope[c] = <real> (inverse * inverse * mean_of_products)
            level[c] = <real> (inverse * mean_of_dy - left * slope[c])
    for block in range(ceil_div(q.n_positions, NORM_ROWS)):
        norm_input_block(&norm, block, level, slope, q.dY + first, q.dX + first)


# --- one position --------------------------------------------------------------------------

cdef inline double sum_of_lanes(vec sums) noexcept nogil:
    cdef real lanes[MAX_LANES]
    cdef double total = 0
    cdef Py_ssize_t lane
    put(lanes, sums)
    for lane in range(LANES):
        total += lanes[lane]
    return total


cdef double sum_of_row(
    const real* x, Py_ssize_t n, real centre, real left, bint squared
) noexcept nogil:
    """The sum of x - centre - left over n numbers, or of its square."""
    cdef vec sums, d
    cdef real d_
    cdef double total = 0
    cdef Py_ssize_t count, i
    while n > 0:
        count = smaller(FEW_NUMBERS, n)
        sums = at(ZEROS)
        for i in range(count // LANES):
            d = at(x + i * LANES) - centre - left
            sums = sums + (d * d if squared else d)
        total += sum_of_lanes(sums)
        for i in range(count // LANES * LANES, count):
            d_ = x[i] - centre - left
            total += d_ * d_ if squared else d_
        x += count
        n -= count
    return total


cdef void group_row(
    const real* x, Py_ssize_t n, const real* scale, const real* offset, double epsilon,
    double* mean, double* variance, real* y
) noexcept nogil:
    """A group of n neighbours: its statistics, and its output."""
    cdef real centre, left, inverse
    cdef Py_ssize_t i
    mean[0] = x[0] + sum_of_row(x, n, x[0], 0, False) / n
    centre = <real> mean[0]
    left = <real> (mean[0] - centre)
    variance[0] = sum_of_row(x, n, centre, left, True) / n
    inverse = <real> (1 / sqrt(variance[0] + epsilon))
    for i in range(n // LANES):
        put(y + i * LANES, (at(x + i * LANES) - centre - left) * inverse * at(scale + i * LANES)
            + at(offset + i * LANES))
    for i in range(n // LANES * LANES, n):
        y[i] = (x[i] - centre - left) * inverse * scale[i] + offset[i]


cdef void group_rows(const void* work, Py_ssize_t block, real* scratch) noexcept nogil:
    cdef const Groups* q = <const Groups*> work
    cdef Py_ssize_t row, g, first, w = q.width
    for row in range(block * NORM_ROWS, smaller((block + 1) * NORM_ROWS, q.n)):
        for g in range(q.n_groups):
            first = row * q.n_channels + g * w
            group_row(q.X + first, w, q.scale + g * w, q.offset + g * w, q.epsilon,
                      q.mean + row * q.n_groups + g, q.variance + row * q.n_groups + g,
                      q.Y + first)


cdef void sum_gradient_of_row(
    const real* x, const real* dy, const real* scale, Py_ssize_t n, real centre, real left,
    double* sum_, double* products
) noexcept nogil:
    """The sums of g = scale dy and of g (x - centre - left) over n numbers."""
    cdef vec g, sums, products_
    cdef real g_
    cdef Py_ssize_t count, i
    sum_[0] = products[0] = 0
    while n > 0:
        count = smaller(FEW_NUMBERS, n)
        sums, products_ = at(ZEROS), at(ZEROS)
        for i in range(count // LANES):
            g = at(scale + i * LANES) * at(dy + i * LANES)
            sums = sums + g
            products_ = products_ + g * (at(x + i * LANES) - centre - left)
        sum_[0] += sum_of_lanes(sums)
        products[0] += sum_of_lanes(products_)
        for i in range(count // LANES * LANES, count):
            g_ = scale[i] * dy[i]
            sum_[0] += g_
            products[0] += g_ * (x[i] - centre - left)
        x += count
        dy += count
        scale += count
        n -= count


cdef void group_row_backward(
    const real* x, const real* dy, const real* scale, Py_ssize_t n, double mean, double variance,
    double epsilon, real* dx, real* dscale, real* doffset
) noexcept nogil:
    """dx of a group of n neighbours; what they add to the gradients of scale and offset."""
    cdef double deviation = sqrt(variance + epsilon), total, products
    cdef real centre = <real> mean, inverse = <real> (1 / deviation), level, slope, d_
    cdef real left = <real> (mean - centre)
    cdef vec d
    cdef Py_ssize_t i, v
    sum_gradient_of_row(x, dy, scale, n, centre, left, &total, &products)
    level = <real> (total / n / deviation)
    slope = <real> (products / n / (deviation * deviation * deviation))
    for i in range(n // LANES):
        v = i * LANES
        d = at(x + v) - centre - left
        put(dscale + v, at(dscale + v) + at(dy + v) * d * inverse)
        put(doffset + v, at(doffset + v) + at(dy + v))
        put(dx + v, at(scale + v) * at(dy + v) * inverse - level - d * slope)
    for i in range(n // LANES * LANES, n):
        d_ = x[i] - centre - left
        dscale[i] += dy[i] * d_ * inverse
        doffset[i] += dy[i]
        dx[i] = scale[i] * dy[i] * inverse - level - d_ * slope


cdef void group_rows_backward(const void* work, Py_ssize_t block, real* scratch) noexcept nogil:
    """The sums of FEW_NORM_ROWS rows are in the arrays' own precision."""
    cdef const Groups* q = <const Groups*> work
    cdef Py_ssize_t n = q.n_channels, w = q.width, row = block * NORM_ROWS, g, c, at_, few_end
    cdef Py_ssize_t end = smaller(row + NORM_ROWS, q.n)
    cdef double* totals = q.totals + block * 2 * n
    memset(totals, 0, 2 * n * sizeof(double))
    while row < end:
        few_end = smaller(row + FEW_NORM_ROWS, end)
        memset(scratch, 0, 2 * n * sizeof(real))
        while row < few_end:
            for g in range(q.n_groups):
                at_ = row * q.n_groups + g
                group_row_backward(
                    q.X + at_ * w, q.dY + at_ * w, q.scale + g * w, w, q.mean_in[at_],
                    q.variance_in[at_], q.epsilon, q.dX + at_ * w, scratch + g * w,
                    scratch + n + g * w)
            row += 1
        for c in range(2 * n):
            totals[c] += scratch[c]


# --- the kernels ---------------------------------------------------------------------------

cdef int group_shapes(
    Groups* q, const Py_ssize_t* shape, const Py_ssize_t* statistics, double epsilon
) except -1:
    q.n, q.n_positions, q.n_channels = shape[0], shape[1], shape[2]
    q.n_groups, q.epsilon = statistics[1], epsilon
    same_length(q.n, statistics[0], "mean")
    if q.n_positions < 1 or q.n_channels < 1:
        raise ValueError(f"group norm needs positions and channels, got {shape_of(shape, 3)}")
    if q.n_groups < 1 or q.n_channels % q.n_groups:
        raise ValueError(
            f"mean is of {q.n_groups} groups, which do not divide {q.n_channels} channels")
    q.width = q.n_channels // q.n_groups
    return 0


def groupnorm_forward(
    const real[:, :, ::1] X,   # IN  (n, positions, channels)
    const real[::1] scale,     # IN  (channels,)
    const real[::1] offset,    # IN  (channels,)
    double[:, ::1] mean,       # OUT (n, groups)
    double[:, ::1] variance,   # OUT (n, groups), biased
    real[:, :, ::1] Y,         # OUT like X
    double epsilon, int n_threads,
):
    """Y = scale (X - mean) / sqrt(variance + epsilon) + offset, with the statistics of groups of
    neighbouring channels of each sample, over all positions."""
    n_threads = checked(
        n_threads, X is None or scale is None or offset is None or mean is None
        or variance is None or Y is None, "X, scale, offset, mean, variance, Y")
    cdef Groups q
    group_shapes(&q, X.shape, mean.shape, epsilon)
    same_length(q.n_channels, scale.shape[0], "scale")
    same_length(q.n_channels, offset.shape[0], "offset")
    same_sizes(mean.shape, variance.shape, 2, "variance")
    same_sizes(X.shape, Y.shape, 3, "Y")
    if q.n == 0:
        return
    q.X, q.scale, q.offset, q.Y = &X[0, 0, 0], &scale[0], &offset[0], &Y[0, 0, 0]
    q.mean, q.variance = &mean[0, 0], &variance[0, 0]
    n_threads = threads_for(q.n * q.n_positions * q.n_channels, n_threads)
    with nogil:
        run_tasks(group_maps if q.n_positions > 1 else group_rows, &q, group_tasks(&q), n_threads,
                  group_scratch(&q))


def groupnorm_backward(
    const real[:, :, ::1] X,         # IN  (n, positions, channels)
    const real[::1] scale,           # IN  (channels,)
    const double[:, ::1] mean,       # IN  (n, groups), those of the forward
    const double[:, ::1] variance,   # IN  (n, groups)
    const real[:, :, ::1] dY,        # IN  like X
    real[:, :, ::1] dX,              # OUT like X
    real[::1] dscale,                # OUT (channels,) or None
    real[::1] doffset,               # OUT (channels,) or None
    double epsilon, int n_threads,
):
    """The gradients of groupnorm_forward, through the statistics as well."""
    n_threads = checked(
        n_threads, X is None or scale is None or mean is None or variance is None or dY is None
        or dX is None, "X, scale, mean, variance, dY, dX")
    cdef Groups q
    cdef Py_ssize_t n_tasks, c
    group_shapes(&q, X.shape, mean.shape, epsilon)
    same_length(q.n_channels, scale.shape[0], "scale")
    same_sizes(mean.shape, variance.shape, 2, "variance")
    same_sizes(X.shape, dY.shape, 3, "dY")
    same_sizes(X.shape, dX.shape, 3, "dX")
    for array, name in ((dscale, "dscale"), (doffset, "doffset")):
        if array is not None:
            same_length(q.n_channels, array.shape[0], name)
            array[:] = 0
    if q.n == 0:
        return
    q.X, q.scale, q.offset = &X[0, 0, 0], &scale[0], NULL
    q.mean_in, q.variance_in = &mean[0, 0], &variance[0, 0]
    q.dY, q.dX = &dY[0, 0, 0], &dX[0, 0, 0]
    n_tasks = group_tasks(&q)
    n_threads = threads_for(q.n * q.n_positions * q.n_channels, n_threads)
    q.totals = <double*> allocate(n_tasks * 2 * q.n_channels * sizeof(double))
    try:
        with nogil:
            run_tasks(group_maps_backward if q.n_positions > 1 else group_rows_backward, &q,
                      n_tasks, n_threads, group_scratch(&q))
            add_blocks(q.totals, n_tasks, 2 * q.n_channels)
        if dscale is not None:
            for c in range(q.n_channels):
                dscale[c] = <real> q.totals[c]
        if doffset is not None:
            for c in range(q.n_channels):
                doffset[c] = <real> q.totals[q.n_channels + c]
    finally:
        free(q.totals)
