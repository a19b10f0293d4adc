-- What the pipeline "exact" must have counted, from the generator's file alone. Every parameter is in braces.
--
-- Event i went to partition i mod {partitions}; the mark it travelled with is the highest time of its partition before
-- it, less {out_of_order}. Times are milliseconds.
CREATE TABLE judged AS
WITH raw AS (
    SELECT row_number() OVER () - 1 AS i, time, host, value
    FROM read_json('{events}', format = 'newline_delimited', columns = {{time: 'BIGINT', host: 'VARCHAR', value: 'DOUBLE'}})
), travelled AS (
    SELECT *, time // {size} * {size} AS start,
           max(time) OVER (PARTITION BY i % {partitions} ORDER BY i ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) - {out_of_order} AS mark
    FROM raw
)
SELECT *, coalesce(start + {size} + {lateness} <= mark, false) AS late, coalesce(start + {size} <= mark, false) AS behind
FROM travelled;

-- The watermark at the end is the lowest of the partitions; windows that end at or before it are decided.
CREATE TABLE final_mark AS
SELECT min(front) - {out_of_order} AS mark FROM (SELECT max(time) AS front FROM judged GROUP BY i % {partitions});

CREATE TABLE rollups AS
SELECT start, host, count(*) AS samples, sum(value) AS total, min(value) AS least, max(value) AS most
FROM judged WHERE NOT late GROUP BY start, host;

CREATE TABLE ledger AS
SELECT count(*) FILTER (late) AS late, count(*) FILTER (behind AND NOT late) AS revised, count(*) FILTER (NOT behind) AS counted FROM judged;
