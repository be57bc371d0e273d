// Mixing of 64-bit keys, for tables and for digests of sets.
#pragma once

#include <cstdint>
#include <span>

namespace sidereal {

// The output function of SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number
// Generators, 2014): a bijection in which every input bit reaches every output bit.
constexpr std::uint64_t splitmix64(std::uint64_t x) {
    x += 0x9E3779B97F4A7C15u;
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
    return x ^ (x >> 31);
}

// The sum of splitmix64 over ids, modulo 2^64: a digest of a multiset, whatever its order, that
// can be kept up by adding what comes and subtracting what goes.
constexpr std::uint64_t hash_ids(std::span<const std::uint64_t> ids) {
    std::uint64_t sum = 0;
    for (const std::uint64_t id : ids) sum += splitmix64(id);
    return sum;
}

}  // namespace sidereal
