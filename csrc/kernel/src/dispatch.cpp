// Which instruction set: the best that the machine has, unless the environment says lower.
#include <cstdlib>
#include <cstring>

#include "passes.hpp"
#include "sidereal/runtime.hpp"

namespace sidereal {

namespace generic {
extern const Passes table;
}
#if defined(__x86_64__)
namespace v2 {
extern const Passes table;
}
namespace v3 {
extern const Passes table;
}
namespace v4 {
extern const Passes table;
}
#endif

namespace {

struct Choice {
    const Passes* table;
    bool available;
};

const Passes& choose() {
#if defined(__x86_64__)
    __builtin_cpu_init();
    const bool has_v2 = __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("popcnt");
    const bool has_v3 = has_v2 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                        __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
    const bool has_v4 = has_v3 && __builtin_cpu_supports("avx512f") &&
                        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512cd") &&
                        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    const Choice choices[] = {
        {&v4::table, has_v4}, {&v3::table, has_v3}, {&v2::table, has_v2}, {&generic::table, true}};
#else
    const Choice choices[] = {{&generic::table, true}};
#endif
    const char* wanted = std::getenv("SIDEREAL_ISA");
    if (wanted)
        for (const Choice& choice : choices)
            if (choice.available && std::strcmp(choice.table->isa, wanted) == 0)
                return *choice.table;
    for (const Choice& choice : choices)
        if (choice.available) return *choice.table;
    return generic::table;
}

}  // namespace

const Passes& passes() {
    static const Passes& chosen = choose();
    return chosen;
}

const char* isa() {
    return passes().isa;
}

}  // namespace sidereal
