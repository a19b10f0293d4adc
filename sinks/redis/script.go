package redis

import goredis "github.com/redis/go-redis/v9"

// luaOlder compares versions of twelve bytes: `<` on strings would follow the locale of the server. What is shorter is
// none of ours and counts as older.
const luaOlder = `
local function older(a, b)
  if #a < 12 then return true end
  for i = 1, 12 do
    local x, y = a:byte(i), b:byte(i)
    if x ~= y then return x < y end
  end
  return false
end
`

// luaWrite stores the blocks of one task in several windows. KEYS: change number, then the hash of each window. ARGV:
// channel, then for each window: start, expiry in ms (0: none), field of the highest version, lowest and highest version of
// the call, number of blocks, then field and block of each. It returns the new change number, 0 if nothing changed.
const luaWrite = luaOlder + `
local at, touched = 2, {}
for k = 2, #KEYS do
  local key, start, expiry, field = KEYS[k], ARGV[at], ARGV[at + 1], ARGV[at + 2]
  local lowest, highest, n = ARGV[at + 3], ARGV[at + 4], tonumber(ARGV[at + 5])
  local first, last = at + 6, at + 5 + 2 * n
  at = last + 1
  local top, changed = redis.call('HGET', key, field), true
  if not top or older(top, lowest) then
    redis.call('HSET', key, field, highest, unpack(ARGV, first, last))
  else
    local names, set = {}, {}
    for i = first, last, 2 do names[#names + 1] = ARGV[i] end
    local have = redis.call('HMGET', key, unpack(names))
    for i, name in ipairs(names) do
      local block = ARGV[first + 2 * i - 1]
      if not have[i] or older(have[i], block) then
        set[#set + 1] = name
        set[#set + 1] = block
      end
    end
    changed = #set > 0
    if changed then
      if older(top, highest) then
        set[#set + 1] = field
        set[#set + 1] = highest
      end
      redis.call('HSET', key, unpack(set))
    end
  end
  if changed then
    if expiry ~= '0' then redis.call('PEXPIREAT', key, expiry) end
    touched[#touched + 1] = start
  end
end
if #touched == 0 then return 0 end
local change = redis.call('INCR', KEYS[1])
redis.call('PUBLISH', ARGV[1], '{"change":' .. change .. ',"windows":[' .. table.concat(touched, ',') .. ']}')
return change
`

// luaThrough notes who writes a partition, and raises its complete_through. KEYS: tasks, through, changes. ARGV: field and
// value in tasks, field in through, mark (empty: none yet), life of the keys in s (0: for ever), 'ended' to change no value in tasks, the
// writer of generation 0, generation. An empty value changes none either, nor does that of a lower generation than before. Marks have 19 digits and
// numbers in Lua 15, so they are compared as text, which has no leading zeros. It returns 1 if the writer was not known.
const luaThrough = `
local function lower(a, b)
  if #a ~= #b then return #a < #b end
  for i = 1, #a do
    local x, y = a:byte(i), b:byte(i)
    if x ~= y then return x < y end
  end
  return false
end
local unknown, field = 0, 'generation ' .. ARGV[7]
local generation = tonumber(redis.call('HGET', KEYS[2], field) or '0')
if generation < tonumber(ARGV[8]) and ARGV[2] ~= '' then
  redis.call('HSET', KEYS[2], field, ARGV[8])
end
if generation > tonumber(ARGV[8]) then
  -- an owner that was overtaken
elseif ARGV[6] == 'ended' then
  redis.call('HSETNX', KEYS[1], ARGV[1], ARGV[2])
elseif ARGV[2] ~= '' then
  unknown = redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
end
if ARGV[4] ~= '' then
  local have = redis.call('HGET', KEYS[2], ARGV[3])
  if not have or lower(have, ARGV[4]) then redis.call('HSET', KEYS[2], ARGV[3], ARGV[4]) end
end
if ARGV[5] ~= '0' then
  for _, key in ipairs(KEYS) do redis.call('EXPIRE', key, ARGV[5]) end
end
return unknown
`

// luaDescribe describes an output, unless the output that is described follows it: the version before runs on for a while,
// on workers that may not know of the next one. KEYS: outputs. ARGV: field, description, instance.
const luaDescribe = `
local have = redis.call('HGET', KEYS[1], ARGV[1])
local o = have and cjson.decode(have).before
while o do
  if o.instance == ARGV[3] then return 0 end
  o = o.before
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
return 1
`

// script is a Lua script with its hash.
type script struct{ sha, source string }

func newScript(source string) script {
	return script{sha: goredis.NewScript(source).Hash(), source: source}
}
