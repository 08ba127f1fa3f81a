-- May a call be made now?
-- KEYS: pace (hash), flight (zset: ticket -> when its place is free again, ms), room (zset: lead -> its turn),
--       leaving (zset: lead -> when it gives up), one gate (hash) a scope of the lead's
-- ARGV: now ms (0: the server's), ticket, lead, sells ('1' | '0'), budget ms, patience ms, ceiling calls/s (0: none)
-- Returns {'go', now, then place and code of each gate that is probed} | {'closed', place, code, reason, until}
--       | {'wait', ms, code, reason, calls/s that are kept to, or ''}
--
-- All times are the server's. Where its clock is set back, what was noted by the old one is soon taken for void.
local now = tonumber(ARGV[1])
if now == 0 then
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end
local ticket, lead, sells = ARGV[2], ARGV[3], ARGV[4] == '1'
local lease, patience = tonumber(ARGV[5]), tonumber(ARGV[6])

local function leave_the_room()
  redis.call('ZREM', KEYS[3], lead)
  redis.call('ZREM', KEYS[4], lead)
end

-- Gates that stand for the day, or until somebody opens them. A closed one is passed by one lead at a time where it is
-- to be tried, and that one must pass all others. If it has to wait for its call, the turn is kept for it.
local probes = {}
local some_are_closed = #KEYS >= 5 and redis.call('EXISTS', unpack(KEYS, 5)) > 0
for place = 5, some_are_closed and #KEYS or 0 do
  local gate = redis.call('HMGET', KEYS[place], 'since', 'until', 'code', 'reason', 'probe', 'prober', 'kept')
  local closes = tonumber(gate[2]) or 0
  if gate[1] and (closes == 0 or closes > now) then
    local probe = tonumber(gate[5])
    local is_anothers = gate[6] and gate[6] ~= lead and (tonumber(gate[7]) or 0) > now
    if probe and probe <= now and not is_anothers then
      probes[#probes + 1] = {place = place, code = gate[3] or ''}
    else
      redis.call('HINCRBY', KEYS[place], 'turned_away', 1)
      leave_the_room()
      return {'closed', place - 4, gate[3] or '', gate[4] or '', tostring(closes)}
    end
  end
end

local function wait_for(ms, code, reason, rate)
  for _, probe in ipairs(probes) do
    redis.call('HSET', KEYS[probe.place], 'prober', lead, 'kept', now + ms + PROBER_LATE_MS)
  end
  return {'wait', tostring(ms), code, reason, rate}
end

local pace = redis.call('HMGET', KEYS[1], 'hold', 'places', 'well', 'width', 'code', 'reason', 'peak', 'rate')
local code, reason = pace[5] or '', pace[6] or ''
local hold = tonumber(pace[1]) or 0
if hold > now and hold <= now + LONGEST_HOLD_MS then
  return wait_for(hold - now, code, reason, '')
end

-- How many calls may be in flight. One that tries after a hold; a few at a buyer that has not answered well of late, and
-- not for longer than a moment, lest one slow answer keep all others waiting; else as many as have lately gone well,
-- and some more (heard.lua). If the buyer is under maintenance, or limits us, a burst of all workers' threads must not
-- be what tells us.
local places, is_cold = tonumber(pace[2]), false
if not places then
  local well = tonumber(pace[3])
  if well and well + IDLE_MS > now then
    places = tonumber(pace[4]) or NARROW_PLACES
    if places >= WIDE_PLACES then places = math.huge end
  else
    places = COLD_PLACES
    lease = COLD_MS
    is_cold = true
  end
end
local flying = redis.call('ZCOUNT', KEYS[2], '(' .. now, '(' .. (now + LONGEST_CALL_MS))
if flying < redis.call('ZCARD', KEYS[2]) then
  redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now)
  redis.call('ZREMRANGEBYSCORE', KEYS[2], now + LONGEST_CALL_MS, '+inf')
end
if flying >= places then
  -- The more have been turned away since the last answer, the later they come again: a thousand leads that wait for one
  -- call must not keep the broker busy with their asking.
  local turned = redis.call('HINCRBY', KEYS[1], 'turned', 1)
  -- Of the few that try a buyer there are never enough: that says nothing of how wide the way should be.
  if not is_cold then redis.call('HSET', KEYS[1], 'full', now) end
  local poll = math.min(LONGEST_POLL_MS, math.floor(POLL_MS * (1 + turned / 64)))
  return wait_for(poll, code, reason, '')
end

-- How many calls a second, where a limit is known: a spaced stream, in which a sale goes before a ping (it may take its
-- moment some calls ahead, and pings then wait the longer), and leads that have waited go before those that come.
local ceiling = tonumber(ARGV[7])
local rate = (pace[8] or ceiling > 0) and rate_now(KEYS[1], now, ceiling)
if rate then
  local apart = 1000 / rate
  local flow = redis.call('HMGET', KEYS[1], 'next', 'share', 'last')
  local free = math.max(tonumber(flow[1]) or 0, now - SLACK_CALLS * apart)
  free = math.min(free, now + (AHEAD_CALLS + 2) * apart)
  local share = tonumber(flow[2]) or 0
  local gap = math.min(tonumber(flow[3]) or 0, now) + CLOSEST * apart - now -- some limiters count no burst at all
  local wait = 0
  if sells then
    wait = math.max(free - AHEAD_CALLS * apart - now, gap)
  else
    for _, member in ipairs(redis.call('ZRANGEBYSCORE', KEYS[4], '-inf', now)) do
      redis.call('ZREM', KEYS[3], member)
      redis.call('ZREM', KEYS[4], member)
    end
    local before = redis.call('ZRANK', KEYS[3], lead)
    local waits = before
    if not before then before = redis.call('ZCARD', KEYS[3]) end
    wait = math.max(free - now, gap)
    if not waits and before > 0 and wait > -apart then
      wait = math.max(wait, 1) -- what nobody has come for in a whole turn is anybody's
    end
    if wait > 0 then
      wait = wait + before * apart / math.max(1 - share, 0.1)
      if wait > patience / 2 then
        -- Its turn would come too late for a post, and those who can be served must not wait behind it. It asks again
        -- when half of them have gone.
        wait = math.min(math.max(wait / 2, 2000), patience)
        leave_the_room()
      elseif not waits then
        redis.call('ZADD', KEYS[3], redis.call('HINCRBY', KEYS[1], 'turn', 1), lead)
        redis.call('ZADD', KEYS[4], now + patience, lead)
        redis.call('PEXPIRE', KEYS[3], ROOM_MS)
        redis.call('PEXPIRE', KEYS[4], ROOM_MS)
      end
    end
  end
  if wait > 0 then
    -- A burst waits for moments at any pace: only who waits for longer says that this one was tried (pace.lua).
    if wait >= LIMITED_MS then redis.call('HSET', KEYS[1], 'limited', now) end
    return wait_for(math.ceil(wait), code, reason, string.format('%.1f', rate))
  end
  redis.call('HSET', KEYS[1], 'next', string.format('%.3f', free + apart),
    'share', string.format('%.4f', share + 0.02 * ((sells and 1 or 0) - share)), 'last', now)
  if not sells then leave_the_room() end
end

local go = {'go', tostring(now)}
for _, probe in ipairs(probes) do
  redis.call('HSET', KEYS[probe.place], 'probe', now + tonumber(ARGV[5]))
  redis.call('HDEL', KEYS[probe.place], 'prober', 'kept')
  go[#go + 1] = probe.place - 4
  go[#go + 1] = probe.code
end
redis.call('ZADD', KEYS[2], now + lease, ticket)
redis.call('PEXPIRE', KEYS[2], lease + 60000)
if flying + 1 > (tonumber(pace[7]) or 0) then redis.call('HSET', KEYS[1], 'peak', flying + 1) end
return go
