// Most rows are far from every border: they look at one sector only. The nine owners around are
// remembered while rows stay in the same sector.
#include "sidereal/ghosts.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <stdexcept>
#include <string>

namespace sidereal {
namespace {

constexpr std::size_t header_bytes = 8;
constexpr std::size_t row_bytes = 36;

// How far v is from [k*size, (k+1)*size).
double distance(double k, double v, double size) {
    const double low = k * size, high = (k + 1.0) * size;
    return v < low ? low - v : v >= high ? v - high : 0.0;
}

// Who owns a sector and its neighbours.
class Neighbourhood {
  public:
    explicit Neighbourhood(const SectorMap& owners) : owners_(owners) {}

    // The owner of the sector `dx`, `dy` beside `centre`.
    std::int32_t owner(Sector centre, int dx, int dy) {
        if (!(centre == centre_)) look(centre);
        return nine_[static_cast<std::size_t>((dy + 1) * 3 + dx + 1)];
    }

  private:
    void look(Sector centre) {
        centre_ = centre;
        std::size_t at = 0;
        for (int dy = -1; dy <= 1; ++dy)
            for (int dx = -1; dx <= 1; ++dx) {
                const double x = centre.x + static_cast<double>(dx);
                const double y = centre.y + static_cast<double>(dy);
                nine_[at++] =
                    in_range(x) && in_range(y)
                        ? owners_.get({static_cast<std::int32_t>(x), static_cast<std::int32_t>(y)})
                              .shard
                        : no_shard;
            }
    }

    const SectorMap& owners_;
    Sector centre_ = no_sector;
    std::array<std::int32_t, 9> nine_{};
};

std::invalid_argument bad_row(const char* column, std::size_t i, const char* expected) {
    return std::invalid_argument(std::string(column) + "[" + std::to_string(i) + "] is " +
                                 expected);
}

std::invalid_argument bad_payload(const char* why) {
    return std::invalid_argument(std::string("malformed payload of copies: ") + why);
}

struct Pair {
    std::int32_t target;
    std::uint32_t index;
};

}  // namespace

Sightings ghosts(std::span<const Vec2> position, std::span<const Sector> sectors,
                 std::span<const std::int32_t> shard, double size, double radius,
                 const SectorMap& owners) {
    require_size(size);
    if (!(radius >= 0.0 && radius <= size))
        throw std::invalid_argument("radius is " + std::to_string(radius) +
                                    ": expected between 0 and the sector size, " +
                                    std::to_string(size));
    std::vector<Pair> pairs;
    Neighbourhood around(owners);
    for (std::size_t i = 0; i < position.size(); ++i) {
        if (!exists(sectors[i])) continue;
        const Vec2 p = position[i];
        const Sector s = holds(sectors[i], p.x, p.y, size) ? sectors[i] : sector_of(p.x, p.y, size);
        if (!exists(s)) continue;
        const std::size_t first = pairs.size();
        std::array<double, 3> ax, ay;
        for (std::size_t d = 0; d < 3; ++d) {
            ax[d] = distance(s.x + static_cast<double>(d) - 1.0, p.x, size);
            ay[d] = distance(s.y + static_cast<double>(d) - 1.0, p.y, size);
        }
        for (std::size_t dy = 0; dy < 3; ++dy)
            for (std::size_t dx = 0; dx < 3; ++dx) {
                if (!(ax[dx] * ax[dx] + ay[dy] * ay[dy] <= radius * radius)) continue;
                const std::int32_t target =
                    around.owner(s, static_cast<int>(dx) - 1, static_cast<int>(dy) - 1);
                if (target == no_shard || target == shard[i]) continue;
                const bool known =
                    std::any_of(pairs.begin() + static_cast<std::ptrdiff_t>(first), pairs.end(),
                                [target](const Pair& q) { return q.target == target; });
                if (!known) pairs.push_back({target, static_cast<std::uint32_t>(i)});
            }
    }
    std::stable_sort(pairs.begin(), pairs.end(),
                     [](const Pair& a, const Pair& b) { return a.target < b.target; });
    Sightings out;
    out.target.reserve(pairs.size());
    out.index.reserve(pairs.size());
    for (const Pair& pair : pairs) {
        out.target.push_back(pair.target);
        out.index.push_back(pair.index);
    }
    return out;
}

Packed pack_ghosts(std::span<const std::uint64_t> ids, std::span<const Vec2> position,
                   std::span<const Vec2> velocity, std::span<const std::uint32_t> flags,
                   std::uint8_t kind, std::uint32_t tick, std::size_t payload_bytes) {
    require_payload_bytes(payload_bytes, header_bytes + row_bytes);
    for (std::size_t i = 0; i < ids.size(); ++i) {
        if (!std::isfinite(position[i].x) || !std::isfinite(position[i].y))
            throw bad_row("position", i, "not finite");
        if (!std::isfinite(static_cast<float>(velocity[i].x)) ||
            !std::isfinite(static_cast<float>(velocity[i].y)))
            throw bad_row("velocity", i, "not finite, or more than a float32 holds");
    }
    Packed out;
    Writer writer(out.data);
    const std::size_t per_datagram = (payload_bytes - header_bytes) / row_bytes;
    for (std::size_t at = 0; at < ids.size(); at += per_datagram) {
        const std::size_t count = std::min(per_datagram, ids.size() - at);
        writer.put(kind);
        writer.put(std::uint8_t{0});
        writer.put(static_cast<std::uint16_t>(count));
        writer.put(tick);
        for (std::size_t i = at; i < at + count; ++i) {
            writer.put(ids[i]);
            writer.put(position[i]);
            writer.put(static_cast<float>(velocity[i].x));
            writer.put(static_cast<float>(velocity[i].y));
            writer.put(flags[i]);
        }
        out.end_datagram();
    }
    return out;
}

Copies unpack_ghosts(std::span<const std::uint8_t> payload) {
    Reader in(payload);
    Copies out;
    std::uint8_t kind, zero;
    std::uint16_t count;
    if (!in.get(kind) || !in.get(zero) || !in.get(count) || !in.get(out.tick))
        throw bad_payload("shorter than its header");
    if (zero != 0) throw bad_payload("its second byte is not 0");
    if (in.left() != count * row_bytes) throw bad_payload("its length is not that of its rows");
    out.ids.resize(count);
    out.position.resize(count);
    out.velocity.resize(count);
    out.flags.resize(count);
    for (std::size_t i = 0; i < count; ++i) {
        float vx = 0, vy = 0;
        in.get(out.ids[i]);
        in.get(out.position[i]);
        in.get(vx);
        in.get(vy);
        in.get(out.flags[i]);
        out.velocity[i] = {vx, vy};
        if (!std::isfinite(out.position[i].x) || !std::isfinite(out.position[i].y) ||
            !std::isfinite(vx) || !std::isfinite(vy))
            throw bad_payload("a position or velocity is not finite");
    }
    return out;
}

}  // namespace sidereal
