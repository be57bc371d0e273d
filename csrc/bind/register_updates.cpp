// pack_updates, collect_updates, cut, mark_updates, apply_updates, pack_states, apply_states.
#include "arrays.hpp"
#include "docs.hpp"
#include "module.hpp"
#include "payloads.hpp"
#include "room.hpp"
#include "sidereal/quantise.hpp"
#include "sidereal/states.hpp"
#include "sidereal/updates.hpp"

namespace sidereal::bind {
namespace {

using PackedRoom = Room<std::uint8_t, std::uint32_t, std::uint32_t, std::uint32_t, std::uint32_t>;

py::object answer(PackedRoom& room, Packed&& p) {
    return room.answer(std::move(p.data), std::move(p.offsets), std::move(p.order),
                       std::move(p.row_offsets), std::move(p.skipped));
}

py::object py_pack_updates(py::handle table, py::handle slots, double size, std::uint32_t tick,
                           SharedMap& epochs, std::uint8_t kind, std::size_t payload_bytes,
                           py::handle out_arrays) {
    SharedTable& t = shared(table);
    PackedRoom room(out_arrays);
    const auto rows = in<std::uint32_t>(slots, "slots");
    room.require_apart(rows);
    return answer(room, guarded(
                            [&] {
                                room.require_apart_from(t.table.columns());
                                return pack_updates(t.table, rows, size, tick, epochs.map, kind,
                                                    payload_bytes);
                            },
                            t.mutex, epochs.mutex));
}

py::object py_collect_updates(py::handle table, double size, std::uint32_t tick, SharedMap& epochs,
                              std::uint8_t mark, std::uint8_t kind, std::size_t payload_bytes,
                              py::handle out_arrays) {
    SharedTable& t = shared(table);
    Room<std::uint8_t, std::uint32_t, std::uint32_t> room(out_arrays);
    room.require_apart();
    Packed p = guarded(
        [&] {
            room.require_apart_from(t.table.columns());
            const std::size_t n = t.table.rows();
            room.require_rows({n * update_row_bytes_most, n + 1, n});
            return collect_updates(t.table, size, tick, epochs.map, mark, kind, payload_bytes);
        },
        t.mutex, epochs.mutex);
    return room.answer(std::move(p.data), std::move(p.offsets), std::move(p.skipped));
}

py::list py_cut(py::handle data, py::handle offsets) {
    const auto bytes = in<std::uint8_t>(data, "data");
    const auto ends = in<std::uint32_t>(offsets, "offsets");
    py::list payloads(ends.empty() ? 0 : ends.size() - 1);
    for (std::size_t i = 0; i + 1 < ends.size(); ++i) {
        if (ends[i] > ends[i + 1] || ends[i + 1] > bytes.size())
            throw py::value_error("offsets fall, or end outside of data");
        payloads[i] =
            py::bytes(reinterpret_cast<const char*>(bytes.data()) + ends[i], ends[i + 1] - ends[i]);
    }
    return payloads;
}

void py_mark_updates(py::handle table, py::handle payloads, std::uint8_t mark) {
    SharedTable& t = shared(table);
    const Payloads list(payloads);
    guarded(
        [&] {
            for (const auto payload : list.spans())
                if (!mark_updates(t.table, payload, mark))
                    throw std::invalid_argument("payloads holds what is no update");
        },
        t.mutex);
}

UpdateTally py_apply_updates(py::handle table, py::handle payloads, std::int32_t shard,
                             SharedMap& epochs, double size, std::uint32_t last_tick) {
    SharedTable& t = shared(table);
    require_cells(size);
    const Payloads list(payloads);
    return guarded(
        [&] {
            UpdateTally tally;
            for (const auto payload : list.spans())
                apply_updates(t.table, payload, shard, epochs.map, size, tally, last_tick);
            return tally;
        },
        t.mutex, epochs.mutex);
}

py::object py_pack_states(py::handle table, py::handle slots, std::uint8_t kind,
                          std::size_t payload_bytes, py::handle out_arrays) {
    SharedTable& t = shared(table);
    PackedRoom room(out_arrays);
    const auto rows = in<std::uint32_t>(slots, "slots");
    room.require_apart(rows);
    return answer(room, guarded(
                            [&] {
                                room.require_apart_from(t.table.columns());
                                return pack_states(t.table, rows, kind, payload_bytes);
                            },
                            t.mutex));
}

UpdateTally py_apply_states(py::handle table, py::handle payloads, std::int32_t shard) {
    SharedTable& t = shared(table);
    const Payloads list(payloads);
    return guarded(
        [&] {
            UpdateTally tally;
            for (const auto payload : list.spans()) apply_states(t.table, payload, shard, tally);
            return tally;
        },
        t.mutex);
}

std::string described_tally(const UpdateTally& t) {
    return "UpdateTally(applied=" + std::to_string(t.applied) +
           ", stale_tick=" + std::to_string(t.stale_tick) +
           ", wrong_owner=" + std::to_string(t.wrong_owner) +
           ", wrong_handle=" + std::to_string(t.wrong_handle) +
           ", malformed=" + std::to_string(t.malformed) + ", ahead=" + std::to_string(t.ahead) +
           ")";
}

}  // namespace

void register_updates(py::module_& m) {
    using namespace pybind11::literals;
    py::class_<UpdateTally>(m, "UpdateTally", docs::update_tally)
        .def_readonly("applied", &UpdateTally::applied)
        .def_readonly("stale_tick", &UpdateTally::stale_tick)
        .def_readonly("wrong_owner", &UpdateTally::wrong_owner)
        .def_readonly("wrong_handle", &UpdateTally::wrong_handle)
        .def_readonly("malformed", &UpdateTally::malformed)
        .def_readonly("ahead", &UpdateTally::ahead)
        .def("__repr__", &described_tally);
    m.def("pack_updates", &py_pack_updates, "table"_a, "slots"_a, "size"_a, "tick"_a, "epochs"_a,
          "kind"_a, "payload_bytes"_a, "out"_a = py::none(), docs::pack_updates);
    m.def("collect_updates", &py_collect_updates, "table"_a, "size"_a, "tick"_a, "epochs"_a,
          "mark"_a, "kind"_a, "payload_bytes"_a, "out"_a = py::none(), docs::collect_updates);
    m.def("cut", &py_cut, "data"_a, "offsets"_a, docs::cut);
    m.def("mark_updates", &py_mark_updates, "table"_a, "payloads"_a, "mark"_a, docs::mark_updates);
    m.def("apply_updates", &py_apply_updates, "table"_a, "payloads"_a, "shard"_a, "epochs"_a,
          "size"_a, "last_tick"_a = UINT32_MAX, docs::apply_updates);
    m.def("pack_states", &py_pack_states, "table"_a, "slots"_a, "kind"_a, "payload_bytes"_a,
          "out"_a = py::none(), docs::pack_states);
    m.def("apply_states", &py_apply_states, "table"_a, "payloads"_a, "shard"_a, docs::apply_states);
}

}  // namespace sidereal::bind
