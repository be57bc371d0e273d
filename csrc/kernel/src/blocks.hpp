// Rows in blocks that stay in the first-level cache, and the few of a block that are flagged.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "parallel.hpp"

namespace sidereal {

inline constexpr std::size_t block_rows = 1024;

// Two flags a row, zero beyond the last row.
using Flags = std::array<std::uint8_t, block_rows * 2>;

// Calls f with each row of the block that has a flag, ascending.
template <class F>
void each_flagged(Flags& flags, std::size_t rows, F&& f) {
    std::memset(flags.data() + rows * 2, 0, flags.size() - rows * 2);
    for (std::size_t at = 0; at < rows; at += 16) {
        std::uint64_t words[4];
        std::memcpy(words, flags.data() + at * 2, sizeof words);
        if ((words[0] | words[1] | words[2] | words[3]) == 0) continue;
        for (std::size_t w = 0; w < 4; ++w)
            while (words[w] != 0) {
                const auto row = static_cast<std::size_t>(std::countr_zero(words[w])) / 16;
                f(at + w * 4 + row);
                words[w] &= ~(std::uint64_t{0xFFFF} << (row * 16));
            }
    }
}

// Calls f with the first row and the number of rows of each block.
template <class F>
void each_block(Range rows, F&& f) {
    for (std::size_t begin = rows.begin; begin < rows.end; begin += block_rows)
        f(begin, std::min(block_rows, rows.end - begin));
}

}  // namespace sidereal
