// Most rows are far from every border: they look at one sector only. Owners are looked up nine at
// a time, once a sector.
#include "sidereal/ghosts.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <stdexcept>
#include <string>

#include "blocks.hpp"
#include "passes.hpp"
#include "sidereal/hash.hpp"
#include "sidereal/slot_index.hpp"

namespace sidereal {
namespace {

constexpr std::size_t header_bytes = 8;
constexpr std::size_t row_bytes = 36;

// How far v is from [k*size, (k+1)*size).
double distance(double k, double v, double size) {
    const double low = k * size, high = (k + 1.0) * size;
    return v < low ? low - v : v >= high ? v - high : 0.0;
}

// Who owns a sector (at [4]) and the eight around it, by y, then x.
using Nine = std::array<std::int32_t, 9>;

// Looks up nine owners at a time, and remembers them for as long as the call lasts.
class Neighbourhoods {
  public:
    explicit Neighbourhoods(const SectorMap& owners) : owners_(owners), cache_(1024) {}

    const Nine& around(Sector s) {
        const std::uint64_t key = key_of(s);
        Entry& entry = cache_[splitmix64(key) % cache_.size()];
        if (!(entry.sector == s)) {
            entry.sector = s;
            std::size_t at = 0;
            for (int dy = -1; dy <= 1; ++dy)
                for (int dx = -1; dx <= 1; ++dx) entry.nine[at++] = owner(s.x, dx, s.y, dy);
        }
        return entry.nine;
    }

  private:
    struct Entry {
        Sector sector = no_sector;
        Nine nine{};
    };

    std::int32_t owner(std::int32_t x, int dx, std::int32_t y, int dy) const {
        const double kx = static_cast<double>(x) + dx, ky = static_cast<double>(y) + dy;
        if (!in_range(kx) || !in_range(ky)) return no_shard;
        return owners_.get({static_cast<std::int32_t>(kx), static_cast<std::int32_t>(ky)}).shard;
    }

    const SectorMap& owners_;
    std::vector<Entry> cache_;
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

// Adds the shards that see a row which is near a border, or beyond it, or nowhere.
void look_around(Vec2 p, Sector held, std::int32_t shard, double size, double radius,
                 Neighbourhoods& owners, std::uint32_t index, std::vector<Pair>& pairs) {
    if (!exists(held)) return;
    const Sector s = holds(held, p.x, p.y, size) ? held : sector_of(p.x, p.y, size);
    if (!exists(s)) return;
    const Nine& nine = owners.around(s);
    if (std::all_of(nine.begin(), nine.end(),
                    [&](std::int32_t o) { return o == shard || o == no_shard; }))
        return;
    std::array<double, 3> ax, ay;
    for (std::size_t d = 0; d < 3; ++d) {
        ax[d] = distance(s.x + static_cast<double>(d) - 1.0, p.x, size);
        ay[d] = distance(s.y + static_cast<double>(d) - 1.0, p.y, size);
    }
    const std::size_t first = pairs.size();
    for (std::size_t beside = 0; beside < nine.size(); ++beside) {
        const double dx = ax[beside % 3], dy = ay[beside / 3];
        const std::int32_t target = nine[beside];
        if (target == no_shard || target == shard || !(dx * dx + dy * dy <= radius * radius))
            continue;
        if (std::none_of(pairs.begin() + static_cast<std::ptrdiff_t>(first), pairs.end(),
                         [target](const Pair& q) { return q.target == target; }))
            pairs.push_back({target, index});
    }
}

// Sorts by target; rows are ascending already. Targets are few.
Sightings by_target(const std::vector<Pair>& pairs) {
    std::vector<std::int32_t> targets;
    std::vector<std::uint32_t> next;
    SlotIndex index;
    std::vector<std::uint64_t> keys;
    const auto number = [&](std::int32_t target) {
        return index.find(static_cast<std::uint32_t>(target), keys.data());
    };
    for (const Pair& pair : pairs) {
        std::uint32_t n = number(pair.target);
        if (n == absent) {
            n = static_cast<std::uint32_t>(keys.size());
            keys.push_back(static_cast<std::uint32_t>(pair.target));
            targets.push_back(pair.target);
            next.push_back(0);
            index.insert(keys.back(), n);
        }
        ++next[n];
    }
    Sightings out;
    out.target.reserve(pairs.size());
    std::sort(targets.begin(), targets.end());
    for (const std::int32_t target : targets) {
        std::uint32_t& at = next[number(target)];
        const auto begin = static_cast<std::uint32_t>(out.target.size());
        out.target.resize(begin + at, target);
        at = begin;
    }
    out.index.resize(pairs.size());
    for (const Pair& pair : pairs) out.index[next[number(pair.target)]++] = pair.index;
    return out;
}

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
    Neighbourhoods owners_of(owners);
    Flags flags;
    // Rows without a flag are farther than `radius` from every border, whatever was rounded: a
    // coordinate's last place is at most size * 2^-21.
    const double margin = radius + size * 0x1p-19;
    each_block({0, position.size()}, [&](std::size_t begin, std::size_t rows) {
        passes().near_f64(&position[begin].x, &sectors[begin].x, rows * 2, size, margin,
                          flags.data());
        for (std::size_t i = begin; i < begin + rows; ++i) {
            if (flagged(flags, i - begin)) {
                look_around(position[i], sectors[i], shard[i], size, radius, owners_of,
                            static_cast<std::uint32_t>(i), pairs);
            } else {
                const std::int32_t target = owners_of.around(sectors[i])[4];
                if (target != no_shard && target != shard[i])
                    pairs.push_back({target, static_cast<std::uint32_t>(i)});
            }
        }
    });
    return by_target(pairs);
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
