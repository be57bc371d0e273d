// Bump allocation, and packing when it pays.
#include "sidereal/blob_arena.hpp"

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <string>

namespace sidereal {
namespace {

constexpr std::size_t small_blob_bytes = 64;

}  // namespace

std::span<const std::uint8_t> BlobArena::get(std::size_t row) const {
    if (lengths_[row] == 0) return {};
    return std::span(arena_).subspan(std::size_t{places_[row]} * 8, lengths_[row]);
}

void BlobArena::gather(std::span<const std::uint32_t> rows, std::uint8_t* to) const {
    constexpr std::size_t ahead = 16;
    const std::uint32_t* const places = places_.data();
    const std::uint16_t* const lengths = lengths_.data();
    const std::uint8_t* const arena = arena_.data();
    // Blobs that lie side by side, as those of a table in order do, are copied as one.
    std::size_t begin = 0, end = 0;
    const auto flush = [&] {
        if (end > begin) std::memcpy(to, arena + begin, end - begin);
        to += end - begin;
    };
    for (std::size_t i = 0; i < rows.size(); ++i) {
        const std::size_t length = lengths[rows[i]];
        const std::size_t at = std::size_t{places[rows[i]]} * 8;
        if (at != end) {
            if (i + ahead < rows.size())
                __builtin_prefetch(arena + std::size_t{places[rows[i + ahead]]} * 8);
            flush();
            begin = at;
        }
        end = at + length;
    }
    flush();
}

bool BlobArena::overwrite(std::size_t row, std::span<const std::uint8_t> bytes) {
    std::uint8_t* const to = arena_.data() + std::size_t{places_[row]} * 8;
    if (bytes.size() % 8 != 0 || bytes.size() > small_blob_bytes) {
        if (std::equal(bytes.begin(), bytes.end(), to)) return false;
        std::memmove(to, bytes.data(), bytes.size());
        return true;
    }
    // Word by word: calls to compare and to copy cost more than small blobs themselves.
    std::uint64_t differ = 0;
    for (std::size_t at = 0; at < bytes.size(); at += 8) {
        std::uint64_t before, after;
        std::memcpy(&before, to + at, 8);
        std::memcpy(&after, bytes.data() + at, 8);
        std::memcpy(to + at, &after, 8);
        differ |= before ^ after;
    }
    return differ != 0;
}

void BlobArena::set(std::size_t row, std::span<const std::uint8_t> bytes) {
    if (bytes.size() > blob_bytes_max)
        throw std::invalid_argument("a state of " + std::to_string(bytes.size()) +
                                    " bytes: the most is " + std::to_string(blob_bytes_max));
    const std::size_t before = lengths_[row];
    if (room(bytes.size()) > room(before)) {
        const std::size_t at = arena_.size();
        if (at / 8 > 0xFFFFFFFFu - room(bytes.size()) / 8)
            throw std::length_error("more than 32 GB of states in one table");
        std::vector<std::uint8_t> copy(bytes.begin(), bytes.end());  // it may lie in the arena
        arena_.resize(at + room(copy.size()));
        std::memcpy(arena_.data() + at, copy.data(), copy.size());
        places_[row] = static_cast<std::uint32_t>(at / 8);
    } else if (!bytes.empty()) {
        std::memmove(arena_.data() + std::size_t{places_[row]} * 8, bytes.data(), bytes.size());
    }
    lengths_[row] = static_cast<std::uint16_t>(bytes.size());
    live_ = live_ - before + bytes.size();
    held_ = held_ - room(before) + room(bytes.size());
    if (arena_.size() > 4096 && held_ * 2 < arena_.size()) pack();
}

void BlobArena::resize(std::size_t rows) {
    places_.resize(rows, 0);
    lengths_.resize(rows, 0);
}

void BlobArena::reserve(std::size_t rows) {
    places_.reserve(rows);
    lengths_.reserve(rows);
}

void BlobArena::arrange(std::span<const std::uint32_t> order) {
    std::vector<std::uint32_t> places(order.size());
    std::vector<std::uint16_t> lengths(order.size());
    for (std::size_t row = 0; row < order.size(); ++row) {
        places[row] = places_[order[row]];
        lengths[row] = lengths_[order[row]];
    }
    std::copy(places.begin(), places.end(), places_.begin());
    std::copy(lengths.begin(), lengths.end(), lengths_.begin());
    // Small blobs follow their rows; large ones share no cache lines, and stay where they are.
    if (held_ <= order.size() * small_blob_bytes) pack();
}

void BlobArena::swap_remove(std::size_t row) {
    live_ -= lengths_[row];
    held_ -= room(lengths_[row]);
    places_[row] = places_.back();
    lengths_[row] = lengths_.back();
    places_.pop_back();
    lengths_.pop_back();
    if (arena_.size() > 4096 && held_ * 2 < arena_.size()) pack();
}

void BlobArena::clear() {
    places_.clear();
    lengths_.clear();
    arena_.clear();
    live_ = held_ = 0;
}

void BlobArena::pack() {
    LargeVector<std::uint8_t> packed;
    packed.reserve(held_ + held_ / 4);
    packed.resize(held_);
    std::size_t at = 0;
    for (std::size_t row = 0; row < lengths_.size(); ++row) {
        const std::span<const std::uint8_t> blob = get(row);
        if (!blob.empty()) std::memcpy(packed.data() + at, blob.data(), blob.size());
        places_[row] = static_cast<std::uint32_t>(at / 8);
        at += room(blob.size());
    }
    arena_ = std::move(packed);
}

}  // namespace sidereal
