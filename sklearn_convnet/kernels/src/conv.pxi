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
#   With stride 1 the input gradient can also be a forward pass, of dz and the filters turned round
#   (turned.pxi).
# * Where images can fill the vectors better than filters, vectors of images are worked on
#   interleaved (interleaved.pxi), by the same sums in the same order.
# * The kernels check arrays and ask which form to take: see forms.pxi.

def conv_forward(
    const real[:, :, :, :, ::1] X,  # IN  (n, depth, height, width, channels)
    const real[:, :, :, :, ::1] W,  # IN  (*kernel, channels / groups, filters)
    const real[::1] b,              # IN  (filters,) or None
    real[:, :, :, :, ::1] Y,        # OUT (n, *out, filters)
    stride, padding, dilation, Py_ssize_t groups,
    str activation, double alpha, int n_threads,
):
    """Y = f(conv(X, W) + b)."""
    n_threads = checked(n_threads, X is None or W is None or Y is None, "X, W, Y")
    cdef Conv given
    conv_geometry(&given, X.shape, W.shape, Y.shape, stride, padding, dilation, groups)
    if b is not None:
        same_length(given.n_filters, b.shape[0], "b")
    given.code = activation_code(activation, True)
    given.alpha = alpha
    if given.n_images == 0:
        return
    given.X = &X[0, 0, 0, 0, 0]
    given.W = &W[0, 0, 0, 0, 0]
    given.b = NULL if b is None else &b[0]
    given.Y = &Y[0, 0, 0, 0, 0]
    convolve(&given, n_threads)


def conv_backward(
    const real[:, :, :, :, ::1] X,   # IN  (n, depth, height, width, channels)
    const real[:, :, :, :, ::1] W,   # IN  (*kernel, channels / groups, filters)
    const real[:, :, :, :, ::1] Y,   # IN  (n, *out, filters), activated
    const real[:, :, :, :, ::1] dY,  # IN  like Y
    real[:, :, :, :, ::1] dX,        # OUT like X, or None
    real[:, :, :, :, ::1] dW,        # OUT like W, or None
    real[::1] db,                    # OUT (filters,) or None
    stride, padding, dilation, Py_ssize_t groups,
    str activation, double alpha, int n_threads,
):
    """The gradients of conv_forward, each computed where its array is given."""
    n_threads = checked(
        n_threads, X is None or W is None or Y is None or dY is None,
        "X, W, Y, dY")
    cdef Conv given
    cdef FormCode form
    cdef bint need_dW = dW is not None, need_db = db is not None
    conv_geometry(&given, X.shape, W.shape, Y.shape, stride, padding, dilation, groups)
    same_sizes(Y.shape, dY.shape, 5, "dY")
    given.code = activation_code(activation, True)
    given.alpha = alpha
    if dX is not None:
        same_sizes(X.shape, dX.shape, 5, "dX")
    if need_dW:
        same_sizes(W.shape, dW.shape, 5, "dW")
    if need_db:
        same_length(given.n_filters, db.shape[0], "db")
    if given.n_images == 0:
        if need_dW:
            dW[:] = 0
        if need_db:
            db[:] = 0
        return
    given.X = &X[0, 0, 0, 0, 0]
    given.W = &W[0, 0, 0, 0, 0]
    given.Y_in = &Y[0, 0, 0, 0, 0]
    given.dY = &dY[0, 0, 0, 0, 0]
    given.dX = NULL if dX is None else &dX[0, 0, 0, 0, 0]
    n_threads = threads_for_products(n_products(&given), n_threads)
    if dX is not None:
        form = choose_form(INPUT_GRADIENT, &given, NULL)
        given.scatters = form == SCATTER
        if form == TURNED:
            turned_input_gradient(&given, n_threads)
            given.dX = NULL
    form = choose_form(WEIGHT_GRADIENT, &given, NULL)
    if need_dW and form == INTERLEAVED:
        interleaved_gradients(
            &given, &dW[0, 0, 0, 0, 0], NULL if db is None else &db[0], n_threads)
        need_dW = need_db = False
    if given.dX is NULL and not need_dW and not need_db:
        return
    direct_gradients(
        &given, &dW[0, 0, 0, 0, 0] if need_dW else NULL, &db[0] if need_db else NULL,
        width_of(form, &given), n_threads)
