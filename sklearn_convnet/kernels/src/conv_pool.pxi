# A convolution, its activation and a max pool in one kernel, and its gradients: see conv/units.pxi.

def conv_pool_forward(
    const real[:, :, :, :, ::1] X,   # IN  (n, depth, height, width, channels)
    const real[:, :, :, :, ::1] W,   # IN  (*kernel, channels, filters)
    const real[::1] b,               # IN  (filters,) or None
    real[:, :, :, :, ::1] Y,         # OUT (n, *pooled, filters)
    int32_t[:, :, :, :, ::1] index,  # OUT like Y, or None: the position of the maximum
    stride, padding, pool_size, str activation, double alpha, int n_threads,
):
    """Y = the maximum over windows of f(conv(X, W) + b)."""
    n_threads = checked(n_threads, X is None or W is None or Y is None, "X, W, Y")
    cdef ConvPool p
    conv_pool_geometry(&p, X.shape, W.shape, Y.shape, stride, padding, pool_size)
    p.conv.code = activation_code(activation, True)
    p.conv.alpha = alpha
    if b is not None:
        same_length(p.conv.n_filters, b.shape[0], "b")
    if index is not None:
        same_sizes(Y.shape, index.shape, 5, "index")
    if p.conv.n_images == 0:
        return
    p.conv.X = &X[0, 0, 0, 0, 0]
    p.conv.W = &W[0, 0, 0, 0, 0]
    p.conv.b = NULL if b is None else &b[0]
    p.conv.Y = &Y[0, 0, 0, 0, 0]
    p.index = NULL if index is None else &index[0, 0, 0, 0, 0]
    convolve_and_pool(&p, n_threads)


def conv_pool_backward(
    const real[:, :, :, :, ::1] X,         # IN  (n, depth, height, width, channels)
    const real[:, :, :, :, ::1] W,         # IN  (*kernel, channels, filters)
    const real[:, :, :, :, ::1] Y,         # IN  (n, *pooled, filters)
    const int32_t[:, :, :, :, ::1] index,  # IN  like Y
    const real[:, :, :, :, ::1] dY,        # IN  like Y
    real[:, :, :, :, ::1] dX,              # OUT like X, or None
    real[:, :, :, :, ::1] dW,              # OUT like W, or None
    real[::1] db,                          # OUT (filters,) or None
    stride, padding, pool_size, str activation, double alpha, int n_threads,
):
    """The gradients of conv_pool_forward, each computed where its array is given."""
    n_threads = checked(
        n_threads, X is None or W is None or Y is None or index is None or dY is None,
        "X, W, Y, index, dY")
    cdef ConvPool p
    cdef Conv* q = &p.conv
    cdef bint need_dW = dW is not None, need_db = db is not None
    conv_pool_geometry(&p, X.shape, W.shape, Y.shape, stride, padding, pool_size)
    q.code = activation_code(activation, True)
    q.alpha = alpha
    same_sizes(Y.shape, index.shape, 5, "index")
    same_sizes(Y.shape, dY.shape, 5, "dY")
    if dX is not None:
        same_sizes(X.shape, dX.shape, 5, "dX")
    if need_dW:
        same_sizes(W.shape, dW.shape, 5, "dW")
    if need_db:
        same_length(q.n_filters, db.shape[0], "db")
    if q.n_images == 0:
        if need_dW:
            dW[:] = 0
        if need_db:
            db[:] = 0
        return
    q.X = &X[0, 0, 0, 0, 0]
    q.W = &W[0, 0, 0, 0, 0]
    q.Y_in = &Y[0, 0, 0, 0, 0]
    q.dY = &dY[0, 0, 0, 0, 0]
    q.dX = NULL if dX is None else &dX[0, 0, 0, 0, 0]
    p.index_in = &index[0, 0, 0, 0, 0]
    check_index(&p.pool, p.index_in, n_threads)
    sparse_gradients(
        &p, &dW[0, 0, 0, 0, 0] if need_dW else NULL, &db[0] if need_db else NULL, n_threads)
