// The passes over all positions, a block at a time: a vectorised loop looks at every coordinate,
// exact scalar code at the few rows that it could not settle.
#include "sidereal/positions.hpp"

#include <algorithm>
#include <array>

#include "blocks.hpp"
#include "foresight.hpp"
#include "parallel.hpp"
#include "passes.hpp"
#include "stream.hpp"

namespace sidereal {
namespace {

// Whether float arithmetic is exact for this size: it must be a float, and not so small that a
// remainder could be denormal.
template <class Real>
bool narrow(double size) {
    return sizeof(Real) == sizeof(float) && size >= 1e-30 && size <= 1e30 &&
           static_cast<double>(static_cast<float>(size)) == size;
}

// The sectors of one block; false if some row has none, or only one coordinate.
template <class Real>
bool block_sectors(const Point<Real>* pos, std::size_t rows, double size, Sector* out,
                   bool past_caches) {
    const auto pass = [] {
        if constexpr (sizeof(Real) == sizeof(float))
            return passes().sectors_f32;
        else
            return passes().sectors_f64;
    }();
    return pass(&pos->x, rows * 2, size, &out->x, past_caches);
}

// The same in float arithmetic; false also if a row is too far away for that.
template <class Real>
bool block_sectors_narrow(const Point<Real>* pos, std::size_t rows, double size, Sector* out,
                          bool past_caches) {
    if constexpr (sizeof(Real) == sizeof(float))
        return passes().sectors_narrow(&pos->x, rows * 2, size, &out->x, past_caches);
    else
        return false;
}

template <class Real>
void block_moved(const Point<Real>* pos, const Sector* prev, std::size_t rows, double size,
                 bool is_narrow, std::uint64_t* flags) {
    if constexpr (sizeof(Real) == sizeof(float))
        (is_narrow ? passes().moved_narrow : passes().moved_f32)(&pos->x, &prev->x, rows * 2, size,
                                                                 flags);
    else
        passes().moved_f64(&pos->x, &prev->x, rows * 2, size, flags);
}

template <class Real>
void block_near(const Point<Real>* pos, const Sector* prev, std::size_t rows, double size,
                double margin, std::uint64_t* flags) {
    if constexpr (sizeof(Real) == sizeof(float))
        passes().near_f32(&pos->x, &prev->x, rows * 2, size, margin, flags);
    else
        passes().near_f64(&pos->x, &prev->x, rows * 2, size, margin, flags);
}

// Outside the previous sector by at least the margin, on some axis.
bool outside(Sector k, double x, double y, double size, double margin) {
    const auto beyond = [&](std::int32_t c, double v) {
        return v < c * size - margin || v >= (c + 1.0) * size + margin;
    };
    return beyond(k.x, x) || beyond(k.y, y);
}

// Rows that need a closer look: many blocks' together, since nothing is read ahead meanwhile. 256
// instead of 1024 cost one more nanosecond each.
template <class Real>
struct Doubtful {
    static constexpr std::size_t enough = 1024;

    Doubtful(double s, double m, const SectorMap* map, Sector* prev, Range of, Crossings& out)
        : size(s),
          margin(m),
          is_narrow(narrow<Real>(s)),
          shards(map),
          update(prev),
          part(of),
          found(out) {}

    const double size, margin;
    const bool is_narrow;
    const SectorMap* const shards;
    Sector* const update;
    const Range part;
    Crossings& found;
    std::size_t n = 0;
    std::array<std::uint32_t, enough + block_rows + 1> index;
    std::array<Point<Real>, enough + block_rows> at;
    std::array<Sector, enough + block_rows> old, now;

    // Those of a block that have a bit set. `begin` is its first row.
    void add(const Flags& flags, std::span<const Point<Real>> pos, std::span<const Sector> prev,
             std::size_t begin) {
        const std::size_t end = n + list_flagged(flags, pos.size(), index.data() + n);
        for (; n < end; ++n) {
            at[n] = pos[index[n]];
            old[n] = prev[index[n]];
            index[n] += static_cast<std::uint32_t>(begin);
        }
        if (n >= enough) settle();
    }

    void settle() {
        if (n == 0) return;
        const bool all_exist =
            (is_narrow && block_sectors_narrow(at.data(), n, size, now.data(), false)) ||
            block_sectors(at.data(), n, size, now.data(), false);
        const std::size_t done = index[n - 1] + 1 - part.begin;
        const std::size_t crossed =
            all_exist && margin == 0.0 && all_differ() ? n : sift(all_exist);
        foresee(found.index, crossed, done, part.size());
        foresee(found.sectors, crossed, done, part.size());
        found.index.insert(found.index.end(), index.data(), index.data() + crossed);
        found.sectors.insert(found.sectors.end(), now.data(), now.data() + crossed);
        if (update)
            for (std::size_t c = 0; c < crossed; ++c) update[index[c]] = now[c];
        n = 0;
    }

    // Whether no row is where it was: then there is nothing to sift, as nearly always, and nobody
    // waits for rows that are looked at one by one.
    bool all_differ() const {
        int same = 0;
        for (std::size_t d = 0; d < n; ++d)
            same |= int{old[d].x == now[d].x} & int{old[d].y == now[d].y};
        return same == 0;
    }

    // Leaves the rows that crossed; returns how many.
    std::size_t sift(bool all_exist) {
        std::size_t crossed = 0;
        for (std::size_t d = 0; d < n; ++d) {
            const Sector to = all_exist || exists(now[d]) ? now[d] : no_sector;
            index[crossed] = index[d];
            now[crossed] = to;
            crossed += to != old[d] && !stays(d, to) ? 1 : 0;
        }
        return crossed;
    }

    // Whether the margin keeps row d where it was.
    bool stays(std::size_t d, Sector to) const {
        return margin > 0.0 && exists(old[d]) && exists(to) &&
               !outside(old[d], at[d].x, at[d].y, size, margin) &&
               !(shards && shards->get(old[d]).shard == shards->get(to).shard);
    }
};

// Below this many rows a part, waking a thread costs more than it saves.
constexpr std::size_t part_rows = std::size_t{128} * 1024;

// All parts' rows, one after another.
std::vector<std::uint32_t> joined(std::vector<std::vector<std::uint32_t>>&& parts) {
    std::vector<std::uint32_t> all = std::move(parts[0]);
    for (std::size_t p = 1; p < parts.size(); ++p)
        all.insert(all.end(), parts[p].begin(), parts[p].end());
    return all;
}

}  // namespace

template <class Real>
std::vector<std::uint32_t> sectors(std::span<const Point<Real>> pos, double size,
                                   std::span<Sector> out) {
    const bool is_narrow = narrow<Real>(size);
    const bool past_caches = worth_streaming(out.size_bytes());
    const Cut cut(pos.size(), part_rows, block_rows);
    std::vector<std::vector<std::uint32_t>> invalid(cut.parts());
    parallel(cut.parts(), [&](std::size_t part) {
        std::array<Sector, block_rows> block;
        const auto fast = is_narrow ? block_sectors_narrow<Real> : block_sectors<Real>;
        const auto one_block = [&](std::size_t begin, std::size_t rows) {
            const Point<Real>* const from = pos.data() + begin;
            Sector* const to = out.data() + begin;
            if (fast(from, rows, size, to, past_caches)) return;
            // Looked at again where it stays in the cache.
            if (!block_sectors(from, rows, size, block.data(), false))
                for (std::size_t i = 0; i < rows; ++i)
                    if (!exists(block[i])) {
                        block[i] = no_sector;
                        invalid[part].push_back(static_cast<std::uint32_t>(begin + i));
                    }
            (past_caches ? stream_copy : plain_copy)(to, block.data(), rows * sizeof(Sector));
        };
        // Past the caches in long runs that end where lines do: one that two runs share is not
        // written whole.
        const std::size_t run_rows = past_caches ? 16 * block_rows : block_rows;
        for (std::size_t at = cut[part].begin, end; at < cut[part].end; at = end) {
            const std::size_t over =
                past_caches ? reinterpret_cast<std::uintptr_t>(out.data() + at) % 64 : 0;
            end = std::min(at + run_rows - over / sizeof(Sector), cut[part].end);
            const Range run{at, end};
            if (past_caches && fast(pos.data() + at, run.size(), size, out.data() + at, true))
                continue;
            each_block(run, one_block);
        }
        stores_done();
    });
    return joined(std::move(invalid));
}

template <class Real>
Crossings crossings(std::span<const Point<Real>> pos, std::span<const Sector> prev, double size,
                    double margin, const SectorMap* shards, Sector* update) {
    const Cut cut(pos.size(), part_rows, block_rows);
    std::vector<Crossings> found(cut.parts());
    parallel(cut.parts(), [&](std::size_t part) {
        Flags flags;
        Doubtful<Real> doubtful(size, margin, shards, update, cut[part], found[part]);
        each_block(cut[part], [&](std::size_t begin, std::size_t rows) {
            block_moved(pos.data() + begin, prev.data() + begin, rows, size, doubtful.is_narrow,
                        flags.data());
            doubtful.add(flags, pos.subspan(begin, rows), prev.subspan(begin, rows), begin);
        });
        doubtful.settle();
    });
    Crossings out = std::move(found[0]);
    for (std::size_t p = 1; p < found.size(); ++p) {
        out.index.insert(out.index.end(), found[p].index.begin(), found[p].index.end());
        out.sectors.insert(out.sectors.end(), found[p].sectors.begin(), found[p].sectors.end());
    }
    return out;
}

template <class Real>
std::vector<std::uint32_t> near_border(std::span<const Point<Real>> pos,
                                       std::span<const Sector> sectors, double size,
                                       double margin) {
    const Cut cut(pos.size(), part_rows, block_rows);
    std::vector<std::vector<std::uint32_t>> found(cut.parts());
    parallel(cut.parts(), [&](std::size_t part) {
        Flags flags;
        each_block(cut[part], [&](std::size_t begin, std::size_t rows) {
            block_near(pos.data() + begin, sectors.data() + begin, rows, size, margin,
                       flags.data());
            foresee(found[part], rows, begin + rows - cut[part].begin, cut[part].size());
            each_flagged(flags, rows, [&](std::size_t row) {
                const std::size_t i = begin + row;
                if (exists(sectors[i]) && std::isfinite(pos[i].x) && std::isfinite(pos[i].y))
                    found[part].push_back(static_cast<std::uint32_t>(i));
            });
        });
    });
    return joined(std::move(found));
}

#define SIDEREAL_INSTANTIATE(Real)                                                              \
    template std::vector<std::uint32_t> sectors(std::span<const Point<Real>>, double,           \
                                                std::span<Sector>);                             \
    template Crossings crossings(std::span<const Point<Real>>, std::span<const Sector>, double, \
                                 double, const SectorMap*, Sector*);                            \
    template std::vector<std::uint32_t> near_border(std::span<const Point<Real>>,               \
                                                    std::span<const Sector>, double, double);
SIDEREAL_INSTANTIATE(float)
SIDEREAL_INSTANTIATE(double)
#undef SIDEREAL_INSTANTIATE

}  // namespace sidereal
