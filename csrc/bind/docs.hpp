// The docstrings of sidereal.kernel: shapes, units, errors.
//
// Everywhere: a wrong type or dtype is a TypeError; a wrong shape, memory order, length or value a
// ValueError; both come before anything is written.
#pragma once

namespace sidereal::bind::docs {

inline constexpr const char* module = R"(The compiled kernel of Sidereal.

Positions are float32 or float64 arrays of shape (n, 2), sectors int32 arrays of shape (n, 2), all
C-contiguous. ``size`` is the side of a sector, finite and positive. Sector k holds the coordinates
with ``k*size <= x < (k+1)*size`` in exact arithmetic; -2**31 means "no sector". Sectors come out
sorted by y, then x. A wrong type or dtype raises TypeError, a wrong shape, memory order, length or
value ValueError, before anything is written. All functions release the GIL. Columns of a table may
be given to its own calls: what would change while it is read is copied first.

Whatever returns arrays that grow with its input takes ``out``, the memory for them, which must
overlap no other argument. `sectors`, `group`, `EntityTable.slots` and `EntityTable.resolve`, which
answer each row, take an array of just that length and return it. For all others ``out`` is a tuple
of arrays, one for each of the answer (an array, where the answer is one), with at least as many
rows: the first of them are written, and views of those returned. ValueError, and nothing written,
if there are too few. What changes its arguments (`crossings` with ``update``, `collect_updates`,
`EntityTable.upsert`, `EntityTable.advance`) wants room for the most that there can be, before
anything is changed. Columns of a table are views, `cut` gives bytes, and a payload that
`unpack_ghosts` reads is small: no ``out``.

Besides its input no function holds more than twice its answer and 4 MB (`counts`: or a byte a row,
if that is more), but for what tables are given: float32 vectors are held widened, 16 bytes a row
each; `pack_updates` and `collect_updates` of rows in no order of sectors hold up to 24 bytes a row
besides, and `EntityTable.arrange` 48.)";

inline constexpr const char* sectors = R"(The sector of each position.

Parameters
----------
pos : float32 or float64, (n, 2)
size : float
out : int32, (n, 2), optional
    Written and returned; must not overlap ``pos``. Spares the time of a fresh array.

Returns
-------
sectors : int32, (n, 2)
    -2**31 twice where a coordinate is NaN, infinite, or beyond +-(2**31-1) sectors.
invalid : uint32, (k,)
    The rows that have none, ascending.)";

inline constexpr const char* crossings = R"(The rows that are not in their previous sector any more.

An invalid position crosses to no sector (once); a row without a sector crosses whatever the margin.

Parameters
----------
pos : float32 or float64, (n, 2)
prev : int32, (n, 2)
    The sectors in which the rows are held.
margin : float
    Hysteresis, 0 to size/2: a row counts once it lies outside
    ``[k*size - margin, (k+1)*size + margin)`` of ``prev`` on some axis.
shard_of : SectorMap, optional
    The margin then applies only between sectors of different shards (none counts as one).
update : bool
    Write the new sectors of the rows found to ``prev``.
out : (uint32 (r,), int32 (r, 2)), optional
    Room for the answer; with ``update`` for all rows.

Returns
-------
index : uint32, (m,)
    Rows, ascending.
new : int32, (m, 2)
    Where each of them is.)";

inline constexpr const char* near_border =
    R"(The rows within ``margin`` (0 to size/2) of a border of their sector, or beyond it.

Rows that are not finite or have no sector are not listed.

Returns
-------
index : uint32, (m,)
    Rows, ascending.)";

inline constexpr const char* reach = R"(Every sector that a motion or a sensor touches.

Touched is the box around a disc that moves in a straight line for ``horizon_s``. However fast a row
is, its motion counts up to 4 sectors along each axis, and its radius up to 16. Rows with an invalid
position, velocity or radius touch nothing.

Parameters
----------
pos, velocity : float32 or float64 (both alike), (n, 2)
    Units, units a second.
radius : float, or float32 or float64 (n,)
    Units.
horizon_s : float
    Seconds, finite, not negative.

Returns
-------
sectors : int32, (k, 2)
    Unique, by y, then x.)";

inline constexpr const char* counts = R"(How many rows each sector holds.

Rows without a sector count as one of their own, which sorts first. Besides
twice its answer it holds a byte a row at most, or 4 MB.

Parameters
----------
sectors : int32, (n, 2)
out : (int32 (r, 2), uint32 (r,)), optional

Returns
-------
sectors : int32, (k, 2)
n : uint32, (k,))";

inline constexpr const char* flux = R"(How many rows cross from each sector to each other.

Rows that stayed where they were, or have no sector before or after, are not counted.

Parameters
----------
old, new : int32, (n, 2)
    The sectors of crossings.
out : (int32 (r, 2), int32 (r, 2), uint32 (r,)), optional

Returns
-------
source, target : int32, (k, 2)
    Each pair that occurs, by source, then target.
n : uint32, (k,))";

inline constexpr const char* group = R"(Rows by sector, as compressed sparse rows.

Parameters
----------
sectors : int32, (n, 2)
out : uint32, (n,), optional
    Written and returned as the order; must not overlap ``sectors``.

Returns
-------
order : uint32, (n,)
    The rows of ``sectors[g]`` are ``order[offsets[g]:offsets[g+1]]``, ascending.
offsets : uint32, (k+1,)
sectors : int32, (k, 2))";

inline constexpr const char* census = R"(Rows kept by sector, brought up to date by movers only.

``rebuild(pos)`` starts from rows 0..n-1. ``move(index, old, new)`` moves rows from the sectors they
are in to others; ValueError, and nothing changes, if a row is unknown, listed twice, or not where
``old`` says (None: that is not checked). ``counts()`` and ``csr()`` are as `counts` and `group`, but within a sector rows are in
order of arrival, disturbed by leaving.)";

inline constexpr const char* snapshot = R"(Positions that stand still, for range queries.

Rows with an invalid position are in no answer.)";

inline constexpr const char* query = R"(All rows within a radius of each centre.

Parameters
----------
centres : float32 or float64, (c, 2)
    One that is not finite has no hits.
radius : float, or float32 or float64 (c,)
    Finite, not negative. Hits have ``dx*dx + dy*dy <= r*r`` in float64.

Returns
-------
index : uint32, (p,)
    For each centre its rows, by sector (y, then x), then row.
offsets : uint64, (c+1,)
    Centre c has ``index[offsets[c]:offsets[c+1]]``.)";

inline constexpr const char* sector_map =
    R"(Who owns which sector: sector -> (shard int32, epoch uint32).

``set(sectors, shard, epoch)`` takes numbers or columns; ``get(sectors, out=None)`` gives columns, -1
and 0 where absent; ``remove(sectors)`` says how many were there; ``sectors(out=None)`` and
``items(out=None)`` are sorted by y, then x. Memory follows the number of sectors held.)";

inline constexpr const char* entity_table = R"(The entities of a process, as columns.

Columns are views of the table's own memory, of length ``len(table)`` when taken: ``ids`` (uint64,
read-only), ``position``, ``velocity`` (float64, (n, 2)), ``sector`` (int32, (n, 2)), ``version``,
``tick``, ``state_tick``, ``flags`` (uint32), ``handle`` (uint32, read-only: see `bind`), ``group``
(uint64), ``sensor`` (float32), ``shard`` (int32), ``phase``, ``dirty`` (uint8).

While a view is alive the table does not grow: BufferError. Removing never moves the memory, but
moves the last rows into the gaps, so older views are too long and slots change.)";

inline constexpr const char* upsert = R"(Write positions and velocities by id.

An unknown id gets a row: its sector that of its position, shard -1, no handle, else zeros. A row
whose position has no sector, or whose velocity is not finite, is not written (nor created), and is
listed by ``invalid``. The sector column of known rows is not changed: authority is not position.

Parameters
----------
ids : uint64, (n,)
    Unique: ValueError, and nothing is written, if one comes twice.
position, velocity : float32 or float64, (n, 2)
slots : uint32, (n,), optional
    In: where each id may be found. Out: where it is, or ABSENT.
out : uint32, (r,), optional
    Room for a mover a row.

Returns
-------
movers : uint32, (m,)
    The slots of rows that lie in another sector than their sector column says.

Raises
------
BufferError
    The table would have to grow while views of it are alive.)";

inline constexpr const char* remove = "Remove the ids (uint64) that are there; how many.";
inline constexpr const char* slots =
    "The slots of ids (uint64), ABSENT where unknown, in `out` (uint32, as long) if it is given.";
inline constexpr const char* arrange = R"(Put the rows in the order of their sectors.

By y, then x; rows of a sector stay as they were. Whatever goes through a sector's rows then finds
them side by side in memory. Slots mean other rows afterwards.)";

inline constexpr const char* batch =
    R"(Copies of rows, as a tick needs them, in the arrays of `out` if it is given.

Returns
-------
ids : uint64, (n,)
position, velocity : float64, (n, 2)
tick, flags : uint32, (n,)
phase : uint8, (n,))";
inline constexpr const char* stamp = "Write one tick to rows by their slots (uint32, (n,)).";
inline constexpr const char* advance = R"(Write positions and velocities of rows by their slots.

Rows that differ from what was there, in any bit, get the bits of `mark` in their dirty column. A
row whose position has no sector, or whose velocity is not finite, stays as it is.

Parameters
----------
slots : uint32, (n,)
position, velocity : float32 or float64, (n, 2)
mark : int
    Up to 255.
out : uint32, (r,), optional
    Room for a refusal a row.

Returns
-------
refused : uint32, (m,)
    Where in the batch the rows are that were not written, ascending.)";
inline constexpr const char* find =
    R"(The slots (uint32), ascending, of the rows in a sector (x, y).

With `shard`, of those alone that it holds by the shard column. `out`: uint32, with room for them.)";
inline constexpr const char* bind =
    R"(Give rows (slots, uint32) their handles (uint32); NO_HANDLE takes it away.

A handle is an index of 24 bits and, above it, a generation of 8. A row that had the same index
loses its own.)";
inline constexpr const char* resolve =
    R"(The slots whose handles are exactly these (uint32), ABSENT where there is none.

In `out` (uint32, as long) if it is given.)";
inline constexpr const char* states =
    R"(The states of rows: lengths (uint32, (n,)) and all bytes one after another (uint8).

`out` is room for both.)";
inline constexpr const char* set_states =
    R"(Replace the states of rows: slots, lengths (uint32, (n,)), bytes one after another (uint8).

A state has at most 60,000 bytes. What a replaced or removed state leaves behind is reclaimed.)";
inline constexpr const char* reserve = "Make room for n rows, so that views may live meanwhile.";

inline constexpr const char* update_tally = R"(What became of the rows that arrived.

``applied``, ``stale_tick`` (not newer), ``wrong_owner`` (the sender may not speak for them),
``wrong_handle`` (nobody has it) count rows; ``malformed`` and ``ahead`` (of a tick that is yet to
come) count payloads, none of whose rows count.)";

inline constexpr const char* pack_updates = R"(EntityUpdate payloads of rows, grouped by sector.

Little-endian: header {u8 kind, u8 0, u16 groups, u32 tick}; group {i32 x, i32 y, u32 epoch,
u16 rows, u16 0}; row {u32 handle, i32 qx, i32 qy, f32 vx, f32 vy}, q in cells of size/2**30 from
the sector's lower border, so that no rounding crosses a border.

Parameters
----------
slots : uint32, (n,)
tick : int
    Only rows of this tick are packed.
epochs : SectorMap
payload_bytes : int
    The most a payload may have, 44 to 65535.
out : (uint8 (b,), uint32 (r,), uint32 (r,), uint32 (r,), uint32 (r,)), optional

Returns
-------
data : uint8
    All payloads; the d-th is ``data[offsets[d]:offsets[d+1]]``.
offsets : uint32, (d+1,)
order : uint32, (m,)
    Slots as packed; those in payload d are ``order[row_offsets[d]:row_offsets[d+1]]``.
row_offsets : uint32, (d+1,)
skipped : uint32
    Slots without a handle, of another tick, in a sector that ``epochs`` lacks, too far from their
    sector, or too fast for float32.)";

inline constexpr const char* collect_updates =
    R"(What goes out at the end of a tick, as `pack_updates` packs it.

Packed are the rows with phase 0, of `tick`, whose dirty column has a bit of `mark`. Those bits are
taken away, from skipped rows too.

Parameters
----------
out : (uint8 (b,), uint32 (r,), uint32 (r,)), optional
    Room for all rows of the table: 44 bytes each, one offset more than there are, one skipped each.

Returns
-------
data : uint8
offsets : uint32, (d+1,)
skipped : uint32
    As `pack_updates`.)";

inline constexpr const char* cut =
    "The datagrams of ``data``, which ``offsets`` tell apart, as a list of bytes.";
inline constexpr const char* mark_updates = R"(Mark the rows that payloads carry: they were lost.

Parameters
----------
payloads : list of bytes-like
    From `collect_updates`. ValueError for anything else.
mark : int
    The bits that the rows' dirty column gets. Rows whose handle is out of date are left alone.)";

inline constexpr const char* apply_updates = R"(Write the updates of a shard to the table.

A row is applied (position, velocity, tick) if its group's sector and epoch are the shard's in
``epochs``, its handle resolves to a row of that sector and shard, and its tick is newer. A malformed
payload, or one of a tick above ``last_tick``, has no effect. ``payloads`` is a list of bytes-like
objects; any bytes are safe.)";

inline constexpr const char* pack_states = R"(State payloads of rows, in the order given.

Little-endian: header {u8 kind, u8 0, u16 rows, u32 0}; row {u32 handle, u32 state_tick, u16 length,
bytes}. Skipped are rows without a handle and states that do not fit ``payload_bytes`` alone. Returns,
and takes ``out``, as `pack_updates`.)";

inline constexpr const char* apply_states = R"(Write the states that a shard sent to the table.

A row is applied (state, state_tick) if its handle resolves to a row of that shard and its tick is
newer than state_tick, or both are 0. A malformed payload has no effect; any bytes are safe.)";

inline constexpr const char* ghosts = R"(Which shards see which rows across a border.

Parameters
----------
position : float32 or float64, (n, 2)
sectors : int32, (n, 2)
    Rows without a sector are seen by nobody.
shard : int32, (n,)
    The shard of each row, which does not see it; -1 (custody) for none.
radius : float
    0 to size.
owners : SectorMap
out : (int32 (r,), uint32 (r,)), optional

Returns
-------
target : int32, (m,)
    The shard that sees, sorted.
index : uint32, (m,)
    The row that it sees: within ``radius`` of a sector of that shard; each once, ascending.)";

inline constexpr const char* pack_ghosts = R"(Payloads of copies of entities.

Little-endian: header {u8 kind, u8 0, u16 rows, u32 tick}; row {u64 id, f64 x, f64 y, f32 vx, f32 vy,
u32 flags}. Returns data (uint8) and offsets (uint32, (d+1,)), in `out` if it is given. ValueError for a position that is not
finite, or a velocity that float32 does not hold.)";

inline constexpr const char* unpack_ghosts =
    "Read one payload: tick, ids, position, velocity (float64), flags; ValueError if malformed.";

inline constexpr const char* hash_ids =
    "The sum of SplitMix64 over ids (uint64), modulo 2**64: a digest of the set, in any order.";
inline constexpr const char* isa =
    "The instruction set in use; the environment variable SIDEREAL_ISA chooses a lower one.";
inline constexpr const char* set_threads =
    "How many threads large calls may use, 1 to 256. Answers are the same for any number.";
inline constexpr const char* threads = "How many threads large calls may use.";

}  // namespace sidereal::bind::docs
