// Edges are counted by hashing, by ranges of where they come from, and sorted once each is known:
// what is held follows the number of edges, not that of crossings.
//
// Sectors are numbered first, so that an edge is one 64-bit key.
#include "sidereal/flux.hpp"

#include <algorithm>
#include <numeric>
#include <vector>

#include "foresight.hpp"
#include "key_ranges.hpp"
#include "sidereal/slot_index.hpp"

namespace sidereal {
namespace {

// Keys numbered in order of appearance.
class Numbers {
  public:
    std::uint32_t of(std::uint64_t key) {
        if (!keys_.empty() && keys_[last_] == key) return last_;
        last_ = index_.find(key, keys_.data());
        if (last_ == absent) {
            last_ = static_cast<std::uint32_t>(keys_.size());
            keys_.push_back(key);
            index_.insert(key, last_, keys_.data());
        }
        return last_;
    }

    const std::vector<std::uint64_t>& keys() const { return keys_; }

    void clear() {
        keys_.clear();
        index_.clear();
        last_ = 0;
    }

  private:
    std::vector<std::uint64_t> keys_;
    SlotIndex index_;
    std::uint32_t last_ = 0;
};

// The edges of a range, and how many rows each has.
struct Edges {
    Numbers sectors, edges;
    std::vector<std::uint32_t> n;

    void add(Sector from, Sector to) {
        if (!exists(from) || !exists(to) || from == to) return;
        const std::uint64_t source = sectors.of(key_of(from)), target = sectors.of(key_of(to));
        const std::uint32_t edge = edges.of(source << 32 | target);
        if (edge == n.size()) n.push_back(0);
        ++n[edge];
    }

    std::uint64_t source(std::uint32_t edge) const {
        return sectors.keys()[edges.keys()[edge] >> 32];
    }
    std::uint64_t target(std::uint32_t edge) const {
        return sectors.keys()[edges.keys()[edge] & 0xFFFFFFFFu];
    }

    // Their numbers by source, then target.
    std::vector<std::uint32_t> ordered() const {
        std::vector<std::uint32_t> order(n.size());
        std::iota(order.begin(), order.end(), 0u);
        std::sort(order.begin(), order.end(), [this](std::uint32_t a, std::uint32_t b) {
            return source(a) != source(b) ? source(a) < source(b) : target(a) < target(b);
        });
        return order;
    }

    void clear() {
        sectors.clear(), edges.clear();
        n.clear();
    }
};

}  // namespace

Flux flux(std::span<const Sector> from, std::span<const Sector> to) {
    constexpr std::size_t rows_least = std::size_t{64} * 1024;
    const KeyRanges ranges(from, rows_least, false);
    Edges edges;
    Flux out;
    for (std::size_t range = 0; range < ranges.size(); ++range) {
        edges.clear();
        ranges.each(from, range, [&](std::uint32_t i) { edges.add(from[i], to[i]); });
        foresee(out.source, edges.n.size(), range + 1, ranges.size());
        foresee(out.target, edges.n.size(), range + 1, ranges.size());
        foresee(out.n, edges.n.size(), range + 1, ranges.size());
        for (const std::uint32_t edge : edges.ordered()) {
            out.source.push_back(sector_of_key(edges.source(edge)));
            out.target.push_back(sector_of_key(edges.target(edge)));
            out.n.push_back(edges.n[edge]);
        }
    }
    return out;
}

}  // namespace sidereal
