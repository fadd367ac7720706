# Convolutions with 3 x 3 or 5 x 5 filters and stride 1 in Winograd's form: see
# conv/winograd_geometry.pxi.

cdef int input_norm(
    Norm* norm, const real[:, :, :, ::1] X, const real[:, ::1] affine, str activation, double alpha
) except -1:
    """The prologue, or what the input has been through: f, and the affine map if there is one."""
    norm.n_channels = X.shape[3]
    norm.X = NULL if X.shape[0] == 0 else &X[0, 0, 0, 0]
    if affine is not None:
        same_shape((3, norm.n_channels), shape_of(affine.shape, 2), "affine")
    use_affine(norm, NULL if affine is None else &affine[0, 0],
               activation_code(activation, True), alpha)
    return 0


def winograd_forward(
    const real[:, :, :, ::1] X,       # IN  (n, height, width, channels)
    const real[:, ::1] affine,        # IN  (3, channels) of batchnorm_statistics, or None
    const real[:, :, :, ::1] W,       # IN  (r, r, channels, filters), r is 3 or 5
    const real[::1] scale,            # IN  (filters,) or None: times the filters
    const real[::1] b,                # IN  (filters,) or None
    real[:, :, :, ::1] Y,             # OUT (n, *out, filters), pooled
    int32_t[:, :, :, ::1] index,      # OUT like Y, or None: the position of the maximum
    double[:, ::1] moments,           # OUT (strips, 1 + 2 filters), or None
    const real[:, :, :, ::1] addend,  # IN  like Y, or None
    padding, dilation, Py_ssize_t m, str input_activation, double input_alpha, str activation,
    double alpha, pool_size, int n_threads,
):
    """Y = the maximum over windows of f(conv(A, scale W) + b + addend) with stride 1, by tiles of
    m x m positions. A is X or, where there is an affine map z of it, the input's activation of
    z(X). The moments of Y are those of batchnorm_statistics, for strips: m rows of an image
    each."""
    n_threads = checked(n_threads, X is None or W is None or Y is None, "X, W, Y")
    cdef Winograd q
    cdef Norm norm
    winograd_geometry(&q, X.shape, W.shape, Y.shape, padding, dilation, m, pool_size)
    q.code = activation_code(activation, True)
    q.alpha = alpha
    input_norm(&norm, X, affine, input_activation, input_alpha)
    if scale is not None:
        same_length(q.n_filters, scale.shape[0], "scale")
    if b is not None:
        same_length(q.n_filters, b.shape[0], "b")
    if q.pools and (moments is not None or addend is not None):
        raise ValueError("moments and an addend are those of maps that are not pooled")
    if moments is not None and is_dilated(&q):
        raise ValueError("moments are those of filters that are not dilated")
    if addend is not None:
        same_sizes(Y.shape, addend.shape, 4, "addend")
    if moments is not None:
        same_shape((q.n_strips, 1 + 2 * q.n_filters), shape_of(moments.shape, 2), "moments")
    if index is not None:
        if not q.pools:
            raise ValueError("an index needs windows larger than 1 x 1")
        same_sizes(Y.shape, index.shape, 4, "index")
        check_places(q.pool.n_in)
    if q.n_images == 0:
        return
    q.X, q.S, q.index_in = &X[0, 0, 0, 0], NULL, NULL
    q.norm = NULL if affine is None else &norm
    q.norm_back, q.through = NULL, NULL
    q.moments = NULL if moments is None else &moments[0, 0]
    q.W = &W[0, 0, 0, 0]
    q.w_tap, q.w_row, q.w_column = q.n_channels * q.n_filters, q.n_filters, 1
    q.scale = NULL if scale is None else &scale[0]
    q.b = NULL if b is None else &b[0]
    q.Y = &Y[0, 0, 0, 0]
    q.addend = NULL if addend is None else &addend[0, 0, 0, 0]
    q.index = NULL if index is None else &index[0, 0, 0, 0]
    winograd_pass(&q, n_threads)


def winograd_backward(
    const real[:, :, :, ::1] X,         # IN  (n, height, width, channels)
    const real[:, ::1] affine,          # IN  (3, channels) or None
    const real[:, :, :, ::1] W,         # IN  (r, r, channels, filters), r is 3 or 5
    const real[:, :, :, ::1] Y,         # IN  (n, *out, filters), activated and pooled
    const int32_t[:, :, :, ::1] index,  # IN  like Y; None where there is no pool
    const real[:, :, :, ::1] dY,        # IN  like Y
    const real[:, ::1] norm_back,       # IN  (4, filters) of batchnorm_backward, or None
    const real[:, :, :, ::1] addend,    # IN  like X, or None: another part of dX
    const real[:, :, :, ::1] normed,    # IN  like X, or None: what a norm made the input of
    const real[::1] centre,             # IN  (channels,) of that norm, or None
    real[:, :, :, ::1] dX,              # OUT like X, or None
    double[:, ::1] sums,                # OUT (strips of dX, 2 channels) or None
    real[:, :, :, ::1] dW,              # OUT like W, or None
    real[::1] db,                       # OUT (filters,) or None
    padding, dilation, Py_ssize_t m, str input_activation, double input_alpha, str activation,
    double alpha, pool_size, int n_threads,
):
    """The gradients of winograd_forward, each computed where its array is given. With norm_back,
    dY is that behind a batch norm of Y, which is taken through that norm as it is read. addend is
    added to dX. That is taken to the gradient at z, where the input is f(z): X itself or, where
    there is an affine map, made of it. The sums are those of batchnorm_backward for the norm that
    made z, or a part of it, of `normed`: of dX and of dX (normed - centre), for strips."""
    n_threads = checked(
        n_threads, X is None or W is None or Y is None or dY is None, "X, W, Y, dY")
    cdef Winograd q, back
    cdef Norm norm
    winograd_geometry(&q, X.shape, W.shape, Y.shape, padding, dilation, m, pool_size)
    same_sizes(Y.shape, dY.shape, 4, "dY")
    if q.pools != (index is not None):
        raise ValueError("an index is needed for windows larger than 1 x 1, and for them alone")
    if q.pools:
        same_sizes(Y.shape, index.shape, 4, "index")
    if norm_back is not None:
        same_shape((4, q.n_filters), shape_of(norm_back.shape, 2), "norm_back")
        if q.pools:
            raise ValueError("a norm is that of maps that are not pooled")
    if dX is not None:
        same_sizes(X.shape, dX.shape, 4, "dX")
    if addend is not None:
        same_sizes(X.shape, addend.shape, 4, "addend")
    if dW is not None:
        same_sizes(W.shape, dW.shape, 4, "dW")
    if db is not None:
        same_length(q.n_filters, db.shape[0], "db")
    back = input_gradient_of(&q)
    back.derivative = activation_code(activation, True)
    input_norm(&norm, X, affine, input_activation, input_alpha)
    if not (sums is None) == (normed is None) == (centre is None):
        raise ValueError("normed, its centre and the sums are needed together")
    if sums is not None:
        if dX is None:
            raise ValueError("sums need dX")
        if is_dilated(&q):
            raise ValueError("sums are those of filters that are not dilated")
        same_sizes(X.shape, normed.shape, 4, "normed")
        same_length(q.n_channels, centre.shape[0], "centre")
        same_shape((back.n_strips, 2 * q.n_channels), shape_of(sums.shape, 2), "sums")
    if q.n_images == 0:
        if dW is not None:
            dW[:] = 0
        if db is not None:
            db[:] = 0
        return
    back.derivative_alpha = alpha
    back.X = &dY[0, 0, 0, 0]
    back.norm_back = NULL if norm_back is None else &norm_back[0, 0]
    back.S = NULL
    if back.derivative != IDENTITY or norm_back is not None:
        back.S = &Y[0, 0, 0, 0]
    back.index_in = &index[0, 0, 0, 0] if q.pools else NULL
    if q.pools:
        check_index(&q.pool, back.index_in, n_threads)
    back.norm = back.through = NULL
    back.scale = NULL
    back.moments = NULL
    back.Y = NULL
    if dX is not None:
        # The filters are turned around: tap 0 is the last one of W.
        back.W = &W[q.r - 1, q.r - 1, 0, 0]
        back.w_tap, back.w_row, back.w_column = -q.n_channels * q.n_filters, 1, q.n_filters
        back.b = NULL
        back.addend = NULL if addend is None else &addend[0, 0, 0, 0]
        back.code, back.alpha = IDENTITY, 0
        if sums is not None or norm.code != IDENTITY:
            back.through = &norm
        back.sums = NULL
        if sums is not None:
            back.sums = &sums[0, 0]
            norm.normed, norm.normed_centre = &normed[0, 0, 0, 0], &centre[0]
        back.Y = &dX[0, 0, 0, 0]
    if dW is not None or db is not None:
        q.X, q.S, q.index_in, q.norm_back = &X[0, 0, 0, 0], NULL, NULL, NULL
        q.norm = NULL if affine is None else &norm
        if winograd_gradients(
                &q, &back, NULL if dW is None else &dW[0, 0, 0, 0],
                NULL if db is None else &db[0], n_threads):
            return
    if dX is not None:
        winograd_pass(&back, n_threads)
