// Crossings are few beside rows: they are sorted, and each run of equal pairs is one edge.
#include "sidereal/flux.hpp"

#include <algorithm>
#include <compare>

namespace sidereal {

Flux flux(std::span<const Sector> from, std::span<const Sector> to) {
    struct Edge {
        std::uint64_t source, target;
        auto operator<=>(const Edge&) const = default;
    };
    RawVector<Edge> edges;
    edges.reserve(from.size());
    for (std::size_t i = 0; i < from.size(); ++i)
        if (exists(from[i]) && exists(to[i]) && from[i] != to[i])
            edges.push_back({key_of(from[i]), key_of(to[i])});
    std::sort(edges.begin(), edges.end());
    Flux out;
    for (auto first = edges.begin(); first != edges.end();) {
        const auto last = std::find_if(first, edges.end(), [&](Edge e) { return e != *first; });
        out.source.push_back(sector_of_key(first->source));
        out.target.push_back(sector_of_key(first->target));
        out.n.push_back(static_cast<std::uint32_t>(last - first));
        first = last;
    }
    return out;
}

}  // namespace sidereal
