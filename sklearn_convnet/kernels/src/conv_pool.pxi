# A convolution, its activation, and a max pool whose windows do not overlap, in one.
#
#   z = conv(X, W) + b     A = f(z)     Y(o, f) = the maximum over the window of o, at index(o, f)
#   d(o, f) = dY(o, f) f'(z(index(o, f), f))     dz(index(o, f), f) = d(o, f), elsewhere 0
#
# Design:
# * z and dz, as many times larger than Y as the windows are, never are in memory as a whole. They
#   are made and used for a unit at a time: the windows of as many rows of Y as make a full block of
#   rows; where maps are small, all of a block of images.
# * Where images fill the vectors better, whole vectors of images go forward interleaved
#   (interleaved.pxi), to the same bits.
# * f' follows from the output, so that of the maximum is known from Y.
# * Of dz all but one number of a window is zero. The gradients skip the zeros: a filter's
#   gradient is the sum of the windows of X in which it found a maximum, times d; a position's
#   gradient is the sum of the filters that found one there. With 2 x 2 windows that is a quarter
#   of the multiplications of conv.pxi, in vectors along the taps. As there, a vector over the end
#   of a run adds zeros, so an infinite d spoils its neighbours.

cdef extern from *:
    """
    #define MAX_TAP_ROWS 6

    /* sum[u][v] += sum_i d[i] x[window[index[i]] + u x_row + v], over every `step`-th of the places
       of one image after the other. */
    #define DEFINE_GATHER(NAME, VEC) \\
    static inline __attribute__((always_inline)) void NAME( \\
        const int U, const int V, \\
        const skcn_real *x, Py_ssize_t image_size, Py_ssize_t x_row, \\
        const Py_ssize_t *window, const int32_t *index, const skcn_real *d, \\
        Py_ssize_t n_images, Py_ssize_t n_places, Py_ssize_t step, \\
        skcn_real *sum, Py_ssize_t sum_row) \\
    { \\
        VEC acc[MAX_TAP_ROWS * MAX_VECTORS]; \\
        UNROLL for (int u = 0; u < U; u++) \\
            UNROLL for (int v = 0; v < V; v++) \\
                acc[u * V + v] = *(const VEC *) (sum + u * sum_row + v * LANES); \\
        for (; n_images > 0; n_images--, x += image_size) \\
            for (Py_ssize_t i = 0; i < n_places; i++, index += step, d += step) { \\
                const skcn_real *first = x + window[*index]; \\
                skcn_real d_i = *d; \\
                UNROLL for (int u = 0; u < U; u++) \\
                    UNROLL for (int v = 0; v < V; v++) \\
                        acc[u * V + v] += d_i * *(const VEC *) (first + u * x_row + v * LANES); \\
            } \\
        UNROLL for (int u = 0; u < U; u++) \\
            UNROLL for (int v = 0; v < V; v++) \\
                *(VEC *) (sum + u * sum_row + v * LANES) = acc[u * V + v]; \\
    }
    DEFINE_GATHER(gather_loop, vec)
    DEFINE_GATHER(gather_half_loop, half_vec)

    /* x[where[j] + u x_row + v] += sum_i d[j][i] w[which[j][i] V + u w_row + v], i < count[j], for
       every `step`-th j of each `width` from `first` on; d and which have n_filters numbers for
       each j. */
    static inline __attribute__((always_inline)) void spread_loop(
        const int U, const int V,
        const skcn_real *w, Py_ssize_t w_row,
        const Py_ssize_t *where, const Py_ssize_t *count,
        const int32_t *which, const skcn_real *d, Py_ssize_t n_filters,
        Py_ssize_t first, Py_ssize_t step, Py_ssize_t width, Py_ssize_t n,
        skcn_real *x, Py_ssize_t x_row)
    {
        for (Py_ssize_t end = width; end <= n; end += width)
            for (Py_ssize_t j = end - width + first; j < end; j += step) {
                if (count[j] == 0)
                    continue;
                vec acc[MAX_TAP_ROWS * MAX_VECTORS];
                UNROLL for (int u = 0; u < U; u++)
                    UNROLL for (int v = 0; v < V; v++)
                        acc[u * V + v] = *(const vec *) ZEROS;
                for (Py_ssize_t i = j * n_filters; i < j * n_filters + count[j]; i++) {
                    const skcn_real *filter = w + which[i] * (V * LANES);
                    skcn_real d_i = d[i];
                    UNROLL for (int u = 0; u < U; u++)
                        UNROLL for (int v = 0; v < V; v++)
                            acc[u * V + v] += d_i * *(const vec *) (
                                filter + u * w_row + v * LANES);
                }
                /* Rows may overlap: each is done before the next. */
                skcn_real *window = x + where[j];
                UNROLL for (int u = 0; u < U; u++)
                    UNROLL for (int v = 0; v < V; v++)
                        *(vec *) (window + u * x_row + v * LANES) += acc[u * V + v];
            }
    }

    /* The loop for U rows and V vectors, both known to the compiler. */
    #define SIZES_OF(V, LOOP, ...) \\
        case V * 8 + 1: LOOP(1, V, __VA_ARGS__); break; \\
        case V * 8 + 2: LOOP(2, V, __VA_ARGS__); break; \\
        case V * 8 + 3: LOOP(3, V, __VA_ARGS__); break; \\
        case V * 8 + 4: LOOP(4, V, __VA_ARGS__); break; \\
        case V * 8 + 5: LOOP(5, V, __VA_ARGS__); break; \\
        case V * 8 + 6: LOOP(6, V, __VA_ARGS__); break;
    #ifdef WIDE_REGISTERS
    #define WIDER_SIZES(LOOP, ...) SIZES_OF(3, LOOP, __VA_ARGS__) SIZES_OF(4, LOOP, __VA_ARGS__)
    #else
    #define WIDER_SIZES(LOOP, ...)
    #endif
    #define ALL_SIZES(LOOP, ...) \\
        switch (V * 8 + U) { \\
            SIZES_OF(1, LOOP, __VA_ARGS__) \\
            SIZES_OF(2, LOOP, __VA_ARGS__) \\
            WIDER_SIZES(LOOP, __VA_ARGS__) \\
        }

    /* The same for half of the lanes, whose loads lie more often in one cache line. */
    static void gather_half(
        int U, const skcn_real *x, Py_ssize_t image_size, Py_ssize_t x_row,
        const Py_ssize_t *window, const int32_t *index, const skcn_real *d,
        Py_ssize_t n_images, Py_ssize_t n_places, Py_ssize_t step,
        skcn_real *sum, Py_ssize_t sum_row)
    {
        const int V = 1;
        switch (V * 8 + U) {
            SIZES_OF(1, gather_half_loop, x, image_size, x_row, window, index, d, n_images,
                     n_places, step, sum, sum_row)
        }
    }

    static void gather(
        int U, int V, const skcn_real *x, Py_ssize_t image_size, Py_ssize_t x_row,
        const Py_ssize_t *window, const int32_t *index, const skcn_real *d,
        Py_ssize_t n_images, Py_ssize_t n_places, Py_ssize_t step,
        skcn_real *sum, Py_ssize_t sum_row)
    {
        ALL_SIZES(gather_loop, x, image_size, x_row, window, index, d, n_images, n_places, step,
                  sum, sum_row)
    }

    static void spread(
        int U, int V, const skcn_real *w, Py_ssize_t w_row, const Py_ssize_t *where,
        const Py_ssize_t *count, const int32_t *which, const skcn_real *d, Py_ssize_t n_filters,
        Py_ssize_t first, Py_ssize_t step, Py_ssize_t width, Py_ssize_t n,
        skcn_real *x, Py_ssize_t x_row)
    {
        ALL_SIZES(spread_loop, w, w_row, where, count, which, d, n_filters, first, step, width, n,
                  x, x_row)
    }

    /* The entries of n_places neighbours in Y into the slots of their windows, counted from `first`
       on. Those that follow one another belong to different windows, so that no count is read which
       has only just been written. Inlined, it would not have the registers it needs. */
    static __attribute__((noinline)) void put_into_slots(
        const int32_t *index, const skcn_real *d, Py_ssize_t n_filters, Py_ssize_t n_places,
        Py_ssize_t first, Py_ssize_t *count, int32_t *filter, skcn_real *window_d)
    {
        for (Py_ssize_t f = 0; f < n_filters; f++)
            for (Py_ssize_t i = f; i < n_places * n_filters; i += n_filters) {
                Py_ssize_t window = first + index[i], to = window * n_filters + count[window]++;
                filter[to] = (int32_t) f;
                window_d[to] = d[i];
            }
    }
    """
    const int MAX_TAP_ROWS
    void gather(
        int U, int V, const real* x, Py_ssize_t image_size, Py_ssize_t x_row,
        const Py_ssize_t* window, const int32_t* index, const real* d, Py_ssize_t n_images,
        Py_ssize_t n_places, Py_ssize_t step, real* sum, Py_ssize_t sum_row) noexcept nogil
    void gather_half(
        int U, const real* x, Py_ssize_t image_size, Py_ssize_t x_row,
        const Py_ssize_t* window, const int32_t* index, const real* d, Py_ssize_t n_images,
        Py_ssize_t n_places, Py_ssize_t step, real* sum, Py_ssize_t sum_row) noexcept nogil
    void spread(
        int U, int V, const real* w, Py_ssize_t w_row, const Py_ssize_t* where,
        const Py_ssize_t* count, const int32_t* which, const real* d, Py_ssize_t n_filters,
        Py_ssize_t first, Py_ssize_t step, Py_ssize_t width, Py_ssize_t n, real* x,
        Py_ssize_t x_row) noexcept nogil
    void put_into_slots(
        const int32_t* index, const real* d, Py_ssize_t n_filters, Py_ssize_t n_places,
        Py_ssize_t first, Py_ssize_t* count, int32_t* filter, real* window_d) noexcept nogil


cdef enum:
    ENTRY_PRODUCTS = 32   # multiply-adds that take as long as to find an entry's place


cdef struct ConvPool:
    Conv conv                 # as given; dY and Y_in are pooled
    Pool pool                 # of its output
    bint whole                # whether a unit is a block of images, and not a part of one
    Py_ssize_t rows           # of pooled positions in an image
    Py_ssize_t unit_rows      # and in a unit
    Py_ssize_t n_units        # of a block of images
    Py_ssize_t unit_windows   # of the largest unit
    Py_ssize_t unit_size      # pooled numbers of the largest unit
    int32_t* index
    const int32_t* index_in


cdef struct Unit:
    Py_ssize_t first, n_windows   # windows of the block
    Py_ssize_t row, n_rows        # rows of pooled positions of the block


cdef int conv_pool_geometry(
    ConvPool* p, const Py_ssize_t* shape_X, const Py_ssize_t* shape_W,
    const Py_ssize_t* shape_Y, stride, padding, pool_size
) except -1:
    cdef Conv* q = &p.conv
    cdef Py_ssize_t maps[5]
    conv_geometry(q, shape_X, shape_W, NULL, stride, padding, (1, 1, 1), 1)
    maps[:] = [q.n_images, q.out[0], q.out[1], q.out[2], q.n_filters]
    pool_geometry(
        &p.pool, maps, shape_Y, pool_size, pool_size, ((0, 0), (0, 0), (0, 0)))
    check_places(q.n_windows)
    p.rows = p.pool.out[0] * p.pool.out[1]
    return 0


cdef void cut_units(ConvPool* p, Py_ssize_t width) noexcept nogil:
    """The units of a block of images, where `width` windows are taken together. The number of
    images plays no part: the order of sums must not depend on it."""
    cdef Conv* q = &p.conv
    cdef Py_ssize_t row_windows = p.pool.window[1] * q.out[2], most = ROW_BLOCK * width
    cdef Unit largest
    p.whole = most // q.n_windows > 1
    p.unit_rows = p.pool.out[1]
    p.n_units = 1
    if not p.whole:
        # Rows of several planes are no neighbours: there a unit is all of these planes.
        if p.pool.window[0] == 1:
            p.unit_rows = larger(1, smaller(p.unit_rows, most // row_windows))
        p.n_units = p.pool.out[0] * ceil_div(p.pool.out[1], p.unit_rows)
    largest = unit_at(p, 0, q.block_images)
    p.unit_windows = largest.n_windows
    p.unit_size = largest.n_rows * p.pool.out[2] * q.n_filters


cdef Unit unit_at(const ConvPool* p, Py_ssize_t number, Py_ssize_t n_images) noexcept nogil:
    """A unit of a block of n_images images."""
    cdef const Conv* q = &p.conv
    cdef Py_ssize_t in_plane = ceil_div(p.pool.out[1], p.unit_rows)
    cdef Py_ssize_t plane = number // in_plane, top = number % in_plane * p.unit_rows
    cdef Unit u
    if p.whole:
        u.first, u.n_windows = 0, n_images * q.n_windows
        u.row, u.n_rows = 0, n_images * p.rows
        return u
    u.n_rows = smaller(p.unit_rows, p.pool.out[1] - top)
    u.row = plane * p.pool.out[1] + top
    u.first = (plane * p.pool.window[0] * q.out[1] + top * p.pool.window[1]) * q.out[2]
    u.n_windows = u.n_rows * p.pool.window[1] * q.out[2]
    if p.pool.window[0] > 1:
        u.n_windows = p.pool.window[0] * q.out[1] * q.out[2]
    return u


# --- forward ---------------------------------------------------------------------------

cdef inline Py_ssize_t unit_scratch(const ConvPool* p) noexcept nogil:
    """The output of the convolution for a unit, and what a vector reads behind it."""
    return whole_vectors(p.unit_windows * p.conv.n_filters) + LANES


cdef inline Py_ssize_t row_and_panel_scratch(const ConvPool* p) noexcept nogil:
    """What a row of a pool takes, or a panel of the convolution: they take turns."""
    return larger(
        panel_scratch(), whole_vectors(ceil_div(row_bytes(&p.pool), sizeof(real))))


cdef void pool_unit(
    const ConvPool* p, const Unit* u, Py_ssize_t image, const real* z, Row row
) noexcept nogil:
    """Y of a unit of the block that begins with `image`, from its part of f(z)."""
    cdef Py_ssize_t row_size = p.pool.out[2] * p.conv.n_filters, r, to
    cdef Py_ssize_t number = u.row % p.rows, first = u.row // p.rows * p.conv.n_windows
    for r in range(u.n_rows):
        to = (image * p.rows + u.row + r) * row_size
        # Where the image of this row would begin, were it there as a whole.
        maxpool_row(
            &p.pool, z + (first - u.first) * p.conv.n_filters, number, z + unit_scratch(p),
            p.conv.Y + to, NULL if p.index is NULL else p.index + to, row)
        number += 1
        if number == p.rows:
            number = 0
            first += p.conv.n_windows


cdef void conv_pool_task(
    const ConvPool* p, const Conv* q, Py_ssize_t task, real* scratch
) noexcept nogil:
    """Some units of a block of images; q is the convolution, perhaps made wide."""
    cdef Py_ssize_t block = task // q.n_chunks, chunk = task % q.n_chunks
    cdef Py_ssize_t image = block_start(q, block), number, i, row, n_rows, panel
    cdef Py_ssize_t n_images = block_start(q, block + 1) - image
    cdef Py_ssize_t start = part(p.n_units, chunk, q.n_chunks)
    cdef Py_ssize_t end = part(p.n_units, chunk + 1, q.n_chunks)
    cdef Unit u = unit_at(p, start, n_images), last = unit_at(p, end - 1, n_images)
    cdef real* z = scratch + row_and_panel_scratch(p)
    cdef real* padded = z + unit_scratch(p)
    cdef Row pool_row = row_scratch(&p.pool, <char*> scratch, 0)
    cdef const real* x = padded_block(
        q, block, u.first // q.width, (last.first + last.n_windows) // q.width, padded)
    for number in range(start, end):
        u = unit_at(p, number, n_images)
        for i in range(ceil_div(u.n_windows // q.width, ROW_BLOCK)):
            row = i * ROW_BLOCK
            n_rows = smaller(ROW_BLOCK, u.n_windows // q.width - row)
            for panel in range(panels_for(q.filter_lanes // LANES)):
                conv_panel(q, x, u.first // q.width + row, n_rows, 0, panel,
                           z + row * q.n_filters, scratch)
        activate(q.code, q.alpha, z, u.n_windows * p.conv.n_filters)
        pool_unit(p, &u, image, z, pool_row)


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
    cdef Conv q
    cdef Py_ssize_t* tables
    cdef real* memory
    cdef Py_ssize_t task, n_done
    cdef Shares shares
    cdef int thread
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
    n_done = interleaved_images(&p.conv, &p.pool, p.index, n_threads)
    if p.conv.n_images == 0:
        return
    if p.index is not NULL:
        p.index += n_done * p.rows * p.pool.out[2] * p.conv.n_filters
    n_threads = threads_for_products(n_products(&p.conv), n_threads)
    if is_narrow(&p):
        narrow_forward(&p, n_threads)
        return
    q = widened(&p.conv, best_width(&p.conv))
    p.conv.block_images = q.block_images
    cut_units(&p, q.width)
    cut_blocks(&q, n_threads)
    q.n_chunks = smaller(p.n_units, chunks_of(q.n_blocks, n_threads))
    q.scratch_size = (
        row_and_panel_scratch(&p) + unit_scratch(&p)
        + whole_vectors(q.block_images * q.padded_size))
    tables = conv_tables(&q)
    try:
        memory = forward_work(&p.conv, &q, n_threads)
        share_out(&shares, q.n_blocks * q.n_chunks, n_threads)
        for thread in prange(n_threads, nogil=True, num_threads=n_threads, schedule="static"):
            task = next_task(&shares, thread)
            while task >= 0:
                conv_pool_task(&p, &q, task, q.scratch + thread * q.scratch_size)
                task = next_task(&shares, thread)
        free(memory)
    finally:
        free(tables)


# --- backward --------------------------------------------------------------------------

cdef struct Entries:
    # Where the gradient of a unit is not zero: one entry for each of its pooled numbers. First in
    # the order of Y, then window by window, in as many slots for each as there are filters.
    Py_ssize_t n_images
    Py_ssize_t n_places  # of Y, in each image
    const int32_t* index
    real* d
    Py_ssize_t* count    # of entries of a window
    real* window_d
    int32_t* filter      # of the entries of a window


cdef inline Py_ssize_t n_entry_products(const ConvPool* p) noexcept nogil:
    """The multiply-adds that take as long as a pass over all entries: to find each counts too."""
    cdef Py_ssize_t lanes = p.conv.n_runs * vectors_for(p.conv.run_width) * LANES
    return (p.conv.n_images * p.rows * p.pool.out[2] * p.conv.n_filters
            * (lanes + ENTRY_PRODUCTS))


cdef inline Py_ssize_t counts_size(const ConvPool* p) noexcept nogil:
    return whole_vectors(p.unit_windows * (sizeof(Py_ssize_t) // sizeof(real)))


cdef inline Py_ssize_t entries_size(const ConvPool* p) noexcept nogil:
    """Counts, d, and two numbers for each slot, each at the bound of a vector."""
    return (counts_size(p) + whole_vectors(p.unit_size) + MAX_VECTORS * LANES
            + 2 * whole_vectors(p.unit_windows * p.conv.n_filters))


cdef Entries entries_in(const ConvPool* p, real* memory) noexcept nogil:
    cdef Entries e
    e.count = <Py_ssize_t*> memory
    e.d = memory + counts_size(p)
    e.window_d = e.d + whole_vectors(p.unit_size) + MAX_VECTORS * LANES
    e.filter = <int32_t*> (
        e.window_d + whole_vectors(p.unit_windows * p.conv.n_filters))
    return e


cdef void make_entries(
    const ConvPool* p, const Unit* u, Py_ssize_t image, Entries* e, real* db
) noexcept nogil:
    """The entries of a unit; db gets the sum of d added."""
    cdef const Conv* q = &p.conv
    cdef Py_ssize_t F = q.n_filters, n_places = u.n_rows * p.pool.out[2], row, entry
    cdef Py_ssize_t start = (image * p.rows + u.row) * p.pool.out[2] * F
    e.n_images = u.n_rows // p.rows if p.whole else 1
    e.n_places = n_places // e.n_images
    e.index = p.index_in + start
    memcpy(e.d, q.dY + start, n_places * F * sizeof(real))
    multiply_derivative(q.code, q.alpha, q.Y_in + start, e.d, n_places * F)
    memset(e.d + n_places * F, 0, MAX_VECTORS * LANES * sizeof(real))
    if db is not NULL:
        add_rows(e.d, F, n_places, q.filter_lanes, db)
    if q.dX is not NULL:
        memset(e.count, 0, u.n_windows * sizeof(Py_ssize_t))
        for row in range(u.n_rows):
            entry = row * p.pool.out[2] * F
            put_into_slots(
                e.index + entry, e.d + entry, F, p.pool.out[2],
                (u.row + row) // p.rows * q.n_windows - u.first, e.count, e.filter, e.window_d)


cdef struct TapPart:
    # U runs of taps from u on, which are rows of a window, and V vectors of each from v on.
    int U, V
    Py_ssize_t u, v


cdef inline Py_ssize_t row_parts(const Conv* q) noexcept nogil:
    """Into how many parts the rows of a plane of a window are cut."""
    return ceil_div(q.kernel[1], MAX_TAP_ROWS)


cdef inline Py_ssize_t n_tap_parts(const Conv* q) noexcept nogil:
    return panels_for(vectors_for(q.run_width)) * q.kernel[0] * row_parts(q)


cdef inline TapPart tap_part(const Conv* q, Py_ssize_t number) noexcept nogil:
    """A part of the taps whose sums fit the registers."""
    cdef Py_ssize_t n_vec = vectors_for(q.run_width), n = row_parts(q)
    cdef Py_ssize_t panel = number // (q.kernel[0] * n), row = number % n
    cdef TapPart t
    t.v = panel_start(n_vec, panel)
    t.V = <int> (panel_start(n_vec, panel + 1) - t.v)
    t.u = number // n % q.kernel[0] * q.kernel[1] + part(q.kernel[1], row, n)
    t.U = <int> (part(q.kernel[1], row + 1, n) - part(q.kernel[1], row, n))
    return t


cdef void gather_filters(
    const Conv* q, const Entries* e, const real* x, real* dW
) noexcept nogil:
    """dW (filter, run, tap of the run) += the windows of x at the entries, times d."""
    cdef Py_ssize_t n_vec = vectors_for(q.run_width), F = q.n_filters, i, f
    cdef Py_ssize_t row = q.padded[2] * q.n_channels
    cdef bint half = q.run_width <= LANES // 2
    cdef const real* first
    cdef real* total
    cdef TapPart t
    for i in range(n_tap_parts(q)):
        t = tap_part(q, i)
        first = x + q.run[t.u] + t.v * LANES
        for f in range(F):
            total = dW + ((f * q.n_runs + t.u) * n_vec + t.v) * LANES
            if half:
                gather_half(t.U, first, q.padded_size, row, q.window, e.index + f, e.d + f,
                            e.n_images, e.n_places, F, total, LANES)
            else:
                gather(t.U, t.V, first, q.padded_size, row, q.window, e.index + f, e.d + f,
                       e.n_images, e.n_places, F, total, n_vec * LANES)


cdef void spread_filters(
    const Conv* q, const Unit* unit, const Entries* e, real* dx
) noexcept nogil:
    """dX of a unit += the filters of the entries, times d. Windows that follow one another do
    not add to the same numbers: see scatter_order."""
    cdef Py_ssize_t n_vec = vectors_for(q.run_width), i, apart, phase
    cdef TapPart t
    for i in range(n_tap_parts(q)):
        t = tap_part(q, i)
        apart = ceil_div(t.V * LANES, q.stride[2] * q.n_channels)
        for phase in range(smaller(apart, q.out[2])):
            spread(t.U, t.V, q.packed_T + (t.u * n_vec + t.v) * LANES * q.n_filters,
                   n_vec * LANES * q.n_filters, q.window + unit.first, e.count, e.filter,
                   e.window_d, q.n_filters, phase, apart, q.out[2], unit.n_windows,
                   dx + q.run[t.u] + t.v * LANES, q.padded[2] * q.n_channels)


cdef void conv_pool_backward_block(
    const ConvPool* p, Py_ssize_t block, real* dW, real* db, real* scratch
) noexcept nogil:
    """The gradients of a block of images."""
    cdef const Conv* q = &p.conv
    cdef Py_ssize_t image = block_start(q, block), i, number
    cdef Py_ssize_t n_images = block_start(q, block + 1) - image
    cdef Py_ssize_t size = whole_vectors(q.block_images * q.padded_size) + MAX_VECTORS * LANES
    cdef real* dx = scratch + size
    cdef const real* x = scratch
    cdef Entries e = entries_in(p, dx + size)
    cdef Unit u
    if q.dX is not NULL:
        memset(dx, 0, size * sizeof(real))
    if dW is not NULL:
        if q.has_padding or (q.n_images - image - n_images) * q.image_size >= LANES:
            x = padded_block(q, block, 0, n_images * q.n_windows, scratch)
        else:  # vectors reach over the end of X
            memcpy(scratch, q.X + image * q.image_size, n_images * q.image_size * sizeof(real))
        # Vectors reach over the end of a padded image too: to what makes no denormal numbers.
        memset(scratch + n_images * q.padded_size, 0, MAX_VECTORS * LANES * sizeof(real))
    for number in range(p.n_units):
        u = unit_at(p, number, n_images)
        make_entries(p, &u, image, &e, db)
        if dW is not NULL:
            gather_filters(q, &e, x, dW)
        if q.dX is not NULL:
            spread_filters(q, &u, &e, dx)
    if q.dX is not NULL:
        for i in range(n_images):
            crop_image(q, dx + i * q.padded_size, q.dX + (image + i) * q.image_size)


cdef inline Py_ssize_t gathered_size(const Conv* q) noexcept nogil:
    """Numbers in dW as `gather_filters` has it."""
    return q.n_filters * q.n_runs * vectors_for(q.run_width) * LANES


cdef void put_gathered(
    const Conv* q, real* pieces, Py_ssize_t run, real* dW
) noexcept nogil:
    """One run of dW from the pieces."""
    cdef Py_ssize_t n = vectors_for(q.run_width) * LANES, f, piece
    cdef real* first
    for f in range(q.n_filters):
        first = pieces + (f * q.n_runs + run) * n
        for piece in range(1, q.n_pieces):
            add_chunk_to(first, first + piece * gathered_size(q), n)
    transpose(pieces + run * n, q.n_runs * n, q.n_filters, q.run_width,
              dW + run * q.run_width * q.n_filters, q.n_filters)


cdef void conv_pool_backward_piece(
    const ConvPool* p, Py_ssize_t piece, bint need_dW, bint need_db, real* scratch
) noexcept nogil:
    cdef const Conv* q = &p.conv
    cdef real* dW = NULL
    cdef real* db = NULL
    cdef Py_ssize_t block
    if need_dW:
        dW = q.dW_pieces + piece * gathered_size(q)
        memset(dW, 0, gathered_size(q) * sizeof(real))
    if need_db:
        db = q.db_pieces + piece * q.filter_lanes
        memset(db, 0, q.filter_lanes * sizeof(real))
    for block in range(part(q.n_blocks, piece, q.n_pieces),
                       part(q.n_blocks, piece + 1, q.n_pieces)):
        conv_pool_backward_block(p, block, dW, db, scratch)


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
    cdef Py_ssize_t* tables
    cdef real* work
    cdef real* memory
    cdef bint need_dW = dW is not None, need_db = db is not None
    cdef Py_ssize_t n_packed = 0, dW_size, db_size, piece, run
    cdef Shares shares
    cdef int thread
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
    cut_units(&p, 1)
    dW_size = gathered_size(q) if need_dW else 0
    db_size = q.filter_lanes if need_db else 0
    cut_pieces(q, dW_size, n_entry_products(&p))
    if dX is not None:
        n_packed = q.n_runs * vectors_for(q.run_width) * LANES * q.n_filters
    q.scratch_size = (
        2 * (whole_vectors(q.block_images * q.padded_size) + MAX_VECTORS * LANES)
        + entries_size(&p))
    n_threads = threads_for_products(n_entry_products(&p), n_threads)
    tables = conv_tables(q)
    try:
        work = memory = <real*> allocate(
            (n_packed + q.n_pieces * (dW_size + db_size) + n_threads * q.scratch_size)
            * sizeof(real))
        with nogil:
            q.packed_T, work = work, work + n_packed
            q.dW_pieces, work = work, work + q.n_pieces * dW_size
            q.db_pieces, work = work, work + q.n_pieces * db_size
            if q.dX is not NULL:
                pack_transposed(q, n_threads)
            share_out(&shares, q.n_pieces, n_threads)
            for thread in prange(n_threads, num_threads=n_threads, schedule="static"):
                piece = next_task(&shares, thread)
                while piece >= 0:
                    conv_pool_backward_piece(
                        &p, piece, need_dW, need_db, work + thread * q.scratch_size)
                    piece = next_task(&shares, thread)
            if need_dW:
                for run in prange(q.n_runs, num_threads=n_threads):
                    put_gathered(q, q.dW_pieces, run, &dW[0, 0, 0, 0, 0])
            if need_db:
                add_pieces(q.db_pieces, q.n_pieces, 1, 1, q.n_filters, q.filter_lanes,
                           &db[0], 1)
            free(memory)
    finally:
        free(tables)
