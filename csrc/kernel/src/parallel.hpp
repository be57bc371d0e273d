// Work in parts, on the threads that set_threads() allows.
//
// Parts are handed out as threads become free; every result has its place by part, so answers do
// not depend on who computed what. Worker threads sleep between calls, are started when first
// needed, as many as the system grants, and a forked child starts its own. One call at a time uses
// them: another that comes meanwhile does its work alone, which never waits.
#pragma once

#include <algorithm>
#include <cstddef>
#include <functional>

#include "sidereal/runtime.hpp"

namespace sidereal {

// Calls f(0) to f(parts - 1), each once, and returns when all have; rethrows what one of them
// threw.
void parallel(std::size_t parts, const std::function<void(std::size_t)>& f);

// A range of rows.
struct Range {
    std::size_t begin, end;
    std::size_t size() const { return end - begin; }
};

// How rows are cut: into as many parts as threads (`each` for one of several), but none below
// `least` rows, and all but the last a multiple of `step`.
class Cut {
  public:
    Cut(std::size_t rows, std::size_t least, std::size_t step = 1, std::size_t each = 1)
        : rows_(rows) {
        const auto most = static_cast<std::size_t>(threads());
        parts_ = std::clamp<std::size_t>(rows / least, 1, most > 1 ? most * each : 1);
        each_ = (rows / parts_ / step + 1) * step;
    }
    std::size_t parts() const { return parts_; }
    Range operator[](std::size_t part) const {
        return {std::min(rows_, part * each_), std::min(rows_, (part + 1) * each_)};
    }

  private:
    std::size_t rows_, parts_, each_;
};

}  // namespace sidereal
