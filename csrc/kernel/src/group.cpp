// Counting and grouping by tiles of sectors; by hashing where rows are too far apart for that.
//
// Grouping writes rows first to the run of their tile, which is few enough write streams for the
// caches, and then, tile by tile, to their sectors.
#include "sidereal/group.hpp"

#include <algorithm>
#include <numeric>
#include <optional>

#include "sidereal/slot_index.hpp"
#include "tiles.hpp"

namespace sidereal {
namespace {

// Sectors in order of appearance, how many rows each has, and (if wanted) each row's.
struct Tally {
    std::vector<std::uint64_t> keys;
    std::vector<std::uint32_t> n;
    std::vector<std::uint32_t> sector_of_row;
};

Tally tally(std::span<const Sector> rows, bool want_rows) {
    Tally t;
    if (want_rows) t.sector_of_row.resize(rows.size());
    SlotIndex index;
    for (std::size_t i = 0; i < rows.size(); ++i) {
        const std::uint64_t key = key_of(rows[i]);
        std::uint32_t sector = index.find(key, t.keys.data());
        if (sector == absent) {
            sector = static_cast<std::uint32_t>(t.keys.size());
            t.keys.push_back(key);
            t.n.push_back(0);
            index.insert(key, sector, t.keys.data());
        }
        ++t.n[sector];
        if (want_rows) t.sector_of_row[i] = sector;
    }
    return t;
}

// The sectors' numbers in the order of their keys.
std::vector<std::uint32_t> sorted(const std::vector<std::uint64_t>& keys) {
    std::vector<std::uint32_t> order(keys.size());
    std::iota(order.begin(), order.end(), 0u);
    std::sort(order.begin(), order.end(),
              [&](std::uint32_t a, std::uint32_t b) { return keys[a] < keys[b]; });
    return order;
}

Counts counts_by_hash(std::span<const Sector> rows) {
    const Tally t = tally(rows, false);
    Counts out;
    out.sectors.reserve(t.keys.size());
    out.n.reserve(t.keys.size());
    for (const std::uint32_t s : sorted(t.keys)) {
        out.sectors.push_back(sector_of_key(t.keys[s]));
        out.n.push_back(t.n[s]);
    }
    return out;
}

Groups group_by_hash(std::span<const Sector> rows) {
    Tally t = tally(rows, true);
    Groups out;
    out.sectors.reserve(t.keys.size());
    out.offsets.reserve(t.keys.size() + 1);
    out.offsets.push_back(0);
    std::vector<std::uint32_t>& next = t.n;  // from how many to where the next row goes
    for (const std::uint32_t s : sorted(t.keys)) {
        const std::uint32_t begin = out.offsets.back();
        out.sectors.push_back(sector_of_key(t.keys[s]));
        out.offsets.push_back(begin + next[s]);
        next[s] = begin;
    }
    out.order.resize(rows.size());
    for (std::size_t i = 0; i < rows.size(); ++i)
        out.order[next[t.sector_of_row[i]]++] = static_cast<std::uint32_t>(i);
    return out;
}

// How many rows each tile has; false if there are too many tiles.
bool count_tiles(std::span<const Sector> rows, Tiles& tiles, std::vector<std::uint32_t>& n) {
    for (const Sector row : rows) {
        const std::uint32_t tile = tiles.number(row);
        if (tile == absent) return false;
        if (tile == n.size()) n.push_back(0);
        ++n[tile];
    }
    return true;
}

// Rows by tile: those of tile t are row[begin[t] .. begin[t+1]), ascending, with their cells.
struct Partition {
    std::vector<std::uint32_t> begin;
    RawVector<std::uint32_t> row;
    RawVector<std::uint16_t> cell;
};

Partition partition(std::span<const Sector> rows, Tiles& tiles,
                    const std::vector<std::uint32_t>& n) {
    Partition out;
    out.begin.resize(n.size() + 1);
    std::partial_sum(n.begin(), n.end(), out.begin.begin() + 1);
    out.row.resize(rows.size());
    out.cell.resize(rows.size());
    std::vector<std::uint32_t> next(out.begin.begin(), out.begin.end() - 1);
    for (std::size_t i = 0; i < rows.size(); ++i) {
        const std::uint32_t at = next[tiles.number(rows[i])]++;
        out.row[at] = static_cast<std::uint32_t>(i);
        out.cell[at] = static_cast<std::uint16_t>(cell_in_tile(rows[i]));
    }
    return out;
}

std::optional<Groups> group_by_tiles(std::span<const Sector> rows) {
    Tiles tiles(rows.size());
    std::vector<std::uint32_t> n;
    if (!count_tiles(rows, tiles, n)) return std::nullopt;
    const Partition parts = partition(rows, tiles, n);

    std::vector<std::uint32_t> next(n.size() * tile_cells);  // counts, then where to write
    for (std::size_t t = 0; t < n.size(); ++t)
        for (std::uint32_t i = parts.begin[t]; i < parts.begin[t + 1]; ++i)
            ++next[t * tile_cells + parts.cell[i]];
    Groups out;
    out.offsets.push_back(0);
    each_occupied(tiles, next, [&](Sector sector, std::uint32_t tile, std::uint32_t cell) {
        std::uint32_t& at = next[std::size_t{tile} * tile_cells + cell];
        const std::uint32_t begin = out.offsets.back();
        out.sectors.push_back(sector);
        out.offsets.push_back(begin + at);
        at = begin;
    });
    out.order.resize(rows.size());
    for (std::size_t t = 0; t < n.size(); ++t)
        for (std::uint32_t i = parts.begin[t]; i < parts.begin[t + 1]; ++i)
            out.order[next[t * tile_cells + parts.cell[i]]++] = parts.row[i];
    return out;
}

std::optional<Counts> counts_by_tiles(std::span<const Sector> rows) {
    Tiles tiles(rows.size());
    std::vector<std::uint32_t> n;
    for (const Sector row : rows) {
        const std::uint32_t tile = tiles.number(row);
        if (tile == absent) return std::nullopt;
        if (std::size_t{tile} * tile_cells == n.size()) n.resize(n.size() + tile_cells);
        ++n[std::size_t{tile} * tile_cells + cell_in_tile(row)];
    }
    Counts out;
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
        index_.insert(key, tile, keys_.data());
    }
    entry = {key, tile};
    return tile;
}

Counts counts(std::span<const Sector> rows) {
    if (std::optional<Counts> out = counts_by_tiles(rows)) return *std::move(out);
    return counts_by_hash(rows);
}

Groups group(std::span<const Sector> rows) {
    if (std::optional<Groups> out = group_by_tiles(rows)) return *std::move(out);
    return group_by_hash(rows);
}

}  // namespace sidereal
