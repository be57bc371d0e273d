// Counting and grouping for rows of which no rectangle holds nearly all.
#pragma once

#include <span>

#include "sidereal/group.hpp"

namespace sidereal {

Counts counts_spread(std::span<const Sector> rows);
Groups group_spread(std::span<const Sector> rows);

}  // namespace sidereal
