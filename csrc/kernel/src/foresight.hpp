// Room in an answer whose length is not known before.
//
// Doubling would hold an answer up to three times, with what the copies leave in the kept blocks.
// What part of the work found so far foretells the rest; memory that is not written costs nothing.
#pragma once

#include <algorithm>
#include <cstddef>

namespace sidereal {

// Makes room for `more` elements, where `done` of `all` rows are what gave them and those before.
template <class Vector>
void foresee(Vector& v, std::size_t more, std::size_t done, std::size_t all) {
    const std::size_t wanted = v.size() + more;
    if (wanted <= v.capacity()) return;
    // A sixteenth over, and never more than sixteen times: a crowd may come first.
    const double whole = static_cast<double>(wanted) * 1.0625 * static_cast<double>(all) /
                         static_cast<double>(std::max<std::size_t>(done, 1));
    const double most = 16.0 * static_cast<double>(wanted);
    v.reserve(
        std::max(static_cast<std::size_t>(std::min(whole, most)), v.capacity() / 4 * 5 + more));
}

}  // namespace sidereal
