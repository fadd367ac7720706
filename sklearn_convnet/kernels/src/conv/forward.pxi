# The forward pass in the form that takes least time.

cdef inline bint takes_interleaved(const Conv* q, const Pool* pool) noexcept nogil:
    """True if there are vectors of images, and they are faster interleaved."""
    return interleaved_blocks(q) > 0 and interleaves(q, pool)


cdef int convolve(Conv* given, int n_threads) except -1:
    """Images that fill vectors interleaved, if that is faster, and the others as they are."""
    if takes_interleaved(given, NULL):
        interleaved_images(given, NULL, NULL, n_threads)
    if given.n_images > 0:
        convolve_images(given, threads_for_products(n_products(given), n_threads))
    return 0
