// Counting within a window, a byte a cell: that many counters stay in the first caches. A byte that
// overflows is noted down, 256 rows at a time.
#include <algorithm>
#include <array>

#include "parallel.hpp"
#include "passes.hpp"
#include "spread.hpp"
#include "window.hpp"

namespace sidereal {
namespace {

constexpr std::size_t step = 256;
constexpr std::size_t part_rows = std::size_t{256} * 1024;  // fewer are not worth a thread

struct Part {
    LargeVector<std::uint8_t> low;     // the rows of each cell, modulo 256
    std::vector<std::uint32_t> wraps;  // a cell, each time its byte began again
    std::vector<Sector> strangers;     // rows outside of the window
    std::size_t strangers_max = 0;

    // False if too many rows are outside.
    bool count(std::span<const Sector> rows, const Window& window) {
        low.assign(std::size_t{window.cells()} + 1, 0);
        std::uint8_t* const counters = low.data();
        std::array<std::uint32_t, step> cells;
        for (std::size_t begin = 0; begin < rows.size(); begin += step) {
            const std::size_t n = std::min(step, rows.size() - begin);
            const bool all = passes().cells(&rows[begin].x, n, window.x, window.y, window.width,
                                            window.height, cells.data());
            // The next rows are fetched while these are counted.
            for (std::size_t i = 0; i < n; i += 8) __builtin_prefetch(rows.data() + begin + n + i);
            if (!all && !set_aside(rows.subspan(begin, n), cells)) return false;
            for (std::size_t i = 0; i < n; ++i)
                if (++counters[cells[i]] == 0) wraps.push_back(cells[i]);
        }
        return true;
    }

    // Has rows that are outside counted in a cell beyond the last. False if there are too many.
    bool set_aside(std::span<const Sector> rows, std::array<std::uint32_t, step>& cells) {
        const auto nowhere = static_cast<std::uint32_t>(low.size() - 1);
        for (std::size_t i = 0; i < rows.size(); ++i) {
            if (cells[i] != outside) continue;
            strangers.push_back(rows[i]);
            cells[i] = nowhere;
        }
        return strangers.size() <= strangers_max;
    }

    void add(const Part& other) {
        for (std::uint32_t c = 0; c < low.size(); ++c) {
            const std::uint8_t before = low[c];
            low[c] = static_cast<std::uint8_t>(before + other.low[c]);
            if (low[c] < before) wraps.push_back(c);
        }
        wraps.insert(wraps.end(), other.wraps.begin(), other.wraps.end());
        strangers.insert(strangers.end(), other.strangers.begin(), other.strangers.end());
    }
};

// Occupied cells, by y, then x, with the strangers among them.
Counts collect(const Window& window, Part& all) {
    all.low.back() = 0;
    std::erase(all.wraps, window.cells());
    std::sort(all.wraps.begin(), all.wraps.end());
    const Counts far = counts_spread(all.strangers);
    std::size_t occupied = far.n.size();
    for (const std::uint8_t n : all.low) occupied += n != 0;
    for (std::size_t i = 0; i < all.wraps.size(); ++i)  // bytes that began again and stayed 0
        occupied += all.low[all.wraps[i]] == 0 && (i == 0 || all.wraps[i - 1] != all.wraps[i]);
    all.wraps.push_back(window.cells());
    Counts out;
    out.sectors.resize(occupied);
    out.n.resize(occupied);
    std::size_t at = 0, next_far = 0;
    const auto put = [&](Sector s, std::uint32_t n) {
        out.sectors[at] = s;
        out.n[at++] = n;
    };
    const std::uint8_t* low = all.low.data();
    const std::uint32_t* wrap = all.wraps.data();
    std::uint32_t cell = 0;
    for (std::uint32_t y = 0; y < window.height; ++y) {
        const std::uint64_t key = key_of(window.sector(y, 0));
        for (; next_far < far.n.size() && key_of(far.sectors[next_far]) < key; ++next_far)
            put(far.sectors[next_far], far.n[next_far]);
        for (std::uint32_t x = 0; x < window.width; ++x, ++cell) {
            std::uint32_t n = low[cell];
            for (; *wrap == cell; ++wrap) n += 256;
            if (n != 0) put(window.sector(y, x), n);
        }
    }
    for (; next_far < far.n.size(); ++next_far) put(far.sectors[next_far], far.n[next_far]);
    return out;
}

}  // namespace

Counts counts(std::span<const Sector> rows) {
    const std::optional<Window> most = window(rows);
    if (!most) return counts_spread(rows);
    const Cut cut(rows.size(), part_rows, step);
    std::vector<Part> parts(cut.parts());
    std::vector<std::uint8_t> fits(cut.parts());
    parallel(cut.parts(), [&](std::size_t p) {
        parts[p].strangers_max = outside_max(rows.size());
        fits[p] = parts[p].count(rows.subspan(cut[p].begin, cut[p].size()), *most);
    });
    if (std::count(fits.begin(), fits.end(), 0) != 0) return counts_spread(rows);
    for (std::size_t p = 1; p < parts.size(); ++p) parts[0].add(parts[p]);
    return collect(*most, parts[0]);
}

}  // namespace sidereal
