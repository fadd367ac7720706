# How the tasks of a kernel are shared among threads.
#
# Design:
# * Each thread has a share of neighbouring tasks, the same in every call: what a task reads was
#   most often written by the same thread, and lies in its core's cache.
# * A thread that has done its share takes tasks from the ends of others: cores may differ in
#   speed, do other work as well, or wake late. Who does a task changes no bit of the result.
# * Scratch belongs to a thread.

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


cdef inline int threads_for_products(Py_ssize_t n, int n_threads) noexcept nogil:
    """Few multiply-adds are not worth a second thread: each gets at least PRODUCTS of them."""
    return <int> smaller(n_threads, larger(1, n // PRODUCTS))
