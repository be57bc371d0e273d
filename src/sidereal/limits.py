"""Every bound in one place, with its reason. At a bound a request is refused, nothing is lost."""

SECTOR_MAX = 2**31 - 1
"""A sector coordinate lies within ±SECTOR_MAX; int32's minimum means "no sector"."""

DATAGRAM_BYTES_DEFAULT = 1200
"""UDP payload that crosses every path in use today without fragmentation (QUIC's choice)."""

MESSAGE_BYTES_MAX = 64 * 1024 * 1024
"""One reliable message: sixty times what an honest one takes, but for a group of entities with
the largest states, which is never cut."""

SEND_QUEUE_BYTES_MAX = 256 * 1024 * 1024
"""Reliable bytes queued for one peer before sending raises `LimitError`."""

RECEIVE_WINDOW_BYTES_MAX = 4 * 1024 * 1024
"""Reliable bytes of one peer and channel that wait here, early or unread: what 20 ms at 200 MB/s
bring. Beyond it the peer has no credit; who sends all the same has lost its link."""

EARLY_PIECES_MAX = 16_384
"""Pieces of one channel that wait out of order: more than fit into a window of full packets."""

DATAGRAM_QUEUE_BYTES_MAX = 8 * 1024 * 1024
"""Datagrams that wait to be sent to one peer; beyond it the oldest are dropped and reported."""

DATAGRAMS_UNREAD_BYTES_MAX = 16 * 1024 * 1024
"""Datagrams of one peer that the user has not drained; beyond it the peer's packets are neither
opened nor acknowledged, so that it slows down and knows what was lost."""

DATAGRAM_COST_BYTES = 64
"""What a datagram counts for there besides its payload: as an object it costs about so much."""

PACKETS_OUT_MAX = 65_536
"""Numbers from one peer's oldest packet out to the newest: the record of them is 5 MB then."""

CONNECTIONS_MAX = 8192
"""Connections of one endpoint: some 100 MB of idle ones."""

HALF_OPEN_MAX = 1024
"""Connections whose peer has a key and has not shown yet that it can decrypt."""

HELLO_ANSWERS_PER_S_MAX = 50_000
"""Strangers answered each second by one endpoint: a tenth of a core. Every client of a full server
that comes back at once is answered in a fifth of a second; of a flood the rest is dropped."""

HELLO_ANSWERS_BURST = 2048
"""Strangers answered at once, before the rate above counts."""

HANDSHAKES_PER_S_MAX = 2000
"""HELLOs with a good cookie judged each second by one endpoint: half a core if all have a key, a
tenth if none has. Every client of a full server that comes back at once is let in within 5 s."""

HANDSHAKES_BURST = 1024
"""The same at once, before the rate above counts: as many as may be half open."""

HANDSHAKES_OF_HOST_PER_S_MAX = 250
"""The same from one host: an eighth, so that others are let in beside one that asks without end."""

HANDSHAKES_OF_HOST_BURST = 256
"""The same at once: all players behind one address that a server of this size would meet."""

KEYS_PER_NAME_MAX = 2
"""Keys that are good at once under one name: the new one and the one that it replaces."""

STATE_BYTES_MAX = 60_000
"""One entity's opaque state: more does not fit the arena's 16-bit classes and belongs elsewhere."""

BATCH_ROWS_MAX = 16_384
"""Rows in one transition, spawn or destroy batch: about 2 MB with small states."""

CHUNK_BYTES_MAX = 256 * 1024
"""One chunk of `SectorInitialState`: small enough that heartbeats pass between chunks."""

COPY_BYTES_MAX = 64 * 1024 * 1024
"""All copies that wait for their sectors to move, at the server and at each shard: 400,000 entities
with small states. A move whose copy finds no room is made without one, and takes longer."""

COPY_PARTS_MAX = 4096
"""Messages of one copy: sixteen times what `COPY_BYTES_MAX` takes in whole chunks."""

MOVE_PART_NS_MAX = 60_000_000_000
"""How long each part of a sector's move may take: until its source has said all that is in it,
until its target says that it has that, and from the freeze until the last states are here.
`COPY_BYTES_MAX` over 10 Mbit/s takes 54 s. Who is asked answers at once; beyond it the move is
given up, and the sector runs on where it is."""

PLACES_MAX = 5_000
"""Places of a sector's entities in one message: a chunk's bytes, as `CHUNK_BYTES_MAX`."""

PARCEL_BYTES_MAX = 1024 * 1024
"""Entities in one message that is not an initial state, groups whole: some ten thousand, so that
neither a mass teleport nor a full sector comes near `MESSAGE_BYTES_MAX`."""

CUSTODY_ENTITIES_MAX = 1_000_000
"""Entities held by the server between shards; beyond it transitions are refused (held)."""

ID_BLOCK = 1 << 20
"""Entity ids granted at a time: at 10,000 spawns a second a block lasts 100 s."""

SPAWNS_WAITING_MAX = 1 << 21
"""Entities that a game has asked for and whose ids are not granted yet, or that wait for a lease:
two blocks of ids; beyond it asking for more is refused."""

TOOL_BLOCKS_MAX = 1024
"""Blocks of ids granted to tools that are remembered: one for each run of a tool that creates; the
oldest is withdrawn, and what was not created by then is refused."""

GRANTS_PER_SHARD_MAX = 64
"""Blocks of ids that one shard may hold unused: it asks for one when half a block is left."""

CLOCK_AHEAD_NS_MAX = 5_000_000_000
"""How far a shard's clock may be ahead of the server's: half a round trip over the worst path is
less; a state of a later tick would silence all updates until then."""

WALL_BEHIND_NS_MAX = 3_600_000_000_000
"""How far the wall clock of a server's new machine may be behind, and the world go on
by what its shards know: more is a clock that nobody has set."""

MAIL_PER_ENTITY_MAX = 256
"""Messages waiting for one entity in custody; beyond it `send` is refused with a reason."""

MAIL_BYTES_MAX = 16 * 1024
"""One message to an entity."""

MAIL_WAITING_BYTES_MAX = 64 * 1024 * 1024
"""All messages that wait for entities in custody; beyond it `send` is refused with a reason."""

MAIL_UNACKNOWLEDGED_BYTES_MAX = 32 * 1024 * 1024
"""Messages kept until one shard is done with them: seconds of heavy mail to a shard that reads."""

LETTERS_UNSETTLED_BYTES_MAX = 32 * 1024 * 1024
"""Messages that a shard or client has written and that the server has not confirmed: seconds of
heavy mail, or what a game writes while the link is broken; beyond it `send` raises `LimitError`."""

SUBSCRIPTIONS_PER_CLIENT_MAX = 16
"""Points or entities one client may watch at once."""

SUBSCRIPTION_RADIUS_SECTORS_MAX = 16.0
"""How far a subscription may see, in sector sizes: some 800 sectors, looked at ten times a second;
more is a map, not a view."""

POSSESSIONS_PER_CLIENT_MAX = 64
"""Entities that one client may steer at once."""

SESSIONS_MAX = 16_384
"""Client sessions, those that are away and may come back among them."""

EARLY_UPDATE_ROWS_MAX = 65_536
"""Updates that a client keeps of entities that have not entered yet: the message is on its way."""

HANDLE_INDEX_BITS = 24
"""A handle is an index of 24 bits and a generation of 8: 16 million entities alive at once."""

COMMIT_BYTES_MAX = 512 * 1024 * 1024
"""One commit, and all that waits for one: SQLite refuses rows near 1 GB, and a disk that is half a
gigabyte behind will not catch up."""
