// Rows in blocks that stay in the first-level cache, and the few of a block that are flagged.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "parallel.hpp"

namespace sidereal {

inline constexpr std::size_t block_rows = 1024;

// Two bits a row, as the passes write them.
using Flags = std::array<std::uint64_t, block_rows / 32>;

// Lists those of the first `rows` rows of a block that have a bit set, ascending; returns how many.
// `out` has room for one more than there are. The first of a word is written whether or not there
// is one: where few rows are flagged, a branch on that would be foreseen wrongly once for each. Bit
// 63 belongs to no row and keeps the word from being zero, which the plainest instruction set would
// branch on.
inline std::size_t list_flagged(const Flags& flags, std::size_t rows, std::uint32_t* out) {
    std::size_t n = 0;
    for (std::size_t word = 0; word * 32 < rows; ++word) {
        std::uint64_t either = (flags[word] | flags[word] >> 1) & 0x5555555555555555u;
        const auto first = static_cast<std::uint32_t>(word * 32);
        const auto next = [&] {
            constexpr std::uint64_t no_row = std::uint64_t{1} << 63;
            return first + static_cast<std::uint32_t>(std::countr_zero(either | no_row)) / 2;
        };
        out[n] = next();
        n += either != 0 ? 1 : 0;
        for (either &= either - 1; either != 0; either &= either - 1) out[n++] = next();
    }
    return n;
}

// Calls f with each of the first `rows` rows of a block that has a bit set, ascending.
template <class F>
void each_flagged(const Flags& flags, std::size_t rows, F&& f) {
    for (std::size_t word = 0; word * 32 < rows; ++word) {
        std::uint64_t either = (flags[word] | flags[word] >> 1) & 0x5555555555555555u;
        for (; either != 0; either &= either - 1)
            f(word * 32 + static_cast<std::size_t>(std::countr_zero(either)) / 2);
    }
}

// Whether row i of a block has a bit set.
inline bool flagged(const Flags& flags, std::size_t i) {
    return (flags[i / 32] >> (i % 32 * 2) & 3) != 0;
}

// Calls f with the first row and the number of rows of each block.
template <class F>
void each_block(Range rows, F&& f) {
    for (std::size_t begin = rows.begin; begin < rows.end; begin += block_rows)
        f(begin, std::min(block_rows, rows.end - begin));
}

}  // namespace sidereal
