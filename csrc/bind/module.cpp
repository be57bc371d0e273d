// The compiled face of the kernel: sidereal.kernel._kernel.
#include "module.hpp"

#include "docs.hpp"

PYBIND11_MODULE(_kernel, m) {
    m.doc() = sidereal::bind::docs::module;
    sidereal::bind::register_positions(m);
    sidereal::bind::register_groups(m);
    sidereal::bind::register_snapshot(m);
    sidereal::bind::register_sector_map(m);
    sidereal::bind::register_entity_table(m);
    sidereal::bind::register_updates(m);
    sidereal::bind::register_ghosts(m);
    sidereal::bind::register_runtime(m);
}
