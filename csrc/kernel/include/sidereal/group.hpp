// Who is where: how many rows each sector holds, and which.
//
// Sectors come out by y, then x. Rows without a sector count as a sector of their own, no_sector,
// which sorts first, so that every row is in exactly one group.
#pragma once

#include <cstdint>
#include <span>

#include "sidereal/grid.hpp"
#include "sidereal/raw_vector.hpp"

namespace sidereal {

struct Counts {
    RawVector<Sector> sectors;
    RawVector<std::uint32_t> n;
};

Counts counts(std::span<const Sector> rows);

// Compressed sparse rows: the rows of sectors[g] are order[offsets[g] .. offsets[g+1]).
struct Groups {
    RawVector<std::uint32_t> order;    // n; ascending within a sector
    RawVector<std::uint32_t> offsets;  // one more than sectors
    RawVector<Sector> sectors;
};

Groups group(std::span<const Sector> rows);

// The same with the order in the caller's memory, as long as rows; out.order stays empty.
void group(std::span<const Sector> rows, std::span<std::uint32_t> order, Groups& out);

}  // namespace sidereal
