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
#include "tally.hpp"

namespace sidereal {
namespace {

// The edges of a range, and how many rows each has.
struct Edges {
    Numbers sectors;
    Tally edges;

    void add(Sector from, Sector to) {
        if (!exists(from) || !exists(to) || from == to) return;
        const std::uint64_t source = sectors.of(key_of(from)), target = sectors.of(key_of(to));
        edges.add(source << 32 | target);
    }

    std::uint64_t source(std::uint32_t edge) const {
        return sectors.keys()[edges.keys()[edge] >> 32];
    }
    std::uint64_t target(std::uint32_t edge) const {
        return sectors.keys()[edges.keys()[edge] & 0xFFFFFFFFu];
    }

    std::size_t size() const { return edges.n.size(); }

    // Their numbers by source, then target.
    std::vector<std::uint32_t> ordered() const {
        std::vector<std::uint32_t> order(size());
        std::iota(order.begin(), order.end(), 0u);
        std::sort(order.begin(), order.end(), [this](std::uint32_t a, std::uint32_t b) {
            return source(a) != source(b) ? source(a) < source(b) : target(a) < target(b);
        });
        return order;
    }

    void clear() {
        sectors.clear();
        edges.clear();
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
        foresee(out.source, edges.size(), range + 1, ranges.size());
        foresee(out.target, edges.size(), range + 1, ranges.size());
        foresee(out.n, edges.size(), range + 1, ranges.size());
        for (const std::uint32_t edge : edges.ordered()) {
            out.source.push_back(sector_of_key(edges.source(edge)));
            out.target.push_back(sector_of_key(edges.target(edge)));
            out.n.push_back(edges.edges.n[edge]);
        }
    }
    return out;
}

}  // namespace sidereal
