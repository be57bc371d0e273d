// The loops that touch every coordinate, compiled once for each instruction set.
//
// passes.cpp is one plain source that the compiler vectorises by itself; it is compiled several
// times, each in a namespace of its own, and `passes()` chooses once for the process. Nothing
// else may live in those objects: an inline function that the linker merged from the AVX-512
// object would crash a machine without it.
//
// Loops over coordinates see positions and sectors as flat arrays, two values a row. They only
// say which rows deserve a closer look; exactness in the rare cases is the caller's.
#pragma once

#include <cstddef>
#include <cstdint>

namespace sidereal {

struct Passes {
    const char* isa;

    // Sector coordinates of `n` coordinates. False if any of them has none (it is then
    // no_coordinate in `out`); for `narrow`, also if any is beyond ±2^24, and `out` is not to be
    // used. `narrow` computes in float: `size` must be a float exactly.
    bool (*sectors_narrow)(const float* v, std::size_t n, double size, std::int32_t* out,
                           bool past_caches);
    bool (*sectors_f32)(const float* v, std::size_t n, double size, std::int32_t* out,
                        bool past_caches);
    bool (*sectors_f64)(const double* v, std::size_t n, double size, std::int32_t* out,
                        bool past_caches);

    // One bit a coordinate, bit i%64 of bits[i/64]; those from n to the end of the last word are 0.
    //
    // Set where coordinate i is not in sector coordinate k[i]; perhaps also where k[i] is beyond
    // ±2^24 (narrow) or no_coordinate, or v[i] is -0.
    void (*moved_narrow)(const float* v, const std::int32_t* k, std::size_t n, double size,
                         std::uint64_t* bits);
    void (*moved_f32)(const float* v, const std::int32_t* k, std::size_t n, double size,
                      std::uint64_t* bits);
    void (*moved_f64)(const double* v, const std::int32_t* k, std::size_t n, double size,
                      std::uint64_t* bits);

    // Set unless k[i]*size + margin <= v[i] < (k[i]+1)*size - margin.
    void (*near_f32)(const float* v, const std::int32_t* k, std::size_t n, double size,
                     double margin, std::uint64_t* bits);
    void (*near_f64)(const double* v, const std::int32_t* k, std::size_t n, double size,
                     double margin, std::uint64_t* bits);

    // Whether all n values are finite.
    bool (*finite_f64)(const double* v, std::size_t n);

    // quantise.hpp's cell_of and position_of for n coordinates. False if any has none, or (for
    // positions) needs nudging: `out` is not to be used then.
    bool (*quantise)(const double* x, const std::int32_t* k, std::size_t n, double size,
                     std::int32_t* out);
    bool (*positions)(const std::int32_t* k, const std::int32_t* q, std::size_t n, double size,
                      double* out);

    // The cells of `rows` sectors {x, y} in a rectangle, counted by y, then x; 2^32-1 for those
    // outside of it. False if there are any of those.
    bool (*cells)(const std::int32_t* sectors, std::size_t rows, std::int32_t x, std::int32_t y,
                  std::uint32_t width, std::uint32_t height, std::uint32_t* out);

    // Writes index[i] of the points within sqrt(r2) of (cx, cy) to `out`, which has room for all
    // n; returns how many.
    std::size_t (*within_f32)(const float* x, const float* y, const std::uint32_t* index,
                              std::size_t n, double cx, double cy, double r2, std::uint32_t* out);
    std::size_t (*within_f64)(const double* x, const double* y, const std::uint32_t* index,
                              std::size_t n, double cx, double cy, double r2, std::uint32_t* out);
};

// The passes for this machine: the best that it has, or the one that the environment variable
// SIDEREAL_ISA names, if the machine has it.
const Passes& passes();

}  // namespace sidereal
