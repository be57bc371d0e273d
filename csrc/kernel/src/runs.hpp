// Slots that follow one another: almost all that a tick touches do, and are one piece of memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace sidereal {

// How many of the slots, from the first on, follow one another.
inline std::size_t run_length(std::span<const std::uint32_t> slots) {
    constexpr std::uint32_t step = 16;
    const std::uint32_t* const s = slots.data();
    const std::size_t n = slots.size();
    std::size_t i = 1;
    // A branch for each slot takes four times as long.
    for (; i + step <= n; i += step) {
        const std::uint32_t first = s[0] + static_cast<std::uint32_t>(i);
        std::uint32_t apart = 0;
        for (std::uint32_t j = 0; j < step; ++j) apart |= s[i + j] ^ (first + j);
        if (apart != 0) break;
    }
    while (i < n && s[i] == s[0] + i) ++i;
    return i;
}

// Calls f with where each run begins among the slots, and how long it is.
template <class F>
void each_run(std::span<const std::uint32_t> slots, F&& f) {
    for (std::size_t begin = 0; begin < slots.size();) {
        const std::size_t rows = run_length(slots.subspan(begin));
        f(begin, rows);
        begin += rows;
    }
}

}  // namespace sidereal
