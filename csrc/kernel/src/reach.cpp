// One box of sectors an entity; most boxes are the one before, or one sector.
#include "sidereal/reach.hpp"

#include <algorithm>
#include <array>
#include <limits>

#include "blocks.hpp"
#include "sidereal/hash.hpp"
#include "sidereal/slot_index.hpp"

namespace sidereal {
namespace {

struct Span {
    std::int32_t first, last;
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

// Whether a motion from `from`, which lies in coordinate k, stays clearly inside: farther from the
// borders than anything here was rounded. Of numbers that are not finite it does not.
bool stays_inside(std::int32_t k, double from, double speed, double radius, double size,
                  double horizon_s) {
    const double to = from + speed * horizon_s;
    const double slack = size * 0x1p-19;
    const double low = k * size + slack + radius, high = (k + 1.0) * size - slack - radius;
    return (from > low) & (to > low) & (from < high) & (to < high);
}

// The coordinates that a motion from `from`, which lies in coordinate k, touches.
Span swept(std::int32_t k, double from, double speed, double radius, double size,
           double horizon_s) {
    const double most = reach_motion_sectors_max * size;
    const double to = from + std::clamp(speed * horizon_s, -most, most);
    const double low = std::min(from, to) - radius, high = std::max(from, to) + radius;
    // Clearly inside: farther from the borders than anything here was rounded.
    const double slack = size * 0x1p-19;
    const double left = k * size, right = (k + 1.0) * size;
    const bool starts = low > left + slack, ends = high < right - slack;
    // One sector farther, where there is one.
    const bool before = low < left - slack && low > left - size + slack && k > -coordinate_max;
    const bool after = high > right + slack && high < right + size - slack && k < coordinate_max;
    if ((starts || before) && (ends || after)) return {starts ? k : k - 1, ends ? k : k + 1};
    return touched(low, high, size);
}

// Which boxes were added lately, of those that reach no farther than the sectors around their own:
// rows of one sector touch the same few again and again.
class Lately {
  public:
    // Whether this box was, from now on it is; false for a box that is too large to tell.
    bool knows(Sector s, Span xs, Span ys) {
        const std::int64_t left = std::int64_t{s.x} - xs.first, right = std::int64_t{xs.last} - s.x;
        const std::int64_t below = std::int64_t{s.y} - ys.first,
                           above = std::int64_t{ys.last} - s.y;
        if (((left | right | below | above) & ~std::int64_t{1}) != 0) return false;
        Boxes& of = all_[splitmix64(key_of(s)) % all_.size()];
        if (!(of.sector == s)) of = {s, 0};
        const std::uint16_t box =
            static_cast<std::uint16_t>(1u << (left | right << 1 | below << 2 | above << 3));
        const bool known = (of.boxes & box) != 0;
        of.boxes |= box;
        return known;
    }

  private:
    struct Boxes {
        Sector sector = no_sector;
        std::uint16_t boxes = 0;
    };
    std::array<Boxes, 64> all_;
};

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
        seen.insert(key, static_cast<std::uint32_t>(keys.size() - 1));
    };

    const auto radius_of = [&](std::size_t i) {
        return std::min(radius[radius.size() == 1 ? 0 : i], reach_radius_sectors_max * size);
    };
    Lately lately;
    Sector last = no_sector;
    std::array<Sector, block_rows> where;
    std::array<std::uint8_t, block_rows> stays;
    const auto look = [&](std::size_t i, Sector s) {
        const double x = pos[i].x, y = pos[i].y, vx = velocity[i].x, vy = velocity[i].y;
        const double r = radius_of(i);
        if (!exists(s) || !std::isfinite(vx) || !std::isfinite(vy) || !(r >= 0.0)) return;
        const Span xs = swept(s.x, x, vx, r, size, horizon_s);
        const Span ys = swept(s.y, y, vy, r, size, horizon_s);
        if (lately.knows(s, xs, ys)) return;
        for (std::int64_t ky = ys.first; ky <= ys.last; ++ky)
            for (std::int64_t kx = xs.first; kx <= xs.last; ++kx)
                add({static_cast<std::int32_t>(kx), static_cast<std::int32_t>(ky)});
    };
    each_block({0, pos.size()}, [&](std::size_t begin, std::size_t rows) {
        sectors(pos.subspan(begin, rows), size, std::span(where).first(rows));
        for (std::size_t i = 0; i < rows; ++i) {
            const Point<Real> at = pos[begin + i], v = velocity[begin + i];
            const double r = radius_of(begin + i);
            const bool x = stays_inside(where[i].x, at.x, v.x, r, size, horizon_s);
            const bool y = stays_inside(where[i].y, at.y, v.y, r, size, horizon_s);
            stays[i] = x & y & (r >= 0.0);
        }
        // Most stay where the one before them stays too: nothing is new of them.
        for (std::size_t i = 0; i < rows; ++i) {
            if (!stays[i]) {
                look(begin + i, where[i]);
            } else if (!(where[i] == last)) {
                last = where[i];
                if (exists(last)) add(last);
            }
        }
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
