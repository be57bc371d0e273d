// Crossings are sorted, by ranges of where they came from, and each run of equal pairs is one edge.
#include "sidereal/flux.hpp"

#include <algorithm>
#include <compare>
#include <vector>

#include "foresight.hpp"
#include "key_ranges.hpp"

namespace sidereal {

Flux flux(std::span<const Sector> from, std::span<const Sector> to) {
    struct Edge {
        std::uint64_t source, target;
        auto operator<=>(const Edge&) const = default;
    };
    constexpr std::size_t rows_least = std::size_t{256} * 1024;  // 4 MB
    const KeyRanges ranges(from, rows_least, true);
    std::vector<Edge> edges;
    Flux out;
    for (std::size_t range = 0; range < ranges.size(); ++range) {
        edges.clear();
        ranges.each(from, range, [&](std::uint32_t i) {
            if (exists(from[i]) && exists(to[i]) && from[i] != to[i])
                edges.push_back({key_of(from[i]), key_of(to[i])});
        });
        std::sort(edges.begin(), edges.end());
        std::size_t distinct = edges.empty() ? 0 : 1;
        for (std::size_t i = 1; i < edges.size(); ++i) distinct += edges[i - 1] != edges[i] ? 1 : 0;
        foresee(out.source, distinct, range + 1, ranges.size());
        foresee(out.target, distinct, range + 1, ranges.size());
        foresee(out.n, distinct, range + 1, ranges.size());
        for (auto first = edges.begin(); first != edges.end();) {
            const auto last = std::find_if(first, edges.end(), [&](Edge e) { return e != *first; });
            out.source.push_back(sector_of_key(first->source));
            out.target.push_back(sector_of_key(first->target));
            out.n.push_back(static_cast<std::uint32_t>(last - first));
            first = last;
        }
    }
    return out;
}

}  // namespace sidereal
