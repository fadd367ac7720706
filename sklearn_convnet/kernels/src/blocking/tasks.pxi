# How the tasks of a kernel are shared among threads.
#
# Design:
# * Each thread has a share of neighbouring tasks, the same in every call: what a task reads was
#   most often written by the same thread, and lies in its core's cache.
# * A thread that has done its share takes tasks from the ends of others: cores may differ in
#   speed, do other work as well, or wake late. Who does a task changes no bit of the result.
# * Scratch belongs to a thread, which uses it for one task after another.

cdef enum:
    PRODUCTS = 1 << 19  # multiply-adds that are worth what a thread reads of another's cache


cdef extern from *:
    """
    #define MAX_SHARES 128

    typedef struct {
        uint64_t left;                                /* first task and end, 32 bits each */
        char rest_of_line[CACHE_LINE - sizeof(uint64_t)];
    } share;

    typedef struct {
        share of[MAX_SHARES] __attribute__((aligned(CACHE_LINE)));
        int n;
    } shares;

    /* Cuts tasks 0 to n_tasks into as many shares as there are threads. */
    static void share_out(shares *s, Py_ssize_t n_tasks, int n_threads)
    {
        s->n = n_threads < MAX_SHARES ? n_threads : MAX_SHARES;
        for (int i = 0; i < s->n; i++)
            s->of[i].left =
                (uint64_t) (n_tasks * i / s->n) << 32 | (uint64_t) (n_tasks * (i + 1) / s->n);
    }

    /* The next task for a thread: the first that is left of its share, otherwise the last of
       another one; -1 if none is left at all. */
    static Py_ssize_t next_task(shares *s, int thread)
    {
        for (int i = 0; i < s->n; i++) {
            uint64_t *left = &s->of[(thread + i) % s->n].left;
            uint64_t seen = __atomic_load_n(left, __ATOMIC_RELAXED);
            while (seen >> 32 < (uint32_t) seen) {
                uint64_t first = seen >> 32, last = (uint32_t) seen - 1;
                uint64_t rest = i == 0 ? (first + 1) << 32 | (last + 1) : first << 32 | last;
                if (__atomic_compare_exchange_n(
                        left, &seen, rest, 0, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
                    return (Py_ssize_t) (i == 0 ? first : last);
            }
        }
        return -1;
    }
    """
    ctypedef struct Shares "shares":
        pass
    void share_out(Shares* s, Py_ssize_t n_tasks, int n_threads) noexcept nogil
    Py_ssize_t next_task(Shares* s, int thread) noexcept nogil


ctypedef void (*Task)(const void* work, Py_ssize_t task, real* scratch) noexcept nogil


cdef int run_tasks(
    Task do_task, const void* work, Py_ssize_t n_tasks, int n_threads, Py_ssize_t scratch_size,
    Py_ssize_t n_zeros=0,
) except -1 nogil:
    """Does tasks 0 to n_tasks (exclusive) of some work, shared among threads. Each has so many
    numbers of scratch, the first n_zeros of which are zero before its first task."""
    cdef Py_ssize_t size = whole_vectors(scratch_size), task
    cdef real* scratch = <real*> allocate(n_threads * size * sizeof(real))
    cdef Shares shares
    cdef int thread
    share_out(&shares, n_tasks, n_threads)
    for thread in prange(n_threads, num_threads=n_threads, schedule="static"):
        memset(scratch + thread * size, 0, n_zeros * sizeof(real))
        task = next_task(&shares, thread)
        while task >= 0:
            do_task(work, task, scratch + thread * size)
            task = next_task(&shares, thread)
    free(scratch)
    return 0


cdef inline int threads_for_products(Py_ssize_t n, int n_threads) noexcept nogil:
    """Few multiply-adds are not worth a second thread: each gets at least PRODUCTS of them."""
    return <int> smaller(n_threads, larger(1, n // PRODUCTS))
