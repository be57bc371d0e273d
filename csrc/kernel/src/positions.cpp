// The passes over all positions, a block at a time: a vectorised loop looks at every coordinate,
// exact scalar code at the few rows that it could not settle.
#include "sidereal/positions.hpp"

#include <algorithm>
#include <array>

#include "blocks.hpp"
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
bool block_sectors(const Point<Real>* pos, std::size_t rows, double size, bool is_narrow,
                   Sector* out) {
    const Real* v = &pos->x;
    std::int32_t* k = &out->x;
    if constexpr (sizeof(Real) == sizeof(float))
        return (is_narrow && passes().sectors_narrow(v, rows * 2, size, k)) ||
               passes().sectors_f32(v, rows * 2, size, k);
    else
        return passes().sectors_f64(v, rows * 2, size, k);
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
    const bool stream = worth_streaming(out.size_bytes());
    const Cut cut(pos.size(), part_rows, block_rows);
    std::vector<std::vector<std::uint32_t>> invalid(cut.parts());
    parallel(cut.parts(), [&](std::size_t part) {
        std::array<Sector, block_rows> block;
        each_block(cut[part], [&](std::size_t begin, std::size_t rows) {
            Sector* const to = stream ? block.data() : out.data() + begin;
            if (!block_sectors(pos.data() + begin, rows, size, is_narrow, to))
                for (std::size_t i = 0; i < rows; ++i)
                    if (!exists(to[i])) {
                        to[i] = no_sector;
                        invalid[part].push_back(static_cast<std::uint32_t>(begin + i));
                    }
            if (stream) stream_copy(out.data() + begin, to, rows * sizeof(Sector));
        });
    });
    return joined(std::move(invalid));
}

template <class Real>
Crossings crossings(std::span<const Point<Real>> pos, std::span<const Sector> prev, double size,
                    double margin, const SectorMap* shards) {
    const bool is_narrow = narrow<Real>(size);
    const Cut cut(pos.size(), part_rows, block_rows);
    std::vector<Crossings> found(cut.parts());
    parallel(cut.parts(), [&](std::size_t part) {
        Flags flags;
        std::array<std::uint32_t, block_rows> index;  // rows of a block that need a closer look
        std::array<Vec2, block_rows> at;
        std::array<Sector, block_rows> where;
        Crossings& mine = found[part];
        each_block(cut[part], [&](std::size_t begin, std::size_t rows) {
            block_moved(pos.data() + begin, prev.data() + begin, rows, size, is_narrow,
                        flags.data());
            std::size_t doubtful = 0;
            each_flagged(flags, rows, [&](std::size_t row) {
                index[doubtful] = static_cast<std::uint32_t>(begin + row);
                at[doubtful++] = {pos[begin + row].x, pos[begin + row].y};
            });
            const bool all_exist = passes().sectors_f64(&at[0].x, doubtful * 2, size, &where[0].x);
            for (std::size_t d = 0; d < doubtful; ++d) {
                const Sector old = prev[index[d]];
                const Sector now = all_exist || exists(where[d]) ? where[d] : no_sector;
                if (now == old) continue;
                if (margin > 0.0 && exists(old) && exists(now) &&
                    !outside(old, at[d].x, at[d].y, size, margin) &&
                    !(shards && shards->get(old).shard == shards->get(now).shard))
                    continue;
                mine.index.push_back(index[d]);
                mine.sectors.push_back(now);
            }
        });
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
                                 double, const SectorMap*);                                     \
    template std::vector<std::uint32_t> near_border(std::span<const Point<Real>>,               \
                                                    std::span<const Sector>, double, double);
SIDEREAL_INSTANTIATE(float)
SIDEREAL_INSTANTIATE(double)
#undef SIDEREAL_INSTANTIATE

}  // namespace sidereal
