// How many rows cross each border: what a cut between two sectors would cost.
#pragma once

#include <cstdint>
#include <span>

#include "sidereal/grid.hpp"
#include "sidereal/raw_vector.hpp"

namespace sidereal {

// Rows by where they came from and where they went, sorted by source, then target.
struct Flux {
    RawVector<Sector> source, target;
    RawVector<std::uint32_t> n;
};

// `from` and `to` are as long as each other: the sectors of crossings. Rows that stayed, that came
// from nowhere or went there cross no border and are not counted.
Flux flux(std::span<const Sector> from, std::span<const Sector> to);

}  // namespace sidereal
