// isa, set_threads, threads, hash_ids.
#include "arrays.hpp"
#include "docs.hpp"
#include "module.hpp"
#include "sidereal/hash.hpp"
#include "sidereal/runtime.hpp"

namespace sidereal::bind {

void register_runtime(py::module_& m) {
    using namespace pybind11::literals;
    m.def("isa", &isa, docs::isa);
    m.def("set_threads", &set_threads, "n"_a, docs::set_threads);
    m.def("threads", &threads, docs::threads);
    m.def(
        "hash_ids",
        [](py::handle ids) {
            const auto keys = in<std::uint64_t>(ids, "ids");
            return unlocked([&] { return hash_ids(keys); });
        },
        "ids"_a, docs::hash_ids);
}

}  // namespace sidereal::bind
