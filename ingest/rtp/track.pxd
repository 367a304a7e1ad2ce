# C types of track.py. Attributes a worker may read are readonly here; the rest is C only.
cimport cython
from ingest.rtp cimport flags, octets


cdef int MAX_DROPOUT, MAX_LATE
cdef bytearray _NOWHERE


cdef class Track:
    cdef readonly Py_ssize_t index
    cdef readonly int payload_type
    cdef readonly Py_ssize_t unit_limit
    cdef readonly long long highest, lost, late, resets, ssrc_changes, malformed, unsupported, other_payload, dropped_units
    cdef long long base, missing, earlier
    cdef readonly bint started
    cdef readonly unsigned int ssrc, timestamp
    cdef int flags
    cdef bytes stamp, _carried
    cdef Py_ssize_t start, pos, limit, capacity
    cdef unsigned char* data
    cdef bytearray _arena
    cdef object _pin
    cdef tuple last_frame
    cdef Py_ssize_t last_frame_at

    @cython.locals(size=Py_ssize_t)
    cpdef begin(self, bytearray arena)
    cpdef carry(self)
    cdef int shift(self, Py_ssize_t by) except -1
    cdef int settle_limit(self) except -1
    @cython.locals(at=Py_ssize_t, first=cython.int, head=cython.int, sequence=cython.longlong)
    cdef int packet(self, const unsigned char* data, Py_ssize_t start, Py_ssize_t end, list frames) except -1
    cdef Py_ssize_t middles(self, const unsigned char* data, Py_ssize_t model, Py_ssize_t at, Py_ssize_t end) except -1
    @cython.locals(timestamp=cython.uint, ssrc=cython.uint, broken=cython.int, ahead=cython.longlong)
    cdef int turn(self, const unsigned char* data, Py_ssize_t start, long long sequence, list frames) except -1
    cdef bint follows(self, const unsigned char* data, Py_ssize_t start) noexcept
    cdef int renumber(self, long long sequence) except -1
    cdef int payload(self, const unsigned char* data, Py_ssize_t at, Py_ssize_t end, int marker, list frames) except -1
    cdef int tear(self) except -1
    cdef int finish(self, list frames) except -1
    cdef int emit(self, unsigned int timestamp, list frames) except -1
    cdef int drop(self) except -1
