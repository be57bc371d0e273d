// Buckets with room to grow, in one arena.
#include "sidereal/census.hpp"

#include <algorithm>
#include <array>
#include <functional>
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
    in_order_.clear();
    seats_.assign(rows.size(), {});
    holes_ = 0;
    std::uint64_t start = 0;
    for (std::size_t b = 0; b < k; ++b) {
        const std::uint32_t count = groups.offsets[b + 1] - groups.offsets[b];
        keys_[b] = key_of(groups.sectors[b]);
        buckets_[b] = {keys_[b], start, count, room_for(count)};
        start += buckets_[b].room;
    }
    arena_.assign(start, 0);
    for (std::uint32_t b = 0; b < k; ++b) {
        index_.insert(keys_[b], b);
        for (std::uint32_t i = 0; i < buckets_[b].count; ++i) {
            const std::uint32_t row = groups.order[groups.offsets[b] + i];
            arena_[buckets_[b].start + i] = row;
            seats_[row] = {b, i};
        }
    }
}

void Census::move(std::span<const std::uint32_t> index, std::span<const Sector> from,
                  std::span<const Sector> to) {
    check(index, from);
    for (std::size_t at = 0; at < index.size(); at += SlotIndex::batch) {
        const std::size_t n = std::min(SlotIndex::batch, index.size() - at);
        move_batch(index.subspan(at, n), to.subspan(at, n));
    }
    if (holes_ * 2 > arena_.size()) pack();
}

void Census::check(std::span<const std::uint32_t> index, std::span<const Sector> from) const {
    constexpr std::size_t ahead = 32;
    const auto refuse = [&](std::size_t i, const char* why) {
        throw std::invalid_argument("index[" + std::to_string(i) + "] is row " +
                                    std::to_string(index[i]) + ", which " + why);
    };
    bool ascending = true;
    for (std::size_t i = 0; i < index.size(); ++i) {
        if (index[i] >= seats_.size()) refuse(i, "is not in the census");
        ascending &= i == 0 || index[i - 1] < index[i];
    }
    for (std::size_t i = 0; i < from.size() + 2 * ahead; ++i) {
        if (i < from.size()) __builtin_prefetch(&seats_[index[i]]);
        if (i >= ahead && i - ahead < from.size())
            __builtin_prefetch(&buckets_[seats_[index[i - ahead]].bucket]);
        if (i < 2 * ahead) continue;
        const std::size_t k = i - 2 * ahead;
        if (buckets_[seats_[index[k]].bucket].key != key_of(from[k]))
            refuse(k, "is not in the sector that old says");
    }
    if (ascending) return;
    std::vector<std::uint32_t> sorted(index.begin(), index.end());
    std::sort(sorted.begin(), sorted.end());
    const auto twice = std::adjacent_find(sorted.begin(), sorted.end());
    if (twice != sorted.end())
        throw std::invalid_argument("row " + std::to_string(*twice) + " is listed twice");
}

// Memory is asked for some steps before it is needed: each step is a loop over the batch.
void Census::move_batch(std::span<const std::uint32_t> index, std::span<const Sector> to) {
    std::array<std::uint64_t, SlotIndex::batch> keys;
    std::array<std::uint32_t, SlotIndex::batch> entering, found, unknown;
    const std::size_t n = index.size();
    for (std::size_t i = 0; i < n; ++i) __builtin_prefetch(&seats_[index[i]], 1);
    for (std::size_t i = 0; i < n; ++i) __builtin_prefetch(&buckets_[seats_[index[i]].bucket], 1);
    std::size_t unknowns = 0;
    for (std::size_t i = 0; i < n; ++i) {
        const auto [b, place] = seats_[index[i]];
        const Bucket& from = buckets_[b];
        __builtin_prefetch(arena_.data() + from.start + place, 1);
        __builtin_prefetch(arena_.data() + from.start + from.count - 1);
        // After a rebuild the sector beside it in its row has the bucket beside its own.
        const std::uint64_t key = key_of(to[i]);
        const std::uint32_t beside = key > from.key ? b + 1 : b - 1;
        const bool known = beside < buckets_.size() && buckets_[beside].key == key;
        entering[i] = known ? beside : absent;
        keys[unknowns] = key;
        found[unknowns] = absent;
        unknown[unknowns] = static_cast<std::uint32_t>(i);
        unknowns += known ? 0 : 1;
    }
    index_.find_absent(keys.data(), unknowns, keys_.data(), found.data());
    for (std::size_t u = 0; u < unknowns; ++u) {
        entering[unknown[u]] = found[u];
        if (found[u] != absent) __builtin_prefetch(&buckets_[found[u]], 1);
    }
    for (std::size_t i = 0; i < n; ++i) {
        // The last row of a bucket may be another by the time it is needed: then it is waited for.
        const Bucket& from = buckets_[seats_[index[i]].bucket];
        __builtin_prefetch(&seats_[arena_[from.start + from.count - 1]], 1);
        if (entering[i] == absent) continue;
        const Bucket& in = buckets_[entering[i]];
        __builtin_prefetch(arena_.data() + in.start + in.count, 1);
    }
    for (std::size_t i = 0; i < n; ++i) {
        leave(seats_[index[i]]);
        enter(entering[i] != absent ? entering[i] : bucket(key_of(to[i])), index[i]);
    }
}

Counts Census::counts() {
    Counts out;
    out.sectors.resize(buckets_.size());
    out.n.resize(buckets_.size());
    std::size_t at = 0;
    for (const std::uint32_t b : in_order()) {
        out.sectors[at] = sector_of_key(keys_[b]);
        out.n[at] = buckets_[b].count;
        at += buckets_[b].count > 0;
    }
    out.sectors.resize(at);
    out.n.resize(at);
    return out;
}

Groups Census::csr() {
    Groups out;
    out.order.resize(seats_.size());
    out.offsets.reserve(buckets_.size() + 1);
    out.sectors.reserve(buckets_.size());
    out.offsets.push_back(0);
    for (const std::uint32_t b : in_order()) {
        if (buckets_[b].count == 0) continue;
        std::copy_n(arena_.data() + buckets_[b].start, buckets_[b].count,
                    out.order.data() + out.offsets.back());
        out.offsets.push_back(out.offsets.back() + buckets_[b].count);
        out.sectors.push_back(sector_of_key(keys_[b]));
    }
    return out;
}

// All buckets by key. Those that are new since the last time are sorted in.
const std::vector<std::uint32_t>& Census::in_order() {
    const auto by_key = [this](std::uint32_t a, std::uint32_t b) { return keys_[a] < keys_[b]; };
    const auto known = static_cast<std::ptrdiff_t>(in_order_.size());
    for (auto b = static_cast<std::uint32_t>(known); b < keys_.size(); ++b) in_order_.push_back(b);
    std::sort(in_order_.begin() + known, in_order_.end(), by_key);
    std::inplace_merge(in_order_.begin(), in_order_.begin() + known, in_order_.end(), by_key);
    return in_order_;
}

std::uint32_t Census::bucket(std::uint64_t key) {
    std::uint32_t b = index_.find(key, keys_.data());
    if (b == absent) {
        b = static_cast<std::uint32_t>(keys_.size());
        keys_.push_back(key);
        buckets_.push_back({key, arena_.size(), 0, 0});
        index_.insert(key, b);
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
    seats_[row] = {b, to.count++};
}

void Census::leave(Seat seat) {
    Bucket& from = buckets_[seat.bucket];
    const std::uint32_t last = arena_[from.start + --from.count];
    arena_[from.start + seat.place] = last;
    seats_[last].place = seat.place;
}

void Census::pack() {
    LargeVector<std::uint64_t> keys;
    LargeVector<Bucket> buckets;
    LargeVector<std::uint32_t> arena;
    in_order_.clear();
    for (const std::uint32_t b : in_order()) {
        const auto begin = arena_.begin() + static_cast<std::ptrdiff_t>(buckets_[b].start);
        const std::uint32_t count = buckets_[b].count;
        if (count == 0) continue;
        for (std::uint32_t i = 0; i < count; ++i)
            seats_[begin[i]].bucket = static_cast<std::uint32_t>(buckets.size());
        keys.push_back(keys_[b]);
        buckets.push_back({keys_[b], arena.size(), count, room_for(count)});
        arena.insert(arena.end(), begin, begin + count);
        arena.resize(buckets.back().start + buckets.back().room);
    }
    index_.clear();
    keys_ = std::move(keys);
    buckets_ = std::move(buckets);
    arena_ = std::move(arena);
    for (std::uint32_t b = 0; b < keys_.size(); ++b) index_.insert(keys_[b], b);
    holes_ = 0;
}

}  // namespace sidereal
