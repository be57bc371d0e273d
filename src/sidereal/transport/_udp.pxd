# cython: language_level=3
"""What Linux offers for datagrams, as C declares it."""

from libc.stdint cimport int64_t

cdef extern from * nogil:
    """
    #include <errno.h>
    #include <netinet/in.h>
    #include <netinet/udp.h>
    #include <poll.h>
    #include <sched.h>
    #include <sys/socket.h>
    #include <sys/uio.h>
    #include <time.h>
    #ifndef UDP_SEGMENT
    #define UDP_SEGMENT 103
    #endif
    #ifndef UDP_GRO
    #define UDP_GRO 104
    #endif
    #ifndef SOL_UDP
    #define SOL_UDP 17
    #endif
    """
    ctypedef int socklen_t
    cdef struct iovec:
        void* iov_base
        size_t iov_len
    cdef struct msghdr:
        void* msg_name
        socklen_t msg_namelen
        iovec* msg_iov
        size_t msg_iovlen
        void* msg_control
        size_t msg_controllen
        int msg_flags
    cdef struct mmsghdr:
        msghdr msg_hdr
        unsigned int msg_len
    cdef struct cmsghdr:
        size_t cmsg_len
        int cmsg_level
        int cmsg_type
    cdef struct sockaddr_storage:
        unsigned short ss_family
    cdef struct timespec:
        int64_t tv_sec
        long tv_nsec
    cdef struct pollfd:
        int fd
        short events
        short revents
    cmsghdr* CMSG_FIRSTHDR(msghdr*)
    cmsghdr* CMSG_NXTHDR(msghdr*, cmsghdr*)
    unsigned char* CMSG_DATA(cmsghdr*)
    size_t CMSG_SPACE(size_t)
    size_t CMSG_LEN(size_t)
    int sendmmsg(int, mmsghdr*, unsigned int, int)
    int recvmmsg(int, mmsghdr*, unsigned int, int, timespec*)
    int clock_gettime(int, timespec*)
    int CLOCK_MONOTONIC
    int ppoll(pollfd*, unsigned long, const timespec*, const void*)
    int sched_yield()
    int POLLIN, POLLOUT
    int MSG_DONTWAIT, MSG_TRUNC
    int UDP_SEGMENT, UDP_GRO, SOL_UDP
    int AF_INET, AF_INET6


cdef inline int ready(int fd, short events, int64_t timeout_ns) noexcept nogil:
    """Wait for one descriptor, at most so long; what `ppoll` says: 1, 0, or -1 with errno."""
    cdef pollfd entry
    cdef timespec limit
    entry.fd = fd
    entry.events = events
    entry.revents = 0
    limit.tv_sec = max(0, timeout_ns) // 1_000_000_000
    limit.tv_nsec = max(0, timeout_ns) % 1_000_000_000
    return ppoll(&entry, 1, &limit, NULL)
