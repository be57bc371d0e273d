// EntityTable: its columns are NumPy views of its own memory.
#include <pybind11/stl.h>

#include <memory>
#include <optional>
#include <utility>

#include "apart.hpp"
#include "arrays.hpp"
#include "docs.hpp"
#include "module.hpp"
#include "room.hpp"

namespace sidereal::bind {
namespace {

using namespace pybind11::literals;
using TablePtr = std::shared_ptr<SharedTable>;

// The table as Python holds it, with what the last upsert could not use.
struct PyTable {
    TablePtr shared;
    py::object invalid;
};

// A view of one column. It pins the table, so that the memory stays where it is, and keeps it
// alive, until the last array on top of it is gone.
template <class T>
py::array view(PyTable& self, LargeVector<T> Columns::* column, bool writable) {
    using E = Element<T>;
    using scalar = typename E::scalar;
    struct Pin {
        TablePtr table;
        ~Pin() { table->table.unpin(); }
    };
    const T* data = nullptr;
    std::size_t rows = 0;
    guarded(
        [&] {
            self.shared->table.pin();
            data = (self.shared->table.columns().*column).data();
            rows = self.shared->table.rows();
        },
        self.shared->mutex);
    const py::capsule owner(new Pin{self.shared}, [](void* p) { delete static_cast<Pin*>(p); });
    std::vector<py::ssize_t> shape{static_cast<py::ssize_t>(rows)};
    if (E::columns > 0) shape.push_back(E::columns);
    py::array array = py::array_t<scalar>(shape, reinterpret_cast<const scalar*>(data), owner);
    if (!writable) array.attr("setflags")("write"_a = false);
    return array;
}

// The memory for an answer with a row for each given: the caller's, or new.
std::pair<py::object, std::span<std::uint32_t>> memory_for(py::handle out_array, std::size_t rows,
                                                           const char* as) {
    py::object result = py::reinterpret_borrow<py::object>(out_array);
    if (result.is_none()) result = out(RawVector<std::uint32_t>(rows));
    return {result, inout<std::uint32_t>(result, "out", rows, as)};
}

// Throws ValueError if memory for an answer is an argument's, or the table's; its lock is held.
template <class T>
void require_apart(EntityTable& table, std::span<std::uint32_t> to, std::span<const T> input) {
    if (overlap(to, input) || in_columns(table, to))
        throw py::value_error("out overlaps another argument: expected memory of its own");
}

py::object upsert(PyTable& self, py::handle ids, py::handle position, py::handle velocity,
                  py::handle slots, py::handle out_array) {
    Room<std::uint32_t> room(out_array);
    const auto keys = in<std::uint64_t>(ids, "ids");
    const Vectors at(position, "position", keys.size(), "ids");
    const Vectors speed(velocity, "velocity", keys.size(), "ids");
    std::span<std::uint32_t> hints;
    if (!slots.is_none()) hints = inout<std::uint32_t>(slots, "slots", keys.size(), "ids");
    room.require_apart(keys, at.given(), speed.given(), hints);
    room.require_rows(keys.size());
    Upsert result = guarded(
        [&] {
            EntityTable& table = self.shared->table;
            room.require_apart_from(table.columns());
            if (in_columns(table, hints))
                throw std::invalid_argument(
                    "slots are a column of the table: expected memory of their own");
            const Apart own(table, keys);
            const Apart to(table, at.span()), with(table, speed.span());
            return table.upsert(*own, *to, *with, hints);
        },
        self.shared->mutex);
    self.invalid = out(std::move(result.invalid));
    return room.answer(std::move(result.movers));
}

py::object slots(PyTable& self, py::handle ids, py::handle out_array) {
    const auto keys = in<std::uint64_t>(ids, "ids");
    const auto [result, found] = memory_for(out_array, keys.size(), "ids");
    guarded(
        [&, to = found] {
            require_apart(self.shared->table, to, keys);
            self.shared->table.slots(keys, to);
        },
        self.shared->mutex);
    return result;
}

py::object resolve(PyTable& self, py::handle handles, py::handle out_array) {
    const auto rows = in<std::uint32_t>(handles, "handles");
    const auto [result, found] = memory_for(out_array, rows.size(), "handles");
    guarded(
        [&, to = found] {
            require_apart(self.shared->table, to, rows);
            for (std::size_t i = 0; i < rows.size(); ++i)
                to[i] = self.shared->table.resolve(rows[i]);
        },
        self.shared->mutex);
    return result;
}

py::object find(PyTable& self, std::pair<std::int32_t, std::int32_t> sector,
                std::optional<std::int32_t> shard, py::handle out_array) {
    Room<std::uint32_t> room(out_array);
    return room.answer(guarded(
        [&] {
            room.require_apart_from(self.shared->table.columns());
            return self.shared->table.find({sector.first, sector.second}, shard);
        },
        self.shared->mutex));
}

void bind_handles(PyTable& self, py::handle slots, py::handle handles) {
    const auto rows = in<std::uint32_t>(slots, "slots");
    const auto values = in<std::uint32_t>(handles, "handles", rows.size(), "slots");
    guarded(
        [&] {
            EntityTable& table = self.shared->table;
            const Apart which(table, rows), to(table, values);
            table.bind(*which, *to);
        },
        self.shared->mutex);
}

py::object states(PyTable& self, py::handle slots, py::handle out_arrays) {
    Room<std::uint32_t, std::uint8_t> room(out_arrays);
    const auto rows = in<std::uint32_t>(slots, "slots");
    room.require_apart(rows);
    RawVector<std::uint32_t> lengths(rows.size());
    RawVector<std::uint8_t> data;
    guarded(
        [&] {
            EntityTable& table = self.shared->table;
            room.require_apart_from(table.columns());
            table.require_slots(rows);
            std::size_t total = 0;
            for (std::size_t i = 0; i < rows.size(); ++i)
                total += lengths[i] = table.blobs().length(rows[i]);
            data.resize(total);
            table.blobs().gather(rows, data.data());
        },
        self.shared->mutex);
    return room.answer(std::move(lengths), std::move(data));
}

py::object advance(PyTable& self, py::handle slots, py::handle position, py::handle velocity,
                   std::uint8_t mark, py::handle out_array) {
    Room<std::uint32_t> room(out_array);
    const auto rows = in<std::uint32_t>(slots, "slots");
    const Vectors at(position, "position", rows.size(), "slots");
    const Vectors speed(velocity, "velocity", rows.size(), "slots");
    room.require_apart(rows, at.given(), speed.given());
    room.require_rows(rows.size());
    return room.answer(guarded(
        [&] {
            EntityTable& table = self.shared->table;
            room.require_apart_from(table.columns());
            const Apart which(table, rows);
            const Apart to(table, at.span()), with(table, speed.span());
            return table.advance(*which, *to, *with, mark);
        },
        self.shared->mutex));
}

py::object batch(PyTable& self, py::handle slots, py::handle out_arrays) {
    Room<std::uint64_t, Vec2, Vec2, std::uint32_t, std::uint32_t, std::uint8_t> room(out_arrays);
    const auto rows = in<std::uint32_t>(slots, "slots");
    room.require_apart(rows);
    Batch b = guarded(
        [&] {
            room.require_apart_from(self.shared->table.columns());
            return self.shared->table.batch(rows);
        },
        self.shared->mutex);
    return room.answer(std::move(b.id), std::move(b.position), std::move(b.velocity),
                       std::move(b.tick), std::move(b.flags), std::move(b.phase));
}

void stamp(PyTable& self, py::handle slots, std::uint32_t tick) {
    const auto rows = in<std::uint32_t>(slots, "slots");
    guarded(
        [&] {
            const Apart which(self.shared->table, rows);
            self.shared->table.stamp(*which, tick);
        },
        self.shared->mutex);
}

void set_states(PyTable& self, py::handle slots, py::handle lengths, py::handle data,
                std::uint8_t mark) {
    const auto rows = in<std::uint32_t>(slots, "slots");
    const auto sizes = in<std::uint32_t>(lengths, "lengths", rows.size(), "slots");
    const auto bytes = in<std::uint8_t>(data, "data");
    guarded(
        [&] {
            EntityTable& table = self.shared->table;
            const Apart which(table, rows), long_(table, sizes);
            const Apart blobs(table, bytes);
            table.require_slots(rows);
            std::size_t total = 0;
            for (const std::uint32_t size : sizes) {
                if (size > blob_bytes_max)
                    throw std::invalid_argument("lengths holds " + std::to_string(size) +
                                                ": a state has at most " +
                                                std::to_string(blob_bytes_max) + " bytes");
                total += size;
            }
            if (total != bytes.size())
                throw std::invalid_argument("data has " + std::to_string(bytes.size()) +
                                            " bytes: expected the sum of lengths, " +
                                            std::to_string(total));
            table.set_states(*which, *long_, *blobs, mark);
        },
        self.shared->mutex);
}

template <class F>
auto locked(F f) {
    return [f](PyTable& self) {
        return guarded([&] { return f(self.shared->table); }, self.shared->mutex);
    };
}

}  // namespace

SharedTable& shared(py::handle table) {
    return *table.cast<PyTable&>().shared;
}

void register_entity_table(py::module_& m) {
    using namespace pybind11::literals;
    m.attr("ABSENT") = py::int_(absent);
    m.attr("NO_HANDLE") = py::int_(no_handle);
    py::register_local_exception_translator([](std::exception_ptr p) {
        try {
            if (p) std::rethrow_exception(p);
        } catch (const GrowthRefused& e) {
            py::set_error(PyExc_BufferError, e.what());
        }
    });
    py::class_<PyTable> table(m, "EntityTable", docs::entity_table);
    table
        .def(py::init([](double size, std::size_t capacity) {
                 return PyTable{std::make_shared<SharedTable>(size, capacity),
                                out(std::vector<std::uint32_t>{})};
             }),
             "size"_a, "capacity"_a = 0)
        .def("upsert", &upsert, "ids"_a, "position"_a, "velocity"_a, "slots"_a = py::none(),
             "out"_a = py::none(), docs::upsert)
        .def(
            "remove",
            [](PyTable& self, py::handle ids) {
                const auto keys = in<std::uint64_t>(ids, "ids");
                return guarded(
                    [&] {
                        const Apart own(self.shared->table, keys);
                        return self.shared->table.remove(*own);
                    },
                    self.shared->mutex);
            },
            "ids"_a, docs::remove)
        .def("slots", &slots, "ids"_a, "out"_a = py::none(), docs::slots)
        .def("find", &find, "sector"_a, "shard"_a = py::none(), "out"_a = py::none(), docs::find)
        .def("bind", &bind_handles, "slots"_a, "handles"_a, docs::bind)
        .def("resolve", &resolve, "handles"_a, "out"_a = py::none(), docs::resolve)
        .def("states", &states, "slots"_a, "out"_a = py::none(), docs::states)
        .def("set_states", &set_states, "slots"_a, "lengths"_a, "data"_a, "mark"_a = 0,
             docs::set_states)
        .def("batch", &batch, "slots"_a, "out"_a = py::none(), docs::batch)
        .def("stamp", &stamp, "slots"_a, "tick"_a, docs::stamp)
        .def("advance", &advance, "slots"_a, "position"_a, "velocity"_a, "mark"_a = 0,
             "out"_a = py::none(), docs::advance)
        .def(
            "reserve",
            [](PyTable& self, std::size_t n) {
                guarded([&] { self.shared->table.reserve(n); }, self.shared->mutex);
            },
            "n"_a, docs::reserve)
        .def("arrange", locked([](EntityTable& t) { t.arrange(); }), docs::arrange)
        .def("clear", locked([](EntityTable& t) { t.clear(); }))
        .def("__len__", locked([](EntityTable& t) { return t.rows(); }))
        .def_property_readonly("size", locked([](EntityTable& t) { return t.size(); }))
        .def_property_readonly("capacity", locked([](EntityTable& t) { return t.capacity(); }))
        .def_property_readonly("nbytes", locked([](EntityTable& t) { return t.bytes(); }))
        .def_property_readonly("state_bytes",
                               locked([](EntityTable& t) { return t.blobs().live_bytes(); }))
        .def_property_readonly("invalid", [](PyTable& self) { return self.invalid; });
    const auto column = [&table](const char* name, auto member, bool writable = true) {
        table.def_property_readonly(
            name, [member, writable](PyTable& self) { return view(self, member, writable); });
    };
    column("ids", &Columns::id, false);
    column("position", &Columns::position);
    column("velocity", &Columns::velocity);
    column("sector", &Columns::sector);
    column("version", &Columns::version);
    column("tick", &Columns::tick);
    column("state_tick", &Columns::state_tick);
    column("handle", &Columns::handle, false);
    column("flags", &Columns::flags);
    column("group", &Columns::group);
    column("sensor", &Columns::sensor);
    column("shard", &Columns::shard);
    column("phase", &Columns::phase);
    column("dirty", &Columns::dirty);
}

}  // namespace sidereal::bind
