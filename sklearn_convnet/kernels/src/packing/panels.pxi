# Panels: the columns of b are cut into panels of nearly equal width, at most NV
# vectors. Panel p of width V lies at b + n_k * (first vector) * LANES, in rows of V vectors.

cdef enum:
    # Rows that are asked for while as many are packed: in a matrix they lie too far apart for the
    # processor to foresee where the next begins.
    ROWS_AHEAD = 16


cdef inline Py_ssize_t vectors_for(Py_ssize_t n_columns) noexcept nogil:
    return ceil_div(n_columns, LANES)


cdef inline Py_ssize_t panels_for(Py_ssize_t n_vec) noexcept nogil:
    return ceil_div(n_vec, NV)


cdef inline Py_ssize_t panel_start(Py_ssize_t n_vec, Py_ssize_t panel) noexcept nogil:
    """The first vector of a panel; that of the panel past the last is n_vec."""
    return part(n_vec, panel, panels_for(n_vec))


cdef void pack_panel(
    const real* b,               # IN  element (k, j) at b[k * row_step + j * column_step]
    Py_ssize_t row_step, Py_ssize_t column_step,
    const real* scale,           # IN  (n_columns) times the columns, if their step is 1; or NULL
    Py_ssize_t n_k, Py_ssize_t n_columns, Py_ssize_t n_lanes,
    real* packed,                # OUT (n_k, n_lanes), zero from n_columns on
) noexcept nogil:
    cdef Py_ssize_t k, j
    if column_step == 1:
        for k in range(n_k):
            fetch(b + (k + ROWS_AHEAD) * row_step, n_columns)
            if scale is NULL:
                copy_row(b + k * row_step, packed + k * n_lanes, n_columns)
            else:
                scale_row(b + k * row_step, scale, packed + k * n_lanes, n_columns)
    elif row_step == 1:
        transpose(b, column_step, n_columns, n_k, packed, n_lanes)
    else:
        for j in range(n_columns):
            for k in range(n_k):
                packed[k * n_lanes + j] = b[k * row_step + j * column_step]
    for k in range(n_k):
        for j in range(n_columns, n_lanes):
            packed[k * n_lanes + j] = 0
