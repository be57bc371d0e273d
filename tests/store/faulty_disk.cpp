// A disk that fails when it is told to: loaded into a process before libc (LD_PRELOAD).
// While the file named by FAULT_FILE holds "fsync", what makes a journal durable fails with
// EIO; while it holds "full", what writes one fails with ENOSPC; while "broken", with EIO.
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

bool due(const char* fault) {
    const char* name = std::getenv("FAULT_FILE");
    char content[32] = {};
    if (name == nullptr) {
        return false;
    }
    const int file = open(name, O_RDONLY);
    if (file < 0) {
        return false;
    }
    const ssize_t size = read(file, content, sizeof content - 1);
    close(file);
    return size > 0 && std::strncmp(content, fault, std::strlen(fault)) == 0;
}

bool kept(int descriptor) {
    char link[64];
    char path[4096] = {};
    std::snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    return readlink(link, path, sizeof path - 1) > 0 &&
           (std::strstr(path, "journal.sqlite") != nullptr ||
            std::strstr(path, "snapshot-") != nullptr);
}

int refused(int descriptor) {
    if (!kept(descriptor)) {
        return 0;
    }
    return due("full") ? ENOSPC : due("broken") ? EIO : 0;
}

}  // namespace

extern "C" {

int fsync(int descriptor) {
    if (kept(descriptor) && due("fsync")) {
        errno = EIO;
        return -1;
    }
    return static_cast<int>(syscall(SYS_fsync, descriptor));
}

int fdatasync(int descriptor) {
    if (kept(descriptor) && due("fsync")) {
        errno = EIO;
        return -1;
    }
    return static_cast<int>(syscall(SYS_fdatasync, descriptor));
}

ssize_t pwrite64(int descriptor, const void* data, size_t size, off64_t at) {
    if (const int error = refused(descriptor)) {
        errno = error;
        return -1;
    }
    return syscall(SYS_pwrite64, descriptor, data, size, at);
}

ssize_t pwrite(int descriptor, const void* data, size_t size, off_t at) {
    return pwrite64(descriptor, data, size, at);
}

ssize_t write(int descriptor, const void* data, size_t size) {
    if (const int error = refused(descriptor)) {
        errno = error;
        return -1;
    }
    return syscall(SYS_write, descriptor, data, size);
}
}
