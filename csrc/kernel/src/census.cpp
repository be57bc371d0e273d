// Buckets with room to grow, in one arena.
#include "sidereal/census.hpp"

#include <algorithm>
#include <numeric>
#include <stdexcept>
#include <string>

namespace sidereal {
namespace {

std::uint32_t room_for(std::uint32_t count) {
    return count + count / 4 + 4;
}

}  // namespace

void Census::rebuild(std::span<const Sector> rows) {
    const Groups groups = group(rows);
    const std::size_t k = groups.sectors.size();
    keys_.resize(k);
    buckets_.resize(k);
    index_.clear();
    place_.assign(rows.size(), 0);
    holes_ = 0;
    std::uint64_t start = 0;
    for (std::size_t b = 0; b < k; ++b) {
        const std::uint32_t count = groups.offsets[b + 1] - groups.offsets[b];
        keys_[b] = key_of(groups.sectors[b]);
        buckets_[b] = {start, count, room_for(count)};
        start += buckets_[b].room;
    }
    arena_.assign(start, 0);
    for (std::size_t b = 0; b < k; ++b) {
        index_.insert(keys_[b], static_cast<std::uint32_t>(b), keys_.data());
        for (std::uint32_t i = 0; i < buckets_[b].count; ++i) {
            const std::uint32_t row = groups.order[groups.offsets[b] + i];
            arena_[buckets_[b].start + i] = row;
            place_[row] = i;
        }
    }
}

void Census::move(std::span<const std::uint32_t> index, std::span<const Sector> from,
                  std::span<const Sector> to) {
    const auto refuse = [](std::size_t i, std::uint32_t row, const char* why) {
        throw std::invalid_argument("index[" + std::to_string(i) + "] is row " +
                                    std::to_string(row) + ", which " + why);
    };
    std::vector<std::uint32_t> leaving(index.size());
    for (std::size_t i = 0; i < index.size(); ++i) {
        const std::uint32_t row = index[i];
        if (row >= place_.size()) refuse(i, row, "is not in the census");
        const std::uint32_t b = index_.find(key_of(from[i]), keys_.data());
        if (b == absent || place_[row] >= buckets_[b].count ||
            arena_[buckets_[b].start + place_[row]] != row)
            refuse(i, row, "is not in the sector that old says");
        leaving[i] = b;
    }
    std::vector<std::uint32_t> sorted(index.begin(), index.end());
    if (!std::is_sorted(sorted.begin(), sorted.end())) std::sort(sorted.begin(), sorted.end());
    const auto twice = std::adjacent_find(sorted.begin(), sorted.end());
    if (twice != sorted.end())
        throw std::invalid_argument("row " + std::to_string(*twice) + " is listed twice");

    for (std::size_t i = 0; i < index.size(); ++i) {
        leave(leaving[i], index[i]);
        enter(bucket(key_of(to[i])), index[i]);
    }
    if (holes_ * 2 > arena_.size()) pack();
}

Counts Census::counts() const {
    Counts out;
    for (const std::uint32_t b : occupied()) {
        out.sectors.push_back(sector_of_key(keys_[b]));
        out.n.push_back(buckets_[b].count);
    }
    return out;
}

Groups Census::csr() const {
    Groups out;
    out.order.reserve(place_.size());
    out.offsets.push_back(0);
    for (const std::uint32_t b : occupied()) {
        const auto begin = arena_.begin() + static_cast<std::ptrdiff_t>(buckets_[b].start);
        out.order.insert(out.order.end(), begin, begin + buckets_[b].count);
        out.offsets.push_back(static_cast<std::uint32_t>(out.order.size()));
        out.sectors.push_back(sector_of_key(keys_[b]));
    }
    return out;
}

std::vector<std::uint32_t> Census::occupied() const {
    std::vector<std::uint32_t> out;
    for (std::uint32_t b = 0; b < buckets_.size(); ++b)
        if (buckets_[b].count > 0) out.push_back(b);
    std::sort(out.begin(), out.end(),
              [&](std::uint32_t a, std::uint32_t b) { return keys_[a] < keys_[b]; });
    return out;
}

std::uint32_t Census::bucket(std::uint64_t key) {
    std::uint32_t b = index_.find(key, keys_.data());
    if (b == absent) {
        b = static_cast<std::uint32_t>(keys_.size());
        keys_.push_back(key);
        buckets_.push_back({arena_.size(), 0, 0});
        index_.insert(key, b, keys_.data());
    }
    return b;
}

void Census::enter(std::uint32_t b, std::uint32_t row) {
    Bucket& to = buckets_[b];
    if (to.count == to.room) {
        const std::uint64_t start = arena_.size();
        const std::uint32_t room = room_for(to.count * 2);
        arena_.resize(start + room);
        std::copy_n(arena_.begin() + static_cast<std::ptrdiff_t>(to.start), to.count,
                    arena_.begin() + static_cast<std::ptrdiff_t>(start));
        holes_ += to.room;
        to.start = start;
        to.room = room;
    }
    arena_[to.start + to.count] = row;
    place_[row] = to.count++;
}

void Census::leave(std::uint32_t b, std::uint32_t row) {
    Bucket& from = buckets_[b];
    const std::uint32_t last = arena_[from.start + --from.count];
    arena_[from.start + place_[row]] = last;
    place_[last] = place_[row];
}

void Census::pack() {
    std::vector<std::uint64_t> keys;
    std::vector<Bucket> buckets;
    std::vector<std::uint32_t> arena;
    for (const std::uint32_t b : occupied()) {
        const auto begin = arena_.begin() + static_cast<std::ptrdiff_t>(buckets_[b].start);
        const std::uint32_t count = buckets_[b].count;
        keys.push_back(keys_[b]);
        buckets.push_back({arena.size(), count, room_for(count)});
        arena.insert(arena.end(), begin, begin + count);
        arena.resize(buckets.back().start + buckets.back().room);
    }
    index_.clear();
    keys_ = std::move(keys);
    buckets_ = std::move(buckets);
    arena_ = std::move(arena);
    for (std::uint32_t b = 0; b < keys_.size(); ++b) index_.insert(keys_[b], b, keys_.data());
    holes_ = 0;
}

}  // namespace sidereal
