/* The journal: what a record does, how a leader writes it, ends, and begins from it. */

/* Shards 0 and 2 are two processes of one name. */
#define NAMESAKE(p) ((p) == 0 -> 2 : ((p) == 2 -> 0 : NOBODY + 1))

/* Apply one journal record to what the journal amounts to. It is written apart from the
 * leader's own bookkeeping: invariant 9 compares the two. */
inline replay(k_, a_, b_, c_, r0_, r1_) {
    r[0] = r0_; r[1] = r1_;
    if
    :: k_ == J_REGISTER -> durable.reg[a_] = 1
    :: k_ == J_ASSIGN || k_ == J_UNLOAD ->
        if
        :: k_ == J_ASSIGN ->
            durable.owner[a_] = c_; durable.epoch[a_] = b_;
        :: else -> durable.owner[a_] = NOBODY
        fi;
        for (n : 0 .. NE - 1) {
            if
            :: r[n] != 0 && !IS(M_RECORD_WITHOUT_STATES) ->
                durable.tick[n] = TICK(r[n])
            :: else
            fi;
            if
            :: k_ == J_ASSIGN && durable.sec[n] == a_ -> durable.asker[n] = NOBODY
            :: else
            fi
        }
    :: k_ == J_HANDOFF && !IS(M_REPLAY_SKIPS) ->
        for (n : 0 .. NE - 1) {
            if
            :: r[n] != 0 ->
                durable.ver[n] = VER(r[n]);
                durable.tick[n] = TICK(r[n]);
                durable.sec[n] = a_;
                durable.asker[n] = (durable.owner[a_] == NOBODY -> b_ : NOBODY)
            :: else
            fi
        }
    :: k_ == J_SPAWN ->
        durable.ver[a_] = 1; durable.sec[a_] = c_; durable.tick[a_] = 0; durable.gone[a_] = 0;
        durable.asker[a_] = (durable.owner[c_] == NOBODY -> b_ : NOBODY);
        durable.serial[b_] = r0_
    :: k_ == J_DESTROY ->
        durable.ver[a_] = durable.ver[a_] + 1; durable.gone[a_] = 1;
        durable.asker[a_] = NOBODY; durable.sec[a_] = 0; durable.tick[a_] = 0
    :: k_ == J_FENCE ->
        durable.reg[a_] = 2;
        for (n : 0 .. NS - 1) {
            if
            :: durable.owner[n] == a_ || (IS(M_BOOKS_BY_NAME) && durable.owner[n] == NAMESAKE(a_)) ->
                durable.owner[n] = NOBODY
            :: else
            fi
        }
    :: else
    fi
}

/* A decision enters the journal: at once, or with the next commit. */
inline journal(l_, k_, a_, b_, c_, r0_, r1_) {
    if
    :: o_split -> queue[l_]!k_, a_, b_, c_, r0_, r1_
    :: else ->
        replay(k_, a_, b_, c_, r0_, r1_);
        check_replay(l_)
    fi
}
#define DEPOSED(l) (!o_split && term[l] != store_term)
#define ROOM(l) (!o_split || len(queue[l]) < 2)

/* What was sent behind a commit that never came was never sent. */
inline cut(i_) {
    n = len(down[i_]);
    do
    :: n > 0 ->
        down[i_]?kind, a, b, c, x[0], x[1];
        if
        :: n > held_back[i_] -> down[i_]!kind, a, b, c, x[0], x[1]
        :: else
        fi;
        n--
    :: else -> break
    od;
    held_back[i_] = 0
}

/* It decides nothing more; `end_leader` follows. */
inline stop(l_) { term[l_] = STOPPING }

inline end_leader(l_) {
    term[l_] = 0;
    for (p2 : 0 .. NP - 1) {
        i2 = I(l_, p2);
        if
        :: held_back[i2] > 0 -> cut(i2)
        :: else
        fi;
        lopen[i2] = 0; same[i2] = 0; hello[i2] = 0; death[i2] = 0;
        do
        :: len(up[i2]) > 0 -> up[i2]?kind, a, b, c, x[0], x[1]
        :: else -> break
        od;
        if
        :: hbl[p2] == l_ && (hb[p2] == 1 || hb[p2] == 2) -> hb[p2] = 0; hbage[p2] = 0; hbl[p2] = 0
        :: else
        fi
    }
    do
    :: len(queue[l_]) > 0 -> queue[l_]?kind, a, b, c, x[0], x[1]
    :: else -> break
    od;
    for (n : 0 .. NS - 1) {
        move[l_ * NS + n] = 0; attempt[l_ * NS + n] = 0; target[l_ * NS + n] = 0;
        loading[l_ * NS + n] = 0; rec[l_].owner[n] = 0; rec[l_].epoch[n] = 0
    }
    for (n : 0 .. NE - 1) {
        newest[l_ * NE + n] = 0; awaits[l_ * NE + n] = 0; sent[l_ * NE + n] = 0;
        rec[l_].ver[n] = 0; rec[l_].sec[n] = 0; rec[l_].tick[n] = 0; rec[l_].gone[n] = 0;
        rec[l_].asker[n] = 0
    }
    for (n : 0 .. NP - 1) { rec[l_].reg[n] = 0; rec[l_].serial[n] = 0 }
}

inline load(l_) {
    for (n : 0 .. NS - 1) {
        rec[l_].owner[n] = durable.owner[n]; rec[l_].epoch[n] = durable.epoch[n]
    }
    for (n : 0 .. NE - 1) {
        rec[l_].ver[n] = durable.ver[n]; rec[l_].sec[n] = durable.sec[n];
        rec[l_].tick[n] = durable.tick[n]; rec[l_].gone[n] = durable.gone[n];
        rec[l_].asker[n] = durable.asker[n];
        newest[l_ * NE + n] = durable.tick[n]; awaits[l_ * NE + n] = NOBODY
    }
    for (n : 0 .. NP - 1) {
        rec[l_].reg[n] = durable.reg[n]; rec[l_].serial[n] = durable.serial[n];
        death[I(l_, n)] = (o_timers && !IS(M_LEADER_DOES_NOT_WAIT) -> LEASE + ALLOWANCE : 0)
    }
}
