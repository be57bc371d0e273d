// A disk that loses whatever was not made durable: loaded into a process before libc.
// Each fsync of a file in the directory POWER_WATCH copies the file to POWER_IMAGE, under its
// inode's number; each fsync of that directory copies the list of its names there. So the image is
// always what a loss of power leaves at worst. An inode is held, so that no number comes twice.
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <set>
#include <string>

namespace {

std::mutex one_at_a_time;
std::set<ino_t> held;

std::string path_of(int descriptor) {
    char path[4096] = {};
    const std::string link = "/proc/self/fd/" + std::to_string(descriptor);
    const ssize_t size = readlink(link.c_str(), path, sizeof path - 1);
    return size > 0 ? path : "";
}

void put(const std::string& name, const std::string& content) {
    const std::string path = std::string(std::getenv("POWER_IMAGE")) + "/" + name;
    FILE* file = std::fopen((path + ".new").c_str(), "wb");
    if (file == nullptr || std::fwrite(content.data(), 1, content.size(), file) != content.size() ||
        std::fclose(file) != 0 || std::rename((path + ".new").c_str(), path.c_str()) != 0) {
        std::abort();
    }
}

void put_file(int descriptor, const struct stat& found) {
    const std::string link = "/proc/self/fd/" + std::to_string(descriptor);
    if (held.insert(found.st_ino).second && open(link.c_str(), O_PATH) < 0) {
        std::abort();
    }
    std::string content(static_cast<size_t>(found.st_size), '\0');
    ssize_t size = pread(descriptor, content.data(), content.size(), 0);
    if (size < 0) {  // it is open for writing only
        const int again = open(link.c_str(), O_RDONLY);
        size = pread(again, content.data(), content.size(), 0);
        close(again);
    }
    content.resize(static_cast<size_t>(size < 0 ? 0 : size));
    put(std::to_string(found.st_ino), content);
}

void put_names(const std::string& directory) {
    std::string names;
    DIR* listing = opendir(directory.c_str());
    while (const dirent* entry = readdir(listing)) {
        if (entry->d_type == DT_REG) {
            names += std::to_string(entry->d_ino) + " " + entry->d_name + "\n";
        }
    }
    closedir(listing);
    put("names", names);
}

int made_durable(int descriptor, long answer) {
    const int error = errno;
    const char* watched = std::getenv("POWER_WATCH");
    struct stat found = {};
    if (answer == 0 && watched != nullptr && fstat(descriptor, &found) == 0) {
        const std::lock_guard lock(one_at_a_time);
        const std::string path = path_of(descriptor);
        if (path == watched) {
            put_names(path);
        } else if (S_ISREG(found.st_mode) && path.rfind(std::string(watched) + "/", 0) == 0) {
            put_file(descriptor, found);
        }
    }
    errno = error;
    return static_cast<int>(answer);
}

}  // namespace

extern "C" {

int fsync(int descriptor) {
    return made_durable(descriptor, syscall(SYS_fsync, descriptor));
}

int fdatasync(int descriptor) {
    return made_durable(descriptor, syscall(SYS_fdatasync, descriptor));
}
}
