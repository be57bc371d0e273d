// The passes over all positions. No division where none is needed: a row that stays in its sector
// is recognised by two fused multiply-adds an axis.
#include "sidereal/positions.hpp"

namespace sidereal {
namespace {

// Outside the previous sector by at least the margin, on some axis.
bool outside(Sector k, double x, double y, double size, double margin) {
    const auto beyond = [&](std::int32_t c, double v) {
        return v < c * size - margin || v >= (c + 1.0) * size + margin;
    };
    return beyond(k.x, x) || beyond(k.y, y);
}

// Within the margin of a border of sector k, or beyond it.
bool near(std::int32_t k, double v, double size, double margin) {
    return v < k * size + margin || v >= (k + 1.0) * size - margin;
}

}  // namespace

template <class Real>
std::vector<std::uint32_t> sectors(std::span<const Point<Real>> pos, double size,
                                   std::span<Sector> out) {
    std::vector<std::uint32_t> invalid;
    for (std::size_t i = 0; i < pos.size(); ++i) {
        out[i] = sector_of(pos[i].x, pos[i].y, size);
        if (!exists(out[i])) invalid.push_back(static_cast<std::uint32_t>(i));
    }
    return invalid;
}

template <class Real>
Crossings crossings(std::span<const Point<Real>> pos, std::span<const Sector> prev, double size,
                    double margin, const SectorMap* shards) {
    Crossings out;
    for (std::size_t i = 0; i < pos.size(); ++i) {
        const double x = pos[i].x, y = pos[i].y;
        const Sector old = prev[i];
        if (holds(old, x, y, size)) continue;
        const Sector now = sector_of(x, y, size);
        if (now == old) continue;
        if (margin > 0.0 && exists(old) && exists(now) && !outside(old, x, y, size, margin) &&
            !(shards && shards->get(old).shard == shards->get(now).shard))
            continue;
        out.index.push_back(static_cast<std::uint32_t>(i));
        out.sectors.push_back(now);
    }
    return out;
}

template <class Real>
std::vector<std::uint32_t> near_border(std::span<const Point<Real>> pos,
                                       std::span<const Sector> sectors, double size,
                                       double margin) {
    std::vector<std::uint32_t> out;
    for (std::size_t i = 0; i < pos.size(); ++i) {
        const double x = pos[i].x, y = pos[i].y;
        if (!exists(sectors[i]) || !std::isfinite(x) || !std::isfinite(y)) continue;
        if (near(sectors[i].x, x, size, margin) || near(sectors[i].y, y, size, margin))
            out.push_back(static_cast<std::uint32_t>(i));
    }
    return out;
}

#define SIDEREAL_INSTANTIATE(Real)                                                              \
    template std::vector<std::uint32_t> sectors(std::span<const Point<Real>>, double,           \
                                                std::span<Sector>);                             \
    template Crossings crossings(std::span<const Point<Real>>, std::span<const Sector>, double, \
                                 double, const SectorMap*);                                     \
    template std::vector<std::uint32_t> near_border(std::span<const Point<Real>>,               \
                                                    std::span<const Sector>, double, double);
SIDEREAL_INSTANTIATE(float)
SIDEREAL_INSTANTIATE(double)
#undef SIDEREAL_INSTANTIATE

}  // namespace sidereal
