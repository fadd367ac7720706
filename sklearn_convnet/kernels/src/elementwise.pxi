# How arrays of numbers without neighbours are cut up: fixed chunks, shared among threads.
# What a number becomes depends on the number alone.

cdef enum:
    CHUNK = 8192   # elements; a multiple of BLOCK
    BLOCK = 64     # elements that a vector function works on at a time


cdef inline Py_ssize_t chunks_for(Py_ssize_t n) noexcept nogil:
    return ceil_div(n, CHUNK)


cdef inline Py_ssize_t chunk_end(Py_ssize_t n, Py_ssize_t chunk) noexcept nogil:
    return smaller(n, (chunk + 1) * CHUNK)


cdef inline int threads_for(Py_ssize_t n, int n_threads) noexcept nogil:
    """Few elements are not worth a second thread."""
    return n_threads if n > 2 * CHUNK else 1


cdef inline void add_chunk_to(real* total, const real* a, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        total[i] += a[i]


cdef int same_length(Py_ssize_t expected, Py_ssize_t seen, str name) except -1:
    if seen != expected:
        raise ValueError(f"{name} has length {seen}, expected {expected}")
    return 0


cdef tuple shape_of(const Py_ssize_t* shape, int n_axes):
    """The shape of a memoryview as a tuple: its own is made in another way, ten times as slow."""
    return tuple([shape[axis] for axis in range(n_axes)])


cdef int same_shape(expected, seen, str name) except -1:
    if tuple(seen) != tuple(expected):
        raise ValueError(f"{name} has shape {tuple(seen)}, expected {tuple(expected)}")
    return 0


cdef int same_sizes(
    const Py_ssize_t* expected, const Py_ssize_t* seen, int n_axes, str name
) except -1:
    """The same for shapes in C, of which no tuple is made."""
    cdef int axis
    for axis in range(n_axes):
        if seen[axis] != expected[axis]:
            same_shape(shape_of(expected, n_axes), shape_of(seen, n_axes), name)
    return 0
