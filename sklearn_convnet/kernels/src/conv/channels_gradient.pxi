# The gradients of a depth-wise convolution.
#
# Design:
# * An image and dz are copied in their padding, which is zero from the first image on, with each
#   channel repeated `multiplier` times, channels rounded up to whole vectors.
# * The taps that see X(i) are those with i + p - t d a multiple of the stride, s: the same for
#   every s-th position, of which all are a row of the tile. So dX is summed in registers, for
#   strides as well.
# * A block is some rows of positions, as many as threads find in the cache again.

cdef enum:
    SKEW = 2           # vectors: else what is read and what is written share their low bits


cdef void back_geometry(Depthwise* q) noexcept nogil:
    """The padded dz: X(i) is seen by the windows (i + p - t d) / s, as far as these are whole, and
    those outside of the output are zero."""
    cdef Conv* g = &q.conv
    cdef Py_ssize_t reach, last
    cdef int axis
    g.n_channels = q.n_lanes
    g.padded_size = g.padded[0] * g.padded[1] * g.padded[2] * q.n_lanes
    g.block_images = 1
    g.n_blocks = g.n_images
    q.dz_size = q.n_lanes
    for axis in range(3):
        reach = g.dilation[axis] * (g.kernel[axis] - 1)
        last = (g.size[axis] - 1 + g.before[axis]) // g.stride[axis]
        q.margin[axis] = larger(0, reach - g.before[axis]) // g.stride[axis]
        q.padded_dz[axis] = q.margin[axis] + larger(g.out[axis], last + 1)
        q.dz_size *= q.padded_dz[axis]


cdef Py_ssize_t* dz_table(Depthwise* q) except NULL:
    """Fills `dz`; returns its memory."""
    cdef const Conv* g = &q.conv
    cdef Py_ssize_t d, h, w, at = 0
    q.dz = <Py_ssize_t*> allocate(g.n_windows * sizeof(Py_ssize_t))
    for d in range(g.out[0]):
        for h in range(g.out[1]):
            for w in range(g.out[2]):
                q.dz[at] = q.n_lanes * place_in_dz(
                    q, d + q.margin[0], h + q.margin[1], w + q.margin[2])
                at += 1
    return q.dz


cdef inline Py_ssize_t place_in_dz(
    const Depthwise* q, Py_ssize_t d, Py_ssize_t h, Py_ssize_t w
) noexcept nogil:
    """A position in the padded dz, as a number of positions."""
    return (d * q.padded_dz[1] + h) * q.padded_dz[2] + w


cdef void add_channels(
    const Depthwise* q, const real* source, Py_ssize_t n_pixels, real* image
) noexcept nogil:
    """The adjoint of repeat_channels, where lanes are not the channels."""
    cdef Py_ssize_t i, c, j
    cdef real total
    if q.multiplier == 1:
        copy_columns(source, q.n_lanes, image, q.n_channels, n_pixels, q.n_channels)
    else:
        for i in range(n_pixels):
            for c in range(q.n_channels):
                total = source[c * q.multiplier]
                for j in range(1, q.multiplier):
                    total += source[c * q.multiplier + j]
                image[c] = total
            image = image + q.n_channels
            source = source + q.n_lanes


cdef inline Py_ssize_t padded_row(const Depthwise* q, Py_ssize_t row) noexcept nogil:
    """Where a row of an image begins in the padded one."""
    cdef const Conv* g = &q.conv
    cdef Py_ssize_t d = row // g.size[1] + g.before[0], h = row % g.size[1] + g.before[1]
    return q.n_lanes * ((d * g.padded[1] + h) * g.padded[2] + g.before[2])


cdef void pad_channels(const Depthwise* q, Py_ssize_t image, real* padded) noexcept nogil:
    cdef const Conv* g = &q.conv
    cdef Py_ssize_t row, row_size = g.size[2] * q.n_channels
    for row in range(g.size[0] * g.size[1]):
        repeat_channels(q, g.X + image * g.image_size + row * row_size, g.size[2],
                        padded + padded_row(q, row))


cdef void make_padded_dz(
    const Depthwise* q, Py_ssize_t image, real* dz, real* db, real* compact
) noexcept nogil:
    """The dz of an image in its padding, and its sum added to db, if that is given. Compact is
    scratch for a row of output."""
    cdef const Conv* g = &q.conv
    cdef Py_ssize_t row, at, n = g.out[2] * g.n_filters
    cdef bint direct = q.n_lanes == g.n_filters
    cdef real* to
    for row in range(g.n_windows // g.out[2]):
        at = image * g.out_size + row * n
        to = dz + q.dz[row * g.out[2]]
        times_derivative(g.code, g.alpha, g.Y_in + at, g.dY + at, to if direct else compact, n)
        if not direct:
            copy_columns(compact, g.n_filters, to, q.n_lanes, g.out[2], g.n_filters)
        if db is not NULL:
            add_rows(to, q.n_lanes, g.out[2], q.n_lanes, db)


cdef void add_filter_gradient(
    const Depthwise* q, const real* x, const real* dz, real* dW, real* spare
) noexcept nogil:
    """dW (taps, lanes) += the windows of x times dz, over an image."""
    cdef const Conv* g = &q.conv
    cdef Py_ssize_t i, first, t, r, v, k
    cdef const real* a[CHANNEL_MR]
    cdef real* c[CHANNEL_MR]
    for i in range(ceil_div(g.n_windows, MC)):
        first = i * MC
        for v in range(q.n_lanes // LANES):
            for t in range(ceil_div(g.n_taps, CHANNEL_MR)):
                for r in range(CHANNEL_MR):
                    k = t * CHANNEL_MR + r
                    a[r] = x + v * LANES + g.tap[smaller(k, g.n_taps - 1)]
                    c[r] = dW + k * q.n_lanes + v * LANES if k < g.n_taps else spare
                channel_tile(a, g.window + first, dz + v * LANES, q.dz + first,
                             smaller(MC, g.n_windows - first), c)


cdef Py_ssize_t taps_of(
    const Depthwise* q, int axis, Py_ssize_t i, Py_ssize_t of_dz, Py_ssize_t of_filters, Taps* taps,
    Py_ssize_t* tap
) noexcept nogil:
    """The taps along an axis that position i of X is seen by, from the last to the first, which is
    where dz ascends; `of_dz` and `of_filters` are how far positions and taps are apart there. The
    last one is in `tap`; returns the position of its window in the padded dz."""
    cdef const Conv* g = &q.conv
    cdef Py_ssize_t stride = g.stride[axis], dilation = g.dilation[axis], step = 1
    cdef Py_ssize_t t = g.kernel[axis] - 1, scaled = i + g.before[axis] + q.margin[axis] * stride
    while step * dilation % stride:
        step += 1
    while t >= 0 and (scaled - t * dilation) % stride:
        t -= 1
    taps.n[axis] = t // step + 1 if t >= 0 else 0
    taps.a[axis] = step * dilation // stride * of_dz
    taps.b[axis] = -step * of_filters
    tap[0] = larger(t, 0)
    return (scaled - tap[0] * dilation) // stride


cdef void gather_row(
    const Depthwise* q, const real* dz, Py_ssize_t row, Py_ssize_t column, Py_ssize_t n_columns,
    real* dx
) noexcept nogil:
    """dx (n_columns, lanes), a row of positions, phase by phase."""
    cdef const Conv* g = &q.conv
    cdef Py_ssize_t n_lanes = q.n_lanes, stride = g.stride[2], i, d, h, w
    cdef Py_ssize_t line = n_lanes * q.padded_dz[2], of_row = n_lanes * g.kernel[2]
    cdef Py_ssize_t[3] tap
    cdef Taps taps
    d = taps_of(q, 0, row // g.size[1], line * q.padded_dz[1], of_row * g.kernel[1], &taps, tap)
    h = taps_of(q, 1, row % g.size[1], line, of_row, &taps, &tap[1])
    for i in range(smaller(stride, n_columns)):  # the first position of a phase
        w = taps_of(q, 2, column + i, n_lanes, n_lanes, &taps, &tap[2])
        channel_row(
            ceil_div(n_columns - i, stride), n_lanes, dz + n_lanes * place_in_dz(q, d, h, w),
            n_lanes,
            q.filters + ((tap[0] * g.kernel[1] + tap[1]) * g.kernel[2] + tap[2]) * n_lanes,
            &taps, NULL, NULL, dx + i * n_lanes, stride * n_lanes, NULL)


cdef void gather_input_gradient(
    const Depthwise* q, Py_ssize_t image, const real* dz, real* block
) noexcept nogil:
    """dX of an image. Scratch: a block of positions."""
    cdef const Conv* g = &q.conv
    cdef Py_ssize_t n_all = g.size[0] * g.size[1], row = 0, chunk, column, n_rows, n, r
    cdef real* dx
    cdef real* to
    while row < n_all:
        n_rows = smaller(rows_together(g.size[2]), n_all - row)
        for chunk in range(ceil_div(g.size[2], MC)):
            column = chunk * MC
            n = smaller(MC, g.size[2] - column)
            dx = g.dX + image * g.image_size + (row * g.size[2] + column) * q.n_channels
            to = dx if q.plain else block
            for r in range(n_rows):
                gather_row(q, dz, row + r, column, n, to + r * n * q.n_lanes)
            if not q.plain:
                add_channels(q, block, n_rows * n, dx)
        row += n_rows


cdef inline Py_ssize_t depthwise_scratch(const Depthwise* q) noexcept nogil:
    """The padded X and dz, of which all but X and dz stay zero; a block of dX; a row of output, and
    a spare vector."""
    return (q.conv.padded_size + q.dz_size + 2 * SKEW * LANES
            + (block_positions(q.conv.size[2]) + q.conv.out[2]) * q.n_lanes + LANES)


cdef void depthwise_backward_image(
    const Depthwise* q, Py_ssize_t image, real* dW, real* db, real* scratch
) noexcept nogil:
    """Adds to dW (taps, lanes) and db (lanes), if given."""
    cdef real* x = scratch
    cdef real* dz = x + q.conv.padded_size + SKEW * LANES
    cdef real* compact = dz + q.dz_size + SKEW * LANES
    cdef real* spare = compact + q.conv.out[2] * q.n_lanes
    make_padded_dz(q, image, dz, db, compact)
    if dW is not NULL:
        pad_channels(q, image, x)
        add_filter_gradient(q, x, dz, dW, spare)
    if q.conv.dX is not NULL:
        gather_input_gradient(q, image, dz, spare + LANES)


cdef inline Py_ssize_t depthwise_sums(const Depthwise* q) noexcept nogil:
    """Numbers in the sums of a piece: dW, and behind it db."""
    return (q.conv.n_taps + 1) * q.n_lanes


cdef void depthwise_piece(const void* work, Py_ssize_t piece, real* scratch) noexcept nogil:
    """The gradients of some images, of which dX is done then."""
    cdef const Depthwise* q = <const Depthwise*> work
    cdef real* dW = NULL
    cdef real* db = NULL
    cdef Py_ssize_t image
    if q.conv.dW_pieces is not NULL:
        dW = q.conv.dW_pieces + piece * depthwise_sums(q)
    if q.conv.db_pieces is not NULL:
        db = q.conv.db_pieces + piece * depthwise_sums(q)
    for image in range(part(q.conv.n_images, piece, q.conv.n_pieces),
                       part(q.conv.n_images, piece + 1, q.conv.n_pieces)):
        depthwise_backward_image(q, image, dW, db, scratch)
