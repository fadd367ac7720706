# How arrays of numbers without neighbours are cut up: fixed chunks, shared among threads.
# What a number becomes depends on the number alone.

cdef enum:
    CHUNK = 8192   # elements; a multiple of BLOCK
    BLOCK = 64     # elements that a vector function works on at a time
    PRODUCTS = 1 << 19  # multiply-adds that are worth what a thread reads of another's cache


cdef extern from *:
    """
    #if defined(_OPENMP) && defined(__GNUC__) && !defined(__clang__)
    /* What GCC calls for a parallel loop. Those of libgomp cost as much as a layer of a small
       network, in part for nothing: a team of one thread, too, asks the system to wake the others
       when it begins and when it ends; and the barrier, before the first turn, is for variables
       that are assigned in the loop: none is copied after a thread has put back its last value.
       So each of them must be assigned, in every turn, before it is read. */
    int omp_get_num_threads(void);
    void GOMP_parallel_start(void (*)(void *), void *, unsigned);
    void GOMP_parallel_end(void);

    __attribute__((visibility("hidden"))) void GOMP_parallel(
        void (*body)(void *), void *data, unsigned n_threads, unsigned flags)
    {
        if (n_threads == 1 && omp_get_num_threads() == 1) {
            body(data);
            return;
        }
        GOMP_parallel_start(body, data, n_threads);
        body(data);
        GOMP_parallel_end();
    }

    __attribute__((visibility("hidden"))) void GOMP_barrier(void)
    {
    }
    #endif
    """


cdef inline Py_ssize_t chunks_for(Py_ssize_t n) noexcept nogil:
    return ceil_div(n, CHUNK)


cdef inline Py_ssize_t chunk_end(Py_ssize_t n, Py_ssize_t chunk) noexcept nogil:
    return smaller(n, (chunk + 1) * CHUNK)


cdef inline int threads_for(Py_ssize_t n, int n_threads) noexcept nogil:
    """Few elements are not worth a second thread."""
    return n_threads if n > 2 * CHUNK else 1


cdef inline int threads_for_products(Py_ssize_t n, int n_threads) noexcept nogil:
    """Few multiply-adds neither: each thread gets at least PRODUCTS of them."""
    return <int> smaller(n_threads, larger(1, n // PRODUCTS))


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
