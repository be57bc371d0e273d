// How many threads.
#include "sidereal/runtime.hpp"

#include <atomic>
#include <stdexcept>
#include <string>

namespace sidereal {
namespace {
std::atomic<int> thread_count{1};
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
