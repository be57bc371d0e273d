// Snapshot.
#include <memory>

#include "arrays.hpp"
#include "docs.hpp"
#include "module.hpp"
#include "room.hpp"
#include "sidereal/snapshot.hpp"

namespace sidereal::bind {
namespace {

std::unique_ptr<Snapshot> make(py::handle pos, double size) {
    require_size(size);
    return with_positions(pos, "pos", [&](auto rows) {
        return unlocked([&] { return std::make_unique<Snapshot>(rows, size); });
    });
}

py::object query(const Snapshot& self, py::handle centres, py::handle radius,
                 py::handle out_arrays) {
    Room<std::uint32_t, std::uint64_t> room(out_arrays);
    const Vectors at(centres, "centres");
    const Scalars far(radius, "radius", at.span().size(), "centres");
    far.require_lengths("radius");
    room.require_apart(at.given());
    Hits hits = unlocked([&] { return self.query(at.span(), far.span()); });
    return room.answer(std::move(hits.index), std::move(hits.offsets));
}

}  // namespace

void register_snapshot(py::module_& m) {
    using namespace pybind11::literals;
    py::class_<Snapshot>(m, "Snapshot", docs::snapshot)
        .def(py::init(&make), "pos"_a, "size"_a)
        .def("query", &query, "centres"_a, "radius"_a, "out"_a = py::none(), docs::query)
        .def("__len__", &Snapshot::size);
}

}  // namespace sidereal::bind
