/* What may go wrong at any moment, who watches, and how a world begins. */

proctype Monitor() {
end:
    do
    :: FOR_SHARDS(STRAY_0) || FOR_PAIRS(BOTH_0) -> assert(I1_one_simulates_and_agrees)
#if NE > 1
    :: FOR_SHARDS(STRAY_1) || FOR_PAIRS(BOTH_1) -> assert(I1_one_simulates_and_agrees)
    :: FOR_PAIRS(TORN_2) -> assert(I1_group_simulates_as_one)
#endif
    :: FOR_PAIRS(SHARED_0) || FOR_PAIRS(SHARED_1) -> assert(I4_one_owner_per_epoch)
    :: FOR_SHARDS(ZOMBIE) -> assert(I5_fenced_has_no_effect)
    :: d_step { timeout && o_end -> printf("nothing more can happen\n"); at_rest(); o_end = 0; skip }
    od
}

inline pass(slow_) {
    for (n : 0 .. NP - 1) {
        if
        :: n != slow_ ->
            if
            :: lease[n] > 0 -> lease[n]--
            :: else
            fi;
            if
            :: hb[n] != 0 && hbage[n] < LEASE -> hbage[n]++
            :: else
            fi
        :: else
        fi
    }
    for (n : 0 .. NL * NP - 1) {
        if
        :: death[n] > 0 -> death[n]--
        :: else
        fi
    }
}

/* The transport reports a lost update: its entity is dirty again, the newest value goes next. */
inline lose(k_) {
    i2 = D(u_p[k_], u_e[k_]);
    if
    :: phase[i2] == HELD && ver[i2] == u_ver[k_] && !IS(M_LOSS_NOT_DIRTY) -> dirty[i2] = 1
    :: else
    fi;
    clear_update(k_)
}

/* Time, updates that get lost, a second process under shard 0's name. */
proctype World() {
end:
    do
    :: d_step { b_tick > 0 -> printf("a tick passes\n"); b_tick--; pass(NOBODY); skip }
    :: d_step { b_tick > 0 && b_slow > 0 -> b_tick--; b_slow--;
        printf("a tick passes that shard 0 loses\n"); pass(0); skip }
    :: d_step { b_tick > 0 && b_slow > 0 -> b_tick--; b_slow--;
        printf("a tick passes that shard 1 loses\n"); pass(1); skip }
    :: d_step { b_fast > 0 && b_tick > 0 -> b_fast--;
        printf("the leaders' clocks gain a tick\n");
        for (n : 0 .. NL * NP - 1) {
            if
            :: death[n] > 0 -> death[n]--
            :: else
            fi
        }; skip }
    :: d_step { u_on[0] && b_lose > 0 -> b_lose--; printf("an update of entity %d is lost\n", u_e[0]); lose(0); skip }
    :: d_step { u_on[1] && b_lose > 0 -> b_lose--; printf("an update of entity %d is lost\n", u_e[1]); lose(1); skip }
    :: d_step { u_on[0] && !lopen[I(u_l[0], u_p[0])] -> lose(0); skip }
    :: d_step { u_on[1] && !lopen[I(u_l[1], u_p[1])] -> lose(1); skip }
#if NP > 2
    :: d_step { b_restart > 0 && !born[2] -> b_restart--;
        printf("shard 2 starts, under the name of shard 0\n"); begin_shard(2); skip }
#endif
    od
}

init {
    d_step {
        c_code {
            mutant = bound("MUTANT", 0); witness = bound("WITNESS", 0);
            o_two_leaders = bound("TWO_LEADERS", 0); o_group = bound("GROUP", 0);
            o_split = bound("SPLIT", 0); o_timers = bound("TIMERS", 0);
            o_updates = bound("UPDATES", 0); o_ready = bound("READY", 0);
            spawn_into = bound("SPAWN_INTO", 0);
            now.o_end = !o_timers;
            now.b_move = bound("MOVES", 0); now.b_step = bound("STEPS", 0);
            now.b_break = bound("BREAKS", 0); now.b_takeover = bound("TAKEOVERS", 0);
            now.b_leader_crash = bound("LEADER_CRASHES", 0);
            now.b_shard_crash = bound("SHARD_CRASHES", 0); now.b_restart = bound("RESTARTS", 0);
            now.b_migrate = bound("MIGRATIONS", 0); now.b_unload = bound("UNLOADS", 0);
            now.b_abort = bound("ABORTS", 0); now.b_refuse = bound("REFUSALS", 0);
            now.b_spawn = bound("SPAWNS", 0); now.b_destroy = bound("DESTROYS", 0);
            now.b_op_destroy = bound("OPERATOR_DESTROYS", 0);
            now.b_expire = bound("EXPIRIES", 0); now.b_fence = bound("FENCES", 0);
            now.b_lose = bound("LOSSES", 0); now.b_tick = bound("TICKS", 0);
            now.b_slow = bound("SLOW", 0); now.b_fast = bound("FAST", 0);
            now.b_heartbeat = bound("HEARTBEATS", 0);
        };
        store_term = 1; term[0] = 1;
        c_code {
            now.durable.owner[0] = bound("OWNER_0", 0);
            now.durable.owner[1] = bound("OWNER_1", 1);
            now.durable.ver[0] = 1;
            now.durable.sec[NE - 1] = bound("SECTOR_1", 0);
            now.durable.ver[NE - 1] = bound("VERSION_1", 1);
        };
        durable.sec[0] = 0;
        for (n : 0 .. NP - 1) { sess[n] = NOBODY }
        for (n : 0 .. NE - 1) {
            durable.asker[n] = NOBODY; g_ver[n] = durable.ver[n]; g_created[n] = (durable.ver[n] > 0)
        }
        for (p2 : 0 .. 1) {
            begin_shard(p2); durable.reg[p2] = 1; seen[p2] = 1; ready[p2] = 1; sess[p2] = 0;
            lopen[p2] = 1; same[p2] = 1; lease[p2] = (o_timers -> LEASE : 0);
            for (s : 0 .. NS - 1) {
                if
                :: durable.owner[s] == p2 ->
                    durable.epoch[s] = 1; ss[T(p2, s)] = RUNNING; sep[T(p2, s)] = 1;
                    g_epoch_owner[s * 8 + 1] = p2 + 1;
                    for (n : 0 .. NE - 1) {
                        if
                        :: durable.sec[n] == s && durable.ver[n] > 0 ->
                            phase[D(p2, n)] = HELD; ver[D(p2, n)] = 1; sec[D(p2, n)] = s
                        :: else
                        fi
                    }
                :: else
                fi
            }
        }
        load(0);
        for (n : 0 .. NP - 1) { death[n] = (o_timers -> LEASE + ALLOWANCE : 0) }; skip };
    atomic {
        run Leader(0); run Leader(1);
        for (n : 0 .. NP - 1) { run Port(0, n); run Port(1, n); run Shard(n) }
        run World(); run Monitor()
    }
}
