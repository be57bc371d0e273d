// counts, group, flux, Census.
#include "arrays.hpp"
#include "docs.hpp"
#include "module.hpp"
#include "room.hpp"
#include "sidereal/census.hpp"
#include "sidereal/flux.hpp"
#include "sidereal/group.hpp"

namespace sidereal::bind {
namespace {

struct SharedCensus {
    explicit SharedCensus(double sector_size) : size(sector_size) { require_size(size); }
    double size;
    Census census;
    std::mutex mutex;
};

py::tuple tuple_of(Groups&& g) {
    return py::make_tuple(out(std::move(g.order)), out(std::move(g.offsets)),
                          out(std::move(g.sectors)));
}

void rebuild(SharedCensus& self, py::handle pos) {
    with_positions(pos, "pos", [&](auto rows) {
        guarded(
            [&] {
                std::vector<Sector> where(rows.size());
                sectors(rows, self.size, std::span<Sector>(where));
                self.census.rebuild(where);
            },
            self.mutex);
    });
}

void move(SharedCensus& self, py::handle index, py::handle old_sectors, py::handle new_sectors) {
    const auto rows = in<std::uint32_t>(index, "index");
    std::span<const Sector> from;
    if (!old_sectors.is_none()) from = in<Sector>(old_sectors, "old", rows.size(), "index");
    const auto to = in<Sector>(new_sectors, "new", rows.size(), "index");
    guarded([&] { self.census.move(rows, from, to); }, self.mutex);
}

}  // namespace

void register_groups(py::module_& m) {
    using namespace pybind11::literals;
    m.def(
        "counts",
        [](py::handle rows, py::handle out_arrays) {
            const auto span = in<Sector>(rows, "sectors");
            Room<Sector, std::uint32_t> room(out_arrays);
            room.require_apart(span);
            Counts c = unlocked([&] { return counts(span); });
            return room.answer(std::move(c.sectors), std::move(c.n));
        },
        "sectors"_a, "out"_a = py::none(), docs::counts);
    m.def(
        "flux",
        [](py::handle old_sectors, py::handle new_sectors, py::handle out_arrays) {
            const auto from = in<Sector>(old_sectors, "old");
            const auto to = in<Sector>(new_sectors, "new", from.size(), "old");
            Room<Sector, Sector, std::uint32_t> room(out_arrays);
            room.require_apart(from, to);
            Flux f = unlocked([&] { return flux(from, to); });
            return room.answer(std::move(f.source), std::move(f.target), std::move(f.n));
        },
        "old"_a, "new"_a, "out"_a = py::none(), docs::flux);
    m.def(
        "group",
        [](py::handle rows, py::handle out_array) -> py::tuple {
            const auto span = in<Sector>(rows, "sectors");
            if (out_array.is_none()) return tuple_of(unlocked([&] { return group(span); }));
            const auto order = inout<std::uint32_t>(out_array, "out", span.size(), "sectors");
            if (overlap(order, span))
                throw py::value_error("out overlaps sectors: expected memory of its own");
            Groups groups;
            unlocked([&] { group(span, order, groups); });
            return py::make_tuple(py::reinterpret_borrow<py::object>(out_array),
                                  out(std::move(groups.offsets)), out(std::move(groups.sectors)));
        },
        "sectors"_a, "out"_a = py::none(), docs::group);
    py::class_<SharedCensus>(m, "Census", docs::census)
        .def(py::init<double>(), "size"_a)
        .def("rebuild", &rebuild, "pos"_a)
        .def("move", &move, "index"_a, "old"_a, "new"_a)
        .def(
            "counts",
            [](SharedCensus& self, py::handle out_arrays) {
                Room<Sector, std::uint32_t> room(out_arrays);
                room.require_apart();
                Counts c = guarded([&] { return self.census.counts(); }, self.mutex);
                return room.answer(std::move(c.sectors), std::move(c.n));
            },
            "out"_a = py::none())
        .def(
            "csr",
            [](SharedCensus& self, py::handle out_arrays) {
                Room<std::uint32_t, std::uint32_t, Sector> room(out_arrays);
                room.require_apart();
                Groups g = guarded([&] { return self.census.csr(); }, self.mutex);
                return room.answer(std::move(g.order), std::move(g.offsets), std::move(g.sectors));
            },
            "out"_a = py::none())
        .def("__len__", [](SharedCensus& self) {
            return guarded([&] { return self.census.size(); }, self.mutex);
        });
}

}  // namespace sidereal::bind
