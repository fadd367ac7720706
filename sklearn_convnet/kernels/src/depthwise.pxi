# Depth-wise convolution: each map has filters of its own, `multiplier` of them.
#
#   z(o, c m + j) = b(c m + j) + sum_t W(t, c, j) X(o s + t d - p, c)
#
# Design:
# * The same geometry and tables as in conv/geometry.pxi, for as many groups as channels; but
#   vectors run over channels on both sides, so the tiles (channel_tile.pxi) multiply vector by
#   vector. That is one load a multiply-add, so half of what a convolution reaches.
# * An image is copied with each channel repeated `multiplier` times, channels rounded up to
#   whole vectors, and its padding, which is zero from the first image on.
# * So is dz. The taps that see X(i) are those with i + p - t d a multiple of the stride, s: the
#   same for every s-th position, of which all are a row of the tile. So dX is summed in registers,
#   for strides as well, by a list of taps for each phase i mod s.
# * A tile is part of a row of positions, and of them one vector after the other: pixels are read
#   and written whole. A block is some rows, for which the epilogue finds them in the cache.

cdef enum:
    SKEW = 2           # vectors: else what is read and what is written share their low bits


cdef struct Depthwise:
    Conv conv                 # of X, whose channels are the lanes
    Py_ssize_t n_channels, multiplier, n_lanes
    bint plain                # whether the lanes are the channels
    Py_ssize_t margin[3]      # before dz
    Py_ssize_t padded_dz[3]   # its size with margins
    Py_ssize_t dz_size        # numbers
    Py_ssize_t n_phases[3]    # of positions in X: the stride, at most the size
    Py_ssize_t* dz            # (n_windows): where in the padded dz
    Py_ssize_t* row           # 0, n_lanes, 2 n_lanes ... (taps)
    # The taps that positions of X see, phase by phase: where in the padded dz, and in the filters.
    Py_ssize_t* phase         # (phases + 1): the first of each
    Py_ssize_t* from_dz       # (taps)
    Py_ssize_t* from_filters  # (taps)
    real* filters             # (taps, lanes)
    real* bias                # (lanes,)


cdef int depthwise_geometry(
    Depthwise* q, const Py_ssize_t* shape_X, const Py_ssize_t* shape_W,
    const Py_ssize_t* shape_Y, stride, padding, dilation
) except -1:
    cdef Conv* g = &q.conv
    conv_geometry(g, shape_X, shape_W, shape_Y, stride, padding, dilation, shape_X[4])
    q.n_channels = g.n_channels
    q.multiplier = g.group_filters
    q.n_lanes = vectors_for(g.n_filters) * LANES
    q.plain = q.multiplier == 1 and q.n_lanes == q.n_channels
    g.n_channels = q.n_lanes
    g.padded_size = g.padded[0] * g.padded[1] * g.padded[2] * q.n_lanes
    g.block_images = 1
    g.n_blocks = g.n_images
    return 0


cdef void back_geometry(Depthwise* q) noexcept nogil:
    """The padded dz: X(i) is seen by the windows (i + p - t d) / s, as far as these are whole, and
    those outside of the output are zero."""
    cdef const Conv* g = &q.conv
    cdef Py_ssize_t reach, last
    cdef int axis
    q.dz_size = q.n_lanes
    for axis in range(3):
        reach = g.dilation[axis] * (g.kernel[axis] - 1)
        last = (g.size[axis] - 1 + g.before[axis]) // g.stride[axis]
        q.margin[axis] = larger(0, reach - g.before[axis]) // g.stride[axis]
        q.padded_dz[axis] = q.margin[axis] + larger(g.out[axis], last + 1)
        q.n_phases[axis] = smaller(g.stride[axis], g.size[axis])
        q.dz_size *= q.padded_dz[axis]


cdef Py_ssize_t* depthwise_tables(Depthwise* q, bint backward) except NULL:
    """Fills `row`, and those of the backward pass if they are wanted; returns the memory they
    share."""
    cdef const Conv* g = &q.conv
    cdef Py_ssize_t n_phases = q.n_phases[0] * q.n_phases[1] * q.n_phases[2] if backward else 0
    cdef Py_ssize_t* memory = <Py_ssize_t*> allocate(
        (g.n_taps + backward * (g.n_windows + n_phases + 1 + 2 * g.n_taps)) * sizeof(Py_ssize_t))
    cdef Py_ssize_t d, h, w, k, at = 0
    q.row = memory
    q.dz = memory + g.n_taps
    for k in range(g.n_taps):
        q.row[k] = k * q.n_lanes
    if not backward:
        return memory
    q.phase = q.dz + g.n_windows
    q.from_dz = q.phase + n_phases + 1
    q.from_filters = q.from_dz + g.n_taps
    for d in range(g.out[0]):
        for h in range(g.out[1]):
            for w in range(g.out[2]):
                q.dz[at] = q.n_lanes * place_in_dz(
                    q, d + q.margin[0], h + q.margin[1], w + q.margin[2])
                at += 1
    at = 0
    q.phase[0] = 0
    for d in range(q.n_phases[0]):
        for h in range(q.n_phases[1]):
            for w in range(q.n_phases[2]):
                q.phase[at + 1] = q.phase[at] + phase_taps(q, d, h, w, q.phase[at])
                at += 1
    return memory


cdef inline Py_ssize_t place_in_dz(
    const Depthwise* q, Py_ssize_t d, Py_ssize_t h, Py_ssize_t w
) noexcept nogil:
    """A position in the padded dz, as a number of positions."""
    return (d * q.padded_dz[1] + h) * q.padded_dz[2] + w


cdef Py_ssize_t window_of(
    const Depthwise* q, int axis, Py_ssize_t i, Py_ssize_t t
) noexcept nogil:
    """Where in the padded dz the window is of which position i is tap t; -1 if there is none."""
    cdef const Conv* g = &q.conv
    cdef Py_ssize_t scaled = (
        i + g.before[axis] - t * g.dilation[axis] + q.margin[axis] * g.stride[axis])
    return scaled // g.stride[axis] if scaled >= 0 and scaled % g.stride[axis] == 0 else -1


cdef Py_ssize_t phase_taps(
    Depthwise* q, Py_ssize_t d, Py_ssize_t h, Py_ssize_t w, Py_ssize_t first
) noexcept nogil:
    """Lists the taps of the phase whose first position is (d, h, w), from the last to the first;
    returns how many there are."""
    cdef const Conv* g = &q.conv
    cdef Py_ssize_t n = 0, k, tap_w, tap_h, o_d, o_h, o_w
    for k in range(g.n_taps - 1, -1, -1):
        tap_w = k % g.kernel[2]
        tap_h = k // g.kernel[2] % g.kernel[1]
        o_d = window_of(q, 0, d, k // g.kernel[2] // g.kernel[1])
        o_h = window_of(q, 1, h, tap_h)
        o_w = window_of(q, 2, w, tap_w)
        if o_d >= 0 and o_h >= 0 and o_w >= 0:
            q.from_dz[first + n] = q.n_lanes * place_in_dz(q, o_d, o_h, o_w)
            q.from_filters[first + n] = q.row[k]
            n += 1
    return n


cdef void repeat_channels(
    const Depthwise* q, const real* image, Py_ssize_t n_pixels, real* to
) noexcept nogil:
    """Pixels of an image, with repeated channels; surplus lanes stay as they are."""
    cdef Py_ssize_t i, c, j
    if q.plain:
        memcpy(to, image, n_pixels * q.n_channels * sizeof(real))
    elif q.multiplier == 1:
        copy_columns(image, q.n_channels, to, q.n_lanes, n_pixels, q.n_channels)
    else:
        for i in range(n_pixels):
            for c in range(q.n_channels):
                for j in range(q.multiplier):
                    to[c * q.multiplier + j] = image[c]
            image = image + q.n_channels
            to = to + q.n_lanes


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


cdef inline Py_ssize_t rows_together(Py_ssize_t width) noexcept nogil:
    """Rows of so many positions that are a block; of longer ones, a part of a row is."""
    return larger(1, MC // larger(1, width))


cdef inline Py_ssize_t block_positions(Py_ssize_t width) noexcept nogil:
    """Positions of a block, at most."""
    return rows_together(width) * smaller(width, MC)


cdef void correlate_block(
    const Depthwise* q, const real* x, Py_ssize_t first, Py_ssize_t n_rows, Py_ssize_t n_columns,
    real* y
) noexcept nogil:
    """y (n_rows, n_columns, lanes): rows of windows, from the window `first` on."""
    cdef const Conv* g = &q.conv
    cdef Py_ssize_t row
    for row in range(n_rows):
        channel_row(
            n_columns, q.n_lanes // LANES, x + g.window[first + row * g.out[2]],
            g.stride[2] * q.n_lanes, g.tap, q.filters, q.row, g.n_taps, q.bias,
            y + row * n_columns * q.n_lanes, q.n_lanes)


cdef void depthwise_image(const void* work, Py_ssize_t image, real* scratch) noexcept nogil:
    """Y of an image. Scratch: the padded image, and a block of output."""
    cdef const Depthwise* q = <const Depthwise*> work
    cdef const Conv* g = &q.conv
    cdef real* block = scratch + g.padded_size
    cdef real* y = g.Y + image * g.out_size
    cdef bint direct = q.n_lanes == g.n_filters
    cdef Py_ssize_t n_all = g.n_windows // g.out[2], row = 0, chunk, column, n_rows, n, first
    pad_channels(q, image, scratch)
    while row < n_all:
        n_rows = smaller(rows_together(g.out[2]), n_all - row)
        for chunk in range(ceil_div(g.out[2], MC)):
            column = chunk * MC
            n = smaller(MC, g.out[2] - column)
            first = row * g.out[2] + column
            correlate_block(q, scratch, first, n_rows, n,
                            y + first * g.n_filters if direct else block)
            if not direct:
                copy_columns(block, q.n_lanes, y + first * g.n_filters, g.n_filters, n_rows * n,
                             g.n_filters)
            activate(g.code, g.alpha, y + first * g.n_filters, n_rows * n * g.n_filters)
        row += n_rows


def depthwise_forward(
    const real[:, :, :, :, ::1] X,  # IN  (n, depth, height, width, channels)
    const real[:, :, :, :, ::1] W,  # IN  (*kernel, 1, channels * multiplier)
    const real[::1] b,              # IN  (channels * multiplier,) or None
    real[:, :, :, :, ::1] Y,        # OUT (n, *out, channels * multiplier)
    stride, padding, dilation, str activation, double alpha, int n_threads,
):
    """conv_forward with as many groups as channels."""
    n_threads = checked(n_threads, X is None or W is None or Y is None, "X, W, Y")
    cdef Depthwise q
    cdef Conv* g = &q.conv
    cdef Py_ssize_t* tables = NULL
    cdef Py_ssize_t* rows = NULL
    depthwise_geometry(&q, X.shape, W.shape, Y.shape, stride, padding, dilation)
    if b is not None:
        same_length(g.n_filters, b.shape[0], "b")
    g.code = activation_code(activation, True)
    g.alpha = alpha
    if g.n_images == 0:
        return
    g.X = &X[0, 0, 0, 0, 0]
    g.Y = &Y[0, 0, 0, 0, 0]
    q.filters = NULL
    n_threads = <int> smaller(g.n_images, threads_for_products(n_products(g), n_threads))
    try:
        tables = conv_tables(g)
        rows = depthwise_tables(&q, False)
        q.filters = <real*> allocate((g.n_taps + 1) * q.n_lanes * sizeof(real))
        q.bias = q.filters + g.n_taps * q.n_lanes
        with nogil:
            pack_panel(&W[0, 0, 0, 0, 0], g.n_filters, 1, NULL, g.n_taps, g.n_filters, q.n_lanes,
                       q.filters)
            memset(q.bias, 0, q.n_lanes * sizeof(real))
            if b is not None:
                memcpy(q.bias, &b[0], g.n_filters * sizeof(real))
            run_tasks(depthwise_image, &q, g.n_images, n_threads,
                      g.padded_size + block_positions(g.out[2]) * q.n_lanes,
                      n_zeros=g.padded_size)
    finally:
        free(q.filters)
        free(tables)
        free(rows)


# --- backward --------------------------------------------------------------------------

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


cdef void gather_row(
    const Depthwise* q, const real* dz, Py_ssize_t row, Py_ssize_t column, Py_ssize_t n_columns,
    real* dx
) noexcept nogil:
    """dx (n_columns, lanes), a row of positions, phase by phase."""
    cdef const Conv* g = &q.conv
    cdef Py_ssize_t d = row // g.size[1], h = row % g.size[1], stride = g.stride[2]
    cdef Py_ssize_t phases = (d % g.stride[0] * q.n_phases[1] + h % g.stride[1]) * q.n_phases[2]
    cdef Py_ssize_t i, start, end
    for i in range(smaller(stride, n_columns)):  # the first position of a phase
        start = q.phase[phases + (column + i) % stride]
        end = q.phase[phases + (column + i) % stride + 1]
        channel_row(
            ceil_div(n_columns - i, stride), q.n_lanes // LANES,
            dz + q.n_lanes * place_in_dz(
                q, d // g.stride[0], h // g.stride[1], (column + i) // stride),
            q.n_lanes, q.from_dz + start, q.filters, q.from_filters + start, end - start, NULL,
            dx + i * q.n_lanes, stride * q.n_lanes)


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


def depthwise_backward(
    const real[:, :, :, :, ::1] X,   # IN  (n, depth, height, width, channels)
    const real[:, :, :, :, ::1] W,   # IN  (*kernel, 1, channels * multiplier)
    const real[:, :, :, :, ::1] Y,   # IN  (n, *out, channels * multiplier), activated
    const real[:, :, :, :, ::1] dY,  # IN  like Y
    real[:, :, :, :, ::1] dX,        # OUT like X, or None
    real[:, :, :, :, ::1] dW,        # OUT like W, or None
    real[::1] db,                    # OUT (channels * multiplier,) or None
    stride, padding, dilation, str activation, double alpha, int n_threads,
):
    """The gradients of depthwise_forward, each computed where its array is given."""
    n_threads = checked(
        n_threads, X is None or W is None or Y is None or dY is None,
        "X, W, Y, dY")
    cdef Depthwise q
    cdef Conv* g = &q.conv
    cdef Py_ssize_t* tables = NULL
    cdef Py_ssize_t* rows = NULL
    cdef real* pieces
    cdef bint need_dW = dW is not None, need_db = db is not None
    cdef Py_ssize_t n_padded, piece, piece_size
    depthwise_geometry(&q, X.shape, W.shape, Y.shape, stride, padding, dilation)
    same_sizes(Y.shape, dY.shape, 5, "dY")
    if dX is not None:
        same_sizes(X.shape, dX.shape, 5, "dX")
    if need_dW:
        same_sizes(W.shape, dW.shape, 5, "dW")
    if need_db:
        same_length(g.n_filters, db.shape[0], "db")
    g.code = activation_code(activation, True)
    g.alpha = alpha
    if g.n_images == 0:
        if need_dW:
            dW[:] = 0
        if need_db:
            db[:] = 0
        return
    g.X = &X[0, 0, 0, 0, 0]
    g.Y_in = &Y[0, 0, 0, 0, 0]
    g.dY = &dY[0, 0, 0, 0, 0]
    g.dX = NULL if dX is None else &dX[0, 0, 0, 0, 0]
    back_geometry(&q)
    g.n_pieces = smaller(MAX_PIECES, g.n_images)
    piece_size = depthwise_sums(&q)
    q.filters = NULL
    n_padded = g.padded_size + SKEW * LANES + q.dz_size
    n_threads = <int> smaller(g.n_pieces, threads_for_products(n_products(g), n_threads))
    try:
        tables = conv_tables(g)
        rows = depthwise_tables(&q, True)
        q.filters = <real*> allocate(
            (g.n_taps * q.n_lanes + g.n_pieces * piece_size) * sizeof(real))
        pieces = q.filters + g.n_taps * q.n_lanes
        g.dW_pieces = pieces if need_dW else NULL
        g.db_pieces = pieces + g.n_taps * q.n_lanes if need_db else NULL
        with nogil:
            pack_panel(&W[0, 0, 0, 0, 0], g.n_filters, 1, NULL, g.n_taps, g.n_filters, q.n_lanes,
                       q.filters)
            memset(pieces, 0, g.n_pieces * piece_size * sizeof(real))
            run_tasks(depthwise_piece, &q, g.n_pieces, n_threads, depthwise_scratch(&q),
                      n_zeros=n_padded)
            for piece in range(1, g.n_pieces):
                add_chunk_to(pieces, pieces + piece * piece_size, piece_size)
            if need_dW:
                copy_columns(pieces, q.n_lanes, &dW[0, 0, 0, 0, 0], g.n_filters, g.n_taps,
                             g.n_filters)
            if need_db:
                copy_columns(pieces + g.n_taps * q.n_lanes, 0, &db[0], 0, 1, g.n_filters)
    finally:
        free(q.filters)
        free(tables)
        free(rows)
