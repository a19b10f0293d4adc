-- The alert transitions of the rule "most > {threshold} for {hold}", judged once a window on what had arrived in time.
CREATE TABLE transitions AS
WITH held AS (
    SELECT host, start + {size} AS ends FROM judged WHERE NOT behind GROUP BY host, start HAVING max(value) > {threshold}
), numbered AS (
    SELECT host, ends, ends - {size} * row_number() OVER (PARTITION BY host ORDER BY ends) AS island
    FROM held, final_mark WHERE ends <= mark
), islands AS (
    SELECT host, min(ends) AS since, max(ends) AS until FROM numbered GROUP BY host, island
)
SELECT host, 'pending' AS state, since AS at FROM islands WHERE {hold} > 0
UNION ALL
SELECT host, 'firing', since + {hold} FROM islands WHERE until - since >= {hold}
UNION ALL
SELECT host, if(until - since >= {hold}, 'resolved', 'inactive'), until + {size} FROM islands, final_mark WHERE until + {size} <= mark;
