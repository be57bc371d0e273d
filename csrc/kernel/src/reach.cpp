// One box of sectors an entity; most boxes are the one before, or one sector.
#include "sidereal/reach.hpp"

#include <algorithm>
#include <array>
#include <limits>

#include "blocks.hpp"
#include "sidereal/slot_index.hpp"

namespace sidereal {
namespace {

struct Span {
    std::int32_t first, last;
    friend bool operator==(Span, Span) = default;
};

// The coordinates that [low, high] touches, within what there is. Where sectors are as large as
// numbers get, a bound may have become infinite: the largest number is in the last sector there is.
Span touched(double low, double high, double size) {
    constexpr double most = std::numeric_limits<double>::max();
    const auto clamped = [&](double v) {
        return static_cast<std::int32_t>(std::clamp(coordinate(std::clamp(v, -most, most), size),
                                                    -coordinate_max, coordinate_max));
    };
    return {clamped(low), clamped(high)};
}

// The coordinates that a motion from `from`, which lies in coordinate k, touches.
Span swept(std::int32_t k, double from, double speed, double radius, double size,
           double horizon_s) {
    const double most = reach_motion_sectors_max * size;
    const double to = from + std::clamp(speed * horizon_s, -most, most);
    const double low = std::min(from, to) - radius, high = std::max(from, to) + radius;
    // Clearly inside: farther from the borders than anything here was rounded.
    const double slack = size * 0x1p-19;
    if (low > k * size + slack && high < (k + 1.0) * size - slack) return {k, k};
    return touched(low, high, size);
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

    Span last_x{1, 0}, last_y{1, 0};
    std::array<Sector, block_rows> where;
    const auto look = [&](std::size_t i, Sector s) {
        const double x = pos[i].x, y = pos[i].y, vx = velocity[i].x, vy = velocity[i].y;
        const double r =
            std::min(radius[radius.size() == 1 ? 0 : i], reach_radius_sectors_max * size);
        if (!exists(s) || !std::isfinite(vx) || !std::isfinite(vy) || !(r >= 0.0)) return;
        const Span xs = swept(s.x, x, vx, r, size, horizon_s);
        const Span ys = swept(s.y, y, vy, r, size, horizon_s);
        if (xs == last_x && ys == last_y) return;
        last_x = xs, last_y = ys;
        for (std::int64_t ky = ys.first; ky <= ys.last; ++ky)
            for (std::int64_t kx = xs.first; kx <= xs.last; ++kx)
                add({static_cast<std::int32_t>(kx), static_cast<std::int32_t>(ky)});
    };
    each_block({0, pos.size()}, [&](std::size_t begin, std::size_t rows) {
        sectors(pos.subspan(begin, rows), size, std::span(where).first(rows));
        for (std::size_t i = 0; i < rows; ++i) look(begin + i, where[i]);
    });

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
