// Little-endian bytes in and out, with every read checked against the end.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

#include "sidereal/raw_vector.hpp"

namespace sidereal {

static_assert(std::endian::native == std::endian::little, "big-endian machines are not supported");

class Writer {
  public:
    explicit Writer(RawVector<std::uint8_t>& out) : out_(out) {}

    template <class T>
        requires std::is_trivially_copyable_v<T>
    void put(T value) {
        const std::size_t at = out_.size();
        out_.resize(at + sizeof(T));
        std::memcpy(out_.data() + at, &value, sizeof(T));
    }

    void put(std::span<const std::uint8_t> bytes) {
        out_.insert(out_.end(), bytes.begin(), bytes.end());
    }

    // Room for some bytes, which the caller is to fill in.
    std::uint8_t* room(std::size_t bytes) {
        const std::size_t at = out_.size();
        out_.resize(at + bytes);
        return out_.data() + at;
    }

    std::size_t at() const { return out_.size(); }

    // Overwrites what was put before.
    template <class T>
        requires std::is_trivially_copyable_v<T>
    void patch(std::size_t at, T value) {
        std::memcpy(out_.data() + at, &value, sizeof(T));
    }

  private:
    RawVector<std::uint8_t>& out_;
};

class Reader {
  public:
    explicit Reader(std::span<const std::uint8_t> bytes) : rest_(bytes) {}

    std::size_t left() const { return rest_.size(); }

    // Reads one value; false, and nothing read, when too few bytes are left.
    template <class T>
        requires std::is_trivially_copyable_v<T>
    bool get(T& value) {
        if (rest_.size() < sizeof(T)) return false;
        std::memcpy(&value, rest_.data(), sizeof(T));
        rest_ = rest_.subspan(sizeof(T));
        return true;
    }

    bool get(std::size_t count, std::span<const std::uint8_t>& bytes) {
        if (rest_.size() < count) return false;
        bytes = rest_.first(count);
        rest_ = rest_.subspan(count);
        return true;
    }

  private:
    std::span<const std::uint8_t> rest_;
};

// Datagrams in one buffer: datagram d is data[offsets[d] .. offsets[d+1]) and carries the rows
// order[row_offsets[d] .. row_offsets[d+1]).
struct Packed {
    RawVector<std::uint8_t> data;
    std::vector<std::uint32_t> offsets{0};
    RawVector<std::uint32_t> order;
    std::vector<std::uint32_t> row_offsets{0};
    std::vector<std::uint32_t> skipped;  // slots that are in no datagram

    void end_datagram() { end_datagram(order.size()); }
    void end_datagram(std::size_t rows) {
        offsets.push_back(static_cast<std::uint32_t>(data.size()));
        row_offsets.push_back(static_cast<std::uint32_t>(rows));
    }
};

inline constexpr std::size_t payload_bytes_max = 65535;

// Throws std::invalid_argument unless least <= bytes <= payload_bytes_max.
inline void require_payload_bytes(std::size_t bytes, std::size_t least) {
    if (bytes < least || bytes > payload_bytes_max)
        throw std::invalid_argument("payload_bytes is " + std::to_string(bytes) +
                                    ": expected between " + std::to_string(least) + " and " +
                                    std::to_string(payload_bytes_max));
}

}  // namespace sidereal
