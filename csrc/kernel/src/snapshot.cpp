// A disc touches a few rows of the grid; in each, one run of points is scanned.
#include "sidereal/snapshot.hpp"

#include <algorithm>

#include "sidereal/group.hpp"

namespace sidereal {

template <class Real>
Snapshot::Snapshot(std::span<const Point<Real>> pos, double size) : size_(size) {
    std::vector<Sector> where(pos.size());
    sectors(pos, size, std::span<Sector>(where));
    Groups groups = group(where);

    // Rows without a sector sort first; they are left out.
    const std::size_t first = !groups.sectors.empty() && !exists(groups.sectors[0]) ? 1 : 0;
    const std::uint32_t skipped = groups.offsets[first];
    index_.assign(groups.order.begin() + skipped, groups.order.end());
    points_.resize(index_.size());
    for (std::size_t i = 0; i < index_.size(); ++i)
        points_[i] = {pos[index_[i]].x, pos[index_[i]].y};

    for (std::size_t g = first; g < groups.sectors.size(); ++g) {
        const Sector s = groups.sectors[g];
        const auto at = static_cast<std::uint32_t>(kx_.size());
        if (rows_.empty() || rows_.back().y != s.y) rows_.push_back({s.y, at, at});
        kx_.push_back(s.x);
        starts_.push_back(groups.offsets[g] - skipped);
        rows_.back().end = at + 1;
    }
    starts_.push_back(static_cast<std::uint32_t>(index_.size()));
}

Hits Snapshot::query(std::span<const Vec2> centres, std::span<const double> radius) const {
    Hits out;
    out.offsets.reserve(centres.size() + 1);
    out.offsets.push_back(0);
    for (std::size_t c = 0; c < centres.size(); ++c) {
        const double cx = centres[c].x, cy = centres[c].y;
        const double r = radius[radius.size() == 1 ? 0 : c];
        if (std::isfinite(cx) && std::isfinite(cy)) {
            // Wider than r by more than the test below can round.
            const auto touched = [&](double v, double side) {
                const double edge = v + side * (r * (1.0 + 1e-15));
                const double k = coordinate(std::nextafter(edge, side * INFINITY), size_);
                return static_cast<std::int32_t>(std::clamp(k, -coordinate_max, coordinate_max));
            };
            const std::int32_t x0 = touched(cx, -1.0), x1 = touched(cx, 1.0);
            const std::int32_t y0 = touched(cy, -1.0), y1 = touched(cy, 1.0);
            auto row = std::lower_bound(rows_.begin(), rows_.end(), y0,
                                        [](const Row& a, std::int32_t y) { return a.y < y; });
            for (; row != rows_.end() && row->y <= y1; ++row) {
                const auto begin = kx_.begin() + row->begin, end = kx_.begin() + row->end;
                const auto from = std::lower_bound(begin, end, x0) - kx_.begin();
                const auto to = std::upper_bound(begin, end, x1) - kx_.begin();
                const std::uint32_t last = starts_[static_cast<std::size_t>(to)];
                for (std::uint32_t i = starts_[static_cast<std::size_t>(from)]; i < last; ++i) {
                    const double dx = points_[i].x - cx, dy = points_[i].y - cy;
                    if (dx * dx + dy * dy <= r * r) out.index.push_back(index_[i]);
                }
            }
        }
        out.offsets.push_back(out.index.size());
    }
    return out;
}

template Snapshot::Snapshot(std::span<const Point<float>>, double);
template Snapshot::Snapshot(std::span<const Point<double>>, double);

}  // namespace sidereal
