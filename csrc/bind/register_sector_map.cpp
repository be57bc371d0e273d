// SectorMap.
#include "arrays.hpp"
#include "docs.hpp"
#include "module.hpp"
#include "room.hpp"

namespace sidereal::bind {
namespace {

// An integer for all rows, or an array of T with one a row.
template <class T>
class Integers {
  public:
    Integers(py::handle h, const char* name, std::size_t rows) {
        if (py::isinstance<py::array>(h) && py::reinterpret_borrow<py::array>(h).ndim() > 0) {
            rows_ = in<T>(h, name, rows, "sectors");
            return;
        }
        const py::object index = py::reinterpret_steal<py::object>(PyNumber_Index(h.ptr()));
        if (!index) {
            PyErr_Clear();
            wrong_type(name, "an integer, or " + described(dtype_name<T>(), 0), h);
        }
        const long long value = PyLong_AsLongLong(index.ptr());
        if (PyErr_Occurred() || value < std::numeric_limits<T>::min() ||
            value > std::numeric_limits<T>::max()) {
            PyErr_Clear();
            throw py::value_error(std::string(name) + " is " + std::string(py::str(index)) +
                                  ": expected what " + dtype_name<T>() + " holds");
        }
        one_ = static_cast<T>(value);
    }
    T operator[](std::size_t i) const { return rows_.data() ? rows_[i] : one_; }

  private:
    std::span<const T> rows_;
    T one_ = 0;
};

void set(SharedMap& self, py::handle sectors, py::handle shard, py::handle epoch) {
    const auto rows = in<Sector>(sectors, "sectors");
    const Integers<std::int32_t> shards(shard, "shard", rows.size());
    const Integers<std::uint32_t> epochs(epoch, "epoch", rows.size());
    for (std::size_t i = 0; i < rows.size(); ++i)
        if (!exists(rows[i]))
            throw py::value_error("sectors[" + std::to_string(i) +
                                  "] is no sector: expected coordinates within +-(2^31-1)");
    guarded(
        [&] {
            for (std::size_t i = 0; i < rows.size(); ++i)
                self.map.set(rows[i], {shards[i], epochs[i]});
        },
        self.mutex);
}

struct Items {
    std::vector<Sector> sectors;
    std::vector<std::int32_t> shard;
    std::vector<std::uint32_t> epoch;
};

// The owners of sectors, as columns; the map's lock is held.
void look_up(const SectorMap& map, std::span<const Sector> rows, Items& out) {
    out.shard.reserve(rows.size());
    out.epoch.reserve(rows.size());
    for (const Sector s : rows) {
        const Ownership owner = map.get(s);
        out.shard.push_back(owner.shard);
        out.epoch.push_back(owner.epoch);
    }
}

py::object get(SharedMap& self, py::handle sectors, py::handle out_arrays) {
    Room<std::int32_t, std::uint32_t> room(out_arrays);
    const auto rows = in<Sector>(sectors, "sectors");
    room.require_apart(rows);
    Items found;
    guarded([&] { look_up(self.map, rows, found); }, self.mutex);
    return room.answer(std::move(found.shard), std::move(found.epoch));
}

py::object sectors_of(SharedMap& self, py::handle out_array) {
    Room<Sector> room(out_array);
    return room.answer(guarded([&] { return self.map.sectors(); }, self.mutex));
}

py::object items(SharedMap& self, py::handle out_arrays) {
    Room<Sector, std::int32_t, std::uint32_t> room(out_arrays);
    room.require_apart();
    Items found;
    guarded(
        [&] {
            found.sectors = self.map.sectors();
            look_up(self.map, found.sectors, found);
        },
        self.mutex);
    return room.answer(std::move(found.sectors), std::move(found.shard), std::move(found.epoch));
}

std::size_t remove(SharedMap& self, py::handle sectors) {
    const auto rows = in<Sector>(sectors, "sectors");
    return guarded(
        [&] {
            std::size_t removed = 0;
            for (const Sector s : rows) removed += self.map.remove(s) ? 1 : 0;
            return removed;
        },
        self.mutex);
}

}  // namespace

void register_sector_map(py::module_& m) {
    using namespace pybind11::literals;
    py::class_<SharedMap>(m, "SectorMap", docs::sector_map)
        .def(py::init<>())
        .def("set", &set, "sectors"_a, "shard"_a, "epoch"_a)
        .def("get", &get, "sectors"_a, "out"_a = py::none())
        .def("remove", &remove, "sectors"_a)
        .def("sectors", &sectors_of, "out"_a = py::none())
        .def("items", &items, "out"_a = py::none())
        .def("__len__",
             [](SharedMap& self) { return guarded([&] { return self.map.size(); }, self.mutex); });
}

}  // namespace sidereal::bind
