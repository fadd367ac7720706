# Depth-wise convolution: each map has filters of its own, `multiplier` of them.
#
#   z(o, c m + j) = b(c m + j) + sum_t W(t, c, j) X(o s + t d - p, c)
#
# Design:
# * Vectors run over channels on both sides, so the tiles (channel_tile.pxi) multiply vector by
#   vector: a load for each multiply-add.
# * The geometry is that of conv/geometry.pxi, for as many groups as channels. Forward is in
#   conv/channels.pxi, the gradients in conv/channels_gradient.pxi.

def depthwise_forward(
    const real[:, :, :, :, ::1] X,  # IN  (n, depth, height, width, channels)
    const real[:, :, :, :, ::1] W,  # IN  (*kernel, 1, channels * multiplier)
    const real[::1] scale,          # IN  (channels * multiplier,) or None: times the filters
    const real[::1] b,              # IN  (channels * multiplier,) or None
    real[:, :, :, :, ::1] Y,        # OUT (n, *out, channels * multiplier)
    stride, padding, dilation, str activation, double alpha, int n_threads,
):
    """conv_forward with as many groups as channels."""
    n_threads = checked(n_threads, X is None or W is None or Y is None, "X, W, Y")
    cdef Depthwise q
    cdef Conv* g = &q.conv
    depthwise_geometry(&q, X.shape, W.shape, Y.shape, stride, padding, dilation)
    if scale is not None:
        same_length(g.n_filters, scale.shape[0], "scale")
    if b is not None:
        same_length(g.n_filters, b.shape[0], "b")
    g.code = activation_code(activation, True)
    g.alpha = alpha
    if g.n_images == 0:
        return
    g.X = &X[0, 0, 0, 0, 0]
    g.W = &W[0, 0, 0, 0, 0]
    g.scale = NULL if scale is None else &scale[0]
    g.b = NULL if b is None else &b[0]
    g.Y = &Y[0, 0, 0, 0, 0]
    correlate_channels(&q, threads_for_products(LOADS * n_products(g), n_threads))


cdef int correlate_channels(Depthwise* q, int n_threads) except -1:
    """Y, strip by strip."""
    cdef Conv* g = &q.conv
    cdef Py_ssize_t* tables = NULL
    q.filters = NULL
    forward_geometry(q, n_threads)
    try:
        tables = seen_taps(q)
        q.filters = <real*> allocate((g.n_taps + 1) * q.n_lanes * sizeof(real))
        q.bias = q.filters + g.n_taps * q.n_lanes
        with nogil:
            pack_panel(g.W, g.n_filters, 1, g.scale, g.n_taps, g.n_filters, q.n_lanes, q.filters)
            memset(q.bias, 0, q.n_lanes * sizeof(real))
            if g.b is not NULL:
                memcpy(q.bias, g.b, g.n_filters * sizeof(real))
            n_threads = <int> smaller(n_threads, g.n_images * q.n_strips)
            run_tasks(depthwise_strip, q, g.n_images * q.n_strips, n_threads,
                      lanes_scratch(q) + block_scratch(q) + map_scratch(q))
    finally:
        free(q.filters)
        free(tables)
    return 0


def pointwise_depthwise_forward(
    const real[:, :, :, :, ::1] X,   # IN  (n, depth, height, width, fewer)
    const real[:, :, :, :, ::1] W1,  # IN  (1, 1, 1, fewer, channels)
    const real[::1] scale1,          # IN  (channels,) or None: times these filters
    const real[::1] b1,              # IN  (channels,) or None
    const real[:, :, :, :, ::1] W2,  # IN  (*kernel, 1, channels * multiplier)
    const real[::1] scale2,          # IN  (channels * multiplier,) or None
    const real[::1] b2,              # IN  (channels * multiplier,) or None
    real[:, :, :, :, ::1] Y,         # OUT (n, *out, channels * multiplier)
    stride, padding, dilation, str activation1, double alpha1, str activation2, double alpha2,
    int n_threads,
):
    """depthwise_forward of conv_forward, whose windows are pixels, without the map between them."""
    n_threads = checked(n_threads, X is None or W1 is None or W2 is None or Y is None,
                        "X, W1, W2, Y")
    cdef Depthwise q
    cdef Conv pointwise
    cdef Conv* g = &q.conv
    cdef Conv* e = &pointwise
    cdef Py_ssize_t maps[5]
    cdef Py_ssize_t* tables = NULL
    cdef real* packed = NULL
    if W1.shape[0] != 1 or W1.shape[1] != 1 or W1.shape[2] != 1:
        raise ValueError(f"W1 has shape {shape_of(W1.shape, 5)}, expected filters of single pixels")
    maps[:] = [X.shape[0], X.shape[1], X.shape[2], X.shape[3], W1.shape[4]]
    conv_geometry(e, X.shape, W1.shape, maps, (1, 1, 1), ((0, 0), (0, 0), (0, 0)), (1, 1, 1), 1)
    depthwise_geometry(&q, maps, W2.shape, Y.shape, stride, padding, dilation)
    e.code, g.code = activation_code(activation1, True), activation_code(activation2, True)
    e.alpha, g.alpha = alpha1, alpha2
    if scale1 is not None:
        same_length(e.n_filters, scale1.shape[0], "scale1")
    if b1 is not None:
        same_length(e.n_filters, b1.shape[0], "b1")
    if scale2 is not None:
        same_length(g.n_filters, scale2.shape[0], "scale2")
    if b2 is not None:
        same_length(g.n_filters, b2.shape[0], "b2")
    if g.n_images == 0:
        return
    e.X, g.X = &X[0, 0, 0, 0, 0], NULL
    e.W, g.W = &W1[0, 0, 0, 0, 0], &W2[0, 0, 0, 0, 0]
    e.scale = NULL if scale1 is None else &scale1[0]
    e.b = NULL if b1 is None else &b1[0]
    g.scale = NULL if scale2 is None else &scale2[0]
    g.b = NULL if b2 is None else &b2[0]
    g.Y = &Y[0, 0, 0, 0, 0]
    q.pointwise = e
    n_threads = threads_for_products(n_products(e) + LOADS * n_products(g), n_threads)
    tables = conv_tables(e)
    try:
        with nogil:
            packed = packed_filters(e, e, n_threads)
        correlate_channels(&q, n_threads)
    finally:
        free(packed)
        free(tables)


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
    cdef Py_ssize_t* dz = NULL
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
        dz = dz_table(&q)
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
        free(dz)
