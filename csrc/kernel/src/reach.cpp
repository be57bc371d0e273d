// One box of sectors an entity; most boxes are the one before, or one sector.
#include "sidereal/reach.hpp"

#include <algorithm>

#include "sidereal/slot_index.hpp"

namespace sidereal {
namespace {

struct Range {
    std::int32_t first, last;
};

// The coordinates that [low, high] touches, within what there is.
Range touched(double low, double high, double size) {
    const auto clamped = [&](double v) {
        return static_cast<std::int32_t>(
            std::clamp(coordinate(v, size), -coordinate_max, coordinate_max));
    };
    return {clamped(low), clamped(high)};
}

Range swept(double from, double speed, double radius, double size, double horizon_s) {
    const double most = reach_motion_sectors_max * size;
    const double to = from + std::clamp(speed * horizon_s, -most, most);
    return touched(std::min(from, to) - radius, std::max(from, to) + radius, size);
}

}  // namespace

template <class Real>
std::vector<Sector> reach(std::span<const Point<Real>> pos, std::span<const Point<Real>> velocity,
                          std::span<const double> radius, double size, double horizon_s) {
    std::vector<std::uint64_t> keys;
    SlotIndex seen;
    const auto add = [&](Sector s) {
        const std::uint64_t key = key_of(s);
        if (seen.find(key, keys.data()) != absent) return;
        keys.push_back(key);
        seen.insert(key, static_cast<std::uint32_t>(keys.size() - 1), keys.data());
    };

    Range last_x{1, 0}, last_y{1, 0};
    for (std::size_t i = 0; i < pos.size(); ++i) {
        const double x = pos[i].x, y = pos[i].y, vx = velocity[i].x, vy = velocity[i].y;
        const double r =
            std::min(radius[radius.size() == 1 ? 0 : i], reach_radius_sectors_max * size);
        if (!exists(sector_of(x, y, size)) || !std::isfinite(vx) || !std::isfinite(vy)) continue;
        if (!(r >= 0.0)) continue;
        const Range xs = swept(x, vx, r, size, horizon_s);
        const Range ys = swept(y, vy, r, size, horizon_s);
        if (xs.first == last_x.first && xs.last == last_x.last && ys.first == last_y.first &&
            ys.last == last_y.last)
            continue;
        last_x = xs, last_y = ys;
        for (std::int64_t ky = ys.first; ky <= ys.last; ++ky)
            for (std::int64_t kx = xs.first; kx <= xs.last; ++kx)
                add({static_cast<std::int32_t>(kx), static_cast<std::int32_t>(ky)});
    }

    std::sort(keys.begin(), keys.end());
    std::vector<Sector> out(keys.size());
    std::transform(keys.begin(), keys.end(), out.begin(), sector_of_key);
    return out;
}

template std::vector<Sector> reach(std::span<const Point<float>>, std::span<const Point<float>>,
                                   std::span<const double>, double, double);
template std::vector<Sector> reach(std::span<const Point<double>>, std::span<const Point<double>>,
                                   std::span<const double>, double, double);

}  // namespace sidereal
