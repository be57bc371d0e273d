// Large blocks are aligned to huge pages, and the system is told.
#include "sidereal/raw_vector.hpp"

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace sidereal {
namespace {

constexpr std::size_t huge_page_bytes = std::size_t{2} << 20;

bool is_large(std::size_t bytes) {
    return bytes >= 2 * huge_page_bytes;
}

}  // namespace

void* allocate_bytes(std::size_t bytes) {
    if (!is_large(bytes)) return ::operator new(bytes);
    void* const memory = ::operator new(bytes, std::align_val_t{huge_page_bytes});
#if defined(__linux__) && defined(MADV_HUGEPAGE)
    // Whole pages only, so that no neighbour's memory is meant; refusal is no harm.
    static_cast<void>(madvise(memory, bytes / huge_page_bytes * huge_page_bytes, MADV_HUGEPAGE));
#endif
    return memory;
}

void free_bytes(void* memory, std::size_t bytes) noexcept {
    if (is_large(bytes))
        ::operator delete(memory, std::align_val_t{huge_page_bytes});
    else
        ::operator delete(memory);
}

}  // namespace sidereal
