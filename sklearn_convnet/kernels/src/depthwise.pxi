# Depth-wise convolution: each map has filters of its own, `multiplier` of them.
#
#   z(o, c m + j) = b(c m + j) + sum_t W(t, c, j) X(o s + t d - p, c)
#
# Design:
# * The same geometry and tables as conv.pxi, for as many groups as channels; but vectors run
#   over channels on both sides, so the tile multiplies vector by vector:
#       c[r] (+)= init + sum_k a[r][k_offset[k]] * b[k * b_row]
#   That is one load a multiply-add, so half of what a convolution reaches.
# * An image is copied with each channel repeated `multiplier` times, channels rounded up to
#   whole vectors, and its padding.

cdef enum:
    CHANNEL_ROWS = 6   # rows of a tile; ROW_BLOCK is a multiple
    SKEW = 2           # vectors: else what is read and what is written share their low bits


cdef extern from *:
    """
    #define CHANNEL_TILE_ROWS 6

    static void channel_tile(
        const skcn_real **a,         /* IN  R pointers to vectors */
        const Py_ssize_t *k_offset,  /* IN  (n_k) */
        Py_ssize_t n_k,
        const skcn_real *b,          /* IN  n_k vectors, b_row apart */
        Py_ssize_t b_row,
        const skcn_real *init,       /* IN  a vector */
        int add,
        skcn_real **c)               /* OUT, INOUT if add: R pointers to vectors */
    {
        const Py_ssize_t *end = k_offset + n_k;
        vec acc[CHANNEL_TILE_ROWS];
        UNROLL for (int r = 0; r < CHANNEL_TILE_ROWS; r++)
            acc[r] = *(const vec *) init;
        for (; k_offset < end; k_offset++, b += b_row) {
            vec b_vec = *(const vec *) b;
            UNROLL for (int r = 0; r < CHANNEL_TILE_ROWS; r++)
                acc[r] += *(const vec *) (a[r] + *k_offset) * b_vec;
        }
        UNROLL for (int r = 0; r < CHANNEL_TILE_ROWS; r++) {
            if (add)
                acc[r] += *(vec *) c[r];
            *(vec *) c[r] = acc[r];
        }
    }
    """
    void channel_tile(
        const real** a, const Py_ssize_t* k_offset, Py_ssize_t n_k, const real* b,
        Py_ssize_t b_row, const real* init, bint add, real** c) noexcept nogil


cdef struct Depthwise:
    Conv conv                 # its channels are the lanes
    Py_ssize_t n_channels, multiplier, n_lanes
    real* filters             # (taps, lanes)
    real* bias                # (lanes,)


cdef int depthwise_geometry(
    Depthwise* q, const Py_ssize_t* shape_X, const Py_ssize_t* shape_W,
    const Py_ssize_t* shape_Y, stride, padding, dilation
) except -1:
    cdef Py_ssize_t positions
    conv_geometry(&q.conv, shape_X, shape_W, shape_Y, stride, padding, dilation, shape_X[4])
    q.n_channels = q.conv.n_channels
    q.multiplier = q.conv.group_filters
    q.n_lanes = vectors_for(q.conv.n_filters) * LANES
    positions = q.conv.padded[0] * q.conv.padded[1] * q.conv.padded[2]
    q.conv.n_channels = q.n_lanes
    q.conv.padded_size = positions * q.n_lanes  # whole vectors
    q.conv.block_images = 1
    q.conv.n_blocks = q.conv.n_images
    return 0


cdef void spread_channels(const Depthwise* q, const real* image, real* padded) noexcept nogil:
    """The image with padding, repeated channels and surplus lanes."""
    cdef const Conv* g = &q.conv
    cdef Py_ssize_t d, h, w, c, j
    cdef real* to
    cdef bint plain = q.multiplier == 1
    memset(padded, 0, g.padded_size * sizeof(real))
    for d in range(g.size[0]):
        for h in range(g.size[1]):
            to = padded + q.n_lanes * (
                ((d + g.before[0]) * g.padded[1] + h + g.before[1]) * g.padded[2]
                + g.before[2])
            for w in range(g.size[2]):
                if plain:
                    memcpy(to, image, q.n_channels * sizeof(real))
                else:
                    for c in range(q.n_channels):
                        for j in range(q.multiplier):
                            to[c * q.multiplier + j] = image[c]
                image = image + q.n_channels
                to = to + q.n_lanes


cdef void gather_channels(const Depthwise* q, const real* padded, real* image) noexcept nogil:
    """The adjoint of spread_channels."""
    cdef const Conv* g = &q.conv
    cdef Py_ssize_t d, h, w, c, j
    cdef const real* source
    for d in range(g.size[0]):
        for h in range(g.size[1]):
            source = padded + q.n_lanes * (
                ((d + g.before[0]) * g.padded[1] + h + g.before[1]) * g.padded[2]
                + g.before[2])
            for w in range(g.size[2]):
                if q.multiplier == 1:
                    memcpy(image, source, q.n_channels * sizeof(real))
                else:
                    for c in range(q.n_channels):
                        image[c] = source[c * q.multiplier]
                        for j in range(1, q.multiplier):
                            image[c] += source[c * q.multiplier + j]
                image = image + q.n_channels
                source = source + q.n_lanes


cdef void depthwise_image(const Depthwise* q, Py_ssize_t image, real* scratch) noexcept nogil:
    """Scratch: rows of output, and the image."""
    cdef const Conv* g = &q.conv
    cdef real* rows = scratch
    cdef real* x = rows + CHANNEL_ROWS * q.n_lanes
    cdef real* y
    cdef bint direct
    cdef Py_ssize_t t, r, v, n_rows
    cdef const real* a[CHANNEL_ROWS]
    cdef real* c[CHANNEL_ROWS]
    spread_channels(q, g.X + image * g.image_size, x)
    for t in range(ceil_div(g.n_windows, CHANNEL_ROWS)):
        n_rows = smaller(CHANNEL_ROWS, g.n_windows - t * CHANNEL_ROWS)
        y = g.Y + image * g.out_size + t * CHANNEL_ROWS * g.n_filters
        direct = n_rows == CHANNEL_ROWS and q.n_lanes == g.n_filters
        for v in range(0, q.n_lanes // LANES):
            for r in range(CHANNEL_ROWS):
                a[r] = x + v * LANES + g.window[
                    smaller(t * CHANNEL_ROWS + r, g.n_windows - 1)]
                c[r] = (y if direct else rows) + r * q.n_lanes + v * LANES
            channel_tile(a, g.tap, g.n_taps, q.filters + v * LANES, q.n_lanes,
                         q.bias + v * LANES, False, c)
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
    cdef Depthwise q
    cdef Py_ssize_t* tables
    cdef real* work
    cdef Py_ssize_t image, size
    cdef Shares shares
    cdef int thread
    depthwise_geometry(&q, X.shape, W.shape, Y.shape, stride, padding, dilation)
    if b is not None:
        same_length(q.conv.n_filters, b.shape[0], "b")
    q.conv.code = activation_code(activation, True)
    q.conv.alpha = alpha
    if q.conv.n_images == 0:
        return
    q.conv.X = &X[0, 0, 0, 0, 0]
    q.conv.Y = &Y[0, 0, 0, 0, 0]
    size = CHANNEL_ROWS * q.n_lanes + q.conv.padded_size
    n_threads = threads_for_products(n_products(&q.conv), n_threads)
    tables = conv_tables(&q.conv)
    try:
        work = <real*> allocate(
            ((q.conv.n_taps + 1) * q.n_lanes + n_threads * size) * sizeof(real))
    except MemoryError:
        free(tables)
        raise
    q.filters = work
    q.bias = work + q.conv.n_taps * q.n_lanes
    with nogil:
        pack_panel(&W[0, 0, 0, 0, 0], q.conv.n_filters, 1, q.conv.n_taps, q.conv.n_filters,
                   q.n_lanes, q.filters)
        memset(q.bias, 0, q.n_lanes * sizeof(real))
        if b is not None:
            memcpy(q.bias, &b[0], q.conv.n_filters * sizeof(real))
        work = q.bias + q.n_lanes
        share_out(&shares, q.conv.n_images, n_threads)
        for thread in prange(n_threads, num_threads=n_threads, schedule="static"):
            image = next_task(&shares, thread)
            while image >= 0:
                depthwise_image(&q, image, work + thread * size)
                image = next_task(&shares, thread)
        free(q.filters)
        free(tables)


cdef void add_depthwise_input_gradient(
    const Depthwise* q, const Py_ssize_t* window, Py_ssize_t n_rows, const real* dz, real* dx
) noexcept nogil:
    """dX += the filters times dz, scattered over n_rows windows. Windows are the inner loop:
    for one tap no two of them meet, so no sum waits for another."""
    cdef Py_ssize_t v, k, r
    cdef vec w, total
    cdef vec* to
    for v in range(q.n_lanes // LANES):
        for k in range(q.conv.n_taps):
            w = (<const vec*> (q.filters + k * q.n_lanes + v * LANES))[0]
            for r in range(n_rows):
                to = <vec*> (dx + window[r] + q.conv.tap[k] + v * LANES)
                total = to[0] + w * (<const vec*> (dz + r * q.n_lanes + v * LANES))[0]
                to[0] = total


cdef void depthwise_backward_image(
    const Depthwise* q, Py_ssize_t image, real* dW, real* db, real* scratch
) noexcept nogil:
    """Adds to dW (taps, lanes) and db (lanes), if given. Scratch: a spare row, rows of dz in
    two forms, and the image and its gradient."""
    cdef const Conv* g = &q.conv
    cdef real* compact = scratch + q.n_lanes
    cdef real* dz = compact + ROW_BLOCK * q.n_lanes
    cdef real* x = dz + ROW_BLOCK * q.n_lanes
    cdef real* dx = x + g.padded_size + SKEW * LANES
    cdef Py_ssize_t i, row, n_rows, t, r, v, k, j
    cdef const real* a[CHANNEL_ROWS]
    cdef real* c[CHANNEL_ROWS]
    cdef real* to
    if dW is not NULL:
        spread_channels(q, g.X + image * g.image_size, x)
    if g.dX is not NULL:
        memset(dx, 0, g.padded_size * sizeof(real))
    for i in range(ceil_div(g.n_windows, ROW_BLOCK)):
        row = i * ROW_BLOCK
        n_rows = smaller(ROW_BLOCK, g.n_windows - row)
        j = image * g.out_size + row * g.n_filters
        to = dz if q.n_lanes == g.n_filters else compact
        memcpy(to, g.dY + j, n_rows * g.n_filters * sizeof(real))
        multiply_derivative(g.code, g.alpha, g.Y_in + j, to, n_rows * g.n_filters)
        if to == compact:
            memset(dz, 0, n_rows * q.n_lanes * sizeof(real))
            copy_columns(compact, g.n_filters, dz, q.n_lanes, n_rows, g.n_filters)
        if db is not NULL:
            memset(compact, 0, q.n_lanes * sizeof(real))
            for r in range(n_rows):
                add_chunk_to(compact, dz + r * q.n_lanes, q.n_lanes)
            add_chunk_to(db, compact, q.n_lanes)
        if dW is not NULL:
            for v in range(q.n_lanes // LANES):
                for t in range(ceil_div(g.n_taps, CHANNEL_ROWS)):
                    for r in range(CHANNEL_ROWS):
                        k = t * CHANNEL_ROWS + r
                        a[r] = x + v * LANES + g.tap[smaller(k, g.n_taps - 1)]
                        c[r] = dW + k * q.n_lanes + v * LANES
                        if k >= g.n_taps:
                            c[r] = scratch
                    channel_tile(a, g.window + row, n_rows, dz + v * LANES, q.n_lanes,
                                 ZEROS, True, c)
        if g.dX is not NULL:
            add_depthwise_input_gradient(q, g.window + row, n_rows, dz, dx)
    if g.dX is not NULL:
        gather_channels(q, dx, g.dX + image * g.image_size)


cdef inline void add_chunk_to(real* total, const real* a, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        total[i] += a[i]


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
    cdef Depthwise q
    cdef Py_ssize_t* tables
    cdef real* work
    cdef real* pieces
    cdef bint need_dW = dW is not None, need_db = db is not None
    cdef Py_ssize_t size, piece, piece_size, n_pieces
    cdef Shares shares
    cdef int thread
    depthwise_geometry(&q, X.shape, W.shape, Y.shape, stride, padding, dilation)
    same_sizes(Y.shape, dY.shape, 5, "dY")
    if dX is not None:
        same_sizes(X.shape, dX.shape, 5, "dX")
    if need_dW:
        same_sizes(W.shape, dW.shape, 5, "dW")
    if need_db:
        same_length(q.conv.n_filters, db.shape[0], "db")
    q.conv.code = activation_code(activation, True)
    q.conv.alpha = alpha
    if q.conv.n_images == 0:
        if need_dW:
            dW[:] = 0
        if need_db:
            db[:] = 0
        return
    q.conv.X = &X[0, 0, 0, 0, 0]
    q.conv.Y_in = &Y[0, 0, 0, 0, 0]
    q.conv.dY = &dY[0, 0, 0, 0, 0]
    q.conv.dX = NULL if dX is None else &dX[0, 0, 0, 0, 0]
    n_pieces = smaller(MAX_PIECES, q.conv.n_images)
    piece_size = (q.conv.n_taps + 1) * q.n_lanes
    size = (1 + 2 * ROW_BLOCK) * q.n_lanes + 2 * q.conv.padded_size + SKEW * LANES
    n_threads = threads_for_products(n_products(&q.conv), n_threads)
    tables = conv_tables(&q.conv)
    try:
        work = <real*> allocate(
            (q.conv.n_taps * q.n_lanes + n_pieces * piece_size + n_threads * size)
            * sizeof(real))
    except MemoryError:
        free(tables)
        raise
    q.filters = work
    pieces = work + q.conv.n_taps * q.n_lanes
    work = pieces + n_pieces * piece_size
    with nogil:
        pack_panel(&W[0, 0, 0, 0, 0], q.conv.n_filters, 1, q.conv.n_taps, q.conv.n_filters,
                   q.n_lanes, q.filters)
        memset(pieces, 0, n_pieces * piece_size * sizeof(real))
        share_out(&shares, n_pieces, n_threads)
        for thread in prange(n_threads, num_threads=n_threads, schedule="static"):
            piece = next_task(&shares, thread)
            while piece >= 0:
                depthwise_piece(
                    &q, piece, n_pieces,
                    pieces + piece * piece_size if need_dW else NULL,
                    pieces + piece * piece_size + q.conv.n_taps * q.n_lanes if need_db else NULL,
                    work + thread * size)
                piece = next_task(&shares, thread)
        for piece in range(1, n_pieces):
            add_chunk_to(pieces, pieces + piece * piece_size, piece_size)
        if need_dW:
            copy_columns(pieces, q.n_lanes, &dW[0, 0, 0, 0, 0], q.conv.n_filters,
                         q.conv.n_taps, q.conv.n_filters)
        if need_db:
            copy_columns(pieces + q.conv.n_taps * q.n_lanes, 0, &db[0], 0, 1,
                         q.conv.n_filters)
        free(q.filters)
        free(tables)


cdef void depthwise_piece(
    const Depthwise* q, Py_ssize_t piece, Py_ssize_t n_pieces, real* dW, real* db,
    real* scratch
) noexcept nogil:
    cdef Py_ssize_t image
    for image in range(part(q.conv.n_images, piece, n_pieces),
                       part(q.conv.n_images, piece + 1, n_pieces)):
        depthwise_backward_image(q, image, dW, db, scratch)
