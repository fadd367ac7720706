# Bounds of the blocks into which products are cut, and of how many parts there are for threads. KC,
# and the bounds of a tile, MR and NR, follow from the registers: see simd.pxi.

cdef enum:
    MC = 126           # rows between two uses of the same part of a panel
    MAX_PIECES = 16
    MIN_PIECES = 4
    PIECE_BYTES = 1 << 22     # all pieces together, beyond MIN_PIECES
    WANTED_TASKS = 16
    NEAR_BYTES = 6 << 20      # of input and output that caches hold for whom comes next
