# The numbers of flags.py for the compiled loop.
cdef enum:
    KEY = 1
    PARAMS = 2
    DAMAGED = 4
    RECOVERY = 8
    RESTARTED = 16
