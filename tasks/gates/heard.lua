-- What a call brought, or several calls that went well.
-- KEYS: pace (hash), flight (zset)
-- ARGV: now ms (0: the server's), heard (well | wait | slow | nothing | garbled | unasked), code, reason, hold ms by
--       growth step 1..n as "a,b,c", retry-after ms (0: none), ceiling calls/s (0: none), then of each call its ticket
--       and when it began (ms)
-- Returns {'closed', hold until ms, code, reason} | {'opened', since ms} | {''}
local now = tonumber(ARGV[1])
if now == 0 then
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end
local heard, code, reason = ARGV[2], ARGV[3], ARGV[4]
local calls = (#ARGV - 7) / 2
local flew = {} -- 1 where the call stood in flight, else 0
for call = 1, calls do flew[call] = redis.call('ZREM', KEYS[2], ARGV[6 + 2 * call]) end
local began = tonumber(ARGV[9])
redis.call('HDEL', KEYS[1], 'turned')

if heard == 'unasked' then
  return {''}
end

local pace = redis.call('HMGET', KEYS[1], 'hold', 'step', 'since', 'well', 'held_by', 'vain_calls', 'whim')
local hold, held, last = tonumber(pace[1]) or 0, tonumber(pace[2]) or 0, tonumber(pace[4]) or 0

-- The most that it has given in one second of the last minute.
local function best_lately()
  local best = redis.call('HMGET', KEYS[1], 'best', 'best_at')
  local age_s = now / 1000 - (tonumber(best[2]) or 0)
  return age_s >= 0 and age_s < BEST_S and tonumber(best[1]) or 0
end

local function keep_the_best(second, count)
  if count >= best_lately() then redis.call('HSET', KEYS[1], 'best', count, 'best_at', second) end
end

-- How many answers the buyer has given in each of the last seconds: what it takes, when it begins to refuse.
local function count_them()
  local second = math.floor(now / 1000)
  local counts = redis.call('HMGET', KEYS[1], 'second', 'n0', 'n1', 'n2')
  local past = second - (tonumber(counts[1]) or 0)
  local n = {tonumber(counts[2]) or 0, tonumber(counts[3]) or 0, tonumber(counts[4]) or 0}
  if past == 1 then keep_the_best(second - 1, n[1]) end
  if past < 0 or past > 2 then
    n = {0, 0, 0}
    redis.call('HSET', KEYS[1], 'counted_from', now)
  else
    for _ = 1, past do n = {0, n[1], n[2]} end
  end
  redis.call('HSET', KEYS[1], 'second', second, 'n0', n[1] + calls, 'n1', n[2], 'n2', n[3])
end

local function taken_a_second()
  local second = math.floor(now / 1000)
  local counts = redis.call('HMGET', KEYS[1], 'second', 'n0', 'n1', 'n2', 'counted_from')
  local past = second - (tonumber(counts[1]) or 0)
  if past < 0 or past > 2 then return 0, 0 end
  local n = {tonumber(counts[2]) or 0, tonumber(counts[3]) or 0, tonumber(counts[4]) or 0}
  for _ = 1, past do n = {0, n[1], n[2]} end
  local counted_s = math.min(math.max((now - (tonumber(counts[5]) or now)) / 1000, 0.5), 2)
  return (n[1] + n[2] + n[3] * (1 - (now / 1000 - second))) / counted_s, n[1] + n[2] + n[3]
end

local growth = {}
for ms in string.gmatch(ARGV[5], '%d+') do growth[#growth + 1] = tonumber(ms) end
if hold > now + LONGEST_HOLD_MS then hold = 0 end -- the clock was set back

if heard == 'garbled' then
  -- It ends a silence. Of maintenance it says nothing, whose page it may be: that goes on, and its holds grow.
  redis.call('HSET', KEYS[1], 'silent', 0)
  if held > 0 and pace[5] ~= 'nothing' then
    if hold <= now then
      redis.call('HSET', KEYS[1], 'hold', now + growth[math.min(held + 1, #growth)], 'step', held + 1)
    end
    return {''}
  end
elseif heard == 'well' then
  redis.call('HSET', KEYS[1], 'well', now, 'silent', 0)
  count_them()
end

-- Of a buyer that may refuse for other reasons than the pace: how many calls it refuses of how many, since slower ones
-- began to be in vain, and on trial, where those of long ago count little.
local function count_refusals()
  local bad = heard == 'slow' and 1 or 0
  if pace[6] then
    redis.call('HINCRBY', KEYS[1], 'vain_calls', calls)
    redis.call('HINCRBY', KEYS[1], 'vain_bad', bad)
  end
  if pace[7] then
    local trial = redis.call('HMGET', KEYS[1], 'trial_calls', 'trial_bad')
    local all, refused = tonumber(trial[1]), tonumber(trial[2])
    for _ = 1, calls do
      all = tonumber(string.format('%.4f', all * TRIAL_MEMORY + 1))
      refused = tonumber(string.format('%.4f', refused * TRIAL_MEMORY + bad))
    end
    redis.call('HSET', KEYS[1], 'trial_calls', all, 'trial_bad', refused)
  end
end

-- Whether it refuses for other reasons than the pace, as far as is known: then a refusal slows nobody but its own lead.
local function is_whim()
  if not pace[7] then return false end
  local trial = redis.call('HMGET', KEYS[1], 'trial_calls', 'trial_bad', 'trial_share', 'trial_over')
  local all, refused, share = tonumber(trial[1]), tonumber(trial[2]), tonumber(trial[3])
  local ends = tonumber(pace[7])
  local is_over = ends <= now or ends > now + WHIM_MS
  local is_limit = refused > TRIAL_SLACK + math.min(2 * share, TRIAL_MOST) * all
  if is_over or is_limit then
    redis.call('HDEL', KEYS[1], 'whim', 'trial_calls', 'trial_bad', 'trial_share', 'trial_over')
    if not is_over then redis.call('HSET', KEYS[1], 'no_whim', now) end
    return false
  end
  if all >= TRIAL_CALLS and not trial[4] then
    redis.call('HSET', KEYS[1], 'trial_share', string.format('%.4f', (refused + 1) / all), 'trial_over', 1)
  end
  redis.call('HSET', KEYS[1], 'whim', now + WHIM_MS)
  return true
end

-- Whether a slower pace has been in vain for long enough that calls go freely on trial.
local function was_in_vain(before)
  local known = redis.call('HMGET', KEYS[1], 'limit', 'vain_calls', 'vain_bad', 'vain_all', 'no_whim')
  local limit, lately, all = tonumber(known[1]), tonumber(known[2]), tonumber(known[4]) or 0
  if not (before and limit and lately) or before > limit or lately > VAIN_CALLS then
    redis.call('HDEL', KEYS[1], 'vain', 'vain_all', 'vain_bad')
    return false
  end
  local vain = redis.call('HINCRBY', KEYS[1], 'vain', 1)
  redis.call('HSET', KEYS[1], 'vain_all', all + lately)
  local failed = tonumber(known[5]) or 0
  if vain < VAIN_CUTS or (failed <= now and now < failed + NO_WHIM_MS) then return false end
  redis.call('HSET', KEYS[1], 'whim', now + WHIM_MS, 'trial_calls', 0, 'trial_bad', 0,
    'trial_share', string.format('%.4f', math.min(tonumber(known[3]) / (all + lately), 1)))
  redis.call('HDEL', KEYS[1], 'vain', 'vain_all', 'vain_bad', 'vain_calls', 'limit', 'hard')
  forget_the_pace(KEYS[1])
  return true
end

if heard == 'well' or heard == 'slow' then count_refusals() end

-- As in TCP's slow start: the way widens by each good answer while half of it is in use by others, which may be waiting
-- for slow answers, or calls are turned away from it; and it narrows by a half each second in which not a quarter of it is
-- used. Of several answers from `first` on each counts as if it had come alone, and the calls behind it still flew.
-- `last_well`: when the buyer last answered well before them.
local function widen(first, last_well)
  local way = redis.call('HMGET', KEYS[1], 'width', 'full', 'peak', 'looked')
  local width, looked = tonumber(way[1]) or NARROW_PLACES, tonumber(way[4]) or 0
  local is_full = (tonumber(way[2]) or 0) + 250 > now
  local flying = redis.call('ZCARD', KEYS[2])
  for call = first, calls do flying = flying + flew[call] end
  for call = first, calls do
    flying = flying - flew[call]
    if last_well + IDLE_MS <= now then
      width = NARROW_PLACES
    elseif is_full or flying * 2 >= width then
      width = math.min(width + 1, WIDE_PLACES)
    elseif looked + 1000 <= now then
      if (tonumber(way[3]) or 0) * 4 < width then width = math.max(math.ceil(width / 2), NARROW_PLACES) end
      redis.call('HSET', KEYS[1], 'peak', 0, 'looked', now)
      looked = now
    end
    if heard == 'well' then last_well = now end
  end
  if tostring(width) ~= way[1] then redis.call('HSET', KEYS[1], 'width', width) end
end

if heard == 'well' or heard == 'garbled' then
  if held == 0 then
    widen(1, last)
    return {''}
  end
  local since = tonumber(pace[3]) or 0
  if since > now then since = 0 end -- the clock was set back
  for call = 1, calls do
    -- An answer to a call that began before the hold says nothing of now.
    if hold <= now and tonumber(ARGV[7 + 2 * call]) >= since then
      redis.call('HDEL', KEYS[1], 'hold', 'held_by', 'step', 'places', 'since', 'code', 'reason')
      -- After a rate limit the pace alone says how many; after all else the way widens with each good answer.
      redis.call('HSET', KEYS[1], 'width', pace[5] == 'slow' and WIDE_PLACES or NARROW_PLACES)
      if pace[5] ~= 'slow' then redis.call('HSET', KEYS[1], 'opened', now) end
      if call < calls then widen(call + 1, now) end
      return {'opened', pace[3] or tostring(now)}
    end
  end
  return {''}
end

if heard == 'nothing' then
  local silent = redis.call('HINCRBY', KEYS[1], 'silent', 1)
  local silence = silent >= LONG_SILENT_RUN or (silent >= SILENT_RUN and last + SILENT_MS <= now)
  if held == 0 and not silence then
    return {''}
  end
  code, reason = '', silent .. ' calls in a row brought no answer'
end

local retry_after = tonumber(ARGV[6])
local whim = heard == 'slow' and is_whim()
if hold > now then
  -- One of several calls that were in flight together: only the buyer's own wish can make the hold longer.
  if retry_after > 0 and now + retry_after > hold then
    redis.call('HSET', KEYS[1], 'hold', now + retry_after)
  end
  return {''}
end

if heard == 'slow' and held > 0 then redis.call('HSET', KEYS[1], 'hard', 1) end
-- So soon after a hold, what the buyer took of late is what little it was asked.
local opened = tonumber(redis.call('HGET', KEYS[1], 'opened')) or 0
if opened > now then opened = 0 end
local counts = heard == 'slow' and held == 0 and not whim and opened + FRESH_MS <= now
  and began >= math.min(tonumber(redis.call('HGET', KEYS[1], 'cut')) or 0, now)
local took, answers, hard = 0, 0, false
if counts then
  took, answers = taken_a_second()
  hard = redis.call('HDEL', KEYS[1], 'hard') == 1
  -- One refusal while the buyer is asked far less than it has just taken is no limit, nor is one of the first calls: the
  -- hold is enough. A second one soon after, or at once when all have waited, is.
  local spared = tonumber(redis.call('HGET', KEYS[1], 'spared')) or 0
  local says_little = took * 2 < best_lately() or answers < FIRST_CALLS and redis.call('HEXISTS', KEYS[1], 'rate') == 0
  if not hard and says_little and (spared + SPARED_MS <= now or spared > now) then
    redis.call('HSET', KEYS[1], 'spared', now)
    counts = false
  end
end
local before
if counts then
  before = rate_now(KEYS[1], now, tonumber(ARGV[7]))
  whim = was_in_vain(before)
  counts = not whim
end
if whim and held == 0 and retry_after == 0 then return {''} end
if counts then
  -- A limit is met: the pace falls a little under what the buyer has taken of late, and never by more than a half. What it
  -- took in a first burst says less, since it may have saved up for that: from there the pace is searched from below.
  local searched = redis.call('HGET', KEYS[1], 'rate')
  local limit = before and math.min(before, took) or took
  if before and limit < before / 2 then
    limit = before / 2
    searched = false
  end
  -- A buyer that now and then refuses a call for no reason of pace must not be asked ever more slowly: the pace falls step
  -- by step, and under a few calls a second for those alone who were refused again at once, when all had waited.
  local refused_twice = hard or (before and before < SLOWEST_SOFT)
  local slowest = SLOWEST
  if not refused_twice then
    local vain = tonumber(redis.call('HGET', KEYS[1], 'vain')) or 0
    slowest = math.max(math.min(SLOWEST_FIRST / 2 ^ vain, (before or SLOWEST_FIRST) * CUT), SLOWEST_SOFT)
  end
  local rate = math.max(limit * CUT, slowest)
  redis.call('HSET', KEYS[1], 'rate', string.format('%.3f', rate), 'age', 0, 'seen', now, 'cut', now,
    'limit', string.format('%.3f', math.max(limit, rate)), 'vain_calls', 0)
  redis.call('HDEL', KEYS[1], 'best')
  if searched then
    -- Where it took clearly less than it was asked, that may have been for another reason, such as a hold: a short rest.
    local rest_s = took < before * CUT and SHORT_REST_S or REST_S
    redis.call('HSET', KEYS[1], 'rest', string.format('%.3f', math.max(limit * REST, slowest)), 'rest_s', rest_s)
  else
    redis.call('HDEL', KEYS[1], 'rest')
  end
end

local step = held + 1
local wait = growth[math.min(step, #growth)]
if retry_after > 0 then
  -- The buyer is taken at its word once. If that was too short, our own patience grows behind it, one step later.
  wait = math.max(retry_after, growth[math.min(step - 1, #growth)] or 0)
end
redis.call('HSET', KEYS[1], 'hold', now + wait, 'held_by', heard, 'step', step, 'places', 1, 'code', code, 'reason', reason)
redis.call('HSETNX', KEYS[1], 'since', now)
if held == 0 then
  return {'closed', tostring(now + wait), code, reason}
end
return {''}
