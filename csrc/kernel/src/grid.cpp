// Checks of grid parameters, with messages that say what was expected.
#include "sidereal/grid.hpp"

#include <stdexcept>
#include <string>

#include "sidereal/quantise.hpp"

namespace sidereal {

void require_size(double size) {
    if (!(std::isfinite(size) && size > 0.0))
        throw std::invalid_argument("size is " + std::to_string(size) +
                                    ": expected a finite, positive sector size");
}

void require_margin(double margin, double size) {
    if (!(margin >= 0.0 && margin <= size / 2.0))
        throw std::invalid_argument("margin is " + std::to_string(margin) +
                                    ": expected between 0 and half the sector size, " +
                                    std::to_string(size / 2.0));
}

void require_cells(double size) {
    require_size(size);
    if (cell_size(size) * cells_per_sector != size)
        throw std::invalid_argument("size is " + std::to_string(size) +
                                    ": too small to be divided into 2^30 cells");
}

}  // namespace sidereal
