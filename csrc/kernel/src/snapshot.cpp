// A disc touches a few rows of the grid; in each, one run of points is scanned.
#include "sidereal/snapshot.hpp"

#include <algorithm>
#include <limits>

#include "parallel.hpp"
#include "passes.hpp"
#include "sidereal/group.hpp"

namespace sidereal {
namespace {

constexpr std::size_t part_centres = 256;  // fewer are not worth waking a thread
constexpr std::size_t ahead = 32;          // points between asking for memory and using it

// The first of n ascending, distinct coordinates that is not below `k`. Where there are no gaps
// it is as far from the first as the coordinates are: that is tried before searching.
template <class T, class F>
std::size_t first_at_least(const T* sorted, std::size_t n, std::int32_t k, F&& coordinate_of) {
    if (n == 0 || coordinate_of(sorted[0]) >= k) return 0;
    const auto distance = static_cast<std::size_t>(std::int64_t{k} - coordinate_of(sorted[0]));
    const std::size_t most = std::min(distance, n);
    if (most < n && coordinate_of(sorted[most]) == k) return most;
    if (most == n && coordinate_of(sorted[n - 1]) < k) return n;
    return static_cast<std::size_t>(
        std::lower_bound(sorted, sorted + most, k,
                         [&](const T& a, std::int32_t b) { return coordinate_of(a) < b; }) -
        sorted);
}

}  // namespace

template <class Real>
Snapshot::Snapshot(std::span<const Point<Real>> pos, double size) : size_(size) {
    std::vector<Sector> where(pos.size());
    sectors(pos, size, std::span<Sector>(where));
    Groups groups = group(where);

    // Rows without a sector sort first; they are left out.
    const std::size_t first = !groups.sectors.empty() && !exists(groups.sectors[0]) ? 1 : 0;
    const std::uint32_t skipped = groups.offsets[first];
    index_.assign(groups.order.begin() + skipped, groups.order.end());
    x_.resize(index_.size());
    y_.resize(index_.size());
    for (std::size_t i = 0; i < index_.size(); ++i) {
        if (i + ahead < index_.size()) __builtin_prefetch(&pos[index_[i + ahead]]);
        x_[i] = pos[index_[i]].x;
        y_[i] = pos[index_[i]].y;
    }

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

// Wider than the radius by more than the test of distances can round.
Snapshot::Span Snapshot::touched(double centre, double radius) const {
    const double wide = radius * (1.0 + 1e-15);
    const auto at = [&](double edge) {
        return static_cast<std::int32_t>(
            std::clamp(coordinate(edge, size_), -coordinate_max, coordinate_max));
    };
    constexpr double infinity = std::numeric_limits<double>::infinity();
    return {at(std::nextafter(centre - wide, -infinity)),
            at(std::nextafter(centre + wide, infinity))};
}

Hits Snapshot::query(std::span<const Vec2> centres, std::span<const double> radius) const {
    const Cut cut(centres.size(), part_centres);
    std::vector<Hits> found(cut.parts());
    parallel(cut.parts(), [&](std::size_t part) {
        const auto [begin, end] = cut[part];
        Hits& mine = found[part];
        mine.offsets.reserve(end - begin + 1);
        mine.offsets.push_back(0);
        for (std::size_t c = begin; c < end; ++c) {
            const std::size_t so_far = mine.offsets.back();
            mine.offsets.push_back(
                so_far + add_hits(centres[c], radius[radius.size() == 1 ? 0 : c], so_far, mine));
        }
        mine.index.resize(mine.offsets.back());
    });
    Hits out = std::move(found[0]);
    for (std::size_t p = 1; p < found.size(); ++p) {
        const std::uint64_t before = out.offsets.back();
        out.index.insert(out.index.end(), found[p].index.begin(), found[p].index.end());
        for (std::size_t c = 1; c < found[p].offsets.size(); ++c)
            out.offsets.push_back(before + found[p].offsets[c]);
        found[p] = Hits{};
    }
    return out;
}

// Writes the hits of one centre behind the first `so_far`; returns how many.
std::size_t Snapshot::add_hits(Vec2 centre, double r, std::size_t so_far, Hits& out) const {
    if (!std::isfinite(centre.x) || !std::isfinite(centre.y)) return 0;
    const Span xs = touched(centre.x, r), ys = touched(centre.y, r);
    const auto plain = [](std::int32_t k) { return k; };
    std::size_t found = so_far;
    std::size_t row =
        first_at_least(rows_.data(), rows_.size(), ys.first, [](const Row& a) { return a.y; });
    for (; row < rows_.size() && rows_[row].y <= ys.last; ++row) {
        const std::int32_t* const kx = kx_.data() + rows_[row].begin;
        const std::size_t width = rows_[row].end - rows_[row].begin;
        const std::size_t from = first_at_least(kx, width, xs.first, plain);
        std::size_t to = width;
        if (xs.last < std::numeric_limits<std::int32_t>::max())
            to = from + first_at_least(kx + from, width - from, xs.last + 1, plain);
        const std::uint32_t begin = starts_[rows_[row].begin + from];
        const std::uint32_t n = starts_[rows_[row].begin + to] - begin;
        if (out.index.size() < found + n)
            out.index.resize(std::max(found + n, out.index.size() * 2));
        found += passes().within(x_.data() + begin, y_.data() + begin, index_.data() + begin, n,
                                 centre.x, centre.y, r * r, out.index.data() + found);
    }
    return found - so_far;
}

template Snapshot::Snapshot(std::span<const Point<float>>, double);
template Snapshot::Snapshot(std::span<const Point<double>>, double);

}  // namespace sidereal
