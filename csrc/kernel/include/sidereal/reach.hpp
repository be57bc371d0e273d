// What must be awake: the sectors that motions and sensors touch.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "sidereal/grid.hpp"
#include "sidereal/positions.hpp"

namespace sidereal {

// However fast an entity is, and however far it sees, it wakes only so much: motion counts up to
// this many sectors along each axis, sight up to that many.
inline constexpr double reach_motion_sectors_max = 4.0;
inline constexpr double reach_radius_sectors_max = 16.0;

// All sectors touched by the bounding boxes of discs swept along straight lines from pos to
// pos + velocity*horizon_s; unique, by y, then x. `radius` has one element for all rows or one a
// row. Rows with an invalid position, velocity or radius (negative, NaN) touch nothing.
template <class Real>
std::vector<Sector> reach(std::span<const Point<Real>> pos, std::span<const Point<Real>> velocity,
                          std::span<const double> radius, double size, double horizon_s);

}  // namespace sidereal
