# Products of matrices given by strides, of dense layers and of attention.
#
# Design:
# * Blocks of the right matrix are packed where they are used, so nothing is transposed in memory;
#   for few rows they are read where they lie, if vectors can.
# * A single row, as of one sample, is as fast as the right matrix can be read: so a large one is
#   read row by row, as it lies in memory. The sums are those of a tile.
# * The result is split among threads, by rows and panels; each element is summed whole by
#   one of them, in an order that depends on the length of the sum alone.

cdef enum:
    FEW_ROWS = 14        # use a panel too seldom for a packed copy of it
    MIN_ROWS = 32        # of a block of a thread
    SMALL_RIGHT = 1 << 17  # numbers in a right matrix that every thread packs, and has in its cache
    GROUP_PANELS = 8     # for which a block of the left matrix stays in the cache


cdef struct Product:
    # C[i, j] = init[j] + sum_k A[i * a_row + k * a_k] B[k * b_k + j * b_column]
    Py_ssize_t n_rows, n_k, n_columns
    const real* A
    Py_ssize_t a_row, a_k
    const real* B
    Py_ssize_t b_k, b_column
    const real* init          # (n_columns,) or NULL
    real* C                   # (n_rows, n_columns), its rows c_row apart
    Py_ssize_t c_row
    int code                  # activation of the result
    real alpha
    Py_ssize_t row_block, n_row_blocks
    Py_ssize_t n_panels
    Py_ssize_t n_groups       # of panels, for each of which a block of A is used
    bint copy_A


cdef void product_panel(
    const Product* q, Py_ssize_t panel, Py_ssize_t first, Py_ssize_t k, Py_ssize_t k_end,
    const real* A, Py_ssize_t a_row, Py_ssize_t a_k, real* scratch
) noexcept nogil:
    """Adds what k to k_end contribute to a panel of columns of a block of rows, whose part of
    the left matrix begins at A. Scratch: init, packed B and rows; the rows of the last panel, if
    it is not full, stay there until they are done. In place, such a panel begins `early`, in the
    columns of the one before."""
    cdef Py_ssize_t n_vec = vectors_for(q.n_columns), n_rows = smaller(
        q.row_block, q.n_rows - first)
    cdef Py_ssize_t v = part(n_vec, panel, q.n_panels)
    cdef Py_ssize_t V = part(n_vec, panel + 1, q.n_panels) - v
    cdef Py_ssize_t n_lanes = V * LANES, column = v * LANES
    cdef Py_ssize_t width = smaller(n_lanes, q.n_columns - column)
    cdef bint direct = width == n_lanes
    cdef bint in_place = (
        q.b_column == 1 and n_rows <= FEW_ROWS and (direct or q.n_columns >= n_lanes))
    cdef Py_ssize_t early = n_lanes - width if in_place else 0
    cdef real* init = scratch
    cdef real* packed = init + n_lanes
    cdef real* rows = scratch + (1 + KC) * NR
    cdef real* y = q.C + first * q.c_row + column
    cdef real* c = y if direct else rows
    cdef Py_ssize_t c_row = q.c_row if direct else n_lanes
    cdef Py_ssize_t r
    cdef const real* b = packed
    cdef Py_ssize_t b_row = n_lanes
    cdef const real* start = ZEROS
    if in_place:
        b = q.B + k * q.b_k + column - early
        b_row = q.b_k
    else:
        pack_panel(q.B + k * q.b_k + column * q.b_column, q.b_k, q.b_column, NULL, k_end - k,
                   width, n_lanes, packed)
    if k == 0 and q.init is not NULL:
        memset(init, 0, n_lanes * sizeof(real))
        memcpy(init, q.init + column - early, (width + early) * sizeof(real))
        start = init
    matrix_rows(V, A, a_row, a_k, n_rows, k_end - k, b, b_row, start, k > 0, c, c_row)
    if k_end == q.n_k:
        if not direct:
            copy_columns(rows + early, n_lanes, y, q.c_row, n_rows, width)
        if q.code != IDENTITY:
            for r in range(n_rows):
                activate(q.code, q.alpha, y + r * q.c_row, width)


cdef void product_task(const void* work, Py_ssize_t task, real* scratch) noexcept nogil:
    """A group of panels for one block of rows."""
    cdef const Product* q = <const Product*> work
    cdef Py_ssize_t group = task % q.n_groups, first = task // q.n_groups * q.row_block
    cdef Py_ssize_t n_rows = smaller(q.row_block, q.n_rows - first)
    cdef Py_ssize_t n_steps = ceil_div(q.n_k, KC), step, k, k_end, panel, i
    cdef real* copied = scratch + product_scratch()
    cdef const real* A
    for step in range(n_steps):
        k = part(q.n_k, step, n_steps)
        k_end = part(q.n_k, step + 1, n_steps)
        A = q.A + first * q.a_row + k * q.a_k
        if q.copy_A:
            for i in range(k_end - k):
                memcpy(copied + i * q.row_block, A + i * q.a_k, n_rows * sizeof(real))
            A = copied
        for panel in range(part(q.n_panels, group, q.n_groups),
                           part(q.n_panels, group + 1, q.n_groups)):
            product_panel(q, panel, first, k, k_end, A, q.a_row,
                          q.row_block if q.copy_A else q.a_k, scratch)


cdef extern from *:
    """
    #define ROWS_TOGETHER 4  /* of b, for which the sums are loaded and stored once */

    /* total (width) += a[0] b[0] + ... + a[n - 1] b[n - 1], in this order. */
    static inline __attribute__((always_inline)) void add_multiples(
        int n, const skcn_real *a, Py_ssize_t a_k, const skcn_real *b, Py_ssize_t b_k,
        Py_ssize_t width, skcn_real *total)
    {
        Py_ssize_t v = 0;
        skcn_real rest[SIMD_BYTES / sizeof(skcn_real)] = {0};
        for (; v + LANES <= width; v += LANES) {
            vec sum = *(const vec *) (total + v);
            UNROLL for (int i = 0; i < n; i++)
                sum += a[i * a_k] * *(const vec *) (b + i * b_k + v);
            *(vec *) (total + v) = sum;
        }
        for (int i = 0; v < width && i < n; i++) {
            memcpy(rest, b + i * b_k + v, (width - v) * sizeof(skcn_real));
            *(vec *) (total + v) += a[i * a_k] * *(const vec *) rest;
        }
    }

    static void add_all_multiples(
        const skcn_real *a, Py_ssize_t a_k, const skcn_real *b, Py_ssize_t b_k, Py_ssize_t n_k,
        Py_ssize_t width, skcn_real *total)
    {
        Py_ssize_t k = 0;
        for (; k + ROWS_TOGETHER <= n_k; k += ROWS_TOGETHER)
            add_multiples(ROWS_TOGETHER, a + k * a_k, a_k, b + k * b_k, b_k, width, total);
        for (; k < n_k; k++)
            add_multiples(1, a + k * a_k, a_k, b + k * b_k, b_k, width, total);
    }
    """
    void add_all_multiples(
        const real* a, Py_ssize_t a_k, const real* b, Py_ssize_t b_k, Py_ssize_t n_k,
        Py_ssize_t width, real* total) noexcept nogil


cdef void row_task(const void* work, Py_ssize_t group, real* total) noexcept nogil:
    """Some columns of a product of a single row. Scratch: total, of whole vectors."""
    cdef const Product* q = <const Product*> work
    cdef Py_ssize_t n_vec = vectors_for(q.n_columns), first = part(n_vec, group, q.n_groups) * LANES
    cdef Py_ssize_t width = smaller(
        part(n_vec, group + 1, q.n_groups) * LANES, q.n_columns) - first
    cdef Py_ssize_t n_steps = ceil_div(q.n_k, KC), step, k
    cdef real* y = q.C + first
    for step in range(n_steps):
        k = part(q.n_k, step, n_steps)
        memset(total, 0, whole_vectors(width) * sizeof(real))
        if step == 0 and q.init is not NULL:
            memcpy(total, q.init + first, width * sizeof(real))
        add_all_multiples(q.A + k * q.a_k, q.a_k, q.B + k * q.b_k + first, q.b_k,
                          part(q.n_k, step + 1, n_steps) - k, width, total)
        if step == 0:
            memcpy(y, total, width * sizeof(real))
        else:
            add_chunk_to(y, total, width)
    activate(q.code, q.alpha, y, width)


cdef inline Py_ssize_t product_scratch() noexcept nogil:
    """Numbers of scratch of a task, besides the copy of A."""
    return (1 + KC + 2 * MC) * NR


cdef inline void product_blocks(Product* q, int n_threads) noexcept nogil:
    """Blocks of equal height, at most twice MC, and groups of panels that use the same
    part of A: large ones, but as much for each thread. Where the right matrix is small, threads
    share the rows: samples are most often where the layer before has left them, and rows of
    weights where the optimiser looks for their gradients."""
    cdef Py_ssize_t n_vec = vectors_for(q.n_columns)
    q.n_row_blocks = larger(1, q.n_rows // MC)
    if q.n_rows >= n_threads * MIN_ROWS and q.n_k * q.n_columns <= SMALL_RIGHT:
        q.n_row_blocks = ceil_div(q.n_row_blocks, n_threads) * n_threads
    q.row_block = ceil_div(q.n_rows, q.n_row_blocks)
    q.n_row_blocks = ceil_div(q.n_rows, q.row_block)
    q.n_panels = panels_for(n_vec)
    q.n_groups = ceil_div(q.n_panels, GROUP_PANELS)
    if q.n_row_blocks % n_threads and q.n_row_blocks < 4 * n_threads:
        q.n_panels = smaller(n_vec, ceil_div(q.n_panels, n_threads) * n_threads)
        q.n_groups = smaller(q.n_panels, ceil_div(q.n_groups, n_threads) * n_threads)


cdef int multiply(Product* q, int n_threads) except -1:
    cdef Py_ssize_t scratch_size = product_scratch()
    n_threads = threads_for_products(q.n_rows * q.n_k * q.n_columns, n_threads)
    q.c_row = q.n_columns
    if q.n_rows == 1 and q.b_column == 1 and q.n_k * q.n_columns > SMALL_RIGHT:
        q.n_groups = smaller(vectors_for(q.n_columns), n_threads)
        with nogil:
            run_tasks(row_task, q, q.n_groups, n_threads, whole_vectors(q.n_columns))
        return 0
    product_blocks(q, n_threads)
    # Rows that lie side by side, and their k far apart: often all in one set of the cache.
    q.copy_A = q.a_row == 1 and q.a_k > 1
    if q.copy_A:
        scratch_size += whole_vectors(KC * q.row_block)
    with nogil:
        run_tasks(product_task, q, q.n_row_blocks * q.n_groups, n_threads, scratch_size)
    return 0
