// What the machine's memory gives one thread: reading, copying through the caches and past them.
// `ahead`: bytes between asking for memory and using it; 0 leaves that to the machine.
#include <emmintrin.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

extern "C" {

// Reads two arrays side by side, as a comparison of both does.
std::uint64_t read_two(const std::uint64_t* a, const std::uint64_t* b, std::size_t bytes,
                       std::size_t ahead) {
    std::uint64_t any[8] = {};
    for (std::size_t i = 0; i + 8 <= bytes / 8; i += 8) {
        if (ahead != 0) {
            _mm_prefetch(reinterpret_cast<const char*>(a + i) + ahead, _MM_HINT_NTA);
            _mm_prefetch(reinterpret_cast<const char*>(b + i) + ahead, _MM_HINT_NTA);
        }
        for (std::size_t j = 0; j < 8; ++j) any[j] |= a[i + j] | b[i + j];
    }
    std::uint64_t all = 0;
    for (const std::uint64_t each : any) all |= each;
    return all;
}

void copy_plain(char* to, const char* from, std::size_t bytes, std::size_t) {
    std::memcpy(to, from, bytes);
}

// Both aligned to 64 bytes.
void copy_past(char* to, const char* from, std::size_t bytes, std::size_t ahead) {
    for (std::size_t i = 0; i + 64 <= bytes; i += 64) {
        if (ahead != 0) _mm_prefetch(from + i + ahead, _MM_HINT_NTA);
        for (std::size_t j = i; j < i + 64; j += 16)
            _mm_stream_si128(reinterpret_cast<__m128i*>(to + j),
                             _mm_load_si128(reinterpret_cast<const __m128i*>(from + j)));
    }
    _mm_sfence();
}
}
