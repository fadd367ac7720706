# Strips of Winograd's form: from the input to the points of its tiles, and from the points to the
# output. Prologues and epilogues are done here, while a strip is in cache.

cdef void unpool_row(
    const Winograd* q, Py_ssize_t image, Py_ssize_t h, real* to, real* d
) noexcept nogil:
    """Row h of an input that is pooled: a number where the maximum was, else zero. Scratch: d,
    for a row of the pooled input."""
    cdef Py_ssize_t n_channels = q.n_channels, n = q.pool.out[2] * n_channels, o, p, c, start
    cdef const int32_t* index
    cdef int32_t at
    cdef real* column = to
    if h // q.pool.window[1] < q.pool.out[1]:
        start = (image * q.pool.out[1] + h // q.pool.window[1]) * n
        index = q.index_in + start
        memcpy(d, q.X + start, n * sizeof(real))
        multiply_derivative(q.derivative, q.derivative_alpha, q.S + start, d, n)
        for o in range(q.pool.out[2]):
            for p in range(q.pool.window[2]):
                at = <int32_t> (h * q.size[1] + o * q.pool.window[2] + p)
                for c in range(n_channels):
                    column[c] = d[c] if index[c] == at else 0
                column = column + n_channels
            index = index + n_channels
            d = d + n_channels
    memset(column, 0, (to + q.size[1] * n_channels - column) * sizeof(real))


cdef void through_norm(
    const real* back, Py_ssize_t n, Py_ssize_t n_pixels, const real* dz, const real* x, real* dx
) noexcept nogil:
    """The gradient before a norm, by the map `back` of batchnorm_backward."""
    cdef Py_ssize_t i
    for i in range(n_pixels):
        norm_input_row(n, back, back + n, back + 2 * n, back + 3 * n, 1, dz + i * n, x + i * n,
                       dx + i * n)


cdef void fill_strip(
    const Winograd* q, Py_ssize_t strip, Py_ssize_t first, Py_ssize_t left, Py_ssize_t n_rows,
    real* to
) noexcept nogil:
    """n_rows rows of the input, as far apart as filters are dilated, from row `first` of its
    strip's image and column -left on, zero outside; where there are such, taken
    back through a norm and multiplied by f'."""
    cdef Py_ssize_t image = strip // q.tiles[0], row = q.strip_width * q.n_channels, i, h
    cdef Py_ssize_t n_left = left * q.n_channels, width = q.size[1] * q.n_channels, start
    cdef real* behind = to + strip_numbers(q)
    for i in range(n_rows):
        h = first + i * q.dilation[0]
        if h < 0 or h >= q.size[0]:
            memset(to, 0, row * sizeof(real))
        else:
            start = (image * q.size[0] + h) * q.size[1] * q.n_channels
            memset(to, 0, n_left * sizeof(real))
            memset(to + n_left + width, 0, (row - n_left - width) * sizeof(real))
            if q.index_in is not NULL:
                unpool_row(q, image, h, to + n_left, behind)
            elif q.norm_back is not NULL:
                through_norm(q.norm_back, q.n_channels, q.size[1], q.X + start, q.S + start,
                             to + n_left)
                multiply_derivative(
                    q.derivative, q.derivative_alpha, q.S + start, to + n_left, width)
            elif q.norm is not NULL:
                normalize_rows(q.norm, q.X + start, q.n_channels, q.size[1], to + n_left)
                activate(q.norm.code, q.norm.alpha, to + n_left, width)
            else:
                memcpy(to + n_left, q.X + start, width * sizeof(real))
                if q.S is not NULL:
                    multiply_derivative(
                        q.derivative, q.derivative_alpha, q.S + start, to + n_left, width)
        to = to + row


cdef inline Py_ssize_t rows_read(const Winograd* q, Py_ssize_t strip) noexcept nogil:
    """How many rows of all images strips up to this one read, itself included."""
    cdef Py_ssize_t image = strip // q.tiles[0]
    cdef Py_ssize_t last = tile_start(q, 0, strip % q.tiles[0]) + (q.n - 1) * q.dilation[0]
    return image * q.size[0] + smaller(larger(0, last + 1 - q.before[0]), q.size[0])


cdef inline Py_ssize_t rows_made(const Winograd* q, Py_ssize_t strip) noexcept nogil:
    """How many rows of the output of all images lie before a strip."""
    cdef Py_ssize_t top = tile_start(q, 0, strip % q.tiles[0])
    return strip // q.tiles[0] * q.out[0] + smaller(top, q.out[0])


cdef struct Ahead:  # rows that are needed soon, and asked for bit by bit
    const real* X
    const real* S     # like X, or NULL
    Py_ssize_t left   # numbers
    Py_ssize_t step


cdef inline Ahead input_ahead(
    const Winograd* q, Py_ssize_t first, Py_ssize_t end, Py_ssize_t n_steps
) noexcept nogil:
    """Rows of the input of all images."""
    cdef Ahead ahead
    cdef Py_ssize_t row = q.size[1] * q.n_channels
    ahead.X, ahead.S = q.X + first * row, NULL if q.S is NULL else q.S + first * row
    ahead.left = (end - first) * row if q.fetches and q.index_in is NULL else 0
    ahead.step = ceil_div(ahead.left, n_steps)
    return ahead


cdef inline Ahead output_ahead(
    const Winograd* q, Py_ssize_t strip, Py_ssize_t n_steps
) noexcept nogil:
    """Rows of a strip of the output."""
    cdef Ahead ahead
    cdef Py_ssize_t row = q.out[1] * q.n_filters, first = rows_made(q, strip)
    ahead.X, ahead.S, ahead.left = q.Y + first * row, NULL, 0
    if q.fetches and not q.pools and strip < q.n_strips:
        ahead.left = (rows_made(q, strip + 1) - first) * row
    ahead.step = ceil_div(ahead.left, n_steps)
    return ahead


cdef inline void fetch_next(Ahead* ahead, bint to_write) noexcept nogil:
    cdef Py_ssize_t n = smaller(ahead.left, ahead.step)
    if n == 0:
        return
    if to_write:
        fetch_to_write(ahead.X, n)
    else:
        fetch(ahead.X, n)
    if ahead.S is not NULL:
        fetch(ahead.S, n)
        ahead.S = ahead.S + n
    ahead.X, ahead.left = ahead.X + n, ahead.left - n


cdef inline Py_ssize_t strip_numbers(const Winograd* q) noexcept nogil:
    """Numbers in a strip, and some that a vector over its end may read."""
    return whole_vectors(q.n * q.strip_width * q.n_channels) + LANES


cdef inline Py_ssize_t strip_size(const Winograd* q) noexcept nogil:
    """Scratch of a strip: of the input, and behind it a row of what that is made from."""
    cdef Py_ssize_t behind = 0
    if q.index_in is not NULL:
        behind = whole_vectors(q.pool.out[2] * q.n_channels)
    return strip_numbers(q) + behind


cdef inline Py_ssize_t output_numbers(const Winograd* q) noexcept nogil:
    """Numbers in a strip of the output, and some that a vector over its end may read."""
    return whole_vectors(q.m * q.out[1] * q.n_filters) + LANES


cdef inline Py_ssize_t output_size(const Winograd* q) noexcept nogil:
    """Scratch of a strip of the output: where it is pooled, the strip and a row of its pool; else
    what a norm's moments or sums of it take."""
    if q.pools:
        return output_numbers(q) + whole_vectors(ceil_div(row_bytes(&q.pool), sizeof(real)))
    if q.through is NULL and q.moments is NULL:
        return 0
    return larger(gradient_rows_scratch(q.n_filters), moments_scratch(q.n_filters))


cdef void strip_to_points(
    const Winograd* q, Py_ssize_t strip, Py_ssize_t tile_row, real* V, bint follows, real* scratch
) noexcept nogil:
    """V of the tiles of a strip, which begin at row `tile_row` of each point's matrix. If it
    follows on the last one, the rows that both see are still in scratch."""
    cdef Py_ssize_t row = q.strip_width * q.n_channels, t, v
    cdef Py_ssize_t n_vec = q.channel_lanes // LANES
    cdef Py_ssize_t next_strip = smaller(strip + 1, q.n_strips - 1)
    cdef const real* x
    cdef Ahead ahead
    cdef Py_ssize_t top = tile_start(q, 0, strip % q.tiles[0]), kept = 0
    if follows and strip % q.tiles[0] > 0 and q.dilation[0] == 1 and q.index_in is NULL:
        kept = q.n - q.m
        memmove(scratch, scratch + q.m * row, kept * row * sizeof(real))
    fill_strip(q, strip, top - q.before[0] + kept, q.before[1], q.n - kept, scratch + kept * row)
    ahead = input_ahead(q, rows_read(q, strip), rows_read(q, next_strip), q.tiles[1] * n_vec)
    for t in range(q.tiles[1]):
        x = scratch + tile_start(q, 1, t) * q.n_channels
        for v in range(n_vec):
            fetch_next(&ahead, False)
            transform_input(
                q.n, x + v * LANES, row, q.dilation[1] * q.n_channels,
                V + (tile_row + t) * q.channel_lanes + v * LANES, q.n * q.v_point, q.v_point)


cdef void gradient_to_points(
    const Winograd* q, const Winograd* dz, Py_ssize_t strip, Py_ssize_t tile_row,
    Py_ssize_t first, Py_ssize_t n_vec, real* D, real* db, real* scratch
) noexcept nogil:
    """D of the tiles of a strip for n_vec vectors of filters, from `first` on; the sum of dz
    over the strip is added to db where there is one. The input of `dz` is dz, in the tiles
    of q."""
    cdef Py_ssize_t next_strip = smaller(strip + 1, q.n_strips - 1)
    cdef Ahead ahead
    fill_strip(dz, strip, tile_start(q, 0, strip % q.tiles[0]), 0, q.m, scratch)
    ahead = input_ahead(
        dz, rows_made(q, next_strip), rows_made(q, next_strip + 1), q.tiles[1] * n_vec)
    spread_strip(q, scratch, tile_row, first, n_vec, &ahead, D, db)


cdef void spread_strip(
    const Winograd* q, const real* dz, Py_ssize_t tile_row, Py_ssize_t first, Py_ssize_t n_vec,
    Ahead* ahead, real* D, real* db
) noexcept nogil:
    """The same of a strip of dz that is there."""
    cdef Py_ssize_t row = q.strip_width * q.n_filters, t, v
    cdef const real* d
    for t in range(q.tiles[1]):
        d = dz + tile_start(q, 1, t) * q.n_filters + first * LANES
        for v in range(n_vec):
            fetch_next(ahead, False)
            transform_gradient(
                q.m, q.r, d + v * LANES, row, q.dilation[1] * q.n_filters,
                D + ((tile_row + t) * n_vec + v) * LANES, q.n * q.m_point, q.m_point)
    if db is not NULL:
        add_rows(dz + first * LANES, q.n_filters, q.m * q.strip_width, n_vec * LANES, db)


cdef inline void put_sum(
    const real* a, const real* b, real* to, Py_ssize_t width
) noexcept nogil:
    """a + b, a whole vector or the first `width` numbers of it."""
    cdef Py_ssize_t i
    if width == LANES:
        put(to, at(a) + at(b))
    else:
        for i in range(width):
            to[i] = a[i] + b[i]


cdef void points_to_output(
    const Winograd* q, Py_ssize_t strip, Py_ssize_t tile_row, const real* M, real* scratch
) noexcept nogil:
    """The output of a strip from its rows of M."""
    cdef real y[MAX_POSITIONS * MAX_LANES]
    cdef real bias[MAX_LANES]
    cdef Py_ssize_t image = strip // q.tiles[0], top = tile_start(q, 0, strip % q.tiles[0])
    cdef Py_ssize_t row = q.out[1] * q.n_filters, t, v, i, j, width, left
    cdef Py_ssize_t n_rows = tile_positions(q, 0, top), n_columns
    cdef Py_ssize_t next_row = q.dilation[0] * row, next_column = q.dilation[1] * q.n_filters
    cdef Py_ssize_t n_vec = q.filter_lanes // LANES
    cdef const real* points
    cdef real* to
    cdef bint whole
    cdef real* first = scratch if q.pools else q.Y + (image * q.out[0] + top) * row
    cdef Ahead ahead
    ahead = output_ahead(q, strip + 1, n_vec * q.tiles[1])
    for v in range(n_vec):
        width = smaller(LANES, q.n_filters - v * LANES)
        memset(bias, 0, LANES * sizeof(real))
        if q.b is not NULL:
            memcpy(bias, q.b + v * LANES, width * sizeof(real))
        for t in range(q.tiles[1]):
            fetch_next(&ahead, True)
            left = tile_start(q, 1, t)
            n_columns = tile_positions(q, 1, left)
            points = M + (tile_row + t) * q.filter_lanes + v * LANES
            to = first + left * q.n_filters + v * LANES
            whole = width == LANES and n_rows == q.m and n_columns == q.m
            if whole and q.b is NULL:
                transform_output(q.m, q.r, points, q.n * q.m_point, q.m_point, to, next_row,
                                 next_column)
                continue
            transform_output(q.m, q.r, points, q.n * q.m_point, q.m_point, y, q.m * LANES, LANES)
            for i in range(n_rows):
                for j in range(n_columns):
                    put_sum(y + (i * q.m + j) * LANES, bias, to + i * next_row + j * next_column,
                            width)
    if q.dilation[0] == 1:
        finish_rows(q, first, image * q.out[0] + top, n_rows, strip, scratch)
    else:
        for i in range(n_rows):
            finish_rows(q, first + i * next_row, image * q.out[0] + top + i * q.dilation[0], 1,
                        strip, scratch)
    if q.pools:
        pool_strip(q, image, top, n_rows, scratch)


cdef void finish_rows(
    const Winograd* q, real* y, Py_ssize_t first, Py_ssize_t n_rows, Py_ssize_t strip,
    real* scratch
) noexcept nogil:
    """What is left to do for n_rows rows y of the output, from row `first` of all images on."""
    cdef Py_ssize_t row = q.out[1] * q.n_filters
    if q.addend is not NULL:
        add_chunk_to(y, q.addend + first * row, n_rows * row)
    activate(q.code, q.alpha, y, n_rows * row)
    if q.through is not NULL or q.moments is not NULL:
        finish_norms(q, first, n_rows, strip, scratch)


cdef void finish_norms(
    const Winograd* q, Py_ssize_t start, Py_ssize_t n_rows, Py_ssize_t strip, real* scratch
) noexcept nogil:
    """The epilogue of n_rows rows of the output for the norm before or after it."""
    cdef Norm output
    cdef Py_ssize_t n = q.n_filters
    cdef Py_ssize_t first = start * q.out[1], end = (start + n_rows) * q.out[1]
    if q.through is not NULL:
        gradient_rows(q.through, first, end, q.Y, q.Y,
                      NULL if q.sums is NULL else q.sums + strip * 2 * n, scratch)
    if q.moments is not NULL:
        output.X, output.n_channels, output.weight, output.sample_rows = q.Y, n, NULL, 1
        moments_of_rows(&output, first, end, q.moments + strip * (1 + 2 * n), scratch)


cdef void pool_strip(
    const Winograd* q, Py_ssize_t image, Py_ssize_t top, Py_ssize_t n_rows, real* scratch
) noexcept nogil:
    """The pooled output of a strip of n_rows rows in scratch, from row `top` of the image on."""
    cdef const real* end = scratch + output_numbers(q)
    cdef Row row = row_scratch(&q.pool, <char*> end, 0)
    cdef Py_ssize_t first = top // q.pool.window[1], r, to
    for r in range(n_rows // q.pool.window[1]):
        to = (image * q.pool.out[1] + first + r) * q.pool.out[2] * q.n_filters
        # The image would begin `top` rows before, were it there as a whole.
        maxpool_row(&q.pool, scratch - top * q.out[1] * q.n_filters, first + r, end, q.Y + to,
                    NULL if q.index is NULL else q.index + to, row)
