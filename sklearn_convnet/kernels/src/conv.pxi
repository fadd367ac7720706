# Convolution in one to three dimensions, and its gradients (rows in the order in which the
# maps lie in memory: image, depth, height, width, channel).
#
#   z(o, f)  = b(f) + sum_t sum_c W(t, c, f) X(o s + t d - p, c)      Y = f(z)
#   dX(i, c) = sum over (o, t) with o s + t d - p = i of sum_f W(t, c, f) dz(o, f)
#   dW(t, c, f) = sum_o X(o s + t d - p, c) dz(o, f)                  dz = dY f'(z)
#
# for output positions o, filter taps t, stride s, dilation d and padding p.
#
# Design:
# * In the direct form all three are the tile of tile.pxi, whose rows, k and b stand for
#     forward           rows = windows  k = taps     b = filters              direct.pxi
#     weight gradient   rows = taps     k = windows  b = dz                   direct_gradient.pxi
#     input gradient    rows = dz       k = filters  b = filters, transposed  scatter.pxi
#   The input gradient can also be a forward pass, of dz and the filters turned round (turned.pxi),
#   with larger strides one for each phase of these (phases.pxi).
# * Where images can fill the vectors better than filters, vectors of images are worked on
#   interleaved (interleaved.pxi), by the same sums in the same order.
# * With windows larger than one position, Y is the maximum over windows of f(z), which lie side by
#   side, and index says where in the map it was: see units.pxi.
# * The kernels check arrays and ask which form to take: see forms.pxi.
# * Prologue and epilogue have the same order in all kernels of convolutions, here and in
#   winograd.pxi: affine before W, scale behind it; index, moments and addend behind Y; and before
#   n_threads the activation of the input, that of the output, and the windows of the pool.
# * A shift of dX is the bias of a transposed convolution, whose forward is this input gradient.
# * The scale, of a batch norm at a prediction, is multiplied with filters as they are packed: they
#   are read from memory once.

def conv_forward(
    const real[:, :, :, :, ::1] X,       # IN  (n, depth, height, width, channels)
    const real[:, :, :, :, ::1] W,       # IN  (*kernel, channels / groups, filters)
    const real[::1] scale,               # IN  (filters,) or None: times the filters
    const real[::1] b,                   # IN  (filters,) or None
    real[:, :, :, :, ::1] Y,             # OUT (n, *out, filters), pooled
    int32_t[:, :, :, :, ::1] index,      # OUT like Y, or None: the position of the maximum
    const real[:, :, :, :, ::1] addend,  # IN  like Y, or None
    stride, padding, dilation, Py_ssize_t groups,
    str activation, double alpha, pool_size, int n_threads,
):
    """Y = the maximum over windows of f(conv(X, scale W) + b + addend)."""
    n_threads = checked(n_threads, X is None or W is None or Y is None, "X, W, Y")
    cdef ConvPool p
    cdef Conv* q = &p.conv
    conv_pool_geometry(
        &p, X.shape, W.shape, Y.shape, stride, padding, dilation, groups, pool_size)
    q.code = activation_code(activation, True)
    q.alpha = alpha
    if scale is not None:
        same_length(q.n_filters, scale.shape[0], "scale")
    if b is not None:
        same_length(q.n_filters, b.shape[0], "b")
    if index is not None:
        if not p.pools:
            raise ValueError("an index needs windows larger than 1 x 1 x 1")
        same_sizes(Y.shape, index.shape, 5, "index")
    if addend is not None:
        if p.pools:
            raise ValueError("an addend is that of maps that are not pooled")
        same_sizes(Y.shape, addend.shape, 5, "addend")
    if q.n_images == 0:
        return
    q.X = &X[0, 0, 0, 0, 0]
    q.W = &W[0, 0, 0, 0, 0]
    q.scale = NULL if scale is None else &scale[0]
    q.b = NULL if b is None else &b[0]
    q.Y = &Y[0, 0, 0, 0, 0]
    q.addend = NULL if addend is None else &addend[0, 0, 0, 0, 0]
    if not p.pools:
        convolve(q, n_threads)
        return
    p.index = NULL if index is None else &index[0, 0, 0, 0, 0]
    convolve_and_pool(&p, n_threads)


def conv_backward(
    const real[:, :, :, :, ::1] X,         # IN  (n, depth, height, width, channels)
    const real[:, :, :, :, ::1] W,         # IN  (*kernel, channels / groups, filters)
    const real[:, :, :, :, ::1] Y,         # IN  (n, *out, filters), activated and pooled
    const int32_t[:, :, :, :, ::1] index,  # IN  like Y; None where there is no pool
    const real[:, :, :, :, ::1] dY,        # IN  like Y
    const real[::1] shift,                 # IN  (channels,) or None: added to each pixel of dX
    real[:, :, :, :, ::1] dX,              # OUT like X, or None
    real[:, :, :, :, ::1] dW,              # OUT like W, or None
    real[::1] db,                          # OUT (filters,) or None
    stride, padding, dilation, Py_ssize_t groups,
    str activation, double alpha, pool_size, int n_threads,
):
    """The gradients of conv_forward, each computed where its array is given."""
    n_threads = checked(
        n_threads, X is None or W is None or Y is None or dY is None, "X, W, Y, dY")
    cdef ConvPool p
    cdef Conv* q = &p.conv
    conv_pool_geometry(
        &p, X.shape, W.shape, Y.shape, stride, padding, dilation, groups, pool_size)
    q.code = activation_code(activation, True)
    q.alpha = alpha
    if p.pools != (index is not None):
        raise ValueError(
            "an index is needed for windows larger than 1 x 1 x 1, and for them alone")
    if p.pools:
        same_sizes(Y.shape, index.shape, 5, "index")
    same_sizes(Y.shape, dY.shape, 5, "dY")
    if dX is not None:
        same_sizes(X.shape, dX.shape, 5, "dX")
    if shift is not None:
        same_length(q.n_channels, shift.shape[0], "shift")
    if dW is not None:
        same_sizes(W.shape, dW.shape, 5, "dW")
    if db is not None:
        same_length(q.n_filters, db.shape[0], "db")
    if q.n_images == 0:
        if dW is not None:
            dW[:] = 0
        if db is not None:
            db[:] = 0
        return
    q.X = &X[0, 0, 0, 0, 0]
    q.W = &W[0, 0, 0, 0, 0]
    q.Y_in = &Y[0, 0, 0, 0, 0]
    q.dY = &dY[0, 0, 0, 0, 0]
    q.shift = NULL if shift is None else &shift[0]
    q.dX = NULL if dX is None else &dX[0, 0, 0, 0, 0]
    cdef real* to_dW = NULL if dW is None else &dW[0, 0, 0, 0, 0]
    cdef real* to_db = NULL if db is None else &db[0]
    if p.pools:
        p.index_in = &index[0, 0, 0, 0, 0]
        check_index(&p.pool, p.index_in, n_threads)
        gradients_behind_pool(&p, to_dW, to_db, n_threads)
    else:
        gradients(q, to_dW, to_db, n_threads)
