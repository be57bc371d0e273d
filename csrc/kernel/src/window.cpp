// The window is guessed from a sample: all of it where that is small enough, else its middle.
#include "window.hpp"

#include <algorithm>
#include <array>
#include <cmath>

namespace sidereal {
namespace {

constexpr std::size_t sample_most = 512;

// A range of coordinates, ends included.
struct Extent {
    std::int64_t low, high;
    std::int64_t size() const { return high - low + 1; }

    Extent widened(std::int64_t by) const {
        return {std::max<std::int64_t>(low - by, -std::int64_t{0x7FFFFFFF}),
                std::min<std::int64_t>(high + by, 0x7FFFFFFF)};
    }
};

std::optional<Window> made(Extent x, Extent y, std::size_t rows) {
    const auto width = static_cast<std::uint64_t>(x.size());
    const auto height = static_cast<std::uint64_t>(y.size());
    const std::uint64_t most = std::min<std::uint64_t>(rows, std::uint64_t{1} << 31);
    if (width > most || height > most / width) return std::nullopt;
    return Window{static_cast<std::int32_t>(x.low), static_cast<std::int32_t>(y.low),
                  static_cast<std::uint32_t>(width), static_cast<std::uint32_t>(height)};
}

// Some rows' coordinates on one axis, each axis sorted by itself.
struct Sample {
    std::array<std::int32_t, sample_most> values;
    std::size_t n = 0;

    void add(std::int32_t v) { values[n++] = v; }
    void sort() { std::sort(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(n)); }
    Extent all() const { return {values[0], values[n - 1]}; }
    Extent middle() const { return {values[n / 64], values[n - 1 - n / 64]}; }
};

}  // namespace

std::optional<Window> window(std::span<const Sector> rows) {
    Sample x, y;
    const std::size_t step = std::max<std::size_t>(1, rows.size() / sample_most);
    for (std::size_t i = step / 2; i < rows.size() && x.n < sample_most; i += step) {
        if (!exists(rows[i])) continue;
        x.add(rows[i].x);
        y.add(rows[i].y);
    }
    if (x.n == 0) return std::nullopt;
    x.sort(), y.sort();
    if (step == 1) {
        if (const auto all = made(x.all(), y.all(), rows.size())) return all;
        return std::nullopt;
    }
    // What the sample missed of a crowd's edge is a small part of the crowd's width.
    const auto edge = [](Extent e, std::int64_t part) { return e.widened(e.size() / part + 1); };
    const Extent mx = edge(x.middle(), 2), my = edge(y.middle(), 2);
    const Extent ax = edge(x.all(), 32), ay = edge(y.all(), 32);
    const bool far = static_cast<double>(ax.size()) * static_cast<double>(ay.size()) >
                     4.0 * static_cast<double>(mx.size()) * static_cast<double>(my.size());
    if (!far)
        if (const auto all = made(ax, ay, rows.size())) return all;
    return made(mx, my, rows.size());
}

}  // namespace sidereal
