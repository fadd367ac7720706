# The gradients behind a max pool, which skip the zeros of dz: see units.pxi.

cdef enum:
    ENTRY_PRODUCTS = 32   # multiply-adds that take as long as to find an entry's place


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
    return (counts_size(p) + whole_vectors(p.unit_size) + NR
            + 2 * whole_vectors(p.unit_windows * p.conv.n_filters))


cdef Entries entries_in(const ConvPool* p, real* memory) noexcept nogil:
    cdef Entries e
    e.count = <Py_ssize_t*> memory
    e.d = memory + counts_size(p)
    e.window_d = e.d + whole_vectors(p.unit_size) + NR
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
    memset(e.d + n_places * F, 0, NR * sizeof(real))
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
    return ceil_div(q.kernel[1], SPARSE_MR)


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
    cdef Py_ssize_t size = whole_vectors(q.block_images * q.padded_size) + NR
    cdef real* dx = scratch + size
    cdef const real* x = scratch
    cdef Entries e = entries_in(p, dx + size)
    cdef Unit u
    if q.dX is not NULL:
        memset(dx, 0, size * sizeof(real))
        if q.shift is not NULL:
            fill_pixels(
                q.shift, q.n_channels, n_images * q.padded_size // q.n_channels, dx)
    if dW is not NULL:
        if q.has_padding or (q.n_images - image - n_images) * q.image_size >= LANES:
            x = padded_block(q, block, 0, n_images * q.n_windows, scratch)
        else:  # vectors reach over the end of X
            memcpy(scratch, q.X + image * q.image_size, n_images * q.image_size * sizeof(real))
        # Vectors reach over the end of a padded image too: to what makes no denormal numbers.
        memset(scratch + n_images * q.padded_size, 0, NR * sizeof(real))
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
    const void* work, Py_ssize_t piece, real* scratch
) noexcept nogil:
    """The gradients of a piece of the batch, of which dX is done then."""
    cdef const ConvPool* p = <const ConvPool*> work
    cdef const Conv* q = &p.conv
    cdef real* dW = NULL
    cdef real* db = NULL
    cdef Py_ssize_t block
    if q.dW_pieces is not NULL:
        dW = q.dW_pieces + piece * gathered_size(q)
        memset(dW, 0, gathered_size(q) * sizeof(real))
    if q.db_pieces is not NULL:
        db = q.db_pieces + piece * q.filter_lanes
        memset(db, 0, q.filter_lanes * sizeof(real))
    for block in range(part(q.n_blocks, piece, q.n_pieces),
                       part(q.n_blocks, piece + 1, q.n_pieces)):
        conv_pool_backward_block(p, block, dW, db, scratch)


cdef int sparse_gradients(ConvPool* p, real* dW, real* db, int n_threads) except -1:
    """The gradients whose arrays are there; dX is that of the geometry."""
    cdef Conv* q = &p.conv
    cdef Py_ssize_t* tables
    cdef real* memory = NULL
    cdef Py_ssize_t n_packed = 0, dW_size = 0, db_size = 0, run, scratch_size
    cut_units(p, 1)
    if dW is not NULL:
        dW_size = gathered_size(q)
    if db is not NULL:
        db_size = q.filter_lanes
    cut_pieces(q, dW_size, n_entry_products(p))
    if q.dX is not NULL:
        n_packed = q.n_runs * vectors_for(q.run_width) * LANES * q.n_filters
    scratch_size = (
        2 * (whole_vectors(q.block_images * q.padded_size) + NR)
        + entries_size(p))
    n_threads = threads_for_products(n_entry_products(p), n_threads)
    tables = conv_tables(q)
    try:
        memory = <real*> allocate(
            (n_packed + q.n_pieces * (dW_size + db_size)) * sizeof(real))
        q.packed_T = memory
        q.dW_pieces = q.db_pieces = NULL
        if dW is not NULL:
            q.dW_pieces = memory + n_packed
        if db is not NULL:
            q.db_pieces = memory + n_packed + q.n_pieces * dW_size
        with nogil:
            if q.dX is not NULL:
                pack_transposed(q, n_threads)
            run_tasks(conv_pool_backward_piece, p, q.n_pieces, n_threads, scratch_size)
            if dW is not NULL:
                for run in prange(q.n_runs, num_threads=n_threads):
                    put_gathered(q, q.dW_pieces, run, dW)
            if db is not NULL:
                add_pieces(q.db_pieces, q.n_pieces, 1, 1, q.n_filters, q.filter_lanes,
                           db, 1)
    finally:
        free(memory)
        free(tables)
    return 0
