# Depth-wise convolution: each map has filters of its own, `multiplier` of them.
#
#   z(o, c m + j) = b(c m + j) + sum_t W(t, c, j) X(o s + t d - p, c)
#
# Design:
# * The same geometry and tables as in conv/geometry.pxi, for as many groups as channels; but
#   vectors run over channels on both sides, so the tile (channel_tile.pxi) multiplies vector by
#   vector. That is one load a multiply-add, so half of what a convolution reaches.
# * An image is copied with each channel repeated `multiplier` times, channels rounded up to
#   whole vectors, and its padding, which is zero from the first image on.
# * So is dz. With stride 1, dX is a convolution of dz, with the filters turned round: sums are
#   made in registers. With other strides the filters times dz are added to dX in memory.

cdef enum:
    SKEW = 2           # vectors: else what is read and what is written share their low bits


cdef struct Depthwise:
    Conv conv                 # of X, whose channels are the lanes
    Conv back                 # of dz, if the stride is 1
    bint has_stride
    Py_ssize_t n_channels, multiplier, n_lanes
    bint plain                # whether the lanes are the channels
    Py_ssize_t start          # of back's windows
    Py_ssize_t margin[3]      # before dz
    Py_ssize_t* dz            # (n_windows): where in the padded dz
    Py_ssize_t* row           # 0, n_lanes, 2 n_lanes ... (taps)
    real* filters             # (taps, lanes)
    real* turned              # the same, from the last to the first
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
    q.has_stride = g.stride[0] > 1 or g.stride[1] > 1 or g.stride[2] > 1
    g.n_channels = q.n_lanes
    g.padded_size = g.padded[0] * g.padded[1] * g.padded[2] * q.n_lanes
    g.block_images = 1
    g.n_blocks = g.n_images
    return 0


cdef void back_geometry(Depthwise* q) noexcept nogil:
    """The padded dz. X(i) is seen by the windows i - (extent - 1) to i; a window may be further
    out, and see nothing but padding."""
    cdef Conv* g = &q.back
    cdef Py_ssize_t reach, first
    cdef int axis
    q.back = q.conv
    q.start = 0
    for axis in range(3):
        reach = g.dilation[axis] * (g.kernel[axis] - 1)
        first = larger(0, g.before[axis] - reach)
        q.margin[axis] = reach - g.before[axis] + first
        g.padded[axis] = larger(first + g.size[axis] + reach, q.margin[axis] + g.out[axis])
        if q.has_stride:
            q.margin[axis] = 0
            g.padded[axis] = g.out[axis]
        q.start = q.start * g.padded[axis] + first
    q.start *= q.n_lanes
    g.out[:] = g.size
    g.n_windows = g.out[0] * g.out[1] * g.out[2]
    g.padded_size = g.padded[0] * g.padded[1] * g.padded[2] * q.n_lanes


cdef Py_ssize_t* depthwise_tables(Depthwise* q, bint backward) except NULL:
    """Fills `row`, and `dz` if it is wanted; returns the memory they share."""
    cdef const Conv* g = &q.conv
    cdef Py_ssize_t* memory = <Py_ssize_t*> allocate(
        (g.n_taps + backward * g.n_windows) * sizeof(Py_ssize_t))
    cdef Py_ssize_t d, h, w, k, at = 0
    q.row = memory
    q.dz = memory + g.n_taps
    for k in range(g.n_taps):
        q.row[k] = k * q.n_lanes
    if not backward:
        return memory
    for d in range(g.out[0]):
        for h in range(g.out[1]):
            for w in range(g.out[2]):
                q.dz[at] = q.n_lanes * (
                    ((d + q.margin[0]) * q.back.padded[1] + h + q.margin[1]) * q.back.padded[2]
                    + w + q.margin[2])
                at += 1
    return memory


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
    """The adjoint of repeat_channels."""
    cdef Py_ssize_t i, c, j
    cdef real total
    if q.plain:
        memcpy(image, source, n_pixels * q.n_channels * sizeof(real))
    elif q.multiplier == 1:
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


cdef void correlate(
    const Depthwise* q, const Conv* g, const real* x, const real* filters, const real* bias,
    Py_ssize_t first, Py_ssize_t n_rows, real* y
) noexcept nogil:
    """y (n_rows, lanes): some windows of x times the filters; the bias may be NULL. The rows of a
    tile that is not full are its last, once more."""
    cdef Py_ssize_t t, r, v, row
    cdef const real* a[CHANNEL_MR]
    cdef real* c[CHANNEL_MR]
    for t in range(ceil_div(n_rows, CHANNEL_MR)):
        for v in range(q.n_lanes // LANES):
            for r in range(CHANNEL_MR):
                row = smaller(t * CHANNEL_MR + r, n_rows - 1)
                a[r] = x + v * LANES + g.window[first + row]
                c[r] = y + v * LANES + row * q.n_lanes
            channel_tile(a, g.tap, filters + v * LANES, q.row, g.n_taps,
                         ZEROS if bias is NULL else bias + v * LANES, False, c)


cdef void depthwise_image(const void* work, Py_ssize_t image, real* scratch) noexcept nogil:
    """Y of an image. Scratch: the padded image, and rows of output."""
    cdef const Depthwise* q = <const Depthwise*> work
    cdef const Conv* g = &q.conv
    cdef real* rows = scratch + g.padded_size
    cdef real* y
    cdef bint direct = q.n_lanes == g.n_filters
    cdef Py_ssize_t i, first, n_rows
    pad_channels(q, image, scratch)
    for i in range(ceil_div(g.n_windows, MC)):
        first = i * MC
        n_rows = smaller(MC, g.n_windows - first)
        y = g.Y + image * g.out_size + first * g.n_filters
        correlate(q, g, scratch, q.filters, q.bias, first, n_rows, y if direct else rows)
        if not direct:
            copy_columns(rows, q.n_lanes, y, g.n_filters, n_rows, g.n_filters)
        activate(g.code, g.alpha, y, n_rows * g.n_filters)


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
            pack_panel(&W[0, 0, 0, 0, 0], g.n_filters, 1, g.n_taps, g.n_filters, q.n_lanes,
                       q.filters)
            memset(q.bias, 0, q.n_lanes * sizeof(real))
            if b is not None:
                memcpy(q.bias, &b[0], g.n_filters * sizeof(real))
            run_tasks(depthwise_image, &q, g.n_images, n_threads,
                      g.padded_size + MC * q.n_lanes, n_zeros=g.padded_size)
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
    cdef real* d
    for row in range(g.n_windows // g.out[2]):
        at = image * g.out_size + row * n
        to = dz + q.dz[row * g.out[2]]
        d = to if direct else compact
        memcpy(d, g.dY + at, n * sizeof(real))
        multiply_derivative(g.code, g.alpha, g.Y_in + at, d, n)
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
                             smaller(MC, g.n_windows - first), ZEROS, True, c)


cdef void gather_input_gradient(
    const Depthwise* q, Py_ssize_t image, const real* dz, real* rows
) noexcept nogil:
    """dX of an image, with stride 1."""
    cdef const Conv* g = &q.back
    cdef Py_ssize_t i, first, n_rows
    cdef real* dx
    for i in range(ceil_div(g.n_windows, MC)):
        first = i * MC
        n_rows = smaller(MC, g.n_windows - first)
        dx = q.conv.dX + image * g.image_size + first * q.n_channels
        correlate(q, g, dz + q.start, q.turned, NULL, first, n_rows, dx if q.plain else rows)
        if not q.plain:
            add_channels(q, rows, n_rows, dx)


cdef void scatter_input_gradient(
    const Depthwise* q, Py_ssize_t image, const real* dz, real* dx
) noexcept nogil:
    """The same with any stride; dx is scratch for a padded image. Windows are the inner loop: for
    one tap no two of them meet, so no sum waits for another."""
    cdef const Conv* g = &q.conv
    cdef Py_ssize_t i, first, v, k, r, row, row_size = g.size[2] * q.n_channels
    cdef vec w, total
    cdef vec* to
    memset(dx, 0, g.padded_size * sizeof(real))
    for i in range(ceil_div(g.n_windows, MC)):
        first = i * MC
        for v in range(q.n_lanes // LANES):
            for k in range(g.n_taps):
                w = (<const vec*> (q.filters + k * q.n_lanes + v * LANES))[0]
                for r in range(first, smaller(first + MC, g.n_windows)):
                    to = <vec*> (dx + g.window[r] + g.tap[k] + v * LANES)
                    total = to[0] + w * (<const vec*> (dz + q.dz[r] + v * LANES))[0]
                    to[0] = total
    for row in range(g.size[0] * g.size[1]):
        add_channels(q, dx + padded_row(q, row), g.size[2],
                     g.dX + image * g.image_size + row * row_size)


cdef inline Py_ssize_t depthwise_scratch(const Depthwise* q) noexcept nogil:
    """The padded X and dz, of which all but X and dz stay zero; dX, or rows of it; a row of output,
    and a spare vector."""
    cdef Py_ssize_t dx = q.conv.padded_size if q.has_stride else MC * q.n_lanes
    return (q.conv.padded_size + q.back.padded_size + 2 * SKEW * LANES + dx
            + q.conv.out[2] * q.n_lanes + LANES)


cdef void depthwise_backward_image(
    const Depthwise* q, Py_ssize_t image, real* dW, real* db, real* scratch
) noexcept nogil:
    """Adds to dW (taps, lanes) and db (lanes), if given."""
    cdef real* x = scratch
    cdef real* dz = x + q.conv.padded_size + SKEW * LANES
    cdef real* compact = dz + q.back.padded_size + SKEW * LANES
    cdef real* spare = compact + q.conv.out[2] * q.n_lanes
    cdef real* dx = spare + LANES
    make_padded_dz(q, image, dz, db, compact)
    if dW is not NULL:
        pad_channels(q, image, x)
        add_filter_gradient(q, x, dz, dW, spare)
    if q.conv.dX is not NULL:
        if q.has_stride:
            scatter_input_gradient(q, image, dz, dx)
        else:
            gather_input_gradient(q, image, dz, dx)


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
    cdef Py_ssize_t* back_tables = NULL
    cdef Py_ssize_t* rows = NULL
    cdef real* pieces
    cdef bint need_dW = dW is not None, need_db = db is not None
    cdef Py_ssize_t n_padded, piece, piece_size, k
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
    n_padded = g.padded_size + SKEW * LANES + q.back.padded_size
    n_threads = <int> smaller(g.n_pieces, threads_for_products(n_products(g), n_threads))
    try:
        tables = conv_tables(g)
        if dX is not None and not q.has_stride:
            back_tables = conv_tables(&q.back)
        rows = depthwise_tables(&q, True)
        q.filters = <real*> allocate(
            (2 * g.n_taps * q.n_lanes + g.n_pieces * piece_size) * sizeof(real))
        q.turned = q.filters + g.n_taps * q.n_lanes
        pieces = q.turned + g.n_taps * q.n_lanes
        g.dW_pieces = pieces if need_dW else NULL
        g.db_pieces = pieces + g.n_taps * q.n_lanes if need_db else NULL
        with nogil:
            pack_panel(&W[0, 0, 0, 0, 0], g.n_filters, 1, g.n_taps, g.n_filters, q.n_lanes,
                       q.filters)
            for k in range(g.n_taps):
                memcpy(q.turned + q.row[g.n_taps - 1 - k], q.filters + q.row[k],
                       q.n_lanes * sizeof(real))
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
        free(back_tables)
        free(rows)
