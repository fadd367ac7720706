# The weight gradient of interleaved images: each lane is a sum, and the lanes are added at the end.

cdef void add_strip_gradient(
    const Conv* q, const Interleaved* s, const Strip* strip, real* dW, real* db, real* scratch
) noexcept nogil:
    """dW(tap, filter, lane) += what the windows of a strip add; db(filter, lane) likewise."""
    cdef Py_ssize_t* line = <Py_ssize_t*> (scratch + s.x_size + s.z_size + s.row_size)
    cdef real* dz = scratch + s.x_size
    cdef Py_ssize_t n_windows = strip.n_rows * strip.n_columns, row = strip.n_columns * q.n_filters
    cdef Py_ssize_t h, source, i
    cdef Filters f
    for h in range(strip.n_rows):
        line[h] = h * q.stride[1] * s.columns_in * q.n_channels * LANES
    interleave_input(q, s, strip, dz + s.z_size, scratch)
    if strip.n_images < LANES:
        memset(dz, 0, s.z_size * sizeof(real))
    for h in range(strip.n_rows):
        source = output_row(q, s, strip, h)
        interleave(
            q.dY + source, NULL if q.code == IDENTITY else q.Y_in + source, q.code, q.alpha,
            q.out_size, strip.n_images, row, dz + s.z_size, dz + h * row * LANES)
    if db is not NULL:
        add_rows(dz, q.n_filters * LANES, n_windows, q.n_filters * LANES, db)
    for i in range(q.n_groups * s.n_panels):
        f = filters_of(q, s, i)
        interleaved_gradient(
            f.n, scratch + f.group * q.group_channels * LANES, s.tap, q.n_taps, line,
            strip.n_rows, strip.n_columns, q.stride[2] * q.n_channels * LANES,
            dz + f.first * LANES, q.n_filters * LANES, dW + f.first * LANES,
            q.n_filters * LANES)


cdef void add_lanes(const real* x, Py_ssize_t n, real* lanes, real* total) noexcept nogil:
    """total(i) = the sum of x(i, lane), in the order of the lanes; `lanes` is work space like x."""
    cdef Py_ssize_t lane, i
    transpose(x, LANES, n, LANES, lanes, n)
    memcpy(total, lanes, n * sizeof(real))
    for lane in range(1, LANES):
        for i in range(n):
            total[i] += lanes[lane * n + i]


cdef inline Py_ssize_t interleaved_sums(const Conv* q) noexcept nogil:
    """Numbers in the sums of a piece: of dW, with what a tile writes beyond it, and db."""
    return (q.n_taps + 1 + INTERLEAVED_MAX_MR) * q.n_filters * LANES


cdef void interleaved_piece(const void* work, Py_ssize_t piece, real* scratch) noexcept nogil:
    """The sums of a piece of all strips."""
    cdef const Conv* q = (<const Strips*> work).conv
    cdef const Interleaved* s = (<const Strips*> work).form
    cdef Py_ssize_t dW_size = q.n_taps * q.n_filters, n = s.n_blocks * s.n_strips, i
    cdef real* db = scratch
    cdef real* dW = db + q.n_filters * LANES
    cdef real* behind = scratch + interleaved_sums(q)
    cdef Strip strip
    memset(scratch, 0, interleaved_sums(q) * sizeof(real))
    for i in range(part(n, piece, q.n_pieces), part(n, piece + 1, q.n_pieces)):
        strip = strip_at(q, s, i)
        add_strip_gradient(q, s, &strip, dW, NULL if q.db_pieces is NULL else db, behind)
    add_lanes(dW, dW_size, behind, q.dW_pieces + piece * dW_size)
    if q.db_pieces is not NULL:
        add_lanes(db, q.n_filters, behind, q.db_pieces + piece * q.n_filters)


cdef int interleaved_gradients(Conv* q, real* dW, real* db, int n_threads) except -1:
    """dW, and db unless it is NULL."""
    cdef Interleaved s = interleaved_geometry(
        q, NULL, ceil_div(q.n_images, LANES), STRIP_BYTES, 1)
    cdef Strips work = Strips(q, &s)
    cdef Py_ssize_t dW_size = q.n_taps * q.n_filters
    cdef Py_ssize_t n_tables = table_size(q.n_taps + s.n_lines)
    cdef Py_ssize_t n_sums = interleaved_sums(q)
    cdef real* memory
    q.n_pieces = smaller(s.n_blocks * s.n_strips, MAX_PIECES)
    if q.n_pieces > MIN_PIECES:
        q.n_pieces = q.n_pieces // MIN_PIECES * MIN_PIECES
    if threads_for_products(n_products(q), MIN_PIECES) == 1:
        q.n_pieces = 1
    memory = <real*> allocate(
        (n_tables + q.n_pieces * (dW_size + q.n_filters)) * sizeof(real))
    try:
        s.tap = <Py_ssize_t*> memory
        s.line = s.tap + q.n_taps + INTERLEAVED_MAX_MR
        q.dW_pieces = memory + n_tables
        q.db_pieces = NULL if db is NULL else q.dW_pieces + q.n_pieces * dW_size
        with nogil:
            interleaved_taps(q, &s)
            run_tasks(interleaved_piece, &work, q.n_pieces, n_threads,
                      n_sums + larger(n_sums, s.scratch_size))
            add_pieces(q.dW_pieces, q.n_pieces, 1, 1, dW_size, dW_size, dW, 1)
            if db is not NULL:
                add_pieces(q.db_pieces, q.n_pieces, 1, 1, q.n_filters, q.n_filters, db, 1)
    finally:
        free(memory)
    return 0
