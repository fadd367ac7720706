# The passes, each in the form that is chosen for it. An input gradient may be a forward pass.

cdef int convolve(Conv* given, int n_threads) except -1:
    """Y: whole vectors of images interleaved, if that form is chosen, the others directly."""
    cdef FormCode form = choose_form(FORWARD, given, NULL)
    if form == INTERLEAVED:
        interleaved_images(given, NULL, NULL, n_threads)
        form = choose_form(FORWARD, given, NULL)
    if given.n_images > 0:
        convolve_images(given, width_of(form, given),
                        threads_for_products(n_products(given), n_threads))
    return 0


cdef int turned_input_gradient(const Conv* q, int n_threads) except -1:
    """dX as a forward pass."""
    cdef Conv back = turned_geometry(q)
    cdef real* W = <real*> allocate(
        q.kernel[0] * q.kernel[1] * q.kernel[2] * q.group_filters * q.n_channels * sizeof(real))
    try:
        turn_filters(q, W, n_threads)
        back.W = W
        convolve(&back, n_threads)
    finally:
        free(W)
    return 0


cdef int gradients(Conv* given, real* dW, real* db, int n_threads) except -1:
    """The gradients whose arrays are there."""
    cdef FormCode form
    n_threads = threads_for_products(n_products(given), n_threads)
    if given.dX is not NULL:
        form = choose_form(INPUT_GRADIENT, given, NULL)
        given.scatters = form == SCATTER
        if form == TURNED:
            turned_input_gradient(given, n_threads)
            given.dX = NULL
        elif form == PHASES:
            phased_input_gradient(given, n_threads)
            given.dX = NULL
    form = choose_form(WEIGHT_GRADIENT, given, NULL)
    if dW is not NULL and form == INTERLEAVED:
        interleaved_gradients(given, dW, db, n_threads)
        dW = db = NULL
    if given.dX is not NULL or dW is not NULL or db is not NULL:
        direct_gradients(given, dW, db, width_of(form, given), n_threads)
    return 0


cdef int unpooled_gradients(const ConvPool* p, real* dW, real* db, int n_threads) except -1:
    """The gradients whose arrays are there, as those of a convolution without a pool."""
    cdef Conv q = p.conv
    cdef real* dz = unpooled(p, n_threads)
    q.dY = q.Y_in = dz
    q.code, q.alpha = IDENTITY, 0
    try:
        gradients(&q, dW, db, n_threads)
    finally:
        free(dz)
    return 0


cdef int gradients_behind_pool(ConvPool* given, real* dW, real* db, int n_threads) except -1:
    """The gradients whose arrays are there, those of the input and of filters each in its form."""
    cdef ConvPool p = given[0]
    cdef real* dX = p.conv.dX
    cdef bint unpools_input = (
        dX is not NULL and choose_form(POOL_INPUT_GRADIENT, &p.conv, &p.pool) == UNPOOLED)
    cdef bint unpools_filters = (
        (dW is not NULL or db is not NULL)
        and choose_form(POOL_WEIGHT_GRADIENT, &p.conv, &p.pool) == UNPOOLED)
    if unpools_input or unpools_filters:
        p.conv.dX = dX if unpools_input else NULL
        unpooled_gradients(
            &p, dW if unpools_filters else NULL, db if unpools_filters else NULL, n_threads)
        if unpools_filters:
            dW = db = NULL
        p.conv.dX = NULL if unpools_input else dX
    if p.conv.dX is not NULL or dW is not NULL or db is not NULL:
        sparse_gradients(&p, dW, db, n_threads)
    return 0


cdef int convolve_and_pool(ConvPool* p, int n_threads) except -1:
    """Y and the index: the same with a max pool."""
    cdef FormCode form = choose_form(POOL_FORWARD, &p.conv, &p.pool)
    cdef Py_ssize_t n_done
    if form == INTERLEAVED:
        n_done = interleaved_images(&p.conv, &p.pool, p.index, n_threads)
        if p.index is not NULL:
            p.index += n_done * p.rows * p.pool.out[2] * p.conv.n_filters
        form = choose_form(POOL_FORWARD, &p.conv, &p.pool)
    if p.conv.n_images == 0:
        return 0
    n_threads = threads_for_products(n_products(&p.conv), n_threads)
    if form == NARROW:
        return narrow_forward(p, n_threads)
    return pool_directly(p, width_of(form, &p.conv), n_threads)
