/*
 * Lap: cursors with and without a limit on one buffer. One writer that rolls through recycled segments and lets `oldest`
 * follow; readers without a limit, which are counted in `chain`; readers that may be lapped, which are counted in `pins`.
 */

#ifndef SEGMENTS
#define SEGMENTS 4
#endif
#ifndef ORDINALS
#define ORDINALS 4
#endif
#ifndef CHAINS
#define CHAINS 1
#endif
#ifndef LAPPERS
#define LAPPERS 1
#endif
#ifndef LIMIT
#define LIMIT 1
#endif
#ifndef LIMIT_2
#define LIMIT_2 LIMIT
#endif
#ifndef KEEP
#define KEEP 0
#endif

#define READERS (CHAINS + LAPPERS)
#define LAPS(me) ((me) >= CHAINS)
#define LIMIT_OF(me) ((me) > CHAINS -> LIMIT_2 : LIMIT)

#define NONE 254
#define SEVERED 255

#define FREE 0
#define TAKEN 1
#define ALIVE 2

byte chain[SEGMENTS], pins[SEGMENTS];
byte next[SEGMENTS];
bool cut[SEGMENTS];    /* chain has fallen to 0 in this life */
bool is_lapped[SEGMENTS];
byte status[SEGMENTS];
byte life[SEGMENTS];   /* which ordinal the memory holds */

byte current, oldest;  /* segments */
byte newest;           /* ordinal of the last segment that a ROLL has published */
byte lapped, limit, users = 1;
bool ended;

byte standing[READERS]; /* segment + 1 */
byte opening = READERS, reading = READERS;

bool wrong_item, no_link, no_such_count, cut_twice, freed_twice, freed_under_holder, oldest_dangles, negative_miss,
    miscounted, lagged_within_limit, lapped_stays, leaked;

#define CLAIM(broken, holds) broken = !(holds); assert(!broken)
#ifdef MAY_LAG
#define CLAIM_LAG(holds) skip
#else
#define CLAIM_LAG(holds) CLAIM(lagged_within_limit, holds)
#endif
#ifdef MAY_DANGLE
#define CLAIM_DANGLE(holds) skip
#else
#define CLAIM_DANGLE(holds) CLAIM(oldest_dangles, holds)
#endif

#if defined(RELAXED_OPEN) || defined(RELAXED_CROSS)
#define WEAK
bool reserved[SEGMENTS]; /* somebody is between the two halves of adding a pin */
#define WHEN_FREE(segment) !reserved[segment]
#else
#define WHEN_FREE(segment) true
#endif

/* --------------------------------------------------------------------------------------------------- the counts */

#define STANDS(me, segment) (standing[me] == (segment) + 1)

inline unpin(segment)
{
    atomic {
        WHEN_FREE(segment);
        CLAIM(no_such_count, pins[segment] > 0);
        pins[segment]--;
        if
        :: pins[segment] == 0 ->
            CLAIM(freed_twice, status[segment] == ALIVE);
            CLAIM(freed_under_holder, !STANDS(0, segment));
#if READERS > 1
            CLAIM(freed_under_holder, !STANDS(1, segment));
#endif
#if READERS > 2
            CLAIM(freed_under_holder, !STANDS(2, segment));
#endif
            CLAIM_DANGLE(oldest != segment && current != segment);
            if
            :: is_lapped[segment] ->
                CLAIM(no_such_count, lapped > 0);
                lapped--;
                is_lapped[segment] = false
            :: else
            fi;
            life[segment] = 0;
            status[segment] = FREE
        :: else
        fi;
        segment = NONE
    }
}

/* Drops one count of `segment`, and goes on along the links for as long as chains fall to 0. Uses `dead` and `after`. */
inline drop_chain(segment)
{
    do
    :: atomic {
            segment != NONE ->
            CLAIM(no_such_count, chain[segment] > 0);
            chain[segment]--;
            if
            :: chain[segment] > 0 -> segment = NONE; break
            :: else ->
                CLAIM(cut_twice, !cut[segment]);
                cut[segment] = true
            fi
        }
#ifdef UNPIN_BEFORE_CUT
        dead = segment;
        unpin(dead);
#endif
#ifndef NO_LAPPED
        atomic {
            WHEN_FREE(segment);
            if
            :: pins[segment] > 1 ->
                CLAIM(cut_twice, !is_lapped[segment]);
                is_lapped[segment] = true;
                lapped++
            :: else
            fi
        }
#endif
        d_step {
            after = next[segment];
            next[segment] = SEVERED
        }
#ifndef UNPIN_BEFORE_CUT
        dead = segment;
        unpin(dead);
#endif
        atomic {
            segment = after;
            after = NONE;
            if
            :: segment == NONE -> break
            :: else
            fi
        }
    od
}

/* The last user drops what the handle held. */
inline drop_user(segment, is_handle)
{
    atomic {
        users--;
        if
#ifdef DROP_AT_CLOSE
        :: is_handle -> segment = 0
#else
        :: users == 0 -> segment = 0
#endif
        :: else -> segment = NONE
        fi
    }
    if
    :: segment != NONE ->
        drop_ends(segment)
    :: else
    fi
}

inline drop_ends(segment)
{
    atomic {
        segment = current;
        current = NONE
    }
    drop_chain(segment);
    atomic {
        segment = oldest;
        oldest = NONE
    }
    drop_chain(segment)
}

/* -------------------------------------------------------------------------------------------------- the writer */

/* What holds the oldest back. */
inline look(segment, busy)
{
    busy = pins[segment] > 1;
#ifndef NO_CHAIN_LOOK
    if
    :: !busy -> busy = chain[segment] > 1
    :: else
    fi;
#endif
    if
    :: !busy -> busy = lapped > 0
    :: else
    fi;
    if
    :: busy -> busy = newest - life[segment] <= limit
    :: else
    fi
}

#define IS_SPARE(segment) (status[segment] == FREE)

proctype writer()
{
    byte taken = NONE, before = NONE, segment = NONE, after = NONE, dead = NONE;
    bool busy;

    do
    :: atomic {
            newest + 1 < ORDINALS ->
            if
            :: IS_SPARE(0) -> taken = 0
            :: !IS_SPARE(0) && IS_SPARE(1) -> taken = 1
            :: !IS_SPARE(0) && !IS_SPARE(1) && IS_SPARE(2) -> taken = 2
#if SEGMENTS > 3
            :: !IS_SPARE(0) && !IS_SPARE(1) && !IS_SPARE(2) && IS_SPARE(3) -> taken = 3
#endif
            :: else -> break /* no memory */
            fi;
            newest++;
            life[taken] = newest;
            next[taken] = NONE;
            cut[taken] = false;
            status[taken] = ALIVE;
            pins[taken] = 1;
            chain[taken] = 2;
            next[current] = taken
        }
        atomic {
            segment = current;
            current = taken;
            taken = NONE
        }
        drop_chain(segment);
        do
        :: oldest == current || newest - life[oldest] <= KEEP -> break
        :: else ->
            look(oldest, busy);
            if
            :: busy -> busy = false; break
            :: else
            fi;
            atomic {
                before = oldest;
                segment = next[before];
                CLAIM(no_such_count, chain[segment] > 0);
                chain[segment]++
            }
#ifdef LOOK_FIRST
            look(before, busy);
#endif
#ifdef SEVER_FIRST
            dead = segment;
            segment = before;
            before = dead;
            drop_chain(segment);
            segment = before;
#endif
            oldest = segment;
#if !defined(LOOK_FIRST) && !defined(SEVER_FIRST)
            look(before, busy);
#endif
            if
            :: busy ->
                atomic {
                    busy = false;
                    oldest = before;
                    before = NONE
                }
                drop_chain(segment);
                break
            :: else
            fi;
#ifndef SEVER_FIRST
            atomic {
                segment = before;
                before = NONE
            }
            drop_chain(segment)
#endif
        od
    :: newest + 1 == ORDINALS -> break
    od;
    ended = true;
    opening == 0;
    drop_user(segment, true);

    reading == 0;
    d_step {
        before = 0;
        do
        :: before < SEGMENTS ->
            CLAIM(leaked, status[before] == FREE && chain[before] == 0 && pins[before] == 0);
            before++
        :: else -> break
        od;
        CLAIM(lapped_stays, lapped == 0);
    }
}

/* -------------------------------------------------------------------------------------------------- the readers */

inline stand_right(me)
{
    CLAIM(wrong_item, status[segment] == ALIVE && life[segment] == ordinal)
}

/* Pins the oldest. */
#define GRAB_LAP(where, again, stands) skip

proctype reader(byte me)
{
    byte segment = NONE, to = NONE, after = NONE, dead = NONE, ordinal, sum;
    bool from_oldest, lagged;

    if
    :: LAPS(me) ->
#ifndef RAISED_LATE
        d_step {
            users++;
            limit = (limit < LIMIT_OF(me) -> LIMIT_OF(me) : limit)
        }
#else
        users++
#endif
    :: else
    fi;

grab:
    atomic {
        if
        :: to = oldest; from_oldest = true
        :: !lagged -> to = current; from_oldest = false
        fi;
        CLAIM_LAG(to != NONE)
    }
    atomic {
        if
#ifdef TAKE_FROM_ZERO
        :: !LAPS(me) -> chain[to]++
#else
        :: !LAPS(me) && chain[to] > 0 -> chain[to]++
#endif
#ifdef RELAXED_OPEN
        :: LAPS(me) && pins[to] > 0 && WHEN_FREE(to) -> reserved[to] = true
#else
        :: LAPS(me) && pins[to] > 0 && WHEN_FREE(to) -> pins[to]++
#endif
        :: (LAPS(me) && pins[to] == 0) || (!LAPS(me) && chain[to] == 0) -> to = NONE; goto grab
        fi
#ifdef RELAXED_OPEN
    }
    atomic {
        if
        :: LAPS(me) && to == (from_oldest -> oldest : current) -> goto halfway
        :: LAPS(me) && to != (from_oldest -> oldest : current) -> reserved[to] = false; pins[to]++; goto give_back
        :: else
        fi
    }
    if
    :: false ->
halfway:
        atomic { reserved[to] = false; pins[to]++; goto stands }
    :: else
    fi;
    atomic {
        skip
#endif
    }
    atomic {
        if
#ifndef NO_RECHECK
        :: to != (from_oldest -> oldest : current) -> goto give_back
        :: to == (from_oldest -> oldest : current) -> goto stands
#else
        :: goto stands
#endif
        fi
    }

give_back:
    if
    :: LAPS(me) -> unpin(to)
    :: else -> drop_chain(to)
    fi;
    goto grab;

stands:
#ifdef RAISED_LATE
    if
    :: LAPS(me) && limit < LIMIT_OF(me) -> limit = LIMIT_OF(me)
    :: else
    fi;
#endif
    atomic {
        CLAIM(wrong_item, status[to] == ALIVE && (!from_oldest || life[to] <= life[oldest] + 1));
        if
        :: !lagged ->
            segment = to;
            to = NONE;
            standing[me] = segment + 1;
            ordinal = life[segment];
            sum = ordinal;
            stand_right(me);
            sum++; /* read, or opened behind it */
            opening--;
            from_oldest = false;
            goto at_end
        :: else ->
            lagged = false;
            from_oldest = false;
            CLAIM(negative_miss, life[to] > ordinal);
            CLAIM_LAG(life[to] == ordinal + 1 || newest - (life[to] - 1) > LIMIT_OF(me));
            sum = sum + (life[to] - (ordinal + 1)) + 1;
            ordinal = life[to];
            goto leave_old
        fi
    }

leave_old: /* stands in `to`, and still counted in segment */
    atomic {
        standing[me] = to + 1;
        dead = segment;
        segment = to;
        to = NONE;
        stand_right(me)
    }
    if
    :: LAPS(me) -> unpin(dead)
    :: else -> to = dead; dead = NONE; drop_chain(to)
    fi;

at_end: /* all read that is in the segment */
    atomic {
        stand_right(me);
        if
        :: ordinal < newest && LAPS(me) -> goto cross_lap
        :: ordinal < newest && !LAPS(me) -> /* the link keeps it alive */
            to = next[segment];
            CLAIM(no_link, to < SEGMENTS);
            CLAIM(no_such_count, chain[to] > 0);
            chain[to]++;
            ordinal++;
            sum++;
            CLAIM(wrong_item, status[to] == ALIVE && life[to] == ordinal);
            goto leave_old
        :: ordinal == newest && ended -> CLAIM(miscounted, sum == newest + 1); goto leave
#ifdef EARLY
        :: goto leave
#else
        :: !LAPS(me) -> goto leave
#endif
        fi
    }

cross_lap:
    to = next[segment];
    if
    :: to == SEVERED -> goto cut_off
    :: else
    fi;
    atomic {
        if
#ifdef ADD_NOT_UNLESS_ZERO
        :: pins[to]++
#else
        :: pins[to] > 0 && WHEN_FREE(to) ->
#ifdef RELAXED_CROSS
            reserved[to] = true
#else
            pins[to]++
#endif
        :: pins[to] == 0 -> goto cut_off
#endif
        fi
    }
    atomic {
        if
#ifdef NO_RECHECK_CROSS
        :: to == to ->
#else
        :: next[segment] == to ->
#endif
            stand_right(me);
            ordinal++;
            sum++;
#ifdef RELAXED_CROSS
            goto halfway_over
#else
            CLAIM(wrong_item, status[to] == ALIVE && life[to] == ordinal);
            goto leave_old
#endif
#ifndef NO_RECHECK_CROSS
        :: else ->
#ifdef RELAXED_CROSS
            reserved[to] = false;
            pins[to]++
#endif
#endif
        fi
    }
    unpin(to);
cut_off:
    atomic {
        to = NONE;
        lagged = true;
        goto grab
    }
#ifdef RELAXED_CROSS
halfway_over:
    atomic {
        reserved[to] = false;
        pins[to]++;
        CLAIM(wrong_item, status[to] == ALIVE && life[to] == ordinal);
        goto leave_old
    }
#endif

leave:
    atomic {
        standing[me] = 0;
        ordinal = 0;
        sum = 0;
        dead = segment;
        segment = NONE
    }
    if
    :: LAPS(me) -> unpin(dead); drop_user(to, false)
    :: else -> to = dead; dead = NONE; drop_chain(to)
    fi;
    reading--
}

init {
    byte i;

    atomic {
        i = 0;
        do
        :: i < SEGMENTS -> next[i] = NONE; i++
        :: else -> break
        od;
        chain[0] = 2;
        pins[0] = 1;
        status[0] = ALIVE;
        i = 0;
        do
        :: i < READERS -> run reader(i); i++
        :: else -> break
        od;
        run writer();
        i = 0
    }
}
