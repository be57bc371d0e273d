// Passes over all positions: their sectors, who crossed a border, who is near one.
//
// Positions are interleaved x, y, as float or double; float is widened, which is exact. `prev`
// and `sectors` are the sectors in which the entities are held.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "sidereal/grid.hpp"
#include "sidereal/raw_vector.hpp"
#include "sidereal/sector_map.hpp"

namespace sidereal {

template <class Real>
struct Point {
    Real x, y;
};

// Writes the sector of each position to `out`; returns the rows that have none, ascending.
template <class Real>
std::vector<std::uint32_t> sectors(std::span<const Point<Real>> pos, double size,
                                   std::span<Sector> out);

struct Crossings {
    RawVector<std::uint32_t> index;  // rows, ascending
    RawVector<Sector> sectors;       // where each of them is now
};

// The rows whose sector is not `prev` any more. A position that became invalid crosses to
// no_sector; a row that had no sector crosses whatever the margin.
//
// With a margin (hysteresis) a row counts only once it lies outside
// [k*size - margin, (k+1)*size + margin) of its previous sector on some axis, bounds rounded to
// double; where `shards` is given, only between sectors that the map gives to different shards
// (no_shard where it holds none).
//
// `update`, where given, is prev's memory: rows that cross are written to it.
template <class Real>
Crossings crossings(std::span<const Point<Real>> pos, std::span<const Sector> prev, double size,
                    double margin, const SectorMap* shards, Sector* update = nullptr);

// The rows that lie within `margin` of a border of their sector, or beyond it: x below
// k*size + margin or not below (k+1)*size - margin on some axis, bounds rounded to double. Rows
// that are not finite or have no sector are not listed.
template <class Real>
std::vector<std::uint32_t> near_border(std::span<const Point<Real>> pos,
                                       std::span<const Sector> sectors, double size, double margin);

}  // namespace sidereal
