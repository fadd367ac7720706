# How arrays of numbers without neighbours are cut up: fixed chunks, shared among threads.
# The result for a number depends on the number alone.

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
