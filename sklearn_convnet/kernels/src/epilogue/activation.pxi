# Activations f and their derivatives f'.
#
# Design:
# * f' is written in terms of the output y = f(z) wherever that is possible, so that z need
#   not be kept: only those that are not monotone need their input, GELU, SiLU and hard swish.
# * exp, log1p and what is made of them are polynomials in a loop over BLOCK elements, which
#   the compiler turns into vectors. The rest of an array that is no whole block is copied
#   into one: the same instructions for every element, so the same bits wherever it lies.
# * In these loops all constants are `real`: with a C double among floats, all is done in double.

from libc.math cimport INFINITY, ceil, fabs, log, pow, sqrt

cdef enum:
    IDENTITY, RELU, LEAKY_RELU, TANH, LOGISTIC, ELU, SOFTPLUS, RELU6, HARD_LOGISTIC, SOFTSIGN
    GELU, SILU, HARD_SWISH  # from GELU on: those whose derivative needs the input

ACTIVATIONS = (
    "identity", "relu", "leaky_relu", "tanh", "logistic", "elu", "softplus", "relu6",
    "hard_logistic", "softsign", "gelu", "silu", "hard_swish",
)


cdef int activation_code(str name, bint of_output) except -1:
    """The code of an activation; those whose derivative needs the input are refused here
    where only the output is kept."""
    cdef int code = 0
    for known in ACTIVATIONS:
        if known == name:
            if of_output and code >= GELU:
                break
            return code
        code += 1
    raise ValueError(f"unknown activation {name!r}")


# exp(x) for x <= 0 is 2^m * e^r with x = m ln2 + r, |r| <= ln2 / 2; the series of e^r - 1
# after EXP_TERMS terms is exact to the last bit. Returned are 2^m and 2^m * (e^r - 1).

cdef inline real exp_parts(real x, real* scale) noexcept nogil:
    cdef real clamped = x if x > EXP_LOWEST else EXP_LOWEST
    cdef real shifted = clamped * <real> 1.4426950408889634 + ROUND_MAGIC
    cdef real m = shifted - ROUND_MAGIC
    cdef real r = (clamped - m * LN2_HIGH) - m * LN2_LOW
    cdef real series = 0, term
    cdef bits exponent
    cdef int i
    # The lowest bits of `shifted` are m; those above are shifted out.
    memcpy(&exponent, &shifted, sizeof(real))
    exponent = (exponent + EXPONENT_BIAS) << MANTISSA_BITS
    memcpy(scale, &exponent, sizeof(real))
    for i in range(EXP_TERMS, 0, -1):
        term = r * (<real> 1 / i)
        series = series * term + term
    return scale[0] * series


cdef inline real exp_negative(real x) noexcept nogil:
    """exp(x) for x <= 0; 0 where it would leave the normal numbers. NaN stays."""
    cdef real scale
    cdef real rest = exp_parts(x, &scale)
    cdef real y = scale + rest
    y = y if x >= EXP_LOWEST else 0
    return y if x == x else x


cdef inline real expm1_negative(real x) noexcept nogil:
    """exp(x) - 1 for x <= 0, exact also near 0. NaN stays."""
    cdef real scale
    cdef real rest = exp_parts(x, &scale)
    cdef real y = (scale - <real> 1) + rest
    return y if x == x else x


# log(1 + u) = 2 artanh(u / (2 + u)) = 2 sum_i s^(2i+1) / (2i+1), s <= 1/3 for 0 <= u <= 1.

cdef extern from *:
    """
    /* A loop that GCC would not unroll, and so not turn into vectors. */
    static inline skcn_real artanh_series(skcn_real square)
    {
        skcn_real series = 0;
        UNROLL for (int i = LOG_TERMS; i >= 0; i--)
            series = series * square + (skcn_real) 2 / (2 * i + 1);
        return series;
    }
    """
    real artanh_series(real square) noexcept nogil


cdef inline real log1p_unit(real u) noexcept nogil:
    cdef real s = u / (<real> 2 + u)
    return artanh_series(s * s) * s


cdef inline real absolute(real x) noexcept nogil:
    return -x if x < 0 else x


cdef inline real logistic(real x) noexcept nogil:
    cdef real e = exp_negative(-absolute(x))
    cdef real numerator = e if x < 0 else 1
    return numerator / (<real> 1 + e)


cdef inline real tanh_(real x) noexcept nogil:
    cdef real e = expm1_negative(<real> -2 * absolute(x))
    cdef real y = -e / (<real> 2 + e)
    return -y if x < 0 else y


cdef inline real softplus(real x) noexcept nogil:
    cdef real y = log1p_unit(exp_negative(-absolute(x)))
    return y if x < 0 else x + y


# The tail 1 - Phi(|x|) of the normal distribution is exp(-x^2 / 2) t p(t) / 2 with
# t = 1 / (1 + 0.3 z) and z = |x| / sqrt 2, that is, erfc(z) / 2. p interpolates
# exp(z^2) erfc(z) / t at Chebyshev's nodes, in u = scale t + shift from -1 to 1, as far as exp does
# not underflow; its relative error is 2.4e-8 in float32, and 3e-16 in float64.

cdef extern from *:
    """
    #ifdef SINGLE
    #define TAIL_TERMS 8
    #define TAIL_SCALE 2.7017543859649123
    #define TAIL_SHIFT -1.7017543859649123
    static const skcn_real TAIL[] = {
            0.412580034, 0.302249179, 0.17437412, 0.0783431949, 0.0263026223, 0.00586701465,
            0.000488683187, -0.000158903915, -4.59641973e-5,
    };
    #else
    #define TAIL_TERMS 20
    #define TAIL_SCALE 2.2424242424242424
    #define TAIL_SHIFT -1.2424242424242424
    static const skcn_real TAIL[] = {
            0.35735567676938774, 0.28894440991287368, 0.19214242725806503, 0.10347251065303456,
            0.043497092418907656, 0.013063193043069345, 0.0020389646793488528,
            -0.00028609106546451853, -0.00022600046879004642, -2.1461521783762732e-5,
            1.6910427217178349e-5, 4.0728632418048758e-6, -1.3796171491178894e-6,
            -5.0501666657754881e-7, 1.4443539691267059e-7, 5.7379535530471534e-8,
            -1.9085535517121357e-8, -5.7882271549633645e-9, 2.5629520602397709e-9,
            3.8654367986856512e-10, -2.2595733407312656e-10,
    };
    #endif

    static inline skcn_real tail_series(skcn_real t)
    {
        skcn_real u = t * (skcn_real) TAIL_SCALE + (skcn_real) TAIL_SHIFT, series = 0;
        UNROLL for (int i = TAIL_TERMS; i >= 0; i--)
            series = series * u + TAIL[i];
        return series;
    }
    """
    real tail_series(real t) noexcept nogil


cdef inline real normal_tail(real x, real e) noexcept nogil:
    """1 - Phi(|x|), given e = exp(-x^2 / 2)."""
    cdef real t = 1 / (<real> 1 + absolute(x) * <real> 0.21213203435596426)
    return <real> 0.5 * e * (t * tail_series(t))


cdef inline real gelu(real x) noexcept nogil:
    cdef real tail = normal_tail(x, exp_negative(x * x * <real> -0.5))
    return x * (tail if x < 0 else <real> 1 - tail)


cdef inline real gelu_derivative(real x) noexcept nogil:
    """Phi(x) + x phi(x)"""
    cdef real e = exp_negative(x * x * <real> -0.5), tail = normal_tail(x, e)
    return (tail if x < 0 else <real> 1 - tail) + x * (e * <real> 0.3989422804014327)


# Where a factor is 0 and the other infinite, as at -infinity, the product is the limit: the other
# is replaced by a number beyond which nothing changes.

cdef inline real within_exp(real x) noexcept nogil:
    """x, or the nearest number whose exponential does not underflow."""
    cdef real above = x if x > EXP_LOWEST else EXP_LOWEST
    return above if above < -EXP_LOWEST else -EXP_LOWEST


cdef inline real silu(real x) noexcept nogil:
    return (x if x > EXP_LOWEST else EXP_LOWEST) * logistic(x)


cdef inline real silu_derivative(real x) noexcept nogil:
    """s (1 + x (1 - s)) with s = logistic(x)"""
    cdef real s = logistic(x)
    return s * (<real> 1 + within_exp(x) * (<real> 1 - s))


cdef inline real clamped_to_6(real x) noexcept nogil:
    cdef real above = 0 if x < 0 else x
    return <real> 6 if above > 6 else above


cdef inline real hard_logistic(real x) noexcept nogil:
    return clamped_to_6(x + <real> 3) * <real> (1 / 6.)


cdef inline real hard_swish(real x) noexcept nogil:
    return (x if x > -3 else <real> -3) * hard_logistic(x)


cdef inline real hard_swish_derivative(real x) noexcept nogil:
    """(2 x + 3) / 6 between -3 and 3; the one-sided derivative from outside at both."""
    cdef real above = 0 if x <= -3 else x * <real> (1 / 3.) + <real> 0.5
    return <real> 1 if x >= 3 else above


cdef inline real softsign(real x) noexcept nogil:
    cdef real magnitude = absolute(x), limit = -1 if x < 0 else 1
    cdef real y = x / (<real> 1 + magnitude)
    return limit if magnitude == <real> INFINITY else y


cdef void exp_block(real* x) noexcept nogil:
    cdef int i
    for i in range(BLOCK):
        x[i] = exp_negative(x[i])


cdef void logistic_block(real* x) noexcept nogil:
    cdef int i
    for i in range(BLOCK):
        x[i] = logistic(x[i])


cdef void activation_block(int code, real alpha, real* x) noexcept nogil:
    """y = f(x), in place, for BLOCK elements. NaN passes through all of them."""
    cdef int i
    cdef real e
    if code == RELU:
        for i in range(BLOCK):
            x[i] = 0 if x[i] < 0 else x[i]
    elif code == LEAKY_RELU:
        for i in range(BLOCK):
            x[i] = alpha * x[i] if x[i] < 0 else x[i]
    elif code == TANH:
        for i in range(BLOCK):
            x[i] = tanh_(x[i])
    elif code == LOGISTIC:
        logistic_block(x)
    elif code == ELU:
        for i in range(BLOCK):
            e = alpha * expm1_negative(x[i] if x[i] < 0 else 0)
            x[i] = x[i] if x[i] > 0 else (e if x[i] == x[i] else x[i])
    elif code == SOFTPLUS:
        for i in range(BLOCK):
            x[i] = softplus(x[i])
    elif code == RELU6:
        for i in range(BLOCK):
            x[i] = clamped_to_6(x[i])
    elif code == HARD_LOGISTIC:
        for i in range(BLOCK):
            x[i] = hard_logistic(x[i])
    elif code == SOFTSIGN:
        for i in range(BLOCK):
            x[i] = softsign(x[i])
    elif code == GELU:
        for i in range(BLOCK):
            x[i] = gelu(x[i])
    elif code == SILU:
        for i in range(BLOCK):
            x[i] = silu(x[i])
    elif code == HARD_SWISH:
        for i in range(BLOCK):
            x[i] = hard_swish(x[i])


cdef void derivative_block(int code, real alpha, const real* s, real* d) noexcept nogil:
    """d *= f', for BLOCK elements; f' from the output s = f(z), from GELU on from s = z."""
    cdef int i
    cdef real rest
    if code == RELU:
        for i in range(BLOCK):
            d[i] = d[i] if s[i] > 0 else 0
    elif code == LEAKY_RELU:
        for i in range(BLOCK):
            d[i] = d[i] if s[i] > 0 else alpha * d[i]
    elif code == TANH:
        for i in range(BLOCK):
            d[i] = d[i] * (<real> 1 - s[i] * s[i])
    elif code == LOGISTIC:
        for i in range(BLOCK):
            d[i] = d[i] * (s[i] * (<real> 1 - s[i]))
    elif code == ELU:
        for i in range(BLOCK):
            d[i] = d[i] if s[i] > 0 else d[i] * (s[i] + alpha)
    elif code == SOFTPLUS:
        for i in range(BLOCK):
            d[i] = d[i] * -expm1_negative(-s[i])
    elif code == RELU6:
        for i in range(BLOCK):
            d[i] = d[i] if (s[i] > 0) & (s[i] < 6) else 0
    elif code == HARD_LOGISTIC:
        for i in range(BLOCK):
            d[i] = d[i] * <real> (1 / 6.) if (s[i] > 0) & (s[i] < 1) else 0
    elif code == SOFTSIGN:
        for i in range(BLOCK):
            rest = <real> 1 - absolute(s[i])
            d[i] = d[i] * (rest * rest)
    elif code == GELU:
        for i in range(BLOCK):
            d[i] = d[i] * gelu_derivative(s[i])
    elif code == SILU:
        for i in range(BLOCK):
            d[i] = d[i] * silu_derivative(s[i])
    elif code == HARD_SWISH:
        for i in range(BLOCK):
            d[i] = d[i] * hard_swish_derivative(s[i])


cdef void activate(int code, real alpha, real* x, Py_ssize_t n) noexcept nogil:
    """y = f(x), in place."""
    cdef real rest[BLOCK]
    cdef Py_ssize_t i, n_rest = n % BLOCK
    if code == IDENTITY:
        return
    for i in range(n // BLOCK):
        activation_block(code, alpha, x + i * BLOCK)
    if n_rest:
        memset(rest, 0, BLOCK * sizeof(real))
        memcpy(rest, x + n - n_rest, n_rest * sizeof(real))
        activation_block(code, alpha, rest)
        memcpy(x + n - n_rest, rest, n_rest * sizeof(real))


cdef void multiply_derivative(
    int code, real alpha, const real* s, real* d, Py_ssize_t n
) noexcept nogil:
    """d *= f', in place."""
    cdef real s_rest[BLOCK]
    cdef real d_rest[BLOCK]
    cdef Py_ssize_t i, n_rest = n % BLOCK
    if code == IDENTITY:
        return
    for i in range(n // BLOCK):
        derivative_block(code, alpha, s + i * BLOCK, d + i * BLOCK)
    if n_rest:
        memset(s_rest, 0, BLOCK * sizeof(real))
        memset(d_rest, 0, BLOCK * sizeof(real))
        memcpy(s_rest, s + n - n_rest, n_rest * sizeof(real))
        memcpy(d_rest, d + n - n_rest, n_rest * sizeof(real))
        derivative_block(code, alpha, s_rest, d_rest)
        memcpy(d + n - n_rest, d_rest, n_rest * sizeof(real))
