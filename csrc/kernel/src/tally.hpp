// Keys numbered in order of appearance, and how often each appeared.
#pragma once

#include <cstdint>
#include <vector>

#include "sidereal/slot_index.hpp"

namespace sidereal {

class Numbers {
  public:
    // The number of a key: the next one, if it is new.
    std::uint32_t of(std::uint64_t key) {
        std::uint32_t number = index_.find(key, keys_.data());
        if (number == absent) {
            number = static_cast<std::uint32_t>(keys_.size());
            keys_.push_back(key);
            index_.insert(key, number);
        }
        return number;
    }

    const std::vector<std::uint64_t>& keys() const { return keys_; }

    void clear() {
        keys_.clear();
        index_.clear();
    }

  private:
    std::vector<std::uint64_t> keys_;
    SlotIndex index_;
};

struct Tally {
    Numbers numbers;
    std::vector<std::uint32_t> n;  // by number

    // Counts a key; returns its number.
    std::uint32_t add(std::uint64_t key) {
        const std::uint32_t number = numbers.of(key);
        if (number == n.size()) n.push_back(0);
        ++n[number];
        return number;
    }

    const std::vector<std::uint64_t>& keys() const { return numbers.keys(); }

    void clear() {
        numbers.clear();
        n.clear();
    }
};

}  // namespace sidereal
