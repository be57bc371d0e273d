/* What a leader decides: requests, moves, deaths; each is one record, then its messages. */

/* The session ends at the leader: what was in flight is forgotten, its migrations are aborted. */
inline forget(l_, p_) {
    i2 = I(l_, p_);
    if
    :: held_back[i2] > 0 -> cut(i2)
    :: else
    fi;
    lopen[i2] = 0; same[i2] = 0;
    do
    :: len(up[i2]) > 0 -> up[i2]?kind, a, b, c, x[0], x[1]
    :: else -> break
    od;
    for (n : 0 .. NE - 1) {
        if
        :: awaits[l_ * NE + n] == p_ -> awaits[l_ * NE + n] = NOBODY
        :: else
        fi
    }
    for (n : 0 .. NS - 1) {
        if
        :: move[l_ * NS + n] && OWNS(l_, p_, n) -> move[l_ * NS + n] = 0; target[l_ * NS + n] = 0
        :: move[l_ * NS + n] && target[l_ * NS + n] == p_ ->
            MET(W_SESSION_END_ABORTS); give_up(l_, n)
        :: else
        fi
    }
}

/* A move ends undecided: a source that was frozen goes on, one that was copied never stopped. */
inline give_up(l_, s_) {
    MET_IF(W_ABORT_WHILE_COPYING, move[l_ * NS + s_] == 2);
    if
    :: move[l_ * NS + s_] == 1 ->
        send(l_, rec[l_].owner[s_], RESUME, s_, rec[l_].epoch[s_], attempt[l_ * NS + s_], 0, 0)
    :: else
    fi;
    move[l_ * NS + s_] = 0; target[l_ * NS + s_] = 0;
    for (q : 0 .. NE - 1) { sent[l_ * NE + q] = (rec[l_].sec[q] == s_ -> 0 : sent[l_ * NE + q]) }
}

/* Rows z[0], z[1]: what the record places in sector s_, with the newest states. */
inline rows_of(l_, s_) {
    z[0] = 0; z[1] = 0;
    for (n : 0 .. NE - 1) {
        if
        :: rec[l_].ver[n] > 0 && !rec[l_].gone[n] && rec[l_].sec[n] == s_ ->
            z[n] = ROW(rec[l_].ver[n], newest[l_ * NE + n])
        :: else
        fi
    }
}

/* Give sector s_ to p_: one record with the states that it starts from, then the messages. */
inline assign(l_, s_, p_) {
    rows_of(l_, s_);
    rec[l_].epoch[s_] = rec[l_].epoch[s_] + 1;
    rec[l_].owner[s_] = OWN(p_);
    MET_IF(W_LOADED_AGAIN, rec[l_].epoch[s_] > 2 && (z[0] != 0 || z[1] != 0));
    loading[l_ * NS + s_] = o_ready;
    for (n : 0 .. NE - 1) {
        if
        :: z[n] != 0 ->
            rec[l_].asker[n] = NOBODY; g_orphan[n] = 0;
            rec[l_].tick[n] = (IS(M_RECORD_WITHOUT_STATES) -> rec[l_].tick[n] : TICK(z[n]))
        :: else
        fi
    }
    journal(l_, J_ASSIGN, s_, rec[l_].epoch[s_], OWN(p_), z[0], z[1]);
    y[0] = 0; y[1] = 0;         /* those who asked and stay with p_: acknowledged, not sent */
    for (e : 0 .. NE - 1) {
        if
        :: z[e] != 0 && awaits[l_ * NE + e] == p_ ->
            y[e] = ROW(VER(z[e]) - 1, 0); z[e] = 0
        :: else
        fi
    }
    for (n : 0 .. NE - 1) {
        if
        :: w[n] && z[n] != 0 -> z[n] = ROW(VER(z[n]), SAME)
        :: else
        fi
    }
    send(l_, p_, ASSIGN, s_, rec[l_].epoch[s_], 0, z[0], z[1]);
    if
    :: y[0] != 0 || y[1] != 0 -> send(l_, p_, ACK, s_, rec[l_].epoch[s_], 0, y[0], y[1])
    :: else
    fi;
    settle_others(l_, s_, p_)
}

/* Those who asked for a place in s_ and are not p_ hear that the entity left them. */
inline settle_others(l_, s_, p_) {
    for (q : 0 .. NP - 1) {
        x[0] = 0; x[1] = 0;
        for (n : 0 .. NE - 1) {
            if
            :: awaits[l_ * NE + n] == q && rec[l_].sec[n] == s_ ->
                awaits[l_ * NE + n] = NOBODY;
                x[n] = ROW(rec[l_].ver[n] - 1, 0)
            :: else
            fi
        }
        if
        :: q != p_ && (x[0] != 0 || x[1] != 0) -> send(l_, q, EXIT, 0, 0, 0, x[0], x[1])
        :: else
        fi
    }
}

/* An accepted handoff or spawn of rows x[0], x[1] (at the old version) into sector c, told. */
inline place(l_, p_) {
    q = rec[l_].owner[c];
    y[0] = 0; y[1] = 0;
    for (n : 0 .. NE - 1) {
        if
        :: x[n] != 0 -> y[n] = ROW(rec[l_].ver[n], TICK(x[n]))
        :: else
        fi
    }
    if
    :: q == NOBODY ->
        for (n : 0 .. NE - 1) {
            if
            :: x[n] != 0 -> awaits[l_ * NE + n] = p_
            :: else
            fi
        }
    :: q != NOBODY && q == OWN(p_) -> send(l_, p_, ACK, c, rec[l_].epoch[c], 0, x[0], x[1])
    :: else ->
        send(l_, q, ENTER, c, rec[l_].epoch[c], 0, y[0], y[1]);
        if
        :: IS(M_HANDOFF_OVERTAKES) && same[I(l_, q)] -> overtake(I(l_, q))
        :: else
        fi;
        send(l_, p_, EXIT, 0, 0, 0, x[0], x[1])
    fi
}

/* The last message goes first. */
inline overtake(i_) {
    n = len(down[i_]) - 1;
    do
    :: n > 0 -> down[i_]?z[0], z[1], e, s, v[0], v[1]; down[i_]!z[0], z[1], e, s, v[0], v[1]; n--
    :: else -> break
    od
}

inline judge_request(l_, p_) {
    if
    :: IS(M_GROUP_MEMBER_FORGOTTEN) && x[0] != 0 && x[1] != 0 -> x[1] = 0
    :: else
    fi;
    good = 1;
    for (n : 0 .. NE - 1) {
        if
        :: x[n] != 0 && !(rec[l_].ver[n] == VER(x[n]) && !rec[l_].gone[n] &&
                rec[l_].sec[n] == a && OWNS(l_, p_, a) && rec[l_].epoch[a] == b) -> good = 0
        :: else
        fi
    }
    if
    :: !good -> MET(W_OUTDATED_REQUEST); send(l_, p_, EXIT, 0, 0, 0, x[0], x[1])
    :: good && DEPOSED(l_) -> MET(W_DEPOSED_DECIDES); stop(l_)
    :: else ->
        from_fenced(l_, p_);
        for (n : 0 .. NE - 1) {
            if
            :: x[n] != 0 ->
                rec[l_].ver[n] = rec[l_].ver[n] + 1; rec[l_].sec[n] = c;
                rec[l_].tick[n] = TICK(x[n]); newest[l_ * NE + n] = TICK(x[n]);
                rec[l_].asker[n] = (rec[l_].owner[c] == NOBODY -> p_ : NOBODY)
            :: else
            fi
        }
        y[0] = (x[0] -> ROW(rec[l_].ver[0], TICK(x[0])) : 0);
        y[1] = (x[1] -> ROW(rec[l_].ver[NE - 1], TICK(x[1])) : 0);
        journal(l_, J_HANDOFF, c, p_, 0, y[0], y[1]);
        place(l_, p_)
    fi
}

/* Spawn of entity a with serial b into sector c. */
inline judge_spawn(l_, p_) {
    if
    :: (b <= rec[l_].serial[p_] && !IS(M_SPAWN_REPEATED)) ||
            (rec[l_].ver[a] > 0 && !rec[l_].gone[a]) ->
        x[0] = 0; x[1] = 0; x[a] = ROW(0, 0);
        send(l_, p_, EXIT, 0, 0, 0, x[0], x[1])
    :: else ->
        if
        :: DEPOSED(l_) -> stop(l_)
        :: else ->
            from_fenced(l_, p_);
            rec[l_].ver[a] = 1; rec[l_].sec[a] = c; rec[l_].tick[a] = 0; rec[l_].gone[a] = 0;
            newest[l_ * NE + a] = 0;
            rec[l_].asker[a] = (rec[l_].owner[c] == NOBODY -> p_ : NOBODY);
            rec[l_].serial[p_] = b;
            created(a);
            journal(l_, J_SPAWN, a, p_, c, b, 0);
            x[0] = 0; x[1] = 0; x[a] = ROW(0, 0);
            place(l_, p_)
        fi
    fi
}

/* Destroy entity e_: recorded; then told to whom it was sent and to who awaits an answer. */
inline destroy(l_, e_) {
    q = rec[l_].owner[rec[l_].sec[e_]];
    p2 = awaits[l_ * NE + e_];
    rec[l_].ver[e_] = rec[l_].ver[e_] + 1; rec[l_].gone[e_] = 1;
    rec[l_].asker[e_] = NOBODY; rec[l_].sec[e_] = 0; rec[l_].tick[e_] = 0;
    newest[l_ * NE + e_] = 0; awaits[l_ * NE + e_] = NOBODY;
    destroyed(e_);
    journal(l_, J_DESTROY, e_, 0, 0, 0, 0);
    if
    :: q != NOBODY && !IS(M_DESTROY_NOT_TOLD) ->
        send(l_, q, DESTROYED, e_, rec[l_].ver[e_], 0, 0, 0)
    :: else
    fi;
    if
    :: p2 != NOBODY && p2 != q -> send(l_, p2, DESTROYED, e_, rec[l_].ver[e_], 0, 0, 0)
    :: else
    fi
}

/* SectorCopy: the newest states, which go on to the target; the source is frozen then. What the
 * record has at another version by now is left out. In the code the target says first that it has
 * them; nothing else can happen in between that cannot happen before UnassignSector arrives. */
inline judge_copied(l_, p_) {
    if
    :: !(OWNS(l_, p_, a) && rec[l_].epoch[a] == b && move[l_ * NS + a] == 2 &&
            attempt[l_ * NS + a] == c) -> MET(W_STALE_COPIED)
    :: else ->
        for (n : 0 .. NE - 1) {
            if
            :: x[n] != 0 && rec[l_].sec[n] == a && !rec[l_].gone[n] &&
                    rec[l_].ver[n] == VER(x[n]) ->
                newest[l_ * NE + n] =
                    (newest[l_ * NE + n] > TICK(x[n]) -> newest[l_ * NE + n] : TICK(x[n]));
                x[n] = ROW(VER(x[n]), newest[l_ * NE + n]);
                sent[l_ * NE + n] = x[n]
            :: else -> x[n] = 0
            fi
        }
        move[l_ * NS + a] = 1;
        send(l_, target[l_ * NS + a], PRECOPY, a, b, c, x[0], x[1]);
        send(l_, p_, UNASSIGN, a, b, c, 0, 0)
    fi
}

/* SectorRemoved: the one point at which a migration or an unload is decided. */
inline judge_removed(l_, p_) {
    if
    :: !(OWNS(l_, p_, a) && rec[l_].epoch[a] == b && move[l_ * NS + a] == 1 &&
            (attempt[l_ * NS + a] == c || IS(M_NO_ATTEMPT_NUMBER))) -> MET(W_STALE_REMOVED)
    :: else ->
        if
        :: DEPOSED(l_) -> stop(l_)
        :: else ->
            from_fenced(l_, p_);
            w[0] = 0; w[1] = 0;
            for (n : 0 .. NE - 1) {
                if
                :: x[n] != 0 && rec[l_].sec[n] == a && !rec[l_].gone[n] &&
                        rec[l_].ver[n] == VER(x[n]) ->
                    w[n] = (TICK(x[n]) == SAME);
                    assert(!w[n] || VER(sent[l_ * NE + n]) == VER(x[n]) || I8_nothing_dropped);
                    newest[l_ * NE + n] = (w[n] -> newest[l_ * NE + n] : TICK(x[n]))
                :: else
                fi;
                sent[l_ * NE + n] = (rec[l_].sec[n] == a -> 0 : sent[l_ * NE + n])
            }
            s = a; i2 = target[l_ * NS + a];
            move[l_ * NS + a] = 0; target[l_ * NS + a] = 0;
            if
            :: i2 == NOBODY ->
                rows_of(l_, s);
                rec[l_].owner[s] = NOBODY;
                for (n : 0 .. NE - 1) {
                    if
                    :: z[n] != 0 ->
                        rec[l_].tick[n] = (IS(M_RECORD_WITHOUT_STATES) -> rec[l_].tick[n] : TICK(z[n]))
                    :: else
                    fi
                }
                journal(l_, J_UNLOAD, s, 0, 0, z[0], z[1])
            :: else -> assign(l_, s, i2)
            fi;
            send(l_, p_, RELEASE, s, b, c, 0, 0)
        fi
    fi
}

/* Death is a record; the sectors are free, their entities in custody with the newest states. */
inline fence(l_, p_) {
    rec[l_].reg[p_] = 2;
    forget(l_, p_);
    if
    :: hb[p_] == 1 || hb[p_] == 2 -> hb[p_] = 0; hbl[p_] = 0; hbage[p_] = 0
    :: else
    fi;
    for (s : 0 .. NS - 1) {
        if
        :: rec[l_].owner[s] == p_ ||
                (IS(M_BOOKS_BY_NAME) && rec[l_].owner[s] == NAMESAKE(p_)) ->
            rec[l_].owner[s] = NOBODY;
            for (n : 0 .. NE - 1) {
                if
                :: rec[l_].sec[n] == s && rec[l_].ver[n] > 0 && !rec[l_].gone[n] ->
                    rolled_back(n, newest[l_ * NE + n]);
                    if
                    :: IS(M_LOADING_CUSTODY_LOST) && loading[l_ * NS + s] ->
                        rec[l_].ver[n] = 0; durable.ver[n] = 0
                    :: else
                    fi
                :: else
                fi
            }
            loading[l_ * NS + s] = 0
        :: else
        fi
    }
    death[I(l_, p_)] = 0;
    journal(l_, J_FENCE, p_, 0, 0, 0, 0)
}

/* Only what is still as it was asked is refused; anything else is answered with its outcome. */
inline refuse(l_, p_) {
    good = 1;
    for (n : 0 .. NE - 1) {
        if
        :: x[n] != 0 && (rec[l_].ver[n] != VER(x[n]) || rec[l_].gone[n]) -> good = 0
        :: else
        fi
    }
    if
    :: good -> send(l_, p_, REFUSE, 0, 0, 0, x[0], x[1])
    :: else -> judge_request(l_, p_)
    fi
}

inline count_update(l_, k_) {
    e = u_e[k_];
    if
    :: rec[l_].ver[e] == u_ver[k_] && !rec[l_].gone[e] && OWNS(l_, u_p[k_], rec[l_].sec[e]) &&
            rec[l_].epoch[rec[l_].sec[e]] == u_epoch[k_] &&
            (u_tick[k_] > newest[l_ * NE + e] || IS(M_UPDATES_UNORDERED)) ->
        assert(u_tick[k_] > newest[l_ * NE + e] || I3_updates_rise);
        newest[l_ * NE + e] = u_tick[k_]
    :: else ->
        MET_IF(W_UPDATE_FENCED, rec[l_].ver[e] != u_ver[k_]);
        MET_IF(W_UPDATE_OLDER, rec[l_].ver[e] == u_ver[k_])
    fi;
    clear_update(k_)
}

inline clear_update(k_) {
    u_on[k_] = 0; u_l[k_] = 0; u_p[k_] = 0; u_e[k_] = 0;
    u_ver[k_] = 0; u_epoch[k_] = 0; u_tick[k_] = 0
}
