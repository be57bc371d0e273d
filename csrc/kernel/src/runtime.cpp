// Which instruction set, how many threads.
#include "sidereal/runtime.hpp"

#include <atomic>
#include <stdexcept>
#include <string>

namespace sidereal {
namespace {
std::atomic<int> thread_count{1};
}

const char* isa() {
#if defined(__x86_64__)
    return "x86-64";
#elif defined(__aarch64__)
    return "aarch64";
#else
    return "generic";
#endif
}

void set_threads(int n) {
    if (n < 1 || n > 256)
        throw std::invalid_argument("threads is " + std::to_string(n) +
                                    ": expected between 1 and 256");
    thread_count = n;
}

int threads() {
    return thread_count;
}

}  // namespace sidereal
