// Rows get the rank of their sector by hashing, then a counting sort.
#include "sidereal/group.hpp"

#include <algorithm>
#include <numeric>

#include "sidereal/slot_index.hpp"

namespace sidereal {
namespace {

// Sectors in order of appearance, how many rows each has, and (if wanted) each row's.
struct Tally {
    std::vector<std::uint64_t> keys;
    std::vector<std::uint32_t> n;
    std::vector<std::uint32_t> sector_of_row;
};

Tally tally(std::span<const Sector> rows, bool want_rows) {
    Tally t;
    if (want_rows) t.sector_of_row.resize(rows.size());
    SlotIndex index;
    std::uint64_t last_key = 0;
    std::uint32_t last = absent;
    for (std::size_t i = 0; i < rows.size(); ++i) {
        const std::uint64_t key = key_of(rows[i]);
        if (last == absent || key != last_key) {
            last_key = key;
            last = index.find(key, t.keys.data());
            if (last == absent) {
                last = static_cast<std::uint32_t>(t.keys.size());
                t.keys.push_back(key);
                t.n.push_back(0);
                index.insert(key, last, t.keys.data());
            }
        }
        ++t.n[last];
        if (want_rows) t.sector_of_row[i] = last;
    }
    return t;
}

// The sectors' numbers in the order of their keys.
std::vector<std::uint32_t> sorted(const std::vector<std::uint64_t>& keys) {
    std::vector<std::uint32_t> order(keys.size());
    std::iota(order.begin(), order.end(), 0u);
    std::sort(order.begin(), order.end(),
              [&](std::uint32_t a, std::uint32_t b) { return keys[a] < keys[b]; });
    return order;
}

}  // namespace

Counts counts(std::span<const Sector> rows) {
    const Tally t = tally(rows, false);
    Counts out;
    out.sectors.reserve(t.keys.size());
    out.n.reserve(t.keys.size());
    for (const std::uint32_t s : sorted(t.keys)) {
        out.sectors.push_back(sector_of_key(t.keys[s]));
        out.n.push_back(t.n[s]);
    }
    return out;
}

Groups group(std::span<const Sector> rows) {
    Tally t = tally(rows, true);
    Groups out;
    out.sectors.reserve(t.keys.size());
    out.offsets.reserve(t.keys.size() + 1);
    out.offsets.push_back(0);
    std::vector<std::uint32_t>& next = t.n;  // from how many to where the next row goes
    for (const std::uint32_t s : sorted(t.keys)) {
        const std::uint32_t begin = out.offsets.back();
        out.sectors.push_back(sector_of_key(t.keys[s]));
        out.offsets.push_back(begin + next[s]);
        next[s] = begin;
    }
    out.order.resize(rows.size());
    for (std::size_t i = 0; i < rows.size(); ++i)
        out.order[next[t.sector_of_row[i]]++] = static_cast<std::uint32_t>(i);
    return out;
}

}  // namespace sidereal
