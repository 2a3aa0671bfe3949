-- Signs for several tags of one server that have nothing to write, and tells what others have noted in their sentinels.
-- KEYS[i]  sentinel of the i-th tag
-- ARGV     seven for each tag: the sentinel's value as the client knows it, value for the sentinel if there is none, retention in milliseconds,
--          base of the keys, and three to sign with (see record.lua)
-- Returns what a claim tells of the sentinel, for each tag.

local perTag = 7
local now = nowMs()
local answers = {}
for index = 1, #KEYS do
  local at = (index - 1) * perTag
  local known, planted, retentionMs, base = ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4]
  local sentinel = meetSentinel(KEYS[index], base, known, planted, now, at + 5)
  signBy(sentinel, known, base, retentionMs, at + 5)
  answers[index] = sentinel == known and '' or sentinel .. ' ' .. now
end
return answers
