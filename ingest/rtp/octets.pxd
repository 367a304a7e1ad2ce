# The operations of octets.py in C; a header only, so nothing of it is a module of its own.
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.string cimport memchr, memcmp, memcpy, memset


cdef inline unsigned int u16(const unsigned char* data, Py_ssize_t at) noexcept:
    return (<unsigned int>data[at] << 8) | data[at + 1]


cdef inline unsigned int u32(const unsigned char* data, Py_ssize_t at) noexcept:
    return (<unsigned int>data[at] << 24) | (<unsigned int>data[at + 1] << 16) | (<unsigned int>data[at + 2] << 8) | data[at + 3]


cdef inline unsigned int bits(const unsigned char* data, Py_ssize_t at, Py_ssize_t bit, int count) noexcept:
    cdef unsigned int value = 0
    cdef Py_ssize_t i
    for i in range(bit, bit + count):
        value = value << 1 | (data[at + (i >> 3)] >> (7 - (i & 7)) & 1)
    return value


cdef inline bint same8(const unsigned char* data, Py_ssize_t at, bytes stamp) noexcept:
    return PyBytes_GET_SIZE(stamp) == 8 and memcmp(data + at, PyBytes_AS_STRING(stamp), 8) == 0


cdef inline Py_ssize_t take_alike(
    const unsigned char* data, Py_ssize_t at, Py_ssize_t end, Py_ssize_t model, Py_ssize_t step, Py_ssize_t skipped,
    unsigned char* to, Py_ssize_t to_at, Py_ssize_t limit
) noexcept:
    cdef unsigned int sequence = u16(data, model + 6)
    cdef Py_ssize_t room = step - skipped
    cdef Py_ssize_t count = 0
    while at + step <= end and to_at + room <= limit:
        sequence = (sequence + 1) & 0xFFFF
        if (
            u16(data, at + 6) != sequence
            or memcmp(data + at, data + model, 6) != 0
            or memcmp(data + at + 8, data + model + 8, skipped - 8) != 0
        ):
            break
        memcpy(to + to_at, data + at + skipped, room)
        to_at += room
        at += step
        count += 1
    return count


cdef inline bytes take(const unsigned char* data, Py_ssize_t at, Py_ssize_t size):
    return PyBytes_FromStringAndSize(<const char*>data + at, size)


cdef inline void copy(unsigned char* to, Py_ssize_t to_at, const unsigned char* data, Py_ssize_t at, Py_ssize_t size) noexcept:
    memcpy(to + to_at, data + at, size)


cdef inline void fill(unsigned char* to, Py_ssize_t at, int value, Py_ssize_t size) noexcept:
    memset(to + at, value, size)


cdef inline void put16(unsigned char* to, Py_ssize_t at, Py_ssize_t value) noexcept:
    to[at] = <unsigned char>(value >> 8)
    to[at + 1] = <unsigned char>value


cdef inline void put32(unsigned char* to, Py_ssize_t at, Py_ssize_t value) noexcept:
    to[at] = <unsigned char>(value >> 24)
    to[at + 1] = <unsigned char>(value >> 16)
    to[at + 2] = <unsigned char>(value >> 8)
    to[at + 3] = <unsigned char>value


cdef inline Py_ssize_t find_start(const unsigned char* data, Py_ssize_t at, Py_ssize_t end) noexcept:
    # A start code ends in 01 behind two zeros; 01 is rare in coded pictures, so memchr does nearly all of the way.
    cdef Py_ssize_t i = at + 2
    cdef const unsigned char* hit
    while i < end:
        hit = <const unsigned char*>memchr(data + i, 1, end - i)
        if hit == NULL:
            return -1
        i = hit - data
        if data[i - 1] == 0 and data[i - 2] == 0:
            return i - 2
        i += 1
    return -1


cdef inline Py_ssize_t skip_escaped(const unsigned char* data, Py_ssize_t at, Py_ssize_t end, Py_ssize_t size) noexcept:
    cdef int zeros = 0
    while size > 0 and at < end:
        if zeros >= 2 and data[at] == 3:
            zeros = 0
        else:
            zeros = zeros + 1 if data[at] == 0 else 0
            size -= 1
        at += 1
    return at
