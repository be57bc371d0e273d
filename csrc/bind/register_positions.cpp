// sectors, crossings, near_border, reach.
#include "arrays.hpp"
#include "docs.hpp"
#include "module.hpp"
#include "room.hpp"
#include "sidereal/positions.hpp"
#include "sidereal/reach.hpp"

namespace sidereal::bind {
namespace {

py::tuple py_sectors(py::handle pos, double size, py::handle out_array) {
    require_size(size);
    return with_positions(pos, "pos", [&](auto rows) {
        py::object result = py::reinterpret_borrow<py::object>(out_array);
        if (result.is_none()) result = out(RawVector<Sector>(rows.size()));
        const std::span<Sector> to = inout<Sector>(result, "out", rows.size(), "pos");
        if (overlap(to, rows))
            throw py::value_error("out overlaps pos: expected memory of its own");
        std::vector<std::uint32_t> invalid = unlocked([&] { return sectors(rows, size, to); });
        return py::make_tuple(result, out(std::move(invalid)));
    });
}

py::object py_crossings(py::handle pos, py::handle prev, double size, double margin,
                        SharedMap* shards, bool update, py::handle out_arrays) {
    require_size(size);
    require_margin(margin, size);
    Room<std::uint32_t, Sector> room(out_arrays);
    return with_positions(pos, "pos", [&](auto rows) {
        const auto old = in<Sector>(prev, "prev", rows.size(), "pos");
        room.require_apart(rows, old);
        std::span<Sector> write;
        if (update) {
            write = inout<Sector>(prev, "prev", rows.size(), "pos");
            if (overlap(write, rows))
                throw py::value_error("prev overlaps pos: expected memory of its own");
            room.require_rows(rows.size());
        }
        const auto find = [&] {
            return crossings(rows, old, size, margin, shards ? &shards->map : nullptr,
                             write.data());
        };
        Crossings found = shards ? guarded(find, shards->mutex) : unlocked(find);
        return room.answer(std::move(found.index), std::move(found.sectors));
    });
}

py::object py_near_border(py::handle pos, py::handle where, double size, double margin,
                          py::handle out_array) {
    require_size(size);
    require_margin(margin, size);
    Room<std::uint32_t> room(out_array);
    return with_positions(pos, "pos", [&](auto rows) {
        const auto held = in<Sector>(where, "sectors", rows.size(), "pos");
        room.require_apart(rows, held);
        return room.answer(unlocked([&] { return near_border(rows, held, size, margin); }));
    });
}

py::object py_reach(py::handle pos, py::handle velocity, py::handle radius, double size,
                    double horizon_s, py::handle out_array) {
    require_size(size);
    Room<Sector> room(out_array);
    if (!(std::isfinite(horizon_s) && horizon_s >= 0.0))
        throw py::value_error("horizon_s is " + std::to_string(horizon_s) +
                              ": expected finite and not negative");
    return with_positions(pos, "pos", [&]<class Real>(std::span<const Point<Real>> rows) {
        const auto speed = in<Point<Real>>(velocity, "velocity", rows.size(), "pos");
        const Scalars far(radius, "radius", rows.size(), "pos");
        room.require_apart(rows, speed);
        return room.answer(
            unlocked([&] { return reach(rows, speed, far.span(), size, horizon_s); }));
    });
}

}  // namespace

void register_positions(py::module_& m) {
    using namespace pybind11::literals;
    m.def("sectors", &py_sectors, "pos"_a, "size"_a, "out"_a = py::none(), docs::sectors);
    m.def("crossings", &py_crossings, "pos"_a, "prev"_a, "size"_a, "margin"_a = 0.0,
          "shard_of"_a = py::none(), "update"_a = false, "out"_a = py::none(), docs::crossings);
    m.def("near_border", &py_near_border, "pos"_a, "sectors"_a, "size"_a, "margin"_a,
          "out"_a = py::none(), docs::near_border);
    m.def("reach", &py_reach, "pos"_a, "velocity"_a, "radius"_a, "size"_a, "horizon_s"_a,
          "out"_a = py::none(), docs::reach);
}

}  // namespace sidereal::bind
