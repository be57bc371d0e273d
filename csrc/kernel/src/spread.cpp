// Counting and grouping where rows lie far apart: by tiles of sectors, else by hashing.
#include "spread.hpp"

#include <algorithm>
#include <numeric>
#include <optional>

#include "foresight.hpp"
#include "key_ranges.hpp"
#include "parallel.hpp"
#include "sidereal/slot_index.hpp"
#include "tally.hpp"
#include "tiles.hpp"

namespace sidereal {
namespace {

constexpr std::size_t part_rows = std::size_t{64} * 1024;  // fewer are not worth waking a thread

// The sectors' numbers in the order of their keys.
std::vector<std::uint32_t> sorted(const std::vector<std::uint64_t>& keys) {
    std::vector<std::uint32_t> order(keys.size());
    std::iota(order.begin(), order.end(), 0u);
    std::sort(order.begin(), order.end(),
              [&](std::uint32_t a, std::uint32_t b) { return keys[a] < keys[b]; });
    return order;
}

// Counts are appended range by range: sectors of one come before those of the next.
Counts counts_by_hash(std::span<const Sector> rows) {
    const KeyRanges ranges(rows, part_rows, false);
    Counts out;
    Tally t;
    for (std::size_t range = 0; range < ranges.size(); ++range) {
        t.clear();
        ranges.each(rows, range, [&](std::uint32_t row) { t.add(key_of(rows[row])); });
        foresee(out.sectors, t.keys().size(), range + 1, ranges.size());
        foresee(out.n, t.keys().size(), range + 1, ranges.size());
        for (const std::uint32_t s : sorted(t.keys())) {
            out.sectors.push_back(sector_of_key(t.keys()[s]));
            out.n.push_back(t.n[s]);
        }
    }
    return out;
}

Groups group_by_hash(std::span<const Sector> rows) {
    const KeyRanges ranges(rows, part_rows, false);
    Groups out;
    out.order.resize(rows.size());
    out.offsets.push_back(0);
    Tally t;
    std::vector<std::uint32_t> row_of, sector_of;  // of the range's rows, ascending
    if (ranges.size() == 1) row_of.reserve(rows.size()), sector_of.reserve(rows.size());
    for (std::size_t range = 0; range < ranges.size(); ++range) {
        t.clear(), row_of.clear(), sector_of.clear();
        ranges.each(rows, range, [&](std::uint32_t row) {
            row_of.push_back(row);
            sector_of.push_back(t.add(key_of(rows[row])));
        });
        foresee(out.sectors, t.keys().size(), range + 1, ranges.size());
        foresee(out.offsets, t.keys().size(), range + 1, ranges.size());
        std::vector<std::uint32_t>& next = t.n;  // from how many to where the next row goes
        for (const std::uint32_t s : sorted(t.keys())) {
            const std::uint32_t begin = out.offsets.back();
            out.sectors.push_back(sector_of_key(t.keys()[s]));
            out.offsets.push_back(begin + next[s]);
            next[s] = begin;
        }
        for (std::size_t i = 0; i < row_of.size(); ++i) out.order[next[sector_of[i]]++] = row_of[i];
    }
    return out;
}

// What one part of the rows has in each tile, by the part's own numbers of tiles.
struct Part {
    Tiles tiles;
    std::vector<std::uint32_t> n;  // how many rows; later where the next one goes
    bool too_many = false;

    explicit Part(std::size_t rows) : tiles(rows) {}

    void count(std::span<const Sector> rows) {
        for (const Sector row : rows) {
            const std::uint32_t tile = tiles.number(tile_key(row));
            if (tile == absent) {
                too_many = true;
                return;
            }
            if (tile == n.size()) n.push_back(0);
            ++n[tile];
        }
    }
};

// Rows by tile: those of tile t are row[begin[t] .. begin[t+1]), ascending, with their cells.
struct Partition {
    std::vector<std::uint32_t> begin;
    RawVector<std::uint32_t> row;
    RawVector<std::uint16_t> cell;
};

// Numbers the tiles of all parts in `tiles`, and gives each part its places in each tile, parts in
// order. False if there are too many tiles.
bool merge(std::vector<Part>& parts, Tiles& tiles, std::vector<std::uint32_t>& begin) {
    std::vector<std::uint32_t> total;
    std::vector<std::vector<std::uint32_t>> number(parts.size());
    for (std::size_t p = 0; p < parts.size(); ++p) {
        if (parts[p].too_many) return false;
        for (std::size_t t = 0; t < parts[p].n.size(); ++t) {
            const std::uint32_t tile = tiles.number(parts[p].tiles.keys()[t]);
            if (tile == absent) return false;
            if (tile == total.size()) total.push_back(0);
            const std::uint32_t rows = parts[p].n[t];
            parts[p].n[t] = total[tile];
            total[tile] += rows;
            number[p].push_back(tile);
        }
    }
    begin.assign(total.size() + 1, 0);
    std::partial_sum(total.begin(), total.end(), begin.begin() + 1);
    for (std::size_t p = 0; p < parts.size(); ++p)
        for (std::size_t t = 0; t < parts[p].n.size(); ++t) parts[p].n[t] += begin[number[p][t]];
    return true;
}

bool partition(std::span<const Sector> rows, Tiles& tiles, Partition& out) {
    const Cut cut(rows.size(), part_rows);
    std::vector<Part> parts(cut.parts(), Part(rows.size()));
    const auto of = [&](std::size_t p) { return rows.subspan(cut[p].begin, cut[p].size()); };
    parallel(parts.size(), [&](std::size_t p) { parts[p].count(of(p)); });
    if (!merge(parts, tiles, out.begin)) return false;
    out.row.resize(rows.size());
    out.cell.resize(rows.size());
    parallel(parts.size(), [&](std::size_t p) {
        for (std::size_t i = cut[p].begin; i < cut[p].end; ++i) {
            const std::uint32_t at = parts[p].n[parts[p].tiles.number(tile_key(rows[i]))]++;
            out.row[at] = static_cast<std::uint32_t>(i);
            out.cell[at] = static_cast<std::uint16_t>(cell_in_tile(rows[i]));
        }
    });
    return true;
}

std::size_t occupied(std::span<const std::uint32_t> counters) {
    std::size_t n = 0;
    for (const std::uint32_t rows : counters) n += rows != 0 ? 1 : 0;
    return n;
}

std::optional<Groups> group_by_tiles(std::span<const Sector> rows) {
    Tiles tiles(rows.size());
    Partition parts;
    if (!partition(rows, tiles, parts)) return std::nullopt;

    const std::size_t n = tiles.keys().size();
    std::vector<std::uint32_t> next(n * tile_cells);  // counts, then where to write
    parallel(n, [&](std::size_t t) {
        for (std::uint32_t i = parts.begin[t]; i < parts.begin[t + 1]; ++i)
            ++next[t * tile_cells + parts.cell[i]];
    });
    Groups out;
    const std::size_t sectors = occupied(next);
    out.sectors.reserve(sectors);
    out.offsets.reserve(sectors + 1);
    out.offsets.push_back(0);
    each_occupied(tiles, next, [&](Sector sector, std::uint32_t tile, std::uint32_t cell) {
        std::uint32_t& at = next[std::size_t{tile} * tile_cells + cell];
        const std::uint32_t begin = out.offsets.back();
        out.sectors.push_back(sector);
        out.offsets.push_back(begin + at);
        at = begin;
    });
    out.order.resize(rows.size());
    parallel(n, [&](std::size_t t) {
        for (std::uint32_t i = parts.begin[t]; i < parts.begin[t + 1]; ++i)
            out.order[next[t * tile_cells + parts.cell[i]]++] = parts.row[i];
    });
    return out;
}

// How many sectors the rows have, by a sorted sample of their keys: what part of the sample was
// seen once is about what part of the rows is in sectors that it missed (Good and Turing).
double sectors_foretold(std::span<const std::uint64_t> sample) {
    std::size_t distinct = 0, once = 0;
    for (std::size_t i = 0, run; i < sample.size(); i += run) {
        for (run = 1; i + run < sample.size() && sample[i + run] == sample[i];) ++run;
        ++distinct;
        once += run == 1 ? 1 : 0;
    }
    const auto seen = static_cast<double>(sample.size() - once);
    return static_cast<double>(distinct) * static_cast<double>(sample.size()) / std::max(seen, 0.5);
}

// Whether a sample of rows says that counters for whole tiles would take more memory than twice the
// answer, and more than a little.
bool sparse(std::size_t tiles, std::vector<std::uint64_t>& sample) {
    constexpr double little = 2 << 20, answer_bytes = sizeof(Sector) + sizeof(std::uint32_t);
    const double bytes = static_cast<double>(tiles) * tile_cells * sizeof(std::uint32_t);
    if (bytes <= little) return false;
    std::sort(sample.begin(), sample.end());
    return bytes > little + answer_bytes * sectors_foretold(sample);
}

std::optional<Counts> counts_by_tiles(std::span<const Sector> rows) {
    Tiles tiles(rows.size());
    // Some rows first: where there are too many tiles, nothing was made for them yet.
    std::vector<std::uint64_t> sample;
    sample.reserve(rows.size() / 256 + 1);
    for (std::size_t i = 0; i < rows.size(); i += 256) {
        if (tiles.number(tile_key(rows[i])) == absent) return std::nullopt;
        sample.push_back(key_of(rows[i]));
    }
    if (sparse(tiles.keys().size(), sample)) return std::nullopt;
    std::vector<std::uint32_t> n;
    n.reserve(tiles.most() * tile_cells);
    for (const Sector row : rows) {
        const std::uint32_t tile = tiles.number(tile_key(row));
        if (tile == absent) return std::nullopt;
        if (std::size_t{tile} * tile_cells >= n.size()) n.resize(tiles.keys().size() * tile_cells);
        ++n[std::size_t{tile} * tile_cells + cell_in_tile(row)];
    }
    Counts out;
    const std::size_t sectors = occupied(n);
    out.sectors.reserve(sectors);
    out.n.reserve(sectors);
    each_occupied(tiles, n, [&](Sector sector, std::uint32_t tile, std::uint32_t cell) {
        out.sectors.push_back(sector);
        out.n.push_back(n[std::size_t{tile} * tile_cells + cell]);
    });
    return out;
}

}  // namespace

std::vector<std::uint32_t> Tiles::ordered() const {
    return sorted(keys_);
}

std::uint32_t Tiles::look_up(std::uint64_t key, Entry& entry) {
    std::uint32_t tile = index_.find(key, keys_.data());
    if (tile == absent) {
        if (keys_.size() == most_) return absent;
        tile = static_cast<std::uint32_t>(keys_.size());
        keys_.push_back(key);
        index_.insert(key, tile);
    }
    entry = {key, tile};
    return tile;
}

Counts counts_spread(std::span<const Sector> rows) {
    if (std::optional<Counts> out = counts_by_tiles(rows)) return *std::move(out);
    return counts_by_hash(rows);
}

Groups group_spread(std::span<const Sector> rows) {
    if (std::optional<Groups> out = group_by_tiles(rows)) return *std::move(out);
    return group_by_hash(rows);
}

}  // namespace sidereal
