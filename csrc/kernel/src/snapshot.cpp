// A disc touches a few rows of the grid; in each, one run of points is scanned.
#include "sidereal/snapshot.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>

#include "hits.hpp"
#include "parallel.hpp"
#include "passes.hpp"
#include "sidereal/group.hpp"
#include "sidereal/hash.hpp"

namespace sidereal {
namespace {

constexpr std::size_t part_centres = 256;  // fewer are not worth waking a thread
constexpr std::size_t box_batch = 64;
constexpr std::size_t part_points = std::size_t{128} * 1024;
constexpr std::size_t ahead = 32;  // points between asking for memory and using it

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
    RawVector<Sector> where(pos.size());
    sectors(pos, size, std::span<Sector>(where));
    Groups groups = group(where);
    RawVector<Sector>().swap(where);
    index_ = std::move(groups.order);
    Coordinates<Real>& at = at_.emplace<Coordinates<Real>>();
    at.x.resize(index_.size());
    at.y.resize(index_.size());
    const Cut cut(index_.size(), part_points);
    parallel(cut.parts(), [&](std::size_t part) {
        const std::size_t begin = cut[part].begin, end = cut[part].end;
        for (std::size_t i = begin; i < end; ++i) {
            if (i + ahead < end) __builtin_prefetch(&pos[index_[i + ahead]]);
            at.x[i] = pos[index_[i]].x;
            at.y[i] = pos[index_[i]].y;
        }
    });

    // Rows without a sector sort first; no run holds them.
    const std::size_t first = !groups.sectors.empty() && !exists(groups.sectors[0]) ? 1 : 0;
    points_ = index_.size() - groups.offsets[first];
    kx_.reserve(groups.sectors.size());
    starts_.reserve(groups.sectors.size() + 1);
    for (std::size_t g = first; g < groups.sectors.size(); ++g) {
        const Sector s = groups.sectors[g];
        const auto k = static_cast<std::uint32_t>(kx_.size());
        if (rows_.empty() || rows_.back().y != s.y) rows_.push_back({s.y, k, k});
        kx_.push_back(s.x);
        starts_.push_back(groups.offsets[g]);
        rows_.back().end = k + 1;
    }
    starts_.push_back(static_cast<std::uint32_t>(index_.size()));
}

// The boxes around some discs, wider than the radius by more than the test of distances can round.
void Snapshot::find_boxes(std::span<const Vec2> centres, std::span<const double> radius,
                          std::span<Box> out) const {
    std::array<Vec2, 2 * box_batch> edges;
    const auto below = [](double v) { return v - std::abs(v) * 0x1p-52; };
    const auto above = [](double v) { return v + std::abs(v) * 0x1p-52; };
    for (std::size_t i = 0; i < centres.size(); ++i) {
        // Squares of distances below 2^-537 round to nothing: those count as no distance.
        // Where the radius has no square, every row's is as large.
        const double r = radius[radius.size() == 1 ? 0 : i];
        const double wide = std::isinf(r * r) ? r * r : r * (1.0 + 1e-15) + 0x1p-536;
        const Vec2 c = centres[i];
        edges[2 * i] = {below(c.x - wide), below(c.y - wide)};
        edges[2 * i + 1] = {above(c.x + wide), above(c.y + wide)};
    }
    if (passes().sectors_f64(&edges[0].x, centres.size() * 4, size_, &out[0].first.x, false))
        return;
    const auto clamped = [this](double v) {
        const double k = coordinate(v, size_);
        return static_cast<std::int32_t>(
            std::isnan(k) ? 0.0 : std::clamp(k, -coordinate_max, coordinate_max));
    };
    for (std::size_t i = 0; i < centres.size(); ++i)
        out[i] = {{clamped(edges[2 * i].x), clamped(edges[2 * i].y)},
                  {clamped(edges[2 * i + 1].x), clamped(edges[2 * i + 1].y)}};
}

// The runs of points that a disc may touch, one for each row of the grid.
void Snapshot::find_runs(Vec2 centre, const Box& box, std::vector<Run>& out) const {
    out.clear();
    if (!std::isfinite(centre.x) || !std::isfinite(centre.y)) return;
    const auto [first, last] = box;
    const auto plain = [](std::int32_t k) { return k; };
    std::size_t row =
        first_at_least(rows_.data(), rows_.size(), first.y, [](const Row& a) { return a.y; });
    for (; row < rows_.size() && rows_[row].y <= last.y; ++row) {
        const std::int32_t* const kx = kx_.data() + rows_[row].begin;
        const std::size_t width = rows_[row].end - rows_[row].begin;
        const std::size_t from = first_at_least(kx, width, first.x, plain);
        std::size_t to = width;
        if (last.x < std::numeric_limits<std::int32_t>::max())
            to = from + first_at_least(kx + from, width - from, last.x + 1, plain);
        const std::uint32_t begin = starts_[rows_[row].begin + from];
        const std::uint32_t n = starts_[rows_[row].begin + to] - begin;
        if (n == 0) continue;
        out.push_back({begin, n});
        constexpr std::uint32_t fetched = 512;  // points of a run: beyond them the machine foresees
        const auto fetch = [&](const auto* values) {
            constexpr std::uint32_t line = 64 / sizeof(*values);
            for (std::uint32_t i = 0; i < std::min(n, fetched); i += line)
                __builtin_prefetch(values + begin + i);
        };
        std::visit([&](const auto& at) { fetch(at.x.data()), fetch(at.y.data()); }, at_);
        fetch(index_.data());
    }
}

template <class Found>
void Snapshot::add_hits(std::span<const Run> runs, Vec2 centre, double r, Found& out) const {
    const auto look = [&](std::size_t begin, std::size_t n) {
        std::uint32_t* const to = out.room(n);
        const std::uint32_t* const index = index_.data() + begin;
        if (const auto* at = std::get_if<Coordinates<float>>(&at_))
            out.add(passes().within_f32(at->x.data() + begin, at->y.data() + begin, index, n,
                                        centre.x, centre.y, r * r, to));
        else if (const auto* wide = std::get_if<Coordinates<double>>(&at_))
            out.add(passes().within_f64(wide->x.data() + begin, wide->y.data() + begin, index, n,
                                        centre.x, centre.y, r * r, to));
    };
    for (const auto [begin, n] : runs)
        for (std::size_t at = 0, some; at < n; at += some) {
            some = std::min(out.slice(), n - at);
            look(begin + at, some);
        }
}

// About how many hits all centres have, or more: by some of them, but for the largest few of those,
// and half as many again, for room that is not written costs no memory. 0 where it is not worth it.
std::size_t Snapshot::foretold(std::span<const Vec2> centres,
                               std::span<const double> radius) const {
    constexpr std::size_t samples = 64, largest = 4;
    constexpr double most = 64.0 * 1024 * 1024;  // what is beyond that waits
    if (centres.size() < 64 * samples) return 0;
    Pieces::Spare spare;
    std::vector<Run> runs;
    std::array<Box, 1> box;
    std::array<std::size_t, samples> hits;
    for (std::size_t i = 0; i < samples; ++i) {
        // Anywhere: callers may have an order of their own, every n-th in a crowd.
        const std::size_t c = splitmix64(i) % centres.size();
        const std::size_t r = radius.size() == 1 ? 0 : c;
        find_boxes(centres.subspan(c, 1), radius.subspan(r, 1), box);
        find_runs(centres[c], box[0], runs);
        Pieces found(spare);
        add_hits(runs, centres[c], radius[r], found);
        hits[i] = found.total();
        found.leave(spare);
    }
    std::sort(hits.begin(), hits.end());
    const auto usual = std::span(hits).first(samples - largest);
    const double sum = std::accumulate(usual.begin(), usual.end(), 0.0);
    const double share = static_cast<double>(centres.size()) / static_cast<double>(usual.size());
    return static_cast<std::size_t>(std::min(sum * share * 1.5, most));
}

template <class Found>
void Snapshot::find_hits(std::span<const Vec2> centres, std::span<const double> radius,
                         std::span<std::uint64_t> ends, Found& found) const {
    // The points of one centre are fetched while those of the one before are looked at.
    std::array<Box, box_batch> boxes;
    std::vector<Run> runs, next;
    const auto look_ahead = [&](std::size_t c) {
        const std::size_t in_batch = c % box_batch;
        if (in_batch == 0) {
            const std::size_t n = std::min(box_batch, centres.size() - c);
            find_boxes(centres.subspan(c, n), radius.size() == 1 ? radius : radius.subspan(c, n),
                       boxes);
        }
        find_runs(centres[c], boxes[in_batch], next);
    };
    if (!centres.empty()) look_ahead(0);
    for (std::size_t c = 0; c < centres.size(); ++c) {
        runs.swap(next);
        if (c + 1 < centres.size()) look_ahead(c + 1);
        found.begin(c + 1);
        add_hits(runs, centres[c], radius[radius.size() == 1 ? 0 : c], found);
        ends[c] = found.total();
    }
}

Hits Snapshot::query(std::span<const Vec2> centres, std::span<const double> radius) const {
    // As many parts as there may be: crowds are uneven, and a part's hits should fit the caches.
    const Cut cut(centres.size(), part_centres, 1, centres.size() / part_centres + 1);
    Hits out;
    out.offsets.resize(centres.size() + 1);
    const std::span<std::uint64_t> ends = std::span(out.offsets).subspan(1);
    if (cut.parts() == 1) {
        Whole found(centres.size());
        find_hits(centres, radius, ends, found);
        out.index = found.take();
        return out;
    }
    Gathered gathered(cut, foretold(centres, radius), out);
    parallel(cut.parts(), [&](std::size_t part) {
        const std::size_t begin = cut[part].begin, n = cut[part].size();
        Pieces found = gathered.begin();
        find_hits(centres.subspan(begin, n), radius.size() == 1 ? radius : radius.subspan(begin, n),
                  ends.subspan(begin, n), found);
        gathered.add(part, std::move(found));
    });
    gathered.finish();
    return out;
}

template Snapshot::Snapshot(std::span<const Point<float>>, double);
template Snapshot::Snapshot(std::span<const Point<double>>, double);

}  // namespace sidereal
