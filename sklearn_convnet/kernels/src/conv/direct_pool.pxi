# The direct form with a max pool as its epilogue, unit by unit.

cdef inline Py_ssize_t unit_scratch(const ConvPool* p) noexcept nogil:
    """The output of the convolution for a unit, and what a vector reads behind it."""
    return whole_vectors(p.unit_windows * p.conv.n_filters) + LANES


cdef inline Py_ssize_t row_and_panel_scratch(const ConvPool* p) noexcept nogil:
    """Scratch of a row of a pool, or of a panel of the convolution: they take turns."""
    return larger(
        panel_scratch(&p.conv), whole_vectors(ceil_div(row_bytes(&p.pool), sizeof(real))))


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


cdef struct DirectPool:
    const ConvPool* pool
    const Conv* conv          # that of the pool, perhaps made wide


cdef void conv_pool_task(const void* work, Py_ssize_t task, real* scratch) noexcept nogil:
    """Some units of a block of images."""
    cdef const ConvPool* p = (<const DirectPool*> work).pool
    cdef const Conv* q = (<const DirectPool*> work).conv
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
        for i in range(ceil_div(u.n_windows // q.width, MC)):
            row = i * MC
            n_rows = smaller(MC, u.n_windows // q.width - row)
            for panel in range(q.n_panels):
                conv_panel(q, x, u.first // q.width + row, n_rows, 0, panel,
                           z + row * q.n_filters, scratch)
        activate(q.code, q.alpha, z, u.n_windows * p.conv.n_filters)
        pool_unit(p, &u, image, z, pool_row)


cdef int pool_directly(ConvPool* p, Py_ssize_t width, int n_threads) except -1:
    """Y, and the index if it is there, with so many neighbouring positions taken together."""
    cdef Conv q = widened(&p.conv, width)
    cdef DirectPool work = DirectPool(p, &q)
    cdef Py_ssize_t* tables
    cdef real* packed = NULL
    cdef Py_ssize_t scratch_size
    p.conv.block_images = q.block_images
    cut_units(p, q.width)
    cut_blocks(&q, n_threads)
    q.n_chunks = smaller(p.n_units, chunks_of(q.n_blocks, n_threads))
    scratch_size = (
        row_and_panel_scratch(p) + unit_scratch(p)
        + whole_vectors(q.block_images * q.padded_size))
    tables = conv_tables(&q)
    try:
        with nogil:
            packed = packed_filters(&p.conv, &q, n_threads)
            run_tasks(conv_pool_task, &work, q.n_blocks * q.n_chunks, n_threads, scratch_size)
    finally:
        free(packed)
        free(tables)
    return 0
