// Sectors by tiles of 64 x 64.
//
// A tile has a dense array of counters, so that counting a row is one addition; tiles are found by
// hashing. Crowds share tiles, and that is when this pays: where rows are so far apart that the
// counters would be mostly empty, `Tiles` gives up and the caller hashes sectors instead. Nothing
// is ever made for the space between.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "sidereal/grid.hpp"
#include "sidereal/slot_index.hpp"

namespace sidereal {

inline constexpr int tile_bits = 6;
inline constexpr std::uint32_t tile_side = 1u << tile_bits;
inline constexpr std::uint32_t tile_cells = tile_side * tile_side;

// The tile of a sector, ordered by y, then x, as sectors are.
inline std::uint64_t tile_key(Sector s) {
    const std::uint64_t key = key_of(s);
    return (key >> (32 + tile_bits) << 32) | ((key & 0xFFFFFFFFu) >> tile_bits);
}

// The cell within its tile, by y, then x.
inline std::uint32_t cell_in_tile(Sector s) {
    const auto x = static_cast<std::uint32_t>(s.x), y = static_cast<std::uint32_t>(s.y);
    return (y % tile_side) << tile_bits | (x % tile_side);
}

// The sector of a cell in a tile.
inline Sector sector_in_tile(std::uint64_t tile, std::uint32_t cell) {
    const std::uint64_t y = (tile >> 32 << tile_bits) | (cell >> tile_bits);
    const std::uint64_t x = ((tile & 0xFFFFFFFFu) << tile_bits) | (cell % tile_side);
    return sector_of_key(y << 32 | x);
}

// Numbers tiles in order of appearance.
class Tiles {
  public:
    // Numbers as many tiles as have at most four cells for each of `rows`: none for a few rows.
    explicit Tiles(std::size_t rows) : most_(rows / (tile_cells / 4)) { cache_.fill({}); }

    // The number of a tile, or absent when there are too many tiles.
    std::uint32_t number(std::uint64_t key) {
        Entry& entry = cache_[(key ^ key >> 27) % cache_.size()];
        if (entry.tile != absent && entry.key == key) return entry.tile;
        return look_up(key, entry);
    }

    const std::vector<std::uint64_t>& keys() const { return keys_; }

    std::size_t most() const { return most_; }

    // Tile numbers by key.
    std::vector<std::uint32_t> ordered() const;

  private:
    struct Entry {
        std::uint64_t key = 0;
        std::uint32_t tile = absent;
    };

    std::uint32_t look_up(std::uint64_t key, Entry& entry);

    std::size_t most_;
    std::array<Entry, 1024> cache_;
    std::vector<std::uint64_t> keys_;
    SlotIndex index_;
};

// Calls f(sector, tile number, cell) for each cell that `counters` (tile_cells a tile) says is
// occupied, by y, then x.
template <class Counters, class F>
void each_occupied(const Tiles& tiles, const Counters& counters, F&& f) {
    const std::vector<std::uint32_t> order = tiles.ordered();
    const std::vector<std::uint64_t>& keys = tiles.keys();
    for (std::size_t begin = 0; begin < order.size();) {
        std::size_t end = begin;  // the tiles of one row of tiles
        while (end < order.size() && keys[order[end]] >> 32 == keys[order[begin]] >> 32) ++end;
        for (std::uint32_t y = 0; y < tile_side; ++y)
            for (std::size_t t = begin; t < end; ++t) {
                const std::uint32_t tile = order[t];
                for (std::uint32_t cell = y * tile_side; cell < (y + 1) * tile_side; ++cell)
                    if (counters[std::size_t{tile} * tile_cells + cell] != 0)
                        f(sector_in_tile(keys[tile], cell), tile, cell);
            }
        begin = end;
    }
}

}  // namespace sidereal
