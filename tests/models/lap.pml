/*
 * Lap: cursors with and without a limit on one buffer. One writer rolls through recycled segments and lets `oldest` follow;
 * readers without a limit are counted in `chain`, readers that may be lapped in `pins`.
 *
 * What is modelled
 *      the counts    chain and pins; dropping chain along the links: where it falls to 0, look at the pins, mark the segment
 *                    as lapped if somebody is inside, cut, unpin, go on. A death takes the mark back
 *      oldest        moves at rolls only, when pins, chain and `lapped` say that it holds nobody back, or when the largest
 *                    limit is exceeded: count in the next, store, look again, go back or let go
 *      opening       at next and at oldest, of both kinds: count, look again. The largest limit is raised before the pin
 *      crossing      of both kinds; and what a lap reader does that finds its segment cut
 *      users         the handle and the lap cursors: the last one drops current and oldest
 *
 * It stands for what comes on top of ae_chain_take(), ae_chain_drop(), roll(), advance_oldest() and cross(). The edges below
 * it (E1, E4 to E9) are in open.pml; so here a segment is taken, born and published in one step, and counting a death with
 * what it frees is one step. Readers before CHAINS have no limit; the others have LIMIT, or LIMIT_2 from the second on. Limits
 * are in segments, and a segment holds one item. A reader without a limit may leave anywhere, with -DEARLY each may. The
 * writer ends when ORDINALS are published, or where no memory is free.
 *
 * The machine is sequentially consistent, and where a weaker order is looked at it is written out. A relaxed pin has two
 * halves: it reads the count, then the load behind it comes, then it writes the count; other read-modify-writes of that
 * count wait meanwhile (they would take the reservation away), loads see the old one. A relaxed load of the limit gives the
 * old limit for as long as the writer has not met a pin of somebody who raised it.
 *
 * What is claimed
 *      wrong_item            who stands in a segment is in the life that follows on what it has read
 *      wrong_place           who opens at oldest stands in what is the oldest, or was
 *      lagged_within_limit   who is told that it lagged has missed nothing of the newest LIMIT segments, nor found the buffer
 *                            gone
 *      holds_too_much        after a roll the oldest is inside the largest limit, or inside KEEP
 *      negative_miss         a lapped reader goes on ahead of where it was
 *      miscounted            from where it opened, what it was handed and what it missed is all that was published
 *      cut_twice             chain falls to 0 once in a life
 *      oldest_dangles        current and oldest are alive
 *      no_such_count, no_link, freed_twice, freed_under_holder      as in open.pml
 *      lapped_stays, leaked  at the end nothing is marked, and all segments are free
 *
 * What is left out: splices, but for what OVER_SPLICE shows; targets and kinds of links; cursors that wait or refuse; a
 * reader with a limit below the largest that moves itself forward, which is crossing without reading; a retention in bytes
 * (KEEP is in segments); several items in a segment; the 4 steps of oldest per roll (fewer are possible here); events; E11.
 *
 * Sizes: SEGMENTS, ORDINALS, CHAINS, LAPPERS, LIMIT, LIMIT_2, KEEP. -DORDERED=1: readers of a kind open one after another;
 * -DORDERED=2: all do.
 *
 * Wrong variants, one -D each; tests/models/run says which claim each must break:
 *      TAKE_FROM_ZERO      the opener without a limit adds, whether or not chain is 0
 *      UNPIN_BEFORE_CUT    the common pin is dropped before the link is cut
 *      NO_RECHECK          the opener does not look at current or oldest again
 *      NO_RECHECK_CROSS    a lap reader that crosses does not look at the link again
 *      ADD_CROSS           ... and adds to pins, whether or not they are 0
 *      NO_CHAIN_LOOK       oldest moves on without a look at chain
 *      NO_LAPPED           nothing is marked as lapped
 *      PLAIN_LOOK          a load decides about the mark, not a read-modify-write (shows with relaxed pins)
 *      LEAVE_FIRST         a lapped reader leaves its segment before it stands in the oldest
 *      DROP_AT_CLOSE       the handle drops current and oldest, whoever is inside
 *      RAISED_LATE         the limit is raised after the pin
 *      SEVER_FIRST         the old oldest is let go before the new one is stored
 *      RELAXED_LIMIT       the writer's load of the limit is relaxed: right with the second look, wrong without it, that is
 *      LOOK_FIRST          ... if the second look comes before the store,
 *      NO_SECOND_LOOK      ... if there is none and oldest never goes back,
 *      RELAXED_OPEN        ... if the opener's pin is relaxed, so that the look misses it
 *      OVER_SPLICE         a lap reader comes over a splice that was made from a cursor without a limit and goes with its
 *                          buffer, and the splice raised the limit, but not before that cursor was opened (RAISED_BEFORE)
 *
 * No mistakes, as far as this model sees: with a limit that is raised and loaded sequentially consistent, NO_SECOND_LOOK,
 * LOOK_FIRST and relaxed pins, and even NO_PINS_LOOK (oldest does not care for the pins, so readers are cut where they stand,
 * miss nothing and find the oldest next): the mark at the cut is what keeps the oldest within one step of a lap reader.
 * RELAXED_CROSS: a lap reader that crosses may pin with acquire.
 *
 * MAY_LAG and MAY_DANGLE leave lagged_within_limit and oldest_dangles out, for what comes behind them.
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
#ifndef ORDERED
#define ORDERED 0
#endif

#define READERS (CHAINS + LAPPERS)
#define LAPS(me) ((me) >= CHAINS)
#ifdef OVER_SPLICE
#define PINS_FIRST(me) (LAPS(me) && lagged)
#else
#define PINS_FIRST(me) LAPS(me)
#endif
#define LIMIT_OF(me) ((me) > CHAINS -> LIMIT_2 : LIMIT)

#define NONE 254
#define SEVERED 255

#define FREE 0
#define ALIVE 1

byte chain[SEGMENTS], pins[SEGMENTS];
byte next[SEGMENTS];
bool is_lapped[SEGMENTS];
bool fell[SEGMENTS]; /* chain has been 0 in this life */
byte status[SEGMENTS];
byte life[SEGMENTS]; /* the ordinal that the memory holds */

byte current, oldest; /* segments */
byte lapped, limit, users = 1;
byte newest; /* the last ordinal that a ROLL has published */
bool ended;

byte standing[READERS]; /* segment + 1 */
byte opening = READERS, reading = READERS;
#if ORDERED > 0
bool opened[READERS];
#endif

/* The claims. */
bool wrong_item, wrong_place, lagged_within_limit, holds_too_much, negative_miss, miscounted, cut_twice, oldest_dangles,
    no_such_count, no_link, freed_twice, freed_under_holder, lapped_stays, leaked;

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

/* Relaxed pins: somebody is between the two halves. */
#if defined(RELAXED_OPEN) || defined(RELAXED_CROSS)
bool half[SEGMENTS];
#define WHOLE(segment) !half[segment]
#else
#define WHOLE(segment) true
#endif

/* A relaxed limit: the writer may take an old one for new until it meets the pin of somebody who raised it before. */
#ifdef RELAXED_LIMIT
byte knows_limit, carries_limit[SEGMENTS];
#define CARRY_LIMIT(segment) \
    carries_limit[segment] = (carries_limit[segment] > LIMIT_OF(me) -> carries_limit[segment] : LIMIT_OF(me))
#define LEARN_LIMIT(segment) \
    knows_limit = (_pid == READERS + 1 && carries_limit[segment] > knows_limit -> carries_limit[segment] : knows_limit)
#else
#define CARRY_LIMIT(segment) skip
#define LEARN_LIMIT(segment) skip
#endif

/* --------------------------------------------------------------------------------------------------- the counts */

#define STANDS(me, segment) (standing[me] == (segment) + 1)

/* Leaves `segment` at NONE. */
inline unpin(segment)
{
    atomic {
        WHOLE(segment);
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

/* Drops one count of `segment`, and goes on along the links as far as chains fall to 0. Leaves all three at NONE. */
inline drop_chain(segment, after, dead)
{
    do
    :: atomic {
            segment != NONE ->
            CLAIM(no_such_count, chain[segment] > 0);
            chain[segment]--;
            if
            :: chain[segment] > 0 -> segment = NONE; break
            :: else ->
                CLAIM(cut_twice, !fell[segment]);
                fell[segment] = true
            fi
        }
#ifdef UNPIN_BEFORE_CUT
        dead = segment;
        unpin(dead);
#endif
#ifndef NO_LAPPED
        atomic {
#ifndef PLAIN_LOOK
            WHOLE(segment);
#endif
            if
            :: pins[segment] > 1 -> is_lapped[segment] = true; lapped++
            :: else
            fi;
            LEARN_LIMIT(segment)
        }
#endif
        d_step {
            after = next[segment]; /* the link's count is ours */
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

inline drop_user(segment, after, dead, is_handle)
{
    atomic {
        users--;
        if
#ifdef DROP_AT_CLOSE
        :: is_handle ->
#else
        :: users == 0 ->
#endif
            segment = current;
            current = NONE
        :: else
        fi
    }
    if
    :: segment != NONE ->
        drop_chain(segment, after, dead);
        atomic {
            segment = oldest;
            oldest = NONE
        }
        drop_chain(segment, after, dead)
    :: else
    fi
}

/* -------------------------------------------------------------------------------------------------- the writer */

/* Whether the oldest has to stay. */
inline look(segment, stays)
{
#ifndef NO_PINS_LOOK
    d_step {
        stays = pins[segment] > 1;
        LEARN_LIMIT(segment)
    }
#endif
#ifndef NO_CHAIN_LOOK
    if
    :: !stays -> stays = chain[segment] > 1
    :: else
    fi;
#endif
    if
    :: !stays -> stays = lapped > 0
    :: else
    fi;
    if /* the limit comes last */
#ifdef RELAXED_LIMIT
    :: stays -> knows_limit = limit; stays = newest - life[segment] <= knows_limit
    :: stays -> stays = newest - life[segment] <= knows_limit
#else
    :: stays -> stays = newest - life[segment] <= limit
#endif
    :: else
    fi
}

#define IS_SPARE(segment) (status[segment] == FREE)

proctype writer()
{
    byte segment = NONE, from = NONE, after = NONE, dead = NONE;
    bool stays;

    do
    :: atomic { /* append_in_next(), roll() */
            newest + 1 < ORDINALS ->
            if
            :: IS_SPARE(0) -> segment = 0
            :: !IS_SPARE(0) && IS_SPARE(1) -> segment = 1
            :: !IS_SPARE(0) && !IS_SPARE(1) && IS_SPARE(2) -> segment = 2
#if SEGMENTS > 3
            :: !IS_SPARE(0) && !IS_SPARE(1) && !IS_SPARE(2) && IS_SPARE(3) -> segment = 3
#endif
#if SEGMENTS > 4
            :: !IS_SPARE(0) && !IS_SPARE(1) && !IS_SPARE(2) && !IS_SPARE(3) && IS_SPARE(4) -> segment = 4
#endif
            :: else -> break
            fi;
            newest++;
            life[segment] = newest;
            next[segment] = NONE;
            fell[segment] = false;
            status[segment] = ALIVE;
            pins[segment] = 1;
#ifdef RELAXED_LIMIT
            carries_limit[segment] = 0;
#endif
            chain[segment] = 2; /* the link, and current */
            next[current] = segment
        }
        atomic {
            from = current;
            current = segment;
            segment = from;
            from = NONE
        }
        drop_chain(segment, after, dead); /* before the look at its chain */

        do /* advance_oldest() */
        :: oldest != current && newest - life[oldest] > KEEP ->
            look(oldest, stays);
            if
            :: stays -> stays = false; break
            :: else
            fi;
            atomic {
                from = oldest;
                segment = next[from];
                CLAIM(no_such_count, chain[segment] > 0);
                chain[segment]++
            }
#ifdef LOOK_FIRST
            look(from, stays);
#endif
#ifdef SEVER_FIRST
            drop_chain(from, after, dead);
#endif
            oldest = segment;
#if !defined(LOOK_FIRST) && !defined(SEVER_FIRST) && !defined(NO_SECOND_LOOK)
            look(from, stays);
#endif
            if
            :: stays ->
                atomic {
                    stays = false;
                    oldest = from;
                    from = NONE
                }
                drop_chain(segment, after, dead);
                break
            :: else
            fi;
#ifdef SEVER_FIRST
            segment = NONE
#else
            atomic {
                segment = from;
                from = NONE
            }
            drop_chain(segment, after, dead)
#endif
        :: else -> break
        od;
        CLAIM(holds_too_much, newest - life[oldest] <= (KEEP > limit -> KEEP : limit))
    :: newest + 1 == ORDINALS -> break
    od;
    ended = true;
    opening == 0;
    drop_user(segment, after, dead, true);

    reading == 0;
    d_step {
        from = 0;
        do
        :: from < SEGMENTS ->
            CLAIM(leaked, status[from] == FREE && chain[from] == 0 && pins[from] == 0);
            from++
        :: else -> break
        od;
        from = NONE;
        CLAIM(lapped_stays, lapped == 0)
    }
}

/* ------------------------------------------------------------------------------------------------- the readers */

#define END (from_oldest -> oldest : current)

/* What must hold whenever a reader looks at the segment in which it stands. */
inline stand_right()
{
    CLAIM(wrong_item, status[segment] == ALIVE && life[segment] == ordinal)
}

inline raise()
{
    if
    :: LAPS(me) && limit < LIMIT_OF(me) -> limit = LIMIT_OF(me)
    :: else
    fi
}

/* The second half of a relaxed pin. */
inline write_pin()
{
    half[to] = false;
    pins[to]++;
    CARRY_LIMIT(to)
}

/* It has read all of a segment as soon as it stands in one, and goes on when the next one is published. */
proctype reader(byte me)
{
    byte segment = NONE, to = NONE, after = NONE, dead = NONE;
    byte ordinal; /* of the segment */
    byte sum;     /* where it has opened + what it was handed + what it missed */
    bool from_oldest, lagged;
#ifdef RELAXED_OPEN
    bool same;
#endif

    atomic {
#if ORDERED == 1
        me == 0 || me == CHAINS || opened[me - (me > 0)];
#elif ORDERED == 2
        me == 0 || opened[me - (me > 0)];
#endif
#if !defined(RAISED_LATE) && (!defined(OVER_SPLICE) || defined(RAISED_BEFORE))
        raise();
#endif
        users = users + LAPS(me)
    }

grab:
    atomic {
        if
        :: to = oldest; from_oldest = true
        :: !lagged -> to = current; from_oldest = false
        fi;
        CLAIM_LAG(to != NONE) /* gone */
    }
    atomic {
        if
#ifdef TAKE_FROM_ZERO
        :: !PINS_FIRST(me) ->
            chain[to]++
#else
        :: !PINS_FIRST(me) && chain[to] > 0 ->
            chain[to]++
        :: !PINS_FIRST(me) && chain[to] == 0 ->
            to = NONE;
            goto grab
#endif
        :: PINS_FIRST(me) && pins[to] > 0 && WHOLE(to) ->
#ifdef RELAXED_OPEN
            half[to] = true
#else
            pins[to]++;
            CARRY_LIMIT(to)
#endif
        :: PINS_FIRST(me) && pins[to] == 0 ->
            to = NONE;
            goto grab
        fi
    }
#ifdef RELAXED_OPEN
    same = to == END;
    atomic {
        if
        :: PINS_FIRST(me) -> write_pin()
        :: else
        fi;
        if
        :: same -> same = false; goto stands
        :: else -> goto give_back
        fi
    }
#else
    atomic {
#ifdef NO_RECHECK
        goto stands;
#endif
        if
        :: to == END -> goto stands
        :: else -> goto give_back
        fi
    }
#endif

give_back:
    if
    :: PINS_FIRST(me) -> unpin(to)
    :: else -> drop_chain(to, after, dead)
    fi;
    goto grab;

stands:
#ifdef RAISED_LATE
    raise();
#endif
#ifdef OVER_SPLICE
    if
    :: LAPS(me) && !lagged ->
        raise(); /* the splice does, and publishes its link, which holds `to` */
        atomic {
            pins[to]++;
            segment = to
        }
        drop_chain(segment, after, dead) /* the link goes with its buffer */
    :: else
    fi;
#endif
    atomic {
        CLAIM(wrong_place, status[to] == ALIVE && (!from_oldest || life[to] <= life[oldest] + 1));
        from_oldest = false;
        if
        :: lagged ->
            lagged = false;
            CLAIM(negative_miss, life[to] > ordinal);
            CLAIM_LAG(life[to] == ordinal + 1 || newest - (life[to] - 1) > LIMIT_OF(me));
            sum = sum + life[to] - ordinal; /* missed, and the item here */
            ordinal = life[to];
            goto leave_old
        :: else ->
            segment = to;
            to = NONE;
            standing[me] = segment + 1;
            ordinal = life[segment];
            sum = ordinal + 1;
            opening--;
#if ORDERED > 0
            opened[me] = true;
#endif
            goto goes_on
        fi
    }

leave_old: /* counted in `to`, and still in `segment` */
    atomic {
        dead = segment;
        segment = to;
        to = NONE;
        standing[me] = segment + 1;
        stand_right()
    }
left:
    if
    :: dead == NONE
    :: dead != NONE && LAPS(me) -> unpin(dead)
    :: dead != NONE && !LAPS(me) -> to = dead; dead = NONE; drop_chain(to, after, dead)
    fi;

goes_on:
    atomic {
        stand_right();
        if
        :: ordinal < newest && !LAPS(me) -> /* the link keeps the next one alive */
            to = next[segment];
            CLAIM(no_link, to < SEGMENTS);
            CLAIM(no_such_count, chain[to] > 0);
            chain[to]++;
            ordinal++;
            sum++;
            goto leave_old
        :: ordinal < newest && LAPS(me) ->
            to = next[segment];
            if
            :: to == SEVERED -> goto cut_off
            :: else -> goto cross
            fi
        :: ordinal == newest && ended ->
            CLAIM(miscounted, sum == newest + 1);
            goto leave
#ifdef EARLY
        :: goto leave
#else
        :: !LAPS(me) -> goto leave
#endif
        fi
    }

cross:
    atomic {
        if
#ifdef ADD_CROSS
        :: pins[to]++
#else
        :: pins[to] > 0 && WHOLE(to) ->
#ifdef RELAXED_CROSS
            half[to] = true
#else
            pins[to]++;
            CARRY_LIMIT(to)
#endif
        :: pins[to] == 0 -> goto cut_off
#endif
        fi
    }
    atomic {
        if
#if defined(NO_RECHECK_CROSS) || defined(ADD_CROSS)
        :: true ->
#else
        :: next[segment] == to ->
#endif
            ordinal++;
            sum++;
#ifdef RELAXED_CROSS
            goto crossed
#else
            goto leave_old
#endif
#if !defined(NO_RECHECK_CROSS) && !defined(ADD_CROSS)
        :: else
#endif
        fi
    }
#ifdef RELAXED_CROSS
    atomic { half[to] = false; pins[to]++ }
#endif
    unpin(to);

cut_off:
    atomic {
        to = NONE;
        lagged = true;
#ifdef LEAVE_FIRST
        standing[me] = 0;
        dead = segment;
        segment = NONE
    }
    unpin(dead);
    atomic {
#endif
        goto grab
    }

#ifdef RELAXED_CROSS
crossed:
    atomic { write_pin(); goto leave_old }
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
    :: LAPS(me) -> unpin(dead); drop_user(to, after, dead, false)
    :: else -> to = dead; dead = NONE; drop_chain(to, after, dead)
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
        chain[0] = 2; /* aether_buffer_create(): current and oldest */
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
