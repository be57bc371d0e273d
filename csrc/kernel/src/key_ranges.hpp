// Sectors cut into ranges by their order, each with about as many of the rows.
//
// Work on one range after the other holds what it needs for a sixteenth of the rows, and that stays
// in the caches. Each range costs a look at all rows. Where a sample says that hardly any sector
// is rare, there are few sectors, and one range.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "blocks.hpp"
#include "sidereal/grid.hpp"

namespace sidereal {

class KeyRanges {
  public:
    static constexpr std::size_t most = 16;

    // One range where there are fewer rows than that; `always`: several even where sectors are few.
    KeyRanges(std::span<const Sector> rows, std::size_t rows_least, bool always) {
        constexpr std::size_t sample_size = 8192;
        if (rows.size() < std::max(rows_least, sample_size)) return;
        std::vector<std::uint64_t> sample(sample_size);
        for (std::size_t i = 0; i < sample_size; ++i)
            sample[i] = key_of(rows[i * (rows.size() / sample_size)]);
        std::sort(sample.begin(), sample.end());
        if (!always && rare(sample) < sample_size / 32) return;
        for (std::size_t range = 1; range < most; ++range) {
            const std::uint64_t key = sample[range * sample_size / most];
            if (key > first_.back()) first_.push_back(key);
        }
    }

    std::size_t size() const { return first_.size(); }

    // Calls f(row number) for the rows of a range, ascending.
    template <class F>
    void each(std::span<const Sector> rows, std::size_t range, F&& f) const {
        const std::uint64_t low = first_[range];
        const std::uint64_t last = range + 1 < size() ? first_[range + 1] - 1 : ~std::uint64_t{0};
        const std::uint64_t width = last - low;
        std::array<std::uint32_t, block_rows> found;
        each_block({0, rows.size()}, [&](std::size_t begin, std::size_t n) {
            std::size_t count = 0;
            for (std::size_t i = begin; i < begin + n; ++i) {
                found[count] = static_cast<std::uint32_t>(i);
                count += key_of(rows[i]) - low <= width ? 1 : 0;
            }
            for (std::size_t i = 0; i < count; ++i) f(found[i]);
        });
    }

  private:
    // How many of a sorted sample have a key that no other has.
    static std::size_t rare(std::span<const std::uint64_t> sample) {
        std::size_t n = 0;
        for (std::size_t i = 1; i + 1 < sample.size(); ++i)
            n += sample[i - 1] != sample[i] && sample[i] != sample[i + 1] ? 1 : 0;
        return n;
    }

    std::vector<std::uint64_t> first_{0};  // of each range, ascending
};

}  // namespace sidereal
