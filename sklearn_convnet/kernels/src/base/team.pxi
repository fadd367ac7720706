# The threads that run a `prange`.
#
# Design:
# * GCC makes the body of a `prange` a function, and calls `GOMP_parallel` to have it run by
#   each thread of a team. libgomp's asks the system to wake the others, twice for each loop,
#   whether they sleep or not, and waits for all of them, also for one whose core has other
#   work. So the name is defined here, for these kernels alone. Other compilers call their own
#   OpenMP.
# * A loop has as many parts as threads. The caller offers each worker its part, does its own,
#   and then those that no worker has begun: it does not wait for threads to come.
# * A part is offered, claimed and reported done in one cache line: to hand it to another core
#   is what costs.
# * A worker looks for its next part for a while before it sleeps, and lets others have the
#   core meanwhile.
# * A team belongs to the thread that calls, and ends with it. A child made by fork has none
#   until its first loop. Other compilers' OpenMP may wait there for threads that only the parent
#   has, as clang's does once scikit-learn has turned off what it does at a fork. So a child of
#   theirs works on one thread.
# * GCC has a barrier before the first turn of a loop, for variables that are assigned in it.
#   Parts that may run one after another cannot wait for one another. So each such variable
#   must be assigned, in every turn, before it is read.
# * A denormal number takes a hundred times as long as another, and weights, activations and
#   gradients that fade away come to them. So the body of a loop takes them for zero, and the
#   thread has its own mode again after it. Without a team, a kernel sets the mode when it is
#   called, if what runs its loops hands it on to all threads.
# * GCC takes the number of a thread for a constant of the function that asks for it. So what runs
#   several parts is not inlined into anything, nor bodies into it.

cdef extern from *:
    """
    /* How the processor takes denormal numbers: FLUSHING are the bits by which they are zero. */
    #if defined(__SSE2__)
    #include <xmmintrin.h>
    typedef unsigned float_mode;
    #define FLUSHING 0x8040u
    #define float_mode_now() _mm_getcsr()
    #define set_float_mode(mode) _mm_setcsr(mode)
    #elif defined(__aarch64__)
    typedef uint64_t float_mode;
    #define FLUSHING ((uint64_t) 1 << 24)
    static inline float_mode float_mode_now(void)
    {
        float_mode mode;
        __asm__ volatile("mrs %0, fpcr" : "=r"(mode));
        return mode;
    }
    #define set_float_mode(mode) __asm__ volatile("msr fpcr, %0" : : "r"(mode))
    #else
    typedef int float_mode;
    #define FLUSHING 0
    #define float_mode_now() 0
    #define set_float_mode(mode) ((void) (mode))
    #endif

    /* GCC itself, and none of those that claim to be. */
    #if defined(_OPENMP) && defined(__GNUC__) && !defined(__clang__) && !defined(_WIN32) \\
        && !defined(__INTEL_COMPILER) && !defined(__NVCOMPILER) && !defined(__PGI)
    #define HAS_TEAM 1
    #include <pthread.h>
    #include <sched.h>
    #include <signal.h>
    #include <time.h>

    #define LIBRARY_ONLY __attribute__((visibility("hidden"), noipa))
    #define PATIENCE 1000000  /* ns for which a worker looks for a part before it sleeps */
    #define LOOKS 64          /* for a part, before it yields the core */
    #define WAITS 1000        /* for a part that a worker does, before the caller yields */

    #if defined(__x86_64__) || defined(__i386__)
    #define PAUSE __builtin_ia32_pause()
    #elif defined(__aarch64__)
    #define PAUSE __asm__ volatile("yield")
    #else
    #define PAUSE
    #endif

    typedef void (*loop_body)(void *);

    typedef struct {
        uint64_t offer;    /* twice the number of the loop; 1 more when its part has been claimed */
        uint64_t done;     /* number of the loop whose part was done last */
        loop_body body;    /* NULL: there will be no more */
        void *data;
        int part, n_parts;
        int asleep;
        pthread_t thread __attribute__((aligned(CACHE_LINE)));
        pthread_mutex_t lock;
        pthread_cond_t woken;
    } worker;

    typedef struct {
        uint64_t loop;     /* number of the last one */
        int n_workers;
        int is_complete;   /* the system gives no more */
        worker *workers[];
    } team;

    static __thread team *my_team = NULL;
    static __thread int my_part = 0, my_n_parts = 1;
    static pthread_key_t team_of_thread;
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    static int teams_end = 0;  /* whether they do so with their threads, and in a child */

    LIBRARY_ONLY int omp_get_thread_num(void) { return my_part; }
    LIBRARY_ONLY int omp_get_num_threads(void) { return my_n_parts; }
    LIBRARY_ONLY void GOMP_barrier(void) { }

    static __attribute__((noipa)) void run_part(
        loop_body body, void *data, int part, int n_parts)
    {
        int outer_part = my_part, outer_n_parts = my_n_parts;
        my_part = part;
        my_n_parts = n_parts;
        float_mode outer_mode = float_mode_now();
        set_float_mode(outer_mode | FLUSHING);
        body(data);
        set_float_mode(outer_mode);
        my_part = outer_part;
        my_n_parts = outer_n_parts;
    }

    /* If the part that was offered is for the one who asks. */
    static int claim(worker *w, uint64_t offer)
    {
        return __atomic_load_n(&w->offer, __ATOMIC_RELAXED) == offer
            && __atomic_compare_exchange_n(
                &w->offer, &offer, offer + 1, 0, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
    }

    static int64_t nanoseconds(void)
    {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        return (int64_t) now.tv_sec * 1000000000 + now.tv_nsec;
    }

    static int is_offer(worker *w)
    {
        return !(__atomic_load_n(&w->offer, __ATOMIC_SEQ_CST) & 1);
    }

    static void await_offer(worker *w)
    {
        int64_t until = nanoseconds() + PATIENCE;
        do {
            for (int i = 0; i < LOOKS; i++) {
                if (is_offer(w))
                    return;
                PAUSE;
            }
            sched_yield();
        } while (nanoseconds() < until);
        pthread_mutex_lock(&w->lock);
        __atomic_store_n(&w->asleep, 1, __ATOMIC_SEQ_CST);
        while (!is_offer(w))
            pthread_cond_wait(&w->woken, &w->lock);
        __atomic_store_n(&w->asleep, 0, __ATOMIC_RELAXED);
        pthread_mutex_unlock(&w->lock);
    }

    static void *work(void *argument)
    {
        worker *w = argument;
        for (;;) {
            await_offer(w);
            uint64_t offer = __atomic_load_n(&w->offer, __ATOMIC_RELAXED);
            if (offer & 1 || !claim(w, offer))
                continue;
            if (w->body == NULL)
                return NULL;
            run_part(w->body, w->data, w->part, w->n_parts);
            __atomic_store_n(&w->done, offer / 2, __ATOMIC_RELEASE);
        }
    }

    static void offer_part(
        worker *w, uint64_t loop, loop_body body, void *data, int part, int n_parts)
    {
        w->body = body;
        w->data = data;
        w->part = part;
        w->n_parts = n_parts;
        __atomic_store_n(&w->offer, 2 * loop, __ATOMIC_SEQ_CST);
        if (__atomic_load_n(&w->asleep, __ATOMIC_SEQ_CST)) {
            pthread_mutex_lock(&w->lock);
            pthread_cond_signal(&w->woken);
            pthread_mutex_unlock(&w->lock);
        }
    }

    static void await_done(worker *w, uint64_t loop)
    {
        for (int i = 0; __atomic_load_n(&w->done, __ATOMIC_ACQUIRE) != loop; i++) {
            if (i < WAITS)
                PAUSE;
            else
                sched_yield();
        }
    }

    /* A worker that waits for loops after this one; NULL if the system gives none. */
    static worker *new_worker(uint64_t loop)
    {
        worker *w = aligned_alloc(CACHE_LINE, sizeof(worker));
        if (w == NULL)
            return NULL;
        memset(w, 0, sizeof(worker));
        w->offer = 2 * loop + 1;
        w->done = loop;
        pthread_mutex_init(&w->lock, NULL);
        pthread_cond_init(&w->woken, NULL);
        /* Signals are for the program's threads, but for those of what a thread does itself. */
        sigset_t others, before;
        sigfillset(&others);
        sigdelset(&others, SIGSEGV);
        sigdelset(&others, SIGBUS);
        sigdelset(&others, SIGFPE);
        sigdelset(&others, SIGILL);
        pthread_sigmask(SIG_SETMASK, &others, &before);
        int failed = pthread_create(&w->thread, NULL, work, w);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        if (failed) {
            free(w);
            return NULL;
        }
        return w;
    }

    static void end_team(void *argument)
    {
        team *t = argument;
        my_team = NULL;
        for (int i = 0; i < t->n_workers; i++) {
            worker *w = t->workers[i];
            offer_part(w, t->loop + 1, NULL, NULL, 0, 0);
            pthread_join(w->thread, NULL);
            free(w);
        }
        free(t);
    }

    static void forget_team(void)
    {
        my_team = NULL;
        pthread_setspecific(team_of_thread, NULL);
    }

    static void prepare_teams(void)
    {
        teams_end = pthread_key_create(&team_of_thread, end_team) == 0
            && pthread_atfork(NULL, NULL, forget_team) == 0;
    }

    /* This thread's team, with n_workers of them if the system gives so many; or NULL. */
    static team *team_with(int n_workers)
    {
        team *t = my_team;
        if (t != NULL && (t->n_workers >= n_workers || t->is_complete))
            return t;
        pthread_once(&once, prepare_teams);
        if (!teams_end)
            return NULL;
        t = realloc(t, sizeof(team) + n_workers * sizeof(worker *));
        if (t == NULL)
            return my_team;
        if (my_team == NULL)
            memset(t, 0, sizeof(team));
        my_team = t;
        if (pthread_setspecific(team_of_thread, t) != 0)
            return t;  /* without workers */
        while (t->n_workers < n_workers && !t->is_complete) {
            worker *w = new_worker(t->loop);
            if (w == NULL)
                t->is_complete = 1;
            else
                t->workers[t->n_workers++] = w;
        }
        return t;
    }

    LIBRARY_ONLY void GOMP_parallel(
        loop_body body, void *data, unsigned n_threads, unsigned flags)
    {
        int n_parts = (int) n_threads, n_offered = 0, is_inner = my_n_parts > 1;
        team *t = n_parts > 1 && !is_inner ? team_with(n_parts - 1) : NULL;
        if (t != NULL) {
            t->loop++;
            n_offered = t->n_workers < n_parts - 1 ? t->n_workers : n_parts - 1;
        }
        for (int i = 0; i < n_offered; i++)
            offer_part(t->workers[i], t->loop, body, data, i + 1, n_parts);
        run_part(body, data, 0, n_parts);
        for (int part = n_offered + 1; part < n_parts; part++)
            run_part(body, data, part, n_parts);
        for (int i = 0; i < n_offered; i++) {
            if (claim(t->workers[i], 2 * t->loop)) {
                run_part(body, data, i + 1, n_parts);
                t->workers[i]->done = t->loop;
            }
        }
        for (int i = 0; i < n_offered; i++)
            await_done(t->workers[i], t->loop);
    }
    static inline int is_forked(void) { return 0; }
    static void notice_forks(void) { }
    #define HANDS_ON_MODE 0
    #else
    #define HAS_TEAM 0
    #if defined(_OPENMP) && !defined(_WIN32)
    #include <pthread.h>

    static int forked = 0;

    static void note_fork(void) { forked = 1; }
    static inline int is_forked(void) { return forked; }
    static void notice_forks(void) { pthread_atfork(NULL, NULL, note_fork); }
    #else
    static inline int is_forked(void) { return 0; }
    static void notice_forks(void) { }
    #endif
    /* One thread, or LLVM's OpenMP, which on these processors gives workers the caller's mode. */
    #if defined(__SSE2__) && (!defined(_OPENMP) || defined(__clang__))
    #define HANDS_ON_MODE 1
    #else
    #define HANDS_ON_MODE 0
    #endif
    #endif
    """
    ctypedef int FloatMode "float_mode"
    const bint HAS_TEAM, HANDS_ON_MODE
    const FloatMode FLUSHING
    FloatMode float_mode_now() nogil
    void set_float_mode(FloatMode mode) nogil
    bint is_forked() noexcept nogil
    void notice_forks() noexcept nogil


notice_forks()
_has_team = bool(HAS_TEAM)
_flushes_denormals = bool(FLUSHING) and bool(HAS_TEAM or HANDS_ON_MODE)
