// What the register functions share: one function a topic, and the guarded objects.
#pragma once

#include <pybind11/pybind11.h>

#include <mutex>

#include "sidereal/entity_table.hpp"
#include "sidereal/sector_map.hpp"

namespace sidereal::bind {

// Objects that outlive a call are used from any thread, without the GIL: each has its own lock.
struct SharedMap {
    SectorMap map;
    std::mutex mutex;
};

struct SharedTable {
    explicit SharedTable(double size, std::size_t capacity) : table(size, capacity) {}
    EntityTable table;
    std::mutex mutex;
};

// The table behind a Python EntityTable; TypeError for anything else.
SharedTable& shared(pybind11::handle table);

void register_positions(pybind11::module_& m);
void register_groups(pybind11::module_& m);
void register_snapshot(pybind11::module_& m);
void register_sector_map(pybind11::module_& m);
void register_entity_table(pybind11::module_& m);
void register_updates(pybind11::module_& m);
void register_ghosts(pybind11::module_& m);
void register_runtime(pybind11::module_& m);

}  // namespace sidereal::bind
